package install

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/guard"
)

// Two applies of one backup at once would leave a mixture of two
// configurations: secrets, function and jobs are written by many requests. So
// an apply first acquires a lease on the backup: a row in the project's own
// database, which works over both transports and expires when its holder dies.
// Each statement that changes something renews the lease in its own transaction,
// so a statement that arrives late, from an apply that has lost the lease,
// changes nothing. The Management API knows nothing of leases: requests that
// change something there are sent only while the lease is known to be held, which
// is checked before each attempt, and are cancelled when it may have expired.

const (
	// DefaultLeaseTime is how long a lease outlives its holder. It is longer
	// than a full window of the Management API's rate limit, during which a
	// lease that is held over the API cannot be renewed.
	DefaultLeaseTime = 90 * time.Second

	// releaseTimeout bounds the release of a lease after the context has ended.
	releaseTimeout = 5 * time.Second

	// maxSends is how often a statement is sent while its outcome is unknown.
	maxSends = 3
	// maxRollbacks is how often a statement is sent that the database rolls back.
	maxRollbacks = 10
	// resendPause is the pause before the second time; each next is longer.
	resendPause = 300 * time.Millisecond

	// logEvery is the least time between two lines of the log about one wait.
	logEvery = 10 * time.Second

	// minPoll and maxPoll bound the pauses between two attempts to acquire a
	// lease that another apply holds.
	minPoll = 200 * time.Millisecond
	maxPoll = 5 * time.Second

	// stateLeaseLost is the SQLSTATE with which auto_backup.renew refuses a
	// former holder.
	stateLeaseLost = "AB004"
)

// ErrLeaseLost says that an apply was stopped half-way because another one has
// acquired the lease on the backup, or may have.
var ErrLeaseLost = errors.New("this apply may no longer change the backup")

// BusyError says that another apply is changing the backup, and that the wait
// for the end of it took too long.
type BusyError struct {
	ID backup.ID
	// Holder is the process of the other apply, as its machine names it, and
	// Since when it acquired the lease. Its lease expires at Until unless it renews it.
	// Both are in RFC 3339, by the database's clock.
	Holder, Since, Until string
	// Expires is the time until its lease expires unless it renews it.
	Expires time.Duration
	// Err is what ended the wait.
	Err error
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("backup %s is being changed by %q, which began at %s and holds the lease until %s unless it renews it; the wait for its end was given up: %v",
		e.ID, e.Holder, e.Since, e.Until, e.Err)
}

func (e *BusyError) Unwrap() error { return e.Err }

// HeldError says that an apply failed and could not release its lease, or kept it
// because a request of it may still arrive.
type HeldError struct {
	ID backup.ID
	// Expires is the time until the lease expires, for which the next apply waits.
	Expires time.Duration
	// Err is why the apply failed.
	Err error
}

func (e *HeldError) Error() string { return e.Err.Error() }

func (e *HeldError) Unwrap() error { return e.Err }

// lease is the right to change one backup.
type lease struct {
	service *Service
	name    backup.Name
	// holder is a random ID of this apply.
	holder string
	term   time.Duration
	// scripts says how often this process had run each script before the backup was
	// observed under the lease.
	scripts map[string]int
	// doubting says that the backup was found with a dispatcher that is not as its version
	// installs it, trusting that it was not compared again under the lease.
	doubting, trusting bool
	// token is the one that was written with the ownership marker; empty if none was.
	token string

	// sending is held while a statement is sent that renews the lease.
	sending sync.Mutex
	// ended says that the last change has released the lease. After a removal its table
	// may be gone, so that another statement about it would be an error in the
	// database's log.
	ended bool

	mu sync.Mutex
	// expires is when the lease may expire unless it is renewed.
	expires time.Time
}

