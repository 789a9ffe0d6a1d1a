package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// selfHostedConfig returns a configuration of a self-hosted project with more
// arguments of the provider, and one backup.
func (p *project) selfHostedConfig(more, arguments string) string {
	return p.selfHostedProvider(p.DatabaseURL, more) + fmt.Sprintf(`
		resource "aimindset_auto_backup" "this" {
			%s
		}`, arguments)
}

// runsOnce has the daily job's command run and waits for the backup's success,
// the n-th of the project.
func (p *project) runsOnce(n int) {
	p.t.Helper()
	p.asPostgres("do $$ begin perform auto_backup.start('auto-backup', 'daily', 'schedule', clock_timestamp(), 1); end $$")
	p.await(fmt.Sprint(n), "select count(*) from public.system_logs where type = 'auto_backup'")
}

// TestSelfHostedWithoutRestart proves that nobody has to restart anything for a
// backup with the built-in function: one apply installs and proves it, a change
// of its source and a rotation are live when the apply ends, although instances
// of the former code were alive when it began; and that an apply which changes
// the environment succeeds without a proof, because that needs a restart.
func TestSelfHostedWithoutRestart(t *testing.T) {
	t.Parallel()
	const lifetime = 6 * time.Second
	p := start(t, stack.Options{Articles: 5, SelfHosted: true, FunctionWallClock: lifetime})
	more := fmt.Sprintf("worker_lifetime = %q", lifetime)
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				Config:           p.selfHostedConfig(more, ""),
				ConfigPlanChecks: action(plancheck.ResourceActionCreate),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue(address, tfjsonpath.New("id"), knownvalue.StringExact(backup.SelfHostedRef+"/auto-backup")),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("project_ref"), knownvalue.StringExact(backup.SelfHostedRef)),
				},
			},
			{
				// The source changes: rpc is in the function's config.json.
				PreConfig: func() {
					p.runsOnce(1) // so an instance is alive
					p.sql("alter function public.backup_all_data() rename to other_backup")
				},
				Config:           p.selfHostedConfig(more, `function = { rpc = "other_backup" }`),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
			},
			{
				PreConfig:        func() { p.runsOnce(2) },
				Config:           p.selfHostedConfig(more, "function = { rpc = \"other_backup\" }\nrotate_token = \"once\""),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
			},
			{
				PreConfig: func() { p.runsOnce(3) },
				Config: p.selfHostedConfig(more, `
					function = { rpc = "other_backup" }
					rotate_token = "once"
					secrets      = { EXTRA = "it's here" }`),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
				Check: func(*terraform.State) error {
					text, err := os.ReadFile(p.EnvFile)
					if err != nil || !strings.Contains(string(text), `EXTRA="it's here"`) || !strings.Contains(string(text), "RESEND_API_KEY=") {
						p.t.Errorf("the env file holds %d bytes, without the secret or without another line: %v", len(text), err)
					}
					return err
				},
			},
		},
		CheckDestroy: func(*terraform.State) error {
			if left := p.traces("auto-backup"); len(left) > 0 {
				p.t.Errorf("destroy left %v", left)
			}
			return nil
		},
	})
}

// TestSelfHostedEnvironmentToken proves the other home of the token: with
// token_store = "env_file" a source that reads the environment gets it, through
// the restart that an apply makes, a rotation too; and nothing of it is beside
// the code.
func TestSelfHostedEnvironmentToken(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 5, SelfHosted: true})
	dir := filepath.Join(t.TempDir(), "own")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"index.ts": answering(`{ success: true, extra: Deno.env.get("EXTRA") }`), "signature.ts": signatureModule(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	more := `token_store = "env_file"
		restart_command = ` + listOf(p.RestartCommand)
	arguments := fmt.Sprintf("function = { source_dir = %q }\nsecrets = { EXTRA = \"value\" }\n", dir)
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{Config: p.selfHostedConfig(more, arguments), ConfigPlanChecks: action(plancheck.ResourceActionCreate)},
			{
				Config:           p.selfHostedConfig(more, arguments+`rotate_token = "once"`),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
				Check: func(*terraform.State) error {
					text, err := os.ReadFile(filepath.Join(p.FunctionsDir, "auto-backup", "tokens.json"))
					if err != nil || strings.TrimSpace(string(text)) != "{}" {
						p.t.Errorf("beside the code is %q: %v", text, err)
					}
					environment, err := os.ReadFile(p.EnvFile)
					if err != nil || strings.Count(string(environment), "AUTO_BACKUP_TOKEN") != 1 {
						p.t.Errorf("the env file does not name one token: %v", err)
					}
					return nil
				},
			},
		},
	})
}

// TestSelfHostedVerifyJWT proves the one switch of all functions: where it is on
// and the configuration does not say so, the apply fails and names verify_jwt;
// with verify_jwt the database presents the key, and backups run.
func TestSelfHostedVerifyJWT(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 5, SelfHosted: true, VerifyJWT: true})
	restart := "restart_command = " + listOf(p.RestartCommand)
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{Config: p.selfHostedConfig("", ""), ExpectError: regexp.MustCompile(`(?s)UNAUTHORIZED_NO_AUTH_HEADER.*verify_jwt`)},
			{Config: p.selfHostedConfig(restart+"\nverify_jwt = true", `verify = "backup"`)},
			{Config: p.selfHostedConfig(restart+"\nverify_jwt = true", `verify = "backup"`), ConfigPlanChecks: empty()},
		},
	})
}

