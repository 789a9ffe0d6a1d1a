package health

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	week = 7 * 24 * time.Hour
	// recently is the time of which facts.Retention counts the backups, and as far as a
	// forecast looks.
	recently = 4 * week
	// fullSoon is how many days before the disk is full a status warns.
	fullSoon = 30
)

// Forecast says how the stored backups grow, and when the disk will be full of them.
type Forecast struct {
	// GrowthPerWeek is in bytes; nil if it is not known yet.
	GrowthPerWeek *int64
	// DaysUntilFull is nil if it is not known, or if they do not grow.
	DaysUntilFull *int64
	// Surplus is how many backups the retention does not keep; nil without one.
	Surplus *int64
	// Retention says what its newest tick did; empty without one.
	Retention string
	// Assumptions are those of the other fields, in sentences: what they are computed
	// from, or why they are not known.
	Assumptions string
}

// forecast computes how the stored backups grow on a disk of so many bytes; 0 if its size
// is not known. It returns nil without stored backups.
func (a *assessment) forecast(disk int64) *Forecast {
	s := &a.subject
	if s.StoredBackups == nil {
		return nil
	}
	f := &Forecast{}
	if policy := s.Spec.Settings.Retention; policy != nil && !s.Broken && s.Watchdog != nil && s.Watchdog.Retention != nil {
		f.Retention = lastTick(*s.Watchdog.Retention)
	}
	location, _, err := s.ZoneChanges.Location(s.Spec.Settings.Timezone, s.Now)
	if err != nil {
		location = time.UTC
	}
	perWeek := a.backupsPerWeek()
	kept := 0 // more after four weeks than now
	if s.Retention != nil && s.Spec.Settings.Retention != nil {
		policy, times := s.Spec.Settings.Retention, s.Retention.Times
		now := len(policy.Keep(times, location, s.Retention.Restored))
		surplus := int64(len(times) - now)
		f.Surplus = &surplus
		if perWeek > 0 {
			later := append([]time.Time{}, times...)
			for n := 1; n <= int(4*perWeek+0.5); n++ {
				later = append(later, s.Now.Add(time.Duration(float64(n)*float64(week)/perWeek)))
			}
			kept = len(policy.Keep(later, location, time.Time{})) - now
		}
	}
	g := s.StoredBackups
	if perWeek == 0 || g.Count == 0 {
		f.Assumptions = "The growth is not known until there are backups of two nights."
		return f
	}
	size := g.Bytes / g.Count
	growth := int64(perWeek * float64(size))
	said := []string{fmt.Sprintf("Every backup takes as much as the present ones, %s on average with its indexes, and %s are made per week.", text.Bytes(size), text.Number(perWeek))}
	if s.Spec.Settings.Retention != nil {
		growth = int64(float64(kept) / 4 * float64(size))
		said = append(said, fmt.Sprintf("The retention keeps %s more after four weeks than now.", text.Number(float64(kept))))
	}
	f.GrowthPerWeek = &growth
	switch free := disk - g.DatabaseBytes; {
	case disk == 0:
		said = append(said, "When the disk will be full is not known, because the database does not know its size: set `disk_gb`.")
	case g.DatabaseBytes == 0:
		said = append(said, "When the disk will be full is not known, because the size of the database could not be read.")
	case growth <= 0 && free > 0:
		said = append(said, "So the backups alone do not fill the disk.")
	default:
		days := int64(0)
		if free > 0 {
			days = int64(float64(free) / float64(growth) * 7)
		}
		f.DaysUntilFull = &days
		said = append(said, fmt.Sprintf("Nothing else grows, and of the disk of %s only the database takes space, %s; what the write-ahead log takes is not known.", text.Bytes(disk), text.Bytes(g.DatabaseBytes)))
		if days < fullSoon {
			a.report("disk_nearly_full", checks.Healthy, "The disk of %s %s: the stored backups grow by %s per week.", text.Bytes(disk), fullIn(days), text.Bytes(growth))
		}
	}
	f.Assumptions = strings.Join(said, " ")
	return f
}

// fullIn says when a disk will be full. The size of a database changes with everything
// that it does, so that the days would change as well.
func fullIn(days int64) string {
	switch {
	case days == 0:
		return "is full, or will be within a day"
	case days < 7:
		return "will be full within a week"
	case days < 14:
		return "will be full within two weeks"
	}
	return fmt.Sprintf("will be full within %d days", fullSoon)
}

// longEnough is how far apart the first and the last backup are at least, before they say
// how many are made. That of two nights is, also where one of them is short; that of an
// apply and what somebody makes by hand after it is not.
const longEnough = 22 * time.Hour

// backupsPerWeek is how many backups were made per week in the last four; 0 if that is
// not known.
func (a *assessment) backupsPerWeek() float64 {
	r := a.subject.Retention
	if r == nil || r.Recent < 2 {
		return 0
	}
	// One more than the times between them.
	if age := a.subject.Now.Sub(r.First); age < recently {
		if span := r.Last.Sub(r.First); span >= longEnough {
			return float64(r.Recent-1) / (float64(span) / float64(week))
		}
		return 0
	}
	return float64(r.Recent) / float64(recently/week)
}

// lastTick says what a tick of the retention did.
func lastTick(tick facts.RetentionTick) string {
	at := "At " + text.Time(tick.At) + " it removed "
	switch {
	case tick.Refused != "":
		return at + "nothing: " + text.Line(tick.Refused) + " could have other code run."
	case tick.BackupID == "":
		return at + "nothing: " + text.Line(tick.Skipped) + "."
	}
	var tables []string
	for _, table := range slices.Sorted(maps.Keys(tick.Removed)) {
		tables = append(tables, fmt.Sprintf("%s (%d rows)", text.Line(table), tick.Removed[table]))
	}
	return at + "backup " + tick.BackupID + " of " + text.Time(tick.MadeAt) + " from " + strings.Join(tables, ", ") + "."
}
