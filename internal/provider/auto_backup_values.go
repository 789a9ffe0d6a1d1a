package provider

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// modelFields are the indexes of the fields of autoBackupModel, by attribute.
//
// The framework can fill a struct and read one, too. But it compiles a regular expression
// for each field each time, and turns each value into another form and back: a tenth of the
// provider's time in a plan of many backups.
var modelFields = sync.OnceValue(func() map[string]int {
	fields := map[string]int{}
	for i, model := 0, reflect.TypeFor[autoBackupModel](); i < model.NumField(); i++ {
		fields[model.Field(i).Tag.Get("tfsdk")] = i
	}
	return fields
})

// modelType is the type of a whole resource.
var modelType = sync.OnceValue(func() tftypes.Type {
	ctx := context.Background()
	var resp resource.SchemaResponse
	(&autoBackupResource{}).Schema(ctx, resource.SchemaRequest{}, &resp)
	return resp.Schema.Type().TerraformType(ctx)
})

// values are a configuration, a plan or a state.
type values interface {
	Get(ctx context.Context, target any) diag.Diagnostics
}

// get sets the model to the values of a configuration, a plan or a state.
func (m *autoBackupModel) get(ctx context.Context, from values) diag.Diagnostics {
	var object types.Object
	diags := from.Get(ctx, &object)
	if diags.HasError() {
		return diags
	}
	attributes, model := object.Attributes(), reflect.ValueOf(m).Elem()
	for name, i := range modelFields() {
		field, value := model.Field(i), reflect.ValueOf(attributes[name])
		if !value.IsValid() || !value.Type().AssignableTo(field.Type()) {
			diags.AddError("Broken provider", fmt.Sprintf("The attribute %q is a %T. Please report this error.", name, attributes[name]))
			continue
		}
		field.Set(value)
	}
	return diags
}

// place is a plan or a state.
type place interface {
	Set(ctx context.Context, value any) diag.Diagnostics
}

// set sets a plan or a state to the model.
func (m *autoBackupModel) set(ctx context.Context, to place) (diags diag.Diagnostics) {
	model, attributes := reflect.ValueOf(m).Elem(), map[string]tftypes.Value{}
	for name, i := range modelFields() {
		value, ok := model.Field(i).Interface().(interface {
			ToTerraformValue(ctx context.Context) (tftypes.Value, error)
		})
		if !ok {
			diags.AddError("Broken provider", fmt.Sprintf("The attribute %q has no value. Please report this error.", name))
			continue
		}
		var err error
		if attributes[name], err = value.ToTerraformValue(ctx); err != nil {
			diags.AddError("Broken provider", fmt.Sprintf("The attribute %q: %v. Please report this error.", name, err))
		}
	}
	if diags.HasError() {
		return diags
	}
	if err := tftypes.ValidateValue(modelType(), attributes); err != nil {
		diags.AddError("Broken provider", fmt.Sprintf("The values have not the types of the schema: %v. Please report this error.", err))
		return diags
	}
	return to.Set(ctx, tftypes.NewValue(modelType(), attributes))
}
