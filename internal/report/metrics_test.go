package report

import (
	"strings"
	"testing"
)

// TestMetricsForPrometheus proves that the metrics which the tests in the directory
// prometheus read with Prometheus' parsers are those of the statuses. It is a module of
// its own, because Prometheus is larger than this one.
func TestMetricsForPrometheus(t *testing.T) {
	t.Parallel()
	for name, s := range statuses(t) {
		golden(t, "prometheus/testdata/"+name+".prom", Metrics(s))
	}
}

// TestMetrics proves the values of some statuses, and that what is not known or does not
// exist has no sample.
func TestMetrics(t *testing.T) {
	t.Parallel()
	const labels = `{project="abcdefghijklmnopqrst",backup="auto-backup"`
	for name, want := range map[string]struct{ has, lacks []string }{
		"healthy": {has: []string{
			"healthy" + labels + "} 1\n", "state" + labels + `,state="healthy"} 1` + "\n", "state" + labels + `,state="failing"} 0` + "\n",
			"last_success_timestamp_seconds" + labels + "} 1795413613\n", "last_success_duration_seconds" + labels + "} 12\n", "last_success_records" + labels + "} 1284\n",
			"consecutive_failures" + labels + "} 0\n", "next_run_timestamp_seconds" + labels + `,schedule="daily"} 1795500000` + "\n", "next_run_timestamp_seconds" + labels + `,schedule="weekly"} `,
			"drill_success" + labels + "} 1\n", "drill_duration_seconds" + labels + "} 7\n", "drill_rows_missing" + labels + `,table="public.articles"} 0` + "\n",
			"offsite_last_success_timestamp_seconds" + labels + `,destination="s3_ops"} 1795413840` + "\n", "stored_backups" + labels + "} 30\n", "stored_bytes" + labels + "} 48100000\n",
			"channel_last_delivery_timestamp_seconds" + labels + `,channel="heartbeat"} 1795414202` + "\n", "channel_lost_messages" + labels + `,channel="webhook/ops"} 0` + "\n",
			"channel_state" + labels + `,channel="heartbeat",state="delivered"} 1` + "\n", "channel_state" + labels + `,channel="heartbeat",state="failing"} 0` + "\n",
			"checked_timestamp_seconds" + labels + "} 1795435200\n", "watchdog_timestamp_seconds" + labels + "} 1795434600\n",
		}, lacks: []string{"problems"}},
		"failing": {has: []string{
			"healthy" + labels + "} 0\n", "consecutive_failures" + labels + "} 1\n",
			"problems" + labels + `,code="backup_failed",severity="error"} 1` + "\n", "problems" + labels + `,code="no_subscribers",severity="warning"} 1` + "\n",
		}},
		"drill_failed": {has: []string{"drill_success" + labels + "} 0\n", "drill_rows_missing" + labels + `,table="public.articles"} 12` + "\n"}},
		"offsite_failing": {
			has:   []string{"offsite_state" + labels + `,destination="archive",state="never"} 1` + "\n", "offsite_state" + labels + `,destination="s3_ops",state="failing"} 1` + "\n"},
			lacks: []string{"offsite_last_success_timestamp_seconds" + labels + `,destination="archive"`},
		},
		"unheard": {
			has:   []string{"channel_lost_messages" + labels + `,channel="heartbeat"} 3` + "\n", "channel_state" + labels + `,channel="webhook/missing",state="failing"} 1` + "\n"},
			lacks: []string{"channel_state" + labels + `,channel="webhook/closed"`, "channel_last_delivery_timestamp_seconds" + labels + `,channel="webhook/new"`},
		},
		"everything":    {has: []string{`,code="no_subscribers",severity="warning"} 12` + "\n"}},
		"never_ran":     {has: []string{"healthy" + labels + "} 1\n", "stored_backups" + labels + "} 0\n"}, lacks: []string{"last_success", "drill", "offsite"}},
		"not_installed": {has: []string{"healthy" + labels + "} 0\n"}, lacks: []string{"last_success", "drill", "offsite", "channel", "next_run", "stored", "watchdog"}},
		"hostile":       {has: []string{`\"`, `\\`, `\n# EOF`}},
	} {
		got := Metrics(statuses(t)[name])
		for _, text := range want.has {
			if !strings.Contains(got, text) {
				t.Errorf("%s lacks %q:\n%s", name, text, got)
			}
		}
		for _, text := range want.lacks {
			if strings.Contains(got, "aimindset_backup_"+text) {
				t.Errorf("%s has %q:\n%s", name, text, got)
			}
		}
		if !strings.HasSuffix(got, "\n# EOF\n") || strings.Count("\n"+got, "\n# EOF\n") != 1 {
			t.Errorf("%s does not end as OpenMetrics has to:\n%s", name, got)
		}
	}
}
