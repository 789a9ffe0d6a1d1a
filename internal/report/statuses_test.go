package report

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/health"
)

// statuses are those of cases, by their names.
func statuses(t *testing.T) map[string]health.Status {
	t.Helper()
	all := map[string]health.Status{}
	for name, change := range cases {
		s := healthy(t)
		change(&s)
		all[name] = s
	}
	return all
}

// eachStatus runs a test with every status.
func eachStatus(t *testing.T, test func(t *testing.T, name string, s health.Status)) {
	t.Helper()
	for name, s := range statuses(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, name, s)
		})
	}
}

// nights are days in a row, the last of them the 23rd of November, with an outcome for
// each sign of a calendar. What was made took 9 to 13 seconds.
func nights(calendar string) (all []health.Night) {
	for i, c := range []byte(calendar) {
		n := health.Night{Day: at("23T12:00:00").AddDate(0, 0, i+1-len(calendar)).Format(time.DateOnly)}
		for _, s := range signs {
			if s.sign == c {
				n.Outcome = s.outcome
			}
		}
		switch n.Outcome {
		case health.OutcomeMade, health.OutcomeMadeLate, health.OutcomeMadeAgain:
			n.Duration, n.Records = 9*time.Second+time.Duration(i*i%7)*700*time.Millisecond, ptr(int64(1284))
		case health.OutcomeFailed, health.OutcomeMissed, health.OutcomePending, health.OutcomeNone, health.OutcomeUnknown:
		}
		all = append(all, n)
	}
	return all
}

// golden compares a text with a file, or writes the file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s does not have what there is now, which \"make pictures\" writes:\n%s", file, got)
	}
}
