package provider

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"

	"github.com/aimindset/terraform-provider-aimindset/internal/health"
)

type nightModel struct {
	Day             string `tfsdk:"day"`
	Outcome         string `tfsdk:"outcome"`
	DurationSeconds *int64 `tfsdk:"duration_seconds"`
	Records         *int64 `tfsdk:"records"`
}

// fillNights puts the last nights into the attributes.
func (m *statusModel) fillNights(s health.Status) {
	m.Nights = []nightModel{}
	for _, n := range s.Nights {
		night := nightModel{Day: n.Day, Outcome: string(n.Outcome), Records: n.Records}
		if n.Duration > 0 {
			seconds := int64(n.Duration / time.Second)
			night.DurationSeconds = &seconds
		}
		m.Nights = append(m.Nights, night)
	}
}

func nightsAttribute() schema.Attribute {
	return schema.ListNestedAttribute{
		Computed: true,
		MarkdownDescription: "What came of each of the last 30 days in the backup's time zone, the oldest first; today is the last. A run belongs to the day on which it was due. " +
			"Empty for a backup that this provider does not make.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"day": schema.StringAttribute{Computed: true, MarkdownDescription: "The date, as `2026-11-27`."},
			"outcome": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "The worst that came of the day's due times: " +
					"`failed`, each attempt so far; " +
					"`missed`, it was due and there was no attempt; " +
					"`pending`, an attempt is under way, or due later today; " +
					"`made_again`, made at a later attempt; " +
					"`made_late`, started by the watchdog because the job had not, or much later than due; " +
					"`made`; " +
					"`none`, nothing was due; " +
					"`unknown`, the run history cannot be read, or has too many due times since. " +
					"A manual backup makes a day `made` on which nothing was due.",
			},
			"duration_seconds": schema.Int64Attribute{Computed: true, MarkdownDescription: "How long the longest run of the day took that succeeded, in seconds, rounded down; null when there is none."},
			"records":          schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of rows that this run saved; null when not known."},
		}},
	}
}
