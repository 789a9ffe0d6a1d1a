package schedule

import (
	"iter"
	"time"
)

// Due lets the tests of the whole calendar read due times without making a
// time.Time of each.
func (e Expr) Due(loc *time.Location, after int64) iter.Seq[int64] { return e.due(loc, after) }

// Probe is the distance in minutes at which changes of a clock are looked for.
const Probe = probe
