package backup

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// TestDiff proves that an intact installation has no difference, and that each
// kind of drift is found in its own part and told in a sentence of its own.
func TestDiff(t *testing.T) {
	t.Parallel()
	if spec, state := intact(t); len(Diff(spec, state)) > 0 {
		t.Fatalf("an intact installation differs: %+v", Diff(spec, state))
	}
	job := func(change func(*Job)) func(*Spec, *State) {
		return func(_ *Spec, s *State) { j := s.Jobs["daily"]; change(&j); s.Jobs["daily"] = j }
	}
	const row = "row auto-backup of auto_backup.settings"
	for what, c := range map[string]struct {
		change func(*Spec, *State)
		part   Part
		want   string // object: text
	}{
		"extension missing":     {func(_ *Spec, s *State) { delete(s.Extensions, "pg_net") }, PartExtensions, "extension pg_net: is not installed"},
		"dispatcher version":    {func(_ *Spec, s *State) { s.DispatcherVersion = "" }, PartDispatcher, "dispatcher: has lost its version: the row of auto_backup.installation is missing or unfinished"},
		"dispatcher missing":    {func(_ *Spec, s *State) { s.DispatcherVersion, s.Functions = "", nil }, PartDispatcher, "dispatcher: is not installed"},
		"dispatcher older":      {func(spec *Spec, s *State) { spec.DispatcherVersion, s.DispatcherVersion = "0.2", "0.1" }, PartDispatcher, "dispatcher: has version 0.1 instead of 0.2"},
		"SQL function changed":  {func(_ *Spec, s *State) { s.Functions["dispatch"] = "x" }, PartDispatcher, "function auto_backup.dispatch: has another body"},
		"SQL function missing":  {func(_ *Spec, s *State) { delete(s.Functions, "dispatch") }, PartDispatcher, "function auto_backup.dispatch: is missing"},
		"table changed":         {func(_ *Spec, s *State) { s.SchemaDrift["table runs"] = "is missing" }, PartDispatcher, "table auto_backup.runs: is missing"},
		"rows changed":          {func(_ *Spec, s *State) { s.SchemaDrift["rows of table codes"] = "x is missing" }, PartDispatcher, "rows of auto_backup.codes: x is missing"},
		"grant added":           {func(_ *Spec, s *State) { s.SchemaDrift["role anon"] = "has USAGE on schema auto_backup" }, PartDispatcher, "role anon: has USAGE on schema auto_backup"},
		"schema not comparable": {func(_ *Spec, s *State) { s.SchemaDrift = nil }, PartDispatcher, "schema auto_backup: cannot be examined, because this role may not execute auto_backup.drift()"},
		"settings missing":      {func(_ *Spec, s *State) { s.Settings = nil }, PartDispatcher, row + ": is missing"},
		"settings not marked":   {func(_ *Spec, s *State) { s.Marked = false }, PartDispatcher, row + ": lacks this provider's ownership marker"},

		"token not comparable":      {func(_ *Spec, s *State) { s.Token = TokenState{Function: "d", Unreadable: true} }, PartToken, "invocation token: cannot be compared, because auto_backup.token_digest is not as it was installed"},
		"token missing":             {func(_ *Spec, s *State) { s.Token = TokenState{} }, PartToken, "invocation token: is missing in the vault and in the function's secrets"},
		"vault token undecryptable": {func(_ *Spec, s *State) { s.Token.Vault, s.Token.Undecryptable = "", true }, PartToken, "invocation token: cannot be decrypted by the vault, as after a restore into another project"},
		"vault token missing":       {func(_ *Spec, s *State) { s.Token.Vault = "" }, PartToken, "invocation token: is missing in the vault"},
		"function token missing":    {func(_ *Spec, s *State) { s.Token.Function = "" }, PartToken, "invocation token: is missing in the function's secrets"},
		"tokens differ":             {func(_ *Spec, s *State) { s.Token.Function = "e" }, PartToken, "invocation token: differs between the vault and the function's secrets"},
		"rotation unfinished":       {func(_ *Spec, s *State) { s.Token.Next = "d" }, PartToken, "invocation token: was being replaced, and the rotation is unfinished"},
		"rotation wanted":           {func(spec *Spec, _ *State) { spec.RotateToken = true }, PartToken, "invocation token: is to be replaced"},
		"vault not marked":          {func(_ *Spec, s *State) { s.VaultMarkers["auto-backup/token"] = "" }, PartToken, "vault secret auto-backup/token: lacks this provider's ownership marker"},
		"vault secret renamed":      {func(_ *Spec, s *State) { s.VaultMarkers["x"] = s.ID.Name.VaultMarker() }, PartToken, "vault secret x: carries this backup's ownership marker and is not one of its secrets"},
		"alert key missing":         {func(_ *Spec, s *State) { delete(s.VaultMarkers, "auto-backup/alert-key") }, PartToken, "vault secret auto-backup/alert-key: is missing"},
		"alert key undecryptable":   {func(_ *Spec, s *State) { s.AlertKey.Undecryptable = true }, PartToken, "vault secret auto-backup/alert-key: cannot be decrypted by the vault, as after a restore into another project"},
		"alert key of another project": {func(_ *Spec, s *State) { s.AlertKey.Vault, s.AlertKey.Project = "d", []string{"e"} }, PartToken,
			"vault secret auto-backup/alert-key: is not a public key of this project: it was replaced there, or the database is a copy of another project's"},
		"alert key not marked": {func(_ *Spec, s *State) { s.VaultMarkers["auto-backup/alert-key"] = "" }, PartToken, "vault secret auto-backup/alert-key: lacks this provider's ownership marker"},

		"secret changed here":  {func(spec *Spec, _ *State) { spec.Secrets["KEY"] = "new" }, PartSecrets, "secret KEY: has another value than the configured one"},
		"secret changed there": {func(_ *Spec, s *State) { s.Secrets["KEY"] = "x" }, PartSecrets, "secret KEY: has another value than the configured one"},
		"secret not the one that was applied": {func(spec *Spec, _ *State) {
			spec.Secrets, spec.SameSecret = nil, func(name, digest string) bool { return name != "KEY" || digest == "" }
		}, PartSecrets, "secret KEY: has another value than the configured one"},
		"secret removed there": {func(_ *Spec, s *State) { delete(s.Secrets, "KEY") }, PartSecrets, "secret KEY: is missing"},

		"function missing":   {func(_ *Spec, s *State) { s.Function = nil }, PartFunction, "Edge Function auto-backup: is not deployed"},
		"function throttled": {func(_ *Spec, s *State) { s.Function.Status = "THROTTLED" }, PartFunction, "Edge Function auto-backup: has the status THROTTLED instead of ACTIVE"},
		"verify_jwt":         {func(_ *Spec, s *State) { s.Function.VerifyJWT = true }, PartFunction, "Edge Function auto-backup: demands a JWT (verify_jwt is on), which the database does not send"},
		"entry point":        {func(_ *Spec, s *State) { s.Function.Entrypoint = "x.ts" }, PartFunction, "Edge Function auto-backup: has the entry point x.ts instead of index.ts"},
		"import map lost":    {func(_ *Spec, s *State) { s.Function.ImportMap = "" }, PartFunction, "Edge Function auto-backup: has the import map none instead of deno.json"},
		"file changed":       {func(_ *Spec, s *State) { s.Function.Files["index.ts"] = "x" }, PartFunction, "function file index.ts: was changed"},
		"line changed": {func(_ *Spec, s *State) {
			s.Function.Files["index.ts"], s.Function.Changes = "x", map[string]string{"index.ts": "line 1 is `a` instead of `b`"}
		}, PartFunction, "function file index.ts: was changed: line 1 is `a` instead of `b`"},
		"file missing": {func(_ *Spec, s *State) { delete(s.Function.Files, "index.ts") }, PartFunction, "function file index.ts: is missing"},
		"file added":   {func(_ *Spec, s *State) { s.Function.Files["m\x1bore.ts"] = "x" }, PartFunction, "function file more.ts: was added"},
		"function replaced": {func(_ *Spec, s *State) {
			s.Function.Files = map[string]string{"index.ts": "x", "main.ts": "y"}
		}, PartFunction, "function source: the whole function was replaced; %d of %d files are gone"},
		"every file changed": {func(_ *Spec, s *State) {
			for file := range s.Function.Files {
				s.Function.Files[file] = "x"
			}
		}, PartFunction, "function source: the whole function was replaced"},
		"function recreated": {func(_ *Spec, s *State) { s.FunctionID = "g" }, PartJobs, "Edge Function auto-backup: was deleted and recreated outside Terraform"},

		"log refuses": {func(_ *Spec, s *State) { s.LogConstraints[0].Admits = false }, PartLogConstraint, "table public.backup_logs: refuses rows of action_type 'auto_backup', by its CHECK c"},

		"job missing":         {func(_ *Spec, s *State) { delete(s.Jobs, "daily") }, PartJobs, "job auto-backup-daily: is missing"},
		"job surplus":         {func(_ *Spec, s *State) { s.Jobs["old"] = Job{Name: "auto-backup-old"} }, PartJobs, "job auto-backup-old: is there, and no schedule wants it"},
		"job doubled":         {func(_ *Spec, s *State) { s.Jobs["daily@x"] = Job{Name: "auto-backup-daily", Username: "x"} }, PartJobs, "job auto-backup-daily of role x: has the name of a job of this backup"},
		"job rescheduled":     {job(func(j *Job) { j.Schedule = "* * * * *" }), PartJobs, "job auto-backup-daily: has the schedule * * * * * instead of 0 3 * * *"},
		"job's command":       {job(func(j *Job) { j.Command = "select\n 1" }), PartJobs, "job auto-backup-daily: has the command select 1 instead of set statement_timeout = '2min'; select auto_backup.dispatch('auto-backup', 'daily')"},
		"job's database":      {job(func(j *Job) { j.Database = "x" }), PartJobs, "job auto-backup-daily: has the database x instead of postgres"},
		"job's role":          {job(func(j *Job) { j.Username = "x" }), PartJobs, "job auto-backup-daily: has the role x instead of postgres"},
		"job switched off":    {job(func(j *Job) { j.Active = false }), PartJobs, "job auto-backup-daily: is switched off"},
		"two things of a job": {job(func(j *Job) { j.Database, j.Active = "x", false }), PartJobs, "job auto-backup-daily: has the database x instead of postgres and is switched off"},
		"unfinished":          {func(_ *Spec, s *State) { s.Unfinished = true }, PartJobs, "installation: was begun and not finished"},

		"setting changed":   {func(_ *Spec, s *State) { s.Settings.Retry.Attempts = 9 }, PartJobs, "setting retry.attempts: is 9 instead of 0"},
		"setting of a text": {func(_ *Spec, s *State) { s.Settings.Timezone = "Asia/Tokyo" }, PartJobs, "setting timezone: is Asia/Tokyo instead of UTC"},
		"compiled schedule": {func(_ *Spec, s *State) {
			d := s.Settings.Schedules["daily"]
			d.Hours = []int{4}
			s.Settings.Schedules["daily"] = d
		}, PartJobs, "setting schedules.daily.hours: is [4] instead of [3]"},
		"schedule added":     {func(_ *Spec, s *State) { s.Settings.Schedules["weekly"] = Schedule{} }, PartJobs, "setting schedules.weekly: is there and not configured"},
		"schedule taken out": {func(_ *Spec, s *State) { delete(s.Settings.Schedules, "daily") }, PartJobs, "setting schedules.daily: is missing"},
		"unset":              {func(_ *Spec, s *State) { table := "t"; s.Settings.Function.VerifyTable = &table }, PartJobs, "setting function.verify_table: is t instead of unset"},
		"other instance":     {func(spec *Spec, s *State) { spec.Settings.Instance, s.Settings.Instance = "a", "b" }, PartJobs, row + ": belongs to another installation than the one that was applied"},
		"secrets not named":  {func(_ *Spec, s *State) { s.Settings.Secrets, s.Known.Secrets = []string{}, []string{"KEY"} }, PartJobs, row + ": no longer names the secrets KEY"},
		"other secrets":      {func(_ *Spec, s *State) { s.Settings.Secrets = []string{"KEY", "MORE"} }, PartJobs, `setting secrets: is ["KEY","MORE"] instead of ["KEY"]`},
	} {
		spec, state := intact(t)
		files := len(spec.Digests())
		c.change(&spec, &state)
		want := strings.Replace(c.want, "%d of %d", fmt.Sprintf("%d of %d", files-1, files), 1)
		diffs := Diff(spec, state)
		if len(diffs) != 1 || diffs[0].Part != c.part || diffs[0].Object+": "+diffs[0].Text != want {
			t.Errorf("%s:\n got %+v\nwant %v %s", what, diffs, c.part, want)
		}
	}
	spec, state := intact(t)
	daily := spec.Settings.Schedules["daily"]
	daily.Enabled = false
	spec.Settings.Schedules = map[string]Schedule{"daily": daily}
	settings := spec.Settings
	state.Settings = &settings
	if diffs := Diff(spec, state); len(diffs) != 1 || diffs[0].Text != "is switched on, while its schedule is not enabled" {
		t.Errorf("a job that should be off: %+v", diffs)
	}
}

