// Package selfhosted manages Edge Functions where they are files: in the
// functions directory of Supabase's Docker setup and of "supabase start". It
// answers as the Management API does, so that a backup is installed, compared
// and removed by the same code.
//
// A functions directory has one directory for each function. The runtime loads
// <slug>/index.ts when a request for it comes, keeps the instance for a while,
// and gives every function the environment that it was started with. Hence
// three differences to the platform:
//
//   - A function has no properties. What belongs to this provider is known by
//     a marker file in its directory.
//   - New code is live when the last instance of the old is gone, a new
//     environment when the runtime was created anew. Settle sees to that.
//   - A token is known to its function by its SHA-256 in tokens.json beside
//     the code, and so without a restart, unless the configuration wants it in
//     the environment.
package selfhosted

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// DefaultWorkerLifetime is how long Supabase's Docker setup keeps an instance
// of a function.
const DefaultWorkerLifetime = time.Minute

// Config says where the functions of a self-hosted project are.
type Config struct {
	// FunctionsDir is the directory with one directory for each function.
	FunctionsDir string
	// EnvFile is the file that the runtime's environment comes from, or empty.
	EnvFile string
	// TokensInEnvironment keeps tokens in EnvFile and not beside the functions.
	TokensInEnvironment bool
	// RestartCommand is a program and its arguments which create the runtime
	// anew, or nil.
	RestartCommand []string
	// WorkerLifetime is how long an instance of a function serves requests.
	WorkerLifetime time.Duration
	// APIKey is the project's legacy anon key or publishable key.
	APIKey string
}

// Project is a self-hosted project's functions and secrets. It may be used by
// several goroutines at once. The project references in its methods, which the
// Management API has, count for nothing.
type Project struct {
	config Config

	// files is held while files are read and written again.
	files sync.Mutex
	// restarting is held while the restart command runs.
	restarting sync.Mutex

	state struct {
		sync.Mutex
		// environment and functions count the changes of the env file and of
		// functions, seen those of them that the runtime has surely seen.
		environment, functions         int
		seenEnvironment, seenFunctions int
		// stale is until when an instance of former code can live.
		stale time.Time
	}
}

// New makes a Project. Nothing is read yet.
func New(config Config) *Project {
	if config.WorkerLifetime == 0 {
		config.WorkerLifetime = DefaultWorkerLifetime
	}
	return &Project{config: config}
}

// markerFile says in a function's directory whose it is.
const markerFile = ".managed.json"

// marker is the content of markerFile: what the platform keeps of a function.
type marker struct {
	ManagedBy string `json:"managed_by"`
	ID        string `json:"id"`
	Name      string `json:"name"`
	// Files are the deployed files, by their paths in the directory.
	Files []string `json:"files"`
	// Tokens is the source of tokens.json, if the function has one. What is
	// there instead are the accepted tokens.
	Tokens *string `json:"tokens,omitempty"`
}

// reserved directories are no functions: the runtime's router, and by
// convention what functions share.
var reserved = []string{"main", "_shared"}

var slugPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// CheckSlug says why a function of this slug cannot be deployed.
func CheckSlug(slug string) error {
	switch {
	case slices.Contains(reserved, slug):
		return fmt.Errorf("the directory %q among a self-hosted project's functions belongs to the runtime; choose another name", slug)
	case !slugPattern.MatchString(slug):
		return fmt.Errorf("%q is no slug of an Edge Function", slug)
	}
	return nil
}

// CheckFile says why a file of a function, by its path relative to the entry
// point, cannot be deployed.
func CheckFile(file string) error {
	switch {
	case !filepath.IsLocal(filepath.FromSlash(file)):
		return fmt.Errorf("%s lies outside the function's directory, in a place that all functions of a self-hosted project share; put it inside", file)
	case path.Clean(file) == markerFile:
		return fmt.Errorf("%s is the provider's own file; rename it", file)
	}
	return nil
}

func (p *Project) dir(slug string) string { return filepath.Join(p.config.FunctionsDir, slug) }

