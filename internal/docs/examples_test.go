package docs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// module is what the test of a directory below examples needs to know of it
// beyond its files.
type module struct {
	// stack is the project that the example is meant for.
	stack stack.Options
	// others is how many more projects the example needs.
	others int
	// prepare does what the example asks of a user before the apply, and
	// returns further settings of the environment.
	prepare func(t *testing.T, u *user, projects ...*stack.Stack) []string
	// check looks at the project after the apply.
	check func(t *testing.T, u *user, s *stack.Stack)
	// left is what destroy leaves of the jobs; nothing if empty.
	left string
	// needs is the feature of package engine's table that the example uses.
	needs string
	// instead does what a user does where there is nothing to apply and destroy.
	instead func(t *testing.T, u *user, s *stack.Stack)
}

const applicationJobs = "alert_overdue_publications_every_5_minutes */5 * * * * true, cleanup_old_logs_job 0 2 * * * true, publish_due_articles_every_minute * * * * * true"

var modules = map[string]module{
	"quickstart": {
		check: func(t *testing.T, _ *user, s *stack.Stack) {
			if got := jobs(t, s); got != "auto-backup-drill 30 7 * * 0 true, auto-backup-nightly 0 6 * * * true, auto-backup-watchdog */10 * * * * true" {
				t.Errorf("the jobs are %s", got)
			}
		},
	},
	"existing-project": {
		stack: stack.Options{LegacyJobs: true},
		prepare: func(_ *testing.T, u *user, _ ...*stack.Stack) []string {
			out := u.run(1, "terraform plan -input=false -no-color -var adopt_existing=false")
			for _, name := range []string{"auto-backup-daily", "auto-backup-secondary", "adopt_existing = true"} {
				if !strings.Contains(out, name) {
					u.t.Errorf("a plan without adoption does not name %s: %s", name, out)
				}
			}
			return nil
		},
		check: func(t *testing.T, _ *user, s *stack.Stack) {
			if got := jobs(t, s); !strings.HasSuffix(got, "auto-backup-daily 0 6 * * * true, auto-backup-drill 30 7 * * 0 true, auto-backup-secondary 0 18 * * * true, auto-backup-watchdog */10 * * * * true, "+
				"cleanup_old_logs_job 0 2 * * * true, publish_due_articles_every_minute * * * * * true") {
				t.Errorf("the jobs are %s", got)
			}
			if got := value(t, s, "select count(*) from public.backup_logs where action_type = 'auto_backup' and success"); got != "1" {
				t.Errorf("%s backups were made", got)
			}
		},
		left: applicationJobs,
	},
	"retention": {
		check: func(t *testing.T, u *user, s *stack.Stack) {
			backUp(t, s, "succeeded")
			if got := jobs(t, s); !strings.Contains(got, "auto-backup-retention 20 * * * * true") {
				t.Errorf("the jobs are %s", got)
			}
			u.run(0, "terraform apply -input=false -auto-approve")
			if out := u.run(0, "terraform output -json stored_backups"); !strings.Contains(out, `"count":1`) || !strings.Contains(out, `"surplus":0`) || strings.Contains(out, `"database_bytes":null`) {
				t.Errorf("the stored backups are %s", out)
			}
		},
	},
	"offsite": {
		prepare: func(_ *testing.T, u *user, _ ...*stack.Stack) []string {
			for _, name := range []string{"first", "second"} {
				u.run(0, "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out "+name+".key.pem")
				u.run(0, "openssl pkey -in "+name+".key.pem -pubout -out "+name+".pub.pem")
			}
			// The buckets are not there.
			return []string{"TF_VAR_verify=none", `TF_VAR_r2_key={ id = "r2-id", secret = "r2-secret" }`, `TF_VAR_aws_key={ id = "aws-id", secret = "aws-secret" }`}
		},
		check: func(t *testing.T, _ *user, s *stack.Stack) {
			got := value(t, s, `select string_agg(concat_ws(' ', key, value ->> 'bucket', value ->> 'prefix', jsonb_array_length(value -> 'recipients'), value ->> 'every', value ->> 'tables', value #>> '{lock,days}'), ', ' order by key)
				from auto_backup.settings, jsonb_each(document #> '{offsite,destinations}')`)
			if got != `aws acme-backups-locked  2 weekly ["live", "stored"] 90, r2 acme-backups prod 2 backup ["stored"]` {
				t.Errorf("the destinations are %s", got)
			}
		},
	},
	"notifications": notifications(),
	"two-schedules": {
		prepare: func(_ *testing.T, u *user, projects ...*stack.Stack) []string {
			s := projects[0]
			u.run(0, fmt.Sprintf("psql -qX -v ON_ERROR_STOP=1 -f backup_success.sql '%s'", s.DatabaseURL))
			if got := value(u.t, s, "select public.check_backup_health() ->> 'system_healthy'"); got != "false" {
				u.t.Errorf("the panel calls a project without a backup healthy: %s", got)
			}
			return nil
		},
		check: func(t *testing.T, _ *user, s *stack.Stack) {
			if got := value(t, s, "select public.check_backup_health()"); !strings.Contains(got, `"system_healthy": true`) {
				t.Errorf("the panel shows %s", got)
			}
			if got := value(t, s, "select string_agg(jobname, ' ') from public.get_backup_cron_status() where active"); got != "auto-backup-daily auto-backup-secondary" {
				t.Errorf("the panel lists the jobs %s", got)
			}
			if got := value(t, s, "select has_function_privilege('anon', 'public.backup_all_data_for_panel()', 'execute')"); got != "false" {
				t.Error("a visitor of the site may start a backup")
			}
		},
	},
	"own-function-source": {
		check: func(t *testing.T, _ *user, s *stack.Stack) {
			id := backUp(t, s, "succeeded")
			if got := value(t, s, "select message from public.system_logs where type = 'auto_backup' and context ->> 'run_id' = '"+id+"'"); got != "Backup automático de AIMindset concluído" {
				t.Errorf("the log says %q", got)
			}
			exec(t, s, "alter table public.articles rename column title to heading")
			id = backUp(t, s, "failed")
			exec(t, s, "alter table public.articles rename column heading to title")
			if got := value(t, s, "select context ->> 'code' from public.system_logs where type = 'auto_backup_error' and context ->> 'run_id' = '"+id+"'"); got != "backup_failed" {
				t.Errorf("the failure is logged as %q", got)
			}
			// The source is deployed as it stands, and nobody else may call it.
			answer, err := http.Post(s.ProjectURL+"/functions/v1/auto-backup", "application/json", strings.NewReader(`{"action":"probe"}`))
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("without a token the function answers %s", answer.Status)
			}
		},
	},
	"status": {
		prepare: installedByOther,
		check: func(t *testing.T, u *user, s *stack.Stack) {
			out := u.run(0, "terraform apply -input=false -auto-approve -no-color")
			if strings.Contains(out, "Warning") {
				t.Errorf("a healthy backup makes a check fail: %s", out)
			}
			if !regexp.MustCompile(`last_success = "20\S+Z, \d+ records"\nnext_run = "20\S+T03:00:00-03:00"\n`).MatchString(out) {
				t.Errorf("the outputs are\n%s", out)
			}
			u.run(0, "terraform test -no-color | grep -F 'Success! 2 passed, 0 failed.'")

			exec(t, s, "alter table public.feedbacks rename to feedbacks_old")
			backUp(t, s, "failed")
			cause := `(?s)Check block assertion failed.*is failing: the backup due at.*feedbacks`
			if out := u.run(0, "terraform apply -input=false -auto-approve -no-color"); !regexp.MustCompile(cause).MatchString(unwrapped(out)) {
				t.Errorf("a failing backup shows as\n%s", out)
			}
			if out := u.run(1, "terraform test -no-color"); !strings.Contains(out, "1 passed, 1 failed.") || !strings.Contains(unwrapped(out), "feedbacks") {
				t.Errorf("of a failing backup, terraform test says\n%s", out)
			}

			exec(t, s, "alter table public.feedbacks_old rename to feedbacks")
			backUp(t, s, "succeeded")
			u.run(0, "terraform test")
			u.run(0, `SUPABASE_ACCESS_TOKEN="$INSTALLER_TOKEN" terraform -chdir="$INSTALLER" destroy -input=false -auto-approve`)
			if out := u.run(1, "terraform test -no-color"); !strings.Contains(unwrapped(out), "is not installed") {
				t.Errorf("without a backup, terraform test says\n%s", out)
			}
			u.run(0, "terraform apply -input=false -auto-approve")
		},
	},
	"continuous-validation": {instead: continuousValidation},
	"metrics":               {prepare: installedByOther, instead: metrics},
	"test-backup": {
		prepare: func(t *testing.T, u *user, projects ...*stack.Stack) []string {
			s := projects[0]
			installer := u.at()
			installed(installer)
			backUp(t, s, "succeeded")
			const live = "select jsonb_build_array((select jsonb_agg(to_jsonb(b)) from auto_backup.settings b), (select jsonb_agg(to_jsonb(r)) from auto_backup.runs r), " +
				"(select jsonb_agg(to_jsonb(j)) from cron.job j), (select jsonb_agg(to_jsonb(v)) from vault.secrets v))"
			before, secrets := value(t, s, live), s.SecretDigests()
			u.run(0, "terraform test -no-color | grep -F 'Success! 3 passed, 0 failed.'")
			if after := value(t, s, live); after != before || !maps.Equal(s.SecretDigests(), secrets) {
				t.Errorf("the test has made of the live backup\n%s\n%s", before, after)
			}
			return []string{"INSTALLER=" + installer.dir}
		},
		check: func(t *testing.T, u *user, s *stack.Stack) {
			if got := jobs(t, s); got != "auto-backup-drill 30 7 * * 0 true, auto-backup-nightly 0 6 * * * true, auto-backup-test-drill 30 7 * * 0 false, auto-backup-test-nightly 0 6 * * * false, auto-backup-test-watchdog */10 * * * * true, auto-backup-watchdog */10 * * * * true" {
				t.Errorf("the jobs are %s", got)
			}
			u.run(0, `terraform -chdir="$INSTALLER" destroy -input=false -auto-approve`)
		},
	},
	"drift-detection": {check: driftDetection},
	"restore-drill":   {needs: "actions", stack: stack.Options{Parts: stack.Database, Articles: 1}, instead: restoreDrill},
	"many-projects": {
		others: 1,
		prepare: func(t *testing.T, _ *user, projects ...*stack.Stack) []string {
			address := account(t, projects...)
			variable, err := json.Marshal(map[string]map[string]string{
				"shop": {"ref": projects[0].ProjectRef}, "blog": {"ref": projects[1].ProjectRef, "cron": "30 2 * * *", "timezone": "Europe/Lisbon"},
			})
			if err != nil {
				t.Fatal(err)
			}
			return []string{
				"SUPABASE_PROJECT_REF=", "SUPABASE_ACCESS_TOKEN=" + accountToken,
				"SUPABASE_API_URL=" + address, "SUPABASE_PROJECT_URL=" + address + "/project/{ref}", "TF_VAR_projects=" + string(variable),
			}
		},
		check: func(t *testing.T, u *user, _ *stack.Stack) {
			out := u.run(0, "terraform output -json cron_utc")
			if !strings.Contains(out, `"blog":{"drill":"30 3,4 * * 0","nightly":"30 1,2 * * *"`) || !strings.Contains(out, `"shop":{"drill":"30 7 * * 0","nightly":"0 6 * * *"`) {
				t.Errorf("the jobs are %s", out)
			}
		},
	},
}

