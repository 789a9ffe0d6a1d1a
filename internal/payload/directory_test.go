package payload_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// write makes a function directory below a parent, so that a test can also
// place files above it.
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

// TestDirectoryFollowsImports proves that exactly the files which index.ts
// reaches are deployed, by every form of import there is.
func TestDirectoryFollowsImports(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"deno.json": `{
			// a comment, as Deno allows
			"imports": { "lib/": "./lib/", "@exact": "./exact.ts", "remote": "npm:left-pad@1" }
		}`,
		"index.ts": `
			import { a } from "./a.ts";
			import type { T } from './types.ts';
			import {
				b,
				c,
			} from "lib/b.ts";
			export * from "../_shared/cors.ts";
			import data from "./data.json" with { type: "json" };
			import "./side.ts"; import "@exact"; import "remote"; import "jsr:@std/assert"; import "node:fs";
			const lazy = await import("./lazy.ts");
			// import "./commented.ts";
			/* import "./commented.ts"; */
			const text = "import './quoted.ts'".length; const tpl = ` + "`import \"./template.ts\"`" + `;
			const re = /['"]/; importer("./not-an-import.ts");
		`,
		"a.ts": `import "./lib/b.ts"; import "./index.ts";`, "types.ts": "", "lib/b.ts": `import "../a.ts";`,
		"../_shared/cors.ts": `import "./deeper.ts";`, "../_shared/deeper.ts": "", "data.json": `{"import":"./x.ts"}`,
		"side.ts": "", "exact.ts": "", "lazy.ts": "", "unused.ts": "", "commented.ts": "",
	})
	source, err := payload.Directory(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name := range source.Files {
		got = append(got, name)
	}
	slices.Sort(got)
	want := []string{
		"../_shared/cors.ts", "../_shared/deeper.ts", "a.ts", "data.json", "deno.json", "exact.ts",
		"index.ts", "lazy.ts", "lib/b.ts", "side.ts", "types.ts",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if source.ImportMap != "deno.json" {
		t.Errorf("the import map is %q", source.ImportMap)
	}
}

// TestDirectoryRefuses proves that nothing is deployed which would fail at the
// platform, and that the complaint names the file and the import.
func TestDirectoryRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what     string
		files    map[string]string
		file     string
		imported string
		says     string
	}{
		{"a missing file", map[string]string{"index.ts": `import "./gone.ts"`}, "index.ts", "./gone.ts", "no file gone.ts"},
		{"a missing file further on", map[string]string{"index.ts": `import "./a.ts"`, "a.ts": `export { x } from "./lib/gone.ts"`}, "a.ts", "./lib/gone.ts", "no file lib/gone.ts"},
		{"a bare import without a map", map[string]string{"index.ts": `import "lodash"`}, "index.ts", "lodash", "import map"},
		{"a bare import that the map lacks", map[string]string{"index.ts": `import "lodash"`, "deno.json": `{"imports":{}}`}, "index.ts", "lodash", "no entry"},
		{"an import above the upload", map[string]string{"index.ts": `import "../../../x.ts"`}, "index.ts", "../../../x.ts", "directories above"},
		{"an import with a query", map[string]string{"index.ts": `import "./a.ts?v=1"`, "a.ts": ""}, "index.ts", "./a.ts?v=1", "query"},
		{"a missing linked import map", map[string]string{"index.ts": "", "deno.json": `{"importMap":"./map.json"}`}, "deno.json", "./map.json", "no file map.json"},
	} {
		_, err := payload.Directory(write(t, c.files))
		var found *payload.ImportError
		if !errors.As(err, &found) {
			t.Errorf("%s: got %v", c.what, err)
			continue
		}
		if found.File != c.file || found.Specifier != c.imported || !strings.Contains(found.Reason, c.says) {
			t.Errorf("%s: got %v", c.what, err)
		}
	}
	if _, err := payload.Directory(write(t, map[string]string{"main.ts": ""})); !errors.Is(err, payload.ErrNoEntrypoint) {
		t.Errorf("a directory without index.ts: got %v", err)
	}
	if _, err := payload.Directory(write(t, map[string]string{"index.ts": "", "deno.json": "{"})); err == nil || !strings.Contains(err.Error(), "deno.json") {
		t.Errorf("a broken deno.json: got %v", err)
	}
}

// TestFunction proves that the built-in function is complete: every file that
// its index.ts reaches is deployed, and nothing of its tests.
func TestFunction(t *testing.T) {
	t.Parallel()
	source, err := payload.Function(payload.FunctionConfig{ManagedBy: "terraform-provider-aimindset", Backup: "auto-backup"})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, content := range source.Files {
		if strings.Contains(name, "test") {
			t.Errorf("%s is deployed", name)
		}
		files[name] = string(content)
	}
	reached, err := payload.Directory(write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	for name := range source.Files {
		if _, ok := reached.Files[name]; !ok {
			t.Errorf("%s is deployed, but index.ts does not reach it; the platform would not return it", name)
		}
	}
	if len(reached.Files) != len(source.Files) {
		t.Errorf("index.ts reaches %d files, %d are deployed", len(reached.Files), len(source.Files))
	}
	if !strings.Contains(files["config.json"], `"backup": "auto-backup"`) {
		t.Errorf("config.json is %s", files["config.json"])
	}
}

// TestDispatcher proves that every SQL function is described by the digest of
// its body, and that the version follows the text.
func TestDispatcher(t *testing.T) {
	t.Parallel()
	d := payload.LoadDispatcher()
	for _, name := range []string{"dispatch", "watch", "configure", "token_digest"} {
		if len(d.Functions[name]) != 64 {
			t.Errorf("no digest of auto_backup.%s", name)
		}
		if !strings.Contains(d.Install, "function auto_backup."+name+"(") {
			t.Errorf("the script does not install auto_backup.%s", name)
		}
	}
	version, digest, ok := strings.Cut(d.Version, "+")
	if version != payload.LoadContract().FunctionVersion || !ok || len(digest) != 8 {
		t.Errorf("the version is %q", d.Version)
	}
}
