package provider_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const address = "aimindset_auto_backup.this"

// factories serve the provider under test to the real Terraform.
var factories = map[string]func() (tfprotov6.ProviderServer, error){
	"aimindset": providerserver.NewProtocol6WithError(provider.New("test")()),
}

// scratch is a directory that ends with the tests.
var scratch string

// TestMain chooses the Terraform of the acceptance tests, as the demo does.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "aimindset-provider-")
	if err != nil {
		log.Fatal(err)
	}
	scratch = dir
	terraform, err := stack.Terraform(context.Background())
	if err != nil {
		log.Fatalf("find Terraform: %v", err)
	}
	if err := os.Setenv("TF_ACC_TERRAFORM_PATH", terraform); err != nil {
		log.Fatal(err)
	}
	m.Run()
	if err := os.RemoveAll(dir); err != nil {
		log.Fatal(err)
	}
}

// project is a Supabase project on the local stack, and the way in which the
// provider reaches its database.
type project struct {
	*stack.Stack
	t      *testing.T
	direct bool
}

// start starts a project that ends with the test.
func start(t *testing.T, opts stack.Options) *project {
	t.Helper()
	s, err := stack.Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("start the stack: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stop the stack: %v", err)
		}
	})
	return &project{Stack: s, t: t}
}

// config is a configuration with one backup whose arguments are given.
func (p *project) config(arguments string) string {
	database := ""
	if p.direct {
		database = p.DatabaseURL
	}
	return p.configAs(p.AccessToken, database, arguments)
}

// configAs is a configuration with another token and another database role.
// Without a database URL, SQL goes through the Management API.
func (p *project) configAs(token, database, arguments string) string {
	if database != "" {
		database = fmt.Sprintf("database_url = %q", database)
	}
	return fmt.Sprintf(`
		provider "aimindset" {
			access_token = %q
			project_ref  = %q
			api_url      = %q
			project_url  = %q
			%s
		}
		resource "aimindset_auto_backup" "this" {
			%s
		}`, token, p.ProjectRef, p.APIURL, p.ProjectURL, database, arguments)
}

// sql runs a statement as the superuser, as "somebody else" in the project.
func (p *project) sql(statement string, args ...any) {
	p.t.Helper()
	if _, err := p.Admin().Exec(p.t.Context(), statement, args...); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

// asPostgres runs a statement as the role that owns the jobs.
func (p *project) asPostgres(statement string) {
	p.t.Helper()
	p.sql("begin; set local role postgres; " + statement + "; commit")
}

// value reads one value as text.
func (p *project) value(query string, args ...any) string {
	p.t.Helper()
	var text *string
	if err := p.Admin().QueryRow(p.t.Context(), "select ("+query+")::text", args...).Scan(&text); err != nil {
		p.t.Fatalf("%s: %v", query, err)
	}
	if text == nil {
		return ""
	}
	return *text
}

// await waits until a query answers as wanted.
func (p *project) await(wanted, query string, args ...any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 60*time.Second)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		got := p.value(query, args...)
		if got == wanted {
			return
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("%s: %q did not become %q", query, got, wanted)
		case <-ticker.C:
		}
	}
}

// client is somebody else with access to the Management API.
func (p *project) client() *supabase.Client {
	p.t.Helper()
	c, err := supabase.New(supabase.Config{BaseURL: p.APIURL, Token: p.AccessToken, UserAgent: "somebody-else"})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// overwriteSecret changes a function secret by hand.
func (p *project) overwriteSecret(name, value string) {
	p.t.Helper()
	if err := p.client().SetSecrets(p.t.Context(), p.ProjectRef, map[string]string{name: value}); err != nil {
		p.t.Fatal(err)
	}
}

// traces lists what of a backup is left in the project.
func (p *project) traces(name string) []string {
	p.t.Helper()
	var left []string
	functions, err := p.client().ListFunctions(p.t.Context(), p.ProjectRef)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range functions {
		if f.Slug == name {
			left = append(left, "function "+f.Slug)
		}
	}
	secrets, err := p.client().ListSecrets(p.t.Context(), p.ProjectRef)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range secrets {
		if !strings.HasPrefix(s.Name, "SUPABASE_") && !strings.HasPrefix(s.Name, "RESEND_") {
			left = append(left, "secret "+s.Name)
		}
	}
	for what, query := range map[string]string{
		"jobs":   "select string_agg(jobname, ',') from cron.job where jobname like '" + name + "-%'",
		"vault":  "select string_agg(name, ',') from vault.secrets where name like '" + name + "/%'",
		"schema": "select nspname from pg_namespace where nspname = 'auto_backup'",
	} {
		if found := p.value(query); found != "" {
			left = append(left, what+" "+found)
		}
	}
	return left
}
