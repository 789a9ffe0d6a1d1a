package backup

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

const (
	// JobOwner is the role that owns every pg_cron job on Supabase. A job of
	// another role is a different job, even under the same name, because
	// pg_cron's key is (jobname, username).
	JobOwner = "postgres"
	// JobDatabase is the only database in which pg_cron works on Supabase.
	JobDatabase = "postgres"
	// WatchdogKey is the key of the watchdog among the jobs of a backup. No
	// schedule may use it.
	WatchdogKey = "watchdog"
	// WatchdogSchedule is the pg_cron schedule of the watchdog.
	WatchdogSchedule = "*/10 * * * *"

	// Owner is the ownership marker in the settings and in the installation row.
	Owner = payload.Owner
)

// pg_cron 1.4 keeps a job's name in 63 bytes and cuts the rest off silently;
// name, hyphen and key stay within that.
const (
	maxNameLength = 40
	maxKeyLength  = 20
)

var (
	namePattern   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	keyPattern    = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	secretPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	refPattern    = regexp.MustCompile(`^[a-z]{20}$`)
)

// SelfHostedRef stands for a project reference where a project has none: in
// ids, imports and states of self-hosted projects. No hosted project can have it.
const SelfHostedRef = "self-hosted"

// Name is the name of a backup, from which the names of all its objects
// derive. Its form makes sure that no two backups share a derived name.
type Name string

// Validate says why a name cannot be used.
func (n Name) Validate() error {
	switch {
	case len(n) > maxNameLength:
		return fmt.Errorf("%q has %d characters, the limit is %d: pg_cron 1.4 cuts job names off after 63 bytes; choose a shorter name", string(n), len(n), maxNameLength)
	case !namePattern.MatchString(string(n)):
		return fmt.Errorf("%q does not survive as Edge Function slug, job name and secret name; use lower-case letters and digits in words joined by single hyphens, beginning with a letter, for example \"auto-backup\"", string(n))
	case strings.HasPrefix(string(n), "supabase-") || n == "supabase":
		return fmt.Errorf("%q would give the function secret %s, and Supabase reserves the prefix SUPABASE_; choose another name", string(n), n.TokenSecret())
	}
	return nil
}

// Slug is the slug of the Edge Function.
func (n Name) Slug() string { return string(n) }

// Job is the name of the pg_cron job of a schedule key, or of WatchdogKey.
func (n Name) Job(key string) string { return string(n) + "-" + key }

// VaultToken is the name of the vault secret with the invocation token.
func (n Name) VaultToken() string { return string(n) + "/token" }

// VaultAlertKey is the name of the vault secret with which the watchdog calls
// the alert function.
func (n Name) VaultAlertKey() string { return string(n) + "/alert-key" }

// TokenSecret is the name of the function secret with the invocation token.
func (n Name) TokenSecret() string {
	return strings.ToUpper(strings.ReplaceAll(string(n), "-", "_")) + "_TOKEN"
}

// NextTokenSecret is the name of the function secret with the token that is
// about to replace the other one. It exists during a rotation only.
func (n Name) NextTokenSecret() string { return n.TokenSecret() + "_NEXT" }

// FunctionMarker is the display name of the deployed function, which shows in
// the dashboard whose it is.
func (n Name) FunctionMarker() string { return string(n) + " (" + Owner + ")" }

// VaultMarker is the description of the backup's vault secrets.
func (n Name) VaultMarker() string { return "managed by " + Owner + ", backup " + string(n) }

func (n Name) dispatchCommand(key string) string {
	return fmt.Sprintf("select auto_backup.dispatch('%s', '%s')", n, key)
}

func (n Name) watchCommand() string {
	return fmt.Sprintf("select auto_backup.watch('%s')", n)
}

// ValidateKey says why a schedule key cannot be used.
func ValidateKey(key string) error {
	switch {
	case key == WatchdogKey:
		return errors.New(`the key "watchdog" names the job that watches over the backup; choose another key, for example "daily"`)
	case len(key) > maxKeyLength:
		return fmt.Errorf("the key %q has %d characters, the limit is %d: pg_cron 1.4 cuts job names off after 63 bytes; choose a shorter key", key, len(key), maxKeyLength)
	case !keyPattern.MatchString(key):
		return fmt.Errorf("the key %q becomes part of a job name; use lower-case letters, digits and underscores, beginning with a letter, for example \"daily\"", key)
	}
	return nil
}

// ValidateProjectRef says why a text is no project reference.
func ValidateProjectRef(ref string) error {
	if !refPattern.MatchString(ref) && ref != SelfHostedRef {
		return fmt.Errorf("%q is no project reference; it is the 20 lower-case letters in the project's dashboard address, https://supabase.com/dashboard/project/<ref>", ref)
	}
	return nil
}

// ID is the identifier of a backup among all projects: "<project_ref>/<name>".
type ID struct {
	ProjectRef string
	Name       Name
}

func (id ID) String() string { return id.ProjectRef + "/" + string(id.Name) }

// ParseID reads an ID from its text form.
func ParseID(text string) (ID, error) {
	ref, name, found := strings.Cut(text, "/")
	id := ID{ProjectRef: ref, Name: Name(name)}
	const form = "an import ID is <project_ref>/<name>, for example abcdefghijklmnopqrst/auto-backup"
	if !found {
		return ID{}, fmt.Errorf("%q has no slash; %s", text, form)
	}
	if err := errors.Join(ValidateProjectRef(ref), id.Name.Validate()); err != nil {
		return ID{}, fmt.Errorf("%w; %s", err, form)
	}
	return id, nil
}

// Limits of the Management API for function secrets.
const (
	maxSecrets           = 100
	maxSecretNameLength  = 256
	maxSecretValueLength = 24_576
)

// ValidateSecrets says why a set of extra function secrets cannot be stored.
// The key of the result is the secret's name, or empty for the set as a whole.
// Values are passed as their lengths in characters, unknown ones as zero.
func ValidateSecrets(name Name, lengths map[string]int) map[string]error {
	faults := map[string]error{}
	// The token takes one place, and a second one while it is rotated.
	if limit := maxSecrets - 2; len(lengths) > limit {
		faults[""] = fmt.Errorf("%d secrets are too many: a project holds %d, and the backup's own token needs up to two of them; keep at most %d", len(lengths), maxSecrets, limit)
	}
	for secret, length := range lengths {
		switch {
		case secret == "":
			faults[secret] = errors.New("a secret needs a name")
		case !secretPattern.MatchString(secret):
			faults[secret] = fmt.Errorf("%.40q: the name is also that of an environment variable; write it in letters, digits, underscores, dots and hyphens", secret)
		case strings.HasPrefix(secret, "SUPABASE_"):
			faults[secret] = fmt.Errorf("%s: Supabase reserves names that begin with SUPABASE_; choose another name", secret)
		case len([]rune(secret)) > maxSecretNameLength:
			faults[secret] = fmt.Errorf("%s…: the name has %d characters, the limit is %d; choose a shorter name", string([]rune(secret)[:20]), len([]rune(secret)), maxSecretNameLength)
		case name != "" && (secret == name.TokenSecret() || secret == name.NextTokenSecret()):
			faults[secret] = fmt.Errorf("%s: the provider keeps the backup's own token under this name; choose another name", secret)
		case length > maxSecretValueLength:
			faults[secret] = fmt.Errorf("%s: the value has %d characters, the limit is %d; store it elsewhere and keep only a key to it here", secret, length, maxSecretValueLength)
		}
	}
	return faults
}
