package backup

import (
	"maps"
	"slices"
	"strconv"
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
	// Orphaned says that the role Username does not exist. While such a job is
	// there, pg_cron runs no job of anybody.
	Orphaned bool `json:"orphaned,omitempty"`
}

// same reports whether two jobs do the same, whatever their ids.
func (j Job) same(other Job) bool {
	j.ID, j.Orphaned = other.ID, other.Orphaned
	return j == other
}

// duplicateMark stands between the key of a job and its role, where a job of
// another role has the same name. No key contains it.
const duplicateMark = "@"

// duplicateKey is the key of a job which has the name of the job with this key,
// and another owner.
func duplicateKey(key, role string) string { return key + duplicateMark + role }

// WantsJob reports whether a job has the name of a job of the spec.
func (s Spec) WantsJob(key string) bool {
	key, _, _ = strings.Cut(key, duplicateMark)
	_, wanted := s.Jobs()[key]
	return wanted
}

// TokenState says where the invocation token stands in its two homes, the
// database's vault and the function's secrets. The comparison is by SHA-256;
// the token itself is never read.
type TokenState struct {
	// Vault is the digest of the vault's token, empty when there is none.
	Vault string
	// Function is the digest of the function's token, empty when there is none.
	Function string
	// Next is the digest of the function's second token during a rotation.
	Next string
	// Unreadable says that the vault has a token which could not be compared,
	// because auto_backup.token_digest is not as it has to be.
	Unreadable bool
}

// Digest is the digest of the token when both homes agree on it and no rotation
// is under way; else problem says what is wrong, in the words that follow "the
// invocation token".
func (t TokenState) Digest() (digest, problem string) {
	switch {
	case t.Unreadable:
		return "", "cannot be compared, because auto_backup.token_digest is not as it was installed"
	case t.Vault == "" && t.Function == "":
		return "", "is missing in the vault and in the function's secrets"
	case t.Vault == "":
		return "", "is missing in the vault"
	case t.Function == "":
		return "", "is missing in the function's secrets"
	case t.Vault != t.Function:
		return "", "differs between the vault and the function's secrets"
	case t.Next != "":
		return "", "was being replaced, and the rotation is unfinished"
	}
	return t.Vault, ""
}

// Intact reports whether the chain from the database to the function can be
// trusted to hold one token.
func (t TokenState) Intact() bool {
	return t.Vault != "" && t.Vault == t.Function && t.Next == ""
}

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

// StatusActive is the status of a function that answers requests.
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
	// SchemaDrift is the database's own comparison of schema auto_backup
	// with what was installed, by object; nil when it could not be asked for.
	SchemaDrift map[string]string
	// Settings is nil when the backup has no settings row.
	Settings *Settings
	// Marked says that the settings row carries the provider's ownership marker.
	Marked bool
	// Unfinished says that the apply which began the installation did not come
	// to its end.
	Unfinished bool
	// Age is how long ago the installation was finished, by the database's
	// clock. It is zero when that is not known.
	Age time.Duration
	// FunctionID is the id of the Edge Function that the settings row knows.
	FunctionID string
	// Backups are the names of all backups installed in the project.
	Backups []string
	// Jobs are this backup's jobs, by key. A second job of the same name, which
	// belongs to another role, has the key "<key>@<role>".
	Jobs map[string]Job
	// ConflictingJobs are jobs that are named as jobs of this backup are, by key,
	// and that the backup does not know.
	ConflictingJobs map[string]Job
	// OtherJobs are all jobs that neither this backup nor another one of this
	// provider has. See MakesBackup.
	OtherJobs []Job
	Token     TokenState
	// VaultMarkers maps the backup's vault secrets to their descriptions.
	VaultMarkers map[string]string
	// Secrets maps all of the project's function secrets to their digests.
	Secrets map[string]string
	// Function is nil when it is not deployed.
	Function *FunctionState
	// LogConstraints are the CHECKs of public.backup_logs.
	LogConstraints []LogConstraint

	// Known is what was known of the backup before.
	Known Known
}

// Supersedes reports whether the backup was made anew since it was found
// before.
func (s State) Supersedes(before State) bool {
	return before.Settings != nil && s.Superseded(before.Settings.Instance)
}

