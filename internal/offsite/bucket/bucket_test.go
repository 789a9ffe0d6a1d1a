package bucket_test

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/bucket"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/offsitetest"
)

const (
	project = "abcdefghijklmnopqrst"
	secret  = "canary-secret-0123456789"
	access  = "AKIACANARY0123456789"
)

// night is a backup of a day in November 2026.
func night(day int, previous *manifest.Previous) *offsitetest.Backup {
	return &offsitetest.Backup{
		Prefix: "prod", ProjectRef: project, Name: "auto-backup", MadeAt: time.Date(2026, 11, day, 6, 0, 0, 0, time.UTC), Sequence: int64(day), Previous: previous,
		Recipients: []*rsa.PrivateKey{offsitetest.Key(1)}, Before: "select 1", After: "select 2", ServerVersion: "17.4",
	}
}

// nights writes the backups of the first days and returns the one after them.
func nights(s *offsitetest.Server, count int) {
	var previous *manifest.Previous
	for day := 1; day <= count; day++ {
		previous = night(day, previous).Write(s.Put, nil)
	}
}

func place(s *offsitetest.Server) bucket.Place {
	return bucket.Place{Endpoint: s.URL, Region: "eu-central-1", Bucket: s.Bucket, Prefix: "prod", ProjectRef: project, Backup: "auto-backup", AccessKeyID: access, SecretAccessKey: secret}
}

