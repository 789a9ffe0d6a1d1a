package backup

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Job is a pg_cron job.
type Job struct {
	ID       int64  `json:"job_id"`
	Name     string `json:"name"`
	Schedule string `json:"schedule"`
	Command  string `json:"command"`
	Active   bool   `json:"active"`
	Database string `json:"database"`
	Username string `json:"username"`
	// Orphaned says that the role Username does not exist. While there is such a
	// job, pg_cron runs no jobs at all.
	Orphaned bool `json:"orphaned,omitempty"`
}

// same reports whether two jobs do the same, whatever their ids.
func (j Job) same(other Job) bool {
	j.ID, j.Orphaned = other.ID, other.Orphaned
	return j == other
}

// duplicateMark separates a job's key from its role in the key of a second job of
// the same name, which has another owner. No schedule's key contains it.
const duplicateMark = "@"

// FunctionState is a deployed Edge Function.
type FunctionState struct {
	ID        string
	Name      string
	Status    string
	VerifyJWT bool
	// Entrypoint is the file that is executed, ImportMap that of the import
	// map, empty when there is none. Both are relative to the entry point's
	// directory.
	Entrypoint, ImportMap string
	// Revision changes with every deployment and at no other time.
	Revision string
	// Files maps the paths of the source to their digests.
	Files map[string]string
	// Changes says of files that are not as they were applied in which line
	// they differ first, where that could be read.
	Changes map[string]string
}

// StatusActive is the status of a function that accepts requests.
const StatusActive = "ACTIVE"

// LogConstraint is a CHECK of public.backup_logs or public.system_logs.
type LogConstraint struct {
	Table      string `json:"table"`
	Name       string `json:"name"`
	Definition string `json:"definition"`
	// Admits says whether it accepts the row with which the Edge Function begins
	// a run, AdmitsAll whether it also accepts the one with which a run ends. A
	// CHECK that cannot be evaluated counts as one that accepts them.
	Admits    bool `json:"admits"`
	AdmitsAll bool `json:"admits_all"`
	// Skipped says that it was not evaluated, because that would have run code which
	// is not PostgreSQL's own.
	Skipped bool `json:"skipped"`
}

// State is one backup as it was found in its project.
type State struct {
	ID ID
	// Extensions maps the installed ones of pg_cron, pg_net and
	// supabase_vault to their versions.
	Extensions map[string]string
	// DispatcherVersion is the version noted at installation, empty when the
	// dispatcher is not installed.
	DispatcherVersion string
	// Functions maps the dispatcher's SQL functions to the digests of their bodies.
	Functions map[string]string
	// RPCs maps the functions of schema public that can be called without arguments
	// to digests of their definitions.
	RPCs map[string]string
	// SchemaDrift is the database's own comparison of schema auto_backup with what
	// was installed, by object; nil when it could not be asked for.
	SchemaDrift map[string]string
	// Settings is nil when the backup has no settings row.
	Settings *Settings
	// Marked says that the settings row carries the provider's ownership marker.
	Marked bool
	// Unfinished says that the apply that began the installation did not finish.
	Unfinished bool
	// FunctionID is the ID of the Edge Function that the settings row names.
	FunctionID string
	// Backups are the names of all backups installed in the project.
	Backups []string
	// Jobs are this backup's jobs, by key. A second job of the same name, which
	// belongs to another role, has the key "<key>@<role>".
	Jobs map[string]Job
	// ConflictingJobs are jobs that the backup does not know and whose names are
	// those of its own jobs, by keys as in Jobs.
	ConflictingJobs map[string]Job
	// OtherJobs are all jobs that neither this backup nor another one of this
	// provider has. See MakesBackup.
	OtherJobs []Job
	Token     TokenState
	// AlertKey says of the keys with which the watchdog calls the alert function
	// whether they are the project's. The keys themselves are never read.
	AlertKey struct {
		// Vault are the digests of the vault's keys, separated by spaces: of the one
		// that is sent first and, if there is one, of the legacy key that is sent
		// beside it. Empty when there are none or they could not be read.
		Vault string
		// Undecryptable says that the vault has keys that it cannot decrypt.
		Undecryptable bool
		// Project are the digests of the project's keys that may be sent first: the
		// publishable ones or, without any, the legacy anon key; nil when the
		// project's keys are not known.
		Project []string
		// Legacy is the digest of the project's anon key, empty if it has none.
		Legacy string
	}
	// ChannelDigests are the digests of the vault's secrets of the heartbeat and of the
	// webhooks that the project's settings have, by name: empty if there is none that the
	// vault can decrypt. It is nil if they could not be asked for.
	ChannelDigests map[string]string
	// VaultMarkers maps vault secrets to their descriptions, which are their
	// ownership markers: those of the backup's names, and those that carry the
	// backup's marker.
	VaultMarkers map[string]string
	// Secrets maps all of the project's function secrets to their digests.
	Secrets map[string]string
	// Function is nil when it is not deployed.
	Function *FunctionState
	// LogConstraints are the CHECKs of public.backup_logs.
	LogConstraints []LogConstraint
	// Lease is the lease on the backup that some apply holds; nil if none does, as far
	// as that could be read.
	Lease *Lease

	// Known is what was known of the backup before it was observed.
	Known Known
}

