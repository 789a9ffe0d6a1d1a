package backup

import (
	"errors"
	"maps"
	"testing"
)

// foreignState is a project that has an object of others under each name that
// the intact spec needs.
func foreignState(id ID) State {
	return State{
		ID:       id,
		Settings: &Settings{},
		ConflictingJobs: map[string]Job{
			"daily":     {ID: 7, Name: "auto-backup-daily", Schedule: "0 6 * * *", Username: JobOwner},
			"secondary": {ID: 8, Name: "auto-backup-secondary", Username: JobOwner},
			"daily@x":   {ID: 9, Name: "auto-backup-daily", Schedule: "* * * * *", Username: "x"},
		},
		Function:     &FunctionState{ID: "f", Name: "auto-backup"},
		Secrets:      map[string]string{"KEY": "x", "AUTO_BACKUP_TOKEN": "y"},
		Token:        TokenState{Function: "y"},
		VaultMarkers: map[string]string{"auto-backup/token": "somebody else's", "auto-backup/alert-key": ""},
	}
}

// TestForeign proves that every object of others that has a name of the backup is
// named before anything is written, that an adoption is allowed and says what
// becomes of each, and that the backup's own objects are never foreign.
func TestForeign(t *testing.T) {
	t.Parallel()
	const (
		row      = "the row auto-backup in auto_backup.settings"
		function = "the Edge Function auto-backup"
		job      = "the pg_cron job auto-backup-daily (id 7, schedule 0 6 * * *)"
		double   = "the pg_cron job auto-backup-daily (id 9, schedule * * * * *, role x)"
		alertKey = "the vault secret auto-backup/alert-key"
		vault    = "the vault secret auto-backup/token"
		token    = "the function secret AUTO_BACKUP_TOKEN"
		secret   = "the function secret KEY"
	)
	fates := map[string]string{
		row: "gets the configured settings", function: "gets the source of this backup; keep a copy of the present one if you need it",
		job:    "gets the schedule 0 3 * * * and calls the dispatcher instead of what it calls now",
		double: "is removed: the job of this name belongs to postgres", alertKey: "gets a new value", vault: "gets a new value", token: "gets a new token",
		secret: "gets the configured value, for every function of the project; it stays when the backup no longer names it",
	}
	spec, own := intact(t)
	for what, c := range map[string]struct {
		change func(*State)
		want   []string
	}{
		"all foreign but the token, as there is a settings row": {func(*State) {}, []string{row, function, job, double, alertKey, vault, secret}},
		"no settings row":               {func(s *State) { s.Settings = nil }, []string{function, job, double, alertKey, vault, token, secret}},
		"settings row marked":           {func(s *State) { s.Marked = true }, []string{function, job, double, alertKey, vault, secret}},
		"function marked":               {func(s *State) { s.Function.Name = s.ID.Name.FunctionMarker() }, []string{row, job, double, alertKey, vault, secret}},
		"function known by its id":      {func(s *State) { s.FunctionID = "f" }, []string{row, job, double, alertKey, vault, secret}},
		"no function":                   {func(s *State) { s.Function = nil }, []string{row, job, double, alertKey, vault, secret}},
		"vault marked":                  {func(s *State) { s.VaultMarkers["auto-backup/token"] = s.ID.Name.VaultMarker() }, []string{row, function, job, double, alertKey, secret}},
		"the secret is recorded":        {func(s *State) { s.Settings.Secrets = []string{"KEY"} }, []string{row, function, job, double, alertKey, vault}},
		"the secret is gone":            {func(s *State) { delete(s.Secrets, "KEY") }, []string{row, function, job, double, alertKey, vault}},
		"known, whatever became of it":  {func(s *State) { s.Known = Known{Managed: true, Secrets: []string{"KEY"}} }, []string{job, double}},
		"known, without a settings row": {func(s *State) { s.Settings, s.Known = nil, Known{Managed: true} }, []string{job, double, secret}},
		"no token and no settings row":  {func(s *State) { s.Settings, s.Token = nil, TokenState{} }, []string{function, job, double, alertKey, vault, secret}},
		"nothing of the names":          {func(s *State) { *s = State{ID: s.ID, Secrets: map[string]string{"OTHER": "x"}} }, nil},
		"one object": {func(s *State) {
			*s = State{ID: s.ID, Function: s.Function}
		}, []string{function}},
		"an installation of this provider": {func(s *State) { *s = own }, nil},
	} {
		state := foreignState(spec.ID)
		c.change(&state)
		var lines []string
		for _, object := range c.want {
			lines = append(lines, object+" "+fates[object])
		}
		refusing, adopting := spec, spec
		adopting.Adopt = true
		equal(t, what+": adopted", state.Adopts(adopting), lines)
		equal(t, what+": adopted without leave", state.Adopts(refusing), nil)
		if err := state.Foreign(adopting); err != nil {
			t.Errorf("%s: an adoption is refused: %v", what, err)
		}
		var foreign *ForeignError
		switch err := state.Foreign(refusing); {
		case len(c.want) == 0 || err == nil:
			if err != nil || len(c.want) > 0 {
				t.Errorf("%s: got %v, want %v", what, err, c.want)
			}
		case !errors.As(err, &foreign) || foreign.ID != spec.ID:
			t.Errorf("%s: got %v", what, err)
		default:
			equal(t, what, foreign.Objects, c.want)
		}
	}
	const want = "backup abcdefghijklmnopqrst/auto-backup: these exist without this provider's ownership marker: a; b"
	if got := (&ForeignError{ID: spec.ID, Objects: []string{"a", "b"}}).Error(); got != want {
		t.Errorf("the error is %q", got)
	}
}

