package source

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The import patterns search the code that a lexer leaves: each string literal
// is replaced by its number, as is each template without substitutions, which
// keeps its backquotes.
var importPatterns = []*regexp.Regexp{
	regexp.MustCompile("(?:^|[^\\w$.])(?:import|export)\\b[^\"`();]*?\\bfrom\\s*\"(\\d+)\""),
	regexp.MustCompile("(?:^|[^\\w$.])import\\s*\"(\\d+)\""),
	regexp.MustCompile("(?:^|[^\\w$.])import\\s*\\(\\s*[\"`](\\d+)[\"`]\\s*[,)]"),
}

// specifiers lists the module specifiers of TypeScript or JavaScript code,
// sorted and without duplicates.
func specifiers(text string) []string {
	l := lexer{text: strings.TrimPrefix(text, "\ufeff")}
	l.run(false)
	var found []string
	for _, pattern := range importPatterns {
		for _, match := range pattern.FindAllStringSubmatch(l.code.String(), -1) {
			if number, err := strconv.Atoi(match[1]); err == nil && number < len(l.quoted) {
				found = append(found, unescape(l.quoted[number]))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

var escape = regexp.MustCompile(`\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|.)`)

// unescape replaces the escape sequences of a string literal that may occur in
// a path.
func unescape(text string) string {
	return escape.ReplaceAllStringFunc(text, func(found string) string {
		digits := strings.Trim(found[2:], "{}")
		if digits == "" || (found[1] != 'x' && found[1] != 'u') {
			return found[1:]
		}
		code, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return found
		}
		return string(rune(code))
	})
}

// lexer splits TypeScript or JavaScript just enough to tell code from comments,
// string literals, templates and regular expressions.
type lexer struct {
	// text is what has not been read yet.
	text string
	// code is what was read, without comments. Each string literal is replaced
	// by its number in quoted, each template without substitutions by its
	// number in backquotes, and every other template and regular expression
	// by 0.
	code   strings.Builder
	quoted []string
	// last is the end of the code so far, without comments and with single
	// spaces. It decides whether a slash divides or begins a regular expression.
	last string
}

// run reads code up to the end of the text or, in a template, up to the brace
// that closes the substitution.
func (l *lexer) run(substitution bool) {
	depth := 0
	for len(l.text) > 0 {
		switch {
		case strings.HasPrefix(l.text, "//"):
			l.skip(until(l.text, "\n", 0))
		case strings.HasPrefix(l.text, "/*"):
			l.skip(until(l.text, "*/", 2) + 2)
			l.code.WriteString(" ")
		case l.text[0] == '/' && l.beginsRegexp():
			l.skip(regexpLength(l.text))
			l.emit("0")
		case l.text[0] == '`':
			l.template()
		case l.text[0] == '"' || l.text[0] == '\'':
			length := literalLength(l.text)
			if length < 2 || l.text[length-1] != l.text[0] {
				// It does not end on its line, as an apostrophe in JSX.
				l.copy()
				continue
			}
			number := l.quote(l.text[1 : length-1])
			l.skip(length)
			l.emit(`"` + number + `"`)
		default:
			switch l.text[0] {
			case '{':
				depth++
			case '}':
				if depth--; depth < 0 && substitution {
					return
				}
			}
			l.copy()
		}
	}
}

// copy moves one byte from the text to the code.
func (l *lexer) copy() {
	piece := l.text[:1]
	l.skip(1)
	l.emit(piece)
}

// emit appends to the code.
func (l *lexer) emit(piece string) {
	l.code.WriteString(piece)
	if strings.TrimSpace(piece) == "" {
		if l.last != "" && !strings.HasSuffix(l.last, " ") {
			l.last += " "
		}
		return
	}
	l.last += piece
	if len(l.last) > 64 {
		l.last = l.last[len(l.last)-32:]
	}
}

func (l *lexer) skip(length int) { l.text = l.text[min(length, len(l.text)):] }

// quote keeps a string literal's content and returns its number.
func (l *lexer) quote(text string) (number string) {
	l.quoted = append(l.quoted, text)
	return strconv.Itoa(len(l.quoted) - 1)
}

// template reads a template. Its substitutions are code.
func (l *lexer) template() {
	l.skip(1)
	plain := true
	begin := l.text
	for len(l.text) > 0 && l.text[0] != '`' {
		switch {
		case l.text[0] == '\\':
			l.skip(2)
		case strings.HasPrefix(l.text, "${"):
			plain = false
			l.skip(2)
			l.emit("(")
			l.run(true)
			l.skip(1)
			l.emit(")")
		default:
			l.skip(1)
		}
	}
	text := begin[:len(begin)-len(l.text)]
	l.skip(1)
	if plain {
		l.emit("`" + l.quote(text) + "`")
	} else {
		l.emit("0")
	}
}

var (
	word = regexp.MustCompile(`[\w$]+$`)
	// beforeValue are the keywords that a value follows, so that a slash after
	// them cannot divide.
	beforeValue = []string{
		"return", "typeof", "instanceof", "in", "of", "new", "delete", "void", "throw", "case", "do", "else", "yield", "await",
	}
)

// beginsRegexp reports whether the slash that the text begins with begins a
// regular expression.
func (l *lexer) beginsRegexp() bool {
	if regexpLength(l.text) == 0 {
		return false
	}
	last := strings.TrimRight(l.last, " ")
	if last == "" {
		return true
	}
	if w := word.FindString(last); w != "" {
		return slices.Contains(beforeValue, w) && !strings.HasSuffix(strings.TrimSuffix(last, w), ".")
	}
	return !strings.ContainsAny(last[len(last)-1:], ")]\"`")
}

// regexpLength returns the length of the regular expression that text begins
// with, without its flags, or zero if none ends on this line.
func regexpLength(text string) int {
	class := false
	for i := 1; i < len(text) && text[i] != '\n'; i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			class = true
		case ']':
			class = false
		case '/':
			if !class {
				return i + 1
			}
		}
	}
	return 0
}

// until returns the index of the first end at or after offset, or the length of
// text if there is none.
func until(text, end string, offset int) int {
	if at := strings.Index(text[offset:], end); at >= 0 {
		return offset + at
	}
	return len(text)
}

// literalLength returns the length of the string literal that text begins with,
// including its quotes. One that does not end on its line has the length of
// the rest of that line.
func literalLength(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[0]:
			return i + 1
		case '\n':
			return i
		}
	}
	return len(text)
}

// plainJSON turns JSON with comments and trailing commas, which Deno accepts,
// into JSON.
func plainJSON(text string) string {
	text = strings.TrimPrefix(text, "\ufeff")
	var plain []byte
	for len(text) > 0 {
		length := 1
		switch {
		case strings.HasPrefix(text, "//"):
			text = text[until(text, "\n", 0):]
			continue
		case strings.HasPrefix(text, "/*"):
			text = text[min(until(text, "*/", 2)+2, len(text)):]
			plain = append(plain, ' ')
			continue
		case text[0] == '"':
			length = literalLength(text)
		case text[0] == '}' || text[0] == ']':
			trimmed := bytes.TrimRight(plain, " \t\r\n")
			if bytes.HasSuffix(trimmed, []byte(",")) {
				plain = trimmed[:len(trimmed)-1]
			}
		}
		plain = append(plain, text[:length]...)
		text = text[length:]
	}
	return string(plain)
}
