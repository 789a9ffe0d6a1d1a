package docs_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// restoring is a reader of the guide on restore at a project.
type restoring struct {
	*user
	s *stack.Stack
	// blocks are those of the guide by heading and place below it, and unread those
	// that no test has run yet.
	blocks map[string]string
	unread map[string]bool
}

// block returns a block of the guide, and notes that a test runs it.
func (r *restoring) block(name string) string {
	r.t.Helper()
	text, ok := r.blocks[name]
	if !ok {
		r.t.Fatalf("the guide has no block %q", name)
	}
	delete(r.unread, name)
	return text
}

// headedBlocks are the fenced blocks of a guide, named by their heading and their place
// below it, such as "Afterwards/1".
func headedBlocks(text string) map[string]string {
	named := map[string]string{}
	lines := strings.Split(text, "\n")
	for _, b := range blocksOf(text) {
		heading, place := "", 1
		for _, line := range lines[:b.line-1] {
			if title, ok := strings.CutPrefix(line, "## "); ok {
				heading = title
			}
		}
		for named[fmt.Sprintf("%s/%d", heading, place)] != "" {
			place++
		}
		named[fmt.Sprintf("%s/%d", heading, place)] = b.text
	}
	return named
}

// edit runs SQL as the dashboard's SQL editor does, over the Management API and the real
// postgres-meta, and returns the rows that it shows. A value is its text, and left
// out if it is null or empty.
func (r *restoring) edit(sql string) []map[string]string {
	r.t.Helper()
	body, err := json.Marshal(map[string]string{"query": sql})
	if err != nil {
		r.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost,
		r.s.APIURL+"/v1/projects/"+r.s.ProjectRef+"/database/query", strings.NewReader(string(body)))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.s.AccessToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(answer, &rows); err != nil || response.StatusCode != http.StatusCreated {
		r.t.Fatalf("%s: %s\nof\n%s", response.Status, answer, sql)
	}
	shown := make([]map[string]string, len(rows))
	for i, row := range rows {
		shown[i] = map[string]string{}
		for column, value := range row {
			// A reader of CSV leaves out the \r before a line break.
			if text := strings.ReplaceAll(fmt.Sprint(value), "\r\n", "\n"); value != nil && text != "" {
				shown[i][column] = text
			}
		}
	}
	return shown
}

// psql runs SQL by psql, and expects it to end with a status.
func (r *restoring) psql(status int, sql string) string {
	r.t.Helper()
	r.write("query.sql", sql)
	return r.run(status, `psql -qX --csv -v ON_ERROR_STOP=1 -f query.sql "$SUPABASE_DB_URL"`)
}

// lookAndCommit runs a block in the SQL editor, expects that it changes nothing, has
// another backup made, and runs the block by psql with COMMIT, which must show the same.
// It returns what was shown.
func (r *restoring) lookAndCommit(sql string) []map[string]string {
	r.t.Helper()
	before := r.everything()
	shown := r.edit(sql)
	if after := r.everything(); after != before {
		r.t.Fatalf("a look changed something:\n%s\n%s", before, after)
	}
	r.backUp()
	printed := r.commit(sql)
	for i, again := range lastResult(r.t, printed, len(shown)) {
		if again["table"] == "public.system_logs" {
			again["not_in_backup"] = shown[i]["not_in_backup"] // the other backup was logged
		}
		if !maps.Equal(again, shown[i]) {
			r.t.Errorf("with COMMIT, row %d is %q, and before %q", i+1, again, shown[i])
		}
	}
	return shown
}

// commit runs a block by psql with COMMIT, and expects triggers and constraints to be as
// they were.
func (r *restoring) commit(sql string) string {
	r.t.Helper()
	before := r.definitions()
	printed := r.psql(0, committed(r.t, sql))
	if after := r.definitions(); after != before {
		r.t.Errorf("triggers and constraints are not as before:\n%s\nbefore\n%s", after, before)
	}
	return printed
}

// committed is a block with COMMIT in the place of its ROLLBACK.
func committed(t *testing.T, sql string) string {
	t.Helper()
	if strings.Count(sql, "\nrollback;") != 1 || !strings.HasSuffix(strings.TrimSpace(sql), "\nrollback;") {
		t.Fatalf("it does not end with one rollback:\n%s", sql)
	}
	// With statistics from before the accident, a nested loop over 20,000 articles took
	// more than two minutes, and without one three seconds.
	for _, setting := range []string{"set local lock_timeout = '10s';", "set local enable_nestloop = off;"} {
		if !strings.Contains(sql, setting) {
			t.Errorf("it does not begin with %s\n%s", setting, sql)
		}
	}
	return strings.Replace(sql, "\nrollback;", "\ncommit;", 1)
}

