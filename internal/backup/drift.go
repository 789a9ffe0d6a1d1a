package backup

import (
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

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
			found["function "+name] = "is missing"
		default:
			found["function "+name] = "has another body"
		}
	}
	if s.SchemaDrift == nil && len(found) == 0 {
		found["schema"] = "cannot be examined, because this role may not execute auto_backup.drift()"
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
