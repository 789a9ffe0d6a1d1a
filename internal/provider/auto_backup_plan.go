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
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// ModifyPlan completes the plan. A refresh has put everything that differs from
// what was applied into `drift`; a plan always plans it empty, so drift leads to an
// update in place.
func (r *autoBackupResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		r.planRemoval(ctx, req, resp)
		return
	}
	var plan, config autoBackupModel
	var state *autoBackupModel
	resp.Diagnostics.Append(plan.get(ctx, req.Plan)...)
	resp.Diagnostics.Append(config.get(ctx, req.Config)...)
	if !req.State.Raw.IsNull() {
		state = &autoBackupModel{}
		resp.Diagnostics.Append(state.get(ctx, req.State)...)
	}
	timeout, more := plan.Timeouts.Read(ctx, defaultTimeout)
	resp.Diagnostics.Append(more...)
	if resp.Diagnostics.HasError() {
		return
	}
	if config.Alert.IsNull() {
		plan.Alert = defaultAlert()
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
		resp.Diagnostics.Append(plan.set(ctx, &resp.Plan)...)
		return
	}
	plan.keepDurations(state)
	plan.keepRecipients(state)
	r.followDatabase(ctx, &wanted.Settings, plan, state, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	p := planning{id: plan.id(), settings: wanted.Settings, digests: wanted.digests(), verify: plan.Verify, secrets: config.fingerprinted(ctx), unsure: config.maySign(ctx), fingerprints: r.projects.fingerprints}
	if !replaced {
		p.state = state
	}
	if overdue, ok := plan.Alert.Attributes()["overdue_after"]; ok && overdue.IsUnknown() {
		plan.setOverdueAfter(durationOf(wanted.Settings.Alert.OverdueAfterSeconds))
	}
	plan.plan(p, &resp.Diagnostics)
	resp.Diagnostics.Append(plan.set(ctx, &resp.Plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	changed := !resp.Plan.Raw.Equal(req.State.Raw)
	if changed && !plan.Verified.Equal(plan.Verify) {
		// An apply that changes anything verifies the backup.
		plan.Verified = plan.Verify
		resp.Diagnostics.Append(plan.set(ctx, &resp.Plan)...)
	}
	spec := backup.Spec{
		ID: plan.id(), Settings: wanted.Settings, Source: wanted.source,
		ExtendLogConstraint: plan.LogConstraint.ValueString() == logConstraintExtend, Adopt: plan.AdoptExisting.ValueBool(),
	}
	if state != nil && state.id() != spec.ID {
		// Terraform will ask again, for the backup that replaces this one.
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
		warnDayFields(wanted.Settings.Schedules, time.Now(), &resp.Diagnostics)
	}
	if state == nil || !plan.Drill.Equal(state.Drill) {
		warnDays(path.Root("drill"), wanted.Settings.Drill.Schedule, time.Now(), &resp.Diagnostics)
	}
	if state != nil {
		r.warnChangedSecrets(spec.ID, plan, *state, &resp.Diagnostics)
	}
	functionChanged := false
	if state == nil {
		r.checkNewBackup(ctx, spec, replanned != nil, appliedOf(ctx, req.Private, &resp.Diagnostics), &resp.Diagnostics)
	} else {
		functionChanged = r.checkPresentBackup(ctx, spec, *state, appliedOf(ctx, req.Private, &resp.Diagnostics), &resp.Diagnostics)
	}
	switch {
	case resp.Diagnostics.HasError():
	case changed:
		r.preflight(ctx, spec, plan, state, &resp.Diagnostics)
	case functionChanged:
		r.warnOfFunction(ctx, spec, plan, &resp.Diagnostics)
	}
	// Another empty plan needs no more requests.
}

// followDatabase compiles the schedules by the database's rules of their time zones,
// which decide when a backup is due. It reads them for a new backup and for new time
// zones; otherwise a refresh has read them, and without one the provider's rules do.
func (r *autoBackupResource) followDatabase(ctx context.Context, settings *backup.Settings, plan autoBackupModel, state *autoBackupModel, diags *diag.Diagnostics) {
	ref := plan.ProjectRef.ValueString()
	service, err := r.projects.service(ref)
	if err != nil {
		addError(diags, "Cannot reach the project", err)
		return
	}
	var rules schedule.Rules
	if state == nil || !plan.Schedules.Equal(state.Schedules) || !plan.Timezone.Equal(state.Timezone) || !plan.Drill.Equal(state.Drill) {
		if rules, err = service.ZoneChanges(ctx, backup.Name(plan.Name.ValueString()), settings.Zones()); err != nil {
			r.projects.addReadError(ctx, diags, "Cannot read the project", ref, err)
			return
		}
	} else {
		rules = service.KnownZoneChanges()
	}
	*settings = settings.Following(rules, time.Now())
}

// planProject sets the backup's project and ID in the plan.
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
		if config.ProjectRef.IsNull() && r.projects != nil && r.projects.refFromEnvironment {
			refuseVariable(envProjectRef, state.id(), plan.ProjectRef.ValueString(), &resp.Diagnostics)
		}
		resp.RequiresReplace = append(resp.RequiresReplace, path.Root("project_ref"))
	}
}

