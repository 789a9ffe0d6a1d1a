package provider

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
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
	got, invalid := resolve(providerConfig{}, func(name string) string { return environment[name] })
	want := providerConfig{
		AccessToken: "env-token", ProjectRef: ref, APIURL: "http://localhost:1", ProjectURL: "http://localhost:2", GatewayOf: ref,
		Database: database{URL: environment[envDatabaseURL], Project: ref, Source: "the environment variable SUPABASE_DB_URL", Host: "localhost:5432"},
	}
	if len(invalid) > 0 || got != want {
		t.Errorf("got %+v %v", got, invalid)
	}
	if other := got.gateway("zyxwvutsrqponmlkjihg").url; other != "https://zyxwvutsrqponmlkjihg.supabase.co" {
		t.Errorf("the gateway of another project is %s", other)
	}
	url := "postgresql://postgres:y@localhost/postgres"
	own := providerConfig{AccessToken: "token", ProjectRef: "zyxwvutsrqponmlkjihg", DatabaseURL: &url, APIURL: "https://api", ProjectURL: "https://{ref}.example"}
	want = own
	want.Database = database{URL: url, Project: own.ProjectRef, Source: "`database_url`", Host: "localhost:5432"}
	if got, invalid := resolve(own, func(name string) string { return environment[name] }); len(invalid) > 0 || got != want {
		t.Errorf("the environment wins over the configuration: %+v %v", got, invalid)
	}
	got, invalid = resolve(providerConfig{AccessToken: "t"}, func(string) string { return "" })
	if len(invalid) > 0 || got.APIURL != "https://api.supabase.com" || got.gateway(ref).url != "https://"+ref+".supabase.co" {
		t.Errorf("got %+v %v", got, invalid)
	}
}

