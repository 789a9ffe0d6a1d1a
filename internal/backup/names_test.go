package backup

import (
	"errors"
	"strings"
	"testing"
)

// TestNameValidate proves that only names are accepted whose derived names are
// valid everywhere and belong to one backup alone.
func TestNameValidate(t *testing.T) {
	t.Parallel()
	for name, complaint := range map[string]string{
		"auto-backup":                  "",
		"b":                            "",
		"night2":                       "",
		strings.Repeat("a", 40):        "",
		"":                             "does not survive",
		"Auto-Backup":                  "does not survive",
		"auto_backup":                  "does not survive",
		"auto--backup":                 "does not survive",
		"-auto":                        "does not survive",
		"auto-":                        "does not survive",
		"2nd":                          "does not survive",
		"auto backup":                  "does not survive",
		"auto'backup":                  "does not survive",
		"auto\nbackup":                 "does not survive",
		"supabase-backup":              "SUPABASE_",
		"supabase":                     "SUPABASE_",
		strings.Repeat("a", 41):        "limit is 40",
		strings.Repeat("long-", 10):    "limit is 40",
		"автобэкап":                    "does not survive",
		"auto-backup\u200b":            "does not survive",
		"auto/backup":                  "does not survive",
		"auto-backup;drop schema x --": "does not survive",
	} {
		err := Name(name).Validate()
		switch {
		case complaint == "" && err != nil:
			t.Errorf("%q is refused: %v", name, err)
		case complaint != "" && (err == nil || !strings.Contains(err.Error(), complaint)):
			t.Errorf("%q: got %v, want a complaint with %q", name, err, complaint)
		}
	}
}

// TestDerivedNames proves the names that every other part of the system, and
// the people who look for them, rely on.
func TestDerivedNames(t *testing.T) {
	t.Parallel()
	n := Name("auto-backup")
	for got, want := range map[string]string{
		n.Slug():                   "auto-backup",
		n.Job("daily"):             "auto-backup-daily",
		n.Job(WatchdogKey):         "auto-backup-watchdog",
		n.VaultToken():             "auto-backup/token",
		n.TokenSecret():            "AUTO_BACKUP_TOKEN",
		n.NextTokenSecret():        "AUTO_BACKUP_TOKEN_NEXT",
		n.dispatchCommand("daily"): "select auto_backup.dispatch('auto-backup', 'daily')",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if longest := Name(strings.Repeat("a", maxNameLength)).Job(strings.Repeat("k", maxKeyLength)); len(longest) > 63 {
		t.Errorf("the longest job name has %d bytes; pg_cron 1.4 keeps 63", len(longest))
	}
}

// TestValidateKey proves that a key can neither hide the watchdog nor make two
// backups share a job.
func TestValidateKey(t *testing.T) {
	t.Parallel()
	for key, ok := range map[string]bool{
		"daily": true, "every_minute": true, "n1": true, strings.Repeat("k", 20): true,
		"watchdog": false, "": false, "Daily": false, "two-words": false, "a b": false, "1st": false, strings.Repeat("k", 21): false,
	} {
		if err := ValidateKey(key); (err == nil) != ok {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// TestParseID proves that an ID survives its text form and that nonsense is
// refused with the form to write.
func TestParseID(t *testing.T) {
	t.Parallel()
	want := ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}
	if got, err := ParseID(want.String()); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "auto-backup", "abcdefghijklmnopqrst", "short/auto-backup", "ABCDEFGHIJKLMNOPQRST/auto-backup", "abcdefghijklmnopqrst/Auto", "abcdefghijklmnopqrst/a/b"} {
		if _, err := ParseID(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestValidateSecrets proves the Management API's limits, at each secret's own name.
func TestValidateSecrets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what    string
		lengths map[string]int
		at      string
		says    string
	}{
		{"reserved prefix", map[string]int{"SUPABASE_KEY": 1}, "SUPABASE_KEY", "reserves"},
		{"the backup's own token", map[string]int{"AUTO_BACKUP_TOKEN": 1}, "AUTO_BACKUP_TOKEN", "own token"},
		{"the backup's next token", map[string]int{"AUTO_BACKUP_TOKEN_NEXT": 1}, "AUTO_BACKUP_TOKEN_NEXT", "own token"},
		{"long name", map[string]int{strings.Repeat("N", 257): 1}, strings.Repeat("N", 257), "limit is 256"},
		{"long value", map[string]int{"KEY": 24_577}, "KEY", "limit is 24576"},
		{"no name", map[string]int{"": 1}, "", "needs a name"},
	} {
		faults := ValidateSecrets("auto-backup", c.lengths)
		if err := faults[c.at]; err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.what, faults, c.says)
		}
	}
	many := map[string]int{}
	for i := range 99 {
		many["KEY_"+strings.Repeat("X", i)] = 1
	}
	if err := ValidateSecrets("auto-backup", many)[""]; err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("99 secrets: got %v", err)
	}
	fine := map[string]int{"supabase_lower_case": 1, strings.Repeat("N", 256): 24_576, "EMPTY": 0}
	if faults := ValidateSecrets("auto-backup", fine); len(faults) > 0 {
		t.Errorf("accepted secrets are refused: %v", faults)
	}
}

// TestForeignErrorUnwraps proves that a caller can tell a refusal from a fault.
func TestForeignErrorUnwraps(t *testing.T) {
	t.Parallel()
	err := error(&ForeignError{ID: ID{"abcdefghijklmnopqrst", "auto-backup"}, Objects: []string{"x"}})
	if !errors.Is(err, ErrForeign) {
		t.Errorf("%v is not ErrForeign", err)
	}
}
