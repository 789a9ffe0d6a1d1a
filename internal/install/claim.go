package install

import "github.com/aimindset/terraform-provider-aimindset/internal/backup"

// Claim is what a state that does not know a backup may do with what it finds of it.
type Claim int

// What a create may do with what it finds in a project.
const (
	// ClaimFree: the project has no installation of this provider.
	ClaimFree Claim = iota
	// ClaimContinue: an apply has left the installation unfinished, so no state
	// relies on it.
	ClaimContinue
	// ClaimAdopt: another state may have the finished installation, and the user
	// has allowed this one to adopt it.
	ClaimAdopt
	// ClaimRefused: another state may have the finished installation.
	ClaimRefused
)

// ClaimOf decides what a create may do with the backup. adopt is the argument
// adopt_existing.
func ClaimOf(found backup.State, adopt bool) Claim {
	switch {
	case !found.Marked || !found.Exists():
		return ClaimFree
	case found.LeftBehind():
		return ClaimContinue
	case adopt:
		return ClaimAdopt
	}
	return ClaimRefused
}

// taken reports whether the backup became another state's after it was read as
// before: it is another instance, or a create that has read it as absent or
// unfinished finds it finished. A create that has read it as finished was refused then.
func taken(before, now backup.State, adopt bool) bool {
	finished := ClaimOf(before, adopt) != ClaimRefused && ClaimOf(now, adopt) == ClaimRefused
	return now.Supersedes(before) || finished && !before.Known.Managed
}
