// Package text makes text from elsewhere fit to be shown: on a terminal, in a
// log, and in a sentence. It also finds things in text.
package text

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Line returns s as one printable line. Any white space becomes a single space,
// none at either end; what Printable removes is removed.
func Line(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case unprintable(c):
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	return strings.Join(strings.Fields(s), " ")
}

// FirstLine returns the first line of s that is not blank, as Line does.
func FirstLine(s string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return Line(first)
}

// Printable returns s without the characters that affect a terminal instead of
// being shown on it: control characters other than line feeds, invisible
// characters, and those that change the direction of writing. Private-use
// characters and invalid UTF-8 are removed too.
func Printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && unprintable(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, ""))
}

func unprintable(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || unicode.Is(unicode.Co, c)
}

// Head returns the first limit bytes of s, without a character that would be
// cut, and an ellipsis if anything is left out.
func Head(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// Tail returns the last limit bytes of s, without a character that would be
// cut, after an ellipsis if anything is left out.
func Tail(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	start := len(s) - limit
	for start < len(s) && !utf8.RuneStart(s[start]) {
		start++
	}
	return "…" + s[start:]
}

// Sentence returns s with an initial capital and a full stop.
func Sentence(s string) string {
	s = Capitalize(s)
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// Capitalize returns s with an initial capital.
func Capitalize(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 || first == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

// Uncapitalize returns s with a small first letter, for use within a sentence.
// A word that is not written in small letters is left alone, such as "SQL" or
// "pg_cron's".
func Uncapitalize(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if second, _ := utf8.DecodeRuneInString(s[size:]); !unicode.IsLower(second) {
		return s
	}
	return string(unicode.ToLower(first)) + s[size:]
}

// Bytes returns a size with the largest unit of which it is at least one, such as
// "1.2 GB".
func Bytes(n int64) string {
	size, unit := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if size < 1000 {
			break
		}
		size, unit = size/1000, next
	}
	return Number(size) + " " + unit
}

// Number returns a number with at most one decimal.
func Number(n float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(n, 'f', 1, 64), ".0")
}

// Time returns t as RFC 3339 in UTC, to the second.
func Time(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// Duration returns the two largest units of d, such as "2 d 5 h", "3 h 0 min",
// "12 min" or "8 s". A negative d counts as none.
func Duration(d time.Duration) string {
	d = max(d, 0)
	days, hours, minutes := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min", minutes)
	}
	return fmt.Sprintf("%d s", int(d/time.Second))
}
