package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var tsToken = regexp.MustCompile(`(?s)^(?:` + strings.Join([]string{
	`(?P<skip>\s+|//[^\n]*|/\*.*?\*/)`,
	`(?P<quoted>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')`,
	`(?P<word>[#@]?[\pL_$][\pL\d_$]*)`,
	`(?P<number>\d[\d_]*(?:\.\d+)?)`,
	`(?P<sign>=>|===|!==|==|!=|<=|>=|&&=|\|\|=|\?\?=|&&|\|\||\?\?|\?\.|\+\+|--|\+=|-=|\*=|\|=|\.\.\.|[-+*/%<>=!?&|^~(){}\[\],;.:])`,
}, "|") + `)`)

// lexTypeScript reads TypeScript from start to end, or to the bracket that ends
// the part of a template in which it begins. It returns where it stopped.
func lexTypeScript(source []byte, start int, inTemplate bool) (lexemes, int, error) {
	var list lexemes
	open := 0
	at := start
	for at < len(source) {
		rest := source[at:]
		switch {
		case rest[0] == '`':
			inner, end, err := lexTemplate(source, at)
			if err != nil {
				return nil, 0, err
			}
			list = append(append(list, lexeme{kind: quoted, start: at, end: at + 1, text: "`"}), inner...)
			list = append(list, lexeme{kind: quoted, start: end - 1, end: end, text: "`"})
			at = end
			continue
		case rest[0] == '/' && len(rest) > 1 && rest[1] != '/' && rest[1] != '*' && patternMayBegin(list):
			end, err := endOfPattern(source, at)
			if err != nil {
				return nil, 0, err
			}
			list = append(list, lexeme{kind: pattern, start: at, end: end, text: string(source[at:end])})
			at = end
			continue
		}
		m := tsToken.FindSubmatchIndex(rest)
		if m == nil {
			return nil, 0, fmt.Errorf("byte %d: %.20q is not known to the reader of TypeScript", at, rest)
		}
		t := lexeme{start: at, end: at + m[1], text: string(rest[:m[1]])}
		switch {
		case m[2] >= 0:
			at = t.end
			continue
		case m[4] >= 0:
			t.kind = quoted
		case m[6] >= 0:
			t.kind = word
		case m[8] >= 0:
			t.kind = number
		default:
			t.kind = sign
		}
		if t.is("{") {
			open++
		}
		if t.is("}") {
			if open == 0 && inTemplate {
				return list, at, nil
			}
			open--
		}
		list = append(list, t)
		at = t.end
	}
	if inTemplate {
		return nil, 0, fmt.Errorf("byte %d: a template does not end", start)
	}
	return list, at, nil
}

// lexTemplate reads a template string and returns what is in its ${…}.
func lexTemplate(source []byte, start int) (lexemes, int, error) {
	var list lexemes
	for at := start + 1; at < len(source); at++ {
		switch {
		case source[at] == '\\':
			at++
		case source[at] == '`':
			return list, at + 1, nil
		case bytes.HasPrefix(source[at:], []byte("${")):
			inner, end, err := lexTypeScript(source, at+2, true)
			if err != nil {
				return nil, 0, err
			}
			list = append(append(list, lexeme{kind: sign, start: at, end: at + 2, text: "("}), inner...)
			list = append(list, lexeme{kind: sign, start: end, end: end + 1, text: ")"})
			at = end
		}
	}
	return nil, 0, fmt.Errorf("byte %d: a template does not end", start)
}

// patternMayBegin reports whether a slash begins a regular expression, not a
// division.
func patternMayBegin(before lexemes) bool {
	last := before.at(len(before) - 1)
	if last.kind == word {
		return last.is("return", "typeof", "case", "in", "of")
	}
	return last.kind == sign && !last.is(")", "]", "}")
}

func endOfPattern(source []byte, start int) (int, error) {
	inClass := false
	for at := start + 1; at < len(source) && source[at] != '\n'; at++ {
		switch {
		case source[at] == '\\':
			at++
		case source[at] == '[':
			inClass = true
		case source[at] == ']':
			inClass = false
		case source[at] == '/' && !inClass:
			for at++; at < len(source) && source[at] >= 'a' && source[at] <= 'z'; at++ {
			}
			return at, nil
		}
	}
	return 0, fmt.Errorf("byte %d: a regular expression does not end", start)
}

