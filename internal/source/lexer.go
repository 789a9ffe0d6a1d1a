package source

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// The import patterns search the code that a lexer leaves: each string literal
// is replaced by its number, as is each template without substitutions, which
// keeps its backquotes.
var importPatterns = []func() *regexp.Regexp{
	text.Pattern("(?:^|[^\\w$.])(?:import|export)\\b[^\"`();]*?\\bfrom\\s*\"(\\d+)\""),
	text.Pattern("(?:^|[^\\w$.])import\\s*\"(\\d+)\""),
	text.Pattern("(?:^|[^\\w$.])import\\s*\\(\\s*[\"`](\\d+)[\"`]\\s*[,)]"),
}

// errNested is the error of a file with templates inside each other, deeper than
// any that people write.
var errNested = fmt.Errorf("it nests templates more than %d levels deep", maxNested)

// maxNested is how many templates may be inside each other.
const maxNested = 1000

// specifiers lists the module specifiers of TypeScript or JavaScript code,
// sorted and without duplicates. It takes time in proportion to the length of the
// text and ends with the context.
func specifiers(ctx context.Context, text string) ([]string, error) {
	l := lexer{text: strings.TrimPrefix(text, "\ufeff")}
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	code := l.code.String()
	var found []string
	for _, pattern := range importPatterns {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, match := range pattern().FindAllStringSubmatch(code, -1) {
			if number, err := strconv.Atoi(match[1]); err == nil && number < len(l.quoted) {
				found = append(found, unescape(l.quoted[number]))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

var escape = text.Pattern(`\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|.)`)

// unescape replaces the escape sequences of a string literal that may occur in
// a path.
func unescape(text string) string {
	return escape().ReplaceAllStringFunc(text, func(found string) string {
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
	text string
	// at is how much of the text was read.
	at int
	// code is what was read, without comments. Each string literal is replaced
	// by its number in quoted, each template without substitutions by its
	// number in backquotes, and every other template and regular expression
	// by 0.
	code   strings.Builder
	quoted []string
	// last is the end of the code so far, without comments and with single
	// spaces. It decides whether a slash divides or begins a regular expression.
	last []byte
	// templates are the templates around the present place, the innermost last.
	templates []template
	// double, single, regular and class are where a search for the end of a literal
	// in double or single quotes, or of a regular expression, is known to fail.
	double, single, regular, class failed
	// steps counts the bytes that were looked at, for the tests.
	steps int
}

// A template is one that is being read.
type template struct {
	// begin is where its text begins, depth how many braces are open in the
	// present substitution, -1 outside of one.
	begin, depth int
	// plain says that it has had no substitution yet.
	plain bool
}

// A failed is a set of places from which a search has not found its end. Another
// search that comes to one of them need not go on: without this, text with many
// quotes and no end would be read again from each.
type failed []uint64

func (f failed) has(place int) bool {
	return place>>6 < len(f) && f[place>>6]>>(place&63)&1 != 0
}

func (f *failed) add(place, size int) {
	if *f == nil {
		*f = make(failed, size>>6+1)
	}
	(*f)[place>>6] |= 1 << (place & 63)
}

// run reads the whole text.
func (l *lexer) run(ctx context.Context) error {
	const between = 64 << 10 // bytes from one look at the context to the next
	for look := 0; l.at < len(l.text); {
		if l.at >= look {
			if err := ctx.Err(); err != nil {
				return err
			}
			look = l.at + between
		}
		l.steps++
		inner := len(l.templates) - 1
		rest := l.text[l.at:]
		switch {
		case inner >= 0 && l.templates[inner].depth < 0:
			l.inTemplate(&l.templates[inner])
		case strings.HasPrefix(rest, "//"):
			l.skip(until(rest, "\n", 0))
		case strings.HasPrefix(rest, "/*"):
			l.skip(until(rest, "*/", 2) + 2)
			l.code.WriteByte(' ')
		case rest[0] == '/' && l.beginsRegexp():
			length := l.regexpLength()
			if length == 0 {
				l.copy()
				continue
			}
			l.skip(length)
			l.emit("0")
		case rest[0] == '`':
			if len(l.templates) == maxNested {
				return errNested
			}
			l.at++
			l.templates = append(l.templates, template{begin: l.at, depth: -1, plain: true})
		case rest[0] == '"' || rest[0] == '\'':
			length := l.literalLength()
			if length == 0 {
				// It does not end on its line, as an apostrophe in JSX.
				l.copy()
				continue
			}
			l.skip(length)
			l.emit(`"` + l.quote(rest[1:length-1]) + `"`)
		default:
			if inner >= 0 {
				switch rest[0] {
				case '{':
					l.templates[inner].depth++
				case '}':
					if l.templates[inner].depth--; l.templates[inner].depth < 0 {
						l.at++
						l.emit(")")
						continue
					}
				}
			}
			l.copy()
		}
	}
	// What the end of the text cuts off ends there.
	for len(l.templates) > 0 {
		if inner := l.templates[len(l.templates)-1]; inner.depth >= 0 {
			l.emit(")")
		}
		l.endTemplate()
	}
	return nil
}

// inTemplate reads one step of a template outside of its substitutions, which are
// code.
func (l *lexer) inTemplate(t *template) {
	switch rest := l.text[l.at:]; {
	case rest[0] == '`':
		l.endTemplate()
		l.at++
	case rest[0] == '\\':
		l.skip(2)
	case strings.HasPrefix(rest, "${"):
		t.plain, t.depth = false, 0
		l.skip(2)
		l.emit("(")
	default:
		l.at++
	}
}

// endTemplate ends the innermost template before the present place.
func (l *lexer) endTemplate() {
	t := l.templates[len(l.templates)-1]
	l.templates = l.templates[:len(l.templates)-1]
	if t.plain {
		l.emit("`" + l.quote(l.text[t.begin:l.at]) + "`")
	} else {
		l.emit("0")
	}
}

// copy moves one byte from the text to the code.
func (l *lexer) copy() {
	l.emit(l.text[l.at : l.at+1])
	l.at++
}

// emit appends to the code.
func (l *lexer) emit(piece string) {
	l.code.WriteString(piece)
	if strings.TrimSpace(piece) == "" {
		if len(l.last) > 0 && l.last[len(l.last)-1] != ' ' {
			l.last = append(l.last, ' ')
		}
		return
	}
	l.last = append(l.last, piece...)
	if len(l.last) > 64 {
		l.last = append(l.last[:0], l.last[len(l.last)-32:]...)
	}
}

func (l *lexer) skip(length int) { l.at = min(l.at+length, len(l.text)) }

// quote keeps a string literal's content and returns its number.
func (l *lexer) quote(text string) (number string) {
	l.quoted = append(l.quoted, text)
	return strconv.Itoa(len(l.quoted) - 1)
}

var (
	word = text.Pattern(`[\w$]+$`)
	// beforeValue are the keywords that a value follows, so that a slash after
	// them cannot divide.
	beforeValue = []string{
		"return", "typeof", "instanceof", "in", "of", "new", "delete", "void", "throw", "case", "do", "else", "yield", "await",
	}
)

// beginsRegexp reports whether a slash at the present place would begin a regular
// expression.
func (l *lexer) beginsRegexp() bool {
	last := strings.TrimRight(string(l.last), " ")
	if last == "" {
		return true
	}
	if w := word().FindString(last); w != "" {
		return slices.Contains(beforeValue, w) && !strings.HasSuffix(strings.TrimSuffix(last, w), ".")
	}
	return !strings.ContainsAny(last[len(last)-1:], ")]\"`")
}

// regexpLength returns the length of the regular expression at the present place,
// without its flags, or zero if none ends on this line.
func (l *lexer) regexpLength() int {
	inClass := false
	end := l.at + 1
	for ; end < len(l.text) && l.text[end] != '\n'; end++ {
		l.steps++
		if inClass && l.class.has(end) || !inClass && l.regular.has(end) {
			break
		}
		switch l.text[end] {
		case '\\':
			end++
		case '[':
			inClass = true
		case ']':
			inClass = false
		case '/':
			if !inClass {
				return end + 1 - l.at
			}
		}
	}
	inClass = false
	for place := l.at + 1; place < min(end, len(l.text)); place++ {
		if inClass {
			l.class.add(place, len(l.text))
		} else {
			l.regular.add(place, len(l.text))
		}
		switch l.text[place] {
		case '\\':
			place++
		case '[':
			inClass = true
		case ']':
			inClass = false
		}
	}
	return 0
}

// literalLength returns the length of the string literal at the present place,
// including its quotes, or zero if it does not end on its line.
func (l *lexer) literalLength() int {
	known := &l.double
	if l.text[l.at] == '\'' {
		known = &l.single
	}
	end := l.at + 1
	for ; end < len(l.text) && l.text[end] != '\n' && !known.has(end); end++ {
		l.steps++
		switch l.text[end] {
		case '\\':
			end++
		case l.text[l.at]:
			return end + 1 - l.at
		}
	}
	for place := l.at + 1; place < min(end, len(l.text)); place++ {
		known.add(place, len(l.text))
		if l.text[place] == '\\' {
			place++
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

// stringLength returns the length of the JSON string that text begins with,
// including its quotes. One that does not end on its line has the length of
// the rest of that line.
func stringLength(text string) int {
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
			length = stringLength(text)
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
