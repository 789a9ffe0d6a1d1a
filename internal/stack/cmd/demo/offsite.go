package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// elsewhere is what is not of the project: a bucket, and the owner's keys. A copy needs
// nothing else to be restored.
type elsewhere struct {
	s3 *stack.S3
	// dir has the owner's pair of keys and, after the loss, the downloaded copy.
	dir string
	// folder is the key of the copy's folder, which ends with a slash.
	folder string
	// backup is the ID of the copied backup, and digests are what the project had of it.
	backup  string
	digests map[string]string
	// version is the major version of the project's PostgreSQL.
	version string
}

// The tables of the site, and their backups. The site's get those columns back that the
// SQL function has backed up.
var (
	siteTables   = []string{"articles", "comments", "feedbacks"}
	storedTables = []string{"backup_articles", "backup_comments", "backup_feedbacks"}
)

// destinationText is what is added to the quick start's resource.
const destinationText = `
  offsite = {
    s3 = {
      endpoint          = %q
      region            = %q
      bucket            = %q
      prefix            = "prod"
      recipients        = [file(%q)]
      lock              = { mode = "compliance", days = 1 }
      access_key_id     = var.s3_key.id
      secret_access_key = var.s3_key.secret
    }
  }
}

variable "s3_key" {
  type      = object({ id = string, secret = string })
  ephemeral = true
}
`

// environ has the bucket's access key as Terraform reads it.
func (e *elsewhere) environ() (string, error) {
	key, err := json.Marshal(map[string]string{"id": e.s3.Reader.AccessKeyID, "secret": e.s3.Reader.SecretAccessKey})
	return "TF_VAR_s3_key=" + string(key), err
}

// run runs a program in the owner's directory; its output is part of the error alone.
func (e *elsewhere) run(ctx context.Context, environ []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = e.dir, append(os.Environ(), environ...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, output)
	}
	return nil
}

// addDestination changes the configuration.
func (d *demo) addDestination(ctx context.Context) error {
	e := d.elsewhere
	d.chapter("A copy somewhere else")
	d.tell("So far the backups lie in the database that they are backups of. So the owner makes a pair of\n" +
		"keys, and adds `offsite` with a bucket elsewhere to the configuration. The project gets the public\n" +
		"key alone: it can write copies, and cannot read them.")
	if err := e.run(ctx, nil, "openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-out", "key.pem"); err != nil {
		return err
	}
	if err := e.run(ctx, nil, "openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "key.pub.pem"); err != nil {
		return err
	}
	file := filepath.Join(d.terraform.Dir, "main.tf")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const end = "    nightly = { cron = var.cron }\n  }\n"
	before, after, found := strings.Cut(string(text), end+"}\n")
	if !found {
		return errors.New("the quick start's resource does not end as the demo expects")
	}
	added := fmt.Sprintf(destinationText, e.s3.Endpoint, stack.S3Region, e.s3.Bucket, filepath.Join(e.dir, "key.pub.pem"))
	if err := os.WriteFile(file, []byte(before+end+added+after), 0o600); err != nil {
		return err
	}
	d.typed("terraform apply")
	return d.apply(ctx)
}

func (d *demo) copyBackup(ctx context.Context) error {
	e := d.elsewhere
	if err := d.addDestination(ctx); err != nil {
		return err
	}
	var since time.Time
	if err := d.db.QueryRow(ctx, "select clock_timestamp()").Scan(&since); err != nil {
		return err
	}
	if _, err := d.db.Exec(ctx, "select auto_backup.run_now('auto-backup')"); err != nil {
		return err
	}
	failures := "none"
	err := d.await(ctx, patience, "a backup and its copy", func() (bool, error) {
		// The watchdog, whose job runs every ten minutes, opens the export.
		if _, err := d.db.Exec(ctx, "select auto_backup.watch('auto-backup')"); err != nil {
			return false, err
		}
		err := d.db.QueryRow(ctx, `
			select backup_id, path from auto_backup.exports where state = 'complete' and made_at >= $1 order by made_at limit 1`, since).Scan(&e.backup, &e.folder)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err == nil, err
		}
		return false, d.db.QueryRow(ctx, `
			select coalesce(string_agg(concat_ws(' ', code, error), '; '), 'none') from auto_backup.exports where code is not null`).Scan(&failures)
	})
	if err != nil {
		return fmt.Errorf("%w; failures: %s", err, failures)
	}
	if err := d.showBucket(ctx); err != nil {
		return err
	}
	e.digests = map[string]string{}
	for _, table := range append(siteTables, storedTables...) {
		if e.digests[table], err = digest(ctx, d.db, table, e.backup); err != nil {
			return err
		}
	}
	return d.db.QueryRow(ctx, "select current_setting('server_version_num')::int / 10000 || ''").Scan(&e.version)
}

