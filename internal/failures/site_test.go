package failures_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// alerts is the sample application's function that sends alerts.
const alerts = "alert-processor"

// site is one installed backup in a project on the local stack, with what it
// takes to break it, to move its clock and to look at what is left.
type site struct {
	ctx     context.Context
	stack   *stack.Stack
	service *install.Service
	owner   *pgxpool.Pool // role postgres, as which the jobs run
	admin   *pgxpool.Pool // superuser, as somebody else
	name    backup.Name
	// due is when the backup of a row is due. All times of a row follow from it.
	due time.Time
	// netDown says that pg_net's worker was stopped and is not waited for.
	netDown bool
	// rpc is the application's backup function as it was.
	rpc string
	// settings is what the backup of the present row is.
	settings backup.Settings
	// undo restores what a row broke, last thing first.
	undo []func()
	// gone are the runs whose process was killed, which are not waited for.
	gone map[string]bool
	// mails is how many e-mails had been sent when the row began.
	mails int
	// status is the status while the cause persisted.
	status string
	// unclear are the faults of what was answered then.
	unclear []string
	summary string
	// ticks says that the row's tick is the real pg_cron's.
	ticks bool
}

func (s *site) failf(format string, args ...any) {
	stack.Failf(format, args...)
}

func (s *site) must(err error) { stack.Must(err) }

// newProject starts a stack with few rows to back up. Where the clock is the
// test's, the real pg_cron must not tick between: it finds no way to the database.
func newProject(ctx context.Context, ticks bool) (*stack.Stack, error) {
	project, err := stack.Start(ctx, stack.Options{Articles: 20, RateLimit: -1})
	if err != nil || ticks {
		return project, err
	}
	_, err = project.Admin().Exec(ctx, `alter system set cron.host = '/nonexistent'`)
	if err == nil {
		err = project.RestartPostgres(ctx, false)
	}
	if err != nil {
		return nil, errors.Join(err, project.Close())
	}
	project.Admin().Reset()
	return project, nil
}

// newSite prepares one backup in a project, without installing it.
func newSite(ctx context.Context, project *stack.Stack, name backup.Name, due time.Time) (*site, error) {
	owner, err := pgxpool.New(ctx, project.DatabaseURL+"&pool_max_conns=3&timezone=UTC")
	if err != nil {
		return nil, err
	}
	client, err := supabase.New(supabase.Config{BaseURL: project.APIURL, Token: project.AccessToken, UserAgent: "failures"})
	if err != nil {
		return nil, err
	}
	s := &site{
		ctx: ctx, gone: map[string]bool{}, stack: project, owner: owner, admin: project.Admin(), name: name, due: due,
		service: install.NewService(project.ProjectRef, client, postgres.OverAPI(supabase.ProjectSQL{Client: client, Ref: project.ProjectRef})),
	}
	err = s.admin.QueryRow(ctx, `select pg_get_functiondef('public.backup_all_data()'::regprocedure)`).Scan(&s.rpc)
	return s, err
}

// defaults returns the settings of a backup without configuration.
func (s *site) defaults(cron, timezone string) backup.Settings {
	schedule, err := backup.CompileSchedule(cron, nil, timezone, true, s.due)
	s.must(err)
	schedules := map[string]backup.Schedule{backup.DefaultScheduleKey: schedule}
	overdue, err := backup.OverdueAfter(schedules)
	s.must(err)
	return backup.Settings{
		Timezone: timezone, Schedules: schedules,
		Function: backup.FunctionSettings{URL: backup.FunctionURL(s.stack.ProjectURL, s.name.Slug()), RPC: backup.DefaultRPC},
		Alert: backup.AlertSettings{
			Enabled: true, Function: alerts, URL: backup.FunctionURL(s.stack.ProjectURL, alerts),
			Source: backup.DefaultAlertSource, OverdueAfterSeconds: int64(overdue.Seconds()),
		},
		Retry:   backup.RetrySettings{Attempts: backup.DefaultRetryAttempts, DelaySeconds: int64(backup.DefaultRetryDelay.Seconds())},
		Secrets: []string{},
	}
}

