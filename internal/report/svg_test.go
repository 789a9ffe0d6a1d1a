package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/aimindset/terraform-provider-aimindset/internal/health"
)

// pictureOfReadme is the one that the README shows.
const pictureOfReadme = "../../examples/status/report.svg"

// TestPictureOfReadme proves that the README shows the picture that the provider draws
// now, with words for those who do not see it.
func TestPictureOfReadme(t *testing.T) {
	t.Parallel()
	golden(t, pictureOfReadme, SVG(statuses(t)["healthy"]))
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`!\[[^\]]{40,}\]\(examples/status/report\.svg\)`).Match(readme) {
		t.Error("the README does not show examples/status/report.svg with an alternative text")
	}
}

// TestPictureIsSelfContained proves that a picture is well-formed XML of a few harmless
// elements and less than 64 KiB, loads nothing and runs nothing, whatever the database
// says, and that it says in words what it shows.
func TestPictureIsSelfContained(t *testing.T) {
	t.Parallel()
	eachStatus(t, func(t *testing.T, _ string, s health.Status) {
		svg := SVG(s)
		allowed := map[string]string{"svg": "xmlns role viewBox width height", "title": "", "desc": "", "style": "", "g": "class", "rect": "class x y width height rx", "text": "x y text-anchor", "path": "transform d"}
		decoder := xml.NewDecoder(strings.NewReader(svg))
		seen := map[string]int{}
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in\n%s", err, svg)
			}
			element, is := token.(xml.StartElement)
			if !is {
				continue
			}
			seen[element.Name.Local]++
			names, known := allowed[element.Name.Local]
			if !known {
				t.Errorf("there is an element %s", element.Name.Local)
			}
			for _, a := range element.Attr {
				if !strings.Contains(" "+names+" ", " "+a.Name.Local+" ") {
					t.Errorf("%s has an attribute %s", element.Name.Local, a.Name.Local)
				}
			}
		}
		if len(svg) >= 64<<10 {
			t.Errorf("it has %d bytes", len(svg))
		}
		if seen["svg"] != 1 || seen["title"] != 1 || seen["desc"] != 1 || seen["style"] != 1 || !strings.Contains(svg, `role="img"`) {
			t.Errorf("the elements are %v", seen)
		}
		style := regexp.MustCompile(`<style>(.*)</style>`).FindStringSubmatch(svg)
		if style == nil || strings.Contains(style[1], "url(") || strings.Contains(style[1], "@import") || strings.Contains(style[1], "://") {
			t.Errorf("the style refers to something outside: %v", style)
		}
	})
}

// TestPictureSaysWhatItShows proves what the description says of nights, times and
// durations, in the zone of the backup.
func TestPictureSaysWhatItShows(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"healthy": {
			"<title>Backup auto-backup of project abcdefghijklmnopqrst is healthy</title>",
			"Last success: 2026-11-23 03:00 (UTC-03:00). Next run: 2026-11-24 03:00 (UTC-03:00). Nights from 2026-10-25 to 2026-11-23: " +
				"24 made, 1 made late (2026-11-12), 1 made by a retry (2026-11-03), 1 failed (2026-11-08), 1 missed (2026-11-11), 2 nothing due. The longest backup of each night took 9 s to 11 s.",
			">Healthy<", ">Duration in seconds<", ">Oct<", ">Nov<", ">10<",
		},
		"failing":       {" is failing</title>", "Last success: 2026-11-22 03:00 (UTC-03:00). Next run: 2026-11-23 03:10 (UTC-03:00).", "2 failed (2026-11-08, 2026-11-23)", ">Failing<"},
		"silent":        {" does not tick</title>", "Next run: 2026-11-24 03:00", ">Scheduler down<"},
		"never_ran":     {" has not run yet</title>", "Last success: none.", "30 nothing due.", ">Never ran<"},
		"not_installed": {" is not installed</title>", "Next run: none. There is no calendar", "No calendar: not made by this provider"},
		"everything":    {" is healthy, with 12 warnings</title>", "Next run: 2026-11-24 11:45 (UTC+05:45)", ">a-backup-with-as-long-a-n…<", ">not known<", ">missed<", ">Duration in minutes<"},
	} {
		svg := SVG(statuses(t)[name])
		for _, text := range want {
			if !strings.Contains(svg, text) {
				t.Errorf("%s does not say %q:\n%s", name, text, svg)
			}
		}
	}
	if svg := SVG(statuses(t)["never_ran"]); strings.Contains(svg, ">made late<") {
		t.Error("the legend has a sign that does not occur")
	}
}

