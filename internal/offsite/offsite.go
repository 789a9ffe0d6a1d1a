// Package offsite is the model of the off-site copies: the destinations of a
// backup, and what makes one valid. It reads and sends nothing.
package offsite

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/host"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// Settings say where copies of a backup are stored. They are part of the settings in the
// database, which have no secret.
type Settings struct {
	// Destinations are the buckets, by key.
	Destinations map[string]Destination `json:"destinations"`
	// ProjectRef is the project's reference, which is part of the objects' names.
	ProjectRef string `json:"project_ref"`
	// Tables are the live tables of the backup and their copies, as for a drill. Nil in a
	// spec means those that the project has; empty means that they are not known.
	Tables []drill.Table `json:"tables"`
}

// Destination is a bucket that gets copies.
type Destination struct {
	// Endpoint is the URL of an S3 service, without the bucket and without a slash at the
	// end.
	Endpoint string `json:"endpoint"`
	Region   string `json:"region"`
	Bucket   string `json:"bucket"`
	// Prefix is what the names of all objects begin with, before a slash; it may be empty.
	Prefix string `json:"prefix"`
	// Recipients are the public keys to which copies are encrypted, each the base64 of its
	// DER SubjectPublicKeyInfo.
	Recipients []string `json:"recipients"`
	// Lock is nil if objects are not locked.
	Lock *Lock `json:"lock"`
	// Every is EveryBackup, EveryDay or EveryWeek.
	Every string `json:"every"`
	// Verify is VerifyWrite, VerifyHead or VerifyRead.
	Verify string `json:"verify"`
	// Tables are what is copied: StoredRows, LiveRows and tables with their schemas,
	// sorted.
	Tables []string `json:"tables"`
	// Secrets are the names of the function secrets with the bucket's credentials.
	Secrets Secrets `json:"secrets"`
	// Expired are the ends of those recipients' certificates that have expired. The
	// database need not know them.
	Expired []time.Time `json:"-"`
}

// Lock says how long objects can be neither changed nor deleted.
type Lock struct {
	// Mode is Governance or Compliance.
	Mode string `json:"mode"`
	Days int64  `json:"days"`
}

// Secrets are the names of two function secrets.
type Secrets struct {
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
}

// How often a copy is made: of every backup, or of the first one of a day or a week.
const (
	EveryBackup = "backup"
	EveryDay    = "daily"
	EveryWeek   = "weekly"
)

// How an object is verified after it was written: by the response to the write, by its
// size, checksum and lock as the bucket reports them, or by reading it back.
const (
	VerifyWrite = "write"
	VerifyHead  = "head"
	VerifyRead  = "read"
)

// The modes of a lock. Users with a right of their own can delete an object under
// Governance; nobody can under Compliance.
const (
	Governance = "governance"
	Compliance = "compliance"
)

// What of the database is copied, besides tables that are named.
const (
	// StoredRows are the rows of the backup in the backup tables.
	StoredRows = "stored"
	// LiveRows are the live tables of the backup, with all columns.
	LiveRows = "live"
)

// MostLockDays is the longest lock, in days; S3 allows no longer one.
const MostLockDays = 36_500

