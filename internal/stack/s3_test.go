package stack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// startS3 starts an S3 server for a test.
func startS3(t *testing.T, opts S3Options) *S3 {
	t.Helper()
	s, err := StartS3(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the S3 server: %v", err)
		}
	})
	return s
}

// s3Call sends a signed request with headers, and returns the status, the code of the
// error, and the body.
func s3Call(t *testing.T, client *http.Client, endpoint string, account S3Account, method, path string, headers map[string]string, body string) (status int, code, text string) {
	t.Helper()
	status, code, text, err := s3Try(t.Context(), client, endpoint, account, method, path, headers, body)
	if err != nil {
		t.Fatal(err)
	}
	return status, code, text
}

func s3Try(ctx context.Context, client *http.Client, endpoint string, account S3Account, method, path string, headers map[string]string, body string) (status int, code, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, endpoint+"/"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", "", err
	}
	req.Header.Set("X-Amz-Content-Sha256", sha256Hex(body))
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(signer.SignV4(*req, account.AccessKeyID, account.SecretAccessKey, "", S3Region))
	if err != nil {
		return 0, "", "", err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, "", "", err
	}
	_, after, _ := strings.Cut(string(content), "<Code>")
	code, _, _ = strings.Cut(after, "</Code>")
	return resp.StatusCode, code, string(content), nil
}

// locked are the headers that lock an object for some time.
func locked(mode string, left time.Duration) map[string]string {
	return map[string]string{"X-Amz-Object-Lock-Mode": mode, "X-Amz-Object-Lock-Retain-Until-Date": time.Now().Add(left).UTC().Format(time.RFC3339)}
}

// Proves that the server does what S3 does where the copy relies on it: conditional
// writes, checksums and signatures are checked, a retention can be read back, a locked
// version can be deleted by nobody, except one under governance by root with a bypass,
// and a plain delete only hides it. With attributes in files, too.
func TestS3(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]S3Options{"attributes": {}, "sidecar": {Sidecar: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startS3(t, opts)
			call := func(account S3Account, method, path string, headers map[string]string, body string) (int, string, string) {
				t.Helper()
				return s3Call(t, http.DefaultClient, s.Endpoint, account, method, path, headers, body)
			}
			expect := func(what string, status int, code string, wantStatus int, wantCode string) {
				t.Helper()
				if status != wantStatus || code != wantCode {
					t.Errorf("%s: got %d %s, want %d %s", what, status, code, wantStatus, wantCode)
				}
			}
			base := s.Bucket + "/prod/rows/"
			awkward := "prod/rows/01-olá mundo+%25~(1).ndjson"
			headers := locked("COMPLIANCE", time.Hour)
			sum := sha256.Sum256([]byte("content"))
			headers["X-Amz-Checksum-Sha256"] = base64.StdEncoding.EncodeToString(sum[:])
			headers["If-None-Match"] = "*"
			status, code, _ := call(s.Writer, "PUT", base+"a", headers, "content")
			expect("first write", status, code, 200, "")
			status, code, _ = call(s.Writer, "PUT", base+"a", headers, "content")
			expect("second write", status, code, 412, "PreconditionFailed")
			headers["X-Amz-Checksum-Sha256"] = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
			status, code, _ = call(s.Writer, "PUT", base+"wrong", headers, "content")
			expect("wrong checksum", status, code, 400, "BadDigest")
			status, code, _ = call(S3Account{s.Writer.AccessKeyID, "wrong"}, "PUT", base+"wrong", nil, "content")
			expect("wrong secret", status, code, 403, "SignatureDoesNotMatch")
			status, code, _ = call(S3Account{"AKUNKNOWN", "wrong"}, "PUT", base+"wrong", nil, "content")
			expect("unknown key", status, code, 403, "InvalidAccessKeyId")
			status, code, _ = call(s.Writer, "PUT", "no-such-bucket/a", nil, "content")
			expect("no bucket", status, code, 404, "NoSuchBucket")
			status, code, _ = call(s.Writer, "PUT", s.PlainBucket+"/a", locked("GOVERNANCE", time.Hour), "content")
			if status/100 != 4 {
				t.Errorf("a lock in a bucket without Object Lock: got %d %s", status, code)
			}
			status, code, _ = call(s.Writer, "PUT", base+"governed", locked("GOVERNANCE", time.Hour), "content")
			expect("governance", status, code, 200, "")
			if err := s.Put(t.Context(), s.Bucket, awkward, []byte("x")); err != nil {
				t.Errorf("awkward key: %v", err)
			}
			if got, err := s.Get(t.Context(), s.Bucket, awkward, ""); err != nil || string(got) != "x" {
				t.Errorf("awkward key: got %q, %v", got, err)
			}

			versions, err := s.List(t.Context(), s.Bucket, "prod/rows/")
			if err != nil || len(versions) != 3 {
				t.Fatalf("got %v, %v, want three versions", versions, err)
			}
			for _, v := range versions[1:] {
				mode, until, err := s.Retention(t.Context(), s.Bucket, v.Key, v.VersionID)
				want := map[string]string{"prod/rows/a": "COMPLIANCE", "prod/rows/governed": "GOVERNANCE"}[v.Key]
				if left := time.Until(until); err != nil || mode != want || left < 59*time.Minute || left > time.Hour {
					t.Errorf("retention of %s: %s until %v, %v", v.Key, mode, until, err)
				}
				for _, account := range []S3Account{s.Root, s.Writer, s.Reader, s.Nobody} {
					status, code, _ := call(account, "DELETE", s.Bucket+"/"+v.Key+"?versionId="+v.VersionID, nil, "")
					expect("deleting a locked version", status, code, 403, "AccessDenied")
				}
				status, code, _ := call(s.Root, "DELETE", s.Bucket+"/"+v.Key, nil, "")
				expect("hiding a locked version", status, code, 204, "")
			}
			if mode, _, err := s.Retention(t.Context(), s.Bucket, versions[0].Key, ""); mode != "" || err != nil {
				t.Errorf("retention of what is not locked: %q, %v", mode, err)
			}
			bypass := map[string]string{"X-Amz-Bypass-Governance-Retention": "true"}
			status, code, _ = call(s.Root, "DELETE", s.Bucket+"/"+versions[1].Key+"?versionId="+versions[1].VersionID, bypass, "")
			expect("compliance with a bypass", status, code, 403, "AccessDenied")
			if got, err := s.Get(t.Context(), s.Bucket, versions[1].Key, versions[1].VersionID); err != nil || string(got) != "content" {
				t.Errorf("the locked version is %q, %v", got, err)
			}
			status, code, _ = call(s.Root, "DELETE", s.Bucket+"/"+versions[2].Key+"?versionId="+versions[2].VersionID, bypass, "")
			expect("governance with a bypass", status, code, 204, "")
			if keys, err := s.Keys(t.Context(), s.Bucket, "prod/"); err != nil || !slices.Equal(keys, []string{awkward}) {
				t.Errorf("keys: %q, %v", keys, err)
			}
		})
	}
}