// lastResult are the last rows that psql has printed.
func lastResult(t *testing.T, printed string, number int) []map[string]string {
	t.Helper()
	reader := csv.NewReader(strings.NewReader(printed))
	reader.FieldsPerRecord = -1
	lines, err := reader.ReadAll()
	if err != nil || len(lines) <= number {
		t.Fatalf("%v: not %d rows in\n%s", err, number, printed)
	}
	header := lines[len(lines)-number-1]
	var rows []map[string]string
	for _, line := range lines[len(lines)-number:] {
		row := map[string]string{}
		for i, text := range line {
			if text != "" {
				row[header[i]] = text
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// everything is a digest of all rows of the application's tables and their copies, and
// of what definitions returns.
func (r *restoring) everything() string {
	r.t.Helper()
	return value(r.t, r.s, `select string_agg(table_name || ' ' || md5(query_to_xml(format('select t.*, t.xmin from public.%I t order by t::text', table_name), true, false, '')::text), E'\n' order by table_name)
		from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`) + r.definitions()
}

// definitions are all triggers and constraints, with their modes.
func (r *restoring) definitions() string {
	r.t.Helper()
	return value(r.t, r.s, `select string_agg(x.line, E'\n' order by x.line) from (
			select concat_ws(' ', tgrelid::regclass, tgname, tgenabled, tgdeferrable, tginitdeferred) as line from pg_trigger
			union all select concat_ws(' ', conrelid::regclass, conname, condeferrable, condeferred) from pg_constraint
		) x`)
}

// backUp makes a backup and returns its ID.
func (r *restoring) backUp() string {
	r.t.Helper()
	id := value(r.t, r.s, `select case when (b ->> 'success')::boolean then b ->> 'backup_id' end from (select public.backup_all_data() as b) x`)
	return id
}

// chosen has the reader do sections 1 and 2 of the guide, and choose a backup.
func (r *restoring) chosen(id string) {
	r.t.Helper()
	r.edit(r.block("1. Keep what is there now/1"))
	r.edit(strings.ReplaceAll(r.block(choose), "BACKUP_ID", id))
}

// rows expects two queries to have the same rows, and at least one.
func (r *restoring) rows(what, got, want string) {
	r.t.Helper()
	difference := value(r.t, r.s, fmt.Sprintf(`select coalesce(string_agg(left(x::text, 400), E'\n'), '') from (
			(select 'unwanted', g::text from (%[1]s) g except all select 'unwanted', w::text from (%[2]s) w)
			union all (select 'wanted', w::text from (%[2]s) w except all select 'wanted', g::text from (%[1]s) g)
			union all (select 'rows', 'none' where not exists (%[2]s))
			limit 6
		) x`, got, want))
	if difference != "" {
		r.t.Errorf("%s:\n%s", what, difference)
	}
}

// reset puts the application's tables back to what they were at the start, whatever
// the guide says.
func (r *restoring) reset() {
	r.t.Helper()
	exec(r.t, r.s, `
		set session_replication_role = replica;
		drop schema if exists before_restore cascade;
		delete from public.articles; delete from public.comments; delete from public.feedbacks;
		delete from public.backup_articles; delete from public.backup_comments; delete from public.backup_feedbacks;
		do $$ declare name text; begin
			foreach name in array array['articles', 'comments', 'feedbacks'] loop
				execute (select format('insert into public.%1$I (%2$s) select %2$s from truth.%1$I', name, string_agg(quote_ident(attname), ', '))
					from pg_attribute where attrelid = format('truth.%I', name)::regclass and attnum > 0);
			end loop;
		end $$;
		reset session_replication_role`)
}

// site gives the application what the stack's does not have: triggers that date, count
// and announce, one that is switched off and one that always fires, values in all
// columns, row level security that is forced, and a copy of its rows in schema truth.
const site = `
	update public.feedbacks set article_id = (select id from public.articles where slug = 'artigo-4') where article_id = (select id from public.articles where slug = 'artigo-8');
	update public.comments set user_id = gen_random_uuid(), user_avatar_url = 'https://images.example.com/' || likes where likes > 3;

	create function public.date_article() returns trigger language plpgsql as $$ begin new.updated_at := now(); return new; end $$;
	create trigger date_article before update on public.articles for each row execute function public.date_article();
	create function public.count_comment() returns trigger language plpgsql as $$ begin
		update public.articles set comments_count = comments_count + case tg_op when 'INSERT' then 1 else -1 end where id = coalesce(new.article_id, old.article_id);
		return null;
	end $$;
	create trigger count_comment after insert or delete on public.comments for each row execute function public.count_comment();
	create function public.announce() returns trigger language plpgsql as $$ begin
		insert into public.system_logs (type, message) values ('announced', tg_table_name); return null;
	end $$;
	create trigger announce after insert on public.articles for each row execute function public.announce();
	create function public.refuse() returns trigger language plpgsql as $$ begin raise 'it is switched off'; end $$;
	create trigger refuse before insert or update on public.comments for each row execute function public.refuse();
	alter table public.comments disable trigger refuse;
	alter table public.articles enable always trigger announce;
	alter table public.articles force row level security;
	alter table public.comments force row level security;

	create schema truth;
	create table truth.articles as table public.articles;
	create table truth.comments as table public.comments;
	create table truth.feedbacks as table public.feedbacks;`

// What the rows are that a restore brings back: those at the start, with the defaults
// of the columns that a backup does not hold.
const (
	restoredArticles = `select id, title, excerpt, content, image_url, published, category_id, author_id, slug, tags, approval_rate, positive_feedback, negative_feedback,
			total_views, total_likes, positive_feedbacks, negative_feedbacks, comments_count, likes_count, is_featured, is_featured_manual, created_at, updated_at,
			null::timestamptz, 'draft', null::uuid, null::timestamptz, 'America/Sao_Paulo' from truth.articles`
	restoredComments = `select id, article_id, user_name, content, created_at, null::uuid, 0, null::uuid, null::text from truth.comments`
	feedbackColumns  = `select id, article_id, type, user_id, content, created_at from `
)

// TestRestoreGuide proves that the guide on restore does what it says, by running its
// own blocks: first by the SQL editor's service, where a block must change nothing, then,
// after another backup, by psql with COMMIT. What is restored is compared row by row
// with what there was. It fails if the guide has a block that it does not run.
func TestRestoreGuide(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{Articles: 200})
	blocks := headedBlocks(example(t, s.ProjectRef, "docs", "guides", "restore.md"))
	unread := map[string]bool{}
	for name := range blocks {
		unread[name] = true
	}
	exec(t, s, "set role postgres; "+site+"; reset role")
	for _, c := range []struct {
		name string
		test func(r *restoring)
	}{
		{"rows were deleted", (*restoring).testDeleted},
		{"tables were emptied", (*restoring).testEmptied},
		{"values were overwritten", (*restoring).testOverwritten},
		{"counters", (*restoring).testCounters},
		{"whole tables", (*restoring).testWhole},
		{"logs", (*restoring).testLogs},
		{"other tables", (*restoring).testOthers},
		{"nothing is chosen", (*restoring).testNothingChosen},
		{"a column was dropped", (*restoring).testColumn},
		{"a table was dropped", (*restoring).testDropped},
		{"drill and retention", (*restoring).testInstalled},
		{"copy elsewhere", (*restoring).testElsewhere},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &restoring{user: newUser(t, append(s.Environ(), "SUPABASE_DB_URL="+s.DatabaseURL)...), s: s, blocks: blocks, unread: unread}
			r.reset()
			c.test(r)
		})
	}
	for name := range unread {
		t.Errorf("no test runs the block %q of the guide", name)
	}
}

// TestRestoreGuideInPortuguese proves that the blocks of the Portuguese guide are those of
// the English one, which are run: only their comments may differ.
func TestRestoreGuideInPortuguese(t *testing.T) {
	t.Parallel()
	blocks := func(name string) (texts []string) {
		for _, b := range blocksOf(example(t, projectRef, "docs", "guides", name)) {
			texts = append(texts, b.kind+"\n"+regexp.MustCompile(`(?m)-- .*$`).ReplaceAllString(b.text, "--"))
		}
		return texts
	}
	english, portuguese := blocks("restore.md"), blocks("recuperar-dados.md")
	if len(english) != len(portuguese) {
		t.Fatalf("%d blocks, not %d", len(portuguese), len(english))
	}
	for i := range english {
		if english[i] != portuguese[i] {
			t.Errorf("block %d is\n%s\nin English it is\n%s", i+1, portuguese[i], english[i])
		}
	}
}

// line is a row that was shown, with the values of some columns.
func line(row map[string]string, columns ...string) string {
	var values []string
	for _, column := range columns {
		values = append(values, row[column])
	}
	return strings.Join(values, " ")
}

// shown expects what a block showed.
func (r *restoring) shown(rows []map[string]string, columns string, want ...string) {
	r.t.Helper()
	var got []string
	for _, row := range rows {
		got = append(got, line(row, strings.Fields(columns)...))
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("it shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Blocks of the guide, and columns that they show.
const (
	choose      = "2. Choose a backup/2"
	deleted     = "Rows were deleted/1"
	overwritten = "Values were overwritten/1"
	whole       = "Whole tables, other tables, logs, undo/"
	found       = "table in_backup restored left_out"
	state       = "table in_backup missing differ not_in_backup"
)

// testDeleted proves that deleted rows come back, of the chosen backup, that no other
// row changes, that no trigger fires or is left as it was not, and that an article whose
// slug was taken is named and comes back once it is free.
func (r *restoring) testDeleted() {
	id := r.backUp()
	exec(r.t, r.s, `
		create table truth.victims as select id from public.articles order by created_at limit 10;
		delete from public.articles where id in (select id from truth.victims);
		delete from public.comments where id in (select id from public.comments where parent_id is null order by created_at desc limit 3);
		-- Meanwhile the site goes on.
		insert into public.articles (title, slug) values ('Novo', 'artigo-4');
		update public.articles set title = 'Corrigido' where id = (select max(id::text)::uuid from public.articles);
		insert into public.comments (article_id, user_name, content, likes) select id, 'Ana', 'Oi', 7 from public.articles where title = 'Novo';
		create table truth.kept_articles as table public.articles; create table truth.kept_comments as table public.comments; create table truth.kept_feedbacks as table public.feedbacks`)
	defer exec(r.t, r.s, "drop table truth.victims, truth.kept_articles, truth.kept_comments, truth.kept_feedbacks")
	later := r.backUp()
	number := func(query string) string { return value(r.t, r.s, "select count(*) from "+query) }
	lost := map[string]string{}
	for _, table := range []string{"articles", "comments", "feedbacks"} {
		lost[table] = number(fmt.Sprintf("truth.%[1]s t where not exists (select from public.%[1]s l where l.id = t.id)", table))
	}
	if lost["articles"] != "10" || lost["comments"] == "0" || lost["feedbacks"] == "0" {
		r.t.Fatalf("the accident deleted %v", lost)
	}

	list := r.edit(r.block("2. Choose a backup/1"))
	if len(list) != 2 || list[0]["backup_id"] != later || list[1]["backup_id"] != id || list[0]["articles_missing"] != "0" || list[1]["articles_missing"] != "10" ||
		list[1]["articles"] != "200" || list[1]["articles_changed"] != "1" || list[1]["comments_missing"] != lost["comments"] || list[1]["feedbacks_missing"] != lost["feedbacks"] ||
		!regexp.MustCompile(`^20\d\d-\d\d-\d\d \d\d:\d\d$`).MatchString(list[0]["made_at"]) {
		r.t.Errorf("the list of backups shows %v", list)
	}
	r.chosen(id)

	// What belongs to the article whose slug was taken is left out with it.
	left := map[string]string{}
	for _, table := range []string{"comments", "feedbacks"} {
		left[table] = number(fmt.Sprintf("truth.%s c where c.article_id = (select id from truth.articles where slug = 'artigo-4')", table))
		if left[table] == "0" {
			r.t.Fatalf("no %s belong to the article", table)
		}
	}
	kept := func(table string) string {
		return number(fmt.Sprintf("public.%[1]s l, truth.%[1]s t where l.id = t.id", table))
	}
	minus := func(numbers ...string) string {
		total := 0
		for i, n := range numbers {
			x, err := strconv.Atoi(n)
			if err != nil {
				r.t.Fatal(err)
			}
			if i > 0 {
				x = -x
			}
			total += x
		}
		return strconv.Itoa(total)
	}
	r.shown(r.edit(r.block(deleted)), found, "articles 200 9 1",
		"comments 60 "+minus("60", kept("comments"), left["comments"])+" "+left["comments"],
		"feedbacks 20 "+minus("20", kept("feedbacks"), left["feedbacks"])+" "+left["feedbacks"])
	r.commit(r.block(deleted))
	conflicts := r.edit(r.block("Rows were deleted/2"))
	if len(conflicts) != 1 || conflicts[0]["title"] != "Novo" {
		r.t.Fatalf("the slug that was taken shows as %v", conflicts)
	}
	for _, schema := range []string{"public", "truth"} {
		exec(r.t, r.s, "set session_replication_role = replica; update "+schema+map[string]string{"public": ".articles", "truth": ".kept_articles"}[schema]+" set slug = 'novo' where title = 'Novo'; reset session_replication_role")
	}
	r.shown(r.lookAndCommit(r.block(deleted)), found, "articles 200 1 0", "comments 60 "+left["comments"]+" 0", "feedbacks 20 "+left["feedbacks"]+" 0")

	for table, restored := range map[string]string{"articles": restoredArticles, "comments": restoredComments} {
		r.rows(table, "select * from public."+table,
			fmt.Sprintf("select * from truth.kept_%[1]s union all %[2]s where id not in (select id from truth.kept_%[1]s)", table, restored))
	}
	r.rows("feedbacks", feedbackColumns+"public.feedbacks", feedbackColumns+"truth.feedbacks")
	r.rows("feedbacks that were there", "select * from public.feedbacks where id in (select id from truth.kept_feedbacks)", "table truth.kept_feedbacks")
}

// testEmptied proves that emptied tables come back, though a backup is made in the
// middle of the restore, for which it does not wait, as a change of the site does.
func (r *restoring) testEmptied() {
	id := r.backUp()
	exec(r.t, r.s, "truncate public.articles cascade")
	r.backUp()
	r.chosen(id)
	r.shown(r.edit(r.block(deleted)), found, "articles 200 200 0", "comments 60 60 0", "feedbacks 20 20 0")
	const inserted = "from public.backup_articles b\nwhere b.backup_id = (select backup_id from before_restore.chosen)\n"
	wanted := strings.Replace(r.block(deleted), inserted, inserted+"and b.original_id not in (select article_id from truth.comments)\n", 1)
	r.shown(r.edit(wanted)[1:2], found, "comments 60 0 60")
	session, err := pgx.Connect(r.t.Context(), r.s.DatabaseURL)
	if err != nil {
		r.t.Fatal(err)
	}
	defer session.Close(context.WithoutCancel(r.t.Context())) //nolint:errcheck // nothing is left to do
	if _, err := session.Exec(r.t.Context(), strings.Replace(r.block(deleted), "\nrollback;", "", 1)); err != nil {
		r.t.Fatal(err)
	}
	r.rows("the articles of a backup that is made meanwhile", "select count(*) from public.backup_articles where backup_id = '"+r.backUp()+"'", "select 0")
	if printed := r.psql(3, "set lock_timeout = '50ms'; update public.articles set title = 'Novo'"); !strings.Contains(printed, "lock timeout") {
		r.t.Errorf("during a restore, a change of the site ends with\n%s", printed)
	}
	if _, err := session.Exec(r.t.Context(), "commit"); err != nil {
		r.t.Fatal(err)
	}
	r.rows("articles", "table public.articles", restoredArticles)
	r.rows("comments", "table public.comments", restoredComments)
	r.rows("feedbacks", feedbackColumns+"public.feedbacks", feedbackColumns+"truth.feedbacks")
}

// testOverwritten proves that an overwritten column comes back with the time of its last
// change, and that no other column changes, nor a row that was changed since.
func (r *restoring) testOverwritten() {
	id := r.backUp()
	exec(r.t, r.s, `
		update public.articles set content = '';
		update public.articles set content = 'Reescrito', title = 'Novo' where slug = 'artigo-7';
		update public.articles set total_views = 99999 where slug = 'artigo-8'`)
	r.backUp()
	r.chosen(id)
	changed := r.lookAndCommit(r.block(overwritten))
	if len(changed) != 100 || changed[0]["rows"] != "199" || changed[0]["was"] != "" {
		r.t.Errorf("it shows %v", changed)
	}
	exec(r.t, r.s, `
		create table truth.wanted as table truth.articles;
		update truth.wanted set content = 'Reescrito', title = 'Novo', updated_at = (select updated_at from public.articles where slug = 'artigo-7') where slug = 'artigo-7';
		update truth.wanted set total_views = 99999 where slug = 'artigo-8'`)
	r.rows("articles", "table public.articles", "table truth.wanted")
	exec(r.t, r.s, "drop table truth.wanted")
}

// testColumn proves that a column that was dropped comes back.
func (r *restoring) testColumn() {
	id := r.backUp()
	exec(r.t, r.s, "alter table public.articles drop column content")
	if got := value(r.t, r.s, "select public.backup_all_data() ->> 'success'"); got != "false" {
		r.t.Errorf("without the column, the success of a backup is %s", got)
	}
	r.edit(r.block("1. Keep what is there now/1"))
	exec(r.t, r.s, "alter table public.articles add content text")
	r.edit(strings.ReplaceAll(r.block(choose), "BACKUP_ID", id))
	r.lookAndCommit(strings.Replace(r.block(overwritten), "a.content = ''", "a.content is null", 1))
	r.rows("articles", "select to_jsonb(a) from public.articles a", "select to_jsonb(a) from truth.articles a")
}

// testCounters proves that a counter that a trigger keeps stays as the deletion left it,
// and is restored like an overwritten value.
func (r *restoring) testCounters() {
	exec(r.t, r.s, "update public.articles a set comments_count = (select count(*) from public.comments c where c.article_id = a.id)")
	counted := "select id, comments_count from public.articles"
	exec(r.t, r.s, "create table truth.counted as "+counted)
	defer exec(r.t, r.s, "drop table truth.counted")
	id := r.backUp()
	exec(r.t, r.s, "delete from public.comments where parent_id is null")
	r.backUp()
	r.chosen(id)
	r.lookAndCommit(r.block(deleted))
	r.rows("comments", "table public.comments", restoredComments)
	r.rows("counters that the deletion left", "select distinct comments_count from public.articles", "select 0")
	update := strings.ReplaceAll(r.block(overwritten), "content", "comments_count")
	r.lookAndCommit(strings.Replace(update, "and a.comments_count = '' -- what the accident wrote\n", "", 1))
	r.rows("counters", counted, "table truth.counted")
}

// script runs the query that writes a script, after a reader has edited its first lines:
// with other pairs of tables, unless they are empty, and with some actions.
func (r *restoring) script(pairs string, actions ...string) string {
	r.t.Helper()
	query := r.block(whole + "1")
	if pairs != "" {
		from, to := strings.Index(query, "  ('public.articles'"), strings.Index(query, "\n),\nactions")
		query = query[:from] + strings.TrimRight(pairs, "\n") + query[to:]
	}
	const shown = "values ('insert') -- , ('update'), ('delete')"
	if !strings.Contains(query, shown) {
		r.t.Fatalf("the query does not contain %s", shown)
	}
	query = strings.Replace(query, shown, "values ('"+strings.Join(actions, "'), ('")+"')", 1)
	return r.edit(query)[0]["script"]
}

// testWhole proves that tables become what the backup holds, whatever has happened to
// them, that live values that it does not hold are kept, and that it can be undone.
func (r *restoring) testWhole() {
	id := r.backUp()
	exec(r.t, r.s, `
		delete from public.articles where slug like '%1';
		update public.articles set title = 'X', excerpt = null, published = not published where slug like '%2';
		update public.articles set slug = 'artigo-11' where slug = 'artigo-3';
		update public.articles set scheduling_status = 'scheduled', scheduled_for = '2099-01-01' where slug like '%4';
		insert into public.articles (title, slug) values ('Novo', 'artigo-1');
		insert into public.comments (article_id, user_name, content) select id, 'Ana', 'Oi' from public.articles where title = 'Novo';
		update public.comments set content = 'X', likes = 100 where likes = 2;
		update public.comments set article_id = (select id from public.articles where slug = 'artigo-9') where likes = 3;
		delete from public.feedbacks where type = 'like';
		create table truth.kept_articles as table public.articles; create table truth.kept_comments as table public.comments; create table truth.kept_feedbacks as table public.feedbacks`)
	defer exec(r.t, r.s, "drop table truth.kept_articles, truth.kept_comments, truth.kept_feedbacks")
	r.backUp()
	r.chosen(id)

	r.shown(r.lookAndCommit(r.script("", "insert", "update", "delete")), state, "public.articles 200 0 0 0", "public.comments 60 0 0 0", "public.feedbacks 20 0 0 0")
	r.rows("articles", "table public.articles", `
		with t as (`+restoredArticles+`)
		select t.id, t.title, t.excerpt, t.content, t.image_url, t.published, t.category_id, t.author_id, t.slug, t.tags, t.approval_rate, t.positive_feedback, t.negative_feedback,
			t.total_views, t.total_likes, t.positive_feedbacks, t.negative_feedbacks, t.comments_count, t.likes_count, t.is_featured, t.is_featured_manual, t.created_at, t.updated_at,
			k.scheduled_for, coalesce(k.scheduling_status, 'draft'), k.scheduled_by, k.scheduled_at, coalesce(k.original_timezone, 'America/Sao_Paulo')
		from t left join truth.kept_articles k using (id)`)
	r.rows("comments", "table public.comments", `
		select t.id, t.article_id, t.user_name, t.content, t.created_at, k.parent_id, coalesce(k.likes, 0), k.user_id, k.user_avatar_url
		from truth.comments t left join truth.kept_comments k using (id)`)
	r.rows("feedbacks", feedbackColumns+"public.feedbacks", feedbackColumns+"truth.feedbacks")

	r.shown(r.lookAndCommit(r.script(r.block(whole+"3"), "insert", "update", "delete")), state,
		"public.articles "+value(r.t, r.s, "select count(*) from truth.kept_articles")+" 0 0 0",
		"public.comments "+value(r.t, r.s, "select count(*) from truth.kept_comments")+" 0 0 0",
		"public.feedbacks "+value(r.t, r.s, "select count(*) from truth.kept_feedbacks")+" 0 0 0")
	for _, table := range []string{"articles", "comments", "feedbacks"} {
		r.rows(table+" after an undo", "table public."+table, "table truth.kept_"+table)
	}
}

// testLogs proves that log rows of the last 30 days come back although another backup has
// replaced their copies, that nobody is alerted again, and that the next row gets a
// number of its own.
func (r *restoring) testLogs() {
	exec(r.t, r.s, "insert into public.app_logs (level, source, action) values ('error', 'site', 'save')")
	r.backUp()
	exec(r.t, r.s, `
		create table truth.logs as select 'app' as kind, to_jsonb(l) as log from public.app_logs l where created_at >= now() - interval '30 days'
			union all select 'backend', to_jsonb(l) from public.backend_logs l where created_at >= now() - interval '30 days'
			union all select 'system', to_jsonb(l) from public.system_logs l where created_at >= now() - interval '30 days' and type in ('warning', 'deploy', 'email');
		truncate public.app_logs, public.backend_logs restart identity;
		delete from public.system_logs`)
	defer exec(r.t, r.s, "drop table truth.logs")
	r.edit(r.block("1. Keep what is there now/1"))
	r.backUp()
	if got := value(r.t, r.s, "select count(*) from public.app_logs_backup"); got != "0" {
		r.t.Fatalf("the next backup has not replaced the copy: %s rows", got)
	}
	alerts := value(r.t, r.s, "select count(*) from public.system_logs where type = 'alert_generated'")
	for _, row := range r.lookAndCommit(r.script(r.block(whole+"2"), "insert")) {
		if got := line(row, "missing", "differ"); got != "0 0" {
			r.t.Errorf("of %s are missing and differ %s", row["table"], got)
		}
	}
	r.rows("logs", `select 'app', to_jsonb(l) from public.app_logs l union all select 'backend', to_jsonb(l) from public.backend_logs l
		union all select 'system', to_jsonb(l) from public.system_logs l where type in ('warning', 'deploy', 'email')`, "table truth.logs")
	r.rows("alerts", "select count(*) from public.system_logs where type = 'alert_generated'",
		"select "+alerts+" + count(*) from before_restore.system_logs_backup where type = 'alert_generated'")
	for _, row := range []string{"app_logs (level, source, action) values ('info', 'a', 'b')", "backend_logs (table_name, action) values ('a', 'INSERT')", "system_logs (type, message) values ('info', 'a')"} {
		exec(r.t, r.s, "insert into public."+row)
	}
}

// shop is an application with what AIMindset's tables do not have: a schema of its own,
// an enum, a domain, arrays, JSON, generated and identity columns, a key of two columns,
// quoted names, a table that refers to itself, and two that refer to each other.
const shop = `
	create schema loja;
	create type loja.kind as enum ('person', 'company');
	create domain loja.rank as int check (value between 0 and 9);
	create table loja.customers (
		id uuid primary key default gen_random_uuid(), number int generated always as identity, name text not null check (length(name) > 0), email varchar(80) not null unique,
		kind loja.kind not null default 'person', tags text[], details json, rank loja.rank, shout text generated always as (upper(name)) stored, updated_at timestamptz default now()
	);
	create table loja.orders (
		id bigint generated always as identity primary key, customer_id uuid not null references loja.customers,
		parent_id bigint references loja.orders, total numeric(8, 2) not null, "Note" text
	);
	alter table loja.customers add favourite bigint references loja.orders deferrable;
	create table loja."Lines" (order_id bigint references loja.orders on delete cascade, place int, what text not null, primary key (order_id, place));
	create trigger refuse before insert or update or delete on loja.orders for each row execute function public.refuse();
	alter table loja.orders disable trigger refuse;
	create trigger announce after insert on loja.customers for each row execute function public.announce();

	create table loja.backup_customers (
		id uuid default gen_random_uuid(), backup_id uuid not null, original_id uuid, name text, email text, kind text, tags text[], details jsonb, rank int, favourite bigint, shout text, number int
	);
	create table loja.backup_orders (backup_id uuid not null, original_id bigint, customer_id uuid, parent_id bigint, total numeric(8, 2), remark text);
	create table loja.backup_lines (backup_id uuid not null, order_id bigint, place int, what text);

	insert into loja.customers (name, email, kind, tags, details, rank)
	select 'Name ' || n, n || '@example.com', case when n % 2 = 0 then 'company' else 'person' end::loja.kind, array['a', 'b"c', null], json_build_object('n', n), n % 10
	from generate_series(1, 40) n;
	insert into loja.orders (customer_id, total, "Note") select id, rank + 0.25, E'é \'aspas\' \\ %s' from loja.customers;
	update loja.orders set parent_id = 41 - id where id < 40;
	update loja.customers c set favourite = (select o.id from loja.orders o where o.customer_id = c.id);
	insert into loja."Lines" select o.id, n, 'x' || n from loja.orders o, generate_series(1, 3) n;
	create table truth.customers as table loja.customers;
	create table truth.orders as table loja.orders;
	create table truth.lines as table loja."Lines";`

// testOthers proves that other tables come back by the same query, in any order, with
// their triggers and keys as they were, and that a row without its parent is an error.
func (r *restoring) testOthers() {
	exec(r.t, r.s, "set role postgres; "+shop+"; reset role")
	const pairs = `
  ('loja."Lines"', 'loja.backup_lines', null::jsonb),
  ('loja.orders', 'loja.backup_orders', '{"id": "original_id", "customer_id": "customer_id", "parent_id": "parent_id", "total": "total", "Note": "remark"}'),
  ('loja.customers', 'loja.backup_customers', null)`
	copies := func() string {
		return value(r.t, r.s, `select id from pg_temp.copy_shop() id`)
	}
	exec(r.t, r.s, `create function pg_temp.copy_shop() returns uuid language sql as $$
		with made as (select gen_random_uuid() as id),
		c as (insert into loja.backup_customers (backup_id, original_id, name, email, kind, tags, details, rank, favourite, shout, number)
			select m.id, x.id, x.name, x.email, x.kind, x.tags, x.details, x.rank, x.favourite, x.shout, x.number from loja.customers x, made m),
		o as (insert into loja.backup_orders select m.id, x.id, x.customer_id, x.parent_id, x.total, x."Note" from loja.orders x, made m),
		l as (insert into loja.backup_lines select m.id, x.* from loja."Lines" x, made m)
		select id from made $$`)
	const customers = `select id, number, name, email, kind, tags, details::jsonb, rank, shout, favourite from `
	compare := func(what string) {
		r.t.Helper()
		r.rows(what+": customers", customers+"loja.customers", customers+"truth.customers")
		r.rows(what+": orders", "table loja.orders", "table truth.orders")
		r.rows(what+": lines", `table loja."Lines"`, "table truth.lines")
	}
	id := copies()
	exec(r.t, r.s, `truncate loja.customers, loja.orders, loja."Lines" restart identity`)
	copies()
	r.chosen(id)
	r.shown(r.lookAndCommit(r.script(pairs, "insert")), state, `loja."Lines" 120 0 0 0`, "loja.customers 40 0 0 0", "loja.orders 40 0 0 0")
	compare("after a truncate")
	exec(r.t, r.s, "insert into loja.orders (customer_id, total) select id, 1 from loja.customers limit 1")
	r.rows("the next number", "select max(id) from loja.orders", "select 41")

	exec(r.t, r.s, `
		update loja.customers set favourite = null, name = 'X', kind = 'person' where rank < 5;
		update loja.orders set parent_id = null, total = 0 where id % 2 = 0;
		delete from loja.orders o where parent_id is null and not exists (select from loja.orders c where c.parent_id = o.id) and not exists (select from loja.customers c where c.favourite = o.id);
		update loja."Lines" set what = 'X';
		insert into loja.customers (name, email) values ('Novo', 'novo@example.com');
		insert into loja.orders (customer_id, total) select id, 1 from loja.customers where name = 'Novo'`)
	copies()
	r.lookAndCommit(r.script(pairs, "insert", "update", "delete"))
	compare("after all kinds of damage")

	// Half of a key would match other rows.
	if script := r.script(`  ('loja."Lines"', 'loja.backup_orders', '{"order_id": "original_id", "what": "remark"}'::jsonb)`, "insert", "update", "delete"); strings.Contains(script, "Lines") {
		r.t.Errorf("without a column of the key, the script is\n%s", script)
	}

	exec(r.t, r.s, `delete from loja.backup_customers where backup_id = '`+id+`' and email = '7@example.com'; truncate loja.customers, loja.orders, loja."Lines"`)
	if printed := r.psql(3, committed(r.t, r.script(pairs, "insert"))); !strings.Contains(printed, "orders_customer_id_fkey") {
		r.t.Errorf("a missing parent is named by\n%s", printed)
	}
	r.rows("orders without all their parents", "select count(*) from loja.orders", "select 0")
}

// testNothingChosen proves that nothing happens before a backup is chosen, nor with one
// that does not exist: least of all that rows are deleted that it does not have.
func (r *restoring) testNothingChosen() {
	r.backUp()
	r.edit(r.block("1. Keep what is there now/1"))
	r.rows("whether the site can read the copies", "select has_schema_privilege('anon', 'before_restore', 'usage'), has_schema_privilege('authenticated', 'before_restore', 'usage')", "select false, false")
	before := r.everything()
	for _, id := range []string{"", "5e0a0000-0000-4000-8000-000000000000"} {
		if id != "" {
			r.edit(strings.ReplaceAll(r.block(choose), "BACKUP_ID", id))
		}
		for _, sql := range []string{r.block(deleted), r.block(overwritten), r.script("", "insert", "update", "delete")} {
			r.commit(sql)
			if after := r.everything(); after != before {
				r.t.Errorf("with the backup %q, something has changed:\n%s\n%s", id, before, after)
			}
		}
	}
	if printed := r.psql(3, r.block(choose)); !strings.Contains(printed, "BACKUP_ID") {
		r.t.Errorf("a placeholder is taken for an ID:\n%s", printed)
	}
}

// testDropped proves that a table that was dropped comes back, with the keys that refer
// to it, once the application's migrations have created it again.
func (r *restoring) testDropped() {
	const keys = "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint where contype = 'f' and confrelid = 'public.articles'::regclass"
	exec(r.t, r.s, "create table truth.keys as "+keys)
	id := r.backUp()
	exec(r.t, r.s, "drop table public.articles cascade")
	r.edit(r.block("1. Keep what is there now/1"))
	migrations := example(r.t, r.s.ProjectRef, "internal", "stack", "database", "application.sql")
	table := regexp.MustCompile(`(?s)create table public\.articles \(.*?\n\);`).FindString(migrations)
	if table == "" {
		r.t.Fatal("the application has no table articles")
	}
	exec(r.t, r.s, "set role postgres; "+table+"reset role")
	r.rows("whether a visitor may delete articles", "select has_table_privilege('anon', 'public.articles', 'delete')", "select true")
	exec(r.t, r.s, "alter table public.articles enable row level security")
	r.edit(strings.ReplaceAll(r.block(choose), "BACKUP_ID", id))
	r.shown(r.lookAndCommit(r.block(deleted)), found, "articles 200 200 0", "comments 60 0 0", "feedbacks 20 0 0")
	r.psql(0, r.block("A table or a column was dropped/1"))
	r.rows("articles", "table public.articles", restoredArticles)
	r.rows("comments", "table public.comments", "table truth.comments")
	r.rows("keys", keys, "table truth.keys")

	r.psql(0, r.block("Afterwards/1"))
	r.rows("what is left", "select count(*) from pg_namespace where nspname = 'before_restore'", "select 0")
}

// testInstalled proves what the guide says of a project with the provider's restore drills
// and a retention, and that the restore works as well after their schema has gone.
func (r *restoring) testInstalled() {
	configuration := strings.Replace(example(r.t, "", "examples", "quickstart", "main.tf"),
		"resource \"aimindset_auto_backup\" \"this\" {\n", "resource \"aimindset_auto_backup\" \"this\" {\n  retention = {}\n", 1)
	r.write("main.tf", configuration)
	r.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
	drilled := func() string {
		r.t.Helper()
		run := backUp(r.t, r.s, "succeeded")
		if got := r.edit("select auto_backup.drill('auto-backup', 'manual') ->> 'state' as state")[0]["state"]; got != "successful" {
			r.t.Fatalf("the drill was %s: %s", got, value(r.t, r.s, "select to_jsonb(d) from auto_backup.drills d order by drill_id desc limit 1"))
		}
		return value(r.t, r.s, "select backup_id from auto_backup.runs where run_id = '"+run+"'")
	}
	id := drilled()
	exec(r.t, r.s, "update public.comments set likes = 0")
	later := drilled()

	active := "select active from cron.job where jobname = 'auto-backup-retention'"
	r.edit(r.block("1. Keep what is there now/2"))
	r.rows("the retention's job", active, "select false")

	r.edit(r.block("1. Keep what is there now/1"))
	for chosen, want := range map[string]string{
		id:    "select format('parent_id (%s), likes (%s), user_id (%s), user_avatar_url (%s)', count(parent_id), count(*) filter (where likes <> 0), count(user_id), count(user_avatar_url)) from truth.comments",
		later: "select format('parent_id (%s), user_id (%s), user_avatar_url (%s)', count(parent_id), count(user_id), count(user_avatar_url)) from truth.comments",
	} {
		r.edit(strings.ReplaceAll(r.block(choose), "BACKUP_ID", chosen))
		lost := map[string]string{}
		for _, row := range r.edit(r.block("3. See what the backup does not hold/1")) {
			if row["backup_id"] != chosen || row["state"] != "successful" {
				r.t.Errorf("of the backup %s, it shows %v", chosen, row)
			}
			lost[row["table"]] = row["columns_lost"]
		}
		if want = value(r.t, r.s, want); lost["public.comments"] != want {
			r.t.Errorf("a restore of %s would lose %q, not %q", chosen, lost["public.comments"], want)
		}
	}
	r.write("drill.tf", r.block("3. See what the backup does not hold/2"))
	r.run(0, "terraform apply -input=false -auto-approve")
	r.rows("the retention's job after an apply", active, "select true")
	if out := r.run(0, "terraform output -json drill"); !strings.Contains(out, later) || !strings.Contains(out, "parent_id") {
		r.t.Errorf("the newest drill is shown as %s", out)
	}

	r.edit(strings.ReplaceAll(r.block(choose), "BACKUP_ID", id))
	pairs := r.edit(r.block(whole + "4"))[0]["pairs"]
	exec(r.t, r.s, "truncate public.articles cascade")
	r.shown(r.lookAndCommit(r.script(pairs, "insert")), state, "public.articles 200 0 0 0", "public.comments 60 0 0 0", "public.feedbacks 20 0 0 0")
	r.rows("comments", "table public.comments", restoredComments)
	r.rows("articles", "table public.articles", restoredArticles)

	exec(r.t, r.s, "drop schema auto_backup cascade; delete from public.articles where slug like '%3'")
	r.lookAndCommit(r.block(deleted))
	r.rows("comments without the schema", "table public.comments", restoredComments)
}

// testElsewhere proves that the dump holds all rows of the backup tables.
func (r *restoring) testElsewhere() {
	r.backUp()
	r.backUp()
	r.run(0, r.block("Keep a copy elsewhere/1"))
	for _, table := range []string{"articles", "comments", "feedbacks"} {
		exec(r.t, r.s, fmt.Sprintf("create table truth.dumped_%[1]s as table public.backup_%[1]s; delete from public.backup_%[1]s", table))
	}
	r.run(0, r.block("Keep a copy elsewhere/2"))
	for _, table := range []string{"articles", "comments", "feedbacks"} {
		r.rows(table, "table public.backup_"+table, "table truth.dumped_"+table)
	}
}
