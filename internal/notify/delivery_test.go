package notify_test

import (
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
)

// TestState proves how a channel is doing by its messages: that it fails when one was given
// up since another arrived, or was tried three times, with the URL that it has now; and
// that the worst of what holds is said.
func TestState(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	notice := func(state string, attempts int64, hours int) *notify.Notice {
		n := &notify.Notice{Event: "success", HappenedAt: ago(hours + 1), State: state, Attempts: attempts}
		if state == notify.NoticeDelivered || state == notify.NoticeLost {
			n.FinishedAt = ago(hours)
		}
		return n
	}
	lost, arrived := notice(notify.NoticeLost, 8, 5), notice(notify.NoticeDelivered, 1, 5)
	for what, c := range map[string]struct {
		notices notify.Notices
		changed time.Time
		want    notify.State
		failure bool
	}{
		"nothing":                                 {notify.Notices{}, ago(9), notify.StateUnused, false},
		"arrived":                                 {notify.Notices{Last: arrived, Delivered: arrived}, ago(9), notify.StateDelivered, false},
		"about to be sent":                        {notify.Notices{Last: notice(notify.NoticeWaiting, 0, 1), Delivered: arrived}, ago(9), notify.StateWaiting, false},
		"on its way":                              {notify.Notices{Last: notice(notify.NoticeSent, 1, 1), Delivered: arrived}, ago(9), notify.StateWaiting, false},
		"failed twice":                            {notify.Notices{Last: notice(notify.NoticeWaiting, 2, 1), Delivered: arrived}, ago(9), notify.StateWaiting, false},
		"failed three times":                      {notify.Notices{Last: notice(notify.NoticeWaiting, 3, 1), Delivered: arrived}, ago(9), notify.StateFailing, true},
		"on its way for the fourth time":          {notify.Notices{Last: notice(notify.NoticeSent, 4, 1), Delivered: arrived}, ago(9), notify.StateFailing, true},
		"on its way for the third time":           {notify.Notices{Last: notice(notify.NoticeSent, 3, 1), Delivered: arrived}, ago(9), notify.StateWaiting, false},
		"failed three times, a new URL":           {notify.Notices{Last: notice(notify.NoticeWaiting, 3, 1), Delivered: arrived}, ago(1), notify.StateWaiting, false},
		"given up":                                {notify.Notices{Last: lost, Lost: lost, Losses: 1}, ago(9), notify.StateFailing, true},
		"given up, the next on its way":           {notify.Notices{Last: notice(notify.NoticeSent, 1, 1), Lost: lost, Losses: 1}, ago(9), notify.StateFailing, true},
		"given up, when it was set, is not known": {notify.Notices{Last: lost, Lost: lost, Losses: 1}, time.Time{}, notify.StateFailing, true},
		"given up before the URL was set":         {notify.Notices{Last: lost, Lost: lost, Losses: 1}, ago(2), notify.StateUnused, false},
	} {
		if got, failure := c.notices.State(c.changed), c.notices.Failure(c.changed) != nil; got != c.want || failure != c.failure {
			t.Errorf("%s: it is %s, a failure: %t, instead of %s", what, got, failure, c.want)
		}
	}
	if states := notify.States(); states[0] != notify.StateFailing || len(states) != 4 {
		t.Errorf("the states are %v", states)
	}
}
