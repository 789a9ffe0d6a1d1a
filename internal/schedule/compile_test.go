package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// testNow is the present of tests that need one.
var testNow = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// TestCompile proves the UTC expression and the guard of typical and of awkward
// schedules. It fails if a job would tick more often than it has to, or if one
// that is exact is guarded.
func TestCompile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr, zone, utc string
		guarded         bool
	}{
		// No change of clock.
		{"0 3 * * *", "America/Sao_Paulo", "0 6 * * *", false},
		{"@daily", "UTC", "0 0 * * *", false},
		{"0 3 * * *", "America/Asuncion", "0 6 * * *", false}, // none since October 2024
		{"*/15 9-17 * * 1-5", "America/Sao_Paulo", "*/15 12-20 * * 1-5", false},
		{"* * * * *", "Asia/Kathmandu", "* * * * *", false},
		{"0 * * * *", "Asia/Kathmandu", "15 * * * *", false},
		{"0 */6 * * *", "Asia/Kolkata", "30 */6 * * *", false},
		{"*/5 */2 * * *", "Asia/Tokyo", "*/5 1-23/2 * * *", false},
		// Across midnight.
		{"0 22 * * *", "America/Sao_Paulo", "0 1 * * *", false},
		{"0 22 * * 1", "America/Sao_Paulo", "0 1 * * 2", false},
		{"0 22 * * 6", "America/Sao_Paulo", "0 1 * * 0", false},
		{"0 22 * * MON-FRI", "America/Sao_Paulo", "0 1 * * 2-6", false},
		{"0 1 * * 0", "Asia/Tokyo", "0 16 * * 6", false},
		{"0 22 15 * *", "America/Sao_Paulo", "0 1 16 * *", false},
		{"0 22 1,15 * 1-5", "America/Sao_Paulo", "0 1 2,16 * 2-6", false},
		{"0 1 1 5 *", "Europe/Istanbul", "0 22 30 4 *", false},
		{"0 1 1 5,7,10,12 *", "Europe/Istanbul", "0 22 30 4,6,9,11 *", false},
		{"0 22 31 12 *", "America/Sao_Paulo", "0 1 1 1 *", false},
		{"0 22 28 2 *", "America/Sao_Paulo", "0 1 1,29 2,3 *", true}, // 29 February or 1 March
		{"0 1 1 * *", "Europe/Istanbul", "0 22 28-31 * *", true},
		{"0 22 * 6 *", "America/Sao_Paulo", "0 1 1-30 6,7 *", true},
		{"0 22 1 6 1", "America/Sao_Paulo", "0 1 2 6,7 2", true},
		{"0 22 */2 * 1", "America/Sao_Paulo", "0 1 */29,2-28/2 * 2", true},
		{"0 22 2-30/2 * */7", "America/Sao_Paulo", "0 1 */2 * 1", true},
		{"0 22 2-20/2 * */7", "America/Sao_Paulo", "0 1 */20,3-19/2 * 1", true}, // one date more
		{"0 22 5 * */4", "America/Sao_Paulo", "0 1 6 * */5,1", true},            // one weekday more
		{"0 22 31 2,4 3", "America/Sao_Paulo", "0 1 * 2-5 4", true},             // no such dates, so by weekday
		{"0 12 31 2,4 3", "America/Sao_Paulo", "0 15 * 2,4 3", false},
		{"0 0,22 * * 1", "America/Sao_Paulo", "0 1,3 * * 1,2", true},
		{"0 3 */2 * 1", "America/Sao_Paulo", "0 6 */2 * 1", false},
		// Times that no one expression names.
		{"0,30 3 * * *", "Asia/Kolkata", "0,30 21,22 * * *", true},
		{"*/20 3 * * *", "Asia/Kathmandu", "15-55/20 21 * * *", false},
		// Changes of the clock.
		{"0 3 * * *", "Europe/Berlin", "0 1,2 * * *", true},
		{"0 3 * * *", "America/New_York", "0 7,8 * * *", true},
		{"30 2 * * *", "Europe/Berlin", "0,30 0,1 * * *", true}, // 01:00 when skipped
		{"30 2 * * *", "America/New_York", "0,30 6,7 * * *", true},
		{"30 0 * * *", "America/Santiago", "0,30 3,4 * * *", true},
		{"30 0 * * 5", "Africa/Cairo", "0,30 21,22 * * 4", true}, // Thursday 22:00 when skipped
		{"0 3 * * *", "Australia/Lord_Howe", "0,30 16 * * *", true},
		{"0 2 * * *", "Antarctica/Troll", "0 0-2 * * *", true},
		{"0 3 * * *", "Africa/Casablanca", "0 2,3 * * *", true},
		{"0 0 * * 1", "Europe/Berlin", "0 22,23 * * 0", true},
		{"0 1 * * 1", "Europe/Berlin", "0 0,23 * * 0,1", true},
		{"0 * * * *", "Europe/London", "0 * * * *", true}, // one hour is repeated
		{"0 0 * * *", "UTC", "0 0 * * *", false},
	} {
		got, err := schedule.Compile(parse(t, c.expr), zoneOf(t, c.zone), testNow)
		if err != nil {
			t.Errorf("%s in %s: %v", c.expr, c.zone, err)
		} else if got.UTC != c.utc || got.Guarded != c.guarded {
			t.Errorf("%s in %s: %+v, want %s, guarded %v", c.expr, c.zone, got, c.utc, c.guarded)
		}
	}
}

