// Package history is what the database's run history says: the rows of the view
// auto_backup.history, and of its table auto_backup.runs.
package history

import "time"

// State says how far a run has come.
type State string

// The states of a run, as the column state of auto_backup.history has them.
const (
	// Requested: the database has made the request. Nothing has answered yet.
	Requested State = "requested"
	// Running: the Edge Function has accepted the run.
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	// Overdue is the state of an incident without a run: no backup succeeded
	// for longer than the settings allow.
	Overdue State = "overdue"
)

// Ended reports whether the run has succeeded or failed.
func (s State) Ended() bool { return s == Succeeded || s == Failed }

// Trigger says what started a run.
type Trigger string

// The triggers of a run, as the column trigger of auto_backup.runs has them.
const (
	// TriggerSchedule: the schedule's job, at its due time.
	TriggerSchedule Trigger = "schedule"
	// TriggerRetry: the watchdog, after an earlier attempt had failed.
	TriggerRetry Trigger = "retry"
	// TriggerCatchUp: the watchdog, because the job had not started the run.
	TriggerCatchUp Trigger = "catch_up"
	// TriggerManual: somebody who asked for a backup.
	TriggerManual Trigger = "manual"
)

// Run is one attempt to make a backup, or an incident of being overdue. Its JSON
// is a row of the view auto_backup.history, or of the table auto_backup.runs,
// which has no words. Zero times, empty texts and nil numbers stand for what did
// not happen or is not known.
type Run struct {
	// ID is the run's UUID, also that of its row in backup_logs. An incident of
	// being overdue has none.
	ID string `json:"run_id"`
	// Schedule is the key of the schedule, or "manual".
	Schedule string  `json:"schedule"`
	Trigger  Trigger `json:"trigger"`
	// Attempt counts the attempts at one due time, from 1.
	Attempt int64 `json:"attempt"`
	State   State `json:"state"`

	// DueAt is when the backup was due, RequestedAt when the database asked the
	// function, FinishedAt when the run succeeded or failed. They are by the
	// database's clock.
	DueAt       time.Time `json:"due_at"`
	RequestedAt time.Time `json:"requested_at"`
	FinishedAt  time.Time `json:"finished_at"`
	// RequestID is the ID of the pg_net request.
	RequestID *int64 `json:"request_id"`
	// Refused is how many requests were made before it and refused by the gateway. The
	// table has their IDs.
	Refused int64 `json:"refused"`

	// BackupID is the UUID of the stored backup that the run made, Records the
	// number of rows that it saved.
	BackupID string `json:"backup_id"`
	Records  *int64 `json:"records"`

	// Code says why the run failed (package codes), Error quotes the reason that
	// was given, and SQLState is the database's own code, if that is known.
	Code     string `json:"code"`
	Error    string `json:"error"`
	SQLState string `json:"sqlstate"`
	// LogState says who wrote the outcome into the log tables: "function",
	// "watchdog", or "unwritten" when nobody could. It is empty while the run is
	// under way. Recovered says of a failure whether a later backup succeeded. The
	// table has neither.
	LogState  string `json:"log_state"`
	Recovered *bool  `json:"recovered"`

	// WhatHappened says it in one or two sentences. The others say what became of
	// each link of the chain, in a few words.
	WhatHappened string `json:"what_happened"`
	Tick         string `json:"tick"`
	Request      string `json:"request"`
	HTTP         string `json:"http"`
	Function     string `json:"function"`
	Log          string `json:"log"`
	Alert        string `json:"alert"`
}

// Duration returns the time from the request to the end. It reports false while
// the run is under way, and when one of the two times is not known.
func (r Run) Duration() (time.Duration, bool) {
	if r.FinishedAt.IsZero() || r.RequestedAt.IsZero() {
		return 0, false
	}
	return r.FinishedAt.Sub(r.RequestedAt), true
}

// Unlogged reports whether the run has ended and nobody could write its outcome
// into the log tables.
func (r Run) Unlogged() bool { return r.LogState == "unwritten" }
