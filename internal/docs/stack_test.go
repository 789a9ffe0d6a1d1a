package docs_test

import (
	"bufio"
	"os"
	osexec "os/exec" // exec is a helper of this package
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	required = `
terraform {
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}
`
	installedJobs = "psql -qXtA -c \"select string_agg(jobname, ' ' order by jobname) from cron.job where jobname like 'auto-backup%'\" "
)

// TestStackSwitches proves that "make stack" starts the project that its variables name,
// and that a shell which evaluates the lines it prints reaches that project in the way
// that was chosen, whatever the shell had set before.
func TestStackSwitches(t *testing.T) {
	t.Parallel()
	command := filepath.Join(t.TempDir(), "stack")
	if out, err := osexec.CommandContext(t.Context(), "go", "build", "-o", command, "github.com/aimindset/terraform-provider-aimindset/internal/stack/cmd/stack").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const jobs = "auto-backup-daily auto-backup-drill auto-backup-watchdog"
	for name, c := range map[string]struct {
		variables []string
		// says is a part of what is printed, and lacks is what is not.
		says, lacks []string
		// configuration is what the reader adds, with the printed lines.
		configuration func(printed string) string
		script        string
		prints        string
	}{
		"nothing": {
			says:  []string{"# A Supabase project on this machine; SQL goes through the Management API.\n", "and run terraform there", "\nunset SUPABASE_DB_URL SUPABASE_ANON_KEY\n"},
			lacks: []string{"S3", "existing-project", "provider \""},
			script: `test -z "${SUPABASE_DB_URL-}"
				terraform plan -no-color`,
			prints: "Plan: 1 to add, 0 to change, 0 to destroy.",
		},
		"legacy jobs, a bucket and a database": {
			variables:     []string{"STACK_LEGACY_JOBS=1", "STACK_S3=1", "STACK_TRANSPORT=database"},
			says:          []string{"SQL goes over a database connection", "docs/guides/existing-project.md"},
			configuration: withBucket,
			script: `openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out key.pem
				openssl pkey -in key.pem -pubout -out key.pub.pem
				terraform apply -auto-approve -no-color
				` + installedJobs + `"$SUPABASE_DB_URL"`,
			prints: "auto-backup-daily auto-backup-drill auto-backup-nightly auto-backup-secondary auto-backup-watchdog",
		},
		"a pooler and OpenTofu": {
			variables: []string{"STACK_TRANSPORT=pooler", "STACK_ENGINE=tofu"},
			says:      []string{"through a pooler in transaction mode", "and run tofu there"},
			lacks:     []string{"and run terraform"},
			script: `psql -qXtA -c 'select 1' "$SUPABASE_DB_URL"
				terraform plan -no-color`,
			prints: "Plan: 1 to add, 0 to change, 0 to destroy.",
		},
		"the Docker setup": {
			variables:     []string{"STACK_SELF_HOSTED=docker"},
			says:          []string{"as by Supabase's Docker setup", "over a database connection", "\nunset SUPABASE_ACCESS_TOKEN SUPABASE_PROJECT_REF SUPABASE_API_URL SUPABASE_PROJECT_URL\n"},
			lacks:         []string{"token:", "secret key"},
			configuration: providerBlock,
			script: `test -d "$TF_VAR_supabase/volumes/functions"
				terraform apply -auto-approve -no-color
				` + installedJobs + `"$SUPABASE_DB_URL"`,
			prints: jobs,
		},
		"supabase start and a pooler": {
			variables:     []string{"STACK_SELF_HOSTED=cli_native", "STACK_TRANSPORT=pooler"},
			says:          []string{"as by the new stack of supabase start", "verify_jwt"},
			configuration: providerBlock,
			script: `terraform apply -auto-approve -no-color
				` + installedJobs + `"$SUPABASE_DB_URL"`,
			prints: jobs,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t, "SUPABASE_DB_URL=left from another stack", "SUPABASE_ACCESS_TOKEN=left from another stack")
			printed := startByMake(t, command, toolsFor(t).settings, c.variables)
			for _, text := range c.says {
				if !strings.Contains(printed, text) {
					t.Errorf("it does not print %q:\n%s", text, printed)
				}
			}
			for _, text := range c.lacks {
				if strings.Contains(printed, text) {
					t.Errorf("it prints %q:\n%s", text, printed)
				}
			}
			configuration := "provider \"aimindset\" {}\nresource \"aimindset_auto_backup\" \"this\" {}\n"
			if c.configuration != nil {
				configuration = c.configuration(printed)
			}
			u.write("main.tf", required+configuration)
			if out := u.run(0, printed+"\nterraform init -no-color\n"+c.script); !strings.Contains(out, c.prints) {
				t.Errorf("the script prints\n%s", out)
			}
		})
	}
}