// ListFunctions lists the directories that hold an index.ts.
func (p *Project) ListFunctions(ctx context.Context, _ string) ([]supabase.Function, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.files.Lock()
	defer p.files.Unlock()
	entries, err := os.ReadDir(p.config.FunctionsDir)
	if err != nil {
		return nil, fmt.Errorf("list the functions: %w; the functions directory is the one that the runtime's container has as /home/deno/functions", err)
	}
	var functions []supabase.Function
	for _, entry := range entries {
		slug := entry.Name()
		if !slugPattern.MatchString(slug) || !isFile(filepath.Join(p.dir(slug), source.Entrypoint)) {
			continue
		}
		f := supabase.Function{Slug: slug, Name: slug, Status: "ACTIVE", EntrypointPath: source.Entrypoint, ImportMapPath: p.importMap(slug)}
		if m, err := p.marker(slug); err != nil {
			return nil, err
		} else if m != nil {
			files, err := p.deployed(slug, m)
			if err != nil {
				return nil, err
			}
			f.ID, f.Name, f.EzbrSHA256 = m.ID, m.Name, digestOf(files)
		}
		functions = append(functions, f)
	}
	return functions, nil
}

// importMap is the import map that the runtime finds beside the entry point.
func (p *Project) importMap(slug string) string {
	for _, name := range source.ImportMaps {
		if isFile(filepath.Join(p.dir(slug), name)) {
			return name
		}
	}
	return ""
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// digestOf is the SHA-256 of a function's files.
func digestOf(files map[string][]byte) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%d:%s%d:", len(name), name, len(files[name]))
		sum.Write(files[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// marker reads a function's marker; nil when there is none of this provider.
func (p *Project) marker(slug string) (*marker, error) {
	text, err := os.ReadFile(filepath.Join(p.dir(slug), markerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the function %s: %w", slug, err)
	}
	m := &marker{}
	if json.Unmarshal(text, m) != nil || m.ManagedBy != payload.Owner || m.ID == "" {
		return nil, nil //nolint:nilerr // somebody else's, or spoilt: a function like any other
	}
	return m, nil
}

// deployed reads what is left of the files that were deployed. A file of
// somebody else that lies beside them counts only if one of them came to import
// it, and then that one shows.
func (p *Project) deployed(slug string, m *marker) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range m.Files {
		if CheckFile(name) != nil {
			continue
		}
		if name == payload.TokensFile && m.Tokens != nil {
			if isFile(filepath.Join(p.dir(slug), name)) {
				files[name] = []byte(*m.Tokens)
			}
			continue
		}
		content, err := os.ReadFile(filepath.Join(p.dir(slug), filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the function %s: %w", slug, err)
		}
		files[name] = content
	}
	return files, nil
}

// FunctionSource reads a function's files.
func (p *Project) FunctionSource(ctx context.Context, _, slug string) (supabase.Source, error) {
	if err := ctx.Err(); err != nil {
		return supabase.Source{}, err
	}
	p.files.Lock()
	defer p.files.Unlock()
	read := supabase.Source{Entrypoint: source.Entrypoint, Files: map[string][]byte{}}
	m, err := p.marker(slug)
	if err != nil {
		return supabase.Source{}, err
	}
	if m != nil {
		read.Files, err = p.deployed(slug, m)
		return read, err
	}
	// Somebody else's function: what it consists of is not known, and its
	// entry point is enough to see that it is another one.
	content, err := os.ReadFile(filepath.Join(p.dir(slug), source.Entrypoint))
	if errors.Is(err, fs.ErrNotExist) {
		return supabase.Source{}, fmt.Errorf("read the function %s: %w", slug, supabase.ErrNotFound)
	}
	if err != nil {
		return supabase.Source{}, fmt.Errorf("read the function %s: %w", slug, err)
	}
	read.Files[source.Entrypoint] = content
	return read, nil
}

// DeployFunction writes a function beside the others and puts it in its place
// in one step. The tokens that its predecessor accepted are kept.
func (p *Project) DeployFunction(ctx context.Context, _ string, d supabase.Deployment) (supabase.Function, error) {
	if err := ctx.Err(); err != nil {
		return supabase.Function{}, err
	}
	f, err := p.deploy(d)
	if err != nil {
		return supabase.Function{}, fmt.Errorf("deploy the function %s to %s: %w", d.Slug, p.config.FunctionsDir, err)
	}
	return f, nil
}

func (p *Project) deploy(d supabase.Deployment) (_ supabase.Function, err error) {
	if err := CheckSlug(d.Slug); err != nil {
		return supabase.Function{}, err
	}
	base := path.Dir(d.Entrypoint)
	if path.Base(d.Entrypoint) != source.Entrypoint {
		return supabase.Function{}, fmt.Errorf("the runtime loads %s and not %s", source.Entrypoint, path.Base(d.Entrypoint))
	}
	p.files.Lock()
	defer p.files.Unlock()
	if info, err := os.Stat(p.config.FunctionsDir); err != nil {
		return supabase.Function{}, err
	} else if !info.IsDir() {
		return supabase.Function{}, errors.New("it is no directory")
	}
	m, err := p.marker(d.Slug)
	if err != nil {
		return supabase.Function{}, err
	}
	if m == nil {
		m = &marker{ID: rand.Text()}
	}
	m.ManagedBy, m.Name, m.Files, m.Tokens = payload.Owner, cmp.Or(d.Name, d.Slug), nil, nil
	existed := isFile(filepath.Join(p.dir(d.Slug), source.Entrypoint))

	// The names are fixed, so that what a killed run left is swept away.
	fresh, aside := p.dir("."+d.Slug+".new"), p.dir("."+d.Slug+".old")
	if err := os.RemoveAll(fresh); err != nil {
		return supabase.Function{}, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(fresh)
		}
	}()
	files := map[string][]byte{}
	for name, content := range d.Files {
		relative, err := filepath.Rel(filepath.FromSlash(base), filepath.FromSlash(name))
		if err != nil {
			return supabase.Function{}, err
		}
		name = filepath.ToSlash(relative)
		if err := CheckFile(name); err != nil {
			return supabase.Function{}, err
		}
		files[name] = content
		m.Files = append(m.Files, name)
	}
	slices.Sort(m.Files)
	digest := digestOf(files)
	tokens, err := p.tokens(d.Slug)
	if err != nil {
		return supabase.Function{}, err
	}
	if content, ok := files[payload.TokensFile]; ok {
		text := string(content)
		m.Tokens = &text
	}
	files[payload.TokensFile] = encode(tokens)
	files[markerFile] = encode(m)
	for name, content := range files {
		if err := writeNew(filepath.Join(fresh, filepath.FromSlash(name)), content); err != nil {
			return supabase.Function{}, err
		}
	}
	if err := replaceDirectory(p.dir(d.Slug), fresh, aside); err != nil {
		return supabase.Function{}, err
	}
	p.functionChanged(existed)
	return supabase.Function{
		ID: m.ID, Slug: d.Slug, Name: m.Name, Status: "ACTIVE", EntrypointPath: source.Entrypoint, ImportMapPath: p.importMap(d.Slug), EzbrSHA256: digest,
	}, nil
}

// writeNew writes a file for the runtime, which is another user's.
func writeNew(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // the runtime reads it
		return err
	}
	return os.WriteFile(name, content, 0o644) //nolint:gosec // the runtime reads it; code and digests are no secrets
}

// encode writes JSON that cannot fail.
func encode(value any) []byte {
	text, _ := json.MarshalIndent(value, "", "  ")
	return append(text, '\n')
}

// UpdateFunction changes the name that stamps a function, and stamps one that
// bears no marker. What the runtime
// checks before it runs one is the same for all and not a function's property.
func (p *Project) UpdateFunction(ctx context.Context, _, slug string, u supabase.FunctionUpdate) (supabase.Function, error) {
	if err := ctx.Err(); err != nil {
		return supabase.Function{}, err
	}
	p.files.Lock()
	defer p.files.Unlock()
	m, err := p.marker(slug)
	if err != nil {
		return supabase.Function{}, err
	}
	claimed := m == nil
	if claimed {
		m = &marker{ManagedBy: payload.Owner, ID: rand.Text(), Name: slug, Files: []string{source.Entrypoint}}
	}
	files, err := p.deployed(slug, m)
	if err != nil {
		return supabase.Function{}, err
	}
	if _, ok := files[source.Entrypoint]; !ok {
		return supabase.Function{}, fmt.Errorf("update the function %s: %w", slug, supabase.ErrNotFound)
	}
	if u.Name != nil && *u.Name != m.Name {
		m.Name, claimed = *u.Name, true
	}
	if claimed {
		if err := replaceFile(filepath.Join(p.dir(slug), markerFile), encode(m), 0o644); err != nil {
			return supabase.Function{}, fmt.Errorf("update the function %s: %w", slug, err)
		}
	}
	return supabase.Function{
		ID: m.ID, Slug: slug, Name: m.Name, Status: "ACTIVE", EntrypointPath: source.Entrypoint, ImportMapPath: p.importMap(slug), EzbrSHA256: digestOf(files),
	}, nil
}

// DeleteFunction removes a function's directory if it is this provider's.
func (p *Project) DeleteFunction(ctx context.Context, _, slug string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.files.Lock()
	defer p.files.Unlock()
	if err := CheckSlug(slug); err != nil {
		return err
	}
	if _, err := os.Lstat(p.dir(slug)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the function %s: %w", slug, supabase.ErrNotFound)
	}
	m, err := p.marker(slug)
	if err != nil {
		return err
	}
	if m == nil {
		return fmt.Errorf("delete the function %s: its directory does not carry this provider's marker and stays", slug)
	}
	// Out of the runtime's sight in one step; what a killed run leaves of it
	// bears no function's name.
	aside := p.dir("." + slug + ".old")
	err = os.RemoveAll(aside)
	if err == nil {
		err = os.Rename(p.dir(slug), aside)
	}
	if err == nil {
		err = os.RemoveAll(aside)
	}
	if err != nil {
		return fmt.Errorf("delete the function %s: %w", slug, err)
	}
	return nil
}

// tokens reads the digests that a function accepts, by their secrets' names.
func (p *Project) tokens(slug string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(p.dir(slug), payload.TokensFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the tokens of function %s: %w", slug, err)
	}
	var found map[string]any
	tokens := map[string]string{}
	if json.Unmarshal(text, &found) != nil {
		return tokens, nil //nolint:nilerr // spoilt, so the function accepts none
	}
	for name, value := range found {
		if digest, ok := value.(string); ok && digestPattern.MatchString(digest) {
			tokens[name] = digest
		}
	}
	return tokens, nil
}

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// changeTokens rewrites a function's tokens. Before the function is deployed
// for the first time, they lie in its directory alone.
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
	gained := slices.ContainsFunc(slices.Collect(maps.Values(tokens)), func(digest string) bool { return !slices.Contains(known, digest) })
	existed := isFile(filepath.Join(p.dir(slug), source.Entrypoint))
	if err := os.Mkdir(p.dir(slug), 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // the runtime reads it
		return fmt.Errorf("write the tokens of function %s: %w", slug, err)
	}
	file := filepath.Join(p.dir(slug), payload.TokensFile)
	if len(tokens) == 0 && !existed {
		err = os.Remove(file)
		_ = os.Remove(p.dir(slug)) // it stays when it holds anything
	} else {
		err = replaceFile(file, encode(tokens), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the tokens of function %s: %w", slug, err)
	}
	// Nobody has to wait until a token is forgotten, or known by another name.
	if gained {
		p.functionChanged(existed)
	}
	return nil
}

// SetToken has a function accept a token under the name of a secret.
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
	sum := sha256.Sum256([]byte(token))
	p.files.Lock()
	defer p.files.Unlock()
	if err := p.changeTokens(slug, func(tokens map[string]string) { tokens[name] = hex.EncodeToString(sum[:]) }); err != nil {
		return err
	}
	return p.changeEnvironment(func(e *environment) bool { return e.remove(name) })
}

// DeleteToken has a function accept no token under the name of a secret.
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
// functions by their digests. Where a token is in both, the place where tokens
// are kept counts.
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
			sum := sha256.Sum256([]byte(value))
			variables[name] = hex.EncodeToString(sum[:])
		}
	}
	entries, err := os.ReadDir(p.config.FunctionsDir)
	if err != nil {
		return nil, fmt.Errorf("list the secrets: %w", err)
	}
	for _, entry := range entries {
		if !slugPattern.MatchString(entry.Name()) || !isFile(filepath.Join(p.dir(entry.Name()), payload.TokensFile)) {
			continue
		}
		found, err := p.tokens(entry.Name())
		if err != nil {
			return nil, err
		}
		maps.Copy(tokens, found)
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

// ErrNoEnvFile says that secrets need an env file and none is configured.
var ErrNoEnvFile = errors.New("no env file is configured, and functions get secrets from their environment alone")

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

// DeleteSecrets takes variables out of the env file, and tokens from beside
// their functions. Names that are nowhere are no error.
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

// functionOfToken is the slug of the function whose token a secret may be.
func functionOfToken(secret string) (slug string, ok bool) {
	base, ok := strings.CutSuffix(strings.TrimSuffix(secret, "_NEXT"), "_TOKEN")
	return strings.ReplaceAll(strings.ToLower(base), "_", "-"), ok && base != ""
}

// changeEnvironment rewrites the env file if there is one and change did
// anything. The caller holds files.
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

// APIKeys gives the configured key. The runtime itself has the others.
func (p *Project) APIKeys(context.Context, string) ([]supabase.APIKey, error) {
	key := supabase.APIKey{ID: "anon", Name: "anon", Type: "legacy", Key: p.config.APIKey}
	if strings.HasPrefix(p.config.APIKey, "sb_publishable_") {
		key = supabase.APIKey{ID: "default", Name: "default", Type: "publishable", Key: p.config.APIKey}
	}
	return []supabase.APIKey{key}, nil
}

// functionChanged notes that a function's files are others, and whether an
// instance of the former ones may live.
func (p *Project) functionChanged(existed bool) {
	p.state.Lock()
	defer p.state.Unlock()
	p.state.functions++
	if existed {
		p.state.stale = time.Now().Add(p.config.WorkerLifetime)
	}
}

// Settle returns when what was written is what runs, as far as that can be
// brought about: it runs the restart command, or else waits until no instance
// of former code can live. A runtime that has to be created anew for its
// environment, and for which there is no command, is left as it is: see
// Unsettled.
func (p *Project) Settle(ctx context.Context) error {
	p.restarting.Lock()
	defer p.restarting.Unlock()
	p.state.Lock()
	environment, functions, stale := p.state.environment, p.state.functions, p.state.stale
	settled := environment == p.state.seenEnvironment && functions == p.state.seenFunctions
	seenEnvironment := p.state.seenEnvironment
	p.state.Unlock()
	if settled {
		return nil
	}
	if len(p.config.RestartCommand) > 0 {
		if err := p.restart(ctx); err != nil {
			return err
		}
		seenEnvironment = environment
	} else if wait := time.Until(stale); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("wait %s until no instance of the function's former code is left: %w", p.config.WorkerLifetime, ctx.Err())
		}
	}
	p.state.Lock()
	defer p.state.Unlock()
	// What was written in the meantime is still to be settled.
	p.state.seenEnvironment, p.state.seenFunctions = seenEnvironment, functions
	return nil
}

