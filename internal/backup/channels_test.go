package backup

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
)

const (
	beatSecret, opsSecret, signSecret = "auto-backup/heartbeat", "auto-backup/webhook/ops", "auto-backup/webhook-secret/ops"
)

// withChannels is intact with a heartbeat and a signed webhook.
func withChannels(t *testing.T) (Spec, State) {
	t.Helper()
	spec, state := intact(t)
	spec.Channels, state.ChannelDigests = map[string]string{beatSecret: "u1", opsSecret: "u2", signSecret: "s"}, map[string]string{}
	for _, settings := range []*Settings{&spec.Settings, state.Settings} {
		settings.Heartbeat = &notify.Heartbeat{Form: notify.Healthchecks, Language: notify.English}
		settings.Webhooks = map[string]notify.Webhook{"ops": {Form: notify.Generic, Events: []string{"failed"}, Language: notify.English, Signed: true}}
	}
	for name, value := range spec.Channels {
		state.VaultMarkers[name], state.ChannelDigests[name] = state.ID.Name.VaultMarker(), DigestOf(value)
	}
	return spec, state
}

// TestChannels proves what is said of the vault's secrets of the heartbeat and of the
// webhooks, which of them an apply writes and which it removes, with their values and, as
// in a refresh, without.
func TestChannels(t *testing.T) {
	t.Parallel()
	const (
		other     = "vault secret auto-backup/webhook/ops: has another value than the configured one"
		encrypted = "vault secret auto-backup/webhook/ops: cannot be decrypted by the vault, as after a restore into another project"
		unlike    = ": cannot be compared with the configured value"
		former    = "vault secret auto-backup/webhook/former: carries this backup's ownership marker and is not one of its secrets"
	)
	ops := map[string]string{opsSecret: "u2"}
	for what, c := range map[string]struct {
		change func(*Spec, *State)
		// With the values, and in a refresh.
		want, refreshed []string
		set             map[string]string
		remove          []string
	}{
		"intact":              {func(*Spec, *State) {}, nil, nil, nil, nil},
		"a secret is missing": {func(_ *Spec, s *State) { delete(s.VaultMarkers, opsSecret); s.ChannelDigests[opsSecret] = "" }, []string{"vault secret auto-backup/webhook/ops: is missing"}, []string{"vault secret auto-backup/webhook/ops: is missing"}, ops, nil},
		"a marker is lost": {
			func(_ *Spec, s *State) { s.VaultMarkers[opsSecret] = "mine" },
			[]string{"vault secret auto-backup/webhook/ops: lacks this provider's ownership marker"}, []string{"vault secret auto-backup/webhook/ops: lacks this provider's ownership marker"}, ops, nil,
		},
		"another value there":    {func(_ *Spec, s *State) { s.ChannelDigests[opsSecret] = DigestOf("x") }, []string{other}, []string{other}, ops, nil},
		"another value here":     {func(spec *Spec, _ *State) { spec.Channels[opsSecret] = "x" }, []string{other}, nil, map[string]string{opsSecret: "x"}, nil},
		"not to be decrypted":    {func(_ *Spec, s *State) { s.ChannelDigests[opsSecret] = "" }, []string{encrypted}, []string{encrypted}, ops, nil},
		"one without its digest": {func(_ *Spec, s *State) { delete(s.ChannelDigests, opsSecret) }, []string{"vault secret auto-backup/webhook/ops" + unlike}, nil, ops, nil},
		"no digests": {
			func(_ *Spec, s *State) { s.ChannelDigests = nil },
			[]string{"vault secret auto-backup/heartbeat" + unlike, "vault secret auto-backup/webhook-secret/ops" + unlike, "vault secret auto-backup/webhook/ops" + unlike}, nil,
			map[string]string{beatSecret: "u1", opsSecret: "u2", signSecret: "s"}, nil,
		},
		"a former webhook's": {
			func(_ *Spec, s *State) { s.VaultMarkers["auto-backup/webhook/former"] = s.ID.Name.VaultMarker() },
			[]string{former}, []string{former}, nil, []string{"auto-backup/webhook/former"},
		},
		"a former one's that lost its marker": {func(_ *Spec, s *State) { s.VaultMarkers["auto-backup/webhook/former"] = "mine" }, nil, nil, nil, nil},
	} {
		spec, state := withChannels(t)
		applied := spec.Channels
		c.change(&spec, &state)
		lines := func(spec Spec) (lines []string) {
			for _, d := range Diff(spec, state) {
				if d.Part != PartChannels {
					t.Errorf("%s: %+v", what, d)
				}
				lines = append(lines, d.Object+": "+d.Text)
			}
			return lines
		}
		equal(t, what, lines(spec), c.want)
		equal(t, what+": set", state.ChannelsToSet(spec), c.set)
		equal(t, what+": remove", state.ChannelsToRemove(spec), c.remove)
		refresh := spec
		refresh.Channels, refresh.SameSecret = nil, func(name, digest string) bool {
			value, ofChannel := applied[name]
			return !ofChannel || digest == DigestOf(value) || what == "another value here"
		}
		equal(t, what+": refreshed", lines(refresh), c.refreshed)
		equal(t, what+": set by a refresh", state.ChannelsToSet(refresh), nil)
	}

	// The heartbeat and the webhooks are taken out of the configuration.
	spec, state := withChannels(t)
	spec.Settings.Heartbeat, spec.Settings.Webhooks, spec.Channels = nil, nil, nil
	var parts []Part
	for _, d := range Diff(spec, state) {
		parts = append(parts, d.Part)
	}
	equal(t, "taken out", parts, []Part{PartChannels, PartChannels, PartChannels, PartJobs, PartJobs})
	equal(t, "removed", state.ChannelsToRemove(spec), []string{beatSecret, signSecret, opsSecret})
}

// TestForeignChannels proves that a vault secret of others is adopted only if that is
// allowed, and that one whose marker somebody has changed stays the backup's own.
func TestForeignChannels(t *testing.T) {
	t.Parallel()
	const (
		object = "the vault secret auto-backup/webhook/ops"
		fate   = " gets the configured value, and is removed with the backup"
	)
	for what, c := range map[string]struct {
		change  func(*State)
		foreign bool
	}{
		"marked":                       {func(*State) {}, false},
		"missing":                      {func(s *State) { delete(s.VaultMarkers, opsSecret) }, false},
		"of others":                    {func(s *State) { s.VaultMarkers[opsSecret], s.Settings.Webhooks = "theirs", nil }, true},
		"of others, without a state":   {func(s *State) { s.VaultMarkers[opsSecret], s.Known.Managed = "theirs", false }, true},
		"changed, as the settings say": {func(s *State) { s.VaultMarkers[opsSecret] = "theirs" }, false},
		"changed, as the state says": {func(s *State) {
			s.VaultMarkers[opsSecret], s.Settings, s.Known.Channels = "theirs", nil, []string{opsSecret}
		}, false},
		"of others, in the state alone": {func(s *State) { s.VaultMarkers[opsSecret], s.Settings = "theirs", nil }, true},
	} {
		spec, state := withChannels(t)
		state.Known = Known{Managed: true, Secrets: []string{"KEY"}}
		c.change(&state)
		adopting := spec
		adopting.Adopt = true
		var want []string
		if c.foreign {
			want = []string{object + fate}
		}
		equal(t, what, state.Adopts(adopting), want)
		if err := state.Foreign(spec); (err != nil) != c.foreign {
			t.Errorf("%s: %v", what, err)
		}
		if err := state.Foreign(adopting); err != nil {
			t.Errorf("%s, adopted: %v", what, err)
		}
	}
}
