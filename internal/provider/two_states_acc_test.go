package provider_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

var twoStatesUpdate = flag.Bool("two-states.update", false, "write the table of two states into "+twoStatesGuide)

const (
	twoStatesGuide = "../../docs/guides/interrupted-applies.md"
	twoStatesBegin = "<!-- two states: begin -->\n"
	twoStatesEnd   = "<!-- two states: end -->\n"
)

// scene is a project and two directories with the same configuration. They differ in
// the schedule, so the jobs show whose the backup is.
type scene struct {
	*project
	one, two *cli
	faulty   *stack.FaultyStack
	// statements is how many a create sends, from its refresh to its end.
	statements int
	// stale is a state of the first directory.
	stale []byte
}

// situation is a row of the table: what happened before, what one of the states does,
// and how it ends. The rows of a list follow each other in one project.
type situation struct {
	made, knows, between, does, outcome string
	// owner is whose schedule the jobs have afterwards: "one", "two", "either", or
	// empty if there is no job.
	owner string
	run   func(s *scene)
}

const sceneConfig = required + `
	variable "who" {}
	variable "name" { default = "auto-backup" }
	variable "label" { default = "auto-backup" }
	variable "create" { default = "5m" }
	resource "aimindset_auto_backup" "this" {
	  name      = var.name
	  schedules = { daily = { cron = var.who == "one" ? "0 1 * * *" : "0 2 * * *" } }
	  alert     = { source = var.label }
	  verify    = "none"
	  timeouts  = { create = var.create }
	  %s
	}`

var (
	applyNow   = []string{"apply", "-auto-approve", "-no-color"}
	destroyNow = []string{"destroy", "-auto-approve", "-no-color"}
	planOnly   = []string{"plan", "-no-color"}
)

const (
	alreadyThere = "The backup already exists"
	continued    = "An interrupted apply is continued"
	leaseHeld    = "Another apply holds the lease on"
	anotherState = "Another state has the backup"
)

// newScene starts a project and makes the two directories.
func newScene(t *testing.T) *scene {
	t.Helper()
	p := start(t, stack.Options{})
	s := &scene{project: p}
	for who, c := range map[string]**cli{"one": &s.one, "two": &s.two} {
		*c = newCLI(t, fmt.Sprintf(sceneConfig, ""), append(p.Environ(), "TF_VAR_who="+who)...)
	}
	return s
}

// imports brings the backup into a state.
func (s *scene) imports(c *cli) {
	s.t.Helper()
	c.run(0, "import", "-no-color", address, s.ProjectRef+"/auto-backup")
}

// write writes a file into a directory.
func (s *scene) write(c *cli, name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// holding starts an apply of the first state that stops at the deployment of the
// function, and calls then while it does. waiting is closed when another apply has
// asked for the lease.
func (s *scene) holding(then func(release func(), waiting <-chan struct{}), args ...string) {
	s.t.Helper()
	reached, released, waiting := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var deployed, asked sync.Once
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	s.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if strings.HasSuffix(r.URL.Path, "/functions/deploy") {
				deployed.Do(func() {
					close(reached)
					<-released
				})
			}
			next.ServeHTTP(w, r)
			select {
			case <-reached:
				if bytes.Contains(body, []byte("auto_backup.acquire(")) {
					asked.Do(func() { close(waiting) })
				}
			default:
			}
		})
	})
	defer s.InterceptAPI(nil)
	terraform := s.one.begin(append(applyNow, args...)...)
	type ending struct {
		run stack.TerraformRun
		err error
	}
	ended := make(chan ending, 1)
	go func() {
		run, err := terraform.Wait()
		ended <- ending{run, err}
	}()
	select {
	case <-reached:
	case e := <-ended:
		s.t.Fatalf("the apply ended before it deployed the function: %v\n%s", e.err, e.run.Output)
	}
	then(func() {
		release()
		if e := <-ended; e.err != nil || e.run.Exit != 0 {
			s.t.Errorf("the first apply ended with %d, %v:\n%s", e.run.Exit, e.err, e.run.Output)
		}
	}, waiting)
}

// killed kills the provider during a create of the first state.
func (s *scene) killed(call stack.RemoteCall) {
	s.t.Helper()
	var terraform *stack.TerraformProcess
	var failed error
	started := make(chan struct{})
	s.faulty.Begin(&stack.Trap{Call: call, Fault: stack.Kill, Act: func() {
		<-started
		failed = terraform.KillProvider()
	}}, nil)
	terraform = s.one.begin(applyNow...)
	close(started)
	run, ended := terraform.Wait()
	_, sprung, err := s.faulty.End()
	if err := errors.Join(ended, err, failed); err != nil || !sprung || run.Exit != 1 {
		s.t.Fatalf("the provider was not killed (%v); Terraform ended with %d:\n%s", err, run.Exit, run.Output)
	}
}

