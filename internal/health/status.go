// Package health reports whether the last backup happened and whether the next
// one will: it turns what was read of a project into a Status.
package health

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// Condition says in one word how a backup is doing.
type Condition string

// The conditions of a backup, the worst first. A backup is in the worst one
// that anything found in the project speaks for.
const (
	// ConditionNotInstalled: no backup of this name is there, neither this
	// provider's nor an older job's.
	ConditionNotInstalled Condition = "not_installed"
	// ConditionSchedulerDown: nothing ticks, so nothing starts a backup and
	// nobody would be told.
	ConditionSchedulerDown Condition = "scheduler_down"
	// ConditionFailing: the latest attempt failed, or something is broken
	// because of which the next one will.
	ConditionFailing Condition = "failing"
	// ConditionLate: a due time passed without a backup, or the next one comes
	// only because the watchdog makes up for it.
	ConditionLate Condition = "late"
	// ConditionRunning: a backup is under way and nothing is wrong.
	ConditionRunning Condition = "running"
	// ConditionNeverRan: the first backup is still to come.
	ConditionNeverRan Condition = "never_ran"
	// ConditionHealthy: the latest backup that was due succeeded and nothing
	// stands in the way of the next one.
	ConditionHealthy Condition = "healthy"
)

// Conditions are all conditions, the worst first.
var Conditions = []Condition{
	ConditionNotInstalled, ConditionSchedulerDown, ConditionFailing, ConditionLate,
	ConditionRunning, ConditionNeverRan, ConditionHealthy,
}

func (c Condition) rank() int { return slices.Index(Conditions, c) }

// Installation says whose a backup is.
type Installation string

// The kinds of installations.
const (
	InstallationNone     Installation = "none"
	InstallationProvider Installation = "provider"
	// InstallationLegacy is a pg_cron job that makes backups without the
	// dispatcher, so without ledger, retry and watchdog.
	InstallationLegacy Installation = "legacy"
)

// Problem is one thing that is wrong, or that will be.
type Problem struct {
	// Code names the kind of problem. It does not change between versions.
	Code string
	// Means is the condition that the problem speaks for. It is
	// ConditionHealthy for a remark: backups are made nevertheless.
	Means Condition
	// Message says what is wrong and with what, Remedy what to do. Both are
	// whole sentences and hold no secret.
	Message, Remedy string

	// lead is the part of a long message that fits into a summary.
	lead string
}

// Remark reports whether backups are made in spite of the problem.
func (p Problem) Remark() bool { return p.Means == ConditionHealthy }

// Status is the answer to the question whether the last backup happened, and
// whether the next one will.
type Status struct {
	ID           backup.ID
	Installation Installation
	Condition    Condition
	// Summary is one sentence.
	Summary string
	// Problems are sorted: the worst first, and of equal ones causes before
	// what came of them.
	Problems []Problem
	// CheckedAt is the time as of which all this is so, by the database's clock.
	CheckedAt time.Time
	// WatchedAt is when the watchdog looked last; zero: never.
	WatchedAt time.Time
	// LastSuccess is the newest backup that succeeded, and LastRun the newest
	// attempt; nil when there is none.
	LastSuccess, LastRun *history.Run
	// Failures is the number of attempts that failed since the last success.
	Failures int64
	// RetryAt is when the watchdog will try again; zero: it will not.
	RetryAt time.Time
	// NextRuns are the next due times of all enabled schedules, ascending.
	NextRuns []NextRun
	// Generations is nil when the reader may not read the backups' tables, or
	// there are none.
	Generations *Generations
	// History are the newest attempts and incidents, newest first.
	History []history.Run
}

// Healthy reports whether backups happen as they should.
func (s Status) Healthy() bool {
	return s.Condition == ConditionHealthy || s.Condition == ConditionRunning
}

// NextRun is a due time to come.
type NextRun struct {
	// Schedule is the key of the schedule, or the name of a legacy job.
	Schedule string
	// DueAt is a time of the schedule's zone.
	DueAt time.Time
}

// Generations are the backups that the application's tables hold.
type Generations struct {
	Count    int64     `json:"count"`
	NewestID string    `json:"newest_id"`
	Newest   time.Time `json:"newest"`
	Oldest   time.Time `json:"oldest"`
	// Bytes is the size of the tables on disk, indexes and TOAST included.
	Bytes int64 `json:"bytes"`
	// Tables are the tables that were counted.
	Tables []string `json:"tables"`

	// HasLast says whether the last success's generation is among them; nil:
	// there is no last success, or it named none.
	HasLast *bool `json:"has_last"`
}

// Query asks for the status of one backup.
type Query struct {
	ID backup.ID
	// History is how many attempts to give.
	History int
	// FunctionURL is where the function should be called. Empty: not compared.
	FunctionURL string
	// Clock is the asker's time, which is compared with the database's. Zero:
	// not compared.
	Clock time.Time
	// At asks as of another time than the database's present one.
	At time.Time
}

