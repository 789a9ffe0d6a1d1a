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
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

var (
	_ resource.ResourceWithConfigure      = (*autoBackupResource)(nil)
	_ resource.ResourceWithValidateConfig = (*autoBackupResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*autoBackupResource)(nil)
	_ resource.ResourceWithImportState    = (*autoBackupResource)(nil)
	_ resource.ResourceWithIdentity       = (*autoBackupResource)(nil)
)

// defaultTimeout is how long an operation may take where the configuration
// says nothing.
const defaultTimeout = 10 * time.Minute

// lastLook is how long the state is read after an operation that failed or
// was interrupted, so that Terraform remembers what was done.
const lastLook = 30 * time.Second

type autoBackupResource struct {
	// projects is nil until the provider is configured.
	projects *projects
}

func newAutoBackupResource() resource.Resource { return &autoBackupResource{} }

func (r *autoBackupResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_auto_backup"
}

func (r *autoBackupResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.projects = configured(req.ProviderData, &resp.Diagnostics)
}

func (r *autoBackupResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	plan, secrets, diags := planFrom(ctx, req.Plan, req.Config)
	resp.Diagnostics.Append(diags...)
	timeout, diags := plan.Timeouts.Create(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.apply(ctx, plan, nil, secrets, storage{state: &resp.State, identity: resp.Identity, private: resp.Private}, &resp.Diagnostics)
}

func (r *autoBackupResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state autoBackupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	timeout, diags := state.Timeouts.Read(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, found, ok := r.observe(ctx, state, (*install.Service).ObserveCached, &resp.Diagnostics)
	if !ok {
		return
	}
	stored := storage{state: &resp.State, identity: resp.Identity, private: resp.Private}
	if !found.Exists() {
		stored.remove(ctx, state, &resp.Diagnostics)
		return
	}
	if found.Superseded(instanceOf(ctx, req.Private, &resp.Diagnostics)) {
		resp.Diagnostics.AddWarning("The backup belongs to another state now", fmt.Sprintf("Backup %s was made anew since this state has known it, so what the state knew is gone. What is there now is left alone.", found.ID))
		stored.remove(ctx, state, &resp.Diagnostics)
		return
	}
	r.projects.run.see(found.ID, state.known())
	resp.Diagnostics.Append(state.observe(ctx, found, &r.projects.fingerprints)...)
	stored.put(ctx, state, &resp.Diagnostics)
	if found.Settings != nil {
		keepInstance(ctx, resp.Private, found.Settings.Instance, &resp.Diagnostics)
	}
}

func (r *autoBackupResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	plan, secrets, diags := planFrom(ctx, req.Plan, req.Config)
	resp.Diagnostics.Append(diags...)
	var state autoBackupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	timeout, diags := plan.Timeouts.Update(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.apply(ctx, plan, &state, secrets, storage{state: &resp.State, identity: resp.Identity, private: resp.Private}, &resp.Diagnostics)
}

func (r *autoBackupResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state autoBackupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	timeout, diags := state.Timeouts.Delete(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	service, found, ok := r.observe(ctx, state, (*install.Service).Observe, &resp.Diagnostics)
	if !ok {
		return
	}
	if found.Superseded(instanceOf(ctx, req.Private, &resp.Diagnostics)) {
		resp.Diagnostics.AddWarning("Nothing was removed", fmt.Sprintf("Backup %s was made anew since this state has known it. What is there belongs to the state that made it, and stays.", found.ID))
		return
	}
	defer r.projects.run.done(found.ID)
	remarks, err := service.Remove(ctx, found)
	for _, remark := range remarks {
		resp.Diagnostics.AddWarning("The backup is removed, with a remark", remark)
	}
	if err != nil {
		addError(&resp.Diagnostics, "Cannot remove the backup", err)
	}
}

func (r *autoBackupResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	id := req.ID
	if id == "" {
		var identity identityModel
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
		id = backup.ID{ProjectRef: identity.ProjectRef.ValueString(), Name: backup.Name(identity.Name.ValueString())}.String()
	}
	parsed, err := backup.ParseID(id)
	if err != nil {
		resp.Diagnostics.AddError("Invalid import ID", text.Sentence(err.Error()))
		return
	}
	if checkImport(ctx, r.service(parsed.ProjectRef, &resp.Diagnostics), parsed, &resp.Diagnostics); resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("project_ref"), parsed.ProjectRef)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("name"), string(parsed.Name))...)
}

// service returns the backups of one project, or nil and a diagnostic.
func (r *autoBackupResource) service(ref string, diags *diag.Diagnostics) *install.Service {
	return serviceOf(r.projects, ref, diags)
}

// observe reads a backup that a state knows, or adds a diagnostic and answers false.
func (r *autoBackupResource) observe(
	ctx context.Context, state autoBackupModel,
	read func(*install.Service, context.Context, backup.Name, backup.Known) (backup.State, error),
	diags *diag.Diagnostics,
) (*install.Service, backup.State, bool) {
	service := r.service(state.ProjectRef.ValueString(), diags)
	if service == nil {
		return nil, backup.State{}, false
	}
	found, err := read(service, ctx, state.id().Name, state.known())
	if err != nil {
		addError(diags, "Cannot read the backup", r.projects.explain(ctx, state.ProjectRef.ValueString(), err))
		return nil, backup.State{}, false
	}
	return service, found, true
}

// apply makes the project what the plan wants and stores what it then is,
// whether or not everything succeeded.
func (r *autoBackupResource) apply(ctx context.Context, plan autoBackupModel, state *autoBackupModel, secrets map[string]string, store storage, diags *diag.Diagnostics) {
	service := r.service(plan.ProjectRef.ValueString(), diags)
	if service == nil {
		return
	}
	settings, known, more := plan.settings(ctx, r.projects.config.gateway(plan.ProjectRef.ValueString()), time.Now())
	diags.Append(more...)
	source, readable, more := plan.source(ctx, settings)
	diags.Append(more...)
	if diags.HasError() || !known || !readable {
		return
	}
	settings.Secrets = sortedKeys(secrets)
	spec := backup.Spec{
		ID: plan.id(), Settings: settings, Source: source, Secrets: secrets,
		ExtendLogConstraint: plan.LogConstraint.ValueString() == logConstraintExtend,
		Adopt:               plan.AdoptExisting.ValueBool(),
		RotateToken:         state != nil && !plan.RotateToken.Equal(state.RotateToken),
	}
	remembered := backup.Known{}
	if state != nil {
		remembered = state.known()
	}
	found, err := service.Observe(ctx, spec.ID.Name, remembered)
	if err != nil {
		addError(diags, "Cannot read the backup", err)
		return
	}
	instance := instanceOf(ctx, store.private, diags)
	switch {
	case state == nil:
		// The project may be another one than when the plan was made.
		checkInstalled(spec, found, diags)
		instance = backup.NewInstance()
	case found.Superseded(instance):
		diags.AddError("The backup belongs to another state now", fmt.Sprintf("Backup %s was made anew since this state has known it. Plan again.", spec.ID))
	}
	if diags.HasError() {
		return
	}
	spec.Settings.Instance = instance
	store.unlessFailed = state == nil && found.HasJobs(spec)
	defer r.projects.run.done(spec.ID)
	if plan.Coverage.IsUnknown() {
		// What was not known when the plan was made could not be looked at then.
		plan.Coverage = r.preflight(ctx, spec, plan, state, diags)
		if diags.HasError() {
			return
		}
	}
	var changed []backup.Part
	proved := true
	err = service.Apply(ctx, spec, found, func(part backup.Part) {
		changed = append(changed, part)
		tflog.Info(ctx, "applied a part of the backup", map[string]any{"backup": spec.ID.String(), "part": part.String()})
	})
	if err != nil {
		addError(diags, "Cannot install the backup", err)
		proved = false
	} else if len(changed) > 0 || state == nil || !plan.Proof.Equal(state.Proof) {
		proved = r.prove(ctx, service, spec.ID, plan.Verify.ValueString(), state == nil && !store.unlessFailed, diags)
		if !proved && state == nil {
			// Terraform will want to replace what it could not create.
			if err := reopen(ctx, service, spec.ID); err != nil {
				addError(diags, "Cannot note the failure", err)
			}
		}
	}
	plan.Proof = plan.Verify
	if !proved {
		plan.Proof = types.StringValue(proofFailed)
	}
	if len(changed) == 0 && state == nil && diags.HasError() {
		return // nothing was made, so there is nothing to remember
	}
	if err != nil && spec.RotateToken && !slices.Contains(changed, backup.PartToken) {
		// The next plan has to see that the token is still to be replaced.
		plan.RotateToken = state.RotateToken
	}
	if slices.Contains(changed, backup.PartJobs) {
		// The jobs are known even if somebody removes the settings at once.
		remembered.Keys = slices.Collect(maps.Keys(spec.Jobs()))
	}
	remembered.Revision, remembered.Files = "", source.Digests() // read back what was deployed
	fingerprints := claimed(plan, state, found, diags.HasError())
	remembered.Secrets = sortedKeys(fingerprints)
	r.storeResult(context.WithoutCancel(ctx), service, plan, fingerprints, remembered, store, diags)
}

// claimed are the secrets that a state claims after an apply, with the
// fingerprints that are known. One that failed may have set or removed any. The
// project's settings name them too, but a hand in there must not orphan a secret.
func claimed(plan autoBackupModel, state *autoBackupModel, before backup.State, failed bool) map[string]string {
	known := stringsOf(plan.SecretFingerprints)
	all := map[string]string{}
	for name := range plan.SecretFingerprints.Elements() {
		if _, existed := before.Secrets[name]; !failed || !existed {
			all[name] = known[name]
		}
	}
	if failed && state != nil {
		maps.Copy(all, stringsOf(state.SecretFingerprints))
	}
	return all
}

// reopen notes in the project that a creation has failed.
func reopen(ctx context.Context, service *install.Service, id backup.ID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	return service.Reopen(ctx, id)
}

// prove has the installation show that it works, as far as the plan asks for
// it, and answers whether it did.
func (r *autoBackupResource) prove(ctx context.Context, service *install.Service, id backup.ID, mode string, taints bool, diags *diag.Diagnostics) bool {
	if service.Unsettled() {
		r.projects.warnUnsettled(diags)
		return true
	}
	if mode == verifyNone {
		return true
	}
	err := service.Verify(ctx, id, mode == verifyBackup)
	if err == nil {
		return true
	}
	advice := "Mend that and apply again: the next apply proves the installation once more."
	if taints {
		// Terraform taints whatever a failed create leaves, and no provider can
		// tell it not to. A create that ends well without its proof would be
		// worse: nobody looks at a warning of a pipeline.
		advice = "The backup is installed, its jobs run, and Terraform has marked the resource as tainted because its creation ended with an error. " +
			"Mend the reason, then keep the installation and its run history with\n\n  terraform untaint aimindset_auto_backup.<name>\n\n" +
			"and apply again, which proves it once more. Without that, the next apply removes everything and installs it anew."
	}
	addErrorAdvice(diags, "The backup is installed but does not work", r.projects.explainSelfHosted(err), advice)
	return false
}

// storeResult reads the backup once more and stores it, with the secrets that
// have the given fingerprints or are in the project's settings. It does so even after
// a failure or an interrupt, so that nothing half-done is forgotten.
func (r *autoBackupResource) storeResult(ctx context.Context, service *install.Service, plan autoBackupModel, fingerprints map[string]string, known backup.Known, store storage, diags *diag.Diagnostics) {
	ctx, cancel := context.WithTimeout(ctx, lastLook)
	defer cancel()
	found, err := service.Observe(ctx, plan.id().Name, known)
	if err != nil {
		addError(diags, "Cannot read the backup", err)
		return
	}
	result := plan
	result.SecretFingerprints = mapOf(fingerprints)
	diags.Append(result.observe(ctx, found, &r.projects.fingerprints)...)
	if !diags.HasError() {
		for _, difference := range unexpected(plan, result) {
			diags.AddError("The backup was changed while it was applied",
				fmt.Sprintf("After the apply, `%s` is not what was planned, so somebody else has changed it at the same time. Plan and apply again.", difference))
		}
	}
	result.keepPlanned(plan)
	if store.unlessFailed && diags.HasError() {
		diags.AddWarning("The backup is in the project and not in the state", fmt.Sprintf("Jobs of backup %s were there before this apply began. "+
			"Terraform removes what it failed to create before it creates it anew, and that would have stopped them. "+
			"So the state has nothing of the backup; what was done stays in the project, and the next apply goes on from there. "+
			"To give the backup up instead, import it with\n\n  terraform import aimindset_auto_backup.<name> %[1]s\n\nand destroy it.", found.ID))
		return
	}
	store.put(ctx, result, diags)
	if found.Settings != nil {
		keepInstance(ctx, store.private, found.Settings.Instance, diags)
	}
}

// keepPlanned keeps what the plan took from the state and what another apply has
// changed in the meantime without changing what it means: ids of jobs and the
// revision of an equal source. Terraform would call the provider broken
// otherwise; the next refresh brings the present ones.
func (m *autoBackupModel) keepPlanned(plan autoBackupModel) {
	if !plan.FunctionRevision.IsUnknown() && m.SourceFiles.Equal(plan.SourceFiles) {
		m.FunctionRevision = plan.FunctionRevision
	}
	jobs := m.Jobs.Elements()
	for key, planned := range plan.Jobs.Elements() {
		if present, ok := jobs[key]; ok && sameJob(planned, present) {
			if wanted, ok := planned.(types.Object); ok && !wanted.Attributes()["job_id"].IsUnknown() {
				jobs[key] = planned
			}
		}
	}
	m.Jobs = types.MapValueMust(jobType, jobs)
}

// sameJob reports whether two jobs differ in nothing but their ids.
func sameJob(one, other attr.Value) bool {
	a, ok := one.(types.Object)
	b, both := other.(types.Object)
	if !ok || !both {
		return false
	}
	left, right := a.Attributes(), b.Attributes()
	delete(left, "job_id")
	delete(right, "job_id")
	return maps.EqualFunc(left, right, attr.Value.Equal)
}

// unexpected lists the attributes that were planned with a known value and
// ended with another one.
func unexpected(plan, result autoBackupModel) []string {
	var names []string
	for _, pair := range []struct {
		name            string
		wanted, present attr.Value
	}{
		{"timezone", plan.Timezone, result.Timezone},
		{"schedules", plan.Schedules, result.Schedules},
		{"function", plan.Function, result.Function},
		{"alert", plan.Alert, result.Alert},
		{"retry", plan.Retry, result.Retry},
		{"function_url", plan.FunctionURL, result.FunctionURL},
		{"function_status", plan.FunctionStatus, result.FunctionStatus},
		{"alert_url", plan.AlertURL, result.AlertURL},
		{"function_entrypoint", plan.FunctionEntrypoint, result.FunctionEntrypoint},
		{"function_import_map", plan.FunctionImportMap, result.FunctionImportMap},
		{"function_verify_jwt", plan.FunctionVerifyJWT, result.FunctionVerifyJWT},
		{"source_files", plan.SourceFiles, result.SourceFiles},
		{"dispatcher_version", plan.DispatcherVersion, result.DispatcherVersion},
		{"drift", plan.Drift, result.Drift},
		{"log_accepts_auto_backup", plan.LogAcceptsAutoBackup, result.LogAcceptsAutoBackup},
		{"token_digest", plan.TokenDigest, result.TokenDigest},
	} {
		if !pair.wanted.IsUnknown() && !pair.wanted.Equal(pair.present) {
			names = append(names, pair.name)
		}
	}
	// Of these, only some elements may be known before.
	if !sameElements(plan.Jobs, result.Jobs, sameJob) {
		names = append(names, "jobs")
	}
	if !sameElements(plan.SecretFingerprints, result.SecretFingerprints, attr.Value.Equal) {
		names = append(names, "secret_fingerprints")
	}
	return names
}

// sameElements reports whether a map has the planned keys, and the planned
// values where they were known.
func sameElements(planned, present types.Map, same func(attr.Value, attr.Value) bool) bool {
	if planned.IsUnknown() {
		return true
	}
	return maps.EqualFunc(planned.Elements(), present.Elements(), func(a, b attr.Value) bool { return a.IsUnknown() || same(a, b) })
}

// storage is where an operation leaves its result: state and identity
// together, because the framework demands both after every operation, also of a
// Terraform that keeps no identities, and what the provider alone remembers.
type storage struct {
	state    *tfsdk.State
	identity *tfsdk.ResourceIdentity
	private  privateState
	// unlessFailed has the result of a failed operation forgotten.
	unlessFailed bool
}

func (s storage) put(ctx context.Context, model autoBackupModel, diags *diag.Diagnostics) {
	diags.Append(s.state.Set(ctx, &model)...)
	s.identify(ctx, model, diags)
}

// remove takes what a model describes out of the state.
func (s storage) remove(ctx context.Context, model autoBackupModel, diags *diag.Diagnostics) {
	s.state.RemoveResource(ctx)
	s.identify(ctx, model, diags)
}

func (s storage) identify(ctx context.Context, model autoBackupModel, diags *diag.Diagnostics) {
	if s.identity != nil {
		diags.Append(s.identity.Set(ctx, identityModel{ProjectRef: model.ProjectRef, Name: model.Name})...)
	}
}

func sortedKeys(values map[string]string) []string {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// importBlock is the configuration that brings an installed backup into a state.
func importBlock(id backup.ID) string {
	return strings.Join([]string{
		"To manage it here, add this to the configuration:",
		"",
		"import {",
		"  to = aimindset_auto_backup.this",
		fmt.Sprintf("  id = %q", id.String()),
		"}",
	}, "\n")
}
