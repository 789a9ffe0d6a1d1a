package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
)

const (
	// longestDetails is how long the function's and the watchdog's longest text
	// for a log is, in characters; shortestDetails, that of a success.
	longestDetails, shortestDetails = 280, 100
)

// logColumn is a column of a log table and what is written to it.
type logColumn struct {
	name string
	// types are those that take what is written; the first is the one to create.
	types []string
	// create is how to create the column.
	create string
	// least is the length of the shortest text without which nothing works,
	// most that of the longest text.
	least, most int
	// rights are those that service_role needs.
	rights string
}

// logTable are the columns of the log tables into which each run is written.
var logTable = map[string][]logColumn{
	"backup_logs": {
		{name: "id", types: []string{"uuid", "text", "varchar"}, create: "uuid", least: 36, most: 36, rights: "SIU"},
		{name: "action_type", types: []string{"text", "varchar"}, create: "text", least: len("auto_backup"), most: len("auto_backup"), rights: "SI"},
		{name: "records_affected", types: []string{"int4", "int8", "numeric"}, create: "integer", rights: "SIU"},
		{name: "details", types: []string{"text", "varchar"}, create: "text", least: shortestDetails, most: longestDetails, rights: "SIU"},
		{name: "success", types: []string{"bool"}, create: "boolean", rights: "SIU"},
		{name: "created_at", types: []string{"timestamptz", "timestamp"}, create: "timestamptz default now()", rights: "S"},
	},
	"system_logs": {
		{name: "id", types: []string{"int4", "int8", "uuid", "text", "varchar"}, create: "bigserial", rights: "S"},
		{name: "type", types: []string{"text", "varchar"}, create: "text", least: len("auto_backup_error"), most: len("auto_backup_error"), rights: "SIU"},
		{name: "message", types: []string{"text", "varchar"}, create: "text", least: shortestDetails, most: longestDetails, rights: "IU"},
		{name: "context", types: []string{"jsonb", "json"}, create: "jsonb", rights: "SIU"},
		{name: "created_at", types: []string{"timestamptz", "timestamp"}, create: "timestamptz default now()", rights: "S"},
	},
}

