-- The tables of the dispatcher and the watchdog. converge.sql brings existing tables
-- in line with this file; what it cannot do is in wanted.sql.

comment on schema auto_backup is
'Automatic backups: settings, history, dispatcher and watchdog. Managed by terraform-provider-aimindset. To see what happened to a backup: select * from auto_backup.history.';

create table if not exists auto_backup.installation (
    singleton boolean primary key default true check (singleton),
    owner text not null,
    version text not null,
    installed_at timestamptz not null default now(),
    log_constraint jsonb,
    objects jsonb
);
comment on table auto_backup.installation is
'What is installed in this schema, and the former CHECKs of public.backup_logs (log_constraint: name, definition).';
comment on column auto_backup.installation.objects is
'Every object of this schema as it was installed, for auto_backup.drift().';

create table if not exists auto_backup.settings (
    backup text primary key,
    document jsonb not null,
    owner text not null,
    function_id text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz
);
comment on table auto_backup.settings is
'The settings of each backup: schedules, function, alert and retry. Written by Terraform; a manual change is undone at the next apply.';
comment on column auto_backup.settings.completed_at is
'When the installation was finished; null if the apply that started it did not finish it.';

-- One row per attempt. requested_at and the times that depend on it come from the
-- clock of dispatch and watch, which a test may set; posted_at is the real time, by
-- which responses and log rows are found.
create table if not exists auto_backup.runs (
    run_id uuid primary key default gen_random_uuid(),
    backup text not null,
    schedule text not null,
    trigger text not null check (trigger in ('schedule', 'retry', 'catch_up', 'manual')),
    due_at timestamptz not null,
    attempt integer not null check (attempt > 0),
    state text not null check (state in ('requested', 'running', 'succeeded', 'failed')),
    tick text,
    request_id bigint,
    refused_ids bigint[] not null default '{}',
    requested_at timestamptz not null,
    posted_at timestamptz not null default now(),
    http_status integer,
    http_error text,
    answered_at timestamptz,
    finished_at timestamptz,
    backup_id uuid,
    records bigint,
    code text,
    sqlstate text,
    error text,
    logged_by text check (logged_by in ('function', 'watchdog')),
    row_open boolean,
    function_alert text,
    alert_state text,
    removed_at timestamptz,
    removed jsonb,
    constraint runs_once unique (backup, schedule, due_at, attempt),
    constraint runs_finished check ((state in ('succeeded', 'failed')) = (finished_at is not null)),
    constraint runs_failed check ((state = 'failed') = (code is not null))
);
comment on table auto_backup.runs is 'The run history: every attempt to make a backup. auto_backup.history explains it.';
comment on column auto_backup.runs.run_id is 'Also the ID of the row in public.backup_logs, and context.run_id in public.system_logs.';
comment on column auto_backup.runs.tick is 'For a run that the watchdog started because the job did not: why not.';
comment on column auto_backup.runs.request_id is 'ID of the pg_net request. pg_net deletes it after some hours, and reuses IDs after a crash.';
comment on column auto_backup.runs.refused_ids is
'IDs of its earlier pg_net requests, which were refused with HTTP 401 before they reached the function. It was sent again each time, with the project''s keys in other headers.';
comment on column auto_backup.runs.posted_at is 'Real time of the request.';
comment on column auto_backup.runs.sqlstate is 'SQLSTATE or PGRST code of the failure, if the function reported one.';
comment on column auto_backup.runs.logged_by is 'Who wrote the outcome to public.system_logs; null if it could not be written.';
comment on column auto_backup.runs.row_open is
'Whether its row in public.backup_logs still has to be written: it could not be when the run ended, because somebody had locked it. The watchdog tries again for a day.';
comment on column auto_backup.runs.function_alert is 'The state of the function''s own alert.';
comment on column auto_backup.runs.removed_at is 'When the retention removed the backup from its tables.';
comment on column auto_backup.runs.removed is 'From which tables it did, with the numbers of rows.';
comment on column auto_backup.runs.alert_state is 'The state of the alert about this failure, whether the function or the watchdog sent it.';