// patience replaces limits of the deployed function: a row that shows a timeout
// should not have to wait for one of minutes.
var patience = map[string]map[string]any{
	"config.json": {"rpc_timeout_ms": 4000},
	"contract.json": {
		"alert_timeout_ms": 4000, "settle_timeout_ms": 3000, "settle_interval_ms": 100, "write_retry_delay_ms": 50,
	},
}

// source returns the provider's function with shorter limits.
func (s *site) source() source.Source {
	source := backup.BuiltInSource(s.name, s.settings)
	source.Files = maps.Clone(source.Files)
	for file, limits := range patience {
		var document map[string]any
		s.must(json.Unmarshal(source.Files[file], &document))
		place := document
		if nested, ok := document["limits"].(map[string]any); ok {
			place = nested
		}
		for limit, value := range limits {
			if _, ok := place[limit]; !ok {
				s.failf("%s has no %s", file, limit)
			}
			place[limit] = value
		}
		text, err := json.Marshal(document)
		s.must(err)
		source.Files[file] = text
	}
	return source
}

// apply is "terraform apply": it installs the backup, or repairs what differs.
func (s *site) apply() {
	found, err := s.service.Observe(s.ctx, s.name, backup.Known{})
	s.must(err)
	spec := backup.Spec{
		ID: backup.ID{ProjectRef: s.service.Ref, Name: s.name}, Settings: s.settings, Source: s.source(),
		ExtendLogConstraint: true, Adopt: true,
	}
	_, err = s.service.Apply(s.ctx, spec, found, func(backup.Part) {})
	s.must(err)
}

// repair undoes what the current row broke in the project, and applies.
func (s *site) repair() {
	for _, undo := range slices.Backward(s.undo) {
		undo()
	}
	s.undo = nil
	s.stack.InterceptProject(nil)
	s.stack.FailEmails(0)
	s.stack.BreakFunction(s.name.Slug(), false)
	if s.netDown {
		s.must(s.stack.StartNetWorker(s.ctx))
		s.netDown = false
	}
	s.sql(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator' and state <> 'idle'`)
	if !slices.Equal(s.texts(`select coalesce(pg_get_functiondef(to_regprocedure('public.backup_all_data()')), '')`), []string{s.rpc}) {
		s.exec(s.owner, s.rpc)
	}
	s.apply()
}

// ask reads the status as of a time, in the words of the table: the state, and
// the codes of the problems. Who asks knows nothing from before, and may only
// read.
func (s *site) ask(at time.Time) (string, health.Status) {
	if !s.ticks {
		s.forgetTicks()
	}
	client, err := supabase.New(supabase.Config{BaseURL: s.stack.APIURL, Token: s.stack.ReadOnlyAccessToken, UserAgent: "failures"})
	s.must(err)
	service := install.NewService(s.service.Ref, client, postgres.OverAPI(supabase.ProjectSQL{Client: client, Ref: s.service.Ref}))
	status, err := health.Read(s.ctx, service, health.Query{
		ID: backup.ID{ProjectRef: s.service.Ref, Name: s.name}, History: 10, FunctionURL: backup.FunctionURL(s.stack.ProjectURL, s.name.Slug()), At: at,
	})
	s.must(err)
	return inWords(status), status
}

// inWords returns a status in the notation of the table.
func inWords(status health.Status) string {
	text, separator := "`"+string(status.Condition)+"`", ": "
	for _, p := range status.Problems {
		text += separator + "`" + p.Code + "`"
		separator = ", "
	}
	return text
}

// forgetTicks removes the ticks of the real pg_cron, which found no way to the
// database, where the clock is the test's: they belong to no time of a row.
func (s *site) forgetTicks() {
	if s.holds(`to_regclass('cron.job_run_details') is not null`) {
		s.sql(`delete from cron.job_run_details where start_time is null`)
	}
}

// showsStatus asks while the cause of the row lasts.
func (s *site) showsStatus(at time.Time) {
	if s.ticks {
		s.watchdogTicks(true)
		defer s.watchdogTicks(false)
	}
	var status health.Status
	s.status, status = s.ask(at)
	for _, p := range status.Problems {
		if p.Code == "" || p.Message == "" || p.Remedy == "" || personal.MatchString(p.Message+p.Remedy) {
			s.unclear = append(s.unclear, fmt.Sprintf("the problem %+v is not fit to be shown", p))
		}
	}
	if status.Summary == "" || strings.Contains(status.Summary, "\n") || !strings.HasSuffix(status.Summary, ".") {
		s.unclear = append(s.unclear, fmt.Sprintf("the summary is not a sentence: %q", status.Summary))
	}
	s.summary = status.Summary
}

// watchdogTicks switches the watchdog's job.
func (s *site) watchdogTicks(on bool) {
	s.exec(s.owner, `select cron.alter_job(jobid, active := $2) from cron.job where jobname = $1`, s.name.Job(backup.WatchdogKey), on)
}

// begin clears the project of the row before and installs the backup, one hour
// before it is due.
func (s *site) begin(settings backup.Settings) {
	s.settings = settings
	s.repair()
	s.clear()
	s.mails = len(s.stack.Emails())
	s.status, s.unclear = "", nil
}

// clear removes everything about runs.
func (s *site) clear() {
	s.sql(`
		delete from net.http_request_queue;
		delete from net._http_response;
		delete from public.backup_logs;
		delete from public.system_logs where type like 'auto_backup%' or type in ('backup', 'error', 'alert_generated');
		delete from cron.job_run_details;
		delete from auto_backup.runs;
		delete from auto_backup.incidents;
		delete from auto_backup.drills;
		delete from auto_backup.schedules;
		delete from auto_backup.notices;
		delete from auto_backup.channels;
		delete from auto_backup.watchdog`)
	s.sql(`update auto_backup.settings set created_at = $1, updated_at = $1`, s.due.Add(-time.Hour))
}

func (s *site) exec(db *pgxpool.Pool, sql string, args ...any) {
	if _, err := db.Exec(s.ctx, sql, args...); err != nil {
		s.failf("%w\nin: %.200s", err, sql)
	}
}

// sql runs SQL outside Terraform.
func (s *site) sql(sql string, args ...any) { s.exec(s.admin, sql, args...) }

// breaks does something in the database and undoes it when the row is over.
func (s *site) breaks(sql, undo string) {
	s.sql(sql)
	s.undo = append(s.undo, func() { s.sql(undo) })
}

// rpcIs replaces the application's backup function until the row is over.
func (s *site) rpcIs(body string) {
	s.exec(s.owner, `create or replace function public.backup_all_data() returns json language plpgsql security definer
		set search_path = public as $rpc$ begin `+body+` end $rpc$`)
}

// texts reads one column.
func (s *site) texts(sql string, args ...any) []string {
	rows, err := s.admin.Query(s.ctx, sql, args...)
	s.must(err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.failf("%w\nin: %.200s", err, sql)
	}
	return values
}

// await waits until a condition is true. The limit ends a hanging test; a slow machine
// does not reach it.
func (s *site) await(what string, condition func() bool) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			s.failf("waited too long for %s", what)
		case <-ticker.C:
		}
	}
}

