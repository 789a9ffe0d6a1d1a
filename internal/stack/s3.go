package stack

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// S3Region is the region of the S3 servers.
const S3Region = "eu-central-1"

// S3Kind is an implementation of S3.
type S3Kind int

// The implementations of S3.
const (
	// S3Versity is versitygw, with all that S3 describes.
	S3Versity S3Kind = iota
	// S3Memory is rclone's gofakes3, which shares nothing with the other one. It verifies
	// signatures and x-amz-checksum-sha256, but does not compare a body with
	// x-amz-content-sha256, and has conditional writes. It has no Object Lock: it refuses
	// the headers with 400 InvalidRequest, and there is no configuration. No bucket has
	// versions. Its accounts have no rights of their own: Writer, Reader and Root may all
	// do everything, and Nobody is unknown. It keeps everything in memory, so that
	// FlipByte, Vanish, VanishBucket and Holding return an error.
	S3Memory
)

// S3Options configures an S3 server.
type S3Options struct {
	// Kind is the implementation.
	Kind S3Kind
	// Sidecar keeps what belongs to objects in files, as on a file system that has no
	// extended attributes, where it is done in any case.
	Sidecar bool
	// Log receives what the server prints. It may be nil.
	Log io.Writer
}

// S3Account is an access key of an S3 server.
type S3Account struct {
	AccessKeyID, SecretAccessKey string
}

// S3 is a running S3 server: the real versitygw, with its files in a temporary directory,
// or another implementation, which is described with its kind. Clients reach it through a proxy in this process, which records their
// requests and breaks those that a test has chosen (see Break). It verifies signatures
// and checksums, and has versions, Object Lock, bucket policies and conditional writes.
//
// Other than Amazon's, it serves buckets only by path and has one region.
type S3 struct {
	// Endpoint is the server's base URL, and TLSEndpoint the same with a certificate
	// for 127.0.0.1 and localhost of the CA whose certificate is in CAFile, as PEM.
	Endpoint, TLSEndpoint, CAFile string
	// Bucket has Object Lock, without a default retention, and versions. PlainBucket has
	// neither.
	Bucket, PlainBucket string
	// Root may do everything, bypass governance included.
	Root S3Account
	// Writer may write objects and their retention in both buckets, and nothing else.
	// Reader may also read objects and retentions, list, and read the configuration of
	// Object Lock. Nobody has a valid key and no rights.
	Writer, Reader, Nobody S3Account

	kind    S3Kind
	ca      *testCA
	dir     string
	super   *supervisor
	process *process
	output  *lockedBuffer
	back    *http.Transport // to the server
	proxy   *s3Proxy
	servers []*http.Server

	closing sync.Once
	closed  error
}

// StartS3 starts an S3 server and returns when it is ready. The context is only for the
// start. The error of a server that has not been built wraps ErrNotInstalled.
func StartS3(ctx context.Context, opts S3Options) (_ *S3, err error) {
	tool := versityTool
	if opts.Kind == S3Memory {
		tool = memoryTool
	}
	program, err := tool.find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "aimindset-s3-")
	if err != nil {
		return nil, err
	}
	s := &S3{
		kind: opts.Kind, dir: dir, Bucket: "locked-" + randomLetters(8), PlainBucket: "plain-" + randomLetters(8),
		Root: newS3Account(), Writer: newS3Account(), Reader: newS3Account(), Nobody: newS3Account(),
		output: &lockedBuffer{also: orDiscard(opts.Log)},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.super, err = newSupervisor(dir, dir); err != nil {
		return nil, err
	}
	for _, name := range []string{s3Buckets, s3Versions, s3Sidecar, s3Accounts} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	if err := s.startServer(ctx, program, opts.Sidecar); err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	if opts.Kind == S3Versity {
		if err := s.prepare(ctx); err != nil {
			return nil, fmt.Errorf("preparing the S3 server: %w\n%s", err, s.output)
		}
	}
	s.Reset()
	return s, nil
}

func newS3Account() S3Account {
	return S3Account{AccessKeyID: "AK" + strings.ToUpper(randomHex(9)), SecretAccessKey: randomHex(20)}
}

// The directories of a server: its buckets, older versions, what belongs to objects on a
// file system without extended attributes, and its accounts.
const (
	s3Buckets  = "buckets"
	s3Versions = "versions"
	s3Sidecar  = "sidecar"
	s3Accounts = "accounts"
)