var (
	atFunction = stack.RemoteCall{Name: "POST /v1/projects/{ref}/functions/deploy", N: 1}
	sqlByAPI   = "POST /v1/projects/{ref}/database/query"
)

// check proves that the project has one backup, with the jobs of its owner, or none.
func (s *scene) check(row situation) {
	s.t.Helper()
	want := map[string]string{"one": "0 4 * * *, 30 7 * * 0, */10 * * * *", "two": "0 5 * * *, 30 7 * * 0, */10 * * * *"}
	got := s.value("select string_agg(schedule, ', ' order by jobname) from cron.job where jobname like 'auto-backup-%' or command like '%auto_backup.dispatch%'")
	if row.owner == "either" && (got == want["one"] || got == want["two"]) {
		return
	}
	if got != want[row.owner] {
		s.t.Errorf("%s; %s: the jobs run at %q and are to be those of %q", row.between, row.does, got, row.owner)
	}
}

// finished are situations around a backup whose installation was finished.
var finished = []situation{
	{"the first", "the first", "nothing", "the second plans the same backup", "refused: choose another `name`, or import it", "one", func(s *scene) {
		s.one.run(0, applyNow...)
		s.two.says(s.two.run(1, planOnly...), alreadyThere, "another `name`", "import")
	}},
	{"the first", "the first", "nothing", "the second applies", "refused, and nothing is changed", "one", func(s *scene) {
		s.two.says(s.two.run(1, applyNow...), alreadyThere)
	}},
	{"the first", "the first", "nothing", "the second destroys", "removes nothing: its state is empty", "one", func(s *scene) {
		s.two.says(s.two.run(0, destroyNow...), "0 destroyed")
	}},
	{"the first", "the first", "nothing", "`terraform test` applies in the first's directory", "the test fails, and its end removes nothing", "one", func(s *scene) {
		s.write(s.one, "same.tftest.hcl", `run "apply" {}`)
		s.one.says(s.one.run(1, "test", "-no-color", "-filter=same.tftest.hcl"), alreadyThere, "0 passed")
	}},
	{"the first", "the first", "nothing", "`terraform test` applies with a `name` of its own", "passes, and its end removes only the test's backup", "one", func(s *scene) {
		s.write(s.one, "own.tftest.hcl", "variables {\n  name = \"nightly-test\"\n}\nrun \"apply\" {}")
		s.one.says(s.one.run(0, "test", "-no-color", "-filter=own.tftest.hcl"), "1 passed")
		if left := s.value("select count(*) from auto_backup.settings where backup <> 'auto-backup'"); left != "0" {
			s.t.Errorf("the test has left %s backups", left)
		}
	}},
	{"the first", "the first", "an update of the first is under way", "the second applies", "refused, and the update ends well", "one", func(s *scene) {
		s.holding(func(release func(), _ <-chan struct{}) {
			s.two.says(s.two.run(1, applyNow...), alreadyThere)
			release()
		}, "-var=label=other")
	}},
	{"the first", "the first", "`SUPABASE_PROJECT_REF` is another project's", "the first applies", "refused: the error names the variable", "one", func(s *scene) {
		out := s.one.runWith([]string{"SUPABASE_PROJECT_REF=zyxwvutsrqponmlkjihg"}, 1, applyNow...)
		s.one.says(out, "Only an environment variable would replace the backup", "SUPABASE_PROJECT_REF", s.ProjectRef)
	}},
	{"the first", "the first", "`prevent_destroy` is set", "the first destroys", "refused by Terraform", "one", func(s *scene) {
		s.one.configure(fmt.Sprintf(sceneConfig, "lifecycle {\n prevent_destroy = true\n }"))
		s.one.says(s.one.run(1, destroyNow...), "nstance cannot be destroyed") // OpenTofu writes "Resource instance"
		s.one.configure(fmt.Sprintf(sceneConfig, ""))
	}},
	{"the first", "none", "`terraform state rm`", "the first applies", "refused: the error has the `import` block", "one", func(s *scene) {
		s.one.run(0, "state", "rm", address)
		s.one.says(s.one.run(1, applyNow...), alreadyThere, "import {", s.ProjectRef+"/auto-backup")
	}},
	{"the first", "none", "the same", "the first imports and applies", "the first has it again", "one", func(s *scene) {
		s.imports(s.one)
		s.one.run(0, applyNow...)
		s.one.run(0, "plan", "-detailed-exitcode", "-no-color")
	}},
	{"the first", "the first", "nothing", "the second imports and applies", "the one backup gets the second's schedule", "two", func(s *scene) {
		s.imports(s.two)
		s.two.run(0, applyNow...)
	}},
	{"the first", "both", "the second has changed the schedule", "the first plans", "the plan shows the difference", "two", func(s *scene) {
		s.one.says(s.one.run(2, "plan", "-detailed-exitcode", "-no-color"), "0 to add, 1 to change, 0 to destroy")
	}},
	{"the first", "both", "the same", "the first applies", "the one backup gets the first's schedule", "one", func(s *scene) {
		s.one.run(0, applyNow...)
	}},
	{"the first", "both", "the second destroys it", "the first plans", "the plan creates it", "", func(s *scene) {
		s.two.run(0, destroyNow...)
		var err error
		if s.stale, err = os.ReadFile(filepath.Join(s.one.Dir, "terraform.tfstate")); err != nil {
			s.t.Fatal(err)
		}
		s.one.says(s.one.run(2, "plan", "-detailed-exitcode", "-no-color"), "1 to add, 0 to change, 0 to destroy")
	}},
	{"the first", "the first", "the second has destroyed it", "the first destroys", "there is nothing to remove", "", func(s *scene) {
		s.one.says(s.one.run(0, destroyNow...), "0 destroyed")
	}},
	{"both, one after the other", "both", "the second has created it again", "the first applies", "refused: it belongs to another state now", "two", func(s *scene) {
		s.two.run(0, applyNow...)
		s.write(s.one, "terraform.tfstate", string(s.stale))
		s.one.says(s.one.run(1, applyNow...), anotherState)
	}},
	{"both, one after the other", "both", "the same", "the first destroys", "refused: the error has `terraform state rm` and the `import` block", "two", func(s *scene) {
		s.one.says(s.one.run(1, destroyNow...), anotherState, "terraform state rm "+address, "import {", s.ProjectRef+"/auto-backup")
	}},
	{"both, one after the other", "the second", "`terraform state rm` in the first's directory", "the first destroys", "removes nothing: its state is empty", "two", func(s *scene) {
		s.one.run(0, "state", "rm", address)
		s.one.says(s.one.run(0, destroyNow...), "0 destroyed")
	}},
	{"the second", "the second", "nothing", "the first creates with `adopt_existing`", "adopted, with a warning", "one", func(s *scene) {
		s.one.configure(fmt.Sprintf(sceneConfig, "adopt_existing = true"))
		s.one.says(s.one.run(0, applyNow...), "An installed backup is adopted")
	}},
	{"the second", "both", "the first has adopted it", "the second applies", "refused: it belongs to another state now", "one", func(s *scene) {
		s.two.says(s.two.run(1, applyNow...), anotherState)
	}},
	{"the second", "both", "the same", "the second destroys", "refused: it belongs to another state now", "one", func(s *scene) {
		s.two.says(s.two.run(1, destroyNow...), anotherState)
		s.one.run(0, "plan", "-detailed-exitcode", "-no-color")
	}},
	{"the second", "both", "`terraform state rm` in the second's directory", "the second imports and applies", "the second has it again", "two", func(s *scene) {
		s.two.run(0, "state", "rm", address)
		s.imports(s.two)
		s.two.run(0, applyNow...)
		s.two.run(0, "plan", "-detailed-exitcode", "-no-color")
	}},
}

