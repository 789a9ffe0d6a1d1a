package stack

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// functionStore has a project's Edge Functions: their metadata, the deployed bundles,
// and the project's secrets, which all functions share. The Management API writes it,
// the gateway runs the functions.
//
// It is a stand-in for Supabase's server-side bundler and its storage. It leaves out:
// eszip uploads, static files, and the quota of a plan other than Free.
type functionStore struct {
	ref  string
	dir  string // where bundles are laid out
	deno string // empty: nothing can be deployed
	// ca is a file with a certificate that functions trust besides the usual ones, or
	// empty.
	ca string

	closed   chan struct{} // ends what is being bundled
	bundling sync.WaitGroup

	mu        sync.Mutex
	functions map[string]*function
	staged    map[string]*function // bundled with bundleOnly and not published yet
	sources   int                  // deployments so far, for the names of directories
	secrets   map[string]secret
	builtin   map[string]string // Supabase's own variables
	epoch     int               // moves with every change of the secrets
}

// newFunctionStore returns an empty store, which uses dir until it is closed.
func newFunctionStore(ref, dir, deno string) (*functionStore, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	return &functionStore{
		ref: ref, dir: dir, deno: deno, closed: make(chan struct{}),
		functions: map[string]*function{}, staged: map[string]*function{},
		secrets: map[string]secret{}, builtin: map[string]string{},
	}, nil
}

// close stops the bundling in progress and waits for its end. It is called once.
func (s *functionStore) close() {
	close(s.closed)
	s.bundling.Wait()
}

// setBuiltin sets Supabase's own variables.
func (s *functionStore) setBuiltin(values map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.builtin = values
	s.epoch++
}

// secret is one of the project's secrets.
type secret struct {
	value   string
	updated time.Time
}

// function is an Edge Function with its metadata in the Management API and its code. A
// stored function is never changed, only replaced.
type function struct {
	ID             string `json:"id"`
	Slug           string `json:"slug"`
	Name           string `json:"name"`
	Status         string `json:"status"`
	Version        int    `json:"version"`
	CreatedAt      int64  `json:"created_at,omitempty"` // Unix time in milliseconds
	UpdatedAt      int64  `json:"updated_at,omitempty"` // the same
	VerifyJWT      bool   `json:"verify_jwt"`
	ImportMap      bool   `json:"import_map"`
	EntrypointPath string `json:"entrypoint_path,omitempty"`
	ImportMapPath  string `json:"import_map_path,omitempty"`
	EzbrSHA256     string `json:"ezbr_sha256,omitempty"`

	bundle *bundle // nil: there is no code
}

// bundle is the code of one deployment.
type bundle struct {
	dir        string // of this bundle alone
	root       string // where the files lie
	entrypoint string // path below root
	importMap  string // path below root, or empty
	flags      []string
	generation int
	files      map[string][]byte // what the entry point reaches, by path
	digest     string            // of the sources, to know an identical deployment
	eszip      []byte
}

// The statuses of a function.
const (
	statusActive    = "ACTIVE"
	statusRemoved   = "REMOVED"
	statusThrottled = "THROTTLED"
)

// Limits of a project on the Free plan, and of requests.
const (
	maxFunctions       = 100
	maxBundleBytes     = 20 << 20
	maxSecrets         = 100
	maxSecretName      = 256
	maxSecretValue     = 24576
	reservedSecretName = "SUPABASE_"
)

var slugPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// apiError is an error response of the Management API.
type apiError struct {
	status  int
	message string
}

func (e *apiError) Error() string { return fmt.Sprintf("%d: %s", e.status, e.message) }

func apiErrorf(status int, format string, args ...any) *apiError {
	return &apiError{status: status, message: fmt.Sprintf(format, args...)}
}

// deployment is a request to deploy a function.
type deployment struct {
	slug       string
	name       string // empty: keep it, or the slug
	entrypoint string
	importMap  string
	verifyJWT  bool
	bundleOnly bool
	files      map[string][]byte
}

