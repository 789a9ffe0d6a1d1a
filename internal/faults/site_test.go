package faults_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const name backup.Name = backup.DefaultName

// place is what a process needs to work on the backup. It is passed to a process that
// will be killed.
type place struct {
	APIURL, Token, Ref, ProjectURL string
	// DatabaseURL is empty if SQL goes through the Management API.
	DatabaseURL string
	// Process describes the process. LeaseTime is how long others wait for it when
	// it dies; 0 means the provider's default.
	Process   string
	LeaseTime time.Duration
	// Log receives what is waited for. A victim has none.
	Log *slog.Logger `json:"-"`
	// Later is the path of a file. Once it exists, the process's clock is two hours
	// ahead, as after the machine was suspended.
	Later string
}

// service returns a new service of a project, like that of a new process.
func (p place) service() (*install.Service, func(), error) {
	client, err := supabase.New(supabase.Config{BaseURL: p.APIURL, Token: p.Token, UserAgent: "faults", Logger: p.Log})
	if err != nil {
		return nil, nil, err
	}
	db := postgres.OverAPI(supabase.ProjectSQL{Client: client, Ref: p.Ref})
	if p.DatabaseURL != "" {
		if db, err = postgres.Open(p.DatabaseURL); err != nil {
			return nil, nil, err
		}
	}
	service := install.NewService(p.Ref, client, db)
	service.Process, service.LeaseTime, service.Log = p.Process, p.LeaseTime, p.Log
	if p.Later != "" {
		service.Now = func() time.Time {
			if _, err := os.Stat(p.Later); err != nil {
				return time.Now()
			}
			return time.Now().Add(2 * time.Hour)
		}
	}
	return service, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = db.Close(ctx)
		client.Close()
	}, nil
}

// patience ends a hanging wait. A slow machine does not reach it.
const patience = 2 * time.Minute

// removeSecrets removes secrets manually.
func (p place) removeSecrets(ctx context.Context, names ...string) error {
	client, err := supabase.New(supabase.Config{BaseURL: p.APIURL, Token: p.Token, UserAgent: "faults"})
	if err != nil {
		return err
	}
	defer client.Close()
	return client.DeleteSecrets(ctx, p.Ref, names)
}

// An aim is the intended result of an operation.
type aim struct {
	// Gone removes it.
	Gone bool
	// Variant is one of two configurations that differ in every part.
	Variant int
	// Rotate replaces the token, Adopt adopts existing objects.
	Rotate, Adopt bool
	// Known says that a state has the backup.
	Known bool
}

// source returns the source of the alerts of a variant, which its function knows.
func source(variant int) string { return fmt.Sprintf("Falha %d", variant) }

// The signing secrets of the webhooks of both variants.
const (
	firstSigning  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secondSigning = "whsec_QkFTSUMgU0VDUkVUIE9GIFRIRSBURVNU"
)

// channels are the vault's secrets of the heartbeat and of the webhooks of both variants,
// as many of each: the calls of an update are the same in both directions.
var channels = []map[string]string{
	{"auto-backup/heartbeat": "https://ping.example/1", "auto-backup/webhook/first": "https://hooks.example/1", "auto-backup/webhook-secret/first": firstSigning},
	{"auto-backup/heartbeat": "https://ping.example/2", "auto-backup/webhook/second": "https://hooks.example/2", "auto-backup/webhook-secret/second": secondSigning},
}

