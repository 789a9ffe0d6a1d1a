package checks

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
)

// rpc are the checks whether the Edge Function can call the SQL function that makes
// the backup, by the Data API, and use what it returns.
var rpc = []Check{
	{
		Code: "verify_table", Theme: RPC, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"tables"},
		Find:  func(s *Subject) []Finding { return s.verifyTable() },
	},
	{
		Code: "rpc_missing", Theme: RPC, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"routines", "similar"},
		Find: func(s *Subject) []Finding {
			if _, problem := s.callee(); problem != nil {
				return one(problem.At(AtRPC))
			}
			return nil
		},
	},
	{
		Code: "rpc_rights", Theme: RPC, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"routines"},
		Find: func(s *Subject) []Finding {
			r, ok := s.Callee()
			if !ok || r.Callable {
				return nil
			}
			return one(About(RoutineName(r), "may not be executed by service_role, with whose rights the Edge Function calls it").At(AtRPC).
				With("Run `grant execute on function public.%s to service_role`.", r.Name()))
		},
	},
	{
		Code: "data_api_schemas", Theme: RPC, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"parameters", "role_parameters"},
		Find: func(s *Subject) []Finding {
			schemas := s.Effective("pgrst.db_schemas", "authenticator")
			if schemas == "" || slices.Contains(facts.SearchPath(schemas), "public") {
				return nil
			}
			return one(About("The Data API", "exposes the schemas %s and not public, so neither the function nor the log tables are reached", schemas).At(AtRPC))
		},
	},
	{
		Code: "rpc_result", Theme: RPC, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"routines"},
		Find: func(s *Subject) (found []Finding) {
			r, ok := s.Callee()
			if !ok {
				return nil
			}
			if !r.Volatile {
				found = append(found, About(RoutineName(r), "is not VOLATILE, so the Data API runs it in a read-only transaction, where it can write nothing").At(AtRPC).
					With("Run `alter function public.%s() volatile`.", s.Spec.Settings.Function.RPC))
			}
			fields := r.ResultColumns
			switch {
			case r.Set:
				found = append(found, About(RoutineName(r), "returns a set, which the Data API returns as a list").At(AtRPC))
			case r.Type == "json" || r.Type == "jsonb":
			case len(fields) > 1 && slices.Contains(fields, "success") && slices.Contains(fields, "backup_id"):
			default:
				found = append(found, About(RoutineName(r), "returns %s instead of json or jsonb, so no run could tell a backup from a failure", r.Type).At(AtRPC))
			}
			return found
		},
	},
	{
		Code: "statement_timeout", Theme: RPC, Planning: Warning,
		Facts: []facts.Part{"routines", "parameters", "role_parameters"},
		Find: func(s *Subject) []Finding {
			r, ok := s.Callee()
			if !ok {
				return nil
			}
			// Below it, a backup is likely to be cancelled one day: the tables grow.
			const short = 30 * time.Second
			value, origin := s.timeout(r)
			limit, ok := parseDuration(value)
			if !ok || limit == 0 || limit >= short {
				return nil
			}
			return one(About(RoutineName(r), "is cancelled by the database after %s (statement_timeout, %s); it cannot catch that and leaves no row in any log, and its tables grow", limit, origin).At(AtRPC))
		},
	},
}

// Callee returns the function that a call by POST without arguments runs; false if
// there is none, or more than one.
func (s *Subject) Callee() (facts.Routine, bool) {
	r, problem := s.callee()
	return r, problem == nil
}

