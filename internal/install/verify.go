package install

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// ErrNotVerified says that an installation was not found to work, or that a run
// that was asked for failed.
var ErrNotVerified = errors.New("the installed backup could not be verified")

const (
	// probePatience is how long a request may be without an answer. pg_net may
	// have other requests to send before it.
	probePatience = payload.ProbeTimeout + 15*time.Second
	// workerPatience is how long a request may be without an answer before the
	// state of pg_net's worker is asked for.
	workerPatience = 3 * time.Second
	// alertPatience is how long the alert about a failed run is waited for, so that
	// the error can say what became of it.
	alertPatience = 20 * time.Second
	// pollInterval is the pause between two questions to the database.
	pollInterval = 500 * time.Millisecond
)

// request is a request of pg_net. For a probe it also has what shows that an answer
// belongs to it and is signed.
type request struct {
	ID       int64  `json:"id"`
	RunID    string `json:"run_id,omitempty"`
	PostedAt string `json:"posted_at,omitempty"`
	Action   string `json:"action,omitempty"`
}

// response is what response.sql knows of a request.
type response struct {
	Answer *httpAnswer `json:"answer"`
	Queued bool        `json:"queued"`
	// Ahead is how many requests wait before this one.
	Ahead int64 `json:"ahead"`
	// Worker says whether pg_net's worker runs; nil when that cannot be seen.
	Worker *bool `json:"worker"`
}

// httpAnswer is a response as pg_net keeps it.
type httpAnswer struct {
	// Status is nil when there was no response; then Error says why.
	Status *int   `json:"status"`
	Error  string `json:"error"`
	// ErrorCode is the platform's own code, when it answered instead of the
	// function.
	ErrorCode string `json:"error_code"`
	Content   string `json:"content"`
	// Ours says that the built-in function answered, by a header that anybody can
	// set.
	Ours bool `json:"ours"`
	// Signed says that the answer is a success that the function signed.
	Signed bool `json:"signed"`
}

// Verify checks that an installation works: the database calls the Edge Function
// through pg_net as a job does, and the function answers whether its token, its
// key and its tables are usable. With wholeBackup set, it then makes a whole backup,
// which begins after the call. An error that says what does not work is an
// ErrNotVerified.
func (s *Service) Verify(ctx context.Context, id backup.ID, wholeBackup bool) error {
	if err := s.probeStarted(ctx, id); err != nil || !wholeBackup {
		return err
	}
	for {
		run, err := s.run(ctx, id, nil)
		// A run that began before may not know what was applied since.
		if !run.Joined || !run.State.Ended() || ctx.Err() != nil {
			return err
		}
	}
}

// probe calls the function, without making a backup.
func (s *Service) probe(ctx context.Context, id backup.ID) error {
	answer, err := s.call(ctx, id, probePatience, queries.Probe)
	if err != nil {
		return err
	}
	if reason := answer.failure(); reason != "" {
		return fmt.Errorf("%w: %s", ErrNotVerified, reason)
	}
	return nil
}

// call makes a request with a query that is made like queries.Probe, and returns the
// answer. A request that the gateway refuses is made again with the project's keys in
// other headers, as the watchdog does with that of a run. The plan does not see what a
// self-hosted runtime requires, so there only what the configuration says counts.
func (s *Service) call(ctx context.Context, id backup.ID, patience time.Duration, query string, args ...any) (httpAnswer, error) {
	var refusal *httpAnswer
	for refused := 0; ; refused++ {
		answer, sent, err := s.callOnce(ctx, id, patience, query, append([]any{string(id.Name), strconv.Itoa(refused)}, args...))
		switch {
		case err != nil:
			return answer, err
		case !sent && refusal != nil:
			return *refusal, nil
		case !answer.refused() || s.runtime != nil:
			return answer, nil
		case refusal == nil:
			refusal = &answer
		}
	}
}

