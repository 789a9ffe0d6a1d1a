package health

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

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
			why = "the role " + a.found.Server.User + " may not read it"
		case "filtered":
			why = "row level security hides rows from the role " + a.found.Server.User
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
	for _, name := range backup.RequiredExtensions {
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
	set := facts.Document{Parameters: a.found.Parameters, RoleParameters: a.found.RoleParameters}
	if readOnly := set.Effective("default_transaction_read_only", backup.JobOwner); slices.Contains([]string{"on", "true", "yes", "1"}, readOnly) {
		a.add("database_read_only", ConditionSchedulerDown, "Free space or enlarge the disk in the project's settings, then switch read-only mode off.",
			"The database is in read-only mode, as Supabase sets it when the disk is full: every tick fails, and neither a backup nor its log can be written.")
	}
	if _, ok := a.found.Extensions["pg_cron"]; !ok {
		return
	}
	for _, job := range a.found.Jobs {
		if !job.Orphaned {
			continue
		}
		orphan := cmp.Or(job.Name, strconv.FormatInt(job.ID, 10)) + " of role " + job.Username
		a.add("job_role_missing", ConditionSchedulerDown,
			"Create the role again, or have Supabase's support remove the job.",
			"The role of the job %s does not exist; pg_cron's scheduler fails over it again and again, so no job of anybody runs.", orphan)
	}
	if n, last := a.found.NewestTick, a.found.RunIDSequence; n != nil && n.RunID != nil && last != nil && *n.RunID > last.LastValue {
		a.add("run_ids_behind", ConditionSchedulerDown,
			"Run `truncate cron.job_run_details` as `postgres`; the scheduler goes on at once.",
			"pg_cron's sequence of run ids stands at %d, and its history has %d already, as after a restore: the scheduler cannot note a run, so no job of anybody runs.", last.LastValue, *n.RunID)
	}
	// Who sees only his own processes may not see the scheduler; then a tick of
	// the last quarter of an hour is proof enough.
	ticking := a.WatchedAt
	if n := a.found.NewestTick; n != nil && n.At.After(ticking) {
		ticking = n.At
	}
	if !a.found.Processes.PgCron && (a.found.Server.SeesProcesses || a.now.Sub(ticking) > schedulerPatience) {
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
func (a *assessment) jobs(legacy []backup.Job) {
	if _, ok := a.found.Extensions["pg_cron"]; !ok || !a.readable("cron.job") {
		return
	}
	wanted := a.spec.Jobs()
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		want := wanted[key]
		means := ConditionLate
		if key == backup.WatchdogKey {
			means = ConditionSchedulerDown
		}
		var job backup.Job
		var ok bool
		var others []backup.Job
		for _, j := range a.found.Jobs {
			switch {
			case j.Name != want.Name:
			case j.Username == backup.JobOwner:
				job, ok = j, true
			default:
				others = append(others, j)
			}
		}
		switch {
		case !ok && len(others) > 0:
			a.add("job_of_other_role", means, applyRemedy+" Then remove the other role's job.",
				"The job %s belongs to role %s instead of %s, which may not run it.", want.Name, others[0].Username, backup.JobOwner)
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
					changes = append(changes, fmt.Sprintf("its %s is %q instead of %q", c[0], text.Line(c[1]), c[2]))
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
		if job.Active && !slices.ContainsFunc(slices.Collect(maps.Values(wanted)), func(w backup.Job) bool { return w.Name == job.Name && w.Username == job.Username }) {
			a.remark("other_job", "Remove the job, or take it over with `adopt_existing`.",
				"The job %s (%s) of role %s makes backups as well, without log, retry or alert.", job.Name, job.Schedule, job.Username)
		}
	}
	if zone, ok := a.found.Parameters["cron.timezone"]; ok && !slices.Contains([]string{"", "GMT", "UTC", "Etc/UTC", "Etc/GMT"}, zone) {
		a.remark("cron_timezone", "Reset `cron.timezone` and restart the database.",
			"pg_cron reads its schedules in %s instead of GMT, so the jobs tick at other times than they should.", zone)
	}
}

// tickOf reports a job whose latest tick failed, as long as that matters: of the
// watchdog while it is silent, of a schedule until a backup is made.
func (a *assessment) tickOf(job backup.Job, key string) {
	last, ok := a.found.Ticks[job.ID]
	if !ok || last.Status != "failed" {
		return
	}
	// pg_cron notes no time where it found no connection.
	at, when := last.At, "at "+stamp(last.At)
	if at.IsZero() {
		when = "at a time that pg_cron did not note"
		if timed, err := readSchedule(a.spec.Settings.Schedules[key]); err == nil {
			at, _ = timed.Expr.Latest(timed.Location, a.now.AddDate(-1, 0, 0), a.now)
		}
	}
	means := ConditionHealthy
	if since, _ := a.watchedSince(); a.now.Sub(since) > watchdogPatience {
		means = ConditionSchedulerDown
	} else if key == backup.WatchdogKey {
		return
	}
	if s := a.LastSuccess; key != backup.WatchdogKey && s != nil && !s.FinishedAt.Before(at) {
		return
	}
	a.add("tick_failed", means, "Correct what the message names. "+launcherTrace,
		"The latest tick of the job %s, %s, failed: %s.", job.Name, when, strings.TrimSuffix(text.FirstLine(last.Message), "."))
}

// token compares the token's two homes.
func (a *assessment) token() {
	name := a.ID.Name
	if _, ok := a.found.Extensions["supabase_vault"]; ok && a.found.Vault != nil {
		if _, ok := a.found.Vault[name.VaultToken()]; !ok {
			a.add("vault_token_missing", ConditionFailing, applyRemedy, "The invocation token is missing in vault: there is no secret %s, so no request can be made.", name.VaultToken())
		} else if a.found.TokenDigest != nil && a.found.TokenDigest.Digest == "" {
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
	case f.Status != backup.StatusActive:
		a.add("function_status", ConditionFailing, "Look at the function's usage and logs in the dashboard.", "The Edge Function %s is %s instead of %s, so it does not answer.", slug, f.Status, backup.StatusActive)
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
		if a.LastRun != nil && a.LastRun.State == history.Failed {
			means = ConditionFailing
		}
		a.add("function_url", means, applyRemedy+" If the address is right, set the provider's `project_url`.", "The function is called at %s, not at %s.", url, a.query.FunctionURL)
	}
}

var addressPattern = regexp.MustCompile(`^https?://[^/\s]+`)

// application judges what the function needs of the application.
func (a *assessment) application() {
	for _, c := range a.found.LogConstraints {
		if c.Table == "backup_logs" && !c.Admits {
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
	if !a.found.Processes.PgNet && a.found.Server.SeesProcesses {
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
		a.remark("watchdog_hindered", "Correct what the message names.", "Something stood in the watchdog's way: %s.", strings.TrimSuffix(text.Line(strings.Join(n.Problems, "; ")), "."))
	}
}

// storesGenerations reports whether the backup is one whose tables are known.
func (a *assessment) storesGenerations() bool {
	f := a.spec.Settings.Function
	return f.RPC == backup.DefaultRPC || f.VerifyTable != nil
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
	case f.Status != backup.StatusActive:
		a.remark("alert_function_status", "Look at the function's usage and logs in the dashboard.", "The Edge Function %s, which sends the alerts, is %s instead of %s.", alert.Function, f.Status, backup.StatusActive)
	}
	if a.found.Vault != nil {
		if _, ok := a.found.Vault[a.ID.Name.VaultAlertKey()]; !ok {
			a.remark("alert_key_missing", applyRemedy, "The vault secret %s is missing, so the watchdog may not be able to send alerts itself.", a.ID.Name.VaultAlertKey())
		}
	}
	if alert.Function == backup.DefaultAlertFunction {
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
			"The alert about the incident of %s was not delivered to every subscriber: %s.", stamp(i.OpenedAt), strings.TrimSuffix(text.Line(why), "."))
	}
}

// clocks compares the database's clock with the asker's.
func (a *assessment) clocks() {
	if a.query.Clock.IsZero() || a.found.Server.Now.IsZero() {
		return
	}
	if apart := a.query.Clock.Sub(a.found.Server.Now).Abs(); apart > clockPatience {
		a.remark("clock_skew", "Set the clock of the machine that runs Terraform.", "The clock of this machine and that of the database are %s apart; ages are by the database's clock.", ago(apart))
	}
}
