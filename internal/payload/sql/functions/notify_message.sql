-- The body of a message to a webhook. In a chat, the detail is a code span, or a part
-- without Markdown, and cannot mention anybody: others have written it.
create or replace function auto_backup.notify_message(notice_id bigint, form text, language text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    parts constant jsonb := auto_backup.notify_text(notice_id, language);
    label constant text := case when language is distinct from 'en' then 'Detalhe: ' else 'Detail: ' end;
    quoted constant text := translate(parts ->> 'detail', '`@', '''＠');
    chat constant text := concat_ws(E'\n', parts ->> 'title', parts ->> 'what', label || '`' || quoted || '`', parts ->> 'advice');
begin
    return case form
        -- Slack reads these three characters as markup.
        when 'slack' then jsonb_build_object('text', replace(replace(replace(chat, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'))
        when 'discord' then jsonb_build_object('content', left(chat, 2000), 'allowed_mentions', '{"parse": []}'::jsonb)
        when 'teams' then jsonb_build_object('type', 'message', 'attachments', jsonb_build_array(jsonb_build_object(
            'contentType', 'application/vnd.microsoft.card.adaptive',
            'content', jsonb_build_object(
                '$schema', 'http://adaptivecards.io/schemas/adaptive-card.json', 'type', 'AdaptiveCard', 'version', '1.4',
                'body', (
                    select jsonb_agg(jsonb_build_object('type', 'RichTextBlock', 'inlines', jsonb_build_array(
                        '{"type": "TextRun"}'::jsonb || case when p.place = 1 then '{"weight": "Bolder"}' else '{}' end::jsonb || jsonb_build_object('text', p.line)
                    )) order by p.place)
                    from unnest(array[parts ->> 'title', parts ->> 'what', label || quoted, parts ->> 'advice']) with ordinality as p (line, place)
                    where p.line is not null
                )
            )
        )))
        else jsonb_build_object(
            'type', 'backup.' || (parts #>> '{facts,event}'),
            'timestamp', (select auto_backup.rfc3339(n.happened_at) from auto_backup.notices n where n.notice_id = notify_message.notice_id),
            'data', (parts -> 'facts') - 'event' || jsonb_strip_nulls(jsonb_build_object(
                'title', parts -> 'title', 'message', parts -> 'what', 'detail', parts -> 'detail', 'advice', parts -> 'advice'
            ))
        )
    end;
end
$body$;
