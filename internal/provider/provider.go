// Package provider contains everything that Terraform sees: schemas, plans, state and
// diagnostics. Package backup describes a backup, and package install installs it.
package provider

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/fingerprint"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const typeName = "aimindset"

// New returns a constructor of the provider. The provider is also an io.Closer:
// because Terraform does not tell a provider that a run is over, the server closes
// its connections when it stops serving.
func New(version string) func() provider.Provider {
	return func() provider.Provider {
		return &aimindset{version: version, getenv: os.Getenv, fingerprints: &fingerprint.Cache{}}
	}
}

var (
	_ provider.ProviderWithFunctions     = (*aimindset)(nil)
	_ provider.ProviderWithListResources = (*aimindset)(nil)
	_ provider.ProviderWithActions       = (*aimindset)(nil)
)

type aimindset struct {
	version      string
	getenv       func(variable string) string
	fingerprints *fingerprint.Cache
	connections  connections
}

// Close closes the connections of a provider that is no longer served.
func (p *aimindset) Close() error {
	// Terraform kills a provider that is still running two seconds later.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return p.connections.close(ctx)
}

type providerModel struct {
	AccessToken types.String `tfsdk:"access_token"`
	ProjectRef  types.String `tfsdk:"project_ref"`
	DatabaseURL types.String `tfsdk:"database_url"`
	APIURL      types.String `tfsdk:"api_url"`
	ProjectURL  types.String `tfsdk:"project_url"`
	SelfHosted  types.Object `tfsdk:"self_hosted"`
}

func (p *aimindset) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = typeName, p.version
}

func (p *aimindset) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Makes a Supabase project back itself up every night, and reports a night without a backup.",
		Attributes: map[string]schema.Attribute{
			"access_token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Access token for the Supabase Management API. Default: the environment variable `" + envAccessToken + "`.",
			},
			"project_ref": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Project of resources without a `project_ref`: the 20 lower-case letters in the address of the project's dashboard. Default: the environment variable `" + envProjectRef + "`.",
			},
			"database_url": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "PostgreSQL connection URL of the project's database, with the role `postgres`. It is used only for the project of `project_ref`. Without it, SQL goes through the Management API. The server is verified, and the password is given only by SCRAM; see the guide [Connections to the database](guides/connections#tls-and-authentication). Default: the environment variable `" + envDatabaseURL + "`, if the environment is for the same project (`" + envProjectRef + "`). An empty string means none.",
			},
			"api_url": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "URL of the Management API. Default: the environment variable `" + envAPIURL + "`, or else `" + supabase.DefaultBaseURL + "`.",
			},
			"project_url": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "URL of a project's API gateway, as seen from the project's database. `" + refPlaceholder + "` is replaced by the project's reference. Default: the environment variable `" + envProjectURL + "`, if it contains `" + refPlaceholder + "` or the environment is for the same project (`" + envProjectRef + "`), or else `" + defaultProjectURL + "`.",
			},
			"self_hosted": selfHostedAttribute(),
		},
	}
}

func (p *aimindset) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var config providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	own, known := readSelfHosted(ctx, config.SelfHosted).report(&resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	for _, value := range []types.String{config.AccessToken, config.ProjectRef, config.DatabaseURL, config.APIURL, config.ProjectURL} {
		known = known && !value.IsUnknown()
	}
	if !known {
		// Another resource has yet to create the value. An engine that defers
		// changes plans the rest and comes back; any other one configures the
		// provider again when the value is known.
		if req.ClientCapabilities.DeferralAllowed {
			resp.Deferred = &provider.Deferred{Reason: provider.DeferredReasonProviderConfigUnknown}
		}
		return
	}
	resolved, invalid := resolve(providerConfig{
		AccessToken: config.AccessToken.ValueString(), ProjectRef: config.ProjectRef.ValueString(),
		DatabaseURL: config.DatabaseURL.ValueStringPointer(),
		APIURL:      config.APIURL.ValueString(), ProjectURL: config.ProjectURL.ValueString(),
		SelfHosted: own,
	}, p.getenv)
	for _, argument := range invalid {
		resp.Diagnostics.AddAttributeError(attributePath(argument.attribute), "Invalid provider configuration", argument.detail)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	configured := &projects{config: resolved, connections: &p.connections, fingerprints: p.fingerprints, services: map[string]*install.Service{}}
	configured.run.again = strings.Contains(req.TerraformVersion, pulumi)
	configured.refFromEnvironment = config.ProjectRef.ValueString() == "" && own == nil
	if resolved.SelfHosted == nil {
		client, err := p.connections.client(supabase.Config{
			BaseURL: resolved.APIURL, Token: resolved.AccessToken,
			UserAgent: "terraform-provider-aimindset/" + p.version,
			Logger:    slog.New(newLogHandler()),
		})
		if err != nil {
			resp.Diagnostics.AddError("Invalid provider configuration", err.Error())
			return
		}
		configured.client = client
	}
	// Every read needs it. Terraform asks for one thing after the other, so to load it takes
	// no time beside that.
	go payload.LoadDispatcher()
	resp.ResourceData = configured
	resp.DataSourceData = resp.ResourceData
	resp.ListResourceData = resp.ResourceData
	resp.ActionData = resp.ResourceData
}

func (p *aimindset) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{newAutoBackupResource}
}

