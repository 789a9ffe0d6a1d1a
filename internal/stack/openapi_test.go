package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// facts returns a file beside the repository that describes the real API. Tests that
// compare with it have nothing to compare with where it is not at hand.
func facts(t *testing.T, name string) (path string, ok bool) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above this directory")
		}
		dir = filepath.Dir(dir)
	}
	path = filepath.Join(filepath.Dir(dir), "shared", "facts", name)
	_, err = os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, true
}

// openAPI is the part of an OpenAPI 3.0 description that the check needs.
type openAPI struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema *schema }
		}
	}
	Components struct{ Schemas map[string]*schema }
}

type schema struct {
	Ref                  string `json:"$ref"`
	Type                 string
	Nullable             bool
	Enum                 []any
	Format               string
	Pattern              string
	MinLength            *int
	MaxLength            *int
	Required             []string
	Properties           map[string]*schema
	Items                *schema
	OneOf, AnyOf, AllOf  []*schema
	AdditionalProperties json.RawMessage
}

// check says what is wrong with a value; unknown properties are wrong, too, as
// the stand-in would then be richer than what it stands for.
func (d *openAPI) check(at string, s *schema, value any) []string {
	if s.Ref != "" {
		return d.check(at, d.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]], value)
	}
	if value == nil {
		if s.Nullable || s.Type == "" {
			return nil
		}
		return []string{at + ": is null"}
	}
	for _, all := range s.AllOf {
		if problems := d.check(at, all, value); problems != nil {
			return problems
		}
	}
	if some := append(slices.Clone(s.OneOf), s.AnyOf...); len(some) > 0 {
		var problems []string
		for _, one := range some {
			found := d.check(at, one, value)
			if found == nil {
				return nil
			}
			problems = append(problems, found...)
		}
		return problems
	}
	wrong := func(format string, args ...any) []string {
		return []string{at + ": " + fmt.Sprintf(format, args...)}
	}
	if s.Enum != nil && !slices.Contains(s.Enum, value) {
		return wrong("%v is none of %v", value, s.Enum)
	}
	switch s.Type {
	case "object":
		object, ok := value.(map[string]any)
		if !ok {
			return wrong("is not an object")
		}
		var problems []string
		for _, name := range s.Required {
			if _, ok := object[name]; !ok {
				problems = append(problems, wrong("lacks %s", name)...)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			property, ok := s.Properties[name]
			switch {
			case ok:
				problems = append(problems, d.check(at+"."+name, property, object[name])...)
			case s.AdditionalProperties == nil && len(s.Properties) > 0:
				problems = append(problems, wrong("has %s, which is not described", name)...)
			}
		}
		return problems
	case "array":
		array, ok := value.([]any)
		if !ok {
			return wrong("is not an array")
		}
		var problems []string
		for i, item := range array {
			problems = append(problems, d.check(fmt.Sprintf("%s[%d]", at, i), s.Items, item)...)
		}
		return problems
	case "string":
		text, ok := value.(string)
		n := utf8.RuneCountInString(text)
		switch {
		case !ok:
			return wrong("is not a string")
		case s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text):
			return wrong("%q does not match %s", text, s.Pattern)
		case s.MinLength != nil && n < *s.MinLength, s.MaxLength != nil && n > *s.MaxLength:
			return wrong("%q has the wrong length", text)
		}
	case "integer":
		if number, ok := value.(float64); !ok || number != float64(int64(number)) {
			return wrong("%v is not an integer", value)
		}
	case "number":
		if _, ok := value.(float64); !ok {
			return wrong("%v is not a number", value)
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrong("%v is not a boolean", value)
		}
	}
	return nil
}

// Proves, where the API's description is at hand, that the answer of every
// endpoint has a status and a body that it describes, and that no endpoint is
// made up.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	path, ok := facts(t, "management-api.openapi.json")
	if !ok {
		t.Log("the API's description is not at hand: nothing was compared")
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var description openAPI
	if err := json.Unmarshal(text, &description); err != nil {
		t.Fatal(err)
	}

	deploy(t, "described", `Deno.serve(() => new Response());`)
	const project = "/v1/projects/{ref}"
	const older = `{"slug":"described-older","name":"n","body":"Deno.serve(() => new Response())"}`
	seen := map[string]bool{}
	check := func(method, template, target string, got reply) {
		t.Helper()
		seen[method+" "+template] = true
		operation, ok := description.Paths[template][strings.ToLower(method)]
		if !ok {
			t.Errorf("%s %s is not described", method, template)
			return
		}
		response, ok := operation.Responses[strconv.Itoa(got.status)]
		if !ok || got.status >= 300 {
			t.Errorf("%s %s: status %d: %s", method, template, got.status, got.body)
			return
		}
		described, ok := response.Content["application/json"]
		if !ok || described.Schema == nil || strings.HasSuffix(template, "/body") {
			return
		}
		for _, problem := range description.check("body", described.Schema, decode[any](t, got)) {
			t.Errorf("%s %s: %s", method, target, problem)
		}
	}
	for _, c := range []struct{ method, template, query, body string }{
		{"GET", "/v1/projects", "", ""},
		{"GET", project, "", ""},
		{"GET", project + "/api-keys", "", ""},
		{"GET", project + "/api-keys", "?reveal=true", ""},
		{"GET", project + "/api-keys/legacy", "", ""},
		{"GET", project + "/config/database/pooler", "", ""},
		{"GET", project + "/database/backups", "", ""},
		{"GET", project + "/health", "?services=db&services=rest&services=pooler", ""},
		{"POST", project + "/secrets", "", `[{"name":"DESCRIBED","value":"x"}]`},
		{"GET", project + "/secrets", "", ""},
		{"DELETE", project + "/secrets", "", `["DESCRIBED"]`},
		{"POST", project + "/functions", "", older},
		{"GET", project + "/functions", "", ""},
		{"GET", project + "/functions/{function_slug}", "", ""},
		{"GET", project + "/functions/{function_slug}/body", "", ""},
		{"PATCH", project + "/functions/{function_slug}", "", `{"name":"n"}`},
		{"DELETE", project + "/functions/{function_slug}", "", ""},
		{"POST", project + "/cli/login-role", "", `{"read_only":true}`},
		{"DELETE", project + "/cli/login-role", "", ""},
		{"POST", project + "/database/query", "", `{"query":"select 1"}`},
		{"POST", project + "/database/query/read-only", "", `{"query":"select 1"}`},
	} {
		target := strings.NewReplacer("{ref}", shared(t).ProjectRef, "{function_slug}", "described-older").Replace(c.template) + c.query
		got := send(t, c.method, shared(t).APIURL+target, c.body, "Authorization", "Bearer "+shared(t).AccessToken, "Content-Type", "application/json")
		check(c.method, c.template, target, got)
	}
	deployed := upload(t, "slug=described", `{"entrypoint_path":"f/index.ts"}`, map[string]string{"f/index.ts": "Deno.serve(() => new Response());"})
	check("POST", project+"/functions/deploy", "", deployed)
	f, err := json.Marshal([]function{decode[function](t, deployed)})
	if err != nil {
		t.Fatal(err)
	}
	check("PUT", project+"/functions", "", api(t, http.MethodPut, "/functions", string(f)))

	for _, endpoint := range shared(t).management.endpoints {
		if !seen[endpoint] {
			t.Errorf("%s was not compared", endpoint)
		}
	}
}

