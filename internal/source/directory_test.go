package source_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aimindset/terraform-provider-aimindset/internal/source"
)

// write creates a function directory two levels below a parent, so that a test
// can place files above it. It returns the function's directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "supabase", "functions", "own")
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// names lists the files of a source, sorted.
func names(s source.Source) string {
	return strings.Join(slices.Sorted(maps.Keys(s.Files)), " ")
}

// TestDirectoryFollowsImports proves that exactly the files which index.ts
// reaches are deployed, with the content they have, and that a file reached by
// several imports is read once.
func TestDirectoryFollowsImports(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"deno.json": `{
			// a comment, as Deno allows
			"imports": { "lib/": "./lib/", "@exact": "./exact.ts", "remote": "npm:left-pad@1" }
		}`,
		"index.ts": `
			import { a } from "./a.ts"; import { a as again } from "./lib/../a.ts";
			import type { T } from './types.ts';
			import { b } from "lib/b.ts";
			export * from "../_shared/cors.ts";
			import data from "./data.json" with { type: "json" };
			import "./side.ts"; import "@exact"; import "remote"; import "jsr:@std/assert"; import "node:fs";
			const lazy = await import("./lazy.ts");
			// import "./commented.ts";
		`,
		"a.ts": `import "./lib/b.ts"; import "./index.ts";`, "types.ts": "", "lib/b.ts": `import "../a.ts";`,
		"../_shared/cors.ts": `import "./deeper.ts";`, "../_shared/deeper.ts": "", "data.json": `{"import":"./x.ts"}`,
		"side.ts": "", "exact.ts": "", "lazy.ts": "", "unused.ts": "", "commented.ts": "",
	}
	got, err := source.Directory(t.Context(), write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	want := "../_shared/cors.ts ../_shared/deeper.ts a.ts data.json deno.json exact.ts index.ts lazy.ts lib/b.ts side.ts types.ts"
	if names(got) != want {
		t.Errorf("got  %v\nwant %v", names(got), want)
	}
	for name, content := range got.Files {
		if string(content) != files[name] {
			t.Errorf("%s is %q", name, content)
		}
	}
	if got.ImportMap != "deno.json" {
		t.Errorf("the import map is %q", got.ImportMap)
	}
}

