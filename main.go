// Terraform-provider-aimindset manages the nightly backup of a Supabase
// project: the pg_cron jobs, the Edge Function they call and its secrets.
package main

import (
	"context"
	"flag"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
)

// version is set when a release is built.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "run for a debugger such as delve")
	flag.Parse()

	err := providerserver.Serve(context.Background(), provider.New(version), providerserver.ServeOpts{
		Address: "registry.terraform.io/aimindset/aimindset",
		Debug:   *debug,
	})
	if err != nil {
		log.Fatal(err)
	}
}