// recorded is one recorded answer.
type recorded struct {
	Status  int
	Headers map[string]string
	Body    any
}

// Proves, where recordings of the real API are at hand, that the stand-in
// answers the same requests with the same status, the same content type and
// cache headers, and bodies of the same shape.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	dir, ok := facts(t, "recorded")
	if !ok {
		t.Log("the recordings are not at hand: nothing was compared")
		return
	}
	deploy(t, "hello-world", `Deno.serve(() => new Response());`)
	for _, c := range []struct{ recording, method, path, body string }{
		{"GET_v1_projects___PROJECT_REF__/default", "GET", "", ""},
		{"GET_v1_projects___PROJECT_REF___api_keys/default", "GET", "/api-keys?reveal=true", ""},
		{"GET_v1_projects___PROJECT_REF___api_keys/2", "GET", "/api-keys", ""},
		{"GET_v1_projects___PROJECT_REF___config_database_pooler/default", "GET", "/config/database/pooler", ""},
		{"GET_v1_projects___PROJECT_REF___functions/default", "GET", "/functions", ""},
		{"GET_v1_projects___PROJECT_REF___secrets/default", "GET", "/secrets", ""},
		{"POST_v1_projects___PROJECT_REF___secrets/2", "POST", "/secrets", `[{"name":"RECORDED","value":"bar"}]`},
		{"DELETE_v1_projects___PROJECT_REF___secrets/2", "DELETE", "/secrets", `["RECORDED","BAR"]`},
		{"POST_v1_projects___PROJECT_REF___database_query/default", "POST", "/database/query", `{"query":"SELECT 1"}`},
		{"DELETE_v1_projects___PROJECT_REF___functions_hello_world/default", "DELETE", "/functions/hello-world", ""},
	} {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(c.recording)+".response.json"))
		if err != nil {
			t.Fatal(err)
		}
		var want recorded
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		got := api(t, c.method, c.path, c.body)
		if got.status != want.Status {
			t.Errorf("%s: status %d, recorded %d", c.recording, got.status, want.Status)
		}
		for _, name := range []string{"content-type", "cache-control"} {
			if got.header.Get(name) != want.Headers[name] {
				t.Errorf("%s: %s %q, recorded %q", c.recording, name, got.header.Get(name), want.Headers[name])
			}
		}
		if want.Body == nil {
			if got.body != "" {
				t.Errorf("%s: body %q, recorded none", c.recording, got.body)
			}
			continue
		}
		for _, problem := range sameShape("body", decode[any](t, got), want.Body) {
			t.Errorf("%s: %s", c.recording, problem)
		}
	}
}

// sameShape compares types and keys, not values. An array that was recorded
// empty says nothing of its items.
func sameShape(at string, got, want any) []string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %T, recorded an object", at, got)}
		}
		a, b := slices.Sorted(maps.Keys(object)), slices.Sorted(maps.Keys(want))
		if !slices.Equal(a, b) {
			return []string{fmt.Sprintf("%s has %q, recorded %q", at, a, b)}
		}
		var problems []string
		for name := range want {
			problems = append(problems, sameShape(at+"."+name, object[name], want[name])...)
		}
		return problems
	case []any:
		array, ok := got.([]any)
		if !ok || len(want) > 0 && len(array) != len(want) {
			return []string{fmt.Sprintf("%s is %v, recorded %d items", at, got, len(want))}
		}
		var problems []string
		for i := range want {
			problems = append(problems, sameShape(fmt.Sprintf("%s[%d]", at, i), array[i], want[i])...)
		}
		return problems
	default:
		if fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
			return []string{fmt.Sprintf("%s is %T, recorded %T", at, got, want)}
		}
		return nil
	}
}
