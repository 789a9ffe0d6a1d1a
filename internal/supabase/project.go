package supabase

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/supabase/cli/pkg/api"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// An APIKey is a key to a project's own API.
type APIKey struct {
	// ID is "anon" and "service_role" for the legacy keys.
	ID string
	// Name is unique among the keys of one Type.
	Name string
	// Type is legacy, publishable or secret.
	Type string
	// Key is empty if the API masks it, as it does for secret keys.
	Key string
}

// PublicKeys are the keys of a project that anybody may know, or digests of them.
type PublicKeys struct {
	// First are those that a request may carry first, the preferred one first: the
	// publishable ones or, without any, the legacy anon key. Nil means not known.
	First []string
	// Legacy is the anon key, which a gateway may require beside another one; empty if
	// there is none.
	Legacy string
}

// PublicKeysOf finds the public ones among a project's keys.
func PublicKeysOf(keys []APIKey) (public PublicKeys) {
	for _, k := range keys {
		switch {
		case k.Key == "":
		case k.Type == "legacy" && k.Name == "anon":
			public.Legacy = k.Key
		case k.Type == "publishable":
			public.First = append(public.First, k.Key)
		}
	}
	if len(public.First) == 0 && public.Legacy != "" {
		public.First = []string{public.Legacy}
	}
	return public
}

// APIKeys lists the keys of a project. The API masks secret keys, but not the
// legacy service_role key.
func (c *Client) APIKeys(ctx context.Context, ref string) ([]APIKey, error) {
	k := &call{
		op: "list the API keys", resource: "project " + ref, ref: ref,
		endpoint: "GET /api-keys", permission: may.readKeys, timeout: 30 * time.Second,
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1GetProjectApiKeys(ctx, ref, nil)
	})
	if err != nil {
		return nil, err
	}
	// The generated type rejects more than necessary in fields not used here.
	type apiKey struct {
		ID, Name, Type string
		Key            string `json:"api_key"`
	}
	list, err := decodeList(k, body, func(from apiKey) string { return without("name", from.Name) })
	if err != nil {
		return nil, err
	}
	keys := make([]APIKey, len(list))
	for i, from := range list {
		key := from.Key
		if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			key = "" // masked with dots
		}
		keys[i] = APIKey{ID: from.ID, Name: from.Name, Type: from.Type, Key: key}
		c.redactor.Add(key)
	}
	return keys, nil
}

// A Project is a project of an organization.
type Project struct {
	Ref, Name, Region string
	// Status is ACTIVE_HEALTHY for a project that is up, INACTIVE for a paused
	// one.
	Status string
}

// Projects lists the projects of all organizations that the token can see.
func (c *Client) Projects(ctx context.Context) ([]Project, error) {
	k := &call{
		op: "list the projects", resource: "the account", account: true,
		endpoint: "GET /v1/projects", permission: may.readProjects, timeout: 30 * time.Second,
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1ListAllProjects(ctx)
	})
	if err != nil {
		return nil, err
	}
	list, err := decodeList(k, body, func(p api.V1ProjectWithDatabaseResponse) string { return without("ref", projectOf(p).Ref) })
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
		p.Ref = p.Id // its former name
	}
	return Project{
		Ref: p.Ref, Name: p.Name, Region: p.Region, Status: string(p.Status),
	}
}

// Project reads a project.
func (c *Client) Project(ctx context.Context, ref string) (Project, error) {
	k := &call{
		op: "read the properties", resource: "project " + ref, ref: ref,
		endpoint: "GET /", permission: may.readProject, timeout: 30 * time.Second,
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
	if project.Ref == "" {
		return Project{}, k.malformed(`it has no "ref"`)
	}
	if project.Ref != ref {
		return Project{}, k.malformed("it describes another project")
	}
	return project, nil
}

// Backups is what the platform itself keeps of a project's database.
type Backups struct {
	// Kind is that of the newest backup: "physical", a copy of the database's files,
	// "logical", a dump, or "none", if there is no backup to restore.
	Kind string
	// NewestAt is when the newest backup was made; zero if there is none, or if that
	// is not said.
	NewestAt time.Time
	// PITR says that the database can be restored to any time of the last days.
	PITR   bool
	Region string
}

// Backups reads which backups the platform has of a project's database. The caller can
// do without, so a failure is not repeated for long.
func (c *Client) Backups(ctx context.Context, ref string) (Backups, error) {
	k := &call{
		op: "list the platform's backups", resource: "project " + ref, ref: ref,
		endpoint: "GET /database/backups", permission: may.readBackups, timeout: 15 * time.Second, optional: true,
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1ListAllBackups(ctx, ref)
	})
	if err != nil {
		return Backups{}, err
	}
	// The generated type cannot tell a missing list from an empty one, which is a
	// project without backups.
	list, err := decode[struct {
		Region  string
		PITR    *bool `json:"pitr_enabled"`
		Backups *[]struct {
			Physical bool   `json:"is_physical_backup"`
			Status   string `json:"status"`
			At       string `json:"inserted_at"`
		}
		Physical struct {
			Latest *int64 `json:"latest_physical_backup_date_unix"`
		} `json:"physical_backup_data"`
	}](k, body)
	switch {
	case err != nil:
		return Backups{}, err
	case list.Backups == nil:
		return Backups{}, k.malformed(`it has no "backups"`)
	case list.PITR == nil:
		return Backups{}, k.malformed(`it has no "pitr_enabled"`)
	}
	found := Backups{Kind: "none", PITR: *list.PITR, Region: text.Line(list.Region)}
	made := func(kind string, at time.Time) {
		if found.Kind == "none" || at.After(found.NewestAt) {
			found.Kind, found.NewestAt = kind, at
		}
	}
	for _, b := range *list.Backups {
		if b.Status != string(api.V1BackupsResponseBackupsStatusCOMPLETED) {
			continue
		}
		at, err := time.Parse(time.RFC3339, b.At)
		if err != nil {
			at, _ = time.Parse("2006-01-02T15:04:05", b.At) // zero: not said
		}
		kind := "logical"
		if b.Physical {
			kind = "physical"
		}
		made(kind, at.UTC())
	}
	// With point-in-time recovery, there are no daily backups.
	if latest := list.Physical.Latest; latest != nil && *latest > 0 {
		made("physical", time.Unix(*latest, 0).UTC())
	}
	return found, nil
}

// SessionPooler returns the connection URL of a project's session pooler, with
// [YOUR-PASSWORD] in place of the password. The error is ErrNotFound if the
// project has none.
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
	list, err := decodeList(k, body, func(p api.SupavisorConfigResponse) string { return without("database_type", string(p.DatabaseType)) })
	if err != nil {
		return "", err
	}
	for _, p := range list {
		if p.DatabaseType != api.SupavisorConfigResponseDatabaseTypePRIMARY {
			continue
		}
		if len(p.DbHost) > 253 || !poolerHost().MatchString(p.DbHost) || !poolerName().MatchString(p.DbUser) || !poolerName().MatchString(p.DbName) {
			return "", k.malformed("its host, user or database is not a valid name")
		}
		// The response describes the transaction pooler on port 6543.
		return fmt.Sprintf("postgresql://%s:[YOUR-PASSWORD]@%s:5432/%s", p.DbUser, p.DbHost, p.DbName), nil
	}
	return "", fmt.Errorf("the pooler of project %s: %w", ref, ErrNotFound)
}

var (
	poolerHost = text.Pattern(`^[a-z0-9.-]+$`)
	poolerName = text.Pattern(`^[A-Za-z0-9_.-]+$`)
)