// holds reports the boolean result of a query.
func (s *site) holds(sql string, args ...any) bool {
	var answer bool
	if err := s.admin.QueryRow(s.ctx, "select "+sql, args...).Scan(&answer); err != nil {
		s.failf("%w\nin: %.200s", err, sql)
	}
	return answer
}

// tick runs the command of the daily job, at the time when it is due.
func (s *site) tick(at time.Time) error {
	_, err := s.owner.Exec(s.ctx, `select auto_backup.dispatch($1, 'daily', $2)`, s.name, at)
	return err
}

// watch runs the command of the watchdog's job.
func (s *site) watch(at time.Time) error {
	_, err := s.owner.Exec(s.ctx, `select auto_backup.watch($1, $2)`, s.name, at)
	return err
}

// settle waits until everything that is under way has come to its end: every
// request of pg_net has its answer, and every run that the function has taken
// is over, or the function is gone.
func (s *site) settle() {
	if s.netDown || s.holds(`to_regclass('net.http_request_queue') is null`) {
		return
	}
	s.await("pg_net", func() bool { return s.holds(`not exists (select from net.http_request_queue)`) })
	for _, run := range s.taken() {
		s.await("the end of a run", func() bool { return s.gone[run] || s.ended(run) || s.stack.FunctionProcesses(s.name.Slug()) == 0 })
	}
}

// taken returns the runs that the function has accepted.
func (s *site) taken() []string {
	return s.texts(`
		select r.run_id::text from net._http_response a inner join auto_backup.runs r on a.content like '%' || r.run_id || '%'
		where r.backup = $1 and a.status_code = 202`, s.name)
}

