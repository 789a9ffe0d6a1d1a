package payload_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// TestDirectorySeesImports proves which pieces of a text are imports: each case
// reaches exactly the files that are named, and no text that only looks like an
// import, nor one that hides behind such a text, changes that.
func TestDirectorySeesImports(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ text, reaches string }{
		"named":                  {`import { a } from "./a.ts"`, "a.ts"},
		"single quotes":          {`import a from './a.ts'`, "a.ts"},
		"namespace":              {`import * as a from "./a.ts"`, "a.ts"},
		"default and named":      {`import a, { b as c } from "./a.ts"`, "a.ts"},
		"types":                  {`import type { A } from "./a.ts"; import { type B } from "./b.ts"`, "a.ts b.ts"},
		"side effect":            {`import"./a.ts"`, "a.ts"},
		"without blanks":         {`import{a}from"./a.ts";export*from"./b.ts"`, "a.ts b.ts"},
		"export from":            {`export { a } from "./a.ts"; export * as b from "./b.ts"`, "a.ts b.ts"},
		"export type":            {`export type { A } from "./a.ts"`, "a.ts"},
		"with attributes":        {`import d from "./d.json" with { type: "json" }`, "d.json"},
		"over lines":             {"import {\n  a,\n  // a note: from \"./b.ts\"\n  b,\n}\nfrom\n\"./a.ts\"", "a.ts"},
		"carriage returns":       {"import {\r\n a } from \"./a.ts\";\r\nimport \"./b.ts\";\r\n", "a.ts b.ts"},
		"byte order mark":        {"\ufeffimport \"./a.ts\"", "a.ts"},
		"no semicolons":          {"const x = 1\nimport \"./a.ts\"\nexport const from = 2\nexport * from \"./b.ts\"", "a.ts b.ts"},
		"escapes":                {`import "./\u0061.ts"; import "./\x62.ts"; import("./\u{64}.json")`, "a.ts b.ts d.json"},
		"dynamic":                {`const a = await import("./a.ts"); import ( './b.ts' , { with: {} } )`, "a.ts b.ts"},
		"dynamic over lines":     {"await import(\n  // why\n  \"./a.ts\",\n)", "a.ts"},
		"dynamic template":       {"await import(`./a.ts`)", "a.ts"},
		"in a template":          {"const s = `${await import(\"./a.ts\")} and ${`${await import('./b.ts')}`}`", "a.ts b.ts"},
		"braces in a template":   {"const s = `${[1].map((x) => { return { x }; })}`; import(\"./a.ts\")", "a.ts"},
		"after a backquote":      {"const re = /`/; import(\"./a.ts\"); const s = '`'", "a.ts"},
		"after a regexp":         {`const re = /["']/g, c = /[/"]/; import("./a.ts")`, "a.ts"},
		"after a division":       {"const x = a / b; import(\"./a.ts\"); const y = c / d", "a.ts"},
		"division by a group":    {"const x = (a + b) / 2, s = \"./gone.ts\"; import(\"./a.ts\"); x / 3", "a.ts"},
		"after return":           {"function f() { return /import \"x\"/ }\nimport(\"./a.ts\")", "a.ts"},
		"after an apostrophe":    {"// it's\nimport \"./a.ts\" /* isn't */", "a.ts"},
		"in JSX":                 {"const x = <p>it's</p>;\nimport(\"./a.ts\")", "a.ts"},
		"line comment":           {`// import "./gone.ts"`, ""},
		"block comment":          {"/* import \"./gone.ts\"\n * export * from './gone.ts' */", ""},
		"text":                   {`const s = "import './gone.ts'", t = 'import "./gone.ts"'`, ""},
		"escaped quote":          {`const s = "a\"; import './gone.ts'"`, ""},
		"template":               {"const s = `\nimport \"./gone.ts\"\n`", ""},
		"escaped template":       {"const s = `\\${import(\"./gone.ts\")}\\`import './gone.ts'`", ""},
		"regexp":                 {`const re = /import "\.\/gone\.ts"/; const c = /[/]import("x")/`, ""},
		"method":                 {`loader.import("./gone.ts"); loader?.import("./gone.ts"); reimport("./gone.ts"); $import("./gone.ts")`, ""},
		"property":               {`const o = { import: "./gone.ts", from: "./gone.ts" }`, ""},
		"meta":                   {`import.meta.resolve("./gone.ts"); new URL("./gone.ts", import.meta.url)`, ""},
		"computed":               {"await import(name); await import(`./${name}.ts`); await import(\"./\" + name)", ""},
		"remote":                 {`import "jsr:@std/assert@1"; import "npm:left-pad"; import "node:fs"; import "https://esm.sh/x"; import "data:text/javascript,1"`, ""},
		"unfinished":             {"const s = `${import(", ""},
		"unfinished comment":     {"import \"./a.ts\" /* no end", "a.ts"},
		"export of a value":      {`export const s = "x"; const from = "./gone.ts"`, ""},
		"export default":         {`export default "./gone.ts"`, ""},
		"one file by many names": {`import "./a.ts"; import "./lib/../a.ts"; import "././a.ts"`, "a.ts"},
	} {
		files := map[string]string{"index.ts": c.text, "a.ts": "", "b.ts": "", "d.json": "{}", "lib/x.ts": ""}
		source, err := payload.Directory(write(t, files))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var got []string
		for name := range source.Files {
			if name != "index.ts" {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.reaches {
			t.Errorf("%s: it reaches %q, not %q", what, got, c.reaches)
		}
	}
}

// TestDirectoryReadsImportMaps proves that an import map leads where Deno lets
// it lead: by whole names, by prefixes, by scopes, for files of the directory
// as well, with comments and trailing commas, or linked from deno.json.
func TestDirectoryReadsImportMaps(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		files   map[string]string
		reaches string
	}{
		"whole name before prefix": {map[string]string{"deno.json": `{"imports":{"lib/":"./one/","lib/a.ts":"./two/a.ts"}}`, "index.ts": `import "lib/a.ts"`}, "deno.json two/a.ts"},
		"longest prefix":           {map[string]string{"deno.json": `{"imports":{"lib/":"./gone/","lib/deep/":"./one/"}}`, "index.ts": `import "lib/deep/a.ts"`}, "deno.json one/a.ts"},
		"above the directory":      {map[string]string{"deno.json": `{"imports":{"@shared/":"../_shared/"}}`, "index.ts": `import "@shared/x.ts"`}, "../_shared/x.ts deno.json"},
		"to a package":             {map[string]string{"deno.json": `{"imports":{"zod":"npm:zod@3","zod/":"npm:/zod@3/"}}`, "index.ts": `import "zod"; import "zod/v4"`}, "deno.json"},
		"a scope":                  {map[string]string{"deno.json": `{"imports":{"dep":"./one/a.ts"},"scopes":{"./two/":{"dep":"./two/b.ts"}}}`, "index.ts": `import "dep"; import "./two/a.ts"`, "two/a.ts": `import "dep"`}, "deno.json one/a.ts two/a.ts two/b.ts"},
		"the narrower scope":       {map[string]string{"deno.json": `{"scopes":{"./":{"dep":"./gone.ts"},"./two/":{"dep":"./two/b.ts"}}}`, "index.ts": `import "./two/a.ts"`, "two/a.ts": `import "dep"`}, "deno.json two/a.ts two/b.ts"},
		"a file redirected":        {map[string]string{"deno.json": `{"imports":{"./gone.ts":"./one/a.ts","./old/":"./two/"}}`, "index.ts": `import "./gone.ts"; import "./old/a.ts"`}, "deno.json one/a.ts two/a.ts"},
		"comments and commas":      {map[string]string{"deno.jsonc": "{\n // a note, with \"quotes\"\n \"imports\": { /* here */ \"dep\": \"./one/a.ts\", },\n}", "index.ts": `import "dep"`}, "deno.jsonc one/a.ts"},
		"slashes in names":         {map[string]string{"deno.json": `{"imports":{"//x":"./one/a.ts","/*":"./gone.ts"}}`, "index.ts": `import "//x"`}, "deno.json one/a.ts"},
		"a linked map":             {map[string]string{"deno.json": `{"importMap":"./maps/map.json"}`, "maps/map.json": `{"imports":{"dep":"../one/a.ts"}}`, "index.ts": `import "dep"`}, "deno.json maps/map.json one/a.ts"},
		"own entries before it":    {map[string]string{"deno.json": `{"importMap":"./gone.json","imports":{"dep":"./one/a.ts"}}`, "index.ts": `import "dep"`}, "deno.json one/a.ts"},
		"deno.json first":          {map[string]string{"deno.json": `{"imports":{"dep":"./one/a.ts"}}`, "import_map.json": `{"imports":{"dep":"./gone.ts"}}`, "index.ts": `import "dep"`}, "deno.json one/a.ts"},
		"only a plain map":         {map[string]string{"import_map.json": `{"imports":{"dep":"./one/a.ts"}}`, "index.ts": `import "dep"`}, "import_map.json one/a.ts"},
		"other settings":           {map[string]string{"deno.json": `{"compilerOptions":{"strict":true},"tasks":{"x":"y"}}`, "index.ts": `import "./one/a.ts"`}, "deno.json one/a.ts"},
	} {
		files := map[string]string{"one/a.ts": "", "two/a.ts": "", "two/b.ts": "", "../_shared/x.ts": ""}
		for name, text := range c.files {
			files[name] = text
		}
		source, err := payload.Directory(write(t, files))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var got []string
		for name := range source.Files {
			if name != "index.ts" {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.reaches {
			t.Errorf("%s: it reaches %q, not %q", what, got, c.reaches)
		}
	}
}

// TestDirectoryRefusesFiles proves that a file which the platform could not
// take is a complaint that names the importing file and the import.
func TestDirectoryRefusesFiles(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret.ts")
	if err := os.WriteFile(outside, []byte("export {}"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(from, to string) func(dir string) error {
		return func(dir string) error { return os.Symlink(to, filepath.Join(dir, from)) }
	}
	for what, c := range map[string]struct {
		files          map[string]string
		prepare        func(dir string) error
		specifier, why string
	}{
		"other case":              {map[string]string{"index.ts": `import "./Lib/A.ts"`, "lib/a.ts": ""}, nil, "./Lib/A.ts", "upper and lower case"},
		"other case of the file":  {map[string]string{"index.ts": `import "./lib/A.ts"`, "lib/a.ts": ""}, nil, "./lib/A.ts", "lib/a.ts"},
		"without an ending":       {map[string]string{"index.ts": `import "./a"`, "a.ts": ""}, nil, "./a", "an import names the whole file"},
		"a directory":             {map[string]string{"index.ts": `import "./lib"`, "lib/a.ts": ""}, nil, "./lib", "is a directory"},
		"below a file":            {map[string]string{"index.ts": `import "./a.ts/b.ts"`, "a.ts": ""}, nil, "./a.ts/b.ts", "no file a.ts/b.ts"},
		"an absolute path":        {map[string]string{"index.ts": `import "/etc/passwd"`}, nil, "/etc/passwd", "absolute path"},
		"a file address":          {map[string]string{"index.ts": `import "file:///etc/passwd"`}, nil, "file:///etc/passwd", "absolute path"},
		"a link out of the tree":  {map[string]string{"index.ts": `import "./a.ts"`}, link("a.ts", outside), "./a.ts", "lies outside of"},
		"a directory link out":    {map[string]string{"index.ts": `import "./lib/secret.ts"`}, link("lib", filepath.Dir(outside)), "./lib/secret.ts", "lies outside of"},
		"a link to nowhere":       {map[string]string{"index.ts": `import "./a.ts"`}, link("a.ts", "gone.ts"), "./a.ts", "no such file"},
		"a link to itself":        {map[string]string{"index.ts": `import "./a.ts"`}, link("a.ts", "a.ts"), "./a.ts", "links"},
		"a binary module":         {map[string]string{"index.ts": `import "./a.ts"`, "a.ts": "export {}\x00"}, nil, "./a.ts", "UTF-8"},
		"another encoding":        {map[string]string{"index.ts": `import "./a.ts"`, "a.ts": "// \xe7\xe3o"}, nil, "./a.ts", "UTF-8"},
		"broken JSON":             {map[string]string{"index.ts": `import d from "./d.json" with { type: "json" }`, "d.json": "{,}"}, nil, "./d.json", "no valid JSON"},
		"too large a file":        {map[string]string{"index.ts": `import "./a.ts"`, "a.ts": ""}, func(dir string) error { return os.Truncate(filepath.Join(dir, "a.ts"), 21<<20) }, "./a.ts", "larger than 20 MiB"},
		"a name that is blocked":  {map[string]string{"index.ts": `import "dep"`, "deno.json": `{"imports":{"dep":null}}`}, nil, "dep", "blocks it"},
		"a map to nothing":        {map[string]string{"index.ts": `import "dep"`, "deno.json": `{"imports":{"dep":"other"}}`}, nil, "dep", "neither a relative path"},
		"a map to a missing file": {map[string]string{"index.ts": `import "dep"`, "deno.json": `{"imports":{"dep":"./gone.ts"}}`}, nil, "dep", "no file gone.ts"},
		"two levels above it all": {map[string]string{"index.ts": `import "dep"`, "deno.json": `{"imports":{"dep":"../../../x.ts"}}`}, nil, "dep", "directories above"},
	} {
		dir := write(t, c.files)
		if c.prepare != nil {
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
		}
		_, err := payload.Directory(dir)
		var found *payload.ImportError
		if !errors.As(err, &found) {
			t.Errorf("%s: got %v", what, err)
			continue
		}
		if found.File != "index.ts" || found.Specifier != c.specifier || !strings.Contains(found.Reason, c.why) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for what, c := range map[string]struct{ deno, says string }{
		"a remote import map": {`{"importMap":"https://example.com/map.json"}`, "has to lie in the function's directory"},
		"a map that is none":  {`{"imports":["a"]}`, "deno.json"},
	} {
		if _, err := payload.Directory(write(t, map[string]string{"index.ts": "", "deno.json": c.deno})); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", what, err)
		}
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
		source, err := payload.Directory(place)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(source.Files)); strings.Join(got, " ") != "again/a.ts again/b.ts index.ts linked.ts" {
			t.Errorf("the files are %v", got)
		}
		if string(source.Files["linked.ts"]) != "export const x = 1" {
			t.Errorf("linked.ts is %q", source.Files["linked.ts"])
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "index.ts"), []byte(`import "./circle/index.ts"`), 0o600); err != nil {
		t.Fatal(err)
	}
	var found *payload.ImportError
	if _, err := payload.Directory(dir); !errors.As(err, &found) || found.Specifier != "./circle/index.ts" {
		t.Errorf("a circle of links gave %v", err)
	}
}
