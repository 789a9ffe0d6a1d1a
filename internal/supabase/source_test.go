package supabase

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

var sampleFiles = map[string][]byte{
	"supabase/functions/f/index.ts":  []byte("import './lib/ü \"quoted\".ts'\r\n\x00\xff"),
	"supabase/functions/f/deno.json": []byte("{}"),
	`a "b" \c;d=e.ts`:                []byte("--aimindset-\r\n\r\n--aimindset---\r\n"),
	"empty.ts":                       {},
}

func sample() Deployment {
	return Deployment{
		Slug: "f", Name: `n"ame`, Entrypoint: "supabase/functions/f/index.ts", ImportMap: "supabase/functions/f/deno.json",
		Files: maps.Clone(sampleFiles),
	}
}

// An upload is what the API documents: the metadata, verify_jwt always among
// them, and each file under its whole path. Equal deployments are equal bytes,
// and different ones have different boundaries.
func TestDeploymentEncoding(t *testing.T) {
	t.Parallel()
	reader, contentType := sample().encode()
	body, _ := io.ReadAll(reader)
	for range 5 {
		again, againType := sample().encode()
		if other, _ := io.ReadAll(again); !bytes.Equal(body, other) || againType != contentType {
			t.Fatal("the same deployment is encoded differently")
		}
	}
	unnamed := sample()
	unnamed.Name = ""
	reader, _ = unnamed.encode()
	if text, _ := io.ReadAll(reader); !bytes.Contains(text, []byte(`{"name":"f",`)) {
		t.Error("a deployment without a name does not get its slug as one")
	}
	changed := sample()
	changed.Files["empty.ts"] = []byte("x")
	if _, other := changed.encode(); other == contentType {
		t.Error("the boundary does not depend on the content")
	}

	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	var names []string
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, _ := io.ReadAll(part)
		_, disposition, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil {
			t.Fatal(err)
		}
		if disposition["name"] == "metadata" {
			want := `{"name":"n\"ame","entrypoint_path":"supabase/functions/f/index.ts","import_map_path":"supabase/functions/f/deno.json","verify_jwt":false}`
			if string(content) != want {
				t.Errorf("metadata are %s", content)
			}
			continue
		}
		file := disposition["filename"]
		names = append(names, file)
		if disposition["name"] != "file" || !bytes.Equal(content, sampleFiles[file]) {
			t.Errorf("part %v holds %q", disposition, content)
		}
	}
	if want := slices.Sorted(maps.Keys(sampleFiles)); !slices.Equal(names, want) {
		t.Errorf("files are %q, want %q", names, want)
	}
}

// Deployments that cannot be meant are refused before anything is sent.
func TestDeploymentProblems(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Deployment){
		"no entrypoint":      func(d *Deployment) { d.Entrypoint = "" },
		"missing entrypoint": func(d *Deployment) { d.Entrypoint = "index.ts" },
		"missing import map": func(d *Deployment) { d.ImportMap = "x.json" },
		"parent":             func(d *Deployment) { d.Files["../x.ts"] = nil },
		"inner parent":       func(d *Deployment) { d.Files["a/../../x.ts"] = nil },
		"absolute":           func(d *Deployment) { d.Files["/x.ts"] = nil },
		"not clean":          func(d *Deployment) { d.Files["a//x.ts"] = nil },
		"line break":         func(d *Deployment) { d.Files["a\r\nX: y\r\n\r\n.ts"] = nil },
		"platform's root":    func(d *Deployment) { d.Files["source/x.ts"] = nil },
		"empty path":         func(d *Deployment) { d.Files[""] = nil },
		"backslash parent":   func(d *Deployment) { d.Files[`a\..\..\x.ts`] = nil },
	} {
		c := newClient(t, roundTripper(func(*http.Request) (*http.Response, error) {
			t.Errorf("%s: it was sent", name)
			return nil, io.EOF
		}))
		d := sample()
		spoil(&d)
		if _, err := c.DeployFunction(t.Context(), testRef, d); !errors.Is(err, errInvalidInput) || text.Line(err.Error()) != err.Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// multipartOf builds a source as the platform sends it. Each file is its
// Content-Disposition, further header lines, an empty line and its content.
func multipartOf(parts ...string) (contentType string, body []byte) {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString("--limit\r\nContent-Disposition: " + strings.Replace(part, "\n\n", "\r\n\r\n", 1) + "\r\n")
	}
	b.WriteString("--limit--\r\n")
	return `multipart/form-data; boundary="limit"`, []byte(b.String())
}

