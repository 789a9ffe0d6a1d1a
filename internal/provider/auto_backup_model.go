package provider

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// autoBackupModel is the resource as Terraform keeps it. The first group is
// what a user writes, the second what the project is found to hold.
type autoBackupModel struct {
	ProjectRef    types.String   `tfsdk:"project_ref"`
	Name          types.String   `tfsdk:"name"`
	Timezone      types.String   `tfsdk:"timezone"`
	Schedules     types.Map      `tfsdk:"schedules"`
	Function      types.Object   `tfsdk:"function"`
	Alert         types.Object   `tfsdk:"alert"`
	Retry         types.Object   `tfsdk:"retry"`
	LogConstraint types.String   `tfsdk:"log_constraint"`
	Secrets       types.Map      `tfsdk:"secrets"`
	AdoptExisting types.Bool     `tfsdk:"adopt_existing"`
	Verify        types.String   `tfsdk:"verify"`
	RotateToken   types.String   `tfsdk:"rotate_token"`
	Timeouts      timeouts.Value `tfsdk:"timeouts"`

	ID                   types.String `tfsdk:"id"`
	FunctionURL          types.String `tfsdk:"function_url"`
	FunctionStatus       types.String `tfsdk:"function_status"`
	FunctionVerifyJWT    types.Bool   `tfsdk:"function_verify_jwt"`
	FunctionEntrypoint   types.String `tfsdk:"function_entrypoint"`
	FunctionImportMap    types.String `tfsdk:"function_import_map"`
	FunctionRevision     types.String `tfsdk:"function_revision"`
	SourceFiles          types.Map    `tfsdk:"source_files"`
	SecretFingerprints   types.Map    `tfsdk:"secret_fingerprints"`
	TokenDigest          types.String `tfsdk:"token_digest"`
	Jobs                 types.Map    `tfsdk:"jobs"`
	DispatcherVersion    types.String `tfsdk:"dispatcher_version"`
	Drift                types.Map    `tfsdk:"drift"`
	AlertURL             types.String `tfsdk:"alert_url"`
	LogAcceptsAutoBackup types.Bool   `tfsdk:"log_accepts_auto_backup"`
	Coverage             types.Object `tfsdk:"coverage"`
	Proof                types.String `tfsdk:"proof"`
}

type identityModel struct {
	ProjectRef types.String `tfsdk:"project_ref"`
	Name       types.String `tfsdk:"name"`
}

type scheduleModel struct {
	Cron     types.String `tfsdk:"cron"`
	Timezone types.String `tfsdk:"timezone"`
	Enabled  types.Bool   `tfsdk:"enabled"`
}

type functionModel struct {
	SourceDir   types.String `tfsdk:"source_dir"`
	RPC         types.String `tfsdk:"rpc"`
	VerifyTable types.String `tfsdk:"verify_table"`
}

type alertModel struct {
	Enabled      types.Bool   `tfsdk:"enabled"`
	Function     types.String `tfsdk:"function"`
	Source       types.String `tfsdk:"source"`
	OverdueAfter types.String `tfsdk:"overdue_after"`
}

type retryModel struct {
	Attempts types.Int64  `tfsdk:"attempts"`
	Delay    types.String `tfsdk:"delay"`
}

func (m autoBackupModel) id() backup.ID {
	return backup.ID{ProjectRef: m.ProjectRef.ValueString(), Name: backup.Name(m.Name.ValueString())}
}

// known is what the state knows of the function's source and of the jobs.
func (m autoBackupModel) known() backup.Known {
	known := backup.Known{
		Managed:  !m.ID.IsNull(), // at the beginning of an import it is
		Revision: m.FunctionRevision.ValueString(),
		Keys:     slices.Collect(maps.Keys(m.Jobs.Elements())),
		Secrets:  slices.Collect(maps.Keys(m.SecretFingerprints.Elements())),
	}
	if !m.SourceFiles.IsNull() && !m.SourceFiles.IsUnknown() {
		known.Files = stringsOf(m.SourceFiles)
	}
	return known
}

