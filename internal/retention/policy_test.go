package retention

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKeep proves the rule on histories that can be checked by eye.
func TestKeep(t *testing.T) {
	t.Parallel()
	saoPaulo, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		policy   Policy
		location *time.Location
		times    string
		restored string
		want     string
	}{
		{"nothing", Policy{KeepLast: 3}, time.UTC, "", "", ""},
		{"the newest, whatever the policy says", Policy{}, time.UTC, "2026-03-01T06 2026-03-02T06", "", "2026-03-02T06"},
		{"the last ones", Policy{KeepLast: 2}, time.UTC, "2026-03-03T06 2026-03-01T06 2026-03-02T06", "", "2026-03-02T06 2026-03-03T06"},
		{"fewer than it keeps", Policy{KeepLast: 9}, time.UTC, "2026-03-01T06", "", "2026-03-01T06"},
		{"the newest of each day", Policy{Daily: 2}, time.UTC, "2026-03-01T06 2026-03-01T18 2026-03-02T06 2026-03-02T18", "", "2026-03-01T18 2026-03-02T18"},
		{"days without a backup do not count", Policy{Daily: 2}, time.UTC, "2026-01-01T06 2026-03-02T06", "", "2026-01-01T06 2026-03-02T06"},
		{"the day of the zone", Policy{Daily: 2}, saoPaulo, "2026-03-01T04 2026-03-02T02", "", "2026-03-02T02"},
		{"weeks begin on Monday", Policy{Weekly: 2}, time.UTC, "2026-03-01T06 2026-03-02T06 2026-03-08T06 2026-03-09T06", "", "2026-03-08T06 2026-03-09T06"},
		{"a week that spans two years", Policy{Weekly: 1}, time.UTC, "2025-12-29T06 2026-01-04T06", "", "2026-01-04T06"},
		{"months", Policy{Monthly: 2}, time.UTC, "2025-12-31T06 2026-01-31T06 2026-02-01T06 2026-02-28T06", "", "2026-01-31T06 2026-02-28T06"},
		{"years", Policy{Yearly: 2}, time.UTC, "2024-12-31T06 2025-01-01T06 2025-12-31T06 2026-01-01T06", "", "2025-12-31T06 2026-01-01T06"},
		{"together", Policy{KeepLast: 1, Daily: 2, Yearly: 2}, time.UTC, "2025-06-01T06 2026-03-01T06 2026-03-02T06 2026-03-02T18", "", "2025-06-01T06 2026-03-01T06 2026-03-02T18"},
		{"the newest that a drill has restored", Policy{KeepLast: 1}, time.UTC, "2026-03-01T06 2026-03-02T06 2026-03-03T06", "2026-03-02T06", "2026-03-02T06 2026-03-03T06"},
		{"a drill of the newest", Policy{KeepLast: 1}, time.UTC, "2026-03-01T06 2026-03-02T06", "2026-03-02T06", "2026-03-02T06"},
		{"a drill of one that is gone", Policy{KeepLast: 1}, time.UTC, "2026-03-01T06 2026-03-02T06", "2026-02-01T06", "2026-03-02T06"},
		{"one time twice", Policy{KeepLast: 2}, time.UTC, "2026-03-01T06 2026-03-01T06 2026-02-01T06", "", "2026-02-01T06 2026-03-01T06"},
	} {
		var times []time.Time
		for text := range strings.FieldsSeq(c.times) {
			at, err := time.Parse("2006-01-02T15", text)
			if err != nil {
				t.Fatal(err)
			}
			times = append(times, at)
		}
		var got []string
		var restored time.Time
		if c.restored != "" {
			if restored, err = time.Parse("2006-01-02T15", c.restored); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range c.policy.Keep(times, c.location, restored) {
			got = append(got, at.UTC().Format("2006-01-02T15"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: kept are %v, want %s", c.name, got, c.want)
		}
	}
}

// TestKeepProperties proves over random histories, in time zones with and without summer
// time, that the newest backup is always kept and so is the newest that a drill has
// restored, that a second removal finds nothing more, that a removal after another backup
// keeps what one removal would have kept, that a more generous policy never keeps less,
// and that nothing is kept that was not there.
func TestKeepProperties(t *testing.T) {
	t.Parallel()
	var zones []*time.Location
	for _, name := range []string{"UTC", "America/Sao_Paulo", "Europe/Berlin", "Pacific/Auckland", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		location, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, location)
	}
	random := rand.New(rand.NewPCG(1, 2))
	within := func(kept, of []time.Time) bool {
		return !slices.ContainsFunc(kept, func(at time.Time) bool { return !slices.ContainsFunc(of, at.Equal) })
	}
	for range 100_000 {
		times := randomTimes(random)
		policy := randomPolicy(random)
		zone := zones[random.IntN(len(zones))]
		var restored time.Time
		if len(times) > 0 && random.IntN(3) > 0 {
			restored = times[random.IntN(len(times))]
		}
		kept := policy.Keep(times, zone, restored)
		if len(times) == 0 {
			if len(kept) != 0 {
				t.Fatalf("of nothing, %v is kept", kept)
			}
			continue
		}
		newest := slices.MaxFunc(times, time.Time.Compare)
		more := policy
		more.Daily++
		more.Weekly += int64(random.IntN(2))
		more.KeepLast += int64(random.IntN(3))
		switch {
		case !kept[len(kept)-1].Equal(newest):
			t.Fatalf("%+v of %v does not keep the newest", policy, times)
		case !restored.IsZero() && !slices.ContainsFunc(kept, restored.Equal):
			t.Fatalf("%+v of %v does not keep %v, which a drill has restored", policy, times, restored)
		case !within(kept, times) || !slices.IsSortedFunc(kept, time.Time.Compare):
			t.Fatalf("%+v of %v keeps %v", policy, times, kept)
		case !slices.EqualFunc(policy.Keep(kept, zone, restored), kept, time.Time.Equal):
			t.Fatalf("%+v of %v removes more the second time", policy, times)
		case !within(kept, more.Keep(times, zone, restored)):
			t.Fatalf("%+v keeps what %+v removes, of %v", policy, more, times)
		}
		next := newest.Add(time.Duration(1+random.IntN(72)) * time.Hour)
		if random.IntN(2) == 0 {
			restored = next
		}
		later := policy.Keep(append(slices.Clone(kept), next), zone, restored)
		if want := policy.Keep(append(slices.Clone(times), next), zone, restored); !slices.EqualFunc(later, want, time.Time.Equal) {
			t.Fatalf("%+v: what is kept after another backup depends on whether %v was cleaned before it", policy, times)
		}
	}
}

// randomTimes returns a history of backups: some per day, with gaps.
func randomTimes(random *rand.Rand) []time.Time {
	at := time.Date(2014+random.IntN(12), time.Month(1+random.IntN(12)), 1+random.IntN(28), random.IntN(24), random.IntN(60), 0, 0, time.UTC)
	times := make([]time.Time, 0, 40)
	for range random.IntN(40) {
		step := []int{1, 6, 12, 24, 24, 24, 48, 24 * 8, 24 * 40}[random.IntN(9)]
		at = at.Add(time.Duration(step)*time.Hour + time.Duration(random.IntN(90))*time.Minute)
		times = append(times, at)
	}
	random.Shuffle(len(times), func(i, j int) { times[i], times[j] = times[j], times[i] })
	return times
}

// randomPolicy returns a policy of small numbers, of which many are 0.
func randomPolicy(random *rand.Rand) Policy {
	number := func() int64 { return max(0, int64(random.IntN(9)-3)) }
	return Policy{KeepLast: number(), Daily: number(), Weekly: number(), Monthly: number(), Yearly: number()}
}