// Sources are read in all forms in which the platform gives them, with their
// directories and to the byte.
func TestParseSource(t *testing.T) {
	t.Parallel()
	const metadata = "form-data; name=\"metadata\"\n\n"
	for name, test := range map[string]struct {
		parts      []string
		entrypoint string
		files      map[string]string
	}{
		"deno 2": {
			[]string{
				metadata + `{"deno2_entrypoint_path":"source/f/index.ts"}`,
				"form-data; name=\"file\"; filename=\"source/f/index.ts\"\n\na",
				"form-data; name=\"file\"; filename=\"source/f/lib/b.ts\"\n\nb\r\n",
			},
			"f/index.ts", map[string]string{"f/index.ts": "a", "f/lib/b.ts": "b\r\n"},
		},
		"deno 1": {
			[]string{
				metadata + `{"deno2_entrypoint_path":null}`,
				"form-data; name=\"file\"; filename=\"/tmp/user_fn_abcdefghijklmnopqrst_0_1/source/f/index.ts\"\n\na",
			},
			"", map[string]string{"f/index.ts": "a"},
		},
		"path as name": {
			[]string{"form-data; name=\"source/index.ts\"; filename=\"source/index.ts\"\n\na", metadata + "{}"},
			"", map[string]string{"index.ts": "a"},
		},
		"override": {
			[]string{metadata + "{}", "form-data; name=\"file\"; filename=\"x\"\r\nSupabase-Path: source/dir/y.ts\n\na"},
			"", map[string]string{"dir/y.ts": "a"},
		},
		"encoded body is left alone": {
			[]string{metadata + "{}", "form-data; name=\"file\"; filename=\"x.ts\"\r\nContent-Transfer-Encoding: quoted-printable\n\na=3D"},
			"", map[string]string{"x.ts": "a=3D"},
		},
		"awkward names": {
			[]string{metadata + "{}", "form-data; name=\"file\"; filename=\"source/ü \\\"q\\\" ;.ts\"\n\na"},
			"", map[string]string{`ü "q" ;.ts`: "a"},
		},
		"other fields": {
			[]string{"form-data; name=\"note\"\n\n{", "form-data; name=\"file\"; filename=\"x.ts\"\n\na"},
			"", map[string]string{"x.ts": "a"},
		},
		"source twice": {
			[]string{metadata + `{"deno2_entrypoint_path":"source/source/index.ts"}`, "form-data; name=\"file\"; filename=\"source/source/index.ts\"\n\na"},
			"source/index.ts", map[string]string{"source/index.ts": "a"},
		},
	} {
		contentType, body := multipartOf(test.parts...)
		source, err := parseSource(contentType, body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		files := map[string]string{}
		for file, content := range source.Files {
			files[file] = string(content)
		}
		if source.Entrypoint != test.entrypoint || !maps.Equal(files, test.files) {
			t.Errorf("%s: got %q, %q", name, source.Entrypoint, files)
		}
	}
}

// Sources that are broken or meant to do harm are errors.
func TestParseHostileSource(t *testing.T) {
	t.Parallel()
	file := func(name string) string { return "form-data; name=\"file\"; filename=\"" + name + "\"\n\na" }
	for name, parts := range map[string][]string{
		"parent":          {file("source/../../etc/passwd")},
		"parent, windows": {file(`source\\..\\..\\x`)},
		"only parent":     {file("..")},
		"root":            {file("/")},
		"twice":           {file("source/a.ts"), file("source//a.ts")},
		"control":         {file("a\x1b[2J.ts")},
		"direction":       {file("a\u202ets.exe")},
		"long":            {file(strings.Repeat("a/", 600))},
		"no name":         {"attachment; filename\n\na", file("a.ts")},
		"bad metadata":    {"form-data; name=\"metadata\"\n\n{", file("a.ts")},
		"bad entrypoint":  {"form-data; name=\"metadata\"\n\n{\"deno2_entrypoint_path\":\"source/../../x\"}", file("a.ts")},
		"no files":        {"form-data; name=\"metadata\"\n\n{}"},
		"nothing":         {},
		"many":            slices.Repeat([]string{"form-data; name=\"x\"\n\n"}, maxFiles+2),
	} {
		contentType, body := multipartOf(parts...)
		if source, err := parseSource(contentType, body); err == nil {
			t.Errorf("%s: got %v", name, source)
		}
	}
	contentType, body := multipartOf(file("a.ts"))
	if _, err := parseSource(contentType, body[:len(body)-12]); err == nil {
		t.Error("a source that is cut off is accepted")
	}
	for _, other := range []string{"", "application/json", "application/octet-stream", "multipart/form-data", "multipart/form-data; boundary=", "x;;;\x1b[2J"} {
		if _, err := parseSource(other, body); err == nil || text.Line(err.Error()) != err.Error() {
			t.Errorf("content type %q: %v", other, err)
		}
	}
}

// Whatever comes, the paths of a parsed source stay inside its deployment.
func FuzzParseSource(f *testing.F) {
	_, body := multipartOf("form-data; name=\"file\"; filename=\"source/a/b.ts\"\n\na", "form-data; name=\"metadata\"\n\n{}")
	f.Add(body)
	_, body = multipartOf("form-data; name=\"file\"; filename=\"/tmp/user_fn_x/source/../../b.ts\"\r\nSupabase-Path: file:///..\n\na")
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		source, err := parseSource("multipart/form-data; boundary=limit", body)
		if err != nil {
			return
		}
		for file := range source.Files {
			if path.Clean("/"+file) != "/"+file || strings.HasPrefix(file, "../") {
				t.Errorf("path %q", file)
			}
		}
	})
}

