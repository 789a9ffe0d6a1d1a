package backup

import (
	"encoding/json"
	"testing"
	"time"
)

// fill fills a state of backup auto-backup from a document as the database sends
// it.
func fill(t *testing.T, document string, known Known) State {
	t.Helper()
	var found Observation
	if err := json.Unmarshal([]byte(document), &found); err != nil {
		t.Fatal(err)
	}
	state := State{ID: ID{testRef, DefaultName}}
	found.Fill(&state, known)
	return state
}

// alertKey is what is known of the watchdog's key of a project whose own keys are not
// known.
func alertKey(digest string, undecryptable bool) (key struct {
	Vault         string
	Undecryptable bool
	Project       []string
	Legacy        string
}) {
	key.Vault, key.Undecryptable = digest, undecryptable
	return key
}

// TestFill proves what each part of the database's answer becomes in a state, and
// that parts that are missing leave theirs empty.
func TestFill(t *testing.T) {
	t.Parallel()
	const settings = `{"document": {"timezone": "UTC", "schedules": {"daily": {"cron": "0 3 * * *"}}}, "owner": "terraform-provider-aimindset", "function_id": "f", "unfinished": true}`
	const marker = "managed by terraform-provider-aimindset, backup auto-backup"
	read := Settings{Timezone: "UTC", Schedules: map[string]Schedule{"daily": {Cron: "0 3 * * *"}}}
	for what, c := range map[string]struct {
		document string
		known    Known
		want     State
	}{
		"nothing": {`{}`, Known{}, State{}},
		"what was known": {`{}`, Known{Revision: "r", Managed: true, Keys: []string{"daily"}}, State{
			Known: Known{Revision: "r", Managed: true, Keys: []string{"daily"}},
		}},
		"the project's part": {`{
			"extensions": {"pg_cron": "1.6"}, "installation": {"owner": "o", "version": "1+a"}, "backups": ["auto-backup", "other"],
			"functions": {"watch": "d"}, "drift": {"table runs": "missing"}, "log_checks": [{"table": "backup_logs", "name": "c", "definition": "CHECK (true)", "admits": true}, {"table": "system_logs", "name": "d"}]
		}`, Known{}, State{
			Extensions: map[string]string{"pg_cron": "1.6"}, DispatcherVersion: "1+a", Backups: []string{"auto-backup", "other"},
			Functions: map[string]string{"watch": "d"}, SchemaDrift: map[string]string{"table runs": "missing"},
			LogConstraints: []LogConstraint{{Table: "backup_logs", Name: "c", Definition: "CHECK (true)", Admits: true}},
		}},
		"an intact schema":   {`{"drift": {}}`, Known{}, State{SchemaDrift: map[string]string{}}},
		"its settings":       {`{"settings": ` + settings + `}`, Known{}, State{Settings: &read, Marked: true, FunctionID: "f", Unfinished: true}},
		"others' settings":   {`{"settings": {"document": {}, "owner": "x"}}`, Known{}, State{Settings: &Settings{}}},
		"a wrong type in it": {`{"settings": {"document": {"timezone": 5, "secrets": ["A"]}, "owner": "x"}}`, Known{}, State{Settings: &Settings{Secrets: []string{"A"}}}},
		"a lost document":    {`{"settings": {"owner": "terraform-provider-aimindset"}}`, Known{}, State{Settings: &Settings{}, Marked: true}},
		"a null document":    {`{"settings": {"document": null, "owner": "x"}}`, Known{}, State{Settings: &Settings{}}},
		"a wrong document":   {`{"settings": {"document": [], "owner": "x"}}`, Known{}, State{Settings: &Settings{}}},
		"the vault, readable": {`{"vault": {"auto-backup/token": "m"}, "token_digest": {"digest": "d"}}`, Known{}, State{
			VaultMarkers: map[string]string{"auto-backup/token": "m"}, Token: TokenState{Vault: "d"},
		}},
		"the vault, unreadable": {`{"vault": {"auto-backup/token": "m"}}`, Known{}, State{VaultMarkers: map[string]string{"auto-backup/token": "m"}, Token: TokenState{Unreadable: true}}},
		"a token that the vault cannot decrypt": {`{"vault": {"auto-backup/token": "` + marker + `"}, "token_digest": {"digest": null}}`, Known{}, State{
			VaultMarkers: map[string]string{"auto-backup/token": marker}, Token: TokenState{Undecryptable: true},
		}},
		"a key that the vault cannot decrypt": {`{"vault": {"auto-backup/alert-key": "` + marker + `"}, "key_digest": {"digest": null}}`, Known{}, State{
			VaultMarkers: map[string]string{"auto-backup/alert-key": marker}, AlertKey: alertKey("", true),
		}},
		"others' token and key, of which there is no digest": {`{"vault": {"auto-backup/token": "m", "auto-backup/alert-key": "m"}, "token_digest": {"digest": null}, "key_digest": {"digest": null}}`, Known{}, State{
			VaultMarkers: map[string]string{"auto-backup/token": "m", "auto-backup/alert-key": "m"},
		}},
		"a key": {`{"vault": {"auto-backup/alert-key": "m"}, "key_digest": {"digest": "d"}}`, Known{}, State{
			VaultMarkers: map[string]string{"auto-backup/alert-key": "m"}, AlertKey: alertKey("d", false),
		}},
		"a lease": {`{"lease": {"process": "p", "since": "2026-03-02T06:00:00Z", "renewed_at": "2026-03-02T06:01:00Z", "expires_at": "2026-03-02T06:02:30Z", "read_at": "2026-03-02T06:01:10Z"}}`, Known{}, State{
			Lease: &Lease{"p", time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC), time.Date(2026, 3, 2, 6, 1, 0, 0, time.UTC), time.Date(2026, 3, 2, 6, 2, 30, 0, time.UTC), time.Date(2026, 3, 2, 6, 1, 10, 0, time.UTC)},
		}},
		"the secrets of channels": {`{"channel_digests": {"auto-backup/heartbeat": "d", "auto-backup/webhook/ops": null}}`, Known{}, State{
			ChannelDigests: map[string]string{"auto-backup/heartbeat": "d", "auto-backup/webhook/ops": ""},
		}},
		"no key, as the digest says":   {`{"key_digest": {"digest": null}}`, Known{}, State{}},
		"the vault without a token":    {`{"vault": {"auto-backup/alert-key": "m"}}`, Known{}, State{VaultMarkers: map[string]string{"auto-backup/alert-key": "m"}}},
		"no token, as the digest says": {`{"token_digest": {"digest": ""}}`, Known{}, State{}},
		"a token, as the digest says":  {`{"token_digest": {"digest": "d"}}`, Known{}, State{Token: TokenState{Vault: "d"}}},
		"its jobs, by the settings row": {`{"settings": ` + settings + `, "jobs": [{"job_id": 1, "name": "auto-backup-daily", "username": "postgres"}, {"job_id": 2, "name": "auto-backup-watchdog", "username": "postgres"}]}`, Known{}, State{
			Settings: &read, Marked: true, FunctionID: "f", Unfinished: true,
			Jobs: map[string]Job{"daily": {ID: 1, Name: "auto-backup-daily", Username: "postgres"}, "watchdog": {ID: 2, Name: "auto-backup-watchdog", Username: "postgres"}},
		}},
	} {
		got := fill(t, c.document, c.known)
		c.want.ID = ID{testRef, DefaultName}
		for _, jobs := range []*map[string]Job{&c.want.Jobs, &c.want.ConflictingJobs} {
			if *jobs == nil {
				*jobs = map[string]Job{}
			}
		}
		equal(t, what, got, c.want)
	}
}