// refuseVariable refuses to move a backup to another project because of an environment
// variable alone: it may be that of another shell.
func refuseVariable(variable string, id backup.ID, ref string, diags *diag.Diagnostics) {
	diags.AddAttributeError(path.Root("project_ref"), "Only an environment variable would replace the backup",
		fmt.Sprintf("The state has backup %s, and no configuration names its project. The environment variable %s is %q, so an apply would remove the backup from project %s and install it in the other one. "+
			"Set %[2]s to %[4]q, the project of this state, or use the state of project %[3]s. To move the backup, write `project_ref = %[3]q` in the resource or the provider block.",
			id, variable, ref, id.ProjectRef))
}

// wanted is what a configuration declares.
type wanted struct {
	Settings backup.Settings
	source   source.Source
	// unreadable says that the source cannot be read, which is only a warning
	// in the plan.
	unreadable bool
}

func (w wanted) digests() map[string]string {
	if w.unreadable {
		return nil
	}
	return w.source.Digests()
}

// planWanted reads the settings and the source of the configuration. It reports
// false if they are not known yet.
func (r *autoBackupResource) planWanted(ctx context.Context, config autoBackupModel, plan, state *autoBackupModel, diags *diag.Diagnostics) (wanted, bool) {
	if diags.HasError() {
		return wanted{}, false
	}
	// If `overdue_after` is not set, it depends on the schedules, and not on the
	// state.
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
	settings, known := plan.settings(ctx, front, time.Now()).report(diags)
	if !known || config.Secrets.IsUnknown() {
		return wanted{}, false
	}
	code := plan.source(ctx, settings)
	w := wanted{Settings: settings, source: code.value}
	secrets := config.extraSecrets(ctx)
	if code.diags.HasError() && state != nil {
		// Terraform plans an update before a destroy, which needs no source. The
		// apply of an update refuses it.
		w.unreadable, code.known, code.diags = true, true, warnings(code.diags)
	}
	diags.Append(code.diags...)
	if r.projects != nil {
		r.projects.checkSelfHosted(config, plan.Name.ValueString(), code.value, secrets, diags)
	}
	w.Settings.Secrets = slices.Sorted(maps.Keys(secrets))
	if w.Settings.Secrets == nil {
		w.Settings.Secrets = []string{}
	}
	sign(&w.Settings, plan.id().Name, config.channelSecrets(ctx))
	return w, code.known && !unknownProject
}

// warnings turns errors into warnings that an apply will refuse.
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

// keepDurations keeps the state's text of a duration if the configuration writes
// the same duration differently.
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
	m.Drill = keep(m.Drill, state.Drill, drillType, "timeout")
}

