package supabase

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/supabase/cli/pkg/api"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// A Secret is a secret of a project's Edge Functions, without its value.
type Secret struct {
	Name string
	// Digest is the SHA-256 of the value in lower-case hexadecimal, or empty if
	// the API returned anything else.
	Digest string
	// UpdatedAt is the text that the API returned, which may be empty.
	UpdatedAt string
}

var digestPattern = text.Pattern(`^[0-9a-f]{64}$`)

// ListSecrets lists the secrets of a project, sorted by name, including those of
// the platform (SUPABASE_...).
func (c *Client) ListSecrets(ctx context.Context, ref string) ([]Secret, error) {
	k := &call{
		op: "list the secrets", resource: "project " + ref, ref: ref,
		endpoint: "GET /secrets", permission: may.readSecrets, timeout: 30 * time.Second,
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1ListAllSecrets(ctx, ref)
	})
	if err != nil {
		return nil, err
	}
	list, err := decodeList(k, body, func(s api.SecretResponse) string { return without("name", s.Name) })
	if err != nil {
		return nil, err
	}
	secrets := make([]Secret, len(list))
	for i, s := range list {
		secrets[i] = Secret{Name: s.Name, UpdatedAt: valueOf(s.UpdatedAt)}
		if digest := strings.ToLower(s.Value); digestPattern().MatchString(digest) {
			secrets[i].Digest = digest
		}
	}
	slices.SortFunc(secrets, func(a, b Secret) int { return cmp.Compare(a.Name, b.Name) })
	return secrets, nil
}

// SetSecrets sets secrets, given as values by name. It changes no others.
func (c *Client) SetSecrets(ctx context.Context, ref string, values map[string]string) error {
	if len(values) == 0 {
		return nil
	}
	k := &call{
		op: "set the secrets " + strings.Join(slices.Sorted(maps.Keys(values)), ", "), resource: "project " + ref, ref: ref,
		endpoint: "POST /secrets", permission: may.writeSecrets, effect: overwrites, timeout: time.Minute,
	}
	body := make(api.V1BulkCreateSecretsJSONRequestBody, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		c.redactor.Add(values[name])
		body = append(body, struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		}{name, values[name]})
	}
	_, _, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1BulkCreateSecrets(ctx, ref, body)
	})
	return err
}

// DeleteSecrets deletes secrets and ignores names that the project does not have.
func (c *Client) DeleteSecrets(ctx context.Context, ref string, names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) == 0 {
		return nil
	}
	err := c.deleteSecrets(ctx, ref, names)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	// One of them does not exist; whether the others were deleted is not known.
	secrets, listErr := c.ListSecrets(ctx, ref)
	if listErr != nil {
		return listErr
	}
	present := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !slices.ContainsFunc(secrets, func(s Secret) bool { return s.Name == name })
	})
	switch {
	case len(present) == 0:
		return nil
	case len(present) == len(names):
		return err
	}
	return c.deleteSecrets(ctx, ref, present)
}

func (c *Client) deleteSecrets(ctx context.Context, ref string, names []string) error {
	k := &call{
		op: "delete the secrets " + strings.Join(names, ", "), resource: "project " + ref, ref: ref,
		endpoint: "DELETE /secrets", permission: may.writeSecrets, effect: overwrites, timeout: time.Minute,
	}
	_, _, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1BulkDeleteSecrets(ctx, ref, names)
	})
	return err
}
