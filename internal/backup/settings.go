package backup

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
)

// The PRD's values, which are the defaults of a backup.
const (
	DefaultName          = "auto-backup"
	DefaultTimezone      = "America/Sao_Paulo"
	DefaultScheduleKey   = "daily"
	DefaultCron          = "0 3 * * *"
	DefaultRPC           = "backup_all_data"
	DefaultAlertFunction = "alert-processor"
	DefaultAlertSource   = "Falha no Backup Automático"
	DefaultRetryAttempts = 1
	DefaultRetryDelay    = 10 * time.Minute

	// OverdueMargin is how much later than the longest gap of its schedules
	// a backup may be before it counts as overdue.
	OverdueMargin = 2 * time.Hour

	// rpcTimeout leaves the function time to write its logs and to send the
	// alert within the 150 s that the smallest plan grants a function.
	rpcTimeout = 100 * time.Second
)

// Settings is one backup as the database knows it: the JSON document in
// auto_backup.settings.document, which the dispatcher and the watchdog read. It
// holds no secret.
type Settings struct {
	Timezone  string              `json:"timezone"`
	Schedules map[string]Schedule `json:"schedules"`
	Function  FunctionSettings    `json:"function"`
	Alert     AlertSettings       `json:"alert"`
	Retry     RetrySettings       `json:"retry"`
	// Secrets are the sorted names of the extra function secrets that belong
	// to this backup.
	Secrets []string `json:"secrets"`
	// AdoptedSecrets are those of Secrets that were there before the backup.
	// Other functions may use them, so they stay when the backup goes.
	AdoptedSecrets []string `json:"adopted_secrets,omitempty"`
	// RotateToken is the text whose change makes a new token.
	RotateToken *string `json:"rotate_token,omitempty"`
	// Instance is a random text that each creation of the backup makes anew.
	// Who knows another one knows a backup that was replaced by this one, and
	// must not remove it.
	Instance string `json:"instance,omitempty"`
}

// NeedsKey reports whether the database calls a function that may ask for a key.
func (s Settings) NeedsKey() bool { return s.Alert.Enabled || s.Function.SendKey }

// Schedule is one schedule of a backup: as it was written, and compiled for
// pg_cron and for the dispatcher's check of local time.
type Schedule struct {
	Cron     string  `json:"cron"`
	Timezone *string `json:"timezone"`
	Enabled  bool    `json:"enabled"`

	// UTC is the schedule of the pg_cron job.
	UTC string `json:"utc"`
	// Guarded says that the job ticks more often than the backup is due.
	Guarded bool `json:"guarded"`
	// Zone is the time zone in which the sets below are read.
	Zone       string `json:"zone"`
	Minutes    []int  `json:"minutes"`
	Hours      []int  `json:"hours"`
	Days       []int  `json:"days"`
	Months     []int  `json:"months"`
	Weekdays   []int  `json:"weekdays"`
	DaysEither bool   `json:"days_either"`
}

// Due says, in one line for a person, when a tick of the schedule's job is let
// through: the compiled form of the schedule, which the dispatcher reads.
func (s Schedule) Due() string {
	day := "and"
	if s.DaysEither {
		day = "or"
	}
	guard := "every tick of "
	if s.Guarded {
		guard = "the right ones of the ticks of "
	}
	return fmt.Sprintf("%s%q (UTC): minute %s, hour %s, day %s of month %s %s weekday %s in %s",
		guard, s.UTC, ranges(s.Minutes), ranges(s.Hours), ranges(s.Days), ranges(s.Months), day, ranges(s.Weekdays), s.Zone)
}

