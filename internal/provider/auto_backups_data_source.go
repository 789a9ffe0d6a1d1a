package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/report"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// defaultFleetTimeout is how long all projects may take if the configuration does not say.
const defaultFleetTimeout = 30 * time.Minute

var _ datasource.DataSourceWithConfigure = (*autoBackups)(nil)

// autoBackups is the data source aimindset_auto_backups.
type autoBackups struct {
	// projects is nil until the provider is configured.
	projects *projects
}

func newAutoBackups() datasource.DataSource { return &autoBackups{} }

type autoBackupsModel struct {
	ProjectRefs types.List   `tfsdk:"project_refs"`
	Name        types.String `tfsdk:"name"`
	Require     types.Set    `tfsdk:"require"`
	Timeout     types.String `tfsdk:"timeout"`

	Healthy    bool           `tfsdk:"healthy"`
	Unreadable int64          `tfsdk:"unreadable"`
	Report     string         `tfsdk:"report"`
	Projects   []fleetProject `tfsdk:"projects"`
}

type fleetProject struct {
	ProjectRef    string        `tfsdk:"project_ref"`
	ProjectName   *string       `tfsdk:"project_name"`
	Region        *string       `tfsdk:"region"`
	ProjectStatus *string       `tfsdk:"project_status"`
	State         string        `tfsdk:"state"`
	Healthy       bool          `tfsdk:"healthy"`
	LastSuccess   *string       `tfsdk:"last_success"`
	NextRun       *string       `tfsdk:"next_run"`
	Drill         *fleetDrill   `tfsdk:"drill"`
	Offsite       *string       `tfsdk:"offsite"`
	Heartbeat     *string       `tfsdk:"heartbeat"`
	Webhooks      *string       `tfsdk:"webhooks"`
	Problem       *problemModel `tfsdk:"problem"`
	Error         *string       `tfsdk:"error"`
}

type fleetDrill struct {
	State string `tfsdk:"state"`
	At    string `tfsdk:"at"`
}

func (d *autoBackups) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_auto_backups"
}

func (d *autoBackups) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "How the backups of many projects are doing: of all that the access token can see, or of those that are named. " +
			"[`aimindset_auto_backup_status`](auto_backup_status) says more of a single one.\n\n" +
			fmt.Sprintf("It reads %d projects at a time, each as the status of a single one does, and writes nothing. ", fleetAtOnce) +
			"A project that cannot be read costs only itself: it is `" + string(report.Unreadable) + "` with its `error`, as is one that does not answer within " + formatDuration(fleetPatience) + ", or for which no time was left. " +
			"It fails only when the projects cannot be listed. [The guide on fleets](../guides/fleets#all-projects-at-a-glance) has a job that prints the report.",
		Attributes: map[string]schema.Attribute{
			"project_refs": schema.ListAttribute{
				ElementType: types.StringType, Optional: true,
				Validators: []validator.List{
					listvalidator.SizeAtLeast(1), listvalidator.UniqueValues(),
					listvalidator.ValueStringsAre(checked("must be a project reference", backup.ValidateProjectRef)),
				},
				MarkdownDescription: "References of the projects. Each has to have a healthy backup, or `healthy` is false. Default: every project that the token can see; those without the backup, and those that are paused, are listed and not counted.",
			},
			"name": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators:          []validator.String{checked("must be the name of a backup", func(s string) error { return backup.Name(s).Validate() })},
				MarkdownDescription: "Name of the backup in each project. Default: `" + backup.DefaultName + "`.",
			},
			"require": requireAttribute(),
			"timeout": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be a positive duration", func(s string) error { _, err := parseTimeout(s); return err })},
				MarkdownDescription: "How long all projects may take, such as `5m`. What could not be read by then is unreadable. Default: `" + formatDuration(defaultFleetTimeout) + "`.",
			},

			"healthy":    schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether every backup is healthy that should be. A project without the backup, or one that is paused or being removed, makes it false only if `project_refs` names it. A project that could not be read always does."},
			"unreadable": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many projects could not be read."},
			"report": text("All projects as one Markdown table, the worst first, for a job summary or a chat. The same as long as nothing happens. " +
				"The table of 200 projects always fits into a job summary of GitHub Actions; of very many, the last rows are left out, and it says how many."),
			"projects": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The projects, the worst first, and of equal ones by name.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"project_ref":    text("Reference of the project."),
					"project_name":   text("Its name; null where the token may not list the projects, and for one that it cannot see."),
					"region":         text("Its region, such as `sa-east-1`; null likewise."),
					"project_status": text("What Supabase says of the project, such as `ACTIVE_HEALTHY` or `INACTIVE`; null likewise."),
					"state": text("The `state` that [`aimindset_auto_backup_status`](auto_backup_status) has; or `" + string(report.Unreadable) + "`, and `error` says why; `" +
						string(report.Paused) + "`, the project is paused and was not asked; `" + string(report.Removed) + "`, the project is being deleted."),
					"healthy":      schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether backups are made as they should be; false if that is not known."},
					"last_success": text("When the newest backup that succeeded ended. RFC 3339, UTC; null when there is none."),
					"next_run":     text("When the next one is due. RFC 3339, UTC; null when none is."),
					"drill": schema.SingleNestedAttribute{
						Computed: true, MarkdownDescription: "The newest restore drill; null when there is none.",
						Attributes: map[string]schema.Attribute{
							"state": text("How it ended, as in the status."), "at": text("When it began. RFC 3339, UTC."),
						},
					},
					"offsite":   text("The worst `state` of the copies outside the project, as in the status; null without a destination."),
					"heartbeat": text("The `state` of the heartbeat, as in the status; null without one, or when it is not known."),
					"webhooks":  text("The worst `state` of the webhooks, as in the status; null without one, or when it is not known."),
					"problem": schema.SingleNestedAttribute{
						Computed: true, MarkdownDescription: "The worst problem; null when there is none.",
						Attributes: map[string]schema.Attribute{
							"code": text("Kind of the problem."), "severity": text("`" + severityError + "` or `" + severityWarning + "`."),
							"message": text("What is wrong and with what, in whole sentences."), "remedy": text("What to do."),
						},
					},
					"error": text("What could not be read, and what to do about it; null when the project was read. Everything about its backup is null then."),
				}},
			},
		},
	}
}

