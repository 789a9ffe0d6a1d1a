package attacks_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
)

// claimsRetention are statements that attackers with SQL run against the retention. Of
// four backups it keeps {restored} and {kept}, and not {surplus} and {oldest}.
var claimsRetention = []string{
	`insert into public.backup_logs (action_type, records_affected, details, success) values ('auto_backup', 99, 'Backup automático ID: {surplus} - Total: 99 registros', true)`,
	`insert into public.backup_logs (action_type, records_affected, details, success) select 'auto_backup', 0, 'Backup automático falhou: motivo', false from generate_series(1, 20)`,
	`update public.backup_logs set success = false, details = 'Backup automático falhou: motivo' where action_type = 'auto_backup'`,
	`insert into public.system_logs (type, message, context) select 'auto_backup', 'm', jsonb_build_object('run_id', '{run}', 'backup_id', i, 'total_records', 1, 'revision', 99) from unnest(array['{surplus}', '{oldest}', '{old}']) i`,
	`delete from public.system_logs`,
	`insert into public.backup_articles (backup_id, original_id, title, published) select i::uuid, gen_random_uuid(), 'x', true from unnest(array['{restored}', '{kept}', '{surplus}', '{oldest}', '{old}']) i`,
	`insert into public.backup_comments (backup_id, original_id, content, backup_created_at) values ('{old}', gen_random_uuid(), 'x', '2036-01-01')`,
	`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id) values ('{backup}', 'daily', 'manual', now(), 9, 'succeeded', now(), now(), '{old}')`,
	`update auto_backup.runs set finished_at = '2020-01-01' where backup_id = '{kept}'`,
	`update auto_backup.runs set removed_at = now()`,
	`delete from auto_backup.runs`,
	`insert into auto_backup.drills (backup, trigger, state, started_at, finished_at, backup_id) values ('{backup}', 'manual', 'successful', now(), now(), '{oldest}')`,
	`update auto_backup.drills set backup_id = '{oldest}'`,
	`update auto_backup.settings set document = jsonb_set(document, '{retention,keep_last}', '1')`,
	`update auto_backup.settings set document = document - 'retention'`,
	`select auto_backup.retain('{backup}')`,
	`select auto_backup.retain_next('{backup}', now())`,
	`select auto_backup.retained(array[now()], '{}', 'UTC')`,
	`create or replace function auto_backup.retained(times timestamptz[], policy jsonb, zone text, restored timestamptz) returns timestamptz[] language sql as 'select array[]::timestamptz[]'`,
	`create or replace function auto_backup.retain_refusal(backup text, at timestamptz) returns text language sql as 'select null::text'`,
	`update cron.job set active = false where jobname like '%retention%'`,
	`delete from cron.job where jobname like '%retention%'`,
	`update auto_backup.watchdog set retention = null`,
}

// copies are the tables from which the retention deletes.
var copies = []string{"backup_articles", "backup_comments", "backup_feedbacks"}

// retained are the backups of a site with a retention of the newest two, of which the
// newest was restored in a drill. Each has rows in all tables.
type retained struct{ oldest, surplus, kept, restored string }

// retains makes them.
func (s *site) retains() (r retained) {
	s.drills()
	if got := s.drill(40 * time.Minute); got != "successful" {
		s.failf("the drill says %s", got)
	}
	r.restored = s.text(`select backup_id::text from auto_backup.runs`)
	for days, id := range []*string{&r.kept, &r.surplus, &r.oldest} {
		*id = s.text(`select gen_random_uuid()::text`)
		for _, table := range copies {
			s.sql(`insert into public.`+table+`
				select (jsonb_populate_record(null::public.`+table+`, to_jsonb(b) || jsonb_build_object('id', gen_random_uuid(), 'backup_id', $1::text))).*
				from public.`+table+` b where b.backup_id = $2::uuid`, *id, r.restored)
		}
		at := s.due().AddDate(0, 0, -1-days)
		s.sql(`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id)
			values ($1, 'daily', 'schedule', $2, 1, 'succeeded', $2, $2, $3::uuid)`, name, at, *id)
	}
	s.sql(`update auto_backup.settings set document = jsonb_set(document, '{retention}', '{"keep_last": 2}')`)
	s.undo = append(s.undo, func() {
		s.sql(`update auto_backup.settings set document = document - 'retention'`)
		s.sql(`truncate public.backup_articles, public.backup_comments, public.backup_feedbacks`)
	})
	return r
}

// fill replaces the names in braces, also those of backups.
func (r retained) fill(s *site, statements ...string) []string {
	replacer := strings.NewReplacer("{oldest}", r.oldest, "{surplus}", r.surplus, "{kept}", r.kept, "{restored}", r.restored)
	filled := s.fill(s.text(`select run_id::text from auto_backup.runs where backup_id = $1::uuid`, r.restored), statements...)
	for i, statement := range filled {
		filled[i] = replacer.Replace(statement)
	}
	return filled
}

// retain is a tick of the retention, that long after the due time.
func (s *site) retain(after time.Duration) string {
	return s.asOwner(`select coalesce(r ->> 'skipped', r ->> 'refused', r ->> 'backup_id') from auto_backup.retain($1, $2) r`, name, s.due().Add(after))
}

