package provider

import (
	"context"
	"crypto/rand"
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
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/fingerprint"
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

// defaultTimeout is how long an operation may take if the configuration does not
// say.
const defaultTimeout = 10 * time.Minute

// noteTime is how long a failed creation may take to record its failure in the
// project, even after the apply was interrupted.
const noteTime = 30 * time.Second

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
	plan, values, diags := planFrom(ctx, req.Plan, req.Config)
	resp.Diagnostics.Append(diags...)
	timeout, diags := plan.Timeouts.Create(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.apply(ctx, plan, nil, nil, values, storage{state: &resp.State, identity: resp.Identity, private: resp.Private}, &resp.Diagnostics)
}

func (r *autoBackupResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state autoBackupModel
	resp.Diagnostics.Append(state.get(ctx, req.State)...)
	timeout, diags := state.Timeouts.Read(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	was := appliedOf(ctx, req.Private, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	known := state.known(ctx, was)
	service, found, ok := r.read(ctx, state, known, (*install.Service).ObserveCached, &resp.Diagnostics)
	if !ok {
		return
	}
	stored := storage{state: &resp.State, identity: resp.Identity, private: resp.Private}
	if looksForeign(found, was) && !r.isOwnDatabase(ctx, found.ID, &resp.Diagnostics) {
		return
	}
	if !found.Exists() {
		stored.remove(ctx, state, &resp.Diagnostics)
		return
	}
	if superseded(found, was) {
		r.projects.run.lose(found.ID)
		resp.Diagnostics.AddWarning("The backup belongs to another state now", fmt.Sprintf("Backup %s was recreated, or adopted by another state, after this state last recorded it, so the installation in the state no longer exists. The current one is not changed.", found.ID))
		stored.remove(ctx, state, &resp.Diagnostics)
		return
	}
	r.projects.run.see(found.ID, known)
	warnLease(found.ID, found.Lease, &resp.Diagnostics)
	if was == nil {
		adopted, diags := state.adopt(found, r.projects.fingerprints)
		resp.Diagnostics.Append(diags...)
		was = &adopted
	}
	if was.RPC == "" {
		was.RPC = found.RPCs[was.Settings.Function.RPC]
	}
	state.fill(*was, &resp.Diagnostics)
	if f := found.Function; f != nil {
		was.Seen = seenSource{Revision: f.Revision, Files: f.Files, Changes: f.Changes}
	}
	state.refresh(found, *was, r.projects.fingerprints)
	state.refreshTables(ctx, service, found, *was)
	stored.put(ctx, state, *was, &resp.Diagnostics)
}

func (r *autoBackupResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	plan, values, diags := planFrom(ctx, req.Plan, req.Config)
	resp.Diagnostics.Append(diags...)
	var state autoBackupModel
	resp.Diagnostics.Append(state.get(ctx, req.State)...)
	timeout, diags := plan.Timeouts.Update(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	was := appliedOf(ctx, req.Private, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	r.apply(ctx, plan, &state, was, values, storage{state: &resp.State, identity: resp.Identity, private: resp.Private}, &resp.Diagnostics)
}

func (r *autoBackupResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state autoBackupModel
	resp.Diagnostics.Append(state.get(ctx, req.State)...)
	timeout, diags := state.Timeouts.Delete(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	was := appliedOf(ctx, req.Private, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	service, found, ok := r.read(ctx, state, state.known(ctx, was), (*install.Service).Observe, &resp.Diagnostics)
	if !ok || looksForeign(found, was) && !r.isOwnDatabase(ctx, found.ID, &resp.Diagnostics) {
		return
	}
	if superseded(found, was) {
		resp.Diagnostics.AddWarning("Nothing was removed", fmt.Sprintf("Backup %s was recreated after this state last recorded it. The current installation belongs to the state that created it, and is kept.", found.ID))
		return
	}
	defer r.projects.run.done(found.ID)
	remarks, err := service.Remove(ctx, found)
	for _, remark := range remarks {
		resp.Diagnostics.AddWarning("The backup is removed, with a note", remark)
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
	service := r.service(parsed.ProjectRef, &resp.Diagnostics)
	if service == nil {
		return
	}
	if err := r.projects.checkDatabase(ctx, parsed.ProjectRef); err != nil {
		addError(&resp.Diagnostics, "Cannot import the backup", err)
		return
	}
	if checkImport(ctx, service, parsed, &resp.Diagnostics); resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("project_ref"), parsed.ProjectRef)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("name"), string(parsed.Name))...)
}

// service returns the service of a project, or adds a diagnostic and returns nil.
func (r *autoBackupResource) service(ref string, diags *diag.Diagnostics) *install.Service {
	return serviceOf(r.projects, ref, diags)
}

// read reads the backup of a state. If it fails, it adds a diagnostic and reports
// false.
func (r *autoBackupResource) read(
	ctx context.Context, state autoBackupModel, known backup.Known,
	read func(*install.Service, context.Context, backup.Name, backup.Known) (backup.State, error),
	diags *diag.Diagnostics,
) (*install.Service, backup.State, bool) {
	service := r.service(state.ProjectRef.ValueString(), diags)
	if service == nil {
		return nil, backup.State{}, false
	}
	found, err := read(service, ctx, state.id().Name, known)
	if err != nil {
		r.projects.addReadError(ctx, diags, "Cannot read the backup", state.ProjectRef.ValueString(), err)
		return nil, backup.State{}, false
	}
	return service, found, true
}

// apply applies the plan to the project. Afterwards the state is the plan: nothing
// is read back, so a failed read cannot lose anything that was done.
func (r *autoBackupResource) apply(ctx context.Context, plan autoBackupModel, state *autoBackupModel, was *applied, values written, store storage, diags *diag.Diagnostics) {
	service := r.service(plan.ProjectRef.ValueString(), diags)
	if service == nil {
		return
	}
	settings, known := plan.plannedSettings(ctx, r.projects.config.gateway(plan.ProjectRef.ValueString()), time.Now()).report(diags)
	code, readable := plan.source(ctx, settings).report(diags)
	if diags.HasError() || !known || !readable {
		return
	}
	settings.Secrets = sortedKeys(values.secrets)
	sign(&settings, plan.id().Name, values.channels)
	spec := backup.Spec{
		ID: plan.id(), Settings: settings, Source: code, Secrets: values.secrets, Channels: values.channels,
		ExtendLogConstraint: plan.LogConstraint.ValueString() == logConstraintExtend,
		Adopt:               plan.AdoptExisting.ValueBool(),
		RotateToken:         state != nil && !plan.RotateToken.Equal(state.RotateToken),
	}
	remembered := backup.Known{}
	if state != nil {
		remembered = state.known(ctx, was)
	}
	found, err := service.ObserveFirst(ctx, spec.ID.Name, remembered)
	if err != nil {
		addError(diags, "Cannot read the backup", err)
		return
	}
	switch {
	case state == nil:
		// The project may have changed since the plan was made.
		r.checkInstalled(spec, found, diags)
		spec.Settings.Instance = rand.Text()
	case superseded(found, was):
		diags.AddError("The backup belongs to another state now", fmt.Sprintf("Backup %s was recreated after this state last recorded it. Plan again.", spec.ID))
	default:
		spec.Settings.Instance = was.instance()
		if copied(spec.Settings, found) && found.Settings.Instance == was.instance() {
			spec.Settings.Instance = rand.Text() // the original has this one
		}
	}
	if diags.HasError() {
		return
	}
	defer r.projects.run.done(spec.ID)
	if plan.SourceHash.IsUnknown() || plan.DispatcherVersion.IsUnknown() {
		// What was unknown when the plan was made could not be checked then.
		r.preflight(ctx, spec, plan, state, diags)
		if diags.HasError() {
			return
		}
	}
	findTables(ctx, service, &spec, diags)
	if diags.HasError() {
		return
	}
	o := outcome{id: spec.ID, created: state == nil, kept: state != nil || !found.HasJobs(spec)}
	result, err := service.Apply(ctx, spec, found, func(part backup.Part) {
		o.done = append(o.done, part)
		tflog.Info(ctx, "applied a part of the backup", map[string]any{"backup": spec.ID.String(), "part": part.String()})
	})
	if result.Kept != "" {
		// The settings may have been lost after the plan was made.
		diags.AddAttributeWarning(path.Root("secret_fingerprints"), secretsKept, result.Kept)
	}
	verified := err == nil
	switch {
	case err != nil && len(o.done) == 0:
		addErrorAdvice(diags, "Cannot install the backup", err, o.advice())
		return // the state does not change
	case err != nil:
		addErrorAdvice(diags, "Cannot install the backup", err, o.advice())
	case len(o.done) > 0 || state == nil || state.Verified.ValueString() == verifiedFailed || !plan.Verify.Equal(state.Verify):
		verified = r.verify(ctx, service, spec.ID, plan.Verify.ValueString(), o, diags) &&
			r.verifyDestinations(ctx, service, spec, plan.Verify.ValueString(), state != nil && plan.Offsite.Equal(state.Offsite), o, diags)
		if !verified && o.created {
			// Terraform will replace what it could not create.
			if err := reopen(ctx, service, spec.ID); err != nil {
				addError(diags, "Cannot record the failure", err)
			}
		}
	}
	if !o.kept && diags.HasError() {
		return // Terraform would remove working jobs before it creates them again
	}
	final := plan
	final.complete(planning{id: spec.ID, settings: settings, digests: code.Digests(), verify: plan.Verify, state: state, fingerprints: r.projects.fingerprints}, diags)
	if !verified {
		final.Verified = types.StringValue(verifiedFailed)
	}
	if err != nil && spec.RotateToken && !slices.Contains(o.done, backup.PartToken) {
		// The next plan must still replace the token.
		final.RotateToken = state.RotateToken
	}
	final.rememberSecrets(spec, state, found, func(part backup.Part, steps int) bool { return err == nil || o.steps(part) >= steps }, r.projects.fingerprints, diags)
	made := applied{Settings: result.Settings, Digests: code.Digests(), ImportMap: code.ImportMap, RPC: found.RPCs[settings.Function.RPC]}
	if err != nil && state != nil && !slices.Contains(o.done, backup.PartJobs) {
		made.FormerKeys = was.formerKeys(state.Schedules.Elements())
	}
	if err == nil {
		made.Seen = seenSource{Revision: result.Revision, Files: made.Digests}
	}
	store.put(ctx, final, made, diags)
}

// fill sets computed attributes that are missing in the state to their values after
// the last apply.
func (m *autoBackupModel) fill(was applied, diags *diag.Diagnostics) {
	p := planning{id: m.id(), settings: was.Settings, digests: was.Digests}
	for name, computed := range computedAttributes() {
		switch field := computed.field(m).(type) {
		case *types.String:
			if field.IsNull() && name != "verified" && len(was.Digests) > 0 {
				assign(field, computed.planned(p, diags))
			}
		case *types.Map:
			if field.IsNull() && name != "secret_fingerprints" {
				assign(field, computed.planned(p, diags))
			}
		}
	}
}

// complete sets what was unknown when the plan was made.
func (m *autoBackupModel) complete(p planning, diags *diag.Diagnostics) {
	for name, computed := range computedAttributes() {
		if name == "secret_fingerprints" {
			continue // see rememberSecrets
		}
		switch field := computed.field(m).(type) {
		case *types.String:
			if field.IsUnknown() {
				assign(field, computed.planned(p, diags))
			}
		case *types.Map:
			if field.IsUnknown() {
				assign(field, computed.planned(p, diags))
			}
		}
	}
	m.RotateToken = knownOrNull(m.RotateToken)
	if overdue, ok := m.Alert.Attributes()["overdue_after"]; ok && overdue.IsUnknown() {
		m.setOverdueAfter(durationOf(p.settings.Alert.OverdueAfterSeconds))
	}
}

// rememberSecrets stores the fingerprints of the secrets that the state must record
// after an apply; finished reports whether it has finished so many steps of a part. An apply
// that failed before it had written them all may have set or removed any of them: secrets
// that the state knew keep their former fingerprints. One that has not removed those of before yet leaves them
// to the next apply: if the settings are lost meanwhile, nothing else names them.
func (m *autoBackupModel) rememberSecrets(spec backup.Spec, state *autoBackupModel, before backup.State, finished func(part backup.Part, steps int) bool, fingerprints *fingerprint.Cache, diags *diag.Diagnostics) {
	former, present := map[string]string{}, map[string]string{}
	if state != nil {
		former = stringsOf(state.SecretFingerprints)
	}
	digests := map[string]string{}
	written := finished(backup.PartSecrets, 1)
	for _, name := range before.SecretsAfter(spec, written, finished(backup.PartSecrets, 2)) {
		present[name] = former[name]
		if value, wanted := spec.Secrets[name]; wanted && (written || former[name] == "") {
			digests[name] = backup.DigestOf(value)
		}
	}
	// The vault's secrets have ownership markers, so nobody has to remember them.
	for name, value := range spec.Channels {
		if finished(backup.PartChannels, 1) {
			digests[name] = backup.DigestOf(value)
		} else if former[name] != "" {
			present[name] = former[name]
		}
	}
	computed, err := fingerprints.All(digests, former)
	if err != nil {
		diags.AddError("Cannot fingerprint a secret", err.Error())
	}
	maps.Copy(present, computed)
	m.SecretFingerprints = types.MapNull(types.StringType)
	if len(present) > 0 {
		m.SecretFingerprints = mapOf(present)
	}
}

// reopen records in the project that a creation has failed.
func reopen(ctx context.Context, service *install.Service, id backup.ID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	return service.Reopen(ctx, id)
}

// storage is where an operation stores its result: the state, the identity, which
// the framework requires even if Terraform does not support identities, and the
// private part of the state.
type storage struct {
	state    *tfsdk.State
	identity *tfsdk.ResourceIdentity
	private  privateState
}

func (s storage) put(ctx context.Context, model autoBackupModel, was applied, diags *diag.Diagnostics) {
	diags.Append(model.set(ctx, s.state)...)
	s.identify(ctx, model, diags)
	keepApplied(ctx, s.private, was, diags)
}

// remove removes the resource from the state.
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

// importBlock returns instructions for importing an installed backup.
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