-- One row per incident, and so at most one alert: a due time whose first attempt
-- failed, a time without any success, restore drills that fail, or a destination that
-- gets no copy.
create table if not exists auto_backup.incidents (
    incident_id bigint primary key generated always as identity,
    backup text not null references auto_backup.settings on delete cascade,
    kind text not null check (kind in ('failed', 'overdue', 'drill', 'offsite')),
    schedule text,
    destination text,
    due_at timestamptz not null,
    run_id uuid,
    code text not null,
    error text,
    opened_at timestamptz not null,
    logged boolean not null default false,
    alert_state text not null
    check (alert_state in ('waiting', 'sent', 'delivered', 'not_delivered', 'off', 'suppressed')),
    alerted_by text check (alerted_by in ('function', 'watchdog')),
    alert_attempts integer not null default 0,
    alert_request_id bigint,
    alert_requested_at timestamptz,
    alert_posted_at timestamptz,
    alert_http_status integer,
    alert_error text,
    alert_refused_id bigint,
    alerted_at timestamptz,
    recovered_at timestamptz,
    recovered_by uuid,
    constraint incidents_kind check ((kind = 'failed') = (schedule is not null and run_id is not null)),
    constraint incidents_destination check ((kind = 'offsite') = (destination is not null))
);
comment on table auto_backup.incidents is
'Every incident, which is alerted at most once: a backup that failed, a time without a successful one, a restore drill that failed, or an off-site copy that failed.';
comment on column auto_backup.incidents.destination is 'Of an incident about off-site copies: the key of the destination.';
comment on column auto_backup.incidents.due_at is 'When the backup was due; for an overdue incident, when it became overdue; for a drill, when it began; for an off-site copy, when the incident was opened.';
comment on column auto_backup.incidents.run_id is 'The first run that failed.';
comment on column auto_backup.incidents.logged is 'For an incident that is not of a run: whether public.system_logs has its row.';
comment on column auto_backup.incidents.alert_error is
'Why the alert does not count as delivered; while its state is sent, why the one before it was not.';
comment on column auto_backup.incidents.alert_refused_id is
'ID of the pg_net request that was refused with HTTP 401, if the alert was sent again with the keys in the other headers.';
comment on column auto_backup.incidents.recovered_by is 'The run that succeeded again.';

-- One row per restore drill. It is inserted when the drill begins, and updated in the
-- same transaction, so nobody else sees it running.
create table if not exists auto_backup.drills (
    drill_id bigint primary key generated always as identity,
    backup text not null references auto_backup.settings on delete cascade,
    trigger text not null check (trigger in ('schedule', 'manual')),
    state text not null check (state in ('running', 'successful', 'failed', 'timed_out', 'skipped')),
    due_at timestamptz,
    started_at timestamptz not null,
    finished_at timestamptz,
    run_id uuid,
    backup_id uuid,
    made_at timestamptz,
    code text,
    sqlstate text,
    error text,
    tables jsonb not null default '[]',
    constraint drills_due check ((trigger = 'schedule') = (due_at is not null)),
    constraint drills_failed check ((state in ('failed', 'timed_out', 'skipped')) = (code is not null))
);
comment on table auto_backup.drills is
'Every restore drill: whether the newest backup could be restored, and what would be lost. Nothing in it is a value of a row.';
comment on column auto_backup.drills.made_at is 'When the backup was requested.';
comment on column auto_backup.drills.error is 'Names of tables, columns and constraints, with numbers of rows.';
comment on column auto_backup.drills.tables is
'For each table: rows (read), sampled (there are more), compared (live rows unchanged since the backup), problems, unchecked, columns_lost, rows_missing (of the live ones), ms, restorable.';

-- One row per code, and one for each SQLSTATE with texts of its own.
create table if not exists auto_backup.codes (
    code text not null,
    sqlstate text not null default '',
    meaning text not null,
    remedy text not null,
    reason text not null,
    advice text not null,
    arises text[] not null,
    primary key (code, sqlstate)
);
comment on table auto_backup.codes is
'What each code of a failed run means and what to do, in English (meaning, remedy) and in Portuguese (reason, advice). Written by Terraform; a manual change is undone at the next apply.';
comment on column auto_backup.codes.code is 'The code; http_* stands for every http_NNN without a row, and function_failed for every other code without one.';

-- Since when each enabled schedule has its definition: what was due before was not
-- missed.
create table if not exists auto_backup.schedules (
    backup text not null references auto_backup.settings on delete cascade,
    schedule text not null,
    definition jsonb not null,
    since timestamptz not null,
    quiet_for jsonb,
    quiet tstzrange,
    primary key (backup, schedule)
);
comment on table auto_backup.schedules is 'Since when each schedule has its definition. Written by the watchdog.';
comment on column auto_backup.schedules.quiet_for is 'The schedule, as it was in the settings when quiet was found out.';
comment on column auto_backup.schedules.quiet is
'When nothing is due, after everything that was due before has its run: a tick has nothing to catch up with. At most a day.';

