package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// ErrNotProved says that an installation did not prove that it works.
var ErrNotProved = errors.New("the installed backup did not prove that it works")

// probePatience is how long a probe may be under way: the dispatcher waits 30 s
// for the answer, and pg_net may have other requests before it.
const probePatience = 45 * time.Second

// pollInterval is the pause between two looks at something that the database
// will know.
const pollInterval = 500 * time.Millisecond

// Probe has the database call the Edge Function through pg_net, as a job
// does, without running a backup. The function answers whether its token, its
// key and its tables are in order.
func (s *Service) Probe(ctx context.Context, id ID) error {
	answer, err := s.DB.Query(ctx, postgres.ReadWrite, postgres.Probe, string(id.Name))
	if err != nil {
		return fmt.Errorf("%w: the database could not send the request: %w", ErrNotProved, err)
	}
	var request int64
	if err := json.Unmarshal(answer, &request); err != nil {
		return fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	var response struct {
		Status    *int   `json:"status"`
		Error     string `json:"error"`
		ErrorCode string `json:"error_code"`
		Content   string `json:"content"`
	}
	waiting, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	err = s.poll(waiting, func() (bool, error) {
		answer, err := s.DB.Query(waiting, postgres.ReadOnly, postgres.Response, strconv.FormatInt(request, 10))
		if err != nil || answer == nil {
			return false, err
		}
		return true, json.Unmarshal(answer, &response)
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Errorf("%w: pg_net has not answered request %d within %s; check its worker with \"select net.check_worker_is_up()\" and the requests that wait in net.http_request_queue", ErrNotProved, request, probePatience)
	case err != nil:
		return fmt.Errorf("wait for the answer to request %d: %w", request, err)
	case response.Status == nil:
		return fmt.Errorf("%w: the request did not reach the function: %s", ErrNotProved, response.Error)
	case *response.Status == 200 && probeSucceeded(response.Content):
		return nil
	}
	return fmt.Errorf("%w: the function answered %d%s", ErrNotProved, *response.Status, explainAnswer(response.ErrorCode, response.Content))
}

func probeSucceeded(content string) bool {
	var answer struct {
		Success bool `json:"success"`
	}
	return json.Unmarshal([]byte(content), &answer) == nil && answer.Success
}

// explainAnswer quotes from a function's answer what says why it failed.
func explainAnswer(errorCode, content string) string {
	var answer struct {
		Code    string            `json:"code"`
		Message string            `json:"message"`
		Error   string            `json:"error"`
		Checks  map[string]string `json:"checks"`
	}
	var words []string
	if errorCode != "" {
		words = append(words, errorCode)
	}
	if json.Unmarshal([]byte(content), &answer) != nil {
		return " (" + strings.Join(append(words, "not in the function's form, so another program answers at its address"), ", ") + ")"
	}
	for _, word := range []string{answer.Code, answer.Message, answer.Error} {
		if word != "" {
			words = append(words, word)
		}
	}
	for check, result := range answer.Checks {
		if result != "ok" {
			words = append(words, check+": "+result)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// RunNow runs one backup and waits until it has succeeded or failed, or until
// ctx ends.
func (s *Service) RunNow(ctx context.Context, id ID) error {
	answer, err := s.DB.Query(ctx, postgres.ReadWrite, postgres.Run, string(id.Name))
	if err != nil {
		return fmt.Errorf("%w: the database could not start the backup: %w", ErrNotProved, err)
	}
	var run string
	if err := json.Unmarshal(answer, &run); err != nil {
		return fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	var state struct {
		State string `json:"state"`
		Code  string `json:"code"`
		Error string `json:"error"`
	}
	err = s.poll(ctx, func() (bool, error) {
		answer, err := s.DB.Query(ctx, postgres.ReadWrite, postgres.RunState, string(id.Name), run)
		if err != nil || answer == nil {
			return false, err
		}
		if err := json.Unmarshal(answer, &state); err != nil {
			return false, err
		}
		return state.State == "succeeded" || state.State == "failed", nil
	})
	switch {
	case err != nil && state.State != "":
		return fmt.Errorf("wait for run %s, which is %s: %w", run, state.State, err)
	case err != nil:
		return fmt.Errorf("wait for run %s: %w", run, err)
	case state.State == "failed":
		return fmt.Errorf("%w: run %s failed with %s: %s", ErrNotProved, run, state.Code, state.Error)
	}
	return nil
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