// TestConfigure proves what is said of each argument that cannot be used, in the
// configuration and in the environment: the answer of the package that uses the
// value, at the argument, with the argument's and the variable's name, and
// without any part of a password or token.
func TestConfigure(t *testing.T) {
	const password = "canary"
	type environment = map[string]string
	valid := environment{envAccessToken: "t"}
	for what, c := range map[string]struct {
		attribute, variable, value string
		others                     environment
		says                       string
	}{
		"no token":                {"access_token", envAccessToken, "", environment{envAccessToken: ""}, "Set `access_token` or, better, the environment variable SUPABASE_ACCESS_TOKEN."},
		"a line break":            {"access_token", envAccessToken, "sbp_" + password + "\n", nil, "The access token contains a space, a line break or another character that no token has; copy it again."},
		"a short reference":       {"project_ref", envProjectRef, "short", nil, "20 lower-case letters"},
		"a reference of no one":   {"project_ref", envProjectRef, "self-hosted", nil, "the argument `self_hosted` describes"},
		"an API without a scheme": {"api_url", envAPIURL, "api.supabase.com", nil, "The Management API's URL must be like https://api.supabase.com, without user, query or fragment."},
		"an API with a user":      {"api_url", envAPIURL, "https://me:" + password + "@api.supabase.com", nil, "without user, query or fragment"},
		"an API over http":        {"api_url", envAPIURL, "http://api.supabase.com", nil, "must begin with https://, because the access token is sent there"},
		"a gateway over ftp":      {"project_url", envProjectURL, "ftp://{ref}", nil, `"ftp://{ref}" is not an http or https address. {ref} in it is replaced by the project's reference.`},
		"no project":              {"database_url", envDatabaseURL, "postgresql://postgres:canary@h/postgres", nil, "Set `project_ref` or the environment variable SUPABASE_PROJECT_REF too"},
		"the dashboard's text":    {"database_url", envDatabaseURL, "postgresql://postgres:[YOUR-PASSWORD]@db." + ref + ".supabase.co:5432/postgres", environment{envProjectRef: ref}, "The database URL still has [YOUR-PASSWORD] in place of the password; write the database's password there"},
		"no URL":                  {"database_url", envDatabaseURL, password, environment{envProjectRef: ref}, "The database URL must have the form postgresql://user:password@host:port/database."},
		"another database":        {"database_url", envDatabaseURL, "mysql://root:canary@h/db", environment{envProjectRef: ref}, "must have the form"},
		"no user":                 {"database_url", envDatabaseURL, "postgresql://h:5432/postgres", environment{envProjectRef: ref}, "must name a host and a user"},
		"a plain %":               {"database_url", envDatabaseURL, "postgresql://postgres:can%ary@h/postgres", environment{envProjectRef: ref}, "must be percent-encoded (@ is %40)"},
		"a plain #":               {"database_url", envDatabaseURL, "postgresql://postgres:can#ary@h/postgres", environment{envProjectRef: ref}, "must be percent-encoded"},
		"an unknown parameter":    {"database_url", envDatabaseURL, "postgresql://postgres:canary@h/postgres?ssl=1", environment{envProjectRef: ref}, `The database URL has the parameter "ssl", which is not supported; remove it.`},
		"another project's host":  {"database_url", envDatabaseURL, "postgresql://postgres:canary@db.zyxwvutsrqponmlkjihg.supabase.co:5432/postgres", environment{envProjectRef: ref}, `The database URL is that of project "zyxwvutsrqponmlkjihg", and ` + "`project_ref`" + ` is "` + ref + `".`},
		"another project's role":  {"database_url", envDatabaseURL, "postgresql://terraform.zyxwvutsrqponmlkjihg:canary@aws-0-eu.pooler.supabase.com:6543/postgres", environment{envProjectRef: ref}, "Its host is aws-0-eu.pooler.supabase.com:6543."},
		"another project's user":  {"database_url", envDatabaseURL, "postgresql://postgres.zyxwvutsrqponmlkjihg:canary@aws-0-eu.pooler.supabase.com:6543/postgres", environment{envProjectRef: ref}, `"zyxwvutsrqponmlkjihg"`},
	} {
		for _, from := range []string{"configuration", "environment"} {
			t.Run(what+"/"+from, func(t *testing.T) {
				for _, variable := range []string{envAccessToken, envProjectRef, envDatabaseURL, envAPIURL, envProjectURL} {
					t.Setenv(variable, valid[variable])
				}
				for variable, value := range c.others {
					t.Setenv(variable, value)
				}
				config := map[string]string{}
				if from == "environment" {
					t.Setenv(c.variable, c.value)
				} else if c.value != "" {
					config[c.attribute] = c.value
				}
				diags := configure(t, config)
				if len(diags) != 1 {
					t.Fatalf("got %d diagnostics: %v", len(diags), diags)
				}
				said := diags[0].Summary + ": " + diags[0].Detail
				if at := argumentOf(diags[0].Attribute); at != c.attribute || !strings.Contains(said, "`"+c.attribute+"`") {
					t.Errorf("it is at %q and does not name %s: %s", at, c.attribute, said)
				}
				if !strings.Contains(said, c.says) {
					t.Errorf("it does not say %q: %s", c.says, said)
				}
				origin := strings.Contains(said, "The value is that of the environment variable "+c.variable+".")
				if want := from == "environment" && c.value != ""; origin != want {
					t.Errorf("it names the variable: %t, want %t: %s", origin, want, said)
				}
				if strings.Contains(said, password) || strings.Contains(said, "can%ary") || strings.Contains(said, "can#ary") {
					t.Errorf("it quotes a secret: %s", said)
				}
			})
		}
	}
}

// PackConfig encodes a provider block, in which every argument without a value is null.
func PackConfig(t *testing.T, server tfprotov6.ProviderServer, config map[string]string) *tfprotov6.DynamicValue {
	t.Helper()
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	kind, ok := schemas.Provider.ValueType().(tftypes.Object)
	if !ok {
		t.Fatalf("the schema is a %T", schemas.Provider.ValueType())
	}
	values := map[string]tftypes.Value{}
	for name, attribute := range kind.AttributeTypes {
		values[name] = tftypes.NewValue(attribute, nil)
		if value, ok := config[name]; ok {
			values[name] = tftypes.NewValue(attribute, value)
		}
	}
	packed, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, values))
	if err != nil {
		t.Fatal(err)
	}
	return &packed
}

// configure passes a configuration to the provider, as Terraform does.
func configure(t *testing.T, config map[string]string) []*tfprotov6.Diagnostic {
	t.Helper()
	p := New("test")()
	server, err := NewServer(p)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: PackConfig(t, server, config)})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Diagnostics
}

