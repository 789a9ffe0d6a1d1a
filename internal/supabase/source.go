package supabase

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/supabase/cli/pkg/api"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// maxFiles and largestSource, in bytes, limit the source of a function.
	maxFiles      = 5000
	largestSource = 64 << 20
)

// A Deployment is a function to deploy.
type Deployment struct {
	// Slug is the name in the function's URL.
	Slug string
	// Name is the displayed name; the slug if empty.
	Name string
	// Entrypoint is the path of the file to run, one of Files.
	Entrypoint string
	// ImportMap is the path of the import map, one of Files, or empty.
	ImportMap string
	// VerifyJWT makes the platform refuse requests without a valid JWT.
	VerifyJWT bool
	// Files is the whole source: contents by slash-separated path relative to
	// the root of the deployment.
	Files map[string][]byte
}

// problem says why a deployment cannot be sent. It is empty if it can.
func (d Deployment) problem() string {
	if len(d.Files) > maxFiles {
		return fmt.Sprintf("there are more than %d files", maxFiles)
	}
	for file := range d.Files {
		if clean, err := deploymentPath(file); err != nil || clean != file {
			return fmt.Sprintf("the path %s is not a plain relative path", text.Head(fmt.Sprintf("%q", file), 200))
		}
	}
	if _, ok := d.Files[d.Entrypoint]; !ok {
		return "the entry point is not among the files"
	}
	if _, ok := d.Files[d.ImportMap]; !ok && d.ImportMap != "" {
		return "the import map is not among the files"
	}
	return ""
}

// encode returns the body of an upload. It is the same for the same deployment.
func (d Deployment) encode() (body *bytes.Reader, contentType string) {
	type metadata struct {
		Name           string `json:"name"`
		EntrypointPath string `json:"entrypoint_path"`
		ImportMapPath  string `json:"import_map_path,omitempty"`
		// The platform's default is true.
		VerifyJWT bool `json:"verify_jwt"`
	}
	meta := metadata{Name: d.Name, EntrypointPath: d.Entrypoint, ImportMapPath: d.ImportMap, VerifyJWT: d.VerifyJWT}
	if meta.Name == "" {
		meta.Name = d.Slug
	}
	// Encoding strings and a bool, and writing to memory, cannot fail.
	text, _ := json.Marshal(meta)

	files := slices.Sorted(maps.Keys(d.Files))
	digest := sha256.New()
	digest.Write(text)
	for _, file := range files {
		fmt.Fprintf(digest, "%d:%s%d:", len(file), file, len(d.Files[file]))
		digest.Write(d.Files[file])
	}
	var buffer bytes.Buffer
	parts := multipart.NewWriter(&buffer)
	// The content cannot contain a boundary that is made of its digest.
	_ = parts.SetBoundary("aimindset-" + hex.EncodeToString(digest.Sum(nil)[:24]))
	_ = parts.WriteField("metadata", string(text))
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for _, file := range files {
		part, _ := parts.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {`form-data; name="file"; filename="` + quote.Replace(file) + `"`},
			"Content-Type":        {"application/octet-stream"},
		})
		_, _ = part.Write(d.Files[file])
	}
	_ = parts.Close()
	return bytes.NewReader(buffer.Bytes()), parts.FormDataContentType()
}

// A Source is the source of a deployed function.
type Source struct {
	// Entrypoint is the path of the file that is executed.
	Entrypoint string
	// Files has the contents by slash-separated path relative to the root of
	// the deployment, as in Deployment. Files that nothing imports may be
	// missing.
	Files map[string][]byte
}

