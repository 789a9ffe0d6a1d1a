package payload

import "time"

// Times of the dispatcher and the watchdog that Go has to know as well. The SQL
// has them as literals; TestTiming compares.
const (
	// WatchdogInterval is the time between two ticks of the watchdog.
	WatchdogInterval = 10 * time.Minute
	// ProbeTimeout is how long the database waits for the answer to a probe.
	ProbeTimeout = 30 * time.Second
	// OffsiteProbeTimeout is how long it waits for the answer to a probe of a destination.
	OffsiteProbeTimeout = 60 * time.Second
	// TickPatience is how late a job may tick before the watchdog makes up for
	// the due time.
	TickPatience = 5 * time.Minute
	// AnswerPatience is how long pg_net may keep a run's request in its queue,
	// RunPatience how long a run that the function has accepted may take.
	AnswerPatience = 12 * time.Minute
	RunPatience    = 12 * time.Minute
	// RetryTolerance is how much earlier than its delay a retry may begin.
	RetryTolerance = 30 * time.Second
)
