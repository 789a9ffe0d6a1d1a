package health

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

const (
	ref = "abcdefghijklmnopqrst"
	// lead is how every summary begins.
	lead = "Backup auto-backup of project " + ref + " "
	// tomorrow is how the summary of a healthy project ends.
	tomorrow = "; the next one is due at 2026-11-24 03:00 (UTC-03:00)."
)

// now is the time of the healthy project: its backup was due six hours ago.
var now = at("12:00")

// at is a time of day of 23 November 2026 in UTC, or, after a day and a space, of
// that day.
func at(s string) time.Time {
	day, clock, ok := strings.Cut(s, " ")
	if !ok {
		day, clock = "23", s
	}
	if strings.Count(clock, ":") == 1 {
		clock += ":00"
	}
	t, err := time.Parse(time.RFC3339, "2026-11-"+day+"T"+clock+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

// saoPaulo is the zone of the healthy backup: three hours behind UTC.
var saoPaulo = func() *time.Location {
	location, err := zone.Load("America/Sao_Paulo")
	if err != nil {
		panic(err)
	}
	return location
}()

func ptr[T any](v T) *T { return &v }

// project is what is read of a project, in parts that a case can change.
type project struct {
	query     Query
	database  facts.Document
	own       facts.OfBackup
	settings  backup.Settings
	functions []supabase.Function
	secrets   []supabase.Secret
	kept      Platform
}

// healthy is a project in which nothing is wrong, with a backup that was made six
// hours ago and one of the day before, as small as that can be.
func healthy(t *testing.T) *project {
	t.Helper()
	id := backup.ID{ProjectRef: ref, Name: "auto-backup"}
	p := &project{
		query: Query{ID: id, History: 2, FunctionURL: "https://x.supabase.co/functions/v1/auto-backup", Clock: now},
		functions: []supabase.Function{
			{ID: "f", Slug: "auto-backup", Status: backup.StatusActive}, {ID: "a", Slug: backup.DefaultAlertFunction, Status: backup.StatusActive},
		},
		secrets: []supabase.Secret{{Name: "AUTO_BACKUP_TOKEN", Digest: "d"}, {Name: "RESEND_API_KEY", Digest: "m"}},
	}
	const database = `{
		"server": {"now": "2026-11-23T12:00:00Z", "version": 150020, "user": "postgres", "database": "postgres", "writer": true, "sees_processes": true},
		"parameters": {"cron.database_name": "postgres", "max_worker_processes": "8", "shared_preload_libraries": "pg_cron,pg_net", "statement_timeout": "120000"},
		"roles": {"postgres": {"bypasses_rls": true, "uses_public": true, "creates_schemas": true}, "service_role": {"bypasses_rls": true, "uses_public": true}},
		"own_schema": {"owner": "postgres", "owned": true},
		"processes": {"pg_cron": true, "pg_net": true, "background_workers": 2},
		"extensions": {"pg_cron": "1.6", "pg_net": "0.20.4", "supabase_vault": "0.3.1"},
		"newest_tick": {"at": "2026-11-23T11:50:00Z", "run_id": 7}, "run_id_sequence": {"last_value": 7, "is_called": true},
		"queue": [], "subscribers": 1,
		"relations": {
			"auto_backup.settings": "readable", "auto_backup.runs": "readable", "auto_backup.watchdog": "readable", "cron.job": "readable",
			"public.backup_logs": "readable", "public.system_logs": "readable"
		},
		"log_checks": [{"table": "backup_logs", "name": "action", "admits": true, "admits_all": true}],
		"routines": [{
			"schema": "public", "kind": "f", "volatile": true, "definer": true, "signature": "public.backup_all_data()", "language": "plpgsql", "type": "json",
			"config": ["statement_timeout=1min"], "owner": "postgres", "owner_bypasses_rls": true, "callable": true
		}],
		"tables": {
			"backup_logs": {
				"kind": "r", "owner": "postgres", "altered_by_postgres": true, "unique": [["id"]], "rights": {"postgres": "SIUDT", "service_role": "SIUDT"},
				"columns": [
					{"name": "id", "base": "uuid", "default": true, "not_null": true, "rights": "SIU"},
					{"name": "action_type", "base": "text", "not_null": true, "rights": "SIU"},
					{"name": "records_affected", "base": "int4", "rights": "SIU"}, {"name": "details", "base": "text", "rights": "SIU"},
					{"name": "success", "base": "bool", "rights": "SIU"}, {"name": "created_at", "base": "timestamptz", "default": true, "rights": "SIU"}
				]
			},
			"system_logs": {
				"kind": "r", "owner": "postgres", "altered_by_postgres": true, "unique": [["id"]], "rights": {"postgres": "SIUDT", "service_role": "SIUDT"},
				"columns": [
					{"name": "id", "base": "int8", "default": true, "not_null": true, "rights": "SIU"}, {"name": "type", "base": "text", "not_null": true, "rights": "SIU"},
					{"name": "message", "base": "text", "not_null": true, "rights": "SIU"}, {"name": "context", "base": "jsonb", "rights": "SIU"},
					{"name": "created_at", "base": "timestamptz", "default": true, "rights": "SIU"}
				]
			},
			"alert_subscriptions": {"kind": "r", "rights": {"service_role": "S"}}
		}
	}`
	const own = `{
		"settings": {"document": null, "owner": "terraform-provider-aimindset", "function_id": "f", "created_at": "2026-11-01T00:00:00Z", "updated_at": "2026-11-01T00:00:00Z"},
		"vault": {"auto-backup/token": "", "auto-backup/alert-key": ""}, "token_digest": {"digest": "d"},
		"watchdog": {"at": "2026-11-23T11:50:00Z", "problems": []},
		"stored_backups": {"count": 2, "newest_id": "b2", "newest": "2026-11-23T06:00:08Z", "oldest": "2026-11-22T06:00:08Z", "bytes": 8192, "tables": ["public.articles_backup"], "has_last": true}
	}`
	for document, into := range map[string]any{database: &p.database, own: &p.own} {
		decoder := json.NewDecoder(strings.NewReader(document))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	dispatcher := payload.LoadDispatcher()
	p.database.Functions = maps.Clone(dispatcher.Functions)
	if err := json.Unmarshal([]byte(`{"owner": "terraform-provider-aimindset", "version": "`+dispatcher.Version+`"}`), &p.database.Installation); err != nil {
		t.Fatal(err)
	}
	p.settings = backup.Settings{
		Timezone: "America/Sao_Paulo", Schedules: map[string]backup.Schedule{"daily": compiled("0 3 * * *")},
		Function: backup.FunctionSettings{RPC: backup.DefaultRPC, URL: p.query.FunctionURL},
		Alert:    backup.AlertSettings{Enabled: true, Function: backup.DefaultAlertFunction, OverdueAfterSeconds: 36 * 3600},
		Retry:    backup.RetrySettings{Attempts: 1, DelaySeconds: 600},
	}
	p.own.Schedules = map[string]facts.NotedSchedule{"daily": {Since: at("01 00:00"), Definition: definition(p.settings.Schedules["daily"])}}
	p.happened(run("r2", "daily", history.TriggerSchedule, "06:00", history.Succeeded), run("r1", "daily", history.TriggerSchedule, "22 06:00", history.Succeeded))
	return p
}

// run is a run that began when it was due and took ten seconds.
func run(id, schedule string, trigger history.Trigger, due string, state history.State) history.Run {
	r := history.Run{ID: id, Schedule: schedule, Trigger: trigger, Attempt: 1, State: state, DueAt: at(due), RequestedAt: at(due), RequestID: ptr(int64(42))}
	if state == history.Succeeded {
		r.FinishedAt, r.BackupID, r.Records, r.LogState, r.WhatHappened = at(due).Add(10*time.Second), "b"+id, ptr(int64(321)), "function", "The backup was made."
	}
	if state == history.Failed {
		r.FinishedAt, r.Code, r.LogState, r.WhatHappened = at(due).Add(10*time.Second), "http_503", "function", "The function does not start (HTTP 503)."
	}
	return r
}

// happened makes runs, the newest first, the project's history, and all that
// follows from it.
func (p *project) happened(runs ...history.Run) {
	p.own.History, p.own.UnderWay, p.own.Latest, p.own.LastSuccess, p.own.Failures, p.own.CaughtUpAt = runs, nil, map[string]history.Run{}, nil, 0, time.Time{}
	for _, r := range runs {
		switch {
		case r.State == history.Succeeded && (p.own.LastSuccess == nil || r.FinishedAt.After(p.own.LastSuccess.FinishedAt)):
			p.own.LastSuccess = &r
		case r.State == history.Requested || r.State == history.Running:
			p.own.UnderWay = append(p.own.UnderWay, r)
		}
		if r.Trigger == history.TriggerCatchUp && r.RequestedAt.After(p.own.CaughtUpAt) {
			p.own.CaughtUpAt = r.RequestedAt
		}
		latest, ok := p.own.Latest[r.Schedule]
		later := r.DueAt.After(latest.DueAt) || r.DueAt.Equal(latest.DueAt) && r.Attempt > latest.Attempt
		if r.ID != "" && r.Trigger != history.TriggerManual && (!ok || later) {
			p.own.Latest[r.Schedule] = r
		}
	}
	for _, r := range runs {
		if r.State == history.Failed && (p.own.LastSuccess == nil || r.FinishedAt.After(p.own.LastSuccess.FinishedAt)) {
			p.own.Failures++
		}
	}
}

// assess judges the project.
func (p *project) assess(t *testing.T) Status {
	t.Helper()
	if p.own.Settings != nil && string(p.own.Settings.Document) == "null" {
		document, err := json.Marshal(p.settings)
		if err != nil {
			t.Fatal(err)
		}
		p.own.Settings.Document = document
	}
	if p.database.Jobs == nil {
		jobs := backup.Spec{ID: p.query.ID, Settings: p.settings}.Jobs()
		for i, key := range slices.Sorted(maps.Keys(jobs)) {
			job := jobs[key]
			job.ID = int64(i + 1)
			p.database.Jobs = append(p.database.Jobs, job)
		}
	}
	p.database.Each = map[backup.Name]facts.OfBackup{p.query.ID.Name: p.own}
	return assess(p.query, p.database, p.functions, p.secrets, supabase.PublicKeys{}, p.kept)
}

// wanted is the status of a project as far as a case changes nothing about it.
func (p *project) wanted() Status {
	s := Status{
		ID: p.query.ID, Installation: InstallationProvider, Condition: checks.Healthy, CheckedAt: now, WatchedAt: at("11:50"),
		Summary:     lead + "is healthy: the last one succeeded at 2026-11-23 03:00 (UTC-03:00) with 321 records" + tomorrow,
		LastSuccess: p.own.LastSuccess, Failures: p.own.Failures, StoredBackups: p.own.StoredBackups,
		Location: saoPaulo,
		NextRuns: []NextRun{{"daily", at("24 06:00").In(saoPaulo)}},
		History:  p.own.History[:min(len(p.own.History), 2)],
	}
	if s.StoredBackups != nil {
		s.Forecast = &Forecast{Assumptions: "The growth is not known until there are backups of two nights."}
	}
	for _, r := range p.own.History {
		if r.ID != "" {
			s.LastRun = &r
			break
		}
	}
	return s
}

// aCase is a project that differs from the healthy one, and how its status does.
type aCase struct {
	name string
	// change may be nil.
	change func(p *project)
	// want changes the status that a healthy project has after the change. Of a
	// problem that a check of package checks finds, it has the code and the
	// condition only. A summary that it leaves alone is that of the first problem.
	want func(s *Status)
}

func (c aCase) compare(t *testing.T, p *project) {
	t.Helper()
	if c.change != nil {
		c.change(p)
	}
	want := p.wanted()
	healthyWords := want.Summary
	if c.want != nil {
		c.want(&want)
	}
	if want.RetryDue.IsZero() {
		want.RetryDue = want.RetryAt
	}
	got := p.assess(t)
	for i := range want.Problems {
		w := &want.Problems[i]
		if i < len(got.Problems) && w.Code == got.Problems[i].Code && w.Message == "" {
			means := w.Condition
			*w = got.Problems[i]
			w.Condition = means
		}
	}
	if len(want.Problems) > 0 && (want.Summary == healthyWords || want.Summary == "") && want.Condition != checks.Healthy {
		want.summarize(want.Problems[0].Message)
	}
	gotValue, wantValue := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range gotValue.NumField() {
		if slices.Contains([]string{"Nights", "Location"}, gotValue.Type().Field(i).Name) {
			continue // TestNights looks at them
		}
		if g, w := gotValue.Field(i), wantValue.Field(i); !reflect.DeepEqual(g.Interface(), w.Interface()) && (g.Kind() != reflect.Slice || g.Len()+w.Len() > 0) {
			t.Errorf("%s is\n\t%s\nwant\n\t%s", gotValue.Type().Field(i).Name, words(g), words(w))
		}
	}
}

func words(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		return fmt.Sprintf("%+v", v.Elem().Interface())
	}
	return fmt.Sprintf("%+v", v.Interface())
}

// summarize makes a problem the summary of a status.
func (s *Status) summarize(message string) {
	s.Summary = lead + inWords[s.Condition] + ": " + s.Local(text.Uncapitalize(strings.TrimSuffix(message, ".")))
	if more := len(s.Problems) - 1; more > 0 {
		s.Summary += fmt.Sprintf(" (and %d more problem%s)", more, strings.Repeat("s", min(more-1, 1)))
	}
	if next := (&assessment{Status: *s}).next(); next != "" {
		s.Summary += "; " + next
	}
	s.Summary += "."
}

// problemOf is a problem that this package finds, with the remedy of its code.
func problemOf(code string, means checks.Condition, message string) checks.Finding {
	return checks.Finding{Code: code, Condition: means, Message: message, Remedy: codes.Lookup(code, "").Remedy}
}

// is gives a status a condition and problems.
func (s *Status) is(means checks.Condition, problems ...checks.Finding) {
	s.Condition, s.Problems = means, problems
}

// found is a problem that a check finds.
func found(code string, means checks.Condition) checks.Finding {
	return checks.Finding{Code: code, Condition: means}
}

func runCases(t *testing.T, cases []aCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.compare(t, healthy(t))
		})
	}
}

func supabaseSecret(name, digest string) supabase.Secret {
	return supabase.Secret{Name: name, Digest: digest}
}

// jobsOf are the jobs that the settings want.
func jobsOf(p *project) []backup.Job {
	return slices.Collect(maps.Values(backup.Spec{ID: p.query.ID, Settings: p.settings}.Jobs()))
}