// Proves that each account has its rights and no others.
func TestS3Accounts(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{})
	if err := s.Put(t.Context(), s.Bucket, "a", []byte("content")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what, method, path     string
		headers                map[string]string
		writer, reader, nobody int
	}{
		{"write", "PUT", s.Bucket + "/new", nil, 200, 200, 403},
		{"write with a lock", "PUT", s.Bucket + "/locked", locked("GOVERNANCE", time.Hour), 200, 200, 403},
		{"write without Object Lock", "PUT", s.PlainBucket + "/new", nil, 200, 200, 403},
		{"read", "GET", s.Bucket + "/a", nil, 403, 200, 403},
		{"size", "HEAD", s.Bucket + "/a", nil, 403, 200, 403},
		{"list", "GET", s.Bucket + "?list-type=2", nil, 403, 200, 403},
		{"configuration", "GET", s.Bucket + "?object-lock", nil, 403, 200, 403},
		{"delete", "DELETE", s.Bucket + "/a", nil, 403, 403, 403},
		{"delete the bucket", "DELETE", s.Bucket, nil, 403, 403, 403},
		{"change the policy", "DELETE", s.Bucket + "?policy", nil, 403, 403, 403},
	} {
		for account, want := range map[S3Account]int{s.Writer: test.writer, s.Reader: test.reader, s.Nobody: test.nobody} {
			if status, code, _ := s3Call(t, http.DefaultClient, s.Endpoint, account, test.method, test.path, test.headers, ""); status != want {
				name := map[S3Account]string{s.Writer: "writer", s.Reader: "reader", s.Nobody: "nobody"}[account]
				t.Errorf("%s by %s: got %d %s, want %d", test.what, name, status, code, want)
			}
		}
	}
	status, _, text := s3Call(t, http.DefaultClient, s.Endpoint, s.Reader, "GET", s.Bucket+"?object-lock", nil, "")
	if !strings.Contains(text, "<ObjectLockEnabled>Enabled</ObjectLockEnabled>") {
		t.Errorf("the configuration is %d %s", status, text)
	}
	if status, code, _ := s3Call(t, http.DefaultClient, s.Endpoint, s.Root, "GET", s.PlainBucket+"?object-lock", nil, ""); status != 404 || code != "ObjectLockConfigurationNotFoundError" {
		t.Errorf("the configuration of a bucket without Object Lock is %d %s", status, code)
	}
}

