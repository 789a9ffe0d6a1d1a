// Terraform-provider-aimindset manages the nightly backup of a Supabase
// project: the pg_cron jobs, the Edge Function they call and its secrets.
package main

import (
	"flag"
	"io"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
)

// version is set when a release is built.
var version = "dev"

func main() {
	managed := flag.Bool("debug", false, "run for a debugger such as delve")
	flag.Parse()

	if !*managed {
		dropUnreadLog()
		collectLater()
	}
	if err := serve(*managed); err != nil {
		log.Fatal(err)
	}
}

// serve serves the provider until Terraform closes the connection.
func serve(managed bool) error {
	p := provider.New(version)()
	if c, ok := p.(io.Closer); ok {
		defer func() { _ = c.Close() }()
	}
	server, err := provider.NewServer(p)
	if err != nil {
		return err
	}
	var options []tf6server.ServeOpt
	if managed {
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

// collectLater puts the first garbage collection off until the heap has 16 MiB, four times
// as much as usual. Terraform starts the provider several times in one run, and most of
// these processes are over before. From then on the heap grows as it always does.
func collectLater() {
	if os.Getenv("GOGC") != "" {
		return
	}
	usual := debug.SetGCPercent(400)
	runtime.AddCleanup(new([64]byte), func(percent int) { debug.SetGCPercent(percent) }, usual)
}