// unfinished are situations around creates that were killed, and two at once.
var unfinished = []situation{
	{"nobody: the first was killed half-way", "none", "its lease has not expired", "the second applies, with 3 s of time", "refused: the plan and the error name the holder of the lease and when it expires", "", func(s *scene) {
		s.faulty = s.project.faulty()
		s.faulty.Begin(nil, nil)
		s.one.run(0, applyNow...)
		calls, _, err := s.faulty.End()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, call := range calls {
			if call.Name == sqlByAPI {
				s.statements++
			}
		}
		s.one.run(0, destroyNow...)
		s.killed(atFunction)
		s.two.says(s.two.run(1, append(applyNow, "-var=create=3s")...), leaseHeld, "This machine has that name and no such process", "is being changed by", "its lease expires within")
	}},
	{"nobody: the first was killed half-way", "none", "its lease has expired", "the second applies", "continues it, with a warning, and owns it", "two", func(s *scene) {
		s.later()
		s.two.says(s.two.run(0, applyNow...), continued)
	}},
	{"the second, after the first was killed", "the second", "nothing", "the first applies again", "refused", "two", func(s *scene) {
		s.one.says(s.one.run(1, applyNow...), alreadyThere)
	}},
	{"nobody: the first was killed half-way", "none", "its lease has expired", "the first applies again", "continues it, with a warning", "one", func(s *scene) {
		s.two.run(0, destroyNow...)
		s.one.forget()
		s.killed(atFunction)
		s.later()
		s.one.says(s.one.run(0, applyNow...), continued)
	}},
	{"the first, killed before it saved its state", "none", "nothing", "the second applies", "refused", "one", func(s *scene) {
		s.one.run(0, destroyNow...)
		s.one.forget()
		s.killed(stack.RemoteCall{Name: sqlByAPI, N: s.statements})
		s.later()
		s.two.forget()
		s.two.says(s.two.run(1, applyNow...), alreadyThere)
	}},
	{"the first, killed before it saved its state", "none", "nothing", "the first applies again", "refused: the error has the `import` block", "one", func(s *scene) {
		s.one.says(s.one.run(1, applyNow...), alreadyThere, "import {")
	}},
	{"the first, killed before it saved its state", "none", "the same", "the first imports and applies", "the first has it", "one", func(s *scene) {
		s.imports(s.one)
		s.one.run(0, applyNow...)
	}},
	{"the first", "the first", "the second had planned its create before", "the second applies that plan", "refused", "one", func(s *scene) {
		s.one.run(0, destroyNow...)
		s.faulty.Close()
		s.two.run(0, "plan", "-no-color", "-out=plan.bin")
		s.one.run(0, applyNow...)
		s.two.says(s.two.run(1, "apply", "-no-color", "plan.bin"), alreadyThere)
	}},
	{"the first, while the second plans", "the first", "the second's plan says that it continues an interrupted apply", "the second applies that plan after the first has finished", "refused", "one", func(s *scene) {
		s.one.run(0, destroyNow...)
		s.holding(func(release func(), _ <-chan struct{}) {
			s.two.says(s.two.run(0, "plan", "-no-color", "-out=plan.bin"), continued, leaseHeld)
			release()
		})
		s.two.says(s.two.run(1, "apply", "-no-color", "plan.bin"), alreadyThere)
	}},
	{"the first, while the second waits", "the first", "the second's create waits for the lease of the first", "the first finishes", "the second is refused: plan again", "one", func(s *scene) {
		s.one.run(0, destroyNow...)
		s.holding(func(release func(), waiting <-chan struct{}) {
			second := s.two.begin(applyNow...)
			<-waiting
			release()
			run, err := second.Wait()
			if err != nil || run.Exit != 1 {
				s.t.Errorf("the second ended with %d, %v:\n%s", run.Exit, err, run.Output)
			}
			s.two.says(run.Output, "another apply has installed it in the meantime", "Plan again")
		})
	}},
	{"both at once", "one of them", "nothing", "both create", "one has it, the other is refused", "either", func(s *scene) {
		s.one.run(0, destroyNow...)
		processes := []*stack.TerraformProcess{s.one.begin(applyNow...), s.two.begin(applyNow...)}
		won := 0
		for _, terraform := range processes {
			run, err := terraform.Wait()
			switch {
			case err != nil:
				s.t.Fatal(err)
			case run.Exit == 0:
				won++
			default:
				text := plain(run.Output)
				if !strings.Contains(text, alreadyThere) && !strings.Contains(text, "another apply has installed it in the meantime") {
					s.t.Errorf("the one that lost says\n%s", run.Output)
				}
			}
		}
		if won != 1 {
			s.t.Errorf("%d creates succeeded", won)
		}
	}},
}

