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

func reportAttribute() schema.Attribute {
	return schema.StringAttribute{
		Computed: true,
		MarkdownDescription: "The status as Markdown, for the summary of a job or a chat: the last success, the next run, a calendar of the last 30 nights, the restore drill, the off-site copies, the stored backups, " +
			"and each problem with what to do. Times are those of the backup's time zone. It stays the same while nothing happens, has less than 64 KiB, and what it quotes of the project forms no Markdown.",
	}
}

func pictureAttribute() schema.Attribute {
	return schema.StringAttribute{
		Computed: true,
		MarkdownDescription: "The status as a picture: the state, the last success and the next run, a calendar of the last 30 nights with a sign for each, and how long each backup took. " +
			"SVG of less than 64 KiB that needs nothing but itself, runs no script, is light or dark as the page is, and says in words what it shows. Times are those of the backup's time zone. It stays the same while nothing happens.",
	}
}

func metricsAttribute() schema.Attribute {
	return schema.StringAttribute{
		Computed: true,
		MarkdownDescription: "The status as OpenMetrics, which is Prometheus' text format, too: for the textfile collector of node_exporter, or a Pushgateway. All are gauges whose names begin with `aimindset_backup_`, with the labels `project` and `backup`: " +
			"`healthy`; `state`, 1 for the present one; `checked_timestamp_seconds`; `watchdog_timestamp_seconds`; `last_success_timestamp_seconds`, `last_success_duration_seconds` and `last_success_records`; `consecutive_failures`; " +
			"`next_run_timestamp_seconds` by `schedule`; `problems`, their number by `code` and `severity`; `drill_success`, `drill_timestamp_seconds`, `drill_duration_seconds`, and `drill_rows_missing` by `table`; " +
			"`offsite_last_success_timestamp_seconds` by `destination`; `offsite_state`, 1 for the present one of each `destination`; `channel_last_delivery_timestamp_seconds`, `channel_lost_messages` and `channel_state`, 1 for the present one, by `channel`, which is `heartbeat` or `webhook/<key>`; `stored_backups`; `stored_bytes`. What is not known has no sample. " +
			"It changes with every look, as it says when that was: do not make it an output of a configuration whose plan should be empty.",
	}
}