// checkNewBackup checks the project in which a backup is to be created: for objects
// with the backup's names, and for jobs that run the same backup. replaces says
// that the backup may replace another one, and was what was applied to that.
func (r *autoBackupResource) checkNewBackup(ctx context.Context, spec backup.Spec, replaces bool, was *applied, diags *diag.Diagnostics) {
	service, err := r.projects.service(spec.ID.ProjectRef)
	if err != nil {
		addError(diags, "Cannot reach the project", err)
		return
	}
	known, replaced := r.projects.run.saw(spec.ID)
	was.tellSource(&known)
	found, err := service.ObserveFirst(ctx, spec.ID.Name, known)
	if err != nil {
		r.projects.addReadError(ctx, diags, "Cannot read the project", spec.ID.ProjectRef, err)
		return
	}
	warnClone(spec, found.Settings, diags)
	if replaced {
		checkReplacement(found, replaces, diags)
	} else {
		warnLease(spec.ID, found.Lease, diags) // else the refresh has
		r.checkInstalled(spec, found, diags)
	}
	if diags.HasError() {
		return
	}
	if err := found.Foreign(spec); err != nil {
		addError(diags, "Objects with the backup's names exist", err)
		return
	}
	if !found.AdmitsLog() {
		checkLog(spec, diags)
	}
	tellOwnership(spec, found, diags)
}

// checkPresentBackup checks the project of a backup that is to be updated, like
// checkNewBackup. Without a refresh it does so only if jobs or secrets are
// added. It reports whether the SQL function that makes the backup was changed since
// the last apply.
func (r *autoBackupResource) checkPresentBackup(ctx context.Context, spec backup.Spec, state autoBackupModel, was *applied, diags *diag.Diagnostics) (functionChanged bool) {
	schedules, secrets := state.Schedules.Elements(), state.SecretFingerprints.Elements()
	wanted := slices.Concat(spec.Settings.Secrets, spec.Settings.ChannelSecrets(spec.ID.Name))
	added := slices.ContainsFunc(wanted, func(name string) bool { return secrets[name] == nil })
	for key := range spec.Settings.Schedules {
		added = added || schedules[key] == nil
	}
	added = added || state.Drill.IsNull() || state.Retention.IsNull() && spec.Settings.Retention != nil
	if _, refreshed := r.projects.run.saw(spec.ID); !added && !refreshed {
		return false
	}
	service, err := r.projects.service(spec.ID.ProjectRef)
	if err != nil {
		addError(diags, "Cannot reach the project", err)
		return false
	}
	found, err := service.ObserveFirst(ctx, spec.ID.Name, state.known(ctx, was))
	if err != nil {
		r.projects.addReadError(ctx, diags, "Cannot read the project", spec.ID.ProjectRef, err)
		return false
	}
	if err := found.Foreign(spec); err != nil {
		addError(diags, "Objects with the backup's names exist", err)
		return false
	}
	warnClone(spec, found.Settings, diags)
	if !found.AdmitsLog() && !spec.ExtendLogConstraint {
		checkLog(spec, diags)
	}
	tellOwnership(spec, found, diags)
	return was != nil && was.RPC != "" && found.RPCs[spec.Settings.Function.RPC] != was.RPC
}

// warnChangedSecrets names the secrets that an apply replaces if this run has not
// refreshed the backup. It then applies a saved plan, for which Terraform has read
// ephemeral values again; the provider cannot know what they were in the plan.
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
	at := path.Root("secrets")
	if first := plan.secretPath(changed[0]); !at.AtMapKey(changed[0]).Equal(first) {
		at = first // a destination of copies, the heartbeat or a webhook has it
	}
	diags.AddAttributeWarning(at, "Secrets get their current values",
		fmt.Sprintf("An apply reads ephemeral values again, and %s differ from the last apply. If Terraform now reports an inconsistent final plan, a value has changed since the plan was made: plan again. Otherwise the current values are written.", strings.Join(changed, ", ")))
}