// deploy bundles and stores a function, as POST functions/deploy does.
func (s *functionStore) deploy(ctx context.Context, d deployment) (*function, error) {
	if s.deno == "" {
		return nil, errors.New("the stack was started without functions: see Options.Parts")
	}
	if !slugPattern.MatchString(d.slug) {
		return nil, apiErrorf(400, "slug: must match %s", slugPattern)
	}
	s.mu.Lock()
	old := s.functions[d.slug]
	if old == nil {
		old = s.staged[d.slug]
	}
	full := s.functions[d.slug] == nil && len(s.functions) >= maxFunctions
	id, generation := newUUID(), 1
	if old != nil {
		id = old.ID
		if old.bundle != nil {
			generation = old.bundle.generation + 1
		}
	}
	s.sources++
	dir := filepath.Join(s.dir, fmt.Sprintf("%d", s.sources), fmt.Sprintf("user_fn_%s_%s_%d", s.ref, id, generation))
	s.mu.Unlock()
	if full {
		return nil, apiErrorf(402, "Max number of functions reached for project")
	}

	b, err := s.bundle(ctx, dir, d, generation)
	if err != nil {
		return nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UnixMilli()
	f := &function{
		ID: id, Slug: d.slug, Name: cmp.Or(d.name, d.slug), Status: statusActive, Version: 1,
		CreatedAt: now, UpdatedAt: now, VerifyJWT: d.verifyJWT,
	}
	// Another deployment may have been faster: replace its row.
	if current := s.functions[d.slug]; current != nil {
		f.ID, f.CreatedAt = current.ID, current.CreatedAt
		f.Name = cmp.Or(d.name, current.Name)
		f.Version = current.Version + 1
		// The server recognizes an identical bundle and does not change the version.
		if current.bundle != nil && current.bundle.digest == b.digest {
			f.Version = current.Version
		}
		f.UpdatedAt = max(now, current.UpdatedAt+1)
	}
	f.setBundle(b)
	if d.bundleOnly {
		s.staged[d.slug] = f
		untimed := *f
		untimed.CreatedAt, untimed.UpdatedAt = 0, 0
		return &untimed, nil
	}
	delete(s.staged, d.slug)
	s.functions[d.slug] = f
	return f, nil
}

// setBundle makes b the function's code.
func (f *function) setBundle(b *bundle) {
	f.bundle = b
	root := "file:///tmp/" + filepath.Base(b.dir) + "/source/"
	f.EntrypointPath = root + b.entrypoint
	f.ImportMap, f.ImportMapPath = b.importMap != "", ""
	if f.ImportMap {
		f.ImportMapPath = root + b.importMap
	}
	sum := sha256.Sum256(b.eszip)
	f.EzbrSHA256 = hex.EncodeToString(sum[:])
}

// bundle lays the files out below dir/source and finds what the entry point
// reaches.
func (s *functionStore) bundle(ctx context.Context, dir string, d deployment, generation int) (*bundle, error) {
	b := &bundle{
		dir: dir, root: filepath.Join(dir, "source"), generation: generation, files: map[string][]byte{},
		entrypoint: cleanUploadPath(d.entrypoint), importMap: cleanUploadPath(d.importMap),
	}
	source := b.root
	uploaded := map[string][]byte{}
	for name, content := range d.files {
		name = cleanUploadPath(name)
		if !filepath.IsLocal(name) {
			continue // it lies outside source/, where no import finds it
		}
		uploaded[name] = content
		file := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return nil, err
		}
	}
	reason := func(format string, args ...any) error {
		text := strings.ReplaceAll(fmt.Sprintf(format, args...), filepath.Dir(dir), "/tmp")
		return apiErrorf(400, "Failed to bundle the function (reason: %s).", strings.TrimSuffix(text, "."))
	}
	if _, ok := uploaded[b.entrypoint]; !ok {
		return nil, reason("Module not found %q.", "file://"+path.Join(source, b.entrypoint))
	}
	if _, ok := uploaded[b.importMap]; !ok && b.importMap != "" {
		return nil, reason("Import map not found %q.", "file://"+path.Join(source, b.importMap))
	}
	graph, err := s.reached(ctx, source, b, uploaded)
	if err != nil {
		var problem graphError
		if errors.As(err, &problem) {
			return nil, reason("%s", problem.text)
		}
		return nil, err
	}
	for _, name := range graph {
		b.files[name] = uploaded[name]
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		_, _ = fmt.Fprintf(sum, "%q %x\n", name, sha256.Sum256(b.files[name]))
	}
	b.digest = hex.EncodeToString(sum.Sum([]byte(b.entrypoint + "\n" + b.importMap)))
	b.eszip, err = sealBundle(b.files)
	return b, err
}

// cleanUploadPath returns the path at which an uploaded file is stored.
func cleanUploadPath(name string) string {
	if name == "" {
		return ""
	}
	return path.Clean(strings.TrimLeft(strings.TrimPrefix(name, "file://"), "/"))
}

