package provider_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const status = "data.aimindset_auto_backup_status.this"

// statusConfig returns a configuration that only asks, with the token and, where the
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
	found, err := s.Observe(p.t.Context(), id.Name, backup.Known{})
	if err != nil {
		p.t.Fatal(err)
	}
	spec := backup.Spec{ID: id, Settings: settings, Source: backup.BuiltInSource(id.Name, settings), ExtendLogConstraint: true}
	if _, err := s.Apply(p.t.Context(), spec, found, func(backup.Part) {}); err != nil {
		p.t.Fatal(err)
	}
}

// service returns somebody else's access to the project's backups.
func (p *project) service() *install.Service {
	p.t.Helper()
	if !p.isSelfHosted() {
		return install.NewService(p.ProjectRef, p.client(), postgres.OverAPI(supabase.ProjectSQL{Client: p.client(), Ref: p.ProjectRef}))
	}
	db, err := postgres.Open(p.DatabaseURL)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = db.Close(context.WithoutCancel(p.t.Context())) })
	files := p.files()
	return install.NewService(p.ProjectRef, files, db).SelfHosted(files)
}

// backUp lets the daily job tick, as if it were due, waits for the end, and lets
// the watchdog look.
func (p *project) backUp(state string) {
	p.t.Helper()
	p.runDaily(state)
	p.asPostgres("do $$ begin perform auto_backup.watch('auto-backup'); end $$")
}

// runDaily lets the daily job tick, as if it were due, and waits until the function
// has logged the outcome.
func (p *project) runDaily(state string) {
	p.t.Helper()
	p.asPostgres("do $$ begin perform auto_backup.start('auto-backup', 'daily', 'schedule', now(), 1); end $$")
	p.await("0", "select count(*) from net.http_request_queue")
	p.await(state, `select case when l.success then 'succeeded' when l.details like '%falhou%' then 'failed' else 'under way' end
		from public.backup_logs l inner join auto_backup.runs r on r.run_id = l.id order by r.requested_at desc limit 1`)
	if state == "failed" {
		p.await("delivered", `select l.context #>> '{alert,state}' from public.system_logs l
			inner join auto_backup.runs r on r.run_id::text = l.context ->> 'run_id' where l.type = 'auto_backup_error' order by r.requested_at desc limit 1`)
	}
}

// TestOutcomeBeforeTheWatchdog proves that the status knows how a run ended as soon
// as the function has logged it, with the role that may only read.
func TestOutcomeBeforeTheWatchdog(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 5})
	p.install()
	p.asPostgres("select cron.alter_job(jobid, active := false) from cron.job where jobname = 'auto-backup-watchdog'")
	p.runDaily("succeeded")
	const open = "select count(*) from auto_backup.runs where state in ('requested', 'running')"
	if got := p.value(open); got != "1" {
		t.Fatalf("%s runs are recorded as being under way, so this test proves nothing", got)
	}
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				Config: p.statusConfig(""),
				ConfigStateChecks: []statecheck.StateCheck{
					shows(text("succeeded"), "last_run", "state"), shows(text("succeeded"), "history", 0, "state"),
					shows(text(p.value("select id from public.backup_logs where action_type = 'auto_backup' order by created_at desc limit 1")), "last_success", "run_id"),
				},
			},
			{
				PreConfig: func() {
					p.sql("alter function public.backup_all_data() rename to gone")
					p.runDaily("failed")
				},
				Config: p.statusConfig(""),
				ConfigStateChecks: []statecheck.StateCheck{
					shows(knownvalue.Bool(false), "healthy"), shows(text("failed"), "last_run", "state"), shows(text("failed"), "history", 0, "state"),
					shows(text("delivered by the function"), "history", 0, "alert"), shows(knownvalue.Int64Exact(1), "consecutive_failures"),
				},
			},
		},
	})
	if got := p.value(open); got != "2" {
		t.Errorf("%s runs are recorded as being under way; a status writes nothing", got)
	}
}

