package provider

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

var databasesUpdate = flag.Bool("databases.update", false, "write the table of databases into "+databasesGuide)

const (
	databasesGuide = "../../docs/guides/connections.md"
	databasesBegin = "<!-- databases: begin -->\n"
	databasesEnd   = "<!-- databases: end -->\n"

	firstRef, secondRef = "abcdefghijklmnopqrst", "zyxwvutsrqponmlkjihg"
)

// combination is a provider block with its environment.
type combination struct {
	// block is the project_ref of the block; given says that database_url is set, to
	// url.
	block string
	given bool
	// environment is the environment's SUPABASE_PROJECT_REF, url its SUPABASE_DB_URL
	// unless given.
	environment string
	url         string
	selfHosted  bool
	// want is the project whose database url is taken for; "" means the Management
	// API. refused is a part of the error if the block is refused.
	want, refused string
}

const (
	directURL    = "postgresql://postgres:x@db.%s.supabase.co:5432/postgres"
	poolerURL    = "postgresql://postgres.%s:x@aws-0-sa-east-1.pooler.supabase.com:6543/postgres"
	sessionURL   = "postgresql://postgres.%s:x@aws-0-sa-east-1.pooler.supabase.com:5432/postgres"
	roleURL      = "postgresql://terraform.%s:x@aws-0-sa-east-1.pooler.supabase.com:6543/postgres"
	addressURL   = "postgresql://postgres:x@203.0.113.7:5432/postgres"
	tunnelURL    = "postgresql://postgres:x@localhost:15432/postgres"
	otherUserURL = "postgresql://reporting:x@aws-0-sa-east-1.pooler.supabase.com:6543/postgres"
)

func databaseCombinations() []combination {
	of := fmt.Sprintf
	one, two := firstRef, secondRef
	return []combination{
		// One project, named by the environment.
		{environment: one, url: of(directURL, one), want: one},
		{environment: one, url: of(sessionURL, one), want: one},
		{environment: one, url: of(poolerURL, one), want: one},
		{environment: one, url: of(roleURL, one), want: one},
		{environment: one, url: addressURL, want: one},
		{environment: one, url: tunnelURL, want: one},
		{environment: one, url: otherUserURL, want: one},
		{environment: one, url: of(directURL, two), refused: ofAnotherProject},
		// No project is named but by the URL.
		{url: of(directURL, one), want: one},
		{url: of(poolerURL, one), want: one},
		{url: tunnelURL, refused: ofOneProject},
		// The block names the environment's project.
		{block: one, environment: one, url: tunnelURL, want: one},
		{block: one, url: of(directURL, one), want: one},
		{block: one, url: tunnelURL, refused: ofUnsaidProject},
		// An alias, or for_each: the block of another project in the same environment.
		{block: two, environment: one, url: of(directURL, one), want: ""},
		{block: two, environment: one, url: tunnelURL, want: ""},
		{block: two, url: of(poolerURL, one), want: ""},
		// The argument.
		{block: two, environment: one, given: true, url: of(poolerURL, two), want: two},
		{block: two, environment: one, given: true, url: tunnelURL, want: two},
		{block: two, environment: one, given: true, url: of(roleURL, one), refused: ofAnotherProject},
		{block: one, environment: one, given: true, url: "", want: ""},
		{environment: one, given: true, url: "", want: ""},
		{given: true, url: tunnelURL, refused: ofOneProject},
		// A self-hosted block.
		{selfHosted: true, url: tunnelURL, want: backup.SelfHostedRef},
		{selfHosted: true, environment: one, url: tunnelURL, refused: envProjectRef},
		{selfHosted: true, given: true, environment: one, url: tunnelURL, want: backup.SelfHostedRef},
	}
}

// choose is what the provider does with a combination. refusal is what it says of
// database_url, if it is refused.
func (c combination) choose() (chosen database, refusal string) {
	variables := map[string]string{envAccessToken: "t", envProjectRef: c.environment, envAnonKey: "k"}
	config := providerConfig{ProjectRef: c.block}
	if c.given {
		config.DatabaseURL = &c.url
		// It has to win over the environment's.
		variables[envDatabaseURL] = fmt.Sprintf(directURL, c.environment)
	} else {
		variables[envDatabaseURL] = c.url
	}
	if c.selfHosted {
		config.SelfHosted = &selfHosted{}
	}
	resolved, invalid := resolve(config, func(name string) string { return variables[name] })
	for _, argument := range invalid {
		if argument.attribute == "database_url" {
			return resolved.Database, argument.detail
		}
	}
	return resolved.Database, ""
}

// TestDatabaseOfProject proves for each combination of provider block, environment and
// kind of URL which project's database the URL is taken for, or that it is refused
// or not used.
func TestDatabaseOfProject(t *testing.T) {
	t.Parallel()
	for i, c := range databaseCombinations() {
		got, refusal := c.choose()
		switch {
		case c.refused != "":
			if !strings.Contains(refusal, c.refused) || strings.Contains(refusal, ":x@") {
				t.Errorf("row %d, %+v: %q, want it to be refused with %q", i+1, c, refusal, c.refused)
			}
		case refusal != "" || got.Project != c.want || (got.URL != "") != (c.want != "") || got.URL != "" && got.URL != c.url:
			t.Errorf("row %d, %+v: %+v, %q", i+1, c, got, refusal)
		}
	}
}

// TestDatabasesGuide proves that the guide has the table that TestDatabaseOfProject
// tries.
func TestDatabasesGuide(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(databasesGuide)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(guide), databasesBegin)
	_, after, ended := strings.Cut(rest, databasesEnd)
	if !found || !ended {
		t.Fatal("the guide has no place for the table")
	}
	names := strings.NewReplacer(firstRef, "one", secondRef, "two", "postgresql://", "", ":x@", "@", "/postgres", "", "aws-0-sa-east-1.pooler.supabase.com", "…pooler.supabase.com")
	named := func(text, otherwise string) string {
		if text == "" {
			return otherwise
		}
		return "`" + names.Replace(text) + "`"
	}
	var table strings.Builder
	table.WriteString("| # | `project_ref` of the block | `SUPABASE_PROJECT_REF` | URL | SQL goes to |\n|--:|---|---|---|---|\n")
	for i, c := range databaseCombinations() {
		block, source := named(c.block, "–"), "environment"
		if c.selfHosted {
			block = "`self_hosted`"
		}
		if c.given {
			source = "argument"
		}
		outcome := "this database, as project " + named(c.want, "")
		switch _, refusal := c.choose(); {
		case c.refused != "":
			sentence, _, _ := strings.Cut(refusal, ". ")
			outcome = "nothing. Error: " + names.Replace(sentence)
		case c.want == backup.SelfHostedRef:
			outcome = "this database"
		case c.want == "":
			outcome = "the Management API"
		}
		fmt.Fprintf(&table, "| %d | %s | %s | %s, of the %s | %s |\n", i+1, block, named(c.environment, "–"), named(c.url, "`\"\"`"), source, outcome)
	}
	want := before + databasesBegin + table.String() + databasesEnd + after
	if *databasesUpdate {
		err = os.WriteFile(databasesGuide, []byte(want), 0o600)
	} else if want != string(guide) {
		err = errors.New("the guide's table differs; run the test with -databases.update")
	}
	if err != nil {
		t.Error(err)
	}
}
