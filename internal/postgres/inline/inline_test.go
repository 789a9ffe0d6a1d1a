package inline

import (
	"errors"
	"strings"
	"testing"
)

// TestArguments proves which parameters of a statement are replaced, and that a value ends
// its constant nowhere, whatever it contains.
func TestArguments(t *testing.T) {
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
		if got, err := Arguments(sql+all, values); err != nil || got != want+allInlined {
			t.Errorf("%s becomes\n%s, want\n%s: %v", sql, got, want+allInlined, err)
		}
	}
	// What never ends is copied to the end.
	for _, sql := range []string{`select '$1`, `select E'\`, `select /* $1`, `select $x$ $1`, `select "$1`, `select -- $1`} {
		if got, err := Arguments(sql, nil); err != nil || got != sql {
			t.Errorf("%s becomes %s: %v", sql, got, err)
		}
	}
	if got, err := Arguments("select 1; -- the end\n", nil); err != nil || got != "select 1; -- the end\n" {
		t.Errorf("a statement with its end becomes %q: %v", got, err)
	}
	for sql, state := range map[string]string{`select $1; select 2`: "42601", `select $1`: "08P01", `select '$1'`: "08P01"} {
		var refused *Error
		if _, err := Arguments(sql, values); !errors.As(err, &refused) || refused.SQLState != state {
			t.Errorf("%s: %v, want %s", sql, err, state)
		}
	}
}

// TestArgumentsCopiesOnce proves that a statement is not copied for each of its words:
// those of this product have thousands.
func TestArgumentsCopiesOnce(t *testing.T) {
	sql := "select $1" + strings.Repeat(", column_1 + 10", 10_000)
	allocations := testing.AllocsPerRun(5, func() {
		if _, err := Arguments(sql, [][]byte{[]byte("a")}); err != nil {
			t.Error(err)
		}
	})
	if allocations > 100 {
		t.Errorf("%.0f allocations", allocations)
	}
}