// Lease reads the lease on a backup that some apply holds, in one statement. It is nil
// if none does, or if the lease cannot be read without waiting. Nothing is written.
func (s *Service) Lease(ctx context.Context, name backup.Name) (*backup.Lease, error) {
	found, err := facts.Ask(ctx, s.DB, facts.Request{Parts: []facts.Part{"lease"}, Backups: []backup.Name{name}})
	if err != nil {
		return nil, fmt.Errorf("read the lease on backup %s: %w", backup.ID{ProjectRef: s.Ref, Name: name}, err)
	}
	return found.Each[name].Lease, nil
}

// exclusively runs work while no other apply changes the backup. found is the
// backup as it was observed before; work gets it as it is under the lease. The
// context of work ends when the lease is lost.
func (s *Service) exclusively(ctx context.Context, found backup.State, work func(ctx context.Context, l *lease, found backup.State) error) error {
	// The name becomes part of scripts, and a state may hold any.
	if err := found.ID.Name.Validate(); err != nil {
		return err
	}
	l, observed, err := s.acquire(ctx, found)
	if err != nil {
		return err
	}
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		l.keepRenewing(working, stop)
	}()

	known := found.Known
	if found.Function != nil {
		known.Revision, known.Files, known.Changes = found.Function.Revision, found.Function.Files, found.Function.Changes
	}
	found, err = s.observeLeased(working, l, observed, known)
	if err == nil {
		err = work(working, l, found)
	}
	if cause := context.Cause(working); err != nil && errors.Is(cause, ErrLeaseLost) {
		err = errors.Join(cause, err)
	}
	stop(nil)
	<-renewed
	if l.ended {
		return err
	}
	// A request whose outcome is unknown may still arrive, and the lease gives it
	// the time to, as after a crash.
	if !outcomeUnknown(err) && l.release(ctx) {
		return err
	}
	if left := l.left(); err != nil && left > 0 && !errors.Is(err, ErrLeaseLost) {
		err = &HeldError{ID: found.ID, Expires: left, Err: err}
	}
	return err
}

// outcomeUnknown reports whether an error of either transport leaves open
// whether a change was made.
func outcomeUnknown(err error) bool {
	return errors.Is(err, postgres.ErrOutcomeUnknown) || errors.Is(err, supabase.ErrOutcomeUnknown)
}

// observeLeased reads a backup on which this apply holds the lease. observed is what the
// database said of it since; nil: it was not asked.
func (s *Service) observeLeased(ctx context.Context, l *lease, observed *backup.Observation, known backup.Known) (backup.State, error) {
	looked := time.Now()
	if observed == nil {
		l.scripts = s.shared.ran()
		found, err := s.Observe(ctx, l.name, known)
		if err == nil {
			s.shared.compared(found, looked)
		}
		return found, err
	}
	found, err := s.observe(ctx, &s.shared.recent, l.name, known, func(context.Context) (backup.Observation, error) { return *observed, nil })
	if err == nil && !l.trusting {
		s.shared.compared(found, looked)
	}
	return found, err
}

