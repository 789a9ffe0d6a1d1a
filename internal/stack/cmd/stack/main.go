// Command stack starts a local stack, prints its settings, and keeps it up until
// it is interrupted.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
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
	articles := flag.Int("articles", 1000, "how many articles the application has")
	legacy := flag.Bool("legacy-jobs", false, "add the application's five older pg_cron jobs")
	s3 := flag.Bool("s3", false, "start an S3 server for the off-site copy, too")
	terraform := flag.String("terraform-config", "", "Terraform's CLI configuration to name among the settings")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := stack.Start(ctx, stack.Options{Articles: *articles, LegacyJobs: *legacy, S3: *s3, Log: os.Stderr})
	if err != nil {
		return err
	}
	printSettings(s, *terraform)
	<-ctx.Done()
	// A second signal ends the process at once; nothing is left behind even then.
	stop()
	fmt.Fprintln(os.Stderr, "stopping")
	return s.Close()
}

// printSettings writes what a shell evaluates to stdout, and the rest as its
// comments.
func printSettings(s *stack.Stack, terraform string) {
	fmt.Println("# A Supabase project on this machine. In another shell, paste these lines, and then run terraform:")
	settings := s.EnvironWithDatabase()
	if terraform != "" {
		settings = append(settings, "TF_CLI_CONFIG_FILE="+terraform)
	}
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Printf("export %s='%s'\n", name, value)
	}
	fmt.Println("# Without SUPABASE_DB_URL, SQL goes through the Management API.")
	fmt.Println("#")
	fmt.Printf("# read-only token:    %s\n", s.ReadOnlyAccessToken)
	fmt.Printf("# read-only database: %s\n", s.ReadOnlyDatabaseURL)
	fmt.Printf("# superuser:          %s\n", s.AdminDatabaseURL)
	fmt.Printf("# service_role key:   %s\n", s.ServiceRoleKey)
	fmt.Printf("# secret key:         %s\n", s.SecretKey)
	if s.S3 != nil {
		printS3(s.S3)
	}
	fmt.Println("#")
	fmt.Println("# psql \"$SUPABASE_DB_URL\" -c 'select jobname, schedule, active from cron.job'")
	fmt.Println("# Ctrl-C stops it and removes everything.")
}

// printS3 writes how to reach the S3 server, as comments.
func printS3(s *stack.S3) {
	fmt.Println("#")
	fmt.Printf("# S3 endpoint:        %s, also %s with the CA in %s\n", s.Endpoint, s.TLSEndpoint, s.CAFile)
	fmt.Printf("# region:             %s\n", stack.S3Region)
	fmt.Printf("# bucket:             %s with Object Lock, %s without\n", s.Bucket, s.PlainBucket)
	for _, account := range []struct {
		may string
		stack.S3Account
	}{{"write only:", s.Writer}, {"write and read:", s.Reader}, {"everything:", s.Root}} {
		fmt.Printf("# %-19s access_key_id %s, secret_access_key %s\n", account.may, account.AccessKeyID, account.SecretAccessKey)
	}
}
