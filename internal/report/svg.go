package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// The measures of a picture, in units of which it is pictureWidth wide. As no text is
// smaller than smallText, each is at least 12 pixels high where the picture has 320.
const (
	pictureWidth = 400
	margin       = 14
	gutter       = 66 // what stands left of the cells and of the bars
	smallText    = 15
	titleText    = 18
	cellWidth    = 46
	cellHeight   = 30
	cellGap      = 2
	barsHeight   = 80
)

// look is how something is drawn: the colour behind it, and its own, each for a light and
// a dark screen.
type look struct{ class, fill, ink, darkFill, darkInk string }

// looks are the colours of the page, of the labels, of the bars, and of each outcome.
var looks = []look{
	{"page", "#ffffff", "#1f2328", "#0d1117", "#e6edf3"},
	{"label", "#ffffff", "#57606a", "#0d1117", "#9da7b1"},
	{"bar", "#ffffff", "#2f6fb0", "#0d1117", "#6fa8dc"},
	{string(health.OutcomeMade), "#d8f0dd", "#0f5323", "#123d20", "#a6e3b4"},
	{string(health.OutcomeMadeLate), "#fbeec0", "#6b4700", "#43340b", "#f2d479"},
	{string(health.OutcomeMadeAgain), "#d9e8fb", "#0b4a8f", "#10345e", "#a9cdf9"},
	{string(health.OutcomeFailed), "#b3261e", "#ffffff", "#f47067", "#1b0605"},
	{string(health.OutcomeMissed), "#f9d9d6", "#8f1710", "#4d1714", "#f7b3ad"},
	{string(health.OutcomePending), "#e8e3f8", "#4b2e9e", "#2d2159", "#cdbff7"},
	{string(health.OutcomeNone), "#f2f4f6", "#57606a", "#1a2029", "#9da7b1"},
	{string(health.OutcomeUnknown), "#e4e7eb", "#3d444d", "#2b323b", "#c4ccd4"},
}

// likes are the outcomes whose colours and mark a condition has.
var likes = map[checks.Condition]health.Outcome{
	checks.NotInstalled:  health.OutcomeUnknown,
	checks.SchedulerDown: health.OutcomeFailed,
	checks.Failing:       health.OutcomeFailed,
	checks.Late:          health.OutcomeMissed,
	checks.Running:       health.OutcomePending,
	checks.NeverRan:      health.OutcomeNone,
	checks.Healthy:       health.OutcomeMade,
}

// picture is an SVG in the making.
type picture struct {
	strings.Builder
	// y is where the next part begins.
	y int
}

// SVG returns a status as a picture: the state, the calendar of the last nights and how
// long they took. It needs nothing but itself, and is light or dark as the screen is. It
// does not change while nothing happens.
func SVG(s health.Status) string {
	p := picture{y: margin}
	p.head(s)
	p.calendar(s.Nights)
	p.bars(s.Nights)
	p.legend(s.Nights)
	height := p.y + margin - 6
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 %d %d" width="600" height="%d">`, pictureWidth, height, height*600/pictureWidth) +
		"<title>" + inXML(s.Verdict()+remarks(s)) + "</title><desc>" + inXML(description(s)) + "</desc><style>" + style() + "</style>" +
		fmt.Sprintf(`<rect class="paper" width="%d" height="%d" rx="8"/>`, pictureWidth, height) + p.String() + "</svg>\n"
}

// style has the colours of both schemes.
func style() string {
	colours := func(dark bool) string {
		var css strings.Builder
		for _, l := range looks {
			fill, ink := l.fill, l.ink
			if dark {
				fill, ink = l.darkFill, l.darkInk
			}
			if l.class == "page" {
				_, _ = fmt.Fprintf(&css, ".paper{fill:%s}", fill)
			}
			_, _ = fmt.Fprintf(&css, ".%[1]s rect{fill:%[2]s}.%[1]s text{fill:%[3]s}.%[1]s path{stroke:%[3]s}", l.class, fill, ink)
			if l.class == "bar" {
				_, _ = fmt.Fprintf(&css, ".bar rect{fill:%s}", ink)
			}
		}
		return css.String()
	}
	return fmt.Sprintf("text{font:%dpx system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}.title text{font-size:%dpx;font-weight:600}", smallText, titleText) +
		"path{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}.label path{stroke-width:1;stroke-opacity:.4}" +
		colours(false) + "@media (prefers-color-scheme:dark){" + colours(true) + "}"
}

