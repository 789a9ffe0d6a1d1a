package health

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
)

// TestCountOutcomes proves that an outcome which the history has of a run that is
// recorded as being under way counts: for the last success, the failures since, and
// the newest attempt of the schedule; and that other runs stay as they are.
func TestCountOutcomes(t *testing.T) {
	t.Parallel()
	ended := func(id, finished string, state history.State) history.Run {
		r := byJob(id, finished, state)
		r.FinishedAt = at(finished)
		return r
	}
	open := byJob("r", "06:00", history.Requested)
	success, failure := ended("r", "06:01", history.Succeeded), ended("r", "06:01", history.Failed)
	before, later := ended("b", "05:00", history.Succeeded), ended("l", "07:00", history.Succeeded)
	for name, c := range map[string]struct {
		history  []history.Run
		last     *history.Run
		failures int64
		underWay int
		latest   history.Run
		success  string
		want     int64
	}{
		"not in the history":           {[]history.Run{before}, &before, 0, 1, open, "b", 0},
		"not ended":                    {[]history.Run{open, before}, &before, 2, 1, open, "b", 2},
		"succeeded":                    {[]history.Run{success, before}, &before, 2, 0, success, "r", 0},
		"succeeded, the first":         {[]history.Run{success}, nil, 0, 0, success, "r", 0},
		"succeeded, but not the last":  {[]history.Run{later, success}, &later, 1, 0, success, "l", 1},
		"succeeded before a failure":   {[]history.Run{ended("f", "06:30", history.Failed), success}, &before, 3, 0, success, "r", 1},
		"failed":                       {[]history.Run{failure, before}, &before, 2, 0, failure, "b", 3},
		"failed, the first":            {[]history.Run{failure}, nil, 0, 0, failure, "", 1},
		"failed before a success":      {[]history.Run{later, failure}, &later, 0, 0, failure, "l", 0},
		"an incident has no ID":        {[]history.Run{{State: history.Overdue}, success}, nil, 0, 0, success, "r", 0},
		"another one ended":            {[]history.Run{ended("x", "06:01", history.Failed), open}, &before, 1, 1, open, "b", 1},
		"the latest is another":        {[]history.Run{success}, nil, 0, 0, later, "r", 0},
		"the failure is not the newer": {[]history.Run{failure, ended("f", "05:30", history.Failed), before}, &before, 1, 0, failure, "b", 2},
	} {
		own := facts.OfBackup{UnderWay: []history.Run{open}, History: c.history, LastSuccess: c.last, Failures: c.failures, Latest: map[string]history.Run{"daily": open}}
		if c.latest.ID == "l" {
			own.Latest["daily"] = later
		}
		countOutcomes(&own)
		got := ""
		if own.LastSuccess != nil {
			got = own.LastSuccess.ID
		}
		if len(own.UnderWay) != c.underWay || own.Failures != c.want || got != c.success || own.Latest["daily"] != c.latest {
			t.Errorf("%s: %d under way, %d failures, last success %q, latest %+v", name, len(own.UnderWay), own.Failures, got, own.Latest["daily"])
		}
	}
}

// TestOutcomeInTheLogs proves that a failure which the function has logged makes the
// backup a failing one before the watchdog has recorded it.
func TestOutcomeInTheLogs(t *testing.T) {
	t.Parallel()
	p := healthy(t)
	failure := byJob("r", "06:00", history.Failed)
	failure.Code, failure.WhatHappened = "rpc_timeout", "The SQL function did not end in time."
	p.happened(failure, yesterday)
	p.own.UnderWay, p.own.Failures = []history.Run{byJob("r", "06:00", history.Running)}, 0
	if got := p.assess(t); got.Condition != checks.Failing || len(got.Problems) != 1 || got.Problems[0].Code != "rpc_timeout" {
		t.Errorf("the status is %s, with %+v", got.Condition, got.Problems)
	}
}
