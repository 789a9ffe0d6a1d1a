package provider

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
)

type drillStatusModel struct {
	State           string            `tfsdk:"state"`
	At              string            `tfsdk:"at"`
	DurationSeconds int64             `tfsdk:"duration_seconds"`
	BackupID        *string           `tfsdk:"backup_id"`
	Code            *string           `tfsdk:"code"`
	Error           *string           `tfsdk:"error"`
	Tables          []drillTableModel `tfsdk:"tables"`
}

type drillTableModel struct {
	Name        string              `tfsdk:"name"`
	Rows        int64               `tfsdk:"rows"`
	Sampled     bool                `tfsdk:"sampled"`
	Compared    *int64              `tfsdk:"compared"`
	Restorable  *bool               `tfsdk:"restorable"`
	Reason      *string             `tfsdk:"reason"`
	RowsMissing int64               `tfsdk:"rows_missing"`
	Problems    []drillProblemModel `tfsdk:"problems"`
	Unchecked   []string            `tfsdk:"unchecked"`
	ColumnsLost []lostColumnModel   `tfsdk:"columns_lost"`
}

type drillProblemModel struct {
	Code   string `tfsdk:"code"`
	Object string `tfsdk:"object"`
	Rows   int64  `tfsdk:"rows"`
}

type lostColumnModel struct {
	Name   string `tfsdk:"name"`
	Rows   int64  `tfsdk:"rows"`
	Reason string `tfsdk:"reason"`
}

// fillDrill puts the newest drill with a result into the attributes.
func (m *statusModel) fillDrill(s health.Status) {
	d := s.Drill
	if d == nil {
		return
	}
	m.Drill = &drillStatusModel{
		State: d.State, At: rfc3339(d.StartedAt), DurationSeconds: int64(d.FinishedAt.Sub(d.StartedAt) / time.Second),
		BackupID: optional(d.BackupID), Code: optional(d.Code), Error: optional(d.Error), Tables: []drillTableModel{},
	}
	for _, t := range d.Tables {
		table := drillTableModel{
			Name: t.Table, Rows: t.Rows, Sampled: t.Sampled, Compared: t.Compared, Restorable: t.Restorable, RowsMissing: t.RowsMissing,
			Problems: []drillProblemModel{}, Unchecked: append([]string{}, t.Unchecked...), ColumnsLost: []lostColumnModel{},
		}
		if len(t.Problems) > 0 {
			said := codes.Lookup(t.Problems[0].Code, "").Meaning
			table.Reason = &said
		}
		for _, p := range t.Problems {
			table.Problems = append(table.Problems, drillProblemModel{p.Code, p.Object, p.Rows})
		}
		for _, c := range t.ColumnsLost {
			table.ColumnsLost = append(table.ColumnsLost, lostColumnModel{c.Name, c.Rows, c.Reason})
		}
		m.Drill.Tables = append(m.Drill.Tables, table)
	}
}

func drillStatusAttribute() schema.Attribute {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
	}
	return schema.SingleNestedAttribute{
		Computed:            true,
		MarkdownDescription: "The newest restore drill that came to a result, as `auto_backup.drills` has it. It names tables, columns and constraints and never the value of a row. Null when there is none.",
		Attributes: map[string]schema.Attribute{
			"state":            text("`successful`, `failed` or `timed_out`."),
			"at":               text("When it began. RFC 3339, UTC."),
			"duration_seconds": number("How long it took, in seconds: a measure of how long a restore takes."),
			"backup_id":        text("UUID of the backup that was restored."),
			"code":             text("Why it was not successful; null when it was."),
			"error":            text("The first tables, columns and constraints that are concerned, with numbers of rows; null when there is none."),
			"tables": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "What was found of each table.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"name":         text("The live table, with its schema."),
					"rows":         number("Number of rows of the backup that were restored."),
					"sampled":      schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the backup has more rows than `drill.max_rows`, so that only a sample was restored."},
					"compared":     number("Number of live rows that have not changed since the backup and were compared with it; null when rows could not be matched, because no key of the table is copied."),
					"restorable":   schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the rows fit the live table as it is now; null when it is not known."},
					"reason":       text("Why the rows do not fit, in words: that of the first of `problems`. Null when they do, or when it is not known."),
					"rows_missing": number("Number of live rows that the backup lacks although they are older."),
					"unchecked":    schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Constraints and indexes that could not be checked."},
					"problems": schema.ListNestedAttribute{
						Computed:            true,
						MarkdownDescription: "All reasons why the rows could not be restored.",
						NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
							"code":   text("Code of the problem."),
							"object": text("The column, constraint, index or table."),
							"rows":   number("Number of rows; 0 when they were not counted."),
						}},
					},
					"columns_lost": schema.ListNestedAttribute{
						Computed:            true,
						MarkdownDescription: "Columns of which a restore would lose values.",
						NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
							"name":   text("The column."),
							"rows":   number("Number of compared rows whose value would be lost."),
							"reason": text("`not_copied`: the SQL function does not copy it; `constant`: all rows of the backup have the same value; `type`: the backup table's column has another type; `trigger`: a trigger of the backup table may change it; `changed`: an expression of the SQL function may change it."),
						}},
					},
				}},
			},
		},
	}
}
