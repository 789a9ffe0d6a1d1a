// Package preflight judges, before anything is installed, whether a backup could
// be installed in a project and would work there.
package preflight

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// Severity says how bad a finding is.
type Severity int

const (
	// Warning means that the backup may not work, or people would not learn that it failed.
	Warning Severity = iota
	// Error means that the backup cannot work, or cannot be installed.
	Error
)

// Finding is something in a project that stands in the way of a backup.
type Finding struct {
	Severity Severity
	// Attribute is the argument that the finding is about, as "function.rpc";
	// empty when it is about the project as a whole.
	Attribute string
	// Object names what is wrong in the project, Reason what is wrong with it,
	// and Remedy the SQL or the setting that mends it. They are sentences
	// without their full stops, except that a remedy may be several.
	Object, Reason, Remedy string
	// Writes says that nothing at all could be written to the project.
	Writes bool
}

// Coverage is what the SQL function's text says of what a backup holds.
type Coverage struct {
	// Copied are the tables that it copies from, and NotCopied those with rows
	// that it never names; both with their schemas.
	Copied, NotCopied []string
}

// The arguments that findings are about.
const (
	atRPC           = "function.rpc"
	atVerifyTable   = "function.verify_table"
	atAlertFunction = "alert.function"
	atSchedules     = "schedules"
	atTimezone      = "timezone"
	atLogConstraint = "log_constraint"
)

// subscriptions is the table from which AIMindset's alert function takes its
// addresses.
const subscriptions = "alert_subscriptions"

// mailKey is the secret without which AIMindset's alert function counts mails
// as sent that it only wrote into its log.
const mailKey = "RESEND_API_KEY"

// Oldest versions with what the installation calls: cron.alter_job and named
// jobs, net.http_post with a timeout, vault.update_secret.
var oldestVersions = map[string][2]int{"pg_cron": {1, 4}, "pg_net": {0, 2}, "supabase_vault": {0, 2}}

const (
	// oldestServer is the oldest PostgreSQL that the installed SQL is tested with.
	oldestServer = 150_000
	// shortTimeout is the statement timeout below which a backup is likely to
	// be cancelled one day: the tables grow.
	shortTimeout = 30 * time.Second
	// longestDetails is how long the function's and the watchdog's longest text
	// for a log is, in characters; shortestDetails, that of a success.
	longestDetails, shortestDetails = 280, 100
	// crowdedQueue is how many requests wait when pg_net does not keep up.
	crowdedQueue = 200
)

// Check reports whether a backup could be installed and would work in the
// project as it is. It makes one read-only statement and uses the lists of
// functions and secrets that a plan reads anyway. It writes nothing.
func Check(ctx context.Context, project facts.Project, spec backup.Spec) ([]Finding, Coverage, error) {
	var (
		found     snapshot
		functions []supabase.Function
		secrets   []supabase.Secret
	)
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() (err error) { found, err = look(reading, project, spec); return err })
	group.Go(func() (err error) { functions, err = project.Functions(reading); return err })
	group.Go(func() (err error) { secrets, err = project.Secrets(reading); return err })
	if err := group.Wait(); err != nil {
		return nil, Coverage{}, fmt.Errorf("check project %s: %w", spec.ID.ProjectRef, err)
	}
	found.edge = map[string]string{}
	for _, f := range functions {
		found.edge[f.Slug] = f.Status
	}
	// A self-hosted runtime may have more in its environment than is listed.
	if spec.ID.ProjectRef != backup.SelfHostedRef {
		found.secrets = map[string]bool{}
		for _, secret := range secrets {
			found.secrets[secret.Name] = true
		}
	}
	findings, coverage := found.evaluate(spec)
	return findings, coverage, nil
}

// looked are the facts on which the findings are based.
var looked = []facts.Part{
	"server", "parameters", "role_parameters", "roles", "own_schema", "processes", "available_extensions", "cron_owner_writes", "calls",
	"routines", "similar", "named_relations", "named_functions", "tables", "triggers", "filled", "unknown_zones",
	"jobs", "newest_tick", "run_id_sequence", "queue", "subscribers", "nulls", "log_checks",
}