// settings reads the configured part of a plan. It answers false when a value
// is not known yet; then nothing that derives from it can be planned.
func (m autoBackupModel) settings(ctx context.Context, gateway gateway, now time.Time) (backup.Settings, bool, diag.Diagnostics) {
	var (
		diags     diag.Diagnostics
		schedules map[string]scheduleModel
		function  functionModel
		alert     alertModel
		retry     retryModel
		result    backup.Settings
	)
	if m.Schedules.IsUnknown() || m.Function.IsUnknown() || m.Alert.IsUnknown() || m.Retry.IsUnknown() {
		return result, false, nil
	}
	if slices.ContainsFunc(slices.Collect(maps.Values(m.Schedules.Elements())), attr.Value.IsUnknown) {
		return result, false, nil
	}
	diags.Append(m.Schedules.ElementsAs(ctx, &schedules, false)...)
	diags.Append(m.Function.As(ctx, &function, basetypes.ObjectAsOptions{})...)
	diags.Append(m.Alert.As(ctx, &alert, basetypes.ObjectAsOptions{})...)
	diags.Append(m.Retry.As(ctx, &retry, basetypes.ObjectAsOptions{})...)
	if diags.HasError() {
		return result, false, diags
	}
	values := []attr.Value{m.Timezone, function.RPC, function.VerifyTable, alert.Enabled, alert.Function, alert.Source, retry.Attempts, retry.Delay}
	for _, s := range schedules {
		values = append(values, s.Cron, s.Timezone, s.Enabled)
	}
	if slices.ContainsFunc(values, attr.Value.IsUnknown) {
		return result, false, nil
	}

	name := backup.Name(m.Name.ValueString())
	result = backup.Settings{
		Timezone:  m.Timezone.ValueString(),
		Schedules: map[string]backup.Schedule{},
		Function: backup.FunctionSettings{
			URL: backup.FunctionURL(gateway.url, name.Slug()),
			RPC: function.RPC.ValueString(), VerifyTable: function.VerifyTable.ValueStringPointer(),
			SendKey: gateway.sendKey, Lifetime: gateway.lifetime,
		},
		Alert: backup.AlertSettings{
			Enabled: alert.Enabled.ValueBool(), Function: alert.Function.ValueString(),
			URL: backup.FunctionURL(gateway.url, alert.Function.ValueString()), Source: alert.Source.ValueString(),
		},
		Retry:   backup.RetrySettings{Attempts: retry.Attempts.ValueInt64(), DelaySeconds: seconds(retry.Delay)},
		Secrets: []string{},
		// One that is not known yet is written when it is applied.
		RotateToken: m.RotateToken.ValueStringPointer(),
	}
	for key, s := range schedules {
		compiled, err := backup.CompileSchedule(s.Cron.ValueString(), s.Timezone.ValueStringPointer(), result.Timezone, s.Enabled.ValueBool(), now)
		if err != nil {
			diags.AddAttributeError(path.Root("schedules").AtMapKey(key).AtName("cron"), "Invalid schedule", text.Sentence(err.Error()))
			continue
		}
		result.Schedules[key] = compiled
	}
	if diags.HasError() {
		return result, false, diags
	}
	if alert.OverdueAfter.IsNull() || alert.OverdueAfter.IsUnknown() {
		overdue, err := backup.OverdueAfter(result.Schedules)
		if err != nil {
			diags.AddAttributeError(path.Root("schedules"), "Invalid schedule", text.Sentence(err.Error()))
			return result, false, diags
		}
		result.Alert.OverdueAfterSeconds = int64(overdue / time.Second)
	} else {
		result.Alert.OverdueAfterSeconds = seconds(alert.OverdueAfter)
		checkOverdueAfter(result, &diags)
	}
	if diags.HasError() {
		return result, false, diags
	}
	return result, true, diags
}

// source reads the Edge Function's source: the built-in one, or that of
// source_dir. It answers false when the directory is not known yet.
func (m autoBackupModel) source(ctx context.Context, settings backup.Settings) (source.Source, bool, diag.Diagnostics) {
	var (
		diags    diag.Diagnostics
		function functionModel
	)
	diags.Append(m.Function.As(ctx, &function, basetypes.ObjectAsOptions{UnhandledNullAsEmpty: true, UnhandledUnknownAsEmpty: true})...)
	if diags.HasError() || m.Function.IsUnknown() || function.SourceDir.IsUnknown() {
		return source.Source{}, false, diags
	}
	if function.SourceDir.IsNull() {
		code, err := backup.BuiltInSource(backup.Name(m.Name.ValueString()), settings)
		if err != nil {
			diags.AddError("Broken built-in function", err.Error())
		}
		return code, err == nil, diags
	}
	if len(function.SourceDir.ValueString()) > maxText {
		return source.Source{}, false, diags // its validator complains
	}
	at := path.Root("function").AtName("source_dir")
	code, err := source.Directory(function.SourceDir.ValueString())
	var badImport *source.ImportError
	switch {
	case errors.Is(err, source.ErrNoEntrypoint):
		diags.AddAttributeError(at, "Incomplete function source", text.Capitalize(err.Error())+". Put the function's entry point there, or leave `source_dir` out for the built-in function.")
	case errors.As(err, &badImport):
		diags.AddAttributeError(at, "Incomplete function source", badImport.Error()+". Everything that index.ts imports has to be deployed with it.")
	case err != nil:
		diags.AddAttributeError(at, "Unreadable function source", text.Sentence(err.Error()))
	}
	return code, err == nil, diags
}