// installedByOther has somebody else install the backup, which was made last night, and
// returns the settings of one who may only read.
func installedByOther(t *testing.T, u *user, projects ...*stack.Stack) []string {
	t.Helper()
	installer := u.at()
	installed(installer)
	backUp(t, projects[0], "succeeded")
	return []string{"SUPABASE_ACCESS_TOKEN=" + projects[0].ReadOnlyAccessToken, "INSTALLER=" + installer.dir, "INSTALLER_TOKEN=" + projects[0].AccessToken}
}

// snippets are the directories below examples whose files stand on the
// reference pages. TestSnippets, TestTasks and TestTwoProjects have them.
var snippets = []string{"provider", "resources", "data-sources", "functions", "list-resources", "actions", "ephemeral-resources"}

// TestExamples proves for every module below examples that a user who copies
// it has a working backup: init from a filesystem mirror, apply, an empty plan
// after it, and a destroy that leaves nothing. A directory that is not in the
// table fails.
func TestExamples(t *testing.T) {
	engines.Need(t, "check")
	t.Parallel()
	entries, err := os.ReadDir(filepath.Join(root, "examples"))
	if err != nil {
		t.Fatal(err)
	}
	missing := maps.Clone(modules)
	for _, entry := range entries {
		name := entry.Name()
		m, ok := modules[name]
		delete(missing, name)
		if slices.Contains(snippets, name) {
			continue
		}
		if !ok {
			t.Errorf("examples/%s is in no test: add it to the table", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if m.needs != "" {
				engines.Need(t, m.needs)
			}
			projects := []*stack.Stack{start(t, m.stack)}
			for range m.others {
				projects = append(projects, start(t, stack.Options{Articles: 1}))
			}
			s := projects[0]
			u := newUser(t, s.Environ()...)
			if err := os.CopyFS(u.dir, os.DirFS(filepath.Join(root, "examples", name))); err != nil {
				t.Fatal(err)
			}
			u.run(0, "terraform init -input=false")
			if m.prepare != nil {
				u.env = append(u.env, m.prepare(t, u, projects...)...)
			}
			if m.instead != nil {
				m.instead(t, u, s)
				return
			}
			u.run(0, "terraform apply -input=false -auto-approve")
			u.run(0, "terraform plan -input=false -detailed-exitcode")
			if m.check != nil {
				m.check(t, u, s)
			}
			u.run(0, "terraform plan -input=false -detailed-exitcode")
			u.run(0, "terraform destroy -input=false -auto-approve")
			if m.left == "" {
				m.left = "none"
			}
			for _, s := range projects {
				if got := jobs(t, s); got != m.left {
					t.Errorf("destroy left the jobs %s", got)
				}
				if got := value(t, s, "select count(*) from pg_namespace where nspname = 'auto_backup'"); got != "0" {
					t.Error("destroy left the schema auto_backup")
				}
			}
		})
	}
	for name := range missing {
		t.Errorf("examples/%s is in the table, and there is no such directory", name)
	}
}

