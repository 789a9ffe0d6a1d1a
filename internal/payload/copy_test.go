package payload_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/cms"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/offsitetest"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// copyClient is the function's encryption and its S3 client in a process of their own.
type copyClient struct {
	in  io.Writer
	out *bufio.Scanner
}

// copyCommand is what a copyClient does: it seals, or calls a bucket.
type copyCommand struct {
	Recipients  []string         `json:"recipients,omitempty"`
	Content     []byte           `json:"content,omitempty"`
	Destination *copyDestination `json:"destination,omitempty"`
	Call        string           `json:"call,omitempty"`
	Key         string           `json:"key,omitempty"`
	Version     string           `json:"version,omitempty"`
	Lock        *copyLock        `json:"lock,omitempty"`
	Expected    *copyExpected    `json:"expected,omitempty"`
	Later       int64            `json:"later,omitempty"`
	Next        string           `json:"next,omitempty"`
}

type copyDestination struct {
	Endpoint        string `json:"endpoint"`
	Region          string `json:"region"`
	Bucket          string `json:"bucket"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

type copyLock struct {
	Mode  string    `json:"mode"`
	Until time.Time `json:"until"`
}

type copyExpected struct {
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// copyResult is what came of a command.
type copyResult struct {
	Sealed    []byte    `json:"sealed"`
	Keys      []string  `json:"keys"`
	Size      int       `json:"size"`
	SHA256    string    `json:"sha256"`
	VersionID string    `json:"versionId"`
	Lock      *copyLock `json:"lock"`
	Enabled   bool      `json:"enabled"`
	Objects   []struct {
		Key  string `json:"key"`
		Size int    `json:"size"`
	} `json:"objects"`
	Next    string `json:"next"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func startCopyClient(t *testing.T, args ...string) *copyClient {
	t.Helper()
	deno, err := stack.Deno()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	args = append([]string{"run", "--quiet", "--no-check", "--no-remote", "--no-lock", "--allow-net=127.0.0.1"}, args...)
	cmd := exec.CommandContext(ctx, deno, append(args, "function/_tests/copy_driver.ts")...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	return &copyClient{in: in, out: lines}
}

// do runs a command.
func (c *copyClient) do(t *testing.T, command copyCommand) copyResult {
	t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	if !c.out.Scan() {
		t.Fatalf("%s: the process has ended: %v", command.Call, c.out.Err())
	}
	var r copyResult
	if err := json.Unmarshal(c.out.Bytes(), &r); err != nil {
		t.Fatalf("%s: %v in %.300s", command.Call, err, c.out.Bytes())
	}
	return r
}

// The structures of RFC 5652, 5083, 5084 and 4055, as encoding/asn1 wants them.
type (
	contentInfo struct {
		ContentType asn1.ObjectIdentifier
		Content     authEnvelopedData `asn1:"explicit,tag:0"`
	}
	authEnvelopedData struct {
		Version    int
		Recipients []keyTransRecipientInfo `asn1:"set"`
		Encrypted  encryptedContentInfo
		MAC        []byte
	}
	keyTransRecipientInfo struct {
		Version      int
		KeyID        []byte `asn1:"tag:0"`
		Algorithm    oaepAlgorithm
		EncryptedKey []byte
	}
	oaepAlgorithm struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters struct {
			Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
			Mask struct {
				Algorithm asn1.ObjectIdentifier
				Hash      pkix.AlgorithmIdentifier
			} `asn1:"explicit,tag:1"`
		}
	}
	encryptedContentInfo struct {
		ContentType asn1.ObjectIdentifier
		Algorithm   struct {
			Algorithm  asn1.ObjectIdentifier
			Parameters struct {
				Nonce  []byte
				ICVLen int
			}
		}
		Content []byte `asn1:"tag:0"`
	}
)

// openSealed opens what was sealed with Go's standard library alone.
func openSealed(data []byte, key *rsa.PrivateKey) ([]byte, error) {
	var info contentInfo
	if rest, err := asn1.Unmarshal(data, &info); err != nil {
		return nil, err
	} else if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after the structure", len(rest))
	}
	sha256OID := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	content := info.Content
	if !info.ContentType.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 23}) || content.Version != 0 ||
		!content.Encrypted.ContentType.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}) ||
		!content.Encrypted.Algorithm.Algorithm.Equal(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 46}) ||
		content.Encrypted.Algorithm.Parameters.ICVLen != 16 || len(content.MAC) != 16 {
		return nil, fmt.Errorf("the structure is %+v", info)
	}
	id, err := cms.KeyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	for _, r := range content.Recipients {
		a := r.Algorithm
		if r.Version != 2 || !a.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}) ||
			!a.Parameters.Mask.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}) ||
			!a.Parameters.Hash.Algorithm.Equal(sha256OID) || !a.Parameters.Mask.Hash.Algorithm.Equal(sha256OID) {
			return nil, fmt.Errorf("a recipient is %+v", r)
		}
		if hex.EncodeToString(r.KeyID) != id {
			continue
		}
		contentKey, err := rsa.DecryptOAEP(sha256.New(), nil, key, r.EncryptedKey, nil)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(contentKey)
		if err != nil {
			return nil, err
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		return gcm.Open(nil, content.Encrypted.Algorithm.Parameters.Nonce, append(content.Encrypted.Content, content.MAC...), nil)
	}
	return nil, fmt.Errorf("none of the %d recipients has key %s", len(content.Recipients), id)
}