// typescriptMutants lists the changes of one file.
func typescriptMutants(file string, source []byte) ([]mutant, error) {
	list, _, err := lexTypeScript(source, 0, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	m := &typescriptMutator{file: file, source: source, tokens: list.withDepth()}
	m.findTypes()
	for i := range m.tokens {
		if !m.types[i] {
			m.token(i)
			m.condition(i)
			m.statement(i)
		}
	}
	return m.found, nil
}

type typescriptMutator struct {
	file   string
	source []byte
	tokens lexemes
	types  []bool // what is gone when the program runs
	found  []mutant
}

func (m *typescriptMutator) replace(start, end int, text string) {
	m.found = append(m.found, newMutant(m.file, m.source, start, end, text))
}

// findTypes marks the tokens of imports, interfaces and declared types.
func (m *typescriptMutator) findTypes() {
	m.types = make([]bool, len(m.tokens))
	for i, t := range m.tokens {
		var ends string
		switch {
		case t.depth == 0 && t.is("import", "type"):
			ends = ";"
		case t.depth == 0 && t.is("interface"):
			ends = "}"
		case t.is("readonly") && m.tokens.at(i+1).kind == word:
			ends = ";"
		default:
			continue
		}
		for j := i; j < len(m.tokens); j++ {
			m.types[j] = true
			if m.tokens[j].depth == t.depth && m.tokens[j].is(ends) || m.tokens[j].depth < t.depth {
				break
			}
		}
	}
}

var (
	tsOperators = map[string]string{
		"===": "!==", "!==": "===", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "&&": "||", "||": "&&",
		"+": "-", "-": "+", "*": "/", "/": "*", "+=": "-=", "-=": "+=", "*=": "/=", "||=": "&&=",
		"true": "false", "false": "true",
	}
	tsWord = regexp.MustCompile(`^"[A-Za-z0-9_]+"$`)
)

// token adds the mutants of one operator or literal.
func (m *typescriptMutator) token(i int) {
	t, previous, next := m.tokens[i], m.tokens.at(i-1), m.tokens.at(i+1)
	switch {
	case t.kind == number:
		n, err := strconv.Atoi(strings.ReplaceAll(t.text, "_", ""))
		switch {
		case err != nil:
		case n < 1000:
			m.replace(t.start, t.end, strconv.Itoa(n+1))
		default:
			m.replace(t.start, t.end, strconv.Itoa(2*n))
		}
	case t.kind == quoted:
		if tsWord.MatchString(t.text) && previous.is("===", "!==", "case", "return") {
			m.replace(t.start, t.end, `"mutant"`)
		}
	case t.kind == pattern:
		m.pattern(t)
	case t.is("!"):
		m.replace(t.start, t.end, "")
	case t.is("<", ">", "+", "-", "*", "/", "||", "&&"):
		// A type's brackets and a sign have no space on both sides.
		spaced := m.space(t.start-1) && m.space(t.end)
		joins := t.is("+") && (previous.kind == quoted || next.kind == quoted)
		if spaced && !joins {
			m.replace(t.start, t.end, tsOperators[t.text])
		}
	case t.is("true", "false") && next.is(":"):
	default:
		if other, ok := tsOperators[t.text]; ok && (t.kind == word || t.kind == sign) {
			m.replace(t.start, t.end, other)
		}
	}
}

func (m *typescriptMutator) space(at int) bool {
	return at >= 0 && at < len(m.source) && strings.ContainsRune(" \n", rune(m.source[at]))
}

// pattern adds the mutants of a regular expression without one of its anchors.
func (m *typescriptMutator) pattern(t lexeme) {
	slash := strings.LastIndexByte(t.text, '/')
	if strings.HasPrefix(t.text, "/^") {
		m.replace(t.start, t.end, "/"+t.text[2:])
	}
	if slash > 1 && t.text[slash-1] == '$' {
		m.replace(t.start, t.end, t.text[:slash-1]+t.text[slash:])
	}
}

// condition adds the mutants of "if" whose condition is always or never true.
func (m *typescriptMutator) condition(i int) {
	t := m.tokens[i]
	if !t.is("if") || !m.tokens.at(i+1).is("(") {
		return
	}
	for j := i + 2; j < len(m.tokens); j++ {
		if m.tokens[j].is(")") && m.tokens[j].depth == t.depth {
			m.replace(m.tokens[i+2].start, m.tokens[j-1].end, "true")
			m.replace(m.tokens[i+2].start, m.tokens[j-1].end, "false")
			return
		}
	}
}

// statement adds the mutants of a statement: a call or an assignment that does
// not happen, and a function that returns nothing.
func (m *typescriptMutator) statement(i int) {
	t, previous := m.tokens[i], m.tokens.at(i-1)
	if t.kind != word || !previous.is(";", "{", "}", ")", "else") || !m.inFunction(i) {
		return
	}
	if t.is("const", "let", "if", "for", "while", "throw", "try", "catch", "finally", "else", "switch", "case", "default",
		"break", "continue", "function", "async", "class", "export", "static", "get", "set", "typeof", "new", "declare") {
		return
	}
	end := i
	for end < len(m.tokens) && (m.tokens[end].depth != t.depth || !m.tokens[end].is(";")) {
		if m.tokens[end].depth < t.depth || end == i+1 && m.tokens[end].is(":", "?") {
			return // part of an object or of its type
		}
		end++
	}
	if end == len(m.tokens) {
		return
	}
	if t.is("return") {
		value := m.tokens[i+1]
		nothing := end == i+1 || end == i+2 && value.is("null", "undefined")
		if !nothing {
			m.replace(value.start, m.tokens[end-1].end, "null")
		}
		return
	}
	m.replace(t.start, m.tokens[end-1].end, "")
}

// inFunction reports whether the innermost bracket around a token is the body of
// a function, a method or a statement, not of a class.
func (m *typescriptMutator) inFunction(i int) bool {
	for j := i - 1; j >= 0; j-- {
		if m.tokens[j].depth >= m.tokens[i].depth {
			continue
		}
		for k := j - 1; k >= 0 && !m.tokens[k].is(";", "{", "}", ")"); k-- {
			if m.tokens[k].is("class") {
				return false
			}
		}
		return m.tokens[j].is("{")
	}
	return true
}

var limitsObject = regexp.MustCompile(`(?s)"limits": \{(.*?)\}`)
var limitValue = regexp.MustCompile(`: (\d+)`)

// contractMutants lists the changes of contract.json: each limit twice as large.
func contractMutants(file string, source []byte) ([]mutant, error) {
	object := limitsObject.FindSubmatchIndex(source)
	if object == nil {
		return nil, fmt.Errorf("%s has no limits", file)
	}
	var found []mutant
	for _, value := range limitValue.FindAllSubmatchIndex(source[object[2]:object[3]], -1) {
		start, end := object[2]+value[2], object[2]+value[3]
		n, err := strconv.Atoi(string(source[start:end]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		found = append(found, newMutant(file, source, start, end, strconv.Itoa(2*n)))
	}
	return found, nil
}
