package schedule_test

import (
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// eightYears is the longest time that any accepted expression leaves between
// two runs: from one 29 February to the next across a century without one.
const eightYears = 8*366*24*time.Hour + 24*time.Hour

// checkParsed checks what must be true of every text: a refusal says why and
// what to do, and what is accepted means the same to every pg_cron and fires
// within eight years after any time. It returns whether the text was accepted.
func checkParsed(t *testing.T, text string, after time.Time) (schedule.Expr, bool) {
	t.Helper()
	e, err := schedule.Parse(text)
	if err != nil {
		var refusal *schedule.ParseError
		if !errors.As(err, &refusal) || refusal.Reason == "" || refusal.Hint == "" || e != (schedule.Expr{}) {
			t.Fatalf("Parse(%q) = %v, %#v", text, e, err)
		}
		if strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Fatalf("Parse(%q): the text is not one line: %q", text, err)
		}
		return e, false
	}
	old, ok := readCron(text, cron142)
	if !ok {
		t.Fatalf("Parse accepts %q, which pg_cron 1.4 rejects", text)
	}
	if newer, ok := readCron(text, cron167); !ok || newer != old {
		t.Fatalf("Parse accepts %q, which pg_cron 1.6 reads otherwise", text)
	}
	normal := e.String()
	again, err := schedule.Parse(normal)
	if err != nil || again != e {
		t.Fatalf("%q has the normal form %q, which reads as %v, %v", text, normal, again, err)
	}
	if entry, ok := readCron(normal, cron142); !ok || entry.minute != old.minute || entry.hour != old.hour || !sameDays(&entry, &old) {
		t.Fatalf("%q means something else to pg_cron than its normal form %q", text, normal)
	}
	next := e.Next(time.UTC, after, 1)
	if want, ok := nextFire(&old, after); !ok || len(next) != 1 || !next[0].Equal(want) {
		t.Fatalf("%q is due at %v after %s, and pg_cron fires at %s, %v", text, next, after, want, ok)
	}
	if next[0].Sub(after) > eightYears {
		t.Fatalf("%q is due only at %s after %s", text, next[0], after)
	}
	return e, true
}

// nextFire looks for the first time after another at which pg_cron runs a job,
// day by day for nine years.
func nextFire(e *cronEntry, after time.Time) (time.Time, bool) {
	day := after.UTC().Truncate(24 * time.Hour)
	for range 9 * 366 {
		if e.onDay(day) {
			for hour := range 24 {
				for minute := 0; e.hour.has(hour) && minute < 60; minute++ {
					if at := day.Add(time.Duration(60*hour+minute) * time.Minute); e.minute.has(minute) && at.After(after) {
						return at, true
					}
				}
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}, false
}

// FuzzParse looks for a text that makes Parse panic, that it accepts although
// pg_cron rejects it or reads it otherwise, or that does not fire within eight
// years.
func FuzzParse(f *testing.F) {
	for _, m := range measuredExpressions(f) {
		f.Add(m.expr, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, at int64) {
		checkParsed(t, text, time.Unix(at%(1<<33), 0))
	})
}

// FuzzCompile looks for a schedule, zone and present at which the job does not
// tick when the schedule is due, or ticks unguarded when it is not.
func FuzzCompile(f *testing.F) {
	for i, expr := range testdataLines(f, "replay.txt") {
		f.Add(expr, replayZones[i%len(replayZones)], int64(1_700_000_000+i*1_000_003))
	}
	f.Fuzz(func(t *testing.T, text, name string, at int64) {
		e, err := schedule.Parse(text)
		if err != nil {
			return
		}
		loc, err := zone.Load(name)
		if err != nil {
			return
		}
		// The years 1970 to 2106.
		now := time.Unix(int64(uint32(at)), 0)
		compiled, err := schedule.Compile(e, loc, now)
		if err != nil {
			t.Fatal(err)
		}
		utc, ok := checkParsed(t, compiled.UTC, now)
		if !ok || utc.String() != compiled.UTC {
			t.Fatalf("%q in %s compiles to %q, whose normal form is %q", text, name, compiled.UTC, utc)
		}
		tick, _ := readCron(compiled.UTC, cron142)
		// Compare two hundred runs, or those of nine years, which is less than
		// what the compiler looks at.
		from, to := now.Unix()/60, now.AddDate(9, 0, 0).Unix()/60
		runs := 0
		ticks, stop := iter.Pull(utc.Due(time.UTC, from))
		defer stop()
		for run := range e.Due(loc, from) {
			if runs++; runs > 200 || run >= to {
				break
			}
			at := time.Unix(run*60, 0).UTC()
			if !tick.onDay(at) || !tick.hour.has(at.Hour()) || !tick.minute.has(at.Minute()) {
				t.Fatalf("%q in %s, compiled at %s to %q, does not tick at %s", text, name, now, compiled.UTC, at)
			}
			if compiled.Guarded {
				continue
			}
			if next, _ := ticks(); next != run {
				t.Fatalf("%q in %s, compiled at %s to %q, ticks unguarded at %s", text, name, now, compiled.UTC, time.Unix(next*60, 0).UTC())
			}
		}
		if runs == 0 {
			t.Fatalf("%q in %s is not due within nine years after %s", text, name, now)
		}
	})
}
