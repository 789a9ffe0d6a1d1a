package provider

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// refPlaceholder is replaced by the project's reference in a project URL.
	refPlaceholder    = "{ref}"
	defaultProjectURL = "https://" + refPlaceholder + ".supabase.co"
)

// providerConfig is the provider's configuration after defaults.
type providerConfig struct {
	AccessToken string
	ProjectRef  string
	// DatabaseURL is the argument; nil if it is not set. Database is what follows
	// from it and from the environment.
	DatabaseURL *string
	Database    database
	APIURL      string
	ProjectURL  string
	// GatewayOf is the only project whose gateway ProjectURL is; empty if it is
	// everybody's.
	GatewayOf string
	// SelfHosted is nil for projects on the platform.
	SelfHosted *selfHosted
}

// invalidArgument describes what is wrong with one provider argument.
type invalidArgument struct {
	// attribute is the argument's name; a nested one has a dot.
	attribute string
	detail    string
}

// resolver completes a configuration and collects what is wrong with it.
type resolver struct {
	getenv environment
	// variables are the environment variables that values were taken from, by
	// attribute.
	variables map[string]string
	invalid   []invalidArgument
}

// fill sets a value that the configuration leaves out: from an environment
// variable, or else to its default.
func (r *resolver) fill(attribute string, value *string, variable, standard string) {
	if *value != "" {
		return
	}
	if *value = r.getenv(variable); *value != "" {
		r.variables[attribute] = variable
		return
	}
	*value = standard
}

// reject records what is wrong with an argument. If its value comes from the
// environment, the detail says so.
func (r *resolver) reject(attribute, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if variable := r.variables[attribute]; variable != "" {
		detail += fmt.Sprintf(" The value is that of the environment variable %s.", variable)
	}
	r.invalid = append(r.invalid, invalidArgument{attribute, detail})
}

// resolve completes a configuration from the environment and the defaults, and
// lists what is wrong with the result.
func resolve(config providerConfig, getenv environment) (providerConfig, []invalidArgument) {
	r := &resolver{getenv: getenv, variables: map[string]string{}}
	if config.SelfHosted != nil {
		r.selfHosted(&config)
	} else {
		r.hosted(&config)
	}
	return config, r.invalid
}

// hosted completes the configuration of projects on the platform.
func (r *resolver) hosted(config *providerConfig) {
	r.fill("access_token", &config.AccessToken, envAccessToken, "")
	r.fill("project_ref", &config.ProjectRef, envProjectRef, "")
	r.fill("api_url", &config.APIURL, envAPIURL, supabase.DefaultBaseURL)
	r.gateway(config)
	config.APIURL = strings.TrimRight(config.APIURL, "/")
	config.ProjectURL = strings.TrimRight(config.ProjectURL, "/")

	if config.AccessToken == "" {
		r.reject("access_token", "There is no access token for the Supabase Management API. Set `access_token` or, better, the environment variable %s. Create a token at https://supabase.com/dashboard/account/tokens.", envAccessToken)
	} else if err := supabase.ValidateToken(config.AccessToken); err != nil {
		r.reject("access_token", "%s", text.Sentence(err.Error()))
	}
	if config.ProjectRef == backup.SelfHostedRef {
		r.reject("project_ref", "%q is the reference of a self-hosted project, which the argument `self_hosted` describes.", backup.SelfHostedRef)
	} else if config.ProjectRef != "" {
		if err := backup.ValidateProjectRef(config.ProjectRef); err != nil {
			r.reject("project_ref", "%s", text.Sentence(err.Error()))
		}
	}
	if err := supabase.ValidateURL(config.APIURL); err != nil {
		r.reject("api_url", "%s", text.Sentence(err.Error()))
	}
	if !isWebAddress(strings.ReplaceAll(config.ProjectURL, refPlaceholder, "ref")) {
		r.reject("project_url", "%q is not an http or https address. %s in it is replaced by the project's reference.", config.ProjectURL, refPlaceholder)
	}
	var err error
	if config.Database, err = chooseDatabase(config.DatabaseURL, config.ProjectRef, r.getenv); err != nil {
		if config.DatabaseURL == nil {
			r.variables["database_url"] = envDatabaseURL
		}
		r.rejectProject("database_url", err)
	}
}

// gateway sets the URL of the API gateway. That of the environment is one project's,
// unless it has a place for the reference.
func (r *resolver) gateway(config *providerConfig) {
	given := r.getenv(envProjectURL)
	switch {
	case config.ProjectURL != "":
		return
	case given == "" || strings.Contains(given, refPlaceholder):
		r.fill("project_url", &config.ProjectURL, envProjectURL, defaultProjectURL)
		return
	}
	url, err := r.getenv.bound(envProjectURL, config.ProjectRef, projectOfGateway(given))
	if err != nil {
		r.variables["project_url"] = envProjectURL
		r.rejectProject("project_url", fmt.Errorf("%w. Or set `project_url` in the provider block; %s in it is replaced by the project's reference", err, refPlaceholder))
	}
	if url == "" {
		config.ProjectURL = defaultProjectURL
		return
	}
	r.variables["project_url"] = envProjectURL
	config.ProjectURL, config.GatewayOf = url, r.getenv.project()
}

// rejectProject is reject for an argument that is bound to a project, and says where
// the project is from.
func (r *resolver) rejectProject(attribute string, err error) {
	detail := text.Sentence(err.Error())
	if variable := r.variables["project_ref"]; variable != "" && errors.As(err, new(mismatch)) {
		detail += fmt.Sprintf(" `project_ref` is that of the environment variable %s.", variable)
	}
	r.reject(attribute, "%s", detail)
}

func isWebAddress(s string) bool {
	address, err := url.Parse(s)
	return err == nil && (address.Scheme == "https" || address.Scheme == "http") && address.Host != ""
}

// gateway describes the API gateway in front of a project's Edge Functions.
type gateway struct {
	// url is its address, without a trailing slash.
	url string
	// sendKey says that it rejects requests without a JWT.
	sendKey bool
	// lifetime is how long an instance of a function lives; zero on the platform.
	lifetime time.Duration
}

func (c providerConfig) gateway(ref string) gateway {
	pattern := c.ProjectURL
	if c.GatewayOf != "" && c.GatewayOf != ref {
		pattern = defaultProjectURL
	}
	g := gateway{url: strings.ReplaceAll(pattern, refPlaceholder, ref)}
	if c.SelfHosted != nil {
		g.sendKey, g.lifetime = c.SelfHosted.VerifyJWT, c.SelfHosted.WorkerLifetime
	}
	return g
}