// callOnce makes a request once. sent is false if there is no other way to show the
// project's keys.
func (s *Service) callOnce(ctx context.Context, id backup.ID, patience time.Duration, query string, args []any) (answer httpAnswer, sent bool, err error) {
	text, err := s.DB.Query(ctx, postgres.ReadWrite, query, args...)
	if err != nil {
		return answer, false, fmt.Errorf("%w: the database could not make the request: %w", ErrNotVerified, err)
	}
	var request request
	if err := json.Unmarshal(text, &request); err != nil {
		return answer, false, fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	if request.ID == 0 {
		return answer, false, nil
	}
	var last response
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	asked := time.Now()
	err = s.poll(waiting, func() (bool, error) {
		if err := s.response(waiting, postgres.ReadOnly, id, request, &last); err != nil || last.Answer != nil {
			return last.Answer != nil, err
		}
		if last.Worker == nil && time.Since(asked) > workerPatience {
			// The reading role may not see the worker; the writing one may.
			asked = time.Now()
			if err := s.response(waiting, postgres.ReadWrite, id, request, &last); err != nil {
				return false, nil //nolint:nilerr // the next round asks again; this answer would only say more
			}
		}
		// Waiting longer does not help while the worker is down.
		return last.Queued && last.Worker != nil && !*last.Worker, nil
	})
	switch {
	case err == nil && last.Answer != nil:
		return *last.Answer, true, nil
	case err == nil, errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return answer, true, fmt.Errorf("%w: %s", ErrNotVerified, last.unanswered(request.ID))
	}
	return answer, true, fmt.Errorf("wait for the answer to request %d (%s): %w", request.ID, last.unanswered(request.ID), err)
}

// response finds what became of a request.
func (s *Service) response(ctx context.Context, access postgres.Access, id backup.ID, of request, last *response) error {
	document, err := json.Marshal(of)
	if err != nil {
		return err
	}
	answer, err := s.DB.Query(ctx, access, queries.Response, string(id.Name), string(document))
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

// refused reports whether the request did not reach the function, because the gateway
// wants other keys.
func (a httpAnswer) refused() bool {
	var body struct{ Code any }
	_ = json.Unmarshal([]byte(a.Content), &body) // a gateway need not answer in JSON
	// A function of the user's own refuses a signature with these codes.
	byFunction := a.ErrorCode == "" && (body.Code == "unauthorized" || body.Code == "request_expired")
	return a.Status != nil && *a.Status == http.StatusUnauthorized && !a.Ours && !byFunction
}

// failure explains why the response does not verify the installation, and what to
// do; it is empty on success.
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
	if code := cmp.Or(a.ErrorCode, body.Code); code != "" {
		said += " " + code
	}
	if text := cmp.Or(body.Message, body.Error); text != "" {
		said += ": " + text
	}
	if *a.Status == 200 && isObject && body.Success {
		if a.Signed {
			return ""
		}
		return "the answer to the probe has no valid signature (" + said + "). A function from `source_dir` must sign it, as the guide \"Your own Edge Function\" describes; the provider's own function always does, so with that one something else wrote the answer: see who may write to net._http_response"
	}
	code := fmt.Sprintf("http_%d", *a.Status)
	switch {
	case a.Ours && body.Code == "probe_failed":
		return "the function runs, but " + failedChecks(body.Checks, body.Message)
	case a.Ours:
		code = body.Code
	case *a.Status == 200 && isObject:
		return "the function answered a probe without \"success\": true; a function from `source_dir` must answer {\"action\": \"probe\"} with it (" + said + ")"
	case *a.Status == 200:
		code, said = "unexpected_answer", said+", no JSON"
	}
	text := codes.Lookup(code, "")
	return fmt.Sprintf("%s (%s). %s", text.Clause(), said, strings.TrimSuffix(text.Remedy, "."))
}

// unreachable says why there was no HTTP response: what it means, and pg_net's own
// words.
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
	return reason + " (" + cmp.Or(a.Error, "no reason given") + ")"
}

// failedChecks lists the checks of a probe that failed.
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

