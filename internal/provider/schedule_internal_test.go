package provider

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// TestApplyUsesPlannedSchedules proves that an apply installs the schedules as
// they were planned, and not as they would be planned now: Almaty changed its
// clock on 2024-03-01 for the last time, so a plan of that day and one of a week
// later differ.
func TestApplyUsesPlannedSchedules(t *testing.T) {
	t.Parallel()
	schedule := func(cron string) attr.Value {
		return types.ObjectValueMust(scheduleType.AttrTypes, map[string]attr.Value{
			"cron": types.StringValue(cron), "timezone": types.StringNull(), "enabled": types.BoolValue(true),
		})
	}
	plan := autoBackupModel{
		ProjectRef: types.StringValue("abcdefghijklmnopqrst"), Name: types.StringValue("auto-backup"), Timezone: types.StringValue("Asia/Almaty"),
		Schedules: types.MapValueMust(scheduleType, map[string]attr.Value{"daily": schedule("0 3 * * *"), "hourly": schedule("30 * * * *")}),
		Function: types.ObjectValueMust(functionType.AttrTypes, map[string]attr.Value{
			"source_dir": types.StringNull(), "rpc": types.StringValue("backup_all_data"), "verify_table": types.StringNull(),
		}),
		Alert: types.ObjectValueMust(alertType.AttrTypes, map[string]attr.Value{
			"enabled": types.BoolValue(true), "function": types.StringValue("alert-processor"), "source": types.StringValue("x"), "overdue_after": types.StringUnknown(),
		}),
		Retry:   types.ObjectValueMust(retryType.AttrTypes, map[string]attr.Value{"attempts": types.Int64Value(1), "delay": types.StringValue("10m")}),
		CronUTC: types.MapUnknown(types.StringType),
	}
	planned := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	applied := planned.AddDate(0, 0, 7)
	front := gateway{url: "https://abcdefghijklmnopqrst.supabase.co"}

	var diags diag.Diagnostics
	then, known := plan.settings(t.Context(), front, planned).report(&diags)
	if !known || diags.HasError() {
		t.Fatal(known, diags)
	}
	now := plan.settings(t.Context(), front, applied).value
	if then.Schedules["daily"].UTC == now.Schedules["daily"].UTC {
		t.Fatalf("the two plans do not differ, so this test proves nothing: %+v", now.Schedules)
	}
	var errors diag.Diagnostics
	plan.CronUTC, _ = computedAttributes()["cron_utc"].planned(planning{settings: then}, &errors).(types.Map)
	if errors.HasError() {
		t.Fatal(errors)
	}
	got, known := plan.plannedSettings(t.Context(), front, applied).report(&diags)
	if !known || diags.HasError() {
		t.Fatal(known, diags)
	}
	if !equalJSON(t, got.Schedules["daily"], then.Schedules["daily"]) || !equalJSON(t, got.Schedules["hourly"], now.Schedules["hourly"]) {
		t.Errorf("the apply installs\n%+v, the plan was\n%+v", got.Schedules, then.Schedules)
	}
	plan.CronUTC = types.MapUnknown(types.StringType)
	if got := plan.plannedSettings(t.Context(), front, applied).value; !equalJSON(t, got, now) {
		t.Errorf("without planned schedules the apply installs\n%+v, not\n%+v", got.Schedules, now.Schedules)
	}
}

// equalJSON reports whether two values have the same JSON form, which is what is
// written to the database.
func equalJSON(t *testing.T, one, other any) bool {
	t.Helper()
	left, err := json.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	right, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	return string(left) == string(right)
}
