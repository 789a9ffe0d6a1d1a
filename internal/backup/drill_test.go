package backup

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// drilled returns a spec with a weekly drill and the state of its installation.
func drilled(t *testing.T) (Spec, State) {
	t.Helper()
	settings := func() *DrillSettings {
		weekly, err := CompileSchedule("30 4 * * 0", nil, "America/Sao_Paulo", true, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		return &DrillSettings{Schedule: weekly, TimeoutSeconds: 120, MaxRows: 1000, RequireColumns: [][3]string{}}
	}
	spec, state := intact(t)
	spec.Settings.Drill, state.Settings.Drill = settings(), settings()
	state.Settings.Drill.Tables = []drill.Table{{Live: [2]string{"public", "articles"}, Copy: [2]string{"public", "backup_articles"}}}
	state.Jobs[drill.JobKey] = spec.Jobs()[drill.JobKey]
	return spec, state
}

// TestDrillJob proves what job a drill has, and that the dispatcher's SQL finds the
// drill's schedule and limits in the settings.
func TestDrillJob(t *testing.T) {
	t.Parallel()
	spec, _ := drilled(t)
	job := spec.Jobs()[drill.JobKey]
	if want := "set statement_timeout = '120s'; select auto_backup.drill('auto-backup')"; job.Command != want || job.Schedule != "30 7 * * 0" || job.Name != "auto-backup-drill" || !job.Active {
		t.Errorf("got %+v", job)
	}
	if got := job.Dispatches(); got != DefaultName {
		t.Errorf("it belongs to %q", got)
	}
	spec.Settings.Drill.Enabled = false
	if spec.Jobs()[drill.JobKey].Active {
		t.Error("the job of a disabled drill is active")
	}
	document, err := json.Marshal(spec.Settings)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Drill map[string]any `json:"drill"`
	}
	if err := json.Unmarshal(document, &read); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"zone", "minutes", "weekdays", "enabled", "timeout_seconds", "max_rows", "overdue_after_seconds", "require_columns", "tables"} {
		if _, ok := read.Drill[key]; !ok {
			t.Errorf("the settings say nothing of %s: %s", key, document)
		}
	}
	for _, key := range []string{drill.JobKey, drill.OnceKey, retention.JobKey} {
		if err := ValidateKey(key); err == nil {
			t.Errorf("a schedule may take the job %s", key)
		}
	}
	if _, ok := spec.Jobs()[retention.JobKey]; ok {
		t.Error("there is a job for a retention that nobody wants")
	}
	spec.Settings.Retention = &retention.Policy{KeepLast: 7}
	if job := spec.Jobs()[retention.JobKey]; job.Command != "set statement_timeout = '60s'; select auto_backup.retain('auto-backup')" || job.Dispatches() != DefaultName || !job.Active {
		t.Errorf("the retention has %+v", job)
	}
}

// TestDrillDiff proves that an intact drill has no difference, that which tables are
// restored is kept unless the spec says it, and that each change is named.
func TestDrillDiff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(spec *Spec, found *State)
		want   map[string]string
	}{
		"intact": {func(*Spec, *State) {}, map[string]string{}},
		"other tables": {
			func(spec *Spec, _ *State) { spec.Settings.Drill.Tables = []drill.Table{} },
			map[string]string{"setting drill.tables": `is [{"copy":["public","backup_articles"],"live":["public","articles"]}] instead of []`},
		},
		"another limit": {
			func(_ *Spec, found *State) { found.Settings.Drill.MaxRows = 7 }, map[string]string{"setting drill.max_rows": "is 7 instead of 1000"},
		},
		"no job": {
			func(_ *Spec, found *State) { delete(found.Jobs, drill.JobKey) }, map[string]string{"job auto-backup-drill": "is missing"},
		},
		"no drill any more": {
			func(spec *Spec, _ *State) { spec.Settings.Drill = nil },
			map[string]string{"job auto-backup-drill": "is there, and no schedule wants it", "setting drill": "is there and not configured"},
		},
		"no retention any more": {
			func(_ *Spec, found *State) {
				found.Settings.Retention = &retention.Policy{KeepLast: 7}
				found.Jobs[retention.JobKey] = Job{Name: "auto-backup-retention"}
			},
			map[string]string{"job auto-backup-retention": "is there, and no schedule wants it", "setting retention": "is there and not configured"},
		},
		"a new drill": {
			func(_ *Spec, found *State) { found.Settings.Drill = nil; delete(found.Jobs, drill.JobKey) },
			map[string]string{"job auto-backup-drill": "is missing", "setting drill": "is missing"},
		},
	} {
		spec, found := drilled(t)
		c.change(&spec, &found)
		equal(t, name, Drift(Diff(spec.Completed(found), found)), c.want)
	}
}

// TestRequestedDrill proves that the job of a requested drill, which removes itself, is
// neither drift nor a conflicting job, while another job of its name is one.
func TestRequestedDrill(t *testing.T) {
	t.Parallel()
	for command, conflicts := range map[string]int{
		"set statement_timeout = '120s'; select auto_backup.drill_once('auto-backup', '2026-11-23T03:00:00Z')": 0,
		"select public.backup_all_data()": 1,
	} {
		spec, _ := drilled(t)
		state := State{ID: spec.ID}
		job := Job{ID: 7, Name: "auto-backup-drill_now", Schedule: "2 seconds", Command: command, Active: true, Database: JobDatabase, Username: JobOwner}
		Observation{ProjectObservation: ProjectObservation{Jobs: []Job{job}}}.Fill(&state, Known{})
		if got := state.Conflicts(spec); len(got) != conflicts || len(state.Jobs) > 0 {
			t.Errorf("%s: conflicts %+v, jobs %+v", command, got, state.Jobs)
		}
	}
}

// TestDrillZone proves that a drill follows the database's rules of its time zone.
func TestDrillZone(t *testing.T) {
	t.Parallel()
	spec, _ := drilled(t)
	spec.Settings.Drill.Timezone, spec.Settings.Drill.Zone = nil, "Asia/Tokyo"
	equal(t, "zones", spec.Settings.Zones(), []string{"Asia/Tokyo", "UTC"})
	if followed := spec.Settings.Following(schedule.Rules{}, time.Now()); followed.Drill.UTC != spec.Settings.Drill.UTC || followed.Drill == spec.Settings.Drill {
		t.Errorf("without other rules it is %+v", followed.Drill)
	}
}
