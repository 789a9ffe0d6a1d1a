package health

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
)

// TestForecast proves how the growth of the stored backups and the time until the disk is
// full are computed, that what is not known is null and says why, and when a status warns.
func TestForecast(t *testing.T) {
	t.Parallel()
	daily := func(n int) (times []time.Time) {
		for ; n > 0; n-- {
			times = append(times, at("06:00").AddDate(0, 0, 1-n))
		}
		return times
	}
	const (
		size  = "Every backup takes as much as the present ones, 100 MB on average with its indexes, and 7 are made per week."
		whole = " When the disk will be full is not known, because the database does not know its size: set `disk_gb`."
	)
	for _, c := range []struct {
		name   string
		change func(p *project)
		want   Forecast
		warns  string
	}{
		{name: "no disk", want: Forecast{GrowthPerWeek: ptr(int64(700_000_000)), Assumptions: size + whole}},
		{name: "far", change: func(p *project) { p.query.Disk = 8_000_000_000 },
			want: Forecast{GrowthPerWeek: ptr(int64(700_000_000)), DaysUntilFull: ptr(int64(60)), Assumptions: size + " Nothing else grows, and of the disk of 8 GB only the database takes space, 2 GB; what the write-ahead log takes is not known."}},
		{name: "near", change: func(p *project) { p.query.Disk = 4_950_000_000 },
			want:  Forecast{GrowthPerWeek: ptr(int64(700_000_000)), DaysUntilFull: ptr(int64(29)), Assumptions: size + " Nothing else grows, and of the disk of 5 GB only the database takes space, 2 GB; what the write-ahead log takes is not known."},
			warns: "The disk of 5 GB will be full within 30 days: the stored backups grow by 700 MB per week."},
		{name: "not so near", change: func(p *project) { p.query.Disk = 5_000_000_001 },
			want: Forecast{GrowthPerWeek: ptr(int64(700_000_000)), DaysUntilFull: ptr(int64(30)), Assumptions: size + " Nothing else grows, and of the disk of 5 GB only the database takes space, 2 GB; what the write-ahead log takes is not known."}},
		{name: "full", change: func(p *project) { p.query.Disk = 1_000_000_000 },
			want:  Forecast{GrowthPerWeek: ptr(int64(700_000_000)), DaysUntilFull: ptr(int64(0)), Assumptions: size + " Nothing else grows, and of the disk of 1 GB only the database takes space, 2 GB; what the write-ahead log takes is not known."},
			warns: "The disk of 1 GB is full, or will be within a day: the stored backups grow by 700 MB per week."},
		{name: "a database whose size is not known", change: func(p *project) { p.query.Disk, p.own.StoredBackups.DatabaseBytes = 1, 0 },
			want: Forecast{GrowthPerWeek: ptr(int64(700_000_000)), Assumptions: size + " When the disk will be full is not known, because the size of the database could not be read."}},
		{name: "young", change: func(p *project) {
			p.own.Retention = &facts.Retention{First: daily(3)[0], Last: daily(3)[2], Recent: 3}
		}, want: Forecast{GrowthPerWeek: ptr(int64(700_000_000)), Assumptions: size + whole}},
		{name: "one backup", change: func(p *project) {
			p.own.Retention = &facts.Retention{First: daily(1)[0], Last: daily(1)[0], Recent: 1}
		}, want: Forecast{Assumptions: "The growth is not known until there are backups of two nights."}},
		{name: "two at once", change: func(p *project) {
			p.own.Retention = &facts.Retention{First: daily(1)[0], Last: daily(1)[0], Recent: 2}
		}, want: Forecast{Assumptions: "The growth is not known until there are backups of two nights."}},
		{name: "that of an apply and one by hand", change: func(p *project) {
			p.own.Retention = &facts.Retention{First: at("06:00"), Last: at("06:15"), Recent: 2}
			p.query.Disk = 2_100_000_000
		}, want: Forecast{Assumptions: "The growth is not known until there are backups of two nights."}},
		{name: "two nights, of which one is short", change: func(p *project) {
			p.own.Retention = &facts.Retention{First: daily(2)[0].Add(time.Hour), Last: daily(2)[1].Add(-time.Minute), Recent: 2}
		}, want: Forecast{GrowthPerWeek: ptr(int64(730_964_467)), Assumptions: "Every backup takes as much as the present ones, 100 MB on average with its indexes, and 7.3 are made per week." + whole}},
		{name: "nothing stored", change: func(p *project) { p.own.StoredBackups.Count = 0 },
			want: Forecast{Assumptions: "The growth is not known until there are backups of two nights."}},
		{name: "no history", change: func(p *project) { p.own.Retention = nil },
			want: Forecast{Assumptions: "The growth is not known until there are backups of two nights."}},
		{name: "a retention that is reached", change: func(p *project) {
			p.settings.Retention, p.query.Disk = &retention.Policy{KeepLast: 10}, 8_000_000_000
		}, want: Forecast{GrowthPerWeek: ptr(int64(0)), Surplus: ptr(int64(50)), Assumptions: size + " The retention keeps 0 more after four weeks than now. So the backups alone do not fill the disk."}},
		{name: "a retention that is not", change: func(p *project) {
			p.settings.Retention, p.query.Disk = &retention.Policy{KeepLast: 74}, 8_000_000_000
		}, want: Forecast{GrowthPerWeek: ptr(int64(350_000_000)), DaysUntilFull: ptr(int64(120)), Surplus: ptr(int64(0)), Assumptions: size + " The retention keeps 14 more after four weeks than now. Nothing else grows, and of the disk of 8 GB only the database takes space, 2 GB; what the write-ahead log takes is not known."}},
		{name: "a tick that removed", change: func(p *project) {
			p.settings.Retention = &retention.Policy{KeepLast: 60}
			p.own.Watchdog.Retention = &facts.RetentionTick{At: at("11:20"), BackupID: "b", MadeAt: at("06:00"), Removed: map[string]int64{"public.b": 3, "public.a": 20}}
		}, want: Forecast{
			GrowthPerWeek: ptr(int64(0)), Surplus: ptr(int64(0)),
			Retention:   "At 2026-11-23T11:20:00Z it removed backup b of 2026-11-23T06:00:00Z from public.a (20 rows), public.b (3 rows).",
			Assumptions: size + " The retention keeps 0 more after four weeks than now." + whole,
		}},
		{name: "a tick that did not", change: func(p *project) {
			p.settings.Retention = &retention.Policy{KeepLast: 60}
			p.own.Watchdog.Retention = &facts.RetentionTick{At: at("11:20"), Skipped: "the latest run did not succeed"}
		}, want: Forecast{
			GrowthPerWeek: ptr(int64(0)), Surplus: ptr(int64(0)), Retention: "At 2026-11-23T11:20:00Z it removed nothing: the latest run did not succeed.",
			Assumptions: size + " The retention keeps 0 more after four weeks than now." + whole,
		}},
		{name: "a tick of a retention that is gone", change: func(p *project) {
			p.own.Watchdog.Retention = &facts.RetentionTick{At: at("11:20"), Skipped: "no policy"}
		}, want: Forecast{GrowthPerWeek: ptr(int64(700_000_000)), Assumptions: size + whole}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := healthy(t)
			p.own.StoredBackups.Count, p.own.StoredBackups.Bytes, p.own.StoredBackups.DatabaseBytes = 60, 6_000_000_000, 2_000_000_000
			p.own.Retention = &facts.Retention{Times: daily(60), First: daily(60)[0], Last: daily(60)[59], Recent: 28}
			if c.change != nil {
				c.change(p)
			}
			s := p.assess(t)
			if s.Forecast == nil || !reflect.DeepEqual(*s.Forecast, c.want) {
				got, _ := json.Marshal(s.Forecast)
				want, _ := json.Marshal(c.want)
				t.Errorf("got  %s\nwant %s", got, want)
			}
			warns := ""
			for _, f := range s.Problems {
				if f.Code == "disk_nearly_full" {
					warns = f.Message
				}
			}
			if warns != c.warns || !s.Healthy() {
				t.Errorf("it warns %q, want %q", warns, c.warns)
			}
		})
	}
	p := healthy(t)
	p.own.StoredBackups = nil
	if s := p.assess(t); s.Forecast != nil {
		t.Errorf("of no tables, the forecast is %+v", *s.Forecast)
	}
}
