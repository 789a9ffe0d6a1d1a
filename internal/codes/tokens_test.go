package codes

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

// token is a word, a string or a sign of a source. A string has its content
// without its quotes.
type token struct {
	text   string
	string bool
}

// is reports whether the token is a word or a sign, in either case.
func (t token) is(text string) bool { return !t.string && strings.EqualFold(t.text, text) }

// scanSQL splits SQL into tokens, and leaves comments out. A body in dollar
// quotes is code like what is around it.
func scanSQL(source string) (tokens []token) {
	for i := 0; i < len(source); {
		rest := source[i:]
		switch c := rest[0]; {
		case strings.HasPrefix(rest, "--"):
			line, _, _ := strings.Cut(rest, "\n")
			i += len(line)
		case strings.HasPrefix(rest, "$body$"):
			i += len("$body$")
		case c == '\'':
			text, size := quotedSQL(rest)
			tokens = append(tokens, token{text, true})
			i += size
		default:
			text, size := wordOrSign(rest, []string{"->>", "#>>", "->", "#>", "||", "::", ":=", "=>", "<=", ">=", "<>"})
			if text != "" {
				tokens = append(tokens, token{text, false})
			}
			i += size
		}
	}
	return tokens
}

// quotedSQL is the content of the SQL string at the begin of a source, and the
// length of what it takes up.
func quotedSQL(source string) (string, int) {
	for end := 1; end < len(source); end++ {
		if source[end] != '\'' {
			continue
		}
		if strings.HasPrefix(source[end:], "''") {
			end++
			continue
		}
		return strings.ReplaceAll(source[1:end], "''", "'"), end + 1
	}
	return source[1:], len(source)
}

// scanTypeScript splits TypeScript into tokens, and leaves comments, patterns
// and templates out.
func scanTypeScript(source string) (tokens []token) {
	for i := 0; i < len(source); {
		rest := source[i:]
		switch c := rest[0]; {
		case strings.HasPrefix(rest, "//"):
			line, _, _ := strings.Cut(rest, "\n")
			i += len(line)
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return tokens
			}
			i += end + 2
		case c == '/' && patternFollows(tokens):
			size := quotedSize(rest, '/')
			tokens, i = append(tokens, token{"/…/", false}), i+size
		case c == '`':
			size := templateSize(rest)
			tokens, i = append(tokens, token{"`…`", false}), i+size
		case c == '"' || c == '\'':
			size := quotedSize(rest, c)
			tokens, i = append(tokens, token{strings.Trim(rest[:size], string(c)), true}), i+size
		default:
			text, size := wordOrSign(rest, []string{"=>", "===", "!==", "??", "?.", "..."})
			if text != "" {
				tokens = append(tokens, token{text, false})
			}
			i += size
		}
	}
	return tokens
}

// patternFollows reports whether a stroke after the tokens begins a pattern: a
// division follows a value.
func patternFollows(tokens []token) bool {
	if len(tokens) == 0 {
		return true
	}
	last := tokens[len(tokens)-1]
	return !last.string && (last.text == "return" || slices.Contains([]string{"", "(", "[", "{", ",", ";", ":", "=", "!", "&", "|", "?", ">", "=>"}, last.text))
}

// quotedSize is the length of the string or pattern at the begin of a source. A
// stroke in brackets does not end a pattern.
func quotedSize(source string, quote byte) int {
	inBrackets := false
	for end := 1; end < len(source); end++ {
		switch source[end] {
		case '\\':
			end++
		case '[':
			inBrackets = quote == '/'
		case ']':
			inBrackets = false
		case quote:
			if !inBrackets {
				return end + 1
			}
		}
	}
	return len(source)
}

