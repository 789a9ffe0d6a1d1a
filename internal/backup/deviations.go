package backup

import (
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// Deviations lists, by object and in words for a person, what is not as an
// installation leaves it and is no property of its own: objects and grants of
// schema auto_backup, stamps, extensions. An intact installation has none.
func (s State) Deviations() map[string]string {
	found := s.DispatcherDeviations()
	for _, name := range RequiredExtensions {
		if _, ok := s.Extensions[name]; !ok {
			found["extension "+name] = "missing"
		}
	}
	maps.Copy(found, s.stampDeviations())
	if s.Settings != nil && s.Settings.Alert.Enabled {
		if _, ok := s.VaultStamps[s.ID.Name.VaultAlertKey()]; !ok {
			found["vault secret "+s.ID.Name.VaultAlertKey()] = "missing"
		}
	}
	return found
}

// DispatcherDeviations lists what of the dispatcher is not as its version
// installs it. Another version is a deviation as a whole, and no list says more.
func (s State) DispatcherDeviations() map[string]string {
	found := map[string]string{}
	wanted := payload.LoadDispatcher()
	if s.DispatcherVersion != wanted.Version {
		return found
	}
	maps.Copy(found, s.SchemaDeviations)
	// The bodies are compared here once more: what compares in the database is
	// itself one of the functions.
	for name, digest := range wanted.Functions {
		present, ok := s.Functions[name]
		listed := false
		for object := range s.SchemaDeviations {
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
	if s.SchemaDeviations == nil && len(found) == 0 {
		found["schema"] = "cannot be examined: this role may not execute auto_backup.deviations()"
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

// stampDeviations lists the stamps of the backup's objects that somebody has
// changed, and objects that carry the stamp and are none of the backup's.
func (s State) stampDeviations() map[string]string {
	found := map[string]string{}
	name := s.ID.Name
	row := "row " + string(name) + " of table settings"
	if s.Settings != nil && !s.Stamped {
		found[row] = "without this provider's stamp"
	}
	if lost := s.disownedSecrets(); len(lost) > 0 {
		found[row] = "does not name the secrets of the backup any more: " + strings.Join(lost, ", ")
	}
	if s.Settings != nil && s.Function != nil && s.Function.ID != s.FunctionID {
		found["Edge Function "+name.Slug()] = "not the one that was deployed: it was made anew"
	}
	for _, secret := range slices.Sorted(maps.Keys(s.VaultStamps)) {
		switch own := secret == name.VaultToken() || secret == name.VaultAlertKey(); {
		case !own:
			found["vault secret "+secret] = "carries this backup's stamp, and is none of its secrets"
		case s.VaultStamps[secret] != name.VaultStamp():
			found["vault secret "+secret] = "without this provider's stamp"
		}
	}
	return found
}
