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
	// The bodies are compared here once more, because auto_backup.drift, which
	// compares in the database, is itself one of the functions.
	for name, digest := range wanted.Functions {
		present, ok := s.Functions[name]
		listed := slices.ContainsFunc(slices.Collect(maps.Keys(s.SchemaDrift)), func(object string) bool {
			return strings.HasPrefix(object, "function "+name+"(")
		})
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
