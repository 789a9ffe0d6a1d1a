package docs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestOffsiteGuide proves that a reader who does what the guide says gets a complete copy
// in a real bucket with Object Lock, that the rights in its two policies suffice for
// this, and for a key that can only write.
func TestOffsiteGuide(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{Articles: 20, S3: true})
	text, err := os.ReadFile(filepath.Join(root, "docs", "guides", "off-site.md"))
	if err != nil {
		t.Fatal(err)
	}
	const bucket, endpoint = "acme-backups-locked", "https://s3.eu-central-1.amazonaws.com"
	guide := strings.NewReplacer(bucket, s.S3.Bucket, endpoint, s.S3.Endpoint).Replace(string(text))
	var policies []string
	var before, after []block // before and after the copy, which follows the first SQL, a backup
	asked := false
	for _, b := range blocksOf(guide) {
		switch {
		case b.kind == "json":
			policies = append(policies, b.text)
		case b.kind == "sql" && !asked:
			asked = true
			before = append(before, b)
		case b.kind == "sql" || len(after) > 0:
			after = append(after, b)
		default:
			before = append(before, b)
		}
	}
	if len(policies) != 2 || len(after) < 2 {
		t.Fatalf("the guide has %d policies, and %d blocks after the apply", len(policies), len(after))
	}
	allow(t, s.S3, map[string]string{s.S3.Writer.AccessKeyID: policies[0], s.S3.Reader.AccessKeyID: policies[1]})

	key := func(account stack.S3Account) string {
		return `TF_VAR_copies_key={ id = "` + account.AccessKeyID + `", secret = "` + account.SecretAccessKey + `" }`
	}
	u := newUser(t, append(s.Environ(), "SUPABASE_DB_URL_FOR_PSQL="+s.DatabaseURL, key(s.S3.Reader))...)
	follow(u, s, before)
	const complete = `select count(*) = %s from auto_backup.exports where state = 'complete'`
	await(t, s, strings.Replace(complete, "%s", "1", 1), "auto_backup.watch('auto-backup')")
	follow(u, s, after)

	// With the key that can only write.
	main := ""
	for _, b := range before {
		if strings.HasPrefix(b.text, "# main.tf") {
			main = b.text
		}
	}
	written := strings.Replace(main, `= "head"`, `= "write"`, 1)
	if written == main {
		t.Fatal("the guide's configuration has no verify")
	}
	writer := u.at()
	writer.dir = u.dir
	writer.env = append(writer.env, key(s.S3.Writer))
	writer.write("main.tf", written)
	writer.run(0, "terraform apply -input=false -auto-approve")
	backUp(t, s, "succeeded")
	await(t, s, strings.Replace(complete, "%s", "2", 1), "auto_backup.watch('auto-backup')")

	objects, err := s.S3.List(t.Context(), s.S3.Bucket, "prod/")
	if err != nil || len(objects) < 10 {
		t.Fatalf("the bucket has %d objects (%v)", len(objects), err)
	}
	for _, o := range objects {
		if mode, _, err := s.S3.Retention(t.Context(), s.S3.Bucket, o.Key, o.VersionID); err != nil || mode != "GOVERNANCE" {
			t.Errorf("%s is locked as %q (%v)", o.Key, mode, err)
		}
	}
}

// allow gives accounts the rights of policies, and no others, in the bucket with Object
// Lock.
func allow(t *testing.T, s *stack.S3, policies map[string]string) {
	t.Helper()
	var statements []map[string]any
	for account, text := range policies {
		var policy struct{ Statement []map[string]any }
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		for _, statement := range policy.Statement {
			// The policy of a bucket names whom it is about; that of a user does not.
			statement["Principal"] = map[string]any{"AWS": []string{account}}
			statements = append(statements, statement)
		}
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Client(s.Root).SetBucketPolicy(t.Context(), s.Bucket, string(text)); err != nil {
		t.Fatal(err)
	}
}

// TestOffsiteGuideInPortuguese proves that the Portuguese guide has the blocks of the
// English one, which a test runs.
func TestOffsiteGuideInPortuguese(t *testing.T) {
	t.Parallel()
	english := map[string]bool{}
	for _, b := range blocksOf(example(t, projectRef, "docs", "guides", "off-site.md")) {
		english[b.kind+"\n"+b.text] = true
	}
	blocks := blocksOf(example(t, projectRef, "docs", "guides", "copia-externa.md"))
	if len(blocks) < 8 {
		t.Errorf("copia-externa.md has only %d blocks", len(blocks))
	}
	for _, b := range blocks {
		if !english[b.kind+"\n"+b.text] {
			t.Errorf("line %d of copia-externa.md has a block that off-site.md has not:\n%s", b.line, b.text)
		}
	}
}
