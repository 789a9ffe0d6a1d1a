package backup

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestSecretOwnership proves whose an extra secret is in every situation, and
// what follows: what an apply sets, deletes, leaves, adopts and records first,
// what a destroy removes, and what a state has to remember.
func TestSecretOwnership(t *testing.T) {
	t.Parallel()
	const value = "value"
	settings := func(secrets, adopted []string) *Settings { return &Settings{Secrets: secrets, AdoptedSecrets: adopted} }
	x := []string{"X"}
	for _, c := range []struct {
		what string
		// wanted is whether the spec names X. present is its value in the project,
		// empty for none.
		wanted   bool
		present  string
		settings *Settings
		known    Known

		secrets                                 []Secret
		set                                     map[string]string
		delete, leave, adopt, record, removable []string
		after, afterFailure                     []string
	}{
		{
			what: "new", wanted: true,
			secrets: []Secret{{Name: "X", Wanted: true}},
			set:     map[string]string{"X": value}, record: x, after: x, afterFailure: x,
		},
		{
			what: "another's, and wanted", wanted: true, present: "other",
			secrets: []Secret{{Name: "X", Present: true, Digest: DigestOf("other"), Wanted: true, Owner: Foreign}},
			set:     map[string]string{"X": value}, adopt: x, record: x, after: x,
		},
		{
			what: "another's with the wanted value", wanted: true, present: value,
			secrets: []Secret{{Name: "X", Present: true, Digest: DigestOf(value), Wanted: true, Owner: Foreign}},
			adopt:   x, record: x, after: x,
		},
		{what: "another's, and not wanted", present: "other"},
		{
			what: "ours, and as wanted", wanted: true, present: value, settings: settings(x, nil), known: Known{Managed: true, Secrets: x},
			secrets:   []Secret{{Name: "X", Present: true, Digest: DigestOf(value), Wanted: true, Recorded: true, Owner: Ours}},
			removable: x, after: x, afterFailure: x,
		},
		{
			what: "ours with another value, which no state knows", wanted: true, present: "other", settings: settings(x, nil),
			secrets: []Secret{{Name: "X", Present: true, Digest: DigestOf("other"), Wanted: true, Recorded: true, Owner: Ours}},
			set:     map[string]string{"X": value}, removable: x, after: x,
		},
		{
			what: "ours, and no longer wanted", present: "other", settings: settings(x, nil), known: Known{Managed: true, Secrets: x},
			secrets: []Secret{{Name: "X", Present: true, Digest: DigestOf("other"), Recorded: true, Owner: Ours}},
			delete:  x, removable: x, afterFailure: x,
		},
		{
			what: "ours, no longer wanted, and gone", settings: settings(x, nil),
			secrets: []Secret{{Name: "X", Recorded: true, Owner: Ours}},
		},
		{
			what: "ours as the state says, which the settings row no longer names", wanted: true, present: value, settings: settings(nil, nil), known: Known{Managed: true, Secrets: x},
			secrets: []Secret{{Name: "X", Present: true, Digest: DigestOf(value), Wanted: true, Owner: Ours}},
			record:  x, after: x, afterFailure: x,
		},
		{
			what: "only in the state, and not in the settings row", present: value, settings: settings(nil, nil), known: Known{Managed: true, Secrets: x},
			secrets:      []Secret{{Name: "X", Present: true, Digest: DigestOf(value), Claimed: true}},
			afterFailure: x,
		},
		{
			what: "only in the state, without a settings row", present: value, known: Known{Managed: true, Secrets: x},
			secrets:      []Secret{{Name: "X", Present: true, Digest: DigestOf(value), Claimed: true}},
			afterFailure: x,
		},
		{
			what: "only in the state, and gone", known: Known{Managed: true, Secrets: x},
			secrets:      []Secret{{Name: "X", Owner: Ours}},
			afterFailure: x,
		},
		{
			what: "adopted", wanted: true, present: value, settings: settings(x, x), known: Known{Managed: true, Secrets: x},
			secrets: []Secret{{Name: "X", Present: true, Digest: DigestOf(value), Wanted: true, Recorded: true, Owner: Adopted}},
			adopt:   x, after: x, afterFailure: x,
		},
		{
			what: "adopted, and no longer wanted", present: value, settings: settings(x, x), known: Known{Managed: true, Secrets: x},
			secrets: []Secret{{Name: "X", Present: true, Digest: DigestOf(value), Recorded: true, Owner: Adopted}},
			leave:   x, afterFailure: x,
		},
		{
			what: "adopted, and gone", wanted: true, settings: settings(x, x),
			secrets: []Secret{{Name: "X", Wanted: true, Recorded: true, Owner: Adopted}},
			set:     map[string]string{"X": value}, adopt: x, after: x, afterFailure: x,
		},
	} {
		id := ID{ProjectRef: testRef, Name: DefaultName}
		spec, found := Spec{ID: id}, State{ID: id, Secrets: map[string]string{"OTHER": "o"}, Settings: c.settings, Known: c.known}
		if c.wanted {
			spec.Settings.Secrets, spec.Secrets = []string{"X"}, map[string]string{"X": value}
		}
		if c.present != "" {
			found.Secrets["X"] = DigestOf(c.present)
		}
		equal(t, c.what, found.SecretsOf(spec), c.secrets)
		equal(t, c.what+": set", found.SecretsToSet(spec), c.set)
		equal(t, c.what+": delete", found.SecretsToDelete(spec), c.delete)
		equal(t, c.what+": leave", found.SecretsToLeave(spec), c.leave)
		equal(t, c.what+": adopt", spec.Completed(found).Settings.AdoptedSecrets, c.adopt)
		equal(t, c.what+": record", found.SecretsToRecord(spec), c.record)
		equal(t, c.what+": remove with the backup", found.RemovableSecrets(), c.removable)
		equal(t, c.what+": after an apply", found.SecretsAfter(spec, true, true), c.after)
		equal(t, c.what+": after a failed apply", found.SecretsAfter(spec, false, false), c.afterFailure)
		both := slices.Concat(c.after, c.known.Secrets)
		slices.Sort(both)
		equal(t, c.what+": after an apply that has removed none", found.SecretsAfter(spec, true, false), slices.Compact(both))

		// Without its value, nothing is said about a secret that is there.
		spec.Secrets = nil
		equal(t, c.what+": set without a value", found.SecretsToSet(spec), nil)
	}
}

