package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

var (
	_ action.ActionWithConfigure  = (*drillAction)(nil)
	_ action.ActionWithModifyPlan = (*drillAction)(nil)
)

// drillAction runs a restore drill now.
type drillAction struct{ backupAction }

func newDrillAction() action.Action { return &drillAction{} }

func (a *drillAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_auto_backup_drill"
}

func (a *drillAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = backupActionSchema(
		"Runs a restore drill now and waits for its result: with `terraform apply -invoke`, or from an `action_trigger`, for example after a migration has changed a table. "+
			"The drill restores the newest backup into temporary tables, which are always rolled back, and shows of each table whether it can be restored and what would be lost. "+
			"If the backup cannot be restored, or if no drill could take place, the apply fails with the reason.\n\n"+
			"A job of pg_cron runs the drill and then removes itself, so a drill may take longer than an API request, and goes on if the connection is lost. "+
			"Before pg_cron 1.5, it begins at the next full minute. The backup needs the argument `drill`, whose job may be switched off (`enabled = false`). "+
			"Without Terraform 1.14, run `select auto_backup.drill_now('auto-backup')`, and look at `select * from auto_backup.drill_history('auto-backup')`.",
		"How long to wait for the result, such as `10m`. The drill itself continues after that. Default: the drill's own `timeout`, and three minutes for it to begin.",
	)
}

func (a *drillAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	ctx = tellingWaits(ctx, resp)
	id, service, timeout, ok := a.begin(ctx, req, resp)
	if !ok {
		return
	}
	var told install.Drilling
	d, err := service.DrillNow(ctx, id, timeout, func(now install.Drilling) {
		for _, message := range drillProgress(id, told, now) {
			resp.SendProgress(action.InvokeProgressEvent{Message: message})
		}
		told = now
	})
	look := fmt.Sprintf("To see its result: select * from auto_backup.drill_history('%s') where drill_id > %d", id.Name, d.After)
	switch {
	case err == nil:
		addDrillResult(&resp.Diagnostics, id, *d.Result)
	case errors.Is(err, context.DeadlineExceeded) && d.Asked:
		resp.Diagnostics.AddError("The restore drill has not ended yet", fmt.Sprintf(
			"The restore drill of backup %s has no result after %s, and continues in the project. %s. To wait longer, raise `timeout`.", id, formatDuration(d.Limit), look))
	case errors.Is(err, context.Canceled) && d.Asked:
		resp.Diagnostics.AddError("The wait for the restore drill was interrupted", fmt.Sprintf("The restore drill of backup %s continues in the project. %s", id, look))
	case d.Asked:
		addErrorAdvice(&resp.Diagnostics, "The restore drill has no result", a.projects.explainSelfHosted(err), look+".")
	default:
		addErrorAdvice(&resp.Diagnostics, "The restore drill did not take place", a.projects.explainSelfHosted(err),
			fmt.Sprintf("The action restores what a resource aimindset_auto_backup with the argument `drill` has backed up. Apply backup %s first.", id))
	}
}

// addDrillResult reports a drill that was not successful.
func addDrillResult(diags *diag.Diagnostics, id backup.ID, d facts.Drill) {
	summary := map[string]string{
		facts.DrillFailed: "The backup cannot be restored", facts.DrillTimedOut: "The restore drill took too long", facts.DrillSkipped: "The restore drill did not take place",
	}[d.State]
	if summary == "" {
		return
	}
	said := codes.Lookup(d.Code, "")
	detail := fmt.Sprintf("Restore drill of backup %s: %s", id, said.Clause())
	if d.Error != "" {
		detail += " (" + text.Line(d.Error) + ")"
	}
	diags.AddError(summary, detail+".\n\n"+said.Remedy)
}

// drillProgress describes what is new of a drill.
func drillProgress(id backup.ID, before, now install.Drilling) (messages []string) {
	tell := func(format string, args ...any) { messages = append(messages, fmt.Sprintf(format, args...)) }
	switch {
	case now.Repeated && !before.Repeated:
		tell("requested again: the answer to the first request was lost, and the project had no request")
	case !before.Asked && now.RequestedAt.IsZero():
		tell("requested: restore drill of backup %s; the answer to the request was lost", id)
	case !before.Asked && now.Joined:
		tell("waiting for the restore drill of backup %s that was requested at %s", id, rfc3339(now.RequestedAt))
	case !before.Asked:
		tell("requested: restore drill of backup %s", id)
	}
	switch {
	case now.Result != nil:
	case now.Waiting && !before.Waiting:
		tell("waiting: another restore drill is in progress")
	case now.Begun && !before.Begun && !now.Waiting:
		tell("running: pg_cron has started the restore drill")
	}
	if d := now.Result; d != nil {
		for _, t := range d.Tables {
			messages = append(messages, describeDrillTable(t))
		}
		switch d.State {
		case facts.DrillSuccessful:
			tell("successful: backup id %s of %s can be restored; the drill took %s", d.BackupID, rfc3339(d.MadeAt), text.Duration(d.FinishedAt.Sub(d.StartedAt)))
		default:
			tell("%s with %s", strings.ReplaceAll(d.State, "_", " "), d.Code)
		}
	}
	return messages
}

// describeDrillTable says what a drill found of a table.
func describeDrillTable(t facts.DrillTable) string {
	count := func(n int64) string {
		if n == 1 {
			return "1 row"
		}
		return fmt.Sprintf("%d rows", n)
	}
	rows := count(t.Rows)
	if t.Sampled {
		rows = "a sample of " + rows
	}
	can := "not known whether they can be restored"
	if t.Restorable != nil {
		can = map[bool]string{true: "restorable", false: "not restorable"}[*t.Restorable]
	}
	parts := []string{rows + ", " + can}
	var problems, lost []string
	for _, p := range t.Problems {
		problem := p.Code
		if p.Object != "" && p.Object != t.Table {
			problem += " of " + p.Object
		}
		if p.Rows > 0 {
			problem += " (" + count(p.Rows) + ")"
		}
		problems = append(problems, problem)
	}
	for _, c := range t.ColumnsLost {
		lost = append(lost, fmt.Sprintf("%s (%s, %s)", c.Name, count(c.Rows), strings.ReplaceAll(c.Reason, "_", " ")))
	}
	if len(problems) > 0 {
		parts = append(parts, strings.Join(problems, ", "))
	}
	if len(lost) > 0 {
		parts = append(parts, "columns lost: "+strings.Join(lost, ", "))
	}
	if t.RowsMissing > 0 {
		parts = append(parts, count(t.RowsMissing)+" missing")
	}
	return text.Line(t.Table + ": " + strings.Join(parts, "; "))
}