// templateSize is the length of the template at the begin of a source, with the
// expressions in it.
func templateSize(source string) int {
	depth := 0
	for end := 1; end < len(source); end++ {
		switch {
		case source[end] == '\\':
			end++
		case depth == 0 && source[end] == '`':
			return end + 1
		case strings.HasPrefix(source[end:], "${"):
			depth, end = depth+1, end+1
		case depth > 0 && source[end] == '{':
			depth++
		case depth > 0 && source[end] == '}':
			depth--
		case depth > 0 && source[end] == '`':
			end += templateSize(source[end:]) - 1
		}
	}
	return len(source)
}

// wordOrSign is the word or the sign at the begin of a source and its length;
// the word is empty for white space. A name with points is one word.
func wordOrSign(source string, signs []string) (string, int) {
	inWord := func(r rune) bool { return r == '_' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	for _, sign := range signs {
		if strings.HasPrefix(source, sign) {
			return sign, len(sign)
		}
	}
	first := []rune(source[:min(len(source), 4)])[0]
	if inWord(first) && first != '.' {
		if end := strings.IndexFunc(source, func(r rune) bool { return !inWord(r) }); end > 0 {
			return source[:end], end
		}
		return source, len(source)
	}
	if unicode.IsSpace(first) {
		return "", len(string(first))
	}
	return string(first), len(string(first))
}

// argument is the tokens from one on up to the comma or the bracket that ends
// the argument there, or up to one of the words that end a clause.
func argument(tokens []token, from int, words ...string) []token {
	depth := 0
	for at := from; at < len(tokens); at++ {
		t := tokens[at]
		switch {
		case t.is("(") || t.is("[") || t.is("{") || t.is("case"):
			depth++
		case depth == 0 && (t.is(",") || t.is(")") || t.is("]") || t.is("}") || t.is(";")):
			return tokens[from:at]
		case depth == 0 && slices.ContainsFunc(words, t.is):
			return tokens[from:at]
		case t.is(")") || t.is("]") || t.is("}") || t.is("end"):
			depth--
		}
	}
	return tokens[from:]
}

// arguments are those of a call, or the entries of a list, of which the first
// begins at a token.
func arguments(tokens []token, from int, words ...string) (list [][]token) {
	for {
		one := argument(tokens, from, words...)
		list = append(list, one)
		from += len(one)
		if from >= len(tokens) || !tokens[from].is(",") {
			return list
		}
		from++
	}
}

// written is what tokens look like in one line.
func written(tokens []token) string {
	var words []string
	for _, t := range tokens {
		if t.string {
			t.text = "'" + t.text + "'"
		}
		words = append(words, t.text)
	}
	return strings.Join(words, " ")
}

// TestScan proves that both scanners tell words, signs and strings apart, and
// that nothing in a comment, a pattern or a template is taken for code.
func TestScan(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"a -- 'no'\nb":                  "a b",
		"as $body$ x.y ->> 'k' $body$;": "as x.y ->> 'k' ;",
		"'it''s' || b::text":            "'it's' || b :: text",
		"f('ç', 2)":                     "f ( 'ç' , 2 )",
		"c := d #>> '{a,b}'":            "c := d #>> '{a,b}'",
		"'open":                         "'open'",
	} {
		if got := written(scanSQL(source)); got != want {
			t.Errorf("%s is read as %s, want %s", source, got, want)
		}
	}
	for source, want := range map[string]string{
		`f("a", 'b') // "c"`:                   "f ( 'a' , 'b' )",
		"/* new Failure(\"x\") */ g":           "g",
		"x.match(/[/\"]\\//) ? \"y\" : z":      "x.match ( /…/ ) ? 'y' : z",
		"a / b / \"c\"":                        "a / b / 'c'",
		"`t ${f({ a: `\"u\"` })} \\` \"v\"` w": "`…` w",
		`"q\"r" s`:                             `'q\"r' s`,
		"/* open":                              "",
	} {
		if got := written(scanTypeScript(source)); got != want {
			t.Errorf("%s is read as %s, want %s", source, got, want)
		}
	}
}
