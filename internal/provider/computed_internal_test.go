package provider

import (
	"reflect"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/defaults"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/fingerprint"
)

// TestComputedAttributes proves that the table of computed attributes is that of
// the schema, that each of its fields is the one of that name in the model, and
// that what is derived from the table reaches every one: a plan makes all of them
// known, and forgetting all but the ID unknown.
func TestComputedAttributes(t *testing.T) {
	t.Parallel()
	var schema resource.SchemaResponse
	(&autoBackupResource{}).Schema(t.Context(), resource.SchemaRequest{}, &schema)
	if schema.Diagnostics.HasError() {
		t.Fatal(schema.Diagnostics)
	}
	table := computedAttributes()
	for name, attribute := range schema.Schema.Attributes {
		if _, listed := table[name]; listed != (attribute.IsComputed() && !attribute.IsOptional()) {
			t.Errorf("%s: in the table %t, computed %t, optional %t", name, listed, attribute.IsComputed(), attribute.IsOptional())
		}
	}

	var m autoBackupModel
	fields := map[string]any{}
	model := reflect.ValueOf(&m).Elem()
	for i := range model.NumField() {
		fields[model.Type().Field(i).Tag.Get("tfsdk")] = model.Field(i).Addr().Interface()
	}
	for name, computed := range table {
		if computed.field(&m) != fields[name] {
			t.Errorf("the field of %s is not the model's", name)
		}
		if schema.Schema.Attributes[name] == nil {
			t.Errorf("%s is not in the schema", name)
		}
	}

	value := func(name string) attr.Value {
		switch field := fields[name].(type) {
		case *types.String:
			return *field
		case *types.Map:
			return *field
		}
		t.Fatalf("%s is neither a text nor a map: assign cannot set it", name)
		return nil
	}
	m.forget()
	for name := range table {
		if value(name).IsUnknown() != (name != "id") {
			t.Errorf("after forgetting, %s is %s", name, value(name))
		}
	}
	var diags diag.Diagnostics
	p := planning{
		id: backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}, digests: map[string]string{"index.ts": "d"},
		verify: types.StringValue(verifyProbe), fingerprints: &fingerprint.Cache{},
	}
	m.plan(p, &diags)
	for name := range table {
		if value(name).IsUnknown() {
			t.Errorf("after a plan from what is known, %s is unknown", name)
		}
	}
	if diags.HasError() {
		t.Error(diags)
	}
}

// TestDefaultsAreKnown proves that no default of an object has an unknown part: it would
// differ from every state, and the framework would take every plan for one that changes the
// backup, and go over all attributes again.
func TestDefaultsAreKnown(t *testing.T) {
	t.Parallel()
	var schema resource.SchemaResponse
	(&autoBackupResource{}).Schema(t.Context(), resource.SchemaRequest{}, &schema)
	objects := 0
	for name, attribute := range schema.Schema.Attributes {
		object, ok := attribute.(interface{ ObjectDefaultValue() defaults.Object })
		if !ok || object.ObjectDefaultValue() == nil {
			continue
		}
		objects++
		var resp defaults.ObjectResponse
		object.ObjectDefaultValue().DefaultObject(t.Context(), defaults.ObjectRequest{}, &resp)
		if value, err := resp.PlanValue.ToTerraformValue(t.Context()); err != nil || !value.IsFullyKnown() {
			t.Errorf("the default of %s is %s (%v)", name, resp.PlanValue, err)
		}
	}
	if objects < 3 {
		t.Errorf("%d objects have a default", objects)
	}
}
