package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// ErrNoEntrypoint is the error of a function directory without index.ts.
var ErrNoEntrypoint = errors.New("no " + Entrypoint)

// maxParents is how many directories above its own a function may import from.
// Its source is uploaded below supabase/functions/<slug>/, as Supabase's CLI
// does, so two levels up is still inside the upload.
const maxParents = 2

// maxFiles is how many files an upload may have.
const maxFiles = 5000

// maxShown limits, in bytes, what an error quotes of a text from the source.
const maxShown = 200

// maxBytes limits how much source is read. The platform refuses bundles above
// 5 MB when it bundles them itself.
const maxBytes = 20 << 20

// ImportError describes an import that cannot be deployed with the function.
type ImportError struct {
	// File is the importing file, relative to the function's directory.
	File string
	// Specifier is the import as the file writes it.
	Specifier string
	// Reason says what is wrong with the import.
	Reason string
}

// Error quotes at most 200 bytes of each part.
func (e *ImportError) Error() string {
	return fmt.Sprintf("%s imports %q: %s", head(e.File), head(e.Specifier), head(e.Reason))
}

// head returns the first maxShown bytes of a text, and says so if that is not all.
func head(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}

// Directory reads the Edge Function in dir: index.ts and every file that it
// reaches by static or dynamic imports, JSON included. It follows the import
// map of the directory (deno.json, deno.jsonc or import_map.json). Remote
// modules (npm:, jsr:, node:, https:) are left to the platform's bundler. An
// import whose specifier is computed at run time is not found.
//
// The error wraps ErrNoEntrypoint if there is no index.ts, and is an
// *ImportError for an import of a file that is missing or cannot be deployed. It is
// that of the context if that ends before.
func Directory(ctx context.Context, dir string) (Source, error) {
	walk := directoryWalk{ctx: ctx, dir: dir, files: map[string][]byte{}, listings: map[string][]string{}}
	if _, err := os.Stat(filepath.Join(dir, Entrypoint)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Source{}, fmt.Errorf("%w in %s", ErrNoEntrypoint, dir)
		}
		return Source{}, fmt.Errorf("read the function directory: %w", err)
	}
	root, err := filepath.EvalSymlinks(dir)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return Source{}, fmt.Errorf("read the function directory: %w", err)
	}
	walk.root = filepath.Join(root, strings.Repeat("../", maxParents))
	if err := walk.loadImportMap(); err != nil {
		return Source{}, err
	}
	if reason, err := walk.read(Entrypoint); err != nil || reason != "" {
		return Source{}, errors.Join(err, notDeployable(Entrypoint, reason))
	}
	if err := walk.visit(Entrypoint); err != nil {
		return Source{}, err
	}
	return Source{Files: walk.files, ImportMap: walk.importMap}, nil
}

func notDeployable(name, reason string) error {
	if reason == "" {
		return nil
	}
	return fmt.Errorf("%s cannot be deployed: %s", head(name), head(reason))
}

// directoryWalk collects a function's files. Paths are relative to dir, with
// slashes.
type directoryWalk struct {
	ctx context.Context //nolint:containedctx // it lives as long as one call of Directory
	dir string
	// root is the real path of the topmost directory that may be uploaded.
	root      string
	files     map[string][]byte
	bytes     int64               // how many bytes files has
	listings  map[string][]string // the names in a directory, by its path
	importMap string              // path of the import map
	imports   importMap
}

// visit reads what a file imports, and what that imports.
func (w *directoryWalk) visit(name string) error {
	if !isModule(name) {
		return nil
	}
	found, err := specifiers(w.ctx, string(w.files[name]))
	if errors.Is(err, errNested) {
		return notDeployable(name, err.Error())
	} else if err != nil {
		return err
	}
	for _, specifier := range found {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		refuse := func(reason string) error {
			return &ImportError{File: name, Specifier: specifier, Reason: reason}
		}
		target, reason := w.resolve(name, specifier)
		if reason != "" {
			return refuse(reason)
		}
		if _, done := w.files[target]; target == "" || done {
			continue
		}
		if reason, err := w.read(target); err != nil {
			return refuse(err.Error())
		} else if reason != "" {
			return refuse(reason)
		}
		if err := w.visit(target); err != nil {
			return err
		}
	}
	return nil
}