// forget tells the site that the runs in progress will not end.
func (s *site) forget() {
	s.await("the answers", func() bool { return s.holds(`not exists (select from net.http_request_queue)`) })
	for _, run := range s.taken() {
		s.gone[run] = true
	}
}

// reachesWallClock makes the platform warn the function that its time is over, and
// kill it when it has logged that.
func (s *site) reachesWallClock() {
	const logged = `select details from public.backup_logs where action_type = 'auto_backup'`
	before := s.texts(logged)
	ended := make(chan struct{})
	go func() {
		s.stack.TerminateFunction(s.name.Slug(), "wall_clock", time.Hour)
		close(ended)
	}()
	s.await("the trace of an interrupted run", func() bool {
		return s.holds(`exists (select from public.system_logs where type = 'auto_backup_error' and context ->> 'code' = 'interrupted')`) &&
			!slices.Equal(s.texts(logged), before)
	})
	s.stack.KillFunction(s.name.Slug())
	<-ended
}

// ended reports whether the function has logged how a run ended.
func (s *site) ended(run string) bool {
	log := s.stack.FunctionLogs(s.name.Slug())
	return strings.Contains(log, "run "+run+": succeeded") || strings.Contains(log, "run "+run+": failed")
}

// outcome is what a row leaves behind, in the notation of the table.
type outcome struct {
	runs  string
	rows  string
	alert string
}

// look reads what a row leaves behind, and checks what must be true for every row.
func (s *site) look() (seen outcome, wrong []string) {
	runs := s.texts(`
		select r.trigger || ' ' || r.state || coalesce(' `+"`'"+` || r.code || '`+"`'"+`, '')
			|| coalesce(' (' || regexp_replace(replace(r.tick, $1::text, 'auto-backup'), ' HINT:.*', '') || ')', '')
		from auto_backup.runs r where r.backup = $1::text order by r.due_at, r.attempt`, s.name)
	seen.runs = cmpOr(count(runs), "no run")
	if s.holds(`exists (select from auto_backup.incidents where backup = $1 and kind = 'overdue')`, s.name) {
		seen.runs += "; overdue"
	}
	if drills := count(s.texts(`
		select d.state || coalesce(' `+"`'"+` || d.code || '`+"`'"+`, '') from auto_backup.drills d where d.backup = $1 order by d.drill_id`, s.name)); drills != "" {
		seen.runs += "; drill: " + drills
	} else if s.holds(`exists (select from auto_backup.incidents where backup = $1 and kind = 'drill')`, s.name) {
		seen.runs += "; drill overdue"
	}

	var panel, events []string
	if s.holds(`to_regclass('public.backup_logs') is not null`) {
		panel = s.texts(`
			select case
				when l.success then 'finished'
				when l.details like 'Backup automático iniciado em %' then 'begun'
				when l.details like 'Backup automático falhou: %' then 'failed'
				when l.details like 'Backup automático interrompido: %' then 'interrupted'
				else l.details
			end
			from public.backup_logs l inner join auto_backup.runs r on r.run_id = l.id
			where r.backup = $1 order by r.due_at, r.attempt`, s.name)
		// Another backup of the project may be between its log and the watchdog's look.
		wrong = append(wrong, s.texts(`
			select 'backup_logs claims a success of a run that is ' || coalesce(r.state, 'unknown')
			from public.backup_logs l left join auto_backup.runs r on r.run_id = l.id
			where l.action_type = 'auto_backup' and l.success and r.state is distinct from 'succeeded'
				and (r.backup = $1 or r.backup is null)`, s.name)...)
	}
	if s.holds(`to_regclass('public.system_logs') is not null`) {
		events = s.texts(`
			select '`+"`'"+` || l.type || '`+"`'"+` || coalesce(' by the ' || (l.context ->> 'reported_by'), '')
			from public.system_logs l
			where l.type like 'auto\_backup%' and l.context ->> 'backup' = $1 order by l.id`, s.name)
		wrong = append(wrong, s.texts(`
			select 'system_logs claims a success of a run that is ' || coalesce(r.state, 'unknown')
			from public.system_logs l left join auto_backup.runs r on r.run_id::text = l.context ->> 'run_id'
			where l.type = 'auto_backup' and r.state is distinct from 'succeeded'
				and (r.backup = $1 or r.backup is null)`, s.name)...)
		// A success names a stored backup that is really there.
		wrong = append(wrong, s.texts(`
			select 'a success names a backup without rows'
			from public.system_logs l
			where l.type = 'auto_backup' and not exists (
				select from public.backup_articles a where a.backup_id::text = l.context ->> 'backup_id')`)...)
	}
	seen.rows = "`backup_logs`: " + cmpOr(count(panel), "none") + "; `system_logs`: " + cmpOr(count(events), "none")

	incidents := s.texts(`
		select case i.alert_state
			when 'delivered' then 'one, by the ' || i.alerted_by
			when 'not_delivered' then 'recorded as not delivered'
			when 'off' then 'switched off'
			when 'suppressed' then 'no additional one for being overdue'
			else i.alert_state
		end
		from auto_backup.incidents i where i.backup = $1 order by i.kind, i.incident_id`, s.name)
	seen.alert = cmpOr(count(incidents), "none needed")
	wrong = append(wrong, s.texts(`
		select 'the alert of an incident is still ' || i.alert_state
		from auto_backup.incidents i where i.backup = $1 and i.alert_state in ('waiting', 'sent')`, s.name)...)
	wrong = append(wrong, s.texts(`
		select 'a failed run at ' || r.due_at || ' has ' || count(i.incident_id) || ' incidents'
		from auto_backup.runs r
		left join auto_backup.incidents i on i.backup = r.backup and i.kind = 'failed' and i.schedule = r.schedule and i.due_at = r.due_at
		where r.backup = $1 and r.state = 'failed' group by r.run_id having count(i.incident_id) <> 1`, s.name)...)
	wrong = append(wrong, s.texts(`
		select 'a run is still ' || r.state from auto_backup.runs r
		where r.backup = $1 and r.state in ('requested', 'running')`, s.name)...)
	return seen, wrong
}