// TestResolveSelfHosted proves what is taken for granted of a self-hosted project, that the
// platform's variables are not in its way, and that what it lacks, or what has
// no place beside it, is named.
func TestResolveSelfHosted(t *testing.T) {
	t.Parallel()
	const database = "postgresql://postgres.your-tenant-id:canary@localhost:5432/postgres"
	environment := map[string]string{
		envAccessToken: "t", envProjectRef: "self-hosted", envAPIURL: "x", envProjectURL: "x", envDatabaseURL: database, envAnonKey: "sb_publishable_x",
	}
	own := func(change func(*selfHosted)) providerConfig {
		s := &selfHosted{}
		s.FunctionsDir = "functions"
		change(s)
		return providerConfig{SelfHosted: s}
	}
	got, invalid := resolve(own(func(*selfHosted) {}), func(name string) string { return environment[name] })
	if len(invalid) > 0 || got.ProjectRef != "self-hosted" || got.AccessToken != "" || got.Database.URL != database ||
		got.gateway("self-hosted") != (gateway{url: "http://kong:8000", lifetime: time.Minute}) || got.SelfHosted.APIKey != "sb_publishable_x" {
		t.Errorf("got %+v %+v %v", got, got.SelfHosted, invalid)
	}
	for setup, want := range map[string]struct {
		url      string
		lifetime time.Duration
		fresh    bool
	}{
		"":                {"http://kong:8000", time.Minute, false},
		setupDocker:       {"http://kong:8000", time.Minute, false},
		setupCLI:          {"http://kong:8000", 400 * time.Second, false},
		setupCLINative:    {"http://127.0.0.1:54321", 400 * time.Second, true},
		setupCLIContainer: {"http://host.supabase.internal:54321", 400 * time.Second, true},
	} {
		got, invalid := resolve(own(func(s *selfHosted) { s.Setup = setup }), func(name string) string { return environment[name] })
		if found := got.SelfHosted; len(invalid) > 0 || found.URL != want.url || found.WorkerLifetime != want.lifetime || found.FreshInstances != want.fresh {
			t.Errorf("with setup %q: %+v, %v", setup, found, invalid)
		}
		got, invalid = resolve(own(func(s *selfHosted) { s.Setup, s.URL, s.WorkerLifetime = setup, "http://kong:9000/", time.Hour }), func(name string) string { return environment[name] })
		if found := got.SelfHosted; len(invalid) > 0 || found.URL != "http://kong:9000" || found.WorkerLifetime != time.Hour || found.FreshInstances != want.fresh {
			t.Errorf("with setup %q and its own values: %+v, %v", setup, found, invalid)
		}
	}
	for _, c := range []struct {
		config    providerConfig
		without   string
		attribute string
		says      string
	}{
		{own(func(*selfHosted) {}), envDatabaseURL, "database_url", "54322"},
		{func() providerConfig {
			c := own(func(*selfHosted) {})
			url := "postgresql://postgres:[YOUR-PASSWORD]@localhost/postgres"
			c.DatabaseURL = &url
			return c
		}(), "", "database_url", "[YOUR-PASSWORD] in place of the password"},
		{own(func(*selfHosted) {}), envAnonKey, "self_hosted.anon_key", "ANON_KEY in .env"},
		{own(func(s *selfHosted) { s.Setup = setupCLI }), envAnonKey, "self_hosted.anon_key", "supabase status -o env"},
		{own(func(s *selfHosted) { s.Setup = setupCLINative }), envAnonKey, "self_hosted.anon_key", "supabase stack status --env"},
		{own(func(s *selfHosted) { s.APIKey = "canary\n" }), "", "self_hosted.anon_key", "line break"},
		{own(func(s *selfHosted) { s.VerifyJWT = true }), "", "self_hosted.anon_key", "JWT"},
		{own(func(s *selfHosted) { s.URL = "kong:8000" }), "", "self_hosted.url", "http"},
		{own(func(s *selfHosted) { s.TokensInEnvironment = true }), "", "self_hosted.env_file", "env_file"},
		{providerConfig{AccessToken: "canary", SelfHosted: own(func(*selfHosted) {}).SelfHosted}, "", "access_token", "A self-hosted project has no Management API. Remove `access_token` or `self_hosted`."},
		{providerConfig{ProjectURL: "http://x", SelfHosted: own(func(*selfHosted) {}).SelfHosted}, "", "project_url", "self_hosted.url"},
		{providerConfig{ProjectRef: ref, SelfHosted: own(func(*selfHosted) {}).SelfHosted}, "", "project_ref", "no reference"},
	} {
		_, invalid := resolve(c.config, func(name string) string {
			if name == c.without {
				return ""
			}
			return environment[name]
		})
		if len(invalid) != 1 || invalid[0].attribute != c.attribute || !strings.Contains(invalid[0].detail, c.says) || strings.Contains(invalid[0].detail, "canary") {
			t.Errorf("%+v: got %v, want %s: …%s…", c.config, invalid, c.attribute, c.says)
		}
	}
}
