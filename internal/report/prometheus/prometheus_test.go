// Package prometheus_test reads the metrics of a status and the example's alert rules with
// Prometheus' own parsers, and evaluates the rules with its engine. It is a module of its
// own, so that the provider's module needs nothing of Prometheus.
package prometheus_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
)

const alerts = "../../../examples/metrics/alerts.yml"

// exposed reads a status of testdata, which the tests of package report write.
func exposed(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name+".prom"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// names are the statuses in testdata.
func names(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.prom")
	if err != nil || len(files) < 6 {
		t.Fatalf("there are %d files of metrics (%v)", len(files), err)
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".prom")
	}
	return files
}

// samples parses OpenMetrics as Prometheus does when it scrapes, or its older format.
func samples(t *testing.T, content []byte, contentType string) map[string]float64 {
	t.Helper()
	p, err := textparse.New(content, contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found, typed, helped := map[string]float64{}, map[string]bool{}, map[string]bool{}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, content)
		}
		switch entry {
		case textparse.EntryType:
			name, kind := p.Type()
			typed[string(name)] = true
			if kind != model.MetricTypeGauge {
				t.Errorf("%s is a %s", name, kind)
			}
		case textparse.EntryHelp:
			name, _ := p.Help()
			helped[string(name)] = true
		case textparse.EntrySeries:
			var set labels.Labels
			p.Labels(&set)
			_, at, value := p.Series()
			name := set.Get(labels.MetricName)
			if !typed[name] || !helped[name] {
				t.Errorf("%s has no type or no help before its samples", name)
			}
			if at != nil {
				t.Errorf("%s has a time, which the textfile collector refuses", set)
			}
			if set.Get("project") == "" || set.Get("backup") == "" {
				t.Errorf("%s does not name its backup", set)
			}
			if _, twice := found[set.String()]; twice {
				t.Errorf("%s is there twice", set)
			}
			found[set.String()] = value
		}
	}
}

// TestBothFormats proves for every status, also one with hostile names, that Prometheus
// reads the same samples from the metrics as OpenMetrics and as its format 0.0.4.
func TestBothFormats(t *testing.T) {
	t.Parallel()
	for _, name := range names(t) {
		content := exposed(t, name)
		open := samples(t, content, "application/openmetrics-text; version=1.0.0")
		older := samples(t, content, "text/plain; version=0.0.4")
		if len(open) < 10 || !maps.Equal(open, older) {
			t.Errorf("%s: OpenMetrics has\n%v\nand the older format\n%v", name, open, older)
		}
	}
}

// TestTextfile proves for every status that the parser of the textfile collector and of
// Pushgateway reads the metrics, and that their names and helps pass Prometheus' lint.
func TestTextfile(t *testing.T) {
	t.Parallel()
	for _, name := range names(t) {
		content := exposed(t, name)
		p := expfmt.NewTextParser(model.LegacyValidation)
		families, err := p.TextToMetricFamilies(bytes.NewReader(content))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for family, metrics := range families {
			if !strings.HasPrefix(family, "aimindset_backup_") || metrics.GetType() != dto.MetricType_GAUGE || metrics.GetHelp() == "" {
				t.Errorf("%s: %s is a %s with the help %q", name, family, metrics.GetType(), metrics.GetHelp())
			}
		}
		problems, err := promlint.New(bytes.NewReader(content)).Lint()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, problem := range problems {
			t.Errorf("%s: %s: %s", name, problem.Metric, problem.Text)
		}
	}
}