func (a aim) spec(p place) (backup.Spec, error) {
	crons := []map[string]string{
		{"daily": "0 3 * * *", "weekly": "0 4 * * 0"},
		{"daily": "30 2 * * *", "monthly": "0 5 1 * *"},
	}[a.Variant]
	schedules, at := map[string]backup.Schedule{}, time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	for key, cron := range crons {
		s, err := backup.CompileSchedule(cron, nil, backup.DefaultTimezone, key == "daily", at)
		if err != nil {
			return backup.Spec{}, err
		}
		schedules[key] = s
	}
	restored := &backup.DrillSettings{
		TimeoutSeconds: 120, MaxRows: []int64{100_000, 5000}[a.Variant], RequireColumns: [][3]string{}, TablesNamed: true,
		Tables: []drill.Table{{Live: [2]string{"public", "articles"}, Copy: [2]string{"public", "backup_articles"}}},
	}
	var err error
	if restored.Schedule, err = backup.CompileSchedule([]string{"30 4 * * 0", "0 5 * * *"}[a.Variant], nil, backup.DefaultTimezone, true, at); err != nil {
		return backup.Spec{}, err
	}
	if restored.OverdueAfterSeconds, err = restored.OverdueAfter(); err != nil {
		return backup.Spec{}, err
	}
	secrets := []map[string]string{
		{"EXTRA": "first value", "OF_FIRST": "value"}, {"EXTRA": "second value", "OF_SECOND": "value"},
	}[a.Variant]
	settings := backup.Settings{
		Timezone: backup.DefaultTimezone, Schedules: schedules,
		Function: backup.FunctionSettings{URL: backup.FunctionURL(p.ProjectURL, name.Slug()), RPC: backup.DefaultRPC},
		Alert: backup.AlertSettings{
			Enabled: true, Function: backup.DefaultAlertFunction, URL: backup.FunctionURL(p.ProjectURL, backup.DefaultAlertFunction),
			Source: source(a.Variant), OverdueAfterSeconds: 93600,
		},
		Retry:     backup.RetrySettings{Attempts: int64(a.Variant), DelaySeconds: 600},
		Drill:     restored,
		Heartbeat: &notify.Heartbeat{Form: []string{notify.Healthchecks, notify.Plain}[a.Variant], Language: notify.Portuguese},
		Webhooks: map[string]notify.Webhook{
			[]string{"first", "second"}[a.Variant]: {Form: notify.Generic, Events: notify.Events(), Language: notify.Portuguese, Signed: true},
		},
		Secrets: slices.Sorted(maps.Keys(secrets)),
	}
	return backup.Spec{
		ID: backup.ID{ProjectRef: p.Ref, Name: name}, Settings: settings, Source: backup.BuiltInSource(name, settings), Secrets: secrets, Channels: channels[a.Variant],
		ExtendLogConstraint: true, Adopt: a.Adopt, RotateToken: a.Rotate,
	}, nil
}

// pursue performs one operation like the provider.
func (a aim) pursue(ctx context.Context, p place) error {
	service, done, err := p.service()
	if err != nil {
		return err
	}
	defer done()
	known := backup.Known{Managed: a.Known}
	if a.Known {
		known.Keys = []string{"daily", "weekly", "monthly", drill.JobKey, backup.WatchdogKey}
		known.Secrets = []string{"EXTRA", "OF_FIRST", "OF_SECOND"}
		known.Channels = slices.Concat(slices.Collect(maps.Keys(channels[0])), slices.Collect(maps.Keys(channels[1])))
	}
	found, err := service.Observe(ctx, name, known)
	if err != nil {
		return err
	}
	if a.Gone {
		_, err := service.Remove(ctx, found)
		return err
	}
	spec, err := a.spec(p)
	if err != nil {
		return err
	}
	_, err = service.Apply(ctx, spec, found, func(backup.Part) {})
	return err
}

