package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// twoDatabases are the database behind a URL and the one behind the Management API,
// and what was sent to them.
type twoDatabases struct {
	// direct and platform are the answers of both to the question who they are: the
	// first, the second, and so on; the last one is repeated.
	direct, platform []answer

	mu   sync.Mutex
	sent []string
}

type answer struct {
	document string
	err      error
}

// identityOf returns the answer of a database.
func identityOf(system, started string) answer {
	if system != "null" {
		system = `"` + system + `"`
	}
	return answer{document: fmt.Sprintf(`{"system":%s,"started":"%s","database":"postgres"}`, system, started)}
}

// side is one of the two.
type side struct {
	postgres.DB
	both    *twoDatabases
	name    string
	answers *[]answer
}

func (s side) Query(_ context.Context, access postgres.Access, sql string, _ ...any) (json.RawMessage, error) {
	s.both.mu.Lock()
	defer s.both.mu.Unlock()
	if !strings.Contains(sql, "pg_control_system") {
		s.both.sent = append(s.both.sent, s.name+" "+sql)
		return nil, nil
	}
	if access != postgres.ReadOnly {
		return nil, errors.New("the identity is read")
	}
	s.both.sent = append(s.both.sent, s.name)
	given := (*s.answers)[0]
	if len(*s.answers) > 1 {
		*s.answers = (*s.answers)[1:]
	}
	return json.RawMessage(given.document), given.err
}

func (s side) Exec(_ context.Context, script string) error {
	s.both.mu.Lock()
	defer s.both.mu.Unlock()
	s.both.sent = append(s.both.sent, s.name+" "+script)
	return nil
}

// compared returns the database behind a URL.
func (b *twoDatabases) compared(chosen database) *compared {
	return newCompared(side{both: b, name: "direct", answers: &b.direct}, side{both: b, name: "platform", answers: &b.platform}, chosen)
}

// TestCompare proves what is concluded from the identities of two databases: that
// they are the same one, or an error that names both. A restart between the readings
// is no difference, a read replica is one, a role without the right to read the
// system identifier is compared by the rest, and only a URL that names its project is
// believed where the token may not ask.
func TestCompare(t *testing.T) {
	t.Parallel()
	const early, late = "2026-11-01T02:03:04.567890Z", "2026-11-02T02:03:04.567890Z"
	one := identityOf("111", early)
	forbidden := fmt.Errorf("run SQL: %w", supabase.ErrForbidden)
	named := database{URL: "postgresql://…", Project: firstRef, Source: "`database_url`", Host: "pooler.example:6543", Named: true}
	unnamed := named
	unnamed.Source, unnamed.Named = "the environment variable SUPABASE_DB_URL", false
	for what, c := range map[string]struct {
		direct, platform []answer
		chosen           database
		// says are parts of the error; none means that the databases are the same.
		says []string
		// wrong says that the error is errWrongDatabase.
		wrong bool
	}{
		"the same":                                         {[]answer{one}, []answer{one}, unnamed, nil, false},
		"no right on the connection":                       {[]answer{identityOf("null", early)}, []answer{one}, unnamed, nil, false},
		"no right over the API":                            {[]answer{one}, []answer{identityOf("null", early)}, unnamed, nil, false},
		"no right anywhere":                                {[]answer{identityOf("null", early)}, []answer{identityOf("null", early)}, unnamed, nil, false},
		"no right anywhere, and another server":            {[]answer{identityOf("null", early)}, []answer{identityOf("null", late)}, unnamed, []string{"a system identifier that its role may not read", early[:19], late[:19]}, true},
		"restarted between the readings":                   {[]answer{one, identityOf("111", late)}, []answer{identityOf("111", late)}, unnamed, nil, false},
		"another server":                                   {[]answer{one}, []answer{identityOf("222", early)}, unnamed, []string{"the environment variable SUPABASE_DB_URL", "host pooler.example:6543", "111", "222", firstRef, `database_url = ""`}, true},
		"another server, and the URL names the project":    {[]answer{one}, []answer{identityOf("222", early)}, named, []string{"`database_url`", "111", "222"}, true},
		"a read replica":                                   {[]answer{one}, []answer{identityOf("111", late)}, named, []string{"a copy or a standby", early[:19], late[:19]}, true},
		"another server, that then was restarted":          {[]answer{one, identityOf("222", late)}, []answer{identityOf("111", late)}, unnamed, []string{"222"}, true},
		"the token may not, and the URL names the project": {[]answer{one}, []answer{{err: forbidden}}, named, nil, false},
		"the token may not, and the URL names nothing": {
			[]answer{one}, []answer{{err: forbidden}}, unnamed,
			[]string{"the environment variable SUPABASE_DB_URL", "host pooler.example:6543", "the access token may not", "db." + firstRef + ".supabase.co", "ends in ." + firstRef}, true,
		},
		"the API fails":        {[]answer{one}, []answer{{err: errors.New("HTTP 503")}}, named, []string{"compare the database behind `database_url`", firstRef, "HTTP 503"}, false},
		"the connection fails": {[]answer{{err: postgres.ErrUnavailable}}, []answer{one}, named, []string{"compare the database behind `database_url`", "not available"}, false},
		"an unexpected answer": {[]answer{{document: "{}"}}, []answer{one}, named, []string{"unexpected form"}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			both := &twoDatabases{direct: c.direct, platform: c.platform}
			db := both.compared(c.chosen)
			err := db.Exec(t.Context(), "write")
			switch {
			case (err == nil) != (len(c.says) == 0), errors.Is(err, errWrongDatabase) != c.wrong:
				t.Fatalf("%v", err)
			case err == nil && !slices.Contains(both.sent, "direct write"):
				t.Errorf("the script was not run: %q", both.sent)
			case err != nil && slices.Contains(both.sent, "direct write"):
				t.Errorf("the script was run: %q", both.sent)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), c.chosen.URL) {
				t.Errorf("the error has the URL: %v", err)
			}
		})
	}
}

