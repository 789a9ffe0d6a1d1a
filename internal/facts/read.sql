convert_from(decode((xpath('//d/text()', query_to_xml(
    format($q$select encode(convert_to(q.value::text, 'UTF8'), 'hex') as d from (%s) as q (value)$q$, @query@), false, false, ''
)))[1]::text, 'hex'), 'UTF8')::jsonb
