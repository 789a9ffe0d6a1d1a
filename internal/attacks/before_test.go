package attacks_test

import (
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

//go:embed testdata/before.sql.gz
var before embed.FS

// TestBefore proves that the attacks can succeed: on the SQL of commit 620957d, each
// attempt reaches its aim. There is no function behind it, so a run that died and one
// that failed are brought about by their rows, as in the attacks themselves.
func TestBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	project, err := stack.Start(ctx, stack.Options{Articles: 1, Parts: stack.Database})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = project.Close() }()
	s := &site{ctx: ctx, stack: project, admin: project.Admin(), token: strings.Repeat("t", 43)}
	s.owner, err = pgxpool.New(ctx, project.DatabaseURL+"&pool_max_conns=4&timezone=UTC")
	if err != nil {
		t.Fatal(err)
	}
	defer s.owner.Close()
	file, err := before.Open("testdata/before.sql.gz")
	if err != nil {
		t.Fatal(err)
	}
	unzip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	script, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	err = guarded(func() {
		s.exec(s.owner, string(script))
		s.sql(`create role ` + outsider + ` login; grant create, usage on schema public to ` + outsider)
		s.sql(`select vault.create_secret($1, $2), vault.create_secret($3, 'stripe/token')`, s.token, name.VaultToken(), canary)
		s.sql(`insert into auto_backup.settings (backup, spec, owner, created_at, updated_at, completed_at) values ($1, $2, 'test', '2026-01-01', '2026-01-01', '2026-01-01')`, name, `{
			"timezone": "UTC", "schedules": {"daily": {"cron": "0 6 * * *", "zone": "UTC", "enabled": true}},
			"function": {"url": "http://127.0.0.1:9/f", "rpc": "backup_all_data"},
			"alert": {"enabled": true, "function": "alert-processor", "url": "http://127.0.0.1:9/a", "source": "Falha", "overdue_after_seconds": 100000},
			"retry": {"attempts": 0, "delay_seconds": 600}, "secrets": []}`)
		s.sql(`alter table public.backup_logs drop constraint backup_logs_action_type_check`)
		project.StopNetWorker()
	})
	if err != nil {
		t.Fatal(err)
	}
	attacker := sqlRole(outsider)
	for number, succeeds := range map[int]func() bool{
		1: func() bool {
			run := s.claimed()
			s.try("anon", `select public.insert_system_log('auto_backup', 'm', '{"run_id":"{run}","backup_id":"{old}","total_records":4242}')`, run)
			s.watch(20 * time.Minute)
			return s.state(run) == "succeeded"
		},
		2: func() bool {
			run := s.failed()
			s.try("anon", `select public.insert_system_log('auto_backup_error', 'm', '{"run_id":"{run}","code":"backup_failed","error":"x","reported_by":"function","alert":{"state":"delivered"}}')`, run)
			s.watch(20 * time.Minute)
			s.watch(30 * time.Minute)
			return s.holds(`exists (select from auto_backup.incidents where run_id = $1::uuid and alert_state = 'delivered')`, run)
		},
		3: func() bool {
			run := s.claimed()
			s.try("anon", `select public.insert_system_log('auto_backup_error', 'm', '{"run_id":"{run}","code":"<img src=x>","error":"x"}')`, run)
			s.watch(20 * time.Minute)
			return s.holds(`exists (select from net.http_request_queue where convert_from(body, 'UTF8') like '%<img src=x>%')`)
		},
		4: func() bool {
			s.dispatch()
			return s.leaks(sqlRole("supabase_read_only_user").try(s, looksForToken[4])) != nil
		},
		6: func() bool {
			run := s.claimed()
			attacker.try(s, s.fill(run, answersForFunction...)...)
			s.watch(20 * time.Minute)
			return s.state(run) == "succeeded"
		},
		7: func() bool {
			conn := s.session("supabase_read_only_user")
			defer conn.Release()
			_, err := conn.Exec(ctx, `select pg_advisory_lock(hashtextextended('auto_backup.watch `+string(name)+`', 0))`)
			s.must(err)
			defer func() { _, _ = conn.Exec(ctx, `select pg_advisory_unlock_all(); reset all; reset role`) }()
			return strings.Contains(s.watch(20*time.Minute), "skipped")
		},
		10: func() bool {
			s.sql(`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id, records)
				values ($1, 'daily', 'schedule', '2036-01-01 06:00Z', 1, 'succeeded', '2036-01-01 06:00Z', now(), '2036-01-01 06:01Z', $2, 1)`, name, oldBackup)
			run := s.failed()
			s.watch(20 * time.Minute)
			return s.holds(`exists (select from auto_backup.incidents where run_id = $1::uuid and recovered_at is not null)`, run)
		},
		11: func() bool {
			return s.leaks(sqlRole("supabase_read_only_user").try(s, `select auto_backup.token_digest('stripe')`)) != nil
		},
	} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			if formerly[number] == "" {
				t.Error("it has no text")
			}
			err := guarded(func() {
				s.day++
				s.sql(`delete from net.http_request_queue; delete from net._http_response; truncate public.backup_logs, public.system_logs;
					delete from auto_backup.runs; delete from auto_backup.incidents`)
				if !succeeds() {
					s.failf("attack %d does not succeed on the code of before", number)
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// try runs a statement about a run as a role.
func (s *site) try(role sqlRole, statement, run string) {
	role.try(s, s.fill(run, statement)...)
}
