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
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
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
		MarkdownDescription: "Runs an installed backup now, as its job does, and waits for its end: for `terraform apply -invoke`, or after a change of something else, with an `action_trigger`. " +
			"Its progress is shown while it runs. A run that fails makes the apply fail with the reason. " +
			"When a run is under way already, that one is waited for: two at a time would wait for each other's locks.\n\n" +
			"Terraform knows actions since 1.14.",
		Attributes: map[string]schema.Attribute{
			"project_ref": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be a project reference", backup.ValidateProjectRef)},
				MarkdownDescription: "Project of the backup. Default: the provider's `project_ref`.",
			},
			"name": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be the name of a backup", func(s string) error { return backup.Name(s).Validate() })},
				MarkdownDescription: "Name of the backup. Default: `" + backup.DefaultName + "`.",
			},
			"timeout": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be a duration", validateDuration)},
				MarkdownDescription: "How long its end is waited for. The run itself goes on after that. Default: `" + formatDuration(defaultTimeout) + "`.",
			},
		},
	}
}

func (a *runAction) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	a.projects = configured(req.ProviderData, &resp.Diagnostics)
}

// ModifyPlan refuses what no invocation could do, as far as it is known yet.
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

// backup is the one that a configuration names.
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
		resp.Diagnostics.AddError("The provider is not configured yet", "An argument of the provider block is known only after another resource was applied. Apply that resource first, for example with -target.")
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
		timeout = time.Duration(seconds(config.Timeout)) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	first := true
	run, err := service.RunNow(ctx, id, install.RunOptions{Progress: func(run install.RunResult) {
		resp.SendProgress(action.InvokeProgressEvent{Message: progressOf(id, run, first)})
		first = false
	}})
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded) && run.ID != "":
		resp.Diagnostics.AddError("The backup has not ended yet", fmt.Sprintf(
			"Run %s of backup %s is %s after %s, and goes on in the project. What becomes of it: select * from auto_backup.history where run_id = '%s'", run.ID, id, run.State, formatDuration(timeout), run.ID))
	case errors.Is(err, context.Canceled) && run.ID != "":
		resp.Diagnostics.AddError("The wait for the backup was interrupted", fmt.Sprintf(
			"Run %s of backup %s is %s and goes on in the project. To see how it ends: select * from auto_backup.history where run_id = '%s'", run.ID, id, run.State, run.ID))
	case run.State == "failed":
		addError(&resp.Diagnostics, "The backup failed", err)
	default:
		addErrorAdvice(&resp.Diagnostics, "The backup was not run", a.projects.explainSelfHosted(err), fmt.Sprintf("The action runs what a resource aimindset_auto_backup has installed: backup %s has to be applied first.", id))
	}
}

// progressOf says where a run stands; at first also whether it is another's.
func progressOf(id backup.ID, run install.RunResult, first bool) string {
	switch {
	case first && run.Joined:
		return fmt.Sprintf("run %s of backup %s is under way since %s and is waited for", run.ID, id, run.RequestedAt)
	case run.State == "succeeded":
		records := "an unknown number of"
		if run.Records != nil {
			records = fmt.Sprint(*run.Records)
		}
		return fmt.Sprintf("succeeded: backup id %s, %s records", run.BackupID, records)
	case run.State == "failed":
		return fmt.Sprintf("failed with %s", run.Code)
	case run.State == "running":
		return "running: the Edge Function has taken the run"
	}
	return fmt.Sprintf("requested: run %s of backup %s", run.ID, id)
}
