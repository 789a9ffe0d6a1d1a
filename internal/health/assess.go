package health

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const (
	// duePatience is how long after a due time either its job or the watchdog has
	// started a run.
	duePatience = payload.TickPatience + payload.WatchdogInterval + 5*time.Minute
	// runPatience is how long a run may be under way until the watchdog closes it.
	runPatience = payload.AnswerPatience + payload.RunPatience + payload.WatchdogInterval + 6*time.Minute
	// legacyPatience is how late a backup may be whose schedule cannot be read.
	legacyPatience = 26 * time.Hour
)

// assessment is a status in the making.
type assessment struct {
	Status
	subject checks.Subject
	// underWay says that a run is under way, and not for too long.
	underWay bool
}

// assess judges what was read of a backup. It reads nothing itself.
func assess(q Query, document facts.Document, functions []supabase.Function, secrets []supabase.Secret, keys supabase.PublicKeys, kept Platform) Status {
	now := document.Server.Now
	if !q.At.IsZero() {
		now = q.At
	}
	require := q.Require
	if require == nil {
		require = DefaultRequire()
	}
	own := document.Each[q.ID.Name]
	countOutcomes(&own)
	a := &assessment{
		Status: Status{ID: q.ID, CheckedAt: now, StoredBackups: own.StoredBackups, Platform: kept},
		subject: checks.Subject{
			Document: document, OfBackup: own, ID: q.ID, Spec: backup.Spec{ID: q.ID}, State: backup.State{ID: q.ID},
			Edge: functions, Secrets: map[string]string{}, Now: now, Clock: q.Clock, FunctionURL: q.FunctionURL,
			DrillOptional: !slices.Contains(require, RequireDrill), CopiesRequired: slices.Contains(require, RequireOffsite),
		},
	}
	for _, secret := range secrets {
		a.subject.Secrets[secret.Name] = secret.Digest
	}
	a.subject.State.AlertKey.Project, a.subject.State.AlertKey.Legacy = keys.First, keys.Legacy
	err := a.fill()
	jobs := a.subject.OtherMakers()
	switch {
	case own.Settings != nil || a.subject.Hidden("auto_backup.settings") || a.dispatched():
		a.Installation = InstallationProvider
		a.provider(q.History, err)
	case len(jobs) > 0:
		a.Installation = InstallationLegacy
		a.legacy(jobs)
	default:
		a.Installation = InstallationNone
		a.absent()
	}
	a.Forecast = a.forecast(q.Disk)
	if kept.Kind == "none" && !kept.PITR {
		a.report("no_platform_backups", checks.Healthy,
			"Supabase itself has no backup of project %s, as on the free plan: without a copy elsewhere, what is lost with the project is lost for good.", q.ID.ProjectRef)
	}
	a.conclude()
	return a.Status
}

// fill reads the settings and the state from what the database said. An error
// means that there are settings and that a backup cannot run with them.
func (a *assessment) fill() error {
	s := &a.subject
	s.State.Token.Function, s.State.Token.Next = s.Secrets[s.ID.Name.TokenSecret()], s.Secrets[s.ID.Name.NextTokenSecret()]
	backup.Observation{ProjectObservation: s.ProjectObservation, OwnObservation: s.OwnObservation}.Fill(&s.State, backup.Known{})
	s.Broken = true
	if s.Settings == nil {
		return nil
	}
	err := json.Unmarshal(s.Settings.Document, &s.Spec.Settings)
	s.Broken = err != nil
	return err
}

// wrongType says which field of the settings has a value of the wrong type.
func wrongType(err error) string {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err.Error()
	}
	return cmp.Or(wrong.Field, "the document") + " has a value of type " + wrong.Value
}

// report adds a problem that this package finds itself.
func (a *assessment) report(code string, means checks.Condition, format string, args ...any) {
	a.Problems = append(a.Problems, problem(code, "", means, fmt.Sprintf(format, args...)))
}

func problem(code, sqlstate string, means checks.Condition, message string) checks.Finding {
	return checks.Finding{Code: code, Condition: means, Message: message, Remedy: codes.Lookup(code, sqlstate).Remedy}
}

// wrong reports whether anything was found that is worse than a remark.
func (a *assessment) wrong() bool {
	return slices.ContainsFunc(a.Problems, func(f checks.Finding) bool { return f.Condition.Rank() < checks.NeverRan.Rank() })
}

// dispatched reports whether a job calls the dispatcher for this backup.
func (a *assessment) dispatched() bool {
	return slices.ContainsFunc(a.subject.Jobs, func(j backup.Job) bool { return j.Dispatches() == string(a.ID.Name) })
}

