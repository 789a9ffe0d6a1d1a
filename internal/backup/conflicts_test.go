package backup

import "testing"

// TestConflicts proves which jobs make the same backup in another way: active ones
// of the backup's names or with its commands that the spec does not have, and
// whether they can become schedules of it.
func TestConflicts(t *testing.T) {
	t.Parallel()
	spec := Spec{ID: ID{testRef, DefaultName}, Settings: Settings{Schedules: map[string]Schedule{"daily": {UTC: "0 3 * * *"}}}}
	job := Job{ID: 5, Name: "x", Schedule: "0 18 * * *", Command: "select backup_all_data()", Active: true, Username: JobOwner}
	with := func(change func(*Job)) Job {
		changed := job
		change(&changed)
		return changed
	}
	for what, c := range map[string]struct {
		key  string // in ConflictingJobs; in OtherJobs when empty
		job  Job
		want []ConflictingJob
	}{
		"an unknown key":                   {"nightly", job, []ConflictingJob{{Job: job, Key: "nightly", Readable: true}}},
		"a wanted key":                     {"daily", job, nil},
		"a wanted key of another role":     {"daily@x", with(func(j *Job) { j.Username = "x" }), nil},
		"a watchdog":                       {"watchdog", job, nil},
		"an unknown key of another role":   {"nightly@x", with(func(j *Job) { j.Username = "x" }), []ConflictingJob{{Job: with(func(j *Job) { j.Username = "x" }), Readable: true}}},
		"inactive":                         {"nightly", with(func(j *Job) { j.Active = false }), nil},
		"a name that no schedule may have": {"retention", job, []ConflictingJob{{Job: job, Readable: true}}},
		"without its role":                 {"nightly", with(func(j *Job) { j.Orphaned = true }), nil},
		"every 30 seconds":                 {"nightly", with(func(j *Job) { j.Schedule = "30 seconds" }), []ConflictingJob{{Job: with(func(j *Job) { j.Schedule = "30 seconds" }), Key: "nightly"}}},
		"another name":                     {"", job, []ConflictingJob{{Job: job, Readable: true}}},
		"another name, inactive":           {"", with(func(j *Job) { j.Active = false }), nil},
		"another name, without its role":   {"", with(func(j *Job) { j.Orphaned = true }), nil},
		"another name, every 30 seconds":   {"", with(func(j *Job) { j.Schedule = "30 seconds" }), []ConflictingJob{{Job: with(func(j *Job) { j.Schedule = "30 seconds" })}}},
		"another name and another's role":  {"", with(func(j *Job) { j.Username = "x" }), []ConflictingJob{{Job: with(func(j *Job) { j.Username = "x" }), Readable: true}}},
	} {
		state := State{ID: spec.ID, ConflictingJobs: map[string]Job{}}
		if c.key == "" {
			state.OtherJobs = []Job{c.job}
		} else {
			state.ConflictingJobs[c.key] = c.job
		}
		equal(t, what, state.Conflicts(spec), c.want)
	}
	for what, c := range map[string]struct {
		name, command string
		want          bool
	}{
		"a name of the backup":        {"auto-backup-two words", "select 1", true},
		"a name that begins like it":  {"auto-backup2", "select 1", false},
		"a command that does nothing": {"x", "select 1", false},
	} {
		state := State{OtherJobs: []Job{with(func(j *Job) { j.Name, j.Command = c.name, c.command })}}
		if got := len(state.Conflicts(spec)) == 1; got != c.want {
			t.Errorf("%s conflicts: %t", what, got)
		}
	}
	state := State{
		ConflictingJobs: map[string]Job{"c": with(func(j *Job) { j.ID = 3 }), "a": with(func(j *Job) { j.ID = 9 })},
		OtherJobs:       []Job{with(func(j *Job) { j.ID = 4 }), with(func(j *Job) { j.ID = 1 })},
	}
	var ids []int64
	for _, conflict := range state.Conflicts(spec) {
		ids = append(ids, conflict.ID)
	}
	equal(t, "in the order of their ids", ids, []int64{1, 3, 4, 9})
}

// TestMakesBackup proves which commands make a backup: calls of its SQL function,
// in SQL or over HTTP, of its Edge Function, and of the dispatcher for it.
func TestMakesBackup(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]bool{
		"select backup_all_data()":         true,
		"SELECT public.Backup_All_Data ()": true,
		"backup_all_data":                  true,
		"select net.http_post('https://x/rest/v1/rpc/backup_all_data', '{}')": true,
		"select my_backup_all_data()":                                         false,
		"select backup_all_data2()":                                           false,
		"select $backup_all_data$1$backup_all_data$":                          false,
		"select net.http_post('https://x/functions/v1/auto-backup')":          true,
		"select net.http_post('https://x/functions/v1/auto-backup?a=b')":      true,
		"select net.http_post('https://x/functions/v1/auto-backup/run')":      true,
		"select net.http_post('https://x/functions/v1/auto-backup-two')":      false,
		"https://x/functions/v1/auto-backup":                                  true,
		"select 'auto-backup'":                                                false,
		"select auto_backup.dispatch('auto-backup', 'daily')":                 true,
		"select auto_backup . run_now ( 'auto-backup' )":                      true,
		"select auto_backup.dispatch('auto-backup-two', 'daily')":             false,
		"select auto_backup.drill('auto-backup', 'manual')":                   false,
		"select auto_backup.x(backup => 'auto-backup')":                       false,
		"select 1": false,
	} {
		if got := MakesBackup(DefaultName, "")(Job{Command: command}); got != want {
			t.Errorf("%s: %t", command, got)
		}
	}
	for command, want := range map[string]bool{"select my.backup()": true, "select my_backup()": false, "select backup_all_data()": false} {
		if got := MakesBackup(DefaultName, "my.backup")(Job{Command: command}); got != want {
			t.Errorf("with another function, %s: %t", command, got)
		}
	}
}

// TestDispatches proves which backup a job's command dispatches or watches.
func TestDispatches(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		Name("one").dispatchCommand("daily"):          "one",
		Name("one").watchCommand():                    "one",
		"select auto_backup . dispatch ( 'two', 'x')": "two",
		"select auto_backup.run_now('one')":           "",
		"select watch('one')":                         "",
		"select 1":                                    "",
	} {
		if got := (Job{Command: command}).Dispatches(); got != want {
			t.Errorf("%s: %q", command, got)
		}
	}
}