// logs are the checks whether both log tables take the rows of a run.
var logs = []Check{
	{
		Code: "table_missing", Theme: Logs, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"tables"},
		Find: func(s *Subject) (found []Finding) {
			for _, name := range slices.Sorted(maps.Keys(logTable)) {
				if _, ok := s.Tables[name]; ok {
					continue
				}
				var columns []string
				for _, c := range logTable[name] {
					columns = append(columns, c.name)
				}
				found = append(found, About("The table public."+name, "does not exist, and every run is written there").
					With("Restore the table, or run the application's migrations first: it needs the columns %s.", strings.Join(columns, ", ")))
			}
			return found
		},
	},
	{
		Code: "table_kind", Theme: Logs, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"tables"},
		Find: eachLog(func(name string, table facts.Table) []Finding {
			if table.Kind == "r" || table.Kind == "p" {
				return nil
			}
			return one(About("The relation public."+name, "is not a table, so rows may not be kept there as they are written"))
		}),
	},
	{
		Code: "table_altered", Theme: Logs, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"tables"},
		Find: eachLog(func(name string, table facts.Table) (found []Finding) {
			for _, wanted := range logTable[name] {
				if _, ok := table.Column(wanted.name); !ok {
					found = append(found, About("The column public."+name+"."+wanted.name, "does not exist, and every run is written there").
						With("Run `alter table public.%s add column %s %s`.", name, wanted.name, wanted.create))
				}
			}
			return found
		}),
	},
	{
		Code: "log_column", Theme: Logs, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"tables"},
		Find: eachLog(func(name string, table facts.Table) (found []Finding) {
			for _, wanted := range logTable[name] {
				if column, ok := table.Column(wanted.name); ok {
					found = append(found, wanted.fits(name, column)...)
				}
			}
			for _, column := range table.Columns {
				found = append(found, leftOut(name, column)...)
			}
			return found
		}),
	},
	{
		Code: "log_unique", Theme: Logs, Planning: Error,
		Facts: []facts.Part{"tables"},
		Find: eachLog(func(name string, table facts.Table) (found []Finding) {
			if name == "backup_logs" && !slices.ContainsFunc(table.Unique, func(columns []string) bool { return slices.Equal(columns, []string{"id"}) }) {
				found = append(found, About("The table public."+name, "has no unique id, so a request that arrives twice makes two backups").Warns().
					With("Run `alter table public.backup_logs add primary key (id)`."))
			}
			constants := map[string][]string{"backup_logs": {"action_type", "success"}, "system_logs": {"type"}}[name]
			for _, unique := range table.Unique {
				if !slices.ContainsFunc(unique, func(column string) bool { return !slices.Contains(constants, column) }) {
					found = append(found, About("The table public."+name, "allows one row per %s only, so the second run cannot be logged", strings.Join(unique, " and ")).
						With("Drop the unique index or constraint on (%s).", strings.Join(unique, ", ")))
				}
			}
			return found
		}),
	},
	{
		Code: "log_rule", Theme: Logs, Planning: Error,
		Facts: []facts.Part{"tables"},
		Find: eachLog(func(name string, table facts.Table) (found []Finding) {
			for _, rule := range table.Rules {
				found = append(found, About(fmt.Sprintf("The rule %s of public.%s", rule, name), "rewrites what is inserted or updated there, so a run's row may not be written").
					With("Run `drop rule %s on public.%s`.", QuoteIdent(rule), name))
			}
			return found
		}),
	},
	{
		Code: "log_rights", Theme: Logs, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"tables", "roles"},
		Find: func(s *Subject) (found []Finding) {
			service, ok := s.Roles[serviceRole]
			if ok && !service.UsesPublic {
				return one(About("The role service_role", "may not use schema public, so the Edge Function reaches no table and no function").
					With("Run `grant usage on schema public to service_role`."))
			}
			return eachLog(func(name string, table facts.Table) (found []Finding) {
				if ok {
					found = append(found, s.lackingRights(name)...)
				}
				for _, right := range "SIU" {
					if _, ok := s.Roles[backup.JobOwner]; ok && !strings.ContainsRune(table.Rights[backup.JobOwner], right) {
						return append(found, About("The role postgres", "lacks %s on public.%s, so the watchdog cannot tell how runs end or report one that the function could not", RightNames[right], name).Warns().
							With("Run `grant select, insert, update on public.%s to postgres`.", name))
					}
				}
				return found
			})(s)
		},
	},
	{
		Code: "log_row_security", Theme: Logs, Planning: Error,
		Facts: []facts.Part{"tables", "roles"},
		Find: func(s *Subject) []Finding {
			service, ok := s.Roles[serviceRole]
			if !ok || service.BypassesRLS || !service.UsesPublic {
				return nil
			}
			return eachLog(func(name string, table facts.Table) []Finding {
				if !table.RLS {
					return nil
				}
				policies := ""
				if table.Policies != nil {
					policies = *table.Policies
				}
				for _, command := range []string{"r", "a", "w"} { // pg_policy.polcmd
					if !strings.Contains(policies, command) && !strings.Contains(policies, "*") {
						return one(About("The role service_role", "lacks BYPASSRLS, and no policy of public.%s lets it select, insert and update", name))
					}
				}
				return one(About("The role service_role", "is subject to the row level security of public.%s, whose policies have to let it select, insert and update", name).Warns())
			})(s)
		},
	},
	{
		Code: "log_refused", Theme: Logs, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"log_checks", "tables"},
		Find: func(s *Subject) (found []Finding) {
			for _, c := range s.LogConstraints {
				object := "The CHECK " + c.Name + " of public." + c.Table
				switch {
				case c.Table == "system_logs" && !c.AdmitsAll:
					found = append(found, About(object, "refuses rows of type 'auto_backup' or 'auto_backup_error', which say how each run ended").
						With("Run `alter table public.system_logs drop constraint %s`, and add it again with 'auto_backup' and 'auto_backup_error'.", QuoteIdent(c.Name)))
				case c.Table != "backup_logs":
				case !s.Planning && !c.Admits:
					found = append(found, About(object, "refuses rows of action_type 'auto_backup'"))
				case s.Planning && !c.AdmitsAll && s.Spec.ExtendLogConstraint && !s.Tables[c.Table].AlteredByPostgres:
					found = append(found, About(object, "refuses rows of action_type 'auto_backup' and cannot be widened: the table belongs to role %s, and the backup is installed as postgres", s.Tables[c.Table].Owner).At(AtLogConstraint).
						With("Run `alter table public.backup_logs owner to postgres`. Or widen the CHECK as that role, and set `log_constraint = \"require\"`."))
				}
			}
			return found
		},
	},
	{
		Code: "log_not_evaluated", Theme: Logs, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"log_checks"},
		Find: func(s *Subject) (found []Finding) {
			for _, c := range s.LogConstraints {
				if c.Skipped {
					found = append(found, About("The CHECK "+c.Name+" of public."+c.Table, "needs functions, operators or types that are not PostgreSQL's own, so it was not tried whether it accepts the rows of a run"))
				}
			}
			return found
		},
	},
	{
		Code: "log_owner", Theme: Logs, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"tables"},
		Find: eachLog(func(name string, table facts.Table) []Finding {
			if table.Owner == "" || table.Owner == backup.JobOwner || table.Owner == "supabase_admin" {
				return nil
			}
			return one(About("The table public."+name, "belongs to role %s, which can have any code run whenever a run is logged there", table.Owner).
				With("If that is not the application's own role, run `alter table public.%s owner to postgres`.", name))
		}),
	},
	{
		Code: "foreign_trigger", Theme: Logs, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"foreign_triggers"},
		Find: func(s *Subject) (found []Finding) {
			for _, t := range s.ForeignTriggers {
				found = append(found, About(fmt.Sprintf("The trigger %s of %s", t.Name, t.Table), "runs %s, which belongs to role %s: that role decides what happens whenever a row is written there", t.Function, t.Owner).
					With("If nobody needs it, run `drop trigger %s on %s`; if the application does, `alter function %s() owner to postgres`.", QuoteIdent(t.Name), t.Table, t.Function))
			}
			return found
		},
	},
}