// TestStatus proves that the data source tells every stage in the life of a
// backup apart, with the token and the role that may only read, over every
// transport: nothing there, installed, succeeded, failed with the reason and
// the time of the retry.
func TestStatus(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{Articles: 20}, func(t *testing.T, p *project) {
		takeSteps(t, resource.TestCase{
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
						shows(knownvalue.Bool(true), "healthy"),
						shows(knownvalue.ListSizeExact(1), "problems"),
						shows(text("never_ran"), "problems", 0, "code"),
						shows(text("warning"), "problems", 0, "severity"),
						shows(knownvalue.ListExact([]knownvalue.Check{
							text("public.app_logs"), text("public.articles"), text("public.backend_logs"), text("public.comments"), text("public.feedbacks"), text("public.system_logs"),
						}), "coverage", "copied"),
						shows(knownvalue.ListExact([]knownvalue.Check{text("public.admin_users"), text("public.alert_subscriptions")}), "coverage", "not_copied"),
						shows(text("daily"), "next_runs", 0, "schedule"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`T03:00:00-03:00$`)), "next_runs", 0, "due_at"),
						shows(knownvalue.Null(), "last_success"),
						shows(knownvalue.Int64Exact(0), "stored_backups", "count"),
					},
				},
				{
					PreConfig: func() { p.backUp("succeeded") },
					Config:    p.statusConfig("history_limit = 1"),
					ConfigStateChecks: []statecheck.StateCheck{
						shows(text("healthy"), "state"),
						shows(knownvalue.Bool(true), "healthy"),
						shows(knownvalue.ListSizeExact(0), "problems"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`is healthy: the last one succeeded at \S+ \S+ \(UTC-03:00\) with \d+ records; the next one is due at \S+ 03:00 \(UTC-03:00\)\.$`)), "summary"),
						shows(knownvalue.NotNull(), "last_success", "backup_id"),
						shows(text("succeeded"), "last_run", "state"),
						shows(text("started by its job"), "last_run", "tick"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`^made, pg_net id \d+$`)), "last_run", "request"),
						shows(text("succeeded"), "last_run", "function"),
						shows(text("written by the function"), "last_run", "log"),
						shows(knownvalue.Null(), "last_run", "alert"),
						shows(knownvalue.Int64Exact(1), "stored_backups", "count"),
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