// Proves that tests can change and remove what is stored, locked or not.
func TestS3BehindTheServersBack(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{})
	ctx := t.Context()
	for _, key := range []string{"a/b", "a/c"} {
		if status, code, _ := s3Call(t, http.DefaultClient, s.Endpoint, s.Writer, "PUT", s.Bucket+"/"+key, locked("COMPLIANCE", time.Hour), "content"); status != 200 {
			t.Fatalf("got %d %s", status, code)
		}
	}
	for _, test := range []struct {
		offset int64
		want   string
	}{{0, "bontent"}, {-1, "bontenu"}} {
		if err := s.FlipByte(s.Bucket, "a/b", test.offset); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(ctx, s.Bucket, "a/b", ""); err != nil || string(got) != test.want {
			t.Errorf("flipped at %d: got %q, %v, want %q", test.offset, got, err, test.want)
		}
	}
	if found, err := s.Holding("onten"); err != nil || len(found) != 2 {
		t.Errorf("found %q, %v", found, err)
	}
	if err := s.Vanish(s.Bucket, "a/b"); err != nil {
		t.Fatal(err)
	}
	if keys, err := s.Keys(ctx, s.Bucket, ""); err != nil || !slices.Equal(keys, []string{"a/c"}) {
		t.Errorf("keys: %q, %v", keys, err)
	}
	if err := s.VanishBucket(s.Bucket); err != nil {
		t.Fatal(err)
	}
	if status, code, _ := s3Call(t, http.DefaultClient, s.Endpoint, s.Writer, "PUT", s.Bucket+"/a", nil, "x"); status != 404 || code != "NoSuchBucket" {
		t.Errorf("without its bucket: got %d %s", status, code)
	}
	dir := s.dir
	if err := s.Close(); err != nil || exists(dir) {
		t.Errorf("closed: %v; the directory is there: %v", err, exists(dir))
	}
}

// Proves that the certificate of TLSEndpoint is valid for those who trust the CA, and
// that each bad certificate is refused for its own reason.
func TestS3TLS(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{})
	text, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	if status, code, _ := s3Call(t, client, s.TLSEndpoint, s.Writer, "PUT", s.Bucket+"/a", nil, "content"); status != 200 {
		t.Errorf("got %d %s", status, code)
	}
	refused := func(endpoint string, client *http.Client, as func(error) bool) {
		t.Helper()
		_, _, _, err := s3Try(t.Context(), client, endpoint, s.Writer, "PUT", s.Bucket+"/a", nil, "content")
		if !as(err) {
			t.Errorf("got %v", err)
		}
	}
	unknown := func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }
	refused(s.TLSEndpoint, http.DefaultClient, unknown)
	for kind, as := range map[S3Certificate]func(error) bool{
		S3OtherCA: unknown,
		S3Expired: func(err error) bool {
			var invalid x509.CertificateInvalidError
			return errors.As(err, &invalid) && invalid.Reason == x509.Expired
		},
		S3OtherHost: func(err error) bool { return errors.As(err, new(x509.HostnameError)) },
	} {
		endpoint, err := s.ServeTLS(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		refused(endpoint, client, as)
	}
}

// Proves that a function of a stack reaches the S3 server, on the platform and in a
// self-hosted project: by HTTP, and by HTTPS only if the certificate is valid.
func TestS3FromFunction(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]Options{"platform": {Parts: Functions, S3: true}, "self-hosted": {SelfHosted: true, S3: true, Articles: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Start(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			endpoints := []string{s.S3.Endpoint, s.S3.TLSEndpoint}
			for _, kind := range []S3Certificate{S3OtherCA, S3Expired, S3OtherHost} {
				endpoint, err := s.S3.ServeTLS(t.Context(), kind)
				if err != nil {
					t.Fatal(err)
				}
				endpoints = append(endpoints, endpoint)
			}
			list, _ := json.Marshal(endpoints)
			err = s.DeployFunction(t.Context(), "reach", map[string]string{"index.ts": `
				Deno.serve(async () => Response.json(await Promise.all(` + string(list) + `.map((url) =>
					fetch(url).then(async (r) => { await r.body?.cancel(); return String(r.status); }, (e) => e + " " + e.cause)))));`}, false)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.Get(s.ProjectURL + "/functions/v1/reach")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			var got []string
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || len(got) != len(endpoints) {
				t.Fatalf("got %d %q, %v", resp.StatusCode, got, err)
			}
			// The versions of Deno have words of their own.
			for i, want := range []string{"^403$", "^403$", "UnknownIssuer", "(?i)expired", "(?i)not ?valid ?for ?name"} {
				if !regexp.MustCompile(want).MatchString(got[i]) {
					t.Errorf("%s: got %q, want %s", endpoints[i], got[i], want)
				}
			}
		})
	}
}

