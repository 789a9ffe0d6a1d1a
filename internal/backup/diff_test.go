package backup

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
)

// intact returns a spec and a state that has nothing to be changed.
func intact(t *testing.T) (Spec, State) {
	t.Helper()
	settings := Settings{
		Timezone:  "UTC",
		Schedules: map[string]Schedule{"daily": {Cron: "0 3 * * *", Enabled: true, UTC: "0 3 * * *", Zone: "UTC"}},
		Function:  FunctionSettings{URL: "https://x/functions/v1/auto-backup", RPC: DefaultRPC},
		Alert:     AlertSettings{Enabled: true, Function: DefaultAlertFunction},
		Secrets:   []string{"KEY"},
	}
	id := ID{ProjectRef: "abcdefghijklmnopqrst", Name: DefaultName}
	code := source.Source{Files: map[string][]byte{"index.ts": []byte("code"), "deno.json": []byte("{}")}, ImportMap: "deno.json"}
	spec := Spec{ID: id, Settings: settings, Source: code, Secrets: map[string]string{"KEY": "value"}, ExtendLogConstraint: true}
	dispatcher := payload.LoadDispatcher()
	found := settings
	state := State{
		ID: id, Extensions: map[string]string{"pg_cron": "1.6", "pg_net": "0.20.4", "supabase_vault": "0.3.1"},
		DispatcherVersion: dispatcher.Version, Functions: maps.Clone(dispatcher.Functions), SchemaDrift: map[string]string{},
		Settings: &found, Marked: true, FunctionID: "f", Backups: []string{DefaultName},
		Jobs:         map[string]Job{},
		Token:        TokenState{Vault: "d", Function: "d"},
		VaultMarkers: map[string]string{id.Name.VaultToken(): id.Name.VaultMarker(), id.Name.VaultAlertKey(): id.Name.VaultMarker()},
		Secrets:      map[string]string{"KEY": DigestOf("value"), id.Name.TokenSecret(): "d", "OTHER": "x"},
		Function: &FunctionState{
			ID: "f", Name: id.Name.FunctionMarker(), Status: StatusActive, Files: code.Digests(),
			Entrypoint: source.Entrypoint, ImportMap: code.ImportMap,
		},
		LogConstraints: []LogConstraint{{Name: "c", Admits: true}},
	}
	for key, job := range spec.Jobs() {
		job.ID = int64(len(key))
		state.Jobs[key] = job
	}
	return spec, state
}

// TestDiff proves that an intact installation has no difference, and that each
// single difference is found in its own part.
func TestDiff(t *testing.T) {
	t.Parallel()
	if spec, state := intact(t); len(Diff(spec, state)) > 0 {
		t.Fatalf("an intact installation differs: %+v", Diff(spec, state))
	}
	for what, c := range map[string]struct {
		change func(*Spec, *State)
		part   Part
		object string
	}{
		"extension missing":      {func(_ *Spec, s *State) { delete(s.Extensions, "pg_net") }, PartExtensions, "pg_net"},
		"dispatcher missing":     {func(_ *Spec, s *State) { s.DispatcherVersion = "" }, PartDispatcher, "dispatcher"},
		"dispatcher older":       {func(_ *Spec, s *State) { s.DispatcherVersion = "0.1+00000000" }, PartDispatcher, "dispatcher"},
		"SQL function changed":   {func(_ *Spec, s *State) { s.Functions["dispatch"] = "x" }, PartDispatcher, "function dispatch"},
		"SQL function missing":   {func(_ *Spec, s *State) { delete(s.Functions, "dispatch") }, PartDispatcher, "function dispatch"},
		"table changed":          {func(_ *Spec, s *State) { s.SchemaDrift["table runs"] = "missing" }, PartDispatcher, "table runs"},
		"schema not comparable":  {func(_ *Spec, s *State) { s.SchemaDrift = nil }, PartDispatcher, "schema"},
		"settings not marked":    {func(_ *Spec, s *State) { s.Marked = false }, PartDispatcher, "settings"},
		"vault not marked":       {func(_ *Spec, s *State) { s.VaultMarkers["auto-backup/token"] = "" }, PartToken, "auto-backup/token"},
		"vault secret renamed":   {func(_ *Spec, s *State) { s.VaultMarkers["x"] = s.ID.Name.VaultMarker() }, PartToken, "x"},
		"entry point changed":    {func(_ *Spec, s *State) { s.Function.Entrypoint = "x.ts" }, PartFunction, "entry point"},
		"import map changed":     {func(_ *Spec, s *State) { s.Function.ImportMap = "" }, PartFunction, "import map"},
		"job doubled":            {func(_ *Spec, s *State) { s.Jobs["daily@x"] = Job{Name: "auto-backup-daily", Username: "x"} }, PartJobs, "auto-backup-daily"},
		"vault token missing":    {func(_ *Spec, s *State) { s.Token.Vault = "" }, PartToken, "AUTO_BACKUP_TOKEN"},
		"function token missing": {func(_ *Spec, s *State) { s.Token.Function = "" }, PartToken, "AUTO_BACKUP_TOKEN"},
		"tokens differ":          {func(_ *Spec, s *State) { s.Token.Function = "e" }, PartToken, "AUTO_BACKUP_TOKEN"},
		"rotation unfinished":    {func(_ *Spec, s *State) { s.Token.Next = "d" }, PartToken, "AUTO_BACKUP_TOKEN"},
		"rotation wanted":        {func(spec *Spec, _ *State) { spec.RotateToken = true }, PartToken, "AUTO_BACKUP_TOKEN"},
		"alert key missing":      {func(_ *Spec, s *State) { delete(s.VaultMarkers, "auto-backup/alert-key") }, PartToken, "auto-backup/alert-key"},
		"secret changed here":    {func(spec *Spec, _ *State) { spec.Secrets["KEY"] = "new" }, PartSecrets, "KEY"},
		"secret changed there":   {func(_ *Spec, s *State) { s.Secrets["KEY"] = "x" }, PartSecrets, "KEY"},
		"secret removed there":   {func(_ *Spec, s *State) { delete(s.Secrets, "KEY") }, PartSecrets, "KEY"},
		"function missing":       {func(_ *Spec, s *State) { s.Function = nil }, PartFunction, "auto-backup"},
		"function throttled":     {func(_ *Spec, s *State) { s.Function.Status = "THROTTLED" }, PartFunction, "status"},
		"verify_jwt":             {func(_ *Spec, s *State) { s.Function.VerifyJWT = true }, PartFunction, "verify_jwt"},
		"file changed":           {func(_ *Spec, s *State) { s.Function.Files["index.ts"] = "x" }, PartFunction, "index.ts"},
		"file added":             {func(_ *Spec, s *State) { s.Function.Files["more.ts"] = "x" }, PartFunction, "more.ts"},
		"log refuses":            {func(_ *Spec, s *State) { s.LogConstraints[0].Admits = false }, PartLogConstraint, "backup_logs"},
		"job missing":            {func(_ *Spec, s *State) { delete(s.Jobs, "daily") }, PartJobs, "auto-backup-daily"},
		"job surplus":            {func(_ *Spec, s *State) { s.Jobs["old"] = Job{Name: "auto-backup-old"} }, PartJobs, "auto-backup-old"},
		"settings changed":       {func(_ *Spec, s *State) { s.Settings.Retry.Attempts = 9 }, PartJobs, "settings"},
		"function id changed":    {func(_ *Spec, s *State) { s.FunctionID = "g" }, PartJobs, "function id"},
	} {
		spec, state := intact(t)
		c.change(&spec, &state)
		diffs := Diff(spec, state)
		if len(diffs) != 1 || diffs[0].Part != c.part || diffs[0].Object != c.object {
			t.Errorf("%s: got %+v", what, diffs)
		}
	}
	for what, change := range map[string]func(*Job){
		"schedule": func(j *Job) { j.Schedule = "* * * * *" }, "command": func(j *Job) { j.Command = "select 1" },
		"active": func(j *Job) { j.Active = false }, "database": func(j *Job) { j.Database = "x" }, "owner": func(j *Job) { j.Username = "x" },
	} {
		spec, state := intact(t)
		job := state.Jobs["daily"]
		change(&job)
		state.Jobs["daily"] = job
		if diffs := Diff(spec, state); len(diffs) != 1 || diffs[0].Part != PartJobs {
			t.Errorf("job's %s: got %+v", what, diffs)
		}
	}
}

