package plsql

import (
	"slices"
	"strings"
	"unicode"
)

type tokenKind int

const (
	word tokenKind = iota
	quotedWord
	textConstant
	number
	symbol
)

type token struct {
	kind tokenKind
	text string // a word in lower case; a quoted word and a text as they are meant
}

func (t token) is(words ...string) bool { return t.kind == word && slices.Contains(words, t.text) }
func (t token) sign(s string) bool      { return t.kind == symbol && t.text == s }
func (t token) named() bool             { return t.kind == word || t.kind == quotedWord }

// tokenize splits SQL into words, constants and signs, and drops the comments.
func tokenize(source string) []token {
	var tokens []token
	text := []rune(source)
	at := func(i int) rune {
		if i < len(text) {
			return text[i]
		}
		return 0
	}
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case unicode.IsSpace(c):
			i++
		case c == '-' && at(i+1) == '-':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case c == '/' && at(i+1) == '*':
			depth := 1
			for i += 2; i < len(text) && depth > 0; i++ {
				switch {
				case text[i] == '/' && at(i+1) == '*':
					depth++
					i++
				case text[i] == '*' && at(i+1) == '/':
					depth--
					i++
				}
			}
		case c == '\'' || (c == 'e' || c == 'E') && at(i+1) == '\'':
			escapes := c != '\''
			if escapes {
				i++
			}
			var content strings.Builder
			for i++; i < len(text); i++ {
				if text[i] == '\\' && escapes {
					i++
				} else if text[i] == '\'' {
					if at(i+1) != '\'' {
						break
					}
					i++
				}
				content.WriteRune(at(i))
			}
			i++
			tokens = append(tokens, token{textConstant, content.String()})
		case c == '"':
			var content strings.Builder
			for i++; i < len(text); i++ {
				if text[i] == '"' {
					if at(i+1) != '"' {
						break
					}
					i++
				}
				content.WriteRune(text[i])
			}
			i++
			tokens = append(tokens, token{quotedWord, content.String()})
		case c == '$' && !unicode.IsDigit(at(i+1)):
			// A text between $tag$ and $tag$.
			end := i + 1
			for end < len(text) && (unicode.IsLetter(text[end]) || unicode.IsDigit(text[end]) || text[end] == '_') {
				end++
			}
			if at(end) != '$' {
				i++
				break
			}
			tag := string(text[i : end+1])
			rest := string(text[end+1:])
			content, after, found := strings.Cut(rest, tag)
			tokens = append(tokens, token{textConstant, content})
			i = len(text)
			if found {
				i -= len([]rune(after))
			}
		case unicode.IsLetter(c) || c == '_':
			from := i
			for i < len(text) && (unicode.IsLetter(text[i]) || unicode.IsDigit(text[i]) || text[i] == '_' || text[i] == '$') {
				i++
			}
			tokens = append(tokens, token{word, strings.ToLower(string(text[from:i]))})
		case unicode.IsDigit(c):
			from := i
			for i < len(text) && (unicode.IsDigit(text[i]) || unicode.IsLetter(text[i]) || text[i] == '.') {
				i++
			}
			tokens = append(tokens, token{number, string(text[from:i])})
		case c == ':' && at(i+1) == ':':
			tokens = append(tokens, token{symbol, "::"})
			i += 2
		default:
			tokens = append(tokens, token{symbol, string(c)})
			i++
		}
	}
	return tokens
}
