package schedule_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// replayZones are zones of all kinds: without a change, with whole, half and
// quarter hours, with changes by half an hour, by two hours, at midnight, by the
// moon and in both hemispheres, and with changes that ended or began lately.
var replayZones = strings.Fields(`
	UTC America/Sao_Paulo America/Noronha America/New_York America/St_Johns America/Havana America/Santiago
	America/Asuncion America/Nuuk America/Scoresbysund America/Miquelon America/Mexico_City America/Phoenix
	America/Anchorage America/Adak America/Caracas America/Argentina/Buenos_Aires America/Ciudad_Juarez
	Europe/London Europe/Dublin Europe/Lisbon Europe/Berlin Europe/Athens Europe/Chisinau Europe/Istanbul
	Atlantic/Azores Africa/Casablanca Africa/El_Aaiun Africa/Cairo Africa/Lagos
	Asia/Gaza Asia/Beirut Asia/Jerusalem Asia/Tehran Asia/Kolkata Asia/Kathmandu Asia/Yangon Asia/Tokyo Asia/Almaty
	Australia/Lord_Howe Australia/Adelaide Australia/Eucla Australia/Sydney
	Pacific/Apia Pacific/Chatham Pacific/Kiritimati Pacific/Marquesas Pacific/Easter Pacific/Norfolk Pacific/Pago_Pago
	Antarctica/Troll Antarctica/Casey`)

// brute is the brute-force reading of local time: for every minute that a local
// clock can show, the minute of UTC at which it is due. It is made of nothing
// but the zone's offset at every single minute.
type brute struct {
	from, to  int64 // minutes of UTC, to excluded
	localFrom int64
	due       []int64 // by local minute from localFrom on; -1 if not within the time
}

// newBrute reads the offsets, in minutes, of the minutes from `from` on.
func newBrute(from int64, offsets []int16) *brute {
	to := from + int64(len(offsets))
	lowest, highest := int64(1)<<62, int64(-1)<<62
	for i, offset := range offsets {
		local := from + int64(i) + int64(offset)
		lowest, highest = min(lowest, local), max(highest, local)
	}
	b := &brute{from: from, to: to, localFrom: lowest, due: make([]int64, highest-lowest+1)}
	for i := range b.due {
		b.due[i] = -1
	}
	// A time that the clock shows is due when it first shows it,
	for i, offset := range offsets {
		local := from + int64(i) + int64(offset) - lowest
		if b.due[local] < 0 {
			b.due[local] = from + int64(i)
		}
	}
	// and one that it never shows when it shows the next one that exists.
	for i := len(b.due) - 2; i >= 0; i-- {
		if b.due[i] < 0 {
			b.due[i] = b.due[i+1]
		}
	}
	return b
}

// minutes is a set of minutes of UTC in a span of time.
type minutes struct {
	from, to int64
	words    []uint64
}

func newMinutes(from, to int64) *minutes {
	return &minutes{from, to, make([]uint64, (to-from+63)/64)}
}

func (s *minutes) add(minute int64) {
	if minute >= s.from && minute < s.to {
		s.words[(minute-s.from)/64] |= 1 << ((minute - s.from) % 64)
	}
}

// missing returns a minute of s that is not in o.
func (s *minutes) missing(o *minutes) (int64, bool) {
	for i, w := range s.words {
		if rest := w &^ o.words[i]; rest != 0 {
			for bit := int64(0); ; bit++ {
				if rest>>bit&1 != 0 {
					return s.from + int64(64*i) + bit, true
				}
			}
		}
	}
	return 0, false
}

// dueBy reads an expression as pg_cron does, but by local days and minutes.
func (b *brute) dueBy(e *cronEntry, from, to int64) *minutes {
	set := newMinutes(from, to)
	times := e.minutesOfDay()
	start := time.Unix(b.localFrom*60, 0).UTC().Truncate(24 * time.Hour)
	for day := start; day.Unix()/60 < b.localFrom+int64(len(b.due)); day = day.AddDate(0, 0, 1) {
		if !e.onDay(day) {
			continue
		}
		for _, m := range times {
			i := day.Unix()/60 + int64(m) - b.localFrom
			if i >= 0 && i < int64(len(b.due)) {
				set.add(b.due[i])
			}
		}
	}
	return set
}

