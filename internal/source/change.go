package source

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxCompared is the size in bytes up to which two files are compared line by line.
	maxCompared = 256 << 10
	// maxLine is how many characters of a line are shown.
	maxLine = 60
)

// FirstChange says in which line the text found differs first from the text
// wanted, and shows both lines, cut and without what does something to a
// terminal. A line goes through redact before it is cut. FirstChange returns ""
// for equal texts, for large ones, and for what is not text.
func FirstChange(found, wanted []byte, redact func(string) string) string {
	if bytes.Equal(found, wanted) || len(found) > maxCompared || len(wanted) > maxCompared || !utf8.Valid(found) || !utf8.Valid(wanted) {
		return ""
	}
	line := func(text string) string { return quoted(redact(text)) }
	was, want := strings.Split(string(found), "\n"), strings.Split(string(wanted), "\n")
	for i := range max(len(was), len(want)) {
		switch {
		case i >= len(was):
			return fmt.Sprintf("it ends before line %d, %s", i+1, line(want[i]))
		case i >= len(want):
			return fmt.Sprintf("line %d, %s, was added", i+1, line(was[i]))
		case was[i] != want[i]:
			return fmt.Sprintf("line %d is %s instead of %s", i+1, line(was[i]), line(want[i]))
		}
	}
	return ""
}

// quoted is one line of a file as it can be shown.
func quoted(text string) string {
	clean := strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case unicode.IsControl(c), unicode.Is(unicode.Cf, c), unicode.Is(unicode.Co, c):
			return -1
		}
		return c
	}, text)), " ")
	if clean == "" {
		return "empty"
	}
	if characters := []rune(clean); len(characters) > maxLine {
		clean = string(characters[:maxLine]) + "…"
	}
	return "`" + clean + "`"
}
