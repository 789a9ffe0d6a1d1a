package docs_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// guide is what the test of a guide needs to know of it beyond its text.
type guide struct {
	// stack is the project that the guide is about.
	stack stack.Options
	// settings are further settings of the reader's environment.
	settings func(t *testing.T, s *stack.Stack) []string
	// installed has the quick start's backup in the project already, and backedUp
	// has it made once.
	installed, backedUp bool
	// stable has a plan of the reader's configuration be empty a minute later.
	stable bool
	// cases are those of a guide that nobody follows from the beginning to the end. A
	// test of its own runs each of its blocks.
	cases bool
}

// guides are those that need more than a project of the default kind.
var guides = map[string]guide{
	"existing-project.md":    {stack: stack.Options{LegacyJobs: true}},
	"falhas.md":              {installed: true},
	"interrupted-applies.md": {installed: true},
	"last-night.md":          {installed: true, backedUp: true, settings: mayOnlyRead, stable: true},
	"backup-da-noite.md":     {installed: true, backedUp: true, settings: mayOnlyRead, stable: true},
	"least-privilege.md": {settings: func(_ *testing.T, s *stack.Stack) []string {
		return []string{"PLAN_TOKEN=" + s.ReadOnlyAccessToken, "APPLY_TOKEN=" + s.AccessToken, "SUPABASE_ACCESS_TOKEN="}
	}},
	"connections.md": {settings: throughPooler},
	"self-hosted.md": {stack: stack.Options{SelfHosted: true}, settings: selfHosted},
	// TestRestoreGuide, TestRestoreGuideInPortuguese
	"restore.md":         {cases: true},
	"recuperar-dados.md": {cases: true},
	// TestOffsiteFormat
	"off-site-format.md": {cases: true},
	// TestOffsiteGuide, TestOffsiteGuideInPortuguese
	"off-site.md":      {cases: true},
	"copia-externa.md": {cases: true},
	// TestNotificationsGuide, TestNotificationsGuideInPortuguese
	"notifications.md": {cases: true},
	"notificacoes.md":  {cases: true},
	// TestInstallGuide
	"install.md": {cases: true},
	// TestVersionsGuide
	"versions.md": {cases: true},
}

// throughPooler has the reader's connection string go through a real pooler in
// transaction mode.
func throughPooler(t *testing.T, s *stack.Stack) []string {
	t.Helper()
	pooler, err := s.StartPooler(t.Context(), stack.TransactionMode, 2)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"SUPABASE_DB_URL=" + pooler.DatabaseURL}
}

// selfHosted has the reader's settings be those of a self-hosted project.
func selfHosted(t *testing.T, s *stack.Stack) []string {
	t.Helper()
	directory, found := strings.CutSuffix(s.FunctionsDir, "/volumes/functions")
	if !found {
		t.Fatalf("the functions are in %s", s.FunctionsDir)
	}
	return []string{"SUPABASE_DB_URL=" + s.DatabaseURL, "TF_VAR_supabase=" + directory, "TF_VAR_gateway=" + s.ProjectURL}
}

// mayOnlyRead has the reader's token read only.
func mayOnlyRead(_ *testing.T, s *stack.Stack) []string {
	return []string{"SUPABASE_ACCESS_TOKEN=" + s.ReadOnlyAccessToken}
}

