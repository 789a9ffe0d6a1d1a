package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// The values of a choice, and the variables of "make stack" that have them.
const (
	docker    = "docker"
	cliNative = "cli_native"

	api      = "api"
	database = "database"
	pooler   = "pooler"

	terraform = "terraform"
	tofu      = "tofu"

	varSelfHosted = "STACK_SELF_HOSTED"
	varTransport  = "STACK_TRANSPORT"
	varEngine     = "STACK_ENGINE"
)

// variables are those of the environment from which the provider takes its settings.
var variables = []string{
	"SUPABASE_ACCESS_TOKEN", "SUPABASE_PROJECT_REF", "SUPABASE_API_URL", "SUPABASE_PROJECT_URL", "SUPABASE_DB_URL", "SUPABASE_ANON_KEY",
}

// choice says which project to start, and how somebody wants to reach it.
type choice struct {
	articles   int
	legacyJobs bool
	selfHosted string // empty on the platform
	transport  string // empty for the usual one
	engine     string
	s3         bool
	settings   string // the program's CLI configuration
}

// options checks the choice, fills in the usual transport, and says what to start.
func (c *choice) options() (stack.Options, error) {
	opts := stack.Options{Articles: c.articles, LegacyJobs: c.legacyJobs, S3: c.s3}
	usual := api
	switch c.selfHosted {
	case "":
	case docker, cliNative:
		usual = database
		opts.SelfHosted, opts.CLIStack = true, c.selfHosted == cliNative
	default:
		return opts, fmt.Errorf("%s is %q; it must be %s, as by Supabase's Docker setup, or %s, as by the new stack of supabase start", varSelfHosted, c.selfHosted, docker, cliNative)
	}
	if c.transport == "" {
		c.transport = usual
	}
	if !slices.Contains([]string{api, database, pooler}, c.transport) {
		return opts, fmt.Errorf("%s is %q; it must be %s, %s or %s", varTransport, c.transport, api, database, pooler)
	}
	if c.transport == api && usual != api {
		return opts, fmt.Errorf("%s is %s, and a self-hosted project has no Management API: leave it out, or set it to %s or %s", varTransport, api, database, pooler)
	}
	if c.engine != terraform && c.engine != tofu {
		return opts, fmt.Errorf("%s is %q; it must be %s or %s", varEngine, c.engine, terraform, tofu)
	}
	return opts, nil
}

// environ returns the settings of the provider and of the program for the project.
func (c *choice) environ(ctx context.Context, s *stack.Stack) ([]string, error) {
	settings := s.Environ()
	switch c.transport {
	case database:
		settings = s.EnvironWithDatabase()
	case pooler:
		p, err := s.StartPooler(ctx, stack.TransactionMode, 5)
		if err != nil {
			return nil, err
		}
		settings = append(settings, "SUPABASE_DB_URL="+p.DatabaseURL)
	}
	if c.selfHosted == docker {
		// The variables of the guide on self-hosted projects.
		settings = append(settings, "TF_VAR_supabase="+filepath.Dir(filepath.Dir(s.FunctionsDir)), "TF_VAR_gateway="+s.ProjectURL)
	}
	if c.s3 {
		// The variable of the guide on off-site copies.
		settings = append(settings, fmt.Sprintf("TF_VAR_copies_key={ id = %q, secret = %q }", s.S3.Reader.AccessKeyID, s.S3.Reader.SecretAccessKey))
	}
	if c.settings != "" {
		settings = append(settings, "TF_CLI_CONFIG_FILE="+c.settings)
	}
	return settings, nil
}

// program returns the line that puts the program on PATH, if it was installed elsewhere,
// or a comment that says where to get it.
func (c *choice) program(ctx context.Context) string {
	if _, err := exec.LookPath(c.engine); err == nil {
		return ""
	}
	if c.engine == terraform {
		if path, err := stack.Terraform(ctx); err == nil && filepath.Base(path) == terraform {
			return fmt.Sprintf("export PATH=%s:\"$PATH\"\n", quoted(filepath.Dir(path)))
		}
		return "# There is no terraform on PATH. Install 1.11 or later: https://developer.hashicorp.com/terraform/install\n"
	}
	return "# There is no tofu on PATH. Install 1.11 or later: https://opentofu.org/docs/intro/install\n"
}