// configuration returns the configuration of an aim, which has the same meaning as its
// spec.
const configuration = `
terraform {
  required_providers {
    aimindset = { source = "aimindset/aimindset" }
  }
}

variable "variant" { type = number }
variable "rotation" { type = number }
variable "adopt" { type = bool }
variable "timeout" { type = string }

resource "aimindset_auto_backup" "this" {
  schedules = [
    { daily = { cron = "0 3 * * *" }, weekly = { cron = "0 4 * * 0", enabled = false } },
    { daily = { cron = "30 2 * * *" }, monthly = { cron = "0 5 1 * *", enabled = false } },
  ][var.variant]
  secrets = [
    { EXTRA = "first value", OF_FIRST = "value" }, { EXTRA = "second value", OF_SECOND = "value" },
  ][var.variant]
  drill = {
    cron     = ["30 4 * * 0", "0 5 * * *"][var.variant]
    max_rows = [100000, 5000][var.variant]
    tables   = { "public.articles" = "public.backup_articles" }
  }
  heartbeat = {
    url  = ["https://ping.example/1", "https://ping.example/2"][var.variant]
    form = ["healthchecks", "plain"][var.variant]
  }
  webhooks = [
    { first = { url = "https://hooks.example/1", form = "generic", signing_secret = "` + firstSigning + `" } },
    { second = { url = "https://hooks.example/2", form = "generic", signing_secret = "` + secondSigning + `" } },
  ][var.variant]
  alert          = { source = "Falha ${var.variant}" }
  retry          = { attempts = var.variant }
  rotate_token   = var.rotation
  adopt_existing = var.adopt
  verify         = "none"
  timeouts       = { create = var.timeout, read = var.timeout, update = var.timeout, delete = var.timeout }
}
`

// site is one project with faults.
type site struct {
	ctx    context.Context
	stack  *stack.Stack
	faulty *stack.FaultyStack
	owner  *pgxpool.Pool // role postgres, as which the jobs run
	place  place
	// dir is Terraform's working directory, nil without Terraform.
	dir *stack.WorkingDirectory
	// rotation counts the rotations.
	rotation int
	// timeout is how long Terraform's operations may take.
	timeout string
	// variant is the configuration that is installed.
	variant int
	// unclaimed says that it was removed what distinguishes the backup's secrets
	// from adopted ones, which a destroy keeps.
	unclaimed bool
	// rule is the original CHECK of the application's log. After the schema was
	// dropped it must be restored manually.
	rule    string
	dropped bool

	mu sync.Mutex
	// lost says why the schedule did not work, the first time that it did not.
	lost string
}

// terraform lists the arguments with which Terraform pursues an aim, or with
// which it plans to.
func (s *site) terraform(command string, a aim) []string {
	args := []string{command, "-no-color", "-input=false"}
	for name, value := range map[string]any{"variant": a.Variant, "rotation": s.rotation, "adopt": a.Adopt, "timeout": s.timeout} {
		args = append(args, fmt.Sprintf("-var=%s=%v", name, value))
	}
	switch {
	case command == "plan" && a.Gone:
		return append(args, "-destroy")
	case command == "apply" && a.Gone:
		return append(args, "-destroy", "-auto-approve")
	case command == "apply":
		return append(args, "-auto-approve")
	}
	return args
}

// newSite starts a project whose pg_cron does not tick.
func newSite(ctx context.Context, direct bool) (*site, error) {
	project, err := stack.Start(ctx, stack.Options{Articles: 5, RateLimit: -1})
	if err != nil {
		return nil, err
	}
	s := &site{ctx: ctx, stack: project}
	if err := s.prepare(direct); err != nil {
		return nil, errors.Join(err, project.Close())
	}
	return s, nil
}

func (s *site) prepare(direct bool) error {
	if _, err := s.stack.Admin().Exec(s.ctx, `alter system set cron.host = '/nonexistent'`); err != nil {
		return err
	}
	if err := s.stack.RestartPostgres(s.ctx, false); err != nil {
		return err
	}
	s.stack.Admin().Reset()
	var err error
	if s.faulty, err = s.stack.Faulty(); err != nil {
		return err
	}
	if s.owner, err = pgxpool.New(s.ctx, s.stack.DatabaseURL+"&pool_max_conns=2"); err != nil {
		return err
	}
	if s.rule, err = s.text(`select pg_get_constraintdef(oid) from pg_constraint where conname = 'backup_logs_action_type_check'`); err != nil {
		return err
	}
	s.place = place{APIURL: s.stack.APIURL, Token: s.stack.AccessToken, Ref: s.stack.ProjectRef, ProjectURL: s.stack.ProjectURL}
	if direct {
		s.place.DatabaseURL = s.faulty.DatabaseURL
	}
	return nil
}

