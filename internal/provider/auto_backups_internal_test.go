package provider

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/report"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// TestGather proves that no more projects are read at a time than should be, that one
// which hangs or fails costs only itself, and that what does not fit into the time is said
// to be unreadable and not left out.
func TestGather(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var projects []report.Project
		for i := range 50 {
			projects = append(projects, report.Project{Ref: fmt.Sprint(i)})
		}
		var mu sync.Mutex
		atOnce, most := 0, 0
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			atOnce += n
			most = max(most, atOnce)
		}
		began := time.Now()
		gather(t.Context(), projects, time.Minute, func(ctx context.Context, ref string) (health.Status, error) {
			count(1)
			defer count(-1)
			switch ref {
			case "3", "4":
				<-ctx.Done()
				return health.Status{}, fmt.Errorf("read: %w", ctx.Err())
			case "5":
				return health.Status{}, errors.New("HTTP 403:\nForbidden")
			}
			time.Sleep(time.Second)
			return health.Status{Condition: checks.Healthy}, nil
		})
		if took := time.Since(began); most != fleetAtOnce || took != time.Minute {
			t.Errorf("%d projects were read at a time, and all in %s", most, took)
		}
		for i, p := range projects {
			want := report.Project{Ref: fmt.Sprint(i), State: "healthy", Healthy: true}
			switch i {
			case 3, 4:
				want = report.Project{Ref: p.Ref, State: report.Unreadable, Error: "It did not answer within 1m: read: context deadline exceeded."}
			case 5:
				want = report.Project{Ref: p.Ref, State: report.Unreadable, Error: "HTTP 403: Forbidden."}
			}
			if p != want {
				t.Errorf("got %+v, want %+v", p, want)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		projects := make([]report.Project, 25)
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		gather(ctx, projects, 2*time.Minute, func(ctx context.Context, _ string) (health.Status, error) {
			select {
			case <-time.After(time.Minute):
				return health.Status{Condition: checks.Healthy}, nil
			case <-ctx.Done():
				return health.Status{}, errors.New("the time was over")
			}
		})
		got := map[string]int{}
		for _, p := range projects {
			got[string(p.State)+": "+p.Error]++
		}
		want := map[string]int{"healthy: ": 10, "unreadable: The time was over.": 10, "unreadable: No time was left for this project. Raise `timeout`.": 5}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// TestGatherAsksWhatRuns proves which projects are asked: those whose database may run,
// also if their status is not known, and no others.
func TestGatherAsksWhatRuns(t *testing.T) {
	t.Parallel()
	want := map[string]report.State{
		"": "healthy", "ACTIVE_HEALTHY": "healthy", "ACTIVE_UNHEALTHY": "healthy", "UNKNOWN": "healthy", "RESTARTING": "healthy", "RESIZING": "healthy", "PAUSE_FAILED": "healthy", "NEW_STATUS": "healthy",
		"INACTIVE": report.Paused, "PAUSING": report.Paused, "GOING_DOWN": report.Removed, "REMOVED": report.Removed,
		"COMING_UP": report.Unreadable, "INIT_FAILED": report.Unreadable, "RESTORING": report.Unreadable, "RESTORE_FAILED": report.Unreadable, "UPGRADING": report.Unreadable,
	}
	var projects []report.Project
	for status := range want {
		projects = append(projects, report.Project{Status: status})
	}
	var mu sync.Mutex
	asked := 0
	gather(t.Context(), projects, time.Minute, func(context.Context, string) (health.Status, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return health.Status{Condition: checks.Healthy}, nil
	})
	for _, p := range projects {
		if p.State != want[p.Status] || p.State == report.Unreadable && !strings.Contains(p.Error, p.Status) {
			t.Errorf("a project that is %s is %s, with the error %q", p.Status, p.State, p.Error)
		}
	}
	if asked != 8 {
		t.Errorf("%d projects were asked", asked)
	}
}

// TestNamedProjects proves that what is named is read in any case, with what is known of it.
func TestNamedProjects(t *testing.T) {
	t.Parallel()
	known := []supabase.Project{{Ref: "a", Name: "A", Status: "INACTIVE"}, {Ref: "b"}}
	if got, want := namedProjects([]string{"c", "a"}, known), []supabase.Project{{Ref: "c"}, known[0]}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestAutoBackupsModel proves that what is known of a project becomes the attribute of its
// name, and that what is not known becomes null.
func TestAutoBackupsModel(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, time.November, 27, 3, 0, 0, 0, time.UTC)
	model := autoBackupsModel{ProjectRefs: types.ListNull(types.StringType), Require: types.SetNull(types.StringType)}
	model.fill([]report.Project{
		{Ref: "ok", State: "healthy", Healthy: true, Problem: &checks.Finding{Code: "no_platform_backups", Condition: checks.Healthy, Message: "None.", Remedy: "Pay."}},
		{Ref: "none", Name: "n", Status: "ACTIVE_HEALTHY", State: "not_installed"},
		{
			Ref: "bad", Name: "N", Region: "R", Status: "S", State: "failing", LastSuccess: at, NextRun: at.Add(time.Hour), Drill: "failed", DrillAt: at.Add(time.Minute), Copies: "late", Heartbeat: "failing", Webhooks: "delivered",
			Problem: &checks.Finding{Code: "http_404", Condition: checks.Failing, Message: "M.", Remedy: "Do."},
		},
		{Ref: "gone", State: report.Unreadable, Error: "HTTP 500."},
	})
	want := []fleetProject{
		{
			ProjectRef: "bad", ProjectName: ptr("N"), Region: ptr("R"), ProjectStatus: ptr("S"), State: "failing", LastSuccess: ptr("2026-11-27T03:00:00Z"), NextRun: ptr("2026-11-27T04:00:00Z"),
			Drill: &fleetDrill{"failed", "2026-11-27T03:01:00Z"}, Offsite: ptr("late"), Heartbeat: ptr("failing"), Webhooks: ptr("delivered"), Problem: &problemModel{"http_404", "error", "M.", "Do."},
		},
		{ProjectRef: "gone", State: "unreadable", Error: ptr("HTTP 500.")},
		{ProjectRef: "none", ProjectName: ptr("n"), ProjectStatus: ptr("ACTIVE_HEALTHY"), State: "not_installed"},
		{ProjectRef: "ok", State: "healthy", Healthy: true, Problem: &problemModel{"no_platform_backups", "warning", "None.", "Pay."}},
	}
	if !reflect.DeepEqual(model.Projects, want) {
		t.Errorf("got %+v, want %+v", model.Projects, want)
	}
	if model.Healthy || model.Unreadable != 1 || strings.Count(model.Report, "\n") != 8 {
		t.Errorf("healthy is %t, %d are unreadable, and the report is\n%s", model.Healthy, model.Unreadable, model.Report)
	}

	var response datasource.SchemaResponse
	newAutoBackups().Schema(t.Context(), datasource.SchemaRequest{}, &response)
	state := tfsdk.State{Schema: response.Schema, Raw: tftypes.NewValue(response.Schema.Type().TerraformType(t.Context()), nil)}
	if diags := state.Set(t.Context(), &model); diags.HasError() {
		t.Error(diags)
	}
}
