package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/action"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
)

var (
	_ action.ActionWithConfigure  = (*runAction)(nil)
	_ action.ActionWithModifyPlan = (*runAction)(nil)
)

// runAction runs a backup now.
type runAction struct{ backupAction }

func newRunAction() action.Action { return &runAction{} }

func (a *runAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_auto_backup_run"
}

func (a *runAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = backupActionSchema(
		"Runs an installed backup now, as its job does, and waits until the run has ended: with `terraform apply -invoke`, or from an `action_trigger` after another resource has changed. "+
			"It shows the progress. If the run fails, the apply fails with the reason. "+
			"If a run is already in progress, the action waits for that run instead of starting a second one, because the two would wait for each other's locks.",
		"How long to wait for the end of the run, such as `10m`. The run itself continues after that. Default: `"+formatDuration(defaultTimeout)+"`.",
	)
}

func (a *runAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	ctx = tellingWaits(ctx, resp)
	id, service, timeout, ok := a.begin(ctx, req, resp)
	if !ok {
		return
	}
	timeout = cmp.Or(timeout, defaultTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	run, err := service.RunNow(ctx, id, func(run history.Run, joined bool) {
		resp.SendProgress(action.InvokeProgressEvent{Message: progressOf(id, run, joined)})
	})
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded) && run.ID != "":
		resp.Diagnostics.AddError("The backup has not ended yet", fmt.Sprintf(
			"Run %s of backup %s is still %s after %s, and continues in the project. To see how it ends: select * from auto_backup.history where run_id = '%s'. To wait longer, raise `timeout`.",
			run.ID, id, run.State, formatDuration(timeout), run.ID))
	case errors.Is(err, context.Canceled) && run.ID != "":
		resp.Diagnostics.AddError("The wait for the backup was interrupted", fmt.Sprintf(
			"Run %s of backup %s is %s and continues in the project. To see how it ends: select * from auto_backup.history where run_id = '%s'", run.ID, id, run.State, run.ID))
	case run.State == history.Failed:
		addError(&resp.Diagnostics, "The backup failed", err)
	default:
		addErrorAdvice(&resp.Diagnostics, "The backup was not run", a.projects.explainSelfHosted(err), fmt.Sprintf("The action runs a backup that a resource aimindset_auto_backup has installed. Apply backup %s first.", id))
	}
}

// progressOf describes the progress of a run. joined says that the run was already
// in progress.
func progressOf(id backup.ID, run history.Run, joined bool) string {
	switch {
	case joined:
		return fmt.Sprintf("waiting for run %s of backup %s, in progress since %s", run.ID, id, rfc3339(run.RequestedAt))
	case run.State == history.Succeeded:
		records := "an unknown number of"
		if run.Records != nil {
			records = fmt.Sprint(*run.Records)
		}
		return fmt.Sprintf("succeeded: backup id %s, %s records", run.BackupID, records)
	case run.State == history.Failed:
		return fmt.Sprintf("failed with %s", run.Code)
	case run.State == history.Running:
		return "running: the Edge Function has accepted the run"
	}
	return fmt.Sprintf("requested: run %s of backup %s", run.ID, id)
}
