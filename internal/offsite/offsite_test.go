package offsite

import (
	"strings"
	"testing"
)

// TestTexts proves which texts each argument accepts, and what is said of the others.
func TestTexts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		argument, text string
		says           string // empty: valid
	}{
		{"key", "r2", ""},
		{"key", "a_2345678901234567890"[:20], ""},
		{"key", "a_2345678901234567890", "limit is 20"},
		{"key", "R2", "lower-case"},
		{"key", "2r", "beginning with a letter"},
		{"key", "r-2", "lower-case"},

		{"endpoint", "https://s3.eu-central-1.amazonaws.com", ""},
		{"endpoint", "https://0123456789abcdef.r2.cloudflarestorage.com", ""},
		{"endpoint", "https://abcdefghijklmnopqrst.storage.supabase.co/storage/v1/s3", ""},
		{"endpoint", "https://[2001:db8::1]:9000", ""},
		{"endpoint", "http://127.0.0.1:9000", ""},
		{"endpoint", "http://[::1]:9000", ""},
		{"endpoint", "http://10.1.2.3", ""},
		{"endpoint", "http://192.168.0.10:9000/s3", ""},
		{"endpoint", "http://[fd00::7]", ""},
		{"endpoint", "http://minio:9000", ""},
		{"endpoint", "http://s3.corp.internal", ""},
		{"endpoint", "http://localhost:9000", ""},
		{"endpoint", "http://s3.eu-central-1.amazonaws.com", "not encrypted"},
		{"endpoint", "http://8.8.8.8", "not encrypted"},
		{"endpoint", "http://[2606:4700::1]", "not encrypted"},
		{"endpoint", "http://localhost.example.com", "not encrypted"},
		{"endpoint", "s3.eu-central-1.amazonaws.com", "https URL"},
		{"endpoint", "", "https URL"},
		{"endpoint", "s3://acme-backups", "https URL"},
		{"endpoint", "ftp://example.com", "https URL"},
		{"endpoint", "https://", "https URL"},
		{"endpoint", "https:example.com", "https URL"},
		{"endpoint", "https://example.com/", "ends with a slash"},
		{"endpoint", "https://example.com/storage/v1/s3/", "ends with a slash"},
		{"endpoint", "https://example.com//s3", "empty parts"},
		{"endpoint", "https://example.com/a/../s3", "dots"},
		{"endpoint", "https://example.com/a%2Fb", "encoded"},
		{"endpoint", "https://example.com?region=eu", "query"},
		{"endpoint", "https://example.com?", "query"},
		{"endpoint", "https://example.com#s3", "fragment"},
		{"endpoint", "https://S3.example.com", "small letters"},
		{"endpoint", "https://key:canary-secret@example.com", "access_key_id"},
		{"endpoint", "https://example.com?X-Amz-Signature=canary-secret", "query"},
		{"endpoint", "https://exa mple.com/canary-secret", "not a URL"},

		{"region", "auto", ""},
		{"region", "eu-central-1", ""},
		{"region", "us-west-004", ""},
		{"region", "", "is not a region"},
		{"region", "EU", "is not a region"},
		{"region", "eu/central", "is not a region"},
		{"region", strings.Repeat("a", 65), "is not a region"},

		{"bucket", "acme-backups", ""},
		{"bucket", "acme.backups.2026", ""},
		{"bucket", "abc", ""},
		{"bucket", strings.Repeat("a", 63), ""},
		{"bucket", "ab", "3 to 63"},
		{"bucket", strings.Repeat("a", 64), "3 to 63"},
		{"bucket", "Acme", "lower-case"},
		{"bucket", "acme_backups", "lower-case"},
		{"bucket", "-acme", "begins and ends"},
		{"bucket", "acme-", "begins and ends"},
		{"bucket", "acme..backups", "single dots"},
		{"bucket", "acme.-backups", "single dots"},
		{"bucket", "192.168.5.4", "IP address"},
		{"bucket", "xn--acme", "not a name"},
		{"bucket", "acme-s3alias", "not a name"},
		{"bucket", "acme/prod", "as `prefix`"},

		{"prefix", "", ""},
		{"prefix", "prod", ""},
		{"prefix", "acme/prod_2.x-y", ""},
		{"prefix", "/prod", `write "prod"`},
		{"prefix", "prod/", `write "prod"`},
		{"prefix", "a//b", "empty part"},
		{"prefix", "a/../b", "dots only"},
		{"prefix", "./a", "dots only"},
		{"prefix", "Prod", "lower-case"},
		{"prefix", "a b", "lower-case"},
		{"prefix", "cópias", "lower-case"},
		{"prefix", strings.Repeat("a", 201), "limit is 200"},

		{"table", "stored", ""},
		{"table", "live", ""},
		{"table", "public.articles", ""},
		{"table", "auth.users", ""},
		{"table", "public.Ärzte", ""},
		{"table", "articles", "with its schema"},
		{"table", "a.b.c", "with its schema"},
		{"table", ".articles", "with its schema"},
		{"table", "public.", "with its schema"},
		{"table", "public.a\nb", "with its schema"},
		{"table", "", "with its schema"},
		{"table", "vault.secrets", "belongs to the backup itself or to an extension"},
		{"table", "auto_backup.runs", "belongs to the backup itself"},
		{"table", "pg_catalog.pg_class", "of PostgreSQL itself"},
		{"table", "information_schema.tables", "of PostgreSQL itself"},
	} {
		err := map[string]func(string) error{
			"key": ValidateKey, "endpoint": ValidateEndpoint, "region": ValidateRegion,
			"bucket": ValidateBucket, "prefix": ValidatePrefix, "table": ValidateTable,
		}[c.argument](c.text)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s %q: %v", c.argument, c.text, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s %q: %v, want it to say %q", c.argument, c.text, err, c.says)
		case err != nil && strings.Contains(err.Error(), "canary-secret"):
			t.Errorf("%s %q: the error contains a secret: %v", c.argument, c.text, err)
		}
	}
}

