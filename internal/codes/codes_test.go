package codes

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// conditions are those of a backup, as package health has them.
var conditions = []string{"not_installed", "scheduler_down", "failing", "late", "running", "never_ran", "healthy"}

// TestFile proves that every entry of codes.json is complete, that its texts
// have the form that their readers count on, and that the file is sorted and
// holds nothing that nobody reads.
func TestFile(t *testing.T) {
	t.Parallel()
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	var all map[string]Code
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Errorf("codes.json goes on after its object: %v", err)
	}
	if names := keys(t); !slices.IsSorted(names) || len(names) != len(all) {
		t.Errorf("codes.json is not sorted, or has a code twice: %v", names)
	}
	for name, code := range all {
		for _, problem := range flaws(name, code) {
			t.Errorf("%s: %s", name, problem)
		}
	}
}

// keys are the keys of codes.json in their order.
func keys(t *testing.T) []string {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(file))
	var names []string
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, key.(string))
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

var (
	namePattern  = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$|^http_\*$`)
	statePattern = regexp.MustCompile(`^([0-9A-Z]{5}|PGRST\d{3})$`)
	// A text that begins with a name keeps the name's case.
	proper  = regexp.MustCompile(`^(pg_net|pg_cron|backup_logs|service_role)\b`)
	english = regexp.MustCompile(`(?i)\b(the|failed|was|not|error|and|is|it|run)\b`)
	// calque matches words that translate English instead of saying it.
	calque = regexp.MustCompile(`(?i)\bda Supabase\b|\bse (cria|instala|executa)\b|\bpor favor\b`)
)

// flaws lists what is wrong with an entry.
func flaws(name string, code Code) (found []string) {
	flaw := func(wrong bool, what string) {
		if wrong {
			found = append(found, what)
		}
	}
	flaw(!namePattern.MatchString(name), "the name is not one of a code")
	flaw(!slices.Contains(conditions, code.Condition), "the condition is "+code.Condition)
	for condition, when := range code.Also {
		flaw(!slices.Contains(conditions, condition) || condition == code.Condition, "also "+condition)
		flaw(when == "" || strings.HasSuffix(when, ".") || strings.HasPrefix(when, "if "), "also if "+when)
	}
	flaw(len(code.Arises) == 0, "it arises nowhere")
	flaw(!slices.IsSorted(code.Arises) || len(slices.Compact(slices.Clone(code.Arises))) != len(code.Arises), "the places are not sorted")
	for _, place := range code.Arises {
		flaw(!slices.Contains(Places, place), "it arises at "+place)
	}
	flaw(len(code.SQLStates) > 0 && !code.ArisesAt(Function), "only the function tells an SQLSTATE")
	found = append(found, code.flaws()...)
	for state, text := range code.SQLStates {
		flaw(!statePattern.MatchString(state), state+" is not an SQLSTATE")
		for _, problem := range text.flaws() {
			found = append(found, state+": "+problem)
		}
	}
	return found
}

func (text Text) flaws() (found []string) {
	flaw := func(wrong bool, what, said string) {
		if wrong {
			found = append(found, what+": "+said)
		}
	}
	for _, said := range []string{text.Meaning, text.Remedy, text.Reason, text.Advice} {
		flaw(len([]rune(said)) < 5 || len([]rune(said)) > 200, "not 5 to 200 characters", said)
		flaw(regexp.MustCompile(`[<>&\x00-\x1f]|  |^ | $|[“”]`).MatchString(said), "not clean", said)
	}
	flaw(strings.HasSuffix(text.Meaning, ".") || strings.Contains(text.Meaning, ". ") || strings.Contains(text.Meaning, "`"), "not one clause", text.Meaning)
	flaw(!regexp.MustCompile(`^[A-Z]`).MatchString(text.Meaning) && !proper.MatchString(text.Meaning), "does not begin as a sentence", text.Meaning)
	flaw(!strings.HasSuffix(text.Remedy, ".") || !regexp.MustCompile(`^[A-Z]`).MatchString(text.Remedy) || strings.Count(text.Remedy, "`")%2 != 0, "not sentences", text.Remedy)
	for _, said := range []string{text.Meaning, text.Remedy} {
		flaw(regexp.MustCompile(`[ãáâàéêíóôõúç]`).MatchString(said), "not English", said)
	}
	for _, said := range []string{text.Reason, text.Advice} {
		flaw(strings.HasSuffix(said, ".") || strings.Contains(said, "`"), "not one clause", said)
		flaw(!regexp.MustCompile(`^[a-zãáâàéêíóôõúç]`).MatchString(said), "does not begin in lower case", said)
		flaw(english.MatchString(said), "not Portuguese", said)
		flaw(calque.MatchString(said), "not as a Brazilian would say it", said)
	}
	return found
}