// look reads what the database has to say.
func look(ctx context.Context, project facts.Project, spec backup.Spec) (snapshot, error) {
	zones, err := json.Marshal(foreignZones(spec.Settings))
	if err != nil {
		return snapshot{}, err
	}
	var table any
	if spec.Settings.Function.VerifyTable != nil {
		table = *spec.Settings.Function.VerifyTable
	}
	var found struct {
		snapshot
		Jobs      []backup.Job `json:"jobs"`
		Processes struct {
			PgCron            bool `json:"pg_cron"`
			PgNet             bool `json:"pg_net"`
			BackgroundWorkers int  `json:"background_workers"`
		} `json:"processes"`
		NewestTick struct {
			RunID int64 `json:"run_id"`
		} `json:"newest_tick"`
		RunIDSequence *struct {
			LastValue int64 `json:"last_value"`
		} `json:"run_id_sequence"`
		Queue     []int64                `json:"queue"`
		LogChecks []backup.LogConstraint `json:"log_checks"`
	}
	err = facts.Ask(ctx, project, facts.Request{Parts: looked, Parameters: map[string]any{
		"rpc": spec.Settings.Function.RPC, "table": table, "zones": string(zones),
	}}, &found)
	if err != nil {
		return snapshot{}, err
	}
	s := found.snapshot
	s.Scheduler, s.NetWorker, s.BackgroundWorkers = found.Processes.PgCron, found.Processes.PgNet, found.Processes.BackgroundWorkers
	s.Queued = int64(len(found.Queue))
	s.HistoryAhead = found.RunIDSequence != nil && found.NewestTick.RunID > found.RunIDSequence.LastValue
	for _, job := range found.Jobs {
		if job.Orphaned {
			s.Orphans = append(s.Orphans, job)
		}
	}
	for _, c := range found.LogChecks {
		if !c.AdmitsAll {
			s.RefusingChecks = append(s.RefusingChecks, c.Table+"."+c.Name)
		}
	}
	return s, nil
}

// foreignZones are the time zones that the database has to know, except those
// that every PostgreSQL knows.
func foreignZones(settings backup.Settings) []string {
	zones := []string{}
	for _, schedule := range settings.Schedules {
		if zone := schedule.Zone; zone != "UTC" && zone != backup.DefaultTimezone && !slices.Contains(zones, zone) {
			zones = append(zones, zone)
		}
	}
	slices.Sort(zones)
	return zones
}

// snapshot is what the database says, and what the API lists.
type snapshot struct {
	Server struct {
		Version       int    `json:"version"`
		InRecovery    bool   `json:"in_recovery"`
		User          string `json:"user"`
		Database      string `json:"database"`
		Writer        bool   `json:"writer"`
		SeesProcesses bool   `json:"sees_processes"`
	} `json:"server"`
	Settings     map[string]string     `json:"parameters"`
	RoleSettings []facts.RoleParameter `json:"role_parameters"`
	Roles        map[string]struct {
		BypassesRLS         bool `json:"bypasses_rls"`
		MemberOfServiceRole bool `json:"member_of_service_role"`
		UsesPublic          bool `json:"uses_public"`
		CreatesSchemas      bool `json:"creates_schemas"`
	} `json:"roles"`
	OwnSchema *struct {
		Owner string `json:"owner"`
		Owned bool   `json:"owned"`
	} `json:"own_schema"`
	Scheduler         bool `json:"scheduler"`
	NetWorker         bool `json:"net_worker"`
	BackgroundWorkers int  `json:"background_workers"`
	Extensions        map[string]struct {
		Available string `json:"available"`
		Installed string `json:"installed"`
		Schema    string `json:"schema"`
		Owner     string `json:"owner"`
	} `json:"available_extensions"`
	CronOwnerWrites *bool           `json:"cron_owner_writes"`
	Calls           map[string]bool `json:"calls"`
	Routines        []foundRoutine  `json:"routines"`
	Similar         []string        `json:"similar"`
	// Relations are the names that occur in the code, with their schemas.
	Relations [][2]string           `json:"named_relations"`
	Functions []string              `json:"named_functions"`
	Tables    map[string]foundTable `json:"tables"`
	Triggers  []foundTrigger        `json:"triggers"`

	UnknownZones []string `json:"unknown_zones"`
	Orphans      []backup.Job
	HistoryAhead bool  `json:"history_ahead"`
	Queued       int64 `json:"queued"`
	Subscribers  *int  `json:"subscribers"`
	// Filled are the tables with rows, by schema and name.
	Filled []string `json:"filled"`
	// Nulls are the columns that hold a null, by table.
	Nulls map[string]map[string]bool `json:"nulls"`
	// RefusingChecks are "table.constraint".
	RefusingChecks []string `json:"refusing_checks"`

	// edge are the Edge Functions with their status, secrets the names of the
	// function secrets, nil when they are not known.
	edge    map[string]string
	secrets map[string]bool
}

type foundRoutine struct {
	Schema           string   `json:"schema"`
	Kind             string   `json:"kind"`
	Volatile         bool     `json:"volatile"`
	Definer          bool     `json:"definer"`
	Set              bool     `json:"set"`
	Required         int      `json:"required"`
	Arguments        int      `json:"arguments"`
	Signature        string   `json:"signature"`
	Language         string   `json:"language"`
	Type             string   `json:"type"`
	TypeKind         string   `json:"type_kind"`
	ResultColumns    []string `json:"result_columns"`
	Source           string   `json:"source"`
	Config           []string `json:"config"`
	Owner            string   `json:"owner"`
	OwnerBypassesRLS bool     `json:"owner_bypasses_rls"`
	Callable         bool     `json:"callable"`
}

