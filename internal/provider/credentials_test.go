package provider

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

var writeCredentials = flag.Bool("credentials.write", false, "write the table of secret arguments into the guide instead of comparing it")

const (
	secretsBegin = "<!-- secrets: written by \"make generate\" -->\n"
	secretsEnd   = "<!-- end of secrets -->\n"
)

// TestPriorityGuide proves of each row of the guide's table that the argument comes
// before the environment variable and this before what the row says, and that the table
// has every variable that is read.
func TestPriorityGuide(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(readCredentials(t), "<!-- priority:")
	table, _, _ = strings.Cut(table, "<!-- end of priority -->")
	rows := regexp.MustCompile("(?m)^\\| [^|]+ \\| `([a-z_.]+)` \\| `([A-Z_]+)` \\| ([^|]+) \\| [^|]+ \\|$").FindAllStringSubmatch(table, -1)
	values := map[string]struct {
		argument, variable string
		// resolved returns what an argument and the environment amount to.
		resolved func(argument string, env environment) string
	}{
		"access_token": {"argument", "variable", func(argument string, env environment) string {
			got, invalid := resolve(providerConfig{AccessToken: argument}, env)
			if len(invalid) > 0 {
				return "an error"
			}
			return got.AccessToken
		}},
		"project_ref": {ref, "zyxwvutsrqponmlkjihg", func(argument string, env environment) string {
			got, _ := resolve(providerConfig{AccessToken: "t", ProjectRef: argument}, env)
			return orElse(got.ProjectRef, "each resource needs a `project_ref`")
		}},
		"database_url": {"postgresql://postgres:a@db." + ref + ".supabase.co/postgres", "postgresql://postgres:b@db." + ref + ".supabase.co/postgres", func(argument string, env environment) string {
			config := providerConfig{AccessToken: "t", ProjectRef: ref}
			if argument != "" {
				config.DatabaseURL = &argument
			}
			got, _ := resolve(config, env)
			return orElse(got.Database.URL, "the Management API")
		}},
		"api_url": {"https://one.example", "https://two.example", func(argument string, env environment) string {
			got, _ := resolve(providerConfig{AccessToken: "t", APIURL: argument}, env)
			return got.APIURL
		}},
		"project_url": {"https://one.example/{ref}", "https://two.example/{ref}", func(argument string, env environment) string {
			got, _ := resolve(providerConfig{AccessToken: "t", ProjectURL: argument}, env)
			return got.ProjectURL
		}},
		"self_hosted.anon_key": {"argument", "variable", func(argument string, env environment) string {
			own := &selfHosted{}
			own.APIKey = argument
			got, _ := resolve(providerConfig{SelfHosted: own}, env)
			return orElse(got.SelfHosted.APIKey, "an error")
		}},
	}
	var variables []string
	for _, row := range rows {
		argument, variable, otherwise := row[1], row[2], strings.TrimSpace(row[3])
		if strings.HasPrefix(otherwise, "`") {
			otherwise = strings.Trim(otherwise, "`")
		}
		variables = append(variables, variable)
		value, ok := values[argument]
		if !ok {
			t.Errorf("the guide has the argument %s, and the test does not", argument)
			continue
		}
		with := func(name string) string {
			if name == variable {
				return value.variable
			}
			return ""
		}
		without := func(string) string { return "" }
		for what, c := range map[string]struct{ got, want string }{
			"the argument and the variable": {value.resolved(value.argument, with), value.argument},
			"the variable":                  {value.resolved("", with), value.variable},
			"neither":                       {value.resolved("", without), otherwise},
		} {
			if c.got != c.want {
				t.Errorf("with %s, %s is %q, not %q", what, argument, c.got, c.want)
			}
		}
	}
	read := []string{envAccessToken, envAPIURL, envProjectRef, envDatabaseURL, envProjectURL, envAnonKey}
	slices.Sort(variables)
	slices.Sort(read)
	if !slices.Equal(variables, read) {
		t.Errorf("the guide has the variables %q, and %q are read", variables, read)
	}
	none := func(name string) string {
		return map[string]string{envDatabaseURL: values["database_url"].variable}[name]
	}
	if got, _ := resolve(providerConfig{AccessToken: "t", ProjectRef: ref, DatabaseURL: new("")}, none); got.Database.URL != "" {
		t.Error("`database_url = \"\"` does not mean none")
	}
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// TestSecretsGuide proves that the guide lists every argument that is write-only or
// sensitive, of the provider, its resources, data sources and actions.
func TestSecretsGuide(t *testing.T) {
	t.Parallel()
	server, err := NewServer(New("test")())
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	add := func(of string, schema *tfprotov6.Schema) {
		for path, attribute := range secretArguments(schema.Block.Attributes, "") {
			kind := "sensitive"
			if attribute.WriteOnly {
				kind = "write-only"
			}
			rows = append(rows, fmt.Sprintf("| %s | `%s` | %s |\n", of, path, kind))
		}
	}
	add("provider", schemas.Provider)
	for name, schema := range schemas.ResourceSchemas {
		add("[`"+name+"`](../resources/"+strings.TrimPrefix(name, "aimindset_")+")", schema)
	}
	for name, schema := range schemas.DataSourceSchemas {
		add("[`"+name+"`](../data-sources/"+strings.TrimPrefix(name, "aimindset_")+")", schema)
	}
	for name, schema := range schemas.ActionSchemas {
		add("[`"+name+"`](../actions/"+strings.TrimPrefix(name, "aimindset_")+")", schema.Schema)
	}
	if len(rows) < 5 {
		t.Fatalf("there are only %d secret arguments", len(rows))
	}
	slices.Sort(rows)
	table := "\n| of | argument | |\n|---|---|---|\n" + strings.Join(rows, "") + "\n"
	guide := readCredentials(t)
	before, rest, begins := strings.Cut(guide, secretsBegin)
	_, after, ends := strings.Cut(rest, secretsEnd)
	if !begins || !ends {
		t.Fatal("the guide has no marks of the table of secret arguments")
	}
	switch wanted := before + secretsBegin + table + secretsEnd + after; {
	case wanted == guide:
	case *writeCredentials:
		if err := os.WriteFile(credentialsGuide, []byte(wanted), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("docs/guides/credentials.md does not list the secret arguments of the schema: run \"make generate\"")
	}
}

// secretArguments returns the arguments that are write-only or sensitive, by their path.
func secretArguments(attributes []*tfprotov6.SchemaAttribute, prefix string) map[string]*tfprotov6.SchemaAttribute {
	found := map[string]*tfprotov6.SchemaAttribute{}
	for _, a := range attributes {
		path := prefix + a.Name
		if (a.Sensitive || a.WriteOnly) && (a.Optional || a.Required) {
			found[path] = a
		}
		if a.NestedType == nil {
			continue
		}
		if a.NestedType.Nesting != tfprotov6.SchemaObjectNestingModeSingle {
			path += "[…]"
		}
		for nested, attribute := range secretArguments(a.NestedType.Attributes, path+".") {
			found[nested] = attribute
		}
	}
	return found
}

var credentialsGuide = filepath.Join("..", "..", "docs", "guides", "credentials.md")

func readCredentials(t *testing.T) string {
	t.Helper()
	guide, err := os.ReadFile(credentialsGuide)
	if err != nil {
		t.Fatal(err)
	}
	return string(guide)
}
