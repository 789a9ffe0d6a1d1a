package copies_test

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/bucket"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/cms"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/restore"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// restorer returns the options of a restore from the site's bucket, which the project has
// no part in.
func (s *site) restorer(databaseURL, confirm string) restore.Options {
	s.t.Helper()
	from, err := bucket.Open(bucket.Place{
		Endpoint: s.s3.Endpoint, Region: stack.S3Region, Bucket: s.s3.Bucket, Prefix: "prod", ProjectRef: s.stack.ProjectRef, Backup: string(s.name),
		AccessKeyID: s.s3.Reader.AccessKeyID, SecretAccessKey: s.s3.Reader.SecretAccessKey,
	})
	must(s.t, err)
	pem, err := os.ReadFile(s.keyFile)
	must(s.t, err)
	key, err := cms.ParsePrivateKey(pem)
	must(s.t, err)
	return restore.Options{Bucket: from, Backup: bucket.Newest, Key: key, DatabaseURL: databaseURL, Confirm: confirm, Progress: func(message string) { s.t.Log(message) }}
}

// TestRestoreAfterTheEnd proves that the provider's restore brings back what the Edge
// Function has copied of two nights, stored rows and live tables, from the bucket alone,
// into an empty PostgreSQL 15 and 17; and that it names the object of which a byte was
// changed on the server's disk.
func TestRestoreAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, tables := range [][]string{{offsite.StoredRows}, {offsite.LiveRows, offsite.StoredRows}} {
		t.Run(strings.Join(tables, " and "), func(t *testing.T) {
			s := newSite(t, 300, func(d *offsite.Destination) { d.Tables = tables })
			for n := range 2 {
				s.backUp()
				s.await("the copy", func() bool {
					return one[int](s, "select count(*)::int from auto_backup.exports where state = 'complete'") == n+1
				})
			}
			wanted := map[string]string{}
			for _, table := range []string{"backup_articles", "backup_comments", "backup_feedbacks"} {
				wanted[table] = one[string](s, digest(table)+" where backup_id::text = (select backup_id::text from auto_backup.exports order by sequence desc limit 1)")
			}
			for _, table := range []string{"articles", "comments", "feedbacks"} {
				wanted[table] = one[string](s, digest(table))
			}
			must(t, s.stack.Close())
			for _, version := range []string{"15", "17"} {
				server, err := stack.StartEmpty(t.Context(), version)
				if errors.Is(err, stack.ErrNotInstalled) {
					continue // "make test-postgres17" installs the other one
				}
				must(t, err)
				result, err := restore.Run(t.Context(), s.restorer(server.URL, "postgres"))
				if err != nil || result.State != restore.Restored || len(result.Breaks) > 0 || result.Verified.Manifests != 2 {
					t.Fatalf("PostgreSQL %s: %v\n%+v", version, err, result)
				}
				for _, warning := range result.Warnings {
					t.Log(warning)
				}
				for _, a := range result.Assertions {
					t.Log(a)
				}
				conn, err := pgx.Connect(t.Context(), server.URL)
				must(t, err)
				for table, want := range wanted {
					var got string
					must(t, conn.QueryRow(t.Context(), digest(table)).Scan(&got))
					if !strings.HasPrefix(table, "backup_") && len(tables) == 1 {
						// What the stored rows lack, such as likes, is not restored.
						got, _, _ = strings.Cut(got, " ")
						want, _, _ = strings.Cut(want, " ")
					}
					if got != want {
						t.Errorf("PostgreSQL %s: %s: %s, and the project had %s", version, table, got, want)
					}
				}
				must(t, conn.Close(context.WithoutCancel(t.Context())))
				must(t, server.Close())
			}
			s.flip()
		})
	}
}

// flip changes a byte of every object in turn, and lets a dry run name it.
func (s *site) flip() {
	s.t.Helper()
	keys, err := s.s3.Keys(s.ctx, s.s3.Bucket, "")
	must(s.t, err)
	o := s.restorer("postgresql://nobody:nothing@127.0.0.1:1/gone", "")
	o.DryRun, o.Progress = true, nil
	before, err := restore.Run(s.ctx, o)
	if err == nil || len(before.Blockers) != 1 || before.Source == nil {
		s.t.Fatalf("without a target: %+v, %v", before, err)
	}
	flipped := 0
	for _, key := range keys {
		folder, name := path.Split(strings.TrimPrefix(key, path.Dir(before.Source.Manifest)+"/"))
		if strings.HasPrefix(folder, "prod/") {
			continue // the night before
		}
		flipped++
		must(s.t, s.s3.FlipByte(s.s3.Bucket, key, 200))
		if result, err := restore.Run(s.ctx, o); err == nil || !strings.Contains(err.Error(), folder+name) {
			s.t.Errorf("a changed byte of %s: %+v, %v", key, result.Blockers, err)
		}
		must(s.t, s.s3.FlipByte(s.s3.Bucket, key, 200))
	}
	if after, _ := restore.Run(s.ctx, o); len(after.Blockers) != 1 || flipped != before.Verified.Objects+1 {
		s.t.Errorf("%d objects were changed, and afterwards there is %+v", flipped, after.Blockers)
	}
}