// rows are all rows of the tables but those of some backups.
func (s *site) rows(but ...string) string {
	var parts []string
	for _, table := range copies {
		parts = append(parts, `select '`+table+` ' || t.xmin || ' ' || t::text from public.`+table+` t where t.backup_id::text <> all (coalesce($1::text[], '{}'))`)
	}
	return s.text(`select md5(coalesce(string_agg(r.row, ' ' order by r.row), '')) from (`+strings.Join(parts, " union all ")+`) as r (row)`, but)
}

// removesSurplus checks that the retention removes the two backups that it does not keep,
// the oldest first, whole and only them.
func (s *site) removesSurplus(r retained) error {
	before := s.rows(r.oldest, r.surplus)
	var said []string
	for n := range 4 {
		said = append(said, s.retain(50*time.Minute+time.Duration(n)*time.Hour))
	}
	const kept = "every backup is kept"
	var wrong []error
	if want := []string{r.oldest, r.surplus, kept, kept}; !slices.Equal(said, want) {
		wrong = append(wrong, fmt.Errorf("the retention says %q, want %q", said, want))
	}
	if s.rows(r.oldest, r.surplus) != before {
		wrong = append(wrong, errors.New("rows of other backups have changed"))
	}
	if s.rows() != s.rows(r.oldest, r.surplus) {
		wrong = append(wrong, errors.New("rows are left of what was removed"))
	}
	return all(wrong...)
}