func (p *aimindset) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{newAutoBackupStatus, newAutoBackups}
}

func (p *aimindset) ListResources(context.Context) []func() list.ListResource {
	return []func() list.ListResource{newAutoBackupList}
}

func (p *aimindset) Actions(context.Context) []func() action.Action {
	return []func() action.Action{newRunAction, newDrillAction, newRestoreAction}
}

func (p *aimindset) Functions(context.Context) []func() function.Function {
	return []func() function.Function{newNextRuns, newCronUTC, newRetainedBackups}
}

// configured returns what Configure passes to resources, data sources and actions;
// nil until the provider is configured.
func configured(data any, diags *diag.Diagnostics) *projects {
	p, ok := data.(*projects)
	if !ok && data != nil {
		diags.AddError("Broken provider", fmt.Sprintf("It was configured with a %T. Please report this error.", data))
	}
	return p
}

// projects gives resources, data sources and actions access to the projects.
type projects struct {
	config providerConfig
	// refFromEnvironment says that only an environment variable names the project.
	refFromEnvironment bool
	// client is nil for a self-hosted project.
	client       *supabase.Client
	connections  *connections
	fingerprints *fingerprint.Cache
	run          terraformRun

	mu       sync.Mutex
	services map[string]*install.Service
	// compared is the database behind the block's URL; nil without one, and before
	// its project's service was asked for.
	compared *compared
}

// service returns the service of a project, the same one for every caller. It
// connects to nothing yet.
func (p *projects) service(ref string) (*install.Service, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.services[ref]; ok {
		return s, nil
	}
	s, err := p.newService(ref)
	if err != nil {
		return nil, err
	}
	s.Process, s.Log = processName(), slog.New(newLogHandler())
	p.services[ref] = s
	return s, nil
}

// passing returns the service of a project for a caller who reads it once, among many. It
// is not kept, unless others have it already or it has a connection of its own.
func (p *projects) passing(ref string) (*install.Service, error) {
	p.mu.Lock()
	s, ok := p.services[ref]
	p.mu.Unlock()
	switch {
	case ok:
		return s, nil
	case p.config.SelfHosted != nil || p.config.Database.URL != "" && ref == p.config.Database.Project:
		return p.service(ref)
	}
	return p.newService(ref)
}

// newService returns a new service of a project on the platform, or of the
// self-hosted project.
func (p *projects) newService(ref string) (*install.Service, error) {
	if err := p.serves(ref); err != nil {
		return nil, err
	}
	if p.config.SelfHosted != nil {
		return p.config.SelfHosted.service(p.connections, p.config.Database.URL)
	}
	platform := postgres.OverAPI(supabase.ProjectSQL{Client: p.client, Ref: ref})
	chosen := p.config.Database
	if chosen.URL == "" || ref != chosen.Project {
		return install.NewService(ref, p.client, platform), nil
	}
	direct, err := p.connections.database(chosen.URL)
	if err != nil {
		return nil, fmt.Errorf("open the database of project %s: %w", ref, err)
	}
	p.compared = newCompared(advised{direct, p.client, ref}, platform, chosen)
	return install.NewService(ref, p.client, p.compared), nil
}

// serviceOf returns the service of a project, or adds a diagnostic and returns
// nil. projects is nil until the provider is configured.
func serviceOf(p *projects, ref string, diags *diag.Diagnostics) *install.Service {
	if p == nil {
		addUnconfigured(diags)
		return nil
	}
	service, err := p.service(ref)
	if err != nil {
		addError(diags, "Cannot reach the project", err)
		return nil
	}
	return service
}

// addUnconfigured says that the provider block has an argument whose value is
// not known yet.
func addUnconfigured(diags *diag.Diagnostics) {
	diags.AddError("The provider is not configured yet",
		"An argument of the provider block, such as `access_token`, `project_ref` or `database_url`, takes its value from a resource that is not applied yet. "+
			"Apply that resource first, with \"terraform apply -target=<its address>\", or take the value from a variable or from the environment. "+
			"Terraform with -allow-deferral plans the rest first and comes back to it.")
}

// processName describes this process to users whose apply must wait for it, as
// Terraform describes the holder of a state's lock.
func processName() string {
	name, host := "somebody", "an unnamed machine"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return fmt.Sprintf("%s@%s, process %d", name, host, os.Getpid())
}