// TestDrift proves that the differences of one object become one sentence.
func TestDrift(t *testing.T) {
	t.Parallel()
	got := Drift([]Difference{{PartJobs, "job a", "is missing"}, {PartFunction, "Edge Function b", "has x"}, {PartFunction, "Edge Function b", "has y"}})
	want := map[string]string{"job a": "is missing", "Edge Function b": "has x; has y"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := Drift(nil); got == nil || len(got) > 0 {
		t.Errorf("no difference is %v", got)
	}
}

// TestShown proves that a value from the project is shown on one line, cut, and
// without what does something to a terminal.
func TestShown(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"plain": "plain", "a\n\tb": "a b", "a\x1b[2Jb\u202ec\u200bd": "a[2Jbcd", "a\xffb": "ab",
		strings.Repeat("é", 40): strings.Repeat("é", 40), strings.Repeat("é", 41): strings.Repeat("é", 40) + "…",
	} {
		if got := shown(value); got != want {
			t.Errorf("%q is shown as %q, want %q", value, got, want)
		}
	}
}

// TestDiffLeavesOthersAlone proves that what belongs to others is not a difference.
func TestDiffLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*State){
		"another's secret":         func(s *State) { s.Secrets["SOMEBODY_ELSES"] = "x" },
		"a job of a similar name":  func(s *State) { s.ConflictingJobs = map[string]Job{"secondary": {Name: "auto-backup-secondary"}} },
		"another role's job":       func(s *State) { s.OtherJobs = []Job{{Name: "auto-backup-daily", Username: "x"}} },
		"another CHECK":            func(s *State) { s.LogConstraints = append(s.LogConstraints, LogConstraint{Name: "d", Admits: true}) },
		"the function's revision":  func(s *State) { s.Function.Revision = "new" },
		"the function's name":      func(s *State) { s.Function.Name = "auto-backup" },
		"an extension's version":   func(s *State) { s.Extensions["pg_cron"] = "1.4-1" },
		"a job's id":               func(s *State) { j := s.Jobs["daily"]; j.ID = 4711; s.Jobs["daily"] = j },
		"another backup beside it": func(s *State) { s.Backups = append(s.Backups, "other") },
		"a helper in our own schema": func(s *State) {
			s.Functions = map[string]string{"theirs": "x"}
			for name, digest := range payload.LoadDispatcher().Functions {
				s.Functions[name] = digest
			}
		},
	} {
		spec, state := intact(t)
		change(&state)
		if diffs := Diff(spec, state); len(diffs) > 0 {
			t.Errorf("%s: got %+v", what, diffs)
		}
	}
}