// setting is a value that the function sets for itself.
func (r foundRoutine) setting(name string) (string, bool) {
	for _, entry := range r.Config {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

type foundColumn struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Base     string `json:"base"`
	Category string `json:"category"`
	// Length is the most characters that it holds, 0 for any number.
	Length    int  `json:"length"`
	NotNull   bool `json:"not_null"`
	Default   bool `json:"default"`
	Generated bool `json:"generated"`
	// OftenNull says that the statistics of a large table know of nulls.
	OftenNull      bool   `json:"often_null"`
	SequenceClosed bool   `json:"sequence_closed"`
	Rights         string `json:"rights"`
}

type foundTable struct {
	Kind              string            `json:"kind"`
	Owner             string            `json:"owner"`
	RLS               bool              `json:"rls"`
	ForceRLS          bool              `json:"force_rls"`
	AlteredByPostgres bool              `json:"altered_by_postgres"`
	Columns           []foundColumn     `json:"columns"`
	Unique            [][]string        `json:"unique"`
	Rights            map[string]string `json:"rights"`
	Policies          *string           `json:"policies"`
	Rules             []string          `json:"rules"`
}

func (t foundTable) column(name string) (foundColumn, bool) {
	at := slices.IndexFunc(t.Columns, func(c foundColumn) bool { return c.Name == name })
	if at < 0 {
		return foundColumn{}, false
	}
	return t.Columns[at], true
}

type foundTrigger struct {
	Table       string `json:"table"`
	Name        string `json:"name"`
	Type        int    `json:"type"`
	Conditional bool   `json:"conditional"`
	Function    string `json:"function"`
	Language    string `json:"language"`
	Source      string `json:"source"`
}

// Bits of pg_trigger.tgtype.
const (
	triggerRow    = 1
	triggerBefore = 2
	triggerInsert = 4
	triggerUpdate = 16
)

// inspection gathers what a snapshot says about a spec.
type inspection struct {
	snapshot
	spec     backup.Spec
	findings []Finding
	// missing are the tables of the log that are not there, so that nothing
	// else is said about them.
	missing map[string]bool
}

func (a *inspection) add(severity Severity, attribute, object, remedy, reason string, args ...any) {
	a.findings = append(a.findings, Finding{
		Severity: severity, Attribute: attribute, Object: object, Reason: fmt.Sprintf(reason, args...), Remedy: remedy,
	})
}

// evaluate says what stands in the way of the backup. It is a pure function; a
// project in which everything is as it should be has no finding.
func (s snapshot) evaluate(spec backup.Spec) ([]Finding, Coverage) {
	a := &inspection{snapshot: s, spec: spec, missing: map[string]bool{}}
	a.server()
	a.extensions()
	a.scheduler()
	a.network()
	builtIn := len(a.findings)
	a.logs()
	a.triggers()
	coverage := a.backupFunction()
	if spec.OwnSource {
		// Only the built-in function is known to call and to write all this.
		for i := range a.findings[builtIn:] {
			f := &a.findings[builtIn+i]
			if f.Attribute == atLogConstraint {
				continue // that is about the apply
			}
			f.Severity = Warning
			f.Reason += "; whether the function in `source_dir` needs it is not known"
		}
	}
	a.alert()
	return a.findings, coverage
}

// server looks at the database as a whole.
func (a *inspection) server() {
	const object = "The database"
	readOnly := a.Server.InRecovery
	if readOnly {
		a.add(Error, "", object, "Name the primary's address, or end the recovery of this server.", "is a standby in recovery, in which nothing can be written and pg_cron starts no job")
	} else if value := a.effective("default_transaction_read_only", "postgres"); value == "on" || value == "true" || value == "1" || value == "yes" {
		readOnly = true
		a.add(Error, "", object,
			"See in the dashboard whether the project's disk is full, which makes Supabase do this, and enlarge it (Database, Settings, Disk). Otherwise: alter database "+quoteIdent(a.Server.Database)+" reset default_transaction_read_only; alter role postgres reset default_transaction_read_only",
			"is in read-only mode (default_transaction_read_only is on), so that neither the installation nor a backup can be written")
	}
	if readOnly {
		a.findings[len(a.findings)-1].Writes = true
	}
	if a.Server.Version < oldestServer {
		a.add(Warning, "", object, "Upgrade the project in the dashboard (Settings, Infrastructure).",
			"is PostgreSQL %d, and the installed SQL is tested with PostgreSQL %d and newer", a.Server.Version/10_000, oldestServer/10_000)
	}
	owner, ok := a.Roles[backup.JobOwner]
	switch {
	case !ok:
		a.add(Error, "", "The role postgres", "create role postgres login createrole createdb bypassrls", "does not exist, and all jobs have to belong to it")
		return
	case a.Server.Writer && a.Server.User != backup.JobOwner:
		a.add(Error, "", "The connection to the database", "Connect as postgres: change the user in `database_url`.",
			"is made as role %s, whose jobs would be other ones than those of postgres", a.Server.User)
	}
	switch {
	case a.OwnSchema != nil && !a.OwnSchema.Owned:
		a.add(Error, "", "The schema auto_backup", "alter schema auto_backup owner to postgres, or rename it if it is something else",
			"belongs to role %s, so that the dispatcher cannot be installed there", a.OwnSchema.Owner)
	case a.OwnSchema == nil && !owner.CreatesSchemas:
		a.add(Error, "", "The role postgres", "grant create on database "+quoteIdent(a.Server.Database)+" to postgres",
			"may not create a schema, so that the dispatcher cannot be installed")
	}
	if _, ok := a.Roles["service_role"]; !ok {
		a.add(Error, "", "The role service_role", "create role service_role nologin bypassrls; grant service_role to authenticator",
			"does not exist, and the Edge Function works with its rights")
	}
}

// effective is a setting as a new session of a role has it; empty where the
// reading role cannot see it.
func (a *inspection) effective(name, role string) string {
	return facts.Effective(a.Settings, a.RoleSettings, name, role)
}

// extensions looks whether pg_cron, pg_net and the vault are there, and where
// and for whom the installation calls them.
func (a *inspection) extensions() {
	homes := map[string]string{"pg_cron": "pg_catalog", "pg_net": "extensions", "supabase_vault": "vault"}
	for _, extension := range backup.RequiredExtensions {
		object := "The extension " + extension
		found, known := a.Extensions[extension]
		if !known || found.Available == "" && found.Installed == "" {
			a.add(Error, "", object, "Supabase has it on every project (Database, Extensions); a server of one's own needs the package and, in shared_preload_libraries, its name.",
				"is not available on this server")
			continue
		}
		if found.Installed == "" {
			if libraries, visible := a.Settings["shared_preload_libraries"]; visible && extension == "pg_cron" && !strings.Contains(libraries, "pg_cron") {
				a.add(Error, "", object, "alter system set shared_preload_libraries = '"+strings.Trim(libraries+",pg_cron", ",")+"', and restart the server",
					"can be created only when the server has loaded it at its start")
			}
			continue // the apply creates it
		}
		oldest := oldestVersions[extension]
		if version, ok := parseVersion(found.Installed); ok && slices.Compare(version[:], oldest[:]) < 0 {
			a.add(Error, "", object, "alter extension "+extension+" update, or upgrade the project",
				"has version %s, and %d.%d is the oldest that has what the backup needs", found.Installed, oldest[0], oldest[1])
			continue
		}
		if name, ok := a.missingCall(extension); ok {
			a.add(Error, "", object, fmt.Sprintf("drop extension %s; create extension %s with schema %s (its jobs, requests or secrets are lost)", extension, extension, homes[extension]),
				"is installed in schema %s, but the function %s is not where the backup calls it", found.Schema, name)
			continue
		}
		if extension == "pg_cron" {
			a.cronOwner(found.Owner)
		}
		for name, allowed := range sorted(a.Calls) {
			if !allowed && callsOf(extension, name) {
				schema, _, _ := strings.Cut(name, ".")
				a.add(Error, "", "The function "+name, fmt.Sprintf("grant usage on schema %s to postgres; grant execute on all functions in schema %s to postgres (as the owner of the extension, %s)", schema, schema, found.Owner),
					"may not be executed by role postgres, which installs the backup and owns its jobs")
			}
		}
	}
	if database, ok := a.Settings["cron.database_name"]; ok && database != a.Server.Database {
		a.add(Error, "", "The setting cron.database_name", "alter system set cron.database_name = '"+a.Server.Database+"', and restart the server",
			"is %s, so that pg_cron runs no job of database %s", database, a.Server.Database)
	}
}

// cronOwner looks whether pg_cron can write its own tables: it does so as the
// owner of the extension.
func (a *inspection) cronOwner(owner string) {
	if a.CronOwnerWrites != nil && !*a.CronOwnerWrites {
		a.add(Error, atSchedules, "The extension pg_cron", "Keep the jobs (select * from cron.job), then: drop extension pg_cron; create extension pg_cron with schema pg_catalog. Supabase then owns it and grants postgres what is needed.",
			"belongs to role %s, which may not write cron.job: cron.schedule fails with \"permission denied for table job\"", owner)
	}
}

var requiredCalls = map[string][]string{
	"pg_cron":        {"cron.schedule", "cron.alter_job", "cron.unschedule"},
	"pg_net":         {"net.http_post"},
	"supabase_vault": {"vault.create_secret", "vault.update_secret"},
}

func callsOf(extension, name string) bool { return slices.Contains(requiredCalls[extension], name) }

func (a *inspection) missingCall(extension string) (string, bool) {
	for _, name := range requiredCalls[extension] {
		if _, ok := a.Calls[name]; !ok {
			return name, true
		}
	}
	return "", false
}

// parseVersion reads the first two numbers of an extension's version: pg_cron
// 1.4.2 calls itself 1.4-1.
func parseVersion(text string) ([2]int, bool) {
	parts := strings.FieldsFunc(text, func(c rune) bool { return c == '.' || c == '-' })
	if len(parts) < 2 {
		return [2]int{}, false
	}
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	return [2]int{major, minor}, errMajor == nil && errMinor == nil
}

// scheduler looks whether pg_cron would start the jobs, and when.
func (a *inspection) scheduler() {
	if a.Extensions["pg_cron"].Installed == "" {
		return
	}
	const object = "pg_cron's scheduler"
	for _, orphan := range a.Orphans {
		a.add(Error, atSchedules, fmt.Sprintf("The pg_cron job %q (id %d)", orphan.Name, orphan.ID), fmt.Sprintf("create role %s nologin; or have a superuser, on Supabase its support, run: delete from cron.job where jobid = %d", quoteIdent(orphan.Username), orphan.ID),
			"belongs to role %s, which does not exist: the scheduler dies of it every second, and no job of anybody runs", orphan.Username)
	}
	if a.HistoryAhead {
		a.add(Error, atSchedules, "The table cron.job_run_details", "truncate cron.job_run_details",
			"has run ids above its sequence, as after a restore: the scheduler dies at the next duplicate, and no job of anybody runs")
	}
	if !a.Scheduler && len(a.Orphans) == 0 && !a.HistoryAhead {
		a.add(Error, atSchedules, object, "Restart the project (Settings, General), then look at its logs for \"pg_cron\".", "is not running, so that no job starts")
	}
	if a.Settings["cron.launch_active_jobs"] == "off" {
		a.add(Error, atSchedules, object, "alter system set cron.launch_active_jobs = on; select pg_reload_conf()", "starts no jobs: cron.launch_active_jobs is off")
	}
	if zone, ok := a.Settings["cron.timezone"]; ok && !slices.Contains([]string{"GMT", "UTC", "Etc/UTC", "Etc/GMT", "Zulu"}, zone) {
		a.add(Error, atTimezone, "The setting cron.timezone", "alter system set cron.timezone = 'GMT', and restart the server",
			"is %s, so that all jobs would run at other times: this provider compiles every schedule to UTC, in which pg_cron reads it on Supabase", zone)
	}
	workers, err := strconv.Atoi(a.Settings["max_worker_processes"])
	if a.Settings["cron.use_background_workers"] == "on" && a.Server.SeesProcesses && err == nil && a.BackgroundWorkers >= workers {
		a.add(Warning, atSchedules, object, fmt.Sprintf("alter system set max_worker_processes = %d, and restart the server; or cron.use_background_workers = off", workers+8),
			"runs jobs as background workers, and all %d of max_worker_processes are in use", workers)
	}
	for _, zone := range a.UnknownZones {
		attribute := atTimezone
		for _, key := range slices.Sorted(maps.Keys(a.spec.Settings.Schedules)) {
			if own := a.spec.Settings.Schedules[key].Timezone; own != nil && *own == zone {
				attribute = atSchedules + "." + key + ".timezone"
			}
		}
		a.add(Error, attribute, "The time zone "+zone, "Name a zone that the database has: select name from pg_timezone_names", "is not known to the database, in which the dispatcher and the watchdog read the schedule")
	}
}

// network looks whether pg_net sends requests.
func (a *inspection) network() {
	if a.Extensions["pg_net"].Installed == "" {
		return
	}
	if a.Server.SeesProcesses && !a.NetWorker {
		a.add(Error, "", "pg_net's worker", "select net.worker_restart(), or restart the project", "is not running, so that no request leaves the database")
	} else if a.Queued >= crowdedQueue {
		count := strconv.FormatInt(a.Queued, 10)
		if a.Queued >= 1000 {
			count = "1000 or more"
		}
		a.add(Warning, "", "pg_net's queue", "See what waits there: select url, count(*) from net.http_request_queue group by url; select net.worker_restart()",
			"holds %s requests that have not been sent, and the backup's would be behind them", count)
	}
	if database, ok := a.Settings["pg_net.database_name"]; ok && database != "" && database != a.Server.Database {
		a.add(Error, "", "The setting pg_net.database_name", "alter system set pg_net.database_name = '"+a.Server.Database+"', and restart the server", "is %s, so that no request of database %s is sent", database, a.Server.Database)
	}
}

// alert looks whether anybody would learn of a failure.
func (a *inspection) alert() {
	settings := a.spec.Settings.Alert
	if !settings.Enabled {
		return
	}
	object := "The Edge Function " + settings.Function
	status, deployed := a.edge[settings.Function]
	switch {
	case !deployed || status == "REMOVED":
		a.add(Warning, atAlertFunction, object, "Deploy it, name another one in `alert.function`, or set alert = { enabled = false }.", "is not deployed, so that nobody would be told of a failed backup")
		return
	case status != backup.StatusActive:
		a.add(Warning, atAlertFunction, object, "Deploy it again.", "has the status %s instead of %s", status, backup.StatusActive)
	}
	if settings.Function != backup.DefaultAlertFunction {
		return // how another function finds its addresses is not known
	}
	switch _, exists := a.Tables[subscriptions]; {
	case !exists:
		a.add(Warning, atAlertFunction, "The table public."+subscriptions, "create table public."+subscriptions+" (id bigserial primary key, email text unique not null, created_at timestamptz default now(), is_active boolean default true)",
			"does not exist, and %s takes its addresses from there", settings.Function)
	case a.Subscribers != nil && *a.Subscribers == 0:
		a.add(Warning, atAlertFunction, "The table public."+subscriptions, "insert into public."+subscriptions+" (email) values ('<address>')",
			"is empty, so that %s sends its alerts to nobody and answers as if all were well", settings.Function)
	case !strings.Contains(a.Tables[subscriptions].Rights["service_role"], "S"):
		a.add(Warning, atAlertFunction, "The table public."+subscriptions, "grant select on public."+subscriptions+" to service_role", "may not be read by service_role, so that %s finds no address", settings.Function)
	}
	if a.secrets != nil && !a.secrets[mailKey] {
		a.add(Warning, atAlertFunction, "The function secret "+mailKey, "supabase secrets set "+mailKey+"=…, or set it in the dashboard (Edge Functions, Secrets)",
			"is not set, and without it %s counts e-mails as sent that it only writes into its log", settings.Function)
	}
}

// logColumn is a column of a log table and what is written to it.
type logColumn struct {
	name string
	// types are those that take what is written.
	types []string
	// least is the length of the shortest text without which nothing works,
	// most that of the longest text.
	least, most int
	// rights are those that service_role needs.
	rights string
}

var (
	texts    = []string{"text", "varchar"}
	moments  = []string{"timestamptz", "timestamp"}
	logTable = map[string][]logColumn{
		"backup_logs": {
			{name: "id", types: []string{"uuid", "text", "varchar"}, least: 36, most: 36, rights: "SIU"},
			{name: "action_type", types: texts, least: len("auto_backup"), most: len("auto_backup"), rights: "SI"},
			{name: "records_affected", types: []string{"int4", "int8", "numeric"}, rights: "SIU"},
			{name: "details", types: texts, least: shortestDetails, most: longestDetails, rights: "SIU"},
			{name: "success", types: []string{"bool"}, rights: "SIU"},
			{name: "created_at", types: moments, rights: "S"},
		},
		"system_logs": {
			{name: "id", types: []string{"int4", "int8", "uuid", "text", "varchar"}, rights: "S"},
			{name: "type", types: texts, least: len("auto_backup_error"), most: len("auto_backup_error"), rights: "SIU"},
			{name: "message", types: texts, least: shortestDetails, most: longestDetails, rights: "IU"},
			{name: "context", types: []string{"jsonb", "json"}, rights: "SIU"},
			{name: "created_at", types: moments, rights: "S"},
		},
	}
)

// logs looks whether both tables of the log take the rows of a run.
func (a *inspection) logs() {
	for _, name := range slices.Sorted(maps.Keys(logTable)) {
		columns := logTable[name]
		table, ok := a.Tables[name]
		object := "The table public." + name
		if !ok {
			a.missing[name] = true
			var wanted []string
			for _, c := range columns {
				wanted = append(wanted, c.name)
			}
			a.add(Error, "", object, "Run the application's migrations first: the table needs the columns "+strings.Join(wanted, ", ")+".", "does not exist, and every run is written there")
			continue
		}
		if table.Kind != "r" && table.Kind != "p" {
			a.add(Warning, "", object, "Make it a table.", "is no table, so that rows may not be kept there as they are written")
		}
		a.logColumns(name, table)
		a.logRules(name, table)
		a.logRights(name, table)
	}
	for _, check := range a.RefusingChecks {
		relation, constraint, _ := strings.Cut(check, ".")
		object := "The CHECK " + constraint + " of public." + relation
		switch {
		case relation == "system_logs":
			a.add(Error, "", object, fmt.Sprintf("alter table public.system_logs drop constraint %s, and add it again with 'auto_backup' and 'auto_backup_error'", quoteIdent(constraint)),
				"refuses rows of type 'auto_backup' or 'auto_backup_error', which say how each run ended")
		case a.spec.ExtendLogConstraint && !a.Tables[relation].AlteredByPostgres:
			a.add(Error, atLogConstraint, object, "alter table public.backup_logs owner to postgres; or widen the CHECK as that role, and set log_constraint = \"require\"",
				"refuses rows of action_type 'auto_backup' and cannot be widened: the table belongs to role %s, and the backup is installed as postgres", a.Tables[relation].Owner)
		}
	}
}

func (a *inspection) logColumns(name string, table foundTable) {
	alter := "alter table public." + name
	for _, wanted := range logTable[name] {
		column, ok := table.column(wanted.name)
		object := "The column public." + name + "." + wanted.name
		switch {
		case !ok:
			a.add(Error, "", object, fmt.Sprintf("%s add column %s %s", alter, wanted.name, columnType(wanted)), "does not exist, and every run is written there")
			continue
		case !slices.Contains(wanted.types, column.Base):
			a.add(Error, "", object, fmt.Sprintf("%s alter column %s type %s", alter, wanted.name, columnType(wanted)), "has type %s, which does not take what a run writes", column.Type)
		case column.Length > 0 && column.Length < wanted.least:
			a.add(Error, "", object, fmt.Sprintf("%s alter column %s type text", alter, wanted.name), "holds %d characters, and a run writes %d", column.Length, wanted.least)
		case column.Length > 0 && column.Length < wanted.most:
			a.add(Warning, "", object, fmt.Sprintf("%s alter column %s type text", alter, wanted.name), "holds %d characters, and the text of a failure may have %d: it could not be logged then", column.Length, wanted.most)
		case column.Generated && strings.Contains(wanted.rights, "I"):
			a.add(Error, "", object, fmt.Sprintf("%s alter column %s drop expression, or drop identity", alter, wanted.name), "is generated, so that nothing can be written there")
		}
		if wanted.name == "created_at" && !column.Default {
			a.add(Warning, "", object, fmt.Sprintf("%s alter column created_at set default now()", alter), "has no default, so that the rows of a run bear no time and its outcome cannot be found")
		}
	}
	for _, column := range table.Columns {
		known := slices.ContainsFunc(logTable[name], func(c logColumn) bool { return c.name == column.Name && strings.Contains(c.rights, "I") })
		if known || column.Generated {
			continue
		}
		object := "The column public." + name + "." + column.Name
		switch {
		case column.NotNull && !column.Default:
			a.add(Error, "", object, fmt.Sprintf("%s alter column %s set default …, or drop not null", alter, quoteIdent(column.Name)), "is NOT NULL without a default, and a run's row leaves it out")
		case column.SequenceClosed:
			a.add(Error, "", object, fmt.Sprintf("grant usage on sequence public.%s_%s_seq to service_role", name, column.Name), "takes its default from a sequence that service_role may not use")
		}
	}
	if name == "backup_logs" && !slices.ContainsFunc(table.Unique, func(columns []string) bool { return slices.Equal(columns, []string{"id"}) }) {
		a.add(Warning, "", "The table public.backup_logs", "alter table public.backup_logs add primary key (id)", "has no unique id, so that a request which arrives twice makes two backups")
	}
	constants := map[string][]string{"backup_logs": {"action_type", "success"}, "system_logs": {"type"}}[name]
	for _, unique := range table.Unique {
		if !slices.ContainsFunc(unique, func(column string) bool { return !slices.Contains(constants, column) }) {
			a.add(Error, "", "The table public."+name, "Drop the unique index or constraint on ("+strings.Join(unique, ", ")+").", "allows one row per %s only, so that the second run cannot be logged", strings.Join(unique, " and "))
		}
	}
}

func columnType(c logColumn) string {
	switch c.types[0] {
	case "int4":
		return "integer"
	case "bool":
		return "boolean"
	case "timestamptz":
		return "timestamptz default now()"
	}
	return c.types[0]
}

func (a *inspection) logRules(name string, table foundTable) {
	for _, rule := range table.Rules {
		a.add(Error, "", fmt.Sprintf("The rule %s of public.%s", rule, name), fmt.Sprintf("drop rule %s on public.%s", quoteIdent(rule), name), "rewrites what is inserted or updated there, so that a run's row may never come to be")
	}
}

// logRights looks at what the function (service_role) and the watchdog
// (postgres) may do with a table of the log.
func (a *inspection) logRights(name string, table foundTable) {
	service, ok := a.Roles["service_role"]
	if !ok {
		return
	}
	object := "The role service_role"
	if !service.UsesPublic {
		a.addOnce(Error, "", object, "grant usage on schema public to service_role", "may not use schema public, so that the Edge Function reaches no table and no function")
		return
	}
	lacking := map[string][]string{}
	for _, wanted := range logTable[name] {
		column, ok := table.column(wanted.name)
		for _, right := range wanted.rights {
			if ok && !strings.ContainsRune(column.Rights, right) {
				lacking[rightNames[right]] = append(lacking[rightNames[right]], wanted.name)
			}
		}
	}
	if len(lacking) > 0 {
		rights := slices.Sorted(maps.Keys(lacking))
		var words []string
		for _, right := range rights {
			words = append(words, fmt.Sprintf("%s (%s)", right, strings.Join(lacking[right], ", ")))
		}
		a.add(Error, "", object, fmt.Sprintf("grant select, insert, update on public.%s to service_role", name), "lacks %s on public.%s, and the Edge Function works with its rights; new projects grant it nothing by themselves", strings.Join(words, " and "), name)
	}
	for _, right := range []rune{'S', 'I', 'U'} {
		if !strings.ContainsRune(table.Rights[backup.JobOwner], right) {
			a.add(Warning, "", "The role postgres", fmt.Sprintf("grant select, insert, update on public.%s to postgres", name), "lacks %s on public.%s, so that the watchdog cannot tell how runs end or report one that the function could not", rightNames[right], name)
			break
		}
	}
	if service.BypassesRLS || !table.RLS {
		return
	}
	policies := ""
	if table.Policies != nil {
		policies = *table.Policies
	}
	severity, reason := Warning, "is subject to the row level security of public.%s, whose policies have to let it select, insert and update"
	for _, command := range []string{"r", "a", "w"} { // pg_policy.polcmd
		if !strings.Contains(policies, command) && !strings.Contains(policies, "*") {
			severity, reason = Error, "lacks BYPASSRLS, and no policy of public.%s lets it select, insert and update"
		}
	}
	a.add(severity, "", object, "alter role service_role bypassrls", reason, name)
}

var rightNames = map[rune]string{'S': "SELECT", 'I': "INSERT", 'U': "UPDATE", 'D': "DELETE", 'T': "TRUNCATE"}

// addOnce is add for what several tables have in common.
func (a *inspection) addOnce(severity Severity, attribute, object, remedy, reason string) {
	for _, f := range a.findings {
		if f.Object == object && f.Reason == reason {
			return
		}
	}
	a.add(severity, attribute, object, remedy, "%s", reason)
}

// triggers looks at what fires on the rows of a run. A trigger that fails takes
// the row with it.
func (a *inspection) triggers() {
	for _, t := range a.Triggers {
		if a.missing[t.Table] || t.Type&(triggerInsert|triggerUpdate) == 0 {
			continue
		}
		if reason := a.triggerProblem(t); reason != "" {
			remedy := fmt.Sprintf("Look at the function %s; to let a run's rows past it: create the trigger again with a condition such as when (new.%s not like 'auto\\_backup%%')", t.Function, map[string]string{"backup_logs": "action_type", "system_logs": "type"}[t.Table])
			a.add(Warning, "", fmt.Sprintf("The trigger %s of public.%s", t.Name, t.Table), remedy, "fires on the rows of a run and could refuse them: %s", reason)
		}
	}
}

func (a *inspection) triggerProblem(t foundTrigger) string {
	if t.Language != "plpgsql" {
		return ""
	}
	body, variables := plsql.Read(t.Source)
	for _, use := range body.Uses {
		if use.Sheltered || variables[use.Table.Name] {
			continue
		}
		if !a.exists(use.Table, nil) {
			return fmt.Sprintf("its function uses the table %s, which does not exist", use.Table)
		}
	}
	for _, called := range body.Performs {
		if !slices.Contains(a.Functions, called.Name) && !slices.Contains(constructs, called.Name) {
			return fmt.Sprintf("its function calls %s, which does not exist", called)
		}
	}
	// A function of several tables looks first which one it is.
	if !body.Words["tg_table_name"] && !body.Words["tg_relname"] && !t.Conditional {
		for _, field := range body.NewFields {
			if _, ok := a.Tables[t.Table].column(field); !ok {
				return fmt.Sprintf("its function reads new.%s, and the table has no such column", field)
			}
		}
	}
	switch {
	case body.Raises && !t.Conditional:
		return "its function raises an exception under some condition"
	case body.Skips && t.Type&triggerBefore != 0 && t.Type&triggerRow != 0 && !t.Conditional:
		return "its function returns null under some condition, which drops the row silently"
	case (body.Words["http_post"] || body.Words["http_get"] || body.Words["http"]) && !t.Conditional:
		return "its function sends an HTTP request, which raises when its address or a header is not set"
	}
	return ""
}

// exists says whether a relation that code names is there. path is the search
// path of the code, nil for that of the Data API.
func (a *inspection) exists(n plsql.Name, path []string) bool {
	if path == nil {
		path = []string{"public", "extensions"}
	}
	return slices.ContainsFunc(a.Relations, func(r [2]string) bool {
		if r[1] != n.Name {
			return false
		}
		if n.Schema != "" {
			return r[0] == n.Schema
		}
		return r[0] == "pg_catalog" || slices.Contains(path, r[0])
	})
}

// quoteIdent writes a name as SQL does.
func quoteIdent(name string) string {
	plain := name != ""
	for i, c := range name {
		letter, digit := c == '_' || 'a' <= c && c <= 'z', '0' <= c && c <= '9'
		plain = plain && (letter || digit && i > 0)
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// sorted goes through a map in the order of its keys.
func sorted[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