// observe writes what was found in the project into the model. What the
// project cannot know keeps its former value, or gets its default after an
// import.
func (m *autoBackupModel) observe(ctx context.Context, found backup.State, fingerprints *backup.Fingerprinter) diag.Diagnostics {
	var diags diag.Diagnostics
	m.ID = types.StringValue(found.ID.String())
	m.ProjectRef = types.StringValue(found.ID.ProjectRef)
	m.Name = types.StringValue(string(found.ID.Name))
	m.LogConstraint = orDefault(m.LogConstraint, logConstraintExtend)
	m.Verify = orDefault(m.Verify, verifyProbe)
	if m.AdoptExisting.IsNull() || m.AdoptExisting.IsUnknown() {
		m.AdoptExisting = types.BoolValue(false)
	}
	m.RotateToken = knownOrNull(m.RotateToken)
	if found.Settings != nil {
		m.RotateToken = types.StringPointerValue(found.Settings.RotateToken)
	}
	m.Secrets = types.MapNull(types.StringType)
	// Neither can be read in the project: both tell of the last plan and apply.
	if m.Coverage.IsNull() || m.Coverage.IsUnknown() {
		m.Coverage = types.ObjectNull(coverageType.AttrTypes)
	}
	m.Proof = knownOrNull(m.Proof)

	diags.Append(m.observeSettings(ctx, found.Settings)...)
	m.FunctionStatus, m.FunctionVerifyJWT = types.StringValue("missing"), types.BoolNull()
	m.FunctionEntrypoint, m.FunctionImportMap = types.StringNull(), types.StringNull()
	m.FunctionRevision, m.SourceFiles = types.StringNull(), mapOf(map[string]string{})
	if f := found.Function; f != nil {
		m.FunctionStatus, m.FunctionVerifyJWT = types.StringValue(f.Status), types.BoolValue(f.VerifyJWT)
		m.FunctionEntrypoint, m.FunctionImportMap = types.StringValue(f.Entrypoint), textOrNull(f.ImportMap)
		m.FunctionRevision, m.SourceFiles = types.StringValue(f.Revision), mapOf(f.Files)
	}
	m.TokenDigest = types.StringValue(found.Token.Digest())
	m.DispatcherVersion, m.Drift = types.StringValue(found.Dispatcher()), mapOf(found.Drift())
	m.LogAcceptsAutoBackup = types.BoolValue(found.AdmitsLog())

	jobs := map[string]attr.Value{}
	for key, job := range found.Jobs {
		due := types.StringNull()
		if found.Settings != nil {
			due = dueOf(*found.Settings, key)
		}
		jobs[key] = jobObject(job, types.Int64Value(job.ID), due)
	}
	m.Jobs = types.MapValueMust(jobType, jobs)

	former := stringsOf(m.SecretFingerprints)
	present := map[string]string{}
	for _, name := range secretNames(found, former) {
		if digest, ok := found.Secrets[name]; ok {
			fingerprint, err := fingerprints.Of(digest, former[name])
			if err != nil {
				diags.AddError("Cannot fingerprint a secret", err.Error())
				return diags
			}
			present[name] = fingerprint
		}
	}
	m.SecretFingerprints = mapOf(present)
	return diags
}

