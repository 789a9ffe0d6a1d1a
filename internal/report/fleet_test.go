package report

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
)

func on(day, hour int) time.Time { return time.Date(2026, time.November, day, hour, 4, 5, 0, time.UTC) }

// finding is a problem as a status has it, with a time that passes.
func finding(code string, condition checks.Condition) *checks.Finding {
	return &checks.Finding{Code: code, Condition: condition, Message: "It has been so for 2 d 1 h.", Remedy: codes.Lookup(code, "").Remedy}
}

// fleet has a project in each state, the worst first.
func fleet() []Project {
	healthy := Project{State: State(checks.Healthy), Healthy: true, LastSuccess: on(27, 3), NextRun: on(28, 3), Drill: facts.DrillSuccessful, DrillAt: on(22, 4), Copies: offsite.StateCopied, Heartbeat: notify.StateDelivered}
	of := func(p Project, ref, name string, change func(*Project)) Project {
		p.Ref, p.Name, p.Region, p.Status = strings.Repeat(ref, 20), name, "sa-east-1", "ACTIVE_HEALTHY"
		if change != nil {
			change(&p)
		}
		return p
	}
	in := func(state checks.Condition, code string) func(*Project) {
		return func(p *Project) { p.State, p.Healthy, p.Problem = State(state), false, finding(code, state) }
	}
	return []Project{
		of(healthy, "a", "no ticks", in(checks.SchedulerDown, "watchdog_silent")),
		of(healthy, "b", "a failure", in(checks.Failing, "backup_failed")),
		of(healthy, "c", "b failure", func(p *Project) { in(checks.Failing, "http_404")(p); p.Copies = offsite.StateLate }),
		of(healthy, "d", "late", in(checks.Late, "due_missed")),
		of(Project{State: Unreadable, Error: "List the functions of project dddd: HTTP 403: Forbidden."}, "e", "forbidden", nil),
		of(Project{State: State(checks.NotInstalled), Named: true, Problem: finding("not_installed", checks.NotInstalled)}, "f", "named, without a backup", nil),
		of(Project{State: Paused, Named: true}, "g", "named, and paused", func(p *Project) { p.Status = "INACTIVE" }),
		of(Project{State: State(checks.NeverRan), Problem: finding("never_ran", checks.NeverRan)}, "h", "a job of before", nil),
		of(Project{State: State(checks.NotInstalled), Problem: finding("not_installed", checks.NotInstalled)}, "i", "without a backup", nil),
		of(Project{State: Paused}, "j", "paused", func(p *Project) { p.Status = "INACTIVE" }),
		of(Project{State: Removed}, "k", "removed", func(p *Project) { p.Status = "REMOVED" }),
		of(Project{State: State(checks.NeverRan), Healthy: true, NextRun: on(28, 3), Problem: finding("never_ran", checks.NeverRan)}, "l", "new", nil),
		of(healthy, "m", "running", func(p *Project) { p.State = State(checks.Running) }),
		of(healthy, "r", "with a deaf heartbeat", func(p *Project) {
			p.Problem, p.Heartbeat, p.Webhooks = finding("heartbeat_undelivered", checks.Healthy), notify.StateFailing, notify.StateWaiting
		}),
		of(healthy, "n", "with a warning", func(p *Project) { p.Problem = finding("no_platform_backups", checks.Healthy) }),
		of(healthy, "o", "", nil),
		of(healthy, "p", "as it should be", nil),
		of(healthy, "q", "as it should be", func(p *Project) { p.Drill, p.DrillAt, p.Copies, p.Heartbeat = "", time.Time{}, "", "" }),
	}
}

