package offsite

import "time"

const (
	// copyPatience is how long a copy may take until it is late.
	copyPatience = 24 * time.Hour
	// copyAttempts is how many failures in a row are an incident.
	copyAttempts = 3
)

// State says in one word how the copies to a destination are doing.
type State string

// The states of a destination, the worst first. It is in the first one that holds.
const (
	// StateFailing: the newest attempt to copy failed.
	StateFailing State = "failing"
	// StateNever: nothing has been copied, although that was due.
	StateNever State = "never"
	// StateLate: the newest copy is older than it may be.
	StateLate State = "late"
	// StateUnverified: the newest look at what is stored found something wrong, or the
	// bucket could not be read.
	StateUnverified State = "unverified"
	// StatePending: a copy is being made, or due soon.
	StatePending State = "pending"
	// StateCopied: the newest backup that should be copied was copied.
	StateCopied State = "copied"
)

// Copies are what the run history knows of the copies at one destination. What is nil does
// not exist.
type Copies struct {
	// Copy is the newest complete copy.
	Copy *Copy `json:"copy"`
	// Open is the copy that is being made, and Failed the newest one that was given up.
	Open   *Export `json:"open"`
	Failed *Export `json:"failed"`
	// Check is the newest look at what is stored there that has ended.
	Check *Look `json:"check"`
	// WaitingSince is when the oldest backup was finished that was requested after that of
	// Copy; zero if there is none.
	WaitingSince time.Time `json:"waiting_since"`
}

// Copy is a complete copy of a backup outside the project.
type Copy struct {
	// BackupID is the backup that was copied, which was requested at MadeAt.
	BackupID    string    `json:"backup_id"`
	MadeAt      time.Time `json:"made_at"`
	CompletedAt time.Time `json:"completed_at"`
	Rows        int64     `json:"rows"`
	// RawBytes are the rows as text, and Bytes what is stored of them in Objects objects.
	RawBytes int64 `json:"raw_bytes"`
	Bytes    int64 `json:"bytes"`
	Objects  int64 `json:"objects"`
	// ManifestKey is the whole key of the manifest, and ManifestSHA256 its digest in
	// hexadecimal. Sequence counts the manifests at an address.
	ManifestKey    string `json:"manifest_key"`
	ManifestSHA256 string `json:"manifest_sha256"`
	Sequence       int64  `json:"sequence"`
	// LockedUntil is when the first lock of its objects ends; zero if none is locked.
	LockedUntil time.Time `json:"locked_until"`
}

// Export is a copy that is not complete.
type Export struct {
	BackupID string    `json:"backup_id"`
	MadeAt   time.Time `json:"made_at"`
	// Stage is what is stored next: freeze, rows, schema, sums, recovery or manifest.
	Stage    string    `json:"stage"`
	OpenedAt time.Time `json:"opened_at"`
	// Calls counts requests to the function, and Failures those in a row that stored
	// nothing.
	Calls    int64 `json:"calls"`
	Failures int64 `json:"failures"`
	// Retryable is nil where nothing failed.
	Retryable *bool     `json:"retryable"`
	FailedAt  time.Time `json:"failed_at"`
	NextAt    time.Time `json:"next_at"`
	// Code is that of the newest failure; empty if it has gone on since.
	Code       string `json:"code"`
	SQLState   string `json:"sqlstate"`
	Error      string `json:"error"`
	HTTPStatus int64  `json:"http_status"`
}

// The states of a look at a destination.
const (
	LookPassed     = "passed"
	LookFailed     = "failed"
	LookUnreadable = "unreadable"
)

// Look is a look whether what was stored at a destination is still there,
// unchanged and locked.
type Look struct {
	// State is LookPassed, LookFailed or LookUnreadable.
	State      string    `json:"state"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	Objects    int64     `json:"objects"`
	// Problems are the first 50 objects with something wrong. Code and Error are the code
	// and the key of the first one, or say why the bucket could not be read.
	Problems   []ObjectProblem `json:"problems"`
	Code       string          `json:"code"`
	Error      string          `json:"error"`
	HTTPStatus int64           `json:"http_status"`
}

// ObjectProblem is an object with something wrong.
type ObjectProblem struct {
	Key  string `json:"key"`
	Code string `json:"code"`
}

// Problem is why a destination is failing, late or unverified.
type Problem struct {
	// Code is one of package codes, and SQLState that of an error of the database.
	Code, SQLState string
	// Error is what the other side said, or the key of the first object that is concerned.
	Error string
}

// State returns how the copies are doing, and why if that is not well. every is that of the
// destination, and since is when the settings were last changed.
func (c Copies) State(every string, since, now time.Time) (State, Problem) {
	failure, late := c.Failure(), c.Late(every, since, now)
	switch {
	case failure != nil:
		return StateFailing, Problem{failure.Code, failure.SQLState, failure.Error}
	case late && c.Copy == nil:
		return StateNever, Problem{Code: "offsite_late"}
	case late:
		return StateLate, Problem{Code: "offsite_late"}
	case c.Check != nil && c.Check.State != LookPassed:
		return StateUnverified, Problem{Code: c.Check.Code, Error: c.Check.Error}
	case c.Copy == nil, c.Open != nil, !c.WaitingSince.IsZero() && every == EveryBackup:
		return StatePending, Problem{}
	}
	return StateCopied, Problem{}
}

// Failure returns the newest attempt to copy if it failed, or nil.
func (c Copies) Failure() *Export {
	switch {
	case c.Open != nil && c.Open.Failures > 0:
		return c.Open
	case c.Open == nil && c.Failed != nil && c.Failed.Code != "offsite_removed" && (c.Copy == nil || c.Failed.OpenedAt.After(c.Copy.CompletedAt)):
		return c.Failed
	}
	return nil
}

// Late reports whether a backup waits for too long to be copied. Those of a day or a week of
// which one was copied wait for the next. since is when the settings were last changed.
func (c Copies) Late(every string, since, now time.Time) bool {
	if c.Open != nil && now.Sub(c.Open.OpenedAt) > copyPatience {
		return true
	}
	if c.WaitingSince.IsZero() {
		return false
	}
	if c.WaitingSince.After(since) {
		since = c.WaitingSince
	}
	return now.Sub(since) > copyPatience+map[string]time.Duration{EveryDay: 24 * time.Hour, EveryWeek: 7 * 24 * time.Hour}[every]
}

// Waiting is since when a backup has waited to be copied; zero if none does.
func (c Copies) Waiting() time.Time {
	if c.WaitingSince.IsZero() && c.Open != nil {
		return c.Open.OpenedAt
	}
	return c.WaitingSince
}

// Transient reports whether a failure may be over soon: the watchdog has opened no incident
// because of it.
func (e Export) Transient() bool {
	return e.Retryable != nil && *e.Retryable && e.Failures < copyAttempts
}