// rounds is how many e-mails each subscriber has got since the row began.
func (s *site) rounds() map[string]int {
	got := map[string]int{}
	for _, mail := range s.stack.Emails()[s.mails:] {
		if strings.Contains(mail.HTML, "backup automático "+string(s.name)+" ") {
			got[mail.To]++
		}
	}
	return got
}

// count joins texts, equal neighbours as one with their number.
func count(texts []string) string {
	var parts []string
	for i := 0; i < len(texts); {
		n := 1
		for i+n < len(texts) && texts[i+n] == texts[i] {
			n++
		}
		part := texts[i]
		if n > 1 {
			part = fmt.Sprintf("%d × %s", n, part)
		}
		parts = append(parts, part)
		i += n
	}
	return strings.Join(parts, ", ")
}

func cmpOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// personal matches what must not be in a text that anybody can read.
var personal = regexp.MustCompile(`eyJ[\w-]+\.|sb_secret_|\bat \S+\.ts:\d+|X-Backup-Signature|[?&]apikey=`)

// stopNet stops pg_net's worker: requests stay in its queue.
func (s *site) stopNet() {
	s.stack.StopNetWorker()
	s.netDown = true
}

func (s *site) startNet() {
	s.must(s.stack.StartNetWorker(s.ctx))
	s.netDown = false
}

// readOnly makes the database refuse writes, as Supabase does when the disk is
// full, to all but superusers.
func (s *site) readOnly(on bool) {
	if on {
		s.sql(`alter role postgres set default_transaction_read_only = on`)
	} else {
		s.sql(`alter role postgres reset default_transaction_read_only`)
	}
	s.owner.Reset()
}

// stopLauncher stops pg_cron's launcher until the row is over.
func (s *site) stopLauncher() {
	pids := s.texts(`select pid::text from pg_stat_activity where backend_type = 'pg_cron launcher'`)
	if len(pids) != 1 {
		s.failf("pg_cron has %d launchers", len(pids))
	}
	pid, err := strconv.Atoi(pids[0])
	s.must(err)
	s.must(syscall.Kill(pid, syscall.SIGSTOP))
	s.undo = append(s.undo, func() { s.must(syscall.Kill(pid, syscall.SIGCONT)) })
}

// until waits for a time.
func (s *site) until(at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
		s.must(s.ctx.Err())
	}
}
