// Package copies_test copies backups of the local stack's project to a real S3 server,
// breaks the way there, and restores what is in the bucket without the project.
package copies_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestEndOfTheProject proves that a copy survives the project: the night is copied, the
// project is gone with everything that it had, and RECOVERY.md as it lies in the bucket
// brings all tables back into an empty PostgreSQL, with openssl, gunzip and psql alone.
// The numbers and the digests of the rows are those of the lost project, awkward texts
// included.
func TestEndOfTheProject(t *testing.T) {
	t.Parallel()
	s := newSite(t, 500, nil)
	s.backUp()
	s.await("the copy", func() bool { return s.state() == "complete" })
	wanted := map[string]string{}
	for _, table := range []string{"backup_articles", "backup_comments", "backup_feedbacks", "articles", "comments", "feedbacks"} {
		wanted[table] = one[string](s, digest(table))
	}
	folder := s.download()
	must(t, s.stack.Close())

	for _, version := range []string{"15", "17"} {
		t.Run(version, func(t *testing.T) {
			server, err := stack.StartEmpty(t.Context(), version)
			if errors.Is(err, stack.ErrNotInstalled) {
				t.Skip(err) // "make test-postgres17" installs the other one
			}
			must(t, err)
			defer func() { must(t, server.Close()) }()
			output, err := recoverFolder(t.Context(), folder, s.keyFile, server.URL)
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			if !strings.Contains(output, "table public.backup_articles: ") || !strings.Contains(output, " rows, equal") {
				t.Errorf("it does not say that the rows are equal:\n%s", output)
			}
			conn, err := pgx.Connect(t.Context(), server.URL)
			must(t, err)
			defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
			for table, want := range wanted {
				var got string
				must(t, conn.QueryRow(t.Context(), digest(table)).Scan(&got))
				if got != want && strings.HasPrefix(table, "backup_") {
					t.Errorf("%s: %s, and the project had %s", table, got, want)
				}
				count, _, _ := strings.Cut(got, " ")
				if before, _, _ := strings.Cut(want, " "); count != before {
					t.Errorf("%s has %s rows, and the project had %s", table, count, before)
				}
			}
		})
	}
}

// TestSecondService proves that copies need nothing that only one S3 server has: another
// implementation, which has no locks and no versions, takes a copy, and gives it back.
func TestSecondService(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, stack.S3Options{Kind: stack.S3Memory}, 5, func(d *offsite.Destination) {
		d.Lock, d.Verify = nil, offsite.VerifyRead
	})
	s.backUp()
	s.complete()
	s.restores()
}

// digest is a query for the number of rows of a table, and a digest of all of them.
func digest(table string) string {
	return fmt.Sprintf(`select count(*) || ' ' || coalesce(md5(string_agg(r::text, chr(10) order by r::text)), '') from public.%s r`, table)
}

// download copies the bucket's only folder to a new directory.
func (s *site) download() string {
	s.t.Helper()
	keys, err := s.s3.Keys(s.ctx, s.s3.Bucket, "")
	must(s.t, err)
	dir := s.t.TempDir()
	var root string
	for _, key := range keys {
		if path.Base(key) == "manifest.json" {
			root = path.Dir(key) + "/"
		}
	}
	for _, key := range keys {
		name, ok := strings.CutPrefix(key, root)
		if !ok {
			continue
		}
		content, err := s.s3.Get(s.ctx, s.s3.Bucket, key, "")
		must(s.t, err)
		file := filepath.Join(dir, filepath.FromSlash(name))
		must(s.t, os.MkdirAll(filepath.Dir(file), 0o700))
		must(s.t, os.WriteFile(file, content, 0o600))
	}
	return dir
}

// block finds the shell commands of RECOVERY.md.
var block = regexp.MustCompile("(?s)```sh\n(.*?)```")

// recoverFolder does what RECOVERY.md says, in a copy of its folder: its commands run as
// they are, but for the two lines that name the key and the database.
func recoverFolder(ctx context.Context, folder, keyFile, database string) (string, error) {
	found, err := filepath.Glob(filepath.Join(folder, "recovery-*.md"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("the folder has the guides %v (%w)", found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		return "", err
	}
	var script strings.Builder
	for _, match := range block.FindAllStringSubmatch(string(text), -1) {
		script.WriteString(match[1])
	}
	commands := regexp.MustCompile(`(?m)^key=.*$`).ReplaceAllLiteralString(script.String(), "key="+keyFile)
	commands = regexp.MustCompile(`(?m)^database=.*$`).ReplaceAllLiteralString(commands, "database='"+database+"'")
	cmd := exec.CommandContext(ctx, "sh", "-c", commands)
	cmd.Dir = folder
	output, err := cmd.CombinedOutput()
	return string(output), err
}
