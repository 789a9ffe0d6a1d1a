package backup

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Ownership says whose an extra function secret is. An API secret cannot carry
// an ownership marker, so the settings row and the Terraform state say it.
type Ownership int

const (
	// Ours is a secret that this backup made or will make. It is removed when the
	// configuration no longer names it, and with the backup.
	Ours Ownership = iota
	// Adopted is a secret that existed before the backup and that the backup has
	// taken a value for. Other functions may use it, so it is never removed.
	Adopted
	// Foreign is a secret that exists and that this backup has not adopted.
	Foreign
)

// Secret is one extra function secret: one that the spec names, or one that
// belongs to the backup. The backup's own tokens are not among them.
type Secret struct {
	Name string
	// Present says that the project has the secret, and Digest is then that of
	// its value as DigestOf makes it.
	Present bool
	Digest  string
	// Wanted says that the spec names it.
	Wanted bool
	// Recorded says that the settings row names it.
	Recorded bool
	// Claimed says that only the Terraform state names it. Whoever can write the
	// state could have added the name, so the secret is not removed.
	Claimed bool
	Owner   Ownership
}

// surplus reports whether the secret has to be removed.
func (s Secret) surplus() bool { return s.Present && !s.Wanted && s.Owner == Ours && !s.Claimed }

// SecretsOf lists the extra function secrets that concern a backup, sorted by name:
// those that spec names, and those that the backup owns or has adopted.
func (s State) SecretsOf(spec Spec) []Secret {
	var recorded, adopted []string
	if s.Settings != nil {
		recorded, adopted = s.Settings.Secrets, s.Settings.AdoptedSecrets
	}
	names := slices.Concat(spec.Settings.Secrets, recorded, adopted, s.Known.Secrets)
	slices.Sort(names)
	var secrets []Secret
	for _, name := range slices.Compact(names) {
		secret := Secret{Name: name, Wanted: slices.Contains(spec.Settings.Secrets, name), Recorded: slices.Contains(recorded, name)}
		secret.Digest, secret.Present = s.Secrets[name]
		switch {
		case slices.Contains(adopted, name):
			secret.Owner = Adopted
		case secret.Present && !secret.Recorded && !slices.Contains(s.Known.Secrets, name):
			secret.Owner = Foreign
		default:
			secret.Claimed = secret.Present && !secret.Recorded && !secret.Wanted
		}
		secrets = append(secrets, secret)
	}
	return secrets
}

// secretNames are the names of the secrets for which is reports true.
func secretNames(secrets []Secret, is func(Secret) bool) []string {
	var names []string
	for _, secret := range secrets {
		if is(secret) {
			names = append(names, secret.Name)
		}
	}
	return names
}

// SecretsToSet are the secrets of spec whose value in the project is another one
// or missing, with their wanted values.
func (s State) SecretsToSet(spec Spec) map[string]string {
	values := map[string]string{}
	for _, secret := range s.SecretsOf(spec) {
		if value, known := spec.Secrets[secret.Name]; known && (!secret.Present || secret.Digest != DigestOf(value)) {
			values[secret.Name] = value
		}
	}
	return values
}

// SecretsToDelete are the secrets that this backup made and that spec no longer
// names.
func (s State) SecretsToDelete(spec Spec) []string {
	return secretNames(s.SecretsOf(spec), Secret.surplus)
}

// SecretsToRecord are the secrets of spec that the settings row has to name before
// they are written, so that an apply that dies leaves no secret without an owner.
func (s State) SecretsToRecord(spec Spec) []string {
	return secretNames(s.SecretsOf(spec), func(secret Secret) bool { return secret.Wanted && !secret.Recorded })
}

// SecretsToLeave are the adopted secrets that spec no longer names. They stay in
// the project with the value that they have.
func (s State) SecretsToLeave(spec Spec) []string {
	return secretNames(s.SecretsOf(spec), func(secret Secret) bool { return secret.Present && !secret.Wanted && secret.Owner == Adopted })
}

