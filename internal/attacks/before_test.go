package attacks_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/supabase/cli/pkg/api"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// before has what was installed at commit 620957d: the schema's SQL (install.sql), the
// statement of a plan (observe.sql) and the Edge Function (function).
//
//go:embed testdata/before.tar.gz
var before embed.FS

// former reads before.
func former() (files map[string]string, err error) {
	archive, err := before.Open("testdata/before.tar.gz")
	if err != nil {
		return nil, err
	}
	unzip, err := gzip.NewReader(archive)
	if err != nil {
		return nil, err
	}
	files = map[string]string{}
	for reader := tar.NewReader(unzip); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return nil, err
		}
		files[header.Name] = string(content)
	}
}

// formerSite is a project with what was installed at commit 620957d. Its function can be
// called, but pg_net stands still: a run that died and one that failed are brought about
// by their rows, as in the attacks themselves.
type formerSite struct {
	*site
	files map[string]string
}

func newFormerSite(ctx context.Context) (*formerSite, error) {
	files, err := former()
	if err != nil {
		return nil, err
	}
	project, err := stack.Start(ctx, stack.Options{Articles: 1})
	if err != nil {
		return nil, err
	}
	s := &formerSite{&site{ctx: ctx, stack: project, admin: project.Admin(), token: strings.Repeat("t", 43)}, files}
	s.owner, err = pgxpool.New(ctx, project.DatabaseURL+"&pool_max_conns=4&timezone=UTC")
	if err != nil {
		return nil, errors.Join(err, project.Close())
	}
	err = stack.Steps(func() {
		s.exec(s.owner, files["install.sql"])
		s.sql(`create role ` + outsider + ` login; grant create, usage on schema public to ` + outsider)
		s.sql(`select vault.create_secret($1, $2), vault.create_secret($3, 'stripe/token')`, s.token, name.VaultToken(), canary)
		s.sql(`insert into auto_backup.settings (backup, spec, owner, created_at, updated_at, completed_at) values ($1, $2, 'test', '2026-01-01', '2026-01-01', '2026-01-01')`, name, `{
			"timezone": "UTC", "schedules": {"daily": {"cron": "0 6 * * *", "zone": "UTC", "enabled": true}},
			"function": {"url": "http://127.0.0.1:9/f", "rpc": "backup_all_data"},
			"alert": {"enabled": true, "function": "alert-processor", "url": "http://127.0.0.1:9/a", "source": "Falha", "overdue_after_seconds": 100000},
			"retry": {"attempts": 0, "delay_seconds": 600}, "secrets": []}`)
		s.sql(`alter table public.backup_logs drop constraint backup_logs_action_type_check`)
		project.StopNetWorker()
		source := map[string]string{}
		for file, content := range files {
			if path.Dir(file) == "function" {
				source[path.Base(file)] = content
			}
		}
		s.must(project.SetSecret(name.TokenSecret(), s.token))
		s.must(project.DeployFunction(ctx, name.Slug(), source, false))
	})
	if err != nil {
		s.owner.Close()
		return nil, errors.Join(err, project.Close())
	}
	return s, nil
}

// plan runs the statement of a plan as postgres, for three seconds at most.
func (s *formerSite) plan() (string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
	defer cancel()
	var document string
	err := s.owner.QueryRow(ctx, s.files["observe.sql"], `["auto-backup"]`, `{}`).Scan(&document)
	return document, err
}

