package install

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// Two applies of one backup at once would leave a mixture of two
// configurations: secrets, function and jobs are written by many requests. So
// an apply first takes a lease on the backup, a row in the project's own
// database, which works over both transports and ends by itself when its holder
// dies. Each statement that changes something asks for the lease in its own
// transaction, and so one that arrives late, from an apply that has lost the
// lease, changes nothing. The Management API knows nothing of leases: requests
// that change something there are sent only while the lease is known to be held,
// and are given up when it may not be any more.

const (
	// DefaultLeaseTime is how long a lease outlives its holder. It is longer
	// than a full window of the Management API's rate limit, through which a
	// lease that is held over the API cannot be lengthened.
	DefaultLeaseTime = 90 * time.Second

	// farewell bounds giving a lease back after the context has ended.
	farewell = 5 * time.Second

	// mostWrites is how often a statement is sent whose outcome is unknown.
	mostWrites = 3
	// writePause is the pause before the second attempt; each next is longer.
	writePause = 300 * time.Millisecond

	// shortestLook and longestLook are the pauses between two looks at a lease
	// that another apply has.
	shortestLook = 200 * time.Millisecond
	longestLook  = 5 * time.Second

	// stateLeaseLost is the SQLSTATE of auto_backup.hold for who lost a lease.
	stateLeaseLost = "AB004"
)

// ErrLeaseLost says that an apply was stopped half-way because another one has
// taken the backup over, or may have.
var ErrLeaseLost = errors.New("this apply may no longer change the backup")

// BusyError says that another apply changes the backup, and that waiting for
// its end took too long.
type BusyError struct {
	ID backup.ID
	// Who is the other apply, as its machine names it, and Since when it
	// began, in RFC 3339.
	Who, Since string
	// Ends is when its lease ends unless it is lengthened.
	Ends time.Duration
	// Err is what ended the wait.
	Err error
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("backup %s is being changed by %q since %s; waiting for the end of that ended: %v", e.ID, e.Who, e.Since, e.Err)
}

func (e *BusyError) Unwrap() error { return e.Err }

// lease is the right to change one backup.
type lease struct {
	service *Service
	name    backup.Name
	// holder tells this apply from every other one.
	holder string
	term   time.Duration

	// sending is held while a statement is under way that has the lease
	// checked, and so lengthened.
	sending sync.Mutex

	mu sync.Mutex
	// until is when the lease may have ended, if nobody lengthens it.
	until time.Time
}

// exclusively does work that changes a backup, when no other apply does. found
// is the backup as it was before; work gets it as it is then. The context of
// the work ends when the lease is lost.
func (s *Service) exclusively(ctx context.Context, found backup.State, work func(ctx context.Context, l *lease, found backup.State) error) error {
	// The name becomes part of scripts, and a state may hold any.
	if err := found.ID.Name.Validate(); err != nil {
		return err
	}
	l, err := s.acquire(ctx, found)
	if err != nil {
		return err
	}
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		l.keep(working, stop)
	}()

	known := found.Known
	if found.Function != nil {
		known.Revision, known.Files = found.Function.Revision, found.Function.Files
	}
	found, err = s.Observe(working, found.ID.Name, known)
	if err == nil {
		err = work(working, l, found)
	}
	if cause := context.Cause(working); err != nil && errors.Is(cause, ErrLeaseLost) {
		err = errors.Join(cause, err)
	}
	stop(nil)
	<-kept
	// A request whose outcome is unknown may still be on its way: whoever comes
	// next has to let it arrive, as after a crash.
	if !errors.Is(err, supabase.ErrOutcomeUnknown) {
		l.release(ctx)
	}
	return err
}

