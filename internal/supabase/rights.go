package supabase

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/supabase/cli/pkg/api"
)

// may are the permissions that a token needs: as the dashboard shows them when a
// token is created, and in parentheses as the API's documentation names them.
var may = struct { //nolint:gosec // names of permissions, not credentials
	readFunctions, writeFunctions, readSecrets, writeSecrets, readDatabase, writeDatabase, readKeys, readBackups, readProject, readProjects string
}{
	readFunctions:  "Edge Functions: Read (edge_functions_read; OAuth: edge_functions:read)",
	writeFunctions: "Edge Functions: Read-write (edge_functions_write; OAuth: edge_functions:write)",
	readSecrets:    "Edge Function Secrets: Read (edge_functions_secrets_read; OAuth: secrets:read)",
	writeSecrets:   "Edge Function Secrets: Read-write (edge_functions_secrets_write; OAuth: secrets:write)",
	readDatabase:   "Database: Read (database_read; OAuth: database:read)",
	writeDatabase:  "Database: Read-write (database_write; OAuth: database:write)",
	readKeys:       "API Keys: Read (api_gateway_keys_read; OAuth: secrets:read)",
	readBackups:    "Backups: Read (backups_read; OAuth: database:read)",
	readProject:    "Projects: Read (project_admin_read; OAuth: projects:read)",
	readProjects:   "Projects (account-wide): Read (projects_read; OAuth: projects:read)",
}

// MayWriteFunctions returns an error if the token may not change the functions of a
// project. The API cannot be asked what a token may do, so this requests a change
// that cannot take effect, of a function that does not exist. The error is
// ErrForbidden, ErrUnauthorized or ErrProjectGone, or that of a context that has
// ended. Any other failure says nothing about the token and is ignored.
func (c *Client) MayWriteFunctions(ctx context.Context, ref string) error {
	k := &call{
		op: "change the functions", resource: "project " + ref, ref: ref,
		endpoint: "PATCH /functions/{slug}", permission: may.writeFunctions, timeout: 30 * time.Second,
	}
	const missing = "terraform-provider-aimindset-has-no-such-function"
	_, _, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1UpdateAFunction(ctx, ref, missing, nil, api.V1UpdateAFunctionJSONRequestBody{})
	})
	return k.refusal(ctx, err)
}

// MayWriteSecrets is MayWriteFunctions for a project's function secrets: it sets an
// empty list of them.
func (c *Client) MayWriteSecrets(ctx context.Context, ref string) error {
	k := &call{
		op: "change the secrets", resource: "project " + ref, ref: ref,
		endpoint: "POST /secrets", permission: may.writeSecrets, timeout: 30 * time.Second,
	}
	_, _, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1BulkCreateSecrets(ctx, ref, api.V1BulkCreateSecretsJSONRequestBody{})
	})
	return k.refusal(ctx, err)
}

// refusal returns an error if it says that the token may not do something.
func (k *call) refusal(ctx context.Context, err error) error {
	for _, kind := range []error{ErrForbidden, ErrUnauthorized, ErrProjectGone} {
		if errors.Is(err, kind) {
			return err
		}
	}
	if err != nil && ctx.Err() != nil {
		return err
	}
	return nil
}
