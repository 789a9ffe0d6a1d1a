// Install brings what the local stack needs onto this machine: PostgreSQL with
// pg_cron, Deno, postgres-meta, the Supabase CLI, an S3 server, and Terraform where there
// is none. With -terraform it prints the path of the Terraform program that demo and tests use.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

func main() {
	terraform := flag.Bool("terraform", false, "print the path of Terraform instead")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *terraform)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "install:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, terraform bool) error {
	if !terraform {
		return errors.Join(stack.Install(ctx, os.Stdout), stack.InstallMeta(ctx, os.Stdout), stack.InstallCLI(ctx, os.Stdout), stack.InstallS3(ctx, os.Stdout))
	}
	path, err := stack.Terraform(ctx)
	if err == nil {
		fmt.Println(path)
	}
	return err
}
