package install

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// offsitePatience is how long a probe of a destination may be without an answer.
const offsitePatience = payload.OffsiteProbeTimeout + 15*time.Second

// DestinationProblem is something that a probe of a destination found.
type DestinationProblem struct {
	// Message says what does not work and why, and Remedy what to do about it.
	Message, Remedy string
	// Warning says that copies can be made nevertheless.
	Warning bool
}

// offsiteChecks are the checks of a probe of a destination, in their order, with what it
// means that one has failed.
var offsiteChecks = []struct{ name, failed string }{
	{"database", "the Edge Function cannot use its connection to the database"},
	{"put", "no object can be stored"},
	{"read", "the stored object cannot be read"},
	{"lock", "the stored object is not locked"},
	{"delete_refused", "it could not be verified that copies are safe from deletion"},
}

// offsiteCheck is the result of one check.
type offsiteCheck struct {
	OK      bool   `json:"ok"`
	Code    string `json:"code"`
	Error   string `json:"error"`
	Warning string `json:"warning"`
}

// VerifyDestination checks that copies can be stored in a destination: the database calls
// the Edge Function, which stores, reads and tries to delete an object there. It returns
// what was found to be wrong. An error says why that is not known.
func (s *Service) VerifyDestination(ctx context.Context, id backup.ID, key string) ([]DestinationProblem, error) {
	answer, err := s.call(ctx, id, offsitePatience, queries.OffsiteProbe, key)
	if err != nil {
		return nil, err
	}
	return answer.destinationProblems(), nil
}

// destinationProblems are the problems that the answer to a probe of a destination has.
// An answer that is not a success has at least one.
func (a httpAnswer) destinationProblems() []DestinationProblem {
	var body struct {
		Checks map[string]offsiteCheck `json:"checks"`
	}
	reason := a.failure()
	// An answer in another form has no checks.
	_ = json.Unmarshal([]byte(a.Content), &body)
	var problems []DestinationProblem
	failed := false
	for _, check := range offsiteChecks {
		result, made := body.Checks[check.name]
		switch {
		case !made, !a.Ours:
		case !result.OK:
			failed = true
			problems = append(problems, result.problem(check.failed))
		case result.Warning != "":
			problems = append(problems, DestinationProblem{Message: result.Warning, Remedy: remedy(result.Code), Warning: true})
		}
	}
	if reason != "" && !failed {
		return append(problems, DestinationProblem{Message: reason})
	}
	return problems
}

// problem describes a check that has failed.
func (c offsiteCheck) problem(what string) DestinationProblem {
	said := codes.Lookup(c.Code, "")
	detail := cmp.Or(c.Error, "no reason given")
	if c.Code != "" {
		what += ": " + said.Clause()
		detail = c.Code + ": " + detail
	}
	return DestinationProblem{Message: what + " (" + strings.TrimSuffix(detail, ".") + ")", Remedy: remedy(c.Code)}
}

// remedy is that of a code; empty if there is none.
func remedy(code string) string {
	if code == "" {
		return ""
	}
	return codes.Lookup(code, "").Remedy
}