// patterns are the forms of texts.
var patterns = struct{ key, region, bucket, prefix, table, amazon func() *regexp.Regexp }{
	key:    text.Pattern(`^[a-z][a-z0-9_]*$`),
	region: text.Pattern(`^[a-z0-9][a-z0-9-]*$`),
	bucket: text.Pattern(`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`),
	prefix: text.Pattern(`^[a-z0-9_./-]*$`),
	table:  text.Pattern(`^[^.\x00-\x1f]+\.[^.\x00-\x1f]+$`),
	amazon: text.Pattern(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`),
}

// SecretsOf returns the names of the secrets of a destination. prefix is what the names
// of a backup's secrets begin with, such as AUTO_BACKUP.
func SecretsOf(prefix, key string) Secrets {
	name := prefix + "_OFFSITE_" + strings.ToUpper(key)
	return Secrets{AccessKeyID: name + "_ACCESS_KEY_ID", SecretAccessKey: name + "_SECRET_ACCESS_KEY"}
}

// Names are the names of all secrets of the destinations, sorted.
func (s *Settings) Names() []string {
	if s == nil {
		return nil
	}
	var names []string
	for _, d := range s.Destinations {
		names = append(names, d.Secrets.AccessKeyID, d.Secrets.SecretAccessKey)
	}
	slices.Sort(names)
	return names
}

// ValidateKey says why the key of a destination cannot be used.
func ValidateKey(key string) error {
	const maxLength = 20
	switch {
	case len(key) > maxLength:
		return fmt.Errorf("the key %q has %d characters, the limit is %d, because it becomes part of secret names; choose a shorter key", key, len(key), maxLength)
	case !patterns.key().MatchString(key):
		return fmt.Errorf("the key %q becomes part of secret names; use lower-case letters, digits and underscores, beginning with a letter, for example \"r2\"", key)
	}
	return nil
}

// ValidateEndpoint says why a text is not the endpoint of an S3 service.
func ValidateEndpoint(endpoint string) error {
	const example = `write it as the service names it, for example "https://s3.eu-central-1.amazonaws.com"`
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		// The error could contain the text, and the text credentials.
		return fmt.Errorf("the endpoint is not a URL; %s", example)
	case u.User != nil:
		return fmt.Errorf("the endpoint contains credentials, which would be stored in the project; remove them, and use `access_key_id` and `secret_access_key`")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(endpoint, "#"):
		return fmt.Errorf("the endpoint %q has a query or a fragment; remove everything from the \"?\" or \"#\" on", withoutQuery(u))
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("%q is not an https URL with a host; %s", endpoint, example)
	case u.Scheme == "http" && !host.Private(u.Hostname()):
		return fmt.Errorf("%q is not encrypted on its way; write https://. Only addresses of a private network or of the machine itself may be http", endpoint)
	case strings.HasSuffix(u.Path, "/"):
		return fmt.Errorf("%q ends with a slash, which would become part of every object's name; remove it", endpoint)
	case u.Path != "" && (u.RawPath != "" || strings.Contains(u.Path, "//") || slices.Contains(strings.Split(u.Path, "/"), "..") || slices.Contains(strings.Split(u.Path, "/"), ".")):
		return fmt.Errorf("%q has a path with encoded characters, empty parts or dots; %s", endpoint, example)
	case u.Host != strings.ToLower(u.Host):
		return fmt.Errorf("%q has capital letters in its host, which S3 signs in small ones; write it in small letters", endpoint)
	}
	return nil
}

// withoutQuery is a URL without what may be secret.
func withoutQuery(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// ValidateRegion says why a text is not a region.
func ValidateRegion(region string) error {
	const maxLength = 64
	if len(region) > maxLength || !patterns.region().MatchString(region) {
		return fmt.Errorf("%q is not a region, which is part of every signature; write it as the service names it, for example \"eu-central-1\" or \"auto\"", region)
	}
	return nil
}

// ValidateBucket says why a text is not the name of a bucket.
func ValidateBucket(bucket string) error {
	const least, most = 3, 63
	_, err := netip.ParseAddr(bucket)
	switch {
	case strings.Contains(bucket, "/"):
		return fmt.Errorf("%q is not the name of a bucket; write only the name, and what follows the slash as `prefix`", bucket)
	case len(bucket) < least || len(bucket) > most:
		return fmt.Errorf("%q has %d characters; the name of a bucket has %d to %d", bucket, len(bucket), least, most)
	case !patterns.bucket().MatchString(bucket), strings.Contains(bucket, ".."), strings.Contains(bucket, ".-"), strings.Contains(bucket, "-."), err == nil,
		strings.HasPrefix(bucket, "xn--"), strings.HasPrefix(bucket, "sthree-"), strings.HasSuffix(bucket, "-s3alias"), strings.HasSuffix(bucket, "--ol-s3"), strings.HasSuffix(bucket, "--x-s3"):
		return fmt.Errorf("%q is not a name that S3 allows for a bucket; it has lower-case letters, digits, hyphens and single dots, begins and ends with a letter or a digit, and is not an IP address", bucket)
	}
	return nil
}

// ValidatePrefix says why a text cannot begin the names of objects.
func ValidatePrefix(prefix string) error {
	const maxLength = 200 // S3 allows 1,024 bytes for a whole name
	switch parts := strings.Split(prefix, "/"); {
	case prefix == "":
		return nil
	case len(prefix) > maxLength:
		return fmt.Errorf("the prefix has %d characters, the limit is %d; choose a shorter one", len(prefix), maxLength)
	case strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/"):
		return fmt.Errorf("%q begins or ends with a slash; write %q", prefix, strings.Trim(prefix, "/"))
	case !patterns.prefix().MatchString(prefix):
		return fmt.Errorf("%q has characters that not every S3 service keeps in names; use lower-case letters, digits, and . _ - /", prefix)
	case slices.Contains(parts, "") || slices.Contains(parts, ".") || slices.Contains(parts, ".."):
		return fmt.Errorf("%q has an empty part or one of dots only; write for example \"acme/prod\"", prefix)
	}
	return nil
}

// ValidateTable says why a text does not name what is copied.
func ValidateTable(table string) error {
	if table == StoredRows || table == LiveRows {
		return nil
	}
	schema, _, _ := strings.Cut(table, ".")
	switch {
	case !patterns.table().MatchString(table):
		return fmt.Errorf("%q is neither \"stored\" nor \"live\" nor a table with its schema; write for example \"public.articles\"", table)
	case schema == "information_schema" || strings.HasPrefix(schema, "pg_"):
		return fmt.Errorf("%q is a table of PostgreSQL itself; an empty database has its own", table)
	case slices.Contains([]string{"auto_backup", "vault", "cron", "net"}, schema):
		return fmt.Errorf("%q belongs to the backup itself or to an extension and would be of no use in another project; leave it out", table)
	}
	return nil
}
