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
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/fingerprint"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// autoBackupModel has the attributes of the resource: first the arguments, then the
// computed attributes.
type autoBackupModel struct {
	ProjectRef    types.String   `tfsdk:"project_ref"`
	Name          types.String   `tfsdk:"name"`
	Timezone      types.String   `tfsdk:"timezone"`
	Schedules     types.Map      `tfsdk:"schedules"`
	Function      types.Object   `tfsdk:"function"`
	Alert         types.Object   `tfsdk:"alert"`
	Retry         types.Object   `tfsdk:"retry"`
	Drill         types.Object   `tfsdk:"drill"`
	Retention     types.Object   `tfsdk:"retention"`
	Offsite       types.Map      `tfsdk:"offsite"`
	Heartbeat     types.Object   `tfsdk:"heartbeat"`
	Webhooks      types.Map      `tfsdk:"webhooks"`
	LogConstraint types.String   `tfsdk:"log_constraint"`
	Secrets       types.Map      `tfsdk:"secrets"`
	AdoptExisting types.Bool     `tfsdk:"adopt_existing"`
	Verify        types.String   `tfsdk:"verify"`
	RotateToken   types.String   `tfsdk:"rotate_token"`
	Timeouts      timeouts.Value `tfsdk:"timeouts"`

	ID                 types.String `tfsdk:"id"`
	FunctionURL        types.String `tfsdk:"function_url"`
	SourceHash         types.String `tfsdk:"source_hash"`
	CronUTC            types.Map    `tfsdk:"cron_utc"`
	DispatcherVersion  types.String `tfsdk:"dispatcher_version"`
	Verified           types.String `tfsdk:"verified"`
	SecretFingerprints types.Map    `tfsdk:"secret_fingerprints"`
	Drift              types.Map    `tfsdk:"drift"`
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

// known returns what a state and its private part know about a backup. was is nil
// at the beginning of an import.
func (m autoBackupModel) known(ctx context.Context, was *applied) backup.Known {
	known := backup.Known{
		Managed: !m.ID.IsNull(), // it is null at the beginning of an import
		Keys:    append(slices.Collect(maps.Keys(m.Schedules.Elements())), backup.WatchdogKey),
	}
	for name := range m.SecretFingerprints.Elements() {
		if ofChannel(name) {
			known.Channels = append(known.Channels, name)
		} else {
			known.Secrets = append(known.Secrets, name)
		}
	}
	if !m.Drill.IsNull() {
		known.Keys = append(known.Keys, drill.JobKey)
	}
	if !m.Retention.IsNull() {
		known.Keys = append(known.Keys, retention.JobKey)
	}
	if was != nil {
		was.tellSource(&known)
		known.Keys = append(known.Keys, was.FormerKeys...)
		known.Content = func() map[string][]byte {
			return m.source(ctx, was.Settings).value.Files
		}
	}
	return known
}

// settings reads the configured part of a plan, and computes what derives from it.
func (m autoBackupModel) settings(ctx context.Context, gateway gateway, now time.Time) reading[backup.Settings] {
	var (
		diags     diag.Diagnostics
		schedules map[string]scheduleModel
		function  functionModel
		alert     alertModel
		retry     retryModel
		result    backup.Settings
	)
	if m.Schedules.IsUnknown() || m.Function.IsUnknown() || m.Alert.IsUnknown() || m.Retry.IsUnknown() {
		return unknown[backup.Settings]()
	}
	if slices.ContainsFunc(slices.Collect(maps.Values(m.Schedules.Elements())), attr.Value.IsUnknown) {
		return unknown[backup.Settings]()
	}
	diags.Append(m.Schedules.ElementsAs(ctx, &schedules, false)...)
	diags.Append(m.Function.As(ctx, &function, basetypes.ObjectAsOptions{})...)
	diags.Append(m.Alert.As(ctx, &alert, basetypes.ObjectAsOptions{})...)
	diags.Append(m.Retry.As(ctx, &retry, basetypes.ObjectAsOptions{})...)
	if diags.HasError() {
		return readingOf(result, diags)
	}
	values := []attr.Value{m.Timezone, function.RPC, function.VerifyTable, alert.Enabled, alert.Function, alert.Source, retry.Attempts, retry.Delay}
	for _, s := range schedules {
		values = append(values, s.Cron, s.Timezone, s.Enabled)
	}
	if slices.ContainsFunc(values, attr.Value.IsUnknown) {
		return unknown[backup.Settings]()
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
		// If it is not known yet, the apply writes it.
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
	restored := drillSettings(ctx, m.Drill, result.Timezone, now)
	removed := retentionPolicy(ctx, m.Retention)
	diags.Append(restored.diags...)
	copied := offsiteSettings(ctx, m.Offsite, name, m.ProjectRef.ValueString(), now)
	told := m.channels(ctx)
	diags.Append(removed.diags...)
	diags.Append(copied.diags...)
	diags.Append(told.diags...)
	if copied.value != nil {
		refuseOwnFunction(m.Function, &diags)
	}
	if !restored.known || !removed.known || !copied.known || !told.known {
		return reading[backup.Settings]{diags: diags}
	}
	result.Drill, result.Retention, result.Offsite = restored.value, removed.value, copied.value
	result.Heartbeat, result.Webhooks = told.value.heartbeat, told.value.webhooks
	if diags.HasError() {
		return readingOf(result, diags)
	}
	if alert.OverdueAfter.IsNull() || alert.OverdueAfter.IsUnknown() {
		overdue, err := backup.OverdueAfter(result.Schedules)
		if err != nil {
			diags.AddAttributeError(path.Root("schedules"), "Invalid schedule", text.Sentence(err.Error()))
			return readingOf(result, diags)
		}
		result.Alert.OverdueAfterSeconds = int64(overdue / time.Second)
	} else {
		result.Alert.OverdueAfterSeconds = seconds(alert.OverdueAfter)
		checkOverdueAfter(result, &diags)
	}
	return readingOf(result, diags)
}

// plannedSettings reads the configured part of a plan that is being applied. Its
// schedules are those of the plan, because compiling them again could have another
// result.
func (m autoBackupModel) plannedSettings(ctx context.Context, gateway gateway, now time.Time) reading[backup.Settings] {
	settings := m.settings(ctx, gateway, now)
	for key, utc := range stringsOf(m.CronUTC) {
		if schedule, ok := settings.value.Schedules[key]; ok {
			settings.value.Schedules[key] = schedule.Planned(utc)
		} else if key == drill.JobKey && settings.value.Drill != nil {
			settings.value.Drill.Schedule = settings.value.Drill.Planned(utc)
		}
	}
	return settings
}

// source reads the Edge Function's source: the built-in one, or that of
// source_dir.
func (m autoBackupModel) source(ctx context.Context, settings backup.Settings) reading[source.Source] {
	var (
		diags    diag.Diagnostics
		function functionModel
	)
	diags.Append(m.Function.As(ctx, &function, basetypes.ObjectAsOptions{UnhandledNullAsEmpty: true, UnhandledUnknownAsEmpty: true})...)
	if diags.HasError() {
		return readingOf(source.Source{}, diags)
	}
	if m.Function.IsUnknown() || function.SourceDir.IsUnknown() {
		return unknown[source.Source]()
	}
	if function.SourceDir.IsNull() {
		return readingOf(backup.BuiltInSource(backup.Name(m.Name.ValueString()), settings), diags)
	}
	if len(function.SourceDir.ValueString()) > maxText {
		return unknown[source.Source]() // its validator reports that
	}
	at := path.Root("function").AtName("source_dir")
	code, err := source.Directory(ctx, function.SourceDir.ValueString())
	var badImport *source.ImportError
	switch {
	case errors.Is(err, source.ErrNoEntrypoint):
		diags.AddAttributeError(at, "Incomplete function source", text.Capitalize(err.Error())+". Put the function's entry point there, or remove `source_dir` to use the built-in function.")
	case errors.As(err, &badImport):
		diags.AddAttributeError(at, "Incomplete function source", badImport.Error()+". Everything that index.ts imports is deployed with it.")
	case err != nil:
		diags.AddAttributeError(at, "Unreadable function source", text.Sentence(err.Error()))
	}
	return readingOf(code, diags)
}

// refresh sets `drift` to what differs from what was applied.
func (m *autoBackupModel) refresh(found backup.State, was applied, fingerprints *fingerprint.Cache) {
	known, digests := stringsOf(m.SecretFingerprints), map[string]string{}
	for name := range known {
		if digest := digestOf(found, name); digest != "" {
			digests[name] = digest
		}
	}
	// It remembers them, and what it could not compute is an error of Of, too.
	_, _ = fingerprints.All(digests, known)
	spec := backup.Spec{
		ID: found.ID, Settings: was.Settings, DispatcherVersion: m.DispatcherVersion.ValueString(),
		Source: source.Source{ImportMap: was.ImportMap}, SourceDigests: was.Digests,
		SameSecret: func(name, digest string) bool {
			fingerprint, err := fingerprints.Of(digest, known[name])
			return err == nil && fingerprint == known[name]
		},
	}
	m.Drift = mapOf(backup.Drift(backup.Diff(spec, found)))
}

// digestOf is the digest of a secret that a project has, of a function's or of the vault's;
// empty if there is none or it could not be read.
func digestOf(found backup.State, secret string) string {
	if ofChannel(secret) {
		return found.ChannelDigests[secret]
	}
	return found.Secrets[secret]
}

// adopt completes the state of an import, which has only the backup's ID, with what
// was found. It returns what counts as applied from then on. What the project does
// not record gets its default.
func (m *autoBackupModel) adopt(found backup.State, fingerprints *fingerprint.Cache) (applied, diag.Diagnostics) {
	var diags diag.Diagnostics
	was := applied{Digests: map[string]string{}}
	if f := found.Function; f != nil {
		was.Digests, was.ImportMap = f.Files, f.ImportMap
	}
	if found.Settings != nil {
		was.Settings = *found.Settings
	}
	former := stringsOf(m.SecretFingerprints)
	if imports := m.ID.IsNull(); imports {
		m.empty(found)
		if found.Settings != nil {
			m.adoptSettings(was.Settings)
		}
	}
	digests := map[string]string{}
	for _, name := range slices.Concat(was.Settings.Secrets, was.Settings.ChannelSecrets(found.ID.Name)) {
		if digest := digestOf(found, name); digest != "" {
			digests[name] = digest
		}
	}
	present, err := fingerprints.All(digests, former)
	if err != nil {
		diags.AddError("Cannot fingerprint a secret", err.Error())
		return was, diags
	}
	m.SecretFingerprints = types.MapNull(types.StringType)
	if len(present) > 0 {
		m.SecretFingerprints = mapOf(present)
	}
	return was, diags
}

// empty sets the attributes to those of a backup without settings.
func (m *autoBackupModel) empty(found backup.State) {
	m.ID = types.StringValue(found.ID.String())
	m.ProjectRef, m.Name = types.StringValue(found.ID.ProjectRef), types.StringValue(string(found.ID.Name))
	m.LogConstraint, m.Verify = orDefault(m.LogConstraint, logConstraintExtend), orDefault(m.Verify, verifyProbe)
	m.AdoptExisting = types.BoolValue(false)
	m.Secrets, m.RotateToken, m.Timezone = types.MapNull(types.StringType), types.StringNull(), types.StringNull()
	m.Verified, m.SourceHash, m.FunctionURL = types.StringNull(), types.StringNull(), types.StringNull()
	m.CronUTC, m.Drift = mapOf(nil), mapOf(nil)
	m.Schedules = types.MapNull(scheduleType)
	m.Function, m.Alert, m.Retry = types.ObjectNull(functionType.AttrTypes), types.ObjectNull(alertType.AttrTypes), types.ObjectNull(retryType.AttrTypes)
	m.Drill, m.Retention, m.Offsite = drillOf(nil), retentionOf(nil), offsiteOf(nil)
	m.Heartbeat, m.Webhooks = heartbeatOf(nil), webhooksOf(nil)
	version, _ := found.Dispatcher()
	m.DispatcherVersion = textOrNull(version)
	if f := found.Function; f != nil {
		m.SourceHash = types.StringValue(sourceHash(f.Files))
	}
}

// adoptSettings sets the arguments to those in the project's settings.
func (m *autoBackupModel) adoptSettings(found backup.Settings) {
	m.FunctionURL, m.Timezone = types.StringValue(found.Function.URL), types.StringValue(found.Timezone)
	m.RotateToken = types.StringPointerValue(found.RotateToken)
	schedules, utc := map[string]attr.Value{}, map[string]string{}
	for key, s := range found.Schedules {
		utc[key] = s.UTC
		schedules[key] = types.ObjectValueMust(scheduleType.AttrTypes, map[string]attr.Value{
			"cron": types.StringValue(s.Cron), "timezone": types.StringPointerValue(s.Timezone), "enabled": types.BoolValue(s.Enabled),
		})
	}
	if found.Drill != nil {
		utc[drill.JobKey] = found.Drill.UTC
	}
	m.Drill, m.Retention, m.Offsite = drillOf(found.Drill), retentionOf(found.Retention), offsiteOf(found.Offsite)
	m.Heartbeat, m.Webhooks = heartbeatOf(found.Heartbeat), webhooksOf(found.Webhooks)
	m.Schedules, m.CronUTC = types.MapValueMust(scheduleType, schedules), mapOf(utc)
	m.Function = types.ObjectValueMust(functionType.AttrTypes, map[string]attr.Value{
		"source_dir": types.StringNull(), "rpc": types.StringValue(found.Function.RPC),
		"verify_table": types.StringPointerValue(found.Function.VerifyTable),
	})
	m.Alert = types.ObjectValueMust(alertType.AttrTypes, map[string]attr.Value{
		"enabled": types.BoolValue(found.Alert.Enabled), "function": types.StringValue(found.Alert.Function),
		"source": types.StringValue(found.Alert.Source), "overdue_after": durationOf(found.Alert.OverdueAfterSeconds),
	})
	m.Retry = types.ObjectValueMust(retryType.AttrTypes, map[string]attr.Value{
		"attempts": types.Int64Value(found.Retry.Attempts), "delay": durationOf(found.Retry.DelaySeconds),
	})
}

func durationOf(seconds int64) types.String {
	return types.StringValue(formatDuration(time.Duration(seconds) * time.Second))
}

func textOrNull(text string) types.String {
	if text == "" {
		return types.StringNull()
	}
	return types.StringValue(text)
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

// stringsOf returns the known elements of a map of strings.
func stringsOf(m types.Map) map[string]string { return stringsIn(m.Elements()) }

func stringsIn(elements map[string]attr.Value) map[string]string {
	values := map[string]string{}
	for key, element := range elements {
		if text, ok := element.(types.String); ok && !text.IsNull() && !text.IsUnknown() {
			values[key] = text.ValueString()
		}
	}
	return values
}

// seconds parses a duration that its validator has accepted.
func seconds(value types.String) int64 {
	d, err := time.ParseDuration(value.ValueString())
	if err != nil {
		return 0
	}
	return int64(d / time.Second)
}