// socket is where the server listens. With a port there would be a moment between its
// choice and its use.
func (s *S3) socket() string { return filepath.Join(s.dir, "s3.sock") }

// startServer starts the server and waits until it listens.
func (s *S3) startServer(ctx context.Context, program string, sidecar bool) error {
	environment, args := s.command(sidecar)
	cmd := exec.Command(program, args...) //nolint:noctx // the supervisor ends it
	cmd.Dir = s.dir
	cmd.Env = environment
	cmd.Stdout, cmd.Stderr = s.output, s.output
	var err error
	if s.process, err = s.super.start(cmd, "TERM", false); err != nil {
		return err
	}
	err = s.awaitServer(ctx)
	if err != nil && !sidecar && strings.Contains(s.output.String(), "xattrs are not supported") {
		return s.startServer(ctx, program, true)
	}
	return err
}

// command returns the environment and the arguments of the server.
func (s *S3) command(sidecar bool) (environment, args []string) {
	path := "PATH=" + os.Getenv("PATH")
	if s.kind == S3Memory {
		var keys []string
		for _, account := range []S3Account{s.Root, s.Writer, s.Reader} {
			keys = append(keys, account.AccessKeyID+":"+account.SecretAccessKey)
		}
		return []string{path, "S3_ACCESS_KEYS=" + strings.Join(keys, " "), "S3_BUCKETS=" + s.Bucket + " " + s.PlainBucket}, []string{"-socket", s.socket()}
	}
	environment = []string{path, "ROOT_ACCESS_KEY_ID=" + s.Root.AccessKeyID, "ROOT_SECRET_ACCESS_KEY=" + s.Root.SecretAccessKey}
	args = []string{"--port", s.socket(), "--iam-dir", filepath.Join(s.dir, s3Accounts), "--iam-cache-disable", "--region", S3Region, "--quiet", "--keep-alive",
		"posix", "--versioning-dir", filepath.Join(s.dir, s3Versions)}
	if sidecar {
		args = append(args, "--sidecar", filepath.Join(s.dir, s3Sidecar))
	}
	return environment, append(args, filepath.Join(s.dir, s3Buckets))
}

// listen starts the proxy.
func (s *S3) listen(ctx context.Context) error {
	var err error
	if s.ca, err = newTestCA(); err != nil {
		return err
	}
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	if err := os.WriteFile(s.CAFile, s.ca.pem(), 0o600); err != nil {
		return err
	}
	s.back = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
		},
		DisableCompression: true,
	}
	s.proxy = newS3Proxy(s)
	if s.Endpoint, err = s.serve(ctx, nil); err != nil {
		return err
	}
	s.TLSEndpoint, err = s.ServeTLS(ctx, S3Trusted)
	return err
}

// serve opens another port of the proxy, until the server is closed.
func (s *S3) serve(ctx context.Context, config *tls.Config) (endpoint string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := newServer()
	server.Handler = s.proxy
	s.servers = append(s.servers, server)
	scheme := "http://"
	if config != nil {
		scheme = "https://"
		listener = tls.NewListener(listener, config)
	}
	go func() { _ = server.Serve(listener) }()
	return scheme + listener.Addr().String(), nil
}

// awaitServer waits until the server responds.
func (s *S3) awaitServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.process.done:
			return fmt.Errorf("the S3 server has ended: %w\n%s", s.process.err, s.output)
		case <-ctx.Done():
			return fmt.Errorf("the S3 server does not listen: %w\n%s", err, s.output)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// prepare makes the accounts and the buckets.
func (s *S3) prepare(ctx context.Context) error {
	for _, account := range []S3Account{s.Writer, s.Reader, s.Nobody} {
		if err := s.createAccount(ctx, account); err != nil {
			return fmt.Errorf("creating an account: %w", err)
		}
	}
	root := s.Client(s.Root)
	for _, bucket := range []string{s.Bucket, s.PlainBucket} {
		if err := root.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: S3Region, ObjectLocking: bucket == s.Bucket}); err != nil {
			return fmt.Errorf("creating bucket %s: %w", bucket, err)
		}
		if err := root.SetBucketPolicy(ctx, bucket, s.policy(bucket)); err != nil {
			return fmt.Errorf("setting the policy of bucket %s: %w", bucket, err)
		}
	}
	return nil
}

