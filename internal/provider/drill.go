package provider

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/preflight"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

var drillType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"cron": types.StringType, "timezone": types.StringType, "enabled": types.BoolType, "timeout": types.StringType,
	"max_rows": types.Int64Type, "tables": types.MapType{ElemType: types.StringType}, "require_columns": types.SetType{ElemType: types.StringType},
}}

type drillModel struct {
	Cron           types.String `tfsdk:"cron"`
	Timezone       types.String `tfsdk:"timezone"`
	Enabled        types.Bool   `tfsdk:"enabled"`
	Timeout        types.String `tfsdk:"timeout"`
	MaxRows        types.Int64  `tfsdk:"max_rows"`
	Tables         types.Map    `tfsdk:"tables"`
	RequireColumns types.Set    `tfsdk:"require_columns"`
}

// drillSettings reads the configured drill; nil if there is none. timezone is the
// backup's.
func drillSettings(ctx context.Context, configured types.Object, timezone string, now time.Time) reading[*backup.DrillSettings] {
	var (
		diags diag.Diagnostics
		m     drillModel
	)
	if configured.IsNull() {
		return readingOf[*backup.DrillSettings](nil, diags)
	}
	if configured.IsUnknown() {
		return unknown[*backup.DrillSettings]()
	}
	diags.Append(configured.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	if diags.HasError() {
		return readingOf[*backup.DrillSettings](nil, diags)
	}
	values := slices.Concat(
		[]attr.Value{m.Cron, m.Timezone, m.Enabled, m.Timeout, m.MaxRows, m.Tables, m.RequireColumns},
		slices.Collect(maps.Values(m.Tables.Elements())), m.RequireColumns.Elements(),
	)
	if slices.ContainsFunc(values, attr.Value.IsUnknown) {
		return unknown[*backup.DrillSettings]()
	}
	at := path.Root("drill")
	result := &backup.DrillSettings{TimeoutSeconds: seconds(m.Timeout), MaxRows: m.MaxRows.ValueInt64(), RequireColumns: [][3]string{}}
	var err error
	if result.Schedule, err = backup.CompileSchedule(m.Cron.ValueString(), m.Timezone.ValueStringPointer(), timezone, m.Enabled.ValueBool(), now); err != nil {
		diags.AddAttributeError(at.AtName("cron"), "Invalid schedule", text.Sentence(err.Error()))
		return readingOf(result, diags)
	}
	if result.OverdueAfterSeconds, err = result.OverdueAfter(); err != nil {
		diags.AddAttributeError(at.AtName("cron"), "Invalid schedule", text.Sentence(err.Error()))
	}
	for _, element := range m.RequireColumns.Elements() {
		name, _ := element.(types.String)
		if column, err := drill.ParseColumn(name.ValueString()); err == nil { // its validator reports the others
			result.RequireColumns = append(result.RequireColumns, column)
		}
	}
	slices.SortFunc(result.RequireColumns, func(a, b [3]string) int { return strings.Compare(strings.Join(a[:], "."), strings.Join(b[:], ".")) })
	if !m.Tables.IsNull() {
		names := map[[2]string][2]string{}
		for name, copied := range stringsOf(m.Tables) {
			from, err := drill.ParseTable(name)
			to, errCopy := drill.ParseTable(copied)
			if err == nil && errCopy == nil {
				names[from] = to
			}
		}
		result.Tables, result.TablesNamed = drill.Named(names, nil), true
	}
	return readingOf(result, diags)
}

// validateDrillTimeout refuses a time limit that no drill can keep, and one that would
// hide that something is wrong.
func validateDrillTimeout(value string) error {
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a duration; write for example \"2m\" or \"90s\"", value)
	case d < time.Second || d > time.Hour || d%time.Second != 0:
		return fmt.Errorf("%q is not between one second and one hour, in whole seconds; leave it out for the default of %s", value, formatDuration(drill.DefaultTimeout))
	}
	return nil
}

// drillOf is the argument for the drill that a project has.
func drillOf(found *backup.DrillSettings) types.Object {
	if found == nil {
		return types.ObjectNull(drillType.AttrTypes)
	}
	required := types.SetNull(types.StringType)
	if len(found.RequireColumns) > 0 {
		var names []attr.Value
		for _, column := range found.RequireColumns {
			names = append(names, types.StringValue(strings.Join(column[:], ".")))
		}
		required = types.SetValueMust(types.StringType, names)
	}
	tables := types.MapNull(types.StringType)
	if found.TablesNamed {
		names := map[string]string{}
		for _, table := range found.Tables {
			names[strings.Join(table.Live[:], ".")] = strings.Join(table.Copy[:], ".")
		}
		tables = mapOf(names)
	}
	return types.ObjectValueMust(drillType.AttrTypes, map[string]attr.Value{
		"cron": types.StringValue(found.Cron), "timezone": types.StringPointerValue(found.Timezone), "enabled": types.BoolValue(found.Enabled),
		"timeout": durationOf(found.TimeoutSeconds), "max_rows": types.Int64Value(found.MaxRows),
		"tables": tables, "require_columns": required,
	})
}

// findTables completes the settings of a drill and of off-site copies with the
// tables that the text of the SQL function shows.
func findTables(ctx context.Context, service *install.Service, spec *backup.Spec, diags *diag.Diagnostics) {
	if spec.Settings.Drill == nil && spec.Settings.Offsite == nil {
		return
	}
	known, err := preflight.DrillTables(ctx, service, *spec)
	if err != nil {
		addError(diags, "Cannot read the SQL function", err)
		return
	}
	if spec.Settings.Drill != nil {
		wanted := *spec.Settings.Drill
		wanted.Tables = drillTables(wanted, known)
		spec.Settings.Drill = &wanted
	}
	if spec.Settings.Offsite != nil {
		wanted := *spec.Settings.Offsite
		wanted.Tables = offsiteTables(spec.Settings, known)
		spec.Settings.Offsite = &wanted
	}
}

