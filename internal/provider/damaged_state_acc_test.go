package provider_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestDamagedState proves that no refresh and no plan of a state that was
// damaged manually panics: every value in it is replaced by null and by an empty
// one, at every depth, and the private part by what is not JSON.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20})
	p.install()
	server := p.serverAs(p.AccessToken, "")
	kind, _ := kinds(t, server)
	imported, err := server.ImportResourceState(t.Context(), &tfprotov6.ImportResourceStateRequest{TypeName: "aimindset_auto_backup", ID: p.ProjectRef + "/auto-backup"})
	if err != nil || len(imported.Diagnostics) > 0 {
		t.Fatalf("%v, %s", err, texts(imported.Diagnostics))
	}
	refresh := func(state *tfprotov6.DynamicValue, private []byte) *tfprotov6.ReadResourceResponse {
		read, err := server.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{TypeName: "aimindset_auto_backup", CurrentState: state, Private: private})
		if err != nil {
			t.Fatal(err)
		}
		return read
	}
	sound := refresh(imported.ImportedResources[0].State, imported.ImportedResources[0].Private)
	if len(sound.Diagnostics) > 0 {
		t.Fatal(texts(sound.Diagnostics))
	}
	state, err := sound.NewState.Unmarshal(kind)
	if err != nil {
		t.Fatal(err)
	}
	damages := 0
	try := func(what string, damaged tftypes.Value, private []byte) {
		damages++
		defer func() {
			if r := recover(); r != nil {
				t.Errorf("%s: %v", what, r)
			}
		}()
		packed, err := tfprotov6.NewDynamicValue(kind, damaged)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		refresh(&packed, private)
		config := dynamic(t, kind, map[string]any{})
		if _, err := server.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{
			TypeName: "aimindset_auto_backup", PriorState: &packed, ProposedNewState: config, Config: config, PriorPrivate: private,
		}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	var paths []*tftypes.AttributePath
	err = tftypes.Walk(state, func(path *tftypes.AttributePath, _ tftypes.Value) (bool, error) {
		if len(path.Steps()) > 0 {
			paths = append(paths, path)
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		for _, empty := range []bool{false, true} {
			damaged, err := tftypes.Transform(state, func(at *tftypes.AttributePath, value tftypes.Value) (tftypes.Value, error) {
				if !at.Equal(path) {
					return value, nil
				}
				return emptied(value, empty), nil
			})
			if err != nil {
				continue // such a value does not fit its type
			}
			try(fmt.Sprintf("%s, empty %t", path, empty), damaged, sound.Private)
		}
	}
	for _, private := range []string{"", "{", `{"applied":"bnVsbA=="}`, `{"applied":"e30="}`, `{"applied":"WzFd"}`} {
		try("private "+private, state, []byte(private))
	}
	if damages < 50 {
		t.Errorf("only %d values were damaged", damages)
	}
}

// emptied returns a value of the same type that is null, or has nothing in it.
func emptied(value tftypes.Value, empty bool) tftypes.Value {
	kind := value.Type()
	if !empty {
		return tftypes.NewValue(kind, nil)
	}
	switch kind := kind.(type) {
	case tftypes.Map:
		return tftypes.NewValue(kind, map[string]tftypes.Value{})
	case tftypes.Object:
		values := map[string]tftypes.Value{}
		for name, inner := range kind.AttributeTypes {
			values[name] = tftypes.NewValue(inner, nil)
		}
		return tftypes.NewValue(kind, values)
	}
	switch {
	case kind.Is(tftypes.String):
		return tftypes.NewValue(kind, "")
	case kind.Is(tftypes.Number):
		return tftypes.NewValue(kind, -1)
	case kind.Is(tftypes.Bool):
		return tftypes.NewValue(kind, false)
	}
	return tftypes.NewValue(kind, nil)
}