// showBucket lists the objects of the copy with their locks, and tries to delete one.
func (d *demo) showBucket(ctx context.Context) error {
	e := d.elsewhere
	objects, err := e.s3.List(ctx, e.s3.Bucket, e.folder)
	if err != nil {
		return err
	}
	var size int64
	var day string
	for _, object := range objects {
		mode, until, err := e.s3.Retention(ctx, e.s3.Bucket, object.Key, object.VersionID)
		if err != nil {
			return err
		}
		if mode != "COMPLIANCE" {
			return fmt.Errorf("%s is not locked: %q", object.Key, mode)
		}
		size, day = size+object.Size, until.UTC().Format(time.DateOnly)
	}
	if len(objects) < len(storedTables)+3 {
		return fmt.Errorf("the copy has only %d objects", len(objects))
	}
	first := objects[0]
	err = e.s3.Client(e.s3.Root).RemoveObject(ctx, e.s3.Bucket, first.Key, minio.RemoveObjectOptions{VersionID: first.VersionID, GovernanceBypass: true})
	if err == nil {
		return errors.New("the owner of the bucket could delete a locked object")
	}
	refused := minio.ToErrorResponse(err)
	if refused.Code != "AccessDenied" {
		return fmt.Errorf("deleting a locked object failed for another reason: %w", err)
	}
	d.gap()
	d.tell("After the next backup the bucket has %d objects, %s kB: the rows and the schema, encrypted, a list\n"+
		"of what belongs to the copy, and a guide to its restore. All are locked until %s.\n"+
		"The owner of the bucket tries to delete one: %s", len(objects), count(size/1000), day, refused.Message)
	return nil
}

// queryer is a connection or a pool.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// digest is the number of rows of a table, and the digest of all of them; of the rows of
// one backup, if it is a table of backups.
func digest(ctx context.Context, db queryer, table, backup string) (text string, err error) {
	err = db.QueryRow(ctx, fmt.Sprintf(`
		select count(*) || ' ' || coalesce(md5(string_agg(r::text, chr(10) order by r::text collate "C")), '')
		from public.%s r where coalesce(to_jsonb(r) ->> 'backup_id', $1) = $1`, pgx.Identifier{table}.Sanitize()), backup).Scan(&text)
	return text, err
}

// recover loses the project and restores the copy.
func (d *demo) recover(ctx context.Context) (err error) {
	e := d.elsewhere
	d.chapter("The project is lost")
	d.tell("With its database, its functions and its secrets. What is left is the bucket and the private key.\n" +
		"The owner downloads the copy, takes an empty PostgreSQL, and runs the commands of the guide that\n" +
		"lies in the copy. They need openssl, gunzip and psql, and nothing of this provider.")
	d.db.Close()
	if err := d.stack.Close(); err != nil {
		return err
	}
	defer d.during("restoring")()
	folder, err := e.download(ctx)
	if err != nil {
		return err
	}
	server, err := stack.StartEmpty(ctx, e.version)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if err := d.followGuide(ctx, folder, server.URL); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	d.gap()
	d.tell("  %-16s %8s %8s", "", "lost", "restored")
	for _, table := range append(siteTables, storedTables...) {
		got, err := digest(ctx, conn, table, e.backup)
		if err != nil {
			return err
		}
		lost, rows := rowsOf(e.digests[table]), rowsOf(got)
		same := got == e.digests[table]
		if rows != lost || !same && strings.HasPrefix(table, "backup_") {
			return fmt.Errorf("%s has %s, and the project had %s", table, got, e.digests[table])
		}
		note := "without the columns that the drill named"
		if same {
			note = "every row is the same"
		}
		d.tell("  %-16s %8s %8s  %s", table, lost, rows, note)
	}
	return nil
}

func rowsOf(digest string) string {
	rows, _, _ := strings.Cut(digest, " ")
	return rows
}

// download stores the copy's folder on disk.
func (e *elsewhere) download(ctx context.Context) (string, error) {
	keys, err := e.s3.Keys(ctx, e.s3.Bucket, e.folder)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(e.dir, "copy")
	for _, key := range keys {
		content, err := e.s3.Get(ctx, e.s3.Bucket, key, "")
		if err != nil {
			return "", err
		}
		file := filepath.Join(folder, filepath.FromSlash(strings.TrimPrefix(key, e.folder)))
		if err := errors.Join(os.MkdirAll(path.Dir(file), 0o700), os.WriteFile(file, content, 0o600)); err != nil {
			return "", err
		}
	}
	return folder, nil
}

// commands finds the commands of the guide, and the two lines in which the reader writes
// what is theirs.
var commands, keyLine, databaseLine = regexp.MustCompile("(?s)```sh\n(.*?)```"), regexp.MustCompile(`(?m)^key=.*$`), regexp.MustCompile(`(?m)^database=.*$`)

// followGuide runs the commands of the guide that lies in the copy, with the owner's key
// and a database.
func (d *demo) followGuide(ctx context.Context, folder, database string) error {
	found, err := filepath.Glob(filepath.Join(folder, "recovery-*.md"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("the copy has the guides %v (%w)", found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	address, err := url.Parse(database)
	if err != nil {
		return errors.New("the address of the empty database is not a URL")
	}
	// The password is not for the process list.
	password, _ := address.User.Password()
	address.User = url.User(address.User.Username())
	var script bytes.Buffer
	for _, match := range commands.FindAllSubmatch(text, -1) {
		script.Write(match[1])
	}
	text = keyLine.ReplaceAllLiteral(script.Bytes(), []byte("key='"+filepath.Join(d.elsewhere.dir, "key.pem")+"'"))
	text = databaseLine.ReplaceAllLiteral(text, []byte("database='"+address.String()+"'"))
	file := filepath.Join(d.elsewhere.dir, "recover.sh")
	if err := os.WriteFile(file, append([]byte("cd copy\n"), text...), 0o600); err != nil {
		return err
	}
	bin, err := stack.PostgresBin()
	if err != nil {
		return err
	}
	return d.elsewhere.run(ctx, []string{"PGPASSWORD=" + password, "PATH=" + bin + ":" + os.Getenv("PATH")}, "sh", file)
}
