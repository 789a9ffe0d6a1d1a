package health

import (
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
)

// Night is what came of a day of the backup's time zone. A run belongs to the day on
// which it was due, whenever it was made.
type Night struct {
	// Day is the date, as "2026-11-27".
	Day     string
	Outcome Outcome
	// Duration is how long the longest run of the day took that succeeded, from the
	// request to the end; zero: there is none, or it is not known.
	Duration time.Duration
	// Records is how many rows that run saved; nil: there is none, or it is not known.
	Records *int64
}

// Outcome says in one word what came of a day. Of several due times on one day, the
// worst counts: OutcomeFailed before OutcomeMissed, then OutcomePending,
// OutcomeMadeAgain, OutcomeMadeLate and OutcomeMade.
type Outcome string

// The outcomes of a day.
const (
	// OutcomeMade: at its time and at the first attempt.
	OutcomeMade Outcome = "made"
	// OutcomeMadeLate: the watchdog started it because its job had not, or it ended
	// later than a job and the watchdog may take to start it. One such run stands for all
	// due times of its day that were missed before it, as for the watchdog.
	OutcomeMadeLate Outcome = "made_late"
	// OutcomeMadeAgain: at a later attempt, after one that had failed.
	OutcomeMadeAgain Outcome = "made_again"
	// OutcomeFailed: each attempt failed so far.
	OutcomeFailed Outcome = "failed"
	// OutcomeMissed: it was due, and there was no attempt.
	OutcomeMissed Outcome = "missed"
	// OutcomeNone: nothing was due, as on most days of a weekly schedule, before the
	// installation, or before a schedule had its present times. If a backup was made all
	// the same, as manually, the day is OutcomeMade.
	OutcomeNone Outcome = "none"
	// OutcomePending: an attempt is under way, or one is due later today.
	OutcomePending Outcome = "pending"
	// OutcomeUnknown: the run history cannot be read, or more was due since than is
	// read of it.
	OutcomeUnknown Outcome = "unknown"
)

// outcomes are the outcomes, the worst first.
var outcomes = []Outcome{OutcomeUnknown, OutcomeFailed, OutcomeMissed, OutcomePending, OutcomeMadeAgain, OutcomeMadeLate, OutcomeMade, OutcomeNone}

// worse is the worse one of two outcomes.
func (o Outcome) worse(than Outcome) Outcome {
	if slices.Index(outcomes, o) < slices.Index(outcomes, than) {
		return o
	}
	return than
}

const (
	// calendarDays is how many days a status has.
	calendarDays = 30
	// dayFormat is that of Night.Day.
	dayFormat = time.DateOnly
)

// nights judges the last days. Days are counted by the date that the clock of the
// backup's zone shows, so one with a change of the clock is a day like the others.
func (a *assessment) nights(plans []plan) []Night {
	s := &a.subject
	location := a.location()
	c := calendar{now: s.Now, location: location, nights: make([]Night, calendarDays), at: map[string]*Night{}, runs: map[string]map[int64]history.Run{}}
	// Noon is there on every day.
	year, month, day := s.Now.In(location).Date()
	for i := range c.nights {
		c.nights[i] = Night{Day: time.Date(year, month, day-calendarDays+1+i, 12, 0, 0, 0, location).Format(dayFormat), Outcome: OutcomeNone}
		c.at[c.nights[i].Day] = &c.nights[i]
	}
	if !s.Readable("auto_backup.runs") {
		for i := range c.nights {
			c.nights[i].Outcome = OutcomeUnknown
		}
		return c.nights
	}
	for _, run := range s.Nights {
		c.made(run)
	}
	for _, p := range plans {
		c.due(p, len(s.UnderWay) > 0)
	}
	c.manual(s.Nights)
	c.forget(s.Nights)
	return c.nights
}

// calendar are the days in the making.
type calendar struct {
	now      time.Time
	location *time.Location
	nights   []Night
	// at are the same by their dates.
	at map[string]*Night
	// runs decide the due times of each schedule, by the second since 1970.
	runs map[string]map[int64]history.Run
	// late are the runs that the watchdog has started because their jobs had not.
	late []history.Run
}

