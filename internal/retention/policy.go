// Package retention says which backups a policy keeps. The dispatcher's SQL has the same
// rule in auto_backup.retained, by which backups are removed; this one shows a plan's
// reader what that will do.
package retention

import (
	"slices"
	"time"
)

// JobKey is the key of the retention among the jobs of a backup, and JobSchedule its
// pg_cron schedule. No schedule may use the key. Each tick removes at most one backup.
const (
	JobKey      = "retention"
	JobSchedule = "20 * * * *"
)

// DefaultKeepLast is how many of the newest backups are kept where nothing else is said.
const DefaultKeepLast = 7

// Policy says how many backups are kept. The newest one always is.
type Policy struct {
	// KeepLast is how many of the newest are kept; Daily, Weekly, Monthly and Yearly
	// of how many days, weeks, months and years that have a backup the newest is.
	KeepLast int64 `json:"keep_last"`
	Daily    int64 `json:"daily"`
	Weekly   int64 `json:"weekly"`
	Monthly  int64 `json:"monthly"`
	Yearly   int64 `json:"yearly"`
}

// Keep returns those of the times that the policy keeps, ascending and each once. Days,
// weeks from Monday on, months and years are those of the location. restored is the time
// of the newest backup that a drill has restored, which is kept too; zero: there is none.
func (p Policy) Keep(times []time.Time, location *time.Location, restored time.Time) []time.Time {
	newest := slices.Clone(times)
	slices.SortFunc(newest, func(a, b time.Time) int { return b.Compare(a) })
	newest = slices.CompactFunc(newest, time.Time.Equal)
	kept := map[int]bool{}
	for i := range min(int64(len(newest)), max(p.KeepLast, 1)) {
		kept[int(i)] = true
	}
	for _, period := range []struct {
		count int64
		of    func(day time.Time) time.Time
	}{
		{p.Daily, func(day time.Time) time.Time { return day }},
		{p.Weekly, func(day time.Time) time.Time { return day.AddDate(0, 0, -(int(day.Weekday())+6)%7) }},
		{p.Monthly, func(day time.Time) time.Time { return day.AddDate(0, 0, 1-day.Day()) }},
		{p.Yearly, func(day time.Time) time.Time { return day.AddDate(0, 0, 1-day.YearDay()) }},
	} {
		var seen int64
		var last time.Time
		for i, at := range newest {
			year, month, date := at.In(location).Date()
			of := period.of(time.Date(year, month, date, 0, 0, 0, 0, time.UTC))
			if seen > 0 && of.Equal(last) {
				continue
			}
			if seen++; seen > period.count {
				break
			}
			last, kept[i] = of, true
		}
	}
	var result []time.Time
	for i := len(newest) - 1; i >= 0; i-- {
		if kept[i] || newest[i].Equal(restored) {
			result = append(result, newest[i])
		}
	}
	return result
}
