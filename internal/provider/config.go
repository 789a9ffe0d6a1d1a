package provider

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// The environment variables that stand in for provider arguments.
const (
	envAccessToken = "SUPABASE_ACCESS_TOKEN"
	envProjectRef  = "SUPABASE_PROJECT_REF"
	envDatabaseURL = "SUPABASE_DB_URL"
	envAPIURL      = "SUPABASE_API_URL"
	envProjectURL  = "SUPABASE_PROJECT_URL"
)

const (
	defaultAPIURL = "https://api.supabase.com"
	// refPlaceholder stands for the project's reference in a project URL.
	refPlaceholder    = "{ref}"
	defaultProjectURL = "https://" + refPlaceholder + ".supabase.co"
)

// providerConfig is the provider's configuration after defaults.
type providerConfig struct {
	AccessToken string
	ProjectRef  string
	DatabaseURL string
	APIURL      string
	ProjectURL  string
	// SelfHosted is nil for projects on the platform.
	SelfHosted *selfHosted
}

// fault is a complaint about one provider argument.
type fault struct {
	attribute string
	detail    string
}

// resolve fills what a configuration leaves out from the environment and from
// the defaults, and lists what is wrong with the result.
func resolve(config providerConfig, getenv func(string) string) (providerConfig, []fault) {
	if config.SelfHosted != nil {
		return resolveSelfHosted(config, getenv)
	}
	fill := func(value *string, variable, standard string) {
		if *value == "" {
			*value = getenv(variable)
		}
		if *value == "" {
			*value = standard
		}
	}
	fill(&config.AccessToken, envAccessToken, "")
	fill(&config.ProjectRef, envProjectRef, "")
	fill(&config.DatabaseURL, envDatabaseURL, "")
	fill(&config.APIURL, envAPIURL, defaultAPIURL)
	fill(&config.ProjectURL, envProjectURL, defaultProjectURL)
	config.APIURL = strings.TrimRight(config.APIURL, "/")
	config.ProjectURL = strings.TrimRight(config.ProjectURL, "/")

	var faults []fault
	complain := func(attribute, format string, args ...any) {
		faults = append(faults, fault{attribute, fmt.Sprintf(format, args...)})
	}
	if config.AccessToken == "" {
		complain("access_token", "There is no access token for the Supabase Management API. Set `access_token`, or better the environment variable %s; tokens are made at https://supabase.com/dashboard/account/tokens.", envAccessToken)
	}
	if config.ProjectRef != "" {
		if config.ProjectRef == backup.SelfHostedRef {
			complain("project_ref", "%q stands for a self-hosted project, which the argument `self_hosted` describes.", backup.SelfHostedRef)
		} else if err := backup.ValidateProjectRef(config.ProjectRef); err != nil {
			complain("project_ref", "%s", text.Sentence(err.Error()))
		}
	}
	if !isWebAddress(config.APIURL) {
		complain("api_url", "%q is no http or https address.", config.APIURL)
	}
	if !isWebAddress(strings.ReplaceAll(config.ProjectURL, refPlaceholder, "ref")) {
		complain("project_url", "%q is no http or https address; %s in it stands for the project's reference.", config.ProjectURL, refPlaceholder)
	}
	if config.DatabaseURL != "" {
		if detail := checkDatabaseURL(config); detail != "" {
			complain("database_url", "%s", detail)
		}
	}
	return config, faults
}

// checkDatabaseURL says why a database URL cannot be used. The URL holds a
// password, so no part of it is quoted.
func checkDatabaseURL(config providerConfig) string {
	address, err := url.Parse(config.DatabaseURL)
	switch {
	case err != nil || (address.Scheme != "postgres" && address.Scheme != "postgresql") || address.Host == "":
		return "The database URL does not have the form postgresql://user:password@host:5432/postgres. A password with characters such as @ : / # has to be percent-encoded."
	case config.ProjectRef == "":
		return "A database URL belongs to one project. Set `project_ref` beside it, so that no other project's backup is installed in this database."
	}
	if config.SelfHosted != nil {
		return "" // the pooler's tenant is no project's reference
	}
	other := ""
	if ref, ok := strings.CutPrefix(address.User.Username(), "postgres."); ok {
		other = ref
	}
	if host, ok := strings.CutPrefix(address.Hostname(), "db."); ok {
		if ref, _, ok := strings.Cut(host, ".supabase."); ok {
			other = ref
		}
	}
	if other != "" && other != config.ProjectRef {
		return fmt.Sprintf("The database URL is that of project %q, and `project_ref` is %q. Use the connection string of the same project.", other, config.ProjectRef)
	}
	return ""
}

func isWebAddress(text string) bool {
	address, err := url.Parse(text)
	return err == nil && (address.Scheme == "https" || address.Scheme == "http") && address.Host != ""
}

// gateway is what is in front of a project's Edge Functions.
type gateway struct {
	// url is its address, without a final slash.
	url string
	// sendKey says that it lets nobody through without a JWT.
	sendKey bool
	// lifetime is how long an instance of a function lives, zero on the platform.
	lifetime time.Duration
}

func (c providerConfig) gateway(ref string) gateway {
	g := gateway{url: strings.ReplaceAll(c.ProjectURL, refPlaceholder, ref)}
	if c.SelfHosted != nil {
		g.sendKey, g.lifetime = c.SelfHosted.VerifyJWT, c.SelfHosted.WorkerLifetime
	}
	return g
}
