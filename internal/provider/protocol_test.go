package provider_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
)

// newServer returns a provider server as Terraform starts it.
func newServer(t *testing.T) tfprotov6.ProviderServer {
	t.Helper()
	server, err := factories["aimindset"]()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// configuredServer returns a provider server with a provider block.
func configuredServer(t *testing.T, config map[string]string) tfprotov6.ProviderServer {
	t.Helper()
	server := newServer(t)
	answer, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{
		TerraformVersion: "1.14.0", Config: provider.PackConfig(t, server, config),
	})
	if err != nil || len(answer.Diagnostics) > 0 {
		t.Fatalf("configure the provider: %+v, %v", answer, err)
	}
	return server
}

// schemasOf returns everything that a server has a schema of.
func schemasOf(t *testing.T, server tfprotov6.ProviderServer) *tfprotov6.GetProviderSchemaResponse {
	t.Helper()
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil || len(schemas.Diagnostics) > 0 {
		t.Fatalf("read the schemas: %+v, %v", schemas, err)
	}
	return schemas
}