// Superseded reports whether the backup was made anew since it was known as an
// instance. The empty instance is that of who never knew.
func (s State) Superseded(instance string) bool {
	return instance != "" && s.Settings != nil && s.Settings.Instance != "" && s.Settings.Instance != instance
}

// Exists reports whether any part of the backup is there that the provider
// would recognise as its own. A dispatcher that no backup needs is the last part
// of one that was known, and was removed but for that.
func (s State) Exists() bool {
	return s.Settings != nil || s.OwnsFunction() || s.ownsJob() ||
		s.isKnown() && len(s.Functions) > 0 && len(s.Backups) == 0 ||
		slices.Contains(slices.Collect(maps.Values(s.VaultMarkers)), s.ID.Name.VaultMarker())
}

// ownsJob reports whether a job runs the backup. One that has its name alone may
// be anybody's.
func (s State) ownsJob() bool {
	for key, job := range s.Jobs {
		if job.Command == s.ID.Name.dispatchCommand(key) || job.Command == s.ID.Name.watchCommand() {
			return true
		}
	}
	return false
}

// OwnsFunction reports whether the deployed Edge Function is this backup's: it
// carries the ownership marker, or the settings row has its ID.
func (s State) OwnsFunction() bool {
	return s.Function != nil && (s.Function.Name == s.ID.Name.FunctionMarker() || (s.FunctionID != "" && s.Function.ID == s.FunctionID))
}

// youth is how long after the end of an installation a state that does not
// know it is taken for the state of an apply which died before it could write.
const youth = time.Hour

// HasJobs reports whether any job is there that is the backup's, or that spec
// makes the backup's.
func (s State) HasJobs(spec Spec) bool {
	return len(s.Jobs) > 0 || slices.ContainsFunc(slices.Collect(maps.Keys(s.ConflictingJobs)), spec.WantsJob)
}

// LeftBehind reports whether the backup looks like what an apply has left that
// died before its state knew of it: it is not finished, or was so a short time
// ago. One that works for longer has a state of its own somewhere.
func (s State) LeftBehind() bool {
	return s.Marked && (s.Unfinished || 0 < s.Age && s.Age < youth)
}

// AdmitsLog reports whether every CHECK of backup_logs accepts the function's rows.
func (s State) AdmitsLog() bool {
	return len(s.RefusingConstraints()) == 0
}

// RefusingConstraints are the CHECKs of backup_logs that refuse the function's rows.
func (s State) RefusingConstraints() []string {
	var names []string
	for _, c := range s.LogConstraints {
		if !c.Admits {
			names = append(names, c.Name)
		}
	}
	return names
}

// Dispatcher is the version of the dispatcher; else problem says why there is
// none, in the words that follow "the dispatcher".
func (s State) Dispatcher() (version, problem string) {
	switch {
	case s.DispatcherVersion != "":
		return s.DispatcherVersion, ""
	case len(s.Functions) > 0:
		return "", "has lost its version: the row of auto_backup.installation is missing or unfinished"
	}
	return "", "is not installed"
}

// foreignObject is an object of a wanted name without the provider's ownership marker.
type foreignObject struct {
	what string
	// fate is what a backup that adopts the object does to it.
	fate string
}

// foreign lists, for a person, the objects of the wanted names that do not
// carry the provider's ownership marker.
func (s State) foreign(spec Spec) []foreignObject {
	var objects []foreignObject
	add := func(what, fate string) { objects = append(objects, foreignObject{what, fate}) }
	name, jobs := s.ID.Name, spec.Jobs()
	if s.Settings != nil && !s.Marked && !s.isKnown() {
		add("the row "+string(name)+" in auto_backup.settings", "gets the configured settings")
	}
	if s.Function != nil && !s.OwnsFunction() && !s.isKnown() {
		add("the Edge Function "+name.Slug(), "gets the source of this backup; keep a copy of the present one if you need it")
	}
	for _, key := range slices.Sorted(maps.Keys(s.ConflictingJobs)) {
		job := s.ConflictingJobs[key]
		what := "the pg_cron job " + job.Name + " (id " + strconv.FormatInt(job.ID, 10) + ", schedule " + job.Schedule
		switch {
		case !spec.WantsJob(key):
		case job.Username != JobOwner:
			add(what+", role "+job.Username+")", "is removed: the job of this name belongs to "+JobOwner)
		default:
			add(what+")", "gets the schedule "+jobs[key].Schedule+" and calls the dispatcher instead of what it calls now")
		}
	}
	for _, vault := range []string{name.VaultToken(), name.VaultAlertKey()} {
		if marker, ok := s.VaultMarkers[vault]; ok && marker != name.VaultMarker() && !s.isKnown() {
			add("the vault secret "+vault, "gets a new value")
		}
	}
	if !s.claimsToken() && s.Token.Function != "" {
		add("the function secret "+name.TokenSecret(), "gets a new token")
	}
	for _, secret := range spec.Settings.Secrets {
		if _, ok := s.Secrets[secret]; ok && !slices.Contains(s.claimedSecrets(), secret) {
			add("the function secret "+secret, "gets the configured value, for every function of the project; it stays when the backup no longer names it")
		}
	}
	return objects
}

