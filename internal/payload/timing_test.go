package payload

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTiming proves that the times which Go and the SQL share are the same.
func TestTiming(t *testing.T) {
	t.Parallel()
	interval := func(d time.Duration) string {
		if d < time.Minute {
			return fmt.Sprintf("interval '%d seconds'", d/time.Second)
		}
		return fmt.Sprintf("interval '%d minutes'", d/time.Minute)
	}
	for _, c := range []struct{ function, text string }{
		{"probe", fmt.Sprintf("u.run_id), %d,", ProbeTimeout.Milliseconds())},
		{"offsite_probe", fmt.Sprintf("        %d, offsite_probe.refused", OffsiteProbeTimeout.Milliseconds())},
		{"catch_up", "until constant timestamptz := catch_up.at - " + interval(TickPatience) + ";"},
		{"judge", "if judge.at < begun + " + interval(RunPatience) + " then"},
		{"judge", "when 'gone' then interval '5 minutes' else " + interval(AnswerPatience) + " end"},
		{"retry", "or retry.at + " + interval(RetryTolerance) + "\n"},
	} {
		text, err := sqlFiles.ReadFile("sql/functions/" + c.function + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), c.text); n != 1 {
			t.Errorf("%s.sql says %q %d times", c.function, c.text, n)
		}
	}
}
