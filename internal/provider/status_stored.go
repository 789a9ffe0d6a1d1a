package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/float64validator"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/health"
)

const bytesPerGB = 1e9

type storedModel struct {
	Count              int64    `tfsdk:"count"`
	NewestID           *string  `tfsdk:"newest_id"`
	NewestAt           *string  `tfsdk:"newest_at"`
	OldestAt           *string  `tfsdk:"oldest_at"`
	SizeBytes          int64    `tfsdk:"size_bytes"`
	Tables             []string `tfsdk:"tables"`
	DatabaseBytes      *int64   `tfsdk:"database_bytes"`
	GrowthBytesPerWeek *int64   `tfsdk:"growth_bytes_per_week"`
	DaysUntilFull      *int64   `tfsdk:"days_until_full"`
	Surplus            *int64   `tfsdk:"surplus"`
	Retention          *string  `tfsdk:"retention"`
	Assumptions        *string  `tfsdk:"assumptions"`
}

// fillStored puts the stored backups and their growth into the attributes.
func (m *statusModel) fillStored(s health.Status) {
	g := s.StoredBackups
	if g == nil {
		return
	}
	m.StoredBackups = &storedModel{
		Count: g.Count, NewestID: optional(g.NewestID), NewestAt: optionalTime(g.Newest), OldestAt: optionalTime(g.Oldest),
		SizeBytes: g.Bytes, Tables: g.Tables,
	}
	if g.DatabaseBytes > 0 {
		m.StoredBackups.DatabaseBytes = &g.DatabaseBytes
	}
	if f := s.Forecast; f != nil {
		m.StoredBackups.GrowthBytesPerWeek, m.StoredBackups.DaysUntilFull, m.StoredBackups.Surplus = f.GrowthPerWeek, f.DaysUntilFull, f.Surplus
		m.StoredBackups.Retention, m.StoredBackups.Assumptions = optional(f.Retention), optional(f.Assumptions)
	}
}

func diskAttribute() schema.Attribute {
	return schema.Float64Attribute{
		Optional:   true,
		Validators: []validator.Float64{float64validator.Between(0.001, 1_000_000)},
		MarkdownDescription: "How much the database may take on the project's disk, in GB (1,000,000,000 bytes), for `stored_backups.days_until_full`. The database does not know it. " +
			"On Supabase, it is 0.5 on the Free plan, where a larger database becomes read-only, and otherwise the disk size of the project's database settings. Default: not known.",
	}
}

func storedAttribute() schema.Attribute {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
	}
	return schema.SingleNestedAttribute{
		Computed: true,
		MarkdownDescription: "The backups that the project contains: the distinct `backup_id` in the tables of schema `public` that have the columns `backup_id` and `backup_created_at`. " +
			"Null when there is no such table, or none that the reader may read.",
		Attributes: map[string]schema.Attribute{
			"count":                 number("Number of backups."),
			"newest_id":             text("UUID of the newest one; null when there is none."),
			"newest_at":             text("When it was made. RFC 3339, UTC; null when there is none."),
			"oldest_at":             text("When the oldest one was made. RFC 3339, UTC; null when there is none."),
			"size_bytes":            number("Size of the tables on disk in bytes, with their indexes."),
			"tables":                schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "The tables that were counted."},
			"database_bytes":        number("Size of the whole database in bytes."),
			"growth_bytes_per_week": number("By how many bytes the stored backups grow per week, as `assumptions` says; null until there are backups of two nights."),
			"days_until_full":       number("In how many days they fill the disk, rounded down; null without `disk_gb`, or if they do not grow. Below 30, the problem `disk_nearly_full` warns."),
			"surplus":               number("How many backups of the run history `retention` does not keep: they will be removed, one per hour. Null without a retention."),
			"retention":             text("What the retention's newest tick removed from which tables, or why it removed nothing; null without a retention, and before its first tick."),
			"assumptions":           text("What the growth and the days are computed from, or why they are not known."),
		},
	}
}
