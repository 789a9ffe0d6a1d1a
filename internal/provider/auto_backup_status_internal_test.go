package provider

import (
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
)

func ptr[T any](v T) *T { return &v }

// TestStatusModel proves that every value of a status becomes the attribute of
// its name, in the form that the schema describes, and that what is not known
// becomes null.
func TestStatusModel(t *testing.T) {
	t.Parallel()
	brasilia := time.FixedZone("-03", -3*3600)
	at := func(second int) time.Time { return time.Date(2026, 11, 23, 3, 0, second, 999_999_999, brasilia) }
	run := history.Run{
		ID: "run", Schedule: "daily", Trigger: history.TriggerRetry, Attempt: 2, State: history.Failed,
		DueAt: at(1), RequestedAt: at(2), FinishedAt: at(9).Add(500 * time.Microsecond), BackupID: "backup", Records: ptr(int64(321)),
		Code: "rpc_http", Error: "error", SQLState: "42501", LogState: "function", Recovered: ptr(false),
		WhatHappened: "what", Tick: "tick", Request: "request", HTTP: "http", Function: "function", Log: "log", Alert: "alert",
	}
	success := history.Run{ID: "success", Schedule: "manual", State: history.Succeeded, DueAt: at(-60), RequestedAt: at(-50), FinishedAt: at(-42), BackupID: "stored", Records: ptr(int64(320))}
	model := runModel{
		RunID: ptr("run"), Schedule: ptr("daily"), Trigger: ptr("retry"), Attempt: ptr(int64(2)), State: "failed",
		DueAt: ptr("2026-11-23T06:00:01Z"), RequestedAt: ptr("2026-11-23T06:00:02Z"), FinishedAt: ptr("2026-11-23T06:00:10Z"), DurationSeconds: ptr(int64(7)),
		BackupID: ptr("backup"), Records: ptr(int64(321)), Code: ptr("rpc_http"), Error: ptr("error"), WhatHappened: ptr("what"), Recovered: ptr(false),
		Tick: ptr("tick"), Request: ptr("request"), HTTP: ptr("http"), Function: ptr("function"), Log: ptr("log"), Alert: ptr("alert"),
	}
	full := statusModel{
		ProjectRef: types.StringValue("ref"), Name: types.StringValue("nightly"), HistoryLimit: types.Int64Value(5), DiskGB: types.Float64Value(8),
		ID: "abcdefghijklmnopqrst/nightly", Installation: "provider", State: "failing", Healthy: false, Summary: "Summary.",
		Problems: []problemModel{
			{"rpc_http", "error", "Message.", "Remedy."},
			{"never_ran", "error", "Never.", "Wait."},
			{"clock_skew", "warning", "Skew.", "Set it."},
		},
		CheckedAt: "2026-11-23T06:00:30Z", WatchdogAt: ptr("2026-11-23T06:00:20Z"),
		LastSuccess: &successModel{
			FinishedAt: "2026-11-23T05:59:18Z", AgeSeconds: 72, DurationSeconds: ptr(int64(8)), BackupID: ptr("stored"), Records: ptr(int64(320)),
			RunID: ptr("success"), Schedule: ptr("manual"), DueAt: ptr("2026-11-23T05:59:00Z"),
		},
		LastRun: &model, ConsecutiveFailures: 3, RetryAt: ptr("2026-11-23T06:00:40Z"),
		NextRuns:      []nextRunModel{{"noon", "2026-11-23T03:00:50-03:00"}, {"daily", "2026-11-23T03:00:55-03:00"}},
		StoredBackups: &storedModel{4, ptr("newest"), ptr("2026-11-23T05:59:19Z"), ptr("2026-11-23T05:58:20Z"), 8192, []string{"public.a", "public.b"}, ptr(int64(9000)), ptr(int64(70)), ptr(int64(12)), ptr(int64(3)), ptr("Tick."), ptr("Assumed.")},
		Drill: &drillStatusModel{
			State: "failed", At: "2026-11-23T05:58:00Z", DurationSeconds: 3, BackupID: ptr("drilled"), Code: ptr("drill_check"), Error: ptr("public.a: small (4)"),
			Tables: []drillTableModel{{
				Name: "public.a", Rows: 40, Reason: ptr("Rows of the backup violate a CHECK of the live table, so they cannot be restored"), Sampled: true, Compared: ptr(int64(39)), Restorable: ptr(false), RowsMissing: 1,
				Problems: []drillProblemModel{{"drill_check", "small", 4}}, Unchecked: []string{"key"}, ColumnsLost: []lostColumnModel{{"likes", 5, "not_copied"}},
			}},
		},
		Coverage: &coverageModel{[]string{"public.a"}, []string{"auth.users"}, []coveredTableModel{
			{"auth.users", nil, false, ptr("not_copied")}, {"public.a", ptr("public.b"), true, nil},
		}, 3},
		History: []runModel{model, {State: "overdue", RunID: nil, DueAt: ptr("2026-11-23T06:00:03Z")}},
	}
	got := statusModel{ProjectRef: full.ProjectRef, Name: full.Name, HistoryLimit: full.HistoryLimit, DiskGB: full.DiskGB}
	got.fill(health.Status{
		ID: backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "nightly"}, Installation: health.InstallationProvider, Condition: checks.Failing, Summary: "Summary.",
		Problems: []checks.Finding{
			{Code: "rpc_http", Condition: checks.Failing, Message: "Message.", Remedy: "Remedy."},
			{Code: "never_ran", Condition: checks.NeverRan, Message: "Never.", Remedy: "Wait."},
			{Code: "clock_skew", Condition: checks.Healthy, Message: "Skew.", Remedy: "Set it."},
		},
		CheckedAt: at(30), WatchedAt: at(20), LastSuccess: &success, LastRun: &run, Failures: 3, RetryAt: at(40),
		NextRuns:      []health.NextRun{{Schedule: "noon", DueAt: at(50)}, {Schedule: "daily", DueAt: at(55)}},
		StoredBackups: &facts.StoredBackups{Count: 4, NewestID: "newest", Newest: at(-41), Oldest: at(-100), Bytes: 8192, Tables: []string{"public.a", "public.b"}, DatabaseBytes: 9000},
		Forecast:      &health.Forecast{GrowthPerWeek: ptr(int64(70)), DaysUntilFull: ptr(int64(12)), Surplus: ptr(int64(3)), Retention: "Tick.", Assumptions: "Assumed."},
		Drill: &facts.Drill{
			State: facts.DrillFailed, StartedAt: at(-120), FinishedAt: at(-117), BackupID: "drilled", MadeAt: at(-300), Code: "drill_check", Error: "public.a: small (4)",
			Tables: []facts.DrillTable{{
				Table: "public.a", Copy: "public.backup_a", Rows: 40, Sampled: true, Compared: ptr(int64(39)), Restorable: ptr(false), RowsMissing: 1,
				Problems: []facts.DrillProblem{{Code: "drill_check", Object: "small", Rows: 4}}, Unchecked: []string{"key"},
				ColumnsLost: []facts.LostColumn{{Name: "likes", Rows: 5, Reason: "not_copied"}},
			}},
		},
		Coverage: &health.Coverage{
			Copied: []string{"public.a"}, NotCopied: []string{"auth.users"}, LeftOut: 3,
			Tables: []health.CoveredTable{{Name: "auth.users", Reason: health.CoverageNotCopied}, {Name: "public.a", Copy: "public.b", Covered: true}},
		},
		History: []history.Run{run, {State: history.Overdue, DueAt: at(3)}},
	})
	if !reflect.DeepEqual(got, full) {
		t.Errorf("got  %+v\nwant %+v", got, full)
	}
	for _, filled := range []any{got, *got.LastSuccess, *got.LastRun, *got.StoredBackups, *got.Coverage, *got.Drill, got.Drill.Tables[0], got.Drill.Tables[0].Problems[0], got.Drill.Tables[0].ColumnsLost[0], got.Problems[0], got.NextRuns[0]} {
		value := reflect.ValueOf(filled)
		for i := range value.NumField() {
			if field := value.Type().Field(i); value.Field(i).IsZero() && field.Name != "Healthy" {
				t.Errorf("%s.%s is not compared", value.Type().Name(), field.Name)
			}
		}
	}

	got = statusModel{}
	got.fill(health.Status{Condition: checks.Running, LastSuccess: &history.Run{}, LastRun: &history.Run{}, StoredBackups: &facts.StoredBackups{}})
	want := statusModel{
		ID: "/", State: "running", Healthy: true, Problems: []problemModel{}, CheckedAt: "0001-01-01T00:00:00Z",
		LastSuccess: &successModel{FinishedAt: "0001-01-01T00:00:00Z"}, LastRun: &runModel{}, StoredBackups: &storedModel{}, NextRuns: []nextRunModel{}, History: []runModel{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("of nothing: got  %+v\nwant %+v", got, want)
	}
	got = statusModel{}
	got.fill(health.Status{})
	if got.LastSuccess != nil || got.LastRun != nil || got.StoredBackups != nil || got.Drill != nil || got.WatchdogAt != nil || got.RetryAt != nil {
		t.Errorf("of less: got %+v", got)
	}
}

// TestStatusModelFitsSchema proves that the schema has exactly the attributes that
// a status fills.
func TestStatusModelFitsSchema(t *testing.T) {
	t.Parallel()
	var response datasource.SchemaResponse
	newAutoBackupStatus().Schema(t.Context(), datasource.SchemaRequest{}, &response)
	state := tfsdk.State{Schema: response.Schema, Raw: tftypes.NewValue(response.Schema.Type().TerraformType(t.Context()), nil)}
	model := statusModel{
		LastSuccess: &successModel{}, LastRun: &runModel{}, StoredBackups: &storedModel{}, Coverage: &coverageModel{Tables: []coveredTableModel{{}}},
		Drill:    &drillStatusModel{Tables: []drillTableModel{{Problems: []drillProblemModel{{}}, ColumnsLost: []lostColumnModel{{}}}}},
		Problems: []problemModel{{}}, NextRuns: []nextRunModel{{}}, History: []runModel{{}},
	}
	if diags := state.Set(t.Context(), &model); diags.HasError() {
		t.Error(diags)
	}
}
