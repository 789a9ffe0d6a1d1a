package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/preflight"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const cannotWork = "The backup cannot work in this project"

// preflight adds a diagnostic for everything that would keep the backup from working
// in the project, before anything is written. state is nil if the backup is to be
// created.
func (r *autoBackupResource) preflight(ctx context.Context, spec backup.Spec, plan autoBackupModel, state *autoBackupModel, diags *diag.Diagnostics) {
	spec.New = state == nil
	spec.KeepsSchedules = state != nil && plan.Schedules.Equal(state.Schedules)
	spec.KeepsDrill = state != nil && plan.Drill.Equal(state.Drill) && plan.Function.Equal(state.Function)
	spec.KeepsRetention = state != nil && plan.Retention.Equal(state.Retention)
	spec.KeptDestinations = plan.keptDestinations(state)
	for _, finding := range r.findings(ctx, spec, plan, diags) {
		text := finding.Message + "\n\nWhat to do: " + finding.Remedy
		severity := finding.Severity
		if severity == checks.Error && state != nil && !stops(finding, plan, *state) {
			severity = checks.Warning
			text += "\n\nThis plan changes something else, so it is not stopped, but no backup works until this is fixed."
		}
		tellFinding(finding, severity, text, diags)
	}
}

// findings returns what keeps the backup from working in the project. If it cannot be
// found out, it adds a diagnostic and returns nil.
func (r *autoBackupResource) findings(ctx context.Context, spec backup.Spec, plan autoBackupModel, diags *diag.Diagnostics) []checks.Finding {
	service := r.service(spec.ID.ProjectRef, diags)
	if service == nil {
		return nil
	}
	spec.OwnSource = !plan.Function.IsUnknown() && !plan.Function.Attributes()["source_dir"].IsNull()
	findings, err := preflight.Check(ctx, install.Early{Service: service}, spec)
	if err != nil {
		r.projects.addReadError(ctx, diags, "Cannot check the project", spec.ID.ProjectRef, err)
	}
	return findings
}

// warnOfFunction warns that no backup works with the SQL function that has replaced
// the one of the last apply. The plan itself changes nothing, so it is not stopped.
func (r *autoBackupResource) warnOfFunction(ctx context.Context, spec backup.Spec, plan autoBackupModel, diags *diag.Diagnostics) {
	spec.KeepsSchedules, spec.KeepsRetention = true, true
	spec.KeptDestinations = slices.Collect(maps.Keys(plan.Offsite.Elements()))
	for _, finding := range r.findings(ctx, spec, plan, diags) {
		// What is not about the function was there at the last apply.
		if finding.Severity == checks.Error || strings.HasPrefix(finding.Code, "rpc_") {
			text := fmt.Sprintf("%s\n\nWhat to do: %s\n\nThe function %s was changed since the last apply. The plan does not change it.",
				finding.Message, finding.Remedy, spec.Settings.Function.RPC)
			tellFinding(finding, checks.Warning, text, diags)
		}
	}
}

// tellFinding adds the diagnostic of a finding.
func tellFinding(finding checks.Finding, severity checks.Severity, text string, diags *diag.Diagnostics) {
	switch {
	case severity == checks.Error && finding.Attribute == "":
		diags.AddError(cannotWork, text)
	case severity == checks.Error:
		diags.AddAttributeError(findingPath(finding.Attribute), cannotWork, text)
	// Terraform shows one of several warnings with the same heading.
	case finding.Attribute == "":
		diags.AddWarning(codes.Lookup(finding.Code, "").Meaning, text)
	default:
		diags.AddAttributeWarning(findingPath(finding.Attribute), codes.Lookup(finding.Code, "").Meaning, text)
	}
}

// addReadError is addError for a read of a project that has failed.
func (p *projects) addReadError(ctx context.Context, diags *diag.Diagnostics, summary, ref string, err error) {
	last := ""
	if refused := (*supabase.Error)(nil); errors.As(err, &refused) && p.config.APIURL != supabase.DefaultBaseURL {
		last = fmt.Sprintf("The Management API is the one at %s: that of `api_url` in the provider block, or else of the environment variable %s.", p.config.APIURL, envAPIURL)
	}
	addErrorAdvice(diags, summary, p.explain(ctx, ref, err), last)
}

// explain adds the project's status to the error of a read if the project is not
// up, because the requests to a paused database only time out.
func (p *projects) explain(ctx context.Context, ref string, err error) error {
	known := []error{supabase.ErrUnauthorized, supabase.ErrForbidden, supabase.ErrNotFound, supabase.ErrProjectGone}
	if p.config.SelfHosted != nil || ctx.Err() != nil || slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }) {
		return err
	}
	project, unread := p.client.Project(ctx, ref)
	switch {
	case unread != nil, project.Status == "", project.Status == statusHealthy:
		return err
	case project.Status == statusPaused:
		return fmt.Errorf("project %s is paused; restore it in the dashboard (https://supabase.com/dashboard/project/%s), and plan again when it is up: %w", ref, ref, err)
	}
	return fmt.Errorf("project %s is not up, its status is %s; plan again when it is %s: %w", ref, project.Status, statusHealthy, err)
}

// statusHealthy is the status of a project that is up.
const statusHealthy = "ACTIVE_HEALTHY"

// stops decides whether an error stops the change of a backup that is
// installed. To stop a repair is worse than to repair what cannot work yet: while
// somebody fixes backup_all_data, a lost token or a disabled job has to be fixed as
// well. So a change is stopped only if it would make things worse or cannot be
// written at all: the plan itself names what does not work, or the database takes
// no writes, and an apply would fail half-way.
func stops(finding checks.Finding, plan, state autoBackupModel) bool {
	if finding.Writes {
		return true
	}
	root, rest, _ := strings.Cut(finding.Attribute, ".")
	changed := func(wanted, present types.Object) bool {
		return !present.IsNull() && !wanted.Attributes()[rest].Equal(present.Attributes()[rest])
	}
	switch root {
	case "function":
		return changed(plan.Function, state.Function)
	case "timezone":
		return !plan.Timezone.Equal(state.Timezone)
	case "drill":
		return changed(plan.Drill, state.Drill)
	case "offsite":
		return !plan.Offsite.Equal(state.Offsite)
	case "schedules":
		// With a key it is about that schedule, else about the scheduler.
		return rest != "" && !plan.Schedules.Equal(state.Schedules)
	case "log_constraint":
		return true // the apply would stop half-way
	}
	return false
}

// findingPath parses the path of a finding's attribute.
func findingPath(text string) path.Path {
	steps := strings.Split(text, ".")
	at := path.Root(steps[0])
	for i, step := range steps[1:] {
		if (steps[0] == "schedules" || steps[0] == "offsite") && i == 0 {
			at = at.AtMapKey(step)
		} else {
			at = at.AtName(step)
		}
	}
	return at
}
