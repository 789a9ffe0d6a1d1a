package schedule_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// TestLoadZone proves which names are zones, and that the refusal of others
// names the zone that was meant.
func TestLoadZone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Etc/UTC", "America/Sao_Paulo", "America/Argentina/Buenos_Aires", "America/Port-au-Prince", "US/Eastern", "Brazil/East", "Antarctica/Troll"} {
		loc, err := schedule.LoadZone(name)
		if err != nil {
			t.Errorf("LoadZone(%q): %v", name, err)
		} else if got := loc.String(); got != name && name != "Etc/UTC" {
			t.Errorf("LoadZone(%q) is called %q", name, got)
		}
	}
	for name, hint := range map[string]string{
		"":                    `"America/Sao_Paulo"`,
		"Local":               `"America/Sao_Paulo"`,
		"BRT":                 `"America/Sao_Paulo"`,
		"Brasilia":            `"America/Sao_Paulo"`,
		"Sao_Paulo":           `"America/Sao_Paulo"`,
		"São Paulo":           `"America/Sao_Paulo"`,
		"america/sao_paulo":   `"America/Sao_Paulo"`,
		"America/SaoPaulo":    `"America/Sao_Paulo"`,
		"America/Sao Paulo":   `"America/Sao_Paulo"`,
		"Asia/Sao_Paulo":      `"America/Sao_Paulo"`,
		" America/Sao_Paulo ": `"America/Sao_Paulo"`,
		"America/São_Paulo":   `"America/Sao_Paulo"`,
		"America/Fortalesa":   `"America/Fortaleza"`,
		"Europe/Berln":        `"Europe/Berlin"`,
		"Berlin":              `"Europe/Berlin"`,
		"EST":                 `"America/New_York"`,
		"EST5EDT":             `"America/New_York"`,
		"CET":                 `"Europe/Berlin"`,
		"Japan":               `"Asia/Tokyo"`,
		"GMT":                 `"UTC"`,
		"utc":                 `"UTC"`,
		"Zulu":                `"UTC"`,
		"UTC-3":               "means west of Greenwich",
		"-03:00":              "fixed offset",
		"Etc/GMT+3":           "means west of Greenwich",
		"Mars/Olympus_Mons":   "a region and a city",
		"../../etc/passwd":    "a region and a city",
		"America/":            "a region and a city",
		"posixrules":          "a region and a city",
	} {
		loc, err := schedule.LoadZone(name)
		var refusal *schedule.ZoneError
		if !errors.As(err, &refusal) {
			t.Errorf("LoadZone(%q) = %v, %v; want it refused", name, loc, err)
			continue
		}
		if !strings.Contains(err.Error(), hint) || refusal.Name != name || refusal.Reason == "" || refusal.Hint == "" {
			t.Errorf("LoadZone(%q): %q, want it to say %s", name, err, hint)
		}
	}
}

// TestLoadZoneIgnoresTheMachine proves that the zones do not come from the
// machine: it fails if another database that the environment names is read.
func TestLoadZoneIgnoresTheMachine(t *testing.T) {
	t.Setenv("ZONEINFO", t.TempDir())
	t.Setenv("TZ", "Asia/Tokyo")
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	if got := noon.In(zone(t, "America/Sao_Paulo")).Format(time.RFC3339); got != "2026-07-01T09:00:00-03:00" {
		t.Errorf("noon UTC in São Paulo is %s", got)
	}
}

// TestZonesChangeSeldom proves for every zone of the database what the search
// for changes relies on, here and in the database: between 1972 and 2039 no
// clock changes twice within the search's step, and none by more than a day.
func TestZonesChangeSeldom(t *testing.T) {
	t.Parallel()
	const step = 24 * 60
	names := schedule.ZoneNames()
	slices.Sort(names)
	if len(names) < 400 {
		t.Fatalf("%d zones", len(names))
	}
	for _, name := range names {
		loc, err := schedule.LoadZone(name)
		if err != nil {
			continue // not a name that is accepted
		}
		last, changed := 1<<30, int64(-1)
		for m := unixMinute(1972, 1, 10); m < unixMinute(2040, 1, 1); m += step {
			_, offset := time.Unix(m*60, 0).In(loc).Zone()
			if last != 1<<30 && offset != last {
				if changed >= 0 && m-changed <= schedule.Probe+step {
					t.Errorf("%s changes its clock twice before %s", name, time.Unix(m*60, 0).UTC())
				}
				if diff := offset - last; diff < -86400 || diff > 86400 {
					t.Errorf("%s changes its clock by %d s", name, diff)
				}
				changed = m
			}
			last = offset
		}
	}
}
