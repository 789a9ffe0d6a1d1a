package provider_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/offsitetest"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const restoreAction = "aimindset_auto_backup_restore"

// storedCopy is a copy of one table with three rows, and one that was filled from it.
func storedCopy(ref string) *offsitetest.Backup {
	return &offsitetest.Backup{
		Prefix: "prod", ProjectRef: ref, Name: "auto-backup", MadeAt: time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC), Sequence: 1,
		Recipients: []*rsa.PrivateKey{offsitetest.Key(1)}, ServerVersion: "15.1",
		Before: "create table public.articles (id integer not null, title text); create table public.backup_articles (backup_id uuid, original_id integer, title text);",
		After:  "alter table public.articles add primary key (id);",
		Tables: []manifest.Table{{Schema: "public", Name: "backup_articles", Source: manifest.Stored, Columns: []manifest.Column{{Name: "backup_id", Type: "uuid"}, {Name: "original_id", Type: "integer"}, {Name: "title", Type: "text"}}}},
		Lines: [][][]string{{{
			`{"backup_id":"00000000-0000-4000-8000-001795672800","original_id":"1","title":"canary-in-a-row"}`,
			`{"backup_id":"00000000-0000-4000-8000-001795672800","original_id":"2","title":null}`,
			`{"backup_id":"00000000-0000-4000-8000-001795672800","original_id":"3","title":"a\nb"}`,
		}}},
		Restores: []manifest.Restore{{Live: [2]string{"public", "articles"}, Copy: [2]string{"public", "backup_articles"}}},
	}
}

