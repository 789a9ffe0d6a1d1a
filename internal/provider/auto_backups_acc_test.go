package provider_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// fleetConfig is a configuration that only asks for the backups of a fleet.
func fleetConfig(arguments string) string {
	return `
		provider "aimindset" {}
		data "aimindset_auto_backups" "all" {
			` + arguments + `
		}
		output "all" { value = jsonencode(data.aimindset_auto_backups.all) }`
}

// fleetSeen is the part of the data source that the tests look at.
type fleetSeen struct {
	Healthy    bool
	Unreadable int
	Report     string
	Projects   []struct {
		Ref         string  `json:"project_ref"`
		Name        *string `json:"project_name"`
		Status      *string `json:"project_status"`
		State       string
		Healthy     bool
		LastSuccess *string `json:"last_success"`
		NextRun     *string `json:"next_run"`
		Problem     *struct{ Code, Severity string }
		Error       *string
	}
}

// line is what the tests compare of each project.
func (f fleetSeen) line(i int) string {
	p := f.Projects[i]
	name, code := "?", "-"
	if p.Name != nil {
		name = *p.Name
	}
	if p.Problem != nil {
		code = p.Problem.Code + " " + p.Problem.Severity
	}
	return fmt.Sprintf("%s: %s %t %s, last %t, next %t, error %t", name, p.State, p.Healthy, code, p.LastSuccess != nil, p.NextRun != nil, p.Error != nil)
}

// seen returns what the data source says, as a text too.
func (c *cli) seen(arguments string) (seen fleetSeen, text string) {
	c.t.Helper()
	c.configure(required + fleetConfig(arguments))
	c.run(0, "apply", "-auto-approve", "-no-color")
	text = c.run(0, "output", "-raw", "all")
	if err := json.Unmarshal([]byte(text), &seen); err != nil {
		c.t.Fatalf("%v in %s", err, text)
	}
	return seen, text
}

// recorded records what the API says of a project when the fleet is asked for.
func (p *project) recorded() *stack.Recording {
	p.t.Helper()
	recording, stop := p.Record()
	defer stop()
	newCLI(p.t, "", append(p.Environ(), "SUPABASE_ACCESS_TOKEN="+p.ReadOnlyAccessToken)...).seen("")
	return recording
}