// fires is when pg_cron runs a job, which reads the same entry in UTC.
func (e *cronEntry) fires(from, to int64) *minutes {
	set := newMinutes(from, to)
	times := e.minutesOfDay()
	for day := time.Unix(from*60, 0).UTC().Truncate(24 * time.Hour); day.Unix()/60 < to; day = day.AddDate(0, 0, 1) {
		if e.onDay(day) {
			for _, m := range times {
				set.add(day.Unix()/60 + int64(m))
			}
		}
	}
	return set
}

// offsetsOf looks up the offset of a zone at every minute. No clock changes twice within a
// quarter of an hour, so the minutes of one that begins and ends with the same offset have it.
func offsetsOf(loc *time.Location, from, to int64) []int16 {
	offset := func(i int) int16 {
		_, seconds := time.Unix((from+int64(i))*60, 0).In(loc).Zone()
		return int16((seconds+86400)/60 - 1440) // rounds down
	}
	offsets := make([]int16, to-from)
	first := offset(0)
	for begin := 0; begin < len(offsets); begin += 15 {
		end := min(begin+15, len(offsets))
		next := offset(end)
		for i := begin; i < end; i++ {
			offsets[i] = first
			if next != first {
				offsets[i] = offset(i)
			}
		}
		first = next
	}
	return offsets
}

func unixMinute(year int, month time.Month, day int) int64 {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 60
}

// TestReplay proves for every minute of the years 2025 to 2028, 52 zones and 60
// expressions, and 20 generated ones for each zone, that pg_cron's ticks, and of a guarded schedule those that the
// guard lets through, are exactly the due times of a brute-force reading of
// local time. It fails at the first minute that differs.
func TestReplay(t *testing.T) {
	t.Parallel()
	expressions := testdataLines(t, "replay.txt")
	if len(replayZones) < 40 || len(expressions) < 60 {
		t.Fatalf("%d zones and %d expressions", len(replayZones), len(expressions))
	}
	from, to := unixMinute(2025, 1, 1), unixMinute(2029, 1, 1)
	now := time.Unix(from*60, 0)
	var guarded, exact int
	var lock sync.Mutex
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i, name := range replayZones {
		expressions := append(slices.Clone(expressions), generatedExpressions()[20*i:20*i+20]...)
		limit <- struct{}{}
		wait.Go(func() {
			defer func() { <-limit }()
			loc := zoneOf(t, name)
			margin := int64(5 * 24 * 60)
			b := newBrute(from-margin, offsetsOf(loc, from-margin, to+margin))
			for _, expr := range expressions {
				e := parse(t, expr)
				compiled, err := schedule.Compile(e, loc, now)
				if err != nil {
					t.Errorf("%s in %s: %v", expr, name, err)
					continue
				}
				if err := replay(b, expr, e, loc, compiled, from, to); err != nil {
					t.Errorf("%s in %s, compiled to %+v: %v", expr, name, compiled, err)
				}
				lock.Lock()
				if compiled.Guarded {
					guarded++
				} else {
					exact++
				}
				lock.Unlock()
			}
		})
	}
	wait.Wait()
	if guarded < 2000 || exact < 1000 {
		t.Errorf("%d guarded and %d exact schedules: both kinds have to be tried", guarded, exact)
	}
	t.Logf("%d guarded and %d exact schedules, %d minutes each", guarded, exact, to-from)
}

func replay(b *brute, expr string, e schedule.Expr, loc *time.Location, compiled schedule.Compiled, from, to int64) error {
	entry, ok := readCron(expr, cron142)
	if !ok {
		return fmt.Errorf("pg_cron rejects the expression")
	}
	tick, ok := readCron(compiled.UTC, cron142)
	if !ok {
		return fmt.Errorf("pg_cron rejects the compiled expression")
	}
	if newer, ok := readCron(compiled.UTC, cron167); !ok || newer != tick {
		return fmt.Errorf("pg_cron 1.6.7 reads the compiled expression otherwise")
	}
	again, err := schedule.Parse(compiled.UTC)
	if err != nil {
		return fmt.Errorf("the parser refuses the compiled expression: %w", err)
	}
	if again.String() != compiled.UTC {
		return fmt.Errorf("the compiled expression is not in its normal form %s", again)
	}
	want, fires := b.dueBy(&entry, from, to), tick.fires(from, to)
	guard := newMinutes(from, to)
	for minute := range e.Due(loc, from-1) {
		if minute >= to {
			break
		}
		guard.add(minute)
	}
	clock := func(minute int64) string {
		t := time.Unix(minute*60, 0).UTC()
		return t.Format(time.RFC3339) + ", local " + t.In(loc).Format(time.RFC3339)
	}
	if m, ok := want.missing(fires); ok {
		return fmt.Errorf("no tick at %s", clock(m))
	}
	if m, ok := want.missing(guard); ok {
		return fmt.Errorf("the guard stops %s", clock(m))
	}
	if m, ok := guard.missing(want); ok {
		return fmt.Errorf("the guard lets through %s", clock(m))
	}
	if m, ok := fires.missing(want); ok && !compiled.Guarded {
		return fmt.Errorf("an unguarded tick at %s", clock(m))
	}
	return nil
}