// TestSecretsSorted proves that secrets of several sources are listed once each,
// by name.
func TestSecretsSorted(t *testing.T) {
	t.Parallel()
	found := State{
		Settings: &Settings{Secrets: []string{"D", "B"}, AdoptedSecrets: []string{"B"}},
		Known:    Known{Secrets: []string{"C", "D"}},
		Secrets:  map[string]string{"A": "1", "B": "2", "C": "3", "D": "4"},
	}
	spec := Spec{Settings: Settings{Secrets: []string{"E", "A", "B"}}}
	equal(t, "secrets", found.SecretsOf(spec), []Secret{
		{Name: "A", Present: true, Digest: "1", Wanted: true, Owner: Foreign},
		{Name: "B", Present: true, Digest: "2", Wanted: true, Recorded: true, Owner: Adopted},
		{Name: "C", Present: true, Digest: "3", Claimed: true},
		{Name: "D", Present: true, Digest: "4", Recorded: true, Owner: Ours},
		{Name: "E", Wanted: true, Owner: Ours},
	})
	equal(t, "the wanted list stays as it was", spec.Settings.Secrets, []string{"E", "A", "B"})
}

// TestRemovableTokens proves that a backup's tokens go with it, and only if they
// are its own.
func TestRemovableTokens(t *testing.T) {
	t.Parallel()
	tokens := []string{"AUTO_BACKUP_TOKEN", "AUTO_BACKUP_TOKEN_NEXT"}
	for what, c := range map[string]struct {
		settings *Settings
		known    Known
		present  []string
		want     []string
	}{
		"another's":                   {present: tokens},
		"with a settings row":         {settings: &Settings{}, present: tokens, want: tokens},
		"known":                       {known: Known{Managed: true}, present: tokens, want: tokens},
		"one of them":                 {settings: &Settings{}, present: tokens[1:], want: tokens[1:]},
		"gone":                        {settings: &Settings{}},
		"after the secrets of a spec": {settings: &Settings{Secrets: []string{"Z"}}, present: append([]string{"Z"}, tokens...), want: append([]string{"Z"}, tokens...)},
	} {
		found := State{ID: ID{ProjectRef: testRef, Name: DefaultName}, Settings: c.settings, Known: c.known, Secrets: map[string]string{}}
		for _, name := range c.present {
			found.Secrets[name] = "d"
		}
		equal(t, what, found.RemovableSecrets(), c.want)
	}
}

