package source_test

import (
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/source"
)

// TestFirstChange proves that the first differing line of two texts is shown
// from both sides, cut and clean, and that nothing is said of what cannot be
// shown.
func TestFirstChange(t *testing.T) {
	t.Parallel()
	hide := func(line string) string { return strings.ReplaceAll(line, strings.Repeat("s", 70), "[redacted]") }
	for what, c := range map[string]struct{ found, wanted, want string }{
		"equal":          {"a\nb\n", "a\nb\n", ""},
		"changed":        {"a\nx\nc", "a\nb\nc", "line 2 is `x` instead of `b`"},
		"indented":       {"a\n\t  x  y", "a\n  b", "line 2 is `x y` instead of `b`"},
		"line added":     {"a\nb", "a", "line 2, `b`, was added"},
		"blank added":    {"a\n\nb", "a\nb", "line 2 is empty instead of `b`"},
		"cut short":      {"a", "a\nb", "it ends before line 2, `b`"},
		"emptied":        {"", "a", "line 1 is empty instead of `a`"},
		"long":           {strings.Repeat("é", 61), strings.Repeat("e", 60), "line 1 is `" + strings.Repeat("é", 60) + "…` instead of `" + strings.Repeat("e", 60) + "`"},
		"secret":         {"key = " + strings.Repeat("s", 70), "b", "line 1 is `key = [redacted]` instead of `b`"},
		"escapes":        {"\x1b[2Jx\u202e", "b", "line 1 is `[2Jx` instead of `b`"},
		"only blanks":    {"a ", "a", "line 1 is `a` instead of `a`"},
		"not text":       {"\xff", "a", ""},
		"was not text":   {"a", "\xff", ""},
		"too large":      {strings.Repeat("a", 256<<10+1), "a", ""},
		"was too large":  {"a", strings.Repeat("a", 256<<10+1), ""},
		"large as it is": {strings.Repeat("a", 256<<10), "a", "line 1 is `" + strings.Repeat("a", 60) + "…` instead of `a`"},
	} {
		if got := source.FirstChange([]byte(c.found), []byte(c.wanted), hide); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
