package provider

import (
	"strings"
	"testing"
	"time"
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
	got, faults := resolve(providerConfig{}, func(name string) string { return environment[name] })
	want := providerConfig{"env-token", ref, environment[envDatabaseURL], "http://localhost:1", "http://localhost:2", nil}
	if len(faults) > 0 || got != want {
		t.Errorf("got %+v %v", got, faults)
	}
	own := providerConfig{"token", "zyxwvutsrqponmlkjihg", "postgresql://postgres:y@localhost/postgres", "https://api", "https://{ref}.example", nil}
	if got, faults := resolve(own, func(name string) string { return environment[name] }); len(faults) > 0 || got != own {
		t.Errorf("the environment wins over the configuration: %+v %v", got, faults)
	}
	got, faults = resolve(providerConfig{AccessToken: "t"}, func(string) string { return "" })
	if len(faults) > 0 || got.APIURL != "https://api.supabase.com" || got.gateway(ref).url != "https://"+ref+".supabase.co" {
		t.Errorf("got %+v %v", got, faults)
	}
}

// TestResolveComplains proves that a wrong argument is named, and that the
// password of a database URL is never quoted.
func TestResolveComplains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config    providerConfig
		attribute string
		says      string
	}{
		{providerConfig{}, "access_token", envAccessToken},
		{providerConfig{AccessToken: "t", ProjectRef: "short"}, "project_ref", "20 lower-case letters"},
		{providerConfig{AccessToken: "t", APIURL: "api.supabase.com"}, "api_url", "http"},
		{providerConfig{AccessToken: "t", ProjectURL: "ftp://{ref}"}, "project_url", "http"},
		{providerConfig{AccessToken: "t", DatabaseURL: "postgresql://postgres:canary@h/postgres"}, "database_url", "project_ref"},
		{providerConfig{AccessToken: "t", ProjectRef: ref, DatabaseURL: "canary"}, "database_url", "form"},
		{providerConfig{AccessToken: "t", ProjectRef: ref, DatabaseURL: "mysql://root:canary@h/db"}, "database_url", "form"},
		{providerConfig{AccessToken: "t", ProjectRef: ref, DatabaseURL: "postgresql://postgres:can%ary@h/postgres"}, "database_url", "percent-encoded"},
		{providerConfig{AccessToken: "t", ProjectRef: ref, DatabaseURL: "postgresql://postgres:canary@db.zyxwvutsrqponmlkjihg.supabase.co:5432/postgres"}, "database_url", "zyxwvutsrqponmlkjihg"},
		{providerConfig{AccessToken: "t", ProjectRef: ref, DatabaseURL: "postgresql://postgres.zyxwvutsrqponmlkjihg:canary@aws-0-eu.pooler.supabase.com:6543/postgres"}, "database_url", "zyxwvutsrqponmlkjihg"},
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

// TestResolveSelfHosted proves the defaults of a self-hosted project, that the
// platform's variables are not in its way, and that what it lacks, or what has
// no place beside it, is named.
func TestResolveSelfHosted(t *testing.T) {
	t.Parallel()
	const database = "postgresql://postgres.your-tenant-id:canary@localhost:5432/postgres"
	environment := map[string]string{
		envAccessToken: "t", envProjectRef: ref, envAPIURL: "x", envProjectURL: "x", envDatabaseURL: database, envAnonKey: "sb_publishable_x",
	}
	own := func(change func(*selfHosted)) providerConfig {
		s := &selfHosted{}
		s.FunctionsDir = "functions"
		change(s)
		return providerConfig{SelfHosted: s}
	}
	got, faults := resolve(own(func(*selfHosted) {}), func(name string) string { return environment[name] })
	if len(faults) > 0 || got.ProjectRef != "self-hosted" || got.AccessToken != "" || got.DatabaseURL != database ||
		got.gateway("self-hosted") != (gateway{url: "http://kong:8000", lifetime: time.Minute}) || got.SelfHosted.APIKey != "sb_publishable_x" {
		t.Errorf("got %+v %+v %v", got, got.SelfHosted, faults)
	}
	for _, c := range []struct {
		config    providerConfig
		without   string
		attribute string
		says      string
	}{
		{own(func(*selfHosted) {}), envDatabaseURL, "database_url", "54322"},
		{own(func(*selfHosted) {}), envAnonKey, "self_hosted.anon_key", "supabase status"},
		{own(func(s *selfHosted) { s.APIKey = "canary\n" }), "", "self_hosted.anon_key", "line break"},
		{own(func(s *selfHosted) { s.VerifyJWT = true }), "", "self_hosted.anon_key", "JWT"},
		{own(func(s *selfHosted) { s.URL = "kong:8000" }), "", "self_hosted.url", "http"},
		{own(func(s *selfHosted) { s.TokensInEnvironment = true }), "", "self_hosted.env_file", "env_file"},
		{providerConfig{AccessToken: "canary", SelfHosted: own(func(*selfHosted) {}).SelfHosted}, "", "access_token", "no Management API"},
		{providerConfig{ProjectURL: "http://x", SelfHosted: own(func(*selfHosted) {}).SelfHosted}, "", "project_url", "self_hosted.url"},
		{providerConfig{ProjectRef: ref, SelfHosted: own(func(*selfHosted) {}).SelfHosted}, "", "project_ref", "no reference"},
		{providerConfig{AccessToken: "t", ProjectRef: "self-hosted"}, "", "project_ref", "self_hosted"},
	} {
		hosted := c.config.SelfHosted == nil
		_, faults := resolve(c.config, func(name string) string {
			if name == c.without || hosted {
				return ""
			}
			return environment[name]
		})
		if len(faults) != 1 || faults[0].attribute != c.attribute || !strings.Contains(faults[0].detail, c.says) || strings.Contains(faults[0].detail, "canary") {
			t.Errorf("%+v: got %v, want %s: …%s…", c.config, faults, c.attribute, c.says)
		}
	}
}
