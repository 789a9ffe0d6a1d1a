package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// ModifyPlan renders what the configuration wants as the plan's computed
// values. Terraform compares them with what the last refresh found, so every
// drift of the project shows at its own attribute and is repaired in place.
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
	settings, source, known := r.planWanted(ctx, config, &plan, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	if !known {
		plan.forgetComputed()
	} else {
		plan.keepDurations(state)
		plan.render(settings, source, config, state, r.projects, &resp.Diagnostics)
	}
	replaced := len(resp.RequiresReplace) > 0
	plan.planProof(state, known, replaced)
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
	if resp.Diagnostics.HasError() || !known || r.projects == nil {
		return
	}
	spec := backup.Spec{ID: plan.id(), Settings: settings, Source: source, ExtendLogConstraint: plan.LogConstraint.ValueString() == logConstraintExtend, Adopt: plan.AdoptExisting.ValueBool()}
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
		warnCrowding(settings, &resp.Diagnostics)
		warnDayFields(settings.Schedules, time.Now(), &resp.Diagnostics)
	}
	if state == nil {
		r.checkNewBackup(ctx, spec, replanned != nil, &resp.Diagnostics)
	} else {
		warnClone(plan, *state, &resp.Diagnostics)
		if !state.LogAcceptsAutoBackup.ValueBool() {
			checkLog(spec, &resp.Diagnostics)
		}
		r.checkPresentBackup(ctx, spec, *state, &resp.Diagnostics)
	}
	if resp.Diagnostics.HasError() || resp.Plan.Raw.Equal(req.State.Raw) {
		return // an empty plan asks the project for nothing more
	}
	// What changes anything is proved when it is applied.
	plan.Proof = plan.Verify
	plan.Coverage = r.preflight(ctx, spec, plan, state, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
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

// planWanted reads the wanted settings and source. It answers false when they
// are not known yet.
func (r *autoBackupResource) planWanted(ctx context.Context, config autoBackupModel, plan *autoBackupModel, diags *diag.Diagnostics) (backup.Settings, source.Source, bool) {
	if diags.HasError() {
		return backup.Settings{}, source.Source{}, false
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
		return settings, source.Source{}, false
	}
	code, known, more := plan.source(ctx, settings)
	diags.Append(more...)
	if r.projects != nil {
		r.projects.checkSelfHosted(plan.Name.ValueString(), code, config.Secrets.Elements(), diags)
	}
	settings.Secrets = slices.Sorted(maps.Keys(config.Secrets.Elements()))
	if settings.Secrets == nil {
		settings.Secrets = []string{}
	}
	return settings, code, known && !unknownProject
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

// forgetComputed plans every computed value as known after apply.
func (m *autoBackupModel) forgetComputed() {
	m.FunctionURL, m.FunctionStatus, m.FunctionRevision = types.StringUnknown(), types.StringUnknown(), types.StringUnknown()
	m.FunctionEntrypoint, m.FunctionImportMap, m.AlertURL = types.StringUnknown(), types.StringUnknown(), types.StringUnknown()
	m.TokenDigest, m.DispatcherVersion, m.Drift = types.StringUnknown(), types.StringUnknown(), types.MapUnknown(types.StringType)
	m.FunctionVerifyJWT, m.LogAcceptsAutoBackup = types.BoolUnknown(), types.BoolUnknown()
	m.SourceFiles, m.SecretFingerprints = types.MapUnknown(types.StringType), types.MapUnknown(types.StringType)
	m.Jobs = types.MapUnknown(jobType)
	m.Coverage, m.Proof = types.ObjectUnknown(coverageType.AttrTypes), types.StringUnknown()
}

// render plans the computed values. One that an apply has to find out is
// unknown; every other one is what the project has to show afterwards.
func (m *autoBackupModel) render(settings backup.Settings, code source.Source, config autoBackupModel, state *autoBackupModel, p *projects, diags *diag.Diagnostics) {
	if state == nil {
		state = &autoBackupModel{}
	}
	if overdue, ok := m.Alert.Attributes()["overdue_after"]; ok && overdue.IsUnknown() {
		m.setOverdueAfter(types.StringValue(formatDuration(time.Duration(settings.Alert.OverdueAfterSeconds) * time.Second)))
	}
	m.FunctionURL = types.StringValue(settings.Function.URL)
	m.FunctionStatus = types.StringValue(backup.StatusActive)
	m.FunctionVerifyJWT = types.BoolValue(false)
	m.FunctionEntrypoint, m.FunctionImportMap = types.StringValue(source.Entrypoint), textOrNull(code.ImportMap)
	m.AlertURL = types.StringValue(settings.Alert.URL)
	m.SourceFiles = mapOf(code.Digests())
	m.FunctionRevision = types.StringUnknown()
	if m.SourceFiles.Equal(state.SourceFiles) && m.FunctionStatus.Equal(state.FunctionStatus) && m.FunctionVerifyJWT.Equal(state.FunctionVerifyJWT) &&
		m.FunctionEntrypoint.Equal(state.FunctionEntrypoint) && m.FunctionImportMap.Equal(state.FunctionImportMap) {
		m.FunctionRevision = state.FunctionRevision
	}
	m.TokenDigest = types.StringUnknown()
	if isDigest(state.TokenDigest.ValueString()) && m.RotateToken.Equal(state.RotateToken) {
		m.TokenDigest = state.TokenDigest
	}
	m.DispatcherVersion, m.Drift = types.StringValue(payload.LoadDispatcher().Version), mapOf(nil)
	m.LogAcceptsAutoBackup = types.BoolValue(true)

	spec := backup.Spec{ID: m.id(), Settings: settings}
	former := state.Jobs.Elements()
	jobs := map[string]attr.Value{}
	for key, job := range spec.Jobs() {
		id := types.Int64Unknown()
		// A job that belongs to another role is made anew.
		if object, ok := former[key].(types.Object); ok && object.Attributes()["username"].Equal(types.StringValue(job.Username)) {
			id, _ = object.Attributes()["job_id"].(types.Int64)
		}
		jobs[key] = jobObject(job, id, dueOf(settings, key))
	}
	m.Jobs = types.MapValueMust(jobType, jobs)

	fingerprints := map[string]attr.Value{}
	known := stringsOf(state.SecretFingerprints)
	for name, element := range config.Secrets.Elements() {
		fingerprints[name] = types.StringUnknown()
		value, _ := element.(types.String)
		if value.IsUnknown() {
			continue
		}
		same, err := p.fingerprints.Matches(known[name], value.ValueString())
		if err != nil {
			diags.AddError("Cannot fingerprint a secret", err.Error())
			return
		}
		if same {
			fingerprints[name] = types.StringValue(known[name])
		}
	}
	m.SecretFingerprints = types.MapValueMust(types.StringType, fingerprints)
}

// planProof plans what only a plan and an apply can know. It stays as it is, so
// that it makes no difference by itself, unless the last proof failed: then the
// next apply is to prove again, and a plan says so.
func (m *autoBackupModel) planProof(state *autoBackupModel, known, replaced bool) {
	switch {
	case !known:
	case state == nil || replaced:
		m.Coverage, m.Proof = types.ObjectUnknown(coverageType.AttrTypes), m.Verify
	default:
		m.Coverage, m.Proof = state.Coverage, state.Proof
		if state.Proof.ValueString() == proofFailed {
			m.Proof = m.Verify
		}
	}
}

func isDigest(text string) bool { return len(text) == 64 }

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
func (r *autoBackupResource) checkPresentBackup(ctx context.Context, spec backup.Spec, state autoBackupModel, diags *diag.Diagnostics) {
	jobs, secrets := state.Jobs.Elements(), state.SecretFingerprints.Elements()
	added := slices.ContainsFunc(spec.Settings.Secrets, func(name string) bool { return secrets[name] == nil })
	for key := range spec.Jobs() {
		added = added || jobs[key] == nil
	}
	if _, refreshed := r.projects.run.saw(spec.ID); !added && !refreshed {
		return
	}
	service, err := r.projects.service(spec.ID.ProjectRef)
	if err != nil {
		addError(diags, "Cannot reach the project", err)
		return
	}
	found, err := service.ObserveCached(ctx, spec.ID.Name, state.known())
	if err != nil {
		addError(diags, "Cannot read the project", r.projects.explain(ctx, spec.ID.ProjectRef, err))
		return
	}
	if err := found.Foreign(spec); err != nil {
		addError(diags, "Objects of the backup's names exist", err)
		return
	}
	tellOwnership(spec, found, diags)
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
func warnClone(plan, state autoBackupModel, diags *diag.Diagnostics) {
	for _, address := range []struct {
		name            string
		wanted, present string
	}{
		{"function_url", plan.FunctionURL.ValueString(), state.FunctionURL.ValueString()},
		{"alert_url", plan.AlertURL.ValueString(), state.AlertURL.ValueString()},
	} {
		here, _, _ := strings.Cut(address.wanted, "/functions/v1/")
		there, _, isURL := strings.Cut(address.present, "/functions/v1/")
		if isURL && here != there {
			diags.AddAttributeWarning(path.Root(address.name), "The database calls another project",
				fmt.Sprintf("The settings of backup %s name %s, which is not this project. This happens when a database is cloned, branched or restored from another project. Apply makes them name %s.",
					plan.ID.ValueString(), address.present, address.wanted))
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
	diags.AddAttributeWarning(at, "A CHECK of the application is widened",
		"A CHECK of public.backup_logs refuses action_type 'auto_backup'. Apply replaces it by one of the same name that also accepts 'auto_backup' (NOT VALID), and destroy puts the old rule back.")
}

// planFrom reads a plan together with the write-only arguments, which only the
// configuration has.
func planFrom(ctx context.Context, plan tfsdk.Plan, config tfsdk.Config) (autoBackupModel, map[string]string, diag.Diagnostics) {
	var model, written autoBackupModel
	diags := plan.Get(ctx, &model)
	diags.Append(config.Get(ctx, &written)...)
	return model, stringsOf(written.Secrets), diags
}
