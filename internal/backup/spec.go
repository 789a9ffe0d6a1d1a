package backup

import (
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
)

// Spec is one backup as the configuration wants it.
type Spec struct {
	ID       ID
	Settings Settings
	// Source is the Edge Function's source.
	Source source.Source
	// OwnSource says that Source is not the built-in function's.
	OwnSource bool
	// New says that no backup is known to be installed.
	New bool
	// KeepsSchedules says that the installed backup has the same schedules, about
	// which an earlier plan has said everything.
	KeepsSchedules bool
	// KeepsDrill says the same of its drill and of the SQL function.
	KeepsDrill bool
	// KeepsRetention says the same of the retention.
	KeepsRetention bool
	// KeptDestinations are the keys of the destinations of copies that are the same.
	KeptDestinations []string
	// Secrets are the values of the extra function secrets by name. They are
	// known only during an apply.
	Secrets map[string]string
	// Channels are the values of the vault secrets of the heartbeat and the webhooks, by
	// the names that Settings.ChannelSecrets lists. They too are known only during an
	// apply.
	Channels map[string]string
	// SameSecret reports whether a secret with this digest has the value that was
	// applied, for specs without Secrets and Channels; it may be nil.
	SameSecret func(name, digest string) bool
	// SourceDigests are the digests of the source, by path, where Source has no
	// files: after an apply only these are kept.
	SourceDigests map[string]string
	// DispatcherVersion is the version of the dispatcher that was applied; empty
	// means the provider's own.
	DispatcherVersion string
	// ExtendLogConstraint lets an apply widen the CHECK of backup_logs. Without
	// it, a CHECK that refuses the function's rows is an error.
	ExtendLogConstraint bool
	// Adopt lets an apply adopt objects without this provider's ownership marker.
	Adopt bool
	// RotateToken makes an apply replace an intact token.
	RotateToken bool
}

// Completed returns the spec with what only the project knows: which secrets are
// adopted, the instance of an installation that has one, and which tables its drills
// restore and its off-site copies have.
func (s Spec) Completed(found State) Spec {
	s.Settings.AdoptedSecrets = secretNames(found.SecretsOf(s), func(secret Secret) bool {
		return secret.Wanted && secret.Owner != Ours
	})
	if s.Settings.Instance == "" && found.Settings != nil {
		s.Settings.Instance = found.Settings.Instance
	}
	if wanted := s.Settings.Drill; wanted != nil && wanted.Tables == nil && found.Settings != nil && found.Settings.Drill != nil {
		kept := *wanted
		kept.Tables = found.Settings.Drill.Tables
		s.Settings.Drill = &kept
	}
	if wanted := s.Settings.Offsite; wanted != nil && wanted.Tables == nil && found.Settings != nil && found.Settings.Offsite != nil {
		kept := *wanted
		kept.Tables = found.Settings.Offsite.Tables
		s.Settings.Offsite = &kept
	}
	return s
}

// differs reports whether a secret with this digest is known to have another value than
// the wanted one, which is value if that is known.
func (s Spec) differs(name, digest, value string, known bool) bool {
	if known {
		return digest != DigestOf(value)
	}
	return s.SameSecret != nil && !s.SameSecret(name, digest)
}

// Jobs are the pg_cron jobs of the backup by key, the watchdog, the drill
// and the retention among them.
func (s Spec) Jobs() map[string]Job {
	name := s.ID.Name
	jobs := map[string]Job{WatchdogKey: {
		Name: name.Job(WatchdogKey), Schedule: WatchdogSchedule, Command: name.watchCommand(),
		Active: true, Database: JobDatabase, Username: JobOwner,
	}}
	for key, schedule := range s.Settings.Schedules {
		jobs[key] = Job{
			Name: name.Job(key), Schedule: schedule.UTC, Command: name.dispatchCommand(key),
			Active: schedule.Enabled, Database: JobDatabase, Username: JobOwner,
		}
	}
	if wanted := s.Settings.Drill; wanted != nil {
		jobs[drill.JobKey] = Job{
			Name: name.Job(drill.JobKey), Schedule: wanted.UTC, Command: name.drillCommand(wanted.TimeoutSeconds),
			Active: wanted.Enabled, Database: JobDatabase, Username: JobOwner,
		}
	}
	if s.Settings.Retention != nil {
		jobs[retention.JobKey] = Job{
			Name: name.Job(retention.JobKey), Schedule: retention.JobSchedule, Command: name.retainCommand(),
			Active: true, Database: JobDatabase, Username: JobOwner,
		}
	}
	return jobs
}

// Digests are the digests of the function's source, by path.
func (s Spec) Digests() map[string]string {
	if s.SourceDigests != nil {
		return s.SourceDigests
	}
	return s.Source.Digests()
}

// WantsJob reports whether the spec has a job of the name that a job with this
// key of State.Jobs or State.ConflictingJobs has.
func (s Spec) WantsJob(key string) bool {
	key, _, _ = strings.Cut(key, duplicateMark)
	_, wanted := s.Jobs()[key]
	return wanted
}

// BuiltInSource returns the source of the provider's own Edge Function for a
// backup, with the backup's settings in its config.json.
func BuiltInSource(name Name, settings Settings) source.Source {
	config := payload.FunctionConfig{
		ManagedBy:    Owner,
		Backup:       string(name),
		Timezone:     settings.Timezone,
		TokenSecret:  name.TokenSecret(),
		RPC:          settings.Function.RPC,
		RPCTimeoutMS: int(settings.Function.rpcTimeout().Milliseconds()),
		VerifyTable:  settings.Function.VerifyTable,
	}
	if settings.Alert.Enabled {
		config.Alert = &payload.AlertConfig{Function: settings.Alert.Function, Source: settings.Alert.Source}
	}
	return payload.Function(config)
}

// FunctionURL is the address of an Edge Function of the project with the given
// address, which ends without a slash.
func FunctionURL(projectURL, slug string) string {
	return projectURL + "/functions/v1/" + slug
}
