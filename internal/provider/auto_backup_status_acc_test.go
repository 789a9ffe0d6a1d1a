package provider_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const status = "data.aimindset_auto_backup_status.this"

// statusConfig is a configuration that only asks, with the token and, where the
// test connects, the role that may only read.
func (p *project) statusConfig(arguments string) string {
	database := ""
	if p.direct || p.isSelfHosted() {
		database = p.ReadOnlyDatabaseURL
	}
	return p.providerAs(p.ReadOnlyAccessToken, database) + fmt.Sprintf(`
		data "aimindset_auto_backup_status" "this" {
			%s
		}`, arguments)
}

// shows checks an attribute of the status.
func shows(check knownvalue.Check, attribute string, path ...any) statecheck.StateCheck {
	at := tfjsonpath.New(attribute)
	for _, step := range path {
		switch step := step.(type) {
		case string:
			at = at.AtMapKey(step)
		case int:
			at = at.AtSliceIndex(step)
		}
	}
	return statecheck.ExpectKnownValue(status, at, check)
}

func text(value string) knownvalue.Check { return knownvalue.StringExact(value) }

// install has another state install a backup.
func (p *project) install() {
	p.t.Helper()
	s := p.service()
	id := backup.ID{ProjectRef: p.ProjectRef, Name: backup.DefaultName}
	daily, err := backup.CompileSchedule(backup.DefaultCron, nil, backup.DefaultTimezone, true, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	settings := backup.Settings{
		Timezone: backup.DefaultTimezone, Schedules: map[string]backup.Schedule{backup.DefaultScheduleKey: daily},
		Function: backup.FunctionSettings{URL: backup.FunctionURL(p.ProjectURL, id.Name.Slug()), RPC: backup.DefaultRPC},
		Alert: backup.AlertSettings{
			Enabled: true, Function: backup.DefaultAlertFunction, URL: backup.FunctionURL(p.ProjectURL, backup.DefaultAlertFunction),
			Source: backup.DefaultAlertSource, OverdueAfterSeconds: 26 * 3600,
		},
		Retry: backup.RetrySettings{Attempts: 1, DelaySeconds: 600}, Secrets: []string{},
	}
	source, err := backup.BuiltInSource(id.Name, settings)
	if err != nil {
		p.t.Fatal(err)
	}
	found, err := s.Observe(p.t.Context(), id.Name, backup.Known{})
	if err != nil {
		p.t.Fatal(err)
	}
	spec := backup.Spec{ID: id, Settings: settings, Source: source, ExtendLogConstraint: true}
	if err := s.Apply(p.t.Context(), spec, found, func(backup.Part) {}); err != nil {
		p.t.Fatal(err)
	}
}

// service is somebody else's access to the project's backups.
func (p *project) service() *backup.Service {
	p.t.Helper()
	if !p.isSelfHosted() {
		return backup.NewService(p.ProjectRef, p.client(), postgres.OverAPI(endpoint{p.client(), p.ProjectRef}))
	}
	db, err := postgres.Open(p.DatabaseURL)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = db.Close(context.WithoutCancel(p.t.Context())) })
	files := p.files()
	return backup.NewService(p.ProjectRef, files, db).SelfHosted(files)
}

// endpoint runs SQL through the Management API.
type endpoint struct {
	client *supabase.Client
	ref    string
}

func (e endpoint) RunSQL(ctx context.Context, sql string, args []any, readOnly bool) (json.RawMessage, error) {
	return e.client.Query(ctx, e.ref, supabase.QueryRequest{SQL: sql, Args: args, ReadOnly: readOnly})
}

// backUp has the daily job tick, as if it were due, and waits for the end.
func (p *project) backUp(state string) {
	p.t.Helper()
	p.asPostgres("do $$ begin perform auto_backup.start('auto-backup', 'daily', 'schedule', now(), 1); end $$")
	p.await("0", "select count(*) from net.http_request_queue")
	p.await(state, `select case when l.success then 'succeeded' when l.details like '%falhou%' then 'failed' else 'under way' end
		from public.backup_logs l inner join auto_backup.runs r on r.run_id = l.id order by r.requested_at desc limit 1`)
	if state == "failed" {
		p.await("delivered", `select l.context #>> '{alert,state}' from public.system_logs l
			inner join auto_backup.runs r on r.run_id::text = l.context ->> 'run_id' where l.type = 'auto_backup_error' order by r.requested_at desc limit 1`)
	}
	p.asPostgres("do $$ begin perform auto_backup.watch('auto-backup'); end $$")
}

