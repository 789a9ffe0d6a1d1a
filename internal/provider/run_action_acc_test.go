package provider_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const runAction = "aimindset_auto_backup_run"

// invoke plans and invokes an action as Terraform does since 1.14, and returns
// the progress that it told and the diagnostics of its end.
func (p *project) invoke(action string, config map[string]any) (progress []string, diags []*tfprotov6.Diagnostic) {
	p.t.Helper()
	_, stream, diags := p.invokeStream(action, config)
	if stream == nil {
		return nil, diags
	}
	for event := range stream.Events {
		switch event := event.Type.(type) {
		case tfprotov6.ProgressInvokeActionEventType:
			progress = append(progress, event.Message)
		case tfprotov6.CompletedInvokeActionEventType:
			return progress, event.Diagnostics
		}
	}
	p.t.Fatal("the action has no end")
	return nil, nil
}

// invokeStream is invoke without reading the events.
// Without a stream the action was refused, and the diagnostics say why.
func (p *project) invokeStream(action string, config map[string]any) (tfprotov6.ProviderServer, *tfprotov6.InvokeActionServerStream, []*tfprotov6.Diagnostic) {
	p.t.Helper()
	database := ""
	if p.direct {
		database = p.DatabaseURL
	}
	server := p.serverAs(p.AccessToken, database)
	actions, ok := server.(tfprotov6.ActionServer)
	if !ok {
		p.t.Fatal("the provider serves no actions")
	}
	if config == nil {
		config = map[string]any{}
	}
	packed := dynamic(p.t, schemasOf(p.t, server).ActionSchemas[action].Schema.ValueType(), config)
	valid, err := actions.ValidateActionConfig(p.t.Context(), &tfprotov6.ValidateActionConfigRequest{ActionType: action, Config: packed})
	if err != nil || len(valid.Diagnostics) > 0 {
		return server, nil, valid.Diagnostics
	}
	planned, err := actions.PlanAction(p.t.Context(), &tfprotov6.PlanActionRequest{ActionType: action, Config: packed})
	if err != nil || len(planned.Diagnostics) > 0 {
		return server, nil, planned.Diagnostics
	}
	stream, err := actions.InvokeAction(p.t.Context(), &tfprotov6.InvokeActionRequest{ActionType: action, Config: packed})
	if err != nil {
		p.t.Fatal(err)
	}
	return server, stream, nil
}

// TestRunAction proves over Terraform's protocol what the action does: it runs
// one backup and tells its stages, a second one that is asked for at the same
// time takes part in the first, a failure fails it with the reason, and what it
// cannot do is refused with what to do instead.
func TestRunAction(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20})
	if _, diags := p.invoke(runAction, nil); len(diags) != 1 || !strings.Contains(diags[0].Detail, "Apply backup ") {
		t.Errorf("without a backup: %+v", diags)
	}
	p.install()

	progress, diags := p.invoke(runAction, map[string]any{"project_ref": p.ProjectRef, "name": "auto-backup", "timeout": "5m"})
	if len(diags) > 0 {
		t.Fatalf("got %+v", diags)
	}
	p.follows(progress, `^requested: run [0-9a-f-]{36} of backup `+p.ProjectRef+`/auto-backup$`, `^succeeded: backup id [0-9a-f-]{36}, \d+ records$`)
	made := p.value("select string_agg(distinct backup_id::text, ',') from public.backup_articles")
	if last := progress[len(progress)-1]; !strings.Contains(last, "backup id "+made+", ") {
		t.Errorf("%q is not about backup %s", last, made)
	}

	// Whoever comes second finds the first one's run.
	p.holdBackupsUntil(2)
	var group sync.WaitGroup
	ends := make([][]string, 2)
	for i := range ends {
		group.Go(func() {
			var diags []*tfprotov6.Diagnostic
			if ends[i], diags = p.invoke(runAction, nil); len(diags) > 0 {
				t.Errorf("got %+v", diags)
			}
		})
	}
	group.Wait()
	slices.SortFunc(ends, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	p.follows(ends[0], `^requested: run `, `^succeeded: `)
	p.follows(ends[1], `^waiting for run .*, in progress since \d{4}-\d\d-\d\dT.*Z$`, `^succeeded: `)
	if last := len(ends[0]) - 1; ends[0][last] != ends[1][len(ends[1])-1] {
		t.Errorf("two at a time ended with %q and %q", ends[0], ends[1])
	}
	if got := p.value("select count(distinct backup_id) from public.backup_articles"); got != "2" {
		t.Errorf("two at a time made %s backups in all, not one more", got)
	}

	p.sql("alter table public.articles rename column excerpt to summary")
	progress, diags = p.invoke(runAction, nil)
	p.follows(progress, `^requested: run `, `^failed with backup_failed$`)
	if len(diags) != 1 || !strings.Contains(diags[0].Detail, "the SQL function reported that the backup failed") || !strings.Contains(diags[0].Detail, "excerpt") {
		t.Errorf("a failed run is reported as %+v", diags)
	}

	for argument, value := range map[string]string{"project_ref": "short", "name": "Auto Backup", "timeout": "soon"} {
		if _, diags := p.invoke(runAction, map[string]any{argument: value}); len(diags) != 1 || pathOf(diags[0].Attribute) != argument {
			t.Errorf("%s = %q is reported as %+v", argument, value, diags)
		}
	}
}