// Proves that each fault does what its comment says, to the chosen request alone, and
// that the requests are recorded.
func TestS3Faults(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{})
	ctx := t.Context()
	// Without connections that are used again, Go does not repeat requests.
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	body := strings.Repeat("content ", 1000)
	put := func(key string) (int, string, error) {
		status, code, _, err := s3Try(ctx, client, s.Endpoint, s.Reader, "PUT", s.Bucket+"/"+key, locked("GOVERNANCE", time.Hour), body)
		return status, code, err
	}
	get := func(key string) (int, string, error) {
		status, _, text, err := s3Try(ctx, client, s.Endpoint, s.Reader, "GET", s.Bucket+"/"+key, nil, "")
		return status, text, err
	}
	stored := func(key string) bool {
		keys, err := s.Keys(ctx, s.Bucket, key)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(keys, key)
	}
	for _, test := range []struct {
		fault  S3Fault
		status int // of the PUT; 0 if there is no response
		code   string
		stored bool
	}{
		{S3Error(507, "InsufficientStorage"), 507, "InsufficientStorage", false},
		{S3SlowDown(3 * time.Second), 503, "SlowDown", false},
		{S3Redirect("http://127.0.0.1:9", "us-west-2"), 301, "PermanentRedirect", false},
		{S3HTML(200), 200, "", false},
		{S3CutBefore(), 0, "", false},
		{S3CutAfter(), 0, "", true},
		{S3HalfRequest(), 0, "", false},
		{S3HalfResponse(), 0, "", true},
		{S3FlipRequest(), 400, "XAmzContentSHA256Mismatch", false},
		{S3Delay(time.Millisecond), 200, "", true},
		{s.DropLock(), 200, "", true},
	} {
		s.Reset()
		trap := s.Break(S3Match{Method: "PUT", Key: `^rows/`, Nth: 2}, test.fault)
		key := "rows/" + strings.ReplaceAll(test.fault.Name, " ", "-")
		for _, other := range []string{"other", key + "-first"} {
			if status, code, err := put(other); status != 200 {
				t.Fatalf("%s: %s: %d %s, %v", test.fault.Name, other, status, code, err)
			}
		}
		status, code, err := put(key)
		if status != test.status || code != test.code || (err == nil) != (status != 0) {
			t.Errorf("%s: got %d %s, %v", test.fault.Name, status, code, err)
		}
		if got := stored(key); got != test.stored {
			t.Errorf("%s: stored: %v", test.fault.Name, got)
		}
		requests := s.Requests()
		if len(requests) != 3 || requests[2].Fault != test.fault.Name || requests[2].Key != key || requests[2].Status != test.status || requests[2].AccessKeyID != s.Reader.AccessKeyID || trap.Met() != 1 {
			t.Errorf("%s: recorded %v, met %d", test.fault.Name, requests, trap.Met())
		}
		if got := requests[2].ServerStatus != 0; got != (test.stored || test.status == 400) {
			t.Errorf("%s: the server said %d", test.fault.Name, requests[2].ServerStatus)
		}
		mode, _, err := s.Retention(ctx, s.Bucket, key, "")
		if wants := test.stored && test.fault.Name != s.DropLock().Name; wants != (mode == "GOVERNANCE") {
			t.Errorf("%s: retention %q, %v", test.fault.Name, mode, err)
		}
	}

	s.Reset()
	if status, text, err := get("other"); status != 200 || text != body {
		t.Fatalf("got %d, %v", status, err)
	}
	s.Break(S3Match{Method: "GET"}, S3HalfResponse())
	if status, _, err := get("other"); status != 200 || err == nil {
		t.Errorf("half a response: got %d, %v", status, err)
	}
	s.Break(S3Match{Method: "GET"}, S3FlipResponse())
	if _, text, err := get("other"); err != nil || text == body || len(text) != len(body) {
		t.Errorf("flipped response: %d bytes, %v", len(text), err)
	}
	resp, err := s.Client(s.Reader).StatObject(ctx, s.Bucket, "other", minio.StatObjectOptions{})
	if err != nil || resp.Metadata.Get("X-Amz-Object-Lock-Mode") != "GOVERNANCE" {
		t.Errorf("got %v, %v", resp.Metadata, err)
	}
	s.Break(S3Match{Method: "HEAD"}, S3HideLock())
	resp, err = s.Client(s.Reader).StatObject(ctx, s.Bucket, "other", minio.StatObjectOptions{})
	if err != nil || resp.Metadata.Get("X-Amz-Object-Lock-Mode") != "" || resp.Size != int64(len(body)) {
		t.Errorf("hidden lock: got %v, %v", resp, err)
	}
	for _, fault := range []S3Fault{S3Hang(), S3HangAfter(), S3HangHalf()} {
		s.Reset()
		met := make(chan struct{})
		handle := fault.Handle
		fault.Handle = func(w http.ResponseWriter, r *http.Request, next http.Handler) { close(met); handle(w, r, next) }
		s.Break(S3Match{Method: "GET"}, fault)
		done := make(chan error, 1)
		go func() {
			_, _, err := get("other")
			done <- err
		}()
		<-met
		select {
		case err := <-done:
			t.Errorf("%s: ended early: %v", fault.Name, err)
			continue
		case <-time.After(50 * time.Millisecond):
		}
		s.Repair()
		if err := <-done; err == nil {
			t.Errorf("%s: there was a response", fault.Name)
		}
	}
}

