package attacks_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const (
	name   = backup.Name("auto-backup")
	alerts = "alert-processor"
	// canary is the value of a secret of others in the vault, stripe/token.
	canary = "sk_live_canary_0123456789"
	// outsider is a role without rights but CREATE on public.
	outsider = "attacker"
)

// site is a project on the local stack with an installed backup.
type site struct {
	ctx     context.Context
	stack   *stack.Stack
	service *install.Service
	owner   *pgxpool.Pool // role postgres, as which the jobs run
	admin   *pgxpool.Pool // superuser
	// token is the backup's invocation token, which nobody may see.
	token string
	// day is counted so that no two attacks are about the same due time.
	day int
	// mails is how many e-mails had been sent when the attack began.
	mails int
	// netDown says that pg_net's worker was stopped.
	netDown bool
	// undo restores what an attack has changed, last thing first.
	undo []func()
	// captured are the requests that pg_net has sent to the function.
	captured captures
}

// captures are the requests to the backup's function, as pg_net sends them.
type captures struct {
	sync.Mutex
	all []captured
}

type captured struct {
	body, signature string
}

func (s *site) failf(format string, args ...any) {
	stack.Failf(format, args...)
}

func (s *site) must(err error) { stack.Must(err) }

// newSite starts a stack and installs a backup. The clock is the attacks', so the real
// pg_cron must not tick: it finds no way to the database.
func newSite(ctx context.Context) (*site, error) {
	project, err := stack.Start(ctx, stack.Options{Articles: 20, RateLimit: -1})
	if err != nil {
		return nil, err
	}
	s := &site{ctx: ctx, stack: project, admin: project.Admin()}
	err = stack.Steps(func() {
		s.sql(`alter system set cron.host = '/nonexistent'`)
		s.must(project.RestartPostgres(ctx, false))
		s.admin.Reset()
		s.owner, err = pgxpool.New(ctx, project.DatabaseURL+"&pool_max_conns=4&timezone=UTC")
		s.must(err)
		s.service = s.serviceWith(project.AccessToken)
		s.sql(`create role ` + outsider + ` login; grant create, usage on schema public to ` + outsider)
		s.sql(`select vault.create_secret($1, 'stripe/token')`, canary)
		s.apply()
		s.token = s.text(`select decrypted_secret from vault.decrypted_secrets where name = $1`, name.VaultToken())
		if len(s.token) != 43 {
			s.failf("the token has %d characters", len(s.token))
		}
	})
	if err != nil {
		return nil, errors.Join(err, project.Close())
	}
	return s, nil
}

func (s *site) close() error {
	s.owner.Close()
	return s.stack.Close()
}

func (s *site) serviceWith(token string) *install.Service {
	client, err := supabase.New(supabase.Config{BaseURL: s.stack.APIURL, Token: token, UserAgent: "attacks"})
	s.must(err)
	return install.NewService(s.stack.ProjectRef, client, postgres.OverAPI(supabase.ProjectSQL{Client: client, Ref: s.stack.ProjectRef}))
}

// settings are those of a backup without configuration, except that there are no
// retries: each attack is about one run.
func (s *site) settings() backup.Settings {
	schedule, err := backup.CompileSchedule("0 3 * * *", nil, backup.DefaultTimezone, true, time.Now())
	s.must(err)
	schedules := map[string]backup.Schedule{backup.DefaultScheduleKey: schedule}
	overdue, err := backup.OverdueAfter(schedules)
	s.must(err)
	return backup.Settings{
		Timezone: backup.DefaultTimezone, Schedules: schedules,
		Function: backup.FunctionSettings{URL: backup.FunctionURL(s.stack.ProjectURL, name.Slug()), RPC: backup.DefaultRPC},
		Alert: backup.AlertSettings{
			Enabled: true, Function: alerts, URL: backup.FunctionURL(s.stack.ProjectURL, alerts),
			Source: backup.DefaultAlertSource, OverdueAfterSeconds: int64(overdue.Seconds()),
		},
		Retry:   backup.RetrySettings{Attempts: 0, DelaySeconds: 600},
		Secrets: []string{},
	}
}