// acquire waits until no other apply changes the backup. If it did not have to wait, it
// also returns what the database says of the backup under the lease.
func (s *Service) acquire(ctx context.Context, found backup.State) (*lease, *backup.Observation, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, nil, fmt.Errorf("make the ID of a lease: %w", err)
	}
	l := &lease{service: s, name: found.ID.Name, holder: hex.EncodeToString(id[:]), term: s.LeaseTime}
	if l.term == 0 {
		l.term = DefaultLeaseTime
	}
	s.shared.change(l.name)
	l.doubting = len(found.DispatcherDrift()) > 0
	dispatcher := payload.LoadDispatcher()
	// Changes of the lease table and of its grants are repaired first.
	ready := found.Functions["acquire"] == dispatcher.Functions["acquire"] && found.Functions["renew"] == dispatcher.Functions["renew"] &&
		found.SchemaDrift != nil && len(found.SchemaDrift) == 0 || s.shared.isLeasable()
	logged, loggedAt := "", time.Time{}
	var holder *BusyError // from the latest attempt
	first := true
	for poll := minPoll; ; poll = min(2*poll, maxPoll) {
		if !ready {
			prepare := func() error { return l.repeat(ctx, func() error { return s.DB.Exec(ctx, dispatcher.Lease()) }) }
			if err := s.shared.prepareLease(ctx, prepare); err != nil {
				return nil, nil, fmt.Errorf("prepare the lease on backup %s: %w", found.ID, err)
			}
			ready = true
		}
		other, observed, err := (*BusyError)(nil), (*backup.Observation)(nil), error(nil)
		if first {
			other, observed, err = l.tryObserving(ctx)
		}
		if !first || postgres.SQLState(err) != "" && ctx.Err() == nil {
			// What was refused of two statements is told by each of them alone.
			other, err = l.tryAcquire(ctx, l.ask)
		}
		first = false
		switch {
		case schemaMissing(err):
			// Another apply has removed the last backup, and the schema with it.
			ready = false
			s.shared.setLeasable(false)
			s.shared.setWhole(time.Time{})
			if err := sleep(ctx, poll); err != nil {
				return nil, nil, err
			}
			continue
		case err != nil && ctx.Err() != nil && holder != nil:
			holder.Err = err
			return nil, nil, holder
		case err != nil:
			return nil, nil, fmt.Errorf("acquire the lease on backup %s: %w", found.ID, err)
		case other == nil:
			return l, observed, nil
		}
		if key, now := other.Holder+other.Since, s.now(); key != logged || now.Sub(loggedAt) >= logEvery {
			logged, loggedAt = key, now
			s.log().LogAttrs(ctx, slog.LevelInfo, "waiting for another apply of the backup",
				slog.String("backup", found.ID.String()), slog.String("holder", fmt.Sprintf("%q", other.Holder)),
				slog.String("since", other.Since), slog.String("until", other.Until), slog.Duration("expires_in", other.Expires.Round(time.Second)))
		}
		holder, other.ID = other, found.ID
		if other.Err = sleep(ctx, min(poll, max(other.Expires, minPoll))); other.Err != nil {
			return nil, nil, other
		}
	}
}

// arguments are those of queries.Acquire.
func (l *lease) arguments() []any {
	return []any{string(l.name), l.holder, l.service.process(), fmt.Sprint(l.term.Seconds())}
}

// ask asks for the lease with a statement of its own.
func (l *lease) ask(ctx context.Context) (json.RawMessage, error) {
	return l.service.DB.Query(ctx, postgres.ReadWrite, queries.Acquire, l.arguments()...)
}

// tryObserving is tryAcquire with a statement that also observes the backup, once it has
// the lease.
func (l *lease) tryObserving(ctx context.Context) (*BusyError, *backup.Observation, error) {
	var observed *backup.Observation
	other, err := l.tryAcquire(ctx, func(ctx context.Context) (json.RawMessage, error) {
		l.scripts = l.service.shared.ran()
		asked := &leasing{DB: l.service.DB, first: postgres.Statement{SQL: queries.AcquireFirst, Args: l.arguments()}}
		l.trusting = !l.doubting && l.service.shared.isWhole()
		found, err := l.service.shared.observeOne(ctx, asked, l.name, l.trusting)
		switch {
		case err == nil:
			observed = &found
		case len(asked.lease) == 0:
			return nil, err
		}
		// Another apply has the lease, or the answer has an unexpected form, or the
		// dispatcher is another one: then what is asked under the lease says so.
		return asked.lease, nil
	})
	return other, observed, err
}

// leasing asks a database for facts after it has asked for a lease.
type leasing struct {
	postgres.DB

	first postgres.Statement
	// lease is the answer to the first statement.
	lease json.RawMessage
}

// Query implements [facts.Querier]. Only a question about a backup has arguments.
func (q *leasing) Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	if len(args) == 0 {
		return q.DB.Query(ctx, access, sql)
	}
	answer, err := q.QueryAfter(ctx, q.first, strings.Replace(queries.Leased, "@observation@", sql, 1), args...)
	if err != nil {
		return nil, err
	}
	var both struct{ Lease, Observed json.RawMessage }
	if err := json.Unmarshal(answer, &both); err != nil {
		return nil, fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	q.lease = both.Lease
	if len(both.Observed) == 0 || string(both.Observed) == "null" {
		return nil, errors.New("another apply has the lease")
	}
	return both.Observed, nil
}