// createAccount makes an account that has no rights but those of bucket policies.
func (s *S3) createAccount(ctx context.Context, account S3Account) error {
	body := fmt.Sprintf("<Account><Access>%s</Access><Secret>%s</Secret><Role>user</Role></Account>", account.AccessKeyID, account.SecretAccessKey)
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, s.Endpoint+"/create-user", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Amz-Content-Sha256", sha256Hex(body))
	resp, err := http.DefaultClient.Do(signer.SignV4(*req, s.Root.AccessKeyID, s.Root.SecretAccessKey, "", S3Region))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return nil
}

// policy is the policy of a bucket: the rights of the accounts.
func (s *S3) policy(bucket string) string {
	const statement = `{"Effect": "Allow", "Principal": {"AWS": [%s]}, "Action": [%s], "Resource": %q}`
	statements := []string{
		fmt.Sprintf(statement, quoted(s.Writer.AccessKeyID, s.Reader.AccessKeyID), quoted("s3:PutObject", "s3:PutObjectRetention"), "arn:aws:s3:::"+bucket+"/*"),
		fmt.Sprintf(statement, quoted(s.Reader.AccessKeyID), quoted("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention"), "arn:aws:s3:::"+bucket+"/*"),
		fmt.Sprintf(statement, quoted(s.Reader.AccessKeyID), quoted("s3:ListBucket", "s3:GetBucketObjectLockConfiguration"), "arn:aws:s3:::"+bucket),
	}
	return `{"Version": "2012-10-17", "Statement": [` + strings.Join(statements, ", ") + `]}`
}

func quoted(texts ...string) string { return `"` + strings.Join(texts, `", "`) + `"` }

// Close stops the server and removes its files. Further calls return the same result.
func (s *S3) Close() error {
	s.closing.Do(func() {
		for _, server := range s.servers {
			_ = server.Close()
		}
		if s.proxy != nil {
			s.proxy.release()
		}
		if s.back != nil {
			s.back.CloseIdleConnections()
		}
		// It ends the server and removes the directory.
		if s.super != nil {
			s.closed = s.super.close()
		}
		s.closed = errors.Join(s.closed, os.RemoveAll(s.dir))
	})
	return s.closed
}

// Client returns a client for an account, at Endpoint.
func (s *S3) Client(account S3Account) *minio.Client {
	client, err := minio.New(strings.TrimPrefix(s.Endpoint, "http://"), &minio.Options{
		Creds:  credentials.NewStaticV4(account.AccessKeyID, account.SecretAccessKey, ""),
		Region: S3Region, BucketLookup: minio.BucketLookupPath, MaxRetries: 1,
	})
	if err != nil {
		panic(err) // the endpoint is ours
	}
	return client
}

// S3Object is a version of an object, or a delete marker.
type S3Object struct {
	Key, VersionID string
	Size           int64
	// Latest says that it is the version that a request without a version gets.
	Latest, DeleteMarker bool
}

// List returns all versions and delete markers of a bucket whose keys have a prefix,
// sorted by key, the newest first.
func (s *S3) List(ctx context.Context, bucket, prefix string) ([]S3Object, error) {
	var objects []S3Object
	for info := range s.direct().ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: s.kind == S3Versity}) {
		if info.Err != nil {
			return nil, fmt.Errorf("listing the versions in bucket %s: %w", bucket, info.Err)
		}
		objects = append(objects, S3Object{Key: info.Key, VersionID: info.VersionID, Size: info.Size, Latest: info.IsLatest || s.kind != S3Versity, DeleteMarker: info.IsDeleteMarker})
	}
	slices.SortStableFunc(objects, func(a, b S3Object) int { return strings.Compare(a.Key, b.Key) })
	return objects, nil
}

// Keys returns the keys of a bucket that have a prefix and are not deleted, sorted.
func (s *S3) Keys(ctx context.Context, bucket, prefix string) ([]string, error) {
	objects, err := s.List(ctx, bucket, prefix)
	var keys []string
	for _, o := range objects {
		if o.Latest && !o.DeleteMarker {
			keys = append(keys, o.Key)
		}
	}
	return keys, err
}

