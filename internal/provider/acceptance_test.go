package provider_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
	"github.com/aimindset/terraform-provider-aimindset/internal/selfhosted"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack/engine"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const address = "aimindset_auto_backup.this"

// factories serve the provider under test to the real Terraform.
var factories = map[string]func() (tfprotov6.ProviderServer, error){
	"aimindset": func() (tfprotov6.ProviderServer, error) {
		return provider.NewServer(provider.NewWith(os.Getenv, &knownFingerprints))
	},
}

// scratch is a directory that ends with the tests.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "aimindset-provider-")
	if err != nil {
		log.Fatal(err)
	}
	scratch = dir
	// As in the provider's program, which logs nothing that Terraform does not ask for.
	for _, name := range []string{"TF_LOG_SDK", "TF_LOG_SDK_PROTO", "TF_LOG_SDK_FRAMEWORK", "TF_LOG_PROVIDER_AIMINDSET"} {
		if err := os.Setenv(name, "OFF"); err != nil {
			log.Fatal(err)
		}
	}
	code := engines.End(m.Run())
	if err := os.RemoveAll(dir); err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

// needTerraform makes sure that there is a Terraform for a test that runs one.
func needTerraform(t *testing.T) {
	t.Helper()
	if err := chooseTerraform(); err != nil {
		t.Fatal(err)
	}
}

// engines notes which tests have run with what not every Terraform and OpenTofu has.
var engines = engine.NewLedger("internal/provider")

// needFeature skips a test of what the Terraform or OpenTofu at hand does not have, by
// its key in the table of package engine.
func needFeature(t *testing.T, key string) {
	t.Helper()
	needTerraform(t)
	engines.Need(t, key)
}

// chooseTerraform chooses the Terraform of the acceptance tests, as the demo
// does, when the first of them asks for it.
var chooseTerraform = sync.OnceValue(func() error {
	e, err := engines.Engine()
	if err != nil {
		return err
	}
	if e.OpenTofu {
		// Where OpenTofu looks for a provider that names no registry.
		if err := os.Setenv(resource.EnvTfAccProviderHost, "registry.opentofu.org"); err != nil {
			return err
		}
	}
	// OpenTofu says it before its version if the user's settings are not there, which the
	// library of these tests does not understand.
	settings := filepath.Join(scratch, "terraform.rc")
	if err := os.WriteFile(settings, nil, 0o600); err != nil {
		return err
	}
	return errors.Join(os.Setenv("TF_CLI_CONFIG_FILE", settings), os.Setenv("TF_ACC_TERRAFORM_PATH", e.Path))
})

// project is a Supabase project, on the local stack or one that the environment
// names, and the way in which the provider reaches its database.
type project struct {
	*stack.Stack
	t *testing.T
	// direct has SQL go over a connection in a hosted project; in a self-hosted
	// one it always does.
	direct bool
}

// transport is a way to a project and its database.
type transport string

const (
	managementAPI transport = "management_api"
	databaseURL   transport = "database_url"
	selfHosted    transport = "self_hosted"
)

// everyTransport runs a test once for each transport, in a project of its own,
// as far as the project has it which the environment names.
func everyTransport(t *testing.T, opts stack.Options, test func(t *testing.T, p *project), transports ...transport) {
	t.Helper()
	if len(transports) == 0 {
		transports = []transport{managementAPI, databaseURL, selfHosted}
	}
	target := foreignTarget(t)
	for _, way := range transports {
		if target != nil && target.selfHosted() != (way == selfHosted) {
			continue
		}
		t.Run(string(way), func(t *testing.T) {
			t.Parallel()
			opts := opts
			opts.SelfHosted = way == selfHosted
			var p *project
			if target != nil {
				p = target.attach(t, opts)
			} else {
				p = start(t, opts)
			}
			p.direct = way == databaseURL
			test(t, p)
		})
	}
}

// start starts a project that ends with the test.
func start(t *testing.T, opts stack.Options) *project {
	t.Helper()
	needTerraform(t)
	if foreignTarget(t) != nil {
		t.Fatal("this test brings about what only the local stack can; run it without " + envTestProject)
	}
	s, err := stack.Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("start the stack: %v", err)
	}
	return closing(t, s)
}

