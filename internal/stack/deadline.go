package stack

import (
	"context"
	"sync"
	"time"
)

// Deadline is a context whose time is over when a test says so, whatever the
// clock says: a test of what happens at a deadline can wait until there is
// something for the deadline to end.
type Deadline struct {
	context.Context

	at   time.Time
	once sync.Once
	over chan struct{}
}

// NewDeadline makes a context with a deadline that the clock reaches after left,
// which nothing but Expire ends. It has the parent's values, not its end.
func NewDeadline(parent context.Context, left time.Duration) *Deadline {
	return &Deadline{Context: context.WithoutCancel(parent), at: time.Now().Add(left), over: make(chan struct{})}
}

// Expire ends the context as its deadline would. It may be called again.
func (d *Deadline) Expire() { d.once.Do(func() { close(d.over) }) }

// Deadline implements context.Context.
func (d *Deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done implements context.Context.
func (d *Deadline) Done() <-chan struct{} { return d.over }

// Err implements context.Context.
func (d *Deadline) Err() error {
	select {
	case <-d.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
