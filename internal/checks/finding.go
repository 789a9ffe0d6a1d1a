// Package checks is the registry of what is checked in a project: when a plan
// decides whether a backup would work there, and when a status says how an
// installed one is doing. A check looks at facts and returns findings; it reads
// nothing itself.
package checks

import (
	"fmt"
	"slices"
)

// Finding is something in a project that keeps a backup from working, or from
// working well.
type Finding struct {
	// Code names the kind of finding, as in package codes. It does not change
	// between versions.
	Code string
	// Severity is how bad the finding is for a plan.
	Severity Severity
	// Condition is what the finding means for an installed backup: Healthy if
	// backups are made nevertheless.
	Condition Condition
	// Attribute is the argument that the finding is about, as "function.rpc";
	// empty when it is about the project as a whole. Only a plan needs it.
	Attribute string
	// Object names what is concerned, as "The extension pg_net".
	Object string
	// Message says what is wrong, with the object, and Remedy what to do about it.
	// Both are whole sentences and hold no secret.
	Message, Remedy string
	// Lead is the part of a long message that fits into a summary; empty: all of it.
	Lead string
	// Writes says that nothing at all can be written to the project's database.
	Writes bool
}

// Remark reports whether backups are made in spite of the finding.
func (f Finding) Remark() bool { return f.Condition == Healthy }

// About returns a finding with a message of one sentence, which begins with the
// object. The rest is formatted, and has no full stop.
func About(object, format string, args ...any) Finding {
	return Finding{Object: object, Message: object + " " + fmt.Sprintf(format, args...) + "."}
}

// With returns the finding with a formatted remedy, which takes the place of that
// of its code.
func (f Finding) With(remedy string, args ...any) Finding {
	f.Remedy = fmt.Sprintf(remedy, args...)
	return f
}

// At returns the finding with the argument that it is about.
func (f Finding) At(attribute string) Finding {
	f.Attribute = attribute
	return f
}

// Warns returns the finding as one in spite of which backups are made.
func (f Finding) Warns() Finding {
	f.Severity = Warning
	return f
}

// Severity says how bad a finding is for a plan.
type Severity int

const (
	// Warning means that the backup may not work, or nobody would learn that it failed.
	Warning Severity = iota + 1
	// Error means that the backup cannot work, or cannot be installed.
	Error
)

// Condition says in one word how a backup is doing.
type Condition string

// The conditions of a backup. A backup is in the worst one that any finding
// means.
const (
	// NotInstalled: there is no backup of this name, neither this provider's nor
	// an older job's.
	NotInstalled Condition = "not_installed"
	// SchedulerDown: no job runs, so nothing starts a backup and nobody would be
	// told.
	SchedulerDown Condition = "scheduler_down"
	// Failing: the latest attempt failed, or something is broken because of which
	// the next one will.
	Failing Condition = "failing"
	// Late: a due time passed without a backup, or the next one comes only because
	// the watchdog makes up for it.
	Late Condition = "late"
	// Running: an attempt is being made and nothing is wrong.
	Running Condition = "running"
	// NeverRan: the first backup is still to come.
	NeverRan Condition = "never_ran"
	// Healthy: the latest backup that was due succeeded, and nothing is known that
	// would keep the next one from succeeding.
	Healthy Condition = "healthy"
)

// Conditions are all conditions, the worst first.
var Conditions = []Condition{NotInstalled, SchedulerDown, Failing, Late, Running, NeverRan, Healthy}

// Rank orders the conditions: the worst has the lowest.
func (c Condition) Rank() int { return slices.Index(Conditions, c) }