// attempt is a run that is waited for: its row of auto_backup.history, and what
// only the wait needs.
type attempt struct {
	history.Run
	// Joined says that the run was under way when another one was asked for.
	Joined bool `json:"joined"`
	// FunctionAlert is what the function says of its alert, AlertProblem why the
	// alert was not delivered.
	FunctionAlert string `json:"function_alert"`
	AlertProblem  string `json:"alert_problem"`
}

// failure says why a run failed, whether its alert was not delivered either, and
// what to do.
func (a attempt) failure() string {
	said := codes.Lookup(a.Code, a.SQLState)
	text := fmt.Sprintf("run %s failed with %s: %s", a.ID, a.Code, said.Clause())
	if a.Error != "" {
		text += " (" + a.Error + ")"
	}
	if a.FunctionAlert == "not_delivered" {
		text += ". The alert about it was not delivered either: " + cmp.Or(a.AlertProblem, "no reason was given")
	}
	return text + ". " + strings.TrimSuffix(said.Remedy, ".")
}

// Progress is called with a run when it is found, and again when its state
// changes. joined is true in the first call for a run that was under way already.
type Progress func(run history.Run, joined bool)

// RunNow makes a backup now and waits until it has succeeded or failed, or until
// ctx ends. If a run is under way already, it waits for that one instead: two at
// a time would wait for each other's locks. It returns the run as far as it is
// known; a run that failed is an ErrNotVerified. progress may be nil.
func (s *Service) RunNow(ctx context.Context, id backup.ID, progress Progress) (history.Run, error) {
	run, err := s.run(ctx, id, progress)
	return run.Run, err
}

// run starts a run, or finds the one that is under way, and waits for its end.
func (s *Service) run(ctx context.Context, id backup.ID, progress Progress) (attempt, error) {
	var run attempt
	answer, err := s.DB.Query(ctx, postgres.ReadWrite, queries.Run, string(id.Name))
	if err != nil {
		return run, fmt.Errorf("%w: the database could not start the backup: %w", ErrNotVerified, err)
	}
	if err := json.Unmarshal(answer, &run); err != nil || run.ID == "" {
		return run, fmt.Errorf("the database's answer has an unexpected form: %w", errors.Join(err, errNoRun))
	}
	if progress == nil {
		progress = func(history.Run, bool) {}
	}
	progress(run.Run, run.Joined)
	return run, s.follow(ctx, id, &run, progress)
}

var errNoRun = errors.New("it names no run")

// follow waits for the end of a run.
func (s *Service) follow(ctx context.Context, id backup.ID, run *attempt, progress Progress) error {
	begun := time.Now()
	var ended time.Time
	err := s.poll(ctx, func() (bool, error) {
		answer, err := s.DB.Query(ctx, postgres.ReadWrite, queries.RunState, string(id.Name), run.ID)
		if err != nil || answer == nil {
			return false, err
		}
		now := attempt{Joined: run.Joined}
		if err := json.Unmarshal(answer, &now); err != nil {
			return false, fmt.Errorf("the database's answer has an unexpected form: %w", err)
		}
		if now.State != run.State {
			progress(now.Run, false)
		}
		*run = now
		switch {
		case run.State == history.Requested && time.Since(begun) > probePatience && run.RequestID != nil:
			var last response
			if err := s.response(ctx, postgres.ReadWrite, id, request{ID: *run.RequestID}, &last); err == nil && last.Queued {
				return false, fmt.Errorf("%w: run %s has not begun: %s", ErrNotVerified, run.ID, last.unanswered(*run.RequestID))
			}
			return false, nil
		case run.State != history.Failed:
			return run.State.Ended(), nil
		}
		if ended.IsZero() {
			ended = time.Now()
		}
		return run.FunctionAlert != "pending" || time.Since(ended) > alertPatience, nil
	})
	switch {
	case run.State == history.Failed:
		return fmt.Errorf("%w: %s", ErrNotVerified, run.failure())
	case err != nil && !errors.Is(err, ErrNotVerified):
		return fmt.Errorf("wait for run %s, which is %s: %w", run.ID, run.State, err)
	}
	return err
}

// poll calls look every pollInterval until it reports true, or fails, or ctx ends.
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
