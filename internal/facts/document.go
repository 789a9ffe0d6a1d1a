package facts

import (
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
)

// Document is the answer to a Request. It has a field for each part, which is zero
// when the part was not asked for or was left out, or is null in the database.
type Document struct {
	backup.ProjectObservation

	// Relations says of each table that was needed whether it could be read.
	Relations map[string]State `json:"relations"`
	// Locks are the sessions that have locked these tables, if they could be seen.
	Locks map[string]LockHolder `json:"locks"`
	// LeftOut are the parts for which a table could not be read.
	LeftOut []Part `json:"left_out"`
	// Each has the parts of single backups.
	Each map[backup.Name]OfBackup `json:"each"`

	Server         Server               `json:"server"`
	Parameters     map[string]string    `json:"parameters"`
	RoleParameters []RoleParameter      `json:"role_parameters"`
	Roles          map[string]Role      `json:"roles"`
	OwnSchema      *OwnSchema           `json:"own_schema"`
	Processes      Processes            `json:"processes"`
	Available      map[string]Extension `json:"available_extensions"`
	// CronOwnerWrites is nil when pg_cron is not installed.
	CronOwnerWrites *bool `json:"cron_owner_writes"`
	// Calls says of each function that the installation calls whether role
	// postgres may. One that does not exist is not in it.
	Calls map[string]bool `json:"calls"`
	// UnknownZones are those of the asked time zones that the server lacks.
	UnknownZones []string `json:"unknown_zones"`

	// Ticks are the latest ticks by the jobs' ids.
	Ticks         map[int64]Tick `json:"ticks"`
	NewestTick    *NewestTick    `json:"newest_tick"`
	RunIDSequence *Sequence      `json:"run_id_sequence"`
	// Queue are the ids of pg_net's requests that wait, up to QueueLimit; nil
	// when they could not be read.
	Queue []int64 `json:"queue"`

	Routines []Routine `json:"routines"`
	// Similar are functions of schema public whose names look like a backup's.
	Similar []string         `json:"similar"`
	Tables  map[string]Table `json:"tables"`
	// NamedRelations are the relations whose names occur in the code, as schema
	// and name; NamedFunctions the functions.
	NamedRelations [][2]string `json:"named_relations"`
	NamedFunctions []string    `json:"named_functions"`
	Triggers       []Trigger   `json:"triggers"`
	// ForeignTriggers are the triggers with which other roles have code run.
	ForeignTriggers []ForeignTrigger `json:"foreign_triggers"`
	// OffsiteTables are the tables that off-site copies name, by their names.
	OffsiteTables map[string]OffsiteTable `json:"offsite_tables"`
	// Filled are the tables with rows, as schema.name.
	Filled []string `json:"filled"`
	// Nulls are the columns that hold a null, by schema.table. A table that was
	// not read is not in it; NullStatistics has those of large ones.
	Nulls          map[string]map[string]bool `json:"nulls"`
	NullStatistics map[string]map[string]bool `json:"null_statistics"`
	// Subscribers is the number of rows of alert_subscriptions, up to a thousand.
	Subscribers *int64   `json:"subscribers"`
	LastLog     *LastLog `json:"last_log"`

	// VaultNames are the names of backups to which a secret of the vault could belong;
	// nil if they are not known. Leased are the backups that an apply changes now.
	VaultNames []backup.Name `json:"vault_names"`
	Leased     []backup.Name `json:"leased"`
	// Histories are the backups in the run history; nil if it was not read.
	Histories []backup.Name `json:"histories"`
}

// Unmentioned is a name that no backup can have: what is read about it is what there is
// of any backup that the project does not have.
const Unmentioned backup.Name = "-"

// Mentions reports whether the project may have something of a backup that is not among
// Each. It is for documents with the parts vault_names and leased.
func (d *Document) Mentions(name backup.Name) bool {
	noVault := d.Relations["vault.secrets"] == Missing
	return d.VaultNames == nil && !noVault || slices.Contains(d.VaultNames, name) || slices.Contains(d.Leased, name)
}

// HasRuns reports whether the run history may have anything of a backup. It is for documents
// with the part histories.
func (d *Document) HasRuns(name backup.Name) bool {
	return d.Histories == nil && d.Relations["auto_backup.runs"] != Missing || slices.Contains(d.Histories, name)
}

