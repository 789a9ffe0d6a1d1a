package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// ErrNotProved says that an installation did not prove that it works, or that a
// run that was asked for failed.
var ErrNotProved = errors.New("the installed backup did not prove that it works")

// probePatience is how long a request may be without an answer: the dispatcher
// waits 30 s for the one to a probe, and pg_net may have other requests before it.
const probePatience = 45 * time.Second

// workerPatience is how long an answer may take before it is looked whether
// anybody sends the request.
const workerPatience = 3 * time.Second

// alertPatience is how long the alert about a failed run is waited for, so that
// the failure can say what became of it.
const alertPatience = 20 * time.Second

// pollInterval is the pause between two looks at something that the database
// will know.
const pollInterval = 500 * time.Millisecond

// response is what response.sql knows of a request.
type response struct {
	Answer *httpAnswer `json:"answer"`
	Queued bool        `json:"queued"`
	// Ahead is how many requests wait before this one.
	Ahead int64 `json:"ahead"`
	// Worker says whether pg_net's worker runs; nil when that cannot be seen.
	Worker *bool `json:"worker"`
}

// httpAnswer is an answer as pg_net keeps it.
type httpAnswer struct {
	// Status is nil when there was no answer, and Error says why.
	Status *int   `json:"status"`
	Error  string `json:"error"`
	// ErrorCode is the platform's own code, when it answered in the place of
	// the function.
	ErrorCode string `json:"error_code"`
	Content   string `json:"content"`
	// Ours says that the built-in function answered.
	Ours bool `json:"ours"`
}