// ranges writes a sorted set as cron does, 1-5,7.
func ranges(set []int) string {
	var parts []string
	for i := 0; i < len(set); {
		j := i
		for j+1 < len(set) && set[j+1] == set[j]+1 {
			j++
		}
		part := strconv.Itoa(set[i])
		if j > i {
			part += "-" + strconv.Itoa(set[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ",")
}

// FunctionSettings says which Edge Function the dispatcher calls and what the
// function calls.
type FunctionSettings struct {
	URL         string  `json:"url"`
	RPC         string  `json:"rpc"`
	VerifyTable *string `json:"verify_table"`
	// SendKey has the database present the project's public key, for a
	// self-hosted runtime that checks JWTs before it runs any function.
	SendKey bool `json:"send_key,omitempty"`
	// Lifetime is how long an instance of the function lives; zero stands for
	// the platform's least. The database need not know it.
	Lifetime time.Duration `json:"-"`
}

// AlertSettings says how a backup that failed or did not run is reported.
type AlertSettings struct {
	Enabled             bool   `json:"enabled"`
	Function            string `json:"function"`
	URL                 string `json:"url"`
	Source              string `json:"source"`
	OverdueAfterSeconds int64  `json:"overdue_after_seconds"`
}

// RetrySettings says how often and when a failed backup is tried again.
type RetrySettings struct {
	Attempts     int64 `json:"attempts"`
	DelaySeconds int64 `json:"delay_seconds"`
}

// CompileSchedule reads a cron expression in a time zone. The zone is that of
// the schedule, or the backup's where the schedule names none.
func CompileSchedule(cron string, own *string, inherited string, enabled bool, now time.Time) (Schedule, error) {
	expression, err := schedule.Parse(cron)
	if err != nil {
		return Schedule{}, err
	}
	zone := inherited
	if own != nil {
		zone = *own
	}
	location, err := schedule.LoadZone(zone)
	if err != nil {
		return Schedule{}, err
	}
	compiled, err := schedule.Compile(expression, location, now)
	if err != nil {
		return Schedule{}, err
	}
	return Schedule{
		Cron: cron, Timezone: own, Enabled: enabled,
		UTC: compiled.UTC, Guarded: compiled.Guarded, Zone: zone,
		Minutes: expression.Minutes(), Hours: expression.Hours(), Days: expression.Days(),
		Months: expression.Months(), Weekdays: expression.Weekdays(), DaysEither: expression.DaysEither(),
	}, nil
}

// OverdueAfter is the default age of the last success at which a backup is
// overdue: the longest gap between two runs plus two hours. It is zero when no
// schedule is enabled, because then no backup is ever due.
func OverdueAfter(schedules map[string]Schedule) (time.Duration, error) {
	var timed []schedule.Timed
	for _, key := range slices.Sorted(maps.Keys(schedules)) {
		s := schedules[key]
		if !s.Enabled {
			continue
		}
		expression, err := schedule.Parse(s.Cron)
		if err != nil {
			return 0, err
		}
		location, err := schedule.LoadZone(s.Zone)
		if err != nil {
			return 0, err
		}
		timed = append(timed, schedule.Timed{Expr: expression, Location: location})
	}
	if len(timed) == 0 {
		return 0, nil
	}
	return schedule.LongestGap(timed) + OverdueMargin, nil
}

// Spec is one backup as the configuration wants it.
type Spec struct {
	ID       ID
	Settings Settings
	// Source is the Edge Function's source.
	Source source.Source
	// OwnSource says that Source is not the built-in function's.
	OwnSource bool
	// Secrets are the values of the extra function secrets, known only while
	// they are applied.
	Secrets map[string]string
	// SameSecret reports whether a secret with this digest has the value that was
	// applied. It is for those that know no values; it may be nil.
	SameSecret func(name, digest string) bool
	// SourceDigests are the digests of the source, by path, where Source has no
	// files: after an apply only these are kept.
	SourceDigests map[string]string
	// DispatcherVersion is the version of the dispatcher that was applied; empty
	// for the provider's own.
	DispatcherVersion string
	// ExtendLogConstraint lets Apply widen the CHECK of backup_logs; without
	// it a CHECK that refuses the log row is an error.
	ExtendLogConstraint bool
	// Adopt lets Apply take over objects without this provider's ownership marker.
	Adopt bool
	// RotateToken makes Apply replace an intact token.
	RotateToken bool
}

// Completed adds to a spec what only the project knows.
func (s Spec) Completed(found State) Spec {
	s.Settings.AdoptedSecrets = found.adopting(s)
	if s.Settings.Instance == "" && found.Settings != nil {
		s.Settings.Instance = found.Settings.Instance
	}
	return s
}

// rpcTimeout is how long the function waits for the backup. Where instances
// live shortly, a third of their time is left for what has to be said after it.
func (f FunctionSettings) rpcTimeout() time.Duration {
	if f.Lifetime == 0 {
		return rpcTimeout
	}
	return max(time.Second, min(rpcTimeout, f.Lifetime*2/3))
}

// BuiltInSource returns the provider's own Edge Function for a backup.
func BuiltInSource(name Name, settings Settings) (source.Source, error) {
	config := payload.FunctionConfig{
		ManagedBy:    Owner,
		Backup:       string(name),
		Timezone:     settings.Timezone,
		TokenSecret:  name.TokenSecret(),
		RPC:          settings.Function.RPC,
		RPCTimeoutMS: int(settings.Function.rpcTimeout().Milliseconds()),
		VerifyTable:  settings.Function.VerifyTable,
	}
	if settings.Alert.Enabled {
		config.Alert = &payload.AlertConfig{Function: settings.Alert.Function, Source: settings.Alert.Source}
	}
	return payload.Function(config)
}

// Digests are the digests of the function's source, by path.
func (s Spec) Digests() map[string]string {
	if s.SourceDigests != nil {
		return s.SourceDigests
	}
	return s.Source.Digests()
}

// Jobs are the pg_cron jobs of a backup by key, the watchdog among them.
func (s Spec) Jobs() map[string]Job {
	name := s.ID.Name
	jobs := map[string]Job{WatchdogKey: {
		Name: name.Job(WatchdogKey), Schedule: WatchdogSchedule, Command: name.watchCommand(),
		Active: true, Database: JobDatabase, Username: JobOwner,
	}}
	for key, sch := range s.Settings.Schedules {
		jobs[key] = Job{
			Name: name.Job(key), Schedule: sch.UTC, Command: name.dispatchCommand(key),
			Active: sch.Enabled, Database: JobDatabase, Username: JobOwner,
		}
	}
	return jobs
}

// FunctionURL is the address of an Edge Function. In projectURL, "{ref}"
// stands for the project's reference.
func FunctionURL(projectURL, slug string) string {
	return projectURL + "/functions/v1/" + slug
}

// ErrForeign says that an object of this name exists without the ownership
// marker and that the configuration does not adopt it.
var ErrForeign = errors.New("the object exists and is not managed by this provider")

// ForeignError names the objects that stand in the way of a backup.
type ForeignError struct {
	ID      ID
	Objects []string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("backup %s: %v: %v", e.ID, ErrForeign, e.Objects)
}

func (e *ForeignError) Unwrap() error { return ErrForeign }

// A run may take as long as the function may live, and its retry as long again.
const runWindow = 15 * time.Minute

// Crowding is a remark on schedules that come too close to each other.
type Crowding struct {
	// Keys are one or two schedules.
	Keys []string
	// Gap is the shortest time between two of their runs.
	Gap time.Duration
}

// Crowded finds schedules that run more often than hourly, and pairs of
// schedules of which one may start while the other still runs.
func Crowded(schedules map[string]Schedule) ([]Crowding, error) {
	var found []Crowding
	timed := map[string]schedule.Timed{}
	for _, key := range slices.Sorted(maps.Keys(schedules)) {
		if !schedules[key].Enabled {
			continue
		}
		expression, err := schedule.Parse(schedules[key].Cron)
		if err != nil {
			return nil, err
		}
		location, err := schedule.LoadZone(schedules[key].Zone)
		if err != nil {
			return nil, err
		}
		timed[key] = schedule.Timed{Expr: expression, Location: location}
		if gap, _, _ := schedule.Closest([]schedule.Timed{timed[key]}); gap < time.Hour {
			found = append(found, Crowding{Keys: []string{key}, Gap: gap})
		}
	}
	keys := slices.Sorted(maps.Keys(timed))
	for i, one := range keys {
		for _, other := range keys[i+1:] {
			gap, first, second := schedule.Closest([]schedule.Timed{timed[one], timed[other]})
			if first != second && gap < runWindow {
				found = append(found, Crowding{Keys: []string{one, other}, Gap: gap})
			}
		}
	}
	return found, nil
}
