package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// ModifyPlan plans what an apply makes of the backup. A refresh has put into
// `drift` whatever is not as it was applied; a plan always plans it empty, so
// that drift is an update in place.
func (r *autoBackupResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		r.planRemoval(ctx, req, resp)
		return
	}
	var plan, config autoBackupModel
	var state *autoBackupModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if !req.State.Raw.IsNull() {
		state = &autoBackupModel{}
		resp.Diagnostics.Append(req.State.Get(ctx, state)...)
	}
	timeout, more := plan.Timeouts.Read(ctx, defaultTimeout)
	resp.Diagnostics.Append(more...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.planProject(config, state, &plan, resp)
	wanted, known := r.planWanted(ctx, config, &plan, state, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	replaced := len(resp.RequiresReplace) > 0
	if !known {
		plan.forget()
		resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
		return
	}
	plan.keepDurations(state)
	p := planning{id: plan.id(), settings: wanted.Settings, digests: wanted.digests(), verify: plan.Verify, secrets: config.Secrets.Elements(), fingerprints: &r.projects.fingerprints}
	if !replaced {
		p.state = state
	}
	if overdue, ok := plan.Alert.Attributes()["overdue_after"]; ok && overdue.IsUnknown() {
		plan.setOverdueAfter(durationOf(wanted.Settings.Alert.OverdueAfterSeconds))
	}
	plan.plan(p, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	changed := !resp.Plan.Raw.Equal(req.State.Raw)
	if changed && !plan.Verified.Equal(plan.Verify) {
		// What changes anything is verified when it is applied.
		plan.Verified = plan.Verify
		resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
	}
	spec := backup.Spec{
		ID: plan.id(), Settings: wanted.Settings, Source: wanted.source,
		ExtendLogConstraint: plan.LogConstraint.ValueString() == logConstraintExtend, Adopt: plan.AdoptExisting.ValueBool(),
	}
	if state != nil && state.id() != spec.ID {
		// Terraform asks again, for the backup that is to come in its place.
		resp.Diagnostics.Append(resp.Private.SetKey(ctx, replannedKey, []byte("true"))...)
		return
	}
	replanned, more := req.Private.GetKey(ctx, replannedKey)
	resp.Diagnostics.Append(more...)
	switch {
	case state != nil:
		resp.Diagnostics.Append(resp.Private.SetKey(ctx, replannedKey, []byte("true"))...)
		r.planOnce(spec.ID, keeps, &resp.Diagnostics)
	case replanned == nil:
		r.planOnce(spec.ID, makes, &resp.Diagnostics)
	}
	if state == nil || !plan.Schedules.Equal(state.Schedules) {
		warnCrowding(wanted.Settings, &resp.Diagnostics)
		warnDayFields(wanted.Settings.Schedules, time.Now(), &resp.Diagnostics)
	}
	if state != nil {
		r.warnChangedSecrets(spec.ID, plan, *state, &resp.Diagnostics)
	}
	if state == nil {
		r.checkNewBackup(ctx, spec, replanned != nil, &resp.Diagnostics)
	} else {
		r.checkPresentBackup(ctx, spec, *state, appliedOf(ctx, req.Private, &resp.Diagnostics), &resp.Diagnostics)
	}
	if resp.Diagnostics.HasError() || !changed {
		return // an empty plan asks the project for nothing more
	}
	r.preflight(ctx, spec, plan, state, &resp.Diagnostics)
}

// planProject decides which project a backup belongs to.
func (r *autoBackupResource) planProject(config autoBackupModel, state *autoBackupModel, plan *autoBackupModel, resp *resource.ModifyPlanResponse) {
	switch {
	case !config.ProjectRef.IsNull():
		plan.ProjectRef = config.ProjectRef
	case r.projects == nil:
		plan.ProjectRef = types.StringUnknown()
	case r.projects.config.ProjectRef == "":
		resp.Diagnostics.AddAttributeError(path.Root("project_ref"), "Missing project",
			"Neither the resource nor the provider names a project. Set `project_ref` here or in the provider block, or the environment variable "+envProjectRef+".")
	default:
		plan.ProjectRef = types.StringValue(r.projects.config.ProjectRef)
	}
	if r.projects != nil && !plan.ProjectRef.IsUnknown() {
		if err := r.projects.serves(plan.ProjectRef.ValueString()); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("project_ref"), "Wrong project", text.Sentence(err.Error()))
		}
	}
	plan.ID = types.StringUnknown()
	if !plan.ProjectRef.IsUnknown() && !plan.Name.IsUnknown() {
		plan.ID = types.StringValue(plan.id().String())
	}
	if state != nil && !plan.ProjectRef.Equal(state.ProjectRef) {
		resp.RequiresReplace = append(resp.RequiresReplace, path.Root("project_ref"))
	}
}