// TestHistoricChanges proves the rule on the oddest changes of the past, minute
// by minute for a month around them: a day that was skipped, a day that began
// late, half hours, and changes of two zones at once. It fails if one due time
// of one expression differs from the brute-force reading.
func TestHistoricChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zone string
		at   time.Time
	}{
		{"Pacific/Apia", time.Date(2011, 12, 30, 10, 0, 0, 0, time.UTC)},        // 30 December never was
		{"Pacific/Fakaofo", time.Date(2011, 12, 30, 11, 0, 0, 0, time.UTC)},     // nor there
		{"Pacific/Kwajalein", time.Date(1993, 8, 21, 12, 0, 0, 0, time.UTC)},    // nor 21 August
		{"America/Sao_Paulo", time.Date(2018, 11, 4, 3, 0, 0, 0, time.UTC)},     // midnight skipped
		{"America/Sao_Paulo", time.Date(2019, 2, 17, 2, 0, 0, 0, time.UTC)},     // midnight repeated
		{"Asia/Pyongyang", time.Date(2018, 5, 4, 15, 0, 0, 0, time.UTC)},        // half an hour
		{"America/Caracas", time.Date(2016, 5, 1, 7, 0, 0, 0, time.UTC)},        // half an hour
		{"Australia/Lord_Howe", time.Date(2024, 4, 6, 15, 0, 0, 0, time.UTC)},   // half an hour repeated
		{"Antarctica/Casey", time.Date(2022, 10, 1, 16, 1, 0, 0, time.UTC)},     // three hours, at one minute past
		{"Africa/Casablanca", time.Date(2024, 3, 10, 2, 0, 0, 0, time.UTC)},     // Ramadan
		{"Antarctica/Troll", time.Date(2024, 3, 31, 1, 0, 0, 0, time.UTC)},      // two hours
		{"Europe/Volgograd", time.Date(2018, 10, 27, 23, 0, 0, 0, time.UTC)},    // a new zone
		{"America/Metlakatla", time.Date(2019, 1, 20, 11, 0, 0, 0, time.UTC)},   // back within a winter
		{"Africa/Monrovia", time.Date(1972, 1, 7, 0, 44, 30, 0, time.UTC)},      // 44 minutes and 30 seconds
		{"America/St_Johns", time.Date(2011, 3, 13, 3, 31, 0, 0, time.UTC)},     // at one minute past midnight
		{"Pacific/Kiritimati", time.Date(1994, 12, 31, 10, 40, 0, 0, time.UTC)}, // the last day of a year
		{"America/Argentina/San_Luis", time.Date(2009, 10, 11, 4, 0, 0, 0, time.UTC)},
	} {
		loc := zoneOf(t, c.zone)
		at := c.at.Unix() / 60
		from, to := at-15*24*60, at+15*24*60
		offsets := offsetsOf(loc, from-5*24*60, to+5*24*60)
		if slices.Min(offsets) == slices.Max(offsets) {
			t.Errorf("%s does not change its clock around %s", c.zone, c.at)
		}
		b := newBrute(from-5*24*60, offsets)
		for _, expr := range append(testdataLines(t, "replay.txt"), "* * * * *", "*/7 * * * *", "0 3 30 * *", "59 23 * * *", "0 0 * * *", "1 0 * * *") {
			entry, _ := readCron(expr, cron142)
			want, got := b.dueBy(&entry, from, to), newMinutes(from, to)
			for minute := range parse(t, expr).Due(loc, from-1) {
				if minute >= to {
					break
				}
				got.add(minute)
			}
			if m, ok := want.missing(got); ok {
				t.Errorf("%s in %s is due at %s, which is missing", expr, c.zone, time.Unix(m*60, 0).UTC())
			}
			if m, ok := got.missing(want); ok {
				t.Errorf("%s in %s is not due at %s", expr, c.zone, time.Unix(m*60, 0).UTC())
			}
		}
	}
}