// TestRestoreAction proves over Terraform's protocol what the action does: it lists every
// blocker with its argument, restores a copy from the bucket alone, tells how far it is,
// and writes the result to a file; its secrets are write-only, and neither they nor
// values of rows are told.
func TestRestoreAction(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Parts: stack.Database, Articles: 1})
	s := offsitetest.NewServer()
	defer s.Close()
	storedCopy(p.ProjectRef).Write(s.Put, nil)
	if _, err := p.Admin().Exec(t.Context(), "create database restored owner postgres template template0"); err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(p.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	target.Path = "/restored"
	password, _ := target.User.Password()
	result := filepath.Join(t.TempDir(), "result.json")
	key := string(offsitetest.PEM(offsitetest.Key(1)))
	_, signingKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(signingKey)
	if err != nil {
		t.Fatal(err)
	}
	signing := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	var told []string
	restore := func(arguments map[string]any) ([]string, []*tfprotov6.Diagnostic) {
		t.Helper()
		config := map[string]any{
			"endpoint": s.URL, "region": "eu-central-1", "bucket": s.Bucket, "prefix": "prod", "access_key_id": "CANARY-ACCESS-KEY", "secret_access_key": "canary-secret-key",
			"private_key": key, "database_url": target.String(), "result_file": result, "signing_key": string(signing),
		}
		for argument, value := range arguments {
			config[argument] = value
		}
		progress, diags := p.invoke(restoreAction, config)
		told = append(told, progress...)
		for _, d := range diags {
			told = append(told, d.Summary, d.Detail)
		}
		return progress, diags
	}
	read := func() (got struct {
		State      string
		Assertions []struct{ OK bool }
		Source     struct {
			ManifestSHA256 string `json:"manifest_sha256"`
		}
	}) {
		t.Helper()
		data, err := os.ReadFile(result)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(result); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the result's file is %v, %v", info.Mode(), err)
		}
		signature, err := os.ReadFile(result + ".sig")
		if err != nil || !ed25519.Verify(signingKey.Public().(ed25519.PublicKey), data, signature) {
			t.Errorf("the result is not signed: %v", err)
		}
		told = append(told, string(data))
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		return got
	}

	// What does not fit together is refused before anything is sent.
	for _, c := range []struct {
		argument string
		value    any
		at       string
	}{
		{"private_key", nil, "private_key"}, {"unwrap_command", []string{"true"}, "private_key"}, {"confirm", nil, "confirm"}, {"keep", true, "keep"}, {"result_file", nil, "signing_key"}, {"backup", "yesterday", "backup"},
		{"endpoint", "s3", "endpoint"}, {"region", "", "region"}, {"bucket", "A", "bucket"}, {"prefix", "/x", "prefix"}, {"project_ref", "x", "project_ref"}, {"name", "A b", "name"},
		{"schema", "a.b", "schema"}, {"timeout", "soon", "timeout"}, {"manifest_sha256", "x", "manifest_sha256"},
	} {
		if _, diags := restore(map[string]any{"confirm": "restored", c.argument: c.value}); len(diags) != 1 || pathOf(diags[0].Attribute) != c.at {
			t.Errorf("%s = %v: %+v", c.argument, c.value, diags)
		}
	}
	for argument, value := range map[string]string{"private_key": "no PEM", "signing_key": "no PEM", "database_url": "postgresql://x"} {
		if _, diags := restore(map[string]any{"confirm": "restored", argument: value}); len(diags) != 1 || pathOf(diags[0].Attribute) != argument {
			t.Errorf("%s: %+v", argument, diags)
		}
	}

	// The project's own database has tables.
	if _, diags := restore(map[string]any{"database_url": p.DatabaseURL, "confirm": "another"}); len(diags) != 2 || pathOf(diags[0].Attribute) != "confirm" || pathOf(diags[1].Attribute) != "database_url" || !strings.Contains(diags[1].Detail, "not empty") {
		t.Errorf("into the project: %+v", diags)
	}
	if got := read(); got.State != "blocked" {
		t.Errorf("the result is %+v", got)
	}
	if _, diags := restore(map[string]any{"dry_run": true}); len(diags) != 1 || pathOf(diags[0].Attribute) != "confirm" || !strings.Contains(diags[0].Detail, `the target is "restored"`) {
		t.Errorf("a dry run without confirmation: %+v", diags)
	}
	if progress, diags := restore(map[string]any{"dry_run": true, "confirm": "restored"}); len(diags) > 0 || !strings.Contains(strings.Join(progress, "\n"), "nothing was written") || read().State != "possible" {
		t.Errorf("a dry run: %q, %+v", progress, diags)
	}
	if _, diags := restore(map[string]any{"confirm": "restored", "check_sql": []string{"select true", "select count(*) = 4 from public.articles"}}); len(diags) != 1 || !strings.Contains(diags[0].Detail, "check_sql[1]: expected true, found false") || read().State != "failed" {
		t.Errorf("a check that fails: %+v", diags)
	}
	if _, diags := restore(map[string]any{"confirm": "restored", "backup": "2026-11-26T05:59:59Z"}); len(diags) != 1 || !strings.Contains(diags[0].Detail, "no whole backup") {
		t.Errorf("before the first backup: %+v", diags)
	}
	if _, diags := restore(map[string]any{"confirm": "restored", "timeout": "1ns"}); len(diags) != 1 || !strings.Contains(diags[0].Detail, "raise `timeout`") {
		t.Errorf("without time: %+v", diags)
	}
	progress, diags := restore(map[string]any{"confirm": "restored", "check_sql": []string{"select count(*) = 3 from public.articles"}})
	if len(diags) > 0 {
		t.Fatalf("got %+v", *diags[0])
	}
	for _, want := range []string{"found: backup id 00000000-0000-4000-8000-001795672800", "verified: 5 objects", "restored: 3 rows in 1 tables", "not covered: accounts"} {
		if !strings.Contains(strings.Join(progress, "\n"), want) {
			t.Errorf("it told %q, not %q", progress, want)
		}
	}
	if got := read(); got.State != "restored" || len(got.Assertions) != 4 || !got.Assertions[3].OK || len(got.Source.ManifestSHA256) != 64 {
		t.Errorf("the result is %+v", got)
	}
	for _, secret := range []string{"CANARY-ACCESS-KEY", "canary-secret-key", password, "canary-in-a-row", strings.Split(key, "\n")[3], strings.Split(string(signing), "\n")[1]} {
		if strings.Contains(strings.Join(told, "\n"), secret) {
			t.Errorf("%.10s… was told", secret)
		}
	}
	for _, attribute := range schemasOf(t, newServer(t)).ActionSchemas[restoreAction].Schema.Block.Attributes {
		secret := strings.HasSuffix(attribute.Name, "key") || strings.HasSuffix(attribute.Name, "key_id") || attribute.Name == "database_url"
		if attribute.WriteOnly != secret {
			t.Errorf("%s is write-only: %t", attribute.Name, attribute.WriteOnly)
		}
	}
}
