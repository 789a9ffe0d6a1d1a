package selfhosted

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// environment is an env file: NAME=value lines in the form that docker
// compose, Supabase's CLI and Deno all read the same way. Lines in any other
// form are kept byte for byte.
type environment struct {
	entries []entry
}

// entry is one assignment, or one line that is not an assignment.
type entry struct {
	raw   string // as the file has it, with line ends
	name  string // empty if it is not an assignment
	value string
}

var (
	assignment   = text.Pattern(`^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*`)
	variableName = text.Pattern(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// plain matches values that mean the same to every reader, quoted or not.
	plain = text.Pattern(`^[A-Za-z0-9_./:@%+,=-]+$`)
)

// parseEnvironment reads the text of an env file.
func parseEnvironment(text string) *environment {
	e := &environment{}
	for text != "" {
		line, rest := firstLine(text)
		match := assignment().FindStringSubmatch(line)
		if match == nil {
			e.entries = append(e.entries, entry{raw: line})
			text = rest
			continue
		}
		value, length := readValue(text[len(match[0]):])
		end := len(match[0]) + length
		// What follows a closing quote on its line belongs to the assignment.
		tail, _ := firstLine(text[end:])
		end += len(tail)
		e.entries = append(e.entries, entry{raw: text[:end], name: match[1], value: value})
		text = text[end:]
	}
	return e
}

// firstLine splits a text after its first line feed.
func firstLine(text string) (line, rest string) {
	if at := strings.IndexByte(text, '\n'); at >= 0 {
		return text[:at+1], text[at+1:]
	}
	return text, ""
}

// readValue reads the value that text begins with and returns its length in
// text. A quoted value may have several lines.
func readValue(text string) (value string, length int) {
	switch {
	case strings.HasPrefix(text, "'"):
		if at := strings.IndexByte(text[1:], '\''); at >= 0 {
			return text[1 : at+1], at + 2
		}
	case strings.HasPrefix(text, `"`):
		var out strings.Builder
		for i := 1; i < len(text); i++ {
			switch c := text[i]; {
			case c == '"':
				return out.String(), i + 1
			case c == '\\' && i+1 < len(text):
				i++
				out.WriteString(unescape(text[i]))
			default:
				out.WriteByte(c)
			}
		}
	}
	line, _ := firstLine(text)
	value = strings.TrimRight(line, "\r\n")
	if at := strings.Index(value, " #"); at >= 0 {
		value = value[:at]
	}
	return strings.TrimSpace(value), len(strings.TrimRight(line, "\n"))
}

func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '\\', '"', '$':
		return string(c)
	}
	return `\` + string(c)
}

// quoted writes a value in a form that every reader reads the same way. ok is
// false if there is none. Readers agree that no character in single quotes is
// special, except that some treat a backslash before the closing quote as part
// of the value. They differ in what they expand and unescape in double quotes.
func quoted(value string) (text string, ok bool) {
	switch {
	case plain().MatchString(value):
		return value, true
	case strings.Contains(value, "\r"):
		return "", false
	case !strings.Contains(value, "'") && !strings.HasSuffix(value, `\`):
		return "'" + value + "'", true
	case !strings.ContainsAny(value, "\"\\$`\n"):
		return `"` + value + `"`, true
	}
	return "", false
}

// CheckSecret reports why a variable cannot be written to an env file. The error
// does not contain the value.
func CheckSecret(name, value string) error {
	_, ok := quoted(value)
	switch {
	case !variableName().MatchString(name):
		return fmt.Errorf("%q is not a valid name of an environment variable; use letters, digits and underscores, beginning with a letter or an underscore", name)
	case strings.ContainsRune(value, 0) || !utf8.ValidString(value):
		return fmt.Errorf("the value of %s contains bytes that an environment variable cannot have; encode it, for example with `base64encode`", name)
	case !ok:
		return fmt.Errorf("the value of %s cannot be written in a way that every reader of env files reads the same: it contains a carriage return, ends in a backslash, or contains a single quote together with a double quote, a backslash, a dollar sign, a backtick or a line break; encode it, for example with `base64encode`", name)
	}
	return nil
}

// values returns the assigned values by name. The last assignment counts.
func (e *environment) values() map[string]string {
	values := map[string]string{}
	for _, entry := range e.entries {
		if entry.name != "" {
			values[entry.name] = entry.value
		}
	}
	return values
}

// set assigns a value that CheckSecret accepts. It replaces the last assignment
// of the name and removes earlier ones, or appends one. It reports whether the
// value was different before.
func (e *environment) set(name, value string) bool {
	if former, ok := e.values()[name]; ok && former == value {
		return false
	}
	text, _ := quoted(value)
	written := entry{raw: name + "=" + text + "\n", name: name, value: value}
	at := -1
	for i, entry := range e.entries {
		if entry.name == name {
			at = i
		}
	}
	if at < 0 {
		if n := len(e.entries); n > 0 && !strings.HasSuffix(e.entries[n-1].raw, "\n") {
			e.entries[n-1].raw += "\n"
		}
		e.entries = append(e.entries, written)
		return true
	}
	e.entries[at] = written
	earlier := slices.DeleteFunc(slices.Clone(e.entries[:at]), func(entry entry) bool { return entry.name == name })
	e.entries = append(earlier, e.entries[at:]...)
	return true
}

// remove removes all assignments of a name and reports whether there were any.
func (e *environment) remove(name string) bool {
	before := len(e.entries)
	e.entries = slices.DeleteFunc(e.entries, func(entry entry) bool { return entry.name == name })
	return len(e.entries) < before
}

func (e *environment) text() string {
	var out strings.Builder
	for _, entry := range e.entries {
		out.WriteString(entry.raw)
	}
	return out.String()
}

// readEnvironment reads an env file. A missing file is empty.
func readEnvironment(file string) (*environment, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the env file: %w", err)
	}
	return parseEnvironment(string(text)), nil
}

// writeEnvironment replaces an env file in one step. Because the file contains
// secrets, only its owner can read it afterwards. The owner stays the same.
func writeEnvironment(file string, e *environment) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	if err := replaceFile(file, []byte(e.text()), 0o600); err != nil {
		return fmt.Errorf("write the env file: %w", err)
	}
	return nil
}
