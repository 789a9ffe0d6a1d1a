package provider_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestPulumiPlansTwice proves that Pulumi can change a backup: in one process it plans a
// resource for its differences, and once more for the change, which is not a second
// resource for the same backup. For Terraform, which plans each resource once, it is.
func TestPulumiPlansTwice(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	c := newCLI(t, required+`resource "aimindset_auto_backup" "this" {}`, p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	for version, refused := range map[string]bool{"1.0.0+pulumi-terraform-bridge": false, "1.14.0": true} {
		server := newServer(t)
		answer, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{
			TerraformVersion: version,
			Config:           provider.PackConfig(t, server, map[string]string{"access_token": p.AccessToken, "api_url": p.APIURL, "project_url": p.ProjectURL}),
		})
		if err != nil || len(answer.Diagnostics) > 0 {
			t.Fatalf("configure the provider: %+v, %v", answer, err)
		}
		kind, identityKind := kinds(t, server)
		state := imported(t, server, &tfprotov6.ResourceIdentityData{IdentityData: dynamic(t, identityKind, map[string]any{"project_ref": p.ProjectRef, "name": "auto-backup"})}, kind)
		prior, err := tfprotov6.NewDynamicValue(kind, state)
		if err != nil {
			t.Fatal(err)
		}
		config := dynamic(t, kind, map[string]any{"project_ref": p.ProjectRef})
		for time := range 2 {
			planned, err := server.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{
				TypeName: "aimindset_auto_backup", Config: config, PriorState: &prior, ProposedNewState: &prior,
			})
			if err != nil {
				t.Fatal(err)
			}
			said := ""
			for _, d := range planned.Diagnostics {
				if d.Severity == tfprotov6.DiagnosticSeverityError {
					said += d.Summary
				}
			}
			if twice := strings.Contains(said, "Two resources describe the same backup"); twice != (refused && time == 1) || said != "" && !twice {
				t.Errorf("plan %d for %s says %q", time+1, version, said)
			}
		}
	}
}
