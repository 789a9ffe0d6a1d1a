package selfhosted

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// awkward values would be cut, expanded or joined by a reader if they were
// written without quoting.
var awkward = []string{
	"", "plain", "with space", " leading and trailing ", "a#b", "a #b", "#", "$HOME", "${HOME}", "$$", `\$HOME`, "`id`", "$(id)",
	`it's`, `"quoted"`, `both ' and "`, `back\slash`, `\n`, `\\n`, "line\nbreak", "'\n'", "a\r\nb", "tab\there", "=", "a=b=c", "export X=1",
	"ação 🚨 שלום", `'`, `"`, `\`, `\'`, `\"`, `trailing\`, "-----BEGIN KEY-----\nabc+/=\n-----END KEY-----\n", "%s{{x}}", "null", "0123", "{\"json\":[1,\"$2\"]}", "it's $5",
}

// TestEnvironmentIsReadByOthers proves that values written to an env file are
// read back unchanged by this package and by an independent reader, Deno's.
func TestEnvironmentIsReadByOthers(t *testing.T) {
	t.Parallel()
	deno, err := stack.Deno()
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]string{}
	e := parseEnvironment("# kept\nBEFORE=1\n")
	var refused []string
	for i, value := range awkward {
		name := "V" + strings.Repeat("X", i)
		if err := CheckSecret(name, value); err != nil {
			refused = append(refused, value)
			continue
		}
		wanted[name] = value
		e.set(name, value)
	}
	// There is no way to write these that all readers read the same.
	if want := []string{`both ' and "`, `'` + "\n'", "a\r\nb", `\`, `\'`, `trailing\`, "it's $5"}; !slices.Equal(refused, want) {
		t.Errorf("refused are %q", refused)
	}
	e.set("AFTER", "2")
	file := filepath.Join(t.TempDir(), ".env")
	if err := writeEnvironment(file, e); err != nil {
		t.Fatal(err)
	}
	wanted["BEFORE"], wanted["AFTER"] = "1", "2"

	cmd := exec.CommandContext(t.Context(), deno, "eval", "--no-lock", "--quiet", "--env-file="+file, "console.log(JSON.stringify(Deno.env.toObject()))")
	cmd.Env = []string{"HOME=/nowhere", "DENO_DIR=" + t.TempDir(), "NO_COLOR=1"}
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]string
	if err := json.Unmarshal(output, &read); err != nil {
		t.Fatal(err)
	}
	own, err := readEnvironment(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range wanted {
		if got, ok := own.values()[name]; !ok || got != value {
			t.Errorf("this package reads %q as %q", value, got)
		}
		if got, ok := read[name]; !ok || got != value {
			t.Errorf("Deno reads %q as %q (%t), %s", value, got, ok, e.text())
		}
	}
}

// TestEnvironmentKeepsOtherLines proves that setting and removing a variable
// changes its own lines and no other byte, however they are written.
func TestEnvironmentKeepsOtherLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, set, value, after string }{
		{"", "A", "1", "A=1\n"},
		{"X=1", "A", "1", "X=1\nA=1\n"},
		{"# A=0\r\nA = old # why\r\n\r\nB=2\r\n", "A", "1", "# A=0\r\nA=1\n\r\nB=2\r\n"},
		{"export A='old\nvalue' # note\nB=2\n", "A", "1", "A=1\nB=2\n"},
		{"A=1\nB=2\nA=3\nC=4\n", "A", "5", "B=2\nA=5\nC=4\n"},
		{"A=\"x\\\"y\nz\"\nB=2", "A", "1", "A=1\nB=2"},
		{"A='never closed\nB=2\n", "B", "3", "A='never closed\nB=3\n"},
		{"AA=1\nBA=2\n A=3\n", "A", "3", "AA=1\nBA=2\n A=3\n"},
		{"no assignment\nA: yaml\n=x\n", "A", "1", "no assignment\nA: yaml\n=x\nA=1\n"},
	} {
		e := parseEnvironment(c.before)
		e.set(c.set, c.value)
		if got := e.text(); got != c.after {
			t.Errorf("%q with %s=%s is %q, want %q", c.before, c.set, c.value, got, c.after)
		}
	}
	e := parseEnvironment("A=1\n# note\nB='x\ny'\nA=2\n")
	if e.remove("C") || !e.remove("A") || !e.remove("B") || e.text() != "# note\n" {
		t.Errorf("what is left is %q", e.text())
	}
}

// FuzzEnvironment proves of any file that reading it loses no byte, and that a
// value which is set in it is read back while all other assignments stay.
func FuzzEnvironment(f *testing.F) {
	for _, value := range awkward {
		f.Add("A='x'\nB=\"y\"\n"+value, value)
	}
	f.Add("A='open\nNAME=\"x\n", "v")
	f.Fuzz(func(t *testing.T, text, value string) {
		e := parseEnvironment(text)
		if e.text() != text {
			t.Fatalf("%q became %q", text, e.text())
		}
		if CheckSecret("NAME", value) != nil {
			return
		}
		others := e.values()
		delete(others, "NAME")
		// A quote that is never closed may end at one that is written behind it.
		open := slices.ContainsFunc(e.entries, func(entry entry) bool {
			return strings.HasPrefix(entry.value, "'") || strings.HasPrefix(entry.value, `"`)
		})
		e.set("NAME", value)
		again := parseEnvironment(e.text()).values()
		if !open && again["NAME"] != value {
			t.Fatalf("%q was set in %q and is %q", value, text, again["NAME"])
		}
		delete(again, "NAME")
		if !open && !maps.Equal(again, others) {
			t.Fatalf("%v became %v", others, again)
		}
	})
}

// TestWriteEnvironment proves that only the owner can read a file of secrets,
// whatever its mode was before, that a link to it stays a link, and that nothing
// else is left beside it.
func TestWriteEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "real.env"), filepath.Join(dir, "link.env")
	if err := os.WriteFile(target, []byte("A=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	e, err := readEnvironment(link)
	if err != nil {
		t.Fatal(err)
	}
	e.set("SECRET", "value")
	if err := writeEnvironment(link, e); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(target)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file's mode is %v: %v", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "A=1\nSECRET=value\n" {
		t.Errorf("the file holds %q: %v", text, err)
	}
	entries, err := os.ReadDir(dir)
	names := []string{}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if err != nil || !slices.Equal(names, []string{"link.env", "real.env"}) {
		t.Errorf("the directory holds %v: %v", names, err)
	}
}
