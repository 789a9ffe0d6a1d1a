package checks

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// Check is one check.
type Check struct {
	// Code is that of its findings. No two checks have the same.
	Code  string
	Theme Theme
	// Planning is the severity of its findings in a plan; 0: a plan has no use
	// for the check. A finding may have another one of its own.
	Planning Severity
	// Asked is what its findings mean for an installed backup; empty: a status has
	// no use for the check. A finding may have another one of its own, and one with
	// the severity Warning means Healthy.
	Asked Condition
	// Facts are the parts that it looks at. It has to cope with their absence.
	Facts []facts.Part
	// Find returns what is wrong, with neither code nor remedy where those of the
	// check will do. A code of its own is one that the database has noted.
	Find func(s *Subject) []Finding
}

// Theme groups checks.
type Theme string

// The themes. Findings come in this order: causes before what comes of them.
const (
	Readability Theme = "readability"
	Server      Theme = "server"
	Extensions  Theme = "extensions"
	Dispatcher  Theme = "dispatcher"
	Scheduler   Theme = "scheduler"
	Network     Theme = "network"
	Jobs        Theme = "jobs"
	Token       Theme = "token"
	Function    Theme = "function"
	Logs        Theme = "logs"
	RPC         Theme = "rpc"
	Stored      Theme = "stored"
	Alert       Theme = "alert"
	Clock       Theme = "clock"
)

// needsSettings reports whether checks of a theme compare with the settings.
func (t Theme) needsSettings() bool {
	switch t {
	case Jobs, Token, Function, RPC, Stored, Alert:
		return true
	case Readability, Server, Extensions, Dispatcher, Scheduler, Network, Logs, Clock:
	}
	return false
}

// Registry returns all checks, in the order of their findings.
func Registry() []Check {
	return slices.Concat(
		readability, server, extensions, dispatcher, scheduler, network, schedules, jobs, token, function, logs, rpc, stored, alert, clock,
	)
}

// Subject is what is checked: the facts, and what a backup should be like.
type Subject struct {
	facts.Document
	// OfBackup are the facts of the one backup.
	facts.OfBackup
	// Planning says that Spec is what a plan wants, and that the backup may not be
	// installed. Otherwise it is an installed one, as its settings say.
	Planning bool
	ID       backup.ID
	// Spec is empty for an installed backup whose settings cannot be read: then
	// Broken is set.
	Spec   backup.Spec
	Broken bool
	// State is an installed backup as it was found.
	State backup.State
	// Edge are the project's Edge Functions, Secrets its function secrets by name.
	Edge    []supabase.Function
	Secrets map[string]string
	// Now is the time of the check, and Clock the time on the reader's machine;
	// zero: not to be compared.
	Now, Clock time.Time
	// FunctionURL is where the function should be called; empty: not compared.
	FunctionURL string
	// DrillOptional says that an installed backup is healthy even if a restore drill
	// failed, and CopiesRequired that it is not without copies outside the project.
	DrillOptional, CopiesRequired bool
}

// PlanningFacts are the parts that a plan's checks look at.
func PlanningFacts() []facts.Part { return parts(func(c Check) bool { return c.Planning != 0 }) }

// AskedFacts are the parts that the checks of a status look at.
func AskedFacts() []facts.Part { return parts(func(c Check) bool { return c.Asked != "" }) }

func parts(use func(Check) bool) []facts.Part {
	all := map[facts.Part]bool{}
	for _, c := range Registry() {
		if use(c) {
			for _, part := range c.Facts {
				all[part] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Plan returns what keeps the backup that is planned from working.
func Plan(s *Subject) []Finding {
	s.Planning = true
	return s.run(func(c Check) bool { return c.Planning != 0 })
}

// Ask returns what is wrong with an installed backup; if themes are named, only
// what their checks find.
func Ask(s *Subject, themes ...Theme) []Finding {
	s.Planning = false
	return s.run(func(c Check) bool { return c.Asked != "" && (len(themes) == 0 || slices.Contains(themes, c.Theme)) })
}

func (s *Subject) run(use func(Check) bool) []Finding {
	var all []Finding
	for _, c := range Registry() {
		if !use(c) || s.Broken && c.Theme.needsSettings() {
			continue
		}
		for _, f := range c.Find(s) {
			all = append(all, s.finish(c, f))
		}
	}
	return all
}

// finish fills in what a check says of all its findings.
func (s *Subject) finish(c Check, f Finding) Finding {
	f.Code = cmp.Or(f.Code, c.Code)
	if f.Remedy == "" {
		f.Remedy = codes.Lookup(f.Code, "").Remedy
	}
	switch {
	case s.Planning:
		if f.Severity == 0 {
			f.Severity = c.Planning
		}
		// Only the built-in function is known to call and to write all this.
		if s.Spec.OwnSource && (c.Theme == Logs || c.Theme == RPC) && f.Attribute != AtLogConstraint {
			f = f.Unsure()
		}
	case f.Condition != "":
	case f.Severity == Warning:
		f.Condition = Healthy
	default:
		f.Condition = c.Asked
	}
	return f
}

// Unsure returns the finding as one that holds only if the user's own function
// works as the built-in one does.
func (f Finding) Unsure() Finding {
	f.Severity = Warning
	f.Message = strings.TrimSuffix(f.Message, ".") + "; whether the function in `source_dir` needs it is not known."
	return f
}

// Readable reports whether a table was there and could be read.
func (s *Subject) Readable(table string) bool { return s.Relations[table] == facts.Readable }

// Hidden reports whether a table is there but could not be read.
func (s *Subject) Hidden(table string) bool {
	state := s.Relations[table]
	return state != facts.Readable && state != facts.Missing && state != ""
}

// EdgeFunction returns a deployed Edge Function, or nil.
func (s *Subject) EdgeFunction(slug string) *supabase.Function {
	at := slices.IndexFunc(s.Edge, func(f supabase.Function) bool { return f.Slug == slug && f.Status != "REMOVED" })
	if at < 0 {
		return nil
	}
	return &s.Edge[at]
}

// one returns a list of one finding.
func one(f Finding) []Finding { return []Finding{f} }

// The arguments that findings are about.
const (
	AtRPC           = "function.rpc"
	AtLogConstraint = "log_constraint"
	atVerifyTable   = "function.verify_table"
	atAlertFunction = "alert.function"
	atSchedules     = "schedules"
	atTimezone      = "timezone"
)
