// Schema prints the provider's schemas in the format of "terraform providers
// schema -json", from which the reference pages are made. It asks the provider
// itself, as a Terraform before 1.14 leaves out actions and list resources.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
)

// registryAddress is what Terraform calls the provider.
const registryAddress = "registry.terraform.io/aimindset/aimindset"

func main() {
	address := flag.String("address", registryAddress, "what to call the provider")
	flag.Parse()
	if err := printSchemas(context.Background(), os.Stdout, *address); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func printSchemas(ctx context.Context, out io.Writer, address string) error {
	server, err := provider.NewServer(provider.New("schema")())
	if err != nil {
		return err
	}
	schemas, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return err
	}
	identities, err := server.GetResourceIdentitySchemas(ctx, &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		return err
	}
	if err := refused(schemas.Diagnostics, identities.Diagnostics); err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{
		"format_version":   "1.0",
		"provider_schemas": map[string]any{address: document(schemas, identities)},
	})
}

func refused(lists ...[]*tfprotov6.Diagnostic) error {
	var all []error
	for _, list := range lists {
		for _, d := range list {
			if d.Severity == tfprotov6.DiagnosticSeverityError {
				all = append(all, fmt.Errorf("%s: %s", d.Summary, d.Detail))
			}
		}
	}
	return errors.Join(all...)
}

// object is a JSON object without the members that have nothing to say.
type object map[string]any

func (o object) set(name string, value any) {
	switch value := value.(type) {
	case string:
		if value == "" {
			return
		}
	case bool:
		if !value {
			return
		}
	case int64:
		if value == 0 {
			return
		}
	case object:
		if len(value) == 0 {
			return
		}
	}
	o[name] = value
}

// document is what Terraform prints for one provider.
func document(schemas *tfprotov6.GetProviderSchemaResponse, identities *tfprotov6.GetResourceIdentitySchemasResponse) object {
	actions := map[string]*tfprotov6.Schema{}
	for name, action := range schemas.ActionSchemas {
		actions[name] = action.Schema
	}
	doc := object{"provider": schema(schemas.Provider)}
	doc.set("resource_schemas", each(schemas.ResourceSchemas, schema))
	doc.set("data_source_schemas", each(schemas.DataSourceSchemas, schema))
	doc.set("ephemeral_resource_schemas", each(schemas.EphemeralResourceSchemas, schema))
	doc.set("list_resource_schemas", each(schemas.ListResourceSchemas, schema))
	doc.set("action_schemas", each(actions, schema))
	doc.set("functions", each(schemas.Functions, signature))
	doc.set("resource_identity_schemas", each(identities.IdentitySchemas, identity))
	return doc
}

func each[T any](all map[string]T, write func(T) object) object {
	written := object{}
	for name, one := range all {
		written[name] = write(one)
	}
	return written
}

func schema(s *tfprotov6.Schema) object {
	return object{"version": s.Version, "block": block(s.Block)}
}

func block(b *tfprotov6.SchemaBlock) object {
	nested := object{}
	for _, n := range b.BlockTypes {
		inner := object{"nesting_mode": mode(n.Nesting.String()), "block": block(n.Block)}
		inner.set("min_items", n.MinItems)
		inner.set("max_items", n.MaxItems)
		nested[n.TypeName] = inner
	}
	o := described(b.Description, b.DescriptionKind)
	o.set("attributes", attributes(b.Attributes))
	o.set("block_types", nested)
	o.set("deprecated", b.Deprecated)
	return o
}

func attributes(list []*tfprotov6.SchemaAttribute) object {
	written := object{}
	for _, a := range list {
		o := described(a.Description, a.DescriptionKind)
		if a.NestedType != nil {
			o["nested_type"] = object{
				"attributes":   attributes(a.NestedType.Attributes),
				"nesting_mode": mode(a.NestedType.Nesting.String()),
			}
		} else {
			o["type"] = typeOf(a.Type)
		}
		o.set("deprecated", a.Deprecated)
		o.set("required", a.Required)
		o.set("optional", a.Optional)
		o.set("computed", a.Computed)
		o.set("sensitive", a.Sensitive)
		o.set("write_only", a.WriteOnly)
		written[a.Name] = o
	}
	return written
}

func described(description string, kind tfprotov6.StringKind) object {
	o := object{"description_kind": "plain"}
	if kind == tfprotov6.StringKindMarkdown {
		o["description_kind"] = "markdown"
	}
	o.set("description", description)
	return o
}

// mode is the name of a nesting mode, which the protocol writes in capitals.
func mode(name string) string { return strings.ToLower(name) }

// typeOf writes a type as Terraform does, for example ["list","string"].
func typeOf(t tftypes.Type) json.RawMessage {
	text, err := t.MarshalJSON() //nolint:staticcheck // the one way to Terraform's own notation
	if err != nil {
		panic(fmt.Sprintf("the type %s has no notation: %v", t, err)) // the framework makes no such type
	}
	return text
}

func signature(f *tfprotov6.Function) object {
	parameters := []object{}
	for _, p := range f.Parameters {
		parameters = append(parameters, parameter(p))
	}
	o := object{"parameters": parameters, "return_type": typeOf(f.Return.Type)}
	if f.VariadicParameter != nil {
		o["variadic_parameter"] = parameter(f.VariadicParameter)
	}
	o.set("summary", f.Summary)
	o.set("description", f.Description)
	o.set("deprecation_message", f.DeprecationMessage)
	return o
}

func parameter(p *tfprotov6.FunctionParameter) object {
	o := object{"name": p.Name, "type": typeOf(p.Type)}
	o.set("description", p.Description)
	o.set("is_nullable", p.AllowNullValue)
	return o
}

func identity(s *tfprotov6.ResourceIdentitySchema) object {
	written := object{}
	for _, a := range s.IdentityAttributes {
		o := object{"type": typeOf(a.Type)}
		o.set("description", a.Description)
		o.set("required_for_import", a.RequiredForImport)
		o.set("optional_for_import", a.OptionalForImport)
		written[a.Name] = o
	}
	return object{"version": s.Version, "attributes": written}
}