// TestPictureIsStable proves that time alone changes nothing of a picture.
func TestPictureIsStable(t *testing.T) {
	t.Parallel()
	eachStatus(t, func(t *testing.T, _ string, s health.Status) {
		before := SVG(s)
		s.CheckedAt, s.WatchedAt = s.CheckedAt.Add(time.Minute), s.WatchedAt.Add(time.Minute)
		if SVG(s) != before {
			t.Error("a minute later it is another picture")
		}
	})
}

// TestPictureGolden proves what is drawn where, with each sign and each part.
func TestPictureGolden(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/everything.svg", SVG(statuses(t)["everything"]))
}

// box is where something is on a picture, in its units.
type box struct {
	// Kind is an element and the class of its group.
	Kind, Text               string
	Left, Top, Right, Bottom float64
}

// advances are the widths of the characters from the space to the tilde, in thousandths
// of the size of the letters: of DejaVu Sans, which is the widest of the usual fonts, and
// of its bold. They are those in the tables hmtx of its version 2.37.
var advances = map[bool][]float64{
	false: {
		317, 400, 459, 837, 636, 950, 779, 274, 390, 390, 500, 837, 317, 360, 317, 336, 636, 636, 636, 636, 636, 636, 636, 636,
		636, 636, 336, 336, 837, 837, 837, 530, 1000, 684, 686, 698, 770, 631, 575, 774, 751, 294, 294, 655, 557, 862, 748, 787,
		603, 787, 694, 634, 610, 731, 684, 988, 685, 610, 685, 390, 336, 390, 837, 500, 500, 612, 634, 549, 634, 615, 352, 634,
		633, 277, 277, 579, 277, 974, 633, 611, 634, 634, 411, 520, 392, 633, 591, 817, 591, 591, 524, 636, 336, 636, 837,
	},
	true: {
		348, 456, 520, 837, 695, 1001, 872, 306, 457, 457, 522, 837, 379, 415, 379, 365, 695, 695, 695, 695, 695, 695, 695, 695,
		695, 695, 399, 399, 837, 837, 837, 580, 1000, 773, 762, 733, 830, 683, 683, 820, 836, 372, 372, 774, 637, 995, 836, 850,
		732, 850, 770, 720, 682, 812, 773, 1103, 770, 724, 725, 457, 365, 457, 837, 500, 500, 674, 715, 592, 715, 678, 435, 715,
		711, 342, 342, 665, 342, 1041, 711, 687, 715, 715, 493, 595, 478, 711, 651, 923, 645, 651, 582, 711, 365, 711, 837,
	},
}

// boxes returns where the paper, the cells, the signs and the texts of a picture are.
// Texts have their place in DejaVu Sans.
func boxes(t *testing.T, svg string) (all []box) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(svg))
	class, attributes := "paper", map[string]string{}
	number := func(name string) float64 {
		n, err := strconv.ParseFloat(attributes[name], 64)
		if err != nil {
			t.Fatalf("%s in %v: %v", name, attributes, err)
		}
		return n
	}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		element, is := token.(xml.StartElement)
		if !is {
			continue
		}
		clear(attributes)
		attributes["x"], attributes["y"] = "0", "0"
		for _, a := range element.Attr {
			attributes[a.Name.Local] = a.Value
		}
		switch element.Name.Local {
		case "g":
			class = attributes["class"]
		case "rect":
			all = append(all, box{"rect " + class, "", number("x"), number("y"), number("x") + number("width"), number("y") + number("height")})
		case "path":
			var x, y, left, right float64
			if _, err := fmt.Sscanf(attributes["transform"], "translate(%g %g)", &x, &y); err == nil {
				all = append(all, box{"path " + class, "", x - 7, y - 7, x + 7, y + 7})
			} else if _, err := fmt.Sscanf(attributes["d"], "M%g %gH%g", &left, &y, &right); err == nil {
				all = append(all, box{"path " + class, "", left, y, right, y})
			} else {
				t.Fatalf("a path is %v", attributes)
			}
		case "text":
			words, err := decoder.Token()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, written(t, class, string(words.(xml.CharData)), number("x"), number("y"), attributes["text-anchor"]))
		}
	}
}

// written returns where a text is of which a point on the line is known.
func written(t *testing.T, class, words string, x, y float64, anchor string) box {
	t.Helper()
	title := strings.HasSuffix(class, "title")
	size := float64(smallText)
	if title {
		size = titleText
	}
	wide := 0.0
	for _, c := range words {
		em := 1300.0
		switch {
		case c >= ' ' && c <= '~':
			em = advances[title][c-' ']
		case c <= unicode.MaxLatin1:
			em = 1100
		case c == '…':
			em = 1000
		}
		wide += em * size / 1000
	}
	switch anchor {
	case "end":
		x -= wide
	case "middle":
		x -= wide / 2
	}
	return box{"text " + class, words, x, y - 0.8*size, x + wide, y + 0.24*size}
}

