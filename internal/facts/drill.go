package facts

import "time"

// Drills are restore drills of a backup.
type Drills struct {
	// Latest is the newest one, and Result the newest that was not skipped; nil if there
	// is none.
	Latest *Drill `json:"latest"`
	Result *Drill `json:"result"`
}

// The states of a drill.
const (
	DrillSuccessful = "successful"
	DrillFailed     = "failed"
	DrillTimedOut   = "timed_out"
	DrillSkipped    = "skipped"
)

// Drill is one restore drill.
type Drill struct {
	State      string    `json:"state"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	// BackupID is the backup that was restored, which was requested at MadeAt.
	BackupID string    `json:"backup_id"`
	MadeAt   time.Time `json:"made_at"`
	// Code says why it was not successful, and Error names tables, columns and
	// constraints with numbers of rows.
	Code   string       `json:"code"`
	Error  string       `json:"error"`
	Tables []DrillTable `json:"tables"`
}

// DrillTable is what a drill found of one table.
type DrillTable struct {
	Table string `json:"table"`
	Copy  string `json:"copy"`
	// Rows is how many rows of the backup were read; Sampled says that there are more.
	Rows    int64 `json:"rows"`
	Sampled bool  `json:"sampled"`
	// Compared is how many live rows have not changed since the backup; nil if the
	// rows could not be matched.
	Compared *int64 `json:"compared"`
	// Restorable is nil if it is not known.
	Restorable *bool          `json:"restorable"`
	Problems   []DrillProblem `json:"problems"`
	// Unchecked are constraints that could not be checked.
	Unchecked   []string     `json:"unchecked"`
	ColumnsLost []LostColumn `json:"columns_lost"`
	// RowsMissing is how many live rows that old the backup lacks.
	RowsMissing int64 `json:"rows_missing"`
}

// DrillProblem is why a table could not be restored.
type DrillProblem struct {
	Code string `json:"code"`
	// Object is a column, constraint, index or table; Rows is 0 where they were not
	// counted.
	Object string `json:"object"`
	Rows   int64  `json:"rows"`
}

// LostColumn is a column of which the backup lacks values.
type LostColumn struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	// Reason is not_copied, constant, type, trigger or changed.
	Reason string `json:"reason"`
}