// OfBackup are the parts of one backup.
type OfBackup struct {
	backup.OwnObservation

	// Schedules are the watchdog's notes by the schedules' keys.
	Schedules   map[string]NotedSchedule `json:"schedules"`
	Watchdog    *Watchdog                `json:"watchdog"`
	LastSuccess *history.Run             `json:"last_success"`
	Latest      map[string]history.Run   `json:"latest"`
	// CaughtUpAt is when the watchdog last started a run because its job had not.
	CaughtUpAt time.Time     `json:"caught_up_at"`
	Failures   int64         `json:"failures"`
	UnderWay   []history.Run `json:"under_way"`
	Incident   *Incident     `json:"incident"`
	// History may have more attempts than were asked for.
	History []history.Run `json:"history"`
	// Nights are the attempts that decide the due times of the last 31 days, the newest
	// due time first and at most NightsLimit: of each the one that succeeded, or else one
	// that is under way, which alone has an ID, or else the last one that failed.
	Nights        []history.Run  `json:"nights"`
	StoredBackups *StoredBackups `json:"stored_backups"`
	Retention     *Retention     `json:"retention"`
	FutureRuns    *FutureRuns    `json:"future_runs"`
	Drills        *Drills        `json:"drills"`
	// Offsite are the copies at the destinations of the settings, by key.
	Offsite map[string]offsite.Copies `json:"offsite"`
	// Channels are the messages to the heartbeat and to the webhooks of the settings, by
	// channel; nil where they were not read, or the installation has none.
	Channels map[string]notify.Notices `json:"channels"`
	// ChannelSecrets are when their secrets were last written, by their names in the vault;
	// nil where that was not read.
	ChannelSecrets map[string]time.Time `json:"channel_secrets"`
}

// NightsLimit is of how many due times the newest attempts are read.
const NightsLimit = 2000

// QueueLimit is how many requests of pg_net's queue are read.
const QueueLimit = 1000

// State says whether a table can be read.
type State string

// The states of a table.
const (
	Readable State = "readable"
	Missing  State = "missing"
	// Altered: a column is gone.
	Altered State = "altered"
	// Forbidden: the reader lacks the right.
	Forbidden State = "forbidden"
	// Filtered: row level security hides rows from the reader.
	Filtered State = "filtered"
	// Locked: another statement has locked it exclusively.
	Locked State = "locked"
)

// Server is the server and the connection.
type Server struct {
	Now time.Time `json:"now"`
	// Version is that of server_version_num, as 150004.
	Version    int    `json:"version"`
	InRecovery bool   `json:"in_recovery"`
	User       string `json:"user"`
	Database   string `json:"database"`
	// Writer says that the role may create something, so that an apply could be
	// made with it.
	Writer bool `json:"writer"`
	// SeesProcesses says that the role sees of what kind each process is.
	SeesProcesses bool `json:"sees_processes"`
}

// RoleParameter is a configuration parameter that is set for a role, for all roles
// in the database, or for both.
type RoleParameter struct {
	Role     string `json:"role"` // empty for all
	Database bool   `json:"database"`
	Name     string `json:"name"`
	Value    string `json:"value"`
}

// Effective is the value of a parameter in a new session of a role in this
// database. It is empty where the reading role cannot see it.
func (d Document) Effective(name, role string) string {
	value, rank := d.Parameters[name], -1
	for _, s := range d.RoleParameters {
		if s.Name != name || s.Role != "" && s.Role != role {
			continue
		}
		own := 0
		if s.Role != "" {
			own += 2
		}
		if s.Database {
			own++
		}
		if own > rank {
			value, rank = s.Value, own
		}
	}
	return value
}

// Role is what a role may do.
type Role struct {
	BypassesRLS         bool `json:"bypasses_rls"`
	MemberOfServiceRole bool `json:"member_of_service_role"`
	UsesPublic          bool `json:"uses_public"`
	CreatesSchemas      bool `json:"creates_schemas"`
}

// OwnSchema says to whom schema auto_backup belongs.
type OwnSchema struct {
	Owner string `json:"owner"`
	// Owned says that role postgres has the owner's rights.
	Owned bool `json:"owned"`
}

// Processes says which processes run.
type Processes struct {
	PgCron            bool `json:"pg_cron"`
	PgNet             bool `json:"pg_net"`
	BackgroundWorkers int  `json:"background_workers"`
}

// Extension is an extension that a backup needs. Available is the version that
// could be installed; Installed, Schema and Owner are empty when it is not.
type Extension struct {
	Available string `json:"available"`
	Installed string `json:"installed"`
	Schema    string `json:"schema"`
	Owner     string `json:"owner"`
}

