package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// lexeme is a piece of SQL or TypeScript. White space and comments are none.
type lexeme struct {
	kind       kind
	start, end int
	text       string
	depth      int // how many brackets are open around it
}

type kind int

const (
	word kind = iota
	number
	quoted // a string
	sign   // an operator, a bracket, a comma
	pattern
)

// is reports whether the token is one of these words or signs.
func (t lexeme) is(texts ...string) bool {
	if t.kind != word && t.kind != sign {
		return false
	}
	for _, text := range texts {
		if t.text == text {
			return true
		}
	}
	return false
}

// lexemes are those of a text. Beyond its ends there are empty ones.
type lexemes []lexeme

func (t lexemes) at(i int) lexeme {
	if i < 0 || i >= len(t) {
		return lexeme{kind: sign}
	}
	return t[i]
}

// withDepth counts the brackets around each token. A bracket has the depth of
// what is around it.
func (t lexemes) withDepth() lexemes {
	depth := 0
	for i := range t {
		if t[i].is(")", "]", "}") {
			depth--
		}
		t[i].depth = depth
		if t[i].is("(", "[", "{") {
			depth++
		}
	}
	return t
}

var sqlToken = regexp.MustCompile(`(?s)^(?:` + strings.Join([]string{
	`(?P<skip>\s+|--[^\n]*|/\*.*?\*/)`,
	`(?P<quoted>[eE]?'(?:[^']|'')*')`,
	`(?P<word>[\pL_][\pL\d_]*|"[^"]*"|#[a-z_]+)`,
	`(?P<number>\d+(?:\.\d+)?)`,
	`(?P<sign>::|:=|=>|<=|>=|<>|!=|#>>|#>|->>|->|\|\||@>|!~\*|!~|~\*|[-+*/%<>=~?@#(){}\[\],;.:|&$])`,
}, "|") + `)`)

// lexSQL reads SQL from start to end. Words are in lower case.
func lexSQL(source []byte, start, end int) (lexemes, error) {
	var list lexemes
	for at := start; at < end; {
		m := sqlToken.FindSubmatchIndex(source[at:end])
		if m == nil {
			return nil, fmt.Errorf("byte %d: %.20q is not known to the reader of SQL", at, source[at:end])
		}
		t := lexeme{start: at, end: at + m[1], text: string(source[at : at+m[1]])}
		at += m[1]
		switch {
		case m[2] >= 0:
			continue
		case m[4] >= 0:
			t.kind = quoted
		case m[6] >= 0:
			t.kind, t.text = word, strings.ToLower(t.text)
		case m[8] >= 0:
			t.kind = number
		default:
			t.kind = sign
		}
		list = append(list, t)
	}
	return list.withDepth(), nil
}

// sqlMutants lists the changes of one function, whose body is between $body$.
func sqlMutants(file string, source []byte) ([]mutant, error) {
	quote := []byte("$body$")
	start := bytes.Index(source, quote)
	end := bytes.LastIndex(source, quote)
	if start == end {
		return nil, fmt.Errorf("%s has no $body$", file)
	}
	list, err := lexSQL(source, start+len(quote), end)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	m := &sqlMutator{file: file, source: source, tokens: list}
	for i := range list {
		m.token(i)
		m.condition(i)
		m.statement(i)
	}
	return m.found, nil
}

type sqlMutator struct {
	file   string
	source []byte
	tokens lexemes
	found  []mutant
}

// replace adds the mutant that puts a text in the place of the tokens from i to
// before j.
func (m *sqlMutator) replace(i, j int, text string) {
	m.found = append(m.found, newMutant(m.file, m.source, m.tokens[i].start, m.tokens[j-1].end, text))
}

var sqlOperators = map[string]string{
	"=": "<>", "<>": "=", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "~": "!~", "!~": "~", "+": "-", "-": "+",
	"or": "and", "greatest": "least", "least": "greatest", "desc": "asc", "max": "min", "min": "max",
	"bool_or": "bool_and", "bool_and": "bool_or", "true": "false", "false": "true",
}