// offsiteTables are the tables that off-site copies know with their backup
// tables: those of the drill, whether or not it is switched on.
func offsiteTables(settings backup.Settings, known []drill.Table) []drill.Table {
	if settings.Drill == nil {
		return append([]drill.Table{}, known...)
	}
	return drillTables(*settings.Drill, known)
}

// drillTables are the tables that a drill restores; known are those that the text of the
// SQL function shows.
func drillTables(wanted backup.DrillSettings, known []drill.Table) []drill.Table {
	if !wanted.TablesNamed {
		return append([]drill.Table{}, known...)
	}
	names := map[[2]string][2]string{}
	for _, table := range wanted.Tables {
		names[table.Live] = table.Copy
	}
	return drill.Named(names, known)
}

// refreshTables adds to the drift that the SQL function, which was replaced since the last
// apply, copies other tables or columns than the drill restores and the copies outside the
// project have: an apply reads them again. A function of which nothing can be read leaves
// them as they are.
func (m *autoBackupModel) refreshTables(ctx context.Context, service *install.Service, found backup.State, was applied) {
	settings := was.Settings
	if settings.Drill == nil && settings.Offsite == nil || found.RPCs[settings.Function.RPC] == was.RPC {
		return
	}
	known, err := preflight.DrillTables(ctx, service, backup.Spec{ID: found.ID, Settings: settings})
	if err != nil || len(known) == 0 {
		return // an apply says what cannot be read
	}
	drift := stringsOf(m.Drift)
	const text = "is not what the SQL function copies since it was changed"
	if settings.Drill != nil && !reflect.DeepEqual(drillTables(*settings.Drill, known), settings.Drill.Tables) {
		drift["setting drill.tables"] = text
	}
	if settings.Offsite != nil && !reflect.DeepEqual(offsiteTables(settings, known), settings.Offsite.Tables) {
		drift["setting offsite.tables"] = text
	}
	m.Drift = mapOf(drift)
}

// defaultDrill is the drill of a configuration that says nothing about it.
func defaultDrill() types.Object {
	return types.ObjectValueMust(drillType.AttrTypes, map[string]attr.Value{
		"cron": types.StringValue(drill.DefaultCron), "timezone": types.StringNull(), "enabled": types.BoolValue(true),
		"timeout": types.StringValue(formatDuration(drill.DefaultTimeout)), "max_rows": types.Int64Value(drill.DefaultMaxRows),
		"tables": types.MapNull(types.StringType), "require_columns": types.SetNull(types.StringType),
	})
}

func drillAttribute() schema.Attribute {
	timeout := formatDuration(drill.DefaultTimeout)
	table := checked("must be a table with its schema", func(name string) error { _, err := drill.ParseTable(name); return err })
	return schema.SingleNestedAttribute{
		Optional: true, Computed: true, Default: objectdefault.StaticValue(defaultDrill()),
		MarkdownDescription: "The restore drill, which shows regularly whether the newest backup can be restored and what would be lost: it restores the backup into temporary tables, " +
			"which are always rolled back, and compares it with live rows that have not changed since. The application's data is only read. Its pg_cron job is named `<name>-drill`. " +
			"Default: a drill every week. `drill = { enabled = false }` switches it off.",
		Attributes: map[string]schema.Attribute{
			"cron": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(drill.DefaultCron),
				Validators:          []validator.String{checked("must be a cron expression", validateCron)},
				MarkdownDescription: "When a drill takes place, like `cron` of a schedule. Default: `" + drill.DefaultCron + "`, Sundays at 04:30.",
			},
			"timezone": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be an IANA time zone", validateZone)},
				MarkdownDescription: "IANA time zone of `cron`. Default: the backup's `timezone`.",
			},
			"enabled": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(true),
				MarkdownDescription: "Whether the job is active. Default: `true`.",
			},
			"timeout": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(timeout),
				Validators:          []validator.String{checked("must be a duration", validateDrillTimeout)},
				MarkdownDescription: "How long a drill may take, at most `1h`. Default: `" + timeout + "`.",
			},
			"max_rows": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(drill.DefaultMaxRows),
				Validators:          []validator.Int64{int64validator.Between(1, 10_000_000)},
				MarkdownDescription: "How many rows of a table a drill reads. Of a larger table it takes a sample. Default: 100000.",
			},
			"tables": schema.MapAttribute{
				ElementType: types.StringType, Optional: true,
				Validators:          []validator.Map{mapvalidator.SizeAtLeast(1), mapvalidator.KeysAre(table), mapvalidator.ValueStringsAre(table)},
				MarkdownDescription: "The tables that a drill restores, each with its backup table: `{ \"public.articles\" = \"public.backup_articles\" }`. Default: those that the text of the SQL function shows when it is applied.",
			},
			"require_columns": schema.SetAttribute{
				ElementType: types.StringType, Optional: true,
				Validators:          []validator.Set{setvalidator.ValueStringsAre(checked("must be a column with its schema and table", func(name string) error { _, err := drill.ParseColumn(name); return err }))},
				MarkdownDescription: "Columns that the backup must hold, such as `public.comments.likes`. A drill fails if one of them would lose values; of other columns it only says so. Default: none.",
			},
		},
	}
}
