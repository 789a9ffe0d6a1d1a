package stack

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWithoutArguments proves that the arguments of a statement are emptied as this
// expression says, and nothing else, also in the SQL of this repository.
func TestWithoutArguments(t *testing.T) {
	t.Parallel()
	argument := regexp.MustCompile(`(?s) E'(?:[^'\\]|''|\\.)*'|'[0-9a-f]{32}'`)
	holder := "'" + strings.Repeat("0123456789abcdef", 2) + "'"
	texts := []string{
		"", "'", "select E'", " E'open", ` E'a\'`, " E'a" + holder, "select '' ''", "select 1",
		"select E'one', E'it''s', E'a\\'b', E'';", `select E'a\\', 'b', E'c'`, "x E'a' E'b'", "xE'a'", "'E'a'",
		"a " + holder + holder + " b", "a '" + strings.Repeat("g", 32) + "'", "a " + strings.ToUpper(holder), "E" + holder, " E" + holder, " E'" + holder,
	}
	files, err := filepath.Glob("../*/*/*.sql")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files of SQL, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text), strings.ReplaceAll(string(text), " '", " E'"))
	}
	for _, text := range texts {
		if got, want := withoutArguments(text), argument.ReplaceAllLiteralString(text, " E''"); got != want {
			t.Errorf("%.200q becomes\n%.200q and not\n%.200q", text, got, want)
		}
	}
}
