package provider

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// NewServer returns a server of a provider for protocol 6.
//
// The framework's server keeps the context of every call until Terraform stops
// the provider, and with it the call's connection, request and loggers: tens of
// kilobytes for each resource of a plan. This server releases them when the call
// is over.
func NewServer(p provider.Provider) (tfprotov6.ProviderServer, error) {
	inner, ok := providerserver.NewProtocol6(p)().(frameworkServer)
	if !ok {
		return nil, errors.New("the plugin framework's server lacks a part of protocol 6")
	}
	return server{inner, &streams{}}, nil
}

// frameworkServer has all methods of the framework's server. No interface of the
// framework has all of them.
type frameworkServer interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
	tfprotov6.StateStoreServer
}

// server bounds the contexts of the calls that Terraform makes for each resource
// and data source. The other calls are few, or send results after they have
// returned.
type server struct {
	frameworkServer
	streams *streams
}

// GetProviderSchema makes the secrets of actions write-only, so that they may be
// ephemeral and are in no plan. The framework (1.19) has that too, but then refuses every
// value of an action's attribute.
func (s server) GetProviderSchema(ctx context.Context, req *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	resp, err := s.frameworkServer.GetProviderSchema(ctx, req)
	if resp == nil {
		return resp, err
	}
	for name, secrets := range writeOnly {
		action := resp.ActionSchemas[name]
		if action == nil || action.Schema == nil || action.Schema.Block == nil {
			continue
		}
		for _, attribute := range action.Schema.Block.Attributes {
			attribute.WriteOnly = slices.Contains(secrets, attribute.Name)
		}
	}
	return resp, err
}

// writeOnly are the secrets of actions.
var writeOnly = map[string][]string{
	typeName + "_auto_backup_restore": {"access_key_id", "secret_access_key", "private_key", "database_url", "signing_key"},
}

func (s server) ValidateResourceConfig(ctx context.Context, req *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return presented(bounded(ctx, req, s.frameworkServer.ValidateResourceConfig))
}

func (s server) UpgradeResourceState(ctx context.Context, req *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	return presented(bounded(ctx, req, s.frameworkServer.UpgradeResourceState))
}

func (s server) UpgradeResourceIdentity(ctx context.Context, req *tfprotov6.UpgradeResourceIdentityRequest) (*tfprotov6.UpgradeResourceIdentityResponse, error) {
	return presented(bounded(ctx, req, s.frameworkServer.UpgradeResourceIdentity))
}

func (s server) ReadResource(ctx context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	return presented(bounded(ctx, req, s.frameworkServer.ReadResource))
}

func (s server) PlanResourceChange(ctx context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	return presented(bounded(ctx, req, s.frameworkServer.PlanResourceChange))
}

func (s server) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	return presented(bounded(ctx, req, s.frameworkServer.ApplyResourceChange))
}

func (s server) ImportResourceState(ctx context.Context, req *tfprotov6.ImportResourceStateRequest) (*tfprotov6.ImportResourceStateResponse, error) {
	return presented(bounded(ctx, req, s.frameworkServer.ImportResourceState))
}

func (s server) ValidateDataResourceConfig(ctx context.Context, req *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return presented(bounded(ctx, req, s.frameworkServer.ValidateDataResourceConfig))
}

func (s server) ReadDataSource(ctx context.Context, req *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	return presented(bounded(ctx, req, s.frameworkServer.ReadDataSource))
}

func (s server) ValidateProviderConfig(ctx context.Context, req *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return presented(s.frameworkServer.ValidateProviderConfig(ctx, req))
}

func (s server) ConfigureProvider(ctx context.Context, req *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	return presented(s.frameworkServer.ConfigureProvider(ctx, req))
}

func (s server) ValidateListResourceConfig(ctx context.Context, req *tfprotov6.ValidateListResourceConfigRequest) (*tfprotov6.ValidateListResourceConfigResponse, error) {
	return presented(s.frameworkServer.ValidateListResourceConfig(ctx, req))
}

func (s server) ListResource(ctx context.Context, req *tfprotov6.ListResourceRequest) (*tfprotov6.ListResourceServerStream, error) {
	stream, err := s.frameworkServer.ListResource(ctx, req)
	if err != nil {
		return nil, err
	}
	results := stream.Results
	stream.Results = func(push func(tfprotov6.ListResourceResult) bool) {
		results(func(result tfprotov6.ListResourceResult) bool {
			present(result.Diagnostics)
			return push(result)
		})
	}
	return stream, nil
}

func (s server) ValidateActionConfig(ctx context.Context, req *tfprotov6.ValidateActionConfigRequest) (*tfprotov6.ValidateActionConfigResponse, error) {
	return presented(s.frameworkServer.ValidateActionConfig(ctx, req))
}

func (s server) PlanAction(ctx context.Context, req *tfprotov6.PlanActionRequest) (*tfprotov6.PlanActionResponse, error) {
	return presented(s.frameworkServer.PlanAction(ctx, req))
}

// presented makes the diagnostics of a response fit for a terminal.
func presented[Response any](resp *Response, err error) (*Response, error) {
	if resp != nil {
		present(diagnosticsOf(resp))
	}
	return resp, err
}

func diagnosticsOf(resp any) []*tfprotov6.Diagnostic {
	switch resp := resp.(type) {
	case *tfprotov6.ValidateProviderConfigResponse:
		return resp.Diagnostics
	case *tfprotov6.ConfigureProviderResponse:
		return resp.Diagnostics
	case *tfprotov6.ValidateResourceConfigResponse:
		return resp.Diagnostics
	case *tfprotov6.UpgradeResourceStateResponse:
		return resp.Diagnostics
	case *tfprotov6.UpgradeResourceIdentityResponse:
		return resp.Diagnostics
	case *tfprotov6.ReadResourceResponse:
		return resp.Diagnostics
	case *tfprotov6.PlanResourceChangeResponse:
		return resp.Diagnostics
	case *tfprotov6.ApplyResourceChangeResponse:
		return resp.Diagnostics
	case *tfprotov6.ImportResourceStateResponse:
		return resp.Diagnostics
	case *tfprotov6.ValidateDataResourceConfigResponse:
		return resp.Diagnostics
	case *tfprotov6.ReadDataSourceResponse:
		return resp.Diagnostics
	case *tfprotov6.ValidateListResourceConfigResponse:
		return resp.Diagnostics
	case *tfprotov6.ValidateActionConfigResponse:
		return resp.Diagnostics
	case *tfprotov6.PlanActionResponse:
		return resp.Diagnostics
	}
	return nil
}

// bounded makes a call with a context that keeps nothing alive afterwards.
func bounded[Request, Response any](ctx context.Context, req *Request, call func(context.Context, *Request) (*Response, error)) (*Response, error) {
	c := &callContext{}
	c.current.Store(&ctx)
	defer c.current.Store(&ended) //nolint:contextcheck // c is ended afterwards
	return call(c, req)           //nolint:contextcheck // c is ctx until then
}

// callContext is the context of a call until the call is over, and then an ended
// one.
type callContext struct {
	current atomic.Pointer[context.Context]
}

// ended is a context that has ended and keeps nothing alive.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (c *callContext) Deadline() (time.Time, bool) { return (*c.current.Load()).Deadline() }
func (c *callContext) Done() <-chan struct{}       { return (*c.current.Load()).Done() }
func (c *callContext) Err() error                  { return (*c.current.Load()).Err() }
func (c *callContext) Value(key any) any           { return (*c.current.Load()).Value(key) }
