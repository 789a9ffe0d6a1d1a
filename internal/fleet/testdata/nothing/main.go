// Nothing is a provider that does nothing, to measure what Terraform and the
// plugin framework cost by themselves. Without NOTHING_SCHEMA it has no
// resource. With it, a file as "terraform providers schema -json" writes it, it
// has the resources that the provider in there has, with the same attributes
// and descriptions, and without anything of what makes them do something.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

func main() {
	err := providerserver.Serve(context.Background(), func() provider.Provider { return nothing{} }, providerserver.ServeOpts{
		Address: "registry.terraform.io/aimindset/aimindset",
	})
	if err != nil {
		log.Fatal(err)
	}
}

type nothing struct{}

func (nothing) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "aimindset"
}

func (nothing) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}

func (nothing) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}

func (nothing) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (nothing) Resources(context.Context) []func() resource.Resource {
	file := os.Getenv("NOTHING_SCHEMA")
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	var schemas struct {
		Providers map[string]struct {
			Resources map[string]struct {
				Version int64 `json:"version"`
				Block   struct {
					Description string                   `json:"description"`
					Attributes  map[string]attributeJSON `json:"attributes"`
				} `json:"block"`
			} `json:"resource_schemas"`
		} `json:"provider_schemas"`
	}
	if err := json.Unmarshal(text, &schemas); err != nil {
		log.Fatal(err)
	}
	var resources []func() resource.Resource
	for _, p := range schemas.Providers {
		for _, name := range slices.Sorted(maps.Keys(p.Resources)) {
			r := p.Resources[name]
			s := schema.Schema{Version: r.Version, MarkdownDescription: r.Block.Description, Attributes: attributes(r.Block.Attributes)}
			resources = append(resources, func() resource.Resource { return idle{name: name, schema: s} })
		}
	}
	return resources
}

// attributeJSON is an attribute as Terraform writes it.
type attributeJSON struct {
	Type        json.RawMessage `json:"type"`
	Description string          `json:"description"`
	Required    bool            `json:"required"`
	Optional    bool            `json:"optional"`
	Computed    bool            `json:"computed"`
	Sensitive   bool            `json:"sensitive"`
	WriteOnly   bool            `json:"write_only"`
	Nested      *struct {
		Attributes map[string]attributeJSON `json:"attributes"`
		Mode       string                   `json:"nesting_mode"`
	} `json:"nested_type"`
}

func attributes(from map[string]attributeJSON) map[string]schema.Attribute {
	to := make(map[string]schema.Attribute, len(from))
	for name, a := range from {
		to[name] = a.attribute()
	}
	return to
}

func (a attributeJSON) attribute() schema.Attribute {
	if a.Nested != nil {
		inner := attributes(a.Nested.Attributes)
		if a.Nested.Mode == "map" {
			return schema.MapNestedAttribute{
				Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive, WriteOnly: a.WriteOnly,
				MarkdownDescription: a.Description, NestedObject: schema.NestedAttributeObject{Attributes: inner},
			}
		}
		if a.Nested.Mode != "single" {
			log.Fatalf("the nesting %s is not known", a.Nested.Mode)
		}
		return schema.SingleNestedAttribute{
			Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive, WriteOnly: a.WriteOnly,
			MarkdownDescription: a.Description, Attributes: inner,
		}
	}
	switch kind := typeOf(a.Type).(type) {
	case types.MapType:
		return schema.MapAttribute{
			Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive, WriteOnly: a.WriteOnly,
			MarkdownDescription: a.Description, ElementType: kind.ElemType,
		}
	case types.ListType:
		return schema.ListAttribute{
			Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive, WriteOnly: a.WriteOnly,
			MarkdownDescription: a.Description, ElementType: kind.ElemType,
		}
	case types.SetType:
		return schema.SetAttribute{
			Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive,
			MarkdownDescription: a.Description, ElementType: kind.ElemType,
		}
	case types.ObjectType:
		return schema.ObjectAttribute{
			Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive, WriteOnly: a.WriteOnly,
			MarkdownDescription: a.Description, AttributeTypes: kind.AttrTypes,
		}
	default:
		switch kind {
		case types.BoolType:
			return schema.BoolAttribute{
				Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive, WriteOnly: a.WriteOnly,
				MarkdownDescription: a.Description,
			}
		case types.NumberType:
			return schema.NumberAttribute{
				Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive, WriteOnly: a.WriteOnly,
				MarkdownDescription: a.Description,
			}
		}
		return schema.StringAttribute{
			Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive, WriteOnly: a.WriteOnly,
			MarkdownDescription: a.Description,
		}
	}
}

// typeOf reads a type as Terraform writes it: a name, or a kind and what it holds.
func typeOf(text json.RawMessage) attr.Type {
	var name string
	if json.Unmarshal(text, &name) == nil {
		switch name {
		case "bool":
			return types.BoolType
		case "number":
			return types.NumberType
		}
		return types.StringType
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil || len(parts) < 2 {
		log.Fatalf("the type %s is not known", text)
	}
	switch kind := string(parts[0]); kind {
	case `"map"`:
		return types.MapType{ElemType: typeOf(parts[1])}
	case `"list"`:
		return types.ListType{ElemType: typeOf(parts[1])}
	case `"set"`:
		return types.SetType{ElemType: typeOf(parts[1])}
	case `"object"`:
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(parts[1], &inner); err != nil {
			log.Fatal(err)
		}
		kinds := map[string]attr.Type{}
		for name, kind := range inner {
			kinds[name] = typeOf(kind)
		}
		return types.ObjectType{AttrTypes: kinds}
	default:
		log.Fatalf("the type %s is not known", kind)
		return nil
	}
}

// idle is a resource that keeps what it is told.
type idle struct {
	name   string
	schema schema.Schema
}

func (i idle) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = i.name
}

func (i idle) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = i.schema
}

func (idle) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

// ModifyPlan keeps what there is: the framework plans every computed value again
// where a default is missing, and defaults are left out here.
func (idle) ModifyPlan(_ context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if !req.State.Raw.IsNull() && !req.Plan.Raw.IsNull() {
		resp.Plan.Raw = req.State.Raw
	}
}

func (idle) Create(_ context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	resp.State.Raw = known(req.Plan.Raw)
}

func (idle) Update(_ context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.State.Raw = known(req.Plan.Raw)
}

func (idle) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// known is a value with null for what is unknown.
func known(value tftypes.Value) tftypes.Value {
	result, err := tftypes.Transform(value, func(_ *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		if !v.IsKnown() {
			return tftypes.NewValue(v.Type(), nil), nil
		}
		return v, nil
	})
	if err != nil {
		panic(fmt.Sprintf("replace what is unknown: %v", err))
	}
	return result
}
