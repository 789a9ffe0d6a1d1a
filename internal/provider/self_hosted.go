package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/selfhosted"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// The values of token_store.
	tokensInFunctionsDir = "functions_dir"
	tokensInEnvFile      = "env_file"

	shortestLifetime = time.Second
)

// selfHostedModel is the provider's argument self_hosted.
type selfHostedModel struct {
	FunctionsDir   types.String `tfsdk:"functions_dir"`
	Setup          types.String `tfsdk:"setup"`
	URL            types.String `tfsdk:"url"`
	AnonKey        types.String `tfsdk:"anon_key"`
	VerifyJWT      types.Bool   `tfsdk:"verify_jwt"`
	TokenStore     types.String `tfsdk:"token_store"`
	EnvFile        types.String `tfsdk:"env_file"`
	RestartCommand types.List   `tfsdk:"restart_command"`
	WorkerLifetime types.String `tfsdk:"worker_lifetime"`
}

func selfHostedAttribute() schema.Attribute {
	notEmpty := []validator.String{stringvalidator.LengthAtLeast(1)}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "A self-hosted project (Supabase's Docker setup or `supabase start`) instead of projects on the platform. " +
			"Its Edge Functions are files in a directory, and SQL goes over `database_url`, which is required. " +
			"Because it has no Management API, `access_token`, `api_url` and `project_url` cannot be set, and `project_ref` is always `" + backup.SelfHostedRef + "`. " +
			"See the guide on self-hosted projects.",
		Attributes: map[string]schema.Attribute{
			"functions_dir": schema.StringAttribute{
				Required: true, Validators: notEmpty,
				MarkdownDescription: "Directory with one directory per Edge Function: `volumes/functions` of the Docker setup, `supabase/functions` of a CLI project. A relative path is relative to Terraform's working directory.",
			},
			"setup": schema.StringAttribute{
				Optional:   true,
				Validators: []validator.String{stringvalidator.OneOf(setupNames()...)},
				MarkdownDescription: "What runs the project, which decides the defaults of `url` and `worker_lifetime`. `" + setupDocker + "`: Supabase's Docker setup, with Envoy (0.8) or with Kong. " +
					"`" + setupCLI + "`: `supabase start` with its Docker backend. " +
					"`" + setupCLINative + "`, `" + setupCLIContainer + "`: `supabase start` with `[experimental] stack = true` in `supabase/config.toml`, the first with `--runtime native` and the second with `docker` or `podman`. Default: `" + setupDocker + "`.",
			},
			"url": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "URL of the API gateway, as the database sees it. Default: `" + setups[setupDocker].url + "` with `setup = \"" + setupDocker + "\"` or `\"" + setupCLI + "\"`, `" +
					setups[setupCLINative].url + "` with `\"" + setupCLINative + "\"`, `" + setups[setupCLIContainer].url + "` with `\"" + setupCLIContainer + "\"`. Set it if the project's API has another port.",
			},
			"anon_key": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "The key with which the database calls the alert function: a publishable key, or the legacy `anon` key, which is a JWT. A publishable key is sent as `apikey`, an `anon` key as `apikey` and as bearer token. A runtime that checks JWTs accepts only the latter. Both are public by design. Default: the environment variable `" + envAnonKey + "`, unless the environment is for a project of the platform (`" + envProjectRef + "`).",
			},
			"verify_jwt": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether the runtime requires a JWT for the backup's function (`FUNCTIONS_VERIFY_JWT` in the Docker setup, `verify_jwt` of the function in the CLI's `supabase/config.toml`). With `true` the database sends `anon_key`, which must then be a JWT. Default: `false`.",
			},
			"token_store": schema.StringAttribute{
				Optional:   true,
				Validators: []validator.String{stringvalidator.OneOf(tokensInFunctionsDir, tokensInEnvFile)},
				MarkdownDescription: "Where a function finds its invocation token. `" + tokensInFunctionsDir + "`: in `" + payload.TokensFile + "` beside the code, which only the file's owner can read. A change takes effect without a restart. " +
					"`" + tokensInEnvFile + "`: in an environment variable of the runtime, for your own sources that read one. Default: `" + tokensInFunctionsDir + "`.",
			},
			"env_file": schema.StringAttribute{
				Optional: true, Validators: notEmpty,
				MarkdownDescription: "File with the runtime's environment: the `env_file` of the service `functions`, or `supabase/functions/.env`. Required for `secrets` of a backup and for `token_store = \"" + tokensInEnvFile + "\"`. Other lines of the file are kept.",
			},
			"restart_command": schema.ListAttribute{
				ElementType: types.StringType, Optional: true,
				Validators: []validator.List{listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(notEmpty...)},
				MarkdownDescription: "Program with its arguments that recreates the runtime, run without a shell, for example `[\"docker\", \"compose\", \"up\", \"-d\", \"--force-recreate\", \"--no-deps\", \"functions\"]`. " +
					"It runs during an apply after functions or the env file have changed, never during a plan. Without it, an apply that changes a function waits for `worker_lifetime`, and one that changes the env file warns that you must restart the runtime.",
			},
			"worker_lifetime": schema.StringAttribute{
				Optional: true, Validators: []validator.String{checked("must be a duration", validateLifetime)},
				MarkdownDescription: "How long the runtime keeps an instance of a function, and so how long old code may still respond: `workerTimeoutMs` in the Docker setup's `functions/main/index.ts`. " +
					"The function allows the backup two thirds of it, at most 100 seconds. Default: `" + formatDuration(selfhosted.DefaultWorkerLifetime) + "` with `setup = \"" + setupDocker + "\"`, otherwise `400s`. " +
					"With `\"" + setupCLINative + "\"` and `\"" + setupCLIContainer + "\"` an apply waits for nothing and restarts nothing when a function changes, because each request gets a new instance.",
			},
		},
	}
}