// backUp has a backup made and waits for its end; the watchdog has looked then.
func backUp(t *testing.T, s *stack.Stack, state string) string {
	t.Helper()
	id := value(t, s, "select auto_backup.start('auto-backup', 'nightly', 'manual', now(), 1, true)")
	await(t, s, "select state in ('succeeded', 'failed') from auto_backup.runs where run_id = '"+id+"'", "auto_backup.watch('auto-backup')")
	if got := value(t, s, "select state from auto_backup.runs where run_id = '"+id+"'"); got != state {
		t.Errorf("the run %s: %s", got, value(t, s, "select to_jsonb(r) from auto_backup.runs r where run_id = '"+id+"'"))
	}
	return id
}

// unwrapped is what Terraform printed without the frame and the line breaks that
// it puts into messages.
func unwrapped(out string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("│", "", "╷", "", "╵", "").Replace(out)), " ")
}

// accountToken is the access token of an account that sees several stacks.
const accountToken = "sbp_0123456789abcdef0123456789abcdef01234567"

// account is the Management API of an account with several projects, and at
// /project/<ref> the projects' own addresses. Each stack serves one project.
func account(t *testing.T, stacks ...*stack.Stack) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, s := range stacks {
		forward := func(to, prefix string) http.Handler {
			target, err := url.Parse(to)
			if err != nil {
				t.Fatal(err)
			}
			return http.StripPrefix(prefix, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				if r.In.Header.Get("Authorization") == "Bearer "+accountToken {
					r.Out.Header.Set("Authorization", "Bearer "+s.AccessToken)
				}
			}})
		}
		mux.Handle("/v1/projects/"+s.ProjectRef+"/", forward(s.APIURL, ""))
		mux.Handle("/project/"+s.ProjectRef+"/", forward(s.ProjectURL, "/project/"+s.ProjectRef))
	}
	return server.URL
}

