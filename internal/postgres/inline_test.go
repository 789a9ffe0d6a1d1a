package postgres

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

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
