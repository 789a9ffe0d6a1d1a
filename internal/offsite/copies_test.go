package offsite

import (
	"testing"
	"time"
)

// TestState proves which state a destination is in, of several that hold the worst, and with
// what code; when a backup has waited for too long; and which failures may be over soon.
func TestState(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	yes, no := true, false
	copied := &Copy{CompletedAt: now.Add(-8 * time.Hour)}
	open := &Export{OpenedAt: now.Add(-time.Hour)}
	denied := &Export{OpenedAt: now.Add(-time.Hour), Failures: 3, Retryable: &yes, Code: "offsite_denied", SQLState: "42501", Error: "AccessDenied"}
	ended := &Export{OpenedAt: now.Add(-time.Hour), Code: "offsite_superseded"}
	missing := &Look{State: LookFailed, Code: "offsite_object_missing", Error: "a/1"}
	ago := func(hours time.Duration) time.Time { return now.Add(-hours * time.Hour) }
	for name, c := range map[string]struct {
		copies Copies
		every  string
		since  time.Time
		state  State
		why    Problem
	}{
		"copied":                             {Copies{Copy: copied}, EveryBackup, time.Time{}, StateCopied, Problem{}},
		"looked at":                          {Copies{Copy: copied, Check: &Look{State: LookPassed}}, EveryBackup, time.Time{}, StateCopied, Problem{}},
		"a newer backup":                     {Copies{Copy: copied, WaitingSince: ago(24)}, EveryBackup, time.Time{}, StatePending, Problem{}},
		"a newer backup for too long":        {Copies{Copy: copied, WaitingSince: ago(25)}, EveryBackup, time.Time{}, StateLate, Problem{Code: "offsite_late"}},
		"configured since":                   {Copies{Copy: copied, WaitingSince: ago(25)}, EveryBackup, ago(24), StatePending, Problem{}},
		"a newer backup of the day":          {Copies{Copy: copied, WaitingSince: ago(48)}, EveryDay, time.Time{}, StateCopied, Problem{}},
		"a newer backup of two days":         {Copies{Copy: copied, WaitingSince: ago(49)}, EveryDay, time.Time{}, StateLate, Problem{Code: "offsite_late"}},
		"a newer backup of the week":         {Copies{Copy: copied, WaitingSince: ago(8 * 24)}, EveryWeek, time.Time{}, StateCopied, Problem{}},
		"a newer backup of more than a week": {Copies{Copy: copied, WaitingSince: ago(8*24 + 1)}, EveryWeek, time.Time{}, StateLate, Problem{Code: "offsite_late"}},
		"being made":                         {Copies{Copy: copied, Open: open}, EveryDay, time.Time{}, StatePending, Problem{}},
		"being made for too long":            {Copies{Copy: copied, Open: &Export{OpenedAt: ago(25)}}, EveryDay, time.Time{}, StateLate, Problem{Code: "offsite_late"}},
		"nothing yet":                        {Copies{}, EveryWeek, time.Time{}, StatePending, Problem{}},
		"never":                              {Copies{WaitingSince: ago(25)}, EveryBackup, time.Time{}, StateNever, Problem{Code: "offsite_late"}},
		"an object is missing":               {Copies{Copy: copied, Open: open, Check: missing}, EveryBackup, time.Time{}, StateUnverified, Problem{Code: "offsite_object_missing", Error: "a/1"}},
		"late, and missing":                  {Copies{Copy: copied, Check: missing, WaitingSince: ago(25)}, EveryBackup, time.Time{}, StateLate, Problem{Code: "offsite_late"}},
		"failing, never and missing":         {Copies{Open: denied, Check: missing, WaitingSince: ago(25)}, EveryBackup, time.Time{}, StateFailing, Problem{"offsite_denied", "42501", "AccessDenied"}},
		"given up":                           {Copies{Copy: copied, Failed: ended}, EveryBackup, time.Time{}, StateFailing, Problem{Code: "offsite_superseded"}},
		"given up, the first":                {Copies{Failed: ended}, EveryBackup, time.Time{}, StateFailing, Problem{Code: "offsite_superseded"}},
		"given up, and copied since":         {Copies{Copy: &Copy{CompletedAt: now}, Failed: ended}, EveryBackup, time.Time{}, StateCopied, Problem{}},
		"given up, and being made now":       {Copies{Copy: copied, Failed: ended, Open: open}, EveryBackup, time.Time{}, StatePending, Problem{}},
		"moved":                              {Copies{Failed: &Export{OpenedAt: now, Code: "offsite_removed"}}, EveryBackup, time.Time{}, StatePending, Problem{}},
	} {
		state, why := c.copies.State(c.every, c.since, now)
		if state != c.state || why != c.why {
			t.Errorf("%s: it is %s because of %+v, want %s because of %+v", name, state, why, c.state, c.why)
		}
	}
	for _, c := range []struct {
		e    Export
		want bool
	}{{Export{Failures: 2, Retryable: &yes}, true}, {Export{Failures: 3, Retryable: &yes}, false}, {Export{Failures: 1, Retryable: &no}, false}, {Export{}, false}} {
		if got := c.e.Transient(); got != c.want {
			t.Errorf("%+v may be over soon: %t", c.e, got)
		}
	}
}