// on is the day of a time; nil: it is none of the last ones.
func (c *calendar) on(at time.Time) *Night { return c.at[at.In(c.location).Format(dayFormat)] }

// outcome says what came of the due time that a run decides.
func outcome(run history.Run) Outcome {
	switch {
	case run.State == history.Failed:
		return OutcomeFailed
	case run.State != history.Succeeded:
		return OutcomePending
	case run.Attempt > 1:
		return OutcomeMadeAgain
	case run.Trigger == history.TriggerCatchUp || run.FinishedAt.Sub(run.DueAt) > duePatience:
		return OutcomeMadeLate
	}
	return OutcomeMade
}

// made counts a run that decides a due time, whether or not the schedule still has it.
func (c *calendar) made(run history.Run) {
	night := c.on(run.DueAt)
	if run.Trigger == history.TriggerManual || night == nil {
		return
	}
	if c.runs[run.Schedule] == nil {
		c.runs[run.Schedule] = map[int64]history.Run{}
	}
	c.runs[run.Schedule][run.DueAt.Unix()] = run
	if run.Trigger == history.TriggerCatchUp || run.Attempt > 1 {
		c.late = append(c.late, run)
	}
	night.count(outcome(run), run)
}

// count makes a run one of the day's.
func (n *Night) count(o Outcome, run history.Run) {
	n.Outcome = n.Outcome.worse(o)
	length, known := run.Duration()
	if run.State == history.Succeeded && known && length >= n.Duration {
		n.Duration, n.Records = length, run.Records
	}
}

// due judges the due times of a schedule that no run decides.
func (c *calendar) due(p plan, underWay bool) {
	if p.err != nil {
		return
	}
	from := c.now.AddDate(0, 0, -calendarDays-1)
	if p.since.After(from) {
		from = p.since
	}
	today := c.on(c.now)
	for due := range c.dueTimes(p, from) {
		night := c.on(due)
		if _, decided := c.runs[p.key][due.Unix()]; night == nil || decided {
			continue
		}
		switch {
		case due.After(c.now.Add(-duePatience)), underWay && night == today:
			night.Outcome = night.Outcome.worse(OutcomePending)
		case !slices.ContainsFunc(c.late, func(r history.Run) bool { return r.RequestedAt.After(due) && c.on(r.DueAt) == night }):
			night.Outcome = night.Outcome.worse(OutcomeMissed)
		}
	}
}

// dueTimes yields the due times of a schedule after a time until the end of today.
func (c *calendar) dueTimes(p plan, after time.Time) func(yield func(time.Time) bool) {
	const some = 64
	today := c.now.In(c.location).Format(dayFormat)
	return func(yield func(time.Time) bool) {
		for {
			times := p.Expr.Next(p.Location, after, some)
			for _, due := range times {
				if due.In(c.location).Format(dayFormat) > today || !yield(due) {
					return
				}
			}
			if len(times) < some {
				return
			}
			after = times[some-1]
		}
	}
}

// manual counts the runs that somebody started on days on which nothing else was due.
func (c *calendar) manual(runs []history.Run) {
	quiet := map[*Night]bool{}
	for i := range c.nights {
		quiet[&c.nights[i]] = c.nights[i].Outcome == OutcomeNone
	}
	for _, run := range runs {
		night := c.on(run.DueAt)
		if run.Trigger != history.TriggerManual || !quiet[night] || run.State == history.Failed {
			continue
		}
		o := OutcomeMade
		if run.State != history.Succeeded {
			o = OutcomePending
		}
		night.count(o, run)
	}
}

// forget makes unknown what is before the oldest due time that was read, if not all
// were.
func (c *calendar) forget(read []history.Run) {
	if len(read) < facts.NightsLimit {
		return
	}
	oldest := read[len(read)-1].DueAt.In(c.location).Format(dayFormat)
	for i := range c.nights {
		if c.nights[i].Day <= oldest {
			c.nights[i] = Night{Day: c.nights[i].Day, Outcome: OutcomeUnknown}
		}
	}
}