// TestPresence proves what counts as a sign of the backup, what a removal has to
// remove, and whether the deployed function is the backup's.
func TestPresence(t *testing.T) {
	t.Parallel()
	id := ID{ProjectRef: testRef, Name: DefaultName}
	dispatch := Job{Command: id.Name.dispatchCommand("daily")}
	for what, c := range map[string]struct {
		state                   State
		exists, installed, owns bool
	}{
		"nothing":                                {State{}, false, false, false},
		"a settings row":                         {State{Settings: &Settings{}}, true, true, false},
		"a marked function":                      {State{Function: &FunctionState{ID: "f", Name: id.Name.FunctionMarker()}}, true, true, true},
		"the function that the row names":        {State{Function: &FunctionState{ID: "f", Name: "x"}, FunctionID: "f"}, true, true, true},
		"another function":                       {State{Function: &FunctionState{ID: "f", Name: "x"}, FunctionID: "g"}, false, false, false},
		"a function without an id":               {State{Function: &FunctionState{Name: "x"}}, false, false, false},
		"a job that dispatches":                  {State{Jobs: map[string]Job{"daily": dispatch}}, true, true, false},
		"a job that drills":                      {State{Jobs: map[string]Job{"drill": {Command: id.Name.drillCommand(90)}}}, true, true, false},
		"a job that watches":                     {State{Jobs: map[string]Job{"daily": {Command: id.Name.watchCommand()}}}, true, true, false},
		"a job that dispatches another schedule": {State{Jobs: map[string]Job{"other": dispatch}}, false, true, false},
		"a job with the name alone":              {State{Jobs: map[string]Job{"daily": {Command: "select 1"}}}, false, true, false},
		"a dispatcher alone":                     {State{Functions: map[string]string{"watch": "d"}}, false, true, false},
		"the last dispatcher of a known one":     {State{Functions: map[string]string{"watch": "d"}, Known: Known{Managed: true}}, true, true, false},
		"a dispatcher that others need":          {State{Functions: map[string]string{"watch": "d"}, Known: Known{Managed: true}, Backups: []string{"other"}}, false, true, false},
		"nothing of a known one":                 {State{Known: Known{Managed: true}}, false, false, false},
		"a marked vault secret":                  {State{VaultMarkers: map[string]string{"x": id.Name.VaultMarker()}}, true, true, false},
		"a vault secret of others":               {State{VaultMarkers: map[string]string{"auto-backup/token": "x"}}, false, true, false},
		"a token of a known one":                 {State{Secrets: map[string]string{"AUTO_BACKUP_TOKEN": "d"}, Known: Known{Managed: true}}, false, true, false},
		"a token of others":                      {State{Secrets: map[string]string{"AUTO_BACKUP_TOKEN": "d"}}, false, false, false},
	} {
		c.state.ID = id
		if exists, installed, owns := c.state.Exists(), c.state.Installed(), c.state.OwnsFunction(); exists != c.exists || installed != c.installed || owns != c.owns {
			t.Errorf("%s: exists %t, installed %t, owns the function %t", what, exists, installed, owns)
		}
	}
}

// TestSuperseded proves that only an installation of another known instance
// counts as recreated.
func TestSuperseded(t *testing.T) {
	t.Parallel()
	none := State{}
	of := func(instance string) State { return State{Settings: &Settings{Instance: instance}} }
	for _, c := range []struct {
		what          string
		before, after State
		want          bool
	}{
		{"the same", of("a"), of("a"), false},
		{"another", of("a"), of("b"), true},
		{"not known before", none, of("b"), false},
		{"no instance before", of(""), of("b"), false},
		{"gone", of("a"), none, false},
		{"no instance now", of("a"), of(""), false},
	} {
		if got := c.after.Supersedes(c.before); got != c.want {
			t.Errorf("%s: %t", c.what, got)
		}
		if c.before.Settings != nil && c.after.Superseded(c.before.Settings.Instance) != c.want {
			t.Errorf("%s: another answer for the instance alone", c.what)
		}
	}
}

// TestLeftBehind proves that only an unfinished installation of this provider may be
// what an interrupted apply has left.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		state State
		want  bool
	}{
		"unfinished":            {State{Marked: true, Unfinished: true}, true},
		"unfinished, of others": {State{Unfinished: true}, false},
		"finished":              {State{Marked: true}, false},
		"of others":             {State{}, false},
	} {
		if got := c.state.LeftBehind(); got != c.want {
			t.Errorf("%s: %t", what, got)
		}
	}
}

