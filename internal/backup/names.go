package backup

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
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
	// ManualKey is the schedule of runs that somebody has started, in the run
	// history. No schedule may use it.
	ManualKey = "manual"
	// WatchdogSchedule is the pg_cron schedule of the watchdog.
	WatchdogSchedule = "*/10 * * * *"

	// Owner is the ownership marker in the settings and in the installation row.
	Owner = payload.Owner
)

// patterns are the forms of names, and what a job's command has to say.
var patterns = struct {
	name, key, secret, ref, dispatch func() *regexp.Regexp
}{
	name:     text.Pattern(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`),
	key:      text.Pattern(`^[a-z][a-z0-9_]*$`),
	secret:   text.Pattern(`^[A-Za-z0-9_.-]+$`),
	ref:      text.Pattern(`^[a-z]{20}$`),
	dispatch: text.Pattern(`auto_backup\s*\.\s*(?:dispatch|watch|drill|drill_once|retain)\s*\(\s*'([^']*)'`),
}

// SelfHostedRef is used as the project reference of self-hosted projects in IDs,
// imports and states. No hosted project can have it.
const SelfHostedRef = "self-hosted"

// Name is the name of a backup. The names of all its objects derive from it; its
// form ensures that no two backups share a derived name.
type Name string

// Validate says why a name cannot be used, and how to choose another one.
func (n Name) Validate() error {
	// pg_cron 1.4 keeps a job's name in 63 bytes and cuts the rest off silently;
	// name, hyphen and key stay within that.
	const maxLength = 40
	switch {
	case len(n) > maxLength:
		return fmt.Errorf("%q has %d characters, the limit is %d: pg_cron 1.4 cuts job names off after 63 bytes; choose a shorter name", string(n), len(n), maxLength)
	case !patterns.name().MatchString(string(n)):
		return fmt.Errorf("%q cannot serve as function slug, job name and secret name; use lower-case letters and digits in words joined by single hyphens, beginning with a letter, for example \"auto-backup\"", string(n))
	case strings.HasPrefix(string(n), "supabase-") || n == "supabase":
		return fmt.Errorf("%q would give the function secret %s, and Supabase reserves the prefix SUPABASE_; choose another name", string(n), n.TokenSecret())
	}
	return nil
}

// Slug is the slug of the Edge Function.
func (n Name) Slug() string { return string(n) }

// Job is the name of the pg_cron job of a schedule key, of WatchdogKey,
// of drill.JobKey, of drill.OnceKey or of retention.JobKey.
func (n Name) Job(key string) string { return string(n) + "-" + key }

// VaultToken is the name of the vault secret with the invocation token.
func (n Name) VaultToken() string { return string(n) + "/token" }

// VaultFormerToken is the name of the vault secret with the token before the present
// one. It exists for some days after a rotation.
func (n Name) VaultFormerToken() string { return string(n) + "/former-token" }

// VaultAlertKey is the name of the vault secret with which the watchdog calls
// the alert function.
func (n Name) VaultAlertKey() string { return string(n) + "/alert-key" }

// VaultHeartbeat is the name of the vault secret with the URL of the heartbeat.
func (n Name) VaultHeartbeat() string { return string(n) + "/" + notify.HeartbeatChannel }

// VaultWebhook is the name of the vault secret with the URL of a webhook.
func (n Name) VaultWebhook(key string) string { return string(n) + "/" + notify.WebhookChannel(key) }

// VaultWebhookSecret is the name of the vault secret with which the messages of a webhook
// are signed.
func (n Name) VaultWebhookSecret(key string) string { return string(n) + "/webhook-secret/" + key }

// namesChannelSecret reports whether a vault secret has a name of the heartbeat's or of a
// webhook's secrets, whatever its key.
func (n Name) namesChannelSecret(secret string) bool {
	return secret == n.VaultHeartbeat() || strings.HasPrefix(secret, n.VaultWebhook("")) || strings.HasPrefix(secret, n.VaultWebhookSecret(""))
}

// TokenSecret is the name of the function secret with the invocation token.
func (n Name) TokenSecret() string { return n.variable() + "_TOKEN" }

