package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// chromium is the browser of "make pictures"; without it, a picture is looked
	// at as text only.
	chromium = flag.String("chromium", "", "the program of Chromium, in which pictures are looked at")
	out      = flag.String("pictures.out", "", "directory into which to write the pictures")
)

// widths are those of a wide screen, of a page and of a telephone, in pixels.
var widths = []int{1200, 600, 320}

// browse runs the browser on a page, as nobody who is logged in anywhere.
func browse(t *testing.T, dark bool, page string, arguments ...string) []byte {
	t.Helper()
	scheme := "1"
	if dark {
		scheme = "0"
	}
	arguments = append([]string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--force-device-scale-factor=1", "--allow-file-access-from-files",
		"--user-data-dir=" + t.TempDir(), "--blink-settings=preferredColorScheme=" + scheme,
	}, arguments...)
	command := exec.CommandContext(t.Context(), *chromium, append(arguments, "file://"+page)...)
	var said strings.Builder
	command.Stderr = &said
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", *chromium, err, said.String())
	}
	return output
}

// write writes a file for the browser.
func write(t *testing.T, file, content string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestPictures writes the pictures of all statuses for somebody to look at. It proves
// that they can be written; what is on them is for the other tests.
func TestPictures(t *testing.T) {
	t.Parallel()
	dir := *out
	if dir == "" {
		dir = t.TempDir()
	}
	for name, s := range statuses(t) {
		write(t, filepath.Join(dir, name+".svg"), SVG(s))
	}
}

// measure is a page's script that says where everything is.
const measure = `
const all = {};
for (const frame of document.querySelectorAll("div")) {
	const svg = frame.querySelector("svg"), page = svg.getBoundingClientRect(), scale = 400 / page.width;
	const boxes = [];
	for (const element of svg.querySelectorAll("text, path, rect")) {
		const own = element.getBBox(), r = element.getBoundingClientRect();
		if (element.tagName === "text" && (own.width === 0 || own.height === 0)) { throw new Error("an empty text"); }
		boxes.push({kind: element.tagName + " " + (element.parentNode.getAttribute("class") ?? "paper"), text: element.textContent,
			left: (r.left - page.left) * scale, top: (r.top - page.top) * scale, right: (r.right - page.left) * scale, bottom: (r.bottom - page.top) * scale});
	}
	all[frame.id] = boxes;
}
const result = document.createElement("pre");
result.id = "result";
result.textContent = JSON.stringify(all);
document.body.replaceChildren(result);
`

// inBrowser skips a test where no browser is named. "make pictures" names one, and
// fails where there is none.
func inBrowser(t *testing.T) {
	t.Helper()
	if *chromium == "" {
		t.Skip("run \"make pictures\", which names the browser")
	}
}

// TestPicturesFit proves in a browser for every status and both widths that all texts
// and signs are within the picture, that no text overlaps another text or a sign, and
// that texts and signs are within the cells to which they belong.
func TestPicturesFit(t *testing.T) {
	t.Parallel()
	inBrowser(t)
	var page strings.Builder
	page.WriteString("<!doctype html><meta charset=utf-8><style>svg{width:100%;height:auto}</style>")
	for _, width := range widths {
		for name, s := range statuses(t) {
			_, _ = fmt.Fprintf(&page, `<div id="%s at %d" style="width:%dpx">%s</div>`, name, width, width, SVG(s))
		}
	}
	page.WriteString("<script>" + measure + "</script>")
	dom := browse(t, false, write(t, filepath.Join(t.TempDir(), "page.html"), page.String()), "--dump-dom")
	found := regexp.MustCompile(`(?s)<pre id="result">(.*)</pre>`).FindSubmatch(dom)
	if found == nil {
		t.Fatalf("the page measured nothing:\n%s", dom)
	}
	var pictures map[string][]box
	if err := json.Unmarshal([]byte(html.UnescapeString(string(found[1]))), &pictures); err != nil {
		t.Fatal(err)
	}
	if len(pictures) != len(widths)*len(statuses(t)) {
		t.Fatalf("%d pictures were measured", len(pictures))
	}
	for name, boxes := range pictures {
		fits(t, name, boxes)
	}
}

// TestPicturesAreLightAndDark proves that a browser that loads a picture as an <img>
// shows it light on a light screen and dark on a dark one, at both widths: the paper has
// the colour of its scheme, and both schemes show signs of several colours.
func TestPicturesAreLightAndDark(t *testing.T) {
	t.Parallel()
	inBrowser(t)
	dir := *out
	if dir == "" {
		dir = t.TempDir()
	}
	pages := t.TempDir()
	names := slices.Sorted(maps.Keys(statuses(t)))
	for name, status := range statuses(t) {
		write(t, filepath.Join(pages, name+".svg"), SVG(status))
	}
	papers := map[string]color.NRGBA{"light": {R: 0xff, G: 0xff, B: 0xff, A: 0xff}, "dark": {R: 0x0d, G: 0x11, B: 0x17, A: 0xff}}
	for _, width := range widths {
		var page strings.Builder
		page.WriteString(`<!doctype html><style>body{margin:0;background:#888}img{position:absolute;top:0;height:auto}</style>`)
		for i, name := range names {
			_, _ = fmt.Fprintf(&page, `<img alt="" src="%s.svg" style="left:%dpx;width:%dpx">`, name, i*width, width)
		}
		file := write(t, filepath.Join(pages, "page.html"), page.String())
		height := width * 5 / 3 // no picture is higher
		for scheme, paper := range papers {
			whole := filepath.Join(pages, scheme+".png")
			browse(t, scheme == "dark", file, "--screenshot="+whole, fmt.Sprintf("--window-size=%d,%d", len(names)*width, height))
			picture := load(t, whole)
			for i, name := range names {
				part := image.NewNRGBA(image.Rect(0, 0, width, height))
				draw.Draw(part, part.Bounds(), picture, image.Pt(i*width, 0), draw.Src)
				if got := part.At(width/2, 5); got != paper {
					t.Errorf("%s at %d, %s: the paper is %v instead of %v", name, width, scheme, got, paper)
				}
				if n := colours(part); n < 8 {
					t.Errorf("%s at %d, %s: there are only %d colours", name, width, scheme, n)
				}
				save(t, filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), part)
			}
		}
	}
}

func load(t *testing.T, file string) image.Image {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

func save(t *testing.T, file string, picture image.Image) {
	t.Helper()
	var content bytes.Buffer
	if err := png.Encode(&content, picture); err != nil {
		t.Fatal(err)
	}
	write(t, file, content.String())
}

// colours counts the colours of the upper part of a picture.
func colours(picture image.Image) int {
	seen := map[color.Color]bool{}
	for y := range 120 {
		for x := range picture.Bounds().Dx() {
			seen[picture.At(x, y)] = true
		}
	}
	return len(seen)
}
