package backup

import (
	"strings"
	"testing"
)

// says reports an error whose text is not the wanted one; an empty text means no
// error.
func says(t *testing.T, what string, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// TestNameValidate proves that only names are accepted whose derived names are
// valid everywhere and belong to one backup alone, and that the others are refused
// with what to write instead.
func TestNameValidate(t *testing.T) {
	t.Parallel()
	for _, name := range []Name{"auto-backup", "b", "night2", Name(strings.Repeat("a", 40)), "supabase2", "my-supabase"} {
		says(t, string(name), name.Validate(), "")
	}
	const form = " cannot serve as function slug, job name and secret name; use lower-case letters and digits in words joined by single hyphens, beginning with a letter, for example \"auto-backup\""
	for _, name := range []string{
		"", "Auto-Backup", "auto_backup", "auto--backup", "-auto", "auto-", "2nd", "auto backup", "auto'backup", "auto/backup", "auto-backup;drop schema x --",
	} {
		says(t, name, Name(name).Validate(), `"`+name+`"`+form)
	}
	says(t, "a line break", Name("auto\nbackup").Validate(), `"auto\nbackup"`+form)
	says(t, "an invisible character", Name("auto-backup\u200b").Validate(), `"auto-backup\u200b"`+form)
	says(t, "another alphabet", Name("автобэкап").Validate(), `"автобэкап"`+form)
	says(t, "a reserved name", Name("supabase").Validate(), `"supabase" would give the function secret SUPABASE_TOKEN, and Supabase reserves the prefix SUPABASE_; choose another name`)
	says(t, "a reserved prefix", Name("supabase-backup").Validate(), `"supabase-backup" would give the function secret SUPABASE_BACKUP_TOKEN, and Supabase reserves the prefix SUPABASE_; choose another name`)
	long := strings.Repeat("a", 41)
	says(t, "a long name", Name(long).Validate(), `"`+long+`" has 41 characters, the limit is 40: pg_cron 1.4 cuts job names off after 63 bytes; choose a shorter name`)
}

// TestDerivedNames proves the names that every other part of the system, and the
// people who look for them, rely on.
func TestDerivedNames(t *testing.T) {
	t.Parallel()
	n := Name("auto-backup")
	for _, c := range [][2]string{
		{n.Slug(), "auto-backup"},
		{n.Job("daily"), "auto-backup-daily"},
		{n.Job(WatchdogKey), "auto-backup-watchdog"},
		{n.VaultToken(), "auto-backup/token"},
		{n.VaultAlertKey(), "auto-backup/alert-key"},
		{n.VaultFormerToken(), "auto-backup/former-token"},
		{n.VaultHeartbeat(), "auto-backup/heartbeat"},
		{n.VaultWebhook("ops"), "auto-backup/webhook/ops"},
		{n.VaultWebhookSecret("ops"), "auto-backup/webhook-secret/ops"},
		{n.TokenSecret(), "AUTO_BACKUP_TOKEN"},
		{n.NextTokenSecret(), "AUTO_BACKUP_TOKEN_NEXT"},
		{n.FunctionMarker(), "auto-backup (terraform-provider-aimindset)"},
		{n.VaultMarker(), "managed by terraform-provider-aimindset, backup auto-backup"},
		{n.dispatchCommand("daily"), "set statement_timeout = '2min'; select auto_backup.dispatch('auto-backup', 'daily')"},
		{n.watchCommand(), "set statement_timeout = '2min'; select auto_backup.watch('auto-backup')"},
		{ID{testRef, n}.String(), "abcdefghijklmnopqrst/auto-backup"},
		{FunctionURL("https://x.supabase.co", "auto-backup"), "https://x.supabase.co/functions/v1/auto-backup"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
	if longest := Name(strings.Repeat("a", 40)).Job(strings.Repeat("k", 20)); len(longest) > 63 {
		t.Errorf("the longest job name has %d bytes; pg_cron 1.4 keeps 63", len(longest))
	}
}

// TestValidateKey proves that a key can neither hide the watchdog or manual runs nor make two
// backups share a job.
func TestValidateKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"daily", "every_minute", "n1", "watchdog2", strings.Repeat("k", 20)} {
		says(t, key, ValidateKey(key), "")
	}
	for _, key := range []string{"", "Daily", "two-words", "a b", "1st", "_a", "a@b"} {
		says(t, key, ValidateKey(key), `the key "`+key+`" becomes part of a job name; use lower-case letters, digits and underscores, beginning with a letter, for example "daily"`)
	}
	says(t, "manual", ValidateKey("manual"), `the key "manual" is that of the runs that somebody starts; choose another key, for example "daily"`)
	says(t, "watchdog", ValidateKey("watchdog"), `the key "watchdog" is that of the job that watches over the backup; choose another key, for example "daily"`)
	long := strings.Repeat("k", 21)
	says(t, "a long key", ValidateKey(long), `the key "`+long+`" has 21 characters, the limit is 20: pg_cron 1.4 cuts job names off after 63 bytes; choose a shorter key`)
}

// TestParseID proves that an ID survives its text form, for hosted and self-hosted
// projects, and that nonsense is refused with the form to write.
func TestParseID(t *testing.T) {
	t.Parallel()
	for _, want := range []ID{{testRef, "auto-backup"}, {SelfHostedRef, "night"}} {
		if got, err := ParseID(want.String()); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	const (
		form = "; an import ID is <project_ref>/<name>, for example abcdefghijklmnopqrst/auto-backup"
		ref  = " is not a valid project reference; a reference is the 20 lower-case letters in the project's dashboard address, https://supabase.com/dashboard/project/<ref>"
		name = " cannot serve as function slug, job name and secret name; use lower-case letters and digits in words joined by single hyphens, beginning with a letter, for example \"auto-backup\""
	)
	for text, want := range map[string]string{
		"":                                 `"" has no slash`,
		"auto-backup":                      `"auto-backup" has no slash`,
		"short/auto-backup":                `"short"` + ref,
		"ABCDEFGHIJKLMNOPQRST/auto-backup": `"ABCDEFGHIJKLMNOPQRST"` + ref,
		"abcdefghijklmnopqrstu/a":          `"abcdefghijklmnopqrstu"` + ref,
		"abcdefghijklmnopqrst/Auto":        `"Auto"` + name,
		"abcdefghijklmnopqrst/a/b":         `"a/b"` + name,
		"x/Y":                              `"x"` + ref + "\n" + `"Y"` + name,
	} {
		got, err := ParseID(text)
		says(t, text, err, want+form)
		equal(t, text, got, ID{})
	}
}