// Tick is the latest run of a job in pg_cron's history.
type Tick struct {
	Status  string    `json:"status"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

// NewestTick is the newest run of any job.
type NewestTick struct {
	At time.Time `json:"at"`
	// RunID is the highest run id, nil when there is none.
	RunID *int64 `json:"run_id"`
}

// Sequence is the state of a sequence.
type Sequence struct {
	LastValue int64 `json:"last_value"`
	IsCalled  bool  `json:"is_called"`
}

// Routine is a function of the name of the one that makes the backup.
type Routine struct {
	Schema string `json:"schema"`
	// Kind is that of pg_proc.prokind.
	Kind     string `json:"kind"`
	Volatile bool   `json:"volatile"`
	Definer  bool   `json:"definer"`
	Set      bool   `json:"set"`
	// Required is the number of arguments without a default.
	Required      int      `json:"required"`
	Arguments     int      `json:"arguments"`
	Signature     string   `json:"signature"`
	Language      string   `json:"language"`
	Type          string   `json:"type"`
	TypeKind      string   `json:"type_kind"`
	ResultColumns []string `json:"result_columns"`
	Source        string   `json:"source"`
	// Config are the parameters that it sets for itself, as name=value.
	Config           []string `json:"config"`
	Owner            string   `json:"owner"`
	OwnerBypassesRLS bool     `json:"owner_bypasses_rls"`
	// Callable says that service_role may execute it.
	Callable bool `json:"callable"`
}

// Name is the function's name with its arguments, without its schema.
func (r Routine) Name() string {
	return r.Signature[strings.LastIndex(r.Signature, ".")+1:]
}

// DataAPIPath is the search path of the Data API.
var DataAPIPath = []string{"public", "extensions"}

// Named reports whether a relation is there, for code that names it with a schema
// or finds it in one of path.
func (d Document) Named(schema, name string, path []string) bool {
	return slices.ContainsFunc(d.NamedRelations, func(r [2]string) bool {
		switch {
		case r[1] != name:
			return false
		case schema != "":
			return r[0] == schema
		}
		return r[0] == "pg_catalog" || slices.Contains(path, r[0])
	})
}

// Resolve returns the schema in which code finds a relation: the one that it names, or
// the first one of path that has it. It returns false if there is none.
func (d Document) Resolve(schema, name string, path []string) (string, bool) {
	if schema != "" {
		return schema, d.Named(schema, name, nil)
	}
	for _, in := range path {
		if d.Named(in, name, nil) {
			return in, true
		}
	}
	return "", false
}

// Path is the search path of the function's text.
func (r Routine) Path() []string {
	if own, ok := r.Setting("search_path"); ok {
		return SearchPath(own)
	}
	return DataAPIPath
}

// SearchPath splits a list of schemas as a setting has it.
func SearchPath(value string) []string {
	path := []string{}
	for schema := range strings.SplitSeq(value, ",") {
		schema = strings.Trim(strings.TrimSpace(schema), `"`)
		if schema != "" && schema != "$user" {
			path = append(path, schema)
		}
	}
	return path
}

