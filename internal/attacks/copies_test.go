package attacks_test

import (
	"fmt"
	"strings"
)

// claimsCopy are statements that attackers with SQL run against an off-site copy that is
// open, one that is complete, and the looks at what is stored.
var claimsCopy = []string{
	`select auto_backup.export_claim({open}, gen_random_uuid())`,
	`select auto_backup.export_claim({open}, '{worker}')`,
	`select auto_backup.export_freeze({open}, '{worker}')`,
	`select auto_backup.export_page({open}, '{worker}', 1, '')`,
	`select auto_backup.export_announce({open}, '{worker}', '{"kind":"manifest","key":"manifest.json"}')`,
	`select auto_backup.export_stored({open}, '{worker}', (select max(object_id) from auto_backup.export_objects), '{"bytes":1,"sha256":"00"}')`,
	`select auto_backup.export_failed({open}, '{worker}', '{"code":"offsite_rows_gone"}')`,
	`select auto_backup.export_yield({open}, '{worker}')`,
	`select auto_backup.export_end({open}, '{"code":"offsite_rows_gone"}', now())`,
	`select auto_backup.export_restart({open}, false)`,
	`select auto_backup.offsite('{backup}', now())`,
	`select auto_backup.offsite_probe('{backup}', 'r2')`,
	`update auto_backup.exports set state = 'complete', stage = 'manifest', completed_at = now()`,
	`update auto_backup.exports set claimed_until = '2036-01-01', worker = gen_random_uuid()`,
	`update auto_backup.exports set manifest_sha256 = 'x', previous_sha256 = 'x', sequence = 99`,
	`delete from auto_backup.exports`,
	`update auto_backup.export_objects set state = 'stored', sha256 = 'x', bytes = 1`,
	`delete from auto_backup.export_objects`,
	`insert into auto_backup.frozen (export_id, table_no, line_no, line) values ({open}, 1, 2, '{"id":"x"}')`,
	`delete from auto_backup.frozen`,
	`update auto_backup.export_checks set state = 'passed', problems = '[]', finished_at = now()`,
	`delete from auto_backup.incidents where kind = 'offsite'`,
	`update auto_backup.incidents set recovered_at = now()`,
	`update auto_backup.settings set document = jsonb_set(document, '{offsite,destinations,r2,endpoint}', '"https://evil.example"')`,
	`update auto_backup.settings set document = jsonb_set(document, '{offsite,destinations,r2,recipients}', '["x"]')`,
	`update auto_backup.settings set document = document - 'offsite'`,
	`create or replace function auto_backup.export_manifest(export auto_backup.exports) returns text language sql as 'select null::text'`,
}

// copied is all that the project knows of its copies.
const copied = `
	select jsonb_build_array(
		(select jsonb_agg(to_jsonb(e) order by e.export_id) from auto_backup.exports e),
		(select jsonb_agg(to_jsonb(o) order by o.object_id) from auto_backup.export_objects o),
		(select jsonb_agg(to_jsonb(f)) from auto_backup.frozen f),
		(select jsonb_agg(to_jsonb(c) order by c.check_id) from auto_backup.export_checks c),
		(select jsonb_agg(to_jsonb(i) order by i.incident_id) from auto_backup.incidents i),
		(select s.document -> 'offsite' from auto_backup.settings s where s.backup = $1)
	)::text`

// copies sets a destination, and records a copy that is complete, one that a worker is
// at, a look that found an object changed, and the incident about it.
func (s *site) copies() (open, worker string) {
	s.sql(`update auto_backup.settings set document = jsonb_set(document, '{offsite}',
		'{"destinations": {"r2": {"endpoint": "https://s3.example.com", "bucket": "b", "prefix": "p", "recipients": ["eA=="]}}, "tables": []}') where backup = $1`, name)
	worker = s.text(`select gen_random_uuid()::text`)
	open = s.text(`
		with export as (
			insert into auto_backup.exports (backup, destination, address, run_id, backup_id, made_at, state, stage, path, opened_at, next_at, completed_at, sequence, manifest_sha256, worker, claimed_at, claimed_until, tables)
			select $1, 'r2', 'https://s3.example.com b p', gen_random_uuid(), gen_random_uuid(), now(), v.*, 1, 'aa', $2::uuid, now(), now() + interval '150 seconds', '[{"no": 1, "total": 1}]'
			from (values ('complete', 'manifest', 'p/1/', now(), now(), now()), ('open', 'rows', 'p/2/', now(), now(), null)) as v
			returning export_id, state
		),
		object as (
			insert into auto_backup.export_objects (export_id, kind, part, key, state, bytes, sha256, announced_at, written_at)
			select export_id, 'schema', 1, 'schema', 'stored', 10, 'aa', now(), now() from export
		),
		frozen as (
			insert into auto_backup.frozen (export_id, table_no, line_no, line) select export_id, 1, 1, '{}' from export where state = 'open'
		),
		look as (
			insert into auto_backup.export_checks (backup, destination, address, state, started_at, finished_at, since, next_at, problems)
			values ($1, 'r2', 'https://s3.example.com b p', 'failed', now(), now(), now(), now(), '[{"key": "schema", "code": "offsite_object_changed"}]')
		),
		incident as (
			insert into auto_backup.incidents (backup, kind, destination, due_at, code, opened_at, alert_state)
			values ($1, 'offsite', 'r2', now(), 'offsite_object_changed', now(), 'delivered')
		)
		select export_id::text from export where state = 'open'`, name, worker)
	s.undo = append(s.undo, func() {
		s.sql(`delete from auto_backup.exports; delete from auto_backup.export_checks; delete from auto_backup.frozen;
			update auto_backup.settings set document = document - 'offsite'`)
	})
	return open, worker
}

// onCopies are the attacks on off-site copies.
func onCopies() (list []attack) {
	for _, r := range []struct {
		attacker string
		by       caller
	}{
		{plainSQL, sqlRole(outsider)}, {authenticatedSQL, sqlRole("authenticated")}, {serviceRoleSQL, sqlRole("service_role")},
		{readOnlySQL, sqlRole("supabase_read_only_user")}, {readOnlyToken, overAPI{func(s *site) string { return s.stack.ReadOnlyAccessToken }}},
	} {
		list = append(list, attack{
			attacker: r.attacker, aim: forge,
			what: "Claims an open off-site copy, also with its worker's ID, reads, completes and ends it, forges its rows, objects and manifest, and hides what a look at the bucket has found.",
			run: func(s *site) error {
				open, worker := s.copies()
				before := s.text(copied, name)
				replacer := strings.NewReplacer("{open}", open, "{worker}", worker)
				for _, statement := range s.fill("", claimsCopy...) {
					r.by.try(s, replacer.Replace(statement))
				}
				if after := s.text(copied, name); after != before {
					return fmt.Errorf("of the copies is left\n%s\nand not\n%s", after, before)
				}
				return nil
			},
		})
	}
	return list
}
