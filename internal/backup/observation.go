package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Known is what an earlier observation learned about a function's source. It
// spares reading the source while nobody has deployed the function again.
type Known struct {
	// Revision is the deployment that was read, Files and Changes what was found
	// in it; see FunctionState.
	Revision       string
	Files, Changes map[string]string
	// Applied are the digests of the source that was applied, by path. Content,
	// if not nil, returns that source, or nil where it is not at hand any more.
	Applied map[string]string
	Content func() map[string][]byte
	// Managed says that the backup itself was known, whatever is left of it.
	Managed bool
	// Keys are the keys of the backup's jobs and Secrets the names of its
	// extra secrets. They tell the backup's objects from others when the
	// settings row, which lists them, is lost.
	Keys, Secrets []string
}

// Observation is what the database says about one backup: the project's part,
// which all backups share and nobody may change, and the backup's own.
type Observation struct {
	ProjectObservation
	BackupObservation
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
	Drift     map[string]string `json:"drift"`
	// LogConstraints are the CHECKs of both log tables.
	LogConstraints []LogConstraint `json:"log_checks"`
	// Jobs are all jobs of the project.
	Jobs []Job `json:"jobs"`
}

// TokenDigest is the answer of auto_backup.token_digest, empty when the vault
// has no token.
type TokenDigest struct {
	Digest string `json:"digest"`
}

// BackupObservation is the database's part of one backup.
type BackupObservation struct {
	Settings *struct {
		Document   json.RawMessage `json:"document"`
		Owner      string          `json:"owner"`
		FunctionID string          `json:"function_id"`
		Unfinished bool            `json:"unfinished"`
		// CreatedAt and UpdatedAt are when the backup was installed, and when its
		// settings were last written.
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
		// Age is in seconds since the installation was finished, null when it
		// was not, or nobody noted it.
		Age *float64 `json:"age"`
	} `json:"settings"`
	Vault map[string]string `json:"vault"`
	// TokenDigest is null when the digest could not be asked for.
	TokenDigest *TokenDigest `json:"token_digest"`
}

// Fill puts what the database said into a state. known is what the Terraform
// state, or an earlier observation, knew of the backup.
func (o Observation) Fill(state *State, known Known) error {
	name := state.ID.Name
	state.Known = known
	state.Extensions, state.Backups = o.Extensions, o.Backups
	state.SchemaDrift = o.Drift
	state.Functions, state.VaultMarkers = o.Functions, o.Vault
	for _, c := range o.LogConstraints {
		if c.Table == "backup_logs" {
			state.LogConstraints = append(state.LogConstraints, c)
		}
	}
	if o.TokenDigest != nil {
		state.Token.Vault = o.TokenDigest.Digest
	} else {
		_, state.Token.Unreadable = o.Vault[name.VaultToken()]
	}
	if o.Installation != nil {
		state.DispatcherVersion = o.Installation.Version
	}
	claimed := map[string]bool{}
	for _, key := range known.Keys {
		claimed[key] = true
	}
	if o.Settings != nil {
		state.Marked, state.FunctionID = o.Settings.Owner == Owner, o.Settings.FunctionID
		state.Unfinished = o.Settings.Unfinished
		if o.Settings.Age != nil {
			state.Age = time.Duration(*o.Settings.Age * float64(time.Second))
		}
		state.Settings = &Settings{}
		// A value of another type than it has to be is left out, and so shows
		// as a change like any other.
		var typeErr *json.UnmarshalTypeError
		if err := json.Unmarshal(o.Settings.Document, state.Settings); err != nil && !errors.As(err, &typeErr) {
			return fmt.Errorf("the settings of backup %s in auto_backup.settings have an unexpected form: %w", name, err)
		}
		claimed[WatchdogKey] = true
		for key := range maps.Keys(state.Settings.Schedules) {
			claimed[key] = true
		}
	}
	others := slices.DeleteFunc(slices.Clone(o.Backups), func(other string) bool { return other == string(name) })
	o.fillJobs(state, claimed, others)
	return nil
}

// fillJobs sorts the jobs by whose they are. claimed are the keys of the
// backup's own, backups the other backups of the project.
func (o Observation) fillJobs(state *State, claimed map[string]bool, backups []string) {
	state.Jobs, state.ConflictingJobs = map[string]Job{}, map[string]Job{}
	var others []Job
	keyOf := func(job Job) (string, bool) {
		key, named := strings.CutPrefix(job.Name, string(state.ID.Name)+"-")
		return key, named && keyPattern.MatchString(key)
	}
	for _, job := range o.Jobs {
		key, named := keyOf(job)
		switch {
		case !named || job.Username != JobOwner:
			others = append(others, job)
		case claimed[key]:
			state.Jobs[key] = job
		default:
			state.ConflictingJobs[key] = job
		}
	}
	// A job of a name of this backup that belongs to another role is a second
	// one, or the backup's own under another owner.
	for _, job := range others {
		key, named := keyOf(job)
		_, double := state.Jobs[key]
		switch {
		case !named && isJobOf(job, backups):
		case !named:
			state.OtherJobs = append(state.OtherJobs, job)
		case !claimed[key]:
			state.ConflictingJobs[duplicateKey(key, job.Username)] = job
		case double:
			state.Jobs[duplicateKey(key, job.Username)] = job
		default:
			state.Jobs[key] = job
		}
	}
}
