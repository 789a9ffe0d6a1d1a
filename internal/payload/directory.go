package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ErrNoEntrypoint says that a function directory has no index.ts.
var ErrNoEntrypoint = errors.New("no " + Entrypoint)

// maxParents is how far above its directory a function may import: the source
// is uploaded below supabase/functions/<slug>/, as Supabase's CLI does, so two
// levels above it still lie inside the upload.
const maxParents = 2

// maxSourceBytes bounds what is read from a function directory. The platform
// refuses bundles above 5 MB when it bundles them itself.
const maxSourceBytes = 20 << 20

// ImportError says that a module of a function directory imports something
// which cannot be deployed with it.
type ImportError struct {
	// File is the importing file, relative to the function directory.
	File string
	// Specifier is the import as it stands in the file.
	Specifier string
	// Reason says what is wrong with it.
	Reason string
}

func (e *ImportError) Error() string {
	return fmt.Sprintf("%s imports %q: %s", e.File, e.Specifier, e.Reason)
}

// Directory reads the Edge Function in dir: index.ts and every file it
// reaches by relative imports, through the import map of the directory
// (deno.json, deno.jsonc or import_map.json) and by JSON imports. Remote
// specifiers (npm:, jsr:, node:, https:) are left to the platform's bundler.
//
// It returns an error that wraps ErrNoEntrypoint when there is no index.ts,
// and an *ImportError for an import that leads nowhere.
func Directory(dir string) (Source, error) {
	walk := directoryWalk{dir: dir, files: map[string][]byte{}}
	if _, err := os.Stat(filepath.Join(dir, Entrypoint)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Source{}, fmt.Errorf("%w in %s", ErrNoEntrypoint, dir)
		}
		return Source{}, fmt.Errorf("read the function directory: %w", err)
	}
	if err := walk.loadImportMap(); err != nil {
		return Source{}, err
	}
	if err := walk.visit(Entrypoint); err != nil {
		return Source{}, err
	}
	return Source{Files: walk.files, ImportMap: walk.importMap}, nil
}

type directoryWalk struct {
	dir       string
	files     map[string][]byte
	bytes     int
	importMap string            // path of the import map, relative to dir
	imports   map[string]string // its entries
}

func (w *directoryWalk) read(name string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	w.bytes += len(content)
	if w.bytes > maxSourceBytes {
		return nil, fmt.Errorf("the function's source is larger than %d MiB", maxSourceBytes>>20)
	}
	w.files[name] = content
	return content, nil
}

func (w *directoryWalk) loadImportMap() error {
	for _, name := range []string{"deno.json", "deno.jsonc", "import_map.json"} {
		content, err := w.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the function directory: %w", err)
		}
		var config struct {
			Imports   map[string]string `json:"imports"`
			ImportMap string            `json:"importMap"`
		}
		if err := json.Unmarshal([]byte(withoutComments(string(content))), &config); err != nil {
			return fmt.Errorf("%s is no valid JSON: %w", name, err)
		}
		w.importMap, w.imports = name, config.Imports
		if config.ImportMap == "" {
			return nil
		}
		return w.loadLinkedImportMap(name, config.ImportMap)
	}
	return nil
}

func (w *directoryWalk) loadLinkedImportMap(from, specifier string) error {
	name, reason := relative(from, specifier)
	if reason != "" {
		return &ImportError{File: from, Specifier: specifier, Reason: reason}
	}
	content, err := w.read(name)
	if err != nil {
		return &ImportError{File: from, Specifier: specifier, Reason: "there is no such file"}
	}
	var linked struct {
		Imports map[string]string `json:"imports"`
	}
	if err := json.Unmarshal([]byte(withoutComments(string(content))), &linked); err != nil {
		return fmt.Errorf("%s is no valid JSON: %w", name, err)
	}
	w.importMap, w.imports = name, linked.Imports
	return nil
}

