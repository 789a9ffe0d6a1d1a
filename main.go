// Terraform-provider-aimindset manages the nightly backup of a Supabase
// project: the pg_cron jobs, the Edge Function they call and its secrets.
package main

import (
	"flag"
	"io"
	"log"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
)

// version is set when a release is built.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "run for a debugger such as delve")
	flag.Parse()

	if !*debug {
		dropUnreadLog()
	}
	if err := serve(*debug); err != nil {
		log.Fatal(err)
	}
}

// serve serves the provider until Terraform closes the connection.
func serve(debug bool) error {
	p := provider.New(version)()
	if c, ok := p.(io.Closer); ok {
		defer func() { _ = c.Close() }()
	}
	server, err := provider.NewServer(p)
	if err != nil {
		return err
	}
	var options []tf6server.ServeOpt
	if debug {
		options = append(options, tf6server.WithManagedDebug())
	}
	return tf6server.Serve("registry.terraform.io/aimindset/aimindset", func() tfprotov6.ProviderServer { return server }, options...)
}

// dropUnreadLog turns off logging unless a variable of Terraform asks for a log.
// Otherwise the plugin framework sends every step to Terraform, which drops it, and
// that costs both more time than the provider's own work.
func dropUnreadLog() {
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "TF_LOG") {
			return
		}
	}
	for _, name := range []string{"TF_LOG_SDK", "TF_LOG_SDK_PROTO", "TF_LOG_SDK_FRAMEWORK", "TF_LOG_PROVIDER_AIMINDSET"} {
		_ = os.Setenv(name, "OFF") // if it fails, there is only more log
	}
}