// checkInstalled checks for an installed backup, with this provider's ownership
// marker, that is to be created. One that an interrupted apply has left unfinished is
// continued. A finished one is an error, unless it is to be adopted: another state
// may have it.
func (r *autoBackupResource) checkInstalled(spec backup.Spec, found backup.State, diags *diag.Diagnostics) {
	claim := install.ClaimOf(found, spec.Adopt)
	if claim == install.ClaimRefused && r.projects.run.hasLost(spec.ID) {
		refuseLost(spec.ID, diags)
		return
	}
	switch claim {
	case install.ClaimFree:
	case install.ClaimContinue:
		diags.AddWarning("An interrupted apply is continued",
			fmt.Sprintf("Backup %s is in the project, but not in this state, and its installation was not finished. It is what an interrupted apply has left, so it is brought in line with the configuration. If another configuration is just installing it, do not apply; choose another `name`.", spec.ID))
	case install.ClaimAdopt:
		diags.AddAttributeWarning(path.Root("adopt_existing"), "An installed backup is adopted",
			fmt.Sprintf("Backup %s is installed by this provider, but is not in this state. Because `adopt_existing` is set, this state gets it, with its jobs and its run history. If another state has it too, that one's next plan says that the backup belongs to another state.", spec.ID))
	case install.ClaimRefused:
		diags.AddError("The backup already exists", fmt.Sprintf("Backup %s is installed by this provider, but is not in this state. Another configuration may manage it: then choose another `name` here, for example for a test. If none does, import it, or set `adopt_existing = true`.\n\n%s", spec.ID, importBlock(spec.ID)))
	}
}

// warnClone warns that the database is a copy of another project's: its jobs call
// that project's function until they are repaired.
func warnClone(spec backup.Spec, found *backup.Settings, diags *diag.Diagnostics) {
	if found == nil {
		return
	}
	there, here := found.Elsewhere(spec.Settings)
	if there == "" {
		return
	}
	detail := fmt.Sprintf("The settings of backup %s contain %s, which is not a URL of this project. This happens when a database is cloned, branched or restored from another project. "+
		"An apply changes it to %s, and gives the backup a token and an alert key of its own. It does not change the other project.",
		spec.ID, there, here)
	if len(found.ChannelSecrets(spec.ID.Name)) > 0 {
		// A clone has the vault's key, and so the URLs; a dump does not.
		detail += fmt.Sprintf("\n\nA clone also has the other project's URLs in `heartbeat` and `webhooks`. Until the apply, those who listen there are told of what fails here, as if it had failed there. "+
			"Give this project URLs of its own: two projects that ping one monitor hide each other's silence. If the apply has to wait, stop the jobs here, with SQL: "+
			"`select cron.alter_job(jobid, active := false) from cron.job where jobname like '%s-%%'`.", spec.ID.Name)
	}
	diags.AddWarning("The database calls another project", detail)
}

func checkLog(spec backup.Spec, diags *diag.Diagnostics) {
	at := path.Root("log_constraint")
	if !spec.ExtendLogConstraint {
		diags.AddAttributeError(at, "The log refuses automatic backups",
			"A CHECK of public.backup_logs refuses action_type 'auto_backup', and with `log_constraint = \"require\"` the provider does not change it. Widen the CHECK in your own migrations, or set `log_constraint = \"extend\"`.")
		return
	}
	diags.AddAttributeWarning(at, "A CHECK of the application is widened",
		"A CHECK constraint of public.backup_logs does not allow 'auto_backup' as action_type, with which automatic backups are logged. The apply adds that value to the constraint without checking existing rows again, and a destroy restores the old constraint.")
}

// written are the values of write-only arguments, which only the configuration has, by the
// names of their secrets.
type written struct {
	// secrets are the extra function secrets, channels the vault's secrets of the
	// heartbeat and of the webhooks.
	secrets, channels map[string]string
}

// planFrom reads a plan together with the write-only arguments. Terraform has validated the
// configuration again, with what was unknown when the plan was made.
func planFrom(ctx context.Context, plan tfsdk.Plan, config tfsdk.Config) (autoBackupModel, written, diag.Diagnostics) {
	var model, configured autoBackupModel
	diags := model.get(ctx, plan)
	diags.Append(configured.get(ctx, config)...)
	return model, written{stringsIn(configured.extraSecrets(ctx)), stringsIn(configured.channelSecrets(ctx))}, diags
}