// sealBundle returns the bytes that replace a compressed eszip. As on Supabase, they
// cannot be reproduced from the source.
func sealBundle(files map[string][]byte) ([]byte, error) {
	var text bytes.Buffer
	text.WriteString("EZBR")
	text.WriteString(rand.Text())
	z, err := gzip.NewWriterLevel(&text, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(z).Encode(files); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// graphError describes an error in the uploaded sources.
type graphError struct{ text string }

func (e graphError) Error() string { return e.text }

// graph asks Deno which uploaded files the entry point reaches. Files that only
// "import type" names are not part of a bundle. alone says that it reaches
// nothing else but modules of Deno itself.
func (s *functionStore) graph(ctx context.Context, source string, b *bundle) (files []string, alone bool, err error) {
	entry := filepath.Join(source, b.entrypoint)
	args := append([]string{"info", "--json", "--quiet"}, b.configFlags()...)
	s.bundling.Add(1)
	defer s.bundling.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	cmd := exec.CommandContext(ctx, s.deno, append(args, entry)...)
	cmd.Env = denoEnviron(s.dir)
	cmd.Dir = source
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil || cmd.ProcessState == nil {
			return nil, false, fmt.Errorf("bundling: %w", errors.Join(err, ctx.Err()))
		}
		return nil, false, graphError{strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(stderr.String()), "error: "))}
	}
	type target struct{ Specifier, Error string }
	type module struct {
		Specifier    string
		Local        string
		Error        string
		Dependencies []struct {
			Specifier string
			IsDynamic bool
			Code      *struct {
				target
				Span struct{ Start struct{ Line, Character int } }
			}
		}
	}
	var answer struct {
		Roots     []string
		Modules   []module
		Redirects map[string]string
	}
	if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
		return nil, false, fmt.Errorf("bundling: deno info: %w", err)
	}
	modules := map[string]module{}
	alone = true
	for _, m := range answer.Modules {
		modules[m.Specifier] = m
		alone = alone && (strings.HasPrefix(m.Specifier, "file:") || strings.HasPrefix(m.Specifier, "node:"))
	}
	seen := map[string]bool{}
	var walk func(specifier, from string) error
	walk = func(specifier, from string) error {
		if to, ok := answer.Redirects[specifier]; ok {
			specifier = to
		}
		if seen[specifier] {
			return nil
		}
		seen[specifier] = true
		m, ok := modules[specifier]
		if !ok {
			return nil // npm: and node: have no module of their own
		}
		if m.Error != "" {
			return graphError{strings.TrimSuffix(m.Error, ".") + from}
		}
		if u, err := url.Parse(specifier); err == nil && u.Scheme == "file" {
			name, err := filepath.Rel(source, filepath.FromSlash(u.Path))
			if err != nil || !filepath.IsLocal(name) {
				return graphError{fmt.Sprintf("Module not found %q%s", specifier, from)}
			}
			files = append(files, filepath.ToSlash(name))
		}
		for _, d := range m.Dependencies {
			if d.Code == nil {
				continue
			}
			at := fmt.Sprintf(".\n    at %s:%d:%d", specifier, d.Code.Span.Start.Line+1, d.Code.Span.Start.Character+1)
			if d.Code.Error != "" {
				return graphError{strings.TrimSuffix(d.Code.Error, ".") + at}
			}
			if err := walk(d.Code.Specifier, at); err != nil {
				return err
			}
		}
		return nil
	}
	for _, root := range answer.Roots {
		if err := walk(root, ""); err != nil {
			return nil, false, err
		}
	}
	return files, alone, nil
}

// configFlags returns Deno's flags for the bundle's import map. Deno uses no other
// configuration or lock file of this machine.
func (b *bundle) configFlags() []string {
	flags := append([]string{"--no-lock", "--node-modules-dir=none"}, b.flags...)
	file := filepath.Join(b.root, filepath.FromSlash(b.importMap))
	switch base := path.Base(b.importMap); {
	case b.importMap == "":
		return append(flags, "--no-config")
	case base == "deno.json" || base == "deno.jsonc":
		return append(flags, "--config="+file)
	default:
		return append(flags, "--no-config", "--import-map="+file)
	}
}

// denoEnviron returns the environment of every Deno process.
func denoEnviron(dir string) []string {
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"HOME=" + dir,
		"DENO_DIR=" + filepath.Join(dir, "deno"),
		"DENO_NO_UPDATE_CHECK=1",
		"DENO_NO_PROMPT=1",
		"NO_COLOR=1",
		"TZ=UTC",
	}
}

// get returns the function with this slug, or nil.
func (s *functionStore) get(slug string) *function {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.functions[slug]
}

// list returns all functions, by slug.
func (s *functionStore) list() []*function {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.functions), func(a, b *function) int { return cmp.Compare(a.Slug, b.Slug) })
}

// remove deletes a function and reports whether there was one.
func (s *functionStore) remove(slug string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.functions[slug]
	delete(s.functions, slug)
	delete(s.staged, slug)
	return ok
}

