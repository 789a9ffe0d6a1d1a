-- Removes the settings and the history of one backup, whose name is $1. $2 is
-- the holder of its lease.
with gone as (
    delete from auto_backup.settings s where s.backup = $1::text returning s.backup
),

history as (
    delete from auto_backup.runs r where r.backup = $1::text returning r.backup
)

select to_jsonb(g.count > 0) as result
from (select count(*) from gone) as g, (select count(*) from history) as h, auto_backup.renew($1::text, $2::text)
