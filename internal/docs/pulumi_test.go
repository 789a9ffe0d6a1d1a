package docs_test

import (
	"encoding/json"
	"fmt"
	osexec "os/exec" // exec is a helper of this package
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// tfSchema is what the test needs of the schema that Terraform prints.
type tfSchema struct {
	Providers map[string]struct {
		Provider    struct{ Block tfBlock }
		Resources   map[string]struct{ Block tfBlock } `json:"resource_schemas"`
		DataSources map[string]struct{ Block tfBlock } `json:"data_source_schemas"`
		Functions   map[string]struct {
			Return     json.RawMessage `json:"return_type"`
			Parameters []struct {
				Name string
				Type json.RawMessage
			}
			Variadic *struct{ Type json.RawMessage } `json:"variadic_parameter"`
		}
	} `json:"provider_schemas"`
}

type tfBlock struct {
	Attributes map[string]tfAttribute
	BlockTypes map[string]any `json:"block_types"`
}

type tfAttribute struct {
	Type       json.RawMessage
	NestedType *struct {
		Attributes map[string]tfAttribute
	} `json:"nested_type"`
	Optional, Required, Computed, Sensitive bool
}

// pulumi looks for what Pulumi's bridge cannot take of a schema. The limits are those of
// its source, pulumi-terraform-bridge at 59de6c6 (2026-08-05): pkg/pf/internal/check,
// pkg/reservedkeys, pkg/tfgen, dynamic.
type pulumi struct {
	found []string
	// tokens are the types of nested objects, by their name in Pulumi, in which an
	// object of another shape would silently take the place of the first one.
	tokens map[string]string
}

func (p *pulumi) finds(format string, args ...any) {
	p.found = append(p.found, fmt.Sprintf(format, args...))
}

// object looks at the attributes of one object, and at the objects in it.
func (p *pulumi) object(path, token string, attributes map[string]tfAttribute) {
	names := map[string]string{}
	for name, attribute := range attributes {
		at := path + "." + name
		switch strings.ToLower(name) {
		case "urn", "__meta", "__defaults", "__pulumi_raw_state_delta":
			p.finds("%s: the name is Pulumi's own", at)
		}
		// A list gets a plural, so it must not meet an attribute that has it already.
		for _, property := range []string{camel(name), camel(name) + "s"} {
			if other, taken := names[property]; taken && other != name {
				p.finds("%s and %s have one name in Pulumi, %s", at, other, property)
			}
			names[property] = name
		}
		p.typed(at, attribute.Type)
		if attribute.NestedType == nil {
			continue
		}
		nested := token + title(camel(name))
		if other, taken := p.tokens[nested]; taken {
			p.finds("%s and %s have one type in Pulumi, %s", at, other, nested)
		}
		p.tokens[nested] = at
		p.object(at, nested, attribute.NestedType.Attributes)
	}
}

// typed looks at a type of Terraform.
func (p *pulumi) typed(at string, typ json.RawMessage) {
	if regexp.MustCompile(`"(dynamic|tuple)"`).Match(typ) {
		p.finds("%s has the type %s, which Pulumi does not have", at, typ)
	}
}

// camel is a name as Pulumi writes it.
func camel(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words[1:] {
		words[i+1] = title(word)
	}
	return strings.Join(words, "")
}

func title(word string) string {
	if word == "" {
		return ""
	}
	return string(unicode.ToUpper(rune(word[0]))) + word[1:]
}

// TestPulumi proves that the schema has nothing that Pulumi's bridge refuses or gets
// wrong, and that the guide's program has names that exist.
func TestPulumi(t *testing.T) {
	t.Parallel()
	printed, err := osexec.CommandContext(t.Context(), "go", "run", "../provider/cmd/schema").Output()
	if err != nil {
		t.Fatal(err)
	}
	var schema tfSchema
	if err := json.Unmarshal(printed, &schema); err != nil || len(schema.Providers) != 1 {
		t.Fatalf("%d providers, %v", len(schema.Providers), err)
	}
	p := &pulumi{tokens: map[string]string{}}
	properties := map[string]map[string]bool{}
	for _, provider := range schema.Providers {
		if len(provider.Resources) == 0 || len(provider.DataSources) == 0 || len(provider.Functions) == 0 {
			t.Fatalf("the schema has %d resources, %d data sources and %d functions", len(provider.Resources), len(provider.DataSources), len(provider.Functions))
		}
		blocks := map[string]tfBlock{"": provider.Provider.Block}
		for name, resource := range provider.Resources {
			id := resource.Block.Attributes["id"]
			if string(id.Type) != `"string"` || !id.Computed || id.Optional || id.Sensitive {
				t.Errorf("the id of %s is %+v, and has to be a computed string that is no secret", name, id)
			}
			blocks[title(camel(strings.TrimPrefix(name, "aimindset_")))] = resource.Block
		}
		for name, source := range provider.DataSources {
			blocks["get"+title(camel(strings.TrimPrefix(name, "aimindset_")))] = source.Block
		}
		for token, block := range blocks {
			if len(block.BlockTypes) > 0 {
				t.Errorf("%s has blocks", token)
			}
			p.object(token, token, block.Attributes)
			properties[token] = map[string]bool{}
			collect(properties[token], block.Attributes)
		}
		for name, function := range provider.Functions {
			p.typed(name, function.Return)
			for _, parameter := range function.Parameters {
				p.typed(name+"("+parameter.Name+")", parameter.Type)
			}
			if function.Variadic != nil {
				p.typed(name+"(…)", function.Variadic.Type)
			}
		}
	}
	for _, problem := range p.found {
		t.Error(problem)
	}

	guide := example(t, projectRef, "docs", "guides", "pulumi.md")
	seen := 0
	for token, part := range map[string]string{"AutoBackup": between(guide, "properties:\n", "    options:"), "getAutoBackupStatus": between(guide, "arguments:\n", "outputs:")} {
		for _, key := range regexp.MustCompile(`(?m)^\s+(\w+):`).FindAllStringSubmatch(part, -1) {
			seen++
			if !properties[token][key[1]] && key[1] != "nightly" {
				t.Errorf("the guide has %s of %s, which has no such property", key[1], token)
			}
		}
	}
	for _, output := range regexp.MustCompile(`\$\{status\.(\w+)\}`).FindAllStringSubmatch(guide, -1) {
		seen++
		if !properties["getAutoBackupStatus"][output[1]] {
			t.Errorf("the guide has %s of the status, which has no such property", output[1])
		}
	}
	if seen < 8 {
		t.Errorf("the guide's program has only %d names", seen)
	}
}

// collect adds the names in Pulumi of attributes and of those in them.
func collect(names map[string]bool, attributes map[string]tfAttribute) {
	for name, attribute := range attributes {
		names[camel(name)] = true
		if attribute.NestedType != nil {
			collect(names, attribute.NestedType.Attributes)
		}
	}
}

func between(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}

// TestPulumiLimits proves that the look finds each thing that the bridge cannot take.
func TestPulumiLimits(t *testing.T) {
	t.Parallel()
	str := json.RawMessage(`"string"`)
	object := func(attributes map[string]tfAttribute) tfAttribute {
		a := tfAttribute{}
		a.NestedType = &struct{ Attributes map[string]tfAttribute }{attributes}
		return a
	}
	for what, attributes := range map[string]map[string]tfAttribute{
		"its own name": {"urn": {Type: str}},
		"one name":     {"some_thing": {Type: str}, "someThing": {Type: str}},
		"a plural":     {"table": {Type: str}, "tables": {Type: str}},
		"no type":      {"x": {Type: json.RawMessage(`["list","dynamic"]`)}},
		"a tuple":      {"x": {Type: json.RawMessage(`["tuple",["string"]]`)}},
		"one type":     {"a_b": object(nil), "a": object(map[string]tfAttribute{"b": object(nil)})},
	} {
		p := &pulumi{tokens: map[string]string{}}
		if p.object("r", "R", attributes); len(p.found) == 0 {
			t.Errorf("%s is not found", what)
		}
	}
}
