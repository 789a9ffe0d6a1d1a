package identity

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// answering is a database that gives one answer to every query.
type answering struct {
	postgres.DB
	answer string
	err    error
}

func (a answering) Query(_ context.Context, access postgres.Access, _ string, _ ...any) (json.RawMessage, error) {
	if access != postgres.ReadOnly {
		return nil, errors.New("the identity is read")
	}
	return json.RawMessage(a.answer), a.err
}

// TestOf proves that an identity is read whole: with a system identifier above 2^53,
// without one if the role may not read it, and not at all from an answer that lacks
// one of the other values.
func TestOf(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 1, 2, 3, 4, 567_890_000, time.UTC)
	for answer, want := range map[string]Database{
		`{"system":"7441234567890123457","started":"2026-11-01T02:03:04.567890Z","database":"postgres"}`: {"7441234567890123457", started, "postgres"},
		`{"system":null,"started":"2026-11-01T02:03:04.567890Z","database":"postgres"}`:                  {"", started, "postgres"},
	} {
		if got, err := Of(t.Context(), answering{answer: answer}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", answer, got, err)
		}
	}
	for _, answer := range []string{
		``, `null`, `[]`, `{}`,
		`{"system":"1","database":"postgres"}`,
		`{"system":"1","started":"2026-11-01T02:03:04.567890Z"}`,
		`{"system":1,"started":"2026-11-01T02:03:04.567890Z","database":"postgres"}`,
		`{"system":"1","started":"yesterday","database":"postgres"}`,
	} {
		if got, err := Of(t.Context(), answering{answer: answer}); err == nil || got != (Database{}) {
			t.Errorf("%q: %+v, %v", answer, got, err)
		}
	}
	refused := errors.New("refused")
	if _, err := Of(t.Context(), answering{err: refused}); !errors.Is(err, refused) || !strings.Contains(err.Error(), "read the identity of the database") {
		t.Errorf("an error of the database: %v", err)
	}
}

// TestEqual proves which differences count, and that a difference of the start time
// alone is told from the others, because a restart causes it too.
func TestEqual(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 1, 2, 3, 4, 567_890_000, time.UTC)
	one := Database{"1", started, "postgres"}
	for what, c := range map[string]struct {
		other            Database
		equal, restarted bool
	}{
		"itself":                            {one, true, false},
		"in another zone":                   {Database{"1", started.In(time.FixedZone("", -3*60*60)), "postgres"}, true, false},
		"a role without the right":          {Database{"", started, "postgres"}, true, false},
		"a microsecond later":               {Database{"1", started.Add(time.Microsecond), "postgres"}, false, true},
		"later, without the right":          {Database{"", started.Add(time.Hour), "postgres"}, false, true},
		"another system":                    {Database{"2", started, "postgres"}, false, false},
		"another system, started later":     {Database{"2", started.Add(time.Hour), "postgres"}, false, false},
		"another database of the server":    {Database{"1", started, "template1"}, false, false},
		"another database, started later":   {Database{"1", started.Add(time.Hour), "template1"}, false, false},
		"another database, without a right": {Database{"", started, "template1"}, false, false},
	} {
		for _, pair := range [][2]Database{{one, c.other}, {c.other, one}} {
			if got := pair[0].Equal(pair[1]); got != c.equal {
				t.Errorf("%s: Equal reports %v", what, got)
			}
			if got := pair[0].MayHaveRestarted(pair[1]); got != c.restarted {
				t.Errorf("%s: MayHaveRestarted reports %v", what, got)
			}
		}
	}
}

// TestString proves that an error can name a database: by every value that it is
// compared by, one that could not be read included.
func TestString(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 1, 2, 3, 4, 567_890_000, time.FixedZone("", -3*60*60))
	for want, d := range map[string]Database{
		`database "postgres", system identifier 7441234567890123457, started 2026-11-01T05:03:04.56789Z`:          {"7441234567890123457", started, "postgres"},
		`database "postgres", a system identifier that its role may not read, started 2026-11-01T05:03:04.56789Z`: {"", started, "postgres"},
	} {
		if got := d.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