// TestStatusOfLegacyJobs proves that the jobs that AIMindset had before are
// judged by the only trace that they leave: what pg_cron says of a tick counts
// for nothing, a backup that was made does, one that failed shows its reason,
// and one that is too old is late.
func TestStatusOfLegacyJobs(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{LegacyJobs: true, Articles: 20}, func(t *testing.T, p *project) {
		backUp := "do $$ begin perform public.backup_all_data(); end $$"
		legacy := []statecheck.StateCheck{
			shows(text("legacy"), "installation"),
			shows(knownvalue.ListSizeExact(2), "next_runs"),
			shows(knownvalue.StringRegexp(regexp.MustCompile("^auto-backup-(daily|secondary)$")), "next_runs", 0, "schedule"),
			shows(knownvalue.StringRegexp(regexp.MustCompile("T(06|18):00:00Z$")), "next_runs", 0, "due_at"),
			shows(knownvalue.Null(), "watchdog_at"),
		}
		takeSteps(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{
					Config: p.statusConfig(""),
					ConfigStateChecks: append(legacy,
						shows(text("never_ran"), "state"),
						shows(text("never_ran"), "problems", 0, "code"),
						shows(text("legacy"), "problems", 1, "code"),
						shows(text("warning"), "problems", 1, "severity"),
						shows(knownvalue.StringRegexp(regexp.MustCompile("auto-backup-daily .0 6 . . .., auto-backup-secondary")), "problems", 1, "message"),
						shows(knownvalue.Null(), "last_run"),
					),
				},
				{
					PreConfig: func() {
						p.sql(`insert into cron.job_run_details (jobid, runid, status, return_message, start_time)
							select jobid, nextval('cron.runid_seq'), 'succeeded', '1 row', now() from cron.job where jobname = 'auto-backup-daily'`)
					},
					Config: p.statusConfig(""),
					ConfigStateChecks: append(legacy,
						shows(text("failing"), "state"),
						shows(text("no_backup"), "problems", 0, "code"),
						shows(knownvalue.StringRegexp(regexp.MustCompile("no backup came of it")), "problems", 0, "message"),
					),
				},
				{
					PreConfig: func() { p.asPostgres(backUp) },
					Config:    p.statusConfig(""),
					ConfigStateChecks: append(legacy,
						shows(text("healthy"), "state"),
						shows(knownvalue.Bool(true), "healthy"),
						shows(knownvalue.ListSizeExact(1), "problems"),
						shows(text("legacy"), "problems", 0, "code"),
						shows(text("succeeded"), "last_run", "state"),
						shows(knownvalue.NotNull(), "last_success", "records"),
						shows(knownvalue.Null(), "last_success", "run_id"),
						shows(knownvalue.Int64Exact(1), "stored_backups", "count"),
						shows(knownvalue.ListSizeExact(1), "history"),
					),
				},
				{
					PreConfig: func() { p.sql(`update public.backup_logs set created_at = now() - interval '3 days'`) },
					Config:    p.statusConfig(""),
					ConfigStateChecks: append(legacy,
						shows(text("late"), "state"),
						shows(text("overdue"), "problems", 0, "code"),
						shows(knownvalue.StringRegexp(regexp.MustCompile(`since \S+Z; the jobs' schedules allow 14 h 0 min`)), "problems", 0, "message"),
					),
				},
				{
					PreConfig: func() {
						p.sql("alter table public.feedbacks rename to feedbacks_old")
						p.asPostgres(backUp)
					},
					Config: p.statusConfig(""),
					ConfigStateChecks: append(legacy,
						shows(text("failing"), "state"),
						shows(text("backup_failed"), "problems", 0, "code"),
						shows(knownvalue.StringRegexp(regexp.MustCompile("feedbacks")), "summary"),
						shows(knownvalue.Int64Exact(1), "consecutive_failures"),
						shows(text("failed"), "last_run", "state"),
					),
				},
				{
					PreConfig: func() {
						p.sql("update cron.job set active = false where jobname like 'auto-backup-%'; alter table public.feedbacks_old rename to feedbacks")
						p.asPostgres(backUp)
					},
					Config: p.statusConfig(""),
					ConfigStateChecks: []statecheck.StateCheck{
						shows(text("legacy"), "installation"),
						shows(text("late"), "state"),
						shows(text("job_inactive"), "problems", 0, "code"),
						shows(knownvalue.ListSizeExact(0), "next_runs"),
					},
				},
			},
		})
	}, managementAPI, databaseURL)
}

// contents returns everything that a database holds: a digest of each table's rows
// and of each sequence, the catalogues among them.
func (p *project) contents() map[string]string {
	p.t.Helper()
	all := map[string]string{}
	rows, err := p.Admin().Query(p.t.Context(), `
		select case c.relkind when 'S' then 'sequence ' else '' end || c.oid::regclass
		from pg_class c inner join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'm', 'S') and n.nspname <> 'information_schema' and n.nspname not like 'pg\_temp%'
		-- What the server notes about its own work, whoever asks for it.
		and c.relname not in ('pg_statistic', 'pg_statistic_ext_data')
		order by 1`)
	if err != nil {
		p.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		p.t.Fatal(err)
	}
	for _, table := range tables {
		if sequence, ok := strings.CutPrefix(table, "sequence "); ok {
			all[table] = p.value("select (last_value, is_called)::text from " + sequence)
			continue
		}
		row := "t::text"
		if table == "pg_class" {
			// A vacuum that happens to run counts rows and pages, and freezes them.
			row = "(to_jsonb(t) - array['relpages', 'reltuples', 'relallvisible', 'relfrozenxid', 'relminmxid'])::text"
		}
		if table == "pg_database" {
			row = "(to_jsonb(t) - array['datfrozenxid', 'datminmxid'])::text"
		}
		all[table] = p.value("select count(*) || ' ' || coalesce(md5(string_agg(" + row + ", ',' order by " + row + ")), '') from " + table + " t")
	}
	return all
}

