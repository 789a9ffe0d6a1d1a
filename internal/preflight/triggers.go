package preflight

import (
	"fmt"
	"slices"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
)

// Bits of pg_trigger.tgtype.
const (
	triggerRow    = 1
	triggerBefore = 2
	triggerInsert = 4
	triggerUpdate = 16
)

// logTriggers looks at what fires on the rows of a run. A trigger that fails takes
// the row with it.
func logTriggers(s *checks.Subject) (found []checks.Finding) {
	for _, t := range s.Triggers {
		if t.Type&(triggerInsert|triggerUpdate) == 0 {
			continue
		}
		if risk := triggerRisk(s, t); risk != "" {
			column := map[string]string{"backup_logs": "action_type", "system_logs": "type"}[t.Table]
			f := checks.About(fmt.Sprintf("The trigger %s of public.%s", t.Name, t.Table), "fires on the rows of a run and could refuse them: %s", risk).
				With("Look at the function %s. To exempt a run's rows, create the trigger again with a condition such as `when (new.%s not like 'auto\\_backup%%')`.", t.Function, column)
			f.Code, f.Severity = "log_trigger", checks.Warning
			found = append(found, f)
		}
	}
	return found
}

// triggerRisk says why a trigger could refuse a row; empty if nothing is known.
func triggerRisk(s *checks.Subject, t facts.Trigger) string {
	if t.Language != "plpgsql" {
		return ""
	}
	body := plsql.Read(t.Source)
	for _, use := range body.Uses {
		if !use.Sheltered && !body.Variables[use.Table.Name] && !s.Named(use.Table.Schema, use.Table.Name, facts.DataAPIPath) {
			return fmt.Sprintf("its function uses the table %s, which does not exist", use.Table)
		}
	}
	for _, called := range body.Performs {
		if !slices.Contains(s.NamedFunctions, called.Name) && !slices.Contains(constructs, called.Name) {
			return fmt.Sprintf("its function calls %s, which does not exist", called)
		}
	}
	// A function of several tables first looks which one it is.
	if !body.Words["tg_table_name"] && !body.Words["tg_relname"] && !t.Conditional {
		for _, field := range body.NewFields {
			if _, ok := s.Tables[t.Table].Column(field); !ok {
				return fmt.Sprintf("its function reads new.%s, and the table has no such column", field)
			}
		}
	}
	switch {
	case t.Conditional:
	case body.Raises:
		return "its function raises an exception under some condition"
	case body.Skips && t.Type&triggerBefore != 0 && t.Type&triggerRow != 0:
		return "its function returns null under some condition, which drops the row silently"
	case body.Words["http_post"] || body.Words["http_get"] || body.Words["http"]:
		return "its function sends an HTTP request, which raises when its address or a header is not set"
	}
	return ""
}
