package backup

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
)

// TestElsewhere proves that settings which were copied from another project are told
// apart by the first of their URLs, and that those without URLs are not.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	const own, other = "https://own.supabase.co/functions/v1/", "https://other.supabase.co/functions/v1/"
	urls := func(function, alert string) Settings {
		return Settings{Function: FunctionSettings{URL: function}, Alert: AlertSettings{URL: alert}}
	}
	mine := urls(own+"auto-backup", own+"alert-processor")
	for what, c := range map[string]struct {
		found, own  Settings
		there, here string
	}{
		"the same":             {mine, mine, "", ""},
		"another slug":         {urls(own+"x", own+"y"), mine, "", ""},
		"both":                 {urls(other+"auto-backup", other+"alert-processor"), mine, other + "auto-backup", own + "auto-backup"},
		"the alert's":          {urls(own+"auto-backup", other+"alert-processor"), mine, other + "alert-processor", own + "alert-processor"},
		"none":                 {Settings{}, mine, "", ""},
		"no URL":               {urls("nowhere", ""), mine, "", ""},
		"the own one is unset": {urls(other+"auto-backup", ""), Settings{}, "", ""},
	} {
		if there, here := c.found.Elsewhere(c.own); there != c.there || here != c.here {
			t.Errorf("%s: %q and %q", what, there, here)
		}
	}
}

// TestSettingsDocument proves the JSON document that the dispatcher and the
// watchdog read, and that it is read back as it was written.
func TestSettingsDocument(t *testing.T) {
	t.Parallel()
	zone, table, rotate := "Asia/Almaty", "backup_articles", "2026"
	full := Settings{
		Timezone: "UTC",
		Schedules: map[string]Schedule{"daily": {
			Cron: "0 3 1 * 1", Timezone: &zone, Enabled: true, UTC: "0 22 * * *", Guarded: true, Zone: zone,
			Minutes: []int{0}, Hours: []int{3}, Days: []int{1}, Months: []int{1, 2}, Weekdays: []int{1}, DaysEither: true,
		}},
		Function:  FunctionSettings{URL: "u", RPC: "r", VerifyTable: &table, SendKey: true},
		Alert:     AlertSettings{Enabled: true, Function: "f", URL: "a", Source: "s", OverdueAfterSeconds: 3600},
		Retry:     RetrySettings{Attempts: 2, DelaySeconds: 60},
		Heartbeat: &notify.Heartbeat{Form: notify.Sentry, Language: notify.English},
		Webhooks:  map[string]notify.Webhook{"ops": {Form: notify.Generic, Events: []string{"failed", "recovered"}, Language: notify.Portuguese, Signed: true}},
		Secrets:   []string{"A", "B"}, AdoptedSecrets: []string{"B"}, RotateToken: &rotate, Instance: "i",
	}
	for what, c := range map[string]struct {
		settings Settings
		want     string
	}{
		"full": {full, `{"timezone":"UTC","schedules":{"daily":{"cron":"0 3 1 * 1","timezone":"Asia/Almaty","enabled":true,"utc":"0 22 * * *","guarded":true,"zone":"Asia/Almaty",` +
			`"minutes":[0],"hours":[3],"days":[1],"months":[1,2],"weekdays":[1],"days_either":true}},` +
			`"function":{"url":"u","rpc":"r","verify_table":"backup_articles","send_key":true},` +
			`"alert":{"enabled":true,"function":"f","url":"a","source":"s","overdue_after_seconds":3600},` +
			`"retry":{"attempts":2,"delay_seconds":60},"heartbeat":{"form":"sentry","language":"en"},` +
			`"webhooks":{"ops":{"form":"generic","events":["failed","recovered"],"language":"pt-BR","signed":true}},"secrets":["A","B"],"adopted_secrets":["B"],"rotate_token":"2026","instance":"i"}`},
		"empty": {Settings{Secrets: []string{}, Schedules: map[string]Schedule{}}, `{"timezone":"","schedules":{},"function":{"url":"","rpc":"","verify_table":null},` +
			`"alert":{"enabled":false,"function":"","url":"","source":"","overdue_after_seconds":0},"retry":{"attempts":0,"delay_seconds":0},"secrets":[]}`},
	} {
		text, err := json.Marshal(c.settings)
		if err != nil || string(text) != c.want {
			t.Errorf("%s: got %s, %v\nwant %s", what, text, err, c.want)
		}
		var back Settings
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		equal(t, what, back, c.settings)
	}
	short := full
	short.Function.Lifetime = time.Hour
	if !equalJSON(full, short) {
		t.Error("the database is told the lifetime, which it need not know")
	}
}

