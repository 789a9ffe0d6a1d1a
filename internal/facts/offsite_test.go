package facts

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// TestOffsite proves on a real server what is read of the copies outside the project: the
// newest complete one at the destination's present address with its objects and their
// locks, the open one, the newest that was given up, the newest look that ended, and since
// when a backup waits; nothing of other destinations, backups and addresses, and nothing
// after the time that was asked for.
func TestOffsite(t *testing.T) {
	t.Parallel()
	p := start(t)
	db := p.open(p.DatabaseURL, "")
	read := func(at string) map[string]offsite.Copies {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		request := Request{Parts: []Part{"offsite"}, Backups: []backup.Name{"one"}, Parameters: map[string]any{}}
		if at != "" {
			request.Parameters["at"] = at
		}
		d, err := Ask(ctx, db, request)
		if err != nil {
			t.Fatal(err)
		}
		return d.Each["one"].Offsite
	}
	if d := read(""); d != nil {
		t.Errorf("without a dispatcher, the destinations are %+v", d)
	}
	p.exec("set role postgres; create schema auto_backup; " + payload.LoadDispatcher().Install() + "; reset role")
	for _, document := range []string{"{}", `{"offsite": null}`, `{"offsite": {"destinations": []}}`, `{"offsite": {"destinations": {"r2": 1}}}`} {
		p.exec("insert into auto_backup.settings (backup, document, owner) values ('one', '" + document + "', 'test') on conflict (backup) do update set document = excluded.document")
		if d := read(""); len(d) != 0 {
			t.Errorf("%s: the destinations are %+v", document, d)
		}
	}
	p.exec(`
		update auto_backup.settings set document = '{"offsite": {"destinations": {
			"r2": {"endpoint": "https://s3", "bucket": "b", "prefix": "p"}, "new": {"endpoint": "https://s3", "bucket": "b", "prefix": ""}
		}}}';
		insert into auto_backup.settings (backup, document, owner) values ('two', '{}', 'test');
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id)
		select 'one', 'daily', 'schedule', v.at, 1, 'succeeded', v.at, v.at + interval '1 minute', v.id::uuid
		from (values
			(timestamptz '2026-11-20T03:00Z', '00000000-0000-0000-0000-000000000001'), ('2026-11-21T03:00Z', '00000000-0000-0000-0000-000000000002'),
			('2026-11-22T03:00Z', '00000000-0000-0000-0000-000000000003'), ('2026-11-23T03:00Z', '00000000-0000-0000-0000-000000000004')
		) as v (at, id);
		insert into auto_backup.exports (
			backup, destination, address, run_id, backup_id, made_at, state, stage, path, sequence, opened_at, calls, failures, next_at, code, sqlstate, error, http_status,
			retryable, failed_at, rows, raw_bytes, bytes, manifest_key, manifest_sha256, completed_at)
		select
			v.backup, 'r2', v.address, gen_random_uuid(), ('00000000-0000-0000-0000-00000000000' || v.n)::uuid, v.made_at, v.state, 'rows', 'p/', v.n, v.made_at + interval '10 minutes', 2,
			case when v.state = 'complete' then 0 else 3 end, v.made_at + interval '40 minutes', v.code, case when v.code is not null then '53100' end, v.code || '!',
			case when v.code is not null then 403 end, case when v.code is not null then false end, case when v.code is not null then v.made_at + interval '20 minutes' end,
			300, 9000, 3000, 'p/m' || v.n, 'ab', case when v.state = 'complete' then v.made_at + interval '30 minutes' end
		from (values
			('one', 'https://s3/b/p', 1, timestamptz '2026-11-20T03:00Z', 'complete', null), ('one', 'https://s3/b/p', 2, '2026-11-21T03:00Z', 'complete', null),
			('one', 'https://s3/b/p', 3, '2026-11-22T03:00Z', 'failed', 'offsite_superseded'), ('one', 'https://s3/b/p', 4, '2026-11-23T03:00Z', 'open', 'offsite_denied'),
			('one', 'https://s3/b/old', 8, '2026-11-23T02:00Z', 'complete', null), ('two', 'https://s3/b/p', 9, '2026-11-23T02:00Z', 'complete', null)
		) as v (backup, address, n, made_at, state, code);
		insert into auto_backup.export_objects (export_id, kind, table_no, part, key, state, bytes, sha256, announced_at, written_at, locked_until)
		select e.export_id, 'rows', 1, v.part, 'k' || v.part, v.state, 10, 'x', now(), now(), v.locked::timestamptz
		from auto_backup.exports e, (values (1, 'stored', '2026-12-22T03:00Z'), (2, 'stored', '2026-12-21T03:00Z'), (3, 'abandoned', '2026-12-01T03:00Z')) as v (part, state, locked)
		where e.sequence = 2;
		insert into auto_backup.export_checks (backup, destination, address, state, started_at, finished_at, since, next_at, objects, problems, code, error)
		values
			('one', 'r2', 'https://s3/b/p', 'passed', '2026-11-15T03:00Z', '2026-11-15T03:01Z', now(), now(), 5, '[]', null, null),
			('one', 'r2', 'https://s3/b/p', 'failed', '2026-11-22T03:00Z', '2026-11-22T03:01Z', now(), now(), 6, '[{"key": "p/k1", "code": "offsite_object_missing"}]', 'offsite_object_missing', 'p/k1'),
			('one', 'r2', 'https://s3/b/p', 'open', '2026-11-23T03:00Z', null, now(), now(), 0, '[]', null, null)`)
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	final := false
	want := map[string]offsite.Copies{
		"r2": {
			Copy: &offsite.Copy{
				BackupID: "00000000-0000-0000-0000-000000000002", MadeAt: at("2026-11-21T03:00:00Z"), CompletedAt: at("2026-11-21T03:30:00Z"), Rows: 300, RawBytes: 9000, Bytes: 3000,
				Objects: 2, ManifestKey: "p/m2", ManifestSHA256: "ab", Sequence: 2, LockedUntil: at("2026-12-21T03:00:00Z"),
			},
			Open: &offsite.Export{
				BackupID: "00000000-0000-0000-0000-000000000004", MadeAt: at("2026-11-23T03:00:00Z"), Stage: "rows", OpenedAt: at("2026-11-23T03:10:00Z"), Calls: 2, Failures: 3,
				Retryable: &final, FailedAt: at("2026-11-23T03:20:00Z"), NextAt: at("2026-11-23T03:40:00Z"), Code: "offsite_denied", SQLState: "53100", Error: "offsite_denied!", HTTPStatus: 403,
			},
			Failed: &offsite.Export{
				BackupID: "00000000-0000-0000-0000-000000000003", MadeAt: at("2026-11-22T03:00:00Z"), OpenedAt: at("2026-11-22T03:10:00Z"), Failures: 3,
				FailedAt: at("2026-11-22T03:20:00Z"), Code: "offsite_superseded", SQLState: "53100", Error: "offsite_superseded!", HTTPStatus: 403,
			},
			Check: &offsite.Look{
				State: offsite.LookFailed, StartedAt: at("2026-11-22T03:00:00Z"), FinishedAt: at("2026-11-22T03:01:00Z"), Objects: 6,
				Problems: []offsite.ObjectProblem{{Key: "p/k1", Code: "offsite_object_missing"}}, Code: "offsite_object_missing", Error: "p/k1",
			},
			WaitingSince: at("2026-11-22T03:01:00Z"),
		},
		"new": {WaitingSince: at("2026-11-20T03:01:00Z")},
	}
	compare := func(moment string) {
		t.Helper()
		got := read(moment)
		said, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		for key, d := range got {
			got[key] = inUTC(d)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("at %q, read is %s", moment, said)
		}
	}
	compare("2026-11-24T00:00:00Z")
	want["r2"] = offsite.Copies{
		Copy:  &offsite.Copy{BackupID: "00000000-0000-0000-0000-000000000001", MadeAt: at("2026-11-20T03:00:00Z"), CompletedAt: at("2026-11-20T03:30:00Z"), Rows: 300, RawBytes: 9000, Bytes: 3000, ManifestKey: "p/m1", ManifestSHA256: "ab", Sequence: 1},
		Check: &offsite.Look{State: offsite.LookPassed, StartedAt: at("2026-11-15T03:00:00Z"), FinishedAt: at("2026-11-15T03:01:00Z"), Objects: 5, Problems: []offsite.ObjectProblem{}},
	}
	want["new"] = offsite.Copies{WaitingSince: at("2026-11-20T03:01:00Z")}
	compare("2026-11-21T02:00:00Z")
}

// inUTC returns a destination with all of its times in UTC, to be compared.
func inUTC(d offsite.Copies) offsite.Copies {
	d.WaitingSince = d.WaitingSince.UTC()
	if c := d.Copy; c != nil {
		c.MadeAt, c.CompletedAt, c.LockedUntil = c.MadeAt.UTC(), c.CompletedAt.UTC(), c.LockedUntil.UTC()
	}
	for _, e := range []*offsite.Export{d.Open, d.Failed} {
		if e != nil {
			e.MadeAt, e.OpenedAt, e.FailedAt, e.NextAt = e.MadeAt.UTC(), e.OpenedAt.UTC(), e.FailedAt.UTC(), e.NextAt.UTC()
		}
	}
	if k := d.Check; k != nil {
		k.StartedAt, k.FinishedAt = k.StartedAt.UTC(), k.FinishedAt.UTC()
	}
	return d
}