// TestSealed proves that Go reads what the Edge Function seals: its standard library, and
// the package that restores copies; and that both refuse it for another key.
func TestSealed(t *testing.T) {
	t.Parallel()
	c := startCopyClient(t)
	keys := []*rsa.PrivateKey{offsitetest.Key(0), offsitetest.Key(1), offsitetest.Key(2)}
	var recipients, ids []string
	for _, key := range keys[:2] {
		spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		recipients = append(recipients, base64.StdEncoding.EncodeToString(spki))
		ids = append(ids, offsitetest.KeyID(key))
	}
	for _, size := range []int{0, 1, 127, 128, 255, 256, 65535, 65536, 9_000_000} {
		plain := make([]byte, size)
		_, _ = rand.Read(plain) // it never fails
		r := c.do(t, copyCommand{Recipients: recipients, Content: plain})
		if !slices.Equal(r.Keys, ids) {
			t.Fatalf("%d bytes: the keys are %v %s, want %v", size, r.Keys, r.Message, ids)
		}
		for i, key := range keys {
			opened, err := openSealed(r.Sealed, key)
			if good := err == nil && bytes.Equal(opened, plain); good != (i < 2) {
				t.Errorf("%d bytes, key %d: opened %v: %v", size, i, good, err)
			}
			private, err := cms.ParsePrivateKey(offsitetest.PEM(key))
			if err != nil {
				t.Fatal(err)
			}
			opened, err = cms.Open(t.Context(), r.Sealed, private)
			if good := err == nil && bytes.Equal(opened, plain); good != (i < 2) {
				t.Errorf("%d bytes, key %d: package cms opened %v: %v", size, i, good, err)
			}
		}
	}
	if r := c.do(t, copyCommand{Recipients: []string{recipients[0], "AAAA"}}); !strings.Contains(r.Message, "not the SubjectPublicKeyInfo") {
		t.Errorf("a key that is none: %+v", r)
	}
}