// TestFlaws proves that each kind of flaw is found in an entry that has no other.
func TestFlaws(t *testing.T) {
	t.Parallel()
	sound := func() Code {
		return Code{
			Text:      Text{Meaning: "The vault has no token", Remedy: "Run `terraform apply`.", Reason: "o cofre está sem token", Advice: "execute terraform apply"},
			Condition: "failing", Also: map[string]string{"late": "it is the watchdog"}, Arises: []string{Function, Watchdog},
			SQLStates: map[string]Text{"42501": {Meaning: "The right is missing", Remedy: "Grant it.", Reason: "falta a permissão do banco", Advice: "conceda a permissão"}},
		}
	}
	if found := flaws("a_code", sound()); len(found) > 0 {
		t.Fatalf("a sound entry has the flaws %q", found)
	}
	for want, change := range map[string]func(*Code){
		"the condition is bad":                func(c *Code) { c.Condition = "bad" },
		"also bad":                            func(c *Code) { c.Also["bad"] = "it is so" },
		"also failing":                        func(c *Code) { c.Also["failing"] = "it is so" },
		"also if if so":                       func(c *Code) { c.Also["late"] = "if so" },
		"it arises nowhere":                   func(c *Code) { c.Arises, c.SQLStates = nil, nil },
		"the places are not sorted":           func(c *Code) { c.Arises = []string{Watchdog, Function} },
		"it arises at home":                   func(c *Code) { c.Arises = []string{Function, "home"} },
		"only the function tells an SQLSTATE": func(c *Code) { c.Arises = []string{Status} },
		"x is not an SQLSTATE":                func(c *Code) { c.SQLStates["x"] = c.SQLStates["42501"] },
		"42501: not 5 to 200 characters: ": func(c *Code) {
			c.SQLStates = map[string]Text{"42501": {Meaning: "", Remedy: "Grant it.", Reason: "falta a permissão do banco", Advice: "conceda a permissão"}}
		},
		"not one clause: The vault has no token.":   func(c *Code) { c.Meaning += "." },
		"does not begin as a sentence: the vault":   func(c *Code) { c.Meaning = "the vault" },
		"not sentences: Run it":                     func(c *Code) { c.Remedy = "Run it" },
		"not sentences: Run `it.":                   func(c *Code) { c.Remedy = "Run `it." },
		"not clean: o cofre <b>":                    func(c *Code) { c.Reason = "o cofre <b>" },
		"not one clause: o cofre.":                  func(c *Code) { c.Reason = "o cofre." },
		"does not begin in lower case: O cofre":     func(c *Code) { c.Reason = "O cofre" },
		"not Portuguese: the token failed":          func(c *Code) { c.Reason = "the token failed" },
		"not English: O cofre é":                    func(c *Code) { c.Meaning = "O cofre é" },
		"not as a Brazilian would say it: painel d": func(c *Code) { c.Advice = "painel da Supabase" },
	} {
		code := sound()
		change(&code)
		if found := flaws("a_code", code); len(found) == 0 || !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("found %q, want %q", found, want)
		}
	}
	if found := flaws("A code", sound()); len(found) != 1 {
		t.Errorf("a name that is none: %q", found)
	}
}

// TestLookup proves which entry speaks for a code, with an SQLSTATE and without,
// known or not.
func TestLookup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ code, state, code2, state2 string }{
		{"http_402", "", "http_402", ""},
		{"http_418", "", AnyStatus, ""},
		{"rpc_http", "57014", "rpc_http", "57014"},
		{"rpc_http", "99999", "rpc_http", ""},
		{"log_rejected", "42501", "log_rejected", "42501"},
		{"a_code_of_the_future", "", "function_failed", ""},
		{"", "", "function_failed", ""},
	} {
		entry, ok := Find(c.code2)
		want := entry.Text
		if c.state2 != "" {
			want = entry.SQLStates[c.state2]
		}
		if got := Lookup(c.code, c.state); !ok || got != want || got.Meaning == "" {
			t.Errorf("Lookup(%q, %q) is %+v, want %+v", c.code, c.state, got, want)
		}
	}
	if _, ok := Find("http_418"); ok {
		t.Error("Find knows a code without an entry")
	}
}

// TestAll proves that the caller's map is its own.
func TestAll(t *testing.T) {
	t.Parallel()
	all := All()
	clear(all)
	if len(All()) < 90 || !slices.Contains(slices.Collect(maps.Keys(All())), "internal") {
		t.Errorf("%d codes are left", len(All()))
	}
}