// acquire waits until no other apply changes the backup.
func (s *Service) acquire(ctx context.Context, found backup.State) (*lease, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("name this apply: %w", err)
	}
	l := &lease{service: s, name: found.ID.Name, holder: hex.EncodeToString(id[:]), term: s.LeaseTime}
	if l.term == 0 {
		l.term = DefaultLeaseTime
	}
	dispatcher := payload.LoadDispatcher()
	// What was done to the table of the leases or to its grants is undone first.
	ready := found.Functions["acquire"] == dispatcher.Functions["acquire"] && found.Functions["hold"] == dispatcher.Functions["hold"] &&
		found.SchemaDeviations != nil && len(found.SchemaDeviations) == 0
	said := ""
	var holder *BusyError // who had the lease at the last look
	for look := shortestLook; ; look = min(2*look, longestLook) {
		if !ready {
			if err := l.repeat(ctx, func() error { return s.DB.Exec(ctx, dispatcher.Lease) }); err != nil {
				return nil, fmt.Errorf("prepare the lease on backup %s: %w", found.ID, err)
			}
			ready = true
		}
		other, err := l.ask(ctx)
		switch {
		case gone(err):
			// Another apply has removed the last backup, and the schema with it.
			ready = false
			if err := pause(ctx, look); err != nil {
				return nil, err
			}
			continue
		case err != nil && ctx.Err() != nil && holder != nil:
			holder.Err = err
			return nil, holder
		case err != nil:
			return nil, fmt.Errorf("take the lease on backup %s: %w", found.ID, err)
		case other == nil:
			return l, nil
		}
		if who := other.Who + other.Since; who != said {
			said = who
			s.log().LogAttrs(ctx, slog.LevelInfo, "waiting for another apply of the backup",
				slog.String("backup", found.ID.String()), slog.String("held_by", fmt.Sprintf("%q", other.Who)),
				slog.String("since", other.Since), slog.Duration("at_most", other.Ends))
		}
		holder, other.ID = other, found.ID
		if other.Err = pause(ctx, min(look, max(other.Ends, shortestLook))); other.Err != nil {
			return nil, other
		}
	}
}

// ask asks for the lease once. It answers with who has it instead.
func (l *lease) ask(ctx context.Context) (*BusyError, error) {
	asked := time.Now()
	var answer json.RawMessage
	err := l.repeat(ctx, func() (err error) {
		answer, err = l.service.DB.Query(ctx, postgres.ReadWrite, queries.Acquire,
			string(l.name), l.holder, l.service.who(), fmt.Sprint(l.term.Seconds()))
		return err
	})
	if err != nil {
		return nil, err
	}
	var now struct {
		Held       bool
		Who, Since string
		Seconds    float64
	}
	// An empty answer says that the lease was given back at this moment.
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &now); err != nil {
			return nil, fmt.Errorf("the database's answer has an unexpected form: %w", err)
		}
	}
	if now.Held {
		l.lengthened(asked)
		return nil, nil
	}
	return &BusyError{Who: now.Who, Since: now.Since, Ends: time.Duration(now.Seconds * float64(time.Second))}, nil
}

// gone says that an error of SQL came from a schema, table or function that is
// not there.
func gone(err error) bool {
	switch postgres.SQLState(err) {
	case "3F000", "42P01", "42883":
		return true
	}
	return false
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// lengthened notes that the database has lengthened the lease on a request that
// was sent at asked. The monotonic clock stands still while a machine sleeps,
// so the wall clock counts.
func (l *lease) lengthened(asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := asked.Round(0).Add(l.term); until.After(l.until) {
		l.until = until
	}
}

func (l *lease) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until.Sub(time.Now().Round(0))
}

// keep lengthens the lease again and again while the work lasts, and ends the
// work when that fails until the lease is over.
func (l *lease) keep(ctx context.Context, stop context.CancelCauseFunc) {
	next := l.term / 4
	for pause(ctx, next) == nil {
		if !l.sending.TryLock() {
			next = l.term / 16
			continue
		}
		err := l.hold(ctx)
		l.sending.Unlock()
		switch {
		case err == nil:
			next = l.term / 4
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLeaseLost):
			stop(err)
			return
		case l.left() <= 0:
			stop(fmt.Errorf("%w: its lease could not be lengthened in time: %w", ErrLeaseLost, err))
			return
		default:
			next = l.term / 16
		}
	}
}

