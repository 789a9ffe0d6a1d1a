package provider

import (
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
)

// TestProgressOf proves that a run which was under way already is announced as
// such, however far it has come, and that every other stage says how far it is.
func TestProgressOf(t *testing.T) {
	t.Parallel()
	id := backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}
	const (
		running = "running: the Edge Function has accepted the run"
		joining = "waiting for run 1 of backup abcdefghijklmnopqrst/auto-backup, in progress since 2026-11-23T03:00:00Z"
	)
	records := int64(321)
	for _, c := range []struct {
		run    history.Run
		joined bool
		want   string
	}{
		{history.Run{State: history.Requested}, false, "requested: run 1 of backup abcdefghijklmnopqrst/auto-backup"},
		{history.Run{State: history.Running}, false, running},
		{history.Run{State: history.Requested}, true, joining},
		{history.Run{State: history.Running}, true, joining},
		{history.Run{State: history.Succeeded, BackupID: "2", Records: &records}, false, "succeeded: backup id 2, 321 records"},
		{history.Run{State: history.Succeeded, BackupID: "2"}, false, "succeeded: backup id 2, an unknown number of records"},
		{history.Run{State: history.Failed, Code: "http_503"}, false, "failed with http_503"},
	} {
		c.run.ID, c.run.RequestedAt = "1", time.Date(2026, 11, 23, 3, 0, 0, 1, time.UTC)
		if got := progressOf(id, c.run, c.joined); got != c.want {
			t.Errorf("%s, joined %t: %q, want %q", c.run.State, c.joined, got, c.want)
		}
	}
}

// TestParseTimeout proves which timeouts the action takes.
func TestParseTimeout(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"1s": time.Second, "1h30m": 90 * time.Minute, "0s": 0, "-1m": 0, "10": 0, "": 0, "soon": 0,
	} {
		if got, err := parseTimeout(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %s, %v", s, got, err)
		}
	}
}
