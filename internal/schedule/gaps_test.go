package schedule_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// timed parses "cron @ zone".
func timed(t testing.TB, texts ...string) []schedule.Timed {
	t.Helper()
	var list []schedule.Timed
	for _, text := range texts {
		expr, name, _ := strings.Cut(text, " @ ")
		list = append(list, schedule.Timed{Expr: parse(t, expr), Location: zoneOf(t, name)})
	}
	return list
}

// TestLongestGap proves the longest gap of typical schedules, alone and in
// company, and that it is an hour longer where the clock goes back.
func TestLongestGap(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		want      time.Duration
		schedules []string
	}{
		{0, nil},
		{day, []string{"0 3 * * * @ America/Sao_Paulo"}},
		{day + time.Hour, []string{"0 3 * * * @ Europe/Berlin"}},
		{day + 30*time.Minute, []string{"0 3 * * * @ Australia/Lord_Howe"}},
		{time.Minute, []string{"* * * * * @ UTC"}},
		{6 * time.Hour, []string{"0 */6 * * * @ Asia/Kolkata"}},
		{7 * day, []string{"0 22 * * 1 @ America/Sao_Paulo"}},
		{3 * day, []string{"0 22 * * 1-5 @ America/Sao_Paulo"}},
		{31 * day, []string{"0 3 1 * * @ UTC"}},
		{61 * day, []string{"0 3 31 * * @ UTC"}}, // May to July
		{1461 * day, []string{"0 3 29 2 * @ UTC"}},
		{12 * time.Hour, []string{"0 3 * * * @ America/Sao_Paulo", "0 15 * * * @ America/Sao_Paulo"}},
		{day, []string{"0 3 * * * @ America/Sao_Paulo", "0 3 * * 0 @ America/Sao_Paulo"}},
		{2 * day, []string{"0 3 * * 1,3,5 @ UTC", "0 3 * * 0,2,4 @ UTC"}},
		{18 * time.Hour, []string{"0 0 * * * @ UTC", "0 3 * * * @ America/Sao_Paulo"}},
		{23*time.Hour + 30*time.Minute, []string{"0 3 * * * @ Asia/Kolkata", "0 22 * * * @ UTC"}},
	} {
		if got := schedule.LongestGap(timed(t, c.schedules...)); got != c.want {
			t.Errorf("%v: %v, want %v", c.schedules, got, c.want)
		}
	}
}

// TestLongestGapIsNeverTooShort proves on random sets of schedules that no two
// consecutive runs of the years 2026 to 2033 are farther apart than the longest
// gap, and that it exceeds the real one by no more than the clocks change.
func TestLongestGapIsNeverTooShort(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 1))
	from, to := unixMinute(2026, 1, 1), unixMinute(2034, 1, 1)
	names := []string{"UTC", "America/Sao_Paulo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"}
	exprs := []string{"0 3 * * *", "30 2 * * *", "0 0 * * 1", "0 22 * * 1-5", "0 12 1 * *", "0 */12 * * *", "0 1 1,15 * *", "0 3 * 6 *", "45 23 * * 0,3"}
	for range 60 {
		set := make([]schedule.Timed, 1+random.IntN(3))
		for i := range set {
			set[i] = timed(t, exprs[random.IntN(len(exprs))]+" @ "+names[random.IntN(len(names))])[0]
		}
		due := newMinutes(from, to)
		for _, s := range set {
			for minute := range s.Expr.Due(s.Location, from-1) {
				if minute >= to {
					break
				}
				due.add(minute)
			}
		}
		real, last := int64(0), int64(-1)
		for minute := from; minute < to; minute++ {
			if i := minute - from; due.words[i/64]>>(i%64)&1 != 0 {
				if last >= 0 {
					real = max(real, minute-last)
				}
				last = minute
			}
		}
		got := schedule.LongestGap(set)
		if slack := got - time.Duration(real)*time.Minute; slack < 0 || slack > 2*time.Hour {
			t.Errorf("%v: longest gap %v, in truth %v", set, got, time.Duration(real)*time.Minute)
		}
	}
}

// TestClosest proves the shortest distance between runs, of one schedule and of
// several, and which schedules it is between.
func TestClosest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want      time.Duration
		i, j      int
		schedules []string
	}{
		{math.MaxInt64, -1, -1, nil},
		{24 * time.Hour, 0, 0, []string{"0 3 * * * @ America/Sao_Paulo"}},
		{time.Minute, 0, 0, []string{"* * * * * @ UTC"}},
		{30 * time.Minute, 0, 0, []string{"*/30 3 * * * @ UTC"}},
		{30 * time.Minute, 0, 0, []string{"0,30 0 * * * @ UTC", "0 12 * * * @ UTC"}},
		{20 * time.Minute, 0, 0, []string{"10,50 0,23 * * * @ UTC"}},
		{7 * 24 * time.Hour, 0, 0, []string{"0 3 * * 1 @ UTC"}},
		{365 * 24 * time.Hour, 0, 0, []string{"0 3 1 1 * @ UTC"}},
		{0, 0, 1, []string{"0 3 * * * @ UTC", "0 3 * * 0 @ UTC"}},
		{10 * time.Minute, 0, 1, []string{"0 0 * * * @ UTC", "50 23 * * 0 @ UTC"}},
		{10 * time.Minute, 1, 2, []string{"0 12 * * * @ UTC", "5 0 1 * * @ UTC", "55 23 31 12 * @ UTC"}},
		{9 * time.Hour, 0, 1, []string{"0 3 * * * @ America/Sao_Paulo", "0 15 * * * @ UTC"}},
		// 03:00 in Berlin is 01:00 UTC in summer.
		{0, 0, 1, []string{"0 3 * * * @ Europe/Berlin", "0 1 * * * @ UTC"}},
		{time.Hour, 0, 1, []string{"0 3 * * * @ Europe/Berlin", "0 0 * * * @ UTC"}},
		// The two change at the same instant.
		{15 * time.Minute, 0, 1, []string{"0 3 * * * @ Europe/Berlin", "15 2 * * * @ Europe/London"}},
		{123 * 24 * time.Hour, 0, 1, []string{"0 3 29 2 * @ UTC", "0 3 1 7 * @ UTC"}},
	} {
		got, i, j := schedule.Closest(timed(t, c.schedules...))
		if got != c.want || i != c.i || j != c.j {
			t.Errorf("%v: %v between %d and %d, want %v between %d and %d", c.schedules, got, i, j, c.want, c.i, c.j)
		}
	}
}
