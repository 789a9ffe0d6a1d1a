package report

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// longest is how many bytes are shown of a text from elsewhere.
const longest = 1000

// invisible is a space without width. GitHub and GitLab look for references to users
// and issues in the text that they have made of Markdown, where a backslash is gone.
const invisible = "\u200b"

// addresses finds what is made a link without being marked as one.
var addresses = text.Pattern(`(?i)(?:[a-z][a-z0-9+.-]*://|www\.)[^\s"'“”()<>\x60]+`)

// prose returns a text from elsewhere as one line that means nothing in Markdown but
// itself. What stands in backquotes stays code, as commands in a remedy; a backquote
// from the database can make code of text at most.
func prose(s string) string {
	parts := strings.Split(text.Head(text.Line(s), longest), "`")
	if len(parts)%2 == 0 {
		return plain(strings.Join(parts, "'"))
	}
	var b strings.Builder
	for i, part := range parts {
		if i%2 == 1 {
			b.WriteString(code(part))
		} else {
			b.WriteString(plain(part))
		}
	}
	return strings.ReplaceAll(b.String(), "``", "` `") // one after the other
}

// plain is prose without code, except for addresses.
func plain(s string) string {
	var b strings.Builder
	for {
		at := addresses().FindStringIndex(s)
		if at == nil {
			b.WriteString(escaped(s))
			return b.String()
		}
		b.WriteString(escaped(s[:at[0]]))
		b.WriteString(code(s[at[0]:at[1]]))
		s = s[at[1]:]
	}
}

// escaped puts a backslash before what would be Markdown, and an invisible space into
// what would be a reference or an emoji.
func escaped(s string) string {
	var b strings.Builder
	before := ' '
	for i, c := range s {
		next, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(c):])
		switch {
		case c == '<':
			b.WriteString("&lt;")
		case c == '&' && (next == '#' || word(next)):
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*[]~$|", c), c == '_' && (!word(before) || !word(next)):
			b.WriteRune('\\')
			b.WriteRune(c)
		case strings.ContainsRune("@#!%", c) && word(next), c == ':' && before == ' ' && word(next):
			b.WriteRune(c)
			b.WriteString(invisible)
		default:
			b.WriteRune(c)
		}
		before = c
	}
	return b.String()
}

func word(c rune) bool {
	return c != utf8.RuneError && (unicode.IsLetter(c) || unicode.IsDigit(c) || c == '_' || c == '-' || c == '+')
}

// code returns a text from elsewhere as code. Slack reads what stands in angle brackets
// there too, and GitHub's runner a command after two number signs.
func code(s string) string {
	s = strings.ReplaceAll(text.Head(text.Line(s), longest), "`", "'")
	for _, mark := range []string{"<!", "<@", "<#"} {
		s = strings.ReplaceAll(s, mark, mark[:1]+invisible+mark[1:])
	}
	s = strings.ReplaceAll(s, "##[", "##"+invisible+"[")
	if s = strings.TrimSpace(s); s == "" {
		return ""
	}
	return "`" + s + "`"
}
