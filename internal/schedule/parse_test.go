package schedule_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// testdataLines returns the lines of a file that are not comments.
func testdataLines(t testing.TB, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestParseMeasured proves for every measured expression that Parse accepts the
// portable ones in their normal form and refuses the others with a text that
// says why and what to write. It fails if one verdict or one text differs.
func TestParseMeasured(t *testing.T) {
	t.Parallel()
	list := measuredExpressions(t)
	if len(list) != 182 {
		t.Fatalf("%d measured expressions, want 182", len(list))
	}
	for _, m := range list {
		e, err := schedule.Parse(m.expr)
		if m.ours == "refused" {
			var refusal *schedule.ParseError
			if !errors.As(err, &refusal) {
				t.Errorf("Parse(%q) = %v, %v; want it refused", m.expr, e, err)
			} else if got := refusal.Reason + "; " + refusal.Hint; got != m.message {
				t.Errorf("Parse(%q):\n got %s\nwant %s", m.expr, got, m.message)
			} else if refusal.Expr != m.expr || !strings.Contains(err.Error(), m.message) {
				t.Errorf("Parse(%q): the text %q lacks the reason", m.expr, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("Parse(%q): %v; want %s", m.expr, err, m.ours)
		} else if e.String() != m.ours {
			t.Errorf("Parse(%q) = %s, want %s", m.expr, e, m.ours)
		}
		if m.old != m.new {
			t.Errorf("Parse accepts %q, which means %s in pg_cron 1.4.2 and %s in 1.6.7", m.expr, m.old, m.new)
		}
	}
}

// TestParseSets proves that the accessors return the sets of an expression and
// the rule by which days combine; it fails if a value is missing.
func TestParseSets(t *testing.T) {
	t.Parallel()
	e := parse(t, "*/20,5 7-9/2,23 1,15 FEB-mar 5-7")
	for name, c := range map[string]struct{ got, want []int }{
		"minutes":  {e.Minutes(), []int{0, 5, 20, 40}},
		"hours":    {e.Hours(), []int{7, 9, 23}},
		"days":     {e.Days(), []int{1, 15}},
		"months":   {e.Months(), []int{2, 3}},
		"weekdays": {e.Weekdays(), []int{0, 5, 6}},
	} {
		if !equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	for expr, want := range map[string]bool{
		"0 0 1 * 1":    true,
		"0 0 * * 1":    false,
		"0 0 1 * *":    false,
		"0 0 */2 * 1":  false, // "*/2" begins with "*"
		"0 0 1 * */2":  false,
		"0 0 1-31 * 1": false, // every day, whichever way one reads it
		"0 0 1 * 0-6":  false,
	} {
		if got := parse(t, expr).DaysEither(); got != want {
			t.Errorf("DaysEither of %q = %v, want %v", expr, got, want)
		}
	}
	if e := parse(t, "0 0 1 * 0-6"); len(e.Days()) != 31 || len(e.Weekdays()) != 7 {
		t.Errorf("a full side of an either leaves %v and %v restricted", e.Days(), e.Weekdays())
	}
}

// TestParseRefuses proves refusals beyond the measured ones: the field and the
// item at fault, and the advice. It fails if the wrong field is blamed.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expr, field, item, text string }{
		{"0 0 29 2 */7", "day of month", "", "there can be 40 years between two runs"},
		{"0 0 31 4,6,9,11 *", "day of month", "", "would never fire"},
		{"0 0 31 12 */7", "day of month", "", "years between two runs"},
		{"0 25 * * *", "hour", "25", "25 is not between 0 and 23"},
		{"0 0 * * FRI-SUN", "day of week", "FRI-SUN", `write "5-7"`},
		{"0 0 * * 7-1", "day of week", "7-1", `write "0-1"`},
		{"0 22-2/2 * * *", "hour", "22-2/2", `write "22,0,2"`},
		{"0 23-1 * * *", "hour", "23-1", `write "23,0-1"`},
		{"0 0 1 * MON#3", "day of week", "MON#3", "cannot express the nth weekday"},
		{"0 0 L-3 * *", "day of month", "L-3", `does not support "L"`},
		{"1-80 * * * *", "minute", "1-80", "80 is not between 0 and 59"},
		{"00000 * * * *", "minute", "00000", "is not between"},
		{"0 0 * * 1-5x", "day of week", "1-5x", "5x"},
		{"0 0 * FEBR *", "month", "FEBR", `write "FEB" or 2`},
		{"0 0 1-3.5-7 * *", "day of month", "1-3.5-7", `ignores ".5-7"; write "1-3"`},
		{"@daily\t5", "", "", `ignores "5"`},
		{"0 0 3 * * * *", "", "", "7 fields"},
		{"0 0 \x00 * *", "", "", "does not belong"},
		{"0 3 * * *\r", "", "", "does not belong"},
		{strings.Repeat("0,", 500) + "0 * * * *", "", "", "999"},
		{"every day", "", "", `write "0 0 * * *"`},
		{"90 minutes", "", "", `write "0 * * * *"`},
		{"2h", "", "", `write "0 */2 * * *"`},
	} {
		_, err := schedule.Parse(c.expr)
		var refusal *schedule.ParseError
		if !errors.As(err, &refusal) {
			t.Errorf("Parse(%q): %v; want it refused", c.expr, err)
			continue
		}
		if refusal.Field != c.field || refusal.Item != c.item || !strings.Contains(err.Error(), c.text) {
			t.Errorf("Parse(%q): field %q, item %q: %v\nwant field %q, item %q and %q", c.expr, refusal.Field, refusal.Item, err, c.field, c.item, c.text)
		}
		if refusal.Reason == "" || refusal.Hint == "" || strings.Contains(err.Error(), "\n") || len(err.Error()) > 600 {
			t.Errorf("Parse(%q): bad text %q", c.expr, err)
		}
	}
}

// TestParseHintsAreSchedules proves that whatever a refusal puts in quotes
// after "write" as five fields can be written; it fails if the advice is itself
// refused.
func TestParseHintsAreSchedules(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, m := range measuredExpressions(t) {
		_, err := schedule.Parse(m.expr)
		var refusal *schedule.ParseError
		if !errors.As(err, &refusal) {
			continue
		}
		for i, part := range strings.Split(refusal.Hint, `"`) {
			if i%2 == 1 && (strings.Count(part, " ") == 4 || strings.HasPrefix(part, "@")) {
				seen++
				if _, err := schedule.Parse(part); err != nil {
					t.Errorf("the advice on %q is refused: %v", m.expr, err)
				}
			}
		}
		if refusal.Field == "" {
			continue
		}
		if _, advice, ok := strings.Cut(refusal.Hint, `write "`); ok {
			// The advice stands for the item.
			advice, _, _ = strings.Cut(advice, `"`)
			if strings.HasSuffix(advice, "/n") || refusal.Item == "" {
				continue
			}
			seen++
			fixed := strings.Replace(m.expr, refusal.Item, advice, 1)
			if strings.Contains(advice, "31,2-7") {
				fixed = "0 2 */31,2-7 * 1"
			}
			if _, err := schedule.Parse(fixed); err != nil {
				t.Errorf("the advice on %q leads to %q, which is refused: %v", m.expr, fixed, err)
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d pieces of advice were tried", seen)
	}
}

// TestString proves that the normal form is short, keeps the way in which days
// combine, and reads back as the same expression.
func TestString(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"0-59 0-23 1-31 1-12 0-7":          "* * * * *",
		"0,1,2,3,10,20 * * * *":            "0-3,10,20 * * * *",
		"30,0 0,12 * * *":                  "0,30 0,12 * * *",
		"0,10,20,30,40,50 */8 * * *":       "*/10 */8 * * *",
		"5-59/10 1,3,5 * * *":              "5-55/10 1-5/2 * * *",
		"7,19,31 * * * *":                  "7-31/12 * * * *",
		"0 0 */2 * 1":                      "0 0 */2 * 1",
		"0 0 1-31/2 * 1":                   "0 0 1-31/2 * 1",
		"0 0 1 * */2":                      "0 0 1 * */2",
		"0 0 */31,2-7 * MON":               "0 0 */31,2-7 * 1",
		"0 0 */31,2 * 0,6":                 "0 0 1,2 * */6",
		"0 0 1 * 0,2,4,6":                  "0 0 1 * 0-6/2",
		"0 0 1 * 1,2,3,4,5,6,0":            "0 0 * * *",
		"0 0 1-31 JAN SUN":                 "0 0 * 1 *",
		"0 0 * * SAT,SUN":                  "0 0 * * 0,6",
		"0 0 * 12,11,10,9,8,7,6,5,4 7,6,5": "0 0 * 4-12 0,5,6",
	} {
		e := parse(t, expr)
		if got := e.String(); got != want {
			t.Errorf("%q reads as %q, want %q", expr, got, want)
		}
		if again := parse(t, e.String()); again != e {
			t.Errorf("%q does not read back as itself but as %q", e, again)
		}
	}
}

// parse parses an expression that has to be accepted.
func parse(t testing.TB, cron string) schedule.Expr {
	t.Helper()
	e, err := schedule.Parse(cron)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// zoneOf loads a zone that has to be known.
func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := zone.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
