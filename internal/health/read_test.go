package health

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// answers is a project with fixed answers.
type answers struct {
	// documents are those of the database, one after the other.
	documents                   []string
	functions                   []supabase.Function
	secrets                     []supabase.Secret
	keys                        []string
	database, functionsErr, err error
	keysErr, backupsErr         error
	backups                     supabase.Backups

	mu         sync.Mutex
	statements int
	args       []any
	access     []postgres.Access
}

func (a *answers) Functions(context.Context) ([]supabase.Function, error) {
	return a.functions, a.functionsErr
}
func (a *answers) Secrets(context.Context) ([]supabase.Secret, error) { return a.secrets, a.err }

func (a *answers) PublicKeys(context.Context) (supabase.PublicKeys, error) {
	return supabase.PublicKeys{First: a.keys}, a.keysErr
}

func (a *answers) PlatformBackups(context.Context) (supabase.Backups, error) {
	return a.backups, a.backupsErr
}

func (a *answers) Query(_ context.Context, access postgres.Access, _ string, args ...any) (json.RawMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.statements++
	a.args, a.access = append(a.args, args...), append(a.access, access)
	if a.database != nil {
		return nil, a.database
	}
	document := a.documents[0]
	if len(a.documents) > 1 {
		a.documents = a.documents[1:]
	}
	return json.RawMessage(document), nil
}

// read is the healthy project as its database answers.
func read(t *testing.T) (*answers, *project) {
	t.Helper()
	p := healthy(t)
	p.assess(t)
	document, err := json.Marshal(p.database)
	if err != nil {
		t.Fatal(err)
	}
	return &answers{documents: []string{string(document)}, functions: p.functions, secrets: p.secrets}, p
}

// TestRead proves that a status is made of one statement that may only read, about
// this backup and with as many entries as were asked for, and of the two lists.
func TestRead(t *testing.T) {
	t.Parallel()
	project, p := read(t)
	p.query.History = 7
	status, err := Read(t.Context(), project, p.query)
	if err != nil || status.Condition != checks.Healthy || len(status.Problems) > 0 || status.ID != p.query.ID || len(status.History) != 2 {
		t.Errorf("got %+v, %v", status, err)
	}
	if project.statements != 1 || project.access[0] != postgres.ReadOnly || !slices.Contains(project.args, any(`["auto-backup"]`)) || !slices.Contains(project.args, any("7")) {
		t.Errorf("asked were %d statements with %v", project.statements, project.args)
	}
	p.query.History = -1
	project.args = nil
	if _, err := Read(t.Context(), project, p.query); err != nil || !slices.Contains(project.args, any("0")) {
		t.Errorf("for less than no entry, asked was %v: %v", project.args, err)
	}
}

// TestReadKeys proves that the vault's key is compared with the project's if both are
// known, and that the project's are not read if the vault has none.
func TestReadKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		digest string
		keys   []string
		err    error
		code   string
	}{
		"one of the project's":   {`{"digest": "x"}`, []string{"y", "x"}, nil, ""},
		"another project's":      {`{"digest": "x"}`, []string{"y"}, nil, "alert_key_mismatch"},
		"keys that are not said": {`{"digest": "x"}`, nil, nil, ""},
		"not to be decrypted":    {`{"digest": null}`, nil, errors.New("the keys are read"), "alert_key_unreadable"},
		"not to be read":         {`null`, nil, errors.New("the keys are read"), ""},
	} {
		project, p := read(t)
		project.documents[0] = strings.Replace(project.documents[0], `"key_digest":null`, `"key_digest":`+c.digest, 1)
		project.keys, project.keysErr = c.keys, c.err
		status, err := Read(t.Context(), project, p.query)
		got := ""
		if len(status.Problems) == 1 {
			got = status.Problems[0].Code
		}
		if err != nil || got != c.code || len(status.Problems) > 1 || status.Condition != checks.Healthy {
			t.Errorf("%s: got %q of %+v, %v", name, got, status.Problems, err)
		}
	}
}