// TestSelfHostedRefusals proves that what a self-hosted project cannot take is
// refused by the plan, at the attribute, before anything is reached.
func TestSelfHostedRefusals(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	dir := filepath.Join(t.TempDir(), "functions", "own")
	for name, text := range map[string]string{"index.ts": `import "../shared.ts";`, "../shared.ts": ""} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := func(more, arguments string) string {
		return fmt.Sprintf(`
			provider "aimindset" {
				database_url = "postgresql://postgres:x@127.0.0.1:1/postgres"
				self_hosted = {
					functions_dir = %q
					anon_key      = "sb_publishable_x"
					%s
				}
			}
			resource "aimindset_auto_backup" "this" {
				%s
			}`, t.TempDir(), more, arguments)
	}
	var steps []resource.TestStep
	for _, c := range []struct{ more, arguments, says string }{
		{"", `name = "main"`, `(?s)name.*belongs\s+to\s+the\s+runtime`},
		{"", `secrets = { A = "x" }`, `(?s)secrets.*self_hosted.env_file`},
		{`env_file = "/nowhere/.env"`, `secrets = { A = "x\\" }`, `(?s)secrets.*every\s+reader`},
		{"", `function = { source_dir = "` + dir + `" }`, `(?s)Invalid function source.*shared.ts\s+is\s+outside`},
		{"", `project_ref = "abcdefghijklmnopqrst"`, `(?s)project_ref.*configuration\s+is\s+for\s+a\s+self-hosted`},
		{`worker_lifetime = "soon"`, "", `not\s+a\s+duration`},
		{`token_store = "env_file"`, "", `(?s)token_store.*Set\s+` + "`env_file`"},
		{`restart_command = []`, "", `at\s+least\s+1`},
		{`verify_jwt = true`, "", `(?s)verify_jwt.*JWT`},
	} {
		steps = append(steps, resource.TestStep{Config: config(c.more, c.arguments), PlanOnly: true, ExpectError: regexp.MustCompile(c.says)})
	}
	takeSteps(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

// TestSelfHostedCLIStack proves the life of a backup in the stack of "supabase start",
// which has no gateway named kong and gives each request a new instance: where it
// requires a JWT, the error names its configuration; a change of the source and a
// rotation are live when the apply ends, without a restart and without the wait for an
// instance's life; and a changed secret is live after the restart that the warning asks
// for, or that the apply makes.
func TestSelfHostedCLIStack(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 5, SelfHosted: true, CLIStack: true})
	const more = `setup = "cli_native"`
	restart := more + "\nrestart_command = " + listOf(p.RestartCommand)
	var begin time.Time
	// An apply that waited would take longer than this.
	const lifetime = 400 * time.Second
	soon := func(*terraform.State) error {
		if took := time.Since(begin); took >= lifetime {
			return fmt.Errorf("the apply took %s", took)
		}
		return nil
	}
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{Config: p.selfHostedConfig(more, ""), ExpectError: regexp.MustCompile(`(?s)UNAUTHORIZED_NO_AUTH_HEADER.*supabase/config.toml.*supabase\s+stop\s+&&\s+supabase\s+start`)},
			{
				PreConfig: func() {
					if err := os.WriteFile(filepath.Join(filepath.Dir(p.FunctionsDir), "config.toml"), []byte("[functions.auto-backup]\nverify_jwt = false\n"), 0o600); err != nil {
						p.t.Fatal(err)
					}
					if err := p.RecreateFunctions(); err != nil {
						p.t.Fatal(err)
					}
				},
				Config: p.selfHostedConfig(more, ""),
			},
			{
				PreConfig: func() {
					p.runsOnce(1)
					p.sql("alter function public.backup_all_data() rename to other_backup")
					begin = time.Now()
				},
				Config:           p.selfHostedConfig(more, `function = { rpc = "other_backup" }`),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
				Check:            soon,
			},
			{
				PreConfig: func() {
					p.runsOnce(2)
					begin = time.Now()
				},
				Config:           p.selfHostedConfig(more, "function = { rpc = \"other_backup\" }\nrotate_token = \"once\""),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
				Check:            soon,
			},
			{
				PreConfig: func() { p.runsOnce(3) },
				Config: p.selfHostedConfig(restart, `
					function     = { rpc = "other_backup" }
					rotate_token = "once"
					secrets      = { EXTRA = "value" }`),
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
				Check: func(*terraform.State) error {
					p.runsOnce(4)
					return nil
				},
			},
		},
		CheckDestroy: func(*terraform.State) error {
			if left := p.traces("auto-backup"); len(left) > 0 {
				p.t.Errorf("destroy left %v", left)
			}
			return nil
		},
	})
}
