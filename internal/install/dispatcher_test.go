package install_test

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// serviceOf returns a service of a stack's project, with SQL over its Management API.
func serviceOf(t *testing.T, project *stack.Stack) *install.Service {
	t.Helper()
	client, err := supabase.New(supabase.Config{BaseURL: project.APIURL, Token: project.AccessToken, UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return install.NewService(project.ProjectRef, client, postgres.OverAPI(supabase.ProjectSQL{Client: client, Ref: project.ProjectRef}))
}

// specOf returns a backup of a stack's project with one schedule.
func specOf(t *testing.T, project *stack.Stack, name backup.Name) backup.Spec {
	t.Helper()
	schedule, err := backup.CompileSchedule("0 3 * * *", nil, "UTC", true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	spec := backup.Spec{
		ID: backup.ID{ProjectRef: project.ProjectRef, Name: name}, ExtendLogConstraint: true,
		Settings: backup.Settings{
			Timezone: "UTC", Schedules: map[string]backup.Schedule{"daily": schedule},
			Function: backup.FunctionSettings{URL: backup.FunctionURL(project.ProjectURL, name.Slug()), RPC: backup.DefaultRPC},
			Secrets:  []string{},
		},
	}
	spec.Source = backup.BuiltInSource(name, spec.Settings)
	return spec
}

// TestDispatcherComparedOnce proves that an apply after another one of the same process does
// not compare the dispatcher with its version again, and that it repairs the dispatcher all
// the same if its version has changed meanwhile, or if the backup was read with a dispatcher
// that had changed.
func TestDispatcherComparedOnce(t *testing.T) {
	t.Parallel()
	var compared, acquired atomic.Int64
	project, err := stack.Start(t.Context(), stack.Options{Articles: 1, RateLimit: -1, Intercept: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(answer, err.Error(), http.StatusBadRequest)
				return
			}
			if bytes.Contains(body, []byte("auto_backup.acquire(")) && !bytes.Contains(body, []byte("create or replace function auto_backup.acquire(")) {
				acquired.Add(1)
				if bytes.Contains(body, []byte("auto_backup.drift()")) {
					compared.Add(1)
				}
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(answer, r)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := project.Close(); err != nil {
			t.Error(err)
		}
	})
	service := serviceOf(t, project)
	run := func(sql string) {
		t.Helper()
		if _, err := project.Admin().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	// apply installs a backup, after something has happened since it was read.
	apply := func(name backup.Name, since string) {
		t.Helper()
		spec := specOf(t, project, name)
		found, err := service.Observe(t.Context(), name, backup.Known{})
		if err != nil {
			t.Fatal(err)
		}
		if since != "" {
			run(since)
		}
		if _, err := service.Apply(t.Context(), spec, found, func(backup.Part) {}); err != nil {
			t.Fatal(err)
		}
		found, err = service.Observe(t.Context(), name, backup.Known{Files: spec.Source.Digests()})
		if err != nil {
			t.Fatal(err)
		}
		if differences := backup.Diff(spec.Completed(found), found); len(differences) > 0 {
			t.Errorf("after the apply of %s, it differs: %v", name, differences)
		}
	}
	expect := func(what string, times int64) {
		t.Helper()
		if got := compared.Swap(0); got != times || acquired.Swap(0) != 1 {
			t.Errorf("%s: the dispatcher was compared %d times under the lease, not %d", what, got, times)
		}
	}
	apply("first", "")
	expect("the first apply", 1)
	apply("second", "")
	expect("the second apply", 0)
	// Another provider has installed its own dispatcher since.
	apply("third", "update auto_backup.installation set version = 'other'; drop function auto_backup.prune")
	expect("the apply after another version", 0)
	run("drop function auto_backup.prune")
	apply("fourth", "")
	expect("the apply after a change that was read", 1)
	apply("fifth", "")
	expect("the apply after that", 0)
}