// source is the provider's function with shorter limits, so that nothing waits long.
func (s *site) source() source.Source {
	source := backup.BuiltInSource(name, s.settings())
	source.Files = maps.Clone(source.Files)
	var contract map[string]any
	s.must(json.Unmarshal(source.Files["contract.json"], &contract))
	maps.Copy(contract["limits"].(map[string]any), map[string]any{
		"settle_timeout_ms": 1000, "settle_interval_ms": 100, "write_retry_delay_ms": 50, "request_timeout_ms": 500,
	})
	text, err := json.Marshal(contract)
	s.must(err)
	source.Files["contract.json"] = text
	return source
}

// apply is "terraform apply".
func (s *site) apply() {
	found, err := s.service.Observe(s.ctx, name, backup.Known{})
	s.must(err)
	_, err = s.service.Apply(s.ctx, s.spec(), found, func(backup.Part) {})
	s.must(err)
}

func (s *site) spec() backup.Spec {
	return backup.Spec{
		ID: backup.ID{ProjectRef: s.stack.ProjectRef, Name: name}, Settings: s.settings(), Source: s.source(),
		ExtendLogConstraint: true, Adopt: true,
	}
}

// begin clears the history.
func (s *site) begin() {
	s.day++
	s.mails = len(s.stack.Emails())
	s.sql(`
		delete from net.http_request_queue;
		delete from net._http_response;
		truncate public.backup_logs, public.system_logs;
		delete from cron.job_run_details;
		delete from auto_backup.runs;
		delete from auto_backup.incidents;
		delete from auto_backup.schedules;
		delete from auto_backup.watchdog`)
	s.sql(`update auto_backup.settings set created_at = $1, updated_at = $1`, s.due().Add(-time.Hour))
	s.stack.InterceptProject(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/functions/v1/"+name.Slug()) && r.Header.Get("X-Backup-Signature") != "" {
				body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
				r.Body = io.NopCloser(bytes.NewReader(body))
				s.captured.Lock()
				s.captured.all = append(s.captured.all, captured{string(body), r.Header.Get("X-Backup-Signature")})
				s.captured.Unlock()
			}
			next.ServeHTTP(w, r)
		})
	})
}

// end undoes what the attack has changed.
func (s *site) end() {
	for _, undo := range slices.Backward(s.undo) {
		undo()
	}
	s.undo = nil
	// Whoever may use pg_cron can have jobs of any name, which run as that role.
	s.sql(`delete from cron.job where username <> 'postgres'`)
	s.stack.InterceptAPI(nil)
	s.startNet()
	s.await("pg_net", func() bool { return s.holds(`not exists (select from net.http_request_queue)`) })
	// What the function still writes would go into the next attack.
	s.await("the function", func() bool {
		log := s.stack.FunctionLogs(name.Slug())
		taken := s.text(`
			select coalesce(string_agg(r.run_id::text, ' '), '') from auto_backup.runs r
			inner join net._http_response p on p.status_code = 202 and p.content like '%' || r.run_id || '%'`)
		for _, run := range strings.Fields(taken) {
			if !strings.Contains(log, "run "+run+": succeeded") && !strings.Contains(log, "run "+run+": failed") {
				return false
			}
		}
		return true
	})
	s.stack.InterceptProject(nil)
}

func (s *site) stopNet() {
	s.stack.StopNetWorker()
	s.netDown = true
}

func (s *site) startNet() {
	if s.netDown {
		s.must(s.stack.StartNetWorker(s.ctx))
		s.netDown = false
	}
}

// due is when the run of the present attack is due.
func (s *site) due() time.Time {
	return time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC).AddDate(0, 0, s.day)
}

func (s *site) exec(db *pgxpool.Pool, sql string, args ...any) {
	if _, err := db.Exec(s.ctx, sql, args...); err != nil {
		s.failf("%w\nin: %.200s", err, sql)
	}
}

// sql runs SQL as superuser.
func (s *site) sql(sql string, args ...any) { s.exec(s.admin, sql, args...) }

// text reads one value as superuser.
func (s *site) text(sql string, args ...any) string {
	var text string
	if err := s.admin.QueryRow(s.ctx, sql, args...).Scan(&text); err != nil {
		s.failf("%w\nin: %.200s", err, sql)
	}
	return text
}

