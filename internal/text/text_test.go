package text_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// TestLine proves that a text becomes one line that does nothing to a terminal
// or a log, and keeps every letter.
func TestLine(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                              "",
		" \t\n":                         "",
		"one line":                      "one line",
		"  a\r\n\tb\v\fc \u00a0\u2028d": "a b c d",
		"nex\u0085t":                    "nex t",
		"\x1b[31mred\x1b[0m\a\x7f":      "[31mred[0m",
		"zero\u200bwidth\u2060\ufeff":   "zerowidth",
		"\u202eturned\u202c":            "turned",
		"soft\u00adhyphen":              "softhyphen",
		"private\ue000use":              "privateuse",
		"broken\xff\xc3":                "broken",
		"not NUL\x00":                   "not NUL",
		"ação 日本 é 😀":                   "ação 日本 é 😀",
		"a \u200b b":                    "a b",
		"e\u0301 stays composed of two": "e\u0301 stays composed of two",
	} {
		if got := text.Line(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

// TestSharedLines proves that a text becomes the line that the Edge Function and the
// database make of it: they are tested with the same file.
func TestSharedLines(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/lines.json")
	if err != nil {
		t.Fatal(err)
	}
	var lines [][2]string
	if err := json.Unmarshal(content, &lines); err != nil || len(lines) < 20 {
		t.Fatalf("%d lines: %v", len(lines), err)
	}
	for _, line := range lines {
		if got := text.Line(line[0]); got != line[1] {
			t.Errorf("%q: got %q, want %q", line[0], got, line[1])
		}
	}
}

// TestFirstLine proves that the first line with anything on it is taken.
func TestFirstLine(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                    "",
		"one":                 "one",
		"\n  one \t two\nend": "one two",
		"one\r\nend":          "one",
		"one\x1b\nend":        "one",
	} {
		if got := text.FirstLine(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

// TestPrintable proves that a text keeps its lines and spaces, and nothing that
// affects a terminal.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                         "",
		"two\n\n  lines\n":         "two\n\n  lines\n",
		"a\tb\rc\x00d\x1be\x7ff":   "abcdef",
		"\u202eturned\u200b\ue000": "turned",
		"broken\xff":               "broken",
		"ação":                     "ação",
	} {
		if got := text.Printable(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

// TestHeadAndTail proves where a text is cut, and that no character is.
func TestHeadAndTail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s          string
		limit      int
		head, tail string
	}{
		{"", 0, "", ""},
		{"abc", 3, "abc", "abc"},
		{"abcd", 3, "abc…", "…bcd"},
		{"abcd", 0, "…", "…"},
		{"éaé", 5, "éaé", "éaé"},
		{"éaé", 4, "éa…", "…aé"},
		{"éaé", 1, "…", "…"},
		{"😀😀", 7, "😀…", "…😀"},
	} {
		if got := text.Head(c.s, c.limit); got != c.head {
			t.Errorf("the first %d bytes of %q: got %q, want %q", c.limit, c.s, got, c.head)
		}
		if got := text.Tail(c.s, c.limit); got != c.tail {
			t.Errorf("the last %d bytes of %q: got %q, want %q", c.limit, c.s, got, c.tail)
		}
	}
}

// TestSentence proves how a text begins and ends, alone and in a sentence.
func TestSentence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ s, sentence, capital, small string }{
		{"", ".", "", ""},
		{"read it", "Read it.", "Read it", "read it"},
		{"It failed.", "It failed.", "It failed.", "it failed."},
		{"SQL error 42P01", "SQL error 42P01.", "SQL error 42P01", "SQL error 42P01"},
		{"a table", "A table.", "A table", "a table"},
		{"A table", "A table.", "A table", "A table"},
		{"érico", "Érico.", "Érico", "érico"},
		{"Érico", "Érico.", "Érico", "érico"},
		{"\"x\" is", "\"x\" is.", "\"x\" is", "\"x\" is"},
		{"X", "X.", "X", "X"},
		{"\xff", "\xff.", "\xff", "\xff"},
	} {
		if got := text.Sentence(c.s); got != c.sentence {
			t.Errorf("%q as a sentence: got %q, want %q", c.s, got, c.sentence)
		}
		if got := text.Capitalize(c.s); got != c.capital {
			t.Errorf("%q with a capital: got %q, want %q", c.s, got, c.capital)
		}
		if got := text.Uncapitalize(c.s); got != c.small {
			t.Errorf("%q within a sentence: got %q, want %q", c.s, got, c.small)
		}
	}
}

// TestBytes proves the unit and the decimals of a size.
func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1 kB", 1_230_000: "1.2 MB", 999_949_999: "999.9 MB", 5_000_000_000: "5 GB", 7_000_000_000_000_000: "7000 TB",
	} {
		if got := text.Bytes(n); got != want {
			t.Errorf("%d is %s, not %s", n, got, want)
		}
	}
}

// TestTime proves that a time is written in UTC, without fractions of a second.
func TestTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 23, 59, 59, 999, time.FixedZone("", -3*3600))
	if got, want := text.Time(at), "2026-03-03T02:59:59Z"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

// TestDuration proves which units of a length of time are written.
func TestDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s", 0: "0 s", 59*time.Second + 999*time.Millisecond: "59 s", time.Minute: "1 min", 59*time.Minute + 59*time.Second: "59 min",
		time.Hour: "1 h 0 min", 23*time.Hour + 59*time.Minute: "23 h 59 min", 24 * time.Hour: "1 d 0 h", 49*time.Hour + time.Minute: "2 d 1 h",
	} {
		if got := text.Duration(d); got != want {
			t.Errorf("%d is %s, not %s", d, got, want)
		}
	}
}