// TestValidateSecrets proves the Management API's limits, at each secret's own
// name and to the character, with what to do.
func TestValidateSecrets(t *testing.T) {
	t.Parallel()
	many := func(n int) map[string]int {
		secrets := map[string]int{}
		for i := range n {
			secrets["KEY_"+strconv.Itoa(i)] = 1
		}
		return secrets
	}
	long := strings.Repeat("N", 257)
	for what, c := range map[string]struct {
		name    Name
		lengths map[string]int
		want    map[string]string
	}{
		"all that may be":        {"auto-backup", map[string]int{"supabase_lower_case": 1, strings.Repeat("N", 256): 24_576, "EMPTY": 0, "a.b-c": 1}, nil},
		"as many as may be":      {"auto-backup", many(98), nil},
		"the token of no backup": {"", map[string]int{"AUTO_BACKUP_TOKEN": 1, "_TOKEN": 1}, nil},
		"one too many": {"auto-backup", many(99), map[string]string{
			"": "99 secrets are too many: a project can have 100, and the backup's own token needs up to two of them; keep at most 98",
		}},
		"no name":              {"auto-backup", map[string]int{"": 1}, map[string]string{"": "a secret needs a name"}},
		"no environment's":     {"auto-backup", map[string]int{"A B": 1}, map[string]string{"A B": `"A B": the name is also that of an environment variable; write it in letters, digits, underscores, dots and hyphens`}},
		"reserved":             {"auto-backup", map[string]int{"SUPABASE_KEY": 1}, map[string]string{"SUPABASE_KEY": "SUPABASE_KEY: Supabase reserves names that begin with SUPABASE_; choose another name"}},
		"the backup's token":   {"auto-backup", map[string]int{"AUTO_BACKUP_TOKEN": 1}, map[string]string{"AUTO_BACKUP_TOKEN": "AUTO_BACKUP_TOKEN: the provider keeps the backup's own token under this name; choose another name"}},
		"the backup's next":    {"auto-backup", map[string]int{"AUTO_BACKUP_TOKEN_NEXT": 1}, map[string]string{"AUTO_BACKUP_TOKEN_NEXT": "AUTO_BACKUP_TOKEN_NEXT: the provider keeps the backup's own token under this name; choose another name"}},
		"another backup's":     {"auto-backup", map[string]int{"OTHER_TOKEN": 1}, nil},
		"long name":            {"auto-backup", map[string]int{long: 1}, map[string]string{long: "NNNNNNNNNNNNNNNNNNNN…: the name has 257 characters, the limit is 256; choose a shorter name"}},
		"long value":           {"auto-backup", map[string]int{"KEY": 24_577}, map[string]string{"KEY": "KEY: the value has 24577 characters, the limit is 24576; store it elsewhere and keep only a key to it here"}},
		"two faults, two keys": {"auto-backup", map[string]int{"": 1, "SUPABASE_A": 1, "FINE": 1}, map[string]string{"": "a secret needs a name", "SUPABASE_A": "SUPABASE_A: Supabase reserves names that begin with SUPABASE_; choose another name"}},
	} {
		got := map[string]string{}
		for key, err := range ValidateSecrets(c.name, c.lengths) {
			got[key] = err.Error()
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", what, got, c.want)
		}
	}
}