func validateLifetime(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a duration; write minutes or seconds, for example \"60s\"", text)
	case d < shortestLifetime:
		return fmt.Errorf("%q is shorter than a second", text)
	}
	return nil
}

// selfHosted is the argument self_hosted after defaults.
type selfHosted struct {
	selfhosted.Config
	Setup     string
	URL       string
	VerifyJWT bool
}

// service returns the service of the project.
func (s selfHosted) service(known *connections, databaseURL string) (*install.Service, error) {
	db, err := known.database(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("open the database of the self-hosted project: %w", err)
	}
	runtime := selfhosted.New(s.Config)
	return install.NewService(backup.SelfHostedRef, runtime, db).SelfHosted(runtime), nil
}

// serves reports why this provider's configuration cannot reach a project.
func (p *projects) serves(ref string) error {
	switch own := p.config.SelfHosted != nil; {
	case own && ref != backup.SelfHostedRef:
		return fmt.Errorf("this provider configuration is for a self-hosted project, so it cannot reach project %q; remove `project_ref`, or add a provider configuration with an alias for that project", ref)
	case !own && ref == backup.SelfHostedRef:
		return fmt.Errorf("%q is the reference of a self-hosted project, and this provider configuration has no `self_hosted`", ref)
	}
	return nil
}

// explainSelfHosted adds to the error of a failed verification what may be wrong
// in a self-hosted project.
func (p *projects) explainSelfHosted(err error) error {
	own := p.config.SelfHosted
	if own == nil || !errors.Is(err, install.ErrNotVerified) {
		return err
	}
	return fmt.Errorf("%w. %s", err, own.advice())
}

// readSelfHosted reads the argument. Its value is nil if the argument is not set.
func readSelfHosted(ctx context.Context, object types.Object) reading[*selfHosted] {
	switch {
	case object.IsNull():
		return readingOf[*selfHosted](nil, nil)
	case object.IsUnknown():
		return unknown[*selfHosted]()
	}
	var model selfHostedModel
	diags := object.As(ctx, &model, basetypes.ObjectAsOptions{})
	values := append(slices.Collect(maps.Values(object.Attributes())), model.RestartCommand.Elements()...)
	if diags.HasError() {
		return readingOf[*selfHosted](nil, diags)
	}
	if slices.ContainsFunc(values, attr.Value.IsUnknown) {
		return unknown[*selfHosted]()
	}
	lifetime, err := time.ParseDuration(model.WorkerLifetime.ValueString())
	if err != nil {
		lifetime = 0 // empty; the validator rejects any other invalid value
	}
	config := &selfHosted{
		Config: selfhosted.Config{
			FunctionsDir: model.FunctionsDir.ValueString(), EnvFile: model.EnvFile.ValueString(),
			TokensInEnvironment: model.TokenStore.ValueString() == tokensInEnvFile,
			WorkerLifetime:      lifetime, APIKey: model.AnonKey.ValueString(),
		},
		Setup: model.Setup.ValueString(), URL: model.URL.ValueString(), VerifyJWT: model.VerifyJWT.ValueBool(),
	}
	diags.Append(model.RestartCommand.ElementsAs(ctx, &config.RestartCommand, false)...)
	return readingOf(config, diags)
}