// OffsiteSecrets are the names of the function secrets with the credentials of a
// destination of copies.
func (n Name) OffsiteSecrets(key string) offsite.Secrets { return offsite.SecretsOf(n.variable(), key) }

// variable is the name as the names of environment variables have it.
func (n Name) variable() string { return strings.ToUpper(strings.ReplaceAll(string(n), "-", "_")) }

// NextTokenSecret is the name of the function secret with the token that is
// about to replace the present one. It exists only during a rotation.
func (n Name) NextTokenSecret() string { return n.TokenSecret() + "_NEXT" }

// FunctionMarker is the ownership marker of the Edge Function: its display name,
// which the dashboard shows.
func (n Name) FunctionMarker() string { return string(n) + " (" + Owner + ")" }

// VaultMarker is the ownership marker of the backup's vault secrets: their
// description.
func (n Name) VaultMarker() string { return "managed by " + Owner + ", backup " + string(n) }

func (n Name) dispatchCommand(key string) string {
	return n.command(fmt.Sprintf("dispatch('%s', '%s')", n, key))
}

func (n Name) watchCommand() string {
	return n.command(fmt.Sprintf("watch('%s')", n))
}

// drillCommand is the command of the drill's job. The time limit ends what the drill
// itself cannot end, in the middle of a statement.
func (n Name) drillCommand(timeout int64) string {
	return fmt.Sprintf("set statement_timeout = '%ds'; select auto_backup.drill('%s')", timeout, n)
}

// retainCommand is the command of the retention's job. It ends before it could keep
// another statement waiting for long; one backup at a time is removed.
func (n Name) retainCommand() string {
	return fmt.Sprintf("set statement_timeout = '60s'; select auto_backup.retain('%s')", n)
}

// command is the command of a job. It ends a tick that hangs, for example in code that
// others have attached to pg_net's queue. A tick only makes requests and notes, so it
// takes milliseconds; the watchdog by itself leaves out what it cannot do within a
// minute. In the called function the setting would come too late.
func (Name) command(call string) string {
	return "set statement_timeout = '2min'; select auto_backup." + call
}

// ValidateKey says why a schedule key cannot be used, and how to choose another
// one.
func ValidateKey(key string) error {
	const maxLength = 20 // see Name.Validate
	switch {
	case key == WatchdogKey:
		return errors.New(`the key "watchdog" is that of the job that watches over the backup; choose another key, for example "daily"`)
	case key == drill.OnceKey:
		return errors.New(`the key "drill_now" is that of the job that runs a restore drill on request; choose another key, for example "daily"`)
	case key == drill.JobKey:
		return errors.New(`the key "drill" is that of the job that restores the newest backup in a drill; choose another key, for example "daily"`)
	case key == retention.JobKey:
		return errors.New(`the key "retention" is that of the job that removes old backups; choose another key, for example "daily"`)
	case key == ManualKey:
		return errors.New(`the key "manual" is that of the runs that somebody starts; choose another key, for example "daily"`)
	case len(key) > maxLength:
		return fmt.Errorf("the key %q has %d characters, the limit is %d: pg_cron 1.4 cuts job names off after 63 bytes; choose a shorter key", key, len(key), maxLength)
	case !patterns.key().MatchString(key):
		return fmt.Errorf("the key %q becomes part of a job name; use lower-case letters, digits and underscores, beginning with a letter, for example \"daily\"", key)
	}
	return nil
}

// ValidateProjectRef says why a text is not a valid project reference.
func ValidateProjectRef(ref string) error {
	if !patterns.ref().MatchString(ref) && ref != SelfHostedRef {
		return fmt.Errorf("%q is not a valid project reference; a reference is the 20 lower-case letters in the project's dashboard address, https://supabase.com/dashboard/project/<ref>", ref)
	}
	return nil
}

// ID is the identifier of a backup among all projects: "<project_ref>/<name>".
type ID struct {
	ProjectRef string
	Name       Name
}

func (id ID) String() string { return id.ProjectRef + "/" + string(id.Name) }

// ParseID parses the text form of an ID. The error names that form.
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
