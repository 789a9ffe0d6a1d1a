package ratelimit

import (
	"testing"
	"time"
)

// Answers overtake each other, come late and speak of windows that are over.
// What is left is never believed to be more than it is.
func TestWindowAnnouncements(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	for name, test := range map[string]struct {
		left, reset      int
		sent, received   int // Seconds from now.
		wantLeft, wantIn int // The window's end is wantIn seconds from now.
	}{
		"next answer":            {99, 50, 10, 10, 99, 60},
		"overtaken answer":       {105, 50, 9, 10, 100, 60},
		"end known better":       {99, 48, 10, 11, 99, 60},
		"from the window before": {0, 1, 0, 1, 100, 60},
		"next window":            {119, 60, 61, 61, 119, 122},
		"long request":           {119, 60, -30, 40, 100, 60},
	} {
		w := window{known: true, limit: 120, left: 100, ends: at(60)}
		w.announced(announcement{limit: 120, left: test.left, reset: time.Duration(test.reset) * time.Second}, at(test.sent), at(test.received))
		if w.left != test.wantLeft || !w.ends.Equal(at(test.wantIn)) {
			t.Errorf("%s: left %d, ends in %s, want %d, %ds", name, w.left, w.ends.Sub(now), test.wantLeft, test.wantIn)
		}
	}
}
