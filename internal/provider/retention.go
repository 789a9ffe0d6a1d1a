package provider

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
)

var retentionType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"keep_last": types.Int64Type, "daily": types.Int64Type, "weekly": types.Int64Type, "monthly": types.Int64Type, "yearly": types.Int64Type,
}}

type retentionModel struct {
	KeepLast types.Int64 `tfsdk:"keep_last"`
	Daily    types.Int64 `tfsdk:"daily"`
	Weekly   types.Int64 `tfsdk:"weekly"`
	Monthly  types.Int64 `tfsdk:"monthly"`
	Yearly   types.Int64 `tfsdk:"yearly"`
}

// retentionPolicy reads the configured retention; nil if there is none.
func retentionPolicy(ctx context.Context, configured types.Object) reading[*retention.Policy] {
	var (
		diags diag.Diagnostics
		m     retentionModel
	)
	if configured.IsNull() {
		return readingOf[*retention.Policy](nil, diags)
	}
	if configured.IsUnknown() {
		return unknown[*retention.Policy]()
	}
	diags.Append(configured.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	if slices.ContainsFunc([]attr.Value{m.KeepLast, m.Daily, m.Weekly, m.Monthly, m.Yearly}, attr.Value.IsUnknown) {
		return unknown[*retention.Policy]()
	}
	return readingOf(&retention.Policy{
		KeepLast: m.KeepLast.ValueInt64(), Daily: m.Daily.ValueInt64(), Weekly: m.Weekly.ValueInt64(),
		Monthly: m.Monthly.ValueInt64(), Yearly: m.Yearly.ValueInt64(),
	}, diags)
}

// retentionOf is the argument for the retention that a project has.
func retentionOf(found *retention.Policy) types.Object {
	if found == nil {
		return types.ObjectNull(retentionType.AttrTypes)
	}
	return types.ObjectValueMust(retentionType.AttrTypes, map[string]attr.Value{
		"keep_last": types.Int64Value(found.KeepLast), "daily": types.Int64Value(found.Daily), "weekly": types.Int64Value(found.Weekly),
		"monthly": types.Int64Value(found.Monthly), "yearly": types.Int64Value(found.Yearly),
	})
}

// validateRetention refuses a retention without a drill: no backup is removed before a
// drill has shown that the newest one can be restored.
func validateRetention(config autoBackupModel, diags *diag.Diagnostics) {
	enabled, known := config.Drill.Attributes()["enabled"].(types.Bool)
	if !config.Retention.IsNull() && known && !enabled.IsNull() && !enabled.IsUnknown() && !enabled.ValueBool() {
		diags.AddAttributeError(path.Root("retention"), "Retention without a restore drill",
			"Old backups are removed only after a drill has restored the newest one, and `drill` has `enabled = false`. Switch the drill on, or leave `retention` out.")
	}
}

func retentionAttribute() schema.Attribute {
	number := func(standard int64, description string) schema.Attribute {
		return schema.Int64Attribute{
			Optional: true, Computed: true, Default: int64default.StaticInt64(standard),
			Validators:          []validator.Int64{int64validator.Between(0, mostKept)},
			MarkdownDescription: description,
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Which stored backups are kept; the others are **deleted from the backup tables that the drill restores**, one per hour, the oldest first, each from all tables in one transaction. Needs an enabled `drill`. " +
			"A backup is kept if any of the numbers keeps it. The newest one always is, and so is the newest one that a drill has restored. Days, weeks (from Monday), months and years are those of `timezone`. " +
			"Nothing is deleted while anything is wrong: while a backup is being made or is overdue, after a run that failed, during an incident, and unless the latest drill is recent, was successful, and the backup that it restored is still there. " +
			"Backups that this provider has not made, those that have failed, and tables without a column `backup_id` are never touched. `auto_backup.runs` says when and from which tables a backup was removed. Default: every backup is kept.",
		Attributes: map[string]schema.Attribute{
			"keep_last": number(retention.DefaultKeepLast, fmt.Sprintf("How many of the newest backups are kept. Default: %d.", retention.DefaultKeepLast)),
			"daily":     number(0, "Of how many days that have a backup the newest one is kept. Default: 0."),
			"weekly":    number(0, "Of how many weeks. Default: 0."),
			"monthly":   number(0, "Of how many months. Default: 0."),
			"yearly":    number(0, "Of how many years. Default: 0."),
		},
	}
}