func secretNames(found backup.State, former map[string]string) []string {
	names := slices.Collect(maps.Keys(former))
	if found.Settings != nil {
		names = append(names, found.Settings.Secrets...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (m *autoBackupModel) observeSettings(ctx context.Context, found *backup.Settings) diag.Diagnostics {
	var diags diag.Diagnostics
	if found == nil {
		m.FunctionURL, m.AlertURL = types.StringValue("not installed"), types.StringValue("not installed")
		m.nullUnknown()
		return diags
	}
	m.FunctionURL, m.AlertURL = types.StringValue(found.Function.URL), types.StringValue(found.Alert.URL)
	m.Timezone = types.StringValue(found.Timezone)

	schedules := map[string]attr.Value{}
	for key, s := range found.Schedules {
		schedules[key] = types.ObjectValueMust(scheduleType.AttrTypes, map[string]attr.Value{
			"cron": types.StringValue(s.Cron), "timezone": types.StringPointerValue(s.Timezone), "enabled": types.BoolValue(s.Enabled),
		})
	}
	m.Schedules = types.MapValueMust(scheduleType, schedules)

	var (
		function functionModel
		alert    alertModel
		retry    retryModel
		options  = basetypes.ObjectAsOptions{UnhandledNullAsEmpty: true, UnhandledUnknownAsEmpty: true}
	)
	diags.Append(m.Function.As(ctx, &function, options)...)
	diags.Append(m.Alert.As(ctx, &alert, options)...)
	diags.Append(m.Retry.As(ctx, &retry, options)...)
	if diags.HasError() {
		return diags
	}
	m.Function = types.ObjectValueMust(functionType.AttrTypes, map[string]attr.Value{
		"source_dir": knownOrNull(function.SourceDir), "rpc": types.StringValue(found.Function.RPC),
		"verify_table": types.StringPointerValue(found.Function.VerifyTable),
	})
	m.Alert = types.ObjectValueMust(alertType.AttrTypes, map[string]attr.Value{
		"enabled": types.BoolValue(found.Alert.Enabled), "function": types.StringValue(found.Alert.Function),
		"source": types.StringValue(found.Alert.Source), "overdue_after": sameDuration(alert.OverdueAfter, found.Alert.OverdueAfterSeconds),
	})
	m.Retry = types.ObjectValueMust(retryType.AttrTypes, map[string]attr.Value{
		"attempts": types.Int64Value(found.Retry.Attempts), "delay": sameDuration(retry.Delay, found.Retry.DelaySeconds),
	})
	return diags
}

// nullUnknown makes a half-created resource storable: a state has no unknown values.
func (m *autoBackupModel) nullUnknown() {
	for _, value := range []*types.String{&m.Timezone, &m.RotateToken} {
		*value = knownOrNull(*value)
	}
	m.Schedules = types.MapNull(scheduleType)
	m.Function, m.Alert, m.Retry = types.ObjectNull(functionType.AttrTypes), types.ObjectNull(alertType.AttrTypes), types.ObjectNull(retryType.AttrTypes)
}

// dueOf is what the settings say of a job's ticks.
func dueOf(settings backup.Settings, key string) types.String {
	schedule, ok := settings.Schedules[key]
	if !ok {
		return types.StringNull()
	}
	return types.StringValue(schedule.Due())
}

func textOrNull(text string) types.String {
	if text == "" {
		return types.StringNull()
	}
	return types.StringValue(text)
}

func jobObject(job backup.Job, id types.Int64, due types.String) attr.Value {
	return types.ObjectValueMust(jobType.AttrTypes, map[string]attr.Value{
		"job_id": id, "utc": types.StringValue(job.Schedule), "active": types.BoolValue(job.Active),
		"command": types.StringValue(job.Command), "database": types.StringValue(job.Database), "username": types.StringValue(job.Username),
		"due": due,
	})
}

func orDefault(value types.String, standard string) types.String {
	if value.IsNull() || value.IsUnknown() {
		return types.StringValue(standard)
	}
	return value
}

func knownOrNull(value types.String) types.String {
	if value.IsUnknown() {
		return types.StringNull()
	}
	return value
}

func mapOf(values map[string]string) types.Map {
	elements := make(map[string]attr.Value, len(values))
	for key, value := range values {
		elements[key] = types.StringValue(value)
	}
	return types.MapValueMust(types.StringType, elements)
}

// stringsOf reads the known elements of a map of strings.
func stringsOf(m types.Map) map[string]string {
	values := map[string]string{}
	for key, element := range m.Elements() {
		if text, ok := element.(types.String); ok && !text.IsNull() && !text.IsUnknown() {
			values[key] = text.ValueString()
		}
	}
	return values
}

// seconds reads a duration that its validator has accepted.
func seconds(value types.String) int64 {
	d, err := time.ParseDuration(value.ValueString())
	if err != nil {
		return 0
	}
	return int64(d / time.Second)
}

// sameDuration keeps the way in which a duration was written as long as it
// means the same.
func sameDuration(former types.String, found int64) types.String {
	if !former.IsNull() && !former.IsUnknown() && seconds(former) == found {
		return former
	}
	return types.StringValue(formatDuration(time.Duration(found) * time.Second))
}
