package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestEnvironmentDatabase proves that the environment's database and gateway serve
// only the provider block of the environment's project: the block of another
// project, in the same configuration, installs its backup in its own database, and
// both verifications reach their own functions.
func TestEnvironmentDatabase(t *testing.T) {
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	c := newCLI(t, required+fmt.Sprintf(`
		provider "aimindset" {}

		provider "aimindset" {
			alias        = "two"
			access_token = %q
			project_ref  = %q
			api_url      = %q
			project_url  = %q
		}

		resource "aimindset_auto_backup" "one" {}

		resource "aimindset_auto_backup" "two" {
			provider = aimindset.two
			name     = "second-backup"
		}`, two.AccessToken, two.ProjectRef, two.APIURL, two.ProjectURL), one.EnvironWithDatabase()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	for p, want := range map[*project]string{one: "auto-backup", two: "second-backup"} {
		if got := p.value("select string_agg(backup, ', ') from auto_backup.settings"); got != want {
			t.Errorf("project %s has the backups %q, want %q", p.ProjectRef, got, want)
		}
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
}

// TestDatabaseOfBlock proves with Terraform itself over which way the SQL of each of
// several provider blocks goes, in one environment with a database URL: a block with
// `database_url = ""` uses no connection, one with a URL its own, two blocks with the
// same arguments the same database, and one without the argument the environment's.
// Each backup is where its block says.
func TestDatabaseOfBlock(t *testing.T) {
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	toOne, toTwo := one.proxied(), two.proxied()
	block := func(alias string, p *project, more string) string {
		return fmt.Sprintf(`
			provider "aimindset" {
				alias        = %q
				access_token = %q
				project_ref  = %q
				api_url      = %q
				project_url  = %q
				%s
			}
			resource "aimindset_auto_backup" %[1]q {
				provider = aimindset.%[1]s
				name     = "%[1]s-backup"
				verify   = "none"
			}`, alias, p.AccessToken, p.ProjectRef, p.APIURL, p.ProjectURL, more)
	}
	connection := fmt.Sprintf("database_url = %q", toTwo.URL)
	c := newCLI(t, required+block("off", one, `database_url = ""`)+block("own", two, connection)+block("twin", two, connection)+block("alias", two, ""),
		append(one.Environ(), "SUPABASE_DB_URL="+toOne.URL)...)
	c.run(0, applyNow...)
	if made, _ := toOne.Counts(); made > 0 {
		t.Errorf("the block with an empty URL has made %d connections", made)
	}
	if made, _ := toTwo.Counts(); made == 0 {
		t.Error("the blocks with a URL have made no connection")
	}
	for p, want := range map[*project]string{one: "off-backup", two: "alias-backup, own-backup, twin-backup"} {
		if got := p.value("select string_agg(backup, ', ' order by backup) from auto_backup.settings"); got != want {
			t.Errorf("project %s has the backups %q, want %q", p.ProjectRef, got, want)
		}
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")

	config := required + block("off", one, "") + block("own", two, "") + block("twin", two, "") + block("alias", two, "")
	if err := os.WriteFile(filepath.Join(c.Dir, "main.tf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	before, _ := toTwo.Counts()
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	if made, _ := toOne.Counts(); made == 0 {
		t.Error("the block of the environment's project has not used the environment's URL")
	}
	if made, _ := toTwo.Counts(); made > before {
		t.Errorf("a block without a URL has made %d connections", made-before)
	}
	c.run(0, destroyNow...)
}

// TestProviderForEach proves with OpenTofu itself that the blocks of one `provider`
// with `for_each` serve each project with its own database: the environment's URL is
// used by the block of the environment's project alone, `database_url = ""` switches it
// off there too, and each backup is planned, kept and removed where it is. Terraform
// has no such blocks; TestDatabaseOfBlock says the same of blocks with an alias.
func TestProviderForEach(t *testing.T) {
	needFeature(t, "provider_for_each")
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	toOne, toTwo := one.proxied(), two.proxied()
	attributes := func(p *project) string {
		return fmt.Sprintf("{ access_token = %q, project_ref = %q, api_url = %q, project_url = %q }", p.AccessToken, p.ProjectRef, p.APIURL, p.ProjectURL)
	}
	config := required + fmt.Sprintf(`
		variable "database_url" {
			type    = string
			default = null
		}
		locals {
			projects = { one = %s, two = %s }
		}
		provider "aimindset" {
			for_each     = local.projects
			alias        = "of"
			access_token = each.value.access_token
			project_ref  = each.value.project_ref
			api_url      = each.value.api_url
			project_url  = each.value.project_url
			database_url = var.database_url
		}
		resource "aimindset_auto_backup" "this" {
			for_each = local.projects
			provider = aimindset.of[each.key]
			name     = "${each.key}-backup"
			verify   = "none"
		}`, attributes(one), attributes(two))
	c := newCLI(t, config, append(one.Environ(), "SUPABASE_DB_URL="+toOne.URL)...)
	noChanges := []string{"plan", "-detailed-exitcode", "-no-color"}

	c.run(0, applyNow...)
	for p, want := range map[*project]string{one: "one-backup", two: "two-backup"} {
		if got := p.value("select string_agg(backup, ', ') from auto_backup.settings"); got != want {
			t.Errorf("project %s has the backups %q, want %q", p.ProjectRef, got, want)
		}
	}
	made, _ := toOne.Counts()
	if made == 0 {
		t.Error("the block of the environment's project has not used the environment's URL")
	}
	c.run(0, append(noChanges, "-var=database_url=")...)
	if after, _ := toOne.Counts(); after > made {
		t.Errorf("with an empty URL the blocks have made %d connections", after-made)
	}
	c.runWith([]string{"SUPABASE_DB_URL="}, 0, noChanges...)
	// One URL for all blocks is the database of one of them only.
	out := c.run(1, "plan", "-no-color", "-var=database_url="+strings.Replace(toTwo.URL, "postgres:", "postgres."+two.ProjectRef+":", 1))
	if !strings.Contains(strings.Join(strings.Fields(out), " "), "The database URL is that of project") {
		t.Errorf("one URL for both projects: %s", out)
	}
	c.run(0, destroyNow...)
	for _, p := range []*project{one, two} {
		if got := p.value("select count(*) from cron.job where jobname like '%-backup-%'"); got != "0" {
			t.Errorf("project %s has %s jobs left", p.ProjectRef, got)
		}
	}
	if made, _ := toTwo.Counts(); made > 0 {
		t.Errorf("the environment's URL is another project's, and %d connections were made for it", made)
	}
}

// TestServersInOneProcess proves that several provider servers in one process, two of
// them with the same configuration, do not share what they are configured with.
func TestServersInOneProcess(t *testing.T) {
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	for _, p := range []*project{one, two} {
		newCLI(t, required+`resource "aimindset_auto_backup" "this" { verify = "none" }`, p.Environ()...).run(0, applyNow...)
	}
	var group sync.WaitGroup
	for _, c := range []struct {
		p        *project
		database string
		wrong    bool
	}{{one, one.DatabaseURL, false}, {one, one.DatabaseURL, false}, {two, one.DatabaseURL, true}, {two, "", false}, {two, two.DatabaseURL, false}} {
		server := configuredServer(t, map[string]string{
			"access_token": c.p.AccessToken, "project_ref": c.p.ProjectRef, "api_url": c.p.APIURL, "project_url": c.p.ProjectURL, "database_url": c.database,
		})
		group.Go(func() {
			answer, err := server.ImportResourceState(t.Context(), &tfprotov6.ImportResourceStateRequest{TypeName: "aimindset_auto_backup", ID: c.p.ProjectRef + "/auto-backup"})
			if err != nil {
				t.Error(err)
				return
			}
			if wrong := len(answer.Diagnostics) > 0; wrong != c.wrong {
				t.Errorf("project %s with the database %q: %v", c.p.ProjectRef, c.database, answer.Diagnostics)
			}
		})
	}
	group.Wait()
}

// proxied returns a proxy to the project's database, which counts connections.
func (p *project) proxied() *stack.DatabaseProxy {
	p.t.Helper()
	proxy, err := stack.NewDatabaseProxy(p.DatabaseURL)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(proxy.Close)
	return proxy
}

// TestWrongDatabase proves that a database URL which names no project is compared
// with the project's database before anything is written, and at an import: an
// address and a pooler that lead to another project are refused, the error names
// both, and neither project is changed.
func TestWrongDatabase(t *testing.T) {
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	pooler, err := one.StartPooler(t.Context(), stack.TransactionMode, 2)
	if err != nil {
		t.Fatal(err)
	}
	for kind, url := range map[string]string{"address": one.DatabaseURL, "pooler": pooler.DatabaseURL} {
		t.Run(kind, func(t *testing.T) {
			refused := regexp.MustCompile(`(?s)[Tt]he\s+database\s+behind\s+.database_url.\s+\(host\s+127\.0\.0\.1:\d+,.*is\s+not\s+the\s+one\s+of\s+project\s+` + two.ProjectRef)
			takeSteps(t, resource.TestCase{
				ProtoV6ProviderFactories: factories,
				Steps: []resource.TestStep{{
					Config: two.configAs(two.AccessToken, url, nightly), ExpectError: refused,
				}},
			})
			for _, p := range []*project{one, two} {
				if left := p.traces("auto-backup"); len(left) > 0 {
					t.Errorf("project %s was changed: %v", p.ProjectRef, left)
				}
			}
			takeSteps(t, resource.TestCase{
				ProtoV6ProviderFactories: factories,
				Steps: []resource.TestStep{{
					Config: two.configAs(two.AccessToken, url, nightly), ResourceName: "aimindset_auto_backup.this",
					ImportState: true, ImportStateId: two.ProjectRef + "/auto-backup", ExpectError: refused,
				}},
			})
		})
	}
}

// TestDatabaseWithoutSQLToken proves what a token that may not run SQL is good for
// beside a database URL. There is nothing to compare the database with, so a URL that
// names no project is refused before anything is written, and one that names the
// project serves the whole life of a backup.
func TestDatabaseWithoutSQLToken(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	pooler, err := p.StartPooler(t.Context(), stack.TransactionMode, 2)
	if err != nil {
		t.Fatal(err)
	}
	p.forbid(func(_, path string) bool { return strings.Contains(path, "/database/query") })
	c := newCLI(t, required+p.configAs(p.AccessToken, pooler.DatabaseURL, ""))
	c.says(c.run(1, applyNow...), "database_url", "could not be compared with the one of project "+p.ProjectRef, "the access token may not run SQL there", "Or use a URL that names the project")
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("the project was changed: %v", left)
	}
	c.configure(required + p.configAs(p.AccessToken, pooler.TenantURL, ""))
	c.run(0, applyNow...)
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	c.run(0, "state", "rm", address)
	c.run(0, "import", "-no-color", address, p.ProjectRef+"/auto-backup")
	c.run(0, destroyNow...)
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("the destroy left %v", left)
	}
}

// TestVariableOfAnotherProject proves that no environment variable alone replaces a
// backup, forgets it or counts as its removal: with each variable that is set to
// another project's value, a plan, an apply and a destroy are refused by an error that
// names the variable, the state keeps the backup, and neither project is changed. The
// gateway's URL is no part of a backup's identity, and a change of it is an update in
// place.
func TestVariableOfAnotherProject(t *testing.T) {
	t.Parallel()
	one, two := start(t, stack.Options{Articles: 1}), start(t, stack.Options{Articles: 1})
	config := required + `resource "aimindset_auto_backup" "this" { verify = "none" }`
	c := newCLI(t, config, one.Environ()...)
	c.run(0, applyNow...)
	// The other project has a backup of the same name, as projects usually do.
	newCLI(t, config, two.Environ()...).run(0, applyNow...)
	before := map[*project][]string{one: one.traces("auto-backup"), two: two.traces("auto-backup")}

	for variable, value := range map[string]string{
		"SUPABASE_PROJECT_REF":  two.ProjectRef,
		"SUPABASE_DB_URL":       two.DatabaseURL,
		"SUPABASE_API_URL":      two.APIURL,
		"SUPABASE_ACCESS_TOKEN": "sbp_" + strings.Repeat("0", 40),
	} {
		for _, command := range [][]string{planOnly, {"apply", "-refresh-only", "-auto-approve", "-no-color"}, applyNow, destroyNow} {
			if variable == "SUPABASE_PROJECT_REF" && command[0] != "plan" && slices.Contains(command, "-refresh-only") {
				continue // reads the state's project and plans nothing
			}
			out := c.runWith([]string{variable + "=" + value}, 1, command...)
			if !strings.Contains(strings.Join(strings.Fields(out), " "), variable) {
				t.Errorf("%s, %s: the error does not name the variable:\n%s", variable, command, out)
			}
		}
		if out := c.run(0, "state", "list"); !strings.Contains(out, address) {
			t.Errorf("%s: the state has lost the backup", variable)
		}
	}
	for p, want := range before {
		if got := p.traces("auto-backup"); !slices.Equal(got, want) {
			t.Errorf("project %s was changed: %v, and had %v", p.ProjectRef, got, want)
		}
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")

	out := c.runWith([]string{"SUPABASE_PROJECT_URL=" + two.ProjectURL}, 0, planOnly...)
	if !strings.Contains(out, "0 to add, 1 to change, 0 to destroy") || !strings.Contains(out, "function_url") {
		t.Errorf("with another gateway the plan is\n%s", out)
	}
}
