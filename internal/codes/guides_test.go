package codes

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var write = flag.Bool("guides.write", false, "write the tables into the guides instead of comparing them")

// guideTables are the tables that are generated, by guide and by the name that
// its marks have.
var guideTables = map[string]map[string]func() string{
	"last-night.md":      {"runs": runTable, "drills": drillTable, "copies": copyTable, "problems": problemTable},
	"falhas.md":          {"runs": tabelaDeFalhas, "drills": tabelaDeTestes, "copies": tabelaDeCopias},
	"backup-da-noite.md": {"problems": tabelaDeProblemas},
	"troubleshooting.md": {"plans": planTable, "index": indexTable},
}

// TestGuides proves that the tables of the guides say what codes.json says.
func TestGuides(t *testing.T) {
	t.Parallel()
	for guide, tables := range guideTables {
		name := filepath.Join("..", "..", "docs", "guides", guide)
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(before)
		for table, render := range tables {
			if text, err = replaceTable(text, table, render()); err != nil {
				t.Fatalf("%s: %v", guide, err)
			}
		}
		switch {
		case text == string(before):
		case *write:
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("docs/guides/%s does not say what codes.json says: run \"make generate\"", guide)
		}
	}
}

// replaceTable puts a table between its marks in a guide.
func replaceTable(text, name, table string) (string, error) {
	begin := fmt.Sprintf("<!-- %s of internal/codes/codes.json: written by \"make generate\" -->\n", name)
	end := fmt.Sprintf("<!-- end of %s -->\n", name)
	before, rest, found := strings.Cut(text, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended || strings.Contains(after, begin) {
		return "", fmt.Errorf("there are not two marks of the table %s", name)
	}
	// A comment would go on until the next empty line.
	return before + begin + "\n" + table + "\n" + end + after, nil
}

// TestReplaceTable proves that only what is between the marks changes, and that
// a guide without its marks is refused.
func TestReplaceTable(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- a of internal/codes/codes.json: written by \"make generate\" -->\n", "<!-- end of a -->\n"
	got, err := replaceTable("x\n"+begin+"old\n"+end+"y\n", "a", "new\n")
	if want := "x\n" + begin + "\nnew\n\n" + end + "y\n"; got != want || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, text := range []string{"", begin, end, end + begin, begin + end + begin + end} {
		if got, err := replaceTable(text, "a", "new"); err == nil {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// leastText is the length from which on two equal texts are one that was copied.
const leastText = 30

// TestOneHome proves that no text of codes.json is repeated in a source or in a guide
// as well, but for the tables that are generated.
func TestOneHome(t *testing.T) {
	t.Parallel()
	generated := regexp.MustCompile(`(?s)<!-- \w+ of internal/codes/codes\.json.*?<!-- end of \w+ -->`)
	seen := 0
	for _, place := range []string{"docs", "examples", "internal", "README.md"} {
		err := filepath.WalkDir(filepath.Join("..", "..", place), func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && slices.Contains([]string{"node_modules", "_tests", "testdata"}, entry.Name()):
				return fs.SkipDir
			case !slices.Contains([]string{".go", ".sql", ".ts", ".md", ".tf", ".tmpl"}, filepath.Ext(name)),
				strings.HasSuffix(name, "_test.go"), entry.Name() == "failures.md": // "make failures" writes it
				return nil
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			seen++
			for _, copied := range copies(generated.ReplaceAllString(string(text), "")) {
				t.Errorf("%s says what codes.json says: %s", name, copied)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 200 {
		t.Errorf("only %d files were read", seen)
	}
}

// copies are the texts of codes.json that a source has.
func copies(source string) (found []string) {
	source = strings.NewReplacer(`\"`, `"`, "` + \"`", "`", "`\" + `", "`").Replace(source)
	for _, code := range All() {
		for _, text := range append(slices.Collect(maps.Values(code.SQLStates)), code.Text) {
			for _, said := range []string{text.Meaning, text.Remedy, text.Reason, text.Advice} {
				if len(said) >= leastText && strings.Contains(source, strings.TrimSuffix(said, ".")) {
					found = append(found, said)
				}
			}
		}
	}
	return found
}

// TestCopies proves that a text is found in a source, however that quotes it.
func TestCopies(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]bool{
		`x := "The backup began and did not finish (" + y`:                             true,
		`"Run \"terraform apply\"."`:                                                   false,
		"s(\"Set `verify = \\\"backup\\\"`, which runs one backup after the apply.\")": true,
		"select 'a execução começou e não terminou'":                                   true,
		"The backup began": false,
	} {
		if got := copies(source); (len(got) > 0) != want {
			t.Errorf("%s has %q", source, got)
		}
	}
}

// table is a Markdown table.
func table(head string, rows [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n|%s\n", head, strings.Repeat("---|", strings.Count(head, "|")-1))
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

// runTexts are the texts of all codes of runs, each with its cell.
func runTexts(with string, any string) (cells []string, texts []Text) {
	all := All()
	maps.DeleteFunc(all, func(_ string, code Code) bool { return code.ArisesAt(Drill) || ofCopy(code) })
	for _, name := range slices.Sorted(maps.Keys(all)) {
		code := all[name]
		if !code.OfRun() || name == AnyStatus {
			continue
		}
		cells, texts = append(cells, "`"+name+"`"), append(texts, code.Text)
		for _, state := range slices.Sorted(maps.Keys(code.SQLStates)) {
			cells, texts = append(cells, "`"+name+"` "+with+" "+state), append(texts, code.SQLStates[state])
		}
	}
	return append(cells, any), append(texts, all[AnyStatus].Text)
}

func runTable() string {
	cells, texts := runTexts("with SQLSTATE", "any other `http_` and a status")
	var rows [][]string
	for i, text := range texts {
		rows = append(rows, []string{cells[i], quoted(text.Meaning), text.Remedy})
	}
	return table("| Code | What happened | What to do |", rows)
}

func tabelaDeFalhas() string {
	cells, texts := runTexts("com SQLSTATE", "qualquer outro `http_` com um status")
	var rows [][]string
	for i, text := range texts {
		rows = append(rows, []string{cells[i], quoted(text.Reason), quoted(text.Advice)})
	}
	return table("| código | o que houve | o que fazer |", rows)
}

// drillTexts are the texts of all codes of restore drills, each with its cell.
func drillTexts() (cells []string, texts []Text) {
	all := All()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name].ArisesAt(Drill) {
			cells, texts = append(cells, "`"+name+"`"), append(texts, all[name].Text)
		}
	}
	return cells, texts
}

func drillTable() string {
	cells, texts := drillTexts()
	var rows [][]string
	for i, text := range texts {
		rows = append(rows, []string{cells[i], quoted(text.Meaning), text.Remedy})
	}
	return table("| Code | What was found | What to do |", rows)
}

func tabelaDeTestes() string {
	cells, texts := drillTexts()
	var rows [][]string
	for i, text := range texts {
		rows = append(rows, []string{cells[i], quoted(text.Reason), quoted(text.Advice)})
	}
	return table("| código | o que houve | o que fazer |", rows)
}

// ofCopy reports whether a code is one of an off-site copy alone.
func ofCopy(code Code) bool {
	return code.ArisesAt(Offsite) && !slices.ContainsFunc(code.Arises, func(place string) bool { return place != Offsite && place != Plan && place != Status })
}

// copyTexts are the texts of all codes of off-site copies, each with its cell.
func copyTexts() (cells []string, texts []Text) {
	all := All()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if ofCopy(all[name]) {
			cells, texts = append(cells, "`"+name+"`"), append(texts, all[name].Text)
		}
	}
	return cells, texts
}

func copyTable() string {
	cells, texts := copyTexts()
	var rows [][]string
	for i, text := range texts {
		rows = append(rows, []string{cells[i], quoted(text.Meaning), text.Remedy})
	}
	return table("| Code | What happened | What to do |", rows)
}

func tabelaDeCopias() string {
	cells, texts := copyTexts()
	var rows [][]string
	for i, text := range texts {
		rows = append(rows, []string{cells[i], quoted(text.Reason), quoted(text.Advice)})
	}
	return table("| código | o que houve | o que fazer |", rows)
}

// planTable has the codes that no other table has: those of a plan alone.
func planTable() string {
	all := All()
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if slices.Equal(all[name].Arises, []string{Plan}) {
			rows = append(rows, []string{"`" + name + "`", quoted(all[name].Meaning), all[name].Remedy})
		}
	}
	return table("| Code | What was found | What to do |", rows)
}

// indexTable names, for each place in which codes are seen, all of them and the table
// that explains them.
func indexTable() string {
	all := All()
	var rows [][]string
	listed := map[string]bool{}
	for _, place := range []struct {
		seen, explained string
		has             func(code Code) bool
	}{
		{"a failed backup", "[a failed backup](last-night#what-to-do-about-a-failed-backup)", func(code Code) bool { return code.OfRun() && !code.ArisesAt(Drill) && !ofCopy(code) }},
		{"a restore drill", "[a restore drill](last-night#what-to-do-about-a-restore-drill)", func(code Code) bool { return code.ArisesAt(Drill) }},
		{"an off-site copy", "[an off-site copy](last-night#what-to-do-about-an-off-site-copy)", ofCopy},
		{"`problems` of the status", "[a problem](last-night#what-to-do-about-a-problem)", func(code Code) bool { return code.ArisesAt(Status) }},
		{"a plan alone", "[what a plan checks](#what-a-plan-checks)", func(code Code) bool { return slices.Equal(code.Arises, []string{Plan}) }},
	} {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if place.has(all[name]) {
				listed[name] = true
				names = append(names, "`"+name+"`")
			}
		}
		rows = append(rows, []string{place.seen, strings.Join(names, ", "), place.explained})
	}
	for name := range all {
		if !listed[name] {
			panic("no place has the code " + name)
		}
	}
	return table("| Seen in | Codes | What to do about |", rows)
}

// problems calls visit with every code of a status.
func problems(visit func(name string, code Code)) {
	all := All()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name].ArisesAt(Status) {
			visit(name, all[name])
		}
	}
}

func problemTable() string {
	var rows [][]string
	problems(func(name string, code Code) {
		states := []string{state(code.Condition, "warning")}
		for _, condition := range conditions {
			if when, ok := code.Also[condition]; ok {
				states = append(states, state(condition, "warning")+" if "+when)
			}
		}
		rows = append(rows, []string{"`" + name + "`", strings.Join(states, "; "), quoted(code.Meaning), code.Remedy})
	})
	return table("| Code | State | What is wrong | What to do |", rows)
}

func tabelaDeProblemas() string {
	var rows [][]string
	problems(func(name string, code Code) {
		states := []string{state(code.Condition, "aviso")}
		for _, condition := range conditions {
			if _, ok := code.Also[condition]; ok {
				states = append(states, state(condition, "aviso"))
			}
		}
		rows = append(rows, []string{"`" + name + "`", strings.Join(states, ", "), quoted(code.Reason), quoted(code.Advice)})
	})
	return table("| código | `state` | o que há | o que fazer |", rows)
}

// state is a condition in a table: a problem of a healthy backup is a warning.
func state(condition, warning string) string {
	if condition == "healthy" {
		return warning
	}
	return "`" + condition + "`"
}

var (
	// technical matches what a guide shows as code.
	technical = regexp.MustCompile(`terraform (?:apply|plan)|(?:select|truncate) [a-z_.]+(?:\(\))?(?: from [a-z_.]+)?|[a-z_]+ = (?:"require"|true)|[a-z]+(?:[._][a-z]+)+(?:\(\))?|\bpublic\b`)
	// names are what it shows as names all the same.
	names = []string{"pg_cron", "pg_net", "supabase_vault"}
)

// quoted marks the technical words of a text that reaches plain readers too.
func quoted(text string) string {
	return technical.ReplaceAllStringFunc(text, func(word string) string {
		if slices.Contains(names, word) {
			return word
		}
		return "`" + word + "`"
	})
}

// TestQuoted proves what a guide shows as code.
func TestQuoted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"backup_logs or pg_net":                          "`backup_logs` or pg_net",
		"execute terraform apply e veja":                 "execute `terraform apply` e veja",
		"execute select net.worker_restart() no":         "execute `select net.worker_restart()` no",
		"com log_constraint = \"require\", amplie":       "com `log_constraint = \"require\"`, amplie",
		"veja: select summary from auto_backup.watchdog": "veja: `select summary from auto_backup.watchdog`",
		"a linha do backup em auto_backup.settings está": "a linha do backup em `auto_backup.settings` está",
		"no schema public":                               "no schema `public`",
	} {
		if got := quoted(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