func (s *site) holds(sql string, args ...any) bool {
	return s.text(`select (`+sql+`)::text`, args...) == "true"
}

// await waits until a condition is true. The limit ends a hanging test; a slow machine
// does not reach it.
func (s *site) await(what string, condition func() bool) {
	for started := time.Now(); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Since(started) > 2*time.Minute {
			s.failf("waited too long for %s", what)
		}
	}
}

// claimed is a run that the function has taken and that died half-way: its row in the
// run history and the function's row in backup_logs.
func (s *site) claimed() string {
	run := s.text(`
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, request_id)
		values ($1, 'daily', 'schedule', $2, 1, 'requested', $2, now(), nextval('net.http_request_queue_id_seq')) returning run_id::text`, name, s.due())
	s.sql(`
		insert into public.backup_logs (id, action_type, records_affected, details, success)
		values ($1::uuid, 'auto_backup', 0, 'Backup automático iniciado em 02/03/2026 às 03:00 (America/Sao_Paulo)', false)`, run)
	return run
}

// failed is a run whose failure the function has logged and signed, and whose alert it
// could not send.
func (s *site) failed() string {
	run := s.claimed()
	s.log("auto_backup_error", map[string]any{
		"run_id": run, "backup": string(name), "code": "backup_failed", "error": "motivo", "reported_by": "function", "revision": 2,
		"alert": map[string]any{"state": "not_delivered"},
	})
	return run
}

// oldBackup is the ID of a stored backup of earlier, which anybody can read in the log.
const oldBackup = "5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11"

// log writes to system_logs as the function does.
func (s *site) log(kind string, context map[string]any) {
	context["signature"] = stack.Sign(s.token, stack.OutcomeText(kind, context))
	text, err := json.Marshal(context)
	s.must(err)
	s.sql(`insert into public.system_logs (type, message, context) values ($1, 'm', $2::jsonb)`, kind, string(text))
}

// dispatch is a tick of the daily job.
func (s *site) dispatch() string {
	return s.asOwner(`select coalesce(auto_backup.dispatch($1, 'daily', $2)::text, '')`, name, s.due())
}

func (s *site) asOwner(sql string, args ...any) string {
	var text string
	if err := s.owner.QueryRow(s.ctx, sql, args...).Scan(&text); err != nil {
		s.failf("%w\nin: %.200s", err, sql)
	}
	return text
}

// watch is a tick of the watchdog, that long after the due time.
func (s *site) watch(after time.Duration) string {
	return s.asOwner(`select auto_backup.watch($1, $2)::text`, name, s.due().Add(after))
}

// settle waits until pg_net has sent everything and has the responses.
func (s *site) settle() {
	s.startNet()
	s.await("pg_net", func() bool { return s.holds(`not exists (select from net.http_request_queue)`) })
}

// backupRuns runs a backup through pg_net and the function to its end.
func (s *site) backupRuns() string {
	run := s.dispatch()
	s.awaitEnd(run)
	return run
}

func (s *site) awaitEnd(run string) {
	s.settle()
	s.await("the end of the run", func() bool {
		log := s.stack.FunctionLogs(name.Slug())
		return strings.Contains(log, "run "+run+": succeeded") || strings.Contains(log, "run "+run+": failed")
	})
}

// state is what the run history says of a run.
func (s *site) state(run string) string {
	return s.text(`select concat_ws(' ', state, code) from auto_backup.runs where run_id = $1::uuid`, run)
}

// stored is how many backups are stored.
func (s *site) stored() string {
	return s.text(`select count(distinct backup_id)::text from public.backup_articles`)
}

