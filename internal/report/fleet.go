package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// State says in one word how the backup of a project of a fleet is doing: its condition,
// or why there is none.
type State string

// The states that are no condition of a backup.
const (
	// Paused: the project was paused, so nothing runs in it.
	Paused State = "paused"
	// Removed: the project is being deleted.
	Removed State = "removed"
	// Unreadable: Error says why nothing is known.
	Unreadable State = "unreadable"
)

// Project is how the backup of one project of a fleet is doing.
type Project struct {
	Ref string
	// Name, Region and Status are what the platform says of the project; empty where that
	// could not be read.
	Name, Region, Status string
	// Named says that somebody named this project, and so expects a backup there.
	Named bool

	State State
	// Healthy says that backups are made as they should be.
	Healthy bool
	// LastSuccess is when the newest backup was complete, NextRun when the next is due;
	// zero: not known, or there is none.
	LastSuccess, NextRun time.Time
	// Drill is how the newest restore drill ended, which began at DrillAt; empty: there is none.
	Drill   string
	DrillAt time.Time
	// Copies is the worst state of the copies outside the project; empty without a destination.
	Copies offsite.State
	// Heartbeat is the state of the heartbeat, and Webhooks the worst one of a webhook;
	// empty without one, or if it is not known.
	Heartbeat, Webhooks notify.State
	// Problem is the worst one; nil: there is none.
	Problem *checks.Finding
	// Error says in one line what could not be read. Everything about the backup is zero then.
	Error string
}

// Fill puts a status into a project.
func (p *Project) Fill(s health.Status) {
	p.State, p.Healthy = State(s.Condition), s.Healthy()
	if s.LastSuccess != nil {
		p.LastSuccess = s.LastSuccess.FinishedAt
	}
	if len(s.NextRuns) > 0 {
		p.NextRun = s.NextRuns[0].DueAt
	}
	if s.Drill != nil {
		p.Drill, p.DrillAt = s.Drill.State, s.Drill.StartedAt
	}
	for _, d := range s.Offsite {
		if p.Copies == "" || slices.Index(worstCopies, d.State) < slices.Index(worstCopies, p.Copies) {
			p.Copies = d.State
		}
	}
	for channel, c := range s.Channels {
		switch {
		case channel == notify.HeartbeatChannel:
			p.Heartbeat = c.State
		case p.Webhooks == "" || c.State != "" && slices.Index(notify.States(), c.State) < slices.Index(notify.States(), p.Webhooks):
			p.Webhooks = c.State
		}
	}
	if len(s.Problems) > 0 {
		worst := s.Problems[0]
		p.Problem = &worst
	}
}

// Unread says that nothing is known of the project's backup, and why.
func (p *Project) Unread(why string) {
	const longest = 1000
	p.State, p.Error = Unreadable, text.Head(text.Sentence(text.Line(why)), longest)
}

// worstCopies are the states of copies, the worst first.
var worstCopies = []offsite.State{
	offsite.StateFailing, offsite.StateNever, offsite.StateLate, offsite.StateUnverified, offsite.StatePending, offsite.StateCopied,
}

// Expected reports whether there should be a healthy backup in the project. Where nobody
// installed one, and in a project that does not run, there need not be, unless somebody
// named the project.
func (p Project) Expected() bool {
	return p.Named || p.State != State(checks.NotInstalled) && p.State != Paused && p.State != Removed
}

// Healthy reports whether every backup is healthy that should be.
func Healthy(projects []Project) bool {
	return !slices.ContainsFunc(projects, Project.wanting)
}

// A saying is how a state is shown.
type saying struct {
	state       State
	sign, words string
}

// order has all states, the worst first.
var order = []saying{
	{State(checks.SchedulerDown), "❌", "scheduler down"},
	{State(checks.Failing), "❌", "failing"},
	{State(checks.Late), "❌", "late"},
	{Unreadable, "❔", "unreadable"},
	{State(checks.NotInstalled), "➖", "not installed"},
	{Paused, "⏸️", "paused"},
	{Removed, "➖", "removed"},
	{State(checks.NeverRan), "➖", "not run yet"},
	{State(checks.Running), "✅", "running"},
	{State(checks.Healthy), "✅", "healthy"},
}

// wanting reports whether there should be a healthy backup, and is none.
func (p Project) wanting() bool { return p.Expected() && !p.Healthy }

// rank orders projects: the worst has the lowest.
func (p Project) rank() int {
	rank := 2 * slices.IndexFunc(order, func(o saying) bool { return o.state == p.State })
	if p.Problem == nil {
		rank++ // after those with a warning
	}
	if !p.wanting() {
		rank += 2 * len(order)
	}
	return rank
}