// absent is the status of a backup that is not there.
func (a *assessment) absent() {
	rest, slug := "", a.ID.Name.Slug()
	if a.subject.EdgeFunction(slug) != nil {
		rest = fmt.Sprintf(" An Edge Function %s is deployed, but nothing in the database calls it.", slug)
	}
	if a.subject.Hidden("cron.job") {
		rest += fmt.Sprintf(" The role %s may not read all of cron.job, so there may be a job all the same.", a.subject.Server.User)
	}
	a.report("not_installed", checks.NotInstalled,
		"Project %s has no automatic backup %q: there is neither a row of it in auto_backup.settings nor a job that makes one.%s", a.ID.ProjectRef, a.ID.Name, rest)
}

// provider is the status of a backup that the dispatcher makes. broken says why
// its settings cannot be read; nil when they can, or when there are none.
func (a *assessment) provider(entries int, broken error) {
	s := &a.subject
	a.LastSuccess, a.Failures = s.LastSuccess, s.Failures
	if at := slices.IndexFunc(s.History, func(r history.Run) bool { return r.ID != "" }); at >= 0 {
		a.LastRun = &s.History[at]
	}
	a.History = s.History[:min(len(s.History), max(entries, 0))]
	if s.Drills != nil {
		a.Drill = s.Drills.Result
	}
	if s.Watchdog != nil {
		a.WatchedAt = s.Watchdog.At
	}
	if broken != nil {
		a.report("settings_unreadable", checks.Failing, "The settings of backup %q in auto_backup.settings cannot be read: %s.", a.ID.Name, wrongType(broken))
	} else if s.Settings == nil && s.Readable("auto_backup.settings") {
		a.report("settings_missing", checks.Failing, "Jobs of backup %q exist, but auto_backup.settings has no row of it, so each of their ticks fails.", a.ID.Name)
	}
	a.Problems = append(a.Problems, checks.Ask(s)...)
	var plans []plan
	if !s.Broken {
		a.Location, _, _ = s.ZoneChanges.Location(s.Spec.Settings.Timezone, s.Now)
		a.copied()
		a.heard()
		a.Coverage = a.coverage()
		a.staleDrill()
		plans = a.plans()
		a.nextRuns(plans)
		a.runs(plans)
		a.dueTimes(plans)
	}
	a.Nights = a.nights(plans)
}

// copied says how the copies at each destination are doing.
func (a *assessment) copied() {
	s := &a.subject
	if s.Spec.Settings.Offsite == nil || s.Settings == nil {
		return
	}
	for key, plan := range s.Spec.Settings.Offsite.Destinations {
		copies, known := s.Offsite[key]
		if !known {
			continue
		}
		if a.Offsite == nil {
			a.Offsite = map[string]Destination{}
		}
		state, problem := copies.State(plan.Every, s.Settings.UpdatedAt, s.Now)
		a.Offsite[key] = Destination{copies, state, problem}
	}
}

// heard says how each channel outside the project is doing.
func (a *assessment) heard() {
	settings, name := a.subject.Spec.Settings, a.ID.Name
	add := func(channel string, c Channel, secrets ...string) {
		if a.Channels == nil {
			a.Channels = map[string]Channel{}
		}
		c.Secret = notify.SecretPresent
		for _, secret := range secrets {
			if state := a.subject.ChannelSecret(secret); state != notify.SecretPresent && c.Secret != notify.SecretMissing {
				c.Secret = state
			}
		}
		var known bool
		if c.Notices, known = a.subject.Channels[channel]; known {
			c.State = c.Notices.State(a.subject.ChannelSecrets[secrets[0]])
		}
		if c.Secret == notify.SecretMissing || c.Secret == notify.SecretUnreadable {
			c.State = notify.StateFailing
		}
		a.Channels[channel] = c
	}
	if h := settings.Heartbeat; h != nil {
		add(notify.HeartbeatChannel, Channel{Form: h.Form}, name.VaultHeartbeat())
	}
	for key, w := range settings.Webhooks {
		secrets := []string{name.VaultWebhook(key)}
		if w.Signed {
			secrets = append(secrets, name.VaultWebhookSecret(key))
		}
		add(notify.WebhookChannel(key), Channel{Form: w.Form, Events: w.Events}, secrets...)
	}
}

// conclude finds the condition and says it in one sentence.
func (a *assessment) conclude() {
	a.Condition = checks.Healthy
	if a.underWay {
		a.Condition = checks.Running
	}
	var kept []checks.Finding
	for _, f := range a.Problems {
		if f.Condition.Rank() < a.Condition.Rank() {
			a.Condition = f.Condition
		}
		if !slices.Contains(kept, f) {
			kept = append(kept, f)
		}
	}
	slices.SortStableFunc(kept, func(x, y checks.Finding) int { return cmp.Compare(x.Condition.Rank(), y.Condition.Rank()) })
	a.Problems = kept
	a.Summary = a.summary()
}