// TestNeedsKey proves when the database has to have a key.
func TestNeedsKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ alert, sendKey, want bool }{{false, false, false}, {true, false, true}, {false, true, true}, {true, true, true}} {
		s := Settings{Alert: AlertSettings{Enabled: c.alert}, Function: FunctionSettings{SendKey: c.sendKey}}
		if got := s.NeedsKey(); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

// TestBuiltInSource proves what the built-in function learns about its backup, and
// that it waits for the backup only as long as its lifetime allows.
func TestBuiltInSource(t *testing.T) {
	t.Parallel()
	table := "backup_articles"
	settings := Settings{Timezone: "America/Sao_Paulo", Function: FunctionSettings{RPC: "my_backup"}, Alert: AlertSettings{Function: "alert-processor", Source: "Falha"}}
	with := func(change func(*Settings)) Settings {
		s := settings
		change(&s)
		return s
	}
	config := func(timeout, table, alert string) string {
		return `{"managed_by":"terraform-provider-aimindset","backup":"auto-backup","timezone":"America/Sao_Paulo","token_secret":"AUTO_BACKUP_TOKEN","rpc":"my_backup",` +
			`"rpc_timeout_ms":` + timeout + `,"verify_table":` + table + `,"alert":` + alert + `}`
	}
	for what, c := range map[string]struct {
		settings Settings
		want     string
	}{
		"plain":             {settings, config("100000", "null", "null")},
		"with alert":        {with(func(s *Settings) { s.Alert.Enabled = true }), config("100000", "null", `{"function":"alert-processor","source":"Falha"}`)},
		"with a table":      {with(func(s *Settings) { s.Function.VerifyTable = &table }), config("100000", `"backup_articles"`, "null")},
		"a long lifetime":   {with(func(s *Settings) { s.Function.Lifetime = 400 * time.Second }), config("100000", "null", "null")},
		"a lifetime of 60s": {with(func(s *Settings) { s.Function.Lifetime = time.Minute }), config("40000", "null", "null")},
		"a short lifetime":  {with(func(s *Settings) { s.Function.Lifetime = time.Second }), config("1000", "null", "null")},
	} {
		code := BuiltInSource(DefaultName, c.settings)
		var got, want any
		if json.Unmarshal(code.Files["config.json"], &got) != nil || json.Unmarshal([]byte(c.want), &want) != nil {
			t.Fatalf("%s: %s", what, code.Files["config.json"])
		}
		equal(t, what, got, want)
	}
}

// TestSpec proves the jobs of a spec, and what completes it.
func TestSpec(t *testing.T) {
	t.Parallel()
	spec := Spec{ID: ID{testRef, DefaultName}, Settings: Settings{Schedules: map[string]Schedule{"daily": {UTC: "0 6 * * *", Enabled: true}, "off": {UTC: "0 7 * * *"}}}}
	equal(t, "jobs", spec.Jobs(), map[string]Job{
		"daily":    {Name: "auto-backup-daily", Schedule: "0 6 * * *", Command: "set statement_timeout = '2min'; select auto_backup.dispatch('auto-backup', 'daily')", Active: true, Database: "postgres", Username: "postgres"},
		"off":      {Name: "auto-backup-off", Schedule: "0 7 * * *", Command: "set statement_timeout = '2min'; select auto_backup.dispatch('auto-backup', 'off')", Database: "postgres", Username: "postgres"},
		"watchdog": {Name: "auto-backup-watchdog", Schedule: "*/10 * * * *", Command: "set statement_timeout = '2min'; select auto_backup.watch('auto-backup')", Active: true, Database: "postgres", Username: "postgres"},
	})
	for key, want := range map[string]bool{"daily": true, "daily@other": true, "watchdog": true, "nightly": false, "nightly@daily": false} {
		if got := spec.WantsJob(key); got != want {
			t.Errorf("it wants %s: %t", key, got)
		}
	}
	for what, c := range map[string]struct {
		own   string
		found *Settings
		want  string
	}{
		"of a new backup":       {"new", nil, "new"},
		"of an installed one":   {"", &Settings{Instance: "old"}, "old"},
		"of one that is retold": {"same", &Settings{Instance: "old"}, "same"},
		"of nobody":             {"", nil, ""},
	} {
		spec.Settings.Instance = c.own
		if got := spec.Completed(State{Settings: c.found}).Settings.Instance; got != c.want {
			t.Errorf("the instance %s is %q", what, got)
		}
	}
}

// TestChannelSecrets proves which vault secrets the heartbeat and the webhooks need: a URL
// for each, and a signing secret for those that are signed.
func TestChannelSecrets(t *testing.T) {
	t.Parallel()
	for want, settings := range map[string]Settings{
		"[]":            {},
		"[n/heartbeat]": {Heartbeat: &notify.Heartbeat{}},
		"[n/heartbeat n/webhook-secret/b n/webhook/a n/webhook/b]": {
			Heartbeat: &notify.Heartbeat{}, Webhooks: map[string]notify.Webhook{"a": {}, "b": {Signed: true}},
		},
	} {
		if got := settings.ChannelSecrets("n"); fmt.Sprint(got) != want || !slices.IsSorted(got) {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}