// Lease is the right of one apply to change a backup. It expires if the apply does
// not renew it. All times are those of the database's clock.
type Lease struct {
	// Process is the process of the apply, as its machine names it.
	Process string `json:"process"`
	// Since is when the apply acquired the lease, RenewedAt when it last renewed it,
	// ExpiresAt when the lease expires, and ReadAt when all this was read.
	Since     time.Time `json:"since"`
	RenewedAt time.Time `json:"renewed_at"`
	ExpiresAt time.Time `json:"expires_at"`
	ReadAt    time.Time `json:"read_at"`
}

// Silence is how long ago the lease was renewed, if a running apply would have renewed
// it again since; else it is 0. A silent apply has died, or cannot reach the database.
func (l Lease) Silence() time.Duration {
	// A running apply renews the lease after a quarter of its term.
	if silent := l.ReadAt.Sub(l.RenewedAt); silent > l.ExpiresAt.Sub(l.RenewedAt)/2 {
		return silent
	}
	return 0
}

// HasJobs reports whether there is a job that belongs to the backup, or that spec
// would adopt.
func (s State) HasJobs(spec Spec) bool {
	return len(s.Jobs) > 0 || slices.ContainsFunc(slices.Collect(maps.Keys(s.ConflictingJobs)), spec.WantsJob)
}

// AdmitsLog reports whether every CHECK of backup_logs accepts the function's rows.
func (s State) AdmitsLog() bool { return len(s.RefusingConstraints()) == 0 }

// RefusingConstraints are the names of the CHECKs of backup_logs that refuse the
// function's rows.
func (s State) RefusingConstraints() []string {
	var names []string
	for _, c := range s.LogConstraints {
		if !c.Admits {
			names = append(names, c.Name)
		}
	}
	return names
}

// Dispatcher is the version of the installed dispatcher; else problem says why
// there is none, in the words that follow "the dispatcher".
func (s State) Dispatcher() (version, problem string) {
	switch {
	case s.DispatcherVersion != "":
		return s.DispatcherVersion, ""
	case len(s.Functions) > 0:
		return "", "has lost its version: the row of auto_backup.installation is missing or unfinished"
	}
	return "", "is not installed"
}

// UnmarkedVault are the vault secrets of the token and of the alert key without the
// backup's ownership marker, sorted.
func (s State) UnmarkedVault() []string {
	var names []string
	for _, name := range []string{s.ID.Name.VaultAlertKey(), s.ID.Name.VaultToken()} {
		if marker, ok := s.VaultMarkers[name]; ok && marker != s.ID.Name.VaultMarker() {
			names = append(names, name)
		}
	}
	return names
}

// NeedsAlertKey reports whether the apply of spec has to write the key with which the
// watchdog calls the alert function. A rotation reads it again, because the project's
// keys may have been rotated too, and what is preferred of them may have changed.
func (s State) NeedsAlertKey(spec Spec) bool {
	marked := s.VaultMarkers[s.ID.Name.VaultAlertKey()] == s.ID.Name.VaultMarker()
	return spec.Settings.NeedsKey() && (spec.RotateToken || !marked || s.AlertKeyProblem() != "")
}

// AlertKeyProblem says what is wrong with the watchdog's keys, in the words that
// follow the name of the secret; it is empty if nothing is known to be.
func (s State) AlertKeyProblem() string {
	key := s.AlertKey
	if key.Undecryptable {
		_, problem := TokenState{Undecryptable: true}.Digest()
		return problem
	}
	if key.Vault == "" || key.Project == nil {
		return ""
	}
	first, beside, both := strings.Cut(key.Vault, " ")
	switch {
	case slices.Contains(key.Project, first):
		if both && beside != key.Legacy {
			return "has a legacy anon key that is not the project's: it was replaced or removed there"
		}
		return ""
	case first == key.Legacy:
		return "has only the legacy anon key, although the project has a publishable key"
	}
	return "is not a public key of this project: it was replaced there, or the database is a copy of another project's"
}

// SurplusVault are the vault secrets that carry the backup's ownership marker
// under a name that it never uses, because somebody has renamed one, sorted.
func (s State) SurplusVault() []string {
	return slices.DeleteFunc(s.markedVault(), func(name string) bool {
		return name == s.ID.Name.VaultToken() || name == s.ID.Name.VaultFormerToken() || name == s.ID.Name.VaultAlertKey() || s.ID.Name.namesChannelSecret(name)
	})
}

// RemovableVault are the vault secrets that are removed with the backup, sorted.
func (s State) RemovableVault() []string {
	surplus := s.SurplusVault()
	return slices.DeleteFunc(s.markedVault(), func(name string) bool { return slices.Contains(surplus, name) })
}

// markedVault are the vault secrets that carry the backup's ownership marker, sorted.
func (s State) markedVault() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.VaultMarkers)), func(name string) bool {
		return s.VaultMarkers[name] != s.ID.Name.VaultMarker()
	})
}
