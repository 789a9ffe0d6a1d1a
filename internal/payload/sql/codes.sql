-- The texts about each code. The script inserts the rows of codes.json in place of
-- the placeholder.
insert into auto_backup_wanted.codes (code, sqlstate, meaning, remedy, reason, advice, arises)
select c.code, c.sqlstate, c.meaning, c.remedy, c.reason, c.advice, c.arises
from jsonb_to_recordset($codes$@codes@$codes$) as c (
    code text, sqlstate text, meaning text, remedy text, reason text, advice text, arises text[]
);

insert into auto_backup.codes (code, sqlstate, meaning, remedy, reason, advice, arises)
select c.code, c.sqlstate, c.meaning, c.remedy, c.reason, c.advice, c.arises
from auto_backup_wanted.codes c;