// wanted is what a configuration wants of a project.
type wanted struct {
	Settings backup.Settings
	source   source.Source
	// unreadable says that the source cannot be read, and that the plan only
	// warns of it.
	unreadable bool
}

func (w wanted) digests() map[string]string {
	if w.unreadable {
		return nil
	}
	return w.source.Digests()
}

// planWanted reads the wanted settings and source. It reports false when they
// are not known yet.
func (r *autoBackupResource) planWanted(ctx context.Context, config autoBackupModel, plan, state *autoBackupModel, diags *diag.Diagnostics) (wanted, bool) {
	if diags.HasError() {
		return wanted{}, false
	}
	// An argument that is left out is computed from the schedules, and so is
	// not what the state remembers.
	if !config.Alert.IsUnknown() && !plan.Alert.IsUnknown() {
		var own alertModel
		if !config.Alert.IsNull() {
			diags.Append(config.Alert.As(ctx, &own, basetypes.ObjectAsOptions{})...)
		}
		plan.setOverdueAfter(own.OverdueAfter)
	}
	unknownProject := r.projects == nil || plan.ProjectRef.IsUnknown() || plan.Name.IsUnknown()
	var front gateway
	if !unknownProject {
		front = r.projects.config.gateway(plan.ProjectRef.ValueString())
	}
	settings, known, more := plan.settings(ctx, front, time.Now())
	diags.Append(more...)
	if !known || config.Secrets.IsUnknown() {
		return wanted{}, false
	}
	code, known, more := plan.source(ctx, settings)
	w := wanted{Settings: settings, source: code}
	if more.HasError() && state != nil {
		// Terraform plans an update before it destroys, and a destroy needs no
		// source. The apply of an update refuses it.
		w.unreadable, known, more = true, true, warnings(more)
	}
	diags.Append(more...)
	if r.projects != nil {
		r.projects.checkSelfHosted(plan.Name.ValueString(), code, config.Secrets.Elements(), diags)
	}
	w.Settings.Secrets = slices.Sorted(maps.Keys(config.Secrets.Elements()))
	if w.Settings.Secrets == nil {
		w.Settings.Secrets = []string{}
	}
	return w, known && !unknownProject
}

// warnings turns errors into warnings of what an apply refuses.
func warnings(errors diag.Diagnostics) diag.Diagnostics {
	var result diag.Diagnostics
	for _, d := range errors {
		const then = " An apply refuses this before it changes anything; a destroy does not need it."
		if at, ok := d.(diag.DiagnosticWithPath); ok {
			result.AddAttributeWarning(at.Path(), d.Summary(), d.Detail()+then)
		} else {
			result.AddWarning(d.Summary(), d.Detail()+then)
		}
	}
	return result
}

func (m *autoBackupModel) setOverdueAfter(value types.String) {
	attributes := m.Alert.Attributes()
	if value.IsNull() {
		value = types.StringUnknown()
	}
	attributes["overdue_after"] = value
	m.Alert = types.ObjectValueMust(alertType.AttrTypes, attributes)
}