// statusDocument is what the database says.
type statusDocument struct {
	backup.ProjectObservation
	backup.BackupObservation

	Server struct {
		Now           time.Time `json:"now"`
		User          string    `json:"user"`
		SeesProcesses bool      `json:"sees_processes"`
	} `json:"server"`
	Relations map[string]string `json:"relations"`
	Processes struct {
		PgCron bool `json:"pg_cron"`
		PgNet  bool `json:"pg_net"`
	} `json:"processes"`
	Parameters     map[string]string     `json:"parameters"`
	RoleParameters []facts.RoleParameter `json:"role_parameters"`
	RunIDSequence  *struct {
		LastValue int64 `json:"last_value"`
	} `json:"run_id_sequence"`
	Lacking []string `json:"log_rights"`

	// Times are those of the settings row, whose rest BackupObservation knows.
	Times *settingsTimes `json:"-"`
	// Schedules are the watchdog's own rows, by the schedules' keys.
	Schedules map[string]facts.NotedSchedule `json:"schedules"`
	Watchdog  *struct {
		At       time.Time `json:"at"`
		Problems []string  `json:"problems"`
	} `json:"watchdog"`
	LastSuccess *history.Run           `json:"last_success"`
	Latest      map[string]history.Run `json:"latest"`
	// CaughtUpAt is when the watchdog last started a run because a job had not.
	CaughtUpAt time.Time     `json:"caught_up_at"`
	Failures   int64         `json:"failures"`
	UnderWay   []history.Run `json:"under_way"`
	Incident   *incident     `json:"incident"`
	// History may have more attempts than were asked for.
	History    []history.Run  `json:"history"`
	Ticks      map[int64]tick `json:"ticks"`
	NewestTick *struct {
		At    time.Time `json:"at"`
		RunID *int64    `json:"run_id"`
	} `json:"newest_tick"`
	Queue   []int64 `json:"queue"`
	LastLog *struct {
		Newest  *logRow `json:"newest"`
		Success *logRow `json:"success"`
	} `json:"last_log"`
	Subscribers *int64 `json:"subscribers"`
	Routine     *struct {
		Exists     bool `json:"exists"`
		Executable bool `json:"executable"`
	} `json:"rpc"`
	Generations *Generations `json:"stored_backups"`
}

type settingsTimes struct {
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// incident is a row of auto_backup.incidents.
type incident struct {
	Kind        string    `json:"kind"`
	Code        string    `json:"code"`
	OpenedAt    time.Time `json:"opened_at"`
	AlertState  string    `json:"alert_state"`
	AlertError  string    `json:"alert_error"`
	AlertedBy   string    `json:"alerted_by"`
	RecoveredAt time.Time `json:"recovered_at"`
}

// tick is the latest run of a job in pg_cron's history.
type tick struct {
	Status  string    `json:"status"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

// logRow is a row of the application's backup_logs.
type logRow struct {
	At      time.Time `json:"at"`
	Success bool      `json:"success"`
	Records *int64    `json:"records"`
	Details string    `json:"details"`
}

// Read returns how a backup is doing. It makes one SQL statement and two API
// reads at the same time, and writes nothing. Nothing has to exist: what is
// missing or may not be read is a problem in the answer. An error means that
// the database or the API could not be asked.
func Read(ctx context.Context, project facts.Project, q Query) (Status, error) {
	var (
		document  statusDocument
		functions []supabase.Function
		secrets   []supabase.Secret
	)
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() (err error) { document, err = look(reading, project, q); return err })
	group.Go(func() (err error) { functions, err = project.Functions(reading); return err })
	group.Go(func() (err error) { secrets, err = project.Secrets(reading); return err })
	if err := group.Wait(); err != nil {
		return Status{}, fmt.Errorf("read the status of backup %s: %w", q.ID, err)
	}
	return assess(q, document, functions, secrets), nil
}

// looked are the facts on which a status is based.
var looked = []facts.Part{
	"server", "parameters", "role_parameters", "processes", "extensions", "installation", "functions", "log_rights", "log_checks",
	"jobs", "ticks", "newest_tick", "run_id_sequence", "queue", "subscribers", "last_log",
	"settings", "schedules", "watchdog", "last_success", "latest", "caught_up_at", "failures", "under_way", "incident", "history", "vault", "token_digest",
	"rpc", "stored_backups",
}

// look reads what the database has to say.
func look(ctx context.Context, project facts.Project, q Query) (statusDocument, error) {
	var answer struct {
		statusDocument
		Each map[backup.Name]json.RawMessage `json:"each"`
	}
	err := facts.Ask(ctx, project, facts.Request{
		Parts: looked, Backups: []backup.Name{q.ID.Name}, Parameters: map[string]any{"history": strconv.Itoa(max(q.History, 0))},
	}, &answer)
	if err != nil {
		return statusDocument{}, err
	}
	var own struct {
		Settings *settingsTimes `json:"settings"`
	}
	err = json.Unmarshal(answer.Each[q.ID.Name], &answer.statusDocument)
	if err == nil {
		err = json.Unmarshal(answer.Each[q.ID.Name], &own)
	}
	if err != nil {
		return statusDocument{}, fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	answer.Times = own.Settings
	return answer.statusDocument, nil
}
