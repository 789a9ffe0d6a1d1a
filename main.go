// Terraform-provider-aimindset manages the nightly backup of a Supabase
// project: the pg_cron jobs, the Edge Function they call and its secrets.
package main

import (
	"context"
	"flag"
	"io"
	"log"

	tfprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
)

// version is set when a release is built.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "run for a debugger such as delve")
	flag.Parse()

	if err := serve(*debug); err != nil {
		log.Fatal(err)
	}
}

// serve serves the provider until Terraform has no more use for it.
func serve(debug bool) error {
	p := provider.New(version)()
	if c, ok := p.(io.Closer); ok {
		defer func() { _ = c.Close() }()
	}
	return providerserver.Serve(context.Background(), func() tfprovider.Provider { return p }, providerserver.ServeOpts{
		Address: "registry.terraform.io/aimindset/aimindset",
		Debug:   debug,
	})
}