// TestFleet proves what is said of projects in every state: the worst first, each with
// what is known of it; that one which is refused, fails or hangs costs only itself; that
// those which do not run are not asked; and that no token gets into what is said.
func TestFleet(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	absent := p.recorded()
	p.install()
	p.backUp("succeeded")
	p.SetPlatformBackups(stack.NoBackups)
	free := p.recorded()
	p.SetPlatformBackups(stack.DailyBackups)
	healthy := p.recorded()
	p.sql("alter function public.backup_all_data() rename to gone")
	p.backUp("failed")
	failing := p.recorded()

	f, err := healthy.Serve(t.Context(), stack.FleetOptions{Projects: 9})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	for i, project := range []stack.FleetProject{
		{Name: "Shop"},
		{Name: "Blog | <b>*hostile*</b>\n", Recording: failing},
		{Name: "Sleeping", Status: "INACTIVE"},
		{Name: "Forbidden", Fails: http.StatusForbidden, Says: "Your account does not have the necessary privileges to access this endpoint."},
		{Name: "Broken", Fails: http.StatusInternalServerError, Says: "refused Bearer " + f.AccessToken},
		{Name: "Silent", Hangs: true},
		{Name: "Empty", Recording: absent},
		{Name: "Free", Recording: free},
		{Name: "Restoring", Status: "RESTORING"},
	} {
		f.Set(f.Refs[i], project)
	}
	named := func(numbers ...int) string {
		var refs []string
		for _, n := range numbers {
			refs = append(refs, fmt.Sprintf("%q", f.Refs[n]))
		}
		return "project_refs = [" + strings.Join(refs, ", ") + "]"
	}
	c := newCLI(t, "", f.Environ()...)
	c.trace()

	// Long enough for the five repetitions of the project that fails.
	seen, _ := c.seen(`timeout = "45s"`)
	var got []string
	for i := range seen.Projects {
		got = append(got, seen.line(i))
	}
	want := []string{
		"Blog | <b>*hostile*</b>: failing false rpc_missing error, last true, next true, error false",
		"Broken: unreadable false -, last false, next false, error true",
		"Forbidden: unreadable false -, last false, next false, error true",
		"Restoring: unreadable false -, last false, next false, error true",
		"Silent: unreadable false -, last false, next false, error true",
		"Empty: not_installed false not_installed error, last false, next false, error false",
		"Sleeping: paused false -, last false, next false, error false",
		"Free: healthy true no_platform_backups warning, last true, next true, error false",
		"Shop: healthy true -, last true, next true, error false",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if seen.Healthy || seen.Unreadable != 4 {
		t.Errorf("healthy is %t, and %d are unreadable", seen.Healthy, seen.Unreadable)
	}
	for i, says := range map[int]string{1: "HTTP 500: refused Bearer [redacted]", 2: "HTTP 403", 3: "RESTORING", 4: "the time was over"} {
		if !strings.Contains(*seen.Projects[i].Error, says) {
			t.Errorf("the error of %s does not say %q: %s", *seen.Projects[i].Name, says, *seen.Projects[i].Error)
		}
	}

	// While nothing happens, the report is the same.
	f.Set(f.Refs[5], stack.FleetProject{Name: "Silent", Fails: http.StatusForbidden, Says: "no"})
	row := regexp.MustCompile(`\| ❔ \| Silent .*\n`)
	if again, _ := c.seen(""); row.ReplaceAllString(again.Report, "") != row.ReplaceAllString(seen.Report, "") {
		t.Errorf("the report has changed from\n%s\nto\n%s", seen.Report, again.Report)
	}

	var text string
	if seen, text = c.seen(named(0, 7)); !seen.Healthy || len(seen.Projects) != 2 || seen.line(1) != want[8] {
		t.Errorf("two healthy projects that are named are %s", text)
	}
	if seen, text = c.seen(named(0, 6)); seen.Healthy || seen.Unreadable != 0 || seen.Projects[0].State != "not_installed" {
		t.Errorf("a project that is named and has no backup is %s", text)
	}
	if seen, text = c.seen(named(2)); seen.Healthy || seen.Projects[0].State != "paused" {
		t.Errorf("a project that is named and paused is %s", text)
	}

	for arguments, says := range map[string]string{`timeout = "0s"`: "leaves no time", `project_refs = []`: "at least 1", `require = ["drill"]`: `lacks "backup"`} {
		c.configure(required + fleetConfig(arguments))
		c.says(c.run(1, "plan", "-no-color"), says)
	}
	// A token that may not list the projects reads those that are named.
	f.Set("", stack.FleetProject{Fails: http.StatusForbidden, Says: "no"})
	if seen, text = c.seen(named(0)); !seen.Healthy || seen.line(0) != "?: healthy true -, last true, next true, error false" || seen.Projects[0].Status != nil {
		t.Errorf("without the list, a project is %s", text)
	}
	c.configure(required + fleetConfig(""))
	c.says(c.run(1, "plan", "-no-color"), "Cannot list the projects", "HTTP 403", "Projects (account-wide): Read")
	f.Set("", stack.FleetProject{})
	c.configure(required + fleetConfig(named(0)))
	c.says(c.runWith([]string{"SUPABASE_ACCESS_TOKEN=sbp_0000000000000000000000000000000000000000"}, 1, "plan", "-no-color"), "Cannot list the projects", "HTTP 401")

	stats := f.Stats()
	if len(stats.Unexpected) > 0 {
		t.Errorf("nobody should ask %v", stats.Unexpected)
	}
	for request := range stats.PerProject {
		if strings.HasSuffix(request, f.Refs[2]) || strings.HasSuffix(request, f.Refs[8]) {
			t.Errorf("a project that does not run was asked: %s", request)
		}
	}
	c.files()
	for where, text := range c.searched {
		if strings.Contains(text, f.AccessToken) {
			t.Errorf("the access token is in %s", where)
		}
	}
}

// TestFleetElsewhere proves that the data source reads the one self-hosted project, and
// through a database URL the project whose database that is.
func TestFleetElsewhere(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{Articles: 1}, func(t *testing.T, p *project) {
		p.install()
		c := newCLI(t, required+p.providerAs(p.ReadOnlyAccessToken, p.ReadOnlyDatabaseURL)+strings.Replace(fleetConfig(""), `provider "aimindset" {}`, "", 1))
		c.run(0, "apply", "-auto-approve", "-no-color")
		var seen fleetSeen
		if err := json.Unmarshal([]byte(c.run(0, "output", "-raw", "all")), &seen); err != nil {
			t.Fatal(err)
		}
		if !seen.Healthy || len(seen.Projects) != 1 || seen.Projects[0].State != "never_ran" || seen.Projects[0].NextRun == nil {
			t.Errorf("the project is %+v", seen)
		}
	}, databaseURL, selfHosted)
}