// TestTwoStates proves with real Terraforms what becomes of a backup that two states
// want: each situation ends with one owner or with a refusal, and never with a lost or
// doubled backup.
func TestTwoStates(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string][]situation{"finished": finished, "unfinished": unfinished} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			for _, row := range rows {
				row.run(s)
				if s.check(row); t.Failed() {
					t.Fatalf("%s; %s: does not hold", row.between, row.does)
				}
			}
		})
	}
}

// TestTwoStatesGuide proves that the guide has the table that TestTwoStates tries.
func TestTwoStatesGuide(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(twoStatesGuide)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(guide), twoStatesBegin)
	_, after, ended := strings.Cut(rest, twoStatesEnd)
	if !found || !ended {
		t.Fatal("the guide has no place for the table")
	}
	var table strings.Builder
	table.WriteString("| # | Created by | State that has it | What happens in between | Then | Outcome |\n|--:|---|---|---|---|---|\n")
	number := 0
	for _, rows := range [][]situation{finished, unfinished} {
		for _, row := range rows {
			number++
			fmt.Fprintf(&table, "| %d | %s | %s | %s | %s | %s |\n", number, row.made, row.knows, row.between, row.does, row.outcome)
		}
	}
	want := before + twoStatesBegin + table.String() + twoStatesEnd + after
	if *twoStatesUpdate {
		err = os.WriteFile(twoStatesGuide, []byte(want), 0o600)
	} else if want != string(guide) {
		err = errors.New("the guide's table differs; run the test with -two-states.update")
	}
	if err != nil {
		t.Error(err)
	}
}
