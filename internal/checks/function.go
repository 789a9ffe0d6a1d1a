package checks

import (
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// function are the checks of the Edge Function and its address.
var function = []Check{
	{
		Code: "function_missing", Theme: Function, Asked: Failing,
		Find: func(s *Subject) []Finding {
			if s.own() != nil {
				return nil
			}
			return one(About(s.ownName(), "is not deployed"))
		},
	},
	{
		Code: "function_status", Theme: Function, Asked: Failing,
		Find: func(s *Subject) []Finding {
			f := s.own()
			if f == nil || f.Status == backup.StatusActive {
				return nil
			}
			return one(About(s.ownName(), "has the status %s instead of %s, so it does not respond", f.Status, backup.StatusActive))
		},
	},
	{
		Code: "function_verify_jwt", Theme: Function, Asked: Late,
		Find: func(s *Subject) []Finding {
			f := s.own()
			if f == nil || f.Status != backup.StatusActive || !f.VerifyJWT {
				return nil
			}
			return one(About(s.ownName(), "demands a JWT (verify_jwt is on), and the database sends none with its first request"))
		},
	},
	{
		Code: "function_replaced", Theme: Function, Asked: Healthy,
		Facts: []facts.Part{"settings"},
		Find: func(s *Subject) []Finding {
			f := s.own()
			if f == nil || f.Status != backup.StatusActive || f.VerifyJWT || s.State.FunctionID == "" || f.ID == s.State.FunctionID {
				return nil
			}
			return one(About(s.ownName(), "is not the one that was installed: it was deleted and recreated"))
		},
	},
	{
		Code: "function_url", Theme: Function, Asked: Healthy,
		Facts: []facts.Part{"history"},
		Find: func(s *Subject) []Finding {
			url := s.Spec.Settings.Function.URL
			scheme, rest, ok := strings.Cut(url, "://")
			host, _, _ := strings.Cut(rest, "/")
			if !ok || scheme != "http" && scheme != "https" || host == "" || strings.ContainsAny(host, " \t\r\n") {
				f := About("The address at which the function is called", "is %q, which is not an http or https address", url)
				f.Condition = Failing
				return one(f)
			}
			if s.FunctionURL == "" || url == s.FunctionURL {
				return nil
			}
			f := About("The function", "is called at %s, not at %s", url, s.FunctionURL)
			// The reader may know the project under another address.
			if last := s.LastRun(); last != nil && last.State == history.Failed {
				f.Condition = Failing
			}
			return one(f)
		},
	},
}

// own is the backup's Edge Function, or nil.
func (s *Subject) own() *supabase.Function { return s.EdgeFunction(s.ID.Name.Slug()) }

func (s *Subject) ownName() string { return "The Edge Function " + s.ID.Name.Slug() }

// LastRun is the newest attempt, or nil.
func (s *Subject) LastRun() *history.Run {
	for i, run := range s.History {
		if run.ID != "" {
			return &s.History[i]
		}
	}
	return nil
}
