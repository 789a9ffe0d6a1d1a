package install

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// drillPatience is how long pg_cron may take to start a drill: before version 1.5
	// it does so at a full minute.
	drillPatience = 150 * time.Second
	// lostPatience is how long a request whose answer was lost may take to arrive.
	lostPatience = 5 * time.Second
	// slowestPoll is the longest pause between two questions about a drill, which can
	// take an hour.
	slowestPoll = 5 * time.Second
)

// Drilling is a restore drill that was requested.
type Drilling struct {
	// RequestedAt is when it was requested, by the database's clock; zero: the answer to
	// the request was lost.
	RequestedAt time.Time `json:"requested_at"`
	// Asked says that the request was made, or may have been.
	Asked bool `json:"-"`
	// Joined says that somebody else had requested it before.
	Joined bool `json:"joined"`
	// Repeated says that the answer to the first request was lost and that the project
	// had no request.
	Repeated bool `json:"-"`
	// Begun says that pg_cron has started the drill, Waiting that another drill is in
	// progress, after which this one takes place.
	Begun   bool `json:"-"`
	Waiting bool `json:"-"`
	// After is the newest drill before the request.
	After int64 `json:"-"`
	// Limit is how long it is waited for.
	Limit time.Duration `json:"-"`
	// Result is nil until the drill has ended.
	Result *facts.Drill `json:"-"`

	// job is pg_cron's.
	job int64
}

// drillState is what drill_state.sql knows of a drill.
type drillState struct {
	Newest  int64        `json:"newest"`
	Drill   *facts.Drill `json:"drill"`
	Timeout int64        `json:"timeout_seconds"`
	Job     *int64       `json:"job"`
	// Logged says that pg_cron keeps a history, of which Tick is the latest row.
	Logged bool `json:"logged"`
	Tick   *struct {
		Status  string    `json:"status"`
		Message string    `json:"message"`
		At      time.Time `json:"at"`
	} `json:"tick"`
}

// DrillNow requests a restore drill and waits for its result, or until ctx ends, or for
// limit; if that is zero, as long as the drill may take. A job of pg_cron runs the
// drill, so neither the limits of a request nor a lost connection end it. If a request
// is open already, it waits for that drill. A lost answer does not lead to a second
// drill, unless the project has no request. The drill is returned as far as it is known;
// whatever its result says, there is no error then. progress may be nil.
func (s *Service) DrillNow(ctx context.Context, id backup.ID, limit time.Duration, progress func(Drilling)) (Drilling, error) {
	var d Drilling
	if progress == nil {
		progress = func(Drilling) {}
	}
	before, err := s.drillState(ctx, id, nil)
	if err != nil {
		return d, fmt.Errorf("read the drills of backup %s: %w", id, err)
	}
	d.After, d.Limit = before.Newest, limit
	if limit == 0 {
		d.Limit = cmp.Or(time.Duration(before.Timeout)*time.Second, drill.DefaultTimeout) + drillPatience + 30*time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, d.Limit)
	defer cancel()
	lost, err := s.requestDrill(ctx, id, &d)
	if err != nil {
		return d, err
	}
	d.Asked = true
	progress(d)
	return d, s.followDrill(ctx, id, &d, lost, progress)
}

// requestDrill requests a drill. lost says that it may have been requested all the same.
func (s *Service) requestDrill(ctx context.Context, id backup.ID, d *Drilling) (lost bool, err error) {
	answer, err := s.DB.Query(ctx, postgres.ReadWrite, queries.Drill, string(id.Name))
	switch {
	case err != nil && outcomeUnknown(err) && ctx.Err() == nil:
		return true, nil
	case err != nil:
		return false, fmt.Errorf("the database could not start the restore drill: %w", err)
	}
	var request struct {
		*Drilling

		Job int64 `json:"job"`
	}
	request.Drilling = d
	if err := json.Unmarshal(answer, &request); err != nil || d.RequestedAt.IsZero() {
		return false, fmt.Errorf("the database's answer has an unexpected form: %w", errors.Join(err, errNoDrill))
	}
	d.job = request.Job
	return false, nil
}

var errNoDrill = errors.New("it names no drill")

// followDrill waits for the result of a drill.
func (s *Service) followDrill(ctx context.Context, id backup.ID, d *Drilling, lost bool, progress func(Drilling)) error {
	begun, failures := time.Now(), 0
	for pause := pollInterval; ; pause = min(pause*11/10, slowestPoll) {
		state, err := s.drillState(ctx, id, d)
		switch {
		case err == nil:
			failures = 0
		case outcomeUnknown(err) && ctx.Err() == nil && failures < 5:
			failures++ // it only reads
		default:
			return fmt.Errorf("wait for the restore drill: %w", err)
		}
		told := *d
		switch {
		case err != nil:
		case state.Drill != nil:
			d.Result, d.Begun, d.Waiting = state.Drill, true, false
			progress(*d)
			return nil
		case lost && state.Job != nil:
			lost, d.job = false, *state.Job
		case lost:
			if time.Since(begun) > lostPatience {
				if lost, err = s.requestDrill(ctx, id, d); err != nil {
					return err
				}
				begun, d.Repeated = time.Now(), true
			}
		default:
			if err := d.judge(id, state, time.Since(begun)); err != nil {
				return err
			}
		}
		if told != *d {
			progress(*d)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for the restore drill: %w", ctx.Err())
		case <-timer.C:
		}
	}
}

// judge says why a drill that was requested so long ago will have no result.
func (d *Drilling) judge(id backup.ID, state drillState, since time.Duration) error {
	last, job := state.Tick, id.Name.Job(drill.OnceKey)
	started := last != nil && !last.At.IsZero()
	d.Begun = d.Begun || started
	d.Waiting = state.Job != nil && started && last.Status == "succeeded"
	switch {
	case state.Job == nil && last != nil && last.Status == "failed":
		return fmt.Errorf("the job %s of pg_cron ended with an error: %s", job, text.FirstLine(last.Message))
	case state.Job == nil:
		return fmt.Errorf("the job %s of pg_cron was removed before the restore drill had a result", job)
	case !d.Begun && state.Logged && since > drillPatience:
		said := "its scheduler does not run, or all its connections are in use"
		if last != nil && last.Message != "" {
			said = text.FirstLine(last.Message)
		}
		return fmt.Errorf("pg_cron has not started the job %s for %s: %s", job, text.Duration(since), said)
	}
	return nil
}

// drillState asks how far a drill is; d is nil before it was requested.
func (s *Service) drillState(ctx context.Context, id backup.ID, d *Drilling) (state drillState, err error) {
	var after, job, at any
	if d != nil {
		after = d.After
		if d.job != 0 {
			job = d.job
		}
		if !d.RequestedAt.IsZero() {
			at = d.RequestedAt.UTC().Format(time.RFC3339Nano)
		}
	}
	answer, err := s.DB.Query(ctx, postgres.ReadWrite, queries.DrillState, string(id.Name), after, job, at)
	switch {
	case err != nil:
		return state, err
	case answer == nil:
		return state, fmt.Errorf("no backup %s is installed", id)
	}
	if err := json.Unmarshal(answer, &state); err != nil {
		return state, fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	return state, nil
}
