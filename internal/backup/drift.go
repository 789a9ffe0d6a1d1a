package backup

import (
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// Drift lists, by object and in words for a person, what is not as an
// installation leaves it and is no property of its own: objects and grants of
// schema auto_backup, ownership markers, extensions. An intact installation has none.
func (s State) Drift() map[string]string {
	found := s.DispatcherDrift()
	for _, name := range RequiredExtensions {
		if _, ok := s.Extensions[name]; !ok {
			found["extension "+name] = "missing"
		}
	}
	maps.Copy(found, s.markerDrift())
	if s.Settings != nil && s.Settings.Alert.Enabled {
		if _, ok := s.VaultMarkers[s.ID.Name.VaultAlertKey()]; !ok {
			found["vault secret "+s.ID.Name.VaultAlertKey()] = "missing"
		}
	}
	return found
}

// DispatcherDrift lists what of the dispatcher is not as its version
// installs it. Another version differs as a whole, and then the list is empty.
func (s State) DispatcherDrift() map[string]string {
	found := map[string]string{}
	wanted := payload.LoadDispatcher()
	if s.DispatcherVersion != wanted.Version {
		return found
	}
	maps.Copy(found, s.SchemaDrift)
	// The bodies are compared here once more: what compares in the database is
	// itself one of the functions.
	for name, digest := range wanted.Functions {
		present, ok := s.Functions[name]
		listed := false
		for object := range s.SchemaDrift {
			listed = listed || strings.HasPrefix(object, "function "+name+"(")
		}
		switch {
		case listed || present == digest:
		case !ok:
			found["function "+name] = "missing"
		default:
			found["function "+name] = "another body"
		}
	}
	if s.SchemaDrift == nil && len(found) == 0 {
		found["schema"] = "cannot be examined: this role may not execute auto_backup.drift()"
	}
	return found
}

// disownedSecrets are the backup's extra secrets, as it was known before, that
// are there and that its settings row does not name any more.
func (s State) disownedSecrets() []string {
	if s.Settings == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Sorted(slices.Values(s.Known.Secrets)), func(name string) bool {
		_, exists := s.Secrets[name]
		return !exists || slices.Contains(s.Settings.Secrets, name)
	})
}

// markerDrift lists the ownership markers of the backup's objects that somebody
// has changed, and objects that carry the marker and are not the backup's.
func (s State) markerDrift() map[string]string {
	found := map[string]string{}
	name := s.ID.Name
	row := "row " + string(name) + " of table settings"
	if s.Settings != nil && !s.Marked {
		found[row] = "without this provider's ownership marker"
	}
	if lost := s.disownedSecrets(); len(lost) > 0 {
		found[row] = "does not name the secrets of the backup any more: " + strings.Join(lost, ", ")
	}
	if s.Settings != nil && s.Function != nil && s.Function.ID != s.FunctionID {
		found["Edge Function "+name.Slug()] = "not the one that was deployed: it was made anew"
	}
	for _, secret := range slices.Sorted(maps.Keys(s.VaultMarkers)) {
		switch own := secret == name.VaultToken() || secret == name.VaultAlertKey(); {
		case !own:
			found["vault secret "+secret] = "carries this backup's ownership marker and is not one of its secrets"
		case s.VaultMarkers[secret] != name.VaultMarker():
			found["vault secret "+secret] = "without this provider's ownership marker"
		}
	}
	return found
}
