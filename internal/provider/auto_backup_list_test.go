package provider_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestList proves what "terraform query" gets, over Terraform's own protocol,
// with a token that may only read: every backup of this provider in the
// projects that the token can see, with its identity and a name, and with the
// resource as an import would read it, so that configuration generated from it
// plans empty. Backups of others are not listed, a project that is paused or
// cannot be read is remarked on, and one that was asked for is an error.
func TestList(t *testing.T) {
	t.Parallel()
	// Projects are listed by their references, and these come first.
	broken, paused := strings.Repeat("a", 20), strings.Repeat("a", 19)+"b"
	p := start(t, stack.Options{Articles: 1})
	p.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/projects" {
				_ = json.NewEncoder(w).Encode([]map[string]any{
					{"ref": paused, "name": "Paused", "status": "INACTIVE"},
					{"ref": broken, "name": "Broken", "status": "ACTIVE_HEALTHY"},
					{"ref": p.ProjectRef, "name": "AIMindset", "status": "ACTIVE_HEALTHY"},
				})
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{{
			Config: p.config(nightly) + `
				resource "aimindset_auto_backup" "weekly" {
					name      = "weekly-backup"
					timezone  = "Europe/Lisbon"
					schedules = { sunday = { cron = "0 5 * * sun", enabled = false } }
					retry     = { attempts = 3, delay = "20m" }
					alert     = { enabled = false }
					verify    = "none"
				}`,
			Check: func(*terraform.State) error {
				p.sql("insert into auto_backup.settings (backup, document, owner) values ('foreign', '{}', 'somebody else')")
				testList(t, p, paused, broken)
				p.sql("delete from auto_backup.settings where backup = 'foreign'")
				return nil
			},
		}},
	})
}

func testList(t *testing.T, p *project, paused, broken string) {
	server := configured(t, p)
	both := []string{p.ProjectRef + "/auto-backup (AIMindset)", p.ProjectRef + "/weekly-backup (AIMindset)"}

	all := listed(t, server, map[string]any{}, true, 0)
	if got := namesOf(all); !slices.Equal(got, both) {
		t.Errorf("listed %v", got)
	}
	remarks := remarksOf(all)
	if len(remarks) != 2 || !strings.Contains(remarks[0], broken+" (Broken)") || !strings.Contains(remarks[0], "Project not found") ||
		!strings.Contains(remarks[1], paused+" (Paused) was not searched: it is paused") {
		t.Errorf("remarked %q", remarks)
	}
	kind, identityKind := kinds(t, server)
	for _, result := range all {
		if result.Identity == nil {
			continue
		}
		identity, err := result.Identity.IdentityData.Unmarshal(identityKind)
		if err != nil {
			t.Fatal(err)
		}
		got, err := result.Resource.Unmarshal(kind)
		if err != nil {
			t.Fatal(err)
		}
		if want := imported(t, server, result.Identity, kind); !got.Equal(want) {
			differences, _ := want.Diff(got)
			t.Errorf("%s differs from its import: %v", identity, differences)
		}
	}

	if got := listed(t, server, map[string]any{}, false, 1); len(got) != 3 || len(namesOf(got)) != 1 || got[2].Resource != nil {
		t.Errorf("with a limit of 1 and without resources: %d results, named %v", len(got), namesOf(got))
	}
	if got := namesOf(listed(t, server, map[string]any{"project_refs": []string{p.ProjectRef}}, false, 0)); !slices.Equal(got, []string{p.ProjectRef + "/auto-backup", p.ProjectRef + "/weekly-backup"}) {
		t.Errorf("listed of one project %v", got)
	}
	asked := listed(t, server, map[string]any{"project_refs": []string{broken}}, false, 0)
	if len(asked) != 1 || len(asked[0].Diagnostics) != 1 || asked[0].Diagnostics[0].Severity != tfprotov6.DiagnosticSeverityError {
		t.Errorf("a project that was asked for and cannot be read gave %+v", asked)
	}
	bad, err := server.(tfprotov6.ListResourceServer).ValidateListResourceConfig(t.Context(), &tfprotov6.ValidateListResourceConfigRequest{
		TypeName: "aimindset_auto_backup", Config: dynamic(t, listKind, map[string]any{"project_refs": []string{"Short"}}),
	})
	if err != nil || len(bad.Diagnostics) != 1 || pathOf(bad.Diagnostics[0].Attribute) != "project_refs" {
		t.Errorf("a bad project reference gave %+v, %v", bad, err)
	}
}

// listKind is the type of a list block's configuration.
var listKind = tftypes.Object{AttributeTypes: map[string]tftypes.Type{"project_refs": tftypes.List{ElementType: tftypes.String}}}

// configured returns a provider with the project's token that may only read.
func configured(t *testing.T, p *project) tfprotov6.ProviderServer {
	t.Helper()
	return configuredServer(t, map[string]string{"access_token": p.ReadOnlyAccessToken, "api_url": p.APIURL, "project_url": p.ProjectURL})
}

// kinds returns the types of the resource and of its identity.
func kinds(t *testing.T, server tfprotov6.ProviderServer) (resource, identity tftypes.Type) {
	t.Helper()
	schemas := schemasOf(t, server)
	identities, err := server.GetResourceIdentitySchemas(t.Context(), &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return schemas.ResourceSchemas["aimindset_auto_backup"].ValueType(), identities.IdentitySchemas["aimindset_auto_backup"].ValueType()
}

// listed runs a list block to its end.
func listed(t *testing.T, server tfprotov6.ProviderServer, config map[string]any, include bool, limit int64) []tfprotov6.ListResourceResult {
	t.Helper()
	stream, err := server.(tfprotov6.ListResourceServer).ListResource(t.Context(), &tfprotov6.ListResourceRequest{
		TypeName: "aimindset_auto_backup", Config: dynamic(t, listKind, config), IncludeResource: include, Limit: limit,
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(stream.Results)
}

func namesOf(results []tfprotov6.ListResourceResult) []string {
	var names []string
	for _, r := range results {
		if r.Identity != nil {
			names = append(names, r.DisplayName)
		}
	}
	return names
}

func remarksOf(results []tfprotov6.ListResourceResult) []string {
	var remarks []string
	for _, r := range results {
		for _, d := range r.Diagnostics {
			remarks = append(remarks, d.Severity.String()+" "+d.Detail)
		}
	}
	return remarks
}

// imported returns a backup as an import by its identity reads it.
func imported(t *testing.T, server tfprotov6.ProviderServer, identity *tfprotov6.ResourceIdentityData, kind tftypes.Type) tftypes.Value {
	t.Helper()
	answer, err := server.ImportResourceState(t.Context(), &tfprotov6.ImportResourceStateRequest{TypeName: "aimindset_auto_backup", Identity: identity})
	if err != nil || len(answer.Diagnostics) > 0 || len(answer.ImportedResources) != 1 {
		t.Fatalf("import: %+v, %v", answer, err)
	}
	first := answer.ImportedResources[0]
	read, err := server.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{
		TypeName: "aimindset_auto_backup", CurrentState: first.State, CurrentIdentity: first.Identity, Private: first.Private,
	})
	if err != nil || len(read.Diagnostics) > 0 {
		t.Fatalf("read: %+v, %v", read, err)
	}
	value, err := read.NewState.Unmarshal(kind)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