var (
	sqlInterval = regexp.MustCompile(`^'(\d+) (second|minute|hour|day)s?'$`)
	sqlWord     = regexp.MustCompile(`^'[a-z_]+'$`)
)

// token adds the mutants of one operator or literal.
func (m *sqlMutator) token(i int) {
	t, previous, next := m.tokens[i], m.tokens.at(i-1), m.tokens.at(i+1)
	switch {
	case t.kind == number:
		m.number(i)
	case t.kind == quoted:
		if part := sqlInterval.FindStringSubmatch(t.text); part != nil {
			n, err := strconv.Atoi(part[1])
			if err == nil {
				m.replace(i, i+1, fmt.Sprintf("'%d %ss'", 2*n, part[2]))
			}
		} else if sqlWord.MatchString(t.text) && (previous.is("=", "<>", "when", "then", "else") || m.inList(i)) {
			m.replace(i, i+1, "'mutant'")
		}
	case t.is("is"):
		switch {
		case next.is("not"):
			m.replace(i, i+2, "is")
		case next.is("null", "distinct"):
			m.replace(i, i+1, "is not")
		}
	case t.is("not"):
		if !previous.is("is") && !next.is("null", "valid") {
			m.replace(i, i+1, "")
		}
	case t.is("and"):
		if !m.between(i) {
			m.replace(i, i+1, "or")
		}
	case t.is("true", "false", "desc") && previous.is("."), t.is("max", "min", "greatest", "least") && !next.is("("):
	case t.is("=") && m.assigned(i), t.is("or") && m.caught(i):
	case t.is("+", "-") && (previous.is("(", ",", "=", "<", ">", "<=", ">=", ":=") || previous.kind == quoted):
	case t.kind == word || t.kind == sign:
		if other, ok := sqlOperators[t.text]; ok {
			m.replace(i, i+1, other)
		}
	}
}

func (m *sqlMutator) number(i int) {
	t, previous := m.tokens[i], m.tokens.at(i-1)
	// One row more changes nothing where one is read; the number of a lock or of
	// a group means nothing in itself.
	if previous.is("limit") || m.caller(i) == "hashtextextended" {
		return
	}
	n, err := strconv.Atoi(t.text)
	switch {
	case err != nil:
	case n < 1000:
		m.replace(i, i+1, strconv.Itoa(n+1))
	default:
		m.replace(i, i+1, strconv.Itoa(2*n))
	}
}

// caller is the function in whose arguments a token stands.
func (m *sqlMutator) caller(i int) string {
	for j := i - 1; j > 0; j-- {
		if m.tokens[j].is("(") && m.tokens[j].depth < m.tokens[i].depth {
			return m.tokens[j-1].text
		}
	}
	return ""
}

// inList reports whether a token is in the list of "in (…)".
func (m *sqlMutator) inList(i int) bool { return m.caller(i) == "in" }

// between reports whether the "and" is that of "between … and".
func (m *sqlMutator) between(i int) bool {
	for j := i - 1; j >= 0 && m.tokens[j].depth >= m.tokens[i].depth; j-- {
		if m.tokens[j].depth > m.tokens[i].depth {
			continue
		}
		if m.tokens[j].is("between") {
			return true
		}
		if m.tokens[j].is("and", "or", "where", "when", "if", "on", ";") {
			return false
		}
	}
	return false
}

// assigned reports whether the "=" is that of "set … = …".
func (m *sqlMutator) assigned(i int) bool {
	if !m.tokens.at(i-2).is("set", ",") {
		return false
	}
	for j := i - 2; j >= 0 && m.tokens[j].depth >= m.tokens[i].depth; j-- {
		if m.tokens[j].depth > m.tokens[i].depth {
			continue
		}
		if m.tokens[j].is("set") {
			return true
		}
		if m.tokens[j].is("where", "select", ";", "(") {
			return false
		}
	}
	return false
}

