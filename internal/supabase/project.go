package supabase

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/supabase/cli/pkg/api"
)

// An APIKey is a key to a project's own API.
type APIKey struct {
	// ID is "anon" and "service_role" for the legacy keys.
	ID string
	// Name is not unique; keys are told apart by Type and Name.
	Name string
	// Type is legacy, publishable or secret.
	Type string
	// Key is empty where the API shows it masked, as it does secret ones.
	Key string
}

// APIKeys reads the keys of a project. Secret keys are not revealed. The
// legacy service_role key is.
func (c *Client) APIKeys(ctx context.Context, ref string) ([]APIKey, error) {
	k := &call{
		op: "list the API keys", resource: "project " + ref, ref: ref,
		endpoint: "GET /api-keys", permission: "api_gateway_keys_read (OAuth: secrets:read)", timeout: 30 * time.Second,
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1GetProjectApiKeys(ctx, ref, nil)
	})
	if err != nil {
		return nil, err
	}
	// The generated type is stricter than need be about fields not used here.
	list, err := decode[[]struct {
		ID, Name, Type string
		Key            string `json:"api_key"`
	}](k, body)
	if err != nil {
		return nil, err
	}
	keys := make([]APIKey, len(list))
	for i, from := range list {
		key := from.Key
		if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			key = "" // Masked with dots.
		}
		keys[i] = APIKey{ID: from.ID, Name: from.Name, Type: from.Type, Key: key}
		c.redactor.Add(key)
	}
	return keys, nil
}

// A Project is a project of an organization.
type Project struct {
	Ref, Name, Region string
	// Status is ACTIVE_HEALTHY when all is well; INACTIVE is a paused project.
	Status string
	// DatabaseHost is the host of the direct connection to its database.
	DatabaseHost string
	// PostgresVersion is the version of the database image.
	PostgresVersion string
}

// Projects lists the projects that the token can see, of all organizations.
func (c *Client) Projects(ctx context.Context) ([]Project, error) {
	k := &call{
		op: "list the projects", resource: "the account", account: true,
		endpoint: "GET /v1/projects", permission: "projects_read (OAuth: projects:read)", timeout: 30 * time.Second,
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1ListAllProjects(ctx)
	})
	if err != nil {
		return nil, err
	}
	list, err := decode[[]api.V1ProjectWithDatabaseResponse](k, body)
	if err != nil {
		return nil, err
	}
	projects := make([]Project, len(list))
	for i, p := range list {
		projects[i] = projectOf(p)
	}
	return projects, nil
}

func projectOf(p api.V1ProjectWithDatabaseResponse) Project {
	if p.Ref == "" {
		p.Ref = p.Id // what it was called before
	}
	return Project{
		Ref: p.Ref, Name: p.Name, Region: p.Region, Status: string(p.Status),
		DatabaseHost: p.Database.Host, PostgresVersion: p.Database.Version,
	}
}

// Project reads a project.
func (c *Client) Project(ctx context.Context, ref string) (Project, error) {
	k := &call{
		op: "read the properties", resource: "project " + ref, ref: ref,
		endpoint: "GET /", permission: "project_admin_read (OAuth: projects:read)", timeout: 30 * time.Second,
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1GetProject(ctx, ref)
	})
	if err != nil {
		return Project{}, err
	}
	p, err := decode[api.V1ProjectWithDatabaseResponse](k, body)
	if err != nil {
		return Project{}, err
	}
	project := projectOf(p)
	if project.Ref != ref {
		return Project{}, k.malformed("it is not about this project")
	}
	return project, nil
}

// SessionPooler reads the address of a project's session pooler, as a
// connection string with [YOUR-PASSWORD] in the place of the password. It is
// ErrNotFound when the project has none.
func (c *Client) SessionPooler(ctx context.Context, ref string) (string, error) {
	k := &call{
		op: "read the pooler's settings", resource: "project " + ref, ref: ref,
		endpoint: "GET /config/database/pooler", permission: "database_pooling_config_read (OAuth: database:read)", timeout: 30 * time.Second,
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1GetPoolerConfig(ctx, ref)
	})
	if err != nil {
		return "", err
	}
	list, err := decode[[]api.SupavisorConfigResponse](k, body)
	if err != nil {
		return "", err
	}
	for _, p := range list {
		if p.DatabaseType != api.SupavisorConfigResponseDatabaseTypePRIMARY {
			continue
		}
		if len(p.DbHost) > 253 || !poolerHost.MatchString(p.DbHost) || !poolerName.MatchString(p.DbUser) || !poolerName.MatchString(p.DbName) {
			return "", k.malformed("its names are not those of a host, a user and a database")
		}
		// The settings are those of the transaction pooler on port 6543.
		return fmt.Sprintf("postgresql://%s:[YOUR-PASSWORD]@%s:5432/%s", p.DbUser, p.DbHost, p.DbName), nil
	}
	return "", fmt.Errorf("the pooler of project %s: %w", ref, ErrNotFound)
}

var (
	poolerHost = regexp.MustCompile(`^[a-z0-9.-]+$`)
	poolerName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)
