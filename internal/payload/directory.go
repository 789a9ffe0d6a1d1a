package payload

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"
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
// Imports whose specifier is computed at run time cannot be seen.
//
// It returns an error that wraps ErrNoEntrypoint when there is no index.ts,
// and an *ImportError for an import that leads nowhere, or to what cannot be
// deployed.
func Directory(dir string) (Source, error) {
	walk := directoryWalk{dir: dir, files: map[string][]byte{}, listings: map[string][]string{}}
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
		return Source{}, errors.Join(err, reasonOf(Entrypoint, reason))
	}
	if err := walk.visit(Entrypoint); err != nil {
		return Source{}, err
	}
	return Source{Files: walk.files, ImportMap: walk.importMap}, nil
}

func reasonOf(name, reason string) error {
	if reason == "" {
		return nil
	}
	return fmt.Errorf("%s cannot be deployed: %s", name, reason)
}

type directoryWalk struct {
	dir string
	// root is the real path of the topmost directory that may be uploaded.
	root      string
	files     map[string][]byte
	bytes     int64
	listings  map[string][]string // the names in a directory, by its path
	importMap string              // path of the import map, relative to dir
	imports   importMap
}

// importMap is the part of an import map that leads to modules. A key or a
// scope that is a relative path stands here relative to the function's
// directory, with ./ or ../ before it.
type importMap struct {
	Imports map[string]*string            `json:"imports"`
	Scopes  map[string]map[string]*string `json:"scopes"`
}

// read reads a file of the function once. It answers with a reason when the
// file cannot be deployed.
func (w *directoryWalk) read(name string) (reason string, err error) {
	if _, done := w.files[name]; done {
		return "", nil
	}
	if reason, err := w.locate(name); reason != "" || err != nil {
		return reason, err
	}
	file, err := os.Open(filepath.Join(w.dir, filepath.FromSlash(name)))
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxSourceBytes-w.bytes+1))
	if err != nil {
		return "", err
	}
	if w.bytes += int64(len(content)); w.bytes > maxSourceBytes {
		return fmt.Sprintf("with it, the function's source is larger than %d MiB", maxSourceBytes>>20), nil
	}
	text := bytes.TrimPrefix(content, []byte("\ufeff"))
	switch {
	case (isModule(name) || isJSON(name)) && (!utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0):
		return "it is not a text in UTF-8", nil
	case path.Ext(name) == ".json" && !slices.Contains(ImportMaps, name) && !json.Valid(text):
		return "it is no valid JSON", nil
	}
	w.files[name] = content
	return "", nil
}

// locate says why a file may not be taken from where it is.
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
		return "it is a link to " + real + ", which lies outside of " + w.root, nil
	}
	switch info, err := os.Stat(real); {
	case err != nil:
		return "", err
	case info.IsDir():
		return name + " is a directory; an import names a file", nil
	case !info.Mode().IsRegular():
		return name + " is no regular file", nil
	case info.Size() > maxSourceBytes-w.bytes:
		return fmt.Sprintf("with its %d bytes, the function's source is larger than %d MiB", info.Size(), maxSourceBytes>>20), nil
	}
	return "", nil
}

// misnamed says how the name of a file that is not there differs from one that
// is. Windows and macOS find a file of other case, the platform does not.
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
				return "there is no file " + name + ", but " + path.Join(directory, other) + "; the platform tells upper and lower case apart", nil
			case i == len(parts)-1 && isModule(other) && strings.TrimSuffix(other, path.Ext(other)) == part:
				return "there is no file " + name + ", but " + path.Join(directory, other) + "; an import names the whole file", nil
			}
		}
		return "there is no file " + name, nil
	}
	return "", nil
}