func (w *directoryWalk) visit(name string) error {
	if _, seen := w.files[name]; seen && name != w.importMap {
		return nil
	}
	content, err := w.read(name)
	if err != nil {
		return err
	}
	if !isModule(name) {
		return nil
	}
	for _, specifier := range specifiers(string(content)) {
		target, reason := w.resolve(name, specifier)
		if reason != "" {
			return &ImportError{File: name, Specifier: specifier, Reason: reason}
		}
		if target == "" {
			continue
		}
		if err := w.visit(target); errors.Is(err, fs.ErrNotExist) {
			return &ImportError{File: name, Specifier: specifier, Reason: "there is no file " + target}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// resolve returns the path of the file that a specifier names, or an empty
// path when it is remote, or the reason why it cannot be deployed.
func (w *directoryWalk) resolve(from, specifier string) (target, reason string) {
	switch {
	case isRemote(specifier):
		return "", ""
	case isRelative(specifier):
		return relative(from, specifier)
	}
	mapped, found := w.lookUp(specifier)
	switch {
	case !found && w.importMap == "":
		return "", "a bare specifier needs an import map; add a deno.json with \"imports\" beside " + Entrypoint
	case !found:
		return "", w.importMap + " has no entry for it"
	case isRemote(mapped):
		return "", ""
	case isRelative(mapped):
		return relative(w.importMap, mapped)
	}
	return "", w.importMap + " maps it to " + mapped + ", which is neither a relative path nor a remote module"
}

// lookUp finds a bare specifier in the import map: an exact entry first, else
// the longest entry ending in a slash that it begins with.
func (w *directoryWalk) lookUp(specifier string) (string, bool) {
	if mapped, ok := w.imports[specifier]; ok {
		return mapped, true
	}
	best := ""
	for key := range w.imports {
		if strings.HasSuffix(key, "/") && strings.HasPrefix(specifier, key) && len(key) > len(best) {
			best = key
		}
	}
	if best == "" {
		return "", false
	}
	return w.imports[best] + strings.TrimPrefix(specifier, best), true
}

func isRelative(specifier string) bool {
	return strings.HasPrefix(specifier, "./") || strings.HasPrefix(specifier, "../")
}

func isRemote(specifier string) bool {
	return slices.ContainsFunc([]string{"npm:", "jsr:", "node:", "https://", "http://", "data:"}, func(scheme string) bool {
		return strings.HasPrefix(specifier, scheme)
	})
}

func isModule(name string) bool {
	return slices.Contains([]string{".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs"}, path.Ext(name))
}

func relative(from, specifier string) (target, reason string) {
	if strings.ContainsAny(specifier, "?#") {
		return "", "the platform looks for a file with the query in its name; import it without"
	}
	target = path.Join(path.Dir(from), specifier)
	if strings.HasPrefix(target, strings.Repeat("../", maxParents+1)) {
		return "", fmt.Sprintf("it lies more than %d directories above the function", maxParents)
	}
	return target, ""
}

var (
	importFrom    = regexp.MustCompile(`(?:^|[^\w$.])(?:import|export)\b[^"'();]*?\bfrom\s*["']([^"'\n]+)["']`)
	importBare    = regexp.MustCompile(`(?:^|[^\w$.])import\s*["']([^"'\n]+)["']`)
	importDynamic = regexp.MustCompile(`(?:^|[^\w$.])import\s*\(\s*["']([^"'\n]+)["']`)
)

// specifiers lists the module specifiers of a TypeScript or JavaScript text in
// a stable order. Specifiers that are computed at run time cannot be seen.
func specifiers(text string) []string {
	text = withoutComments(text)
	var found []string
	for _, pattern := range []*regexp.Regexp{importFrom, importBare, importDynamic} {
		for _, match := range pattern.FindAllStringSubmatch(text, -1) {
			found = append(found, match[1])
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// withoutComments blanks comments and the text of template literals, so that
// neither is mistaken for code. A quoted string that does not end on its line
// is taken to be none (it was part of a regular expression).
func withoutComments(text string) string {
	out := []byte(text)
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			if out[i] != '\n' {
				out[i] = ' '
			}
		}
	}
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, "//"):
			end := len(rest)
			if at := strings.IndexByte(rest, '\n'); at >= 0 {
				end = at
			}
			blank(i, i+end)
			i += end
		case strings.HasPrefix(rest, "/*"):
			end := len(rest)
			if at := strings.Index(rest[2:], "*/"); at >= 0 {
				end = at + 4
			}
			blank(i, i+end)
			i += end
		case rest[0] == '`':
			end := closing(rest, '`', false)
			blank(i+1, i+end-1)
			i += end
		case rest[0] == '"' || rest[0] == '\'':
			i += closing(rest, rest[0], true)
		default:
			i++
		}
	}
	return string(out)
}

// closing returns the length of the literal that text begins with.
func closing(text string, quote byte, oneLine bool) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == quote:
			return i + 1
		case oneLine && text[i] == '\n':
			return i
		}
	}
	return len(text)
}