// keepDurations keeps a duration as the state has it when the configuration
// only writes it in another way.
func (m *autoBackupModel) keepDurations(state *autoBackupModel) {
	if state == nil {
		return
	}
	keep := func(object, former types.Object, of types.ObjectType, name string) types.Object {
		attributes := object.Attributes()
		wanted, _ := attributes[name].(types.String)
		present, ok := former.Attributes()[name].(types.String)
		if !ok || present.IsNull() || wanted.IsNull() || wanted.IsUnknown() || seconds(wanted) != seconds(present) {
			return object
		}
		attributes[name] = present
		return types.ObjectValueMust(of.AttrTypes, attributes)
	}
	m.Retry = keep(m.Retry, state.Retry, retryType, "delay")
	m.Alert = keep(m.Alert, state.Alert, alertType, "overdue_after")
}

// checkNewBackup looks at the project before a backup is made in it: whether
// something of its names is there, and what else runs the same backup. The
// backup may be meant to replace another one.
func (r *autoBackupResource) checkNewBackup(ctx context.Context, spec backup.Spec, replaces bool, diags *diag.Diagnostics) {
	service, err := r.projects.service(spec.ID.ProjectRef)
	if err != nil {
		addError(diags, "Cannot reach the project", err)
		return
	}
	known, replaced := r.projects.run.saw(spec.ID)
	found, err := service.ObserveCached(ctx, spec.ID.Name, known)
	if err != nil {
		addError(diags, "Cannot read the project", r.projects.explain(ctx, spec.ID.ProjectRef, err))
		return
	}
	if replaced {
		checkReplacement(found, replaces, diags)
	} else {
		checkInstalled(spec, found, diags)
	}
	if diags.HasError() {
		return
	}
	if err := found.Foreign(spec); err != nil {
		addError(diags, "Objects of the backup's names exist", err)
		return
	}
	if !found.AdmitsLog() {
		checkLog(spec, diags)
	}
	tellOwnership(spec, found, diags)
}

// checkPresentBackup looks at what a known backup adds to itself and at what
// runs beside it. Without a refresh it looks only when something is added.
func (r *autoBackupResource) checkPresentBackup(ctx context.Context, spec backup.Spec, state autoBackupModel, was *applied, diags *diag.Diagnostics) {
	schedules, secrets := state.Schedules.Elements(), state.SecretFingerprints.Elements()
	added := slices.ContainsFunc(spec.Settings.Secrets, func(name string) bool { return secrets[name] == nil })
	for key := range spec.Settings.Schedules {
		added = added || schedules[key] == nil
	}
	if _, refreshed := r.projects.run.saw(spec.ID); !added && !refreshed {
		return
	}
	service, err := r.projects.service(spec.ID.ProjectRef)
	if err != nil {
		addError(diags, "Cannot reach the project", err)
		return
	}
	found, err := service.ObserveCached(ctx, spec.ID.Name, state.known(ctx, was))
	if err != nil {
		addError(diags, "Cannot read the project", r.projects.explain(ctx, spec.ID.ProjectRef, err))
		return
	}
	if err := found.Foreign(spec); err != nil {
		addError(diags, "Objects of the backup's names exist", err)
		return
	}
	if found.Settings != nil {
		warnClone(spec, *found.Settings, diags)
	}
	if !found.AdmitsLog() && !spec.ExtendLogConstraint {
		checkLog(spec, diags)
	}
	tellOwnership(spec, found, diags)
}

// warnChangedSecrets names the secrets that an apply replaces, where this run has
// not refreshed the backup: it applies a saved plan then, and Terraform has read
// ephemeral values again. Nothing tells the provider what they were before.
func (r *autoBackupResource) warnChangedSecrets(id backup.ID, plan, state autoBackupModel, diags *diag.Diagnostics) {
	if _, refreshed := r.projects.run.saw(id); refreshed {
		return
	}
	known := state.SecretFingerprints.Elements()
	var changed []string
	for name, fingerprint := range plan.SecretFingerprints.Elements() {
		if fingerprint.IsUnknown() && known[name] != nil {
			changed = append(changed, name)
		}
	}
	if len(changed) == 0 {
		return
	}
	slices.Sort(changed)
	diags.AddAttributeWarning(path.Root("secrets"), "Secrets get the value that they have now",
		fmt.Sprintf("An apply reads ephemeral values again, and %s differ from what was applied last. If Terraform now reports an inconsistent final plan, a value has changed since the plan was made: plan again. Otherwise the present values are written.", strings.Join(changed, ", ")))
}

