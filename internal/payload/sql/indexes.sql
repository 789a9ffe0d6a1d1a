-- The indexes of the tables. Only converge.sql creates the missing ones in schema
-- auto_backup: CREATE INDEX locks a table against writers even where the index exists.
create index runs_by_state on auto_backup.runs (backup, state, finished_at);
create index runs_by_age on auto_backup.runs (backup, requested_at);
create unique index incidents_once
on auto_backup.incidents (backup, kind, coalesce(schedule, ''), coalesce(destination, ''), due_at);
create index incidents_pending on auto_backup.incidents (backup)
where recovered_at is null or alert_state in ('waiting', 'sent', 'not_delivered');
create unique index drills_one on auto_backup.drills (backup) where state = 'running';
create unique index drills_once on auto_backup.drills (backup, due_at) where trigger = 'schedule';
create index drills_by_age on auto_backup.drills (backup, started_at);
create unique index exports_one on auto_backup.exports (backup, destination) where state = 'open';
create index exports_by_age on auto_backup.exports (backup, destination, completed_at);
create unique index export_checks_one on auto_backup.export_checks (backup, destination) where state = 'open';
create index export_checks_by_age on auto_backup.export_checks (backup, destination, started_at);
create unique index notices_once
on auto_backup.notices (backup, channel, event, coalesce(incident_id::text, drill_id::text, run_id::text));
create index notices_open on auto_backup.notices (backup) where state in ('waiting', 'sent');
create index notices_by_age on auto_backup.notices (backup, channel, happened_at);
