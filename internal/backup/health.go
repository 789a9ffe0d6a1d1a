package backup

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const (
	// watchdogPatience is how long the watchdog, which looks every ten minutes,
	// may be silent.
	watchdogPatience = 30 * time.Minute
	// schedulerPatience is how long a scheduler that cannot be seen counts as
	// running after a tick.
	schedulerPatience = 15 * time.Minute
	// duePatience is how long after a due time the watchdog has made up for a
	// tick that did not come: it gives the tick five minutes, and looks every ten.
	duePatience = 20 * time.Minute
	// runPatience is how long a run may be under way: the watchdog gives it
	// twelve minutes for its answer and as many for its work.
	runPatience = 40 * time.Minute
	// clockPatience is how far two clocks may be apart.
	clockPatience = 5 * time.Minute
	// legacyPatience is how late a backup may be whose schedule cannot be read.
	legacyPatience = 26 * time.Hour
)

const (
	applyRemedy   = "Run `terraform apply`."
	launcherTrace = "Look at the latest rows of `cron.job_run_details` and for `pg_cron` in the Postgres logs; restarting the database in the project's settings starts the scheduler again."
)

// assessment is a status in the making.
type assessment struct {
	Status
	found     statusDocument
	query     StatusQuery
	state     State
	spec      Spec
	functions []supabase.Function
	now       time.Time
}

// assess judges what was read of a backup. It reads nothing itself.
func assess(id ID, q StatusQuery, d statusDocument, functions []supabase.Function, secrets []supabase.Secret) Status {
	now := d.Now
	if !q.At.IsZero() {
		now = q.At
	}
	d.TokenDigest = d.Token
	a := &assessment{
		Status: Status{ID: id, CheckedAt: now, Generations: d.Generations},
		found:  d, query: q, functions: functions, now: now,
		state: State{ID: id, Secrets: map[string]string{}},
	}
	for _, secret := range secrets {
		a.state.Secrets[secret.Name] = secret.Digest
	}
	a.state.Token.Function = a.state.Secrets[id.Name.TokenSecret()]
	a.state.Token.Next = a.state.Secrets[id.Name.NextTokenSecret()]
	broken := observation{d.projectObservation, d.backupObservation}.fill(&a.state, Known{})

	legacy := a.legacyJobs()
	switch {
	case d.Settings != nil || a.hidden("auto_backup.settings") || a.dispatched():
		a.Installation = InstallationProvider
		a.provider(broken, legacy)
	case len(legacy) > 0:
		a.Installation = InstallationLegacy
		a.legacy(legacy)
	default:
		a.Installation = InstallationNone
		a.absent()
	}
	a.conclude()
	return a.Status
}