// TestState proves what follows from a state alone.
func TestState(t *testing.T) {
	t.Parallel()
	spec, own := intact(t)
	t.Run("jobs", func(t *testing.T) {
		t.Parallel()
		for what, c := range map[string]struct {
			state State
			want  bool
		}{
			"its own":                    {own, true},
			"one of its own":             {State{Jobs: map[string]Job{"daily": {}}}, true},
			"none":                       {State{}, false},
			"one that it would adopt":    {State{ConflictingJobs: map[string]Job{"daily": {}}}, true},
			"another role's of the name": {State{ConflictingJobs: map[string]Job{"daily@x": {}}}, true},
			"one that it would not":      {State{ConflictingJobs: map[string]Job{"other": {}, "other@x": {}}}, false},
		} {
			if got := c.state.HasJobs(spec); got != c.want {
				t.Errorf("%s: %t", what, got)
			}
		}
	})
	t.Run("log", func(t *testing.T) {
		t.Parallel()
		all := State{LogConstraints: []LogConstraint{{Name: "a", Admits: true}, {Name: "b"}, {Name: "c"}}}
		equal(t, "refusing", all.RefusingConstraints(), []string{"b", "c"})
		if all.AdmitsLog() || !own.AdmitsLog() || !(State{}).AdmitsLog() {
			t.Error("whether the log admits the rows is wrong")
		}
	})
	t.Run("dispatcher", func(t *testing.T) {
		t.Parallel()
		for what, c := range map[string]struct {
			state            State
			version, problem string
		}{
			"installed":       {State{DispatcherVersion: "1+a", Functions: map[string]string{"watch": "d"}}, "1+a", ""},
			"without its row": {State{Functions: map[string]string{"watch": "d"}}, "", "has lost its version: the row of auto_backup.installation is missing or unfinished"},
			"not installed":   {State{}, "", "is not installed"},
		} {
			if version, problem := c.state.Dispatcher(); version != c.version || problem != c.problem {
				t.Errorf("%s: %q, %q", what, version, problem)
			}
		}
	})
	t.Run("vault", func(t *testing.T) {
		t.Parallel()
		markers := maps.Clone(own.VaultMarkers)
		equal(t, "unmarked of an intact one", own.UnmarkedVault(), nil)
		equal(t, "surplus of an intact one", own.SurplusVault(), nil)
		markers["auto-backup/token"], markers["auto-backup/alert-key"] = "x", "y"
		markers["z"], markers["a"] = own.ID.Name.VaultMarker(), own.ID.Name.VaultMarker()
		changed := State{ID: own.ID, VaultMarkers: markers}
		equal(t, "unmarked", changed.UnmarkedVault(), []string{"auto-backup/alert-key", "auto-backup/token"})
		equal(t, "surplus", changed.SurplusVault(), []string{"a", "z"})
		markers["auto-backup/webhook/old"], markers["auto-backup/former-token"] = own.ID.Name.VaultMarker(), own.ID.Name.VaultMarker()
		equal(t, "surplus, without a webhook's", changed.SurplusVault(), []string{"a", "z"})
		equal(t, "removable", changed.RemovableVault(), []string{"auto-backup/former-token", "auto-backup/webhook/old"})
		equal(t, "removable of an intact one", own.RemovableVault(), []string{"auto-backup/alert-key", "auto-backup/token"})
		equal(t, "unmarked of none", State{ID: own.ID}.UnmarkedVault(), nil)
	})
}

// TestTokenState proves that every state of the token in its two places is told
// apart, and that only one is intact.
func TestTokenState(t *testing.T) {
	t.Parallel()
	for token, want := range map[TokenState]string{
		{}:                                     "is missing in the vault and in the function's secrets",
		{Function: "a", Unreadable: true}:      "cannot be compared, because auto_backup.token_digest is not as it was installed",
		{Function: "a", Undecryptable: true}:   "cannot be decrypted by the vault, as after a restore into another project",
		{Undecryptable: true}:                  "cannot be decrypted by the vault, as after a restore into another project",
		{Function: "a"}:                        "is missing in the vault",
		{Vault: "a"}:                           "is missing in the function's secrets",
		{Vault: "a", Function: "b"}:            "differs between the vault and the function's secrets",
		{Vault: "a", Function: "b", Next: "a"}: "differs between the vault and the function's secrets",
		{Vault: "a", Function: "a", Next: "a"}: "was being replaced, and the rotation is unfinished",
		{Vault: "a", Function: "a"}:            "",
	} {
		digest, problem := token.Digest()
		if problem != want || (digest == "a") != (want == "") || token.Intact() != (want == "") {
			t.Errorf("%+v: %q, %q, intact %t", token, digest, problem, token.Intact())
		}
	}
}