// TestReadPlatform proves that the platform's backups are in the status, that a project
// without any is warned about and no less healthy for it, and that a failure to read them
// is said and changes nothing else.
func TestReadPlatform(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		backups supabase.Backups
		err     error
		reason  string
		warns   bool
	}{
		"daily":                 {backups: supabase.Backups{Kind: "physical", NewestAt: now, Region: "sa-east-1"}},
		"dumps":                 {backups: supabase.Backups{Kind: "logical", NewestAt: now}},
		"PITR, and one of it":   {backups: supabase.Backups{Kind: "physical", NewestAt: now, PITR: true}},
		"PITR, but none so far": {backups: supabase.Backups{Kind: "none", PITR: true}},
		"none":                  {backups: supabase.Backups{Kind: "none", Region: "sa-east-1"}, warns: true},
		"not to be read":        {err: errors.New("list the platform's backups: HTTP 403"), reason: "List the platform's backups: HTTP 403."},
	} {
		project, p := read(t)
		project.backups, project.backupsErr = c.backups, c.err
		status, err := Read(t.Context(), project, p.query)
		if err != nil || status.Condition != checks.Healthy || !status.Healthy() || status.LastSuccess == nil {
			t.Errorf("%s: got %+v, %v", name, status, err)
		}
		if want := (Platform{Backups: c.backups, Reason: c.reason}); status.Platform != want {
			t.Errorf("%s: got %+v, want %+v", name, status.Platform, want)
		}
		if warned := len(status.Problems) == 1 && status.Problems[0].Code == "no_platform_backups" && status.Problems[0].Remark(); warned != c.warns || len(status.Problems) > 1 {
			t.Errorf("%s: the problems are %+v", name, status.Problems)
		}
	}
}

// TestReadErrors proves that a side which cannot be asked is an error with the
// backup's name.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("out of order")
	for name, breaks := range map[string]func(*answers){
		"the database":  func(a *answers) { a.database = broken },
		"the functions": func(a *answers) { a.functionsErr = broken },
		"the secrets":   func(a *answers) { a.err = broken },
		"the keys": func(a *answers) {
			a.keysErr = broken
			a.documents[0] = strings.Replace(a.documents[0], `"key_digest":null`, `"key_digest":{"digest":"x"}`, 1)
		},
	} {
		project, p := read(t)
		breaks(project)
		if _, err := Read(t.Context(), project, p.query); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "read the status of backup "+ref+"/auto-backup: ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestReadSameError proves that of several failures the same one is told, whichever came
// first.
func TestReadSameError(t *testing.T) {
	t.Parallel()
	for range 50 {
		project, p := read(t)
		project.database, project.functionsErr, project.err = errors.New("the database"), errors.New("the functions"), errors.New("the secrets")
		if _, err := Read(t.Context(), project, p.query); err == nil || !strings.HasSuffix(err.Error(), ": the database") {
			t.Fatalf("got %v", err)
		}
		project.database = nil
		if _, err := Read(t.Context(), project, p.query); err == nil || !strings.HasSuffix(err.Error(), ": the functions") {
			t.Fatalf("got %v", err)
		}
	}
}

// TestReadAgain proves that a scheduler which seems to be missing is looked for
// again, and that a look that is interrupted meanwhile is an error.
func TestReadAgain(t *testing.T) {
	t.Parallel()
	missing := func(t *testing.T) (*answers, *project) {
		project, p := read(t)
		p.database.Processes.PgCron = false
		document, err := json.Marshal(p.database)
		if err != nil {
			t.Fatal(err)
		}
		project.documents = []string{string(document), `{"processes": {"pg_cron": true, "pg_net": true}}`}
		return project, p
	}
	synctest.Test(t, func(t *testing.T) {
		project, p := missing(t)
		begun := time.Now()
		status, err := Read(t.Context(), project, p.query)
		if err != nil || status.Condition != checks.Healthy || project.statements != 2 || time.Since(begun) != checks.Pause {
			t.Errorf("after %s and %d statements: %+v, %v", time.Since(begun), project.statements, status, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		project, p := missing(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Read(ctx, project, p.query); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "read the status of backup ") {
			t.Errorf("got %v", err)
		}
	})
}

// TestFacts proves that everything is asked for once that the status and the
// checks look at.
func TestFacts(t *testing.T) {
	t.Parallel()
	parts := Query{}.request().Parts
	for _, part := range slices.Concat(ownFacts, checks.AskedFacts()) {
		if n := len(slices.DeleteFunc(slices.Clone(parts), func(p facts.Part) bool { return p != part })); n != 1 {
			t.Errorf("%s is asked for %d times", part, n)
		}
	}
}