// Get returns the bytes of a version of an object, of the latest one if versionID is
// empty.
func (s *S3) Get(ctx context.Context, bucket, key, versionID string) ([]byte, error) {
	object, err := s.direct().GetObject(ctx, bucket, key, minio.GetObjectOptions{VersionID: versionID})
	if err != nil {
		return nil, err
	}
	defer func() { _ = object.Close() }()
	content, err := io.ReadAll(object)
	if err != nil {
		return nil, fmt.Errorf("reading %s in bucket %s: %w", key, bucket, err)
	}
	return content, nil
}

// Put stores an object, as root.
func (s *S3) Put(ctx context.Context, bucket, key string, content []byte) error {
	_, err := s.direct().PutObject(ctx, bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	return err
}

// Retention returns the mode (GOVERNANCE or COMPLIANCE) and the end of the retention of a
// version, of the latest one if versionID is empty, or an empty mode if it has none.
func (s *S3) Retention(ctx context.Context, bucket, key, versionID string) (mode string, until time.Time, err error) {
	// The server's response to a request for the retention has another root element than
	// Amazon's, which the client does not read.
	info, err := s.direct().StatObject(ctx, bucket, key, minio.StatObjectOptions{VersionID: versionID})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("reading the retention of %s in bucket %s: %w", key, bucket, err)
	}
	if mode = info.Metadata.Get("X-Amz-Object-Lock-Mode"); mode == "" {
		return "", time.Time{}, nil
	}
	until, err = time.Parse(time.RFC3339, info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	return mode, until, err
}

// file returns the path of the file with the latest version of an object.
func (s *S3) file(bucket, key string) (string, error) {
	if s.kind != S3Versity {
		return "", errors.New("this S3 server keeps its objects in memory")
	}
	return filepath.Join(s.dir, s3Buckets, bucket, filepath.FromSlash(key)), nil
}

// FlipByte changes the byte at an offset in the latest version of an object, from the
// end if the offset is negative, without the server's knowledge.
func (s *S3) FlipByte(bucket, key string, offset int64) error {
	path, err := s.file(bucket, key)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if offset < 0 {
		size, err := file.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		offset += size
	}
	var b [1]byte
	if _, err := file.ReadAt(b[:], offset); err != nil {
		return err
	}
	b[0] ^= 0x01
	_, err = file.WriteAt(b[:], offset)
	return err
}

// Vanish removes the latest version of an object without the server's knowledge, locked
// or not.
func (s *S3) Vanish(bucket, key string) error {
	path, err := s.file(bucket, key)
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// VanishBucket removes a bucket with all its objects without the server's knowledge,
// locked or not.
func (s *S3) VanishBucket(bucket string) error {
	path, err := s.file(bucket, "")
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	var errs []error
	for _, name := range []string{s3Buckets, s3Versions, s3Sidecar} {
		errs = append(errs, os.RemoveAll(filepath.Join(s.dir, name, bucket)))
	}
	return errors.Join(errs...)
}

// Holding returns the files of the server, relative to its directory, whose names or
// contents hold a text: objects, older versions, and what belongs to them.
func (s *S3) Holding(text string) ([]string, error) {
	if _, err := s.file("", ""); err != nil {
		return nil, err
	}
	var found []string
	files := os.DirFS(s.dir)
	for _, name := range []string{s3Buckets, s3Versions, s3Sidecar} {
		err := fs.WalkDir(files, name, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := fs.ReadFile(files, path)
			if err == nil && (strings.Contains(path, text) || bytes.Contains(content, []byte(text))) {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// direct returns a client of root that does not pass the proxy.
func (s *S3) direct() *minio.Client {
	client, err := minio.New(strings.TrimPrefix(s.Endpoint, "http://"), &minio.Options{
		Creds:  credentials.NewStaticV4(s.Root.AccessKeyID, s.Root.SecretAccessKey, ""),
		Region: S3Region, BucketLookup: minio.BucketLookupPath, MaxRetries: 1, Transport: s.back,
	})
	if err != nil {
		panic(err) // the endpoint is ours
	}
	return client
}

// reverse returns the proxy's way to the server. The host stays the client's, as its
// signature covers it.
func (s *S3) reverse() *httputil.ReverseProxy {
	target := &url.URL{Scheme: "http", Host: "s3"}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			r.Out.Host = r.In.Host
		},
		Transport: s.back,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // as if there were no proxy
		},
		ErrorLog: newServer().ErrorLog,
	}
}

// lockedBuffer keeps what several goroutines write, and writes it elsewhere, too.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	also io.Writer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = b.also.Write(p)
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
