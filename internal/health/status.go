// Package health reports whether the last backup was made and whether the next one
// will be: it turns what was read of a project into a Status.
package health

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// Installation says what makes a backup.
type Installation string

// The kinds of installations.
const (
	InstallationNone     Installation = "none"
	InstallationProvider Installation = "provider"
	// InstallationLegacy is a pg_cron job that makes backups without the
	// dispatcher, so without run history, retry and watchdog.
	InstallationLegacy Installation = "legacy"
)

// Status says whether the last backup was made, and whether the next one will be.
type Status struct {
	ID           backup.ID
	Installation Installation
	// Condition is the worst one that any of the problems means.
	Condition checks.Condition
	// Summary is one sentence. As the problems, it does not change while nothing happens:
	// it has times, and no ages.
	Summary string
	// Problems are sorted: the worst first, and of equal ones causes before
	// their effects.
	Problems []checks.Finding
	// CheckedAt is the time of the check, by the database's clock.
	CheckedAt time.Time
	// WatchedAt is when the watchdog last ran; zero: it never has.
	WatchedAt time.Time
	// LastSuccess is the newest backup that succeeded, and LastRun the newest
	// attempt; nil when there is none.
	LastSuccess, LastRun *history.Run
	// Failures is the number of attempts that failed since the last success.
	Failures int64
	// RetryAt is when the watchdog is due to repeat the failed attempt; zero: it
	// will not, or the next due time comes first.
	RetryAt time.Time
	// RetryDue is when it should repeat it at the latest; zero as RetryAt. Where the
	// watchdog does not look any more, it stays the same, while RetryAt is the next time at
	// which it might.
	RetryDue time.Time
	// NextRuns are the next due times of all enabled schedules, ascending.
	NextRuns []NextRun
	// StoredBackups is nil when there are no tables with backups, or none that the
	// reader may read.
	StoredBackups *facts.StoredBackups
	// Forecast says how they grow; nil when StoredBackups is.
	Forecast *Forecast
	// Drill is the newest restore drill that was not skipped; nil when there is none.
	Drill *facts.Drill
	// Offsite are the destinations of copies outside the project, by key; nil when there
	// are none.
	Offsite map[string]Destination
	// Channels are the heartbeat and the webhooks, by their names as channels; nil when
	// there are none.
	Channels map[string]Channel
	// Platform are the backups that Supabase itself has of the project's database.
	Platform Platform
	// Coverage is nil when the SQL function's text could not be read.
	Coverage *Coverage
	// Location is the backup's time zone, by the rules of the database; nil, which stands
	// for UTC, for a backup that this provider does not make.
	Location *time.Location
	// Nights are the last 30 days of the backup's time zone, the oldest first; nil for
	// a backup that this provider does not make.
	Nights []Night
	// History are the newest attempts and incidents, newest first.
	History []history.Run
}

// Platform are the backups that Supabase itself has of a project's database.
type Platform struct {
	supabase.Backups
	// Reason says in one sentence why they are not known, and the rest is zero then. It is
	// empty when they are.
	Reason string
}

// Destination is a destination of copies outside the project.
type Destination struct {
	offsite.Copies
	// State says how the copies are doing, and Problem why if that is not well.
	State   offsite.State
	Problem offsite.Problem
}

// Channel is the heartbeat or a webhook.
type Channel struct {
	notify.Notices
	// Form is one of notify.HeartbeatForms or notify.WebhookForms, and Events are those of
	// a webhook; nil for the heartbeat.
	Form   string
	Events []string
	// State is empty where it is not known: the reader may not read the messages, or the
	// installation sends none.
	State notify.State
	// Secret is the worst state of its secrets in the vault.
	Secret notify.SecretState
}

// Healthy reports whether backups are made as they should be.
func (s Status) Healthy() bool {
	// A backup that is still to be due is not late.
	fresh := s.Condition == checks.NeverRan && s.Installation == InstallationProvider
	return s.Condition == checks.Healthy || s.Condition == checks.Running || fresh
}

// RetryMissed reports whether the watchdog should have repeated the failed attempt
// before the status was read, and has not.
func (s Status) RetryMissed() bool {
	return !s.RetryDue.IsZero() && s.CheckedAt.Sub(s.RetryDue) > payload.TickPatience
}

// Warns reports whether a problem of the status is one in spite of which backups are
// made as they should be.
func (s Status) Warns(problem checks.Finding) bool { return problem.Remark() || s.Healthy() }

