package backup

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestConflicts proves which jobs count as making the same backup: active ones of
// this backup's names or commands, whoever owns them, but not those of another
// installed backup whose name only begins like this one's.
func TestConflicts(t *testing.T) {
	t.Parallel()
	id := ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto"}
	jobs := []Job{
		{ID: 9, Name: "auto-daily", Schedule: "0 6 * * *", Command: "select 1", Active: true, Username: JobOwner},
		{ID: 8, Name: "auto-secondary", Schedule: "0 18 * * *", Command: "select 1", Active: true, Username: JobOwner},
		{ID: 7, Name: "auto-asleep", Schedule: "0 18 * * *", Command: "select 1", Username: JobOwner},
		{ID: 6, Name: "auto-seconds", Schedule: "30 seconds", Command: "select 1", Active: true, Username: JobOwner},
		{ID: 5, Name: "auto-nightly", Schedule: "0 6 * * *", Command: "select 1", Active: true, Username: "supabase_admin"},
		{ID: 4, Name: "", Schedule: "@daily", Command: "select backup_all_data()", Active: true, Username: JobOwner},
		{ID: 3, Name: "auto-backup-daily", Schedule: "0 6 * * *", Command: Name("auto-backup").dispatchCommand("daily"), Active: true, Username: JobOwner},
		{ID: 2, Name: "auto-backup-watchdog", Schedule: "*/10 * * * *", Command: Name("auto-backup").watchCommand(), Active: true, Username: JobOwner},
		{ID: 1, Name: "auto-backup-legacy", Schedule: "0 6 * * *", Command: "select 1", Active: true, Username: JobOwner},
		{ID: 10, Name: "auto-watchdog", Schedule: "* * * * *", Command: "select 1", Active: true, Username: JobOwner},
	}
	text, err := json.Marshal(map[string]any{"backups": []string{"auto-backup"}, "jobs": jobs})
	if err != nil {
		t.Fatal(err)
	}
	var found Observation
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	state := State{ID: id}
	if err := found.Fill(&state, Known{}); err != nil {
		t.Fatal(err)
	}
	spec := Spec{ID: id, Settings: Settings{Schedules: map[string]Schedule{"daily": {UTC: "0 3 * * *"}}}}
	var got []string
	for _, job := range state.Conflicts(spec) {
		got = append(got, fmt.Sprintf("%d %s %t", job.ID, job.Key, job.Readable))
	}
	// The watchdog and the daily one are wanted, so they are adopted or refused.
	if want := "1  true, 4  true, 5  true, 6 seconds false, 8 secondary true"; strings.Join(got, ", ") != want {
		t.Errorf("the conflicting jobs are\n%s, not\n%s", strings.Join(got, ", "), want)
	}
}

// TestAdoptedSecretsStay proves that a secret which was there before the backup
// is remembered as such, and that it is not removed when the configuration
// drops it or when the backup goes, while the backup's own secrets are.
func TestAdoptedSecretsStay(t *testing.T) {
	t.Parallel()
	id := ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}
	spec := Spec{ID: id, Adopt: true, Settings: Settings{Secrets: []string{"NEW", "THERE"}}}
	found := State{ID: id, Secrets: map[string]string{"THERE": "1", "OTHER": "2"}}
	if got := fmt.Sprint(found.adopting(spec)); got != "[THERE]" {
		t.Errorf("adopted are %s", got)
	}
	installed := Settings{Secrets: spec.Settings.Secrets, AdoptedSecrets: found.adopting(spec)}
	found = State{ID: id, Settings: &installed, Marked: true, Secrets: map[string]string{"THERE": "1", "NEW": "3", "OTHER": "2", "AUTO_BACKUP_TOKEN": "4"}}
	if got := fmt.Sprint(found.adopting(spec)); got != "[THERE]" {
		t.Errorf("at the next apply, adopted are %s", got)
	}
	none := Spec{ID: id}
	if got := fmt.Sprint(SurplusSecrets(none, found), found.Abandons(none), found.adopting(none)); got != "[NEW] [THERE] []" {
		t.Errorf("dropped are %s", got)
	}
	if got := fmt.Sprint(OwnedSecrets(found)); got != "[NEW AUTO_BACKUP_TOKEN]" {
		t.Errorf("with the backup go %s", got)
	}
}