// TestDiffWithoutValues proves what is compared where the values of secrets and
// the files of the source are not known any more, as after an apply.
func TestDiffWithoutValues(t *testing.T) {
	t.Parallel()
	changed := []Difference{{PartSecrets, "secret KEY", "has another value than the configured one"}}
	file := []Difference{{PartFunction, "function file index.ts", "was changed"}}
	for what, c := range map[string]struct {
		change func(*Spec, *State)
		want   []Difference
	}{
		"a secret, with nothing to compare": {func(spec *Spec, s *State) { spec.Secrets, s.Secrets["KEY"] = nil, "x" }, nil},
		"a secret that is the same": {func(spec *Spec, _ *State) {
			spec.Secrets, spec.SameSecret = nil, func(string, string) bool { return true }
		}, nil},
		"a secret that is not": {func(spec *Spec, _ *State) {
			spec.Secrets, spec.SameSecret = nil, func(string, string) bool { return false }
		}, changed},
		"a secret whose value is known": {func(spec *Spec, _ *State) { spec.SameSecret = func(string, string) bool { return false } }, nil},
		"a secret that is no longer named": {func(spec *Spec, s *State) {
			spec.Settings.Secrets, s.Settings.Secrets, spec.Secrets = nil, []string{"KEY"}, nil
		}, []Difference{{PartSecrets, "secret KEY", "is there and no longer configured"}, {PartJobs, "setting secrets", `is ["KEY"] instead of unset`}}},
		"a secret that only the state names": {func(spec *Spec, s *State) {
			spec.Settings.Secrets, s.Settings.Secrets, s.Known.Secrets, spec.Secrets = nil, nil, []string{"KEY"}, nil
		}, nil},
		"the digests of the source": {func(spec *Spec, _ *State) { spec.SourceDigests, spec.Source.Files = spec.Source.Digests(), nil }, nil},
		"other digests of the source": {func(spec *Spec, _ *State) {
			spec.SourceDigests = spec.Source.Digests()
			spec.SourceDigests["index.ts"] = "x"
		}, file},
		"the only file of a source": {func(spec *Spec, s *State) {
			spec.SourceDigests = map[string]string{"index.ts": "x"}
			delete(s.Function.Files, "deno.json")
		}, file},
		"no settings row, but a known key": {func(_ *Spec, s *State) { s.Settings, s.Known.Secrets = nil, []string{"KEY"} }, []Difference{{PartDispatcher, "row auto-backup of auto_backup.settings", "is missing"}}},
	} {
		spec, state := intact(t)
		c.change(&spec, &state)
		equal(t, what, Diff(spec, state), c.want)
	}
}