// TestCheck proves which values do not go together, at which argument.
func TestCheck(t *testing.T) {
	t.Parallel()
	const own = "abcdefghijklmnopqrst"
	lock := &Lock{Mode: Governance, Days: 30}
	for what, c := range map[string]struct {
		d              Destination
		argument, says string
	}{
		"Amazon":                        {Destination{Endpoint: "https://s3.eu-central-1.amazonaws.com", Region: "eu-central-1", Bucket: "acme", Lock: lock}, "", ""},
		"Amazon's dual stack":           {Destination{Endpoint: "https://s3.dualstack.eu-west-1.amazonaws.com", Region: "eu-west-1", Bucket: "acme", Lock: lock}, "", ""},
		"Amazon's old address":          {Destination{Endpoint: "https://s3-us-west-2.amazonaws.com", Region: "us-west-2", Bucket: "acme"}, "", ""},
		"Amazon in China":               {Destination{Endpoint: "https://s3.cn-north-1.amazonaws.com.cn", Region: "cn-north-1", Bucket: "acme"}, "", ""},
		"Amazon's government":           {Destination{Endpoint: "https://s3.us-gov-west-1.amazonaws.com", Region: "us-gov-west-1", Bucket: "acme"}, "", ""},
		"Amazon's other region":         {Destination{Endpoint: "https://s3.eu-central-1.amazonaws.com", Region: "us-east-1", Bucket: "acme"}, "region", `write "eu-central-1"`},
		"Amazon without a region":       {Destination{Endpoint: "https://s3.amazonaws.com", Region: "eu-central-1", Bucket: "acme"}, "region", `write "us-east-1"`},
		"Amazon with the bucket":        {Destination{Endpoint: "https://acme.s3.eu-central-1.amazonaws.com", Region: "eu-central-1", Bucket: "acme"}, "endpoint", `write "https://s3.eu-central-1.amazonaws.com"`},
		"Amazon with a path":            {Destination{Endpoint: "https://s3.eu-central-1.amazonaws.com/other", Region: "eu-central-1", Bucket: "acme"}, "endpoint", "has none in its endpoints"},
		"R2":                            {Destination{Endpoint: "https://0123.r2.cloudflarestorage.com", Region: "auto", Bucket: "acme"}, "", ""},
		"R2 in the EU":                  {Destination{Endpoint: "https://0123.eu.r2.cloudflarestorage.com", Region: "auto", Bucket: "acme"}, "", ""},
		"R2 with a region":              {Destination{Endpoint: "https://0123.r2.cloudflarestorage.com", Region: "weur", Bucket: "acme"}, "region", `write "auto"`},
		"R2 with a lock":                {Destination{Endpoint: "https://0123.r2.cloudflarestorage.com", Region: "auto", Bucket: "acme", Lock: lock}, "lock", "cloudflare_r2_bucket_lock"},
		"R2 with the bucket":            {Destination{Endpoint: "https://0123.r2.cloudflarestorage.com/acme", Region: "auto", Bucket: "acme"}, "endpoint", `write "https://0123.r2.cloudflarestorage.com"`},
		"not R2":                        {Destination{Endpoint: "https://xr2.cloudflarestorage.com", Region: "weur", Bucket: "acme", Lock: lock}, "", ""},
		"own Storage":                   {Destination{Endpoint: "https://" + own + ".supabase.co/storage/v1/s3", Region: "eu-central-1", Bucket: "acme"}, "endpoint", "does not survive"},
		"own Storage, direct":           {Destination{Endpoint: "https://" + own + ".storage.supabase.co/storage/v1/s3", Region: "eu-central-1", Bucket: "acme"}, "endpoint", "does not survive"},
		"another project's":             {Destination{Endpoint: "https://zyxwvutsrqponmlkjihg.storage.supabase.co/storage/v1/s3", Region: "eu-central-1", Bucket: "acme"}, "", ""},
		"another project's with a lock": {Destination{Endpoint: "https://zyxwvutsrqponmlkjihg.supabase.co/storage/v1/s3", Region: "eu-central-1", Bucket: "acme", Lock: lock}, "lock", "neither locks nor versions"},
		"Storage without its path":      {Destination{Endpoint: "https://zyxwvutsrqponmlkjihg.storage.supabase.co", Region: "eu-central-1", Bucket: "acme"}, "endpoint", "storage.supabase.co/storage/v1/s3"},
		"self-hosted Storage":           {Destination{Endpoint: "http://kong:8000/storage/v1/s3", Region: "stub", Bucket: "acme", Lock: lock}, "lock", "neither locks nor versions"},
		"Backblaze":                     {Destination{Endpoint: "https://s3.us-west-004.backblazeb2.com", Region: "us-west-004", Bucket: "acme", Lock: lock}, "", ""},
		"Backblaze's other region":      {Destination{Endpoint: "https://s3.us-west-004.backblazeb2.com", Region: "us-west-002", Bucket: "acme"}, "region", `write "us-west-004"`},
		"Wasabi's other region":         {Destination{Endpoint: "https://s3.eu-central-1.wasabisys.com", Region: "eu", Bucket: "acme"}, "region", `write "eu-central-1"`},
		"Google":                        {Destination{Endpoint: "https://storage.googleapis.com", Region: "auto", Bucket: "acme", Lock: lock}, "", ""},
		"Google with a path":            {Destination{Endpoint: "https://storage.googleapis.com/acme", Region: "auto", Bucket: "acme"}, "endpoint", "ends with the bucket"},
		"own server":                    {Destination{Endpoint: "https://s3.acme.example/minio", Region: "us-east-1", Bucket: "acme", Lock: lock}, "", ""},
	} {
		conflicts := c.d.Check(own)
		switch {
		case c.says == "" && len(conflicts) > 0:
			t.Errorf("%s: %+v", what, conflicts)
		case c.says != "" && (len(conflicts) != 1 || conflicts[0].Argument != c.argument || !strings.Contains(conflicts[0].Text, c.says)):
			t.Errorf("%s: %+v, want one of %s that says %q", what, conflicts, c.argument, c.says)
		}
	}
}

// TestSecretNames proves what the secrets of a destination are called.
func TestSecretNames(t *testing.T) {
	t.Parallel()
	got := SecretsOf("AUTO_BACKUP", "r2")
	if want := (Secrets{"AUTO_BACKUP_OFFSITE_R2_ACCESS_KEY_ID", "AUTO_BACKUP_OFFSITE_R2_SECRET_ACCESS_KEY"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if names := (*Settings)(nil).Names(); names != nil {
		t.Errorf("no settings have the secrets %q", names)
	}
	both := &Settings{Destinations: map[string]Destination{"r2": {Secrets: got}, "aws": {Secrets: SecretsOf("AUTO_BACKUP", "aws")}}}
	if names := strings.Join(both.Names(), " "); names != "AUTO_BACKUP_OFFSITE_AWS_ACCESS_KEY_ID AUTO_BACKUP_OFFSITE_AWS_SECRET_ACCESS_KEY AUTO_BACKUP_OFFSITE_R2_ACCESS_KEY_ID AUTO_BACKUP_OFFSITE_R2_SECRET_ACCESS_KEY" {
		t.Errorf("names: %s", names)
	}
}