// Unsettled reports whether the runtime has to be created anew by hand before
// it knows its environment.
func (p *Project) Unsettled() bool {
	p.state.Lock()
	defer p.state.Unlock()
	return p.state.environment != p.state.seenEnvironment
}

// Restarts reports whether Settle creates the runtime anew, which then takes
// some time before it answers.
func (p *Project) Restarts() bool { return len(p.config.RestartCommand) > 0 }

// farewell is how long the restart command may take to end once it is told to.
const farewell = 10 * time.Second

func (p *Project) restart(ctx context.Context) error {
	command := p.config.RestartCommand
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = farewell
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		said := p.presentable(output.String())
		if said != "" {
			said = ": " + said
		}
		return fmt.Errorf("the restart command %s failed: %w%s", filepath.Base(command[0]), err, said)
	}
	return nil
}

// longestOutput bounds in bytes what is shown of a program's output.
const longestOutput = 1000

// presentable makes the end of a program's output one printable line without
// the values of the env file.
func (p *Project) presentable(output string) string {
	if e, err := readEnvironment(p.config.EnvFile); p.config.EnvFile != "" && err == nil {
		for _, value := range e.values() {
			if len(value) >= 4 {
				output = strings.ReplaceAll(output, value, "[redacted]")
			}
		}
	}
	return text.Tail(text.Line(output), longestOutput)
}