// TestFleet proves what the table of a fleet says, and that it is the same whatever the
// order in which the projects were read.
func TestFleet(t *testing.T) {
	t.Parallel()
	all := fleet()
	golden(t, filepath.Join("testdata", "fleet", "states.md"), Fleet(all))
	for seed := range uint64(20) {
		mixed := slices.Clone(all)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		before := slices.Clone(mixed)
		if got := Fleet(mixed); got != Fleet(all) {
			t.Fatalf("seed %d: the table depends on the order:\n%s", seed, got)
		}
		if !slices.Equal(mixed, before) {
			t.Fatal("the caller's list was changed")
		}
		Sort(mixed)
		if !slices.Equal(mixed, all) {
			t.Fatalf("seed %d: sorted, it is %+v", seed, mixed)
		}
	}
	golden(t, filepath.Join("testdata", "fleet", "healthy.md"), Fleet(all[11:]))
	golden(t, filepath.Join("testdata", "fleet", "one.md"), Fleet(all[len(all)-1:]))
	if got := Fleet(nil); got != "**There is no project.**\n" {
		t.Errorf("of none, it says %q", got)
	}
}

// TestHealthy proves which projects keep a fleet from being healthy: those with a backup
// that is not, those that could not be read, and those that somebody named.
func TestHealthy(t *testing.T) {
	t.Parallel()
	for i, p := range fleet() {
		if got, want := Healthy([]Project{p}), i >= 8; got != want {
			t.Errorf("%s (%s): healthy is %t", p.Name, p.State, got)
		}
	}
	if Healthy(fleet()) || !Healthy(fleet()[8:]) || !Healthy(nil) {
		t.Error("one project that is not healthy does not decide")
	}
}

// TestStates proves that every condition has its place and its words.
func TestStates(t *testing.T) {
	t.Parallel()
	for _, condition := range checks.Conditions {
		if !slices.ContainsFunc(order, func(o saying) bool { return o.state == State(condition) && o.sign != "" && o.words != "" }) {
			t.Errorf("%s has no place", condition)
		}
	}
	if len(order) != len(checks.Conditions)+3 {
		t.Errorf("there are %d states", len(order))
	}
}

// TestMessages proves that a row of the table names each channel of a project with its
// state in words, and that one which takes nothing is written large.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, state := range notify.States() {
		if channelWords[state] == "" {
			t.Errorf("the state %s has no words", state)
		}
	}
	for _, c := range []struct {
		heartbeat, webhooks notify.State
		want                string
	}{
		{"", "", "|  |"},
		{notify.StateDelivered, "", "| heartbeat delivered |"},
		{"", notify.StateFailing, "| webhooks FAILING |"},
		{notify.StateFailing, notify.StateUnused, "| heartbeat FAILING, webhooks unused |"},
	} {
		if got := (Project{State: State(checks.Healthy), Healthy: true, Heartbeat: c.heartbeat, Webhooks: c.webhooks}).row(); !strings.HasSuffix(got, c.want+"  |\n") {
			t.Errorf("the heartbeat %q and the webhooks %q are shown as %s", c.heartbeat, c.webhooks, got)
		}
	}
}

// TestFill proves what is taken from a status.
func TestFill(t *testing.T) {
	t.Parallel()
	destination := func(states ...offsite.State) map[string]health.Destination {
		all := map[string]health.Destination{}
		for i, state := range states {
			all[fmt.Sprint("d", i)] = health.Destination{State: state}
		}
		return all
	}
	status := health.Status{
		ID: backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}, Condition: checks.Failing, Installation: health.InstallationProvider,
		LastSuccess: &history.Run{FinishedAt: on(26, 3)}, NextRuns: []health.NextRun{{Schedule: "a", DueAt: on(27, 3)}, {Schedule: "b", DueAt: on(28, 3)}},
		Drill: &facts.Drill{State: facts.DrillFailed, StartedAt: on(22, 3), FinishedAt: on(22, 4)}, Offsite: destination(offsite.StateCopied, offsite.StateLate, offsite.StatePending),
		Problems: []checks.Finding{*finding("backup_failed", checks.Failing), *finding("drill_failed", checks.Healthy)},
	}
	got := Project{Ref: "abcdefghijklmnopqrst", Name: "n", Named: true}
	got.Fill(status)
	problem := got.Problem
	if problem == nil || *problem != status.Problems[0] {
		t.Errorf("the problem is %+v", problem)
	}
	got.Problem = nil
	if want := (Project{
		Ref: "abcdefghijklmnopqrst", Name: "n", Named: true, State: "failing", LastSuccess: on(26, 3), NextRun: on(27, 3),
		Drill: "failed", DrillAt: on(22, 3), Copies: offsite.StateLate,
	}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = Project{}
	got.Fill(health.Status{Condition: checks.Healthy})
	if want := (Project{State: "healthy", Healthy: true}); got != want {
		t.Errorf("of a status without anything: got %+v", got)
	}
	for i, worst := range notify.States() {
		channels := map[string]health.Channel{"heartbeat": {State: worst}, "webhook/unknown": {}}
		for _, state := range notify.States()[i:] {
			channels["webhook/"+string(state)] = health.Channel{State: state}
		}
		got = Project{}
		got.Fill(health.Status{Channels: channels})
		if got.Heartbeat != worst || got.Webhooks != worst {
			t.Errorf("of %v, the worst is %q, that of the heartbeat %q", channels, got.Webhooks, got.Heartbeat)
		}
	}
	for i, worst := range worstCopies {
		got = Project{}
		got.Fill(health.Status{Offsite: destination(worstCopies[i:]...)})
		if got.Copies != worst {
			t.Errorf("of %v, the worst is %q", worstCopies[i:], got.Copies)
		}
	}
}

