package backup

import (
	"maps"
	"slices"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
)

// Part is a part of an installation. Parts are applied in the order of these
// constants and removed in the reverse one.
type Part int

// The parts of an installation.
const (
	PartExtensions Part = iota
	PartDispatcher
	PartToken
	PartSecrets
	PartFunction
	PartLogConstraint
	PartJobs
)

func (p Part) String() string {
	return [...]string{"extensions", "dispatcher", "token", "secrets", "function", "log constraint", "jobs"}[p]
}

// Difference is one thing that was found to differ from what is wanted.
type Difference struct {
	Part Part
	// Object names what differs, for example a job or a file.
	Object string
	// Found and Wanted describe both sides. They hold no secret.
	Found, Wanted string
}

// RequiredExtensions are the extensions that the chain stands on.
var RequiredExtensions = []string{"pg_cron", "pg_net", "supabase_vault"}

// Diff lists what has to change so that found becomes what spec wants, in the
// order in which it is applied. It is a pure function; an intact installation
// has no difference.
//
// The values of extra secrets are known only while a configuration is applied:
// without them, only missing and surplus names are seen.
func Diff(spec Spec, found State) []Difference {
	var diffs []Difference
	add := func(part Part, object, was, wanted string) {
		if was != wanted {
			diffs = append(diffs, Difference{Part: part, Object: object, Found: was, Wanted: wanted})
		}
	}
	for _, name := range RequiredExtensions {
		if _, ok := found.Extensions[name]; !ok {
			add(PartExtensions, name, "missing", "installed")
		}
	}
	add(PartDispatcher, "dispatcher", found.Dispatcher(), payload.LoadDispatcher().Version)
	schema := found.DispatcherDrift()
	for _, object := range slices.Sorted(maps.Keys(schema)) {
		add(PartDispatcher, object, schema[object], "as installed")
	}
	switch {
	case found.Settings == nil:
		add(PartDispatcher, "settings", "missing", "installed")
	case !found.Marked:
		add(PartDispatcher, "settings", "without this provider's ownership marker", "with the ownership marker")
	}
	diffs = append(diffs, diffToken(spec, found)...)
	diffs = append(diffs, diffSecrets(spec, found)...)
	diffs = append(diffs, diffFunction(spec, found)...)
	if !found.AdmitsLog() {
		add(PartLogConstraint, "backup_logs", "refuses auto_backup", "accepts auto_backup")
	}
	return append(diffs, diffJobs(spec, found)...)
}

func diffToken(spec Spec, found State) []Difference {
	var diffs []Difference
	switch name := spec.ID.Name; {
	case !found.Token.Intact():
		diffs = append(diffs, Difference{PartToken, name.TokenSecret(), found.Token.Digest(), "one token in the vault and in the function"})
	case spec.RotateToken:
		diffs = append(diffs, Difference{PartToken, name.TokenSecret(), "the present token", "a new token"})
	}
	switch marker, ok := found.VaultMarkers[spec.ID.Name.VaultAlertKey()]; {
	case !spec.Settings.NeedsKey():
	case !ok:
		diffs = append(diffs, Difference{PartToken, spec.ID.Name.VaultAlertKey(), "missing", "present"})
	case marker != spec.ID.Name.VaultMarker():
		diffs = append(diffs, Difference{PartToken, spec.ID.Name.VaultAlertKey(), "without this provider's ownership marker", "with the ownership marker"})
	}
	for _, name := range slices.Concat(found.UnmarkedVault(), found.SurplusVault()) {
		diffs = append(diffs, Difference{PartToken, name, found.VaultMarkers[name], "the ownership marker on the backup's secrets alone"})
	}
	return diffs
}

// UnmarkedVault are the backup's vault secrets without its ownership marker.
func (s State) UnmarkedVault() []string {
	var names []string
	for _, name := range []string{s.ID.Name.VaultAlertKey(), s.ID.Name.VaultToken()} {
		if marker, ok := s.VaultMarkers[name]; ok && marker != s.ID.Name.VaultMarker() {
			names = append(names, name)
		}
	}
	return names
}

