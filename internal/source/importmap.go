package source

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// importMap is the part of an import map that leads to modules. Keys and scopes
// that are relative paths are kept relative to the function's directory, with a
// leading "./" or "../". A nil value forbids the import.
type importMap struct {
	Imports map[string]*string            `json:"imports"`
	Scopes  map[string]map[string]*string `json:"scopes"`
}

// loadImportMap reads the import map of the directory, if it has one.
func (w *directoryWalk) loadImportMap() error {
	names, err := w.list(".")
	if err != nil {
		return fmt.Errorf("read the function directory: %w", err)
	}
	for _, name := range ImportMaps {
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
		// Deno ignores the linked map if the file has entries of its own.
		if config.ImportMap == "" || config.Imports != nil || config.Scopes != nil {
			return nil
		}
		return w.loadLinkedImportMap(name, config.ImportMap)
	}
	return nil
}

// loadLinkedImportMap reads the import map that another file names.
func (w *directoryWalk) loadLinkedImportMap(from, specifier string) error {
	refuse := func(reason string) error {
		return &ImportError{File: from, Specifier: specifier, Reason: reason}
	}
	if hasScheme(specifier) || strings.HasPrefix(specifier, "/") {
		return refuse("the import map must be a file in the function's directory")
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

// readJSON reads a JSON file of the function. Comments and trailing commas are
// allowed.
func (w *directoryWalk) readJSON(name string, into any) error {
	if reason, err := w.read(name); err != nil || reason != "" {
		return errors.Join(err, notDeployable(name, reason))
	}
	if err := json.Unmarshal([]byte(plainJSON(string(w.files[name]))), into); err != nil {
		return fmt.Errorf("%s is not valid JSON: %w", name, err)
	}
	return nil
}

// setImportMap uses an import map, with its relative keys rewritten to be
// relative to the function's directory.
func (w *directoryWalk) setImportMap(name string, found importMap) {
	rewrite := func(key string) string {
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
		rewritten := map[string]*string{}
		for key, value := range entries {
			rewritten[rewrite(key)] = value
		}
		return rewritten
	}
	w.importMap, w.imports = name, importMap{Imports: table(found.Imports), Scopes: map[string]map[string]*string{}}
	for scope, entries := range found.Scopes {
		w.imports.Scopes[rewrite(scope)] = table(entries)
	}
}

// resolve returns the path of the file that a specifier names. The path is empty
// for a remote module; reason says why an import cannot be deployed.
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
		return "", "it is an absolute path, which does not exist on the platform; write it relative to the file"
	case hasScheme(wanted):
		return "", ""
	case found:
		return "", w.importMap + " maps it to " + wanted + ", which is neither a relative path nor a remote module"
	case w.importMap == "":
		return "", "a bare specifier needs an import map; add a deno.json with \"imports\" beside " + Entrypoint
	}
	return "", w.importMap + " has no entry for it"
}

// lookUp finds a specifier in the import map: in the scopes that contain the
// importing file, the longest first, then in the entries for all files.
func (w *directoryWalk) lookUp(from, specifier string) (mapped *string, found bool) {
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

// entry finds a specifier in one table of an import map: an exact match first,
// else the longest prefix that ends in a slash.
func entry(entries map[string]*string, specifier string) (mapped *string, found bool) {
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
	full := *entries[best] + strings.TrimPrefix(specifier, best)
	return &full, true
}

// dotted adds a leading "./" to a path, unless it begins with "../".
func dotted(name string) string {
	if name == "." {
		return "./"
	}
	if strings.HasPrefix(name, "../") {
		return name
	}
	return "./" + name
}

func isRelative(specifier string) bool {
	return strings.HasPrefix(specifier, "./") || strings.HasPrefix(specifier, "../")
}

var scheme = text.Pattern(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// hasScheme reports whether a specifier is an address, such as npm:, jsr:,
// node: or https:. The platform's bundler fetches what it names.
func hasScheme(specifier string) bool { return scheme().MatchString(specifier) }

// relative returns the path that a relative specifier in a file leads to.
func relative(from, specifier string) (target, reason string) {
	if strings.ContainsAny(specifier, "?#") {
		return "", "the platform takes the query as a part of the file's name; import it without one"
	}
	target = path.Join(path.Dir(from), specifier)
	if strings.HasPrefix(target+"/", strings.Repeat("../", maxParents+1)) {
		return "", fmt.Sprintf("it is more than %d directories above the function", maxParents)
	}
	return target, ""
}