// TestReadingWritesNothing proves that a status and a plan, one that is empty
// and one that is not, leave every row of every table, the catalogues included,
// as it was, and that they need neither a token nor a role that could do
// otherwise.
func TestReadingWritesNothing(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{Articles: 20}, func(t *testing.T, p *project) {
		// Nothing ticks meanwhile.
		p.sql("alter system set cron.host = '/nonexistent'")
		if err := p.RestartPostgres(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		p.Admin().Reset()
		database := ""
		if p.direct {
			database = p.ReadOnlyDatabaseURL
		}
		reading := p.configAs(p.ReadOnlyAccessToken, database, "") + `
			data "aimindset_auto_backup_status" "this" {}
			output "state" { value = data.aimindset_auto_backup_status.this.state }`
		var before map[string]string
		unchanged := func() {
			p.t.Helper()
			for table, digest := range p.contents() {
				if table != "cron.job_run_details" && table != "sequence cron.runid_seq" && before[table] != digest {
					p.t.Errorf("%s was changed", table)
				}
			}
			if len(before) < 80 {
				p.t.Errorf("only %d tables were compared", len(before))
			}
		}
		calls := 0
		takeSteps(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{Config: p.config("")},
				{
					PreConfig: func() { before, calls = p.contents(), len(p.APICalls()) },
					Config:    reading, PlanOnly: true, ExpectNonEmptyPlan: true, // the output is new
				},
				{
					PreConfig: func() {
						unchanged()
						p.asPostgres("select cron.alter_job(jobid, active := false) from cron.job where jobname = 'auto-backup-daily'")
						before = p.contents()
					},
					Config: reading, PlanOnly: true, ExpectNonEmptyPlan: true,
				},
				{
					PreConfig: func() {
						unchanged()
						for _, call := range p.APICalls()[calls:] {
							if call.Method != http.MethodGet && !strings.HasSuffix(call.Path, "/database/query/read-only") {
								p.t.Errorf("%s %s was called", call.Method, call.Path)
							}
						}
					},
					Config: p.config(""),
				},
			},
		})
	}, managementAPI, databaseURL)
}

// TestStatusErrors proves that a status is an error, with what to do, only
// where a side cannot be asked, and where nobody says which project is meant.
func TestStatusErrors(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	ask := func(provider string) string { return provider + "\n" + `data "aimindset_auto_backup_status" "this" {}` }
	nowhere := strings.Replace(p.ReadOnlyDatabaseURL, regexp.MustCompile(`:\d+/`).FindString(p.ReadOnlyDatabaseURL), ":9/", 1)
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				Config:      ask(p.providerAs("sbp_0000000000000000000000000000000000000000", "")),
				ExpectError: regexp.MustCompile(`(?s)Cannot read the status of the backup.*Read\s+the\s+status\s+of\s+backup.*HTTP 401.*access\s+token`),
			},
			{
				Config:      ask(p.providerAs(p.ReadOnlyAccessToken, nowhere)),
				ExpectError: regexp.MustCompile(`(?s)Cannot read the status of the backup.*connect`),
			},
			{
				Config:      ask(strings.Replace(p.providerAs(p.ReadOnlyAccessToken, ""), fmt.Sprintf("project_ref  = %q", p.ProjectRef), "", 1)),
				ExpectError: regexp.MustCompile(`(?s)No project.*Set\s+.project_ref.`),
			},
			{
				Config:      p.statusConfig(`history_limit = 201`),
				ExpectError: regexp.MustCompile(`(?s)history_limit.*between\s+0\s+and\s+200`),
			},
			{
				Config:      p.statusConfig(`name = "Auto Backup"`),
				ExpectError: regexp.MustCompile(`(?s)single\s+hyphens`),
			},
		},
	})
}