// TestStatus proves that the data source tells every stage in the life of a
// backup apart, with the token and the role that may only read, over every
// transport: nothing there, installed, succeeded, failed with the reason and
// the time of the retry.
func TestStatus(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{Articles: 20}, func(t *testing.T, p *project) {
		resource.UnitTest(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{
					Config: p.statusConfig(""),
					ConfigStateChecks: []statecheck.StateCheck{
						shows(text(p.ProjectRef+"/auto-backup"), "id"),
						shows(text("none"), "installation"),
						shows(text("not_installed"), "state"),
						shows(knownvalue.Bool(false), "healthy"),
						shows(knownvalue.ListSizeExact(1), "problems"),
						shows(text("not_installed"), "problems", 0, "code"),
						shows(knownvalue.Null(), "last_run"),
						shows(knownvalue.ListSizeExact(0), "next_runs"),
					},
				},
				{
					// Another state than the one that asks in the next steps.
					PreConfig: func() { p.install() },
					Config:    p.statusConfig(""),
					ConfigStateChecks: []statecheck.StateCheck{
						shows(text("provider"), "installation"),
						shows(text("never_ran"), "state"),
						shows(knownvalue.Bool(false), "healthy"),
						shows(knownvalue.ListSizeExact(1), "problems"),
						shows(text("never_ran"), "problems", 0, "code"),
						shows(text("daily"), "next_runs", 0, "schedule"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`T03:00:00-03:00$`)), "next_runs", 0, "due_at"),
						shows(knownvalue.Null(), "last_success"),
						shows(knownvalue.Int64Exact(0), "generations", "count"),
					},
				},
				{
					PreConfig: func() { p.backUp("succeeded") },
					Config:    p.statusConfig("history_limit = 1"),
					ConfigStateChecks: []statecheck.StateCheck{
						shows(text("healthy"), "state"),
						shows(knownvalue.Bool(true), "healthy"),
						shows(knownvalue.ListSizeExact(0), "problems"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`is healthy: the last one succeeded \d+ s ago, at \S+Z with \d+ records\.$`)), "summary"),
						shows(knownvalue.NotNull(), "last_success", "backup_id"),
						shows(text("succeeded"), "last_run", "state"),
						shows(text("started by its job"), "last_run", "tick"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`^made, pg_net id \d+$`)), "last_run", "request"),
						shows(text("succeeded"), "last_run", "function"),
						shows(text("written by the function"), "last_run", "log"),
						shows(knownvalue.Null(), "last_run", "alert"),
						shows(knownvalue.Int64Exact(1), "generations", "count"),
						shows(knownvalue.ListSizeExact(1), "history"),
						shows(knownvalue.Int64Exact(0), "consecutive_failures"),
					},
				},
				{
					PreConfig: func() {
						p.sql("alter table public.feedbacks rename to feedbacks_old")
						p.backUp("failed")
					},
					Config: p.statusConfig(""),
					ConfigStateChecks: []statecheck.StateCheck{
						shows(text("failing"), "state"),
						shows(knownvalue.Bool(false), "healthy"),
						shows(text("backup_failed"), "problems", 0, "code"),
						shows(text("error"), "problems", 0, "severity"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`feedbacks.* does not exist`)), "problems", 0, "message"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`is failing: the backup due at .*feedbacks`)), "summary"),
						shows(knownvalue.NotNull(), "retry_at"),
						shows(knownvalue.Int64Exact(1), "consecutive_failures"),
						shows(text("failed"), "last_run", "state"),
						shows(text("delivered by the function"), "last_run", "alert"),
						shows(text("succeeded"), "history", 1, "state"),
						shows(knownvalue.NotNull(), "last_success", "records"),
					},
				},
			},
		})
	})
}
