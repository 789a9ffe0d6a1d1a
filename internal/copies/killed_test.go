package copies_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestKilled proves that a copy becomes complete wherever a call of the function dies: the
// process is killed before and after every request to the bucket. Until the manifest is
// there, it is the only thing that is missing; afterwards it names every object of the
// folder, and no place twice.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, nil)
	s.backUp()
	s.complete()
	requests := slices.DeleteFunc(s.s3.Requests(), func(r stack.S3Request) bool { return !strings.Contains(r.Key, "-") })
	if len(requests) < 14 {
		t.Fatalf("a copy makes %d requests", len(requests))
	}
	for n := 1; n <= len(requests); n++ {
		for _, after := range []bool{false, true} {
			name := fmt.Sprintf("%s %s, after %v", requests[n-1].Method, place(requests[n-1].Key), after)
			t.Run(name, func(t *testing.T) {
				former := s.t
				s.t = t
				defer func() { s.t = former }()
				s.killedAt(n, after)
			})
		}
	}
	s.restores()
}

// place is the key of an object without its folder and what is random.
func place(key string) string {
	name := path.Base(key)
	if i := strings.LastIndex(name, "-"); i > 0 {
		name = name[:i]
	}
	return name
}

func (s *site) killedAt(n int, after bool) {
	s.s3.Reset()
	killed := make(chan struct{})
	trap := s.s3.Break(stack.S3Match{Nth: n}, stack.S3Fault{Name: "kill", Handle: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		defer close(killed)
		if after {
			next.ServeHTTP(discard{w.Header()}, r)
		}
		s.stack.KillFunction(s.name.Slug())
		panic(http.ErrAbortHandler)
	}})
	s.backUp()
	select {
	case <-killed:
	case <-s.ctx.Done():
		s.t.Fatal("no request was met")
	}
	if trap.Met() != 1 {
		s.t.Fatalf("%d requests were met", trap.Met())
	}
	// The claim of a dead call ends after 150 seconds.
	s.exec(`update auto_backup.exports set claimed_until = clock_timestamp() where worker is not null`)
	s.complete()
	s.sound()
}

// discard drops a response, whose client is dead.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// sound checks the folder of the newest copy against its manifest.
func (s *site) sound() {
	s.t.Helper()
	folder := one[string](s, `select path from auto_backup.exports order by export_id desc limit 1`)
	keys, err := s.s3.Keys(s.ctx, s.s3.Bucket, folder)
	must(s.t, err)
	content, err := s.s3.Get(s.ctx, s.s3.Bucket, folder+"manifest.json", "")
	must(s.t, err)
	type object struct{ Key string }
	var manifest struct {
		Tables []struct {
			Rows  int
			Parts []struct {
				Key  string
				Rows int
			}
		}
		Schema, Files []object
		Abandoned     []string
	}
	must(s.t, json.Unmarshal(content, &manifest))
	named := []string{"manifest.json"}
	var places []string
	for _, table := range manifest.Tables {
		rows := 0
		for _, part := range table.Parts {
			named, places, rows = append(named, part.Key), append(places, path.Dir(part.Key)+place(part.Key)), rows+part.Rows
		}
		if rows != table.Rows {
			s.t.Errorf("the parts of a table have %d rows of %d", rows, table.Rows)
		}
	}
	for _, o := range slices.Concat(manifest.Schema, manifest.Files) {
		named, places = append(named, o.Key), append(places, place(o.Key))
	}
	slices.Sort(places)
	if len(slices.Compact(places)) != len(places) {
		s.t.Errorf("a place is named twice: %v", places)
	}
	for _, key := range keys {
		name := strings.TrimPrefix(key, folder)
		if !slices.Contains(named, name) && !slices.Contains(manifest.Abandoned, name) {
			s.t.Errorf("%s is in the bucket, and the manifest does not name it", name)
		}
	}
	for _, name := range named {
		if !slices.Contains(keys, folder+name) {
			s.t.Errorf("the manifest names %s, which is not there", name)
		}
	}
	writes := slices.DeleteFunc(s.s3.Requests(), func(r stack.S3Request) bool { return r.Method != http.MethodPut || r.ServerStatus != http.StatusOK })
	if last := writes[len(writes)-1].Key; last != folder+"manifest.json" {
		s.t.Errorf("%s was written after the manifest", last)
	}
}

// restores restores the newest copy, as its RECOVERY.md says, and compares it.
func (s *site) restores() {
	s.t.Helper()
	folder := s.download()
	server, err := stack.StartEmpty(s.ctx, one[string](s, `select (current_setting('server_version_num')::integer / 10000)::text`))
	must(s.t, err)
	defer func() { must(s.t, server.Close()) }()
	output, err := recoverFolder(s.ctx, folder, s.keyFile, server.URL)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, output)
	}
	conn, err := pgx.Connect(s.ctx, server.URL)
	must(s.t, err)
	defer func() { must(s.t, conn.Close(context.WithoutCancel(s.ctx))) }()
	for _, table := range []string{"articles", "comments", "feedbacks"} {
		var got, want int
		must(s.t, conn.QueryRow(s.ctx, "select count(*) from public."+table).Scan(&got))
		want = one[int](s, "select count(*) from public."+table)
		if got != want {
			s.t.Errorf("%s has %d rows, and the project has %d", table, got, want)
		}
	}
}

// TestCopyHidesValues proves that nothing of a row is readable outside the database, and
// no credential anywhere: not in the objects, on the way, in the function's log, in the
// ledger or in pg_net's queue; and that the function's credentials cannot delete a copy.
func TestCopyHidesValues(t *testing.T) {
	t.Parallel()
	const canary = "canário-7f1c ' \\ \" \u202e 🐤"
	s := newSite(t, 5, func(d *offsite.Destination) { d.Tables = []string{offsite.LiveRows, offsite.StoredRows} })
	s.exec(`update public.articles set title = $1, content = $1`, canary)
	s.exec(`update public.comments set content = $1`, canary)
	s.s3.Watch("canário-7f1c", s.s3.Reader.SecretAccessKey)
	s.backUp()
	s.complete()
	if leaks := s.s3.Leaks(); len(leaks) > 0 {
		t.Errorf("on the way: %v", leaks)
	}
	for _, text := range []string{"canário-7f1c", s.s3.Reader.SecretAccessKey} {
		files, err := s.s3.Holding(text)
		must(t, err)
		if len(files) > 0 {
			t.Errorf("in the bucket: %v", files)
		}
		if strings.Contains(s.stack.FunctionLogs(s.name.Slug()), text) {
			t.Error("in the function's log")
		}
		for _, table := range []string{
			"auto_backup.exports", "auto_backup.export_objects", "auto_backup.export_checks", "auto_backup.frozen", "auto_backup.settings",
			"auto_backup.incidents", "auto_backup.watchdog", "auto_backup.runs", "net.http_request_queue", "net._http_response", "public.system_logs",
		} {
			if found := one[int](s, fmt.Sprintf(`select count(*) from %s r where r::text like '%%' || $1 || '%%'`, table), text); found > 0 {
				t.Errorf("in %d rows of %s", found, table)
			}
		}
	}
	objects, err := s.s3.List(s.ctx, s.s3.Bucket, "")
	must(t, err)
	if len(objects) == 0 {
		t.Fatal("the bucket is empty")
	}
	client := s.s3.Client(s.s3.Reader)
	for _, object := range objects {
		if err := client.RemoveObject(s.ctx, s.s3.Bucket, object.Key, minio.RemoveObjectOptions{VersionID: object.VersionID}); err == nil {
			t.Errorf("%s could be deleted", object.Key)
		}
	}
}
