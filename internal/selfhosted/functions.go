package selfhosted

import (
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
	"path"
	"path/filepath"
	"slices"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// markerFile is the ownership marker in a function's directory.
const markerFile = ".managed.json"

// marker is the content of markerFile. The platform keeps the same of a
// function.
type marker struct {
	ManagedBy string `json:"managed_by"`
	ID        string `json:"id"`
	Name      string `json:"name"`
	// Files are the paths of the deployed files in the directory.
	Files []string `json:"files"`
	// Tokens is the source of tokens.json, if the function has one. The file
	// itself contains the accepted tokens.
	Tokens *string `json:"tokens,omitempty"`
}

// ListFunctions lists the directories that contain an index.ts.
func (p *Project) ListFunctions(ctx context.Context, _ string) ([]supabase.Function, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.files.Lock()
	defer p.files.Unlock()
	entries, err := os.ReadDir(p.config.FunctionsDir)
	if err != nil {
		return nil, fmt.Errorf("list the functions: %w; `functions_dir` in `self_hosted` must be the directory that the runtime's container has as /home/deno/functions", err)
	}
	var functions []supabase.Function
	for _, entry := range entries {
		slug := entry.Name()
		if !slugPattern().MatchString(slug) || !isFile(filepath.Join(p.dir(slug), source.Entrypoint)) {
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

// importMap returns the name of the import map beside the entry point, or "".
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

// digestOf returns the SHA-256 of a function's files, in hexadecimal.
func digestOf(files map[string][]byte) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%d:%s%d:", len(name), name, len(files[name]))
		sum.Write(files[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// marker reads a function's ownership marker. It is nil if the function is not
// this provider's.
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
		return nil, nil //nolint:nilerr // another program's, or damaged: a function like any other
	}
	return m, nil
}

// deployed reads those of the deployed files that still exist. Other files in
// the directory do not matter: a deployed one would have to be changed to import
// them, and that change is seen.
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
	// Not this provider's function. Which files it has is not known, and its
	// entry point is enough to see that it is a different one.
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

// DeployFunction creates or replaces a function in one step: no request finds it
// half written. The tokens that it accepted before are kept.
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
		return supabase.Function{}, fmt.Errorf("the runtime loads %s, not %s", source.Entrypoint, path.Base(d.Entrypoint))
	}
	p.files.Lock()
	defer p.files.Unlock()
	if info, err := os.Stat(p.config.FunctionsDir); err != nil {
		return supabase.Function{}, err
	} else if !info.IsDir() {
		return supabase.Function{}, errors.New("it is not a directory; correct `functions_dir` in `self_hosted`")
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

	// The names are fixed, so that the leftovers of a killed run are removed.
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
		mode := fs.FileMode(0o644)
		if name == payload.TokensFile {
			mode = tokensMode
		}
		if err := writeNew(filepath.Join(fresh, filepath.FromSlash(name)), content, mode); err != nil {
			return supabase.Function{}, err
		}
	}
	if former := filepath.Join(p.dir(d.Slug), payload.TokensFile); !isFile(former) {
		p.giveToRuntime(filepath.Join(fresh, payload.TokensFile))
	} else if err := keepOwner(former, filepath.Join(fresh, payload.TokensFile)); err != nil {
		return supabase.Function{}, fmt.Errorf("%s belongs to another user, and writing it would change its owner: %w", former, err)
	}
	if err := replaceDirectory(p.dir(d.Slug), fresh, aside); err != nil {
		return supabase.Function{}, err
	}
	p.functionChanged(existed)
	return supabase.Function{
		ID: m.ID, Slug: d.Slug, Name: m.Name, Status: "ACTIVE", EntrypointPath: source.Entrypoint, ImportMapPath: p.importMap(d.Slug), EzbrSHA256: digest,
	}, nil
}

// writeNew writes a file into directories that the runtime, which runs as another
// user, can read.
func writeNew(name string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // the runtime reads it
		return err
	}
	return os.WriteFile(name, content, mode)
}

// encode returns value as indented JSON. It must be one that can be encoded.
func encode(value any) []byte {
	text, _ := json.MarshalIndent(value, "", "  ")
	return append(text, '\n')
}

// UpdateFunction changes the name of a function and marks a function that is not
// marked. It ignores VerifyJWT, which is the runtime's setting for all functions.
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
	changed := m == nil
	if changed {
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
		m.Name, changed = *u.Name, true
	}
	if changed {
		if err := replaceFile(filepath.Join(p.dir(slug), markerFile), encode(m), 0o644); err != nil {
			return supabase.Function{}, fmt.Errorf("update the function %s: %w", slug, err)
		}
	}
	return supabase.Function{
		ID: m.ID, Slug: slug, Name: m.Name, Status: "ACTIVE", EntrypointPath: source.Entrypoint, ImportMapPath: p.importMap(slug), EzbrSHA256: digestOf(files),
	}, nil
}

// DeleteFunction removes a function's directory. A function that is not this
// provider's is an error.
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
		return fmt.Errorf("delete the function %s: its directory has no ownership marker of this provider, so it is kept", slug)
	}
	// The rename takes it away from the runtime in one step, and what a killed
	// run leaves does not have a function's name.
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
