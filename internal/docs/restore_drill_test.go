package docs_test

import (
	"crypto/rsa"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/offsitetest"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// restoreDrill proves what the script of the weekly pipeline does: it restores the newest
// copy of a bucket into an empty PostgreSQL and writes a summary; a copy that was changed
// fails it and is named; and the secrets are neither printed nor kept in a plan or state.
func restoreDrill(t *testing.T, u *user, s *stack.Stack) {
	server := offsitetest.NewServer()
	t.Cleanup(server.Close)
	b := &offsitetest.Backup{
		Prefix: "prod", ProjectRef: s.ProjectRef, Name: "auto-backup", MadeAt: time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC), Sequence: 1,
		Recipients: []*rsa.PrivateKey{offsitetest.Key(1)}, ServerVersion: "15.1",
		Before: "create table public.backup_articles (title text);", After: "create index on public.backup_articles (title);",
		Tables: []manifest.Table{{Schema: "public", Name: "backup_articles", Source: manifest.Stored, Columns: []manifest.Column{{Name: "title", Type: "text"}}}},
		Lines:  [][][]string{{{`{"title":"one"}`, `{"title":"two"}`}}},
	}
	b.Write(server.Put, nil)
	place, err := json.Marshal(map[string]string{"endpoint": server.URL, "region": "eu-central-1", "bucket": server.Bucket, "prefix": "prod", "project_ref": s.ProjectRef})
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(s.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	key := string(offsitetest.PEM(offsitetest.Key(1)))
	drill := func(status int, database string, texts ...string) {
		t.Helper()
		exec(t, s, "create database "+database+" owner postgres template template0")
		target.Path = "/" + database
		configuration := filepath.Join(u.dir, "main.tf")
		text, err := os.ReadFile(filepath.Join(root, "examples", "restore-drill", "main.tf"))
		if err != nil {
			t.Fatal(err)
		}
		// The example's database is that of a service container.
		if err := os.WriteFile(configuration, []byte(strings.Replace(string(text), `confirm      = "postgres"`, `confirm = "`+database+`"`, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		reader := u.at()
		reader.dir = u.dir
		reader.env = append(reader.env, "TF_VAR_copy="+string(place), "TF_VAR_access_key_id=AKIA-CANARY", "TF_VAR_secret_access_key=secret-canary-key", "TF_VAR_private_key="+key, "TF_VAR_database_url="+target.String())
		file := filepath.Join(t.TempDir(), "summary.md")
		out := reader.run(status, "GITHUB_STEP_SUMMARY='"+file+"' ./drill.sh")
		summary, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range texts {
			if !strings.Contains(string(summary)+unwrapped(out), want) {
				t.Errorf("%q is in neither\n%s\nnor\n%s", want, summary, out)
			}
		}
		for name, secret := range map[string]string{"access key": "AKIA-CANARY", "secret key": "secret-canary-key", "private key": strings.Split(key, "\n")[3], "database": target.String()} {
			if strings.Contains(string(summary)+out, secret) {
				t.Errorf("the %s was printed", name)
			}
			left := u.run(0, "grep -rlF -- '"+secret+"' . || true")
			if strings.TrimSpace(left) != "" {
				t.Errorf("the %s is in %s", name, left)
			}
		}
	}
	// A plan that is kept has none of them either.
	exec(t, s, "create database planned owner postgres template template0")
	target.Path = "/planned"
	planner := u.at()
	planner.dir = u.dir
	planner.env = append(planner.env, "TF_VAR_copy="+string(place), "TF_VAR_access_key_id=AKIA-CANARY", "TF_VAR_secret_access_key=secret-canary-key", "TF_VAR_private_key="+key, "TF_VAR_database_url="+target.String())
	planner.run(0, "sed -i 's/= \"postgres\"/= \"planned\"/' main.tf && terraform init -input=false && terraform plan -input=false -invoke=action.aimindset_auto_backup_restore.drill -out=kept && unzip -o -q -d unpacked kept")
	for _, secret := range []string{"AKIA-CANARY", "secret-canary-key", strings.Split(key, "\n")[3], target.String()} {
		planner.run(1, "grep -rF -- '"+secret+"' unpacked")
	}
	if out := planner.run(0, "terraform apply -input=false kept"); !strings.Contains(out, "restored: 2 rows in 1 tables") {
		t.Errorf("the plan that was kept printed\n%s", out)
	}
	drill(0, "drilled", "## ✅ The off-site copy can be restored", "Backup "+b.ID()+" of 2026-11-26T06:00:00Z", "| rows of public.backup_articles | 2 | 2 | ✅ |", "| check_sql[0] | true | true | ✅ |", "not covered: accounts")
	for _, name := range server.Keys() {
		if strings.Contains(name, "/rows/") {
			changed := append([]byte{}, server.Object(name)...)
			changed[len(changed)/2] ^= 1
			server.Put(name, changed)
		}
	}
	drill(1, "changed", "## ❌ The off-site copy was not restored", "the object was changed", "rows/01-backup_articles/00001")
}