func (s *site) close() error {
	s.faulty.Close()
	s.owner.Close()
	return s.stack.Close()
}

// sql runs SQL outside Terraform. It retries a statement during which the database
// crashes.
func (s *site) sql(sql string, args ...any) error {
	var err error
	for range 3 {
		if _, err = s.stack.Admin().Exec(s.ctx, sql, args...); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w\nin: %.200s", err, sql)
}

// text reads one value as text, and nothing for null.
func (s *site) text(sql string, args ...any) (string, error) {
	var value *string
	var err error
	for range 3 {
		if err = s.stack.Admin().QueryRow(s.ctx, "select ("+sql+")::text", args...).Scan(&value); err == nil {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w\nin: %.200s", err, sql)
	}
	if value == nil {
		return "", nil
	}
	return *value, nil
}

// later makes the lease of an apply that died expire.
func (s *site) later() error {
	return s.sql(`do $$ begin if to_regclass('auto_backup.leases') is not null then update auto_backup.leases set expires_at = now(); end if; end $$`)
}

// works says why a tick of the daily job would not make a backup now; empty if it
// would. A job that the provider does not manage works as long as it is unchanged.
func (s *site) works() string {
	status, verifyJWT := s.stack.FunctionStatus(name.Slug())
	digests := s.stack.SecretDigests()
	why, err := s.text(`
		select case
			when not exists (select from cron.job j where j.jobname = 'auto-backup-daily' and j.active and j.username = 'postgres')
			then 'there is no active job'
			when exists (select from cron.job j where j.jobname = 'auto-backup-daily' and j.command = $4)
			then null
			when not exists (
				select from cron.job j where j.jobname = 'auto-backup-daily'
				and j.command like '%select auto_backup.dispatch(''auto-backup'', ''daily'')')
			then 'the job does something else'
			when to_regprocedure('auto_backup.dispatch(text,text,timestamptz)') is null then 'there is no dispatcher'
			when not exists (
				select from vault.decrypted_secrets v where v.name = 'auto-backup/token'
				and encode(sha256(convert_to(v.decrypted_secret, 'UTF8')), 'hex') in ($1, $2))
			then 'the function does not accept the token in the vault'
			when $3 <> 'ACTIVE' then 'the function is not served'
		end`, digests[name.TokenSecret()], digests[name.NextTokenSecret()], status, legacyCommand)
	switch {
	case err != nil:
		// The database is down, which no operation causes.
		return ""
	case why == "" && verifyJWT:
		return "the platform refuses requests without a JWT"
	case why == "":
		for file, content := range s.stack.FunctionFiles(name.Slug()) {
			for variant, secret := range []string{"OF_FIRST", "OF_SECOND"} {
				if strings.HasSuffix(file, "config.json") && strings.Contains(content, source(variant)) && digests[secret] == "" {
					return "the function has lost the secret " + secret
				}
			}
		}
	}
	return why
}

// watch checks at each call whether the schedule works.
func (s *site) watch(call stack.RemoteCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != "" {
		return
	}
	if why := s.works(); why != "" {
		s.lost = fmt.Sprintf("before %s %s", call, why)
	}
}

const legacyCommand = "select net.http_post(url := 'http://127.0.0.1:9/api/auto-backup', body := '{}')"

// legacy creates what existed before: a job and a function with the backup's names.
func (s *site) legacy() error {
	if err := s.stack.DeployFunction(s.ctx, name.Slug(), map[string]string{"index.ts": "Deno.serve(() => new Response('legacy'));"}, false); err != nil {
		return err
	}
	_, err := s.owner.Exec(s.ctx, `select cron.schedule('auto-backup-daily', '0 6 * * *', $1)`, legacyCommand)
	return err
}

// tick runs what pg_cron runs when the daily backup is due, and waits until everything
// has ended. It returns what is wrong with the outcome.
func (s *site) tick() (wrong []string, err error) {
	s.owner.Reset() // its connections may have met a crash
	const clear = `
		delete from net.http_request_queue; delete from net._http_response;
		delete from auto_backup.runs; delete from public.backup_logs; delete from public.system_logs;
		delete from public.backup_articles`
	if err := s.sql(clear); err != nil {
		return nil, err
	}
	rows, err := s.owner.Query(s.ctx, `
		select command from cron.job
		where active and jobname <> 'auto-backup-watchdog' and (jobname like 'auto-backup%' or command like '%backup%')`)
	if err != nil {
		return nil, err
	}
	var commands []string
	for rows.Next() {
		var command string
		if err := rows.Scan(&command); err != nil {
			return nil, err
		}
		commands = append(commands, command)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, command := range commands {
		// Only a tick at a due time makes a backup.
		if before, ok := strings.CutSuffix(command, "'daily')"); ok {
			command = before + `'daily', (
				select max(d) from auto_backup.settings s
				cross join lateral auto_backup.due_times(s.document #> '{schedules,daily}', now() - interval '2 days', now()) as d
				where s.backup = 'auto-backup'))`
		}
		if _, err := s.owner.Exec(s.ctx, command); err != nil {
			wrong = append(wrong, fmt.Sprintf("the tick's %s: %v", command, err))
		}
	}
	const outcome = `
		select concat_ws(', ',
			(select count(*) || ' runs' from auto_backup.runs),
			(select count(*) || ' requests' from net.http_request_queue),
			(select string_agg(l.success || ' ' || split_part(l.details, ' ID:', 1), '; ') from public.backup_logs l where l.action_type = 'auto_backup'),
			(select count(distinct a.backup_id) || ' backups' from public.backup_articles a))`
	const wanted = "1 runs, 0 requests, true Backup automático, 1 backups"
	got := ""
	for deadline := time.Now().Add(patience); got != wanted && time.Now().Before(deadline); {
		if got, err = s.text(outcome); err != nil {
			return wrong, err
		}
		if strings.Contains(got, "falhou") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got != wanted {
		answers, _ := s.text(`select jsonb_agg(to_jsonb(r)) from net._http_response r`)
		wrong = append(wrong, fmt.Sprintf("the next tick left %s (answers: %.300s)", got, answers))
	}
	return wrong, nil
}

// inventory returns everything of the backup that is in the project.
func (s *site) inventory() (string, error) {
	database, err := s.text(`
		select concat_ws('; ',
			'jobs ' || (select string_agg(jobname, ' ' order by jobname) from cron.job where jobname like 'auto-backup%'),
			'vault ' || (select string_agg(concat_ws('=', v.name, case when v.name ~ '/(heartbeat|webhook.*)' then v.decrypted_secret end), ' ' order by v.name collate "C")
				from vault.decrypted_secrets v where v.name like 'auto-backup/%'),
			'schema ' || (select nspname from pg_namespace where nspname = 'auto_backup'),
			'CHECK ' || (select string_agg(conname, ' ') from pg_constraint
				where conrelid = 'public.backup_logs'::regclass and contype = 'c' and pg_get_constraintdef(oid) like '%auto_backup%'))`)
	if err != nil {
		return "", err
	}
	parts := []string{database}
	var secrets []string
	for _, secret := range slices.Sorted(maps.Keys(s.stack.SecretDigests())) {
		if !strings.HasPrefix(secret, "SUPABASE_") && !strings.HasPrefix(secret, "RESEND_") {
			secrets = append(secrets, secret)
		}
	}
	parts = append(parts, "secrets "+strings.Join(secrets, " "), "functions "+strings.Join(s.stack.FunctionSlugs(), " "))
	return strings.Join(parts, "; "), nil
}

// check returns what is wrong with the project after the last operation, whose aim
// is given: what differs from the configuration, what is orphaned, and whether
// the next tick makes exactly one backup.
func (s *site) check(a aim) (wrong []string, err error) {
	if wrong, err = s.orphaned(a, ""); a.Gone || len(wrong) > 0 || err != nil {
		return wrong, err
	}
	if wrong, err = s.different(a); len(wrong) > 0 || err != nil {
		return wrong, err
	}
	return s.tick()
}

// orphaned returns what the project has that it should not have, or lacks.
func (s *site) orphaned(a aim, said string) (wrong []string, err error) {
	wanted := "; secrets ; functions alert-processor"
	if !a.Gone {
		wanted = "jobs auto-backup-daily auto-backup-drill auto-backup-watchdog auto-backup-" + []string{"weekly", "monthly"}[a.Variant] +
			"; vault auto-backup/alert-key " + []string{
			"auto-backup/heartbeat=https://ping.example/1 auto-backup/token auto-backup/webhook-secret/first=" + firstSigning + " auto-backup/webhook/first=https://hooks.example/1",
			"auto-backup/heartbeat=https://ping.example/2 auto-backup/token auto-backup/webhook-secret/second=" + secondSigning + " auto-backup/webhook/second=https://hooks.example/2",
		}[a.Variant] + "; schema auto_backup; CHECK backup_logs_action_type_check" +
			"; secrets AUTO_BACKUP_TOKEN EXTRA " + []string{"OF_FIRST", "OF_SECOND"}[a.Variant] + "; functions alert-processor auto-backup"
		if a.Variant == 1 {
			wanted = strings.Replace(wanted, "auto-backup-watchdog auto-backup-monthly", "auto-backup-monthly auto-backup-watchdog", 1)
		}
	}
	if a.Gone && s.dropped {
		s.dropped = false
		if err := s.sql(`
			alter table public.backup_logs drop constraint backup_logs_action_type_check;
			delete from public.backup_logs where action_type = 'auto_backup';
			alter table public.backup_logs add constraint backup_logs_action_type_check ` + s.rule); err != nil {
			return nil, err
		}
	}
	if s.unclaimed {
		if err := s.unset(said); err != nil {
			return nil, err
		}
	}
	got, err := s.inventory()
	if err != nil {
		return nil, err
	}
	if !a.Gone {
		// After a rotation the watchdog keeps it for two days.
		got = strings.Replace(got, "auto-backup/former-token ", "", 1)
	}
	if got != wanted {
		wrong = append(wrong, fmt.Sprintf("the project holds\n\t\t%s\n\twanted\n\t\t%s", got, wanted))
	}
	if a.Gone {
		return wrong, nil
	}
	if leases, err := s.text(`select string_agg(process, ', ') from auto_backup.leases where expires_at > now()`); err != nil || leases != "" {
		wrong = append(wrong, fmt.Sprintf("leases are left: %s %v", leases, err))
	}
	return wrong, nil
}

// unset removes the secrets that Terraform has told the user to remove, because nothing
// in the project says any more that they are the backup's.
func (s *site) unset(said string) error {
	for _, command := range regexp.MustCompile(`supabase\s+secrets\s+unset\s+--project-ref\s+\S+((?:\s+[A-Z_]+\b)+)`).FindAllStringSubmatch(said, -1) {
		if err := s.place.removeSecrets(s.ctx, strings.Fields(command[1])...); err != nil {
			return err
		}
	}
	return nil
}

// different returns what differs from an aim's configuration.
func (s *site) different(a aim) (wrong []string, err error) {
	service, done, err := s.place.service()
	if err != nil {
		return nil, err
	}
	defer done()
	found, err := service.Observe(s.ctx, name, backup.Known{})
	if err != nil {
		return nil, err
	}
	a.Rotate = false
	spec, err := a.spec(s.place)
	if err != nil {
		return nil, err
	}
	spec.Channels = nil // the inventory has the values
	for _, difference := range backup.Diff(spec, found) {
		wrong = append(wrong, difference.Object+" "+difference.Text)
	}
	return wrong, nil
}