create table if not exists auto_backup.watchdog (
    backup text primary key references auto_backup.settings on delete cascade,
    watched_at timestamptz not null,
    pruned_at timestamptz,
    summary jsonb not null,
    retention jsonb
);
comment on table auto_backup.watchdog is 'When the watchdog last ran, what it did and what problems it had.';
comment on column auto_backup.watchdog.retention is 'What the newest tick of the retention removed, or why it removed nothing.';

-- One row per copy of a stored backup to a destination outside the project. Only the
-- worker that has claimed it, until claimed_until, may add to it.
create table if not exists auto_backup.exports (
    export_id bigint primary key generated always as identity,
    backup text not null references auto_backup.settings on delete cascade,
    destination text not null,
    address text not null,
    run_id uuid not null,
    backup_id uuid not null,
    made_at timestamptz not null,
    state text not null default 'open' check (state in ('open', 'complete', 'failed')),
    stage text not null default 'freeze' check (stage in ('freeze', 'rows', 'schema', 'sums', 'recovery', 'manifest')),
    path text not null,
    recipients jsonb,
    tables jsonb,
    sequence integer,
    previous_key text,
    previous_sha256 text,
    opened_at timestamptz not null,
    worker uuid,
    claimed_at timestamptz,
    claimed_until timestamptz,
    call_id uuid,
    request_id bigint,
    requested_at timestamptz,
    posted_at timestamptz,
    refused integer not null default 0,
    calls integer not null default 0,
    failures integer not null default 0,
    next_at timestamptz not null,
    code text,
    sqlstate text,
    error text,
    http_status integer,
    retryable boolean,
    failed_at timestamptz,
    rows bigint not null default 0,
    raw_bytes bigint not null default 0,
    bytes bigint not null default 0,
    manifest text,
    manifest_key text,
    manifest_sha256 text,
    completed_at timestamptz,
    constraint exports_once unique (backup, destination, address, run_id),
    constraint exports_complete check ((state = 'complete') = (completed_at is not null)),
    constraint exports_failed check (state <> 'failed' or code is not null)
);
comment on table auto_backup.exports is
'Every copy of a backup outside the project: how far it is, and its newest failure. Nothing in it is a value of a row.';
comment on column auto_backup.exports.address is 'Endpoint, bucket and prefix. The manifests at an address are a chain.';
comment on column auto_backup.exports.made_at is 'When the backup was requested.';
comment on column auto_backup.exports.path is 'The beginning of the keys of its objects, with a slash at its end.';
comment on column auto_backup.exports.tables is
'What is copied: for each table its number, columns and source, the key by which its rows are read (without one they are frozen), and its number of rows once it is known.';
comment on column auto_backup.exports.call_id is 'The run_id of the newest request to the function.';
comment on column auto_backup.exports.refused is 'How many ways to show the project''s keys the gateway has refused (HTTP 401).';
comment on column auto_backup.exports.failures is 'How many times in a row it failed without storing anything.';
comment on column auto_backup.exports.code is 'Of the newest failure; null once it has gone on.';
comment on column auto_backup.exports.manifest is 'The manifest, from when it is made until it is stored.';

-- One row per object, from before it is written. What a call that died was writing is
-- abandoned, and named in the manifest.
create table if not exists auto_backup.export_objects (
    object_id bigint primary key generated always as identity,
    export_id bigint not null references auto_backup.exports on delete cascade,
    kind text not null check (kind in ('rows', 'schema', 'sums', 'recovery', 'manifest')),
    table_no integer,
    part integer not null,
    key text not null,
    state text not null check (state in ('writing', 'stored', 'abandoned')),
    rows bigint,
    raw_bytes bigint,
    raw_sha256 text,
    digest numeric,
    bytes bigint,
    sha256 text,
    last text,
    final boolean,
    version_id text,
    locked_until timestamptz,
    verified text check (verified in ('write', 'head', 'read')),
    announced_at timestamptz not null,
    written_at timestamptz,
    checked_at timestamptz,
    check_code text,
    constraint export_objects_once unique (export_id, key),
    constraint export_objects_table check ((kind = 'rows') = (table_no is not null)),
    constraint export_objects_stored check (state <> 'stored' or (bytes is not null and sha256 is not null and written_at is not null))
);
comment on table auto_backup.export_objects is 'Every object of every export.';
comment on column auto_backup.export_objects.key is 'Without the path of its export.';
comment on column auto_backup.export_objects.part is 'Of the rows of a table, from 1; of the schema, 1 is before the rows and 2 after them.';
comment on column auto_backup.export_objects.digest is
'The sum over its lines of the first 64 bits of their MD5, as signed integers.';
comment on column auto_backup.export_objects.last is 'The key or the number of its last row, from which the next part goes on.';