func (s *Subject) callee() (facts.Routine, *Finding) {
	name := s.Spec.Settings.Function.RPC
	object := "The function public." + name
	none := func(f Finding) (facts.Routine, *Finding) { return facts.Routine{}, &f }
	var callable, public []facts.Routine
	var elsewhere []string
	for _, r := range s.Routines {
		switch {
		case r.Schema != "public":
			elsewhere = append(elsewhere, r.Schema)
			continue
		case r.Kind != "f":
			return none(About(object, "is a procedure or an aggregate, which the Data API cannot call").
				With("Name a function in `function.rpc`; one that calls the procedure would do."))
		case r.Required == 0:
			callable = append(callable, r)
		}
		public = append(public, r)
	}
	switch {
	case len(public) == 0:
		f := About(object, "does not exist")
		if len(elsewhere) > 0 {
			f = About(object, "exists in schema %s only, and the backup calls it in schema public", strings.Join(elsewhere, ", "))
		}
		f.Remedy = "Restore the function or run the application's migrations first, or name another function in `function.rpc`."
		if similar := slices.DeleteFunc(slices.Clone(s.Similar), func(other string) bool { return other == name }); len(similar) > 0 {
			f.Remedy += " Schema public has these: " + strings.Join(similar, ", ") + "."
		}
		return none(f)
	case len(callable) == 0:
		return none(About(object, "needs %d arguments, and the backup calls it without any", public[0].Required).
			With("Give its arguments defaults, or name a function without arguments in `function.rpc`."))
	case len(callable) > 1:
		var signatures []string
		for _, r := range callable {
			signatures = append(signatures, r.Signature)
		}
		return none(About(object, "exists %d times without required arguments (%s), so the Data API refuses the call as ambiguous (PGRST203)", len(callable), strings.Join(signatures, "; ")).
			With("Drop or rename all but one of them."))
	}
	return callable[0], nil
}

// RoutineName names a function of schema public with its arguments.
func RoutineName(r facts.Routine) string { return "The function public." + r.Name() }

// timeout is how long the database lets the function run, and what says so.
// PostgREST applies the function's own statement_timeout before it calls it; else
// that of service_role holds, else that of the role it is connected as.
func (s *Subject) timeout(r facts.Routine) (value, origin string) {
	if own, ok := r.Setting("statement_timeout"); ok {
		return own, "its own setting"
	}
	for _, role := range []string{serviceRole, "authenticator"} {
		if slices.ContainsFunc(s.RoleParameters, func(p facts.RoleParameter) bool { return p.Name == "statement_timeout" && p.Role == role }) {
			return s.Effective("statement_timeout", role), "set for role " + role
		}
	}
	return s.Effective("statement_timeout", ""), "set for the database"
}

// verifyTable looks at the table that has to show a backup's rows.
func (s *Subject) verifyTable() []Finding {
	name := s.Spec.Settings.Function.VerifyTable
	if name == nil {
		return nil
	}
	object := "The table public." + *name
	table, ok := s.Tables[*name]
	if !ok {
		return one(About(object, "does not exist, and no run counts as a success without rows in it").At(atVerifyTable))
	}
	column, ok := table.Column("backup_id")
	switch {
	case !ok:
		return one(About(object, "has no column backup_id, by which a run finds its rows").At(atVerifyTable))
	case !slices.Contains([]string{"uuid", "text", "varchar"}, column.Base):
		return one(About("The column public."+*name+".backup_id", "has type %s, which cannot be compared with the ID of a backup", column.Type).At(atVerifyTable))
	case !strings.Contains(column.Rights, "S"):
		return one(About("The role service_role", "may not read public.%s, and no run counts as a success without rows in it", *name).At(atVerifyTable).
			With("Run `grant select on public.%s to service_role`.", *name))
	}
	return nil
}

// parseDuration reads a PostgreSQL setting of a duration; a bare number is
// milliseconds.
func parseDuration(value string) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	end := strings.IndexFunc(value, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
	if end < 0 {
		end = len(value)
	}
	amount, err := strconv.ParseFloat(value[:end], 64)
	unit, known := map[string]time.Duration{
		"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
		"min": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}[strings.TrimSpace(value[end:])]
	if err != nil || !known {
		return 0, false
	}
	return time.Duration(amount * float64(unit)), true
}