// FunctionSource reads the source of a function. The error is ErrNotFound if the
// project has no function with this slug.
func (c *Client) FunctionSource(ctx context.Context, ref, slug string) (Source, error) {
	k := functionCall("read the source", ref, slug, "GET /functions/{slug}/body")
	k.timeout, k.accept, k.largest = 2*time.Minute, "multipart/form-data", largestSource
	if !slugPattern().MatchString(slug) {
		return Source{}, k.invalid("a function's slug has letters, digits, - and _ only, and begins with a letter")
	}
	response, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1GetAFunctionBody(ctx, ref, slug)
	})
	if err != nil {
		return Source{}, err
	}
	source, err := parseSource(response.Header.Get("Content-Type"), body)
	if err != nil {
		return Source{}, k.malformed(err.Error())
	}
	if source.Entrypoint != "" {
		return source, nil
	}
	// Older deployments have their entry point only in their properties.
	f, err := c.GetFunction(ctx, ref, slug)
	if err != nil {
		return Source{}, err
	}
	if source.Entrypoint, err = entrypointOf(f.EntrypointPath); err != nil {
		return Source{}, k.malformed(err.Error())
	}
	return source, nil
}

// entrypointOf returns the path in an entry point's URL. The oldest deployments
// have no URL and use a fixed path.
func entrypointOf(location string) (string, error) {
	if location == "" {
		return "src/index.ts", nil
	}
	u, err := url.Parse(location)
	if err != nil {
		return "", errors.New("the entry point's URL cannot be parsed")
	}
	return deploymentPath(u.Path)
}

// parseSource parses a response with the source of a function.
func parseSource(contentType string, body []byte) (Source, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "" {
		return Source{}, fmt.Errorf("it is %s, not multipart/form-data", text.Head(fmt.Sprintf("%q", contentType), 100))
	}
	source := Source{Files: map[string][]byte{}}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for count := 0; ; count++ {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Source{}, errors.New("its parts cannot be separated")
		}
		if count > maxFiles {
			return Source{}, fmt.Errorf("it has more than %d parts", maxFiles)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return Source{}, errors.New("a part of it is cut off")
		}
		// Part.FileName would drop the directories.
		_, disposition, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil {
			return Source{}, errors.New("a part of it has no name")
		}
		file := disposition["filename"]
		if override := part.Header.Get("Supabase-Path"); override != "" {
			file = override
		}
		if file == "" {
			if disposition["name"] == "metadata" {
				if source.Entrypoint, err = entrypointIn(content); err != nil {
					return Source{}, err
				}
			}
			continue
		}
		if file, err = deploymentPath(file); err != nil {
			return Source{}, err
		}
		if _, twice := source.Files[file]; twice {
			return Source{}, fmt.Errorf("it has two files %q", file)
		}
		source.Files[file] = content
	}
	if len(source.Files) == 0 {
		return Source{}, errors.New("it contains no file")
	}
	return source, nil
}

// entrypointIn returns the entry point in the metadata of a source, or "".
func entrypointIn(metadata []byte) (string, error) {
	var meta struct {
		Entrypoint *string `json:"deno2_entrypoint_path"`
	}
	if err := json.Unmarshal(metadata, &meta); err != nil {
		return "", errors.New("its metadata is not valid JSON")
	}
	if valueOf(meta.Entrypoint) == "" {
		return "", nil
	}
	return deploymentPath(*meta.Entrypoint)
}

// deployedRoot is where the platform keeps the files of a deployment.
var deployedRoot = text.Pattern(`^(?:file://)?(?:/tmp/user_fn_[^/]+/source/|source/)`)

// deploymentPath returns a path relative to the root of its deployment. A path
// that leads out of it, or that has control or invisible characters, is an
// error.
func deploymentPath(file string) (string, error) {
	const longestPath = 1024
	clean := deployedRoot().ReplaceAllString(file, "")
	clean = strings.TrimLeft(strings.TrimPrefix(clean, "file://"), "/")
	bad := func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) }
	switch {
	case len(clean) > longestPath:
		return "", fmt.Errorf("a path in it is longer than %d bytes", longestPath)
	case !utf8.ValidString(clean) || strings.ContainsFunc(clean, bad):
		return "", errors.New("a path in it has control characters")
	}
	clean = path.Clean(clean)
	elements := strings.FieldsFunc(clean, func(c rune) bool { return c == '/' || c == '\\' })
	if clean == "." || slices.Contains(elements, "..") {
		return "", errors.New("a path in it leads out of the deployment")
	}
	return clean, nil
}