func (l *lease) hold(ctx context.Context) error {
	_, err := l.send(ctx, queries.Hold, string(l.name), l.holder)
	return err
}

// write runs a statement that changes something and has the lease checked in
// its own transaction. When its outcome is unknown, it is sent again: each of
// the statements leaves the same behind however often it is run.
func (l *lease) write(ctx context.Context, sql string, args ...any) (answer json.RawMessage, err error) {
	l.sending.Lock()
	defer l.sending.Unlock()
	err = l.repeat(ctx, func() (err error) {
		answer, err = l.send(ctx, sql, args...)
		return err
	})
	return answer, err
}

func (l *lease) send(ctx context.Context, sql string, args ...any) (json.RawMessage, error) {
	asked := time.Now()
	answer, err := l.service.DB.Query(ctx, postgres.ReadWrite, sql, args...)
	if err == nil {
		l.lengthened(asked)
	}
	return answer, leaseError(err)
}

// script is write for several statements. The table of leases is locked first:
// a script that drops it would meet others half-way who want their row of it.
func (l *lease) script(ctx context.Context, text string) error {
	// Neither text can end its quotes: a name is letters, digits and hyphens.
	l.sending.Lock()
	defer l.sending.Unlock()
	guard := payload.LoadDispatcher().Lock + fmt.Sprintf("lock table auto_backup.leases in access exclusive mode;\ndo $do$ begin perform auto_backup.hold('%[1]s', '%[2]s'), set_config('auto_backup.holder', '%[2]s', true); end $do$;\n", l.name, l.holder)
	return l.repeat(ctx, func() error {
		asked := time.Now()
		err := l.service.DB.Exec(ctx, guard+text)
		if err == nil {
			l.lengthened(asked)
		}
		return leaseError(err)
	})
}

// repeat sends statements again whose outcome is unknown, or which the database
// undid because they and others waited for each other.
func (l *lease) repeat(ctx context.Context, send func() error) error {
	for attempt := 1; ; attempt++ {
		err := send()
		again := errors.Is(err, postgres.ErrOutcomeUnknown) || postgres.SQLState(err) == "40P01" || postgres.SQLState(err) == "40001"
		if !again || ctx.Err() != nil || attempt == mostWrites {
			return err
		}
		l.service.log().LogAttrs(ctx, slog.LevelInfo, "repeating a change in the database",
			slog.String("project", l.service.Ref), slog.String("because", err.Error()))
		if pause(ctx, time.Duration(attempt)*writePause) != nil {
			return err
		}
	}
}

func leaseError(err error) error {
	if postgres.SQLState(err) == stateLeaseLost {
		return fmt.Errorf("%w: %w", ErrLeaseLost, err)
	}
	return err
}

// request sends a request to the Management API that changes something.
func (l *lease) request(ctx context.Context, send func() error) error {
	// Only a machine that slept gets here with a lease that may have ended.
	if l.left() <= 0 {
		if err := l.hold(ctx); err != nil {
			return err
		}
	}
	return send()
}

// release gives the lease back, as far as the database can be reached.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	err := l.repeat(ctx, func() error {
		_, err := l.service.DB.Query(ctx, postgres.ReadWrite, queries.Release, string(l.name), l.holder)
		return err
	})
	if err != nil && !gone(err) {
		l.service.log().LogAttrs(ctx, slog.LevelInfo, "the lease on the backup was not given back and ends by itself",
			slog.String("backup", string(l.name)), slog.Duration("in", l.left()), slog.String("because", err.Error()))
	}
}

func (s *Service) who() string {
	if s.Who == "" {
		return "an unnamed apply"
	}
	return s.Who
}

func (s *Service) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}
