//go:build race

package fleet

import "slices"

// A provider under the race detector, which ends at the first race and so makes
// Terraform fail.
func init() { //nolint:gochecknoinits // a build tag chooses it
	buildFlags = []string{"-race"}
	environ = slices.Concat(environ, []string{"GORACE=halt_on_error=1"})
}