// Sort sorts projects: the worst first, and of equal ones by name.
func Sort(projects []Project) {
	slices.SortFunc(projects, func(a, b Project) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Ref, b.Ref))
	})
}

// mostFleet limits a table, in bytes: GitHub takes a summary of 1 MiB for each step, which
// may have something else to say.
const mostFleet = 1_000_000

// Fleet returns one Markdown table of projects, the worst first. Nothing in it changes
// while nothing happens. If it would become too long, the last rows are left out, and it
// says how many.
func Fleet(projects []Project) string {
	projects = slices.Clone(projects)
	Sort(projects)
	var b strings.Builder
	b.WriteString(counted(projects))
	if len(projects) == 0 {
		return b.String()
	}
	b.WriteString("\n| | Project | Backup | Last success (UTC) | Next run (UTC) | Restore drill | Off-site copy | Messages | Worst problem |\n|---|---|---|---|---|---|---|---|---|\n")
	for i, p := range projects {
		row := p.row()
		if b.Len()+len(row) > mostFleet {
			fmt.Fprintf(&b, "\n%d more projects are left out, none of them worse than the last one above.\n", len(projects)-i)
			break
		}
		b.WriteString(row)
	}
	return b.String()
}

// counted says how many projects are in which state.
func counted(projects []Project) string {
	counts := map[State]int{}
	for _, p := range projects {
		counts[p.State]++
	}
	var parts []string
	for _, o := range order {
		if n := counts[o.state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o.words))
		}
	}
	lead, of := "Every expected backup is healthy", "1 project"
	if !Healthy(projects) {
		lead = "Not every expected backup is healthy"
	}
	if len(projects) != 1 {
		of = fmt.Sprintf("%d projects", len(projects))
	}
	if len(parts) == 0 {
		return "**There is no project.**\n"
	}
	return fmt.Sprintf("**%s.** %s: %s.\n", lead, of, strings.Join(parts, ", "))
}

// row is the project's line of the table.
func (p Project) row() string {
	name := "`" + p.Ref + "`"
	if p.Name != "" {
		name = cell(p.Name, mostName) + " " + name
	}
	sign, words := "❔", string(p.State)
	for _, o := range order {
		if o.state == p.State {
			sign, words = o.sign, o.words
		}
	}
	switch {
	case p.wanting() && p.State != Unreadable:
		sign = "❌"
	case p.Healthy && p.Problem != nil:
		sign = "⚠️"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", sign, name, words,
		minute(p.LastSuccess), minute(p.NextRun), strings.TrimSpace(cell(p.Drill, mostName)+" "+minute(p.DrillAt)), stateWords[p.Copies], p.messages(), p.trouble())
}

// messages says whether the heartbeat and the webhooks take what is sent to them.
func (p Project) messages() string {
	var parts []string
	for _, c := range []struct {
		channel string
		state   notify.State
	}{{"heartbeat", p.Heartbeat}, {"webhooks", p.Webhooks}} {
		if words := channelWords[c.state]; words != "" {
			parts = append(parts, c.channel+" "+words)
		}
	}
	return strings.Join(parts, ", ")
}

// channelWords are the states of a channel in words.
var channelWords = map[notify.State]string{
	notify.StateFailing:   "FAILING",
	notify.StateWaiting:   "waiting",
	notify.StateUnused:    "unused",
	notify.StateDelivered: "delivered",
}

// The limits of what a cell says, in bytes. Escaping makes a text five times as long at
// most, so that the rows of 200 projects always fit.
const (
	mostName  = 100
	mostError = 600
)

// trouble says what is wrong: of a problem the meaning of its code, which is shorter than
// its message.
func (p Project) trouble() string {
	switch {
	case p.Error != "":
		return cell(p.Error, mostError)
	case p.State == Paused:
		return "No backup is made in a paused project."
	case p.Problem == nil:
		return ""
	}
	said := codes.Lookup(p.Problem.Code, "")
	code := strings.Map(func(c rune) rune {
		if c == '_' || c < unicode.MaxASCII && (unicode.IsLower(c) || unicode.IsDigit(c)) {
			return c
		}
		return -1
	}, text.Head(p.Problem.Code, mostName))
	return fmt.Sprintf("`%s`: %s. %s", code, cell(said.Meaning, mostError), cell(said.Remedy, mostError))
}

func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// cell returns a text from elsewhere, cut to a number of bytes, as one line that stands in
// a cell of a table as it is.
func cell(s string, limit int) string {
	return bars().ReplaceAllString(prose(text.Head(text.Line(s), limit)), `\|`)
}

// bars finds what would end a cell: in code it is not escaped yet.
var bars = text.Pattern(`\\?\|`)