// list returns the names in a directory; one that is missing has none.
func (w *directoryWalk) list(directory string) ([]string, error) {
	if names, ok := w.listings[directory]; ok {
		return names, nil
	}
	entries, err := os.ReadDir(filepath.Join(w.dir, filepath.FromSlash(directory)))
	// What is below a file, or in a directory that is missing, is missing.
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

func (w *directoryWalk) loadImportMap() error {
	for _, name := range ImportMaps {
		names, err := w.list(".")
		if err != nil {
			return fmt.Errorf("read the function directory: %w", err)
		}
		if !slices.Contains(names, name) {
			continue
		}
		var config struct {
			importMap
			ImportMap string `json:"importMap"`
		}
		if err := w.readJSON(name, &config); err != nil {
			return err
		}
		w.setImportMap(name, config.importMap)
		// Deno looks at the linked map only where the file itself has none.
		if config.ImportMap == "" || config.Imports != nil || config.Scopes != nil {
			return nil
		}
		return w.loadLinkedImportMap(name, config.ImportMap)
	}
	return nil
}

func (w *directoryWalk) readJSON(name string, into any) error {
	if reason, err := w.read(name); err != nil || reason != "" {
		return errors.Join(err, reasonOf(name, reason))
	}
	if err := json.Unmarshal([]byte(plainJSON(string(w.files[name]))), into); err != nil {
		return fmt.Errorf("%s is no valid JSON: %w", name, err)
	}
	return nil
}

func (w *directoryWalk) loadLinkedImportMap(from, specifier string) error {
	refuse := func(reason string) error {
		return &ImportError{File: from, Specifier: specifier, Reason: reason}
	}
	if hasScheme(specifier) || strings.HasPrefix(specifier, "/") {
		return refuse("the import map has to lie in the function's directory")
	}
	name, reason := relative(from, specifier)
	if reason != "" {
		return refuse(reason)
	}
	if reason, err := w.read(name); err != nil {
		return refuse(err.Error())
	} else if reason != "" {
		return refuse(reason)
	}
	var linked importMap
	if err := w.readJSON(name, &linked); err != nil {
		return err
	}
	w.setImportMap(name, linked)
	return nil
}

// setImportMap takes over an import map, with its relative keys as seen from
// the function's directory.
func (w *directoryWalk) setImportMap(name string, found importMap) {
	seen := func(key string) string {
		if !isRelative(key) {
			return key
		}
		joined := dotted(path.Join(path.Dir(name), key))
		if strings.HasSuffix(key, "/") && !strings.HasSuffix(joined, "/") {
			joined += "/"
		}
		return joined
	}
	table := func(entries map[string]*string) map[string]*string {
		moved := map[string]*string{}
		for key, value := range entries {
			moved[seen(key)] = value
		}
		return moved
	}
	w.importMap, w.imports = name, importMap{Imports: table(found.Imports), Scopes: map[string]map[string]*string{}}
	for scope, entries := range found.Scopes {
		w.imports.Scopes[seen(scope)] = table(entries)
	}
}

// dotted writes a path with ./ before it, unless it begins with ../ already.
func dotted(name string) string {
	if name == "." {
		return "./"
	}
	if strings.HasPrefix(name, "../") {
		return name
	}
	return "./" + name
}

// visit follows the imports of a file that was read.
func (w *directoryWalk) visit(name string) error {
	if !isModule(name) {
		return nil
	}
	for _, specifier := range specifiers(string(w.files[name])) {
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

// resolve returns the path of the file that a specifier names, or an empty
// path when it is remote, or the reason why it cannot be deployed.
func (w *directoryWalk) resolve(from, specifier string) (target, reason string) {
	wanted := specifier
	if isRelative(specifier) {
		// An import map can redirect a file of the directory as well.
		target, reason = relative(from, specifier)
		if reason != "" {
			return "", reason
		}
		wanted = dotted(target)
	}
	mapped, found := w.lookUp(dotted(from), wanted)
	switch {
	case found && mapped == nil:
		return "", w.importMap + " blocks it"
	case found && isRelative(*mapped):
		return relative(w.importMap, *mapped)
	case found:
		wanted = *mapped
	case target != "":
		return target, ""
	}
	switch {
	case strings.HasPrefix(wanted, "file:") || strings.HasPrefix(wanted, "/"):
		return "", "it is an absolute path, which the platform does not have; write it relative to the file"
	case hasScheme(wanted):
		return "", ""
	case found:
		return "", w.importMap + " maps it to " + wanted + ", which is neither a relative path nor a remote module"
	case w.importMap == "":
		return "", "a bare specifier needs an import map; add a deno.json with \"imports\" beside " + Entrypoint
	}
	return "", w.importMap + " has no entry for it"
}

// lookUp finds a specifier in the import map: in the scopes of the importing
// file, the longest first, then in the entries for all files. A nil result
// that was found is an entry that forbids the import.
func (w *directoryWalk) lookUp(from, specifier string) (*string, bool) {
	scopes := slices.SortedFunc(maps.Keys(w.imports.Scopes), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, scope := range scopes {
		if scope == from || (strings.HasSuffix(scope, "/") && strings.HasPrefix(from, scope)) {
			if mapped, ok := entry(w.imports.Scopes[scope], specifier); ok {
				return mapped, true
			}
		}
	}
	return entry(w.imports.Imports, specifier)
}

// entry finds a specifier among the entries of an import map: an exact entry
// first, else the longest entry ending in a slash that it begins with.
func entry(entries map[string]*string, specifier string) (*string, bool) {
	if mapped, ok := entries[specifier]; ok {
		return mapped, true
	}
	best := ""
	for key := range entries {
		if strings.HasSuffix(key, "/") && strings.HasPrefix(specifier, key) && len(key) > len(best) {
			best = key
		}
	}
	if best == "" {
		return nil, false
	}
	if entries[best] == nil {
		return nil, true
	}
	mapped := *entries[best] + strings.TrimPrefix(specifier, best)
	return &mapped, true
}

func isRelative(specifier string) bool {
	return strings.HasPrefix(specifier, "./") || strings.HasPrefix(specifier, "../")
}

var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// hasScheme reports whether a specifier is an address, as npm:, jsr:, node:
// and https: are. The platform's bundler fetches what it names.
func hasScheme(specifier string) bool { return scheme.MatchString(specifier) }

func isModule(name string) bool {
	return slices.Contains([]string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"}, path.Ext(name))
}

func isJSON(name string) bool { return path.Ext(name) == ".json" || path.Ext(name) == ".jsonc" }

func relative(from, specifier string) (target, reason string) {
	if strings.ContainsAny(specifier, "?#") {
		return "", "the platform looks for a file with the query in its name; import it without"
	}
	target = path.Join(path.Dir(from), specifier)
	if strings.HasPrefix(target+"/", strings.Repeat("../", maxParents+1)) {
		return "", fmt.Sprintf("it lies more than %d directories above the function", maxParents)
	}
	return target, ""
}

// In the code that these patterns search, every quoted text is its number, and
// a template that is a plain text stands in backquotes.
var importPatterns = []*regexp.Regexp{
	regexp.MustCompile("(?:^|[^\\w$.])(?:import|export)\\b[^\"`();]*?\\bfrom\\s*\"(\\d+)\""),
	regexp.MustCompile("(?:^|[^\\w$.])import\\s*\"(\\d+)\""),
	regexp.MustCompile("(?:^|[^\\w$.])import\\s*\\(\\s*[\"`](\\d+)[\"`]\\s*[,)]"),
}

// specifiers lists the module specifiers of a TypeScript or JavaScript text in
// a stable order.
func specifiers(text string) []string {
	l := lexer{text: strings.TrimPrefix(text, "\ufeff")}
	l.run(false)
	var found []string
	for _, pattern := range importPatterns {
		for _, match := range pattern.FindAllStringSubmatch(l.code.String(), -1) {
			if number, err := strconv.Atoi(match[1]); err == nil && number < len(l.quoted) {
				found = append(found, unescaped(l.quoted[number]))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

var escape = regexp.MustCompile(`\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|.)`)

// unescaped reads the escapes of a quoted text that a path may have.
func unescaped(text string) string {
	return escape.ReplaceAllStringFunc(text, func(found string) string {
		digits := strings.Trim(found[2:], "{}")
		if digits == "" || (found[1] != 'x' && found[1] != 'u') {
			return found[1:]
		}
		code, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return found
		}
		return string(rune(code))
	})
}

// lexer takes apart a TypeScript or JavaScript text as far as it takes to tell
// code from comments, quoted texts, templates and regular expressions.
type lexer struct {
	text string
	// code is what is left: every quoted text is its number among quoted, every
	// template that is a plain text its number in backquotes.
	code   strings.Builder
	quoted []string
	// last is the end of the code so far without blanks and comments: it decides
	// whether a slash divides or begins a regular expression.
	last string
}

// run reads code up to the end of the text or, inside a template, up to the
// brace that ends the substitution.
func (l *lexer) run(substitution bool) {
	depth := 0
	for len(l.text) > 0 {
		switch {
		case strings.HasPrefix(l.text, "//"):
			l.skip(until(l.text, "\n", 0))
		case strings.HasPrefix(l.text, "/*"):
			l.skip(until(l.text, "*/", 2) + 2)
			l.code.WriteString(" ")
		case l.text[0] == '/' && l.beginsRegexp():
			l.skip(regexpLength(l.text))
			l.emit("0", false)
		case l.text[0] == '`':
			l.template()
		case l.text[0] == '"' || l.text[0] == '\'':
			length := closing(l.text)
			if length < 2 || l.text[length-1] != l.text[0] {
				// It does not end on its line, so it is part of something else.
				l.emit(l.text[:1], true)
				continue
			}
			number := l.quote(l.text[1 : length-1])
			l.skip(length)
			l.emit(`"`+number+`"`, false)
		default:
			switch l.text[0] {
			case '{':
				depth++
			case '}':
				if depth--; depth < 0 && substitution {
					return
				}
			}
			l.emit(l.text[:1], true)
		}
	}
}

// emit adds to the code; what stands in the text as it is, is taken from it.
func (l *lexer) emit(piece string, verbatim bool) {
	l.code.WriteString(piece)
	if verbatim {
		l.skip(len(piece))
	}
	if strings.TrimSpace(piece) == "" {
		if l.last != "" && !strings.HasSuffix(l.last, " ") {
			l.last += " "
		}
		return
	}
	l.last += piece
	if len(l.last) > 64 {
		l.last = l.last[len(l.last)-32:]
	}
}

func (l *lexer) skip(length int) { l.text = l.text[min(length, len(l.text)):] }

func (l *lexer) quote(text string) (number string) {
	l.quoted = append(l.quoted, text)
	return strconv.Itoa(len(l.quoted) - 1)
}

// template reads a template. Code in it is code.
func (l *lexer) template() {
	l.skip(1)
	plain := true
	begin := l.text
	for len(l.text) > 0 && l.text[0] != '`' {
		switch {
		case l.text[0] == '\\':
			l.skip(2)
		case strings.HasPrefix(l.text, "${"):
			plain = false
			l.skip(2)
			l.emit("(", false)
			l.run(true)
			l.skip(1)
			l.emit(")", false)
		default:
			l.skip(1)
		}
	}
	text := begin[:len(begin)-len(l.text)]
	l.skip(1)
	if plain {
		l.emit("`"+l.quote(text)+"`", false)
	} else {
		l.emit("0", false)
	}
}

var (
	word = regexp.MustCompile(`[\w$]+$`)
	// Words after which a value begins, so that a slash cannot divide.
	beforeValue = []string{
		"return", "typeof", "instanceof", "in", "of", "new", "delete", "void", "throw", "case", "do", "else", "yield", "await",
	}
)

// beginsRegexp reports whether the slash at which the text stands begins a
// regular expression.
func (l *lexer) beginsRegexp() bool {
	if regexpLength(l.text) == 0 {
		return false
	}
	last := strings.TrimRight(l.last, " ")
	if last == "" {
		return true
	}
	if w := word.FindString(last); w != "" {
		return slices.Contains(beforeValue, w) && !strings.HasSuffix(strings.TrimSuffix(last, w), ".")
	}
	return !strings.ContainsAny(last[len(last)-1:], ")]\"`")
}

// regexpLength is the length of the regular expression that text begins with,
// without its flags, or zero when none ends on this line.
func regexpLength(text string) int {
	class := false
	for i := 1; i < len(text) && text[i] != '\n'; i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			class = true
		case ']':
			class = false
		case '/':
			if !class {
				return i + 1
			}
		}
	}
	return 0
}

// until is the length of text before the next end, which is looked for from an
// offset on.
func until(text, end string, offset int) int {
	if at := strings.Index(text[offset:], end); at >= 0 {
		return offset + at
	}
	return len(text)
}

// closing returns the length of the quoted text that text begins with, up to
// and with the quote that ends it, or what of it stands on its line.
func closing(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[0]:
			return i + 1
		case '\n':
			return i
		}
	}
	return len(text)
}

// plainJSON turns JSON with comments and trailing commas, as Deno reads it,
// into JSON.
func plainJSON(text string) string {
	text = strings.TrimPrefix(text, "\ufeff")
	var plain []byte
	for len(text) > 0 {
		length := 1
		switch {
		case strings.HasPrefix(text, "//"):
			text = text[until(text, "\n", 0):]
			continue
		case strings.HasPrefix(text, "/*"):
			text = text[min(until(text, "*/", 2)+2, len(text)):]
			plain = append(plain, ' ')
			continue
		case text[0] == '"':
			length = closing(text)
		case text[0] == '}' || text[0] == ']':
			trimmed := bytes.TrimRight(plain, " \t\r\n")
			if bytes.HasSuffix(trimmed, []byte(",")) {
				plain = trimmed[:len(trimmed)-1]
			}
		}
		plain = append(plain, text[:length]...)
		text = text[length:]
	}
	return string(plain)
}
