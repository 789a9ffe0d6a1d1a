package backup

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
)

// copied returns a spec with a destination of copies and the state of its installation.
func copied(t *testing.T) (Spec, State) {
	t.Helper()
	spec, state := intact(t)
	names := spec.ID.Name.OffsiteSecrets("r2")
	settings := func() *offsite.Settings {
		return &offsite.Settings{ProjectRef: testRef, Destinations: map[string]offsite.Destination{"r2": {
			Endpoint: "https://0123.r2.cloudflarestorage.com", Region: "auto", Bucket: "acme", Recipients: []string{"AAAA"},
			Lock: &offsite.Lock{Mode: offsite.Governance, Days: 30}, Every: offsite.EveryBackup, Verify: offsite.VerifyHead,
			Tables: []string{offsite.StoredRows}, Secrets: names,
		}}}
	}
	spec.Settings.Offsite, state.Settings.Offsite = settings(), settings()
	state.Settings.Offsite.Tables = []drill.Table{{Live: [2]string{"public", "articles"}, Copy: [2]string{"public", "backup_articles"}}}
	for _, name := range []string{names.AccessKeyID, names.SecretAccessKey} {
		spec.Settings.Secrets, state.Settings.Secrets = append(spec.Settings.Secrets, name), append(state.Settings.Secrets, name)
		spec.Secrets[name], state.Secrets[name] = "value", DigestOf("value")
	}
	return spec, state
}

// TestOffsiteDrift proves in which words a plan says what was changed of a destination,
// and that an intact one has no difference.
func TestOffsiteDrift(t *testing.T) {
	t.Parallel()
	change := func(apply func(*offsite.Destination)) func(*State) {
		return func(s *State) {
			d := s.Settings.Offsite.Destinations["r2"]
			apply(&d)
			s.Settings.Offsite.Destinations["r2"] = d
		}
	}
	for what, c := range map[string]struct {
		change func(*State)
		want   map[string]string
	}{
		"nothing": {func(*State) {}, map[string]string{}},
		"another bucket": {
			change(func(d *offsite.Destination) { d.Bucket = "evil" }),
			map[string]string{"setting offsite.r2.bucket": "is evil instead of acme"},
		},
		"another recipient": {
			change(func(d *offsite.Destination) { d.Recipients = []string{"BBBB"} }),
			map[string]string{"setting offsite.r2.recipients": "are other keys than the configured ones: whoever has their private keys can open the copies, and the owners of the configured ones may not"},
		},
		"a shorter lock": {
			change(func(d *offsite.Destination) { d.Lock.Days = 1 }),
			map[string]string{"setting offsite.r2.lock.days": "is 1 instead of 30"},
		},
		"no lock": {
			change(func(d *offsite.Destination) { d.Lock = nil }),
			map[string]string{"setting offsite.r2.lock": `is unset instead of {"days":30,"mode":"governance"}`},
		},
		"no destination": {
			func(s *State) { delete(s.Settings.Offsite.Destinations, "r2") },
			map[string]string{"setting offsite.r2": "is missing"},
		},
		"another destination": {
			func(s *State) { s.Settings.Offsite.Destinations["evil"] = offsite.Destination{} },
			map[string]string{"setting offsite.evil": "is there and not configured"},
		},
		"no copies": {
			func(s *State) { s.Settings.Offsite = nil },
			map[string]string{"setting offsite": "is missing"},
		},
		"another project": {
			func(s *State) { s.Settings.Offsite.ProjectRef = "zyxwvutsrqponmlkjihg" },
			map[string]string{"setting offsite.project_ref": "is zyxwvutsrqponmlkjihg instead of " + testRef},
		},
		"a lost credential": {
			func(s *State) { delete(s.Secrets, "AUTO_BACKUP_OFFSITE_R2_ACCESS_KEY_ID") },
			map[string]string{"secret AUTO_BACKUP_OFFSITE_R2_ACCESS_KEY_ID": "is missing"},
		},
		"a changed credential": {
			func(s *State) { s.Secrets["AUTO_BACKUP_OFFSITE_R2_SECRET_ACCESS_KEY"] = DigestOf("other") },
			map[string]string{"secret AUTO_BACKUP_OFFSITE_R2_SECRET_ACCESS_KEY": "has another value than the configured one"},
		},
	} {
		spec, state := copied(t)
		c.change(&state)
		if what != "no copies" { // there the tables are lost, too
			spec = spec.Completed(state)
		}
		if drift := Drift(Diff(spec, state)); !maps.Equal(drift, c.want) {
			t.Errorf("%s: %v, want %v", what, drift, c.want)
		}
	}
}

// TestOffsiteRemoved proves that the credentials of a destination go with it, and that
// secrets which only have such a name are not taken.
func TestOffsiteRemoved(t *testing.T) {
	t.Parallel()
	spec, state := copied(t)
	spec.Settings.Offsite, spec.Settings.Secrets, spec.Secrets = nil, []string{"KEY"}, map[string]string{"KEY": "value"}
	want := []string{"AUTO_BACKUP_OFFSITE_R2_ACCESS_KEY_ID", "AUTO_BACKUP_OFFSITE_R2_SECRET_ACCESS_KEY"}
	if got := state.SecretsToDelete(spec); !slices.Equal(got, want) {
		t.Errorf("removed are %q, want %q", got, want)
	}
	spec, state = copied(t)
	state.Settings.Secrets, state.Settings.Offsite = []string{"KEY"}, nil
	if err := state.Foreign(spec); err == nil {
		t.Error("secrets that exist are overwritten")
	}
}

// TestOffsiteTables proves that a refresh keeps the tables that the project has, and that
// the spec from which it does so is not changed.
func TestOffsiteTables(t *testing.T) {
	t.Parallel()
	spec, state := copied(t)
	if got := spec.Completed(state).Settings.Offsite.Tables; !reflect.DeepEqual(got, state.Settings.Offsite.Tables) {
		t.Errorf("the tables are %v", got)
	}
	if spec.Settings.Offsite.Tables != nil {
		t.Error("the spec was changed")
	}
}