// noticed checks that a run which did not succeed is recorded as failed, that each
// subscriber gets exactly one e-mail about it, or that it is recorded that they did not,
// and that the status says so.
func (s *site) noticed(run string) error {
	s.watch(20 * time.Minute)
	s.settle()
	s.watch(30 * time.Minute)
	s.settle()
	s.watch(40 * time.Minute)
	var wrong []error
	if state := s.state(run); !strings.HasPrefix(state, "failed ") {
		wrong = append(wrong, fmt.Errorf("the run is %s", state))
	}
	if alert := s.text(`select coalesce((select string_agg(concat_ws(' ', alert_state, alert_error), ', ') from auto_backup.incidents where recovered_at is null), 'none')`); alert != "delivered" {
		wrong = append(wrong, fmt.Errorf("the incident is %s", alert))
	}
	if got := s.rounds(); got != "1 1" {
		wrong = append(wrong, fmt.Errorf("the subscribers have got %s e-mails", got))
	}
	if status := s.status(41 * time.Minute); status.Healthy() {
		wrong = append(wrong, fmt.Errorf("the status is %s: %s", status.Condition, status.Summary))
	}
	return all(wrong...)
}

// rounds are the numbers of e-mails that the subscribers have got about the backup.
func (s *site) rounds() string {
	got := map[string]int{"admin@aimindset.example": 0, "equipe@aimindset.example": 0}
	for _, mail := range s.stack.Emails()[s.mails:] {
		if strings.Contains(mail.HTML, "backup automático "+string(name)+" ") {
			got[mail.To]++
		}
	}
	var counts []string
	for _, address := range slices.Sorted(maps.Keys(got)) {
		counts = append(counts, fmt.Sprint(got[address]))
	}
	return strings.Join(counts, " ")
}

// status reads the status as a read-only token may.
func (s *site) status(after time.Duration) health.Status {
	status, err := s.statusIn(s.ctx, after)
	s.must(err)
	return status
}

func (s *site) statusIn(ctx context.Context, after time.Duration) (health.Status, error) {
	s.sql(`delete from cron.job_run_details where start_time is null`)
	return health.Read(ctx, s.serviceWith(s.stack.ReadOnlyAccessToken), health.Query{
		ID: backup.ID{ProjectRef: s.stack.ProjectRef, Name: name}, History: 10,
		FunctionURL: backup.FunctionURL(s.stack.ProjectURL, name.Slug()), At: s.due().Add(after),
	})
}

// installed is everything about the backup that an attacker may want to change.
func (s *site) installed() string {
	return s.text(`
		select md5(concat_ws(' ',
			(select string_agg(concat_ws(' ', s.backup, s.document, s.function_id), ' ' order by s.backup) from auto_backup.settings s),
			(select string_agg(concat_ws(' ', j.jobname, j.schedule, j.command, j.active, j.username), ' ' order by j.jobname) from cron.job j where j.username = 'postgres'),
			(select string_agg(concat_ws(' ', p.proname, p.proowner, md5(p.prosrc)), ' ' order by p.oid) from pg_proc p where p.pronamespace = 'auto_backup'::regnamespace),
			(select string_agg(v.name || v.decrypted_secret, ' ' order by v.name) from vault.decrypted_secrets v)))`)
}

// leaks checks that a text contains none of the secrets.
func (s *site) leaks(text string) error {
	for what, secret := range map[string]string{
		"the token": s.token, "the service role key": s.stack.ServiceRoleKey, "the secret key": s.stack.SecretKey, "a secret of others": canary,
		"the access token": s.stack.AccessToken, "a secret's digest": hex.EncodeToString(digest(canary)),
	} {
		if secret != "" && strings.Contains(text, secret) {
			return fmt.Errorf("%s is shown", what)
		}
	}
	return nil
}