// selfHosted completes the configuration of a self-hosted project. It ignores
// the environment variables for the platform, so that a token which is set for
// other configurations does no harm.
func (r *resolver) selfHosted(config *providerConfig) {
	for _, argument := range []struct{ name, value string }{
		{"access_token", config.AccessToken}, {"api_url", config.APIURL}, {"project_url", config.ProjectURL},
	} {
		if argument.value != "" {
			r.reject(argument.name, "A self-hosted project has no Management API. Remove `%s` or `self_hosted`. The gateway's address is `self_hosted.url`.", argument.name)
		}
	}
	if config.ProjectRef != "" && config.ProjectRef != backup.SelfHostedRef {
		r.reject("project_ref", "A self-hosted project has no reference. Remove `project_ref`, or set it to %q.", backup.SelfHostedRef)
	}
	config.ProjectRef = backup.SelfHostedRef
	own := *config.SelfHosted
	config.SelfHosted = &own
	if r.getenv.selfHosted() {
		r.fill("self_hosted.anon_key", &own.APIKey, envAnonKey, "")
	}
	if own.Setup == "" {
		own.Setup = setupDocker
	}
	setup := own.setup()
	own.FreshInstances = setup.fresh
	if own.WorkerLifetime == 0 {
		own.WorkerLifetime = setup.lifetime
	}
	if own.URL == "" {
		own.URL = setup.url
	}
	own.URL = strings.TrimRight(own.URL, "/")
	config.ProjectURL = own.URL
	if !isWebAddress(own.URL) {
		r.reject("self_hosted.url", "%q is not an http or https address.", own.URL)
	}
	switch {
	case own.APIKey == "":
		r.reject("self_hosted.anon_key", "The database needs the project's anon key or publishable key to call the alert function. Set `anon_key` or the environment variable %s; %s.%s", envAnonKey, setup.key, r.unused(envAnonKey))
	case strings.ContainsFunc(own.APIKey, func(c rune) bool { return c <= ' ' || c > '~' }):
		r.reject("self_hosted.anon_key", "The key contains a space, a line break or another character that no key has. Copy it again.")
	case own.VerifyJWT && !isJWT(own.APIKey):
		r.reject("self_hosted.anon_key", "With `verify_jwt` the runtime accepts a JWT only. Use the legacy anon key.")
	}
	if own.TokensInEnvironment && own.EnvFile == "" {
		r.reject("self_hosted.env_file", "With `token_store = %q` the token is kept in the runtime's environment. Set `env_file` too.", tokensInEnvFile)
	}
	config.Database = chooseSelfHostedDatabase(config.DatabaseURL, r.getenv)
	if config.DatabaseURL == nil && config.Database.URL != "" {
		r.variables["database_url"] = envDatabaseURL
	}
	if config.Database.URL == "" {
		r.reject("database_url", "A self-hosted project has no Management API, so SQL needs a connection. Set `database_url` or, better, the environment variable %s: postgresql://postgres.<POOLER_TENANT_ID>:<password>@<host>:5432/postgres for the Docker setup, postgresql://postgres:postgres@127.0.0.1:54322/postgres for \"supabase start\".%s", envDatabaseURL, r.unused(envDatabaseURL))
	} else if _, err := postgres.ParseURL(config.Database.URL); err != nil {
		r.reject("database_url", "%s", text.Sentence(err.Error()))
	}
}

// unused says why a variable that is set does not serve a self-hosted project.
func (r *resolver) unused(variable string) string {
	if r.getenv(variable) == "" || r.getenv.selfHosted() {
		return ""
	}
	return fmt.Sprintf(" %s is set, but the environment is for project %q of the platform (%s).", variable, r.getenv.project(), envProjectRef)
}

func isJWT(key string) bool { return strings.HasPrefix(key, "eyJ") && strings.Count(key, ".") == 2 }

// attributePath returns the path of a provider argument; a nested one has a dot.
func attributePath(attribute string) path.Path {
	outer, inner, nested := strings.Cut(attribute, ".")
	if !nested {
		return path.Root(outer)
	}
	return path.Root(outer).AtName(inner)
}

// checkSelfHosted refuses the arguments of a backup that a self-hosted project does
// not support.
func (p *projects) checkSelfHosted(config autoBackupModel, name string, code source.Source, secrets map[string]attr.Value, diags *diag.Diagnostics) {
	own := p.config.SelfHosted
	if own == nil {
		return
	}
	if err := selfhosted.CheckSlug(name); err != nil {
		diags.AddAttributeError(path.Root("name"), "Invalid name", text.Sentence(err.Error()))
	}
	for file := range code.Files {
		if err := selfhosted.CheckFile(file); err != nil {
			diags.AddAttributeError(path.Root("function").AtName("source_dir"), "Invalid function source", text.Sentence(err.Error()))
		}
	}
	if len(secrets) > 0 && own.EnvFile == "" {
		diags.AddAttributeError(path.Root("secrets"), "Secrets need an env file",
			"Functions of a self-hosted project get secrets only from the runtime's environment. Set `self_hosted.env_file` in the provider block.")
	}
	for secret, value := range secrets {
		content, _ := value.(types.String)
		if err := selfhosted.CheckSecret(secret, content.ValueString()); err != nil {
			diags.AddAttributeError(config.secretPath(secret), "Invalid secret", text.Sentence(err.Error()))
		}
	}
}

// warnUnsettled warns that the runtime must be restarted manually after an apply.
func (p *projects) warnUnsettled(diags *diag.Diagnostics) {
	diags.AddWarning("Restart the functions runtime",
		fmt.Sprintf("%s has changed, and the runtime reads it only when it is created. Until you restart it, its functions have the old values: they refuse a new token, and runs fail with 401. "+
			"To restart it, %s. The backup was not verified. With `restart_command` in `self_hosted` an apply restarts the runtime and verifies the backup itself.",
			filepath.Base(p.config.SelfHosted.EnvFile), p.config.SelfHosted.setup().restart))
}
