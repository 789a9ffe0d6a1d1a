package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestInline proves which parameters of a statement are replaced, and that a value ends
// its constant nowhere, whatever it contains.
func TestInline(t *testing.T) {
	t.Parallel()
	values := [][]byte{[]byte("a"), nil, []byte(`it's \ "x" $1 $$ -- /*`)}
	const all, allInlined = " ($1, $2, $3)", ` ( E'a', null,  E'it''s \\ "x" $1 $$ -- /*')`
	for sql, want := range map[string]string{
		`select $1::text, $2::text`:                     `select  E'a'::text, null::text`,
		`select $4, $0, $12`:                            `select $4, $0, $12`,
		`select '$1', "$1", 'it''s $1', "a""$1", $1`:    `select '$1', "$1", 'it''s $1', "a""$1",  E'a'`,
		`select E'\'$1', e'\\', $1`:                     `select E'\'$1', e'\\',  E'a'`,
		"select 1 -- $1 '\n, $1":                        "select 1 -- $1 '\n,  E'a'",
		`select /* $1 /* ' */ $1 */ $1`:                 `select /* $1 /* ' */ $1 */  E'a'`,
		`select $part$ $1 $x$ ' $part$ || $1 || $$$1$$`: `select $part$ $1 $x$ ' $part$ ||  E'a' || $$$1$$`,
		`select a$1, é$1, re$1e, $1`:                    `select a$1, é$1, re$1e,  E'a'`,
		``:                                              ``,
	} {
		if got, err := inline(sql+all, values); err != nil || got != want+allInlined {
			t.Errorf("%s becomes\n%s, want\n%s: %v", sql, got, want+allInlined, err)
		}
	}
	// What never ends is copied to the end.
	for _, sql := range []string{`select '$1`, `select E'\`, `select /* $1`, `select $x$ $1`, `select "$1`, `select -- $1`} {
		if got, err := inline(sql, nil); err != nil || got != sql {
			t.Errorf("%s becomes %s: %v", sql, got, err)
		}
	}
	if got, err := inline("select 1; -- the end\n", nil); err != nil || got != "select 1; -- the end\n" {
		t.Errorf("a statement with its end becomes %q: %v", got, err)
	}
	for sql, state := range map[string]string{`select $1; select 2`: "42601", `select $1`: "08P01", `select '$1'`: "08P01"} {
		var refused *Error
		if _, err := inline(sql, values); !errors.As(err, &refused) || refused.SQLState != state {
			t.Errorf("%s: %v, want %s", sql, err, state)
		}
	}
}

// TestInlinedValues proves that a value reaches the database over either transport as it
// is, whatever it is made of.
func TestInlinedValues(t *testing.T) {
	onEach(t, func(t *testing.T, db DB, _ string) {
		pieces := []string{`'`, `''`, `\`, `\\'`, `"`, `$`, `$$`, `$1`, `$x$`, `--`, `/*`, `*/`, "\n", "\t", `;`, `E'`, "é", "😀", "a", " ", `%s`, `\u0041`, "\u202e"}
		random := rand.New(rand.NewPCG(1, 2))
		for range 150 {
			var one, two strings.Builder
			for range random.IntN(8) {
				one.WriteString(pieces[random.IntN(len(pieces))])
				two.WriteString(pieces[random.IntN(len(pieces))])
			}
			answer, err := db.Query(t.Context(), ReadOnly, `select jsonb_build_array($1::text, '$1', $2::text, $part$ $2 $part$) as result`, one.String(), two.String())
			if err != nil {
				t.Fatalf("%q, %q: %v", one.String(), two.String(), err)
			}
			var got []string
			if err := json.Unmarshal(answer, &got); err != nil || fmt.Sprint(got) != fmt.Sprint([]string{one.String(), "$1", two.String(), " $2 "}) {
				t.Errorf("%q and %q come back as %q: %v", one.String(), two.String(), got, err)
			}
		}
	})
}
