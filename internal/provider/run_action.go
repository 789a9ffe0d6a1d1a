package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

var (
	_ action.ActionWithConfigure  = (*runAction)(nil)
	_ action.ActionWithModifyPlan = (*runAction)(nil)
)

// runAction runs a backup now.
type runAction struct {
	// projects is nil until the provider is configured.
	projects *projects
}

func newRunAction() action.Action { return &runAction{} }

type runActionModel struct {
	ProjectRef types.String `tfsdk:"project_ref"`
	Name       types.String `tfsdk:"name"`
	Timeout    types.String `tfsdk:"timeout"`
}

func (a *runAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_auto_backup_run"
}

func (a *runAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Runs an installed backup now, as its job does, and waits until the run has ended: with `terraform apply -invoke`, or from an `action_trigger` after another resource has changed. " +
			"It shows the progress. If the run fails, the apply fails with the reason. " +
			"If a run is already in progress, the action waits for that run instead of starting a second one, because the two would wait for each other's locks.\n\n" +
			"Actions need Terraform 1.14 or newer.",
		Attributes: map[string]schema.Attribute{
			"project_ref": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be a project reference", backup.ValidateProjectRef)},
				MarkdownDescription: "Reference of the backup's project. Default: the provider's `project_ref`.",
			},
			"name": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be the name of a backup", func(s string) error { return backup.Name(s).Validate() })},
				MarkdownDescription: "Name of the backup. Default: `" + backup.DefaultName + "`.",
			},
			"timeout": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be a positive duration", func(s string) error { _, err := parseTimeout(s); return err })},
				MarkdownDescription: "How long to wait for the end of the run, such as `10m`. The run itself continues after that. Default: `" + formatDuration(defaultTimeout) + "`.",
			},
		},
	}
}

func (a *runAction) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	a.projects = configured(req.ProviderData, &resp.Diagnostics)
}

// ModifyPlan refuses a project that the provider's configuration cannot reach, if
// the project is known.
func (a *runAction) ModifyPlan(ctx context.Context, req action.ModifyPlanRequest, resp *action.ModifyPlanResponse) {
	var config runActionModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() || a.projects == nil || config.ProjectRef.IsUnknown() {
		return
	}
	if _, err := a.backup(config); err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("project_ref"), "Wrong project", text.Sentence(err.Error()))
	}
}

// backup returns the ID of the backup that a configuration names.
func (a *runAction) backup(config runActionModel) (backup.ID, error) {
	id := backup.ID{ProjectRef: a.projects.config.ProjectRef, Name: backup.DefaultName}
	if ref := config.ProjectRef.ValueString(); ref != "" {
		id.ProjectRef = ref
	}
	if name := config.Name.ValueString(); name != "" {
		id.Name = backup.Name(name)
	}
	if id.ProjectRef == "" {
		return id, errors.New("neither the action nor the provider names a project; set `project_ref` here or in the provider block, or the environment variable " + envProjectRef)
	}
	return id, a.projects.serves(id.ProjectRef)
}

func (a *runAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var config runActionModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if a.projects == nil {
		addUnconfigured(&resp.Diagnostics)
		return
	}
	id, err := a.backup(config)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("project_ref"), "Wrong project", text.Sentence(err.Error()))
		return
	}
	service, err := a.projects.service(id.ProjectRef)
	if err != nil {
		addError(&resp.Diagnostics, "Cannot reach the project", err)
		return
	}
	timeout := defaultTimeout
	if !config.Timeout.IsNull() {
		if timeout, err = parseTimeout(config.Timeout.ValueString()); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("timeout"), "Invalid value", text.Sentence(err.Error()))
			return
		}
	}
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

// parseTimeout parses the argument timeout.
func parseTimeout(s string) (time.Duration, error) {
	timeout, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration; write hours, minutes or seconds, for example \"10m\"", s)
	case timeout <= 0:
		return 0, fmt.Errorf("%q leaves no time; write a duration above zero, for example \"10m\"", s)
	}
	return timeout, nil
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