func digest(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// caller is somebody who attacks with SQL, over whatever way.
type caller interface {
	// try runs statements, each by itself, and returns what they show. One that is
	// refused is no failure, but one that could not succeed for anybody is.
	try(s *site, statements ...string) string
}

// sqlRole is a caller with a session of its own as a role.
type sqlRole string

func (role sqlRole) try(s *site, statements ...string) string {
	conn := s.session(role)
	defer conn.Release()
	defer func() {
		_, _ = conn.Exec(s.ctx, `rollback; reset all; reset role; select pg_advisory_unlock_all(); discard temp`)
	}()
	return s.tries(conn.Conn(), statements...)
}

// session is a connection as a role, until it is released.
func (s *site) session(role sqlRole) *pgxpool.Conn {
	conn, err := s.admin.Acquire(s.ctx)
	s.must(err)
	_, err = conn.Exec(s.ctx, `set role `+string(role)+`; set statement_timeout = '20s'; set lock_timeout = '2s'; set client_min_messages = error`)
	s.must(err)
	return conn
}

// vain are SQLSTATEs of statements that nobody could run.
var vain = []string{"42601", "42703", "42P01", "42883", "22P02", "42804"}

func (s *site) tries(conn *pgx.Conn, statements ...string) string {
	var shown strings.Builder
	for _, statement := range statements {
		results, err := conn.PgConn().Exec(s.ctx, statement).ReadAll()
		for _, result := range results {
			for _, row := range result.Rows {
				for _, value := range row {
					shown.Write(value)
					shown.WriteByte('\n')
				}
			}
		}
		var refused *pgconn.PgError
		switch {
		case err == nil:
		case !errors.As(err, &refused):
			s.failf("%w\nin: %.200s", err, statement)
		case slices.Contains(vain, refused.Code):
			s.failf("nobody could run this: %w\nin: %.300s", err, statement)
		default:
			shown.WriteString(refused.Message + "\n" + refused.Detail + "\n" + refused.Hint + "\n")
		}
	}
	return shown.String()
}

// overAPI is a caller with an access token.
type overAPI struct{ token func(*site) string }

func (c overAPI) try(s *site, statements ...string) string {
	var shown strings.Builder
	for _, statement := range statements {
		for _, path := range []string{"/database/query", "/database/query/read-only"} {
			text, err := json.Marshal(map[string]any{"query": statement})
			s.must(err)
			_, answer := s.send(http.MethodPost, s.stack.APIURL+"/v1/projects/"+s.stack.ProjectRef+path, string(text),
				"Authorization", "Bearer "+c.token(s), "Content-Type", "application/json")
			for _, code := range vain {
				if strings.Contains(answer, "ERROR:  "+code+":") {
					s.failf("nobody could run this: %s\nin: %.300s", answer, statement)
				}
			}
			shown.WriteString(answer + "\n")
		}
	}
	return shown.String()
}

// send sends one HTTP request and returns the status and the first megabyte of the body.
func (s *site) send(method, address, body string, headers ...string) (int, string) {
	request, err := http.NewRequestWithContext(s.ctx, method, address, strings.NewReader(body))
	s.must(err)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	s.must(err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	s.must(err)
	return response.StatusCode, string(text)
}

// restRole is a caller with a key of the project, or none.
type restRole string

// rest sends a request to the Data API.
func (s *site) rest(who restRole, method, path string, body any, headers ...string) (int, string) {
	return s.call(who, method, "/rest/v1/"+path, body, headers...)
}

// call sends a request to the project with the caller's keys.
func (s *site) call(who restRole, method, path string, body any, headers ...string) (int, string) {
	text := ""
	switch b := body.(type) {
	case nil:
	case string:
		text = b
	default:
		encoded, err := json.Marshal(b)
		s.must(err)
		text = string(encoded)
	}
	all := []string{"Content-Type", "application/json"}
	switch who {
	case anon:
		all = append(all, "apikey", s.stack.AnonKey, "Authorization", "Bearer "+s.stack.AnonKey)
	case authenticated:
		all = append(all, "apikey", s.stack.PublishableKey, "Authorization", "Bearer "+s.stack.UserToken())
	case serviceRole:
		all = append(all, "apikey", s.stack.ServiceRoleKey, "Authorization", "Bearer "+s.stack.ServiceRoleKey)
	}
	return s.send(method, s.stack.ProjectURL+path, text, append(all, headers...)...)
}

// fill replaces the names in braces.
func (s *site) fill(run string, statements ...string) []string {
	replacer := strings.NewReplacer("{run}", run, "{backup}", string(name), "{old}", oldBackup, "{project}", s.stack.ProjectURL)
	filled := make([]string, len(statements))
	for i, statement := range statements {
		filled[i] = replacer.Replace(statement)
	}
	return filled
}

// query is a filter of the Data API.
func query(column, value string) string { return "?" + column + "=eq." + url.QueryEscape(value) }
