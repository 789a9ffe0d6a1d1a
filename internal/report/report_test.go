package report

import (
	"flag"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

var update = flag.Bool("report.update", false, "write the golden files")

func ptr[T any](v T) *T { return &v }

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, "2026-11-"+s+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

// healthy is the status of a backup in which nothing is wrong, with everything that a
// report may have.
func healthy(t *testing.T) health.Status {
	t.Helper()
	location, err := zone.Load("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	s := health.Status{
		ID: backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}, Installation: health.InstallationProvider, Condition: checks.Healthy,
		CheckedAt: at("23T12:00:00"), WatchedAt: at("23T11:50:00"), Location: location,
		LastSuccess: &history.Run{
			ID: "r", Schedule: "daily", Trigger: history.TriggerSchedule, Attempt: 1, State: history.Succeeded,
			DueAt: at("23T06:00:00"), RequestedAt: at("23T06:00:01"), FinishedAt: at("23T06:00:13"), Records: ptr(int64(1284)),
		},
		NextRuns:      []health.NextRun{{Schedule: "daily", DueAt: at("24T06:00:00").In(location)}, {Schedule: "weekly", DueAt: at("29T05:00:00").In(location)}},
		StoredBackups: &facts.StoredBackups{Count: 30, Newest: at("23T06:00:12"), Oldest: at("01T06:00:12").AddDate(0, 0, -8), Bytes: 48_100_000, DatabaseBytes: 151_000_000},
		Forecast:      &health.Forecast{GrowthPerWeek: ptr(int64(11_200_000))},
		Drill: &facts.Drill{
			State: facts.DrillSuccessful, StartedAt: at("22T07:00:00"), FinishedAt: at("22T07:00:07"), MadeAt: at("22T06:00:01"), BackupID: "b",
			Tables: []facts.DrillTable{{Table: "public.articles", Rows: 40}, {Table: "public.feedbacks", Rows: 7}, {Table: "public.leads", Rows: 3}},
		},
		Offsite: map[string]health.Destination{"s3_ops": {
			Copies: offsite.Copies{Copy: &offsite.Copy{MadeAt: at("23T06:00:01"), CompletedAt: at("23T06:04:00"), Rows: 1284, Bytes: 312_000, LockedUntil: at("30T06:04:00")}},
			State:  offsite.StateCopied,
		}},
		Channels: map[string]health.Channel{
			"heartbeat":   channel(notify.StateDelivered, "success", "23T06:00:13", "23T06:10:02"),
			"webhook/ops": channel(notify.StateDelivered, "recovered", "08T06:00:13", "08T06:10:02"),
		},
		Nights: nights("..+++++++R++++X++ML+++++++++++"),
	}
	return s
}

// channel is a channel in a state, which took a message last.
func channel(state notify.State, event, happened, finished string) health.Channel {
	n := &notify.Notice{Event: event, HappenedAt: at(happened), State: notify.NoticeDelivered, FinishedAt: at(finished), HTTPStatus: 200}
	return health.Channel{Notices: notify.Notices{Last: n, Delivered: n}, State: state, Secret: notify.SecretPresent}
}

func problem(code string, means checks.Condition, message string) checks.Finding {
	return checks.Finding{Code: code, Condition: means, Message: message, Remedy: codes.Lookup(code, "").Remedy}
}

// hostileText is whatever a database could say to those who read a report.
const hostileText = "::error file=x::boo ##[error]boo ``` </details><script>alert(1)</script> [click](https://evil.example/x_y) ![i](http://evil.example/i.png) " +
	"@octocat @here <!channel> <@U123> #12 !34 GH-5 %m :tada: $x$ | a | **b** _c_ __d__ snake_case ~~e~~ ~f \\` `g` &lt; &#64;x www.evil.example </title></svg> \"\n\n# Heading\n# EOF\n::set-output name=x::y\n- list\n\x1b[31m\u202e"

