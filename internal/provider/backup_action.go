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
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// backupAction is what the actions on an installed backup have in common.
type backupAction struct {
	// projects is nil until the provider is configured.
	projects *projects
}

type backupActionModel struct {
	ProjectRef types.String `tfsdk:"project_ref"`
	Name       types.String `tfsdk:"name"`
	Timeout    types.String `tfsdk:"timeout"`
}

// backupActionSchema is the schema of an action; timeout describes that argument.
func backupActionSchema(description, timeout string) schema.Schema {
	return schema.Schema{
		MarkdownDescription: description + "\n\nActions need Terraform 1.14 or newer.",
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
				MarkdownDescription: timeout,
			},
		},
	}
}

func (a *backupAction) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	a.projects = configured(req.ProviderData, &resp.Diagnostics)
}

// ModifyPlan refuses a project that the provider's configuration cannot reach, if
// the project is known.
func (a *backupAction) ModifyPlan(ctx context.Context, req action.ModifyPlanRequest, resp *action.ModifyPlanResponse) {
	var config backupActionModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() || a.projects == nil || config.ProjectRef.IsUnknown() {
		return
	}
	if _, err := a.backup(config); err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("project_ref"), "Wrong project", text.Sentence(err.Error()))
	}
}

// backup returns the ID of the backup that a configuration names.
func (a *backupAction) backup(config backupActionModel) (backup.ID, error) {
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

// begin reads the configuration of an action. timeout is zero if none is set. It
// returns false if there is an error.
func (a *backupAction) begin(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) (id backup.ID, service *install.Service, timeout time.Duration, ok bool) {
	var config backupActionModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return id, nil, 0, false
	}
	if a.projects == nil {
		addUnconfigured(&resp.Diagnostics)
		return id, nil, 0, false
	}
	id, err := a.backup(config)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("project_ref"), "Wrong project", text.Sentence(err.Error()))
		return id, nil, 0, false
	}
	if service, err = a.projects.service(id.ProjectRef); err != nil {
		addError(&resp.Diagnostics, "Cannot reach the project", err)
		return id, nil, 0, false
	}
	if !config.Timeout.IsNull() {
		if timeout, err = parseTimeout(config.Timeout.ValueString()); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("timeout"), "Invalid value", text.Sentence(err.Error()))
			return id, nil, 0, false
		}
	}
	return id, service, timeout, true
}

// tellingWaits returns a context whose requests show in an action's progress that they wait
// for the rate limit.
func tellingWaits(ctx context.Context, resp *action.InvokeResponse) context.Context {
	return supabase.TellWaits(ctx, func(message string) { resp.SendProgress(action.InvokeProgressEvent{Message: message}) })
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