// TestStatesAreOneHot proves that a backup, each destination and each channel are in one
// state.
func TestStatesAreOneHot(t *testing.T) {
	t.Parallel()
	for _, name := range names(t) {
		p := expfmt.NewTextParser(model.LegacyValidation)
		families, err := p.TextToMetricFamilies(bytes.NewReader(exposed(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		sums := map[string]float64{"backup": 0}
		for _, metric := range families["aimindset_backup_state"].GetMetric() {
			sums["backup"] += metric.GetGauge().GetValue()
		}
		for family, of := range map[string]string{"offsite_state": "destination", "channel_state": "channel"} {
			for _, metric := range families["aimindset_backup_"+family].GetMetric() {
				for _, label := range metric.GetLabel() {
					if label.GetName() == of {
						sums[of+" "+label.GetValue()] += metric.GetGauge().GetValue()
					}
				}
			}
		}
		for what, sum := range sums {
			if sum != 1 {
				t.Errorf("%s: %s is in %v states", name, what, sum)
			}
		}
	}
}

// rules parses the example's rules as Prometheus does, which refuses a wrong expression,
// field or template.
func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(alerts, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	var all []rulefmt.Rule
	for _, group := range groups.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// TestAlerts proves with Prometheus' engine which alerts each status raises, at once and
// when the metrics stay the same, as those of a textfile do after its writer has stopped.
func TestAlerts(t *testing.T) {
	t.Parallel()
	all := rules(t)
	raised := map[string]bool{}
	for _, c := range []struct {
		what, status string
		later        time.Duration
		want         string
	}{
		{"a healthy backup", "healthy", time.Minute, ""},
		{"one that is under way", "running", time.Minute, ""},
		{"one that is still to be due", "never_ran", time.Minute, ""},
		{"a failing one", "failing", time.Minute, "BackupUnhealthy"},
		{"one whose drill failed", "drill_failed", time.Minute, "BackupDrillFailed BackupUnhealthy"},
		{"copies that fail", "offsite_failing", time.Minute, "BackupOffsiteLate"},
		{"channels that take nothing", "unheard", time.Minute, "BackupUnheard"},
		{"none", "not_installed", time.Minute, "BackupUnhealthy"},
		{"metrics of an hour ago", "healthy", 59 * time.Minute, ""},
		{"metrics of two hours ago", "healthy", 2 * time.Hour, "BackupMetricsStale"},
		{"metrics of ten days ago", "healthy", 240 * time.Hour, "BackupDrillTooOld BackupMetricsStale BackupTooOld"},
		{"no metrics", "", time.Minute, "BackupMetricsAbsent"},
	} {
		storage := teststorage.New(t)
		at := time.Now()
		if c.status != "" {
			content := exposed(t, c.status)
			at = checkedAt(t, content).Add(c.later)
			load(t, storage, content, at)
		}
		engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
		var got []string
		for _, rule := range all {
			query, err := engine.NewInstantQuery(t.Context(), storage, promql.NewPrometheusQueryOpts(false, 0, nil), rule.Expr, at)
			if err != nil {
				t.Fatal(err)
			}
			vector, err := query.Exec(t.Context()).Vector()
			if err != nil {
				t.Fatalf("%s: %v", rule.Alert, err)
			}
			if len(vector) > 0 {
				got, raised[rule.Alert] = append(got, rule.Alert), true
			}
			query.Close()
		}
		slices.Sort(got)
		if alerts := strings.Join(got, " "); alerts != c.want {
			t.Errorf("%s raises %q instead of %q", c.what, alerts, c.want)
		}
	}
	for _, rule := range all {
		if !raised[rule.Alert] {
			t.Errorf("nothing raises %s", rule.Alert)
		}
		if rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" {
			t.Errorf("%s has no severity or no summary", rule.Alert)
		}
	}
}

// checkedAt returns when the status of metrics was read.
func checkedAt(t *testing.T, content []byte) time.Time {
	t.Helper()
	for series, value := range samples(t, content, "application/openmetrics-text; version=1.0.0") {
		if strings.Contains(series, "aimindset_backup_checked_timestamp_seconds") {
			return time.Unix(int64(value), 0)
		}
	}
	t.Fatal("the metrics do not say when they were read")
	return time.Time{}
}

// load stores the samples of metrics as scraped at a time.
func load(t *testing.T, storage *teststorage.TestStorage, content []byte, at time.Time) {
	t.Helper()
	p := textparse.NewOpenMetricsParser(content, labels.NewSymbolTable())
	appender := storage.Appender(t.Context())
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var set labels.Labels
		p.Labels(&set)
		_, _, value := p.Series()
		if _, err := appender.Append(0, set, at.UnixMilli(), value); err != nil {
			t.Fatal(err)
		}
	}
	if err := appender.Commit(); err != nil {
		t.Fatal(err)
	}
}