// TestGuides proves that a reader who does what a guide says, in an empty
// directory and in the guide's order, gets what it says. In a guide
//
//   - a block of "sh" is run; a line with … stands for something that the reader
//     has to fill in, such as a token, and is left out, as the environment has it;
//     a comment <!-- exits with 2 --> above it says with which status it ends;
//   - a block of "sql" is run in the project's database as role postgres, as the
//     dashboard's SQL editor does;
//   - a block that begins with a comment of a file's name alone, as "# main.tf",
//     is that file;
//   - a block of "text" after one that was run shows some lines of what it
//     printed; … stands for what differs from run to run;
//   - every other block is not tried.
//
// Of a guide about looking at a backup, it proves too that the reader's configuration
// plans empty when a minute has passed and nothing else.
func TestGuides(t *testing.T) {
	engines.Need(t, "check")
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "docs", "guides", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	missing := maps.Clone(guides)
	for _, file := range files {
		name := filepath.Base(file)
		delete(missing, name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := blocksOf(string(text))
		runs := false
		for _, b := range blocks {
			runs = runs || b.kind == "sh" || b.kind == "sql"
		}
		if !runs || guides[name].cases {
			continue // a page to read, or with a test of its own
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guides[name]
			s := start(t, g.stack)
			u := newUser(t, s.Environ()...)
			u.env = append(u.env, "SUPABASE_DB_URL_FOR_PSQL="+s.DatabaseURL)
			if g.installed {
				installed(u.at())
			}
			if g.backedUp {
				backUp(t, s, "succeeded")
			}
			if g.settings != nil {
				u.env = append(u.env, g.settings(t, s)...)
			}
			follow(u, s, blocks)
			if g.stable {
				exec(t, s, "select pg_sleep(61)")
				u.run(0, "terraform plan -detailed-exitcode")
			}
		})
	}
	for name := range missing {
		t.Errorf("%s is in the table, and there is no such guide", name)
	}
}

// block is a fenced block of a guide.
type block struct {
	line   int
	kind   string
	text   string
	status int // what its comment says it exits with
}

var (
	blockPattern  = regexp.MustCompile("(?m)^( *)```([a-z]*)\n((?s:.*?))^ *```$")
	statusPattern = regexp.MustCompile(`<!-- exits with (\d+) -->\s*$`)
	filePattern   = regexp.MustCompile(`^(?:#|//|--) ([\w./-]+\.\w+)$`)
)