// head is the name, the state, and the times.
func (p *picture) head(s health.Status) {
	like := likes[s.Condition]
	p.open("page title")
	p.text(margin, p.y+18, "", fitting(string(s.ID.Name), titleText))
	p.close()
	p.open("label")
	p.text(margin, p.y+40, "", fitting("Project "+s.ID.ProjectRef, smallText))
	p.close()
	p.open(string(like))
	p.rect(margin, p.y+52, pictureWidth-2*margin, cellHeight)
	p.mark(like, margin+16, p.y+67)
	p.text(margin+32, p.y+72, "", text.Capitalize(strings.ReplaceAll(string(s.Condition), "_", " "))+remarks(s))
	p.close()
	p.y += 104
	for _, line := range [][2]string{{"Last success", lastSuccess(s)}, {"Next run", nextRun(s)}} {
		p.open("label")
		p.text(margin, p.y, "", line[0])
		p.close()
		p.open("page")
		p.text(margin+116, p.y, "", line[1])
		p.close()
		p.y += 22
	}
}

// calendar has a week in each row, and a cell for each night.
func (p *picture) calendar(nights []health.Night) {
	if len(nights) == 0 {
		p.open("label")
		p.text(margin, p.y+14, "", "No calendar: not made by this provider")
		p.close()
		p.y += 30
		return
	}
	p.y += 6
	p.open("label")
	for i, day := range weekdays {
		p.text(gutter+i*cellWidth+cellWidth/2, p.y+10, "middle", day)
	}
	p.close()
	p.y += 18
	month := ""
	for i, night := range nights {
		day, column, ok := place(night)
		if !ok {
			continue
		}
		if i > 0 && column == 0 {
			p.y += cellHeight + cellGap
		}
		if column == 0 || i == 0 {
			if name := day.Format("Jan"); name != month {
				month = name
				p.open("label")
				p.text(margin, p.y+20, "", name)
				p.close()
			}
		}
		x := gutter + column*cellWidth
		p.open(string(night.Outcome))
		p.rect(x, p.y, cellWidth-cellGap, cellHeight)
		p.text(x+24, p.y+20, "end", strconv.Itoa(day.Day()))
		p.mark(night.Outcome, x+34, p.y+15)
		p.close()
	}
	p.y += cellHeight + cellGap
}

// bars show how long the nights' backups took.
func (p *picture) bars(nights []health.Night) {
	_, longest, known := durations(nights)
	if !known {
		return
	}
	step, unit, word := axis(longest)
	p.y += 22
	p.open("label")
	p.text(margin, p.y, "", "Duration in "+word)
	foot := p.y + 16 + barsHeight
	for i := range 3 {
		y := foot - i*barsHeight/2
		p.text(gutter-8, y+5, "end", text.Number(float64(time.Duration(i)*step)/float64(unit)))
		_, _ = fmt.Fprintf(p, `<path d="M%d %dH%d"/>`, gutter, y, pictureWidth-margin)
	}
	if day, _, ok := place(nights[0]); ok {
		p.text(gutter, foot+20, "", day.Format("2 Jan"))
	}
	if day, _, ok := place(nights[len(nights)-1]); ok {
		p.text(pictureWidth-margin, foot+20, "end", day.Format("2 Jan"))
	}
	p.close()
	p.open("bar")
	wide := float64(pictureWidth-margin-gutter) / float64(len(nights))
	for i, night := range nights {
		if night.Duration > 0 {
			high := max(1, float64(night.Duration)/float64(2*step)*barsHeight)
			_, _ = fmt.Fprintf(p, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, gutter+float64(i)*wide+1, float64(foot)-high, wide-2, high)
		}
	}
	p.close()
	p.y = foot + 26
}

// legend explains the marks that occur.
func (p *picture) legend(nights []health.Night) {
	p.y += 10
	column := 0
	some, _ := occurring(nights)
	for _, s := range some {
		x := margin + column*(pictureWidth-2*margin)/2
		p.open(string(s.outcome))
		p.rect(x, p.y, 24, 24)
		p.mark(s.outcome, x+12, p.y+12)
		p.close()
		p.open("page")
		p.text(x+32, p.y+17, "", s.word)
		p.close()
		if column = 1 - column; column == 0 {
			p.y += 28
		}
	}
	if column == 1 {
		p.y += 28
	}
}

func (p *picture) open(class string) { _, _ = fmt.Fprintf(p, `<g class="%s">`, class) }
func (p *picture) close()            { _, _ = p.WriteString("</g>") }

