package provider

import (
	"strings"
	"testing"
)

const ref = "abcdefghijklmnopqrst"

// TestResolve proves where each provider argument comes from: the
// configuration, else its own environment variable, else its default.
func TestResolve(t *testing.T) {
	t.Parallel()
	environment := map[string]string{
		envAccessToken: "env-token", envProjectRef: ref, envDatabaseURL: "postgresql://postgres:x@localhost:5432/postgres",
		envAPIURL: "http://localhost:1/", envProjectURL: "http://localhost:2",
	}
	got, faults := resolve(settings{}, func(name string) string { return environment[name] })
	want := settings{"env-token", ref, environment[envDatabaseURL], "http://localhost:1", "http://localhost:2", nil}
	if len(faults) > 0 || got != want {
		t.Errorf("got %+v %v", got, faults)
	}
	own := settings{"token", "zyxwvutsrqponmlkjihg", "postgresql://postgres:y@localhost/postgres", "https://api", "https://{ref}.example", nil}
	if got, faults := resolve(own, func(name string) string { return environment[name] }); len(faults) > 0 || got != own {
		t.Errorf("the environment wins over the configuration: %+v %v", got, faults)
	}
	got, faults = resolve(settings{AccessToken: "t"}, func(string) string { return "" })
	if len(faults) > 0 || got.APIURL != "https://api.supabase.com" || got.gateway(ref).url != "https://"+ref+".supabase.co" {
		t.Errorf("got %+v %v", got, faults)
	}
}

// TestResolveComplains proves that a wrong argument is named, and that the
// password of a database URL is never quoted.
func TestResolveComplains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config    settings
		attribute string
		says      string
	}{
		{settings{}, "access_token", envAccessToken},
		{settings{AccessToken: "t", ProjectRef: "short"}, "project_ref", "20 lower-case letters"},
		{settings{AccessToken: "t", APIURL: "api.supabase.com"}, "api_url", "http"},
		{settings{AccessToken: "t", ProjectURL: "ftp://{ref}"}, "project_url", "http"},
		{settings{AccessToken: "t", DatabaseURL: "postgresql://postgres:canary@h/postgres"}, "database_url", "project_ref"},
		{settings{AccessToken: "t", ProjectRef: ref, DatabaseURL: "canary"}, "database_url", "form"},
		{settings{AccessToken: "t", ProjectRef: ref, DatabaseURL: "mysql://root:canary@h/db"}, "database_url", "form"},
		{settings{AccessToken: "t", ProjectRef: ref, DatabaseURL: "postgresql://postgres:can%ary@h/postgres"}, "database_url", "percent-encoded"},
		{settings{AccessToken: "t", ProjectRef: ref, DatabaseURL: "postgresql://postgres:canary@db.zyxwvutsrqponmlkjihg.supabase.co:5432/postgres"}, "database_url", "zyxwvutsrqponmlkjihg"},
		{settings{AccessToken: "t", ProjectRef: ref, DatabaseURL: "postgresql://postgres.zyxwvutsrqponmlkjihg:canary@aws-0-eu.pooler.supabase.com:6543/postgres"}, "database_url", "zyxwvutsrqponmlkjihg"},
	} {
		_, faults := resolve(c.config, func(string) string { return "" })
		if len(faults) != 1 || faults[0].attribute != c.attribute || !strings.Contains(faults[0].detail, c.says) {
			t.Errorf("%+v: got %v, want %s: …%s…", c.config, faults, c.attribute, c.says)
			continue
		}
		if strings.Contains(faults[0].detail, "canary") {
			t.Errorf("the complaint quotes the password: %s", faults[0].detail)
		}
	}
}
