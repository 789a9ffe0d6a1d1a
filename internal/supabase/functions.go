package supabase

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/supabase/cli/pkg/api"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// A Function is an Edge Function without its source.
type Function struct {
	// ID does not change when the function is deployed again.
	ID string
	// Slug is the name in the function's URL, Name the displayed one.
	Slug, Name string
	// Status is ACTIVE, REMOVED or THROTTLED.
	Status string
	// Version does not reliably change with the source.
	Version   int
	VerifyJWT bool
	// EntrypointPath and ImportMapPath are URLs inside the deployment.
	EntrypointPath, ImportMapPath string
	// EzbrSHA256 is the SHA-256 of the bundle, in hexadecimal. It changes only
	// when the function is deployed, even with the same source.
	EzbrSHA256 string
	// CreatedAt and UpdatedAt are in milliseconds since 1970, UTC.
	CreatedAt, UpdatedAt int64
}

// FunctionUpdate is what to change of a function without deploying it. A nil
// property is not changed.
type FunctionUpdate struct {
	Name      *string
	VerifyJWT *bool
}

func functionOf(f api.FunctionResponse) Function {
	return Function{
		ID: f.Id, Slug: f.Slug, Name: f.Name, Status: string(f.Status), Version: f.Version,
		// The platform verifies JWTs unless told otherwise.
		VerifyJWT:      f.VerifyJwt == nil || *f.VerifyJwt,
		EntrypointPath: valueOf(f.EntrypointPath),
		ImportMapPath:  valueOf(f.ImportMapPath),
		EzbrSHA256:     valueOf(f.EzbrSha256),
		CreatedAt:      f.CreatedAt,
		UpdatedAt:      f.UpdatedAt,
	}
}

// missingOf returns the name of the field that a function lacks for being told from
// others, or "".
func missingOf(f api.FunctionResponse) string { return without("id", f.Id, "slug", f.Slug) }

func valueOf[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// slugPattern is the API's.
var slugPattern = text.Pattern(`^[A-Za-z][A-Za-z0-9_-]*$`)

func functionCall(op, ref, slug, endpoint string) *call {
	return &call{
		op: op, resource: "function " + slug + " of project " + ref, ref: ref,
		endpoint: endpoint, permission: may.readFunctions, timeout: 30 * time.Second,
	}
}

// ListFunctions lists the functions of a project, including removed ones that the
// platform still lists.
func (c *Client) ListFunctions(ctx context.Context, ref string) ([]Function, error) {
	k := &call{
		op: "list the functions", resource: "project " + ref, ref: ref,
		endpoint: "GET /functions", permission: may.readFunctions, timeout: 30 * time.Second,
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1ListAllFunctions(ctx, ref)
	})
	if err != nil {
		return nil, err
	}
	list, err := decodeList(k, body, missingOf)
	if err != nil {
		return nil, err
	}
	functions := make([]Function, len(list))
	for i, f := range list {
		functions[i] = functionOf(f)
	}
	return functions, nil
}

// GetFunction reads one function. The error is ErrNotFound if the project has no
// function with this slug.
func (c *Client) GetFunction(ctx context.Context, ref, slug string) (Function, error) {
	k := functionCall("read the properties", ref, slug, "GET /functions/{slug}")
	return c.function(ctx, k, slug, func(client *api.Client) (*http.Response, error) {
		return client.V1GetAFunction(ctx, ref, slug)
	})
}

// function performs a call that returns a function.
func (c *Client) function(ctx context.Context, k *call, slug string, request func(*api.Client) (*http.Response, error)) (Function, error) {
	if !slugPattern().MatchString(slug) {
		return Function{}, k.invalid("a function's slug must have letters, digits, - and _ only, and begin with a letter")
	}
	_, body, err := c.do(ctx, k, request)
	if err != nil {
		return Function{}, err
	}
	f, err := decode[api.FunctionResponse](k, body)
	if err != nil {
		return Function{}, err
	}
	if field := missingOf(f); field != "" {
		return Function{}, k.malformed(fmt.Sprintf("it has no %q", field))
	}
	if f.Slug != slug {
		return Function{}, k.malformed("it describes another function")
	}
	return functionOf(f), nil
}

// DeployFunction creates a function or replaces its source and properties, and
// returns it.
func (c *Client) DeployFunction(ctx context.Context, ref string, d Deployment) (Function, error) {
	k := functionCall("deploy the source", ref, d.Slug, "POST /functions/deploy")
	k.permission, k.effect, k.timeout = may.writeFunctions, overwrites, 5*time.Minute
	if why := d.problem(); why != "" {
		return Function{}, k.invalid(why)
	}
	upload, contentType := d.encode()
	f, err := c.function(ctx, k, d.Slug, func(client *api.Client) (*http.Response, error) {
		return client.V1DeployAFunctionWithBody(ctx, ref, &api.V1DeployAFunctionParams{Slug: &d.Slug}, contentType, upload)
	})
	if err != nil || f.CreatedAt != 0 && f.UpdatedAt != 0 && f.EzbrSHA256 != "" {
		return f, err
	}
	// The response may lack the fields that identify the deployment.
	return c.GetFunction(ctx, ref, d.Slug)
}

// UpdateFunction changes properties of a function, not its source.
func (c *Client) UpdateFunction(ctx context.Context, ref, slug string, u FunctionUpdate) (Function, error) {
	k := functionCall("change the properties", ref, slug, "PATCH /functions/{slug}")
	k.permission, k.effect = may.writeFunctions, overwrites
	return c.function(ctx, k, slug, func(client *api.Client) (*http.Response, error) {
		return client.V1UpdateAFunction(ctx, ref, slug, nil, api.V1UpdateAFunctionJSONRequestBody{Name: u.Name, VerifyJwt: u.VerifyJWT})
	})
}

// DeleteFunction deletes a function. The error is ErrNotFound if there is none.
func (c *Client) DeleteFunction(ctx context.Context, ref, slug string) error {
	k := functionCall("delete the deployment", ref, slug, "DELETE /functions/{slug}")
	k.permission, k.effect = may.writeFunctions, overwrites
	if !slugPattern().MatchString(slug) {
		return k.invalid("a function's slug must have letters, digits, - and _ only, and begin with a letter")
	}
	_, _, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		return client.V1DeleteAFunction(ctx, ref, slug)
	})
	if errors.Is(err, ErrNotFound) && k.arrived {
		// An attempt whose response was lost has deleted it.
		return nil
	}
	return err
}