// update replaces a function by a copy that change has changed. It returns the new
// function, or nil if there is none with this slug. A changed function has a new
// version and a new time; its hash changes only with its code.
func (s *functionStore) update(slug string, change func(*function)) *function {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.functions[slug]
	if current == nil {
		return nil
	}
	f := *current
	f.Version++
	f.UpdatedAt = max(time.Now().UnixMilli(), f.UpdatedAt+1)
	change(&f)
	s.functions[slug] = &f
	return &f
}

// publish stores a function's metadata from PUT functions, with the bundle that was
// staged under its hash, or else its current code.
func (s *functionStore) publish(f function) *function {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UnixMilli()
	f.UpdatedAt = now
	current, staged := s.functions[f.Slug], s.staged[f.Slug]
	if current != nil {
		f.UpdatedAt = max(now, current.UpdatedAt+1)
		f.CreatedAt = cmp.Or(f.CreatedAt, current.CreatedAt)
		f.bundle = current.bundle
		f.EzbrSHA256 = cmp.Or(f.EzbrSHA256, current.EzbrSHA256)
		f.EntrypointPath = cmp.Or(f.EntrypointPath, current.EntrypointPath)
	}
	f.CreatedAt = cmp.Or(f.CreatedAt, now)
	if staged != nil && (f.EzbrSHA256 == staged.EzbrSHA256 || f.EzbrSHA256 == "") {
		f.setBundle(staged.bundle)
		delete(s.staged, f.Slug)
	}
	s.functions[f.Slug] = &f
	return &f
}

// secretRow is a secret in the Management API's list.
type secretRow struct {
	Name      string `json:"name"`
	Value     string `json:"value"` // the digest
	UpdatedAt string `json:"updated_at,omitempty"`
}

// listSecrets returns all secrets, Supabase's own included, in no particular order.
func (s *functionStore) listSecrets() []secretRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := make([]secretRow, 0, len(s.secrets)+len(s.builtin))
	for name, v := range s.secrets {
		rows = append(rows, secretRow{name, sha256Hex(v.value), v.updated.UTC().Format("2006-01-02T15:04:05.000Z")})
	}
	for name, value := range s.builtin {
		rows = append(rows, secretRow{Name: name, Value: sha256Hex(value)})
	}
	return rows
}

// setSecrets creates or replaces secrets: all of them, or none.
func (s *functionStore) setSecrets(values map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := len(s.secrets)
	for name, value := range values {
		switch {
		case name == "" || len(name) > maxSecretName:
			return apiErrorf(400, "Secret name must have 1 to %d characters", maxSecretName)
		case strings.HasPrefix(name, reservedSecretName):
			return apiErrorf(400, "Secret name must not start with the %s prefix", reservedSecretName)
		case len([]rune(value)) > maxSecretValue:
			return apiErrorf(400, "Secret value must have at most %d characters", maxSecretValue)
		}
		if _, ok := s.secrets[name]; !ok {
			count++
		}
	}
	if count > maxSecrets {
		return apiErrorf(400, "Max number of secrets reached for project")
	}
	for name, value := range values {
		s.secrets[name] = secret{value, time.Now()}
	}
	s.secretsChanged()
	return nil
}

// deleteSecrets removes secrets and ignores names that do not exist.
func (s *functionStore) deleteSecrets(names []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if strings.HasPrefix(name, reservedSecretName) {
			return apiErrorf(400, "Secret name must not start with the %s prefix", reservedSecretName)
		}
	}
	for _, name := range names {
		delete(s.secrets, name)
	}
	s.secretsChanged()
	return nil
}

// secretsChanged makes the next request of every function see the new secrets. It also
// increases the functions' versions: on Supabase they increase without a deployment,
// and a client that relies on them should fail here already. The caller holds mu.
func (s *functionStore) secretsChanged() {
	s.epoch++
	for slug, current := range s.functions {
		f := *current
		f.Version++
		s.functions[slug] = &f
	}
}

// runnable returns what the gateway needs to run a function: the function or nil, its
// environment, and a key that changes with either.
func (s *functionStore) runnable(slug string) (f *function, environ []string, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.functions[slug]
	if f == nil {
		return nil, nil, ""
	}
	environ = denoEnviron(s.dir)
	for name, v := range s.secrets {
		environ = append(environ, name+"="+v.value)
	}
	for name, value := range s.builtin {
		environ = append(environ, name+"="+value)
	}
	if s.ca != "" {
		environ = append(environ, "DENO_CERT="+s.ca)
	}
	environ = append(environ, "SB_REGION=local", "SB_EXECUTION_ID="+newUUID())
	if f.bundle != nil {
		environ = append(environ, fmt.Sprintf("DENO_DEPLOYMENT_ID=%s_%d", filepath.Base(f.bundle.dir), f.bundle.generation))
	}
	return f, environ, fmt.Sprintf("%s %d", f.EzbrSHA256, s.epoch)
}