// cases are the statuses of which there is a golden file.
var cases = map[string]func(s *health.Status){
	"healthy": func(*health.Status) {},
	"failing": func(s *health.Status) {
		s.Condition, s.CheckedAt, s.RetryDue, s.Failures = checks.Failing, at("23T06:05:00"), at("23T06:10:00"), 1
		s.LastSuccess.DueAt, s.LastSuccess.RequestedAt, s.LastSuccess.FinishedAt = at("22T06:00:00"), at("22T06:00:00"), at("22T06:00:11")
		s.Nights[29] = health.Night{Day: s.Nights[29].Day, Outcome: health.OutcomeFailed}
		s.Problems = []checks.Finding{
			problem("backup_failed", checks.Failing, "The backup due at 2026-11-23T06:00:00Z failed at attempt 1: the SQL function reported that the backup failed (“backup_all_data informou falha: relation \"public.feedbacks\" does not exist”). The watchdog tries again at 2026-11-23T06:10:00Z."),
			problem("no_subscribers", checks.Healthy, "The table public.alert_subscriptions is empty, so send-backup-alert sends its alerts to nobody and responds as if all were well."),
		}
	},
	"silent": func(s *health.Status) {
		s.Condition, s.WatchedAt, s.RetryDue, s.Failures = checks.SchedulerDown, at("23T06:05:00"), at("23T06:10:00"), 1
		s.Nights[29] = health.Night{Day: s.Nights[29].Day, Outcome: health.OutcomeFailed}
		s.Problems = []checks.Finding{
			problem("watchdog_silent", checks.SchedulerDown, "The watchdog last ran at 2026-11-23T06:05:00Z; it is due every ten minutes."),
			problem("http_503", checks.Failing, "The backup due at 2026-11-23T06:00:00Z failed at attempt 1: the function does not start (HTTP 503). The watchdog was to try again at 2026-11-23T06:10:00Z."),
		}
	},
	"late": func(s *health.Status) {
		s.Condition = checks.Late
		s.Nights[29] = health.Night{Day: s.Nights[29].Day, Outcome: health.OutcomeMissed}
		s.LastSuccess.Trigger, s.LastSuccess.FinishedAt, s.LastSuccess.RequestedAt = history.TriggerManual, at("22T18:30:02"), at("22T18:30:00")
		s.Problems = []checks.Finding{problem("due_missed", checks.Late, "The schedule daily was due at 2026-11-23T06:00:00Z, and neither its job nor the watchdog has started a backup since.")}
	},
	"running": func(s *health.Status) {
		s.Condition = checks.Running
		s.Nights[29] = health.Night{Day: s.Nights[29].Day, Outcome: health.OutcomePending}
	},
	"never_ran": func(s *health.Status) {
		s.Condition, s.LastSuccess, s.Drill, s.Offsite, s.Forecast = checks.NeverRan, nil, nil, nil, nil
		s.Channels = map[string]health.Channel{"heartbeat": {State: notify.StateUnused, Secret: notify.SecretPresent}}
		s.StoredBackups = &facts.StoredBackups{}
		s.Nights = nights(strings.Repeat(".", 30))
		s.Problems = []checks.Finding{problem("never_ran", checks.NeverRan, "No backup has been made yet; the first is due at 2026-11-24T03:00:00-03:00.")}
	},
	"not_installed": func(s *health.Status) {
		*s = health.Status{ID: s.ID, Installation: health.InstallationNone, Condition: checks.NotInstalled, CheckedAt: s.CheckedAt,
			Problems: []checks.Finding{problem("not_installed", checks.NotInstalled, "Project abcdefghijklmnopqrst has no automatic backup \"auto-backup\": there is neither a row of it in auto_backup.settings nor a job that makes one.")}}
	},
	"legacy": func(s *health.Status) {
		s.LastSuccess = &history.Run{State: history.Succeeded, FinishedAt: at("23T06:00:30"), Records: ptr(int64(12))}
		s.Installation, s.Location, s.Nights, s.Offsite, s.Drill, s.Forecast = health.InstallationLegacy, nil, nil, nil, nil, nil
		s.Channels = nil
		s.NextRuns = []health.NextRun{{Schedule: "auto-backup-daily", DueAt: at("24T06:00:00")}}
		s.Problems = []checks.Finding{problem("legacy", checks.Healthy, "The backups are made by the job auto-backup-daily (0 6 * * *), without retry, verification or alert.")}
	},
	"drill_failed": func(s *health.Status) {
		s.Condition = checks.Failing
		s.Drill.Tables[0].RowsMissing = 12
		s.Drill.State, s.Drill.Code, s.Drill.Error = facts.DrillFailed, "drill_not_null", "articles: drill_not_null title (3 rows)"
		p := problem("drill_not_null", checks.Failing, "The restore drill at 2026-11-22T07:00:00Z found: "+codes.Lookup("drill_not_null", "").Clause()+" (articles: drill_not_null title (3 rows)).")
		s.Problems = []checks.Finding{p}
	},
	"offsite_failing": func(s *health.Status) {
		d := s.Offsite["s3_ops"]
		d.State, d.Problem = offsite.StateFailing, offsite.Problem{Code: "offsite_denied"}
		s.Offsite["s3_ops"] = d
		s.Offsite["archive"] = health.Destination{State: offsite.StateNever, Problem: offsite.Problem{Code: "offsite_late"}}
		s.Problems = []checks.Finding{
			problem("offsite_denied", checks.Healthy, "The off-site copy to s3_ops failed 3 times in a row, last at 2026-11-23T09:00:00Z: the bucket refuses (HTTP 403, AccessDenied)."),
			problem("offsite_late", checks.Healthy, "The off-site copy to archive has never been made, although there has been a backup since 2026-11-20T06:00:01Z."),
		}
	},
	"unheard": func(s *health.Status) {
		deaf := channel(notify.StateFailing, "success", "20T06:00:13", "20T06:10:02")
		deaf.Losses = 3
		s.Channels = map[string]health.Channel{
			"heartbeat":       deaf,
			"webhook/closed":  {Secret: notify.SecretUnknown},
			"webhook/missing": {State: notify.StateFailing, Secret: notify.SecretMissing},
			"webhook/new":     {State: notify.StateUnused, Secret: notify.SecretPresent},
			"webhook/ops":     channel(notify.StateWaiting, "failed", "22T06:00:13", "22T06:10:02"),
			"webhook/copied":  {State: notify.StateFailing, Secret: notify.SecretUnreadable},
		}
		s.Problems = []checks.Finding{
			problem("channel_secret_missing", checks.Healthy, "The vault lacks the secret auto-backup/webhook/missing, so the webhook missing gets no messages."),
			problem("heartbeat_undelivered", checks.Healthy, "The heartbeat has not taken 3 pings since the last one that arrived, the newest of them, the ping \"success\" of 2026-11-23T06:00:13Z, in 8 attempts (HTTP 404)."),
		}
	},
	"unreadable": func(s *health.Status) {
		s.Condition = checks.Failing
		s.Nights = nights(strings.Repeat("?", 30))
		s.Problems = []checks.Finding{problem("not_readable", checks.Failing, "auto_backup.runs cannot be read.")}
	},
	// every outcome of a night, durations of minutes, a zone with an odd offset, and what
	// is longest.
	"everything": func(s *health.Status) {
		s.ID.Name = "a-backup-with-as-long-a-name-as-there-is"
		s.Location = time.FixedZone("+0545", 5*3600+45*60)
		s.Nights = nights("??..++LRXM++LRXM++LRXM+++++XM>")
		for i := range s.Nights {
			s.Nights[i].Duration *= 37
		}
		for range 12 {
			s.Problems = append(s.Problems, problem("no_subscribers", checks.Healthy, "Nobody is told."))
		}
	},
	"hostile": func(s *health.Status) {
		s.Condition, s.ID.Name = checks.Failing, "a`<!here>`@b"
		s.ID.ProjectRef, s.NextRuns[0].Schedule, s.Drill.Tables[0].Table = hostileText, hostileText, hostileText
		s.Offsite = map[string]health.Destination{hostileText: s.Offsite["s3_ops"]}
		s.Channels = map[string]health.Channel{"webhook/" + hostileText: channel(notify.StateDelivered, hostileText, "23T06:00:13", "23T06:10:02")}
		s.Problems = []checks.Finding{{Code: hostileText, Condition: checks.Failing, Message: hostileText, Remedy: hostileText}, {Code: "x", Condition: checks.Failing, Message: hostileText + "`", Remedy: "`"}}
	},
}