// TestActionsTellWaits proves that the progress of each action says that it waits for the
// rate limit of the Management API, which for the user is all that happens then.
func TestActionsTellWaits(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	p.install()
	p.setDrill()
	t.Cleanup(p.drillTicks())
	for _, name := range []string{runAction, drillAction} {
		var exhausted atomic.Bool
		p.InterceptAPI(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := httptest.NewRecorder()
				next.ServeHTTP(answer, r)
				maps.Copy(w.Header(), answer.Header())
				if strings.HasSuffix(r.URL.Path, "/database/query") && !exhausted.Swap(true) {
					w.Header().Set("X-RateLimit-Limit", "120")
					w.Header().Set("X-RateLimit-Remaining", "0")
					w.Header().Set("X-RateLimit-Reset", "1")
				}
				w.WriteHeader(answer.Code)
				if _, err := answer.Body.WriteTo(w); err != nil {
					t.Error(err)
				}
			})
		})
		progress, diags := p.invoke(name, nil)
		p.InterceptAPI(nil)
		if len(diags) > 0 {
			t.Errorf("%s ended with %+v", name, diags)
		}
		waits := 0
		for _, message := range progress {
			if regexp.MustCompile(`^waiting \d+s for the rate limit of the Management API \(POST .*database/query\)$`).MatchString(message) {
				waits++
			}
		}
		if !exhausted.Load() || waits == 0 {
			t.Errorf("%s told %q", name, progress)
		}
	}
}

// TestRunActionWithoutWorker proves that a run which nobody sends does not end
// with the action's time, but with the reason, unless the time is over before the
// reason can be known.
func TestRunActionWithoutWorker(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20})
	p.install()
	p.StopNetWorker()
	defer func() {
		if err := p.StartNetWorker(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	_, diags := p.invoke(runAction, map[string]any{"timeout": "1s"})
	if len(diags) != 1 || diags[0].Summary != "The backup has not ended yet" || !strings.Contains(diags[0].Detail, "is still requested after 1s") {
		t.Errorf("with a timeout of one second: %+v", *diags[0])
	}
	_, diags = p.invoke(runAction, map[string]any{"timeout": "1m"})
	if len(diags) != 1 || !strings.Contains(diags[0].Detail, "pg_net's worker is not running") {
		t.Errorf("got %+v", diags)
	}
}

// follows compares the stages that were told with the first and the last one expected.
func (p *project) follows(progress []string, first, last string) {
	p.t.Helper()
	if len(progress) < 2 || !regexp.MustCompile(first).MatchString(progress[0]) || !regexp.MustCompile(last).MatchString(progress[len(progress)-1]) {
		p.t.Fatalf("the progress was %q", progress)
	}
	for _, stage := range progress[1 : len(progress)-1] {
		if stage != "running: the Edge Function has accepted the run" {
			p.t.Errorf("%q stands between", stage)
		}
	}
}