// checkInstalled decides about a backup that is to be made and is there, with
// this provider's ownership marker: what a dead apply seems to have left is taken over,
// anything else refused.
func checkInstalled(spec backup.Spec, found backup.State, diags *diag.Diagnostics) {
	switch {
	case !found.Exists() || !found.Marked || spec.Adopt:
	case found.LeftBehind():
		when := "its installation was begun and not finished"
		if !found.Unfinished {
			when = "its installation was finished only " + formatDuration(found.Age.Round(time.Second)) + " ago"
		}
		diags.AddWarning("An interrupted apply is continued",
			fmt.Sprintf("Backup %s is in the project, but not in this state, and %s. It looks like what an apply has left that died before it could save its state, so it is taken over and made what the configuration says. If another configuration manages it, do not apply; choose another `name`.", spec.ID, when))
	default:
		diags.AddError("Backup exists already", fmt.Sprintf("Backup %s is installed and managed by this provider, but not in this state.\n\n%s", spec.ID, importBlock(spec.ID)))
	}
}

// warnClone says that the database is a copy of another project's: its jobs
// call the other project's function until they are repaired.
func warnClone(spec backup.Spec, found backup.Settings, diags *diag.Diagnostics) {
	for _, address := range [][2]string{
		{spec.Settings.Function.URL, found.Function.URL}, {spec.Settings.Alert.URL, found.Alert.URL},
	} {
		here, _, _ := strings.Cut(address[0], "/functions/v1/")
		there, _, isURL := strings.Cut(address[1], "/functions/v1/")
		if isURL && here != there {
			diags.AddWarning("The database calls another project",
				fmt.Sprintf("The settings of backup %s name %s, which is not this project. This happens when a database is cloned, branched or restored from another project. Apply makes them name %s.",
					spec.ID, address[1], address[0]))
			return
		}
	}
}

// warnCrowding says which schedules come too close to each other.
func warnCrowding(settings backup.Settings, diags *diag.Diagnostics) {
	crowded, err := backup.Crowded(settings.Schedules)
	if err != nil {
		addError(diags, "Invalid schedule", err)
		return
	}
	for _, c := range crowded {
		at := path.Root("schedules").AtMapKey(c.Keys[0])
		if len(c.Keys) == 1 {
			diags.AddAttributeWarning(at, "The backup runs more often than hourly",
				fmt.Sprintf("Two runs of %q are only %s apart. Every run copies all tables into the same database, which grows by as much.", c.Keys[0], formatDuration(c.Gap)))
			continue
		}
		diags.AddAttributeWarning(at, "Two schedules meet",
			fmt.Sprintf("A run of %q and one of %q are only %s apart, so one may start while the other still runs. Move one of them, or take it out.", c.Keys[0], c.Keys[1], formatDuration(c.Gap)))
	}
}

func checkLog(spec backup.Spec, diags *diag.Diagnostics) {
	at := path.Root("log_constraint")
	if !spec.ExtendLogConstraint {
		diags.AddAttributeError(at, "The log refuses automatic backups",
			"A CHECK of public.backup_logs refuses action_type 'auto_backup', and `log_constraint = \"require\"` leaves it to others to admit it. Widen the CHECK in your own migrations, or set `log_constraint = \"extend\"`.")
		return
	}
	diags.AddAttributeWarning(at, "A rule of the application is widened",
		"A CHECK constraint of public.backup_logs allows only some values of action_type, and not 'auto_backup', with which automatic backups are logged. This backup adds that value to the constraint. Existing rows are not checked again, and destroy restores the old constraint.")
}

// planFrom reads a plan together with the write-only arguments, which only the
// configuration has.
func planFrom(ctx context.Context, plan tfsdk.Plan, config tfsdk.Config) (autoBackupModel, map[string]string, diag.Diagnostics) {
	var model, written autoBackupModel
	diags := plan.Get(ctx, &model)
	diags.Append(config.Get(ctx, &written)...)
	return model, stringsOf(written.Secrets), diags
}