// closing returns a project that ends with the test.
func closing(t *testing.T, s *stack.Stack) *project {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stop the stack: %v", err)
		}
	})
	return &project{Stack: s, t: t}
}

// isSelfHosted reports whether functions are files.
func (p *project) isSelfHosted() bool { return p.FunctionsDir != "" }

// config returns a configuration with one backup whose arguments are given.
func (p *project) config(arguments string) string {
	database := ""
	if p.direct {
		database = p.DatabaseURL
	}
	return p.configAs(p.AccessToken, database, arguments)
}

// configAs returns a configuration with another token and another database role.
// Without a database URL, SQL goes through the Management API.
func (p *project) configAs(token, database, arguments string) string {
	return p.providerAs(token, database) + fmt.Sprintf(`
		resource "aimindset_auto_backup" "this" {
			%s
		}`, arguments)
}

// providerAs returns the provider's block.
func (p *project) providerAs(token, database string) string {
	if p.isSelfHosted() {
		if database == "" {
			database = p.DatabaseURL
		}
		return p.selfHostedProvider(database, "restart_command = "+listOf(p.RestartCommand))
	}
	if database != "" {
		database = fmt.Sprintf("database_url = %q", database)
	}
	return fmt.Sprintf(`
		provider "aimindset" {
			access_token = %q
			project_ref  = %q
			api_url      = %q
			project_url  = %q
			%s
		}`, token, p.ProjectRef, p.APIURL, p.ProjectURL, database)
}

// selfHostedProvider returns the provider's block for a self-hosted project.
func (p *project) selfHostedProvider(database, more string) string {
	return fmt.Sprintf(`
		provider "aimindset" {
			database_url = %q
			self_hosted = {
				functions_dir = %q
				url           = %q
				anon_key      = %q
				env_file      = %q
				%s
			}
		}`, database, p.FunctionsDir, p.ProjectURL, p.AnonKey, p.EnvFile, more)
}

// listOf writes a list of strings as Terraform reads it.
func listOf(values []string) string {
	quoted := make([]string, len(values))
	for i, value := range values {
		// Templates are Terraform's in quoted strings.
		quoted[i] = strings.NewReplacer("${", "$${", "%{", "%%{").Replace(fmt.Sprintf("%q", value))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// sql runs a statement as the superuser, as "somebody else" in the project.
func (p *project) sql(statement string, args ...any) {
	p.t.Helper()
	if _, err := p.Admin().Exec(p.t.Context(), statement, args...); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

// asPostgres runs a statement as the role that owns the jobs.
func (p *project) asPostgres(statement string) {
	p.t.Helper()
	p.sql("begin; set local role postgres; " + statement + "; commit")
}

// value reads one value as text.
func (p *project) value(query string, args ...any) string {
	p.t.Helper()
	var text *string
	if err := p.Admin().QueryRow(p.t.Context(), "select ("+query+")::text", args...).Scan(&text); err != nil {
		p.t.Fatalf("%s: %v", query, err)
	}
	if text == nil {
		return ""
	}
	return *text
}

// patience ends a wait that would otherwise hang. It is not a limit that a slow
// machine could reach.
const patience = 3 * time.Minute

// await waits until a query answers as wanted.
func (p *project) await(wanted, query string, args ...any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		got := p.value(query, args...)
		if got == wanted {
			return
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("%s: %q did not become %q", query, got, wanted)
		case <-ticker.C:
		}
	}
}

// holdBackups lets every backup wait until release is called.
func (p *project) holdBackups() (release func()) {
	p.t.Helper()
	hold, err := p.Admin().Begin(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := hold.Exec(p.t.Context(), "lock table public.backup_articles in exclusive mode"); err != nil {
		p.t.Fatal(err)
	}
	var once sync.Once
	release = func() {
		once.Do(func() {
			if err := hold.Rollback(context.Background()); err != nil {
				p.t.Errorf("let the backups go on: %v", err)
			}
		})
	}
	p.t.Cleanup(release)
	return release
}

// holdBackupsUntil lets every backup wait until the Management API has answered a
// number of statements that ask for a run.
func (p *project) holdBackupsUntil(requests int) {
	p.t.Helper()
	release := p.holdBackups()
	var mu sync.Mutex
	p.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
			mu.Lock()
			defer mu.Unlock()
			if bytes.Contains(body, []byte("auto_backup.run_now(")) {
				if requests--; requests == 0 {
					release()
				}
			}
		})
	})
	p.t.Cleanup(func() { p.InterceptAPI(nil) })
}

