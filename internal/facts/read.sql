convert_from(decode(nullif(split_part(split_part(query_to_xml(
    format($q$select encode(convert_to(q.value::text, 'UTF8'), 'hex') as d from (%s) as q (value)$q$, @query@), false, false, ''
)::text, '<d>', 2), '</d>', 1), ''), 'hex'), 'UTF8')::jsonb