// quoted returns a text as a shell takes it literally.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// print writes what a shell evaluates to reach the project as chosen, and the rest as its
// comments.
func (c *choice) print(ctx context.Context, out io.Writer, s *stack.Stack) error {
	settings, err := c.environ(ctx, s)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# %s on this machine; %s.", c.project(), c.way())
	line("# Paste these lines into another shell, and run %s there:", c.engine)
	unset := slices.Clone(variables)
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		line("export %s=%s", name, quoted(value))
		unset = slices.DeleteFunc(unset, func(other string) bool { return other == name })
	}
	if len(unset) > 0 {
		line("unset %s", strings.Join(unset, " "))
	}
	b.WriteString(c.program(ctx))
	line("#")
	if c.selfHosted != "" {
		if err := c.block(&b, s); err != nil {
			return err
		}
	}
	if c.s3 {
		c.bucket(&b, s.S3)
	}
	if c.legacyJobs {
		line("# It has the five older jobs that docs/guides/existing-project.md adopts.\n#")
	}
	line("# database, as postgres: %s", s.DatabaseURL)
	line("# database, read-only:   %s", s.ReadOnlyDatabaseURL)
	line("# database, superuser:   %s", s.AdminDatabaseURL)
	if c.selfHosted == "" {
		line("# read-only token:       %s", s.ReadOnlyAccessToken)
	}
	line("# service_role key:      %s", s.ServiceRoleKey)
	if c.selfHosted == "" {
		line("# secret key:            %s", s.SecretKey)
	}
	line("#")
	line("# There is no dashboard. For the SQL of the guides:")
	line("# psql %s", quoted(s.DatabaseURL))
	line("# Ctrl-C stops it and removes everything.")
	_, err = out.Write(b.Bytes())
	return err
}

// project says what was started.
func (c *choice) project() string {
	switch c.selfHosted {
	case docker:
		return "A self-hosted project, as by Supabase's Docker setup,"
	case cliNative:
		return "A self-hosted project, as by the new stack of supabase start,"
	}
	return "A Supabase project"
}

// way says where SQL goes.
func (c *choice) way() string {
	switch c.transport {
	case database:
		return "SQL goes over a database connection"
	case pooler:
		return "SQL goes through a pooler in transaction mode"
	}
	return "SQL goes through the Management API"
}

// block writes the provider block of a self-hosted project, as comments.
func (c *choice) block(b *bytes.Buffer, s *stack.Stack) error {
	// A list of strings in JSON is one in Terraform's language, too.
	var command bytes.Buffer
	encoder := json.NewEncoder(&command)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s.RestartCommand); err != nil {
		return err
	}
	fmt.Fprintf(b, `# The configuration needs this block:
#
# provider "aimindset" {
#   self_hosted = {
#     setup           = %q
#     functions_dir   = %q
#     env_file        = %q
#     url             = %q
#     restart_command = %s
`, c.selfHosted, s.FunctionsDir, s.EnvFile, s.ProjectURL, bytes.TrimSpace(command.Bytes()))
	if c.selfHosted == cliNative {
		b.WriteString("#     verify_jwt      = true\n")
	}
	b.WriteString("#   }\n# }\n#\n")
	return nil
}

// bucket writes how to reach the S3 server, as comments.
func (c *choice) bucket(b *bytes.Buffer, s *stack.S3) {
	fmt.Fprintf(b, `# S3 endpoint: %s, also %s with the CA in %s
# region:      %s
# buckets:     %s with Object Lock, %s without
`, s.Endpoint, s.TLSEndpoint, s.CAFile, stack.S3Region, s.Bucket, s.PlainBucket)
	for _, account := range []struct {
		may string
		stack.S3Account
	}{{"only write", s.Writer}, {"write and read", s.Reader}, {"do everything", s.Root}} {
		fmt.Fprintf(b, "# may %-15s access_key_id = %q, secret_access_key = %q\n", account.may+":", account.AccessKeyID, account.SecretAccessKey)
	}
	fmt.Fprintf(b, `# For the guide on off-site copies, put the endpoint and the bucket into its configuration, and for aws:
# export AWS_ENDPOINT_URL=%s AWS_DEFAULT_REGION=%s AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s
#
`, quoted(s.Endpoint), quoted(stack.S3Region), quoted(s.Reader.AccessKeyID), quoted(s.Reader.SecretAccessKey))
}