func blocksOf(text string) []block {
	var blocks []block
	for _, at := range blockPattern.FindAllStringSubmatchIndex(text, -1) {
		indent := text[at[2]:at[3]]
		b := block{line: strings.Count(text[:at[0]], "\n") + 1, kind: text[at[4]:at[5]]}
		for line := range strings.Lines(text[at[6]:at[7]]) {
			b.text += strings.TrimPrefix(line, indent)
		}
		if status := statusPattern.FindStringSubmatch(strings.TrimRight(text[:at[0]], "\n ")); status != nil {
			b.status, _ = strconv.Atoi(status[1])
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// follow does what the blocks say.
func follow(u *user, s *stack.Stack, blocks []block) {
	u.t.Helper()
	printed := ""
	for _, b := range blocks {
		text := strings.ReplaceAll(b.text, projectRef, s.ProjectRef)
		first, _, _ := strings.Cut(text, "\n")
		switch file := filePattern.FindStringSubmatch(first); {
		case file != nil:
			u.write(file[1], text)
		case b.kind == "sh":
			var script strings.Builder
			for line := range strings.Lines(text) {
				if !strings.Contains(line, "…") {
					script.WriteString(line)
				}
			}
			u.t.Logf("line %d", b.line)
			printed = u.run(b.status, script.String())
		case b.kind == "sql":
			u.write("query.sql", text)
			u.t.Logf("line %d", b.line)
			printed = u.run(b.status, `psql -qX -v ON_ERROR_STOP=1 -f query.sql "$SUPABASE_DB_URL_FOR_PSQL"`)
		case b.kind == "text" && printed != "":
			for line := range strings.Lines(text) {
				if !shown(printed, strings.TrimSpace(line)) {
					u.t.Errorf("line %d shows %q, but what was printed is\n%s", b.line, line, printed)
				}
			}
		}
	}
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// shown says whether a line of a guide was printed. White space may differ.
func shown(printed, line string) bool {
	var pattern strings.Builder
	for i, part := range strings.Split(line, "…") {
		if i > 0 {
			pattern.WriteString(".*")
		}
		words := strings.Fields(part)
		for j, word := range words {
			words[j] = regexp.QuoteMeta(word)
		}
		pattern.WriteString(strings.Join(words, `\s+`))
	}
	return regexp.MustCompile(pattern.String()).MatchString(colours.ReplaceAllString(printed, ""))
}

// TestGuidesAreLinked proves that every guide can be found from the provider's
// page, and that every link of the documentation to a file leads somewhere.
func TestGuidesAreLinked(t *testing.T) {
	t.Parallel()
	index := example(t, projectRef, "docs", "index.md")
	guides, err := filepath.Glob(filepath.Join(root, "docs", "guides", "*.md"))
	if err != nil || len(guides) == 0 {
		t.Fatalf("guides: %v, %v", guides, err)
	}
	for _, guide := range guides {
		name := strings.TrimSuffix(filepath.Base(guide), ".md")
		if !strings.Contains(index, "](guides/"+name+")") {
			t.Errorf("docs/index.md does not link to the guide %s: add it to internal/provider/templates/index.md.tmpl", name)
		}
	}
	pages := append([]string{filepath.Join(root, "README.md"), filepath.Join(root, "internal", "README.md"), filepath.Join(root, ".github", "CONTRIBUTING.md")}, guides...)
	for _, kind := range []string{"", "resources", "data-sources", "functions", "list-resources", "actions"} {
		more, err := filepath.Glob(filepath.Join(root, "docs", kind, "*.md"))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, more...)
	}
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			target := filepath.Join(filepath.Dir(page), found[1])
			if _, err := os.Stat(target); err == nil {
				continue
			}
			// The registry's pages are named without their suffix.
			if _, err := os.Stat(target + ".md"); err != nil {
				t.Errorf("%s links to %s, where there is nothing", page, fmt.Sprintf("%q", found[1]))
			}
		}
	}
}

// TestAnchorsOfGuides proves that every link of a guide to a heading of a guide leads to
// one.
func TestAnchorsOfGuides(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "docs", "guides", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	texts, anchors := map[string]string{}, map[string]bool{}
	heading, dropped := regexp.MustCompile(`(?m)^#+ (.*)$`), regexp.MustCompile(`[^\p{L}\p{N}\s_-]`)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		texts[name] = example(t, projectRef, "docs", "guides", name+".md")
		for _, found := range heading.FindAllStringSubmatch(texts[name], -1) {
			anchors[name+"#"+strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-")] = true
		}
	}
	seen := 0
	for name, text := range texts {
		for _, found := range regexp.MustCompile(`\]\(([\w-]*)(#[^)]+)\)`).FindAllStringSubmatch(text, -1) {
			target := found[1] + found[2]
			if found[1] == "" {
				target = name + target
			}
			seen++
			if !anchors[target] {
				t.Errorf("%s.md links to %s, and there is no such heading", name, target)
			}
		}
	}
	if seen < 10 {
		t.Errorf("there are only %d links to headings", seen)
	}
}

// TestFailureGuideIsComplete proves that the Portuguese guide says of every code
// that a failure can leave what to do.
func TestFailureGuideIsComplete(t *testing.T) {
	t.Parallel()
	portuguese := example(t, projectRef, "docs", "guides", "falhas.md")
	codes := map[string]bool{"internal": true, "log_unreadable": true} // not in the table of causes
	for _, found := range regexp.MustCompile("failed `([a-z_0-9]+)`").FindAllStringSubmatch(example(t, projectRef, "docs", "guides", "failures.md"), -1) {
		codes[found[1]] = true
	}
	if len(codes) < 20 {
		t.Fatalf("the table of causes names %d codes", len(codes))
	}
	for code := range codes {
		if !strings.Contains(portuguese, "`"+code+"`") {
			t.Errorf("falhas.md does not say what to do about %s", code)
		}
	}
}