func (p *picture) rect(x, y, width, height int) {
	_, _ = fmt.Fprintf(p, `<rect x="%d" y="%d" width="%d" height="%d" rx="4"/>`, x, y, width, height)
}

func (p *picture) text(x, y int, anchor, words string) {
	if anchor != "" {
		anchor = ` text-anchor="` + anchor + `"`
	}
	_, _ = fmt.Fprintf(p, `<text x="%d" y="%d"%s>%s</text>`, x, y, anchor, inXML(words))
}

func (p *picture) mark(o health.Outcome, x, y int) {
	_, _ = fmt.Fprintf(p, `<path transform="translate(%d %d)" d="%s"/>`, x, y, signOf(o).path)
}

// description says in words what the picture shows.
func description(s health.Status) string {
	words := []string{"Last success: " + lastSuccess(s) + ".", "Next run: " + nextRun(s) + "."}
	if len(s.Nights) == 0 {
		return strings.Join(append(words, "There is no calendar, as this provider does not make the backup."), " ")
	}
	words = append(words, fmt.Sprintf("Nights from %s to %s:", s.Nights[0].Day, s.Nights[len(s.Nights)-1].Day))
	var each []string
	some, counts := occurring(s.Nights)
	for _, m := range some {
		said := fmt.Sprintf("%d %s", counts[m.outcome], m.word)
		if m.outcome != health.OutcomeMade && m.outcome != health.OutcomeNone {
			var days []string
			for _, night := range s.Nights {
				if night.Outcome == m.outcome {
					days = append(days, night.Day)
				}
			}
			said += " (" + strings.Join(days, ", ") + ")"
		}
		each = append(each, said)
	}
	words = append(words, strings.Join(each, ", ")+".")
	if shortest, longest, known := durations(s.Nights); known {
		took := text.Duration(shortest)
		if most := text.Duration(longest); most != took {
			took += " to " + most
		}
		words = append(words, fmt.Sprintf("The longest backup of each night took %s.", took))
	}
	return strings.Join(words, " ")
}

// durations returns the shortest and the longest duration of the nights.
func durations(nights []health.Night) (shortest, longest time.Duration, known bool) {
	for _, night := range nights {
		if night.Duration > 0 {
			shortest, longest, known = min(cmp.Or(shortest, night.Duration), night.Duration), max(longest, night.Duration), true
		}
	}
	return shortest, longest, known
}

// axis returns the round number of seconds or minutes of which an axis for a
// duration has two.
func axis(longest time.Duration) (step, unit time.Duration, word string) {
	unit, word = time.Second, "seconds"
	if longest > 2*time.Minute {
		unit, word = time.Minute, "minutes"
	}
	for ten := unit; ; ten *= 10 {
		for _, tenths := range []time.Duration{10, 15, 20, 30, 50} {
			if step = ten / 10 * tenths; 2*step >= longest {
				return step, unit, word
			}
		}
	}
}

func lastSuccess(s health.Status) string {
	if s.LastSuccess == nil {
		return "none"
	}
	return s.Moment(s.LastSuccess.FinishedAt)
}

// nextRun is the next attempt, which is another one at a past due time or the first at
// the next.
func nextRun(s health.Status) string {
	switch {
	case !s.RetryDue.IsZero() && !s.RetryMissed():
		return s.Moment(s.RetryDue)
	case len(s.NextRuns) > 0:
		return s.Moment(s.NextRuns[0].DueAt)
	}
	return "none"
}

// fitting cuts a text off that might be wider than the picture in letters of a size in
// units. Which font a reader has is not known, so each character counts as wide as those
// of its kind are in DejaVu Sans Bold, the widest of the usual ones.
func fitting(words string, size float64) string {
	room := (pictureWidth - 2*margin) / size
	var b strings.Builder
	for i, c := range words {
		em := 0.75
		switch {
		case c > unicode.MaxLatin1:
			em = 1.3
		case strings.ContainsRune("mwMW@%&+=<>~#", c) || c > unicode.MaxASCII:
			em = 1.11
		}
		rest := len(words) > i+utf8.RuneLen(c)
		if room < em || rest && room < em+1 { // an ellipsis is as wide as high
			return b.String() + "…"
		}
		b.WriteRune(c)
		room -= em
	}
	return b.String()
}

// inXML is a text as it stands between tags.
func inXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text.Line(s)))
	return b.String()
}