// fits looks at what is on one picture.
func fits(t *testing.T, name string, boxes []box) {
	t.Helper()
	paper, cell := boxes[0], box{}
	var texts, paths []box
	for _, b := range boxes[1:] {
		const edge = 6
		if b.Left < paper.Left+edge || b.Right > paper.Right-edge || b.Top < paper.Top+edge || b.Bottom > paper.Bottom-edge {
			t.Errorf("%s: %s %q is not within the picture: %v", name, b.Kind, b.Text, b)
		}
		kind, class, _ := strings.Cut(b.Kind, " ")
		switch kind {
		case "rect":
			cell = b
			continue
		case "text":
			texts = append(texts, b)
		case "path":
			paths = append(paths, b)
		}
		if !slices.Contains([]string{"page", "page title", "label", "bar"}, class) && (b.Left < cell.Left || b.Right > cell.Right || b.Top < cell.Top || b.Bottom > cell.Bottom) {
			t.Errorf("%s: %s %q is not within its cell: %v, %v", name, b.Kind, b.Text, b, cell)
		}
	}
	if len(texts) < 6 {
		t.Errorf("%s has %d texts", name, len(texts))
	}
	for i, a := range texts {
		for _, b := range slices.Concat(texts[i+1:], paths) {
			if a.Left < b.Right && b.Left < a.Right && a.Top < b.Bottom && b.Top < a.Bottom {
				t.Errorf("%s: %q overlaps %s %q: %v, %v", name, a.Text, b.Kind, b.Text, a, b)
			}
		}
	}
}

// TestPictureFits proves for every status that all texts and signs are within the
// picture, that no text overlaps another text or a sign, and that texts and signs are
// within the cells to which they belong, in a font that is as wide as any.
func TestPictureFits(t *testing.T) {
	t.Parallel()
	eachStatus(t, func(t *testing.T, name string, s health.Status) { fits(t, name, boxes(t, SVG(s))) })
}

// TestFitting proves that a text is cut off only where it might not fit, and that what
// is left fits in letters of any width.
func TestFitting(t *testing.T) {
	t.Parallel()
	if got := fitting("auto-backup", titleText); got != "auto-backup" {
		t.Errorf("a short text is cut off to %q", got)
	}
	for _, letter := range []string{"m", "W", "i", "0", "@", "ção", "日"} {
		long := strings.Repeat(letter, 60)
		got := fitting(long, titleText)
		b := written(t, "page title", got, 0, 0, "")
		if b.Right > pictureWidth-2*margin || !strings.HasSuffix(got, "…") || !strings.HasPrefix(long, strings.TrimSuffix(got, "…")) {
			t.Errorf("%q is %v units wide", got, b.Right)
		}
		if fit := fitting(strings.TrimSuffix(got, "…"), titleText); fit != strings.TrimSuffix(got, "…") {
			t.Errorf("%q is cut off to %q", got, fit)
		}
	}
}

// TestPictureHasContrast proves for both schemes that each text, sign and bar stands out
// from what is behind it as WCAG asks of a text: 4.5 to 1.
func TestPictureHasContrast(t *testing.T) {
	t.Parallel()
	style := regexp.MustCompile(`<style>(.*)</style>`).FindStringSubmatch(SVG(statuses(t)["everything"]))[1]
	light, dark, found := strings.Cut(style, "@media (prefers-color-scheme:dark)")
	if !found {
		t.Fatal("there is no dark scheme")
	}
	rule := regexp.MustCompile(`\.([a-z_]+) rect\{fill:(#[0-9a-f]{6})\}\.[a-z_]+ text\{fill:(#[0-9a-f]{6})\}\.[a-z_]+ path\{stroke:(#[0-9a-f]{6})\}`)
	for scheme, css := range map[string]string{"light": light, "dark": dark} {
		rules := rule.FindAllStringSubmatch(css, -1)
		if len(rules) != 11 {
			t.Fatalf("the %s scheme has %d looks", scheme, len(rules))
		}
		for _, r := range rules {
			for _, ink := range r[3:] {
				if c := contrast(t, r[2], ink); c < 4.5 {
					t.Errorf("%s, %s: %s on %s has a contrast of %.2f", scheme, r[1], ink, r[2], c)
				}
			}
		}
	}
	for _, size := range regexp.MustCompile(`(\d+)px`).FindAllStringSubmatch(style, -1) {
		// The picture is 400 units wide.
		if n, _ := strconv.Atoi(size[1]); n*320 < 12*400 {
			t.Errorf("a text of %s units has less than 12 pixels in a picture of 320", size[1])
		}
	}
}

// contrast is the ratio of the luminances of two colours, as WCAG 2 defines it.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(colour string) float64 {
		sum := 0.0
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			c := float64(n) / 255
			if c <= 0.03928 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}