// TestSnippets proves that what the reference pages show works: the
// configurations apply and then plan empty, and an import plans empty with
// nothing but the configuration that Terraform generates for it. What the
// engine at hand does not have is skipped, and left to those that CI runs.
func TestSnippets(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	settings := s.Environ()
	known := map[string]func(u *user, text string){
		"provider/provider.tf": func(u *user, text string) { appliesAndDestroys(u, text) },
		"data-sources/aimindset_auto_backup_status/data-source.tf": func(u *user, text string) {
			installed(u)
			u.write("status.tf", text)
			const failed = "Warning: Check block assertion failed"
			if out := u.run(0, "terraform apply -input=false -auto-approve -no-color"); strings.Contains(out, failed) {
				u.t.Errorf("a backup that is still to be due is not called healthy: %s", out)
			}
			if _, err := s.Admin().Exec(u.t.Context(), "update cron.job set active = false"); err != nil {
				u.t.Fatal(err)
			}
			if out := u.run(0, "terraform plan -input=false -no-color"); !strings.Contains(out, failed) {
				u.t.Errorf("a backup whose jobs are switched off is called healthy: %s", out)
			}
			u.run(0, "terraform destroy -input=false -auto-approve")
		},
		"data-sources/aimindset_auto_backups/data-source.tf": func(u *user, text string) {
			installed(u)
			u.write("fleet.tf", text)
			const failed = "Warning: Check block assertion failed"
			if out := u.run(0, "terraform apply -input=false -auto-approve -no-color"); strings.Contains(out, failed) || !strings.Contains(out, "**Every expected backup is healthy.** 1 project: 1 not run yet.") {
				u.t.Errorf("a backup that is still to be due is not called healthy: %s", out)
			}
			if _, err := s.Admin().Exec(u.t.Context(), "update cron.job set active = false"); err != nil {
				u.t.Fatal(err)
			}
			if out := u.run(0, "terraform plan -input=false -no-color"); !strings.Contains(out, failed) || !strings.Contains(out, "`job_inactive`") {
				u.t.Errorf("a backup whose jobs are switched off is called healthy: %s", out)
			}
			u.run(0, "terraform destroy -input=false -auto-approve")
		},
		"functions/next_runs/function.tf": func(u *user, text string) {
			u.write("main.tf", requiredProviders+text)
			u.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
			if out := u.run(0, "terraform output -json next_runs"); strings.Count(out, "T03:00:00-03:00") != 3 {
				u.t.Errorf("next_runs is %s", out)
			}
		},
		"functions/cron_utc/function.tf": func(u *user, text string) {
			u.write("main.tf", requiredProviders+text)
			u.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
			if out := u.run(0, "terraform output -raw schedule"); out != "0 6 * * *" {
				u.t.Errorf("the schedule is %s", out)
			}
		},
		"functions/retained_backups/function.tf": func(u *user, text string) {
			u.write("main.tf", requiredProviders+text)
			u.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
			if out := strings.TrimSpace(u.run(0, "terraform output -json retained_backups")); out != `["2026-10-31T06:00:00Z","2026-11-21T06:00:00Z","2026-11-22T06:00:00Z"]` {
				u.t.Errorf("the retained backups are %s", out)
			}
		},
		"resources/aimindset_auto_backup/import-by-string-id.tf": func(u *user, text string) { imports(u, s, text, "") },
		"resources/aimindset_auto_backup/import-by-identity.tf": func(u *user, text string) {
			engines.Need(u.t, "identity")
			imports(u, s, text+nightlyBackup, "terraform apply -input=false -auto-approve")
			imports(u, s, text, "")
		},
		"resources/aimindset_auto_backup/import.sh": func(u *user, text string) {
			imports(u, s, nightlyBackup, text)
		},
		"actions/aimindset_auto_backup_run/action.tf": func(u *user, text string) {
			engines.Need(u.t, "actions")
			u.write("migrations.sql", "select 1;")
			u.write("main.tf", requiredProviders+text)
			u.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
			if out := u.run(0, "terraform apply -input=false -auto-approve -invoke=action.aimindset_auto_backup_run.now"); !strings.Contains(out, "succeeded: backup id") {
				u.t.Errorf("the action printed\n%s", out)
			}
			u.run(0, "terraform destroy -input=false -auto-approve")
		},
		"actions/aimindset_auto_backup_drill/action.tf": func(u *user, text string) {
			engines.Need(u.t, "actions")
			u.write("migrations.sql", "select 1;")
			u.write("main.tf", requiredProviders+text)
			u.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
			if out := u.run(1, "terraform apply -input=false -auto-approve -invoke=action.aimindset_auto_backup_drill.now"); !strings.Contains(out, "no backup has succeeded yet") {
				u.t.Errorf("the action printed\n%s", out)
			}
			u.run(0, "terraform destroy -input=false -auto-approve")
		},
		"actions/aimindset_auto_backup_restore/action.tf": func(u *user, text string) {
			engines.Need(u.t, "actions")
			u.write("main.tf", requiredProviders+"provider \"aimindset\" {}\n"+text)
			u.run(0, "terraform init -input=false && terraform validate")
		},
		"list-resources/aimindset_auto_backup/list-resource.tfquery.hcl": func(u *user, text string) {
			engines.Need(u.t, "query")
			installed(u)
			there := u.at()
			there.write("main.tf", requiredProviders+"provider \"aimindset\" {}\n")
			there.write("backups.tfquery.hcl", text)
			there.run(0, "terraform init -input=false && terraform query -generate-config-out=backups.tf")
			if out := there.run(0, "cat backups.tf"); strings.Count(out, "import {") < 1 {
				u.t.Errorf("the query generated\n%s", out)
			}
			u.run(0, "terraform destroy -input=false -auto-approve")
		},
	}
	var found []string
	for _, kind := range snippets {
		err := filepath.WalkDir(filepath.Join(root, "examples", kind), func(path string, entry os.DirEntry, err error) error {
			if os.IsNotExist(err) || (err == nil && entry.IsDir()) {
				return nil
			}
			name, _ := filepath.Rel(filepath.Join(root, "examples"), path)
			if name = filepath.ToSlash(name); !isTask(name) {
				found = append(found, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range found {
		try, ok := known[name]
		if !ok {
			t.Errorf("examples/%s is in no test: add it to the table", name)
			continue
		}
		delete(known, name)
		// One after the other, in one project.
		t.Run(name, func(t *testing.T) {
			u := newUser(t, settings...)
			try(u, example(t, s.ProjectRef, "examples", name))
			if got := jobs(t, s); got != "none" {
				t.Errorf("the jobs %s are left", got)
			}
		})
	}
	for name := range known {
		t.Errorf("examples/%s is in the table, and there is no such file", name)
	}
}

// nightlyBackup is the quick start's backup.
const nightlyBackup = "resource \"aimindset_auto_backup\" \"this\" {\n  schedules = { nightly = { cron = \"0 3 * * *\" } }\n}\n"

const requiredProviders = "terraform {\n  required_providers {\n    aimindset = { source = \"aimindset/aimindset\" }\n  }\n}\n\n"

// appliesAndDestroys goes once through the life of a configuration.
func appliesAndDestroys(u *user, text string) {
	u.t.Helper()
	u.write("main.tf", text)
	u.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
	u.run(0, "terraform plan -input=false -detailed-exitcode")
	u.run(0, "terraform destroy -input=false -auto-approve")
}

// installed installs the quick start's backup.
func installed(u *user) {
	u.t.Helper()
	u.write("main.tf", example(u.t, "", "examples", "quickstart", "main.tf"))
	u.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
}

// imports installs a backup from one directory and brings it into the state of
// another one, with the configuration that Terraform generates or, with a
// script, by that script.
func imports(u *user, s *stack.Stack, text, script string) {
	u.t.Helper()
	installed(u)
	there := u.at()
	there.write("main.tf", requiredProviders+text)
	there.run(0, "terraform init -input=false")
	if script != "" {
		there.run(0, script)
	} else {
		// What to do if Terraform does not find the provider stands on the page.
		out := there.run(0, `generate='terraform plan -input=false -no-color -generate-config-out=generated.tf'
			$generate > plan.txt 2>&1 || {
				grep -F hashicorp/aimindset plan.txt
				sed -i 's/^import {$/&\n  provider = aimindset/' main.tf
				$generate > plan.txt
				sed -i '/^  provider = aimindset$/d' main.tf
			}
			cat plan.txt`)
		if !strings.Contains(out, "1 to import, 0 to add, 0 to change, 0 to destroy") {
			u.t.Errorf("the import changes something: %s\n%s", out, there.run(0, "cat generated.tf"))
		}
		there.run(0, "terraform apply -input=false -auto-approve")
	}
	there.run(0, "terraform plan -input=false -detailed-exitcode")
	if got := jobs(u.t, s); got == "none" {
		u.t.Error("there are no jobs after an import")
	}
	there.run(0, "terraform destroy -input=false -auto-approve")
}
