package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// generatedExpressions are 100,000 different texts that Parse accepts, of all
// forms that its grammar has, and the same on every run.
var generatedExpressions = sync.OnceValue(func() []string {
	const wanted = 100_000
	random := rand.New(rand.NewPCG(182, 100_000))
	seen := make(map[string]bool, wanted)
	list := make([]string, 0, wanted)
	for len(list) < wanted {
		text := generate(random)
		if _, err := schedule.Parse(text); err == nil && !seen[text] {
			seen[text] = true
			list = append(list, text)
		}
	}
	return list
})

// mutatedExpressions are texts that are almost expressions.
var mutatedExpressions = sync.OnceValue(func() []string {
	const wanted = 20_000
	const characters = "0123456789*/-,  \t\n#?LW$HMONjan.:;@"
	random := rand.New(rand.NewPCG(31, 20_000))
	var list []string
	for len(list) < wanted {
		text := []byte(generate(random))
		for range 1 + random.IntN(3) {
			at, c := random.IntN(len(text)), characters[random.IntN(len(characters))]
			switch random.IntN(3) {
			case 0:
				text[at] = c
			case 1:
				text = append(text[:at:at], append([]byte{c}, text[at:]...)...)
			default:
				text = append(text[:at:at], text[at+1:]...)
			}
		}
		list = append(list, string(text))
	}
	return list
})

func generate(random *rand.Rand) string {
	item := func(low, high int, names string) string {
		value := func(v int) string {
			if names != "" && v < low+len(names)/3 && random.IntN(4) == 0 {
				name := names[3*(v-low) : 3*(v-low)+3]
				return [...]string{name, strings.ToLower(name), name[:1] + strings.ToLower(name[1:])}[random.IntN(3)]
			}
			if random.IntN(12) == 0 {
				return fmt.Sprintf("%02d", v)
			}
			return fmt.Sprint(v)
		}
		a := low + random.IntN(high-low+1)
		b := a + random.IntN(high-a+1)
		step := 1 + random.IntN(high)
		switch random.IntN(8) {
		case 0:
			return "*"
		case 1, 2:
			return fmt.Sprintf("*/%d", step)
		case 3, 4:
			return value(a) + "-" + value(b)
		case 5:
			return fmt.Sprintf("%s-%s/%d", value(a), value(b), step)
		}
		return value(a)
	}
	field := func(low, high int, names string) string {
		items := []string{item(low, high, names)}
		for random.IntN(3) == 0 && len(items) < 6 {
			items = append(items, item(low, high, names))
		}
		return strings.Join(items, ",")
	}
	fields := []string{
		field(0, 59, ""), field(0, 23, ""), "*", "*", "*",
	}
	if random.IntN(3) > 0 {
		fields[2] = field(1, 31, "")
	}
	if random.IntN(3) > 0 {
		fields[3] = field(1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC")
	}
	if random.IntN(3) > 0 {
		fields[4] = field(0, 7, "SUNMONTUEWEDTHUFRISAT")
	}
	text := strings.Join(fields, [...]string{" ", " ", " ", "\t", "  "}[random.IntN(5)])
	if random.IntN(20) == 0 {
		text = "\n " + text + " \n"
	}
	return text
}

// TestGenerated proves for 100,000 expressions that two versions of pg_cron
// make the same bitmaps of them as Parse, that the normal form keeps them, and
// that pg_cron fires within eight years and when Next says.
func TestGenerated(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	for _, text := range generatedExpressions() {
		e := parse(t, text)
		old, ok := readCron(text, cron142)
		newer, newOK := readCron(text, cron167)
		if !ok || !newOK || old != newer {
			t.Fatalf("%q: pg_cron 1.4 and 1.6 differ", text)
		}
		if err := sameBitmaps(e, &old); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if again, err := schedule.Parse(e.String()); err != nil || again != e {
			t.Fatalf("%q: the normal form %q reads as %q, %v", text, e, again, err)
		}
		after := time.Unix(1_735_689_600+random.Int64N(100*365*24*3600), 0)
		next := e.Next(time.UTC, after, 1)
		want, ok := nextFire(&old, after)
		if !ok || len(next) != 1 || !next[0].Equal(want) || want.Sub(after) > eightYears {
			t.Fatalf("%q: due at %v after %s, and pg_cron fires at %s, %v", text, next, after, want, ok)
		}
	}
}

// sameBitmaps compares an expression with pg_cron's bitmaps, on all days that
// there can be.
func sameBitmaps(e schedule.Expr, entry *cronEntry) error {
	compare := func(name string, list []int, low, high int, bits bitmap) error {
		var set bitmap
		for _, v := range list {
			set.set(v - low)
		}
		for v := low; v <= high; v++ {
			if set.has(v-low) != bits.has(v-low) {
				return fmt.Errorf("%s %d differs", name, v)
			}
		}
		return nil
	}
	if err := compare("minute", e.Minutes(), 0, 59, entry.minute); err != nil {
		return err
	}
	if err := compare("hour", e.Hours(), 0, 23, entry.hour); err != nil {
		return err
	}
	if err := compare("month", e.Months(), 1, 12, entry.month); err != nil {
		return err
	}
	var days, weekdays [32]bool
	for _, d := range e.Days() {
		days[d] = true
	}
	for _, w := range e.Weekdays() {
		weekdays[w] = true
	}
	for d := 1; d <= 31; d++ {
		for w := range 7 {
			got := days[d] && weekdays[w] || e.DaysEither() && (days[d] || weekdays[w])
			byDate, byWeekday := entry.dom.has(d-1), entry.dow.has(w)
			want := byDate && byWeekday || !entry.domStar && !entry.dowStar && (byDate || byWeekday)
			if got != want {
				return fmt.Errorf("day %d on weekday %d differs", d, w)
			}
		}
	}
	return nil
}

// TestMutated proves that of texts that are almost expressions, Parse accepts
// none that pg_cron rejects or that its versions read differently.
func TestMutated(t *testing.T) {
	t.Parallel()
	accepted := 0
	for _, text := range mutatedExpressions() {
		e, err := schedule.Parse(text)
		if err != nil {
			continue
		}
		accepted++
		old, ok := readCron(text, cron142)
		newer, newOK := readCron(text, cron167)
		if !ok || !newOK || old != newer {
			t.Errorf("Parse accepts %q, which pg_cron 1.4 and 1.6 do not read alike", text)
		} else if err := sameBitmaps(e, &old); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if accepted < 1000 || accepted > len(mutatedExpressions())*9/10 {
		t.Errorf("%d of the texts are accepted: too one-sided", accepted)
	}
}