// TestDigests proves that each file has the SHA-256 of its content.
func TestDigests(t *testing.T) {
	t.Parallel()
	got := source.Source{Files: map[string][]byte{"index.ts": []byte("abc"), "../x.ts": {}}}.Digests()
	want := map[string]string{
		"index.ts": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"../x.ts":  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestDirectoryReadsImportMaps proves that an import map leads where Deno lets
// it lead: by whole names, by prefixes, by scopes, for files of the directory
// as well, with comments and trailing commas, or linked from deno.json.
func TestDirectoryReadsImportMaps(t *testing.T) {
	t.Parallel()
	type files map[string]string
	for what, c := range map[string]struct {
		files     files
		want      string
		importMap string // deno.json if empty
	}{
		"whole name before prefix": {files{"deno.json": `{"imports":{"lib/":"./one/","lib/a.ts":"./two/a.ts"}}`, "index.ts": `import "lib/a.ts"`}, "deno.json index.ts two/a.ts", ""},
		"longest prefix":           {files{"deno.json": `{"imports":{"lib/":"./gone/","lib/deep/":"./one/"}}`, "index.ts": `import "lib/deep/a.ts"`}, "deno.json index.ts one/a.ts", ""},
		"a prefix needs a slash":   {files{"deno.json": `{"imports":{"lib":"./one/","lib/":"./two/"}}`, "index.ts": `import "lib/a.ts"`}, "deno.json index.ts two/a.ts", ""},
		"above the directory":      {files{"deno.json": `{"imports":{"@shared/":"../_shared/"}}`, "index.ts": `import "@shared/x.ts"`}, "../_shared/x.ts deno.json index.ts", ""},
		"to a package":             {files{"deno.json": `{"imports":{"zod":"npm:zod@3","zod/":"npm:/zod@3/"}}`, "index.ts": `import "zod"; import "zod/v4"`}, "deno.json index.ts", ""},
		"a scope":                  {files{"deno.json": `{"imports":{"dep":"./one/a.ts"},"scopes":{"./two/":{"dep":"./two/b.ts"}}}`, "index.ts": `import "dep"; import "./two/a.ts"`, "two/a.ts": `import "dep"`}, "deno.json index.ts one/a.ts two/a.ts two/b.ts", ""},
		"a scope of one file":      {files{"deno.json": `{"imports":{"dep":"./one/a.ts"},"scopes":{"./two/a.ts":{"dep":"./two/b.ts"}}}`, "index.ts": `import "./two/a.ts"`, "two/a.ts": `import "dep"`}, "deno.json index.ts two/a.ts two/b.ts", ""},
		"a scope without a slash":  {files{"deno.json": `{"imports":{"dep":"./one/a.ts"},"scopes":{"./two":{"dep":"./gone.ts"}}}`, "index.ts": `import "./two/a.ts"`, "two/a.ts": `import "dep"`}, "deno.json index.ts one/a.ts two/a.ts", ""},
		"a scope that lacks it":    {files{"deno.json": `{"imports":{"dep":"./one/a.ts"},"scopes":{"./two/":{"other":"./gone.ts"}}}`, "index.ts": `import "./two/a.ts"`, "two/a.ts": `import "dep"`}, "deno.json index.ts one/a.ts two/a.ts", ""},
		"the narrower scope":       {files{"deno.json": `{"scopes":{"./":{"dep":"./gone.ts"},"./two/":{"dep":"./two/b.ts"}}}`, "index.ts": `import "./two/a.ts"`, "two/a.ts": `import "dep"`}, "deno.json index.ts two/a.ts two/b.ts", ""},
		"a file redirected":        {files{"deno.json": `{"imports":{"./gone.ts":"./one/a.ts","./old/":"./two/"}}`, "index.ts": `import "./gone.ts"; import "./old/a.ts"`}, "deno.json index.ts one/a.ts two/a.ts", ""},
		"comments and commas":      {files{"deno.jsonc": "{\n // a note, with \"quotes\"\n \"imports\": { /* here */ \"dep\": \"./one/a.ts\", },\n}", "index.ts": `import "dep"`}, "deno.jsonc index.ts one/a.ts", "deno.jsonc"},
		"slashes in names":         {files{"deno.json": `{"imports":{"//x":"./one/a.ts","/*":"./gone.ts"}}`, "index.ts": `import "//x"`}, "deno.json index.ts one/a.ts", ""},
		"a linked map":             {files{"deno.json": `{"importMap":"./maps/map.json"}`, "maps/map.json": `{"imports":{"dep":"../one/a.ts"}}`, "index.ts": `import "dep"`}, "deno.json index.ts maps/map.json one/a.ts", "maps/map.json"},
		"keys of a linked map":     {files{"deno.json": `{"importMap":"./maps/map.json"}`, "maps/map.json": `{"imports":{"../old/":"../two/"}}`, "index.ts": `import "./old/a.ts"`}, "deno.json index.ts maps/map.json two/a.ts", "maps/map.json"},
		"own entries before it":    {files{"deno.json": `{"importMap":"./gone.json","imports":{"dep":"./one/a.ts"}}`, "index.ts": `import "dep"`}, "deno.json index.ts one/a.ts", ""},
		"own scopes before it":     {files{"deno.json": `{"importMap":"./gone.json","scopes":{"./":{"dep":"./one/a.ts"}}}`, "index.ts": `import "dep"`}, "deno.json index.ts one/a.ts", ""},
		"no entries before it":     {files{"deno.json": `{"importMap":"./gone.json","imports":{}}`, "index.ts": ""}, "deno.json index.ts", ""},
		"deno.json first":          {files{"deno.json": `{"imports":{"dep":"./one/a.ts"}}`, "import_map.json": `{"imports":{"dep":"./gone.ts"}}`, "index.ts": `import "dep"`}, "deno.json index.ts one/a.ts", ""},
		"only a plain map":         {files{"import_map.json": `{"imports":{"dep":"./one/a.ts"}}`, "index.ts": `import "dep"`}, "import_map.json index.ts one/a.ts", "import_map.json"},
		"other settings":           {files{"deno.json": `{"compilerOptions":{"strict":true},"tasks":{"x":"y"}}`, "index.ts": `import "./one/a.ts"`}, "deno.json index.ts one/a.ts", ""},
	} {
		all := map[string]string{"one/a.ts": "", "two/a.ts": "", "two/b.ts": "", "../_shared/x.ts": ""}
		maps.Copy(all, c.files)
		got, err := source.Directory(t.Context(), write(t, all))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if names(got) != c.want {
			t.Errorf("%s: got %q, want %q", what, names(got), c.want)
		}
		if c.importMap == "" {
			c.importMap = "deno.json"
		}
		if got.ImportMap != c.importMap {
			t.Errorf("%s: the import map is %q", what, got.ImportMap)
		}
	}
}

// TestDirectoryTakesOtherFiles proves that what is neither code nor JSON may be
// imported whatever its bytes are, and that JSON with comments is not refused
// where it is not data.
func TestDirectoryTakesOtherFiles(t *testing.T) {
	t.Parallel()
	got, err := source.Directory(t.Context(), write(t, map[string]string{
		"index.ts": `import w from "./add.wasm"; import t from "./a.txt" with { type: "text" }; import "./c.jsonc"`,
		"add.wasm": "\x00asm\xff", "a.txt": "\xe7\xe3o", "c.jsonc": "{} // a note",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if names(got) != "a.txt add.wasm c.jsonc index.ts" || string(got.Files["add.wasm"]) != "\x00asm\xff" {
		t.Errorf("got %v", names(got))
	}
}

// TestDirectoryRefuses proves that nothing is deployed that would fail on the
// platform, and that the error names the importing file, the import and the
// reason.
func TestDirectoryRefuses(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret.ts")
	if err := os.WriteFile(outside, []byte("export {}"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(from, to string) func(dir string) error {
		return func(dir string) error { return os.Symlink(to, filepath.Join(dir, from)) }
	}
	grow := func(name string, size int64) func(dir string) error {
		return func(dir string) error { return os.Truncate(filepath.Join(dir, name), size) }
	}
	type files map[string]string
	for what, c := range map[string]struct {
		files   files
		prepare func(dir string) error
		file    string // index.ts if empty
		imports string
		says    string
	}{
		"a missing file":          {files: files{"index.ts": `import "./gone.ts"`}, imports: "./gone.ts", says: "there is no file gone.ts"},
		"missing further on":      {files: files{"index.ts": `import "./a.ts"`, "a.ts": `export { x } from "./lib/gone.ts"`}, file: "a.ts", imports: "./lib/gone.ts", says: "there is no file lib/gone.ts"},
		"bare without a map":      {files: files{"index.ts": `import "lodash"`}, imports: "lodash", says: `a bare specifier needs an import map; add a deno.json with "imports" beside index.ts`},
		"bare and not in the map": {files: files{"index.ts": `import "lodash"`, "deno.json": `{"imports":{}}`}, imports: "lodash", says: "deno.json has no entry for it"},
		"above the upload":        {files: files{"index.ts": `import "../../../x.ts"`}, imports: "../../../x.ts", says: "it is more than 2 directories above the function"},
		"with a query":            {files: files{"index.ts": `import "./a.ts?v=1"`, "a.ts": ""}, imports: "./a.ts?v=1", says: "the platform takes the query as a part of the file's name; import it without one"},
		"other case":              {files: files{"index.ts": `import "./Lib/A.ts"`, "lib/a.ts": ""}, imports: "./Lib/A.ts", says: "there is no file Lib/A.ts, but lib; names are case-sensitive on the platform"},
		"other case of the file":  {files: files{"index.ts": `import "./lib/A.ts"`, "lib/a.ts": ""}, imports: "./lib/A.ts", says: "there is no file lib/A.ts, but lib/a.ts; names are case-sensitive on the platform"},
		"without an extension":    {files: files{"index.ts": `import "./a"`, "a.ts": ""}, imports: "./a", says: "there is no file a, but a.ts; an import needs the file's extension"},
		"no extension above":      {files: files{"index.ts": `import "./a/b.ts"`, "a.ts": ""}, imports: "./a/b.ts", says: "there is no file a/b.ts"},
		"a directory":             {files: files{"index.ts": `import "./lib"`, "lib/a.ts": ""}, imports: "./lib", says: "lib is a directory; import a file"},
		"below a file":            {files: files{"index.ts": `import "./a.ts/b.ts"`, "a.ts": ""}, imports: "./a.ts/b.ts", says: "there is no file a.ts/b.ts"},
		"an absolute path":        {files: files{"index.ts": `import "/etc/passwd"`}, imports: "/etc/passwd", says: "it is an absolute path, which does not exist on the platform; write it relative to the file"},
		"a file address":          {files: files{"index.ts": `import "file:///etc/passwd"`}, imports: "file:///etc/passwd", says: "it is an absolute path, which does not exist on the platform; write it relative to the file"},
		"a link out of the tree":  {files: files{"index.ts": `import "./a.ts"`}, prepare: link("a.ts", outside), imports: "./a.ts", says: "it is a link to " + outside + ", which is outside "},
		"a directory link out":    {files: files{"index.ts": `import "./lib/secret.ts"`}, prepare: link("lib", filepath.Dir(outside)), imports: "./lib/secret.ts", says: "it is a link to " + outside + ", which is outside "},
		"a link to nowhere":       {files: files{"index.ts": `import "./a.ts"`}, prepare: link("a.ts", "gone.ts"), imports: "./a.ts", says: "no such file"},
		"a link to itself":        {files: files{"index.ts": `import "./a.ts"`}, prepare: link("a.ts", "a.ts"), imports: "./a.ts", says: "links"},
		"a binary module":         {files: files{"index.ts": `import "./a.ts"`, "a.ts": "export {}\x00"}, imports: "./a.ts", says: "it is not UTF-8 text"},
		"another encoding":        {files: files{"index.ts": `import "./a.ts"`, "a.ts": "// \xe7\xe3o"}, imports: "./a.ts", says: "it is not UTF-8 text"},
		"JSON in another":         {files: files{"index.ts": `import "./d.json"`, "d.json": "\"\xe7\xe3o\""}, imports: "./d.json", says: "it is not UTF-8 text"},
		"JSONC in another":        {files: files{"index.ts": `import "./d.jsonc"`, "d.jsonc": "// \xe7\xe3o"}, imports: "./d.jsonc", says: "it is not UTF-8 text"},
		"broken JSON":             {files: files{"index.ts": `import d from "./d.json" with { type: "json" }`, "d.json": "{,}"}, imports: "./d.json", says: "it is not valid JSON"},
		"data that is JSONC":      {files: files{"index.ts": `import "./d.json"`, "d.json": "{} // a note"}, imports: "./d.json", says: "it is not valid JSON"},
		"too large a file":        {files: files{"index.ts": `import "./a.ts"`, "a.ts": ""}, prepare: grow("a.ts", 21<<20), imports: "./a.ts", says: "with its 22020096 bytes, the function's source is larger than 20 MiB"},
		"too large together":      {files: files{"index.ts": `import "./a.bin"; import "./b.bin"`, "a.bin": "", "b.bin": ""}, prepare: func(dir string) error { return errors.Join(grow("a.bin", 11<<20)(dir), grow("b.bin", 11<<20)(dir)) }, imports: "./b.bin", says: "larger than 20 MiB"},
		"a name that is blocked":  {files: files{"index.ts": `import "dep"`, "deno.json": `{"imports":{"dep":null}}`}, imports: "dep", says: "deno.json blocks it"},
		"a prefix that is":        {files: files{"index.ts": `import "dep/a.ts"`, "deno.json": `{"imports":{"dep/":null}}`}, imports: "dep/a.ts", says: "deno.json blocks it"},
		"a map to nothing":        {files: files{"index.ts": `import "dep"`, "deno.json": `{"imports":{"dep":"other"}}`}, imports: "dep", says: "deno.json maps it to other, which is neither a relative path nor a remote module"},
		"a map to a missing file": {files: files{"index.ts": `import "dep"`, "deno.json": `{"imports":{"dep":"./gone.ts"}}`}, imports: "dep", says: "there is no file gone.ts"},
		"a map too far up":        {files: files{"index.ts": `import "dep"`, "deno.json": `{"imports":{"dep":"../../../x.ts"}}`}, imports: "dep", says: "it is more than 2 directories above the function"},
		"no linked map":           {files: files{"index.ts": "", "deno.json": `{"importMap":"./map.json"}`}, file: "deno.json", imports: "./map.json", says: "there is no file map.json"},
		"a remote linked map":     {files: files{"index.ts": "", "deno.json": `{"importMap":"https://example.com/map.json"}`}, file: "deno.json", imports: "https://example.com/map.json", says: "the import map must be a file in the function's directory"},
		"an absolute linked map":  {files: files{"index.ts": "", "deno.json": `{"importMap":"/map.json"}`}, file: "deno.json", imports: "/map.json", says: "the import map must be a file in the function's directory"},
		"a linked map with query": {files: files{"index.ts": "", "deno.json": `{"importMap":"./map.json?x"}`}, file: "deno.json", imports: "./map.json?x", says: "the platform takes the query"},
	} {
		dir := write(t, c.files)
		if c.prepare != nil {
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
		}
		if c.file == "" {
			c.file = "index.ts"
		}
		_, err := source.Directory(t.Context(), dir)
		var found *source.ImportError
		if !errors.As(err, &found) {
			t.Errorf("%s: got %v", what, err)
			continue
		}
		if found.File != c.file || found.Specifier != c.imports || !strings.Contains(found.Reason, c.says) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// TestDirectoryWithoutSource proves what is said of a directory that has no
// usable entry point or import map.
func TestDirectoryWithoutSource(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		files map[string]string
		says  string
	}{
		"no entry point":             {map[string]string{"main.ts": ""}, "no index.ts in "},
		"a directory as entry point": {map[string]string{"index.ts/a.ts": ""}, "index.ts cannot be deployed: index.ts is a directory"},
		"a binary entry point":       {map[string]string{"index.ts": "\x00"}, "index.ts cannot be deployed: it is not UTF-8 text"},
		"broken deno.json":           {map[string]string{"index.ts": "", "deno.json": "{"}, "deno.json is not valid JSON: "},
		"deno.json of other types":   {map[string]string{"index.ts": "", "deno.json": `{"imports":["a"]}`}, "deno.json is not valid JSON: "},
		"a binary deno.json":         {map[string]string{"index.ts": "", "deno.json": "{}\x00"}, "deno.json cannot be deployed: it is not UTF-8 text"},
		"a broken linked map":        {map[string]string{"index.ts": "", "deno.json": `{"importMap":"./m.jsonc"}`, "m.jsonc": "["}, "m.jsonc is not valid JSON: "},
	} {
		_, err := source.Directory(t.Context(), write(t, c.files))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", what, err)
		}
		if errors.Is(err, source.ErrNoEntrypoint) != (what == "no entry point") {
			t.Errorf("%s: ErrNoEntrypoint: %v", what, err)
		}
	}
	if _, err := source.Directory(t.Context(), filepath.Join(t.TempDir(), "gone")); !errors.Is(err, source.ErrNoEntrypoint) {
		t.Errorf("a missing directory: got %v", err)
	}
}

// TestDirectoryFollowsLinks proves that links within the tree are followed,
// that files are uploaded under the names by which they are imported, and that
// cycles of imports and of links end.
func TestDirectoryFollowsLinks(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"index.ts": `import "./linked.ts"; import "./again/a.ts"`, "lib/a.ts": `import "./b.ts"`, "lib/b.ts": `import "./a.ts"; import "../index.ts"`,
		"../_shared/x.ts": `export const x = 1`,
	})
	for from, to := range map[string]string{"linked.ts": "../_shared/x.ts", "again": "lib", "circle": "."} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	// The function's directory may be a link itself.
	entrance := filepath.Join(t.TempDir(), "function")
	if err := os.Symlink(dir, entrance); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{dir, entrance} {
		got, err := source.Directory(t.Context(), place)
		if err != nil {
			t.Fatal(err)
		}
		if names(got) != "again/a.ts again/b.ts index.ts linked.ts" {
			t.Errorf("the files are %v", names(got))
		}
		if string(got.Files["linked.ts"]) != "export const x = 1" {
			t.Errorf("linked.ts is %q", got.Files["linked.ts"])
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "index.ts"), []byte(`import "./circle/index.ts"`), 0o600); err != nil {
		t.Fatal(err)
	}
	var found *source.ImportError
	if _, err := source.Directory(t.Context(), dir); !errors.As(err, &found) || found.Specifier != "./circle/index.ts" {
		t.Errorf("a cycle of links: got %v", err)
	}
}

// TestDirectoryLimits proves that a source which could not be uploaded is refused,
// that an error stays short whatever the source says, and that reading ends with the
// context.
func TestDirectoryLimits(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	var imports strings.Builder
	for i := range 4999 {
		name := fmt.Sprintf("./m%04d.ts", i)
		many[name] = ""
		imports.WriteString("import \"" + name + "\"\n")
	}
	many["index.ts"] = imports.String()
	dir := write(t, many)
	if got, err := source.Directory(t.Context(), dir); err != nil || len(got.Files) != 5000 {
		t.Errorf("5,000 files: %d, %v", len(got.Files), err)
	}
	for name, text := range map[string]string{"index.ts": many["index.ts"] + `import "./z.ts"`, "z.ts": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var found *source.ImportError
	if _, err := source.Directory(t.Context(), dir); !errors.As(err, &found) || found.Specifier != "./z.ts" || !strings.Contains(err.Error(), "more than 5000 files") {
		t.Errorf("5,001 files: %v", err)
	}

	long := strings.Repeat("é", 20_000)
	for what, specifier := range map[string]string{"missing": "./" + long + ".ts", "bare": long, "absolute": "/" + long, "directories": strings.Repeat("a/../", 8_000) + "../../../x.ts", "query": "./" + long + "?"} {
		_, err := source.Directory(t.Context(), write(t, map[string]string{"index.ts": "import \"" + specifier + "\""}))
		if err == nil || len(err.Error()) > 1000 || !utf8.ValidString(err.Error()) {
			t.Errorf("%s: %d bytes: %.300v", what, len(fmt.Sprint(err)), err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.Directory(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}
