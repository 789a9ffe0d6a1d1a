package backup

import (
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
)

// The PRD's values, which are the defaults of a backup.
const (
	DefaultName          = "auto-backup"
	DefaultTimezone      = "America/Sao_Paulo"
	DefaultScheduleKey   = "daily"
	DefaultCron          = "0 3 * * *"
	DefaultRPC           = "backup_all_data"
	DefaultAlertFunction = "alert-processor"
	DefaultAlertSource   = "Falha no Backup Automático"
	DefaultRetryAttempts = 1
	DefaultRetryDelay    = 10 * time.Minute
)

// Settings is one backup as the database knows it: the JSON document in
// auto_backup.settings.document, which the dispatcher and the watchdog read. It
// contains no secret.
type Settings struct {
	// Timezone is the zone of the schedules that name none of their own.
	Timezone  string              `json:"timezone"`
	Schedules map[string]Schedule `json:"schedules"`
	Function  FunctionSettings    `json:"function"`
	Alert     AlertSettings       `json:"alert"`
	Retry     RetrySettings       `json:"retry"`
	// Drill is nil in the settings of releases that had no drills.
	Drill *DrillSettings `json:"drill,omitempty"`
	// Retention is nil where old backups are not removed.
	Retention *retention.Policy `json:"retention,omitempty"`
	// Offsite is nil where no copies are made outside the project.
	Offsite *offsite.Settings `json:"offsite,omitempty"`
	// Heartbeat is nil where no service outside the project hears of each run.
	Heartbeat *notify.Heartbeat `json:"heartbeat,omitempty"`
	// Webhooks are the addresses that get messages, by key. Their URLs are in the vault,
	// as the heartbeat's is.
	Webhooks map[string]notify.Webhook `json:"webhooks,omitempty"`
	// Secrets are the sorted names of the extra function secrets that belong
	// to this backup, those of Offsite among them.
	Secrets []string `json:"secrets"`
	// AdoptedSecrets are those of Secrets that existed before the backup. Other
	// functions may use them, so they stay when the backup is removed.
	AdoptedSecrets []string `json:"adopted_secrets,omitempty"`
	// RotateToken is the text whose change makes a new token.
	RotateToken *string `json:"rotate_token,omitempty"`
	// Instance is a random ID generated on each create. State holding a different
	// ID describes an installation that has been replaced, and must not delete
	// this one.
	Instance string `json:"instance,omitempty"`
}

// ChannelSecrets are the names of the vault secrets of the heartbeat and of the webhooks,
// sorted.
func (s Settings) ChannelSecrets(name Name) []string {
	var names []string
	if s.Heartbeat != nil {
		names = append(names, name.VaultHeartbeat())
	}
	for key, webhook := range s.Webhooks {
		names = append(names, name.VaultWebhook(key))
		if webhook.Signed {
			names = append(names, name.VaultWebhookSecret(key))
		}
	}
	slices.Sort(names)
	return names
}

// NeedsKey reports whether the database calls a function that may ask for a key.
func (s Settings) NeedsKey() bool { return s.Alert.Enabled || s.Function.SendKey }

// Elsewhere returns the first URL in the settings that is not of the project of own,
// and the one that own has in its place. Both are empty if there is none. Such
// settings come from another project, whose database was copied into this one.
func (s Settings) Elsewhere(own Settings) (there, here string) {
	for _, address := range [][2]string{{s.Function.URL, own.Function.URL}, {s.Alert.URL, own.Alert.URL}} {
		found, _, isURL := strings.Cut(address[0], "/functions/v1/")
		wanted, _, known := strings.Cut(address[1], "/functions/v1/")
		if isURL && known && found != wanted {
			return address[0], address[1]
		}
	}
	return "", ""
}

// FunctionSettings says which Edge Function the dispatcher calls and what the
// function calls.
type FunctionSettings struct {
	URL string `json:"url"`
	// RPC is the SQL function in schema public that makes the backup.
	RPC string `json:"rpc"`
	// VerifyTable is a table in schema public that has to have rows of a backup
	// before the backup counts as successful; nil for none.
	VerifyTable *string `json:"verify_table"`
	// SendKey makes the database present the project's public key, for a
	// self-hosted runtime that checks JWTs before it runs any function.
	SendKey bool `json:"send_key,omitempty"`
	// Lifetime is how long an instance of the function lives; zero means the
	// platform's shortest lifetime. The database need not know it.
	Lifetime time.Duration `json:"-"`
}

// rpcTimeout is how long the function waits for the backup. Where its lifetime is
// short, a third of it is left for the logs and the alert.
func (f FunctionSettings) rpcTimeout() time.Duration {
	// The smallest plan of the platform grants a function 150 s.
	const longest = 100 * time.Second
	if f.Lifetime == 0 {
		return longest
	}
	return max(time.Second, min(longest, f.Lifetime*2/3))
}

// AlertSettings says how a backup that failed or did not run is reported.
type AlertSettings struct {
	Enabled bool `json:"enabled"`
	// Function is the slug of the Edge Function that sends the alert, URL its
	// address, and Source the origin that the alert names.
	Function string `json:"function"`
	URL      string `json:"url"`
	Source   string `json:"source"`
	// OverdueAfterSeconds is the age of the last success at which the backup is
	// overdue; zero means never.
	OverdueAfterSeconds int64 `json:"overdue_after_seconds"`
}

// RetrySettings says how often and when a failed backup is tried again.
type RetrySettings struct {
	Attempts     int64 `json:"attempts"`
	DelaySeconds int64 `json:"delay_seconds"`
}

// DrillSettings says when and how the newest backup is restored in a drill.
type DrillSettings struct {
	Schedule
	// TimeoutSeconds is how long a drill may take, MaxRows how many rows of a table
	// it reads.
	TimeoutSeconds int64 `json:"timeout_seconds"`
	MaxRows        int64 `json:"max_rows"`
	// OverdueAfterSeconds is the age of the last drill with a result at which drills
	// are overdue.
	OverdueAfterSeconds int64 `json:"overdue_after_seconds"`
	// RequireColumns are columns that the backup must hold, each as schema, table and
	// column.
	RequireColumns [][3]string `json:"require_columns"`
	// Tables are what is restored from what. Nil in a spec means those that the
	// project has.
	Tables []drill.Table `json:"tables"`
	// TablesNamed says that the configuration names Tables. Else they are those that
	// the text of the SQL function shows; there may be none.
	TablesNamed bool `json:"tables_named,omitempty"`
}

// OverdueAfter returns how many seconds after a drill with a result the next one is
// overdue: two of the longest gaps between its due times, because a drill may be
// skipped, and OverdueMargin. It is zero if the drill is not enabled.
func (d DrillSettings) OverdueAfter() (int64, error) {
	gap, err := OverdueAfter(map[string]Schedule{drill.JobKey: d.Schedule})
	if err != nil || gap == 0 {
		return 0, err
	}
	return int64((2*(gap-OverdueMargin) + OverdueMargin) / time.Second), nil
}