// TestDispatcherDrift proves what is said of changes in the dispatcher's schema,
// by the database and by the bodies of its functions.
func TestDispatcherDrift(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change func(*State)
		want   map[string]string
	}{
		"nothing":                    {func(*State) {}, nil},
		"the database says so":       {func(s *State) { s.SchemaDrift = map[string]string{"table runs": "is missing"} }, map[string]string{"table runs": "is missing"}},
		"a function's body":          {func(s *State) { s.Functions["watch"] = "x" }, map[string]string{"function watch": "has another body"}},
		"a function is missing":      {func(s *State) { delete(s.Functions, "watch") }, map[string]string{"function watch": "is missing"}},
		"the database says that too": {func(s *State) { delete(s.Functions, "watch"); s.SchemaDrift["function watch(text)"] = "is missing" }, map[string]string{"function watch(text)": "is missing"}},
		"of a similar name":          {func(s *State) { delete(s.Functions, "watch"); s.SchemaDrift["function watchdog(text)"] = "x" }, map[string]string{"function watchdog(text)": "x", "function watch": "is missing"}},
		"the database cannot say":    {func(s *State) { s.SchemaDrift = nil }, map[string]string{"schema": "cannot be examined, because this role may not execute auto_backup.drift()"}},
		"it cannot, for a reason":    {func(s *State) { s.SchemaDrift = nil; delete(s.Functions, "drift") }, map[string]string{"function drift": "is missing"}},
		"another version":            {func(s *State) { s.DispatcherVersion, s.Functions, s.SchemaDrift = "0.1+0", nil, nil }, nil},
		"another version's own":      {func(s *State) { s.DispatcherVersion, s.SchemaDrift = "0.1+0", map[string]string{"table runs": "x"} }, nil},
	} {
		_, state := intact(t)
		c.change(&state)
		equal(t, what, state.DispatcherDrift(), c.want)
	}
}

// TestPartNames proves the names of the parts, which errors and logs say.
func TestPartNames(t *testing.T) {
	t.Parallel()
	var got []string
	for part := PartExtensions; part <= PartJobs; part++ {
		got = append(got, part.String())
	}
	equal(t, "parts", got, []string{"extensions", "dispatcher", "token", "secrets", "heartbeat and webhooks", "function", "log constraint", "jobs"})
}