// Setting is a parameter that the function sets for itself.
func (r Routine) Setting(name string) (string, bool) {
	for _, entry := range r.Config {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// Table is a table of schema public.
type Table struct {
	// Kind is that of pg_class.relkind.
	Kind     string `json:"kind"`
	Owner    string `json:"owner"`
	RLS      bool   `json:"rls"`
	ForceRLS bool   `json:"force_rls"`
	// AlteredByPostgres says that role postgres may alter it.
	AlteredByPostgres bool       `json:"altered_by_postgres"`
	Columns           []Column   `json:"columns"`
	Unique            [][]string `json:"unique"`
	// Rights are, by role, those among S, I, U, D and T (for truncate) that it
	// has. The owner of the SQL function is "owner".
	Rights map[string]string `json:"rights"`
	// Policies are the commands for which a policy lets service_role through, as
	// pg_policy.polcmd has them.
	Policies *string  `json:"policies"`
	Rules    []string `json:"rules"`
}

// Column returns the column of a name.
func (t Table) Column(name string) (Column, bool) {
	at := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	if at < 0 {
		return Column{}, false
	}
	return t.Columns[at], true
}

// Column is a column of a table.
type Column struct {
	Name string `json:"name"`
	// Type is the type as SQL writes it, Base its name in pg_type, and Category
	// that of pg_type.typcategory.
	Type     string `json:"type"`
	Base     string `json:"base"`
	Category string `json:"category"`
	// Length is the most characters that it holds, 0 for any number.
	Length    int  `json:"length"`
	NotNull   bool `json:"not_null"`
	Default   bool `json:"default"`
	Generated bool `json:"generated"`
	// SequenceClosed says that service_role may not use the default's sequence.
	SequenceClosed bool `json:"sequence_closed"`
	// Rights are those among S, I and U that service_role has.
	Rights string `json:"rights"`
}

// Trigger is an enabled trigger of a log table.
type Trigger struct {
	Table string `json:"table"`
	Name  string `json:"name"`
	// Type is pg_trigger.tgtype.
	Type int `json:"type"`
	// Conditional says that it has a WHEN.
	Conditional bool   `json:"conditional"`
	Function    string `json:"function"`
	Language    string `json:"language"`
	Source      string `json:"source"`
}

// ForeignTrigger is a trigger whose function belongs to a role that is not trusted.
type ForeignTrigger struct {
	// Table and Function have their schema.
	Table    string `json:"table"`
	Name     string `json:"name"`
	Function string `json:"function"`
	// Owner is the function's.
	Owner string `json:"owner"`
}

// NotedSchedule is the watchdog's row of a schedule: what makes it due, and since
// when it is so.
type NotedSchedule struct {
	Since      time.Time  `json:"since"`
	Definition Definition `json:"definition"`
}

// Definition is the part of a schedule's settings that makes it due.
type Definition struct {
	Zone       string `json:"zone"`
	Minutes    []int  `json:"minutes"`
	Hours      []int  `json:"hours"`
	Days       []int  `json:"days"`
	Months     []int  `json:"months"`
	Weekdays   []int  `json:"weekdays"`
	DaysEither bool   `json:"days_either"`
}

// Watchdog says when the watchdog looked last, and what stood in its way.
type Watchdog struct {
	At       time.Time `json:"at"`
	Problems []string  `json:"problems"`
	// Retention is what the newest tick of the retention did; nil: there was none.
	Retention *RetentionTick `json:"retention"`
	// Forged is how many rows about open runs, or about recent failures, the
	// function has not signed.
	Forged int `json:"forged"`
}

// RetentionTick is one tick of the retention: what it removed, or why it removed nothing.
type RetentionTick struct {
	At      time.Time `json:"at"`
	Skipped string    `json:"skipped"`
	// Refused is an object because of which nothing may be deleted as postgres.
	Refused  string    `json:"refused"`
	BackupID string    `json:"backup_id"`
	MadeAt   time.Time `json:"made_at"`
	// Removed are the numbers of deleted rows by table.
	Removed map[string]int64 `json:"removed"`
}

// Incident is a row of auto_backup.incidents.
type Incident struct {
	Kind        string    `json:"kind"`
	Code        string    `json:"code"`
	OpenedAt    time.Time `json:"opened_at"`
	AlertState  string    `json:"alert_state"`
	AlertError  string    `json:"alert_error"`
	AlertedBy   string    `json:"alerted_by"`
	RecoveredAt time.Time `json:"recovered_at"`
}

// FutureRuns are the attempts that a wrong clock has dated after now.
type FutureRuns struct {
	Count  int64     `json:"count"`
	Latest time.Time `json:"latest"`
}

// LastLog are the newest rows of backups in the application's log.
type LastLog struct {
	Newest  *LogRow `json:"newest"`
	Success *LogRow `json:"success"`
}

// LogRow is a row of public.backup_logs.
type LogRow struct {
	At      time.Time `json:"at"`
	Success bool      `json:"success"`
	Records *int64    `json:"records"`
	Details string    `json:"details"`
}

// OffsiteTable is a relation that off-site copies name.
type OffsiteTable struct {
	// Kind is that of pg_class, Bytes its size without indexes.
	Kind  string `json:"kind"`
	Bytes int64  `json:"bytes"`
	// Readable says whether role postgres may read it.
	Readable bool `json:"readable"`
}

// StoredBackups are the backups that the application's tables hold.
type StoredBackups struct {
	Count    int64     `json:"count"`
	NewestID string    `json:"newest_id"`
	Newest   time.Time `json:"newest"`
	Oldest   time.Time `json:"oldest"`
	// Bytes is the size of the tables on disk, with indexes and TOAST.
	Bytes int64 `json:"bytes"`
	// Tables are the tables that were counted, as schema.name.
	Tables []string `json:"tables"`
	// DatabaseBytes is the size of the whole database.
	DatabaseBytes int64 `json:"database_bytes"`
	// HasLast says whether the backup of the last success is among them; nil:
	// there was no success, or it named no backup.
	HasLast *bool `json:"has_last"`
}

// Retention are the backups of the run history that a retention counts.
type Retention struct {
	// Times are when the backups were made that it has not removed, ascending; nil where
	// no retention is planned or in force.
	Times []time.Time `json:"times"`
	// Restored is the newest of those backups that a drill has restored, Last is the
	// newest of all, and First is when the first backup of the history was made; zero:
	// there is none.
	Restored time.Time `json:"restored"`
	Last     time.Time `json:"last"`
	First    time.Time `json:"first"`
	// Recent is how many were made in the last 28 days.
	Recent int64 `json:"recent"`
}
