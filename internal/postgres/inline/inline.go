// Package inline writes the arguments of a statement into its text, for a server that
// takes parameters only with a statement that comes alone.
package inline

import (
	"fmt"
	"strconv"
	"strings"
)

// Arguments puts the values of $1 and so on into a statement, as constants of unknown type
// like parameters. What stands in constants, quoted names and comments stays as it is.
// A parameter without a value stays, too, and the server refuses it. The error is an
// [*Error]: what a server says of a value without a parameter, or of a second statement.
func Arguments(sql string, values [][]byte) (string, error) {
	var b strings.Builder
	b.Grow(len(sql))
	known, ended := 0, false
	for sql != "" {
		length := token(sql)
		text := sql[:length]
		switch {
		case text == ";":
			ended = true
		case ended && strings.TrimSpace(text) != "" && !strings.HasPrefix(text, "--") && !strings.HasPrefix(text, "/*"):
			return "", &Error{SQLState: "42601", Message: "cannot insert multiple commands into a prepared statement"}
		}
		if digits, ok := strings.CutPrefix(text, "$"); ok {
			if n, err := strconv.Atoi(digits); err == nil && n >= 1 {
				known = max(known, n)
				if n <= len(values) {
					text = constant(values[n-1])
				}
			}
		}
		b.WriteString(text)
		sql = sql[length:]
	}
	if known < len(values) {
		return "", &Error{SQLState: "08P01", Message: fmt.Sprintf("bind message supplies %d parameters, but prepared statement \"\" requires %d", len(values), known)}
	}
	return b.String(), nil
}

// An Error says why a server would refuse a statement.
type Error struct{ SQLState, Message string }

func (e *Error) Error() string { return e.Message }

// constant is a value as an SQL constant, whatever standard_conforming_strings is.
func constant(value []byte) string {
	if value == nil {
		return "null"
	}
	return " E'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(string(value)) + "'"
}

// word returns the length of the name that a text begins with: letters, digits,
// underscores and what is not ASCII, not beginning with a digit.
func word(text string) int {
	length := 0
	for length < len(text) && inWord(text[length]) && (length > 0 || !isDigit(text[0])) {
		length++
	}
	return length
}

func inWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80 || isDigit(c)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// token returns the length of the first lexical element of a statement: a constant, a
// name, a comment, a parameter, or one other byte.
func token(sql string) int {
	rest := func(after int, end string) int {
		if at := strings.Index(sql[after:], end); at >= 0 {
			return after + at + len(end)
		}
		return len(sql)
	}
	switch {
	case sql[0] == '\'', sql[0] == '"':
		// A doubled quote ends one constant and begins the next.
		return rest(1, sql[:1])
	case len(sql) > 1 && (sql[0] == 'E' || sql[0] == 'e') && sql[1] == '\'':
		for i := 2; i < len(sql); i++ {
			switch sql[i] {
			case '\\':
				i++
			case '\'':
				return i + 1
			}
		}
		return len(sql)
	case strings.HasPrefix(sql, "--"):
		return rest(2, "\n")
	case strings.HasPrefix(sql, "/*"):
		depth := 1
		for i := 2; i < len(sql); i++ {
			switch {
			case strings.HasPrefix(sql[i:], "/*"):
				depth, i = depth+1, i+1
			case strings.HasPrefix(sql[i:], "*/"):
				depth, i = depth-1, i+1
				if depth == 0 {
					return i + 1
				}
			}
		}
		return len(sql)
	case sql[0] == '$':
		if tag := 1 + word(sql[1:]); tag < len(sql) && sql[tag] == '$' {
			return rest(tag+1, sql[:tag+1])
		}
		digits := 1
		for digits < len(sql) && isDigit(sql[digits]) {
			digits++
		}
		return digits
	}
	length := word(sql)
	// A name may also have a $ in it.
	for length > 0 && length < len(sql) && (sql[length] == '$' || inWord(sql[length])) {
		length++
	}
	return max(length, 1)
}