-- The rows of an open export that are not read by their key, as they all were at one
-- moment. They are made again if a crash has emptied the table.
create unlogged table if not exists auto_backup.frozen (
    export_id bigint not null,
    table_no integer not null,
    line_no bigint not null,
    line text not null,
    primary key (export_id, table_no, line_no)
);
comment on table auto_backup.frozen is 'Rows of open exports. They are deleted when the last of them is stored, or the export ends.';

-- One row per look whether what was stored at a destination is still there.
create table if not exists auto_backup.export_checks (
    check_id bigint primary key generated always as identity,
    backup text not null references auto_backup.settings on delete cascade,
    destination text not null,
    address text not null,
    state text not null default 'open' check (state in ('open', 'passed', 'failed', 'unreadable')),
    started_at timestamptz not null,
    finished_at timestamptz,
    since timestamptz not null,
    worker uuid,
    claimed_at timestamptz,
    claimed_until timestamptz,
    call_id uuid,
    request_id bigint,
    requested_at timestamptz,
    posted_at timestamptz,
    refused integer not null default 0,
    failures integer not null default 0,
    failed_at timestamptz,
    next_at timestamptz not null,
    last bigint not null default 0,
    objects integer not null default 0,
    checked integer not null default 0,
    problems jsonb not null default '[]',
    code text,
    error text,
    http_status integer,
    constraint export_checks_finished check ((state = 'open') = (finished_at is null))
);
comment on table auto_backup.export_checks is
'Every look whether the objects of the last 30 days are all there, unchanged and locked.';
comment on column auto_backup.export_checks.since is 'The objects of exports that were completed since then are looked at.';
comment on column auto_backup.export_checks.last is 'The ID of the last object that was looked at.';
comment on column auto_backup.export_checks.problems is 'The first 50 objects with something wrong: key and code.';

-- Since when each channel outside the project has each of its events: what happened
-- before is no news for it.
create table if not exists auto_backup.channels (
    backup text not null references auto_backup.settings on delete cascade,
    channel text not null,
    event text not null,
    since timestamptz not null,
    primary key (backup, channel, event)
);
comment on table auto_backup.channels is
'Since when the heartbeat and each webhook have each of their events. Written by the watchdog.';

-- One row per message to the heartbeat or a webhook. It contains no URL, and no text of
-- a receiver.
create table if not exists auto_backup.notices (
    notice_id bigint primary key generated always as identity,
    message_id uuid not null default gen_random_uuid(),
    backup text not null references auto_backup.settings on delete cascade,
    channel text not null,
    event text not null,
    run_id uuid,
    incident_id bigint,
    drill_id bigint,
    destination text,
    happened_at timestamptz not null,
    state text not null check (state in ('waiting', 'sent', 'delivered', 'not_delivered', 'superseded')),
    attempts integer not null default 0,
    next_at timestamptz not null,
    request_id bigint,
    posted_at timestamptz,
    requested_at timestamptz,
    http_status integer,
    error text,
    finished_at timestamptz,
    constraint notices_about check (num_nonnulls(run_id, incident_id, drill_id) > 0),
    constraint notices_finished check ((state in ('delivered', 'not_delivered', 'superseded')) = (finished_at is not null))
);
comment on table auto_backup.notices is
'Every message to the heartbeat and to the webhooks, and whether it was delivered. Their URLs are in the vault.';
comment on column auto_backup.notices.message_id is 'The header webhook-id, which is the same in every attempt.';
comment on column auto_backup.notices.channel is 'heartbeat, or webhook/ and its key.';
comment on column auto_backup.notices.event is
'Of the heartbeat: start, success or fail. Of a webhook: the kind of the incident, recovered, or fidelity for a drill that has found a loss.';
comment on column auto_backup.notices.happened_at is 'When what it tells of happened.';
comment on column auto_backup.notices.requested_at is 'When it was sent the last time; posted_at is the real time of that.';
comment on column auto_backup.notices.error is 'Why it is not sent, or why the last attempt did not count as delivered.';
