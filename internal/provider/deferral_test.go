package provider_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// TestUnknownProviderConfiguration proves what happens while an argument of the
// provider block is not known: an engine that can defer is told to, for the
// resource and for the data source; any other one plans a new backup, and gets
// an error with the way out where the project would have to be read.
func TestUnknownProviderConfiguration(t *testing.T) {
	t.Parallel()
	for _, deferral := range []bool{true, false} {
		server := newServer(t)
		schemas := schemasOf(t, server)
		block := withUnknown(t, schemas.Provider.ValueType(), "access_token")
		configured, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{
			Config: block, ClientCapabilities: &tfprotov6.ConfigureProviderClientCapabilities{DeferralAllowed: deferral},
		})
		if err != nil || len(configured.Diagnostics) > 0 {
			t.Fatalf("deferral %t: %v, %s", deferral, err, texts(configured.Diagnostics))
		}
		kind, _ := kinds(t, server)
		null, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, nil))
		if err != nil {
			t.Fatal(err)
		}
		packed := dynamic(t, kind, map[string]any{})
		plan, err := server.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{
			TypeName: "aimindset_auto_backup", PriorState: &null, ProposedNewState: packed, Config: packed,
			ClientCapabilities: &tfprotov6.PlanResourceChangeClientCapabilities{DeferralAllowed: deferral},
		})
		if err != nil || len(plan.Diagnostics) > 0 || (plan.Deferred != nil) != deferral {
			t.Errorf("deferral %t: the plan is %+v, %v, %s", deferral, plan.Deferred, err, texts(plan.Diagnostics))
		}
		state := dynamic(t, kind, map[string]any{"id": "abcdefghijklmnopqrst/auto-backup", "project_ref": "abcdefghijklmnopqrst", "name": "auto-backup"})
		refreshed, err := server.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{
			TypeName: "aimindset_auto_backup", CurrentState: state, ClientCapabilities: &tfprotov6.ReadResourceClientCapabilities{DeferralAllowed: deferral},
		})
		if err != nil || (refreshed.Deferred != nil) != deferral || !deferral && !strings.Contains(texts(refreshed.Diagnostics), "terraform apply -target=") {
			t.Errorf("deferral %t: the refresh is %+v, %v, %s", deferral, refreshed.Deferred, err, texts(refreshed.Diagnostics))
		}
		const status = "aimindset_auto_backup_status"
		read, err := server.ReadDataSource(t.Context(), &tfprotov6.ReadDataSourceRequest{
			TypeName: status, Config: dynamic(t, schemas.DataSourceSchemas[status].ValueType(), map[string]any{}),
			ClientCapabilities: &tfprotov6.ReadDataSourceClientCapabilities{DeferralAllowed: deferral},
		})
		if err != nil || (read.Deferred != nil) != deferral || !deferral && !strings.Contains(texts(read.Diagnostics), "terraform apply -target=") {
			t.Errorf("deferral %t: the data source is %+v, %v, %s", deferral, read.Deferred, err, texts(read.Diagnostics))
		}
	}
}

// withUnknown packs an object whose attributes are null, but for one that is unknown.
func withUnknown(t *testing.T, kind tftypes.Type, name string) *tfprotov6.DynamicValue {
	t.Helper()
	object, ok := kind.(tftypes.Object)
	if !ok {
		t.Fatalf("%s is not an object", kind)
	}
	values := map[string]tftypes.Value{}
	for attribute, inner := range object.AttributeTypes {
		values[attribute] = tftypes.NewValue(inner, nil)
	}
	values[name] = tftypes.NewValue(object.AttributeTypes[name], tftypes.UnknownValue)
	packed, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, values))
	if err != nil {
		t.Fatal(err)
	}
	return &packed
}