// TestGolden proves what a report says in each case, that it fits where it is shown, and
// that it says the same a minute later.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := healthy(t)
			change(&s)
			got := Markdown(s)
			golden(t, filepath.Join("testdata", name+".md"), got)
			if n := utf8.RuneCountInString(got); name != "hostile" && name != "everything" && n >= 4000 {
				t.Errorf("it has %d characters", n)
			}
			s.CheckedAt, s.WatchedAt = s.CheckedAt.Add(time.Minute), s.WatchedAt.Add(10*time.Minute)
			if s.StoredBackups != nil {
				s.StoredBackups.DatabaseBytes += 12345
			}
			if again := Markdown(s); again != got {
				t.Errorf("a minute later, the report is\n%s", again)
			}
		})
	}
	if *update {
		return
	}
	files, err := filepath.Glob("testdata/*.md")
	if err != nil || len(files) != len(cases) {
		t.Errorf("there are %d golden files for %d cases: %v", len(files), len(cases), err)
	}
}

// outside returns the text of a report without its code.
func outside(report string) string {
	report = regexp.MustCompile("(?s)```text\n.*?\n```").ReplaceAllString(report, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(report, "")
}

// TestHostile proves that nothing which the project says forms Markdown, HTML, a
// reference or a command of a pipeline.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	cases["hostile"](&s)
	got := Markdown(s)
	for _, line := range strings.Split(got, "\n") {
		if regexp.MustCompile(`^\s*(::|#|\[|!|>|\||[-*] list)`).MatchString(line) || strings.Contains(line, "##[") {
			t.Errorf("a line is a command or a block of its own: %s", line)
		}
	}
	for _, c := range got {
		if c == 0x1b || c == 0x202e {
			t.Errorf("the report has the character %U", c)
		}
	}
	prose := outside(got)
	if strings.Contains(prose, "```") || strings.Contains(prose, "`") && !strings.Contains(prose, "\\`") {
		t.Errorf("a backquote is left in %s", prose)
	}
	for name, expression := range map[string]string{
		"HTML": `<[a-zA-Z/!@#]`, "a link": `[^\\]\]\(|https?://|www\.`, "a mention": `(^|\W)@\w`, "an issue": `(^|\W)#\d`, "a merge request": `(^|\W)!\d`,
		"emphasis": `[^\\]\*\*b|(^|\W)_c_`, "strikethrough": `[^\\]~`, "an emoji": `(^|\s):[a-z]+:`, "an entity": `&#|&lt;lt|&lt;#64`, "mathematics": `[^\\]\$`, "a table": `[^\\]\|`,
	} {
		if found := regexp.MustCompile(expression).FindString(prose); found != "" {
			t.Errorf("%s is left: %q in\n%s", name, found, prose)
		}
	}
	if !strings.Contains(prose, "snake_case") {
		t.Error("a name with an underscore was changed")
	}
	for _, reference := range []string{"<!", "<@"} {
		if strings.Contains(got, reference) {
			t.Errorf("Slack reads %s", reference)
		}
	}
}