// tryAcquire asks for the lease once. It returns the present holder when that is
// another apply.
func (l *lease) tryAcquire(ctx context.Context, ask func(context.Context) (json.RawMessage, error)) (*BusyError, error) {
	sent := l.service.now()
	var answer json.RawMessage
	err := l.repeat(ctx, func() (err error) {
		answer, err = ask(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	var now struct {
		Acquired       bool
		Process, Since string
		Until          string
		Seconds        float64
	}
	// An empty answer says that the lease was released at this moment.
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &now); err != nil {
			return nil, fmt.Errorf("the database's answer has an unexpected form: %w", err)
		}
	}
	if now.Acquired {
		l.renewed(sent)
		return nil, nil
	}
	return &BusyError{Holder: now.Process, Since: now.Since, Until: now.Until, Expires: time.Duration(now.Seconds * float64(time.Second))}, nil
}

// schemaMissing reports whether an error of SQL came from a schema, table or
// function that does not exist.
func schemaMissing(err error) bool {
	switch postgres.SQLState(err) {
	case "3F000", "42P01", "42883":
		return true
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// renewed notes that the database has renewed the lease on a request that was
// sent at the given time. The monotonic clock stands still while a machine
// sleeps, so the wall clock counts.
func (l *lease) renewed(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if expires := sent.Round(0).Add(l.term); expires.After(l.expires) {
		l.expires = expires
	}
}

func (l *lease) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expires.Sub(l.service.now().Round(0))
}

// keepRenewing renews the lease until ctx ends, and calls stop when the lease is
// lost or could not be renewed before it expired.
func (l *lease) keepRenewing(ctx context.Context, stop context.CancelCauseFunc) {
	next := l.term / 4
	for sleep(ctx, next) == nil {
		if !l.sending.TryLock() {
			next = l.term / 16
			continue
		}
		if l.ended {
			l.sending.Unlock()
			return
		}
		err := l.renew(ctx)
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
			stop(fmt.Errorf("%w: its lease could not be renewed in time: %w", ErrLeaseLost, err))
			return
		default:
			next = l.term / 16
		}
	}
}

func (l *lease) renew(ctx context.Context) error {
	_, err := l.send(ctx, queries.Renew, string(l.name), l.holder)
	return err
}

// write runs a statement that changes something and renews the lease in its own
// transaction. While its outcome is unknown, it is sent again: each of the
// statements leaves the same result however often it runs.
func (l *lease) write(ctx context.Context, sql string, args ...any) (answer json.RawMessage, err error) {
	l.sending.Lock()
	defer l.sending.Unlock()
	err = l.repeat(ctx, func() (err error) {
		answer, err = l.send(ctx, sql, args...)
		return err
	})
	return answer, facts.ExplainLock(ctx, l.service, err)
}

// finish is write for the last change of an apply, which also releases the lease.
func (l *lease) finish(ctx context.Context, sql string, args ...any) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	err := l.repeat(ctx, func() error {
		answer, err := l.send(ctx, sql, args...)
		if err == nil && !bytes.HasPrefix(answer, []byte("{")) {
			return errors.New("the database's answer has an unexpected form")
		}
		return err
	})
	l.ended = err == nil
	return facts.ExplainLock(ctx, l.service, err)
}

func (l *lease) send(ctx context.Context, sql string, args ...any) (json.RawMessage, error) {
	sent := l.service.now()
	answer, err := l.service.DB.Query(ctx, postgres.ReadWrite, sql, args...)
	if err == nil {
		l.renewed(sent)
	}
	return answer, leaseError(err)
}

// script is write for several statements. It locks the table of leases first: a
// script that drops the table would otherwise deadlock with statements that wait
// for their row of it.
func (l *lease) script(ctx context.Context, text string) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	return l.guarded(ctx, "lock table auto_backup.leases in access exclusive mode;\ndo $do$ begin "+l.renewal()+" end $do$;\n", text)
}

