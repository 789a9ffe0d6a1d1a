package backup

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
)

// ForeignError names the objects of the backup's names that exist without the
// ownership marker, and that the configuration does not adopt.
type ForeignError struct {
	ID ID
	// Objects describe them for a person.
	Objects []string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("backup %s: these exist without this provider's ownership marker: %s", e.ID, strings.Join(e.Objects, "; "))
}

// foreignObject is an object of one of the backup's names that belongs to others.
type foreignObject struct {
	what string
	// fate says what a backup that adopts the object does to it.
	fate string
}

// Foreign returns a *ForeignError when objects that belong to others have names
// that spec needs, and spec does not adopt them.
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

// Adopts lists, for a person, the objects of others that spec adopts, each with
// what becomes of it.
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

// foreign lists the objects that belong to others and have names that spec needs.
//
// An object of a backup that was known before is the backup's even if somebody
// has changed its ownership marker: the plan has shown the change, and the apply
// undoes it.
func (s State) foreign(spec Spec) []foreignObject {
	var objects []foreignObject
	add := func(what, fate string) { objects = append(objects, foreignObject{what, fate}) }
	name, jobs := s.ID.Name, spec.Jobs()
	if s.Settings != nil && !s.Marked && !s.Known.Managed {
		add("the row "+string(name)+" in auto_backup.settings", "gets the configured settings")
	}
	if s.Function != nil && !s.OwnsFunction() && !s.Known.Managed {
		add("the Edge Function "+name.Slug(), "gets the source of this backup; keep a copy of the present one if you need it")
	}
	for _, key := range slices.Sorted(maps.Keys(s.ConflictingJobs)) {
		job := s.ConflictingJobs[key]
		what := fmt.Sprintf("the pg_cron job %s (id %d, schedule %s", job.Name, job.ID, job.Schedule)
		switch {
		case !spec.WantsJob(key):
		case job.Username != JobOwner:
			add(what+", role "+job.Username+")", "is removed: the job of this name belongs to "+JobOwner)
		default:
			add(what+")", "gets the schedule "+jobs[key].Schedule+" and calls the dispatcher instead of what it calls now")
		}
	}
	if !s.Known.Managed {
		for _, secret := range s.UnmarkedVault() {
			add("the vault secret "+secret, "gets a new value")
		}
	}
	for _, secret := range s.foreignChannels(spec) {
		add("the vault secret "+secret, "gets the configured value, and is removed with the backup")
	}
	if !s.ownsToken() && s.Token.Function != "" {
		add("the function secret "+name.TokenSecret(), "gets a new token")
	}
	for _, secret := range s.SecretsOf(spec) {
		if secret.Wanted && secret.Owner == Foreign {
			add("the function secret "+secret.Name, "gets the configured value, for every function of the project; it stays when the backup no longer names it")
		}
	}
	return objects
}

// Supersedes reports whether the backup was recreated since it was found before.
func (s State) Supersedes(before State) bool {
	return before.Settings != nil && s.Superseded(before.Settings.Instance)
}

// Superseded reports whether the backup was recreated since it was known under
// the given instance. An empty instance means the state never recorded one.
func (s State) Superseded(instance string) bool {
	return instance != "" && s.Settings != nil && s.Settings.Instance != "" && s.Settings.Instance != instance
}

// Exists reports whether there is any part of the backup that the provider
// recognises as its own. If the backup was known before, a dispatcher that serves
// no backup is its last remaining part.
func (s State) Exists() bool {
	return s.Settings != nil || s.OwnsFunction() || s.ownsJob() ||
		s.Known.Managed && len(s.Functions) > 0 && len(s.Backups) == 0 ||
		slices.Contains(slices.Collect(maps.Values(s.VaultMarkers)), s.ID.Name.VaultMarker())
}

// Installed reports whether there is anything for a removal to remove.
func (s State) Installed() bool {
	return s.Settings != nil || len(s.Functions) > 0 || len(s.Jobs) > 0 || s.OwnsFunction() ||
		len(s.VaultMarkers) > 0 || len(s.RemovableSecrets()) > 0
}

// ownsJob reports whether a job runs the backup. A job that only has its name may
// belong to others.
func (s State) ownsJob() bool {
	for key, job := range s.Jobs {
		if job.Command == s.ID.Name.dispatchCommand(key) || job.Command == s.ID.Name.watchCommand() ||
			(key == drill.JobKey || key == retention.JobKey) && job.Dispatches() == string(s.ID.Name) {
			return true
		}
	}
	return false
}

// OwnsFunction reports whether the deployed Edge Function is this backup's: it
// carries the ownership marker, or the settings row names its ID.
func (s State) OwnsFunction() bool {
	return s.Function != nil && (s.Function.Name == s.ID.Name.FunctionMarker() || (s.FunctionID != "" && s.Function.ID == s.FunctionID))
}

// LeftBehind reports whether the backup is what an apply has left that did not
// finish its installation. A finished one belongs to a state, however young it is.
func (s State) LeftBehind() bool { return s.Marked && s.Unfinished }
