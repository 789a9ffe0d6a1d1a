-- Rows to back up, the same each time but for the dates of logs, which lie in and
-- before the last 30 days. Texts are as awkward as those that people paste.

create temporary table awkward (i int, sample text);
insert into awkward
select ordinality - 1, value
from unnest(array[
  'Como a inteligência artificial muda a sua rotina: 7 hábitos que funcionam',
  E'O''Reilly''s "livro" – d''água, ''aspas'' ''''duplas''''',
  E'C:\\novo\\tabela\\n \\\\servidor\\pasta \\u0041 \\x41 \\\\',
  '🚨 👩‍💻 🇧🇷 👨‍👩‍👧‍👦 emojis e ✊🏽 tons',
  E'quase nulo: \\u0000 \\x00 %00 &#0; \\0 e controles \x01\x02\x1b[31mvermelho\x1b[0m\x7f',
  E'שלום עולם · مرحبا بالعالم · \u202Eotxet od oirártnoc oa\u202C',
  '<script>alert("x")</script> <b>negrito</b> &amp; <!-- fim --> <img src=x onerror=alert(1)>',
  '$$ $body$ drop table articles; $body$ $1 ${HOME} $(id) `id`',
  E'linha 1\nlinha 2\r\nlinha 3\ttabulação\n\n\n\\.\n\\N\nfim\n',
  '''; drop table articles; -- /* comentário */',
  '{"json": [1, null, "\"", {"a": "\\"}], "e": 1e400}',
  E'combinados: Z\u0335\u0322a\u0334l\u0335g\u0336o\u0337 \u200B\u200D\uFEFF\u00A0 e\u0301 é',
  'formatos: %s %I %L %n %1$s {0} {{mustache}} #{ruby} <%= erb %>',
  '   espaços no começo e no fim   ',
  '漢字かな交じり文・中文・한국어 · ελληνικά · кириллица',
  'NULL'
]) with ordinality as t (value, ordinality);

insert into public.articles (
  id, title, excerpt, content, image_url, published, category_id, author_id, slug, tags, approval_rate,
  positive_feedback, negative_feedback, total_views, total_likes, positive_feedbacks, negative_feedbacks,
  comments_count, likes_count, is_featured, is_featured_manual, created_at, updated_at,
  scheduled_for, scheduling_status)
select
  md5('article' || n)::uuid,
  left(sample, 120) || ' #' || n,
  case when n % 7 <> 0 then sample end,
  case
    when n % 11 = 0 then null
    when n % 400 = 0 then repeat(sample || E'\n', 4000)
    else '# ' || sample || E'\n\n' || repeat(sample || E' Lorem ipsum dolor sit amet.\n', 1 + n % 20)
  end,
  case when n % 3 = 0 then 'https://images.example.com/' || n || '.png?a=1&b=%20' end,
  n % 4 <> 0,
  md5('category' || n % 5)::uuid,
  case when n % 10 <> 0 then md5('author' || n % 3)::uuid end,
  'artigo-' || n,
  case n % 3 when 0 then null when 1 then 'ia,produtividade' else '{"ia","aspas \" duplas"}' end,
  n % 101, n % 13, n % 5, n * 7, n % 29, n % 13, n % 5, n % 4, n % 29, n % 50 = 0, n % 100 = 0,
  '2024-01-01 00:00Z'::timestamptz + n * interval '5 hours',
  '2024-06-01 12:34:56.789012Z'::timestamptz + n * interval '5 hours',
  case when n % 97 = 0 then '2099-01-01 12:00Z'::timestamptz end,
  case when n % 97 = 0 then 'scheduled' when n % 4 = 0 then 'draft' else 'published' end
from generate_series(1, current_setting('stack.articles')::int) n
join awkward on i = n % 16;

insert into public.comments (id, article_id, user_name, content, created_at, likes)
select
  md5('comment' || n)::uuid, md5('article' || 1 + n * 3 % current_setting('stack.articles')::int)::uuid,
  left('Leitor ' || n || ' ' || sample, 100), sample,
  '2024-07-01 00:00Z'::timestamptz + n * interval '1 hour', n % 9
from generate_series(1, (current_setting('stack.articles')::numeric * 0.3)::int) n
join awkward on i = n % 16;

update public.comments
set parent_id = md5('comment1')::uuid
where id in (select md5('comment' || n)::uuid from generate_series(5, 300, 5) n);

insert into public.feedbacks (id, article_id, type, user_id, content, created_at, updated_at)
select
  md5('feedback' || n)::uuid, md5('article' || 1 + n * 7 % current_setting('stack.articles')::int)::uuid,
  (array['positive', 'negative', 'like', 'comment'])[1 + n % 4], 'visitante-' || n,
  case when n % 4 = 3 then sample end,
  '2024-08-01 00:00Z'::timestamptz + n * interval '2 hours', '2024-08-02 00:00Z'::timestamptz + n * interval '2 hours'
from generate_series(1, (current_setting('stack.articles')::numeric * 0.1)::int) n
join awkward on i = n % 16;

insert into public.backend_logs (table_name, action, record_id, new_data, performed_by, created_at)
select 'articles', (array['INSERT', 'UPDATE', 'DELETE'])[1 + n % 3], md5('article' || n), jsonb_build_object('title', sample),
  'admin', now() - n * interval '1 day'
from generate_series(1, 60) n
join awkward on i = n % 16;

insert into public.app_logs (level, source, action, details, user_id, created_at)
select (array['info', 'warn'])[1 + n % 2], 'admin_panel', 'save_article', jsonb_build_object('text', sample), 'admin',
  now() - n * interval '1 day'
from generate_series(1, 40) n
join awkward on i = n % 16;

insert into public.system_logs (type, message, context, created_at)
select (array['info', 'warning', 'deploy', 'email'])[1 + n % 4], sample, jsonb_build_object('n', n), now() - n * interval '1 day'
from generate_series(1, 50) n
join awkward on i = n % 16;

insert into public.admin_users (id, email) values (md5('admin')::uuid, 'admin@aimindset.example');
insert into public.alert_subscriptions (email) values ('admin@aimindset.example'), ('equipe@aimindset.example');

drop table awkward;
