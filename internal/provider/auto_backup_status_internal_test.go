package provider

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
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
	copied := copyModel{
		State: "unverified", CopiedAt: ptr("2026-11-23T05:59:55Z"), BackupID: ptr("stored"), MadeAt: ptr("2026-11-23T05:59:10Z"), Rows: ptr(int64(320)), RawBytes: ptr(int64(90000)),
		Bytes: ptr(int64(30000)), Objects: ptr(int64(9)), ManifestKey: ptr("a/manifest.json"), ManifestSHA256: ptr("ab"), Sequence: ptr(int64(12)), LockedUntil: ptr("2026-11-23T06:00:00Z"),
		VerifiedAt: ptr("2026-11-23T05:59:58Z"), VerifiedState: ptr("failed"), Code: ptr("offsite_object_missing"), Error: ptr("a/1"), Remedy: ptr("Find out who deleted it. Protect the bucket with a lock, and use a key that cannot delete."),
	}
	full := statusModel{
		ProjectRef: types.StringValue("ref"), Name: types.StringValue("nightly"), HistoryLimit: types.Int64Value(5), DiskGB: types.Float64Value(8), Require: types.SetValueMust(types.StringType, []attr.Value{types.StringValue("offsite")}),
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
		Offsite: map[string]copyModel{"r2": copied, "r3": {State: "pending"}},
		Heartbeat: &heartbeatStatusModel{
			Form: "healthchecks", State: ptr("failing"), Secret: "present", Losses: 2,
			Last:          &noticeModel{"start", "2026-11-23T06:00:02Z", "not_delivered", 8, ptr("2026-11-23T06:00:04Z"), ptr(int64(404)), ptr("not found")},
			LastDelivered: &deliveredPingModel{"success", "2026-11-23T05:59:20Z", ptr("2026-11-23T05:59:30Z")},
		},
		Webhooks: map[string]webhookStatusModel{
			"ops": {Form: "slack", Events: []string{"failed"}, State: ptr("waiting"), Secret: "unknown", Last: &noticeModel{Event: "failed", HappenedAt: "2026-11-23T06:00:10Z", State: "waiting"}},
			"old": {Form: "generic", Events: []string{"drill"}, Secret: "unknown"},
		},
		PlatformBackups: platformModel{Kind: ptr("physical"), NewestAt: ptr("2026-11-23T05:59:50Z"), PITR: ptr(true), Region: ptr("sa-east-1")},
		Coverage: &coverageModel{[]string{"public.a"}, []string{"auth.users"}, []coveredTableModel{
			{"auth.users", nil, false, ptr("not_copied")}, {"public.a", ptr("public.b"), true, nil},
		}, 3},
		History: []runModel{model, {State: "overdue", RunID: nil, DueAt: ptr("2026-11-23T06:00:03Z")}},
		Nights:  []nightModel{{"2026-11-22", "made_again", ptr(int64(8)), ptr(int64(320))}, {"2026-11-23", "failed", nil, nil}},
	}
	got := statusModel{ProjectRef: full.ProjectRef, Name: full.Name, HistoryLimit: full.HistoryLimit, DiskGB: full.DiskGB, Require: full.Require}
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
		Offsite: map[string]health.Destination{
			"r2": {
				Copies: offsite.Copies{
					Copy: &offsite.Copy{
						BackupID: "stored", MadeAt: at(-50), CompletedAt: at(-5), Rows: 320, RawBytes: 90000, Bytes: 30000, Objects: 9,
						ManifestKey: "a/manifest.json", ManifestSHA256: "ab", Sequence: 12, LockedUntil: at(0),
					},
					Check: &offsite.Look{State: offsite.LookFailed, FinishedAt: at(-2)},
				},
				State: offsite.StateUnverified, Problem: offsite.Problem{Code: "offsite_object_missing", Error: "a/1"},
			},
			"r3": {State: offsite.StatePending},
		},
		Channels: map[string]health.Channel{
			"heartbeat": {
				Notices: notify.Notices{
					Last:      &notify.Notice{Event: "start", HappenedAt: at(2), State: notify.NoticeLost, Attempts: 8, FinishedAt: at(4), HTTPStatus: 404, Error: "not found"},
					Delivered: &notify.Notice{Event: "success", HappenedAt: at(-40), State: notify.NoticeDelivered, Attempts: 1, FinishedAt: at(-30), HTTPStatus: 200}, Losses: 2,
				},
				Form: notify.Healthchecks, State: notify.StateFailing, Secret: notify.SecretPresent,
			},
			"webhook/ops": {
				Notices: notify.Notices{Last: &notify.Notice{Event: "failed", HappenedAt: at(10), State: notify.NoticeWaiting}},
				Form:    notify.Slack, Events: []string{"failed"}, State: notify.StateWaiting, Secret: notify.SecretUnknown,
			},
			"webhook/old": {Form: notify.Generic, Events: []string{"drill"}, Secret: notify.SecretUnknown},
		},
		Platform: health.Platform{Backups: supabase.Backups{Kind: "physical", NewestAt: at(-10), PITR: true, Region: "sa-east-1"}},
		Coverage: &health.Coverage{
			Copied: []string{"public.a"}, NotCopied: []string{"auth.users"}, LeftOut: 3,
			Tables: []health.CoveredTable{{Name: "auth.users", Reason: health.CoverageNotCopied}, {Name: "public.a", Copy: "public.b", Covered: true}},
		},
		History: []history.Run{run, {State: history.Overdue, DueAt: at(3)}},
		Nights: []health.Night{
			{Day: "2026-11-22", Outcome: health.OutcomeMadeAgain, Duration: 8999 * time.Millisecond, Records: ptr(int64(320))}, {Day: "2026-11-23", Outcome: health.OutcomeFailed},
		},
	})
	if !strings.Contains(got.Report, "is failing") || !strings.Contains(got.Report, "`rpc_http`: Message.") {
		t.Errorf("the report is %s", got.Report)
	}
	if !strings.HasPrefix(got.ReportSVG, "<svg ") || !strings.Contains(got.ReportSVG, "is failing</title>") || !strings.Contains(got.Metrics, `,code="rpc_http",severity="error"} 1`) {
		t.Errorf("the picture is %s\nand the metrics are\n%s", got.ReportSVG, got.Metrics)
	}
	full.Report, full.ReportSVG, full.Metrics = got.Report, got.ReportSVG, got.Metrics // package report has tests of its own
	if !reflect.DeepEqual(got, full) {
		t.Errorf("got  %+v\nwant %+v", got, full)
	}
	for _, filled := range []any{got, *got.LastSuccess, *got.LastRun, *got.StoredBackups, *got.Coverage, got.Offsite["r2"], *got.Drill, got.Drill.Tables[0], got.Drill.Tables[0].Problems[0], got.Drill.Tables[0].ColumnsLost[0], got.Problems[0], got.NextRuns[0], got.Nights[0], *got.Heartbeat, *got.Heartbeat.Last, *got.Heartbeat.LastDelivered} {
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
		Nights: []nightModel{}, Report: got.Report, ReportSVG: got.ReportSVG, Metrics: got.Metrics,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("of nothing: got  %+v\nwant %+v", got, want)
	}
	if got, want := platformOf(health.Platform{Reason: "Why."}), (platformModel{Reason: ptr("Why.")}); !reflect.DeepEqual(got, want) {
		t.Errorf("of the platform's backups that cannot be read: got %+v, want %+v", got, want)
	}
	got = statusModel{}
	got.fill(health.Status{})
	if got.LastSuccess != nil || got.LastRun != nil || got.StoredBackups != nil || got.Drill != nil || got.Offsite != nil || got.Heartbeat != nil || got.Webhooks != nil || got.WatchdogAt != nil || got.RetryAt != nil {
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
		Require: types.SetNull(types.StringType), Offsite: map[string]copyModel{"r2": {}},
		Heartbeat: &heartbeatStatusModel{Last: &noticeModel{}, LastDelivered: &deliveredPingModel{}}, Webhooks: map[string]webhookStatusModel{"ops": {Last: &noticeModel{}, LastDelivered: &deliveredPingModel{}}},
		LastSuccess: &successModel{}, LastRun: &runModel{}, StoredBackups: &storedModel{}, Coverage: &coverageModel{Tables: []coveredTableModel{{}}},
		Drill:    &drillStatusModel{Tables: []drillTableModel{{Problems: []drillProblemModel{{}}, ColumnsLost: []lostColumnModel{{}}}}},
		Problems: []problemModel{{}}, NextRuns: []nextRunModel{{}}, History: []runModel{{}}, Nights: []nightModel{{}},
	}
	if diags := state.Set(t.Context(), &model); diags.HasError() {
		t.Error(diags)
	}
}