// TestCompileIsSteady proves that a plan does not change from day to day: over
// two years of days and around the hours of a change, the same schedule compiles
// to the same job.
func TestCompileIsSteady(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"America/Sao_Paulo", "Europe/Berlin", "Africa/Casablanca", "Asia/Gaza", "Australia/Lord_Howe", "America/Santiago", "Antarctica/Troll", "Africa/Cairo"} {
		loc := zoneOf(t, name)
		for _, expr := range []string{"0 3 * * *", "30 0 * * *", "30 2 * * 0", "30 23 1 * *"} {
			e := parse(t, expr)
			first, err := schedule.Compile(e, loc, testNow)
			if err != nil {
				t.Fatal(err)
			}
			for hours := time.Duration(0); hours < 2*365*24; hours += 97 {
				if got, err := schedule.Compile(e, loc, testNow.Add(hours*time.Hour)); err != nil || got != first {
					t.Fatalf("%s in %s: %+v, and %v later %+v, %v", expr, name, first, hours*time.Hour, got, err)
				}
			}
		}
	}
}

// TestCompileAfterTheLastChange proves that the guard stays as long as a local
// time can be repeated and goes when the clock has changed for the last time;
// it fails if a job loses its guard in the repeated hour.
func TestCompileAfterTheLastChange(t *testing.T) {
	t.Parallel()
	// The last change of Mexico City was on 30 October 2022, 07:00 UTC.
	last := time.Date(2022, 10, 30, 7, 0, 0, 0, time.UTC)
	loc, e := zoneOf(t, "America/Mexico_City"), parse(t, "30 1 * * *")
	for after, want := range map[time.Duration]schedule.Compiled{
		-200 * 24 * time.Hour: {UTC: "30 6,7 * * *", Guarded: true},
		-time.Hour:            {UTC: "30 6,7 * * *", Guarded: true},
		time.Minute:           {UTC: "30 6,7 * * *", Guarded: true},
		30 * time.Minute:      {UTC: "30 6,7 * * *", Guarded: true},
		49 * time.Hour:        {UTC: "30 7 * * *", Guarded: false},
	} {
		if got, err := schedule.Compile(e, loc, last.Add(after)); err != nil || got != want {
			t.Errorf("%v after the change: %+v, %v; want %+v", after, got, err, want)
		}
	}
}