// TestLength proves that a report has less than 64 KiB, whatever is wrong, and says what
// it leaves out.
func TestLength(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	long := strings.Repeat("<@<", 5000)
	s.Condition = checks.Failing
	s.Offsite = map[string]health.Destination{}
	for i := range 300 {
		s.Problems = append(s.Problems, checks.Finding{Code: "x", Condition: checks.Failing, Message: long, Remedy: long})
		s.Offsite[strings.Repeat("<", i)+long] = health.Destination{State: offsite.StateFailing}
		s.NextRuns = append(s.NextRuns, health.NextRun{Schedule: long, DueAt: at("24T06:00:00")})
	}
	got := Markdown(s)
	if len(got) >= 64<<10 || len(got) < 32<<10 || !regexp.MustCompile(`\nAnd \d+ more\.\n$`).MatchString(got) || !utf8.ValidString(got) {
		t.Errorf("the report has %d bytes and ends with %q", len(got), got[len(got)-40:])
	}
}

// TestCalendar proves that each night stands in the row of its week and under its day,
// and that the legend has the signs that occur and no others.
func TestCalendar(t *testing.T) {
	t.Parallel()
	if got := calendar(nil); got != "" {
		t.Errorf("without nights it is %q", got)
	}
	days := func(from string, outcomes ...health.Outcome) (nights []health.Night) {
		day, err := time.Parse(time.DateOnly, from)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range outcomes {
			nights = append(nights, health.Night{Day: day.AddDate(0, 0, i).Format(time.DateOnly), Outcome: o})
		}
		return nights
	}
	got := calendar(days("2026-12-26", health.OutcomeNone, health.OutcomeMade, health.OutcomeFailed, health.OutcomePending))
	const want = "```text\n" + `            Mo Tu We Th Fr Sa Su
2026-12-21                  .  +
2026-12-28   X  >

+ made
X failed
> under way or due later
. nothing due
` + "```\n"
	if got != want {
		t.Errorf("the calendar is\n%s\nwant\n%s", got, want)
	}
	seen := map[byte]bool{}
	for _, s := range signs {
		if seen[s.sign] || s.sign <= ' ' || s.sign >= 0x7f || s.sign == '`' {
			t.Errorf("the sign %q is not one of its own", s.sign)
		}
		seen[s.sign] = true
		if !strings.Contains(calendar(days("2026-12-21", s.outcome)), string(s.sign)+" "+s.meaning+"\n") {
			t.Errorf("the legend has no %q", s.sign)
		}
	}
}