// eachLog makes a check of one log table one of those that exist.
func eachLog(find func(name string, table facts.Table) []Finding) func(*Subject) []Finding {
	return func(s *Subject) (found []Finding) {
		for _, name := range slices.Sorted(maps.Keys(logTable)) {
			if table, ok := s.Tables[name]; ok {
				found = append(found, find(name, table)...)
			}
		}
		return found
	}
}

// fits compares a column of a log table with what is written to it.
func (wanted logColumn) fits(table string, column facts.Column) (found []Finding) {
	object := "The column public." + table + "." + wanted.name
	alter := func(change string) string {
		return fmt.Sprintf("Run `alter table public.%s alter column %s %s`.", table, wanted.name, change)
	}
	switch {
	case !slices.Contains(wanted.types, column.Base):
		found = append(found, About(object, "has type %s, which does not take what a run writes", column.Type).With("%s", alter("type "+wanted.create)))
	case column.Length > 0 && column.Length < wanted.least:
		found = append(found, About(object, "holds %d characters, and a run writes %d", column.Length, wanted.least).With("%s", alter("type text")))
	case column.Length > 0 && column.Length < wanted.most:
		found = append(found, About(object, "holds %d characters, and the text of a failure may have %d: it could not be logged then", column.Length, wanted.most).Warns().With("%s", alter("type text")))
	case column.Generated && strings.Contains(wanted.rights, "I"):
		found = append(found, About(object, "is generated, so nothing can be written there").With("%s", alter("drop expression")))
	}
	if wanted.name == "created_at" && !column.Default {
		found = append(found, About(object, "has no default, so the rows of a run have no time and its outcome cannot be found").Warns().With("%s", alter("set default now()")))
	}
	return found
}

// leftOut looks at a column of a log table to which a run writes nothing.
func leftOut(table string, column facts.Column) []Finding {
	written := slices.ContainsFunc(logTable[table], func(c logColumn) bool { return c.name == column.Name && strings.Contains(c.rights, "I") })
	object := "The column public." + table + "." + column.Name
	switch {
	case written, column.Generated:
	case column.NotNull && !column.Default:
		return one(About(object, "is NOT NULL without a default, and a run's row leaves it out").
			With("Run `alter table public.%[1]s alter column %[2]s set default …`, or `alter table public.%[1]s alter column %[2]s drop not null`.", table, QuoteIdent(column.Name)))
	case column.SequenceClosed:
		return one(About(object, "takes its default from a sequence that service_role may not use").
			With("Run `grant usage on sequence public.%s_%s_seq to service_role`.", table, column.Name))
	}
	return nil
}

// lackingRights looks at what service_role may do with the columns of a log table.
func (s *Subject) lackingRights(name string) []Finding {
	table := s.Tables[name]
	lacking := map[string][]string{}
	for _, wanted := range logTable[name] {
		column, ok := table.Column(wanted.name)
		for _, right := range wanted.rights {
			if ok && !strings.ContainsRune(column.Rights, right) {
				lacking[RightNames[right]] = append(lacking[RightNames[right]], wanted.name)
			}
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	var words []string
	for _, right := range slices.Sorted(maps.Keys(lacking)) {
		words = append(words, fmt.Sprintf("%s (%s)", right, strings.Join(lacking[right], ", ")))
	}
	return one(About("The role service_role", "lacks %s on public.%s, and the Edge Function works with its rights; new projects grant it nothing by themselves", strings.Join(words, " and "), name).
		With("Run `grant select, insert, update on public.%s to service_role`.", name))
}

// RightNames are the rights on a table, by the letters of facts.Table.
var RightNames = map[rune]string{'S': "SELECT", 'I': "INSERT", 'U': "UPDATE", 'D': "DELETE", 'T': "TRUNCATE"}