// TestFillJobs proves to which of a backup's jobs each job belongs: by the keys
// that the settings row or an earlier state names, by role, and by command.
func TestFillJobs(t *testing.T) {
	t.Parallel()
	job := func(id int64, name, role, command string) Job {
		return Job{ID: id, Name: name, Username: role, Command: command}
	}
	const other = "supabase_admin"
	dispatches := Name("auto-backup-two").dispatchCommand("daily")
	watches := Name("auto-backup-two").watchCommand()
	for what, c := range map[string]struct {
		job                 Job
		own, conflict, rest string // the key in Jobs, that in ConflictingJobs, or "yes" in OtherJobs
	}{
		"a known key":                          {job: job(1, "auto-backup-daily", JobOwner, "x"), own: "daily"},
		"the watchdog":                         {job: job(1, "auto-backup-watchdog", JobOwner, "x"), own: "watchdog"},
		"a known key under another role":       {job: job(1, "auto-backup-daily", other, "x"), own: "daily"},
		"an unknown key":                       {job: job(1, "auto-backup-nightly", JobOwner, "x"), conflict: "nightly"},
		"an unknown key under another role":    {job: job(1, "auto-backup-nightly", other, "x"), conflict: "nightly@supabase_admin"},
		"a name that is not one of its own":    {job: job(1, "auto-backup-two words", JobOwner, "x"), rest: "yes"},
		"another name":                         {job: job(1, "legacy", JobOwner, "select backup_all_data()"), rest: "yes"},
		"no name":                              {job: job(1, "", JobOwner, "select backup_all_data()"), rest: "yes"},
		"the name alone":                       {job: job(1, "auto-backup", JobOwner, "x"), rest: "yes"},
		"another backup's job":                 {job: job(1, "auto-backup-two-daily", JobOwner, dispatches)},
		"another backup's watchdog":            {job: job(1, "auto-backup-two-watchdog", JobOwner, watches)},
		"another backup's under another role":  {job: job(1, "auto-backup-two-daily", other, dispatches), rest: "yes"},
		"another backup's name and schedule":   {job: job(1, "auto-backup-two-nightly", JobOwner, dispatches), rest: "yes"},
		"another backup's name alone":          {job: job(1, "auto-backup-two-daily", JobOwner, "x"), rest: "yes"},
		"a watchdog that is a schedule's name": {job: job(1, "auto-backup-two-daily", JobOwner, watches), rest: "yes"},
		"a backup's that is not installed":     {job: job(1, "auto-backup-three-daily", JobOwner, Name("auto-backup-three").dispatchCommand("daily")), rest: "yes"},
	} {
		for _, source := range []string{"settings", "known"} {
			known, document := Known{Keys: []string{"daily", "watchdog"}}, map[string]any{"jobs": []Job{c.job}, "backups": []string{"auto-backup", "auto-backup-two"}}
			if source == "settings" {
				known = Known{}
				document["settings"] = map[string]any{"document": map[string]any{"schedules": map[string]any{"daily": map[string]any{}}}}
			}
			text, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			got := fill(t, string(text), known)
			own, conflicts := map[string]Job{}, map[string]Job{}
			var rest []Job
			switch {
			case c.own != "":
				own[c.own] = c.job
			case c.conflict != "":
				conflicts[c.conflict] = c.job
			case c.rest != "":
				rest = []Job{c.job}
			}
			equal(t, what+", its own by "+source, got.Jobs, own)
			equal(t, what+", conflicting by "+source, got.ConflictingJobs, conflicts)
			equal(t, what+", others by "+source, got.OtherJobs, rest)
		}
	}
	// A second job of a name is told from the first one by its role, whichever
	// comes first.
	first, second := job(1, "auto-backup-daily", JobOwner, "x"), job(2, "auto-backup-daily", other, "x")
	for _, jobs := range [][]Job{{first, second}, {second, first}} {
		text, err := json.Marshal(map[string]any{"jobs": jobs})
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]map[string]Job{"daily": {"daily": first, "daily@supabase_admin": second}, "other": {}} {
			got := fill(t, string(text), Known{Keys: []string{key}})
			equal(t, "two of a name, known as "+key, got.Jobs, want)
			if key == "other" {
				equal(t, "two of an unknown name", got.ConflictingJobs, map[string]Job{"daily": first, "daily@supabase_admin": second})
			}
		}
	}
}

// TestSilence proves when an apply counts as silent: when it has not renewed its lease
// for twice the time after which a running apply does.
func TestSilence(t *testing.T) {
	t.Parallel()
	read := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	for silent, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, 23 * time.Second: 0, 45 * time.Second: 0, 46 * time.Second: 46 * time.Second, 89 * time.Second: 89 * time.Second,
	} {
		l := Lease{RenewedAt: read.Add(-silent), ExpiresAt: read.Add(90*time.Second - silent), ReadAt: read}
		if got := l.Silence(); got != want {
			t.Errorf("renewed %s ago: %s, want %s", silent, got, want)
		}
	}
}
