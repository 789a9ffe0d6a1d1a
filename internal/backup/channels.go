package backup

import "slices"

// The secrets of the heartbeat and of the webhooks are in the vault alone, where each
// carries the backup's ownership marker.

// channelProblem says what is wrong with a vault secret of the heartbeat or of a webhook,
// in the words that follow its name; it is empty if nothing is known to be.
func (s State) channelProblem(secret string, spec Spec) string {
	marker, exists := s.VaultMarkers[secret]
	value, known := spec.Channels[secret]
	digest, compared := s.ChannelDigests[secret]
	switch {
	case !exists:
		return "is missing"
	case marker != s.ID.Name.VaultMarker():
		return lacksMarker
	case compared && digest == "":
		_, problem := TokenState{Undecryptable: true}.Digest()
		return problem
	case compared && spec.differs(secret, digest, value, known):
		return "has another value than the configured one"
	case !compared && known:
		return "cannot be compared with the configured value"
	}
	return ""
}

// ChannelsToSet are the vault secrets of spec's heartbeat and webhooks that have to be
// written, with their values.
func (s State) ChannelsToSet(spec Spec) map[string]string {
	values := map[string]string{}
	for _, secret := range spec.Settings.ChannelSecrets(spec.ID.Name) {
		if value, known := spec.Channels[secret]; known && s.channelProblem(secret, spec) != "" {
			values[secret] = value
		}
	}
	return values
}

// ChannelsToRemove are the vault secrets of the backup's former heartbeat and webhooks,
// which spec no longer has, sorted. One that lacks the backup's ownership marker stays.
func (s State) ChannelsToRemove(spec Spec) []string {
	wanted := spec.Settings.ChannelSecrets(s.ID.Name)
	return slices.DeleteFunc(s.markedVault(), func(name string) bool {
		return !s.ID.Name.namesChannelSecret(name) || slices.Contains(wanted, name)
	})
}

// foreignChannels are the vault secrets of others that have names of spec's heartbeat and
// webhooks, sorted. A secret that the backup is known to have is its own even if somebody
// has changed the marker.
func (s State) foreignChannels(spec Spec) []string {
	own := s.Known.Channels
	if s.Settings != nil {
		own = slices.Concat(own, s.Settings.ChannelSecrets(s.ID.Name))
	}
	return slices.DeleteFunc(spec.Settings.ChannelSecrets(s.ID.Name), func(name string) bool {
		marker, exists := s.VaultMarkers[name]
		return !exists || marker == s.ID.Name.VaultMarker() || s.Known.Managed && slices.Contains(own, name)
	})
}
