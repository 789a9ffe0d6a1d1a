package provider

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// The environment variables that are read for provider arguments without a
// value. The token and the API's URL serve every provider block. The others are
// bound to one project: that of envProjectRef.
const (
	envAccessToken = "SUPABASE_ACCESS_TOKEN"
	envAPIURL      = "SUPABASE_API_URL"
	envProjectRef  = "SUPABASE_PROJECT_REF"
	envDatabaseURL = "SUPABASE_DB_URL"
	envProjectURL  = "SUPABASE_PROJECT_URL"
	envAnonKey     = "SUPABASE_ANON_KEY"
)

// Why a value that is bound to one project is refused.
const (
	ofAnotherProject = "is that of project"
	ofOneProject     = "belongs to one project"
	ofUnsaidProject  = "does not say whose it is"
)

// environment returns the value of an environment variable, or "".
type environment func(name string) string

// project returns the project that the environment is for: the one it names, or
// else the one that a URL in it names. It is empty if nothing tells.
func (e environment) project() string {
	if ref := e(envProjectRef); ref != "" {
		return ref
	}
	if ref := projectOfDatabase(e(envDatabaseURL)); ref != "" {
		return ref
	}
	return projectOfGateway(e(envProjectURL))
}

// bound returns the value of a variable that is bound to one project, for a project
// ref, which may be empty. The value is empty if the environment is for another
// project. named is the project that the value itself names, or "".
func (e environment) bound(variable, ref, named string) (string, error) {
	value, project := e(variable), e.project()
	switch {
	case value == "":
		return "", nil
	case project == "" && ref == "":
		return "", fmt.Errorf("%s "+ofOneProject+". Set `project_ref` or the environment variable %s too, so that no other project's backup uses it", variable, envProjectRef)
	case project == "":
		return "", fmt.Errorf("the environment variable %s "+ofUnsaidProject+", and this provider block is for project %q. If it is this project's, set %s=%s too", variable, ref, envProjectRef, ref)
	case ref != "" && project != ref:
		return "", nil
	case named != "" && named != project:
		return "", mismatch{"the value", named, project, "Use that of the same project"}
	}
	return value, nil
}

// mismatch says that a value names another project than the one that it is used for.
type mismatch struct {
	what, named, project, remedy string
}

func (m mismatch) Error() string {
	return fmt.Sprintf("%s "+ofAnotherProject+" %q, and `project_ref` is %q. %s", m.what, m.named, m.project, m.remedy)
}

// projectOfDatabase returns the project that a database URL names, or "".
func projectOfDatabase(address string) string {
	if address == "" {
		return ""
	}
	parsed, err := postgres.ParseURL(address)
	if err != nil {
		return ""
	}
	return parsed.Project()
}

var platformGateway = text.Pattern(`^([a-z]{20})\.supabase\.[a-z]+$`)

// projectOfGateway returns the project that the URL of an API gateway names, or "".
func projectOfGateway(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if match := platformGateway().FindStringSubmatch(strings.ToLower(parsed.Hostname())); match != nil {
		return match[1]
	}
	return ""
}

// A database is what a provider block's SQL goes to.
type database struct {
	// URL is the connection URL. If it is empty, SQL goes through the Management API.
	URL string
	// Project is the only project whose database it is.
	Project string
	// Source is the argument or the environment variable that the URL is from.
	Source string
	// Host is the URL's host and port. Named says that the URL itself names the
	// project. Both are unset for a self-hosted project.
	Host  string
	Named bool
}

// chooseDatabase returns the database of a provider block: that of the argument
// database_url, or else the environment's if the environment is for the block's
// project. argument is nil if it is not set; an empty one means none. project is
// the block's, after the default, and may be empty.
//
// Where the URL names its project, another one is an error. The other errors are
// that nothing tells whose database it is, and that the URL cannot be used.
func chooseDatabase(argument *string, project string, env environment) (database, error) {
	chosen := database{Source: "`database_url`", Project: project}
	if argument != nil {
		chosen.URL = *argument
	} else {
		chosen.Source, chosen.URL = "the environment variable "+envDatabaseURL, env(envDatabaseURL)
		if owner := env.project(); owner != "" && project != "" && owner != project {
			chosen.URL = ""
		}
	}
	if chosen.URL == "" {
		return database{}, nil
	}
	address, err := postgres.ParseURL(chosen.URL)
	if err != nil {
		return database{}, err
	}
	if project != "" && address.Project() != "" && address.Project() != project {
		return database{}, otherDatabase(address, project)
	}
	if argument == nil {
		if _, err := env.bound(envDatabaseURL, project, address.Project()); err != nil {
			return database{}, fmt.Errorf("%w. Or set `database_url = \"\"` in the provider block to send SQL through the Management API", err)
		}
	}
	chosen.Host, chosen.Named = address.Host(), address.Project() != ""
	if chosen.Project == "" {
		chosen.Project = address.Project()
	}
	if chosen.Project == "" {
		return database{}, fmt.Errorf("a database URL "+ofOneProject+". Set `project_ref` or the environment variable %s too, so that no other project's backup is installed in this database", envProjectRef)
	}
	return chosen, nil
}

// otherDatabase is the error for a database URL that names another project.
func otherDatabase(address postgres.URL, project string) error {
	return mismatch{"the database URL", address.Project(), project, "Its host is " + address.Host() +
		". Use the connection string of the same project, or set `database_url = \"\"` in the provider block to send SQL through the Management API"}
}

// chooseSelfHostedDatabase is chooseDatabase for a self-hosted project, which
// cannot do without one.
func chooseSelfHostedDatabase(argument *string, env environment) database {
	chosen := database{Project: backup.SelfHostedRef, Source: "`database_url`"}
	if argument != nil {
		chosen.URL = *argument
		return chosen
	}
	chosen.Source = "the environment variable " + envDatabaseURL
	if env.selfHosted() {
		chosen.URL = env(envDatabaseURL)
	}
	return chosen
}

// selfHosted reports whether the environment can be that of a self-hosted project.
func (e environment) selfHosted() bool {
	if ref := e(envProjectRef); ref != "" {
		return ref == backup.SelfHostedRef
	}
	address, err := postgres.ParseURL(e(envDatabaseURL))
	return err != nil || !address.OnPlatform()
}