func open(t *testing.T, p bucket.Place) *bucket.Bucket {
	t.Helper()
	b, err := bucket.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFind proves which backup is found: the newest whole one, the newest until a time,
// and one by its ID; that what is not whole is passed over and named; and that a
// manifest of another project or backup, or of another folder, is not used.
func TestFind(t *testing.T) {
	t.Parallel()
	s := offsitetest.NewServer()
	defer s.Close()
	nights(s, 3)
	unfinished := night(4, nil)
	s.Put(unfinished.Folder()+"/rows/01-a/00001-00.ndjson.gz.cms", []byte("x"))
	damaged := night(5, &manifest.Previous{Key: "x/manifest.json", SHA256: strings.Repeat("0", 64)})
	damaged.Write(s.Put, nil)
	s.Put(damaged.Folder()+"/manifest.json", s.Object(damaged.Folder() + "/manifest.json")[:500])
	for _, other := range []struct {
		day  int
		edit func(*manifest.Manifest)
	}{
		{6, func(m *manifest.Manifest) { m.ProjectRef = "tsrqponmlkjihgfedcba" }},
		{7, func(m *manifest.Manifest) { m.Backup = "another" }},
		{8, func(m *manifest.Manifest) { m.MadeAt = m.MadeAt.Add(-time.Hour) }},
		{9, func(m *manifest.Manifest) { m.Format = "aimindset-backup/2" }},
	} {
		night(other.day, &manifest.Previous{Key: "x/manifest.json", SHA256: strings.Repeat("0", 64)}).Write(s.Put, other.edit)
	}
	s.Put("prod/"+project+"/auto-backup/probe/x", []byte("x"))
	// A second manifest of the same backup; the next one says which was confirmed.
	s.Put(night(2, nil).Folder()+"/manifest-00aa.json", s.Object(night(2, nil).Folder()+"/manifest.json"))

	listing, err := open(t, place(s)).List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(listing.Copies) != 3 || len(listing.Unfinished) != 1 || len(listing.Damaged) != 5 {
		t.Fatalf("got %d copies, %+v, %+v", len(listing.Copies), listing.Unfinished, listing.Damaged)
	}
	for which, c := range map[string]struct{ day, passed int }{
		"latest": {3, 6}, "2026-11-03T06:00:00Z": {3, 0}, "2026-11-03T05:59:59Z": {2, 0}, "2026-11-04T07:00:00+01:00": {3, 1}, "2026-11-01T03:00:00-03:00": {1, 0}, night(2, nil).ID(): {2, 0},
	} {
		found, passed, err := listing.Find(which)
		if err != nil || found.Sequence != int64(c.day) || len(passed) != c.passed {
			t.Errorf("%s: %+v, %+v, %v", which, found, passed, err)
		}
	}
	_, passed, _ := listing.Find("latest")
	for i, want := range []string{"use a newer version", "it is of the folder", `of the backup "another"`, `of the project "tsrq`, "it is not JSON", "it has no manifest"} {
		if !strings.Contains(passed[i].Reason, want) {
			t.Errorf("%s is passed over because %q, want %q", passed[i].Folder, passed[i].Reason, want)
		}
	}
	for _, which := range []string{"2026-10-01T00:00:00Z", "yesterday", unfinished.ID(), "00000000-0000-4000-8000-000000000000"} {
		if found, _, err := listing.Find(which); err == nil || found != nil || !strings.Contains(err.Error(), which) {
			t.Errorf("%s: %+v, %v", which, found, err)
		}
	}
	if _, _, err := listing.Find(unfinished.ID()); !strings.Contains(err.Error(), "it has no manifest") {
		t.Errorf("an unfinished one: %v", err)
	}
}

// TestErrors proves that each way in which a bucket fails has an error of its kind,
// which names the argument and shows no secret.
func TestErrors(t *testing.T) {
	t.Parallel()
	s := offsitetest.NewServer()
	defer s.Close()
	nights(s, 1)
	refuse := func(status int, code string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			offsitetest.Refuse(w, status, code, "It says "+secret+" and "+access)
			return true
		}
	}
	for _, c := range []struct {
		code   string
		status int
		kind   error
		says   string
	}{
		{"NoSuchBucket", 404, bucket.ErrNoBucket, "`bucket`"},
		{"AccessDenied", 403, bucket.ErrDenied, "s3:GetObject"},
		{"InvalidAccessKeyId", 403, bucket.ErrDenied, "`access_key_id`"},
		{"SignatureDoesNotMatch", 403, bucket.ErrDenied, "`secret_access_key`"},
		{"AuthorizationHeaderMalformed", 400, bucket.ErrRegion, "`region`"},
		{"RequestTimeTooSkewed", 403, bucket.ErrClock, "clock"},
		{"PermanentRedirect", 301, bucket.ErrRegion, "`region`"},
		{"SomethingElse", 400, nil, "status 400"},
	} {
		s.Break(refuse(c.status, c.code))
		_, err := open(t, place(s)).List(t.Context())
		var failure *bucket.Error
		if !errors.As(err, &failure) || c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.code) {
			t.Errorf("%s: %v", c.code, err)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), access)) {
			t.Errorf("%s shows a secret: %v", c.code, err)
		}
	}
	s.Break(nil)

	secure := offsitetest.NewTLSServer()
	defer secure.Close()
	untrusted, plain, nowhere, elsewhere := place(secure), place(s), place(s), place(s)
	plain.Endpoint = strings.Replace(s.URL, "http:", "https:", 1)
	nowhere.Endpoint = "http://127.0.0.1:1"
	elsewhere.Endpoint = "https://s3.invalid"
	for name, c := range map[string]struct {
		place bucket.Place
		kind  error
	}{
		"a certificate that is not trusted": {untrusted, bucket.ErrTLS}, "no TLS": {plain, bucket.ErrTLS},
		"nobody there": {nowhere, bucket.ErrUnreachable}, "no such host": {elsewhere, bucket.ErrUnreachable},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if _, err := open(t, c.place).List(ctx); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), "`endpoint`") {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	for argument, p := range map[string]bucket.Place{
		"endpoint": {Endpoint: "s3.amazonaws.com", Region: "x", Bucket: "x", AccessKeyID: "x", SecretAccessKey: "x"}, "region": {Endpoint: "https://x", Bucket: "x", AccessKeyID: "x", SecretAccessKey: "x"},
		"bucket": {Endpoint: "https://x", Region: "x", AccessKeyID: "x", SecretAccessKey: "x"}, "secret_access_key": {Endpoint: "https://x", Region: "x", Bucket: "x", AccessKeyID: "x"},
	} {
		if _, err := bucket.Open(p); err == nil || !strings.Contains(err.Error(), "`"+argument+"`") {
			t.Errorf("%s: %v", argument, err)
		}
	}
}

