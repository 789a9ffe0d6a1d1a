package schedule_test

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cronEntry is what pg_cron makes of an expression: five bitmaps, read as
// pg_cron itself reads them. Nothing here is shared with the parser under test.
type cronEntry struct {
	minute, hour, dom, month, dow bitmap
	domStar, dowStar              bool
	lastDay                       bool // "$"
	atStart                       bool // "@reboot"
}

// A bitmap is one field; bit 0 is the field's lowest value.
type bitmap [8]byte

func (b *bitmap) set(i int)     { b[i/8] |= 1 << (i % 8) }
func (b bitmap) has(i int) bool { return b[i/8]>>(i%8)&1 != 0 }

// fill sets the bits from one to another as pg_cron 1.6 does, byte by byte:
// with the ends in the wrong order it sets what its author did not mean.
func (b *bitmap) fill(from, to int) {
	head, tail := byte(0xff<<(from%8)), byte(0xff>>(7-to%8))
	if from/8 == to/8 {
		b[from/8] |= head & tail
		return
	}
	b[from/8] |= head
	for i := from/8 + 1; i < to/8; i++ {
		b[i] = 0xff
	}
	b[to/8] |= tail
}

// A cronVersion is a version of pg_cron whose parser differs from others.
type cronVersion int

const (
	cron142 cronVersion = 142
	cron167 cronVersion = 167
)

// cronReader reads an expression character by character; past the end it reads
// zeroes.
type cronReader struct {
	text    string
	next    int
	version cronVersion
}

func (r *cronReader) char() byte {
	if r.next >= len(r.text) {
		return 0
	}
	r.next++
	return r.text[r.next-1]
}

// readCron parses an expression as a version of pg_cron does.
func readCron(text string, version cronVersion) (e cronEntry, ok bool) {
	if len(text) >= 1000 {
		return e, false
	}
	r := &cronReader{text: text, version: version}
	c := r.char()
	for {
		for c == ' ' || c == '\t' {
			c = r.char()
		}
		if c != '\n' && c != '#' {
			break
		}
		for c != '\n' {
			if c == 0 {
				return e, false
			}
			c = r.char()
		}
		c = r.char()
	}
	if c == '@' {
		word := r.text[r.next:]
		if end := strings.IndexAny(word, " \t\n"); end >= 0 {
			word = word[:end]
		}
		full, known := map[string]string{
			"yearly": "0 0 1 1 *", "annually": "0 0 1 1 *", "monthly": "0 0 1 * *", "weekly": "0 0 * * 0",
			"daily": "0 0 * * *", "midnight": "0 0 * * *", "hourly": "0 * * * *",
		}[word]
		if word == "reboot" || word == "restart" {
			return cronEntry{atStart: true}, true
		}
		if !known {
			return e, false
		}
		e, ok = readCron(full, version)
		if version >= cron167 && strings.HasSuffix(full, "1 1 *") {
			e.month = bitmap{} // the month gets the number 0, which is refused
		}
		return e, ok
	}
	const months, weekdays = "jan feb mar apr may jun jul aug sep oct nov dec", "sun mon tue wed thu fri sat"
	if c, ok = r.list(&e.minute, 0, 59, "", c); !ok {
		return e, false
	}
	if c, ok = r.list(&e.hour, 0, 23, "", c); !ok {
		return e, false
	}
	e.domStar = c == '*'
	if c == '$' && version >= cron167 {
		e.lastDay = true
		if c = r.char(); c != ' ' && c != '\t' {
			return e, false
		}
		c = r.blanks(c)
	} else if c, ok = r.list(&e.dom, 1, 31, "", c); !ok {
		return e, false
	}
	if c, ok = r.list(&e.month, 1, 12, months, c); !ok {
		return e, false
	}
	e.dowStar = c == '*'
	if _, ok = r.list(&e.dow, 0, 7, weekdays, c); !ok {
		return e, false
	}
	if e.dow.has(0) || e.dow.has(7) {
		e.dow.set(0)
		e.dow.set(7)
	}
	return e, true
}

// list reads a field from its first character on and returns the first one of
// the next field.
func (r *cronReader) list(bits *bitmap, low, high int, names string, c byte) (byte, bool) {
	for {
		var ok bool
		if c, ok = r.item(bits, low, high, names, c); !ok {
			return c, false
		}
		if c != ',' {
			break
		}
		c = r.char()
	}
	for c != ' ' && c != '\t' && c != '\n' && c != 0 {
		c = r.char() // junk
	}
	return r.blanks(c), true
}

func (r *cronReader) blanks(c byte) byte {
	for c == ' ' || c == '\t' {
		c = r.char()
	}
	return c
}

