// Package preflight judges, before anything is installed, whether a backup could
// be installed in a project and would work there: it evaluates the checks of a
// plan, and compares the text of the SQL function that makes the backup with the
// tables.
package preflight

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// A Project is what is checked, such as an *install.Service.
type Project interface {
	facts.Project
	// Ask asks the database for facts. It may return what was read before in this run. The
	// document must not be changed.
	Ask(ctx context.Context, request facts.Request) (facts.Document, error)
}

// Check reports what keeps a backup from being installed in the project, or from
// working there. It makes one read-only statement, and another one if a process
// seems to be missing, and uses the lists of functions and secrets that a plan
// reads anyway. Plans of several backups of a project share the statement where they ask for
// the same: all do except that of a new or changed retention, for which a backup with runs is
// asked about alone. It writes nothing.
func Check(ctx context.Context, project Project, spec backup.Spec) ([]checks.Finding, error) {
	subject := checks.Subject{Planning: true, ID: spec.ID, Spec: spec, Secrets: map[string]string{}}
	var secrets []supabase.Secret
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() (err error) { subject.Document, err = look(reading, project, spec); return err })
	group.Go(func() (err error) { subject.Edge, err = project.Functions(reading); return err })
	group.Go(func() (err error) { secrets, err = project.Secrets(reading); return err })
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("check project %s: %w", spec.ID.ProjectRef, err)
	}
	if err := subject.LookAgain(ctx, project); err != nil {
		return nil, fmt.Errorf("check project %s: %w", spec.ID.ProjectRef, err)
	}
	ofBackup, ok := subject.Each[spec.ID.Name]
	if !ok {
		ofBackup = subject.Each[facts.Unmentioned]
	}
	subject.OfBackup = ofBackup
	for _, secret := range secrets {
		subject.Secrets[secret.Name] = secret.Digest
	}
	return evaluate(&subject), nil
}

// own are the facts for what this package finds itself.
var own = []facts.Part{"routines", "tables", "named_relations", "named_functions", "triggers", "nulls", "null_statistics", "histories"}

// look reads the facts of the project's database. A new backup shares them with others
// unless the run history has kept something of that name, which its retention may remove.
func look(ctx context.Context, project Project, spec backup.Spec) (facts.Document, error) {
	alone := removes(spec)
	if alone && spec.New {
		document, err := ask(ctx, project, spec, false)
		if err != nil || !document.HasRuns(spec.ID.Name) {
			return document, err
		}
	}
	return ask(ctx, project, spec, alone)
}

// ask asks for the facts; alone, for those of the backup's retention, too.
func ask(ctx context.Context, project Project, spec backup.Spec, alone bool) (facts.Document, error) {
	zones, err := json.Marshal(foreignZones(spec.Settings))
	if err != nil {
		return facts.Document{}, err
	}
	var table any
	if spec.Settings.Function.VerifyTable != nil {
		table = *spec.Settings.Function.VerifyTable
	}
	parts := slices.Concat(checks.PlanningFacts(), own)
	var backups []backup.Name
	if alone {
		parts, backups = append(parts, "retention"), []backup.Name{spec.ID.Name}
	}
	named := "[]"
	if len(changedDestinations(spec)) > 0 {
		parts = append(parts, "offsite_tables", "stored_backups")
		if len(backups) == 0 {
			// Their size is that of all backups of the application, so plans share it.
			backups = []backup.Name{facts.Unmentioned}
		}
		if named, err = namedTables(spec); err != nil {
			return facts.Document{}, err
		}
	}
	slices.Sort(parts)
	return project.Ask(ctx, facts.Request{Parts: slices.Compact(parts), Backups: backups, Parameters: map[string]any{
		"rpc": spec.Settings.Function.RPC, "table": table, "zones": string(zones), "code": "read", "planning": "yes", "offsite": named,
	}})
}

// foreignZones are the time zones that the database has to know, except those
// that every PostgreSQL knows.
func foreignZones(settings backup.Settings) []string {
	zones := []string{}
	for _, zone := range settings.Zones() {
		if zone != "UTC" && zone != backup.DefaultTimezone {
			zones = append(zones, zone)
		}
	}
	return zones
}

// evaluate returns what is found in a project. It reads nothing; a project in
// which everything is as it should be has no finding.
func evaluate(s *checks.Subject) []checks.Finding {
	if wanted := s.Spec.Settings.Drill; wanted != nil && !wanted.TablesNamed {
		known := *wanted
		known.Tables = drillTables(s)
		s.Spec.Settings.Drill = &known
	}
	findings := checks.Plan(s)
	body := readBody(s)
	for _, f := range slices.Concat(logTriggers(s), body) {
		// What the user's own function calls and writes is not known.
		if s.Spec.OwnSource {
			f = f.Unsure()
		}
		findings = append(findings, f)
	}
	if slices.ContainsFunc(findings, func(f checks.Finding) bool { return f.Severity == checks.Error && f.Attribute == checks.AtRPC }) {
		// What the text of a function that does not work shows of its tables says nothing.
		findings = slices.DeleteFunc(findings, func(f checks.Finding) bool { return f.Code == "drill_no_tables" })
	}
	return slices.Concat(findings, surplus(s), destinations(s))
}

// DrillTables reads from the text of the SQL function which tables a drill restores. It
// returns none where there is no such function, or its text does not show them. It
// makes one read-only statement for all backups with the same SQL function.
func DrillTables(ctx context.Context, project Project, spec backup.Spec) ([]drill.Table, error) {
	document, err := project.Ask(ctx, facts.Request{Parts: []facts.Part{"named_relations", "routines"}, Parameters: map[string]any{
		"rpc": spec.Settings.Function.RPC, "table": nil, "zones": "[]", "code": "read", "planning": "yes",
	}})
	if err != nil {
		return nil, fmt.Errorf("read the SQL function of project %s: %w", spec.ID.ProjectRef, err)
	}
	return drillTables(&checks.Subject{ID: spec.ID, Spec: spec, Document: document}), nil
}

func drillTables(s *checks.Subject) []drill.Table {
	routine, ok := s.Callee()
	if !ok || routine.Source == "" {
		return nil
	}
	return drill.Tables(plsql.Read(routine.Source), func(n plsql.Name) (string, bool) { return s.Resolve(n.Schema, n.Name, routine.Path()) })
}