// KeptSecrets says, for a person, which secrets of the state stay in the project
// because its settings do not say that they are the backup's. It is empty if there
// are none.
func (s State) KeptSecrets(spec Spec) string {
	names := secretNames(s.SecretsOf(spec), func(secret Secret) bool { return secret.Claimed })
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("The state names the secrets %s, and the settings of backup %s in the project do not. They may belong to others, so they keep their current values. To remove them: supabase secrets unset --project-ref %s %s",
		strings.Join(names, ", "), s.ID, s.ID.ProjectRef, strings.Join(names, " "))
}

// RemovableSecrets are the function secrets that are removed with the backup: the
// extra ones that it made, and its tokens.
func (s State) RemovableSecrets() []string {
	names := s.SecretsToDelete(Spec{})
	for _, token := range []string{s.ID.Name.TokenSecret(), s.ID.Name.NextTokenSecret()} {
		if _, exists := s.Secrets[token]; exists && s.ownsToken() {
			names = append(names, token)
		}
	}
	return names
}

// ownsToken reports whether the function's token secret is this backup's.
func (s State) ownsToken() bool { return s.Settings != nil || s.Known.Managed }

// SecretsAfter are the secrets that a Terraform state has to remember after an
// apply of spec to what was found, so that none is left without an owner. written says
// that the apply has come to the end of writing them, removed that it has then removed
// those that spec does not name. Until then it may have set or removed any: a secret that
// existed before may not have been adopted, and one that the state knew may still be there.
func (s State) SecretsAfter(spec Spec, written, removed bool) []string {
	return secretNames(s.SecretsOf(spec), func(secret Secret) bool {
		return secret.Wanted && (written || !secret.Present) || !removed && slices.Contains(s.Known.Secrets, secret.Name)
	})
}

// unrecordedSecrets are the backup's secrets that its settings row no longer
// names, because somebody has changed it.
func (s State) unrecordedSecrets() []string {
	if s.Settings == nil {
		return nil
	}
	return secretNames(s.SecretsOf(Spec{}), func(secret Secret) bool { return secret.Present && !secret.Recorded })
}

// ValidateSecrets says why a set of extra function secrets cannot be stored.
// The key of the result is the secret's name, or empty for the set as a whole.
// lengths are the lengths of the values in characters, zero for unknown ones.
func ValidateSecrets(name Name, lengths map[string]int) map[string]error {
	// Limits of the Management API, in secrets of a project and in characters.
	const (
		maxSecrets           = 100
		maxSecretNameLength  = 256
		maxSecretValueLength = 24_576
	)
	faults := map[string]error{}
	// The token takes one place, and a second one while it is rotated.
	if limit := maxSecrets - 2; len(lengths) > limit {
		faults[""] = fmt.Errorf("%d secrets are too many: a project can have %d, and the backup's own token needs up to two of them; keep at most %d", len(lengths), maxSecrets, limit)
	}
	for secret, length := range lengths {
		switch characters := len([]rune(secret)); {
		case secret == "":
			faults[secret] = errors.New("a secret needs a name")
		case !patterns.secret().MatchString(secret):
			faults[secret] = fmt.Errorf("%.40q: the name is also that of an environment variable; write it in letters, digits, underscores, dots and hyphens", secret)
		case strings.HasPrefix(secret, "SUPABASE_"):
			faults[secret] = fmt.Errorf("%s: Supabase reserves names that begin with SUPABASE_; choose another name", secret)
		case characters > maxSecretNameLength:
			faults[secret] = fmt.Errorf("%.20s…: the name has %d characters, the limit is %d; choose a shorter name", secret, characters, maxSecretNameLength)
		case name != "" && (secret == name.TokenSecret() || secret == name.NextTokenSecret()):
			faults[secret] = fmt.Errorf("%s: the provider keeps the backup's own token under this name; choose another name", secret)
		case length > maxSecretValueLength:
			faults[secret] = fmt.Errorf("%s: the value has %d characters, the limit is %d; store it elsewhere and keep only a key to it here", secret, length, maxSecretValueLength)
		}
	}
	return faults
}