// TestS3Client proves that the Edge Function's client works with a real S3 server, and
// that it tells apart what the server refuses.
func TestS3Client(t *testing.T) {
	t.Parallel()
	s, err := stack.StartS3(t.Context(), stack.S3Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the S3 server: %v", err)
		}
	})
	c := startCopyClient(t, "--cert", s.CAFile)
	as := func(account stack.S3Account, edit ...func(*copyDestination)) *copyDestination {
		d := &copyDestination{
			Endpoint: s.TLSEndpoint, Region: stack.S3Region, Bucket: s.Bucket,
			AccessKeyID: account.AccessKeyID, SecretAccessKey: account.SecretAccessKey,
		}
		for _, e := range edit {
			e(d)
		}
		return d
	}
	plain := func(d *copyDestination) { d.Bucket = s.PlainBucket }
	content := []byte("a part of a copy")
	sum := sha256.Sum256(content)
	want := &copyExpected{Size: len(content), SHA256: hex.EncodeToString(sum[:])}
	lock := &copyLock{Mode: "compliance", Until: time.Now().Add(24 * time.Hour).UTC()}
	const key = "prod/ação +%1.cms"

	stored := c.do(t, copyCommand{Destination: as(s.Writer), Call: "put", Key: key, Content: content, Lock: lock})
	if stored.Code != "" || stored.Size != want.Size || stored.SHA256 != want.SHA256 || stored.VersionID == "" {
		t.Fatalf("put: %+v", stored)
	}
	got, err := s.Get(t.Context(), s.Bucket, key, stored.VersionID)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("the object is %q, %v", got, err)
	}
	mode, until, err := s.Retention(t.Context(), s.Bucket, key, stored.VersionID)
	if err != nil || mode != "COMPLIANCE" || !until.Equal(lock.Until.Truncate(time.Second)) {
		t.Errorf("its lock is %s until %s, %v", mode, until, err)
	}
	r := c.do(t, copyCommand{Destination: as(s.Reader), Call: "verifyContent", Key: key, Expected: want, Lock: lock})
	if r.Code != "" || r.VersionID != stored.VersionID || r.Lock == nil || r.SHA256 != want.SHA256 {
		t.Errorf("verify: %+v", r)
	}
	if r := c.do(t, copyCommand{Destination: as(s.Root, plain), Call: "put", Key: "free", Content: content}); r.Code != "" || r.VersionID != "" {
		t.Errorf("put without a lock: %+v", r)
	}
	if r := c.do(t, copyCommand{Destination: as(s.Root, plain), Call: "delete", Key: "free"}); r.Code != "" {
		t.Errorf("delete: %+v", r)
	}
	for bucket, enabled := range map[string]bool{s.Bucket: true, s.PlainBucket: false} {
		r := c.do(t, copyCommand{Destination: as(s.Root, func(d *copyDestination) { d.Bucket = bucket }), Call: "versioning"})
		if r.Code != "" || r.Enabled != enabled {
			t.Errorf("versions of %s: %+v", bucket, r)
		}
	}
	if r := c.do(t, copyCommand{Destination: as(s.Reader), Call: "lockConfiguration"}); r.Code != "" || !r.Enabled {
		t.Errorf("Object Lock: %+v", r)
	}

	// A list in pages of two.
	for _, name := range []string{"list/a&b", "list/b", "list/c"} {
		if err := s.Put(t.Context(), s.PlainBucket, name, content); err != nil {
			t.Fatal(err)
		}
	}
	var listed []string
	for next, page := "", 1; page <= 3; page++ {
		r := c.do(t, copyCommand{Destination: as(s.Reader, plain), Call: "list", Key: "list/", Next: next})
		for _, o := range r.Objects {
			listed = append(listed, fmt.Sprint(o.Key, " ", o.Size))
		}
		if next = r.Next; next == "" {
			break
		}
	}
	if wanted := []string{"list/a&b 16", "list/b 16", "list/c 16"}; !slices.Equal(listed, wanted) {
		t.Errorf("the list is %q, want %q", listed, wanted)
	}

	past := &copyLock{Mode: "governance", Until: time.Now().Add(-time.Hour)}
	refused := []struct {
		name    string
		command copyCommand
		code    string
	}{
		{"a second object", copyCommand{Destination: as(s.Writer), Call: "put", Key: key, Content: content}, "offsite_exists"},
		{"a locked version", copyCommand{Destination: as(s.Root), Call: "delete", Key: key, Version: stored.VersionID}, "offsite_locked"},
		{"a lock in the past", copyCommand{Destination: as(s.Writer), Call: "put", Key: "k", Lock: past}, "offsite_lock_refused"},
		{"a bucket without locks", copyCommand{Destination: as(s.Writer, plain), Call: "put", Key: "k", Lock: lock}, "offsite_lock_missing"},
		{"its configuration", copyCommand{Destination: as(s.Root, plain), Call: "lockConfiguration"}, "offsite_lock_missing"},
		{"an object that is longer locked", copyCommand{Destination: as(s.Reader), Call: "verify", Key: key, Expected: want, Lock: &copyLock{Mode: "compliance", Until: lock.Until.Add(time.Hour)}}, "offsite_lock_missing"},
		{"another size", copyCommand{Destination: as(s.Reader), Call: "verify", Key: key, Expected: &copyExpected{Size: 1, SHA256: want.SHA256}}, "offsite_checksum"},
		{"another digest", copyCommand{Destination: as(s.Reader), Call: "verify", Key: key, Expected: &copyExpected{Size: want.Size, SHA256: strings.Repeat("0", 64)}}, "offsite_checksum"},
		{"no such object", copyCommand{Destination: as(s.Reader), Call: "get", Key: "missing"}, "offsite_not_found"},
		{"no such object, asked with HEAD", copyCommand{Destination: as(s.Reader), Call: "head", Key: "missing"}, "offsite_not_found"},
		{"no rights", copyCommand{Destination: as(s.Nobody), Call: "put", Key: "k"}, "offsite_denied"},
		{"no right to read", copyCommand{Destination: as(s.Writer), Call: "get", Key: key}, "offsite_denied"},
		{"an unknown key", copyCommand{Destination: as(stack.S3Account{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "x"}), Call: "put", Key: "k"}, "offsite_key_unknown"},
		{"a wrong secret", copyCommand{Destination: as(stack.S3Account{AccessKeyID: s.Writer.AccessKeyID, SecretAccessKey: "x"}), Call: "put", Key: "k"}, "offsite_signature"},
		{"another region", copyCommand{Destination: as(s.Writer, func(d *copyDestination) { d.Region = "us-west-9" }), Call: "put", Key: "k"}, "offsite_region"},
		{"no such bucket", copyCommand{Destination: as(s.Root, func(d *copyDestination) { d.Bucket = "nobody-has-this" }), Call: "put", Key: "k"}, "offsite_no_bucket"},
		{"a late clock", copyCommand{Destination: as(s.Writer), Call: "put", Key: "k", Later: -time.Hour.Milliseconds()}, "offsite_clock"},
	}
	for _, x := range refused {
		r := c.do(t, x.command)
		if r.Code != x.code {
			t.Errorf("%s: %q %s, want %s", x.name, r.Code, r.Message, x.code)
		}
		if secret := x.command.Destination.SecretAccessKey; len(secret) > 1 && strings.Contains(r.Message, secret) {
			t.Errorf("%s: the message contains the secret", x.name)
		}
	}

	// What the server itself does not notice.
	if err := s.FlipByte(s.Bucket, key, 3); err != nil {
		t.Fatal(err)
	}
	for call, code := range map[string]string{"verify": "", "verifyContent": "offsite_checksum"} {
		if r := c.do(t, copyCommand{Destination: as(s.Reader), Call: call, Key: key, Expected: want, Lock: lock}); r.Code != code {
			t.Errorf("%s of a flipped byte: %q %s, want %q", call, r.Code, r.Message, code)
		}
	}

	// Without the CA's certificate there is no connection.
	if r := startCopyClient(t).do(t, copyCommand{Destination: as(s.Writer), Call: "put", Key: "k"}); r.Code != "offsite_tls" {
		t.Errorf("an unknown CA: %+v", r)
	}
}