// hostile is a name or a message that tries to break out of its cell.
const hostile = "a|b\n| c | [x](https://evil.example) <img src=x onerror=alert(1)> **bold** `code|` @admin <!-- # $1$ \x1b[31m\u202e \\| ~~x~~ ![y](z)"

// TestFleetHostile proves that a text from elsewhere stays what it is in its cell.
func TestFleetHostile(t *testing.T) {
	t.Parallel()
	p := Project{Ref: strings.Repeat("a", 20), Name: hostile, State: Unreadable, Error: hostile + " `open"}
	q := Project{Ref: strings.Repeat("b", 20), Name: "`" + hostile, State: State(checks.Failing), Drill: hostile, Problem: &checks.Finding{Code: hostile}}
	got := Fleet([]Project{p, q})
	golden(t, filepath.Join("testdata", "fleet", "hostile.md"), got)
	if n := strings.Count(got, "\n"); n != 6 {
		t.Errorf("there are %d lines", n)
	}
	for line := range strings.Lines(got) {
		cells := strings.Count(line, "|") - strings.Count(line, `\|`)
		if strings.HasPrefix(line, "|") && cells != 10 {
			t.Errorf("%d borders in %s", cells, line)
		}
	}
	for _, part := range []string{"<img", "<!--", " [x]", "@admin", "\x1b", "\u202e"} {
		if strings.Contains(got, part) {
			t.Errorf("it has %q", part)
		}
	}
}

// TestFleetSize proves that the table of 200 projects fits into a summary of GitHub,
// however long what it says of them is, and that of very many is cut after whole rows,
// of which the worst stay.
func TestFleetSize(t *testing.T) {
	t.Parallel()
	many := func(n int) (all []Project) {
		for i := range n {
			p := Project{Ref: fmt.Sprintf("%020d", i), Name: strings.Repeat("@", 5000), State: Unreadable, Error: strings.Repeat("<", 5000), Drill: strings.Repeat("&", 5000)}
			if i == n-1 {
				p.State, p.Error = State(checks.Failing), ""
			}
			all = append(all, p)
		}
		return all
	}
	if got := Fleet(many(200)); len(got) > mostFleet || strings.Contains(got, "left out") || strings.Count(got, "\n") != 204 {
		t.Errorf("200 projects take %d bytes and %d lines", len(got), strings.Count(got, "\n"))
	}
	got := Fleet(many(5000))
	rows := strings.Count(got, "\n| ❔") + strings.Count(got, "\n| ❌")
	if len(got) > 1<<20 || rows < 200 || !strings.Contains(got, fmt.Sprintf("\n%d more projects are left out", 5000-rows)) || !strings.Contains(got, "failing") || !strings.HasPrefix(got, "**Not every expected backup is healthy.** 5000 projects: 1 failing, 4999 unreadable.\n") {
		t.Errorf("5000 projects take %d bytes and %d rows: %s", len(got), rows, got[:200])
	}
}