// client returns somebody else with access to the Management API.
func (p *project) client() *supabase.Client {
	p.t.Helper()
	c, err := supabase.New(supabase.Config{BaseURL: p.APIURL, Token: p.AccessToken, UserAgent: "somebody-else"})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// files returns somebody else with access to a self-hosted project's files.
func (p *project) files() *selfhosted.Project {
	return selfhosted.New(selfhosted.Config{FunctionsDir: p.FunctionsDir, EnvFile: p.EnvFile, APIKey: p.AnonKey})
}

// api returns somebody else with access to the project's functions and secrets.
func (p *project) api() install.API {
	if p.isSelfHosted() {
		return p.files()
	}
	return p.client()
}

// overwriteSecret changes a function secret outside Terraform.
func (p *project) overwriteSecret(name, value string) {
	p.t.Helper()
	var err error
	if slug, isToken := strings.CutSuffix(name, "_TOKEN"); isToken && p.isSelfHosted() {
		err = p.files().SetToken(p.t.Context(), strings.ReplaceAll(strings.ToLower(slug), "_", "-"), name, value)
	} else {
		err = p.api().SetSecrets(p.t.Context(), p.ProjectRef, map[string]string{name: value})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// traces lists what of a backup is left in the project, in order.
func (p *project) traces(name string) []string {
	p.t.Helper()
	var left []string
	functions, err := p.api().ListFunctions(p.t.Context(), p.ProjectRef)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range functions {
		if f.Slug == name {
			left = append(left, "function "+f.Slug)
		}
	}
	secrets, err := p.api().ListSecrets(p.t.Context(), p.ProjectRef)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range secrets {
		if !strings.HasPrefix(s.Name, "SUPABASE_") && !strings.HasPrefix(s.Name, "RESEND_") {
			left = append(left, "secret "+s.Name)
		}
	}
	for what, query := range map[string]string{
		"jobs":   "select string_agg(jobname, ',' order by jobname) from cron.job where jobname like '" + name + "-%'",
		"vault":  "select string_agg(name, ',' order by name) from vault.secrets where name like '" + name + "/%'",
		"schema": "select nspname from pg_namespace where nspname = 'auto_backup'",
	} {
		if found := p.value(query); found != "" {
			left = append(left, what+" "+found)
		}
	}
	slices.Sort(left)
	return left
}

// tick starts a run of a schedule as its job would so long ago, if it was due then.
func (p *project) tick(key string, ago time.Duration) {
	p.t.Helper()
	p.asPostgres(fmt.Sprintf("do $$ begin perform auto_backup.start('auto-backup', '%s', 'schedule', date_trunc('minute', t.at), 1, false, t.at) from (select now() - interval '%d s' as at) t; end $$", key, ago/time.Second))
}

// signatureModule returns the module with which an own function keeps the contract.
func signatureModule(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/own-function-source/function/signature.ts")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// answering is an Edge Function that answers every request that is signed with a
// TypeScript expression for an object, and signs it.
func answering(expression string) string {
	return `import { verify } from "./signature.ts";
	Deno.serve(async (request) => {
		const verified = await verify(request, ["AUTO_BACKUP_TOKEN", "AUTO_BACKUP_TOKEN_NEXT"].map((name) => Deno.env.get(name)));
		if (verified instanceof Response) return verified;
		return Response.json(await verified.sign({ ...verified.order, ...(` + expression + `) }));
	});`
}
