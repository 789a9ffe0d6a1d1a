package engine

import (
	"strings"
	"testing"

	"github.com/hashicorp/go-version"
)

// TestHas proves which versions have a feature: from the oldest on, with the
// pre-releases of that version; and an experiment only where experiments are.
func TestHas(t *testing.T) {
	t.Parallel()
	actions := Feature{Key: "actions", Terraform: "1.14"}
	deferral := Feature{Key: "deferral", Terraform: "1.11", Alpha: true}
	forEach := Feature{Key: "provider_for_each", OpenTofu: "1.9"}
	for _, c := range []struct {
		feature     Feature
		version     string
		openTofu    bool
		experiments bool
		want        bool
	}{
		{actions, "1.13.4", false, false, false},
		{actions, "1.14.0", false, false, true},
		{actions, "1.14.0-rc1", false, false, true},
		{actions, "1.17.0-dev", false, false, true},
		{actions, "1.14.0", true, false, false},
		{deferral, "1.17.0-dev", false, false, false},
		{deferral, "1.17.0-dev", false, true, true},
		{deferral, "1.10.0-alpha1", false, true, false},
		{forEach, "1.8.9", true, false, false},
		{forEach, "1.12.6", true, false, true},
		{forEach, "1.17.0", false, false, false},
	} {
		e := &Engine{Version: version.Must(version.NewVersion(c.version)), OpenTofu: c.openTofu, Experiments: c.experiments}
		if got := e.Has(c.feature); got != c.want {
			t.Errorf("%s has %s: %t", e, c.feature.Key, got)
		}
	}
}

// TestReport proves that a report names each feature with the tests that ran, or that
// the engine lacks it, and that it fails where a test of the table has not run; and
// that a test of what the engine lacks is skipped, not failed.
func TestReport(t *testing.T) {
	t.Parallel()
	newLedger := func(number string, openTofu bool) *Ledger {
		l := NewLedger("internal/provider")
		l.find = func() (*Engine, error) {
			return &Engine{Version: version.Must(version.NewVersion(number)), OpenTofu: openTofu}, nil
		}
		return l
	}
	features, err := Features()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		version  string
		openTofu bool
		has      []string
		lacks    []string
	}{
		{"1.11.0", false, []string{"write_only"}, []string{"identity", "provider_for_each", "encryption", "actions", "query", "deferral"}},
		{"1.14.0", false, []string{"identity", "actions", "query"}, []string{"provider_for_each", "encryption", "deferral"}},
		{"1.12.0", true, []string{"identity", "provider_for_each", "encryption"}, []string{"actions", "query", "deferral"}},
	} {
		l := newLedger(c.version, c.openTofu)
		for _, key := range c.has {
			if !l.Has(t, key) {
				t.Errorf("%s lacks %s", c.version, key)
			}
		}
		// TestReport is not what the table names.
		report, err := l.Report()
		if err == nil || !strings.Contains(err.Error(), c.has[0]) || !strings.Contains(report, "NOT RUN by TestSecrets") {
			t.Errorf("with tests that have not run: %v\n%s", err, report)
		}
		for _, f := range features {
			for _, r := range f.Runs {
				if name, ok := r.test(l.dir); ok {
					l.ran[f.Key] = map[string]bool{name: true}
				}
			}
		}
		l.ran["actions"] = map[string]bool{"TestActionInTerraform": true, "TestActionInterrupted": true}
		if report, err = l.Report(); err != nil {
			t.Errorf("with all tests: %v\n%s", err, report)
		}
		for _, key := range c.lacks {
			if want := key + strings.Repeat(" ", 19-len(key)) + "not in this engine; Terraform: "; !strings.Contains(report, want) {
				t.Errorf("the report does not say %q:\n%s", want, report)
			}
		}
		t.Run("skipped", func(t *testing.T) {
			t.Cleanup(func() {
				if !t.Skipped() {
					t.Error("a test of what the engine lacks is not skipped")
				}
			})
			l.Need(t, c.lacks[0])
		})
	}
}
