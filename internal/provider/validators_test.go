package provider

import (
	"strings"
	"testing"
	"time"
)

// TestValidators proves which texts are refused at plan, and that each refusal
// says what to write instead.
func TestValidators(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		complain func(string) error
		text     string
		says     string // empty: accepted
	}{
		{validateZone, "America/Sao_Paulo", ""}, {validateZone, "UTC", ""}, {validateZone, "America/Sao_Paolo", "America/Sao_Paulo"}, {validateZone, "BRT", "zone"}, {validateZone, "", "zone"}, {validateZone, "Local", "zone"},
		{validateCron, "0 3 * * *", ""}, {validateCron, "@daily", ""}, {validateCron, "0 0 3 * * *", "five"}, {validateCron, "0 25 * * *", "hour"}, {validateCron, "daily", ""},
		{validateIdentifier, "backup_all_data", ""}, {validateIdentifier, "public.backup", "schema"}, {validateIdentifier, `x"y`, "plain"}, {validateIdentifier, strings.Repeat("x", 64), "plain"},
		{validateSlug, "alert-processor", ""}, {validateSlug, "../x", "slug"}, {validateSlug, "", "slug"},
		{validateAlertSource, "Falha no Backup Automático", ""}, {validateAlertSource, " ", "empty"}, {validateAlertSource, "<b>", "HTML"}, {validateAlertSource, "a\nb", "control"}, {validateAlertSource, strings.Repeat("é", 101), "limit is 100"},
		{validateDuration, "10m", ""}, {validateDuration, "26h", ""}, {validateDuration, "1d", "hours"}, {validateDuration, "10", "hours"}, {validateDuration, "30s", "one minute"}, {validateDuration, "-5m", "one minute"}, {validateDuration, "90.5s", "whole seconds"}, {validateDuration, "0s", "one minute"},
		{validateOverdueAfter, "0s", ""}, {validateOverdueAfter, "26h", ""}, {validateOverdueAfter, "30s", "one minute"}, {validateOverdueAfter, "1d", "hours"},
	} {
		if c.text == "daily" {
			c.says = "five"
		}
		err := c.complain(c.text)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%q is refused: %v", c.text, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%q: got %v, want a complaint with %q", c.text, err, c.says)
		}
	}
}

// TestFormatDuration proves that a duration is written as a person would, and
// means the same when it is read again.
func TestFormatDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		10 * time.Minute: "10m", 26 * time.Hour: "26h", 90 * time.Minute: "1h30m", 90 * time.Second: "1m30s",
		time.Hour + time.Second: "1h0m1s", 20 * time.Hour: "20h", 0: "0s",
	} {
		got := formatDuration(d)
		if back, err := time.ParseDuration(got); got != want || err != nil || back != d {
			t.Errorf("%d is written %q, want %q", d, got, want)
		}
	}
}