// once is script for one that serves all backups of the project. It is not run if another
// apply of this process has run it since this one looked.
func (l *lease) once(ctx context.Context, name string, text string) error {
	return l.service.shared.runOnce(ctx, name, l.scripts, func() error { return l.script(ctx, text) })
}

// removal is script for the one that removes the dispatcher, and with it releases the
// lease. If it is repeated because a response was lost, the lease or its table may be
// gone, and the script finds nothing to do.
func (l *lease) removal(ctx context.Context, text string) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	defer l.service.shared.setWhole(time.Time{})
	err := l.guarded(ctx, fmt.Sprintf(`do $do$
begin
    if to_regclass('auto_backup.leases') is not null then
        lock table auto_backup.leases in access exclusive mode;
        if exists (select from auto_backup.leases l where l.backup = '%s') then
            %s
        end if;
    end if;
end
$do$;
`, l.name, l.renewal()), text)
	l.ended = err == nil
	return err
}

// renewal is the PL/pgSQL that renews the lease in a script. The name and the holder are
// safe inside quotes: a name has letters, digits and hyphens only, and a holder
// hexadecimal digits.
func (l *lease) renewal() string {
	return fmt.Sprintf("perform auto_backup.renew('%[1]s', '%[2]s'), set_config('auto_backup.holder', '%[2]s', true);", l.name, l.holder)
}

// guarded sends a script after the statements that make sure of the lease. The caller
// holds sending.
func (l *lease) guarded(ctx context.Context, before, text string) error {
	before = payload.LoadDispatcher().Lock + before
	err := l.repeat(ctx, func() error {
		sent := l.service.now()
		err := l.service.DB.Exec(ctx, before+text)
		if err == nil {
			l.renewed(sent)
		}
		return leaseError(err)
	})
	return facts.ExplainLock(ctx, l.service, err)
}

// repeat sends statements again while their outcome is unknown, or when the
// database rolled them back because of a deadlock or of concurrent changes.
func (l *lease) repeat(ctx context.Context, send func() error) error {
	for attempt := 1; ; attempt++ {
		err := send()
		state, most := postgres.SQLState(err), maxSends
		rolledBack := state == "40P01" || state == "40001"
		if rolledBack {
			// Many backups of a project that are installed at once, and those who read
			// them meanwhile, meet more than once.
			most = maxRollbacks
		}
		if !rolledBack && !outcomeUnknown(err) || ctx.Err() != nil || attempt >= most {
			return err
		}
		l.service.log().LogAttrs(ctx, slog.LevelInfo, "repeating a change in the database",
			slog.String("project", l.service.Ref), slog.String("because", err.Error()))
		if sleep(ctx, time.Duration(attempt)*resendPause) != nil {
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

// request sends a request to the Management API that changes something. Each of its
// attempts is sent only while the lease is held.
func (l *lease) request(ctx context.Context, send func(context.Context) error) error {
	held := func(ctx context.Context) error {
		// Only a machine that slept gets here with a lease that may have expired.
		if l.left() > 0 {
			return nil
		}
		return l.renew(ctx)
	}
	if err := held(ctx); err != nil {
		return err
	}
	return send(guard.With(ctx, held))
}

// release releases the lease if the database can be reached, and reports whether it
// is released.
func (l *lease) release(ctx context.Context) bool {
	if l.ended {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	err := l.repeat(ctx, func() error {
		_, err := l.service.DB.Query(ctx, postgres.ReadWrite, queries.Release, string(l.name), l.holder)
		return err
	})
	if err == nil || schemaMissing(err) {
		return true
	}
	l.service.log().LogAttrs(ctx, slog.LevelInfo, "the lease on the backup was not released and will expire",
		slog.String("backup", string(l.name)), slog.Duration("in", l.left()), slog.String("because", err.Error()))
	return false
}

func (s *Service) process() string {
	if s.Process == "" {
		return "an unnamed process"
	}
	return s.Process
}

func (s *Service) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

func (s *Service) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}
