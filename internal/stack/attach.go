package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Foreign is a project that this process has not started: one on the platform, of
// "supabase start" or of Supabase's Docker setup.
type Foreign struct {
	// ProjectRef, AccessToken, APIURL and ProjectURL are as in Stack.
	ProjectRef, AccessToken, APIURL, ProjectURL string
	// DatabaseURL connects as postgres.
	DatabaseURL string
	// AnonKey, FunctionsDir, EnvFile and RestartCommand are set for a self-hosted
	// project.
	AnonKey, FunctionsDir, EnvFile string
	RestartCommand                 []string
}

// sampleMark is the comment that identifies the sample application's database.
const sampleMark = "sample application of terraform-provider-aimindset; tests delete it"

// ErrNotDisposable is the error for a project that contains anything but the sample
// application.
var ErrNotDisposable = errors.New("the project's schema public contains something other than the sample application, which the tests would delete; use an empty project")

// Attach returns a Stack for a project that this process has not started. Its database
// must be empty or contain only the sample application, which is recreated, so that a
// test finds the same as after Start. Everything that needs the project's machine
// (e-mails, processes of functions, faults) is missing, and Close does not change the
// project.
func Attach(ctx context.Context, f Foreign, opts Options) (_ *Stack, err error) {
	opts = opts.withDefaults()
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Stack{
		ProjectRef: f.ProjectRef, AccessToken: f.AccessToken, APIURL: f.APIURL, ProjectURL: f.ProjectURL,
		DatabaseURL: f.DatabaseURL, AnonKey: f.AnonKey,
		FunctionsDir: f.FunctionsDir, EnvFile: f.EnvFile, RestartCommand: f.RestartCommand,
		log: opts.Log, cancel: cancel,
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.admin, err = newPool(life, f.DatabaseURL, "tests"); err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, f.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("connecting to the project's database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := clearSample(ctx, conn); err != nil {
		return nil, err
	}
	return s, createSample(ctx, conn, appOptions{Articles: opts.Articles, LegacyJobs: opts.LegacyJobs, ProjectURL: f.ProjectURL})
}

// sampleObjects returns the names of the sample application's tables and functions.
func sampleObjects() ([]string, error) {
	text, err := databaseFiles.ReadFile("database/application.sql")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, match := range createdObject.FindAllStringSubmatch(string(text), -1) {
		names = append(names, match[1])
	}
	return names, nil
}

var createdObject = regexp.MustCompile(`(?m)^create (?:table|function) public\.(\w+)`)

// clearSample removes the sample application and the rest of its backups. It does not
// change a database that contains anything else.
func clearSample(ctx context.Context, conn *pgx.Conn) error {
	names, err := sampleObjects()
	if err != nil {
		return err
	}
	var tables, others int
	var marked bool
	err = conn.QueryRow(ctx, `
		select
			(select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')),
			(
				select count(*) from pg_class
				where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f') and relname <> all ($1)
			) + (
				select count(*) from pg_proc p
				where pronamespace = 'public'::regnamespace and proname <> all ($1)
					and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
			),
			coalesce(obj_description(to_regclass('public.articles'), 'pg_class') = $2, false)`,
		names, sampleMark).Scan(&tables, &others, &marked)
	switch {
	case err != nil:
		return err
	case others > 0, tables > 0 && !marked:
		return ErrNotDisposable
	}
	if _, err := conn.Exec(ctx, clearScript); err != nil {
		return fmt.Errorf("clearing the project: %w", err)
	}
	return nil
}

const clearScript = `
do $$
declare
	statement text;
begin
	foreach statement in array array( -- all of them named before the first is gone
		select format('drop table if exists %s cascade', oid::regclass) from pg_class
		where relnamespace = 'public'::regnamespace and relkind = 'r'
		union all
		select format('drop function if exists %s cascade', oid::regprocedure) from pg_proc p
		where pronamespace = 'public'::regnamespace
			and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
		union all
		select 'drop schema if exists auto_backup cascade'
	)
	loop
		execute statement;
	end loop;
	if to_regclass('cron.job') is not null then
		perform cron.unschedule(jobid) from cron.job
		where username = current_user and (
			jobname like 'auto-backup-%' or command ~ '(cleanup_old_logs_enhanced|publish_due_articles|alert_overdue_publications)\('
		);
	end if;
	if to_regclass('vault.secrets') is not null then
		delete from vault.secrets where name like 'auto-backup/%';
	end if;
end $$`

// SampleFunctions returns the Edge Functions that the sample application has: files
// by slug and path.
func SampleFunctions() (map[string]map[string]string, error) {
	functions := map[string]map[string]string{}
	err := fs.WalkDir(applicationFiles, "application", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := applicationFiles.ReadFile(path)
		slug, name, _ := strings.Cut(strings.TrimPrefix(path, "application/"), "/")
		if functions[slug] == nil {
			functions[slug] = map[string]string{}
		}
		functions[slug][name] = string(content)
		return err
	})
	return functions, err
}

// createSample creates a schema like AIMindset's, with rows to back up; see
// database/application.sql.
func createSample(ctx context.Context, conn *pgx.Conn, opts appOptions) error {
	if err := createSchema(ctx, conn); err != nil {
		return err
	}
	return fillSample(ctx, conn, opts)
}

// createSchema creates the schema without rows.
func createSchema(ctx context.Context, conn *pgx.Conn) error {
	if err := applyFile(ctx, conn, "application.sql"); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "comment on table public.articles is '"+sampleMark+"'")
	return err
}

// fillSample adds the rows, and the jobs if there are to be any.
func fillSample(ctx context.Context, conn *pgx.Conn, opts appOptions) error {
	projectURL := opts.ProjectURL
	if projectURL == "" {
		projectURL = "http://127.0.0.1:9"
	}
	if _, err := conn.Exec(ctx,
		`select set_config('stack.articles', $1, false), set_config('stack.project_url', $2, false)`,
		strconv.Itoa(opts.Articles), projectURL); err != nil {
		return err
	}
	files := []string{"application_data.sql"}
	if opts.LegacyJobs {
		files = append(files, "application_jobs.sql")
	}
	for _, name := range files {
		if err := applyFile(ctx, conn, name); err != nil {
			return err
		}
	}
	return nil
}
