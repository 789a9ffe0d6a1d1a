package provider

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
)

// TestDrillProgress proves that of a drill only what is new is told, in the order in
// which it happened, and of its tables all that was found.
func TestDrillProgress(t *testing.T) {
	t.Parallel()
	id := backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	yes, no := true, false
	ended := facts.Drill{State: facts.DrillSuccessful, BackupID: "b", MadeAt: at, StartedAt: at, FinishedAt: at.Add(3 * time.Second), Tables: []facts.DrillTable{
		{Table: "public.a", Rows: 1, Restorable: &yes, RowsMissing: 1},
		{Table: "public.b\x1b", Rows: 5, Sampled: true, Restorable: &no, Problems: []facts.DrillProblem{{Code: "drill_check", Object: "b_check", Rows: 2}, {Code: "drill_table_missing", Object: "public.b\x1b"}}},
		{Table: "public.c", Rows: 0, ColumnsLost: []facts.LostColumn{{Name: "likes", Rows: 1, Reason: "not_copied"}, {Name: "x", Rows: 7, Reason: "type"}}},
	}}
	failed := facts.Drill{State: facts.DrillTimedOut, Code: "drill_timed_out"}
	for what, c := range map[string]struct {
		before, now install.Drilling
		want        string
	}{
		"requested":   {install.Drilling{}, install.Drilling{Asked: true, RequestedAt: at}, "requested: restore drill of backup abcdefghijklmnopqrst/auto-backup"},
		"joined":      {install.Drilling{}, install.Drilling{Asked: true, RequestedAt: at, Joined: true}, "waiting for the restore drill of backup abcdefghijklmnopqrst/auto-backup that was requested at 2026-11-23T03:00:00Z"},
		"lost":        {install.Drilling{}, install.Drilling{Asked: true}, "requested: restore drill of backup abcdefghijklmnopqrst/auto-backup; the answer to the request was lost"},
		"found again": {install.Drilling{Asked: true}, install.Drilling{Asked: true, Begun: true}, "running: pg_cron has started the restore drill"},
		"repeated":    {install.Drilling{Asked: true}, install.Drilling{Asked: true, RequestedAt: at, Repeated: true}, "requested again: the answer to the first request was lost, and the project had no request"},
		"another":     {install.Drilling{Asked: true, RequestedAt: at}, install.Drilling{Asked: true, RequestedAt: at, Begun: true, Waiting: true}, "waiting: another restore drill is in progress"},
		"nothing new": {install.Drilling{Asked: true, RequestedAt: at, Begun: true, Waiting: true}, install.Drilling{Asked: true, RequestedAt: at, Begun: true}, ""},
		"did not end": {install.Drilling{Asked: true, RequestedAt: at}, install.Drilling{Asked: true, RequestedAt: at, Begun: true, Result: &failed}, "timed out with drill_timed_out"},
		"its three end": {install.Drilling{Asked: true, RequestedAt: at}, install.Drilling{Asked: true, RequestedAt: at, Begun: true, Result: &ended}, strings.Join([]string{
			"public.a: 1 row, restorable; 1 row missing",
			"public.b: a sample of 5 rows, not restorable; drill_check of b_check (2 rows), drill_table_missing",
			"public.c: 0 rows, not known whether they can be restored; columns lost: likes (1 row, not copied), x (7 rows, type)",
			"successful: backup id b of 2026-11-23T03:00:00Z can be restored; the drill took 3 s",
		}, "\n")},
	} {
		if got := strings.Join(drillProgress(id, c.before, c.now), "\n"); got != c.want {
			t.Errorf("%s:\n%q, want\n%q", what, got, c.want)
		}
	}
}

// TestDrillResult proves that every result but a success is an error, with what the
// drill found and what to do about it.
func TestDrillResult(t *testing.T) {
	t.Parallel()
	id := backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}
	for _, c := range []struct {
		drill           facts.Drill
		summary, detail string
	}{
		{facts.Drill{State: facts.DrillSuccessful}, "", ""},
		{
			facts.Drill{State: facts.DrillFailed, Code: "drill_column_lost", Error: "public.comments:\nlikes (5)"}, "The backup cannot be restored",
			"Restore drill of backup abcdefghijklmnopqrst/auto-backup: the backup does not hold the values of a required column (public.comments: likes (5)).\n\nLet the SQL function copy the column.",
		},
		{facts.Drill{State: facts.DrillTimedOut, Code: "drill_timed_out"}, "The restore drill took too long", "did not finish within its time.\n\nSet `drill.timeout` higher"},
		{facts.Drill{State: facts.DrillSkipped, Code: "drill_locked", Error: "public.articles"}, "The restore drill did not take place", "another session had locked a table (public.articles).\n\nNothing, if it happens once."},
	} {
		var diags diag.Diagnostics
		addDrillResult(&diags, id, c.drill)
		if c.summary == "" {
			if len(diags) > 0 {
				t.Errorf("a success is %v", diags)
			}
			continue
		}
		if len(diags) != 1 || diags[0].Severity() != diag.SeverityError || diags[0].Summary() != c.summary || !strings.Contains(diags[0].Detail(), c.detail) {
			t.Errorf("%s is %v", c.drill.State, diags)
		}
	}
}
