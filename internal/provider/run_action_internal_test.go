package provider

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
)

// TestProgressOf proves that a run which was there before is announced as that,
// however far it is, and that what follows says where it stands.
func TestProgressOf(t *testing.T) {
	t.Parallel()
	id := backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}
	const (
		running  = "running: the Edge Function has taken the run"
		underWay = "run 1 of backup abcdefghijklmnopqrst/auto-backup is under way since 2026-11-23T03:00:00Z and is waited for"
	)
	for _, c := range []struct {
		state         string
		joined, first bool
		want          string
	}{
		{"requested", false, true, "requested: run 1 of backup abcdefghijklmnopqrst/auto-backup"},
		{"running", false, false, running},
		{"requested", true, true, underWay},
		{"running", true, true, underWay},
		{"running", true, false, running},
	} {
		run := install.RunResult{ID: "1", State: c.state, Joined: c.joined, RequestedAt: "2026-11-23T03:00:00Z"}
		if got := progressOf(id, run, c.first); got != c.want {
			t.Errorf("%s, joined %t, first %t: %q, want %q", c.state, c.joined, c.first, got, c.want)
		}
	}
}
