package selfhosted

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// tokensMode is the mode of the file with a function's tokens: who can read it can
// start backups. The runtime of Supabase's Docker setup is root, which can read it.
const tokensMode = 0o600

// tokens reads the tokens that a function accepts, by the names of their secrets.
func (p *Project) tokens(slug string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(p.dir(slug), payload.TokensFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the tokens of function %s: %w", slug, err)
	}
	var found map[string]any
	tokens := map[string]string{}
	if json.Unmarshal(text, &found) != nil {
		return tokens, nil //nolint:nilerr // damaged, so the function accepts none
	}
	for name, value := range found {
		if token, ok := value.(string); ok && tokenPattern().MatchString(token) {
			tokens[name] = token
		}
	}
	return tokens, nil
}

// tokenPattern is the form of backup.NewToken's tokens, which the function checks too.
var tokenPattern = text.Pattern(`^[A-Za-z0-9_-]{43}$`)

// changeTokens rewrites a function's tokens. They are the only file of its
// directory until the function is deployed for the first time. The caller holds
// p.files.
func (p *Project) changeTokens(slug string, change func(tokens map[string]string)) error {
	tokens, err := p.tokens(slug)
	if err != nil {
		return err
	}
	before := maps.Clone(tokens)
	change(tokens)
	if maps.Equal(before, tokens) {
		return nil
	}
	known := slices.Collect(maps.Values(before))
	gained := slices.ContainsFunc(slices.Collect(maps.Values(tokens)), func(token string) bool { return !slices.Contains(known, token) })
	existed := isFile(filepath.Join(p.dir(slug), source.Entrypoint))
	if err := os.Mkdir(p.dir(slug), 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // the runtime reads it
		return fmt.Errorf("write the tokens of function %s: %w", slug, err)
	}
	file := filepath.Join(p.dir(slug), payload.TokensFile)
	if len(tokens) == 0 && !existed {
		err = os.Remove(file)
		_ = os.Remove(p.dir(slug)) // fails if it contains anything else
	} else {
		created := !isFile(file)
		err = replaceFile(file, encode(tokens), tokensMode)
		if err == nil && created {
			p.giveToRuntime(file)
		}
	}
	if err != nil {
		return fmt.Errorf("write the tokens of function %s: %w", slug, err)
	}
	// Only a token that was not accepted before is worth waiting for.
	if gained {
		p.functionChanged(existed)
	}
	return nil
}

// SetToken makes a function accept a token under the name of a secret.
func (p *Project) SetToken(ctx context.Context, slug, name, token string) error {
	if p.config.TokensInEnvironment {
		if err := p.SetSecrets(ctx, "", map[string]string{name: token}); err != nil {
			return err
		}
		p.files.Lock()
		defer p.files.Unlock()
		return p.changeTokens(slug, func(tokens map[string]string) { delete(tokens, name) })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := CheckSlug(slug); err != nil {
		return err
	}
	p.files.Lock()
	defer p.files.Unlock()
	if err := p.changeTokens(slug, func(tokens map[string]string) { tokens[name] = token }); err != nil {
		return err
	}
	return p.changeEnvironment(func(e *environment) bool { return e.remove(name) })
}

// DeleteToken revokes the token that a function accepts under the name of a
// secret.
func (p *Project) DeleteToken(ctx context.Context, slug, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.files.Lock()
	defer p.files.Unlock()
	if err := p.changeTokens(slug, func(tokens map[string]string) { delete(tokens, name) }); err != nil {
		return err
	}
	return p.changeEnvironment(func(e *environment) bool { return e.remove(name) })
}

// ListSecrets lists the variables of the env file and the tokens of all
// functions, with their digests. If a token is in both places, the one where the
// configuration keeps tokens counts.
func (p *Project) ListSecrets(ctx context.Context, _ string) ([]supabase.Secret, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.files.Lock()
	defer p.files.Unlock()
	variables, tokens := map[string]string{}, map[string]string{}
	if p.config.EnvFile != "" {
		e, err := readEnvironment(p.config.EnvFile)
		if err != nil {
			return nil, err
		}
		for name, value := range e.values() {
			variables[name] = sha256Of(value)
		}
	}
	entries, err := os.ReadDir(p.config.FunctionsDir)
	if err != nil {
		return nil, fmt.Errorf("list the secrets: %w", err)
	}
	for _, entry := range entries {
		if !slugPattern().MatchString(entry.Name()) || !isFile(filepath.Join(p.dir(entry.Name()), payload.TokensFile)) {
			continue
		}
		found, err := p.tokens(entry.Name())
		if err != nil {
			return nil, err
		}
		for name, token := range found {
			tokens[name] = sha256Of(token)
		}
	}
	if p.config.TokensInEnvironment {
		maps.Copy(tokens, variables)
		variables = tokens
	} else {
		maps.Copy(variables, tokens)
	}
	var secrets []supabase.Secret
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		secrets = append(secrets, supabase.Secret{Name: name, Digest: variables[name]})
	}
	return secrets, nil
}