// TestBefore proves that the eighteen attacks can succeed: each reaches its aim on what
// commit 620957d installed or, of the provider's own code, on what it did there.
func TestBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := newFormerSite(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		s.owner.Close()
		if err := s.stack.Close(); err != nil {
			t.Error(err)
		}
	}()
	attacker, reader := sqlRole(outsider), sqlRole("supabase_read_only_user")
	succeeds := map[int]func() bool{
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
			return s.leaks(reader.try(s.site, looksForToken[4])) != nil
		},
		5: func() bool {
			attacker.try(s.site, attachesCode[:4]...)
			s.dispatch()
			return s.leaks(s.text(`select string_agg(seen, ' ') from public.loot where role = 'postgres'`)) != nil
		},
		6: func() bool {
			run := s.claimed()
			attacker.try(s.site, s.fill(run, answersForFunction...)...)
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
		8: func() bool {
			// The server reads on and never answers.
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			received, err := deceive(asksForPassword, func(address string) error {
				config, err := pgconn.ParseConfig("postgres://postgres:" + databasePassword + "@" + address + "/postgres?" + formerParameters.Encode())
				if err != nil {
					return err
				}
				_, err = pgconn.ConnectConfig(ctx, config)
				return err
			})
			return err != nil && strings.Contains(received, databasePassword)
		},
		9: func() bool {
			run := s.claimed()
			s.try("anon", `select public.insert_system_log('auto_backup', 'm', jsonb_build_object('run_id', '{run}', 'x', repeat('x', 4000000)))`, run)
			return s.readsLittle() != nil
		},
		10: func() bool {
			s.sql(`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id, records)
				values ($1, 'daily', 'schedule', '2036-01-01 06:00Z', 1, 'succeeded', '2036-01-01 06:00Z', now(), '2036-01-01 06:01Z', $2, 1)`, name, oldBackup)
			run := s.failed()
			s.watch(20 * time.Minute)
			return s.holds(`exists (select from auto_backup.incidents where run_id = $1::uuid and recovered_at is not null)`, run)
		},
		11: func() bool {
			return s.leaks(reader.try(s.site, `select auto_backup.token_digest('stripe')`)) != nil
		},
		12: func() bool {
			s.sql(`alter table public.backup_logs owner to ` + outsider)
			attacker.try(s.site, spyingCheck...)
			defer s.sql(`alter table public.backup_logs drop constraint spying, owner to postgres`)
			_, err := s.plan()
			return err != nil && s.leaks(err.Error()) != nil
		},
		13: func() bool {
			s.sql(`select public.backup_all_data()`)
			older := s.text(`select backup_id::text from public.backup_articles limit 1`)
			s.losesAnswer(func() {
				s.rest(authenticated, http.MethodPost, "backup_logs", map[string]any{"action_type": "backup", "success": true, "records_affected": 4242, "details": "Backup ID: " + older})
			})
			defer s.stack.InterceptProject(nil)
			body := fmt.Sprintf(`{"run_id":"11111111-2222-4333-8444-555555555555","backup":%q,"schedule":"daily","due_at":"2026-03-02T06:00:00Z","attempt":1,"alert":false,"wait":true}`, name)
			_, answer := s.call(noKey, http.MethodPost, function, body, "X-Backup-Token", s.token)
			var result struct {
				Success  bool   `json:"success"`
				BackupID string `json:"backup_id"`
			}
			s.must(json.Unmarshal([]byte(answer), &result))
			return result.Success && result.BackupID == older
		},
		14: func() bool {
			s.sql(`grant trigger on public.system_logs to ` + outsider)
			attacker.try(s.site, unqualified...)
			run := s.claimed()
			s.watch(20 * time.Minute)
			return strings.HasPrefix(s.state(run), "failed ") && !s.reported(run)
		},
		15: func() bool {
			conn := s.session("authenticated")
			defer conn.Release()
			s.sql(`alter table public.backup_logs add constraint any_check check (action_type <> '')`)
			_, err := conn.Exec(ctx, locksLogs)
			s.must(err)
			defer func() { _, _ = conn.Exec(ctx, `rollback; reset all; reset role`) }()
			_, err = s.plan()
			return errors.Is(err, context.DeadlineExceeded)
		},
		16: func() bool {
			functions, err := formerDecode[[]api.FunctionResponse](`null`)
			return err == nil && len(functions) == 0
		},
		17: func() bool {
			return strings.Contains(formerURLError("postgres:ab@cd?SecretRest99@host").Error(), "SecretRest99")
		},
		18: func() bool {
			return len(formerSurplus([]string{"STRIPE_KEY"}, []string{"STRIPE_KEY"}, nil)) == 1
		},
	}
	for number := range formerly {
		if succeeds[number] == nil {
			t.Errorf("attack %d is not tried on the code of before", number)
		}
	}
	for number, attack := range succeeds {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			if formerly[number] == "" {
				t.Error("it has no text")
			}
			err := stack.Steps(func() {
				s.day++
				s.sql(`delete from net.http_request_queue; delete from net._http_response; truncate public.backup_logs, public.system_logs;
					delete from auto_backup.runs; delete from auto_backup.incidents`)
				defer s.sql(`drop owned by ` + outsider + ` cascade; grant create, usage on schema public to ` + outsider)
				if !attack() {
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

// The provider's own code of commit 620957d, as far as an attack was on it.

// formerParameters are those of a connection to a host that is not this machine; TLS,
// which any server with a certificate of its own passed, is left out.
var formerParameters = url.Values{"sslmode": {"disable"}, "channel_binding": {"prefer"}, "require_auth": {""}}

// formerDecode is how an answer of the Management API was read.
func formerDecode[T any](body string) (T, error) {
	var value T
	err := json.Unmarshal([]byte(body), &value)
	return value, err
}

// formerURLError is what was said of a parameter of a database URL.
func formerURLError(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return err
	}
	for parameter := range maps.Keys(given) {
		return fmt.Errorf("the database URL has the parameter %q, which is not known here", parameter)
	}
	return nil
}

// formerSurplus are the secrets that an apply deleted: those of the state that exist and
// that the configuration no longer names.
func formerSurplus(ofState, present, wanted []string) []string {
	own := slices.DeleteFunc(slices.Clone(ofState), func(name string) bool { return !slices.Contains(present, name) })
	return slices.DeleteFunc(own, func(name string) bool { return slices.Contains(wanted, name) })
}