// TestStackSwitchesAreDocumented proves that the guide has the variables of "make stack"
// and no other, each with the values that there are.
func TestStackSwitchesAreDocumented(t *testing.T) {
	t.Parallel()
	guide := example(t, projectRef, "docs", "guides", "local-stack.md")
	makefile := example(t, projectRef, "GNUmakefile")
	_, switches, _ := strings.Cut(makefile, "\nSTACK_SWITCHES = ")
	switches, _, _ = strings.Cut(switches, "\n\n")
	variable := regexp.MustCompile(`\$\(if \$\((STACK_\w+)\)`)
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(STACK_\\w+)=").FindAllStringSubmatch(guide, -1) {
		documented[row[1]] = true
	}
	found := variable.FindAllStringSubmatch(switches, -1)
	for _, match := range found {
		if !documented[match[1]] {
			t.Errorf("the guide does not have %s", match[1])
		}
	}
	if len(found) != len(documented) || len(found) < 5 {
		t.Errorf("there are %d variables, and the guide has %d", len(found), len(documented))
	}
	for _, value := range []string{"`STACK_SELF_HOSTED=docker` or `cli_native`", "`STACK_TRANSPORT=api`, `database` or `pooler`", "`STACK_ENGINE=terraform` or `tofu`"} {
		if !strings.Contains(guide, "| "+value+" |") {
			t.Errorf("the guide does not have %s", value)
		}
	}
}

// startByMake starts the command with the arguments that "make stack" gives it, and
// returns what it prints. It ends with the test.
func startByMake(t *testing.T, command, settings string, variables []string) string {
	t.Helper()
	recipe, err := osexec.CommandContext(t.Context(), "make", append([]string{"--no-print-directory", "-n", "-C", root, "stack"}, variables...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(recipe), "\nexec ")
	_, line, found := strings.Cut(line, "/bin/stack' ")
	arguments, _, also := strings.Cut(line, "-terraform-config")
	if !found || !also {
		t.Fatalf("make stack does not start the command:\n%s", recipe)
	}
	cmd := osexec.CommandContext(t.Context(), "bash", "-c", "exec \""+command+"\" -articles 3 "+strings.ReplaceAll(arguments, "\\\n", " ")+" -terraform-config \""+settings+"\"")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		// The test's context, which ends first, does the same.
		_ = cmd.Wait()
	})
	var printed strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "Ctrl-C") {
			return printed.String()
		}
	}
	t.Fatalf("it ended after\n%s", printed.String())
	return ""
}

// providerBlock returns the provider block that is printed as a comment, and a backup.
func providerBlock(printed string) string {
	_, text, _ := strings.Cut(printed, "# provider \"aimindset\" {\n")
	text, _, _ = strings.Cut(text, "\n# }\n")
	return "provider \"aimindset\" {\n" + strings.ReplaceAll("\n"+text, "\n# ", "\n") + "\n}\nresource \"aimindset_auto_backup\" \"this\" {}\n"
}

// withBucket returns a backup beside the older jobs that is copied into the bucket whose
// settings are printed.
func withBucket(printed string) string {
	find := func(pattern string) string {
		if match := regexp.MustCompile(pattern).FindStringSubmatch(printed); match != nil {
			return match[1]
		}
		return "not printed"
	}
	return `
provider "aimindset" {}

variable "copies_key" {
  type      = object({ id = string, secret = string })
  ephemeral = true
}

resource "aimindset_auto_backup" "this" {
  schedules = { nightly = { cron = "0 4 * * *" } }
  offsite = {
    s3 = {
      endpoint          = "` + find(`S3 endpoint: (\S+),`) + `"
      region            = "` + find(`region: +(\S+)`) + `"
      bucket            = "` + find(`buckets: +(\S+) with`) + `"
      recipients        = [file("key.pub.pem")]
      lock              = { mode = "compliance", days = 1 }
      access_key_id     = var.copies_key.id
      secret_access_key = var.copies_key.secret
    }
  }
}
`
}

// TestMirror proves that the mirror of "make mirror" serves the provider under the
// addresses of both registries, with the settings that it writes.
func TestMirror(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	bin := t.TempDir()
	if out, err := osexec.CommandContext(t.Context(), "make", "-C", root, "mirror", "BIN="+bin).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	u.env = append(u.env, "TF_CLI_CONFIG_FILE="+filepath.Join(bin, "mirror.tfrc"))
	for _, address := range []string{"aimindset/aimindset", "registry.terraform.io/aimindset/aimindset", "registry.opentofu.org/aimindset/aimindset"} {
		reader := u.at()
		reader.write("main.tf", strings.Replace(required, `"aimindset/aimindset"`, `"`+address+`"`, 1))
		if out := reader.run(0, "terraform init -no-color"); !strings.Contains(out, "Installed "+address+" v0.0.1") && !strings.Contains(out, "/aimindset v0.0.1") {
			t.Errorf("with the source %s:\n%s", address, out)
		}
	}
}