// Adopts lists, for a person, what spec takes over from other hands and what
// becomes of it.
func (s State) Adopts(spec Spec) []string {
	if !spec.Adopt {
		return nil
	}
	var lines []string
	for _, object := range s.foreign(spec) {
		lines = append(lines, object.what+" "+object.fate)
	}
	return lines
}

// claimedSecrets are the extra secrets that are this backup's, as its settings
// row or an earlier look at it says. An API secret cannot carry an ownership marker.
func (s State) claimedSecrets() []string {
	names := slices.Clone(s.Known.Secrets)
	if s.Settings != nil {
		names = append(names, s.Settings.Secrets...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ownSecrets are the existing extra secrets that this backup has made.
func (s State) ownSecrets() []string {
	return slices.DeleteFunc(s.claimedSecrets(), func(name string) bool {
		_, exists := s.Secrets[name]
		return !exists || slices.Contains(s.adoptedSecrets(), name)
	})
}

// adoptedSecrets are the extra secrets that were there before this backup.
func (s State) adoptedSecrets() []string {
	if s.Settings == nil {
		return nil
	}
	return s.Settings.AdoptedSecrets
}

// Abandons lists the adopted secrets that spec no longer names. They stay in
// the project with the value that they have.
func (s State) Abandons(spec Spec) []string {
	return slices.DeleteFunc(slices.Clone(s.adoptedSecrets()), func(name string) bool {
		_, exists := s.Secrets[name]
		return !exists || slices.Contains(spec.Settings.Secrets, name)
	})
}

// adopting are the secrets of spec that were or are taken over.
func (s State) adopting(spec Spec) []string {
	var names []string
	for _, name := range spec.Settings.Secrets {
		_, exists := s.Secrets[name]
		if slices.Contains(s.adoptedSecrets(), name) || (exists && !slices.Contains(s.claimedSecrets(), name)) {
			names = append(names, name)
		}
	}
	return names
}

// claimsToken reports whether the function's token secret is this backup's.
func (s State) claimsToken() bool { return s.Settings != nil || s.isKnown() }

// isKnown reports whether the backup was known before. Then an object of its
// name whose ownership marker somebody has changed is still the backup's: the plan has
// shown the change, and the apply takes it back.
func (s State) isKnown() bool { return s.Known.Managed }

// Foreign returns a *ForeignError when objects without the provider's ownership marker
// stand where the spec wants its own and the spec does not adopt them.
func (s State) Foreign(spec Spec) error {
	if spec.Adopt {
		return nil
	}
	var objects []string
	for _, object := range s.foreign(spec) {
		objects = append(objects, object.what)
	}
	if len(objects) > 0 {
		return &ForeignError{ID: spec.ID, Objects: objects}
	}
	return nil
}

// Installed reports whether there is anything for Remove to remove.
func (s State) Installed() bool {
	return s.Settings != nil || len(s.Functions) > 0 || len(s.Jobs) > 0 || s.OwnsFunction() ||
		len(s.VaultMarkers) > 0 || len(OwnedSecrets(s)) > 0
}

// OwnedSecrets are the function secrets that go with a backup.
func OwnedSecrets(found State) []string {
	names := found.ownSecrets()
	for _, name := range []string{found.ID.Name.TokenSecret(), found.ID.Name.NextTokenSecret()} {
		if _, exists := found.Secrets[name]; exists && found.claimsToken() {
			names = append(names, name)
		}
	}
	return names
}