// Proves that the proxy notices a watched text in every part of a request and of a
// response, also across the pieces in which it arrives, and nothing else.
func TestS3Watch(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{})
	call := func(method, path string, headers map[string]string, body string) {
		t.Helper()
		if status, code, _ := s3Call(t, http.DefaultClient, s.Endpoint, s.Root, method, s.Bucket+"/"+path, headers, body); status != 200 {
			t.Fatalf("got %d %s", status, code)
		}
	}
	call("PUT", "before", nil, "canary-1")
	s.Watch("canary-1", "unrelated")
	call("PUT", "a", nil, strings.Repeat("x", 40000))
	if leaks := s.Leaks(); len(leaks) != 0 {
		t.Errorf("leaks: %q", leaks)
	}
	call("PUT", "canary-1", nil, "")
	call("PUT", "b", map[string]string{"X-Amz-Meta-Note": "canary-1"}, "")
	call("PUT", "c", nil, strings.Repeat("x", 1<<15-4)+"canary-1"+strings.Repeat("x", 1<<16))
	call("GET", "before", nil, "")
	want := []string{"URL of PUT ", "header X-Amz-Meta-Note of PUT ", "body of PUT ", "response of GET "}
	leaks := s.Leaks()
	if len(leaks) != len(want) {
		t.Fatalf("leaks: %q", leaks)
	}
	for i, leak := range leaks {
		if !strings.HasPrefix(leak, want[i]) {
			t.Errorf("leak %q, want %q", leak, want[i])
		}
	}
	s.Reset()
	if leaks, requests := s.Leaks(), s.Requests(); len(leaks)+len(requests) != 0 {
		t.Errorf("after a reset: %q, %v", leaks, requests)
	}
}