func (a *assessment) add(code string, means Condition, remedy, format string, args ...any) {
	a.Problems = append(a.Problems, Problem{Code: code, Means: means, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// remark adds what does not keep backups from being made.
func (a *assessment) remark(code, remedy, format string, args ...any) {
	a.add(code, ConditionHealthy, remedy, format, args...)
}

// wrong reports whether anything was found that is worse than a remark.
func (a *assessment) wrong() bool {
	return slices.ContainsFunc(a.Problems, func(p Problem) bool { return p.Means.rank() < ConditionNeverRan.rank() })
}

// hidden reports whether a table is there but cannot be read.
func (a *assessment) hidden(relation string) bool {
	switch a.found.Relations[relation] {
	case "readable", "missing", "":
		return false
	}
	return true
}

func (a *assessment) readable(relation string) bool { return a.found.Relations[relation] == "readable" }

// dispatched reports whether a job calls the dispatcher for this backup.
func (a *assessment) dispatched() bool {
	return slices.ContainsFunc(a.found.Jobs, func(j Job) bool { return a.dispatches(j) == string(a.ID.Name) })
}

var dispatchPattern = regexp.MustCompile(`auto_backup\s*\.\s*(?:dispatch|watch)\s*\(\s*'([^']*)'`)

// dispatches is the backup for which a job calls the dispatcher, or empty.
func (a *assessment) dispatches(j Job) string {
	if m := dispatchPattern.FindStringSubmatch(j.Command); m != nil {
		return m[1]
	}
	return ""
}

// legacyJobs are the jobs that make backups past the dispatcher: they call the
// backup's SQL function, or an address that ends in the backup's name.
func (a *assessment) legacyJobs() []Job {
	rpc := DefaultRPC
	if a.state.Settings != nil && a.state.Settings.Function.RPC != "" {
		rpc = a.state.Settings.Function.RPC
	}
	calls := regexp.MustCompile(`\b` + regexp.QuoteMeta(rpc) + `\s*\(|/` + regexp.QuoteMeta(string(a.ID.Name)) + `(?:[^A-Za-z0-9_-]|$)`)
	var found []Job
	for _, j := range a.found.Jobs {
		if a.dispatches(j) == "" && calls.MatchString(j.Command) {
			found = append(found, j)
		}
	}
	return found
}

// absent is the status of a backup that is not there.
func (a *assessment) absent() {
	remains := ""
	if f := a.function(a.ID.Name.Slug()); f != nil {
		remains = fmt.Sprintf(" An Edge Function %s is deployed, but nothing in the database calls it.", a.ID.Name.Slug())
	}
	if a.hidden("cron.job") {
		remains += fmt.Sprintf(" The role %s may not read all of cron.job, so a job could be there all the same.", a.found.Reader)
	}
	a.add("not_installed", ConditionNotInstalled,
		"Add `resource \"aimindset_auto_backup\" \"this\" {}` and apply, or correct `name` and `project_ref`.",
		"Project %s has no automatic backup %q: there is neither a row of it in auto_backup.settings nor a job that makes one.%s",
		a.ID.ProjectRef, a.ID.Name, remains)
}

// provider is the status of a backup that the dispatcher makes.
func (a *assessment) provider(broken error, legacy []Job) {
	a.LastSuccess, a.Failures = a.found.LastSuccess, a.found.Failures
	if at := slices.IndexFunc(a.found.History, func(r Run) bool { return r.RunID != "" }); at >= 0 {
		a.LastRun = &a.found.History[at]
	}
	a.History = a.found.History[:min(len(a.found.History), max(a.query.History, 0))]
	if a.found.Watchdog != nil {
		a.WatchedAt = a.found.Watchdog.At
	}
	a.relations()
	a.extensions()
	if broken == nil && a.found.Settings != nil {
		// What a look at an installation leaves out, nobody can work with.
		broken = json.Unmarshal(a.found.Settings.Spec, &Settings{})
	}
	if broken != nil {
		a.add("settings_unreadable", ConditionFailing, applyRemedy, "The settings of backup %q in auto_backup.settings cannot be read: %v.", a.ID.Name, broken)
		a.state.Settings = nil
	} else if a.found.Settings == nil && a.readable("auto_backup.settings") {
		a.add("settings_missing", ConditionFailing, applyRemedy,
			"Jobs of backup %q are there, but auto_backup.settings has no row of it, so each of their ticks fails.", a.ID.Name)
	}
	a.dispatcher()
	if a.state.Settings != nil {
		a.spec = Spec{ID: a.ID, Settings: *a.state.Settings}
		a.scheduler()
		a.jobs(legacy)
		a.watchdog()
		a.token()
		a.functionOf()
		a.application()
		a.alerts()
		a.runs()
		a.dueTimes()
	}
	a.clocks()
}

// relations reports tables that are gone or cannot be read.
func (a *assessment) relations() {
	hidden, blind := map[string][]string{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(a.found.Relations)) {
		own := strings.HasPrefix(name, "auto_backup.")
		log := name == "public.backup_logs" || name == "public.system_logs"
		essential := name == "auto_backup.settings" || name == "auto_backup.runs"
		switch state := a.found.Relations[name]; state {
		case "missing":
			switch {
			case own:
				a.add("dispatcher_damaged", ConditionFailing, applyRemedy, "The dispatcher's table %s is missing.", name)
			case log:
				a.add("table_missing", ConditionFailing, "Restore the table: the function has to write each run into it.",
					"The application's table %s is missing.", name)
			}
		case "altered":
			switch {
			case own:
				a.add("dispatcher_damaged", ConditionFailing, applyRemedy, "The dispatcher's table %s lacks a column.", name)
			case log:
				a.add("table_altered", ConditionFailing, "Give the table its columns back, under their names.",
					"The application's table %s lacks a column that the function and the watchdog use.", name)
			}
		case "forbidden", "filtered", "locked":
			hidden[state] = append(hidden[state], name)
			if essential {
				blind[state] = true
			}
		}
	}
	for _, state := range slices.Sorted(maps.Keys(hidden)) {
		remedy := "Read as `postgres` or as `supabase_read_only_user`, or through the Management API."
		var why string
		switch state {
		case "forbidden":
			why = "the role " + a.found.Reader + " may not read it"
		case "filtered":
			why = "row level security hides rows from the role " + a.found.Reader
		default:
			why = "a statement that is under way has locked it"
			remedy = "Find the statement in `pg_stat_activity`, or ask again later."
		}
		means := ConditionHealthy
		if blind[state] {
			means = ConditionFailing
		}
		a.add("not_readable", means, remedy, "What %s would say is not known, because %s.", strings.Join(hidden[state], ", "), why)
	}
}

func (a *assessment) extensions() {
	for _, name := range requiredExtensions {
		if _, ok := a.found.Extensions[name]; ok {
			continue
		}
		means := ConditionFailing
		if name == "pg_cron" {
			means = ConditionSchedulerDown
		}
		a.add("extension_missing", means, applyRemedy, "The extension %s is not installed in the database.", name)
	}
}

// dispatcher compares the SQL in the database with this provider's, where both
// are of one version.
func (a *assessment) dispatcher() {
	if a.found.Settings != nil && a.found.Settings.Unfinished {
		a.add("unfinished", ConditionFailing, applyRemedy, "The installation of backup %q was begun and not finished.", a.ID.Name)
	}
	wanted := payload.LoadDispatcher()
	if a.state.DispatcherVersion != wanted.Version {
		return
	}
	var missing, changed []string
	for _, name := range slices.Sorted(maps.Keys(wanted.Functions)) {
		switch found, ok := a.state.Functions[name]; {
		case !ok:
			missing = append(missing, name)
		case found != wanted.Functions[name]:
			changed = append(changed, name)
		}
	}
	if len(missing) > 0 {
		a.add("dispatcher_damaged", ConditionFailing, applyRemedy, "Functions of the schema auto_backup are missing: %s.", strings.Join(missing, ", "))
	}
	if len(changed) > 0 {
		a.remark("dispatcher_changed", applyRemedy, "Functions of the schema auto_backup are not as version %s has them: %s.", wanted.Version, strings.Join(changed, ", "))
	}
}

// scheduler reports what keeps pg_cron, or the watchdog, from ticking.
func (a *assessment) scheduler() {
	if a.found.ReadOnly {
		a.add("database_read_only", ConditionSchedulerDown, "Free space or enlarge the disk in the project's settings, then switch read-only mode off.",
			"The database is in read-only mode, as Supabase sets it when the disk is full: every tick fails, and neither a backup nor its log can be written.")
	}
	if _, ok := a.found.Extensions["pg_cron"]; !ok {
		return
	}
	for _, orphan := range a.found.Orphans {
		a.add("job_role_missing", ConditionSchedulerDown,
			"Create the role again, or have Supabase's support remove the job.",
			"The role of the job %s does not exist; pg_cron's scheduler fails over it again and again, so no job of anybody runs.", orphan)
	}
	if n, last := a.found.NewestTick, a.found.RunIDSequence; n != nil && n.RunID != nil && last != nil && *n.RunID > *last {
		a.add("run_ids_behind", ConditionSchedulerDown,
			"Run `truncate cron.job_run_details` as `postgres`; the scheduler goes on at once.",
			"pg_cron's sequence of run ids stands at %d, and its history has %d already, as after a restore: the scheduler cannot note a run, so no job of anybody runs.", *last, *n.RunID)
	}
	// Who sees only his own processes may not see the scheduler; then a tick of
	// the last quarter of an hour is proof enough.
	ticking := a.WatchedAt
	if n := a.found.NewestTick; n != nil && n.At.After(ticking) {
		ticking = n.At
	}
	if !a.found.Activity.PgCron && (a.found.Activity.Complete || a.now.Sub(ticking) > schedulerPatience) {
		a.add("scheduler_absent", ConditionSchedulerDown, launcherTrace, "pg_cron's scheduler is not running: the database has no such process.")
	}
}

// watchdog reports a watchdog that does not look: whatever keeps its job from
// ticking, named above or not.
func (a *assessment) watchdog() {
	if !a.readable("auto_backup.watchdog") {
		return
	}
	since, what := a.watchedSince()
	if silent := a.now.Sub(since); silent > watchdogPatience {
		newest := ""
		if n := a.found.NewestTick; n != nil && !n.At.IsZero() {
			newest = " The newest tick of any job is of " + stamp(n.At) + "."
		}
		a.add("watchdog_silent", ConditionSchedulerDown, launcherTrace,
			"The watchdog, which is due every ten minutes, %s, %s ago: its job does not run, or fails.%s", what, ago(silent), newest)
	}
}

// watchedSince is when the watchdog looked last, or could have begun to.
func (a *assessment) watchedSince() (time.Time, string) {
	if a.WatchedAt.IsZero() && a.found.Times != nil {
		return a.found.Times.CreatedAt, "has never looked since the installation at " + stamp(a.found.Times.CreatedAt)
	}
	return a.WatchedAt, "looked last at " + stamp(a.WatchedAt)
}

// jobs compares the jobs with those that the settings want.
func (a *assessment) jobs(legacy []Job) {
	if _, ok := a.found.Extensions["pg_cron"]; !ok || !a.readable("cron.job") {
		return
	}
	wanted := a.spec.Jobs()
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		want := wanted[key]
		means := ConditionLate
		if key == WatchdogKey {
			means = ConditionSchedulerDown
		}
		var job Job
		var ok bool
		var others []Job
		for _, j := range a.found.Jobs {
			switch {
			case j.Name != want.Name:
			case j.Username == JobOwner:
				job, ok = j, true
			default:
				others = append(others, j)
			}
		}
		switch {
		case !ok && len(others) > 0:
			a.add("job_of_other_role", means, applyRemedy+" Then remove the other role's job.",
				"The job %s belongs to role %s instead of %s, which may not run it.", want.Name, others[0].Username, JobOwner)
			continue
		case !ok && want.Active:
			a.add("job_missing", means, applyRemedy, "The job %s does not exist.", want.Name)
			continue
		case ok && want.Active && !job.Active:
			a.add("job_inactive", means, applyRemedy, "The job %s is switched off.", want.Name)
		case ok && !want.Active && job.Active:
			a.remark("job_active", applyRemedy, "The job %s is active, although its schedule is switched off; its ticks do nothing.", want.Name)
		}
		if ok {
			var changes []string
			for _, c := range [][3]string{
				{"schedule", job.Schedule, want.Schedule}, {"command", job.Command, want.Command}, {"database", job.Database, want.Database},
			} {
				if c[1] != c[2] {
					changes = append(changes, fmt.Sprintf("its %s is %q instead of %q", c[0], oneLine(c[1]), c[2]))
				}
			}
			if len(changes) > 0 {
				a.add("job_changed", means, applyRemedy, "The job %s was changed: %s.", want.Name, strings.Join(changes, ", "))
			}
			a.tickOf(job, key)
		}
		for _, other := range others {
			a.remark("job_duplicate", "Remove the job of the other role.",
				"Role %s has a job %s as well; of each due time only one tick makes a backup.", other.Username, other.Name)
		}
	}
	for _, job := range legacy {
		if job.Active && !slices.ContainsFunc(slices.Collect(maps.Values(wanted)), func(w Job) bool { return w.Name == job.Name && w.Username == job.Username }) {
			a.remark("other_job", "Remove the job, or take it over with `adopt_existing`.",
				"The job %s (%s) of role %s makes backups as well, without log, retry or alert.", job.Name, job.Schedule, job.Username)
		}
	}
	if zone := a.found.CronTimezone; zone != nil && !slices.Contains([]string{"", "GMT", "UTC", "Etc/UTC", "Etc/GMT"}, *zone) {
		a.remark("cron_timezone", "Reset `cron.timezone` and restart the database.",
			"pg_cron reads its schedules in %s instead of GMT, so the jobs tick at other times than they should.", *zone)
	}
}

// tickOf reports a job whose latest tick failed, as long as that matters: of the
// watchdog while it is silent, of a schedule until a backup is made.
func (a *assessment) tickOf(job Job, key string) {
	last, ok := a.found.Ticks[job.ID]
	if !ok || last.Status != "failed" {
		return
	}
	// pg_cron notes no time where it found no connection.
	at, when := last.At, "at "+stamp(last.At)
	if at.IsZero() {
		when = "at a time that pg_cron did not note"
		if expression, location, err := readSchedule(a.spec.Settings.Schedules[key]); err == nil {
			at, _ = expression.Latest(location, a.now.AddDate(-1, 0, 0), a.now)
		}
	}
	means := ConditionHealthy
	if since, _ := a.watchedSince(); a.now.Sub(since) > watchdogPatience {
		means = ConditionSchedulerDown
	} else if key == WatchdogKey {
		return
	}
	if s := a.LastSuccess; key != WatchdogKey && s != nil && !s.FinishedAt.Before(at) {
		return
	}
	a.add("tick_failed", means, "Correct what the message names. "+launcherTrace,
		"The latest tick of the job %s, %s, failed: %s.", job.Name, when, strings.TrimSuffix(firstLine(last.Message), "."))
}

// token compares the token's two homes.
func (a *assessment) token() {
	name := a.ID.Name
	if _, ok := a.found.Extensions["supabase_vault"]; ok && a.found.Vault != nil {
		if _, ok := a.found.Vault[name.VaultToken()]; !ok {
			a.add("vault_token_missing", ConditionFailing, applyRemedy, "The invocation token is missing in vault: there is no secret %s, so no request can be made.", name.VaultToken())
		} else if a.found.Token != nil && a.found.Token.Digest == "" {
			a.add("vault_token_unreadable", ConditionFailing, applyRemedy, "Vault cannot decrypt the secret %s, as after a restore into another project, so no request can be made.", name.VaultToken())
		}
	}
	token := a.state.Token
	switch {
	case token.Function == "" && token.Next == "":
		a.add("function_token_missing", ConditionFailing, applyRemedy, "The function has no token: its secret %s is missing.", name.TokenSecret())
	case token.Vault != "" && token.Vault != token.Function && token.Vault != token.Next:
		a.add("token_mismatch", ConditionFailing, applyRemedy, "The token in vault is another one than the function's secret %s, so the function refuses every request.", name.TokenSecret())
	}
	var missing []string
	for _, secret := range a.spec.Settings.Secrets {
		if _, ok := a.state.Secrets[secret]; !ok {
			missing = append(missing, secret)
		}
	}
	if len(missing) > 0 {
		a.add("secret_missing", ConditionFailing, applyRemedy, "The function lacks secrets that belong to the backup: %s.", strings.Join(missing, ", "))
	}
}

// function is a deployed Edge Function, or nil.
func (a *assessment) function(slug string) *supabase.Function {
	at := slices.IndexFunc(a.functions, func(f supabase.Function) bool { return f.Slug == slug && f.Status != "REMOVED" })
	if at < 0 {
		return nil
	}
	return &a.functions[at]
}

// functionOf judges the Edge Function and its address.
func (a *assessment) functionOf() {
	slug, url := a.ID.Name.Slug(), a.spec.Settings.Function.URL
	switch f := a.function(slug); {
	case f == nil:
		a.add("function_missing", ConditionFailing, applyRemedy, "The Edge Function %s is not deployed.", slug)
	case f.Status != StatusActive:
		a.add("function_status", ConditionFailing, "Look at the function's usage and logs in the dashboard.", "The Edge Function %s is %s instead of %s, so it does not answer.", slug, f.Status, StatusActive)
	case f.VerifyJWT:
		a.add("function_verify_jwt", ConditionFailing, applyRemedy, "The platform demands a JWT for the Edge Function %s (verify_jwt is on), and the database sends none.", slug)
	case a.state.FunctionID != "" && f.ID != a.state.FunctionID:
		a.remark("function_replaced", applyRemedy, "The Edge Function %s is another one than the one that was installed: it was deleted and made again.", slug)
	}
	switch {
	case !addressPattern.MatchString(url):
		a.add("function_url", ConditionFailing, applyRemedy, "The address at which the function is called is %q, which is no http or https address.", url)
	case a.query.FunctionURL != "" && url != a.query.FunctionURL:
		// Who asks may know the project under another address.
		means := ConditionHealthy
		if a.LastRun != nil && a.LastRun.State == "failed" {
			means = ConditionFailing
		}
		a.add("function_url", means, applyRemedy+" If the address is right, set the provider's `project_url`.", "The function is called at %s, not at %s.", url, a.query.FunctionURL)
	}
}

var addressPattern = regexp.MustCompile(`^https?://[^/\s]+`)

// application judges what the function needs of the application.
func (a *assessment) application() {
	for _, c := range a.found.LogConstraints {
		if !c.Admits {
			a.add("log_refused", ConditionFailing, applyRemedy+" With `log_constraint = \"require\"`, widen the CHECK yourself.",
				"The CHECK %s of public.backup_logs refuses rows of action_type 'auto_backup'.", c.Name)
		}
	}
	if len(a.found.Lacking) > 0 {
		a.add("log_rights", ConditionFailing, "Grant `service_role` these rights again.", "The role service_role, as which the function writes its logs, lacks %s.", strings.Join(a.found.Lacking, ", "))
	}
	if r, rpc := a.found.Routine, a.spec.Settings.Function.RPC; r != nil && !r.Exists {
		a.add("rpc_missing", ConditionFailing, "Restore the function, or set `function.rpc` to its name.", "The schema public has no SQL function %s that can be called without arguments.", rpc)
	} else if r != nil && !r.Executable {
		a.add("rpc_rights", ConditionFailing, fmt.Sprintf("Run `grant execute on function public.%s to service_role`.", rpc), "The role service_role may not execute public.%s().", rpc)
	}
	if !a.found.Activity.PgNet && a.found.Activity.Complete {
		if _, ok := a.found.Extensions["pg_net"]; ok {
			a.add("pg_net_down", ConditionFailing, "Run `select net.worker_restart()`; if that does not help, restart the database.", "pg_net's worker is not running, so no request leaves the database.")
		}
	}
	if g, last := a.found.Generations, a.LastSuccess; last != nil && a.storesGenerations() {
		switch {
		case g == nil && a.allTablesSeen():
			a.add("generations_missing", ConditionFailing, "Restore the backup tables; the backups that they held are gone.", "No table of the schema public holds backups any more: none has the columns backup_id and backup_created_at.")
		case g != nil && g.HasLast != nil && !*g.HasLast:
			a.add("generation_missing", ConditionFailing, "Run a backup now, and find out what deletes from the backup tables.", "The last success names the backup %s, but the backup tables have no row of it.", last.BackupID)
		}
	}
	if n := a.found.Watchdog; n != nil && len(n.Problems) > 0 {
		a.remark("watchdog_hindered", "Correct what the message names.", "Something stood in the watchdog's way: %s.", strings.TrimSuffix(oneLine(strings.Join(n.Problems, "; ")), "."))
	}
}

// storesGenerations reports whether the backup is one whose tables are known.
func (a *assessment) storesGenerations() bool {
	f := a.spec.Settings.Function
	return f.RPC == DefaultRPC || f.VerifyTable != nil
}

// allTablesSeen reports whether the reader sees the application's tables, so
// that what he does not see is not there.
func (a *assessment) allTablesSeen() bool {
	return a.readable("public.backup_logs") && a.readable("public.system_logs")
}

// alerts judges whether people would be told, and were.
func (a *assessment) alerts() {
	alert := a.spec.Settings.Alert
	if !alert.Enabled {
		return
	}
	switch f := a.function(alert.Function); {
	case f == nil:
		a.remark("alert_function_missing", fmt.Sprintf("Deploy the Edge Function `%s`, or name another one in `alert`.", alert.Function), "The Edge Function %s, which sends the alerts, is not deployed.", alert.Function)
	case f.Status != StatusActive:
		a.remark("alert_function_status", "Look at the function's usage and logs in the dashboard.", "The Edge Function %s, which sends the alerts, is %s instead of %s.", alert.Function, f.Status, StatusActive)
	}
	if a.found.Vault != nil {
		if _, ok := a.found.Vault[a.ID.Name.VaultAlertKey()]; !ok {
			a.remark("alert_key_missing", applyRemedy, "The vault secret %s is missing, so the watchdog may not be able to send alerts itself.", a.ID.Name.VaultAlertKey())
		}
	}
	if alert.Function == DefaultAlertFunction {
		switch {
		case a.found.Relations["public.alert_subscriptions"] == "missing":
			a.remark("no_subscribers", "Restore the table, and subscribe somebody.", "The table public.alert_subscriptions is missing, so alerts reach nobody.")
		case a.found.Subscribers != nil && *a.found.Subscribers == 0:
			a.remark("no_subscribers", "Add a row to `alert_subscriptions`.", "Nobody has subscribed to alerts: public.alert_subscriptions is empty, so alerts reach nobody.")
		}
	}
	if i := a.found.Incident; i != nil && i.AlertState == "not_delivered" {
		why := cmp.Or(i.AlertError, "the reason is not known")
		a.remark("alert_not_delivered", fmt.Sprintf("Look at the logs of the Edge Function `%s` and at the mail service.", alert.Function),
			"The alert about the incident of %s was not delivered to every subscriber: %s.", stamp(i.OpenedAt), strings.TrimSuffix(oneLine(why), "."))
	}
}

// runs judges the attempts.
func (a *assessment) runs() {
	for _, run := range a.found.UnderWay {
		if age := a.now.Sub(run.RequestedAt); age > runPatience {
			where := "there is no answer"
			if run.RequestID != nil && slices.Contains(a.found.Queue, *run.RequestID) {
				where = "pg_net has not sent the request"
			} else if run.State == "running" {
				where = "the function has taken it and not come to an end"
			}
			a.add("run_stuck", ConditionFailing, "See why the watchdog does not close it: `select summary from auto_backup.watchdog`.",
				"The run due at %s has been under way for %s, and %s.", stamp(run.DueAt), ago(age), where)
			continue
		}
		a.add(problemRunning, ConditionRunning, "", "A backup is under way since %s.", stamp(run.RequestedAt))
	}
	last := a.LastRun
	if last == nil {
		return
	}
	if a.Failures > 0 && (last.State == "failed" || len(a.found.UnderWay) > 0) {
		a.failed(last)
	} else if latest, ok := a.found.Latest[last.Schedule]; ok && latest.RunID == last.RunID && last.Trigger == "catch_up" && last.State == "succeeded" {
		a.remark("tick_missed", "Nothing, if it happened once; else see the other problems and `cron.job_run_details`.",
			"The backup due at %s was made up for by the watchdog: %s.", stamp(last.DueAt), strings.TrimSuffix(oneLine(cmp.Or(latest.Tick, "the job did not start it")), "."))
	}
	if last.State == "succeeded" && last.Log == "could not be written" {
		a.remark("log_not_written", "See what keeps `system_logs` and `backup_logs` from being written.", "The backup due at %s succeeded, but its log rows could not be written.", stamp(last.DueAt))
	}
}

// failed reports the newest attempt that failed, and what follows.
func (a *assessment) failed(last *Run) {
	if last.State != "failed" {
		at := slices.IndexFunc(a.found.History, func(r Run) bool { return r.State == "failed" })
		if at < 0 {
			a.add("failed", ConditionFailing, remedyFor(""), "%d attempts have failed since the last success.", a.Failures)
			return
		}
		last = &a.found.History[at]
	}
	follows := "It is not tried again by itself before its next due time."
	if a.RetryAt = a.retryAt(); !a.RetryAt.IsZero() {
		follows = "The watchdog tries again at about " + stamp(a.RetryAt) + "."
	} else if len(a.found.UnderWay) > 0 {
		follows = "Another attempt is under way."
	}
	message := fmt.Sprintf("The backup due at %s failed at attempt %d: %s", stamp(last.DueAt), last.Attempt, lowerFirst(cmp.Or(firstSentence(last.WhatHappened), last.Code)))
	if last.Log == "could not be written" {
		message += " Its log rows could not be written."
	}
	a.add(cmp.Or(last.Code, "failed"), ConditionFailing, remedyFor(last.Code), "%s %s", message, follows)
	a.Problems[len(a.Problems)-1].lead = message
}

// retryAt is when the watchdog tries the newest failed attempt again.
func (a *assessment) retryAt() time.Time {
	if len(a.found.UnderWay) > 0 {
		return time.Time{}
	}
	retry := a.spec.Settings.Retry
	var at time.Time
	for _, key := range slices.Sorted(maps.Keys(a.found.Latest)) {
		run := a.found.Latest[key]
		if !a.spec.Settings.Schedules[key].Enabled || run.State != "failed" || run.Attempt > retry.Attempts {
			continue
		}
		if s := a.LastSuccess; s != nil && !s.FinishedAt.Before(run.FinishedAt) {
			continue
		}
		when := run.FinishedAt.Add(time.Duration(retry.DelaySeconds) * time.Second)
		if when.Before(a.now) {
			when = a.now
		}
		if at.IsZero() || when.Before(at) {
			at = when
		}
	}
	return at
}

// dueTimes judges whether what was due happened, and tells what comes next.
func (a *assessment) dueTimes() {
	settings := a.spec.Settings
	enabled := 0
	installed := time.Time{}
	if a.found.Times != nil {
		installed = a.found.Times.CreatedAt
	}
	waited := installed
	var oldest time.Time
	for _, key := range slices.Sorted(maps.Keys(settings.Schedules)) {
		s := settings.Schedules[key]
		if !s.Enabled {
			continue
		}
		enabled++
		expression, location, err := readSchedule(s)
		if err != nil {
			a.add("schedule_unreadable", ConditionFailing, applyRemedy, "The schedule %s in auto_backup.settings cannot be read: %v.", key, err)
			continue
		}
		for _, next := range expression.Next(location, a.now, 1) {
			a.NextRuns = append(a.NextRuns, NextRun{Schedule: key, DueAt: next})
		}
		since, known := a.found.Since[key]
		if !known {
			since = installed
			if a.found.Times != nil {
				since = a.found.Times.UpdatedAt
			}
		}
		if oldest.IsZero() || since.Before(oldest) {
			oldest = since
		}
		due, ok := expression.Latest(location, since, a.now.Add(-duePatience))
		if !ok || !a.readable("auto_backup.runs") || a.covered(key, due) {
			continue
		}
		a.add("due_missed", ConditionLate, "See the other problems; if there are none, look at the latest rows of `cron.job_run_details`.",
			"The schedule %s was due at %s, and no backup was started then or since.", key, stamp(due))
	}
	slices.SortStableFunc(a.NextRuns, func(x, y NextRun) int { return x.DueAt.Compare(y.DueAt) })
	if enabled == 0 {
		a.remark("no_schedule", "Enable a schedule, or remove the backup.", "No schedule of the backup is enabled, so no backup is due.")
	}
	if waited.Before(oldest) {
		waited = oldest
	}
	if s := a.LastSuccess; s != nil && waited.Before(s.FinishedAt) {
		waited = s.FinishedAt
	}
	allowed := time.Duration(settings.Alert.OverdueAfterSeconds) * time.Second
	if enabled > 0 && allowed > 0 && a.readable("auto_backup.runs") && a.now.After(waited.Add(allowed)) {
		last := "there has been none yet"
		if a.LastSuccess != nil {
			last = "the last one ended at " + stamp(a.LastSuccess.FinishedAt)
		}
		a.add("overdue", ConditionLate, "See the other problems; run a backup by hand meanwhile.",
			"No backup has succeeded for %s, and %s is the most that is allowed: %s.", ago(a.now.Sub(waited)), ago(allowed), last)
	}
	if a.LastSuccess == nil && !a.wrong() && a.readable("auto_backup.runs") {
		when := "none is due"
		if len(a.NextRuns) > 0 {
			when = "the first is due at " + a.NextRuns[0].DueAt.Format(time.RFC3339)
		}
		a.add("never_ran", ConditionNeverRan, "Wait for it, or run a backup now.", "No backup has been made yet; %s.", when)
	}
}

// covered reports whether a due time has an attempt, or a backup was made since.
func (a *assessment) covered(key string, due time.Time) bool {
	if run, ok := a.found.Latest[key]; ok && !run.DueAt.Before(due) {
		return true
	}
	for _, run := range a.found.Latest {
		if run.Trigger == "catch_up" && run.RequestedAt.After(due) {
			return true
		}
	}
	s := a.LastSuccess
	return s != nil && s.FinishedAt.After(due) || slices.ContainsFunc(a.found.UnderWay, func(r openRun) bool { return r.RequestedAt.After(due) })
}

// clocks compares the database's clock with the asker's.
func (a *assessment) clocks() {
	if a.query.Clock.IsZero() || a.found.Now.IsZero() {
		return
	}
	if apart := a.query.Clock.Sub(a.found.Now).Abs(); apart > clockPatience {
		a.remark("clock_skew", "Set the clock of the machine that runs Terraform.", "The clock of this machine and that of the database are %s apart; ages are by the database's clock.", ago(apart))
	}
}

// legacy is the status of jobs that make backups past the dispatcher.
func (a *assessment) legacy(jobs []Job) {
	a.remark("legacy", "Install `aimindset_auto_backup` with `adopt_existing = true`: it takes the jobs over.",
		"The backups are made by %s, without retry, without proof and without an alert when they fail.", names(jobs))
	a.scheduler()
	var timed []schedule.Timed
	active := 0
	var latest time.Time
	var due string
	for _, job := range jobs {
		if !job.Active {
			a.remark("job_inactive", "Activate the job, or remove it.", "The job %s is switched off.", job.Name)
			continue
		}
		active++
		if last, ok := a.found.Ticks[job.ID]; ok && last.Status == "failed" {
			a.add("tick_failed", ConditionFailing, "Correct the job's command.", "The latest tick of the job %s failed: %s.", job.Name, oneLine(last.Message))
		}
		expression, err := schedule.Parse(job.Schedule)
		if err != nil {
			continue
		}
		timed = append(timed, schedule.Timed{Expr: expression, Location: time.UTC})
		for _, next := range expression.Next(time.UTC, a.now, 1) {
			a.NextRuns = append(a.NextRuns, NextRun{Schedule: job.Name, DueAt: next})
		}
		if at, ok := expression.Latest(time.UTC, a.now.AddDate(-1, 0, 0), a.now.Add(-duePatience)); ok && at.After(latest) {
			latest, due = at, job.Name
		}
	}
	slices.SortStableFunc(a.NextRuns, func(x, y NextRun) int { return x.DueAt.Compare(y.DueAt) })
	if active == 0 {
		a.add("job_inactive", ConditionLate, "Activate a job, or install `aimindset_auto_backup`.", "Every job that would make a backup is switched off.")
	}
	allowed := legacyPatience
	if len(timed) > 0 {
		allowed = schedule.LongestGap(timed) + overdueMargin
	}
	if !a.readable("public.backup_logs") {
		means := ConditionHealthy
		if a.found.Relations["public.backup_logs"] == "missing" || a.found.Relations["public.backup_logs"] == "altered" {
			means = ConditionFailing
		}
		a.add("not_readable", means, "Read as a role that may read public.backup_logs, or restore it.", "public.backup_logs, the only trace of such backups, cannot be read: it is %s.", a.found.Relations["public.backup_logs"])
		return
	}
	if a.found.LastLog == nil || a.found.LastLog.Newest == nil {
		a.add("never_ran", ConditionNeverRan, "Find out what the job's request is answered, or install `aimindset_auto_backup`.",
			"public.backup_logs has no row of action_type 'backup': the jobs have left no trace of a backup, whatever pg_cron says of their ticks.")
		if active > 0 && !latest.IsZero() && a.ticked(jobs) {
			a.add("no_backup", ConditionFailing, "Install `aimindset_auto_backup` with `adopt_existing = true`.",
				"pg_cron ran the job %s, which was due at %s, and no backup came of it.", due, stamp(latest))
		}
		return
	}
	newest := a.found.LastLog.Newest
	a.LastRun = a.found.LastLog.Newest.run()
	a.History = []Run{*a.LastRun}
	if !newest.Success {
		a.Failures = 1
		a.add("backup_failed", ConditionFailing, "Correct the cause that the message names.", "The latest backup, of %s, failed: %s.", stamp(newest.At), strings.TrimSuffix(oneLine(newest.Details), "."))
	}
	if s := a.found.LastLog.Success; s != nil {
		a.LastSuccess = s.run()
		if age := a.now.Sub(s.At); active > 0 && age > allowed {
			a.add("overdue", ConditionLate, "Install `aimindset_auto_backup` with `adopt_existing = true`.",
				"No backup has succeeded for %s; the jobs' schedules allow %s.", ago(age), ago(allowed))
		}
	}
}

// ticked reports whether any of the jobs has ticked.
func (a *assessment) ticked(jobs []Job) bool {
	return slices.ContainsFunc(jobs, func(j Job) bool { _, ok := a.found.Ticks[j.ID]; return ok })
}

func (l logRow) run() *Run {
	run := &Run{State: "failed", FinishedAt: l.At, Records: l.Records, WhatHappened: oneLine(l.Details), Log: "written by the backup function"}
	if l.Success {
		run.State = "succeeded"
	}
	return run
}

// problemRunning is the inner code of a backup under way, which is no problem.
const problemRunning = ""

// conclude finds the condition and says it in one sentence.
func (a *assessment) conclude() {
	a.Condition = ConditionHealthy
	var kept []Problem
	for _, p := range a.Problems {
		if p.Means.rank() < a.Condition.rank() {
			a.Condition = p.Means
		}
		same := func(other Problem) bool {
			return other.Code == p.Code && other.Means == p.Means && other.Message == p.Message
		}
		if p.Code != problemRunning && !slices.ContainsFunc(kept, same) {
			kept = append(kept, p)
		}
	}
	slices.SortStableFunc(kept, func(x, y Problem) int { return cmp.Compare(x.Means.rank(), y.Means.rank()) })
	a.Problems = kept
	a.Summary = a.summary()
}

func (a *assessment) summary() string {
	last := ""
	if s := a.LastSuccess; s != nil {
		records := ""
		if s.Records != nil {
			records = fmt.Sprintf(" with %d records", *s.Records)
		}
		last = fmt.Sprintf("the last one succeeded %s ago, at %s%s", ago(a.now.Sub(s.FinishedAt)), stamp(s.FinishedAt), records)
	}
	more := ""
	if n := len(a.Problems) - 1; n == 1 {
		more = " (and 1 more problem)"
	} else if n > 1 {
		more = fmt.Sprintf(" (and %d more problems)", n)
	}
	lead := fmt.Sprintf("Backup %s of project %s ", a.ID.Name, a.ID.ProjectRef)
	var words string
	switch a.Condition {
	case ConditionHealthy:
		return lead + "is healthy: " + cmp.Or(last, "none is due") + "."
	case ConditionRunning:
		return lead + "is running: an attempt is under way" + prefixed("; ", last) + "."
	case ConditionNotInstalled:
		words = "is not installed"
	case ConditionSchedulerDown:
		words = "does not tick"
	case ConditionFailing:
		words = "is failing"
	case ConditionLate:
		words = "is late"
	case ConditionNeverRan:
		words = "has not run yet"
	}
	first := cmp.Or(a.Problems[0].lead, a.Problems[0].Message)
	return lead + words + ": " + strings.TrimSuffix(lowerFirst(first), ".") + more + "."
}

// readSchedule reads a schedule of the settings.
func readSchedule(s Schedule) (schedule.Expr, *time.Location, error) {
	expression, err := schedule.Parse(s.Cron)
	if err != nil {
		return schedule.Expr{}, nil, err
	}
	location, err := schedule.LoadZone(s.Zone)
	return expression, location, err
}

// remedyFor says what to do about a failed run, by its code.
func remedyFor(code string) string {
	switch code {
	case "token_missing", "token_invalid", "unauthorized", "token_not_configured", "bad_config", "bad_request", "wrong_backup",
		"method_not_allowed", "request_too_large", "unexpected_answer", "http_401", "http_403", "http_404", "not_dispatched":
		return "Run `terraform apply`, then a backup by hand."
	case "not_sent", "no_answer":
		return "Look whether pg_net's worker runs (`select net.check_worker_is_up()`), then run a backup by hand."
	case "http_402":
		return "Settle the bill or raise the spend cap in the organization's settings."
	case "timeout", "unreachable", "http_429", "http_503", "http_504", "http_546":
		return "Look at the project's state and at the function's logs in the dashboard, then run a backup by hand."
	case "interrupted", "function_failed", "log_unreadable", "internal":
		return "Look at the function's logs in the dashboard, and run a backup by hand if the panel shows none."
	case "log_rejected", "log_unreachable":
		return "Look at the tables backup_logs and system_logs, at their rights and constraints, and at the project's API keys."
	case "backup_failed", "backup_empty", "backup_unverified", "rpc_http", "rpc_timeout", "rpc_unreachable":
		return "Correct the cause that the message names in the application's backup function or tables, then run a backup by hand."
	}
	if strings.HasPrefix(code, "http_") {
		return "Look at the project's state and at the function's logs in the dashboard, then run a backup by hand."
	}
	return "Correct the cause that the message names, then run a backup by hand."
}

// stamp writes a time as RFC 3339 in UTC, to the second.
func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// ago writes a length of time for a reader: its two largest units.
func ago(d time.Duration) string {
	d = max(d, 0)
	days, hours, minutes := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min", minutes)
	}
	return fmt.Sprintf("%d s", int(d/time.Second))
}

func names(jobs []Job) string {
	var list []string
	for _, j := range jobs {
		list = append(list, j.Name+" ("+j.Schedule+")")
	}
	word := "the job "
	if len(list) > 1 {
		word = "the jobs "
	}
	return word + strings.Join(list, ", ")
}

// firstLine is the message of an error of SQL without what PostgreSQL adds to it.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return oneLine(line)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// firstSentence cuts what the ledger's view says after what happened.
func firstSentence(text string) string {
	for _, rest := range []string{" No backup has succeeded since.", " A later backup succeeded."} {
		text = strings.TrimSuffix(text, rest)
	}
	return text
}

func lowerFirst(text string) string {
	if len(text) > 1 && text[1] >= 'a' && text[1] <= 'z' {
		return strings.ToLower(text[:1]) + text[1:]
	}
	return text
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
