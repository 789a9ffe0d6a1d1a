package provider

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

var _ list.ListResourceWithConfigure = (*autoBackupList)(nil)

// statusPaused is the status of a project whose database does not run.
const statusPaused = "INACTIVE"

// autoBackupList finds the installed backups for "terraform query".
type autoBackupList struct{ resource autoBackupResource }

func newAutoBackupList() list.ListResource { return &autoBackupList{} }

func (l *autoBackupList) Metadata(ctx context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	l.resource.Metadata(ctx, req, resp)
}

func (l *autoBackupList) Configure(ctx context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	l.resource.Configure(ctx, req, resp)
}

func (l *autoBackupList) ListResourceConfigSchema(_ context.Context, _ list.ListResourceSchemaRequest, resp *list.ListResourceSchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Finds the installed backups in every project that the access token can see, for `terraform query` in Terraform 1.14 and newer. " +
			"It writes nothing, so a read-only token is sufficient.\n\n" +
			"The configuration that `terraform query -generate-config-out` writes plans no changes, except for what cannot be read from a project: " +
			"the values of `secrets`, the access keys in `offsite`, and the `source_dir` of your own function. Add these before you apply.",
		Attributes: map[string]schema.Attribute{
			"project_refs": schema.ListAttribute{
				ElementType: types.StringType, Optional: true,
				Validators: []validator.List{
					listvalidator.SizeAtLeast(1), listvalidator.UniqueValues(),
					listvalidator.ValueStringsAre(checked("must be a project reference", backup.ValidateProjectRef)),
				},
				MarkdownDescription: "References of the projects to search. Default: every project that the token can see and that is not paused.",
			},
		},
	}
}

type autoBackupListModel struct {
	ProjectRefs types.List `tfsdk:"project_refs"`
}

// List finds the backups project by project, until no more results are wanted.
func (l *autoBackupList) List(ctx context.Context, req list.ListRequest, stream *list.ListResultsStream) {
	var config autoBackupListModel
	diags := req.Config.Get(ctx, &config)
	var refs []string
	diags.Append(config.ProjectRefs.ElementsAs(ctx, &refs, false)...)
	if !diags.HasError() && l.resource.projects == nil {
		addUnconfigured(&diags)
	}
	if diags.HasError() {
		stream.Results = list.ListResultsStreamDiagnostics(diags)
		return
	}
	stream.Results = func(push func(list.ListResult) bool) {
		left := req.Limit // 0 means all
		emit := func(result list.ListResult) bool {
			if !push(result) {
				return false
			}
			if result.Identity == nil {
				return true // only diagnostics
			}
			left--
			return left != 0
		}
		projects, ok := l.projects(ctx, refs, emit)
		if !ok {
			return
		}
		for _, project := range projects {
			if !l.listProject(ctx, req, project, len(refs) > 0, emit) {
				return
			}
		}
	}
}

// projects returns the projects to search. It reports false if the listing is over.
func (l *autoBackupList) projects(ctx context.Context, refs []string, emit func(list.ListResult) bool) ([]supabase.Project, bool) {
	if len(refs) > 0 {
		var named []supabase.Project
		for _, ref := range refs {
			named = append(named, supabase.Project{Ref: ref})
		}
		return named, true
	}
	if l.resource.projects.config.SelfHosted != nil {
		return []supabase.Project{{Ref: backup.SelfHostedRef}}, true
	}
	all, err := l.resource.projects.client.Projects(ctx)
	if err != nil {
		var diags diag.Diagnostics
		addError(&diags, "Cannot list the projects", err)
		emit(list.ListResult{Diagnostics: diags})
		return nil, false
	}
	slices.SortFunc(all, func(a, b supabase.Project) int { return cmp.Compare(a.Ref, b.Ref) })
	return all, true
}

// listProject emits the backups of one project. A project that cannot be read is an
// error if it is one of `project_refs`, and otherwise a warning. listProject reports
// false if no more results are wanted.
func (l *autoBackupList) listProject(ctx context.Context, req list.ListRequest, project supabase.Project, asked bool, emit func(list.ListResult) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	var diags diag.Diagnostics
	leaveOut := func(why string) bool {
		diags.AddWarning("A project was skipped", fmt.Sprintf("Project %s (%s) was not searched: %s.", project.Ref, project.Name, why))
		return emit(list.ListResult{Diagnostics: diags})
	}
	if project.Status == statusPaused {
		return leaveOut("it is paused")
	}
	service := l.resource.service(project.Ref, &diags)
	if service == nil {
		return emit(list.ListResult{Diagnostics: diags})
	}
	names, err := service.Installed(ctx)
	switch {
	case err != nil && asked:
		addError(&diags, "Cannot look for backups", err)
		return emit(list.ListResult{Diagnostics: diags})
	case err != nil:
		return leaveOut("its status is " + project.Status + "; " + err.Error())
	}
	for _, name := range names {
		if !emit(l.result(ctx, req, backup.ID{ProjectRef: project.Ref, Name: name}, project.Name)) {
			return false
		}
	}
	return true
}

// result returns the result for one backup, with the attributes after an import.
func (l *autoBackupList) result(ctx context.Context, req list.ListRequest, id backup.ID, projectName string) list.ListResult {
	result := req.NewListResult(ctx)
	result.DisplayName = id.String()
	if projectName != "" {
		result.DisplayName += " (" + projectName + ")"
	}
	ref, name := types.StringValue(id.ProjectRef), types.StringValue(string(id.Name))
	result.Diagnostics.Append(result.Identity.Set(ctx, identityModel{ProjectRef: ref, Name: name})...)
	if !req.IncludeResource || result.Diagnostics.HasError() {
		return result
	}
	result.Diagnostics.Append(result.Resource.SetAttribute(ctx, path.Root("project_ref"), ref)...)
	result.Diagnostics.Append(result.Resource.SetAttribute(ctx, path.Root("name"), name)...)
	var model autoBackupModel
	result.Diagnostics.Append(model.get(ctx, result.Resource)...)
	if result.Diagnostics.HasError() {
		return result
	}
	_, found, ok := l.resource.read(ctx, model, model.known(ctx, nil), (*install.Service).ObserveCached, &result.Diagnostics)
	if !ok {
		return result
	}
	was, diags := model.adopt(found, l.resource.projects.fingerprints)
	result.Diagnostics.Append(diags...)
	model.refresh(found, was, l.resource.projects.fingerprints)
	result.Diagnostics.Append(model.set(ctx, result.Resource)...)
	return result
}