// NextRun is a due time to come.
type NextRun struct {
	// Schedule is the key of the schedule, or the name of a legacy job.
	Schedule string
	// DueAt is a time of the schedule's zone.
	DueAt time.Time
}

// Requirement is something without which a backup is not healthy.
type Requirement string

// The requirements. The backup is always required itself.
const (
	RequireBackup  Requirement = "backup"
	RequireDrill   Requirement = "drill"
	RequireOffsite Requirement = "offsite"
)

// DefaultRequire returns what is required unless a query asks for something else.
func DefaultRequire() []Requirement { return []Requirement{RequireBackup, RequireDrill} }

// Query asks for the status of one backup.
type Query struct {
	ID backup.ID
	// History is how many attempts to return.
	History int
	// FunctionURL is where the function should be called. Empty: not compared.
	FunctionURL string
	// Disk is the size of the project's disk in bytes. Zero: not known.
	Disk int64
	// Require is what the backup is not healthy without; nil: DefaultRequire.
	Require []Requirement
	// Clock is the time on the asking machine, which is compared with the
	// database's. Zero: not compared.
	Clock time.Time
	// At is the time for which the status is asked. Zero: the database's present.
	At time.Time
}

// Project is what a status is read from, such as an *install.Service.
type Project interface {
	facts.Project
	// PublicKeys returns the digests of the project's public keys, none if the reader
	// may not know them.
	PublicKeys(ctx context.Context) (supabase.PublicKeys, error)
	// PlatformBackups returns the backups that the platform itself has of the project.
	PlatformBackups(ctx context.Context) (supabase.Backups, error)
}

// Read returns how a backup is doing. It runs one SQL statement and reads three lists
// from the API at the same time, then the project's public keys if the vault has the
// watchdog's key, and runs a second statement if a process seems to be missing. It
// writes nothing. Nothing has to exist: whatever is missing or may not be read is a
// problem of the status. An error means that the database or the API could not be
// asked. That the platform's backups cannot be read is not one.
func Read(ctx context.Context, project Project, q Query) (Status, error) {
	var (
		subject checks.Subject
		secrets []supabase.Secret
		keys    supabase.PublicKeys
		kept    Platform
	)
	// A read that fails does not end the others: the same failures are always told as the
	// same error, so that a report with it says the same twice.
	var group sync.WaitGroup
	var errs [3]error
	group.Go(func() { subject.Document, errs[0] = facts.Ask(ctx, project, q.request()) })
	group.Go(func() { subject.Edge, errs[1] = project.Functions(ctx) })
	group.Go(func() { secrets, errs[2] = project.Secrets(ctx) })
	group.Go(func() {
		backups, err := project.PlatformBackups(ctx)
		if kept = (Platform{Backups: backups}); err != nil {
			kept = Platform{Reason: text.Sentence(err.Error())}
		}
	})
	group.Wait()
	err := cmp.Or(errs[0], errs[1], errs[2])
	if err == nil {
		err = subject.LookAgain(ctx, project)
	}
	if key := subject.Each[q.ID.Name].KeyDigest; err == nil && key != nil && key.Digest != "" {
		keys, err = project.PublicKeys(ctx)
	}
	if err != nil {
		return Status{}, fmt.Errorf("read the status of backup %s: %w", q.ID, err)
	}
	return assess(q, subject.Document, subject.Edge, secrets, keys, kept), nil
}

// ownFacts are the parts that this package looks at itself.
var ownFacts = []facts.Part{
	"server", "installation", "functions", "jobs", "ticks", "queue", "last_log", "settings", "schedules", "watchdog", "last_success", "latest",
	"caught_up_at", "failures", "under_way", "history", "nights", "vault", "token_digest", "stored_backups", "drills", "retention", "offsite",
}

func (q Query) request() facts.Request {
	parts := slices.Concat(checks.AskedFacts(), ownFacts, coverageFacts)
	slices.Sort(parts)
	parameters := map[string]any{"history": strconv.Itoa(max(q.History, 0)), "settings_of": string(q.ID.Name), "code": "read"}
	if !q.At.IsZero() {
		parameters["at"] = q.At.UTC().Format(time.RFC3339Nano)
	}
	return facts.Request{Parts: slices.Compact(parts), Backups: []backup.Name{q.ID.Name}, Parameters: parameters}
}
