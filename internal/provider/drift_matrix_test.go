package provider_test

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

var (
	driftOut    = flag.String("drift.out", "", "write the guide about drift to this file")
	driftUpdate = flag.Bool("drift.update", false, "write what the plan says of each row into "+driftFile)
	driftOnly   = flag.String("drift.only", "", "run only the rows of the drift matrix that contain this text")
)

const (
	driftGuide = "../../docs/guides/drift.md"
	// driftFile has what the plan says of each row: row, object and text,
	// separated by tabs.
	driftFile = "testdata/drift.tsv"
)

// saying is an element of the attribute drift.
type saying struct{ object, text string }

// sayings reads driftFile.
var sayings = sync.OnceValues(func() (map[string][]saying, error) {
	text, err := os.ReadFile(driftFile)
	if err != nil {
		return nil, err
	}
	said := map[string][]saying{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s: %q has not three fields", driftFile, line)
		}
		said[fields[0]] = append(said[fields[0]], saying{fields[1], fields[2]})
	}
	return said, nil
})

// says is what the plan says of a row.
func (d drift) says() []saying {
	said, err := sayings()
	if err != nil && !*driftUpdate {
		panic(err)
	}
	return said[d.String()]
}

// drift is a row of the matrix: what somebody does to an object of a backup.
type drift struct {
	object, mutation string
	tamper           func(p *project)
	// warns is a pattern that the plan's warnings match.
	warns string
	// refused is a pattern that the error of the apply matches, where the
	// provider may not repair it; statement is what the error says to run.
	refused, statement string
	// leaves is what is left of it for good, in the words of the inventory.
	leaves string
	// uses names what two rows cannot change at the same time.
	uses string
	// alone keeps other rows out of the plan.
	alone bool
	// both has the row run over a connection to the database as well.
	both bool
}

func (d drift) String() string { return d.object + ": " + d.mutation }

// steady is a row of the other table: a change that does not count as drift.
type steady struct {
	what string
	do   func(p *project)
	// arguments replace those of the resource, and reader has the plan run as
	// who may only read.
	arguments string
	reader    bool
	// alone keeps other rows out of the plan: a later one would undo this one, or hide
	// what it does.
	alone bool
}

// shares reports whether the row may share a plan with its neighbours.
func (s steady) shares() bool { return !s.alone && !s.reader && s.arguments == "" }

// verdict collects what does not hold, by row.
type verdict struct {
	mu    sync.Mutex
	wrong map[string][]string
	// said is what the plan says of each row, where that is recorded.
	said map[string]map[string]string
}

// record notes what the plan says of a row.
func (v *verdict) record(d drift, said map[string]string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.said[d.String()] = maps.Clone(said)
}

// write writes driftFile, in the order of the rows.
func (v *verdict) write(rows []drift) error {
	var text strings.Builder
	for _, d := range rows {
		said := v.said[d.String()]
		for _, object := range slices.Sorted(maps.Keys(said)) {
			fmt.Fprintf(&text, "%s\t%s\t%s\n", d, object, said[object])
		}
	}
	return os.WriteFile(driftFile, []byte(text.String()), 0o600)
}

func (v *verdict) add(row string, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wrong[row] = append(v.wrong[row], fmt.Sprintf(format, args...))
}