// TestDiffLeavesOthersAlone proves that what belongs to others is no difference.
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

// TestForeign proves that every object without an ownership marker is named before
// anything is written, that adoption lifts the refusal, and that the backup's
// own objects are not foreign.
func TestForeign(t *testing.T) {
	t.Parallel()
	spec, state := intact(t)
	if err := state.Foreign(spec); err != nil {
		t.Errorf("an own installation is foreign: %v", err)
	}
	state = State{
		ID: spec.ID,
		ConflictingJobs: map[string]Job{"daily": {ID: 7, Name: "auto-backup-daily", Schedule: "0 6 * * *", Username: JobOwner}, "secondary": {ID: 8, Name: "auto-backup-secondary", Username: JobOwner},
			"daily@x": {ID: 9, Name: "auto-backup-daily", Schedule: "* * * * *", Username: "x"}},
		Function:     &FunctionState{ID: "f", Name: "auto-backup"},
		Secrets:      map[string]string{"KEY": "x", "AUTO_BACKUP_TOKEN": "y"},
		Token:        TokenState{Function: "y"},
		VaultMarkers: map[string]string{"auto-backup/token": "somebody else's"},
	}
	var foreign *ForeignError
	want := []string{
		"the Edge Function auto-backup", "the pg_cron job auto-backup-daily (id 7, schedule 0 6 * * *)",
		"the pg_cron job auto-backup-daily (id 9, schedule * * * * *, role x)",
		"the vault secret auto-backup/token", "the function secret AUTO_BACKUP_TOKEN", "the function secret KEY",
	}
	if err := state.Foreign(spec); !errors.As(err, &foreign) || !slices.Equal(foreign.Objects, want) {
		t.Errorf("got  %v\nwant %v", err, want)
	}
	spec.Adopt = true
	if err := state.Foreign(spec); err != nil {
		t.Errorf("adoption is refused: %v", err)
	}
}

// TestTokenState proves that every state of the two homes is told apart.
func TestTokenState(t *testing.T) {
	t.Parallel()
	for token, want := range map[TokenState]string{
		{}:                                     "missing",
		{Function: "a", Unreadable: true}:      "not to be compared: auto_backup.token_digest is not as it has to be",
		{Function: "a"}:                        "missing in the vault",
		{Vault: "a"}:                           "missing in the function's secrets",
		{Vault: "a", Function: "b"}:            "the vault and the function hold different tokens",
		{Vault: "a", Function: "b", Next: "a"}: "the vault and the function hold different tokens",
		{Vault: "a", Function: "a", Next: "a"}: "a rotation is unfinished",
		{Vault: "a", Function: "a"}:            "a",
	} {
		if got := token.Digest(); got != want || token.Intact() != (want == "a") {
			t.Errorf("%+v: %q, intact %v", token, got, token.Intact())
		}
	}
}