// Probe has the database call the Edge Function through pg_net, as a job
// does, without running a backup. The function answers whether its token, its
// key and its tables are in order. An error says which link of the chain broke.
func (s *Service) Probe(ctx context.Context, id backup.ID) error {
	answer, err := s.DB.Query(ctx, postgres.ReadWrite, queries.Probe, string(id.Name))
	if err != nil {
		return fmt.Errorf("%w: the database could not make the request: %w", ErrNotProved, err)
	}
	var request int64
	if err := json.Unmarshal(answer, &request); err != nil {
		return fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	var last response
	waiting, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	asked := time.Now()
	err = s.poll(waiting, func() (bool, error) {
		if err := s.response(waiting, postgres.ReadOnly, request, &last); err != nil || last.Answer != nil {
			return last.Answer != nil, err
		}
		if last.Worker == nil && time.Since(asked) > workerPatience {
			// The role that reads may not see the worker; the one that writes may.
			asked = time.Now()
			if err := s.response(waiting, postgres.ReadWrite, request, &last); err != nil {
				return false, nil //nolint:nilerr // it is asked again, and would only say more
			}
		}
		// A worker that is down answers nothing, however long one waits.
		return last.Queued && last.Worker != nil && !*last.Worker, nil
	})
	switch {
	case err == nil && last.Answer != nil:
		if reason := last.Answer.failure(); reason != "" {
			return fmt.Errorf("%w: %s", ErrNotProved, reason)
		}
		return nil
	case err == nil, errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Errorf("%w: %s", ErrNotProved, last.unanswered(request))
	}
	return fmt.Errorf("wait for the answer to request %d (%s): %w", request, last.unanswered(request), err)
}

func (s *Service) response(ctx context.Context, access postgres.Access, request int64, last *response) error {
	answer, err := s.DB.Query(ctx, access, queries.Response, strconv.FormatInt(request, 10))
	if err != nil {
		return err
	}
	*last = response{}
	return json.Unmarshal(answer, last)
}

// unanswered says why a request has no answer.
func (r response) unanswered(request int64) string {
	switch {
	case r.Worker != nil && !*r.Worker:
		return fmt.Sprintf("pg_net's worker is not running, and request %d waits in its queue; start it with \"select net.worker_restart()\", or restart the project", request)
	case r.Queued && r.Ahead > 0:
		return fmt.Sprintf("pg_net has not sent request %d: %d others wait before it; see them with \"select url, count(*) from net.http_request_queue group by url\"", request, r.Ahead)
	case r.Queued:
		return fmt.Sprintf("pg_net has not finished request %d; check its worker with \"select net.check_worker_is_up()\"", request)
	}
	return fmt.Sprintf("request %d is neither in pg_net's queue nor among its answers: the database was restarted, or somebody emptied its tables", request)
}

// failure says why an answer to a probe is none that proves anything, and what
// to do; it is empty for a success.
func (a httpAnswer) failure() string {
	var body struct {
		Success bool            `json:"success"`
		Code    string          `json:"code"`
		Message string          `json:"message"`
		Error   string          `json:"error"`
		Checks  json.RawMessage `json:"checks"`
	}
	isObject := json.Unmarshal([]byte(a.Content), &body) == nil
	if a.Status == nil {
		return a.unreachable()
	}
	said := fmt.Sprintf("HTTP %d", *a.Status)
	if code := firstOf(a.ErrorCode, body.Code); code != "" {
		said += " " + code
	}
	if text := firstOf(body.Message, body.Error); text != "" {
		said += ": " + text
	}
	if *a.Status == 200 && isObject && body.Success {
		return ""
	}
	code := fmt.Sprintf("http_%d", *a.Status)
	switch {
	case a.Ours && body.Code == "probe_failed":
		return "the function runs, but " + failedChecks(body.Checks, body.Message)
	case a.Ours:
		code = body.Code
	case *a.Status == 200 && isObject:
		return "the function answered a probe without \"success\": true; an own `source_dir` has to answer {\"action\": \"probe\"} with it (" + said + ")"
	case *a.Status == 200:
		code, said = "unexpected_answer", said+", no JSON"
	}
	text := codes.Lookup(code, "")
	return fmt.Sprintf("%s (%s). %s", text.Clause(), said, strings.TrimSuffix(text.Remedy, "."))
}

// unreachable says why there was no HTTP answer, in pg_net's own words and in
// others.
func (a httpAnswer) unreachable() string {
	reason := "the request did not reach the function"
	switch text := strings.ToLower(a.Error); {
	case strings.Contains(text, "resolve"):
		reason = "the database cannot find the host of the function's address (DNS); check `project_url`"
	case strings.Contains(text, "timeout"):
		reason = "the function did not answer in time; see its logs in the dashboard"
	case strings.Contains(text, "connect to server"):
		reason = "nothing listens at the function's address; check `project_url`"
	case strings.Contains(text, "ssl"):
		reason = "the function's address does not speak TLS as the database does; check `project_url`"
	}
	return reason + " (" + firstOf(a.Error, "no reason given") + ")"
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// failedChecks lists what a probe has found wanting.
func failedChecks(raw json.RawMessage, otherwise string) string {
	var checks map[string]struct {
		OK       bool   `json:"ok"`
		Error    string `json:"error"`
		SQLState string `json:"sqlstate"`
	}
	if json.Unmarshal(raw, &checks) != nil {
		return otherwise
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		check := checks[name]
		if check.OK {
			continue
		}
		what := "cannot read the table public." + name
		if name == "key" || name == "token" {
			what = "lacks a usable " + name
		}
		if check.SQLState == "42501" {
			check.Error += "; grant it with \"grant select, insert, update on public." + name + " to service_role\""
		}
		words = append(words, what+" ("+check.Error+")")
	}
	return strings.Join(words, " and ")
}

// RunResult is one attempt to make a backup, as the dispatcher's ledger tells it.
type RunResult struct {
	ID string `json:"run_id"`
	// State is requested, running, succeeded or failed.
	State string `json:"state"`
	// Trigger is schedule, retry, catch_up or manual.
	Trigger     string `json:"trigger"`
	RequestedAt string `json:"requested_at"`
	// Joined says that the run was under way when another one was asked for.
	Joined   bool   `json:"joined"`
	BackupID string `json:"backup_id"`
	Records  *int64 `json:"records"`

	// Code names the reason of a failure, SQLState the database's own code for
	// it, and Error is what was said of it.
	Code      string `json:"code"`
	SQLState  string `json:"sqlstate"`
	Error     string `json:"error"`
	RequestID *int64 `json:"request_id"`
	// FunctionAlert is what the function says of its alert, AlertProblem why it
	// was not delivered.
	FunctionAlert string `json:"function_alert"`
	AlertProblem  string `json:"alert_problem"`
}

// Ended reports whether the run has succeeded or failed.
func (r RunResult) Ended() bool { return r.State == "succeeded" || r.State == "failed" }

// failure says why a run failed, whether people were told, and what to do.
func (r RunResult) failure() string {
	said := codes.Lookup(r.Code, r.SQLState)
	text := fmt.Sprintf("run %s failed with %s: %s", r.ID, r.Code, said.Clause())
	if r.Error != "" {
		text += " (" + r.Error + ")"
	}
	if r.FunctionAlert == "not_delivered" {
		text += ". The alert about it was not delivered either: " + firstOf(r.AlertProblem, "no reason given")
	}
	return text + ". " + strings.TrimSuffix(said.Remedy, ".")
}

// RunOptions say how RunNow works.
type RunOptions struct {
	// OwnRun asks for a run that begins after the call: one that is under way
	// is waited for, and then another one started.
	OwnRun bool
	// Progress, if set, is called with the run when it is found and when its
	// state changes.
	Progress func(RunResult)
}

// RunNow runs one backup and waits until it has succeeded or failed, or until
// ctx ends. Where one is under way already, it takes part in that one. A run
// that failed is an ErrNotProved.
func (s *Service) RunNow(ctx context.Context, id backup.ID, options RunOptions) (RunResult, error) {
	for {
		answer, err := s.DB.Query(ctx, postgres.ReadWrite, queries.Run, string(id.Name))
		if err != nil {
			return RunResult{}, fmt.Errorf("%w: the database could not start the backup: %w", ErrNotProved, err)
		}
		var run RunResult
		if err := json.Unmarshal(answer, &run); err != nil || run.ID == "" {
			return RunResult{}, fmt.Errorf("the database's answer has an unexpected form: %w", errors.Join(err, errShape))
		}
		if options.Progress != nil {
			options.Progress(run)
		}
		joined := run.Joined
		err = s.follow(ctx, id, &run, options.Progress)
		if joined && options.OwnRun && (err == nil || run.Ended()) && ctx.Err() == nil {
			continue
		}
		return run, err
	}
}

var errShape = errors.New("it names no run")

// follow waits for the end of a run.
func (s *Service) follow(ctx context.Context, id backup.ID, run *RunResult, progress func(RunResult)) error {
	begun := time.Now()
	var ended time.Time
	err := s.poll(ctx, func() (bool, error) {
		answer, err := s.DB.Query(ctx, postgres.ReadWrite, queries.RunState, string(id.Name), run.ID)
		if err != nil || answer == nil {
			return false, err
		}
		before, joined := run.State, run.Joined
		*run = RunResult{}
		if err := json.Unmarshal(answer, run); err != nil {
			return false, err
		}
		run.Joined = joined
		if run.State != before && progress != nil {
			progress(*run)
		}
		switch {
		case run.State == "requested" && time.Since(begun) > probePatience && run.RequestID != nil:
			var last response
			if err := s.response(ctx, postgres.ReadWrite, *run.RequestID, &last); err == nil && last.Queued {
				return false, fmt.Errorf("%w: run %s has not begun: %s", ErrNotProved, run.ID, last.unanswered(*run.RequestID))
			}
			return false, nil
		case run.State != "failed":
			return run.Ended(), nil
		}
		if ended.IsZero() {
			ended = time.Now()
		}
		return run.FunctionAlert != "pending" || time.Since(ended) > alertPatience, nil
	})
	switch {
	case run.State == "failed":
		return fmt.Errorf("%w: %s", ErrNotProved, run.failure())
	case err != nil && !errors.Is(err, ErrNotProved):
		return fmt.Errorf("wait for run %s, which is %s: %w", run.ID, run.State, err)
	}
	return err
}

// poll calls look until it has found what it looks for, or fails, or ctx ends.
func (s *Service) poll(ctx context.Context, look func() (bool, error)) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if found, err := look(); found || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
