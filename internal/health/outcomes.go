package health

import (
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
)

// countOutcomes makes everything that is said of a backup's runs agree with its
// history. The history shows an outcome as soon as it is in the logs, and the table
// of the runs only when the watchdog has looked.
func countOutcomes(of *facts.OfBackup) {
	logged := map[string]history.Run{}
	for _, open := range of.UnderWay {
		at := slices.IndexFunc(of.History, func(r history.Run) bool { return r.ID == open.ID && r.State.Ended() })
		if at >= 0 {
			logged[open.ID] = of.History[at]
		}
	}
	if len(logged) == 0 {
		return
	}
	of.UnderWay = slices.DeleteFunc(of.UnderWay, func(r history.Run) bool { _, ok := logged[r.ID]; return ok })
	for key, latest := range of.Latest {
		if run, ok := logged[latest.ID]; ok {
			of.Latest[key] = run
		}
	}
	for i, night := range of.Nights {
		if run, ok := logged[night.ID]; ok {
			of.Nights[i] = run
		}
	}
	recorded := endOf(of.LastSuccess)
	for _, run := range logged {
		if run.State == history.Succeeded && run.FinishedAt.After(endOf(of.LastSuccess)) {
			of.LastSuccess = &run
		}
	}
	since := endOf(of.LastSuccess)
	if since.After(recorded) {
		of.Failures = 0
	}
	for _, run := range of.History {
		_, ok := logged[run.ID]
		if run.State == history.Failed && run.FinishedAt.After(since) && (ok || since.After(recorded)) {
			of.Failures++
		}
	}
}

// endOf returns when a run ended; zero: there is none.
func endOf(run *history.Run) time.Time {
	if run == nil {
		return time.Time{}
	}
	return run.FinishedAt
}
