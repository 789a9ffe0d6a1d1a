package zone_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// TestLoad proves which names are zones, and that the refusal of others
// names the zone that was meant.
func TestLoad(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Etc/UTC", "America/Sao_Paulo", "America/Argentina/Buenos_Aires", "America/Port-au-Prince", "US/Eastern", "Brazil/East", "Antarctica/Troll"} {
		loc, err := zone.Load(name)
		if err != nil {
			t.Errorf("Load(%q): %v", name, err)
		} else if got := loc.String(); got != name && name != "Etc/UTC" {
			t.Errorf("Load(%q) is called %q", name, got)
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
		loc, err := zone.Load(name)
		var refusal *zone.Error
		if !errors.As(err, &refusal) {
			t.Errorf("Load(%q) = %v, %v; want it refused", name, loc, err)
			continue
		}
		if !strings.Contains(err.Error(), hint) || refusal.Name != name || refusal.Reason == "" || refusal.Hint == "" {
			t.Errorf("Load(%q): %q, want it to say %s", name, err, hint)
		}
	}
}

// TestLoadReturnsTheSame proves that a zone is one location, however often and by how
// many at once it is loaded, and that another name makes another one.
func TestLoadReturnsTheSame(t *testing.T) {
	t.Parallel()
	locations := make([]*time.Location, 8)
	var loads sync.WaitGroup
	for i := range locations {
		loads.Go(func() { locations[i], _ = zone.Load("Asia/Kathmandu") })
	}
	loads.Wait()
	for _, location := range locations {
		if location == nil || location != locations[0] {
			t.Errorf("Load returns %p and %p", locations[0], location)
		}
	}
	if other, err := zone.Load("Asia/Katmandu"); err != nil || other == locations[0] || other.String() != "Asia/Katmandu" {
		t.Errorf("the zone's former name: %v, %v", other, err)
	}
}

// TestLoadIgnoresTheMachine proves that the zones do not come from the
// machine: it fails if another database that the environment names is read. No other
// test loads the zone, because a loaded one is kept.
func TestLoadIgnoresTheMachine(t *testing.T) {
	t.Setenv("ZONEINFO", t.TempDir())
	t.Setenv("TZ", "Asia/Tokyo")
	location, err := zone.Load("America/Fortaleza")
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	if got := noon.In(location).Format(time.RFC3339); got != "2026-07-01T09:00:00-03:00" {
		t.Errorf("noon UTC in Fortaleza is %s", got)
	}
}
