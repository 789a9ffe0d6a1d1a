package provider_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestRunActionInterrupted proves that an action which is interrupted while it
// waits ends with an error that names the run, says that it continues, and how to
// look at it; and that the run does go on.
func TestRunActionInterrupted(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20})
	p.install()
	release := p.holdBackups()

	server, stream, refused := p.invokeStream(runAction, nil)
	if stream == nil {
		t.Fatalf("the action was refused: %+v", refused)
	}
	var progress []string
	var diags []*tfprotov6.Diagnostic
	for event := range stream.Events {
		switch event := event.Type.(type) {
		case tfprotov6.ProgressInvokeActionEventType:
			if progress = append(progress, event.Message); len(progress) == 1 {
				go func() { _, _ = server.StopProvider(t.Context(), &tfprotov6.StopProviderRequest{}) }()
			}
		case tfprotov6.CompletedInvokeActionEventType:
			diags = event.Diagnostics
		}
	}
	if len(diags) != 1 || diags[0].Severity != tfprotov6.DiagnosticSeverityError {
		t.Fatalf("the action told %q and ended with %+v", progress, diags)
	}
	run := p.value("select run_id from auto_backup.runs")
	for _, want := range []string{"Run " + run + " of backup " + p.ProjectRef + "/auto-backup is ", "continues in the project", "auto_backup.history where run_id = '" + run + "'"} {
		if !strings.Contains(diags[0].Detail, want) {
			t.Errorf("the error does not say %q: %s", want, diags[0].Detail)
		}
	}
	for _, wrong := range []string{"state", "apply again"} {
		if strings.Contains(diags[0].Detail, wrong) {
			t.Errorf("the error of an action speaks of %q: %s", wrong, diags[0].Detail)
		}
	}
	release()
	p.await("1", "select count(distinct backup_id) from public.backup_articles")
}
