package provider

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// TestWarnDayFields proves that a cron with both day fields is warned of with
// its next three dates in its own zone, and that no other one is.
func TestWarnDayFields(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	schedules := map[string]backup.Schedule{}
	for key, cron := range map[string]string{"either": "0 3 1 * mon", "daily": "0 3 * * *", "monthly": "0 3 1 * *", "weekly": "0 3 * * mon"} {
		compiled, err := backup.CompileSchedule(cron, nil, "America/Sao_Paulo", true, now)
		if err != nil {
			t.Fatal(err)
		}
		schedules[key] = compiled
	}
	var diags diag.Diagnostics
	warnDayFields(schedules, now, &diags)
	if len(diags) != 1 {
		t.Fatalf("got %v", diags)
	}
	const want = "The next runs are Mon 2026-11-30 03:00, Tue 2026-12-01 03:00, Mon 2026-12-07 03:00 (America/Sao_Paulo)."
	if at, ok := diags[0].(diag.DiagnosticWithPath); !ok || at.Path().String() != `schedules["either"].cron` || !strings.Contains(diags[0].Detail(), want) {
		t.Errorf("the warning is %v", diags[0])
	}
}

// TestUnknownSchedule proves that a schedule which is known only after another
// resource was applied is planned as unknown, and not refused.
func TestUnknownSchedule(t *testing.T) {
	t.Parallel()
	model := autoBackupModel{
		Schedules: types.MapValueMust(scheduleType, map[string]attr.Value{"daily": types.ObjectUnknown(scheduleType.AttrTypes)}),
		Function:  types.ObjectNull(functionType.AttrTypes), Alert: types.ObjectNull(alertType.AttrTypes), Retry: types.ObjectNull(retryType.AttrTypes),
	}
	if read := model.settings(t.Context(), gateway{}, time.Now()); read.known || read.diags.HasError() {
		t.Errorf("known: %t, %v", read.known, read.diags)
	}
}