// TestRead proves that an object is returned only if it is the one in the manifest, and
// that a transfer that breaks is repeated.
func TestRead(t *testing.T) {
	t.Parallel()
	s := offsitetest.NewServer()
	defer s.Close()
	nights(s, 1)
	b := open(t, place(s))
	listing, err := b.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := listing.Copies[0]
	file := c.Objects()[0]
	key := night(1, nil).Folder() + "/" + file.Key
	whole := s.Object(key)
	if data, err := b.Read(t.Context(), c.Folder, file); err != nil || len(data) != len(whole) {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
	cut := 2
	s.Break(func(w http.ResponseWriter, _ *http.Request) bool {
		if cut == 0 {
			return false
		}
		cut--
		w.Header().Set("Last-Modified", "Thu, 26 Nov 2026 06:00:00 GMT")
		w.Header().Set("Content-Length", "999")
		_, _ = w.Write([]byte("the beginning"))
		return true
	})
	if data, err := b.Read(t.Context(), c.Folder, file); err != nil || len(data) != len(whole) || cut != 0 {
		t.Errorf("after two broken transfers: %d bytes, %v", len(data), err)
	}
	s.Break(nil)
	for name, data := range map[string][]byte{
		"shorter": whole[:len(whole)-1], "longer": append(append([]byte{}, whole...), 0), "changed": append([]byte{whole[0] ^ 1}, whole[1:]...), "empty": {},
	} {
		s.Put(key, data)
		if data, err := b.Read(t.Context(), c.Folder, file); !errors.Is(err, bucket.ErrChanged) || data != nil || !strings.Contains(err.Error(), file.Key) {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
	s.Remove(key)
	if _, err := b.Read(t.Context(), c.Folder, file); !errors.Is(err, bucket.ErrMissing) || !strings.Contains(err.Error(), file.Key) {
		t.Errorf("missing: %v", err)
	}
}

// TestPlaces proves that copies are found and read below an endpoint with a path, which
// Supabase Storage has, in a list of many pages, below a prefix of any form, and on a server
// that is busy at first; that what does not begin as a list of S3 is not taken for an empty
// bucket; and that no redirect is followed, which would show another server the request.
func TestPlaces(t *testing.T) {
	t.Parallel()
	list := func(t *testing.T, p bucket.Place) (*bucket.Listing, error) {
		t.Helper()
		return open(t, p).List(t.Context())
	}
	t.Run("path", func(t *testing.T) {
		t.Parallel()
		s := offsitetest.NewServer()
		defer s.Close()
		nights(s, 2)
		below := httptest.NewServer(http.StripPrefix("/storage/v1/s3", s))
		defer below.Close()
		p := place(s)
		p.Endpoint = below.URL + "/storage/v1/s3"
		listing, err := list(t, p)
		if err != nil || len(listing.Copies) != 2 {
			t.Fatalf("%+v, %v", listing, err)
		}
		c := listing.Copies[0]
		if _, err := open(t, p).Read(t.Context(), c.Folder, c.Objects()[0]); err != nil {
			t.Error(err)
		}
	})
	t.Run("pages", func(t *testing.T) {
		t.Parallel()
		s := offsitetest.NewServer()
		defer s.Close()
		nights(s, 5)
		for n := range 7 {
			s.Put(fmt.Sprintf("prod/%s/auto-backup/note %d & <more>", project, n), []byte("x"))
		}
		for _, size := range []int{1, 2, 3} {
			s.Page(size)
			if listing, err := list(t, place(s)); err != nil || len(listing.Copies) != 5 || len(listing.Unfinished)+len(listing.Damaged) > 0 {
				t.Errorf("pages of %d: %+v, %v", size, listing, err)
			}
		}
	})
	t.Run("busy", func(t *testing.T) {
		t.Parallel()
		s := offsitetest.NewServer()
		defer s.Close()
		nights(s, 1)
		var refused atomic.Int32
		s.Break(func(w http.ResponseWriter, _ *http.Request) bool {
			if refused.Add(1) > 2 {
				return false
			}
			offsitetest.Refuse(w, http.StatusServiceUnavailable, "SlowDown", "Reduce your request rate.")
			return true
		})
		if listing, err := list(t, place(s)); err != nil || len(listing.Copies) != 1 {
			t.Errorf("%+v, %v", listing, err)
		}
	})
	t.Run("not S3", func(t *testing.T) {
		t.Parallel()
		s := offsitetest.NewServer()
		defer s.Close()
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
		defer elsewhere.Close()
		for name, respond := range map[string]http.HandlerFunc{
			"page":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>Welcome</html>") },
			"document": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<Other></Other>") },
			"nothing":  func(http.ResponseWriter, *http.Request) {},
			"missing":  http.NotFound,
			"redirect": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			},
			"without end": func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>")
			},
		} {
			s.Break(func(w http.ResponseWriter, r *http.Request) bool { respond(w, r); return true })
			if listing, err := list(t, place(s)); err == nil || !strings.Contains(err.Error(), "not that of an S3 server") || !strings.Contains(err.Error(), "`endpoint`") {
				t.Errorf("%s: %+v, %v", name, listing, err)
			}
		}
	})
}
