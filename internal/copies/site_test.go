package copies_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/preflight"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// destination is the key of the site's destination.
const destination = "s3"

// site is a project on the local stack whose backup is copied to a bucket of a real S3
// server.
type site struct {
	t       testing.TB
	ctx     context.Context
	stack   *stack.Stack
	s3      *stack.S3
	service *install.Service
	owner   *pgxpool.Pool // role postgres, as which the jobs run
	name    backup.Name
	// key opens the copies; keyFile has it as PEM. No part of the project knows it.
	key     *rsa.PrivateKey
	keyFile string
	// settings are those of the last apply.
	settings backup.Settings
}

// newSite starts a stack and an S3 server, and installs a backup with a destination.
func newSite(t testing.TB, articles int, change func(*offsite.Destination)) *site {
	t.Helper()
	return newSiteAt(t, stack.S3Options{}, articles, change)
}

// newSiteAt does so with an S3 server of some kind.
func newSiteAt(t testing.TB, kind stack.S3Options, articles int, change func(*offsite.Destination)) *site {
	t.Helper()
	ctx := t.Context()
	project, err := stack.Start(ctx, stack.Options{Articles: articles, RateLimit: -1})
	must(t, err)
	t.Cleanup(func() { must(t, project.Close()) })
	server, err := stack.StartS3(ctx, kind)
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	owner, err := pgxpool.New(ctx, project.DatabaseURL+"&pool_max_conns=3")
	must(t, err)
	t.Cleanup(owner.Close)
	client, err := supabase.New(supabase.Config{BaseURL: project.APIURL, Token: project.AccessToken, UserAgent: "copies"})
	must(t, err)
	key, err := newKey()
	must(t, err)
	s := &site{
		t: t, ctx: ctx, stack: project, s3: server, owner: owner, name: backup.DefaultName, key: key,
		service: install.NewService(project.ProjectRef, client, postgres.OverAPI(supabase.ProjectSQL{Client: client, Ref: project.ProjectRef})),
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	s.keyFile = filepath.Join(t.TempDir(), "key.pem")
	must(t, os.WriteFile(s.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	s.apply(change)
	return s
}

// newKey makes a key, once for all sites.
var newKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// apply is "terraform apply" of a backup with one destination.
func (s *site) apply(change func(*offsite.Destination)) {
	s.t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	must(s.t, err)
	names := s.name.OffsiteSecrets(destination)
	d := offsite.Destination{
		Endpoint: s.s3.Endpoint, Region: stack.S3Region, Bucket: s.s3.Bucket, Prefix: "prod",
		Recipients: []string{base64.StdEncoding.EncodeToString(spki)}, Lock: &offsite.Lock{Mode: offsite.Governance, Days: 30},
		Every: offsite.EveryBackup, Verify: offsite.VerifyHead, Tables: []string{offsite.StoredRows}, Secrets: names,
	}
	if change != nil {
		change(&d)
	}
	schedule, err := backup.CompileSchedule(backup.DefaultCron, nil, backup.DefaultTimezone, true, time.Now())
	must(s.t, err)
	s.settings = backup.Settings{
		Timezone: backup.DefaultTimezone, Schedules: map[string]backup.Schedule{backup.DefaultScheduleKey: schedule},
		Function: backup.FunctionSettings{URL: backup.FunctionURL(s.stack.ProjectURL, s.name.Slug()), RPC: backup.DefaultRPC},
		Alert: backup.AlertSettings{
			Enabled: true, Function: backup.DefaultAlertFunction, URL: backup.FunctionURL(s.stack.ProjectURL, backup.DefaultAlertFunction),
			Source: backup.DefaultAlertSource,
		},
		Secrets: []string{names.AccessKeyID, names.SecretAccessKey},
		Offsite: &offsite.Settings{
			Destinations: map[string]offsite.Destination{destination: d}, ProjectRef: s.stack.ProjectRef,
		},
	}
	found, err := s.service.Observe(s.ctx, s.name, backup.Known{})
	must(s.t, err)
	spec := backup.Spec{
		ID: backup.ID{ProjectRef: s.service.Ref, Name: s.name}, Settings: s.settings, Source: s.source(),
		ExtendLogConstraint: true, Adopt: true,
		Secrets: map[string]string{names.AccessKeyID: s.s3.Reader.AccessKeyID, names.SecretAccessKey: s.s3.Reader.SecretAccessKey},
	}
	spec.Settings.Offsite.Tables, err = preflight.DrillTables(s.ctx, s.service, spec)
	must(s.t, err)
	_, err = s.service.Apply(s.ctx, spec, found, func(backup.Part) {})
	must(s.t, err)
}

// source is the provider's function with shorter limits: a failure that shows a timeout
// should not have to wait for one of minutes.
func (s *site) source() source.Source {
	built := backup.BuiltInSource(s.name, s.settings)
	files := maps.Clone(built.Files)
	var contract map[string]any
	must(s.t, json.Unmarshal(files["contract.json"], &contract))
	limits, ok := contract["limits"].(map[string]any)
	if !ok || limits["store_timeout_ms"] == nil {
		s.t.Fatal("contract.json has no limit store_timeout_ms")
	}
	limits["store_timeout_ms"] = 2000
	text, err := json.Marshal(contract)
	must(s.t, err)
	files["contract.json"] = text
	built.Files = files
	return built
}

// one returns the only value of a query.
func one[T any](s *site, sql string, args ...any) T {
	s.t.Helper()
	rows, err := s.stack.Admin().Query(s.ctx, sql, args...)
	must(s.t, err)
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		s.t.Fatalf("%v\nin: %s", err, sql)
	}
	return value
}

// exec runs SQL as the jobs' role.
func (s *site) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.owner.Exec(s.ctx, sql, args...); err != nil {
		s.t.Fatalf("%v\nin: %s", err, sql)
	}
}

// await waits until a condition is true. The limit ends a hanging test; a slow machine
// does not reach it.
func (s *site) await(what string, condition func() bool) {
	s.t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-limit:
			s.t.Log(one[string](s, `select coalesce(jsonb_pretty((select to_jsonb(e) - 'tables' - 'manifest' - 'recipients' from auto_backup.exports e order by export_id desc limit 1)), '')`))
			s.t.Log(one[string](s, `select coalesce(string_agg(a.id || ' ' || coalesce(a.status_code::text, a.error_msg) || ' ' || left(a.content, 200), chr(10) order by a.id), '') from (select * from net._http_response order by id desc limit 5) a`))
			log := strings.Split(s.stack.FunctionLogs(s.name.Slug()), "\n")
			s.t.Fatalf("waited too long for %s\n%s", what, strings.Join(log[max(0, len(log)-10):], "\n"))
		case <-tick.C:
		}
	}
}

// backUp makes a backup and lets the watchdog record it, which opens the export.
func (s *site) backUp() {
	s.t.Helper()
	run := one[string](s, `select auto_backup.run_now($1) ->> 'run_id'`, s.name)
	s.await("the backup", func() bool {
		return one[bool](s, `select exists (select from public.backup_logs where id = $1 and success)`, run)
	})
	s.await("the outcome", func() bool {
		s.watch()
		return one[bool](s, `select state = 'succeeded' from auto_backup.runs where run_id = $1`, run)
	})
}

// watch runs the command of the watchdog's job.
func (s *site) watch() {
	s.t.Helper()
	s.exec(`select auto_backup.watch($1)`, s.name)
}

// state is that of the newest export.
func (s *site) state() string {
	s.t.Helper()
	return one[string](s, `select coalesce((select state || coalesce(' ' || code, '') from auto_backup.exports order by export_id desc limit 1), 'none')`)
}
