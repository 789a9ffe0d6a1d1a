// Package inline writes the arguments of a statement into its text, for a server that
// takes parameters only with a statement that comes alone.
package inline

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Arguments puts the values of $1 and so on into a statement, as constants of unknown type
// like parameters. What stands in constants, quoted names and comments stays as it is.
// A parameter without a value stays, too, and the server refuses it. The error is an
// [*Error]: what a server says of a value without a parameter, or of a second statement.
func Arguments(sql string, values [][]byte) (string, error) {
	var b strings.Builder
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
		if n, err := strconv.Atoi(strings.TrimPrefix(text, "$")); err == nil && text[0] == '$' && n >= 1 {
			known = max(known, n)
			if n <= len(values) {
				text = constant(values[n-1])
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

var (
	word      = regexp.MustCompile(`^[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*`)
	parameter = regexp.MustCompile(`^\$[0-9]+`)
	dollar    = regexp.MustCompile(`^\$([A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$`)
)

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
		if tag := dollar.FindString(sql); tag != "" {
			return rest(len(tag), tag)
		}
		if name := parameter.FindString(sql); name != "" {
			return len(name)
		}
		return 1
	}
	if name := word.FindString(sql); name != "" {
		return len(name)
	}
	return 1
}