// read reads a file of the function once. reason says why a file cannot be
// deployed.
func (w *directoryWalk) read(name string) (reason string, err error) {
	if _, done := w.files[name]; done {
		return "", nil
	}
	if len(w.files) == maxFiles {
		return fmt.Sprintf("with it, the function has more than %d files, which is the limit of an upload", maxFiles), nil
	}
	if reason, err := w.locate(name); reason != "" || err != nil {
		return reason, err
	}
	file, err := os.Open(filepath.Join(w.dir, filepath.FromSlash(name)))
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxBytes-w.bytes+1))
	if err != nil {
		return "", err
	}
	if w.bytes += int64(len(content)); w.bytes > maxBytes {
		return fmt.Sprintf("with it, the function's source is larger than %d MiB", maxBytes>>20), nil
	}
	text := bytes.TrimPrefix(content, []byte("\ufeff"))
	switch {
	case (isModule(name) || isJSON(name)) && (!utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0):
		return "it is not UTF-8 text", nil
	case path.Ext(name) == ".json" && !slices.Contains(ImportMaps, name) && !json.Valid(text):
		return "it is not valid JSON", nil
	}
	w.files[name] = content
	return "", nil
}

// locate checks that a file exists under exactly this name, is a regular file,
// fits into the source, and is inside the upload. reason says what is wrong.
func (w *directoryWalk) locate(name string) (reason string, err error) {
	full := filepath.Join(w.dir, filepath.FromSlash(name))
	if reason, err := w.misnamed(name); reason != "" || err != nil {
		return reason, err
	}
	real, err := filepath.EvalSymlinks(full)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return "", err
	}
	inside, err := filepath.Rel(w.root, real)
	if err != nil {
		return "", err
	}
	if !filepath.IsLocal(inside) {
		return "it is a link to " + real + ", which is outside " + w.root, nil
	}
	switch info, err := os.Stat(real); {
	case err != nil:
		return "", err
	case info.IsDir():
		return name + " is a directory; import a file", nil
	case !info.Mode().IsRegular():
		return name + " is not a regular file", nil
	case info.Size() > maxBytes-w.bytes:
		return fmt.Sprintf("with its %d bytes, the function's source is larger than %d MiB", info.Size(), maxBytes>>20), nil
	}
	return "", nil
}

// misnamed says that there is no file of this name, and which similar name
// exists. The directories are listed because Windows and macOS open a file
// under a name of other case, and the platform does not.
func (w *directoryWalk) misnamed(name string) (reason string, err error) {
	above := ""
	for strings.HasPrefix(name[len(above):], "../") {
		above += "../"
	}
	directory := path.Clean(above + ".")
	parts := strings.Split(name[len(above):], "/")
	for i, part := range parts {
		names, err := w.list(directory)
		if err != nil {
			return "", err
		}
		if slices.Contains(names, part) {
			directory = path.Join(directory, part)
			continue
		}
		for _, other := range names {
			switch {
			case strings.EqualFold(other, part):
				return "there is no file " + name + ", but " + path.Join(directory, other) + "; names are case-sensitive on the platform", nil
			case i == len(parts)-1 && isModule(other) && strings.TrimSuffix(other, path.Ext(other)) == part:
				return "there is no file " + name + ", but " + path.Join(directory, other) + "; an import needs the file's extension", nil
			}
		}
		return "there is no file " + name, nil
	}
	return "", nil
}

// list returns the names in a directory, none if there is no such directory.
func (w *directoryWalk) list(directory string) ([]string, error) {
	if names, ok := w.listings[directory]; ok {
		return names, nil
	}
	entries, err := os.ReadDir(filepath.Join(w.dir, filepath.FromSlash(directory)))
	// ENOTDIR: a part of the path is a file.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return nil, err
	}
	names := []string{}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	w.listings[directory] = names
	return names, nil
}

func isModule(name string) bool {
	return slices.Contains([]string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"}, path.Ext(name))
}

func isJSON(name string) bool { return path.Ext(name) == ".json" || path.Ext(name) == ".jsonc" }
