// Command stack starts a local stack, prints its settings as lines for a shell, and keeps
// it up until it is interrupted. "make stack" runs it, and says which project, transport
// and program are meant.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		os.Exit(1)
	}
}

func run() error {
	var c choice
	flag.IntVar(&c.articles, "articles", 1000, "how many articles the application has")
	flag.BoolVar(&c.legacyJobs, "legacy-jobs", false, "add the application's five older pg_cron jobs")
	flag.StringVar(&c.selfHosted, "self-hosted", "", "a self-hosted project: docker, as by Supabase's Docker setup, or cli_native, as by the new stack of supabase start")
	flag.StringVar(&c.transport, "transport", "", "where SQL goes: api, database or pooler")
	flag.StringVar(&c.engine, "engine", "terraform", "the program that the printed lines are for: terraform or tofu")
	flag.BoolVar(&c.s3, "s3", false, "start an S3 server for the off-site copy, too")
	flag.StringVar(&c.settings, "terraform-config", "", "the program's CLI configuration to name among the settings")
	flag.Parse()
	opts, err := c.options()
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	opts.Log = os.Stderr
	s, err := stack.Start(ctx, opts)
	if err != nil {
		return err
	}
	if err := c.print(ctx, os.Stdout, s); err != nil {
		return err
	}
	<-ctx.Done()
	// A second signal ends the process at once; nothing is left behind even then.
	stop()
	fmt.Fprintln(os.Stderr, "stopping")
	return s.Close()
}
