package backup

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// Known is what a Terraform state or an earlier observation knows of a backup. It
// saves reading the function's source while nobody has deployed it again, and it
// tells the backup's objects from others when its settings row is lost.
type Known struct {
	// Revision is the deployment that was read, Files and Changes what was found
	// in it; see FunctionState.
	Revision       string
	Files, Changes map[string]string
	// Applied are the digests of the source that was applied, by path. Content,
	// if not nil, returns that source, or nil where it is no longer available.
	Applied map[string]string
	Content func() map[string][]byte
	// Managed says that the backup itself was known, whatever is left of it.
	Managed bool
	// Keys are the keys of the backup's jobs, Secrets the names of its extra secrets
	// and Channels those of the vault secrets of its heartbeat and webhooks.
	Keys, Secrets, Channels []string
}

// Observation is the database's part of one backup, as it is read from there: what
// all backups of the project share, which must not be changed, and the backup's
// own.
type Observation struct {
	ProjectObservation
	OwnObservation
}

// ProjectObservation is what all backups of a project share. It must not be
// changed.
type ProjectObservation struct {
	Extensions   map[string]string `json:"extensions"`
	Installation *struct {
		Owner   string `json:"owner"`
		Version string `json:"version"`
	} `json:"installation"`
	Backups   []string          `json:"backups"`
	Functions map[string]string `json:"functions"`
	// RPCs are the functions of schema public that can be called without arguments,
	// with digests.
	RPCs  map[string]string `json:"rpcs"`
	Drift map[string]string `json:"drift"`
	// LogConstraints are the CHECKs of both log tables.
	LogConstraints []LogConstraint `json:"log_checks"`
	// Jobs are all jobs of the project.
	Jobs []Job `json:"jobs"`
	// ZoneChanges are the rules of the time zones in use.
	ZoneChanges schedule.Rules `json:"zone_changes"`
}

// TokenDigest is the answer of auto_backup.token_digest and auto_backup.key_digest.
type TokenDigest struct {
	// Digest is empty when the vault has no secret that it can decrypt, or one that
	// belongs to no backup.
	Digest string `json:"digest"`
}

// OwnObservation is the database's part of one backup.
type OwnObservation struct {
	Settings *struct {
		Document   json.RawMessage `json:"document"`
		Owner      string          `json:"owner"`
		FunctionID string          `json:"function_id"`
		Unfinished bool            `json:"unfinished"`
		// CreatedAt and UpdatedAt are when the backup was installed, and when its
		// settings were last written.
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	} `json:"settings"`
	Vault map[string]string `json:"vault"`
	// TokenDigest is null when the digest could not be asked for.
	TokenDigest *TokenDigest `json:"token_digest"`
	// KeyDigest is the same for the watchdog's key.
	KeyDigest *TokenDigest `json:"key_digest"`
	// ChannelDigests is the answer of auto_backup.channel_digests: of each secret of the
	// heartbeat and of the webhooks in the settings, null if there is none that the vault
	// can decrypt. It is null when it could not be asked for.
	ChannelDigests map[string]string `json:"channel_digests"`
	// Lease is null if no apply holds the lease, or if that could not be read.
	Lease *Lease `json:"lease"`
}

// Fill puts what the database answered into a state with an ID. known is what the
// Terraform state, or an earlier observation, knew of the backup.
func (o Observation) Fill(state *State, known Known) {
	name := state.ID.Name
	state.Known = known
	state.Extensions, state.Backups = o.Extensions, o.Backups
	state.SchemaDrift, state.RPCs = o.Drift, o.RPCs
	state.Functions, state.VaultMarkers, state.Lease = o.Functions, o.Vault, o.Lease
	state.ChannelDigests = o.ChannelDigests
	for _, c := range o.LogConstraints {
		if c.Table == "backup_logs" {
			state.LogConstraints = append(state.LogConstraints, c)
		}
	}
	// The digest of a secret that belongs to others is not given, whether or not the
	// vault can decrypt it.
	damaged := func(secret, digest string) bool {
		marker, exists := o.Vault[secret]
		return exists && digest == "" && (o.Settings != nil || marker == name.VaultMarker())
	}
	_, hasToken := o.Vault[name.VaultToken()]
	if o.TokenDigest != nil {
		state.Token.Vault = o.TokenDigest.Digest
		state.Token.Undecryptable = damaged(name.VaultToken(), o.TokenDigest.Digest)
	} else {
		state.Token.Unreadable = hasToken
	}
	if _, hasKey := o.Vault[name.VaultAlertKey()]; hasKey && o.KeyDigest != nil {
		state.AlertKey.Vault = o.KeyDigest.Digest
		state.AlertKey.Undecryptable = damaged(name.VaultAlertKey(), o.KeyDigest.Digest)
	}
	if o.Installation != nil {
		state.DispatcherVersion = o.Installation.Version
	}
	keys := map[string]bool{}
	for _, key := range known.Keys {
		keys[key] = true
	}
	if o.Settings != nil {
		state.Marked, state.FunctionID = o.Settings.Owner == Owner, o.Settings.FunctionID
		state.Unfinished = o.Settings.Unfinished
		state.Settings = &Settings{}
		// What is missing or has the wrong type is left out, so it shows as a change
		// like any other.
		_ = json.Unmarshal(o.Settings.Document, state.Settings)
		keys[WatchdogKey] = true
		if state.Settings.Drill != nil {
			keys[drill.JobKey] = true
		}
		if state.Settings.Retention != nil {
			keys[retention.JobKey] = true
		}
		for key := range state.Settings.Schedules {
			keys[key] = true
		}
	}
	others := slices.DeleteFunc(slices.Clone(o.Backups), func(other string) bool { return other == string(name) })
	o.fillJobs(state, keys, others)
}

// fillJobs sorts the jobs by the backup they belong to. keys are those of the
// backup's own jobs, backups the other backups of the project.
func (o Observation) fillJobs(state *State, keys map[string]bool, backups []string) {
	state.Jobs, state.ConflictingJobs = map[string]Job{}, map[string]Job{}
	var others []Job
	keyOf := func(job Job) (string, bool) {
		key, named := strings.CutPrefix(job.Name, string(state.ID.Name)+"-")
		return key, named && patterns.key().MatchString(key)
	}
	for _, job := range o.Jobs {
		key, named := keyOf(job)
		switch {
		case key == drill.OnceKey && named && job.Dispatches() == string(state.ID.Name):
		case !named || job.Username != JobOwner:
			others = append(others, job)
		case keys[key]:
			state.Jobs[key] = job
		default:
			state.ConflictingJobs[key] = job
		}
	}
	// A job with a name of this backup and another role is a second job of that
	// name, or the backup's own job, which was given to that role.
	for _, job := range others {
		key, named := keyOf(job)
		_, double := state.Jobs[key]
		switch {
		case !named && job.isOf(backups):
		case !named:
			state.OtherJobs = append(state.OtherJobs, job)
		case !keys[key]:
			state.ConflictingJobs[key+duplicateMark+job.Username] = job
		case double:
			state.Jobs[key+duplicateMark+job.Username] = job
		default:
			state.Jobs[key] = job
		}
	}
}
