package preflight

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// healthySnapshot is a project in which nothing stands in the way of a backup,
// as small as that can be.
const healthySnapshot = `{
	"server": {"version": 150020, "user": "postgres", "database": "postgres", "writer": true, "sees_processes": true},
	"parameters": {"cron.database_name": "postgres", "max_worker_processes": "8", "shared_preload_libraries": "pg_cron,pg_net", "statement_timeout": "120000"},
	"roles": {
		"postgres": {"bypasses_rls": true, "uses_public": true, "creates_schemas": true},
		"service_role": {"bypasses_rls": true, "uses_public": true}
	},
	"scheduler": true, "net_worker": true, "background_workers": 2, "cron_owner_writes": true, "subscribers": 1,
	"available_extensions": {
		"pg_cron": {"available": "1.6", "installed": "1.6", "schema": "pg_catalog", "owner": "supabase_admin"},
		"pg_net": {"available": "0.20.4", "installed": "0.20.4", "schema": "extensions", "owner": "supabase_admin"},
		"supabase_vault": {"available": "0.3.1", "installed": "0.3.1", "schema": "vault", "owner": "supabase_admin"}
	},
	"calls": {"cron.schedule": true, "cron.alter_job": true, "cron.unschedule": true, "net.http_post": true, "vault.create_secret": true, "vault.update_secret": true},
	"routines": [{
		"schema": "public", "kind": "f", "volatile": true, "definer": true, "signature": "public.backup_all_data()", "language": "plpgsql", "type": "json",
		"source": "begin return json_build_object('backup_id', gen_random_uuid()); end", "config": ["statement_timeout=1min"], "owner": "postgres",
		"owner_bypasses_rls": true, "callable": true
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

func healthy(t *testing.T) (snapshot, backup.Spec) {
	t.Helper()
	var s snapshot
	if err := json.Unmarshal([]byte(healthySnapshot), &s); err != nil {
		t.Fatal(err)
	}
	s.edge, s.secrets = map[string]string{backup.DefaultAlertFunction: backup.StatusActive}, map[string]bool{mailKey: true}
	daily, err := backup.CompileSchedule(backup.DefaultCron, nil, backup.DefaultTimezone, true, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return s, backup.Spec{ExtendLogConstraint: true, Settings: backup.Settings{
		Timezone: backup.DefaultTimezone, Schedules: map[string]backup.Schedule{"daily": daily},
		Function: backup.FunctionSettings{RPC: backup.DefaultRPC}, Alert: backup.AlertSettings{Enabled: true, Function: backup.DefaultAlertFunction},
	}}
}

// TestEvaluate proves what is said of causes that no server of a test can be
// brought into, or that an older or newer extension would have: one finding
// each, at its argument and with its remedy, and none in a healthy project.
func TestEvaluate(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*snapshot, *backup.Spec) {
		return func(s *snapshot, _ *backup.Spec) { s.Settings[name] = value }
	}
	extension := func(name string, change func(available, installed *string)) func(*snapshot, *backup.Spec) {
		return func(s *snapshot, _ *backup.Spec) {
			e := s.Extensions[name]
			change(&e.Available, &e.Installed)
			s.Extensions[name] = e
		}
	}
	missing := func(_, installed *string) { *installed = "" }
	for what, c := range map[string]struct {
		change    func(*snapshot, *backup.Spec)
		severity  Severity
		attribute string
		says      string // empty: no finding
		remedy    string
	}{
		"healthy":                      {func(*snapshot, *backup.Spec) {}, 0, "", "", ""},
		"a standby":                    {func(s *snapshot, _ *backup.Spec) { s.Server.InRecovery = true }, Error, "", "standby in recovery", "primary"},
		"an old server":                {func(s *snapshot, _ *backup.Spec) { s.Server.Version = 140_011 }, Warning, "", "is PostgreSQL 14", "Upgrade"},
		"read-only by configuration":   {set("default_transaction_read_only", "on"), Error, "", "read-only mode", "disk"},
		"no role postgres":             {func(s *snapshot, _ *backup.Spec) { delete(s.Roles, "postgres") }, Error, "", "The role postgres does not exist", "create role postgres"},
		"a reader plans":               {func(s *snapshot, _ *backup.Spec) { s.Server.User, s.Server.Writer = "auditor", false }, 0, "", "", ""},
		"no extension there":           {func(s *snapshot, _ *backup.Spec) { delete(s.Extensions, "pg_net") }, Error, "", "pg_net is not available", "shared_preload_libraries"},
		"an extension not created yet": {extension("supabase_vault", missing), 0, "", "", ""},
		"pg_cron not loaded": {func(s *snapshot, p *backup.Spec) {
			extension("pg_cron", missing)(s, p)
			s.Settings["shared_preload_libraries"] = "pg_net"
		}, Error, "", "loaded it at its start", "'pg_net,pg_cron'"},
		"an old pg_cron":               {extension("pg_cron", func(_, i *string) { *i = "1.3" }), Error, "", "has version 1.3, and 1.4 is the oldest", "alter extension pg_cron update"},
		"pg_cron as Debian names it":   {extension("pg_cron", func(_, i *string) { *i = "1.4-1" }), 0, "", "", ""},
		"an old pg_net":                {extension("pg_net", func(_, i *string) { *i = "0.1" }), Error, "", "0.2 is the oldest", "update"},
		"pg_cron for another database": {set("cron.database_name", "cron"), Error, "", "runs no job of database postgres", "restart the server"},
		"pg_net for another database":  {set("pg_net.database_name", "net"), Error, "", "no request of database postgres", "restart the server"},
		"pg_cron in another time zone": {set("cron.timezone", "America/Sao_Paulo"), Error, "timezone", "would run at other times", "'GMT'"},
		"pg_cron in GMT":               {set("cron.timezone", "GMT"), 0, "", "", ""},
		"pg_cron switched off":         {set("cron.launch_active_jobs", "off"), Error, "schedules", "starts no jobs", "pg_reload_conf"},
		"no worker left": {func(s *snapshot, _ *backup.Spec) {
			s.Settings["cron.use_background_workers"], s.BackgroundWorkers = "on", 8
		}, Warning, "schedules", "all 8 of max_worker_processes", "max_worker_processes = 16"},
		"a zone that the database lacks": {func(s *snapshot, _ *backup.Spec) { s.UnknownZones = []string{"America/Coyhaique"} }, Error, "timezone", "America/Coyhaique is not known", "pg_timezone_names"},
		"a schedule's zone that it lacks": {func(s *snapshot, p *backup.Spec) {
			zone := "America/Coyhaique"
			s.UnknownZones = []string{zone}
			d := p.Settings.Schedules["daily"]
			d.Timezone = &zone
			p.Settings.Schedules["daily"] = d
		}, Error, "schedules.daily.timezone", "America/Coyhaique", ""},
		"processes that a reader cannot see": {func(s *snapshot, _ *backup.Spec) { s.NetWorker, s.Server.SeesProcesses = false, false }, 0, "", "", ""},
		"a source of one's own":              {func(s *snapshot, p *backup.Spec) { p.OwnSource = true; delete(s.Tables, "system_logs") }, Warning, "", "public.system_logs does not exist, and every run is written there; whether", "migrations"},
		"a function in C":                    {func(s *snapshot, _ *backup.Spec) { s.Routines[0].Language = "c" }, Warning, "function.rpc", "is written in c", `verify = "backup"`},
		"a row instead of JSON": {func(s *snapshot, _ *backup.Spec) {
			s.Routines[0].Type, s.Routines[0].ResultColumns = "record", []string{"success", "backup_id"}
		}, 0, "", "", ""},
		"a row that lacks the id": {func(s *snapshot, _ *backup.Spec) {
			s.Routines[0].Type, s.Routines[0].ResultColumns = "record", []string{"success", "total"}
		}, Error, "function.rpc", "returns record", "function.source_dir"},
		"no timeout at all":                   {func(s *snapshot, _ *backup.Spec) { s.Routines[0].Config = []string{"statement_timeout=0"} }, 0, "", "", ""},
		"the database's timeout":              {func(s *snapshot, _ *backup.Spec) { s.Routines[0].Config, s.Settings["statement_timeout"] = nil, "9000" }, Warning, "function.rpc", "after 9s (statement_timeout, set for the database)", "service_role"},
		"alerts off, and nobody to send them": {func(s *snapshot, p *backup.Spec) { p.Settings.Alert.Enabled, s.edge, s.Subscribers = false, nil, nil }, 0, "", "", ""},
		"an alert function of one's own": {func(s *snapshot, p *backup.Spec) {
			p.Settings.Alert.Function = "pager"
			s.edge["pager"] = backup.StatusActive
			s.secrets = nil
		}, 0, "", "", ""},
		"subscribers that cannot be read": {func(s *snapshot, _ *backup.Spec) { s.Tables[subscriptions].Rights["service_role"] = "" }, Warning, "alert.function", "may not be read by service_role", "grant select"},
		"a view instead of a log": {func(s *snapshot, _ *backup.Spec) {
			l := s.Tables["backup_logs"]
			l.Kind = "v"
			s.Tables["backup_logs"] = l
		}, Warning, "", "is no table", ""},
		"a log without a key": {func(s *snapshot, _ *backup.Spec) {
			l := s.Tables["backup_logs"]
			l.Unique = nil
			s.Tables["backup_logs"] = l
		}, Warning, "", "makes two backups", "primary key (id)"},
		"a log that the watchdog cannot read": {func(s *snapshot, _ *backup.Spec) { s.Tables["system_logs"].Rights["postgres"] = "IU" }, Warning, "", "The role postgres lacks SELECT on public.system_logs", "to postgres"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, spec := healthy(t)
			c.change(&s, &spec)
			findings, _ := s.evaluate(spec)
			if c.says == "" {
				if len(findings) > 0 {
					t.Errorf("got %+v", findings)
				}
				return
			}
			if len(findings) != 1 {
				t.Fatalf("got %d findings: %+v", len(findings), findings)
			}
			f := findings[0]
			if f.Severity != c.severity || f.Attribute != c.attribute || !strings.Contains(f.Object+" "+f.Reason, c.says) || !strings.Contains(f.Remedy, c.remedy) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// TestParseSetting proves that a duration is read as PostgreSQL means it.
func TestParseSetting(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"8s": 8 * time.Second, "10min": 10 * time.Minute, "2500": 2500 * time.Millisecond, "1 h": time.Hour, "0": 0, "1.5s": 1500 * time.Millisecond} {
		if got, ok := parseSetting(text); !ok || got != want {
			t.Errorf("%q is %v, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "soon", "5 lightyears"} {
		if got, ok := parseSetting(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}