// TestDriftMatrix proves for every row, with the real Terraform on a real project:
// the plan says exactly what the row says, in the attribute drift and nowhere
// else, by an update in place; the apply repairs the object, or refuses with the statement that
// somebody else has to run; the plan after it is empty, and all that the
// provider has installed is what it was, as pg_dump and the platform see it.
//
// For the rows of the second table it proves that the plan is empty.
//
// Rows share a project, and those that do not meet share a plan. A selection
// runs over both ways to the database.
func TestDriftMatrix(t *testing.T) {
	t.Parallel()
	v := &verdict{wrong: map[string][]string{}, said: map[string]map[string]string{}}
	groups := map[string][]drift{"jobs": jobRows(), "settings": settingsRows(), "schema": schemaRows(), "function": functionRows()}
	var all []drift
	for _, group := range []string{"jobs", "settings", "schema", "function"} {
		all = append(all, groups[group]...)
	}
	calm := steadyRows()
	direct := slices.DeleteFunc(slices.Clone(all), func(d drift) bool { return !d.both })
	t.Run("rows", func(t *testing.T) {
		for name, rows := range groups {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				newDriftSite(t, v, false).rows(rows)
			})
		}
		t.Run("database_url", func(t *testing.T) {
			t.Parallel()
			newDriftSite(t, v, true).rows(direct)
		})
		t.Run("no_drift", func(t *testing.T) {
			t.Parallel()
			newDriftSite(t, v, false).steady(calm)
		})
	})
	for _, row := range slices.Sorted(maps.Keys(v.wrong)) {
		t.Errorf("%s\n\t%s", row, strings.Join(v.wrong[row], "\n\t"))
	}
	if *driftUpdate {
		if err := v.write(all); err != nil {
			t.Fatal(err)
		}
	}
	if *driftOut != "" {
		if err := os.WriteFile(*driftOut, []byte(renderDrift(all, calm, v.wrong)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDriftGuide proves that the guide shows the rows as they are, and that
// there are as many as it takes to trust an empty plan.
func TestDriftGuide(t *testing.T) {
	t.Parallel()
	rows, calm := slices.Concat(jobRows(), settingsRows(), schemaRows(), functionRows()), steadyRows()
	if len(rows) < 45 || len(calm) < 25 {
		t.Errorf("the matrix has %d rows of drift and %d of none", len(rows), len(calm))
	}
	seen := map[string]bool{}
	for _, d := range rows {
		if seen[d.String()] {
			t.Errorf("%s stands twice", d)
		}
		seen[d.String()] = true
	}
	text, err := os.ReadFile(driftGuide)
	if err != nil || string(text) != renderDrift(rows, calm, nil) {
		t.Errorf("docs/guides/drift.md does not show the rows (%v); \"make drift-matrix\" writes it", err)
	}
}

// driftSite is an installed backup whose project is changed outside Terraform.
type driftSite struct {
	*project
	cli *cli
	v   *verdict
	// intact is the installation as it was made, but for what remains.
	intact  map[string]bool
	remains map[string]bool
}

// driftArguments are the arguments of the backup under test. Proving it after
// every repair would take longer than all the rest: it is proved at the end.
var driftArguments = `
	schedules = { nightly = { cron = "0 3 * * *" } }
	secrets   = { OTHER_KEY = "first" }
	verify    = "none"
	` + driftDestination + "\n" + driftChannels

// driftChannels are the arguments for the heartbeat and the webhooks of the backup under test.
const driftChannels = `
	heartbeat = { url = "https://hc-ping.com/canary" }
	webhooks  = { ops = {
		url            = "https://hooks.acme.example/canary"
		form           = "generic"
		events         = ["failed", "recovered"]
		signing_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	} }`

// driftDestination is the argument for copies of the backup under test.
var driftDestination = "offsite = { aws = " + offsiteDestination(`bucket = "acme-backups"
		lock = { mode = "governance", days = 30 }`) + " }"

func newDriftSite(t *testing.T, v *verdict, direct bool) *driftSite {
	t.Helper()
	p := start(t, stack.Options{LegacyJobs: true, RateLimit: -1})
	p.direct = direct
	s := &driftSite{project: p, v: v, cli: newCLI(t, ""), remains: map[string]bool{}}
	s.cli.Env = append(s.cli.Env, "TF_IN_AUTOMATION=1")
	p.asPostgres("create role other nologin") // since PostgreSQL 16, postgres has rights over the roles that it has made alone
	p.sql("create schema mine authorization postgres")
	s.configure(p.config(driftArguments))
	s.cli.run(0, "apply", "-no-color", "-auto-approve")
	s.intact = s.inventory()
	return s
}

// configure writes the configuration.
func (s *driftSite) configure(text string) {
	s.t.Helper()
	required := "terraform {\n  required_providers {\n    aimindset = { source = \"aimindset/aimindset\" }\n  }\n}\n"
	if err := os.WriteFile(filepath.Join(s.cli.Dir, "main.tf"), []byte(required+text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// rows runs rows, as many in one plan as do not meet.
func (s *driftSite) rows(rows []drift) {
	for _, wave := range waves(rows) {
		s.wave(wave)
	}
	s.works()
}

// waves packs rows: no two rows of a wave change the same attribute or object.
func waves(rows []drift) [][]drift {
	var packed [][]drift
	meet := func(a, b drift) bool {
		return *driftUpdate || a.refused != "" || b.refused != "" || a.alone || b.alone || (a.uses != "" && a.uses == b.uses) ||
			slices.ContainsFunc(a.says(), func(one saying) bool {
				return slices.ContainsFunc(b.says(), func(other saying) bool {
					return strings.HasPrefix(one.object, other.object) || strings.HasPrefix(other.object, one.object)
				})
			})
	}
	for _, row := range rows {
		if !strings.Contains(row.String(), *driftOnly) {
			continue
		}
		at := slices.IndexFunc(packed, func(wave []drift) bool {
			return !slices.ContainsFunc(wave, func(other drift) bool { return meet(row, other) })
		})
		if at < 0 {
			packed = append(packed, nil)
			at = len(packed) - 1
		}
		packed[at] = append(packed[at], row)
	}
	return packed
}

// wave brings drifts about, and proves each of them.
func (s *driftSite) wave(wave []drift) {
	wrong := func(format string, args ...any) {
		for _, d := range wave {
			s.v.add(d.String(), format, args...)
		}
	}
	for _, d := range wave {
		d.tamper(s.project)
	}
	printed, change, ok := s.plan()
	if !ok {
		wrong("the plan fails: %s", told(printed))
		s.reset()
		return
	}
	if !slices.Equal(change.Actions, []string{"update"}) {
		wrong("the plan is to %v", change.Actions)
	}
	found := s.said(change)
	if *driftUpdate {
		s.v.record(wave[0], found)
	}
	for path := range change.paths() {
		if !strings.HasPrefix(path, "drift[") {
			wrong("the plan also changes %s", path)
		}
	}
	for _, d := range wave {
		for _, want := range d.says() {
			if text := found[want.object]; text != want.text && !*driftUpdate {
				s.v.add(d.String(), "the plan says of %s that it %q, not that it %q", want.object, text, want.text)
			}
			delete(found, want.object)
		}
		if len(d.says()) == 0 && !*driftUpdate {
			s.v.add(d.String(), "%s says nothing of this row; run the test with -drift.update", driftFile)
		}
		if d.warns != "" && !regexp.MustCompile(d.warns).MatchString(flat(printed)) {
			s.v.add(d.String(), "the plan does not warn: %s", told(printed))
		}
	}
	for object, text := range found {
		if !*driftUpdate {
			wrong("the plan also says: %s %s", object, text)
		}
	}
	if d := wave[0]; d.refused != "" {
		out, code := s.terraform("apply", "-no-color", "plan.bin")
		statement := regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(d.statement), "<id>", "[0-9]+")).FindString(flat(out))
		if code == 0 || statement == "" || !regexp.MustCompile(d.refused).MatchString(flat(out)) {
			wrong("the apply ends with %d and does not name %q: %s", code, d.statement, told(out))
		} else {
			s.sql(statement)
		}
		s.reset()
	} else if out, code := s.terraform("apply", "-no-color", "plan.bin"); code != 0 {
		wrong("the apply fails: %s", told(out))
		s.reset()
		return
	}
	if out, code := s.terraform("plan", "-no-color", "-detailed-exitcode"); code != 0 {
		wrong("the plan after the apply is not empty: %s", told(out))
		s.reset()
	}
	for _, d := range wave {
		if d.leaves != "" {
			s.remains[d.leaves] = true
		}
	}
	now := s.inventory()
	maps.DeleteFunc(now, func(line string, _ bool) bool { return s.remains[line] })
	if !maps.Equal(now, s.intact) {
		wrong("after the repair, the installation is not what it was: %s", differing(s.intact, now))
	}
}

// said returns the drift of a change. What differs from run to run is replaced.
func (s *driftSite) said(change plannedChange) map[string]string {
	said := map[string]string{}
	elements, _ := change.Before["drift"].(map[string]any)
	for object, text := range elements {
		text, _ := text.(string)
		for _, value := range [][2]string{{s.ProjectURL, "<project_url>"}, {s.ProjectRef, "<project_ref>"}, {payload.LoadDispatcher().Version, "<version>"}} {
			text = strings.ReplaceAll(text, value[0], value[1])
		}
		said[object] = text
	}
	return said
}

// works proves that what was repaired so often still makes a backup, and that
// pg_cron runs.
func (s *driftSite) works() {
	s.t.Helper()
	s.asPostgres("do $$ begin perform auto_backup.start('auto-backup', 'nightly', 'manual', now(), 1); end $$")
	s.await("1", "select count(*) from public.system_logs where type = 'auto_backup'")
	s.await("true", "select exists (select from pg_stat_activity where backend_type = 'pg_cron launcher')")
}

// steady makes changes that do not count as drift, and proves that the plan is empty:
// one plan for rows that follow each other, because none of them is undone.
func (s *driftSite) steady(rows []steady) {
	var shared []string
	for i, row := range rows {
		if !strings.Contains(row.what, *driftOnly) {
			continue
		}
		if row.do != nil {
			row.do(s.project)
		}
		shared = append(shared, row.what)
		if row.shares() && i+1 < len(rows) && rows[i+1].shares() && *driftOnly == "" {
			continue
		}
		arguments := driftArguments
		if row.arguments != "" {
			arguments = row.arguments
		}
		s.configure(s.config(arguments))
		if row.reader {
			s.configure(s.configAs(s.ReadOnlyAccessToken, s.ReadOnlyDatabaseURL, arguments))
		}
		if out, code := s.terraform("plan", "-no-color", "-detailed-exitcode"); code != 0 {
			s.v.add(strings.Join(shared, "; "), "the plan is not empty: %s", told(out))
			s.configure(s.config(driftArguments))
			s.reset()
		}
		shared = nil
	}
	s.configure(s.config(driftArguments))
	s.works()
}

// reset has the next rows begin with an intact installation, as far as that is possible.
func (s *driftSite) reset() { s.terraform("apply", "-no-color", "-auto-approve") }

func (s *driftSite) terraform(args ...string) (out string, code int) {
	s.t.Helper()
	run, err := s.cli.Run(s.t.Context(), args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return run.Output, run.Exit
}

// plannedChange is what a plan does to the backup.
type plannedChange struct {
	Actions []string       `json:"actions"`
	Before  map[string]any `json:"before"`
	After   map[string]any `json:"after"`
	Unknown map[string]any `json:"after_unknown"`
}

// plan plans, and reads what is planned for the backup.
func (s *driftSite) plan() (printed string, change plannedChange, ok bool) {
	s.t.Helper()
	printed, code := s.terraform("plan", "-no-color", "-out", "plan.bin")
	if code != 0 {
		return printed, change, false
	}
	text, code := s.terraform("show", "-json", "plan.bin")
	var document struct {
		Changes []struct {
			Address string        `json:"address"`
			Change  plannedChange `json:"change"`
		} `json:"resource_changes"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil || code != 0 || len(document.Changes) != 1 {
		return text, change, false
	}
	return printed, document.Changes[0].Change, true
}

// paths returns the attributes that a change touches, as HCL would write them.
func (c plannedChange) paths() map[string]bool {
	paths := map[string]bool{}
	var walk func(at string, before, after, unknown any)
	walk = func(at string, before, after, unknown any) {
		was, isObject := before.(map[string]any)
		is, _ := after.(map[string]any)
		open, _ := unknown.(map[string]any)
		if unknown == true || !isObject || is == nil {
			if unknown == true || !reflect.DeepEqual(before, after) {
				paths[at] = true
			}
			return
		}
		for key := range keysOf(was, is, open) {
			child := below(at, key)
			_, hadIt := was[key]
			_, hasIt := is[key]
			if known := hadIt && (hasIt || open[key] != nil); !known {
				paths[child] = true
				continue
			}
			walk(child, was[key], is[key], open[key])
		}
	}
	walk("", c.Before, c.After, c.Unknown)
	return paths
}

func keysOf(documents ...map[string]any) map[string]bool {
	keys := map[string]bool{}
	for _, document := range documents {
		for key := range document {
			keys[key] = true
		}
	}
	return keys
}

// below returns the path of an attribute of an object, or of an element of a map.
func below(at, key string) string {
	switch at {
	case "":
		return key
	case "schedules", "secret_fingerprints", "cron_utc", "drift":
		return fmt.Sprintf("%s[%q]", at, key)
	}
	return at + "." + key
}

// flat undoes the lines into which Terraform breaks its messages.
func flat(text string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("│", " ", "╷", " ", "╵", " ").Replace(text)), " ")
}

// told is what of Terraform's output says something about the backup.
func told(out string) string {
	out = flat(out)
	for _, begin := range []string{"Error: ", "Terraform will perform the following actions:"} {
		if at := strings.Index(out, begin); at >= 0 {
			out = out[at:]
			break
		}
	}
	return out[:min(len(out), 1500)]
}

// inventory lists everything of the backup in the project, as others than the
// provider see it. The order of a table's columns does not matter, and neither
// do values that are generated again: ids, times, the token.
func (s *driftSite) inventory() map[string]bool {
	s.t.Helper()
	lines := map[string]bool{}
	bin, err := stack.PostgresBin()
	if err != nil {
		s.t.Fatal(err)
	}
	dump := exec.CommandContext(s.t.Context(), filepath.Join(bin, "pg_dump"), "--schema-only", "--schema", "auto_backup", "--dbname", s.AdminDatabaseURL)
	text, err := dump.Output()
	if err != nil {
		s.t.Fatalf("pg_dump: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(strings.TrimSpace(line), ","); !strings.HasPrefix(line, "--") && !strings.HasPrefix(line, `\`) {
			lines[line] = true
		}
	}
	for _, query := range []string{
		"select string_agg(format('job %s: %s %s %s %s %s', jobname, schedule, command, active, database, username), e'\\n') from cron.job where jobname in ('auto-backup-nightly', 'auto-backup-drill', 'auto-backup-watchdog')",
		// A backup that calls another project's function looks like a copy, and
		// a copy gets an instance of its own.
		"select string_agg(format('settings %s: %s %s', backup, document - 'instance', owner), e'\\n') from auto_backup.settings",
		"select string_agg(format('installation: %s %s', owner, version), e'\\n') from auto_backup.installation",
		"select string_agg(format('vault %s: %s', name, description), e'\\n') from vault.secrets",
		"select string_agg('role ' || rolname, e'\\n') from pg_roles",
		"select string_agg(format('member %s of %s', member::regrole, roleid::regrole), e'\\n') from pg_auth_members",
		"select string_agg('extension ' || extname, e'\\n') from pg_extension",
	} {
		for line := range strings.Lines(s.value(query)) {
			lines[strings.TrimSpace(line)] = true
		}
	}
	functions, err := s.client().ListFunctions(s.t.Context(), s.ProjectRef)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range functions {
		lines[fmt.Sprintf("function %s: %s %t %s", f.Slug, f.Status, f.VerifyJWT, filepath.Base(f.EntrypointPath))] = true
	}
	for name, content := range sourceOf(s.project) {
		lines[fmt.Sprintf("file %s %x", name, sha256.Sum256([]byte(content)))] = true
	}
	secrets, err := s.client().ListSecrets(s.t.Context(), s.ProjectRef)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, secret := range secrets {
		digest := secret.Digest
		if secret.Name == "AUTO_BACKUP_TOKEN" {
			digest = "some token"
		}
		lines["secret "+secret.Name+" "+digest] = true
	}
	return lines
}

// differing names what only one of two inventories has.
func differing(was, is map[string]bool) string {
	var lines []string
	for line := range was {
		if !is[line] {
			lines = append(lines, "missing: "+line)
		}
	}
	for line := range is {
		if !was[line] {
			lines = append(lines, "more: "+line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n\t\t")
}
