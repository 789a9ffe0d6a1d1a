package checks

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// now is the time of the healthy project.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// healthyProject is what the database of a project says in which nothing is wrong,
// with a backup that was made nine hours ago, as small as that can be.
const healthyProject = `{
	"server": {"now": "2026-11-23T12:00:00Z", "version": 150020, "user": "postgres", "database": "postgres", "writer": true, "sees_processes": true},
	"parameters": {"cron.database_name": "postgres", "max_worker_processes": "8", "shared_preload_libraries": "pg_cron,pg_net", "statement_timeout": "120000"},
	"roles": {
		"postgres": {"bypasses_rls": true, "uses_public": true, "creates_schemas": true},
		"service_role": {"bypasses_rls": true, "uses_public": true}
	},
	"own_schema": {"owner": "postgres", "owned": true},
	"processes": {"pg_cron": true, "pg_net": true, "background_workers": 2},
	"extensions": {"pg_cron": "1.6", "pg_net": "0.20.4", "supabase_vault": "0.3.1"},
	"available_extensions": {
		"pg_cron": {"available": "1.6", "installed": "1.6", "schema": "pg_catalog", "owner": "supabase_admin"},
		"pg_net": {"available": "0.20.4", "installed": "0.20.4", "schema": "extensions", "owner": "supabase_admin"},
		"supabase_vault": {"available": "0.3.1", "installed": "0.3.1", "schema": "vault", "owner": "supabase_admin"}
	},
	"cron_owner_writes": true,
	"calls": {"cron.schedule": true, "cron.alter_job": true, "cron.unschedule": true, "net.http_post": true, "vault.create_secret": true, "vault.update_secret": true},
	"newest_tick": {"at": "2026-11-23T11:50:00Z", "run_id": 7}, "run_id_sequence": {"last_value": 7, "is_called": true},
	"queue": [], "subscribers": 1,
	"relations": {
		"auto_backup.settings": "readable", "auto_backup.runs": "readable", "auto_backup.watchdog": "readable", "cron.job": "readable",
		"public.backup_logs": "readable", "public.system_logs": "readable"
	},
	"log_checks": [{"table": "backup_logs", "name": "action", "admits": true, "admits_all": true}, {"table": "system_logs", "name": "kind", "admits": true, "admits_all": true}],
	"routines": [{
		"schema": "public", "kind": "f", "volatile": true, "definer": true, "signature": "public.backup_all_data()", "language": "plpgsql", "type": "json",
		"config": ["statement_timeout=1min"], "owner": "postgres", "owner_bypasses_rls": true, "callable": true
	}],
	"tables": {
		"backup_logs": {
			"kind": "r", "owner": "postgres", "altered_by_postgres": true, "unique": [["id"]], "rights": {"postgres": "SIUDT", "service_role": "SIUDT"},
			"columns": [
				{"name": "id", "base": "uuid", "default": true, "not_null": true, "rights": "SIU"},
				{"name": "action_type", "base": "varchar", "length": 20, "not_null": true, "rights": "SIU"},
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

// healthyBackup is what the database says of the backup.
const healthyBackup = `{
	"settings": {"document": {}, "owner": "x", "created_at": "2026-11-01T00:00:00Z", "updated_at": "2026-11-01T00:00:00Z"},
	"vault": {"auto-backup/token": "", "auto-backup/alert-key": ""}, "token_digest": {"digest": "d"},
	"watchdog": {"at": "2026-11-23T11:50:00Z", "problems": []},
	"last_success": {"run_id": "r", "state": "succeeded", "backup_id": "b", "finished_at": "2026-11-23T03:00:03Z"},
	"history": [{"run_id": "r", "state": "succeeded"}],
	"stored_backups": {"count": 1, "has_last": true}
}`

// healthy is a project in which nothing is wrong.
func healthy(t *testing.T) *Subject {
	t.Helper()
	id := backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}
	s := &Subject{ID: id, Now: now, Clock: now, FunctionURL: "https://x/functions/v1/auto-backup"}
	for text, into := range map[string]any{healthyProject: &s.Document, healthyBackup: &s.OfBackup} {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	daily, err := backup.CompileSchedule("0 3 * * *", nil, "UTC", true, now)
	if err != nil {
		t.Fatal(err)
	}
	s.Spec = backup.Spec{ID: id, ExtendLogConstraint: true, Settings: backup.Settings{
		Timezone: "UTC", Schedules: map[string]backup.Schedule{"daily": daily}, Secrets: []string{"REPORT_KEY"},
		Function: backup.FunctionSettings{RPC: backup.DefaultRPC, URL: s.FunctionURL},
		Alert:    backup.AlertSettings{Enabled: true, Function: backup.DefaultAlertFunction},
	}}
	dispatcher := payload.LoadDispatcher()
	s.State = backup.State{
		ID: id, FunctionID: "f", DispatcherVersion: dispatcher.Version, Functions: map[string]string{},
		Token: backup.TokenState{Vault: "d", Function: "d"},
	}
	for name, digest := range dispatcher.Functions {
		s.State.Functions[name] = digest
	}
	s.Edge = []supabase.Function{{ID: "f", Slug: "auto-backup", Status: backup.StatusActive}, {ID: "a", Slug: backup.DefaultAlertFunction, Status: backup.StatusActive}}
	s.Secrets = map[string]string{mailKey: "1", "REPORT_KEY": "2", id.Name.TokenSecret(): "d"}
	for key, job := range s.Spec.Jobs() {
		job.ID = int64(len(key))
		s.Jobs = append(s.Jobs, job)
	}
	return s
}

// job is the backup's own job of a key.
func (s *Subject) job(key string) *backup.Job {
	at := slices.IndexFunc(s.Jobs, func(j backup.Job) bool {
		return j.Name == s.ID.Name.Job(key) && j.Username == backup.JobOwner
	})
	return &s.Jobs[at]
}

// table changes a table of the application.
func (s *Subject) table(name string, change func(*facts.Table)) {
	t := s.Tables[name]
	change(&t)
	s.Tables[name] = t
}

// column changes a column of a table.
func (s *Subject) column(table, name string, change func(*facts.Column)) {
	t := s.Tables[table]
	at := slices.IndexFunc(t.Columns, func(c facts.Column) bool { return c.Name == name })
	change(&t.Columns[at])
}

// available changes what is known of an extension.
func (s *Subject) available(name string, change func(*facts.Extension)) {
	e := s.Available[name]
	change(&e)
	s.Available[name] = e
}

// mode is when a check is evaluated.
type mode int

const (
	both mode = iota
	planning
	asked
)

// example is a project that differs from the healthy one, and what a check finds there.
type example struct {
	what   string
	change func(*Subject)
	mode   mode
	// says is a part of the message, or empty if nothing is found.
	says string
	// remedy is a part of it; attribute the argument; severity and condition are
	// those of the check unless they are set here.
	remedy, attribute string
	severity          Severity
	condition         Condition
}

// TestHealthy proves that nothing is found in a healthy project, neither by a plan
// nor by a status.
func TestHealthy(t *testing.T) {
	t.Parallel()
	if found := Plan(healthy(t)); len(found) > 0 {
		t.Errorf("a plan finds %+v", found)
	}
	if found := Ask(healthy(t)); len(found) > 0 {
		t.Errorf("asked, there is %+v", found)
	}
}

// TestExamples proves of each check that it passes and that it fails, in a plan and
// asked, with its severity and condition, at its argument and with its remedy; and
// that no check is without an example of either.
func TestExamples(t *testing.T) {
	t.Parallel()
	all := examples()
	for _, check := range Registry() {
		list, ok := all[check.Code]
		if !ok {
			t.Errorf("%s has no example", check.Code)
			continue
		}
		delete(all, check.Code)
		passes, fails := false, false
		for _, e := range list {
			passes, fails = passes || e.says == "", fails || e.says != ""
			if e.change == nil {
				t.Errorf("%s, %s: it changes nothing", check.Code, e.what)
				continue
			}
			for _, plan := range []bool{true, false} {
				if plan && (check.Planning == 0 || e.mode == asked) || !plan && (check.Asked == "" || e.mode == planning) {
					continue
				}
				s := healthy(t)
				e.change(s)
				var found []Finding
				if plan {
					found = Plan(s)
				} else {
					found = Ask(s)
				}
				found = slices.DeleteFunc(found, func(f Finding) bool { return f.Code != check.Code })
				e.compare(t, check, plan, found)
			}
		}
		if !passes || !fails {
			t.Errorf("%s passes: %t, fails: %t; it needs an example of both", check.Code, passes, fails)
		}
	}
	for code := range all {
		t.Errorf("no check is called %s", code)
	}
}

func (e example) compare(t *testing.T, check Check, plan bool, found []Finding) {
	t.Helper()
	if e.says == "" {
		if len(found) > 0 {
			t.Errorf("%s, %s (plan: %t): found is %+v", check.Code, e.what, plan, found)
		}
		return
	}
	if len(found) != 1 {
		t.Errorf("%s, %s (plan: %t): found are %d: %+v", check.Code, e.what, plan, len(found), found)
		return
	}
	f := found[0]
	severity, condition := e.severity, e.condition
	switch {
	case severity == 0:
		severity = check.Planning
	case condition == "":
		condition = Healthy
	}
	if condition == "" {
		condition = check.Asked
	}
	if plan && (f.Severity != severity || f.Attribute != e.attribute) {
		t.Errorf("%s, %s: the severity is %d at %q, not %d at %q", check.Code, e.what, f.Severity, f.Attribute, severity, e.attribute)
	}
	if !plan && f.Condition != condition {
		t.Errorf("%s, %s: the condition is %s, not %s", check.Code, e.what, f.Condition, condition)
	}
	if !strings.Contains(f.Message, e.says) || !strings.Contains(f.Remedy, e.remedy) {
		t.Errorf("%s, %s: %s\n%s", check.Code, e.what, f.Message, f.Remedy)
	}
	if !strings.HasPrefix(f.Message, f.Object) && check.Code != "not_readable" || f.Object == "" || strings.Contains(f.Message+f.Remedy, "%!") ||
		!regexp.MustCompile(`^[A-Zp][^\n]*\.$`).MatchString(f.Message) || !regexp.MustCompile(`^[A-Z][^\n]*[.)]$`).MatchString(f.Remedy) {
		t.Errorf("%s, %s: these are not sentences about %q: %q %q", check.Code, e.what, f.Object, f.Message, f.Remedy)
	}
}

// TestCodes proves that codes.json knows the code of each check, with where it
// arises and with each condition that it can mean.
func TestCodes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	all := examples()
	for _, check := range Registry() {
		code, ok := codes.Find(check.Code)
		if !ok || seen[check.Code] {
			t.Errorf("%s is missing in codes.json, or there twice", check.Code)
			continue
		}
		seen[check.Code] = true
		if got := code.ArisesAt(codes.Plan); got != (check.Planning != 0) {
			t.Errorf("codes.json says that %s arises in a plan: %t", check.Code, got)
		}
		if got := code.ArisesAt(codes.Status); got != (check.Asked != "") {
			t.Errorf("codes.json says that %s arises in a status: %t", check.Code, got)
		}
		conditions := map[Condition]bool{}
		if check.Asked != "" {
			conditions[check.Asked] = true
		}
		for _, e := range all[check.Code] {
			switch {
			case e.says == "" || e.mode == planning:
			case e.condition != "":
				conditions[e.condition] = true
			case e.severity == Warning:
				conditions[Healthy] = true
			}
		}
		for condition := range conditions {
			if _, also := code.Also[string(condition)]; !also && string(condition) != code.Condition {
				t.Errorf("codes.json does not say that %s can mean %s", check.Code, condition)
			}
		}
		for also := range code.Also {
			if check.Asked != "" && !conditions[Condition(also)] && check.Code != "tick_failed" && check.Code != "job_inactive" && check.Code != "not_readable" {
				t.Errorf("no example of %s means %s, as codes.json says", check.Code, also)
			}
		}
	}
}

// TestBroken proves that of a backup whose settings cannot be read nothing is said
// for which one has to know them, while the rest is checked.
func TestBroken(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	s.Broken, s.Spec, s.Jobs = true, backup.Spec{ID: s.ID}, nil
	s.Server.InRecovery = true
	found := Ask(s)
	if len(found) != 1 || found[0].Code != "database_read_only" {
		t.Errorf("found is %+v", found)
	}
}

// TestThemes proves that a request for some themes has their findings alone.
func TestThemes(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	s.Processes = facts.Processes{}
	if found := Ask(s, Scheduler, Server); len(found) != 1 || found[0].Code != "scheduler_absent" {
		t.Errorf("found is %+v", found)
	}
}

// TestOwnSource proves that a plan is not sure of what only the built-in function
// is known to need, and is of the rest.
func TestOwnSource(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	s.Spec.OwnSource = true
	delete(s.Tables, "system_logs")
	s.table("backup_logs", func(t *facts.Table) { t.AlteredByPostgres = false })
	s.LogConstraints[0].AdmitsAll = false
	s.Routines = nil
	s.Processes.PgNet = false
	got := map[string]Severity{}
	for _, f := range Plan(s) {
		got[f.Code] = f.Severity
		if unsure := strings.HasSuffix(f.Message, "; whether the function in `source_dir` needs it is not known."); unsure != (f.Severity == Warning) {
			t.Errorf("%s: %s", f.Code, f.Message)
		}
	}
	want := map[string]Severity{"table_missing": Warning, "log_refused": Error, "rpc_missing": Warning, "pg_net_down": Error}
	for code, severity := range want {
		if got[code] != severity {
			t.Errorf("%s has the severity %d, not %d", code, got[code], severity)
		}
	}
	if len(got) != len(want) {
		t.Errorf("found are %v", got)
	}
}

// TestRank proves that conditions are ordered from the worst to the best.
func TestRank(t *testing.T) {
	t.Parallel()
	if NotInstalled.Rank() != 0 || SchedulerDown.Rank() >= Failing.Rank() || Failing.Rank() >= Late.Rank() || Healthy.Rank() != len(Conditions)-1 {
		t.Error("the order is wrong")
	}
}

// TestParseDuration proves that a duration is read as PostgreSQL means it.
func TestParseDuration(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"8s": 8 * time.Second, "10min": 10 * time.Minute, "2500": 2500 * time.Millisecond, "1 h": time.Hour, "0": 0, "1.5s": 1500 * time.Millisecond, "90us": 90 * time.Microsecond, "1d": 24 * time.Hour} {
		if got, ok := parseDuration(value); !ok || got != want {
			t.Errorf("%q is %v, %t", value, got, ok)
		}
	}
	for _, value := range []string{"", "soon", "5 lightyears"} {
		if got, ok := parseDuration(value); ok {
			t.Errorf("%q is %v", value, got)
		}
	}
}

// TestIsOn proves that a boolean is read as PostgreSQL reads one.
func TestIsOn(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"on": true, "ON": true, "true": true, "tr": true, "y": true, "yes": true, "1": true, "": false, "off": false, "o": false, "false": false, "0": false, "trues": false} {
		if isOn(value) != want {
			t.Errorf("%q is %t", value, !want)
		}
	}
}

// TestQuoteIdent proves which names need quotes.
func TestQuoteIdent(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"plain_1": "plain_1", "1st": `"1st"`, "Upper": `"Upper"`, `a"b`: `"a""b"`, "": `""`, "é": `"é"`} {
		if got := QuoteIdent(name); got != want {
			t.Errorf("%q is written %s", name, got)
		}
	}
}