// SurplusVault are the vault secrets that carry the backup's ownership marker
// under a name that it does not use, because somebody has renamed one.
func (s State) SurplusVault() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.VaultMarkers)), func(name string) bool {
		return name == s.ID.Name.VaultToken() || name == s.ID.Name.VaultAlertKey()
	})
}

func diffSecrets(spec Spec, found State) []Difference {
	var diffs []Difference
	for _, name := range spec.Settings.Secrets {
		digest, exists := found.Secrets[name]
		value, known := spec.Secrets[name]
		switch {
		case !exists:
			diffs = append(diffs, Difference{PartSecrets, name, "missing", "present"})
		case known && digest != DigestOf(value):
			diffs = append(diffs, Difference{PartSecrets, name, "another value", "the configured value"})
		}
	}
	for _, name := range SurplusSecrets(spec, found) {
		diffs = append(diffs, Difference{PartSecrets, name, "present", "absent"})
	}
	return diffs
}

// SurplusSecrets are the secrets which belong to the backup and which the
// spec no longer names. Adopted ones are left to those who made them.
func SurplusSecrets(spec Spec, found State) []string {
	return slices.DeleteFunc(found.ownSecrets(), func(name string) bool {
		return slices.Contains(spec.Settings.Secrets, name)
	})
}

func diffFunction(spec Spec, found State) []Difference {
	slug := spec.ID.Name.Slug()
	if found.Function == nil {
		return []Difference{{PartFunction, slug, "missing", "deployed"}}
	}
	var diffs []Difference
	add := func(object, was, wanted string) {
		if was != wanted {
			diffs = append(diffs, Difference{PartFunction, object, was, wanted})
		}
	}
	add("status", found.Function.Status, StatusActive)
	if found.Function.VerifyJWT {
		add("verify_jwt", "true", "false")
	}
	add("entry point", found.Function.Entrypoint, source.Entrypoint)
	add("import map", found.Function.ImportMap, spec.Source.ImportMap)
	wanted := spec.Source.Digests()
	files := slices.Collect(maps.Keys(wanted))
	for file := range found.Function.Files {
		if _, ok := wanted[file]; !ok {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	for _, file := range files {
		add(file, found.Function.Files[file], wanted[file])
	}
	return diffs
}

func diffJobs(spec Spec, found State) []Difference {
	var diffs []Difference
	wanted := spec.Jobs()
	keys := slices.Collect(maps.Keys(wanted))
	for key := range found.Jobs {
		if _, ok := wanted[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		want, isWanted := wanted[key]
		job, exists := found.Jobs[key]
		switch {
		case !exists:
			diffs = append(diffs, Difference{PartJobs, want.Name, "missing", want.Schedule})
		case !isWanted:
			diffs = append(diffs, Difference{PartJobs, job.Name, job.Schedule, "absent"})
		case !job.same(want):
			diffs = append(diffs, Difference{PartJobs, want.Name, describeJob(job), describeJob(want)})
		}
	}
	if found.Settings != nil && !equalJSON(*found.Settings, spec.Settings) {
		diffs = append(diffs, Difference{PartJobs, "settings", "other settings", "the configured settings"})
	}
	if found.Unfinished {
		diffs = append(diffs, Difference{PartJobs, "installation", "unfinished", "finished"})
	}
	if found.Function != nil && found.FunctionID != found.Function.ID {
		diffs = append(diffs, Difference{PartJobs, "function id", found.FunctionID, found.Function.ID})
	}
	return diffs
}

func describeJob(j Job) string {
	active := "active"
	if !j.Active {
		active = "inactive"
	}
	return j.Schedule + " " + active + " in " + j.Database + " as " + j.Username + ": " + j.Command
}