func sha256Of(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// giveToRuntime gives a new file that only its owner can read to the owner of the
// functions directory, where this process may do that. The runtime may run as that
// user.
func (p *Project) giveToRuntime(file string) { _ = keepOwner(p.config.FunctionsDir, file) }

// ErrNoEnvFile is the error of setting secrets without an env file.
var ErrNoEnvFile = errors.New("functions get secrets only from their environment; set `env_file` in `self_hosted`")

// SetSecrets writes variables to the env file.
func (p *Project) SetSecrets(ctx context.Context, _ string, values map[string]string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(values) == 0 {
		return nil
	}
	names := strings.Join(slices.Sorted(maps.Keys(values)), ", ")
	if p.config.EnvFile == "" {
		return fmt.Errorf("set the secrets %s: %w", names, ErrNoEnvFile)
	}
	for name, value := range values {
		if err := CheckSecret(name, value); err != nil {
			return err
		}
	}
	p.files.Lock()
	defer p.files.Unlock()
	return p.changeEnvironment(func(e *environment) bool {
		changed := false
		for _, name := range slices.Sorted(maps.Keys(values)) {
			changed = e.set(name, values[name]) || changed
		}
		return changed
	})
}

// DeleteSecrets removes variables from the env file, and tokens that are kept
// beside their functions. It ignores names that do not exist.
func (p *Project) DeleteSecrets(ctx context.Context, _ string, names []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.files.Lock()
	defer p.files.Unlock()
	var variables []string
	for _, name := range names {
		slug, isToken := functionOfToken(name)
		tokens := map[string]string{}
		if isToken {
			var err error
			if tokens, err = p.tokens(slug); err != nil {
				return err
			}
		}
		if _, ok := tokens[name]; !ok {
			variables = append(variables, name)
			continue
		}
		if err := p.changeTokens(slug, func(tokens map[string]string) { delete(tokens, name) }); err != nil {
			return err
		}
	}
	return p.changeEnvironment(func(e *environment) bool {
		changed := false
		for _, name := range variables {
			changed = e.remove(name) || changed
		}
		return changed
	})
}

// functionOfToken returns the slug of the function whose token has this name.
// ok is false if the name is not that of a token.
func functionOfToken(secret string) (slug string, ok bool) {
	base, ok := strings.CutSuffix(strings.TrimSuffix(secret, "_NEXT"), "_TOKEN")
	return strings.ReplaceAll(strings.ToLower(base), "_", "-"), ok && base != ""
}

// changeEnvironment rewrites the env file, if one is configured, unless change
// reports that it changed nothing. The caller holds p.files.
func (p *Project) changeEnvironment(change func(*environment) bool) error {
	if p.config.EnvFile == "" {
		return nil
	}
	e, err := readEnvironment(p.config.EnvFile)
	if err != nil || !change(e) {
		return err
	}
	if err := writeEnvironment(p.config.EnvFile, e); err != nil {
		return err
	}
	p.state.Lock()
	defer p.state.Unlock()
	p.state.environment++
	return nil
}