// TestComparedOnce proves that reading does not wait for a comparison, that every way
// of writing does, and that one comparison serves all writes, also those that come at
// once, while one that failed is made again.
func TestComparedOnce(t *testing.T) {
	t.Parallel()
	one := identityOf("111", "2026-11-01T02:03:04.567890Z")
	both := &twoDatabases{direct: []answer{one}, platform: []answer{{err: errors.New("HTTP 503")}, one}}
	db := both.compared(database{URL: "postgresql://…", Project: firstRef})
	if _, err := db.Query(t.Context(), postgres.ReadOnly, "read"); err != nil || !slices.Equal(both.sent, []string{"direct read"}) {
		t.Errorf("a read: %v, and sent was %q", err, both.sent)
	}
	if _, err := db.Query(t.Context(), postgres.ReadWrite, "write"); err == nil || slices.Contains(both.sent, "direct write") {
		t.Errorf("a write after a comparison that failed: %v, and sent was %q", err, both.sent)
	}
	both.sent = nil
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := db.Query(t.Context(), postgres.ReadWrite, "write"); err != nil {
				t.Error(err)
			}
			if err := db.Exec(t.Context(), "script"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	count := map[string]int{}
	for _, sent := range both.sent {
		count[sent]++
	}
	if count["direct"] != 1 || count["platform"] != 1 || count["direct write"] != 20 || count["direct script"] != 20 || len(count) != 4 {
		t.Errorf("sent was %v", count)
	}
}

// TestCompareEnds proves that a write that waits for the comparison of another one
// ends with its context.
func TestCompareEnds(t *testing.T) {
	t.Parallel()
	both := &twoDatabases{}
	db := both.compared(database{})
	db.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Exec(ctx, "script"); !errors.Is(err, context.Canceled) || len(both.sent) > 0 {
		t.Errorf("%v, and sent was %q", err, both.sent)
	}
}