func (r *cronReader) item(bits *bitmap, low, high int, names string, c byte) (byte, bool) {
	first, last, step := low, high, 1
	var ok bool
	if c == '*' {
		c = r.char()
	} else {
		if first, c, ok = r.number(low, names, c); !ok {
			return c, false
		}
		if c != '-' {
			if c == '/' || first < low || first > high {
				return c, false
			}
			bits.set(first - low)
			return c, true
		}
		if last, c, ok = r.number(low, names, r.char()); !ok {
			return c, false
		}
	}
	if c == '/' {
		if step, c, ok = r.number(0, "", r.char()); !ok || step <= 0 {
			return c, false
		}
		if r.version >= cron167 && step > high {
			return c, false
		}
	}
	if first < low || first > high || last < low || last > high {
		return c, false
	}
	if r.version >= cron167 && step == 1 {
		bits.fill(first-low, last-low)
		return c, true
	}
	for v := first; v <= last; v += step {
		bits.set(v - low)
	}
	return c, true
}

func (r *cronReader) number(low int, names string, c byte) (int, byte, bool) {
	var word strings.Builder
	digits := true
	for c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
		digits = digits && c <= '9'
		word.WriteByte(c)
		c = r.char()
	}
	for i, name := range strings.Fields(names) {
		if strings.EqualFold(name, word.String()) {
			return low + i, c, true
		}
	}
	if word.Len() == 0 || !digits {
		return 0, c, false
	}
	// C's atoi: saturates at 64 bits and keeps the lower 32 of them.
	n, _ := new(big.Int).SetString(word.String(), 10)
	if !n.IsInt64() {
		n.SetInt64(math.MaxInt64)
	}
	return int(int32(n.Int64())), c, true
}

// onDay tells whether pg_cron runs the job on a day.
func (e *cronEntry) onDay(t time.Time) bool {
	if !e.month.has(int(t.Month()) - 1) {
		return false
	}
	byDate, byWeekday := e.dom.has(t.Day()-1), e.dow.has(int(t.Weekday()))
	if e.lastDay {
		byDate = t.AddDate(0, 0, 1).Day() == 1
	}
	if e.domStar || e.dowStar {
		return byDate && byWeekday
	}
	return byDate || byWeekday
}

// minutesOfDay lists the minutes at which pg_cron runs the job on its days.
func (e *cronEntry) minutesOfDay() []int {
	var list []int
	for m := range 24 * 60 {
		if e.hour.has(m/60) && e.minute.has(m%60) {
			list = append(list, m)
		}
	}
	return list
}

// sameDays tells whether two entries run on the same days: all combinations of
// month, day and weekday.
func sameDays(a, b *cronEntry) bool {
	for day := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2028; day = day.AddDate(0, 0, 1) {
		if a.onDay(day) != b.onDay(day) {
			return false
		}
	}
	return true
}

// A measured expression of testdata/measured.tsv.
type measured struct {
	expr           string
	old, new, ours string
	message        string
}

func measuredExpressions(t testing.TB) []measured {
	t.Helper()
	var list []measured
	for _, line := range testdataLines(t, "measured.tsv") {
		columns := strings.Split(line, "\t")
		if len(columns) != 5 {
			t.Fatalf("measured.tsv: %d columns in %q", len(columns), line)
		}
		expr, err := strconv.Unquote(columns[0])
		if err != nil {
			t.Fatalf("measured.tsv: %v in %q", err, line)
		}
		list = append(list, measured{expr, columns[1], columns[2], columns[3], columns[4]})
	}
	return list
}

// TestModelOfPgCron proves that the tests' own reading of pg_cron is the one
// that was measured on real servers of two versions; it fails if one bitmap or
// one rejection differs.
func TestModelOfPgCron(t *testing.T) {
	t.Parallel()
	for _, m := range measuredExpressions(t) {
		for _, c := range []struct {
			version cronVersion
			want    string
		}{{cron142, m.old}, {cron167, m.new}} {
			got, ok := readCron(m.expr, c.version)
			switch {
			case c.want == "-" || c.want == "interval":
				if ok {
					t.Errorf("%d %q: accepted, want rejected as a cron expression", c.version, m.expr)
				}
			case !ok:
				t.Errorf("%d %q: rejected, want %s", c.version, m.expr, c.want)
			case c.want == "start":
				if !got.atStart {
					t.Errorf("%d %q: does not fire at the start", c.version, m.expr)
				}
			case c.want == "never":
				if len(got.minutesOfDay()) > 0 && !sameDays(&got, &cronEntry{}) {
					t.Errorf("%d %q: fires, want never", c.version, m.expr)
				}
			case strings.Contains(c.want, "last"):
				if !got.lastDay {
					t.Errorf("%d %q: does not fire on the last day", c.version, m.expr)
				}
			default:
				want, ok := readCron(c.want, cron142)
				if !ok {
					t.Fatalf("measured.tsv: %q is not a list of fields", c.want)
				}
				if got.minute != want.minute || got.hour != want.hour || !sameDays(&got, &want) {
					t.Errorf("%d %q: fires otherwise than %s", c.version, m.expr, c.want)
				}
			}
		}
	}
}