// TestRequirements proves what a status requires that says nothing, and that nothing else is
// required than what is named.
func TestRequirements(t *testing.T) {
	t.Parallel()
	model := statusModel{Require: types.SetNull(types.StringType)}
	if got := model.requirements(); !slices.Equal(got, health.DefaultRequire()) || len(model.Require.Elements()) != len(got) {
		t.Errorf("required are %q, in the state %s", got, model.Require)
	}
	model.Require = types.SetValueMust(types.StringType, []attr.Value{types.StringValue("backup")})
	if got := model.requirements(); !slices.Equal(got, []health.Requirement{health.RequireBackup}) {
		t.Errorf("required are %q", got)
	}
	for _, c := range []struct {
		set   []attr.Value
		valid bool
	}{
		{[]attr.Value{types.StringValue("backup"), types.StringValue("offsite")}, true},
		{[]attr.Value{types.StringUnknown()}, true},
		{[]attr.Value{types.StringValue("offsite")}, false},
		{nil, false},
	} {
		set, _ := types.SetValue(types.StringType, c.set)
		var response validator.SetResponse
		holding{"backup", "x"}.ValidateSet(t.Context(), validator.SetRequest{ConfigValue: set, Path: path.Root("require")}, &response)
		if response.Diagnostics.HasError() == c.valid {
			t.Errorf("of %s is said %v", set, response.Diagnostics)
		}
	}
}