// FunctionSource asks for the form that keeps files apart, and finds the
// entrypoint of older deployments among their properties.
func TestFunctionSource(t *testing.T) {
	t.Parallel()
	for entrypoint, want := range map[string]string{
		"file:///tmp/user_fn_abcdefghijklmnopqrst_1_2/source/f/in%20dex.ts": "f/in dex.ts",
		"": "src/index.ts",
	} {
		c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "/body") {
				return answer(r, 200, `{"id":"1","slug":"f","entrypoint_path":"`+entrypoint+`"}`), nil
			}
			if accept := r.Header.Get("Accept"); accept != "multipart/form-data" {
				t.Errorf("Accept is %q", accept)
			}
			contentType, body := multipartOf("form-data; name=\"metadata\"\n\n{}", "form-data; name=\"file\"; filename=\"source/f/in dex.ts\"\n\na")
			response := answer(r, 200, string(body))
			response.Header.Set("Content-Type", contentType)
			return response, nil
		}))
		source, err := c.FunctionSource(t.Context(), testRef, "f")
		if err != nil || source.Entrypoint != want || string(source.Files["f/in dex.ts"]) != "a" {
			t.Errorf("got %v, %v, want the entrypoint %q", source, err, want)
		}
	}
	// The properties are only asked for where they are needed.
	c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Path, "/body") {
			return answer(r, 404, ""), nil
		}
		entrypoint := ""
		if strings.Contains(r.URL.Path, "/new/") {
			entrypoint = `"deno2_entrypoint_path":"source/f/index.ts"`
		}
		contentType, body := multipartOf("form-data; name=\"metadata\"\n\n{"+entrypoint+"}", "form-data; name=\"file\"; filename=\"source/f/index.ts\"\n\na")
		response := answer(r, 200, string(body))
		response.Header.Set("Content-Type", contentType)
		return response, nil
	}))
	if source, err := c.FunctionSource(t.Context(), testRef, "new"); err != nil || source.Entrypoint != "f/index.ts" {
		t.Errorf("got %v, %v", source, err)
	}
	if source, err := c.FunctionSource(t.Context(), testRef, "old"); !errors.Is(err, ErrNotFound) || source.Files != nil {
		t.Errorf("without properties: %v, %v", source, err)
	}
	for _, location := range []string{"file:///tmp/user_fn_x/source/../../x.ts", "file:///%zz"} {
		if path, err := entrypointOf(location); err == nil || path != "" {
			t.Errorf("the entry point %s leads to %q", location, path)
		}
	}
	c = newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		response := answer(r, 200, "EZBR canary")
		response.Header.Set("Content-Type", "application/vnd.denoland.eszip")
		return response, nil
	}))
	if _, err := c.FunctionSource(t.Context(), testRef, "f"); !errors.Is(err, errUnexpectedResponse) || strings.Contains(err.Error(), "canary") {
		t.Errorf("a bundle: %v", err)
	}
}
