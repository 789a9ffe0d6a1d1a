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
	"strconv"
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
	for _, name := range ImportMaps {
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

// In the code that these patterns search, every quoted text is its number.
var importPatterns = []*regexp.Regexp{
	regexp.MustCompile(`(?:^|[^\w$.])(?:import|export)\b[^"();]*?\bfrom\s*"(\d+)"`),
	regexp.MustCompile(`(?:^|[^\w$.])import\s*"(\d+)"`),
	regexp.MustCompile(`(?:^|[^\w$.])import\s*\(\s*"(\d+)"`),
}

// specifiers lists the module specifiers of a TypeScript or JavaScript text in
// a stable order. Specifiers that are computed at run time cannot be seen.
func specifiers(text string) []string {
	var code strings.Builder
	var quoted []string
	scan(text, func(kind pieceKind, piece string) {
		switch kind {
		case pieceCode:
			code.WriteString(piece)
		case pieceComment, pieceTemplate:
			code.WriteString(" ")
		case pieceString:
			fmt.Fprintf(&code, `"%d"`, len(quoted))
			quoted = append(quoted, piece[1:len(piece)-1])
		}
	})
	var found []string
	for _, pattern := range importPatterns {
		for _, match := range pattern.FindAllStringSubmatch(code.String(), -1) {
			number, err := strconv.Atoi(match[1])
			if err == nil && number < len(quoted) {
				found = append(found, quoted[number])
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// withoutComments turns JSON with comments, as Deno reads it, into JSON.
func withoutComments(text string) string {
	var plain strings.Builder
	scan(text, func(kind pieceKind, piece string) {
		if kind == pieceComment {
			piece = " "
		}
		plain.WriteString(piece)
	})
	return plain.String()
}

type pieceKind int

const (
	pieceCode pieceKind = iota
	pieceComment
	pieceString
	pieceTemplate
)

// scan cuts a text into code, comments, quoted strings and template literals.
// A quoted string that does not end on its line is taken to be code: it was
// part of a regular expression.
func scan(text string, emit func(kind pieceKind, piece string)) {
	for len(text) > 0 {
		kind, length := pieceCode, 1
		switch {
		case strings.HasPrefix(text, "//"):
			kind, length = pieceComment, len(text)
			if at := strings.IndexByte(text, '\n'); at >= 0 {
				length = at
			}
		case strings.HasPrefix(text, "/*"):
			kind, length = pieceComment, len(text)
			if at := strings.Index(text[2:], "*/"); at >= 0 {
				length = at + 4
			}
		case text[0] == '`':
			kind, length = pieceTemplate, closing(text, false)
		case text[0] == '"' || text[0] == '\'':
			if length = closing(text, true); length > 1 && text[length-1] == text[0] {
				kind = pieceString
			}
		}
		emit(kind, text[:length])
		text = text[length:]
	}
}

// closing returns the length of the literal that text begins with, up to and
// with the quote that ends it.
func closing(text string, oneLine bool) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == text[0]:
			return i + 1
		case oneLine && text[i] == '\n':
			return i
		}
	}
	return len(text)
}
