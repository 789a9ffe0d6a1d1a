package schedule

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// ParseError says why a cron expression is refused and what to write instead.
type ParseError struct {
	// Expr is the expression as it was given.
	Expr string
	// Field is the name of the wrong field, such as "minute" or "day of week",
	// or empty if it is the whole expression.
	Field string
	// Item is the wrong part of the field, or empty.
	Item string
	// Reason is a clause that says what is wrong.
	Reason string
	// Hint is a clause that says what to write instead.
	Hint string
}

// Error returns the reason and the hint in one line.
func (e *ParseError) Error() string {
	const longest = 100
	var b strings.Builder
	fmt.Fprintf(&b, "cron expression %q: ", text.Head(e.Expr, longest))
	if e.Field != "" {
		b.WriteString(e.Field)
		if e.Item != "" {
			fmt.Fprintf(&b, " %q", e.Item)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// field describes one of the five fields.
type field struct {
	name      string
	low, high int
	// names are the names of the values from low on, three letters each.
	names string
}

var (
	minuteField  = field{name: "minute", low: 0, high: 59}
	hourField    = field{name: "hour", low: 0, high: 23}
	dayField     = field{name: "day of month", low: 1, high: 31}
	monthField   = field{name: "month", low: 1, high: 12, names: "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"}
	weekdayField = field{name: "day of week", low: 0, high: 7, names: "SUNMONTUEWEDTHUFRISAT"}
)

// top returns the highest member of the field's sets. A weekday of 7 becomes 0.
func (f field) top() int {
	if f.high == weekdayField.high {
		return 6
	}
	return f.high
}

// every returns the set that "*/n" means.
func (f field) every(n int) uint64 { return f.fold(setOf(f.low, f.high, n)) }

// fold replaces Sunday as 7 with Sunday as 0.
func (f field) fold(set uint64) uint64 {
	if f.high == weekdayField.high && set>>7&1 != 0 {
		set = set&^(1<<7) | 1
	}
	return set
}

const (
	// maxDigits keeps numbers far below those that overflow in pg_cron.
	maxDigits = 4
	example   = `for example "0 3 * * *" for 03:00 every day`
)

// specials are the words that mean the same expression in every pg_cron.
var specials = map[string]string{
	"@hourly":   "0 * * * *",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@weekly":   "0 0 * * 0",
	"@monthly":  "0 0 1 * *",
}

// Parse reads a cron expression of five fields: minute, hour, day of month,
// month and day of week, or one of @hourly, @daily, @midnight, @weekly and
// @monthly.
//
// A field is a comma list of "*", "*/n", "a", "a-b" and "a-b/n" with a ≤ b and
// n no greater than the field's highest value; months and weekdays may be given
// by their first three letters in any case; Sunday is 0 or 7. Blanks and
// newlines around the expression are ignored.
//
// This is what means the same in pg_cron 1.4 to 1.6. For everything else the error
// is a [*ParseError], including what pg_cron accepts and misunderstands, and
// expressions with more than eight years between two runs.
func Parse(cron string) (Expr, error) {
	e, fault := parse(cron)
	if fault != nil {
		fault.Expr = cron
		return Expr{}, fault
	}
	return e, nil
}

func parse(cron string) (Expr, *ParseError) {
	text := strings.Trim(cron, " \t\n")
	if full, ok := specials[text]; ok {
		text = full
	}
	if fault := checkWhole(cron, text); fault != nil {
		return Expr{}, fault
	}
	fields := strings.FieldsFunc(text, isBlank)
	if len(fields) != 5 {
		return Expr{}, fieldCountFault(fields)
	}
	var sets [5]uint64
	for i, f := range [5]field{minuteField, hourField, dayField, monthField, weekdayField} {
		set, fault := f.parse(fields[i])
		if fault != nil {
			return Expr{}, fault
		}
		sets[i] = set
	}
	e := Expr{
		minutes:  sets[0],
		hours:    uint32(sets[1]),
		days:     uint32(sets[2]),
		months:   uint16(sets[3]),
		weekdays: uint8(sets[4]),
		either:   fields[2][0] != '*' && fields[4][0] != '*',
	}.normal()
	if fault := checkFires(e); fault != nil {
		return Expr{}, fault
	}
	return e, nil
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' }

// checkWhole refuses what is not a list of fields.
func checkWhole(cron, text string) *ParseError {
	// maxLength is the longest expression that pg_cron reads, in bytes.
	const maxLength = 999
	switch {
	case text == "":
		return &ParseError{Reason: "the expression is empty", Hint: "write five fields, " + example}
	case len(cron) > maxLength:
		return &ParseError{
			Reason: fmt.Sprintf("the expression has %d bytes, and pg_cron reads at most %d", len(cron), maxLength),
			Hint:   `use ranges and steps such as "0-30/5"`,
		}
	case text[0] == '@':
		return specialFault(text)
	case text[0] == '#':
		return &ParseError{Reason: "an expression cannot contain a comment", Hint: "write only the five fields, " + example}
	case text[0] == '"' || text[0] == '\'':
		return &ParseError{Reason: "the expression contains quotes", Hint: "write the five fields without them, " + example}
	case strings.HasPrefix(strings.ToUpper(text), "TZ=") || strings.HasPrefix(strings.ToUpper(text), "CRON_TZ="):
		return &ParseError{Reason: "pg_cron does not support a time zone in the expression", Hint: "write only the five fields and set `timezone`"}
	case strings.Contains(text, "\n"):
		return &ParseError{Reason: "the fields are on several lines", Hint: "write them on one line, " + example}
	}
	for _, r := range text {
		if !isBlank(r) && (r <= ' ' || r > '~') {
			return &ParseError{
				Reason: fmt.Sprintf("the character %q does not belong in an expression", r),
				Hint:   "write plain ASCII, " + example,
			}
		}
	}
	if hint, ok := intervalHint(text); ok {
		return &ParseError{Reason: "not every pg_cron understands an interval, and it does not say at what time of day", Hint: hint}
	}
	return nil
}

// specialFault explains a word with "@" that is not among the specials.
func specialFault(text string) *ParseError {
	word, rest := text, ""
	if end := strings.IndexAny(text, " \t\n"); end > 0 {
		word, rest = text[:end], strings.TrimLeft(text[end:], " \t\n")
	}
	lower := strings.ToLower(word)
	_, known := specials[lower]
	switch {
	case known && rest != "":
		return &ParseError{Reason: fmt.Sprintf("pg_cron ignores %q after %s", rest, word), Hint: fmt.Sprintf("write %q alone, or five fields, %s", lower, example)}
	case known:
		return &ParseError{Reason: "pg_cron knows this word only in lower case", Hint: fmt.Sprintf("write %q", lower)}
	case lower == "@yearly" || lower == "@annually":
		return &ParseError{Reason: word + " never fires in pg_cron 1.6", Hint: `write "0 0 1 1 *"`}
	case lower == "@reboot" || lower == "@restart":
		return &ParseError{Reason: word + " fires whenever the database starts, not at a time", Hint: "write five fields, " + example}
	case lower == "@every":
		hint, ok := intervalHint(rest)
		if !ok {
			hint = "write five fields, " + example
		}
		return &ParseError{Reason: "pg_cron does not support @every", Hint: hint}
	}
	return &ParseError{Reason: fmt.Sprintf("pg_cron does not support %q", word), Hint: "write @hourly, @daily, @midnight, @weekly, @monthly or five fields, " + example}
}

// interval matches "10 seconds", "every 5 minutes", "5m" and the like.
var interval = text.Pattern(`(?i)^(?:every\s+[-+*/]*([0-9]*)|[-+*/]*([0-9]+))[0-9.]*\s*([smhd]|secs?|seconds*|mins?|minutes?|hours?|days?)(?:\s.*)?$`)

// intervalHint recognises an interval and says how to write the nearest cron
// expression.
func intervalHint(text string) (hint string, ok bool) {
	match := interval().FindStringSubmatch(text)
	if match == nil {
		return "", false
	}
	n, err := strconv.Atoi(match[1] + match[2])
	if err != nil {
		n = 1
	}
	switch unit := strings.ToLower(match[3])[0]; {
	case unit == 's':
		return `the shortest schedule is every minute, "* * * * *"`, true
	case unit == 'm' && n == 1:
		return `write "* * * * *"`, true
	case unit == 'm' && n > 1 && n < 60:
		return fmt.Sprintf(`write "*/%d * * * *"`, n), true
	case unit == 'm', unit == 'h' && n == 1:
		return `write "0 * * * *" for every hour`, true
	case unit == 'h' && n > 1 && n < 24:
		return fmt.Sprintf(`write "0 */%d * * *"`, n), true
	}
	return `write "0 0 * * *" for every day`, true
}

// fieldCountFault explains too few or too many fields.
func fieldCountFault(fields []string) *ParseError {
	for i, f := range fields {
		if f[0] == '#' {
			return &ParseError{Item: f, Reason: "an expression cannot contain a comment", Hint: "write only the five fields"}
		}
		if i+1 < len(fields) && (strings.HasSuffix(f, ",") || strings.HasPrefix(fields[i+1], ",")) {
			return &ParseError{Item: f + " " + fields[i+1], Reason: "a list has a space before or after a comma", Hint: fmt.Sprintf("write %q", f+fields[i+1])}
		}
	}
	const fieldOrder = "minute, hour, day of month, month, day of week"
	if len(fields) < 5 {
		return &ParseError{
			Reason: fmt.Sprintf("it has %s instead of five: %s", count(len(fields), "field"), fieldOrder),
			Hint:   "write all five, " + example,
		}
	}
	reason := fmt.Sprintf("it has %d fields; pg_cron reads only the first five (%s) and silently ignores the rest", len(fields), fieldOrder)
	var hints []string
	if rest := strings.Join(fields[1:6], " "); len(fields) <= 7 && parses(rest) {
		hints = append(hints, fmt.Sprintf("if the first field was meant as seconds, write %q", rest))
	}
	if rest := strings.Join(fields[:5], " "); parses(rest) {
		hints = append(hints, fmt.Sprintf("if the first five are the schedule, write %q", rest))
	}
	if len(hints) == 0 {
		hints = append(hints, "write five fields, "+example)
	}
	return &ParseError{Reason: reason, Hint: strings.Join(hints, "; ")}
}

func parses(text string) bool {
	_, fault := parse(text)
	return fault == nil
}

// parse reads a whole field.
func (f field) parse(text string) (uint64, *ParseError) {
	var set uint64
	for item := range strings.SplitSeq(text, ",") {
		if item == "" {
			return 0, f.fault(text, "a list has an empty item", `write a list as "1,2,3"`)
		}
		part, fault := f.parseItem(item)
		if fault != nil {
			return 0, fault
		}
		set |= part
	}
	return set, nil
}

// parseItem reads "*", "*/n", "a", "a-b" or "a-b/n".
func (f field) parseItem(item string) (uint64, *ParseError) {
	if fault := f.foreign(item); fault != nil {
		return 0, fault
	}
	base, stepText, hasStep := strings.Cut(item, "/")
	first, last, n := f.low, f.high, 1
	var fault *ParseError
	from, to, isRange := strings.Cut(base, "-")
	switch {
	case base == "*":
	case strings.HasPrefix(base, "*"):
		return 0, f.fault(item, fmt.Sprintf("pg_cron ignores %q after the *", base[1:]), f.starHint(base[1:]))
	case isRange:
		if first, fault = f.value(item, from); fault != nil {
			return 0, fault
		}
		if last, fault = f.value(item, to); fault != nil {
			return 0, fault
		}
	default:
		if first, fault = f.value(item, base); fault != nil {
			return 0, fault
		}
		last = first
	}
	if hasStep {
		if n, fault = f.step(item, stepText, first); fault != nil {
			return 0, fault
		}
		if base != "*" && !isRange {
			return 0, f.fault(item, `a step needs a range or "*" before it`, fmt.Sprintf(`write "%d-%d/%d"`, first, f.top(), n))
		}
	}
	if first > last {
		return 0, f.fault(item, "the range runs backwards; pg_cron accepts it but fires at other times or never", "write "+strconv.Quote(f.wrapped(first, last, n)))
	}
	return f.fold(setOf(first, last, n)), nil
}

// value reads a number or a name.
func (f field) value(item, text string) (int, *ParseError) {
	if i := strings.Index(f.names, strings.ToUpper(text)); len(text) == 3 && i >= 0 && i%3 == 0 {
		return f.low + i/3, nil
	}
	if text == "" || strings.ContainsFunc(text, notDigit) {
		return 0, f.wordFault(item, text)
	}
	if len(text) > maxDigits {
		return 0, f.rangeFault(item, text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.low || n > f.high {
		return 0, f.rangeFault(item, text)
	}
	return n, nil
}

// step reads the number after "/".
func (f field) step(item, text string, first int) (int, *ParseError) {
	if text == "" || strings.ContainsFunc(text, notDigit) {
		return 0, f.fault(item, `the text after "/" is not a number`, fmt.Sprintf("write one from 1 to %d", f.high))
	}
	n, err := strconv.Atoi(text)
	if len(text) > maxDigits || err != nil || n > f.high {
		return 0, f.fault(item,
			fmt.Sprintf("a step of more than %d leaves only the first value, and newer versions of pg_cron refuse it", f.high),
			fmt.Sprintf(`write "%d"`, first))
	}
	if n == 0 {
		return 0, f.fault(item, "a step of 0 never advances", fmt.Sprintf("write a number from 1 to %d", f.high))
	}
	return n, nil
}

// foreign explains syntax of other cron programs that pg_cron does not support or
// silently misunderstands.
func (f field) foreign(item string) *ParseError {
	upper := strings.ToUpper(item)
	lastDay := `not every version supports the last day of a month; the first day is "1"`
	switch {
	case item == "?":
		return f.fault(item, `pg_cron does not support "?"`, `write "*"`)
	case strings.Contains(item, "$"):
		return f.fault(item, `pg_cron before 1.6 does not support "$"`, lastDay)
	case strings.Contains(item, "#"):
		hint := "pg_cron cannot express the nth weekday of a month"
		if day, nth, _ := strings.Cut(item, "#"); nth == "1" {
			// "*/31" is the first day alone and begins with "*", so that
			// the day of the month and the weekday must both match.
			hint = fmt.Sprintf(`for the first one of a month write "*/31,2-7" as day of month and %q as day of week`, day)
		}
		return f.fault(item, `pg_cron silently ignores "#" and what follows`, hint)
	case f.names == "" && (upper == "L" || upper == "LW" || strings.HasPrefix(upper, "L-")):
		return f.fault(item, `pg_cron does not support "L"`, lastDay)
	case f.high == weekdayField.high && (upper == "L" || len(upper) > 1 && strings.HasSuffix(upper, "L") && strings.Trim(upper[:len(upper)-1], "01234567") == ""):
		return f.fault(item, `pg_cron does not support "L"`, `write a weekday as 0 to 7 or SUN to SAT; pg_cron cannot express the last one of a month`)
	case f.names == "" && len(upper) > 1 && strings.HasSuffix(upper, "W") && strings.Trim(upper[:len(upper)-1], "0123456789") == "":
		return f.fault(item, `pg_cron does not support "W"`, `pg_cron cannot express the nearest weekday; "1-5" as day of week means Monday to Friday`)
	case upper == "H" || strings.HasPrefix(upper, "H/") || strings.HasPrefix(upper, "H("):
		return f.fault(item, `pg_cron does not support "H"`, fmt.Sprintf("write a number from %d to %d", f.low, f.high))
	}
	return nil
}

// starHint suggests what "*" followed by rest may mean.
func (f field) starHint(rest string) string {
	if n, err := strconv.Atoi(rest); err == nil && n >= 1 && n <= f.high {
		return fmt.Sprintf(`write "*/%d"`, n)
	}
	return `write "*" or "*/n"`
}

// wordFault explains an item that is neither a number nor a name of the field.
func (f field) wordFault(item, text string) *ParseError {
	switch {
	case text == "" && item[0] == '-':
		return f.fault(item, "numbers cannot be negative", fmt.Sprintf("write a number from %d to %d", f.low, f.high))
	case text == "":
		return f.fault(item, "the range has no end", `write it as "1-5"`)
	}
	if upper := strings.ToUpper(text); len(text) > 3 {
		if i := strings.Index(f.names, upper[:3]); i >= 0 && i%3 == 0 {
			return f.fault(item, "pg_cron knows only names of three letters", fmt.Sprintf("write %q or %d", upper[:3], f.low+i/3))
		}
	}
	if i := strings.IndexFunc(text, notDigit); i > 0 && (text[i]|0x20 < 'a' || text[i]|0x20 > 'z') {
		i += strings.Index(item, text)
		return f.fault(item, fmt.Sprintf("pg_cron silently ignores %q", item[i:]), fmt.Sprintf("write %q", item[:i]))
	}
	hint := fmt.Sprintf("write a number from %d to %d", f.low, f.high)
	if f.names != "" {
		hint += fmt.Sprintf(", or a name such as %q", f.names[:3])
	}
	return f.fault(item, fmt.Sprintf("%q is not a valid %s", text, f.name), hint)
}

func notDigit(r rune) bool { return r < '0' || r > '9' }

// rangeFault explains a number that is out of range.
func (f field) rangeFault(item, text string) *ParseError {
	hint := fmt.Sprintf("write a number from %d to %d", f.low, f.high)
	switch {
	case item == text && (f.high == minuteField.high && text == "60" || f.high == hourField.high && text == "24"):
		hint = `write "0"`
	case f.high == weekdayField.high:
		hint += ", where 0 and 7 are Sunday"
	}
	return f.fault(item, fmt.Sprintf("%s is not between %d and %d", text, f.low, f.high), hint)
}

// wrapped rewrites a range that runs backwards as the list that it probably means.
func (f field) wrapped(first, last, n int) string {
	size := f.top() - f.low + 1
	if n > 1 {
		var list []string
		for d := 0; d <= ((last-first)%size+size)%size; d += n {
			list = append(list, strconv.Itoa((first-f.low+d)%size+f.low))
		}
		return strings.Join(list, ",")
	}
	span := func(a, b int) string {
		if a == b {
			return strconv.Itoa(a)
		}
		return fmt.Sprintf("%d-%d", a, b)
	}
	if f.high == weekdayField.high && last == 0 {
		return span(first, 7)
	}
	if first > f.top() {
		return span(f.low, last)
	}
	return span(first, f.top()) + "," + span(f.low, last)
}

func (f field) fault(item, reason, hint string) *ParseError {
	return &ParseError{Field: f.name, Item: item, Reason: reason, Hint: hint}
}

// checkFires refuses expressions that are never due, or so rarely that this
// cannot be intended.
func checkFires(e Expr) *ParseError {
	if e.either || e.days == allDays {
		return nil // every month has every weekday
	}
	// maxGapDays is the longest accepted time between two due days: from one 29
	// February to the next across a century without a leap day.
	const maxGapDays = 8*365 + 2
	gap := e.longestDayGap()
	switch {
	case gap == 0:
		return &ParseError{
			Field:  dayField.name,
			Reason: "none of the months has such a day, so the schedule would never fire",
			Hint:   "write days that exist, at most 29 for February and 30 for April, June, September and November",
		}
	case gap > maxGapDays:
		return &ParseError{
			Field:  dayField.name,
			Reason: fmt.Sprintf("the day of month and the day of week coincide so rarely that there can be %d years between two runs", gap/365),
			Hint:   `write "*" in one of the two fields`,
		}
	}
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