// onRetention are the attacks on the retention.
func onRetention() (list []attack) {
	for _, r := range []struct {
		attacker string
		by       caller
	}{
		{plainSQL, sqlRole(outsider)}, {authenticatedSQL, sqlRole("authenticated")}, {serviceRoleSQL, sqlRole("service_role")},
		{readOnlySQL, sqlRole("supabase_read_only_user")}, {readOnlyToken, overAPI{func(s *site) string { return s.stack.ReadOnlyAccessToken }}},
	} {
		list = append(list, attack{attacker: r.attacker, aim: removeKept, what: "Writes successes, failures and other IDs into the logs; adds rows to kept, surplus and invented backups; changes the run history, the results of drills, the policy, its functions and its job.", run: func(s *site) error {
			backups := s.retains()
			before := s.installed()
			r.by.try(s, backups.fill(s, claimsRetention...)...)
			return all(s.removesSurplus(backups), s.unchanged(before))
		}})
	}
	for _, attacker := range []string{noKey, anon, authenticated, serviceRole} {
		who := restRole(attacker)
		list = append(list, attack{attacker: attacker, aim: removeKept, what: "Writes successes and failures into the logs, adds rows to kept, surplus and invented backups, and writes the run history, the drills, the policy and the job.", run: func(s *site) error {
			backups := s.retains()
			before := s.installed()
			run := s.text(`select run_id::text from auto_backup.runs where backup_id = $1::uuid`, backups.restored)
			for _, id := range []string{backups.restored, backups.kept, backups.surplus, backups.oldest, oldBackup} {
				s.rest(who, http.MethodPost, "backup_logs", map[string]any{"action_type": "auto_backup", "success": true, "records_affected": 99, "details": "Backup automático ID: " + id + " - Total: 99 registros"})
				s.writesLog(who, "auto_backup", map[string]any{"run_id": run, "backup": name, "backup_id": id, "total_records": 1, "revision": 99})
				s.rest(who, http.MethodPost, "backup_articles", map[string]any{"backup_id": id, "original_id": oldBackup, "title": "x", "published": true})
			}
			s.rest(who, http.MethodPatch, "backup_logs"+query("action_type", "auto_backup"), map[string]any{"success": false})
			for table, change := range map[string]map[string]any{
				"runs": {"removed_at": "2026-01-01"}, "drills": {"backup_id": backups.oldest}, "settings": {"document": map[string]any{"retention": map[string]any{"keep_last": 1}}},
			} {
				s.rest(who, http.MethodPatch, table+query("backup", string(name)), change, "Content-Profile", "auto_backup")
			}
			s.rest(who, http.MethodPost, "rpc/retain", map[string]any{"backup": name}, "Content-Profile", "auto_backup")
			s.rest(who, http.MethodDelete, "job?jobname=like.*retention*", nil, "Content-Profile", "cron")
			return all(s.removesSurplus(backups), s.unchanged(before))
		}})
	}
	return append(list,
		attack{attacker: authenticatedSQL, aim: removeKept, what: "Locks rows of a backup that is to be removed, and then a table: nothing waits longer than three seconds or is half removed, the status says why, and the next tick goes on.", run: func(s *site) error {
			backups := s.retains()
			before := s.rows()
			for _, lock := range []string{`select from public.backup_feedbacks where backup_id = '{oldest}' for update`, `lock table public.backup_comments in share mode`} {
				conn := s.session("authenticated")
				_, err := conn.Exec(s.ctx, `begin; `+backups.fill(s, lock)[0])
				said, left := s.retain(50*time.Minute), s.rows()
				_, _ = conn.Exec(s.ctx, `rollback; reset all; reset role`)
				conn.Release()
				s.must(err)
				if said != "another session has locked a table" || left != before {
					return fmt.Errorf("the retention says %s, and the rows are as before: %t", said, left == before)
				}
				if told := s.status(51 * time.Minute).Forecast.Retention; !strings.Contains(told, said) {
					return fmt.Errorf("the status says %q", told)
				}
			}
			return s.removesSurplus(backups)
		}},
		attack{attacker: plainSQL, aim: removeKept, what: "Attaches a trigger to a table of the backups that brings back what is deleted: nothing is removed, the trigger does not run, and the status names it.", run: func(s *site) error {
			s.sql(`grant trigger on public.backup_comments to ` + outsider)
			s.undo = append(s.undo, func() {
				s.sql(`revoke trigger on public.backup_comments from ` + outsider)
				s.sql(`drop owned by ` + outsider + ` cascade; grant create, usage on schema public to ` + outsider)
			})
			backups := s.retains()
			sqlRole(outsider).try(s,
				`create function public.brings_back() returns trigger language plpgsql as $$ begin perform nextval('public.ran'); return null; end $$`,
				`create sequence public.ran`, `grant all on public.ran to public`,
				`create trigger brings_back before delete on public.backup_comments for each row execute function public.brings_back()`)
			before := s.rows()
			if got := s.retain(50 * time.Minute); got != "the trigger brings_back of public.backup_comments" || s.rows() != before {
				return fmt.Errorf("the retention says %s", got)
			}
			if s.holds(`select is_called from public.ran`) {
				return errors.New("the trigger has run")
			}
			status := s.status(51 * time.Minute)
			if !slices.ContainsFunc(status.Problems, func(p checks.Finding) bool {
				return p.Code == "retention_refused" && strings.Contains(p.Message, "brings_back")
			}) {
				return fmt.Errorf("the status is %s: %v", status.Summary, status.Problems)
			}
			s.sql(`drop trigger brings_back on public.backup_comments`)
			return s.removesSurplus(backups)
		}},
		attack{attacker: authenticated, aim: removeKept, what: "Empties the live tables, so that backups without rows take the place of others: they do not count, the next drill fails on them, and from then on nothing is removed.", run: func(s *site) error {
			backups := s.retains()
			s.sql(`create table public.live_comments as select * from public.comments; create table public.live_feedbacks as select * from public.feedbacks; create table public.live_articles as select * from public.articles`)
			s.undo = append(s.undo, func() {
				s.sql(`truncate public.comments, public.feedbacks`)
				s.sql(`insert into public.articles select * from public.live_articles on conflict do nothing;
					insert into public.comments select * from public.live_comments; insert into public.feedbacks select * from public.live_feedbacks;
					drop table public.live_comments, public.live_feedbacks, public.live_articles`)
			})
			// The application lets this role delete some of them, and others only its owner.
			s.sql(`delete from public.comments; delete from public.feedbacks; delete from public.articles`)
			for range 2 {
				s.day++
				s.backupRuns()
				s.watch(time.Minute)
				for n := range 3 {
					s.retain(10*time.Minute + time.Duration(n)*time.Hour)
				}
			}
			before := s.rows()
			left, want := strings.Fields(s.text(`select string_agg(distinct backup_id::text, ' ') from public.backup_articles`)), []string{backups.kept, backups.restored}
			if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(left)), want) {
				return fmt.Errorf("left are %s, want %s", left, want)
			}
			drill := s.drill(4 * time.Hour)
			if !strings.HasPrefix(drill, "failed ") {
				return fmt.Errorf("the drill of an empty backup says %s", drill)
			}
			if got := s.retain(5 * time.Hour); got != "the latest restore drill was not successful" || s.rows() != before {
				return fmt.Errorf("the retention says %s", got)
			}
			return nil
		}},
		attack{attacker: brokenClock, aim: removeKept, what: "Dates one success 2036, leaps to that day, ten days ahead and a month back: nothing is removed then, and after it only what is not kept.", run: func(s *site) error {
			backups := s.retains()
			before := s.rows()
			s.sql(`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id, records)
				values ($1, 'daily', 'schedule', '2036-01-01 06:00Z', 1, 'succeeded', '2036-01-01 06:00Z', now(), '2036-01-01 06:01Z', $2, 1)`, name, backups.kept)
			for at, want := range map[time.Duration]string{
				time.Date(2036, 1, 1, 7, 0, 0, 0, time.UTC).Sub(s.due()): "the latest restore drill is too old",
				time.Date(2037, 1, 1, 7, 0, 0, 0, time.UTC).Sub(s.due()): "the latest backup is too old",
				10 * 24 * time.Hour:  "the latest backup is too old",
				-30 * 24 * time.Hour: "the latest run did not succeed",
			} {
				if got := s.retain(at); got != want || s.rows() != before {
					return fmt.Errorf("%s after the due time, the retention says %s, want %s", at, got, want)
				}
			}
			return s.removesSurplus(backups)
		}},
	)
}