// Proves what the second implementation supports of what the copy relies on, and how it
// refuses the rest: what S3Memory says.
func TestS3Memory(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{Kind: S3Memory})
	sum := func(text string) string {
		digest := sha256.Sum256([]byte(text))
		return base64.StdEncoding.EncodeToString(digest[:])
	}
	for _, test := range []struct {
		what, method, path string
		account            S3Account
		headers            map[string]string
		status             int
		code               string
	}{
		{"unknown key", "PUT", s.Bucket + "/a", s.Nobody, nil, 403, "InvalidAccessKeyId"},
		{"wrong secret", "PUT", s.Bucket + "/a", S3Account{s.Writer.AccessKeyID, "wrong"}, nil, 403, "SignatureDoesNotMatch"},
		{"wrong checksum", "PUT", s.Bucket + "/a", s.Writer, map[string]string{"X-Amz-Checksum-Sha256": sum("other")}, 400, "BadDigest"},
		{"lock", "PUT", s.Bucket + "/a", s.Writer, locked("GOVERNANCE", time.Hour), 400, "InvalidRequest"},
		{"no bucket", "PUT", "no-such-bucket/a", s.Writer, nil, 404, "NoSuchBucket"},
		{"none of these stored anything", "HEAD", s.Bucket + "/a", s.Reader, nil, 404, ""},
		{"first write", "PUT", s.Bucket + "/a", s.Writer, map[string]string{"X-Amz-Checksum-Sha256": sum("content"), "If-None-Match": "*"}, 200, ""},
		{"second write", "PUT", s.Bucket + "/a", s.Writer, map[string]string{"If-None-Match": "*"}, 412, "PreconditionFailed"},
		{"awkward key", "PUT", s.Bucket + "/01-ol%C3%A1%20mundo+%2525~(1)", s.Writer, nil, 200, ""},
		{"lock configuration", "GET", s.Bucket + "?object-lock", s.Reader, nil, 404, "ObjectLockConfigurationNotFoundError"},
	} {
		body := ""
		if test.method == "PUT" {
			body = "content"
		}
		if status, code, _ := s3Call(t, http.DefaultClient, s.Endpoint, test.account, test.method, test.path, test.headers, body); status != test.status || code != test.code {
			t.Errorf("%s: got %d %s, want %d %s", test.what, status, code, test.status, test.code)
		}
	}
	if keys, err := s.Keys(t.Context(), s.Bucket, ""); err != nil || !slices.Equal(keys, []string{"01-olá mundo+%25~(1)", "a"}) {
		t.Errorf("keys: %q, %v", keys, err)
	}
	if got, err := s.Get(t.Context(), s.Bucket, "a", ""); err != nil || string(got) != "content" {
		t.Errorf("got %q, %v", got, err)
	}
	for want, headers := range map[int]map[string]string{200: nil, 400: {"X-Amz-Checksum-Sha256": sum("content")}} {
		s.Break(S3Match{Method: "PUT"}, S3FlipRequest())
		if status, code, _ := s3Call(t, http.DefaultClient, s.Endpoint, s.Writer, "PUT", s.Bucket+"/b", headers, "content"); status != want {
			t.Errorf("a flipped byte: got %d %s, want %d", status, code, want)
		}
	}
	for what, err := range map[string]error{"FlipByte": s.FlipByte(s.Bucket, "a", 0), "Vanish": s.Vanish(s.Bucket, "a"), "VanishBucket": s.VanishBucket(s.Bucket)} {
		if err == nil {
			t.Errorf("%s did something", what)
		}
	}
	if _, err := s.Holding("content"); err == nil {
		t.Error("Holding found no files, and no error")
	}
}

// Proves that the version to build is the one that the module pins, that it is built
// once, and that the error without it names the command.
func TestS3IsFound(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	var log bytes.Buffer
	for tool, prefix := range map[s3Tool]string{versityTool: "versitygw-", memoryTool: "gofakes3-"} {
		version, err := pinnedModule(s3Dir(), tool.module)
		if err != nil {
			t.Fatal(err)
		}
		path, err := tool.find()
		if want := filepath.Join(cache, "terraform-provider-aimindset", prefix+version[1:]); !strings.HasPrefix(path, want) {
			t.Errorf("the program belongs at %s, want %s", path, want)
		}
		if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), installCommand) {
			t.Errorf("got %v", err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := StartS3(t.Context(), S3Options{Kind: map[s3Tool]S3Kind{versityTool: S3Versity, memoryTool: S3Memory}[tool]}); !errors.Is(err, ErrNotInstalled) {
			t.Errorf("got %v", err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := InstallS3(t.Context(), &log); err != nil || log.Len() != 0 {
		t.Errorf("with the programs there: %v, %q", err, log.String())
	}
	if _, err := pinnedModule(s3Dir(), "example.com/other"); err == nil {
		t.Error("a module that is not required has a version")
	}
}

// Proves that a program is built into the place that it belongs to, and that a build that
// fails says why and leaves nothing.
func TestS3IsBuilt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "cache", "memory-1", "memory")
	if err := buildTool(t.Context(), s3Dir(), memoryTool.program, path); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), path).CombinedOutput(); err == nil || !strings.Contains(string(out), "S3_ACCESS_KEYS is empty") {
		t.Errorf("without access keys: %v, %s", err, out)
	}
	err := buildTool(t.Context(), s3Dir(), "./no-such-package", filepath.Join(dir, "cache", "other-1", "other"))
	if err == nil || !strings.Contains(err.Error(), "no-such-package") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "cache")); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}
