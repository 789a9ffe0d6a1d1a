package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"

	"github.com/aimindset/terraform-provider-aimindset/internal/health"
)

// platformModel are the backups that Supabase itself has of a project.
type platformModel struct {
	Kind     *string `tfsdk:"kind"`
	NewestAt *string `tfsdk:"newest_at"`
	PITR     *bool   `tfsdk:"pitr"`
	Region   *string `tfsdk:"region"`
	Reason   *string `tfsdk:"reason"`
}

func platformAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Computed: true,
		MarkdownDescription: "The backups of the whole database that Supabase itself has, as the dashboard shows them under Database, Backups. They exist on paid plans and are deleted with the project. " +
			"A project without any gets the warning `no_platform_backups`. To read them, a scoped token needs the permission Backups: Read; without it, and in a self-hosted project, all is null but `reason`.",
		Attributes: map[string]schema.Attribute{
			"kind": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Kind of the newest one: `physical`, the database's files; `logical`, a dump; `none`, there is none.",
			},
			"newest_at": schema.StringAttribute{Computed: true, MarkdownDescription: "When the newest one was made. RFC 3339, UTC; null if there is none."},
			"pitr":      schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether point-in-time recovery is on. There are no daily backups beside it."},
			"region":    schema.StringAttribute{Computed: true, MarkdownDescription: "Region of the project, such as `sa-east-1`."},
			"reason":    schema.StringAttribute{Computed: true, MarkdownDescription: "Why the rest is null, such as a permission that the token lacks; null when they could be read."},
		},
	}
}

func platformOf(p health.Platform) platformModel {
	if p.Kind == "" {
		return platformModel{Reason: optional(p.Reason)}
	}
	return platformModel{Kind: optional(p.Kind), NewestAt: optionalTime(p.NewestAt), PITR: &p.PITR, Region: optional(p.Region)}
}
