package health

import (
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
)

// TestStable proves that a status which is read again, while nothing happened but that
// its clock went on and the database grew, has the same summary, problems, nights and
// next runs: for everything that has a time in its message.
func TestStable(t *testing.T) {
	t.Parallel()
	failed := run("r", "daily", history.TriggerSchedule, "06:00", history.Failed)
	for name, change := range map[string]func(p *project){
		"healthy":         nil,
		"failed":          func(p *project) { p.happened(failed, yesterday) },
		"failed for good": func(p *project) { p.settings.Retry.Attempts = 0; p.happened(failed, yesterday) },
		"under way":       func(p *project) { p.happened(started(byJob("r", "06:00", history.Running), "11:55", nil), yesterday) },
		"stuck":           func(p *project) { p.happened(started(byJob("r", "06:00", history.Running), "09:00", nil), yesterday) },
		"late":            func(p *project) { p.happened(yesterday) },
		"overdue":         func(p *project) { p.settings.Alert.OverdueAfterSeconds = 3600 },
		"never ran": func(p *project) {
			p.own.Settings.UpdatedAt, p.own.Settings.CreatedAt = at("11:00"), at("11:00")
			p.own.Schedules = nil
			p.happened()
		},
		"a dead watchdog": func(p *project) { p.own.Watchdog.At = at("06:05"); p.happened(failed, yesterday) },
		"a failing one":   func(p *project) { p.own.Watchdog.At = at("06:05"); p.database.NewestTick.At = at("11:59:30") },
		"a crowded queue": func(p *project) { p.database.Queue = make([]int64, 300) },
		"another clock":   func(p *project) { p.query.Clock = now.Add(26 * time.Hour) },
		"a late drill":    func(p *project) { lateDrill(p) },
		"a full disk":     func(p *project) { p.query.Disk = 3_000_000_000; grown(p) },
		"a late copy":     func(p *project) { lateCopy(p) },
		"a deaf channel":  func(p *project) { deafChannel(p) },
		"a legacy job":    func(p *project) { legacyOf(p, "22 09:00") },
		"a switched-off one": func(p *project) {
			off := p.settings.Schedules["daily"]
			off.Enabled = false
			p.settings.Schedules["daily"] = off
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var found []Status
			for _, later := range []time.Duration{0, time.Second, 61 * time.Second, 4 * time.Minute} {
				p := healthy(t)
				if change != nil {
					change(p)
				}
				p.query.At = now.Add(later)
				p.database.Server.Now = p.query.At
				if !p.query.Clock.IsZero() {
					p.query.Clock = p.query.Clock.Add(later + later/50)
				}
				if g := p.own.StoredBackups; g != nil && g.DatabaseBytes > 0 {
					g.DatabaseBytes += int64(later / time.Millisecond)
				}
				for range int(later / time.Second) {
					if len(p.database.Queue) > 0 {
						p.database.Queue = append(p.database.Queue, 1)
					}
				}
				if p.database.NewestTick.At.After(at("11:50")) {
					p.database.NewestTick.At = p.database.NewestTick.At.Add(later)
				}
				found = append(found, p.assess(t))
			}
			first := found[0]
			if name != "healthy" && name != "under way" && len(first.Problems) == 0 {
				t.Error("nothing is wrong, so this proves little")
			}
			for _, s := range found[1:] {
				if s.Summary != first.Summary {
					t.Errorf("after %s it says\n\t%s\nand said\n\t%s", s.CheckedAt.Sub(now), s.Summary, first.Summary)
				}
				for i := range max(len(s.Problems), len(first.Problems)) {
					if i >= len(s.Problems) || i >= len(first.Problems) || s.Problems[i] != first.Problems[i] {
						t.Fatalf("after %s it has the problems\n\t%+v\nand had\n\t%+v", s.CheckedAt.Sub(now), s.Problems, first.Problems)
					}
				}
				if got, want := calendarOf(s), calendarOf(first); got != want || !s.RetryDue.Equal(first.RetryDue) {
					t.Errorf("after %s the nights are %s and were %s, the retry is due at %s and was at %s", s.CheckedAt.Sub(now), got, want, s.RetryDue, first.RetryDue)
				}
			}
		})
	}
}

// lateDrill has a drill that succeeded too long ago.
func lateDrill(p *project) {
	p.settings.Drill = &backup.DrillSettings{
		Schedule: backup.Schedule{Enabled: true, Cron: drill.DefaultCron, Zone: "UTC"}, TimeoutSeconds: 120, OverdueAfterSeconds: 86400,
		Tables: []drill.Table{{Live: [2]string{"public", "articles"}, Copy: [2]string{"public", "backup_articles"}}},
	}
	d := &facts.Drill{State: facts.DrillSuccessful, StartedAt: at("20 06:00")}
	p.own.Drills = &facts.Drills{Latest: d, Result: d}
}

// grown has so many backups of late that the disk is full within weeks.
func grown(p *project) {
	p.own.StoredBackups.Count, p.own.StoredBackups.Bytes, p.own.StoredBackups.DatabaseBytes = 28, 2_800_000_000, 2_500_000_000
	p.own.Retention = &facts.Retention{Recent: 28, First: at("01 06:00").AddDate(-1, 0, 0), Last: at("06:00")}
}

// lateCopy has a destination to which nothing was ever copied.
func lateCopy(p *project) {
	p.settings.Offsite = &offsite.Settings{Destinations: map[string]offsite.Destination{"ops": {Every: offsite.EveryBackup}}}
	p.own.Offsite = map[string]offsite.Copies{"ops": {WaitingSince: at("20 06:00")}}
}

// deafChannel has a heartbeat that took nothing for a while.
func deafChannel(p *project) {
	p.settings.Heartbeat = &notify.Heartbeat{Form: notify.Healthchecks}
	lost := &notify.Notice{Event: "success", HappenedAt: at("06:00"), State: notify.NoticeLost, Attempts: 8, FinishedAt: at("08:00"), HTTPStatus: 404}
	p.own.Channels = map[string]notify.Notices{"heartbeat": {Last: lost, Lost: lost, Losses: 1}}
	p.own.ChannelSecrets = map[string]time.Time{"auto-backup/heartbeat": at("01 06:00")}
}

// legacyOf has an older job whose last backup is of a time.
func legacyOf(p *project, when string) {
	absent(p)
	row := &facts.LogRow{At: at(when), Success: true}
	p.database.Jobs, p.database.LastLog = []backup.Job{legacyJob(1, "auto-backup-daily", "0 6 * * *", true)}, &facts.LastLog{Newest: row, Success: row}
	p.database.Ticks = map[int64]facts.Tick{1: {Status: "succeeded", At: at("06:00")}}
}
