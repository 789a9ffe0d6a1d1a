package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// offsiteCertificate is a certificate of the key that offsiteRecipient returns.
func offsiteCertificate(t *testing.T, number int64) string {
	t.Helper()
	block, _ := pem.Decode([]byte(offsiteRecipient(number)))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key, authority)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// offsiteDestination is a destination in a configuration, with two recipients.
func offsiteDestination(more string) string {
	return fmt.Sprintf(`{
		endpoint          = "https://s3.acme.example"
		region            = "eu"
		recipients        = [%q, %q]
		access_key_id     = "canary-key-id"
		secret_access_key = "canary-key"
		%s
	}`, offsiteRecipient(1), offsiteRecipient(2), more)
}

// TestOffsiteArgument proves the life of the argument `offsite`, but for the copies: the
// settings in the database say where they go, without a secret; the credentials become
// secrets of the project's functions, follow the configuration, and go with their
// destination; what is changed outside Terraform is drift, named by the argument; and an
// imported backup has the destinations that the project has, with an empty plan.
func TestOffsiteArgument(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20, RateLimit: -1})
	const keyID, key = "AUTO_BACKUP_OFFSITE_AWS_ACCESS_KEY_ID", "AUTO_BACKUP_OFFSITE_AWS_SECRET_ACCESS_KEY"
	config := func(offsite string) string {
		return required + p.config("verify = \"none\"\n"+offsite)
	}
	aws := func(more string) string { return "offsite = { aws = " + offsiteDestination(more) + " }" }
	const settings = `select document -> 'offsite' from auto_backup.settings`

	p.overwriteSecret(key, "of-others")
	c := newCLI(t, config(aws(`bucket = "acme-backups"`)))
	c.says(c.run(1, "plan", "-no-color"), "Objects with the backup's names exist", key)
	if err := p.client().DeleteSecrets(t.Context(), p.ProjectRef, []string{key}); err != nil {
		t.Fatal(err)
	}

	c.run(2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
	c.run(0, "apply", "-no-color", "plan.bin")
	settled := func() {
		t.Helper()
		c.run(0, "plan", "-detailed-exitcode", "-no-color")
	}
	settled()
	p.holds(keyID, "canary-key-id")
	p.holds(key, "canary-key")
	want := `{"tables": ["stored"], "bucket": "acme-backups", "lock": null, "every": "backup", "prefix": "", "verify": "head", "secrets": {"access_key_id": "` + keyID + `", "secret_access_key": "` + key + `"}, "region": "eu", "endpoint": "https://s3.acme.example"}`
	if got := p.value(`select ((` + settings + `) #> '{destinations,aws}') - 'recipients'::text = '` + want + `'::jsonb`); got != "true" {
		t.Errorf("the settings are %s", p.value(settings))
	}
	if got := p.value(`select concat_ws(' ', o ->> 'project_ref', jsonb_array_length(o #> '{destinations,aws,recipients}'), o #>> '{tables,0,copy,1}') from (` + settings + `) as s (o)`); got != p.ProjectRef+" 2 backup_articles" {
		t.Errorf("project, recipients and first table are %s", got)
	}

	// What is changed in the configuration.
	c.configure(config(aws(`bucket = "acme-copies"
		lock   = { mode = "governance", days = 30 }
		tables = ["stored", "live"]`)))
	c.says(c.run(2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin"), `"acme-backups" -> "acme-copies"`, `+ lock`, `+ "live"`)
	if got := strings.Join(c.changes("plan.bin"), " "); got != "update offsite" {
		t.Errorf("the plan changes %s", got)
	}
	c.run(0, "apply", "-no-color", "plan.bin")
	settled()
	if got := p.value(`select concat_ws(' ', o ->> 'bucket', o #>> '{lock,days}', o ->> 'tables') from (select (` + settings + `) #> '{destinations,aws}') as s (o)`); got != `acme-copies 30 ["live", "stored"]` {
		t.Errorf("bucket, lock and tables are %s", got)
	}

	// What is changed outside Terraform.
	for what, drift := range map[string]string{
		`update auto_backup.settings set document = jsonb_set(document, '{offsite,destinations,aws,bucket}', '"evil"')`:                           `"setting offsite.aws.bucket" = "is evil instead of acme-copies"`,
		`update auto_backup.settings set document = jsonb_set(document, '{offsite,destinations,aws,recipients}', '["AAAA"]')`:                     `"setting offsite.aws.recipients" = "are other keys than the configured ones`,
		`update auto_backup.settings set document = document #- '{offsite,destinations,aws,lock,days}'`:                                           `"setting offsite.aws.lock.days" = "is 0 instead of 30"`,
		`update auto_backup.settings set document = document #- '{offsite,destinations,aws}'`:                                                     `"setting offsite.aws" = "is missing"`,
		`update auto_backup.settings set document = document - 'offsite'`:                                                                         `"setting offsite" = "is missing"`,
		`update auto_backup.settings set document = jsonb_set(document, '{offsite,destinations,evil}', document #> '{offsite,destinations,aws}')`: `"setting offsite.evil" = "is there and not configured"`,
		`update auto_backup.settings set document = jsonb_set(document, '{offsite,tables}', '[]')`:                                                `"setting offsite.tables" = "is [] instead of `,
	} {
		p.asPostgres(what)
		c.says(c.run(0, "apply", "-auto-approve", "-no-color"), drift, "0 added, 1 changed, 0 destroyed")
		settled()
	}
	p.overwriteSecret(key, "by-hand")
	c.says(c.run(0, "apply", "-auto-approve", "-no-color"), `"secret `+key+`" = "has another value than the configured one"`)
	p.holds(key, "canary-key")

	// An import, with one recipient as a certificate.
	c.forgetState()
	c.configure(strings.Replace(config(aws(`bucket = "acme-copies"
		lock   = { mode = "governance", days = 30 }
		tables = ["stored", "live"]`)), fmt.Sprintf("%q", offsiteRecipient(2)), fmt.Sprintf("%q", offsiteCertificate(t, 2)), 1) +
		fmt.Sprintf("\nimport {\n to = aimindset_auto_backup.this\n id = \"%s/auto-backup\"\n}\n", p.ProjectRef))
	c.run(0, "plan", "-no-color", "-out=plan.bin")
	if got := strings.Join(c.changes("plan.bin"), " "); got != "update import verified verify" {
		t.Errorf("the import changes %s", got)
	}
	c.run(0, "apply", "-no-color", "plan.bin")
	settled()

	// Another destination in the place of this one.
	c.configure(config("offsite = { other = " + offsiteDestination(`bucket = "acme-copies"`) + " }"))
	c.run(0, "apply", "-auto-approve", "-no-color")
	settled()
	p.holds(keyID, "")
	p.holds(key, "")
	p.holds("AUTO_BACKUP_OFFSITE_OTHER_ACCESS_KEY_ID", "canary-key-id")

	c.configure(config(""))
	c.run(0, "apply", "-auto-approve", "-no-color")
	settled()
	p.holds("AUTO_BACKUP_OFFSITE_OTHER_ACCESS_KEY_ID", "")
	p.holds("AUTO_BACKUP_OFFSITE_OTHER_SECRET_ACCESS_KEY", "")
	if got := p.value(`select document ? 'offsite' from auto_backup.settings`); got != "false" {
		t.Error("the settings still have destinations")
	}
	c.run(0, "destroy", "-auto-approve", "-no-color")
}

// startS3 starts an S3 server for a test.
func startS3(t *testing.T) *stack.S3 {
	t.Helper()
	s, err := stack.StartS3(t.Context(), stack.S3Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestOffsiteProbe proves that an apply tries a destination before the first night, with
// the function and the bucket as they are: it names at the destination's own argument
// which step does not work and what to do, does not undo the backup, and verifies again at
// the next apply; that it warns once of what is only less safe; and that destinations may
// be unknown when the plan is made.
func TestOffsiteProbe(t *testing.T) {
	t.Parallel()
	p, s := start(t, stack.Options{Articles: 20, RateLimit: -1}), startS3(t)
	c := newCLI(t, "")
	destination := func(account stack.S3Account, bucket, more string) string {
		return required + p.config(fmt.Sprintf(`offsite = { s3 = {
			endpoint          = %q
			region            = %q
			bucket            = %q
			recipients        = [%q, %q]
			access_key_id     = %q
			secret_access_key = %q
			%s
		} }`, s.Endpoint, stack.S3Region, bucket, offsiteRecipient(1), offsiteRecipient(2), account.AccessKeyID, account.SecretAccessKey, more))
	}
	apply := func(wanted int, config string) string {
		t.Helper()
		c.configure(config)
		return strings.Join(strings.Fields(strings.ReplaceAll(c.run(wanted, "apply", "-auto-approve", "-no-color"), "│", " ")), " ")
	}
	const lock = `lock = { mode = "governance", days = 30 }`
	// Without copies first, so that nothing is tainted.
	c.configure(required + p.config(""))
	c.run(0, "apply", "-auto-approve", "-no-color")
	// The plan does not know which destinations there are.
	unknown := strings.Replace(destination(s.Reader, s.Bucket, lock), "{ s3 = {", "{ for name in terraform_data.names.output : name => {", 1) + `
		resource "terraform_data" "names" { input = ["s3"] }`
	if out := apply(0, unknown); strings.Contains(out, "Warning: Only") || !strings.Contains(out, "Apply complete!") {
		t.Errorf("an apply of unknown destinations says: %s", out)
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	p.holds("AUTO_BACKUP_OFFSITE_S3_ACCESS_KEY_ID", s.Reader.AccessKeyID)
	for _, row := range []struct {
		what   string
		config string
		wanted int
		says   []string
	}{
		{"a wrong key", destination(stack.S3Account{AccessKeyID: s.Reader.AccessKeyID, SecretAccessKey: "wrong"}, s.Bucket, lock), 1, []string{"No object can be stored", "offsite_signature"}},
		{"the right key", destination(s.Reader, s.Bucket, lock), 0, nil},
		{"no such bucket", destination(s.Reader, "acme-nowhere", lock), 1, []string{"No object can be stored", "offsite_no_bucket"}},
		{"a bucket without locks", destination(s.Reader, s.PlainBucket, lock), 1, []string{"offsite_lock_"}},
		{"a key that cannot read", destination(s.Writer, s.Bucket, lock), 1, []string{"The stored object cannot be read", "offsite_denied"}},
		{"a key that need not read", destination(s.Writer, s.Bucket, lock+"\nverify = \"write\""), 0, []string{"The credentials cannot read objects"}},
		{"a key that cannot write", destination(s.Nobody, s.Bucket, lock), 1, []string{"No object can be stored", "offsite_denied"}},
		{"a key that can delete", destination(s.Root, s.PlainBucket, ""), 0, []string{"can delete copies"}},
		{"the right key again", destination(s.Reader, s.Bucket, lock), 0, nil},
	} {
		out := apply(row.wanted, row.config)
		for _, text := range row.says {
			if !strings.Contains(out, text) {
				t.Errorf("%s: the apply does not say %q: %s", row.what, text, out)
			}
		}
		if row.wanted == 1 && (!strings.Contains(out, "Error: No copies can be made") || !strings.Contains(out, "`offsite[\"s3\"]`") || !strings.Contains(out, "What to do: ")) {
			t.Errorf("%s: the error does not name the destination, and what to do: %s", row.what, out)
		}
		if wrong := strings.Contains(out, "Error: "); wrong != (row.wanted == 1) || row.wanted == 0 && row.says == nil && strings.Contains(out, "is not as safe") {
			t.Errorf("%s: the apply says: %s", row.what, out)
		}
		// Whatever the destination is like, the backup stays, and is not replaced.
		p.works("auto-backup")
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
	if keys, err := s.Keys(t.Context(), s.Bucket, p.ProjectRef+"/auto-backup/probe/"); err != nil || len(keys) == 0 {
		t.Errorf("the probes have left %v (%v), where their locks last", keys, err)
	}
	// The tables are looked for in the project before anything is written.
	p.sql("create view public.shown as select 1 as id")
	c.configure(destination(s.Reader, s.Bucket, lock+"\ntables = [\"stored\", \"public.articles\", \"public.gone\", \"public.shown\"]"))
	refused := strings.Join(strings.Fields(strings.ReplaceAll(c.run(1, "plan", "-no-color"), "│", " ")), " ")
	for _, text := range []string{"the table public.gone, which does not exist", "public.shown, which is not a table"} {
		if !strings.Contains(refused, text) {
			t.Errorf("the plan does not say %q: %s", text, refused)
		}
	}
	if strings.Contains(refused, "public.articles, ") {
		t.Errorf("the plan complains about a table that can be copied: %s", refused)
	}
	// Another change does not repeat the warning.
	out := apply(0, destination(s.Root, s.PlainBucket, ""))
	if !strings.Contains(out, "can delete copies") {
		t.Errorf("the apply does not say that copies can be deleted: %s", out)
	}
	out = apply(0, strings.Replace(destination(s.Root, s.PlainBucket, ""), "offsite = {", "rotate_token = \"again\"\noffsite = {", 1))
	if strings.Contains(out, "can delete copies") {
		t.Errorf("an apply of something else says again: %s", out)
	}
}