// TestCompileErrors proves that nothing is compiled from nothing.
func TestCompileErrors(t *testing.T) {
	t.Parallel()
	if got, err := schedule.Compile(schedule.Expr{}, time.UTC, testNow); err == nil {
		t.Errorf("the zero Expr compiles to %+v", got)
	}
	if got, err := schedule.Compile(parse(t, "@daily"), nil, testNow); err == nil {
		t.Errorf("no zone compiles to %+v", got)
	}
}

// TestNext proves the times of next runs, at their edges and around changes of
// the clock, in the zone's own time.
func TestNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expr, zone, after, want string }{
		{"0 3 * * *", "America/Sao_Paulo", "2026-11-23T05:59:59Z", "2026-11-23T03:00:00-03:00 2026-11-24T03:00:00-03:00"},
		{"0 3 * * *", "America/Sao_Paulo", "2026-11-23T06:00:00Z", "2026-11-24T03:00:00-03:00"},
		{"0 3 * * *", "America/Sao_Paulo", "2026-11-23T06:00:00.5Z", "2026-11-24T03:00:00-03:00"},
		{"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z 2032-02-29T00:00:00Z"},
		{"0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"},
		// Skipped: 02:30 does not exist, and the four quarters are one run.
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00 2026-03-30T02:30:00+02:00"},
		{"*/15 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00 2026-03-30T02:00:00+02:00"},
		{"30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00 2026-03-29T03:30:00+02:00 2026-03-30T02:30:00+02:00"},
		{"0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00 2026-03-30T02:00:00+02:00"},
		// Repeated: the first 02:30, not the second.
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00 2026-10-26T02:30:00+01:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T02:30:00+01:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-26T02:30:00+01:00"},
		{"0 * * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", "2026-10-25T02:00:00+02:00 2026-10-25T03:00:00+01:00"},
		// Half an hour.
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-04T02:30:00+11:00 2026-10-05T02:15:00+11:00"},
		// A day that never was runs at the first instant after it.
		{"0 3 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-29T03:00:00-10:00 2011-12-31T00:00:00+14:00 2011-12-31T03:00:00+14:00"},
		// Midnight: Sunday begins at 01:00 in Santiago.
		{"0 0 * * 0", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-06T01:00:00-03:00 2026-09-13T00:00:00-03:00"},
	} {
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(c.want)
		var got []string
		for _, run := range parse(t, c.expr).Next(zoneOf(t, c.zone), after, len(want)) {
			got = append(got, run.Format(time.RFC3339))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s in %s after %s:\n got %v\nwant %v", c.expr, c.zone, c.after, got, want)
		}
	}
	if got := parse(t, "@daily").Next(time.UTC, testNow, 0); got != nil {
		t.Errorf("no runs wanted, got %v", got)
	}
	if got := (schedule.Expr{}).Next(time.UTC, testNow, 1); got != nil {
		t.Errorf("the zero Expr is due at %v", got)
	}
}

// BenchmarkCompile measures one schedule in the zone with the most changes
// within the horizon. It has to stay below a millisecond.
func BenchmarkCompile(b *testing.B) {
	for _, name := range []string{"America/Sao_Paulo", "Europe/Berlin", "Africa/Casablanca"} {
		for _, expr := range []string{"0 3 * * *", "0 22 28 2 *", "* * * * *"} {
			b.Run(name+"/"+expr, func(b *testing.B) {
				loc, e := zoneOf(b, name), parse(b, expr)
				for b.Loop() {
					if _, err := schedule.Compile(e, loc, testNow); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkNext measures what a function next_runs does for one schedule: parse,
// load the zone and list ten runs. It has to stay below a millisecond.
func BenchmarkNext(b *testing.B) {
	for _, expr := range []string{"0 3 * * *", "* * * * *", "0 0 1 1 *", "0 0 29 2 *"} {
		b.Run(expr, func(b *testing.B) {
			for b.Loop() {
				if got := parse(b, expr).Next(zoneOf(b, "Europe/Berlin"), testNow, 10); len(got) != 10 {
					b.Fatal(got)
				}
			}
		})
	}
}
