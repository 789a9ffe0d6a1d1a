package schedule

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// TestLatest proves that the latest due time is the last of the next ones: for
// schedules from every minute to 29 February, around changes of the clock, with
// both ends of the stretch moved over the due times.
func TestLatest(t *testing.T) {
	t.Parallel()
	source := rand.New(rand.NewPCG(6, 2026))
	begin := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		cron, zone string
		days       int
	}{
		{"* * * * *", "America/New_York", 3}, {"30 2 * * *", "America/New_York", 500}, {"30 1 * * *", "Europe/London", 500},
		{"0 3 * * 1", "America/Sao_Paulo", 100}, {"15 4 1 * *", "Australia/Lord_Howe", 800}, {"0 0 29 2 *", "UTC", 3000},
	} {
		expression, err := Parse(c.cron)
		if err != nil {
			t.Fatal(err)
		}
		zone, err := zone.Load(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		end := begin.AddDate(0, 0, c.days)
		times := expression.Next(zone, begin, 5000)
		for range 200 {
			after := begin.Add(time.Duration(source.Int64N(int64(end.Sub(begin)))))
			until := after.Add(time.Duration(source.Int64N(int64(end.Sub(after)) + 1)))
			if source.IntN(3) == 0 {
				until = times[source.IntN(len(times))]
			}
			var wanted time.Time
			for _, due := range times {
				if due.After(after.Truncate(time.Minute)) && !due.After(until) {
					wanted = due
				}
			}
			got, ok := expression.Latest(zone, after, until)
			if ok != !wanted.IsZero() || ok && !got.Equal(wanted) {
				t.Fatalf("%s in %s within (%s, %s]: got %s (%t), wanted %s", c.cron, c.zone, after, until, got, ok, wanted)
			}
		}
	}
	if _, ok := (Expr{}).Latest(time.UTC, begin, begin.AddDate(1, 0, 0)); ok {
		t.Error("the zero expression is due")
	}
}
