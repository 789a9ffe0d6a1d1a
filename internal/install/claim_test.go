package install

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// TestClaim proves for each state of an installation and each state that knows it or
// not what a create may do, and what an apply that waited for another one may.
func TestClaim(t *testing.T) {
	t.Parallel()
	installed := func(instance string, unfinished, known bool) backup.State {
		return backup.State{Marked: true, Unfinished: unfinished, Settings: &backup.Settings{Instance: instance}, Known: backup.Known{Managed: known}}
	}
	const unfinished, finished, known, unknown = true, false, true, false
	absent, foreign := backup.State{}, backup.State{Settings: &backup.Settings{}}
	for _, c := range []struct {
		what  string
		state backup.State
		adopt bool
		want  Claim
	}{
		{"absent", absent, false, ClaimFree},
		{"of others", foreign, false, ClaimFree},
		{"unfinished", installed("a", unfinished, unknown), false, ClaimContinue},
		{"unfinished, to be adopted", installed("a", unfinished, unknown), true, ClaimContinue},
		{"finished", installed("a", finished, unknown), false, ClaimRefused},
		{"finished, to be adopted", installed("a", finished, unknown), true, ClaimAdopt},
	} {
		if got := ClaimOf(c.state, c.adopt); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	for _, c := range []struct {
		what        string
		before, now backup.State
		adopt, want bool
	}{
		{"absent and absent", absent, absent, false, false},
		{"absent, and another create is unfinished", absent, installed("a", unfinished, unknown), false, false},
		{"absent, and another create has finished", absent, installed("a", finished, unknown), false, true},
		{"the same, to be adopted", absent, installed("a", finished, unknown), true, false},
		{"unfinished, as it was", installed("a", unfinished, unknown), installed("a", unfinished, unknown), false, false},
		{"unfinished, and its apply has finished", installed("a", unfinished, unknown), installed("a", finished, unknown), false, true},
		{"unfinished, and begun by a third", installed("a", unfinished, unknown), installed("b", unfinished, unknown), false, true},
		{"known, as it was", installed("a", finished, known), installed("a", finished, known), false, false},
		{"known and unfinished, then finished", installed("a", unfinished, known), installed("a", finished, known), false, false},
		{"known, and recreated", installed("a", finished, known), installed("b", finished, known), false, true},
		{"known, and removed", installed("a", finished, known), absent, false, false},
	} {
		if got := taken(c.before, c.now, c.adopt); got != c.want {
			t.Errorf("%s: %t", c.what, got)
		}
	}
}