func (d *autoBackups) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.projects = configured(req.ProviderData, &resp.Diagnostics)
}

func (d *autoBackups) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model autoBackupsModel
	for name, target := range map[string]any{"project_refs": &model.ProjectRefs, "name": &model.Name, "require": &model.Require, "timeout": &model.Timeout} {
		resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root(name), target)...)
	}
	var refs []string
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(model.ProjectRefs.ElementsAs(ctx, &refs, false)...)
	}
	if d.projects == nil && !resp.Diagnostics.HasError() {
		addUnconfigured(&resp.Diagnostics)
	}
	timeout := defaultFleetTimeout
	if !model.Timeout.IsNull() && !resp.Diagnostics.HasError() {
		var err error
		if timeout, err = parseTimeout(model.Timeout.ValueString()); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("timeout"), "Invalid value", text.Sentence(err.Error()))
		}
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if model.Name.IsNull() {
		model.Name = types.StringValue(backup.DefaultName)
	}
	s := survey{projects: d.projects, name: backup.Name(model.Name.ValueString()), require: requirementsOf(&model.Require)}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	list, err := s.list(limited, refs)
	if err != nil {
		addError(&resp.Diagnostics, "Cannot list the projects", err)
		return
	}
	found := s.readAll(limited, list, len(refs) > 0)
	if errors.Is(ctx.Err(), context.Canceled) {
		resp.Diagnostics.AddError("The projects were not read", "Reading them was interrupted.")
		return
	}
	model.fill(found)
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

// fill puts projects into the attributes.
func (m *autoBackupsModel) fill(projects []report.Project) {
	report.Sort(projects)
	m.Healthy, m.Report, m.Projects = report.Healthy(projects), report.Fleet(projects), []fleetProject{}
	for _, p := range projects {
		one := fleetProject{
			ProjectRef: p.Ref, ProjectName: optional(p.Name), Region: optional(p.Region), ProjectStatus: optional(p.Status),
			State: string(p.State), Healthy: p.Healthy, LastSuccess: optionalTime(p.LastSuccess), NextRun: optionalTime(p.NextRun),
			Offsite: optional(string(p.Copies)), Heartbeat: optional(string(p.Heartbeat)), Webhooks: optional(string(p.Webhooks)), Error: optional(p.Error),
		}
		if p.Drill != "" {
			one.Drill = &fleetDrill{p.Drill, rfc3339(p.DrillAt)}
		}
		if w := p.Problem; w != nil {
			severity := severityError
			if w.Remark() || p.Healthy {
				severity = severityWarning
			}
			one.Problem = &problemModel{w.Code, severity, w.Message, w.Remedy}
		}
		if p.State == report.Unreadable {
			m.Unreadable++
		}
		m.Projects = append(m.Projects, one)
	}
}