// condition adds the mutants of the condition that begins behind a word: each of
// its parts without effect, and after "if" and "when" the whole never true.
func (m *sqlMutator) condition(i int) {
	t, previous := m.tokens[i], m.tokens.at(i-1)
	var ends []string
	switch {
	case t.is("if", "elsif") && !previous.is("end"):
		ends = []string{"then"}
	case t.is("when") && previous.is("exit", "continue"):
		ends = []string{";"}
	case t.is("when") && m.searched(i):
		ends = []string{"then"}
	case t.is("where", "having"), t.is("on") && !m.tokens.at(i+1).is("conflict", "constraint"):
		ends = []string{"where", "group", "order", "limit", "for", "returning", "loop", "union", "inner", "left", "full", "cross", "having", ";", "on"}
	default:
		return
	}
	end := i + 1
	for end < len(m.tokens) && (m.tokens[end].depth > t.depth || !m.tokens[end].is(ends...)) {
		if m.tokens[end].depth < t.depth {
			break
		}
		end++
	}
	var connectives []int
	for j := i + 1; j < end; j++ {
		if m.tokens[j].depth == t.depth && m.tokens[j].is("and", "or") && !m.between(j) && !m.inCase(i, j) {
			connectives = append(connectives, j)
		}
	}
	from := i + 1
	for _, to := range append(connectives, end) {
		neutral := "true"
		if m.tokens.at(from-1).is("or") || to < end && m.tokens[to].is("or") {
			neutral = "false"
		}
		constant := to == from+1 && m.tokens[from].is("true", "false")
		if from < to && !constant {
			m.replace(from, to, neutral)
		}
		from = to + 1
	}
	if t.is("if", "elsif", "when") && i+1 < end {
		m.replace(i+1, end, "false")
	}
}

// searched reports whether "when" is followed by a condition, not by a value or
// by the name of an exception.
func (m *sqlMutator) searched(i int) bool {
	open := 0
	for j := i - 1; j >= 0; j-- {
		if m.tokens[j].depth > m.tokens[i].depth {
			continue
		}
		switch {
		case m.tokens[j].is("end"):
			open++
		case m.tokens[j].is("case") && open > 0:
			open--
		case m.tokens[j].is("case"):
			return m.tokens[j+1].is("when")
		case m.tokens[j].depth < m.tokens[i].depth, m.tokens[j].is("exception", ";"):
			return false
		}
	}
	return false
}

// inCase reports whether token j stands between "case" and "end" behind token i.
func (m *sqlMutator) inCase(i, j int) bool {
	open := 0
	for k := i + 1; k < j; k++ {
		if m.tokens[k].is("case") {
			open++
		} else if m.tokens[k].is("end") {
			open--
		}
	}
	return open > 0
}

// caught reports whether the "or" stands between names of exceptions.
func (m *sqlMutator) caught(i int) bool {
	for i >= 0 && m.tokens[i].kind == word && !m.tokens[i].is("when") {
		i--
	}
	return m.tokens.at(i).is("when") && !m.tokens.at(i-1).is("exit", "continue") && !m.searched(i)
}

// statement adds the mutant without the statement that begins at a token.
func (m *sqlMutator) statement(i int) {
	t, previous := m.tokens[i], m.tokens.at(i-1)
	if i > 0 && !previous.is(";", "begin", "then", "else", "loop") || m.declares(i) {
		return
	}
	if !t.is("perform", "delete", "update", "insert", "execute") && !m.tokens.at(i+1).is(":=") {
		return
	}
	end := i
	for end < len(m.tokens) && (m.tokens[end].depth > t.depth || !m.tokens[end].is(";")) {
		end++
	}
	if end == len(m.tokens) || t.is("delete", "update", "insert") && previous.is("then", "else") && m.inQuery(i) {
		return
	}
	m.replace(i, end, "null")
}

// declares reports whether a token stands before the function's first "begin".
func (m *sqlMutator) declares(i int) bool {
	for _, t := range m.tokens[:i] {
		if t.is("begin") {
			return false
		}
	}
	return true
}

// inQuery reports whether "then" belongs to "case", in which no statement begins.
func (m *sqlMutator) inQuery(i int) bool {
	for j := i - 1; j >= 0; j-- {
		switch {
		case m.tokens[j].is(";", "loop", "begin"), m.tokens[j].is("if", "elsif"):
			return false
		case m.tokens[j].is("case"):
			return true
		}
	}
	return false
}
