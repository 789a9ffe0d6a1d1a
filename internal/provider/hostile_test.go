package provider_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// hostileTexts try to break out of whatever they are put into.
var hostileTexts = map[string]string{
	"escape sequence": "a\x1b[2J\x1b]0;owned\x07",
	"bidi":            "a\u202egnp.exe",
	"invisible":       "a\u200bb\u2060",
	"line feed":       "a\nError: forged",
	"carriage return": "a\rError: forged",
	"NUL":             "a\x00b",
	"C1 control":      "a\u009b31m",
	"quote":           `a"b`,
	"SQL":             "'; drop schema auto_backup cascade; --",
	"dollar quotes":   "$body$; drop schema auto_backup cascade; $body$ $do$ $q$",
	"format":          "%s %L %I %d %%",
	"backslash":       `\'; \x41 \u0041 \`,
	"JSON":            `","owner":"somebody","x":"`,
	"path":            "../../../../etc/passwd",
	"URL":             "https://user:password@example.com/?a=b#c",
	"long":            strings.Repeat("a", 100_000),
	"long words":      strings.Repeat("* ", 400_000),
}

// free are the texts that are harmless in a place which takes any text.
var free = []string{"quote", "SQL", "dollar quotes", "format", "backslash", "JSON", "path", "URL"}

// inert reports whether a text does nothing to a terminal.
func inert(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool {
		return c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Cf, c))
	})
}

// TestHostileInput proves for every argument that takes a text, that what would
// break out of SQL, JSON, a path, a log or a terminal is refused before anything
// is reached, unless the place takes any text; and that no complaint brings the
// text to the terminal as it is, or in its full length.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	for where, c := range map[string]struct {
		config func(text string) object
		takes  []string
		// echoes says that the complaint is one of Terraform's own libraries.
		echoes bool
	}{
		"project_ref":  {config: func(s string) object { return object{"project_ref": s} }},
		"name":         {config: func(s string) object { return object{"name": s} }},
		"timezone":     {config: func(s string) object { return object{"timezone": s} }},
		"schedule key": {config: func(s string) object { return object{"schedules": object{s: object{"cron": "0 3 * * *"}}} }},
		"cron":         {config: func(s string) object { return object{"schedules": object{"daily": object{"cron": s}}} }},
		"timezone of schedule": {config: func(s string) object {
			return object{"schedules": object{"daily": object{"cron": "0 3 * * *", "timezone": s}}}
		}},
		"rpc":            {config: func(s string) object { return object{"function": object{"rpc": s}} }},
		"verify_table":   {config: func(s string) object { return object{"function": object{"verify_table": s}} }},
		"source_dir":     {config: func(s string) object { return object{"function": object{"source_dir": s}} }},
		"alert function": {config: func(s string) object { return object{"alert": object{"function": s}} }},
		"alert source":   {config: func(s string) object { return object{"alert": object{"source": s}} }, takes: free},
		"overdue_after":  {config: func(s string) object { return object{"alert": object{"overdue_after": s}} }},
		"retry delay":    {config: func(s string) object { return object{"retry": object{"delay": s}} }},
		"log_constraint": {config: func(s string) object { return object{"log_constraint": s} }, echoes: true},
		"verify":         {config: func(s string) object { return object{"verify": s} }, echoes: true},
		"secret name":    {config: func(s string) object { return object{"secrets": object{s: "x"}} }},
		"secret value": {
			config: func(s string) object { return object{"secrets": object{"KEY": s}} },
			takes:  slices.Concat(free, []string{"escape sequence", "bidi", "invisible", "line feed", "carriage return", "C1 control"}),
		},
		"rotate_token": {
			config: func(s string) object { return object{"rotate_token": s} },
			takes:  slices.Collect(maps.Keys(hostileTexts)), // compared with itself, and nothing else
		},
		"timeout": {config: func(s string) object { return object{"timeouts": object{"create": s}} }, echoes: true},
	} {
		for what, text := range hostileTexts {
			t.Run(where+"/"+what, func(t *testing.T) {
				t.Parallel()
				diags := validate(t, c.config(text))
				if refused := len(diags) > 0; refused == slices.Contains(c.takes, what) {
					t.Errorf("refused: %t", refused)
				}
				for _, d := range diags {
					if d.Severity != tfprotov6.DiagnosticSeverityError {
						t.Errorf("only a warning: %s", d.Summary)
					}
					if said := d.Summary + d.Detail; !inert(said) {
						t.Errorf("the complaint does something to a terminal: %q", said)
					} else if len(said) > 3*4096 && !c.echoes {
						t.Errorf("the complaint has %d bytes: %.200s…", len(said), said)
					}
				}
			})
		}
	}
}

// TestHostileTextsAreTexts proves that every text which is taken arrives as it
// is, in the project's settings and secrets, that the plan is empty then, and
// that nothing of it was run; and that what somebody else has named in the
// project does nothing to the terminal on which a plan shows it.
func TestHostileTextsAreTexts(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	source := strings.Join([]string{hostileTexts["SQL"], hostileTexts["quote"], hostileTexts["format"], "$body$ ${x}"}, " ")
	secrets := map[string]string{}
	for i, what := range slices.Sorted(maps.Keys(hostileTexts)) {
		if text := hostileTexts[what]; len(text) < 24_000 && !strings.Contains(text, "\x00") {
			secrets["HOSTILE_"+string(rune('A'+i))] = text
		}
	}
	c := newCLI(t, required+`
		variable "alert"   {}
		variable "secrets" { type = map(string) }
		resource "aimindset_auto_backup" "this" {
		  alert        = { source = var.alert }
		  secrets      = var.secrets
		  rotate_token = var.alert
		}`, p.Environ()...)
	values, err := json.Marshal(map[string]any{"alert": source, "secrets": secrets})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "terraform.tfvars.json"), values, 0o600); err != nil {
		t.Fatal(err)
	}
	p.asPostgres(`select cron.schedule(E'x\x1b[2J\u202e', '0 3 * * *', E'select public.backup_all_data() -- \x1b]0;owned\x07')`)
	out := c.run(0, "apply", "-auto-approve", "-no-color")
	if at := strings.Index(out, "makes the same backup"); at < 0 {
		t.Errorf("the job of another is not shown:\n%s", out)
	}
	out = strings.ReplaceAll(out, "\t", " ")
	if at := strings.IndexFunc(out, func(c rune) bool { return !inert(string(c)) }); at >= 0 {
		t.Errorf("Terraform prints %q", out[max(0, at-100):at+10])
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")

	if got := p.value("select document -> 'alert' ->> 'source' from auto_backup.settings"); got != source {
		t.Errorf("the source arrived as %q", got)
	}
	digests := p.SecretDigests()
	for name, value := range secrets {
		if sum := sha256.Sum256([]byte(value)); digests[name] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s did not arrive as it is", name)
		}
	}
	if got := p.value("select count(*) from public.articles"); got != "1000" {
		t.Errorf("%s articles are left", got)
	}
	c.run(0, "destroy", "-auto-approve", "-no-color")
	if left := p.traces("auto-backup"); len(left) > 0 {
		t.Errorf("destroy left %v", left)
	}
}
