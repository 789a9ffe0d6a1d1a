package provider

import (
	"context"
	"errors"
	"fmt"
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
	envAnonKey = "SUPABASE_ANON_KEY"

	// defaultSelfHostedURL is the gateway's address inside of Supabase's Docker
	// setup and of "supabase start", where the database sees it.
	defaultSelfHostedURL = "http://kong:8000"

	// The values of token_store.
	tokensInFunctionsDir = "functions_dir"
	tokensInEnvFile      = "env_file"

	shortestLifetime = time.Second
)

// selfHostedModel is the provider's argument self_hosted.
type selfHostedModel struct {
	FunctionsDir   types.String `tfsdk:"functions_dir"`
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
		MarkdownDescription: "A self-hosted project (Supabase's Docker setup or `supabase start`) in the place of one on the platform: " +
			"Edge Functions are files in a directory, and SQL goes over `database_url`, which is required with it. " +
			"There is no Management API, so `access_token`, `api_url` and `project_url` have no place beside it, and `project_ref` is the word `" + backup.SelfHostedRef + "`. " +
			"See the guide on self-hosted projects.",
		Attributes: map[string]schema.Attribute{
			"functions_dir": schema.StringAttribute{
				Required: true, Validators: notEmpty,
				MarkdownDescription: "Directory with one directory for each Edge Function: `volumes/functions` of the Docker setup, `supabase/functions` of a project of the CLI. A relative path begins where Terraform runs.",
			},
			"url": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Address of the gateway as the database sees it, from inside its container. Default: `" + defaultSelfHostedURL + "`, which is right for the Docker setup and for `supabase start`.",
			},
			"anon_key": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "The project's `anon` key or a publishable key, with which the database may call the alert function by itself. It is public by design. Default: `" + envAnonKey + "`.",
			},
			"verify_jwt": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether the runtime demands a JWT before it runs any function (`FUNCTIONS_VERIFY_JWT` of the Docker setup, which holds for all functions). With `true` the database presents `anon_key`, which then has to be a JWT. Default: `false`.",
			},
			"token_store": schema.StringAttribute{
				Optional:   true,
				Validators: []validator.String{stringvalidator.OneOf(tokensInFunctionsDir, tokensInEnvFile)},
				MarkdownDescription: "How a function knows its invocation token. `" + tokensInFunctionsDir + "`: by its SHA-256 digest in `" + payload.TokensFile + "` beside the code, which is no secret and is live without a restart. " +
					"`" + tokensInEnvFile + "`: by an environment variable of the runtime, for own sources that read one. Default: `" + tokensInFunctionsDir + "`.",
			},
			"env_file": schema.StringAttribute{
				Optional: true, Validators: notEmpty,
				MarkdownDescription: "File from which the runtime's environment comes: the `env_file` of the service `functions`, or `supabase/functions/.env`. Needed for `secrets` of a backup and for `token_store = \"" + tokensInEnvFile + "\"`. Other lines of the file are kept.",
			},
			"restart_command": schema.ListAttribute{
				ElementType: types.StringType, Optional: true,
				Validators: []validator.List{listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(notEmpty...)},
				MarkdownDescription: "Program and arguments that create the runtime anew, without a shell, for example `[\"docker\", \"compose\", \"up\", \"-d\", \"--force-recreate\", \"--no-deps\", \"functions\"]`. " +
					"It runs during an apply, after functions or the env file have changed, and never during a plan. Without it, an apply that changes a function waits for `worker_lifetime`, and one that changes the env file warns that a restart is left to do.",
			},
			"worker_lifetime": schema.StringAttribute{
				Optional: true, Validators: []validator.String{checked("must be a duration", validateLifetime)},
				MarkdownDescription: "How long the runtime keeps an instance of a function, and so how long old code may answer: `workerTimeoutMs` in the Docker setup's `functions/main/index.ts`; `supabase start` has `400s`. " +
					"The function gives the backup two thirds of it, 100 seconds at most. Default: `" + formatDuration(selfhosted.DefaultWorkerLifetime) + "`.",
			},
		},
	}
}

func validateLifetime(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no duration; write minutes or seconds, for example \"60s\"", text)
	case d < shortestLifetime:
		return fmt.Errorf("%q is shorter than a second", text)
	}
	return nil
}

// selfHosted is the argument self_hosted after defaults.
type selfHosted struct {
	selfhosted.Config
	URL       string
	VerifyJWT bool
}

// service makes the backups of the one project.
func (s selfHosted) service(known *connections, databaseURL string) (*install.Service, error) {
	db, err := known.database(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("open the database of the self-hosted project: %w", err)
	}
	runtime := selfhosted.New(s.Config)
	return install.NewService(backup.SelfHostedRef, runtime, db).SelfHosted(runtime), nil
}

// serves says why a project cannot be reached by this provider's configuration.
func (p *projects) serves(ref string) error {
	switch own := p.config.SelfHosted != nil; {
	case own && ref != backup.SelfHostedRef:
		return fmt.Errorf("this provider's configuration is that of a self-hosted project, so project %q cannot be reached; take `project_ref` out, or give that project a provider configuration of its own, with an alias", ref)
	case !own && ref == backup.SelfHostedRef:
		return fmt.Errorf("%q stands for a self-hosted project, and this provider's configuration has no `self_hosted`", ref)
	}
	return nil
}

// explainSelfHosted adds to an installation's failure what a self-hosted
// project may be the reason of.
func (p *projects) explainSelfHosted(err error) error {
	own := p.config.SelfHosted
	if own == nil || !errors.Is(err, install.ErrNotVerified) {
		return err
	}
	return fmt.Errorf("%w. On a self-hosted project, look at these: the database reaches the gateway at %s, where localhost would be the database's own container; "+
		"the functions service serves %s, and \"supabase start\" knows a function only after a restart; if all functions demand a JWT, set `verify_jwt` in `self_hosted`", err, own.URL, own.FunctionsDir)
}

// readSelfHosted reads the argument. It answers false while a value in it is
// not known yet, and nil when there is none.
func readSelfHosted(ctx context.Context, object types.Object) (*selfHosted, bool, diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() {
		return nil, object.IsNull(), nil
	}
	var model selfHostedModel
	diags := object.As(ctx, &model, basetypes.ObjectAsOptions{})
	values := append(slices.Collect(mapValues(object.Attributes())), model.RestartCommand.Elements()...)
	if diags.HasError() || slices.ContainsFunc(values, attr.Value.IsUnknown) {
		return nil, false, diags
	}
	lifetime, err := time.ParseDuration(model.WorkerLifetime.ValueString())
	if err != nil {
		lifetime = 0 // the validator has refused anything but nothing
	}
	config := &selfHosted{
		Config: selfhosted.Config{
			FunctionsDir: model.FunctionsDir.ValueString(), EnvFile: model.EnvFile.ValueString(),
			TokensInEnvironment: model.TokenStore.ValueString() == tokensInEnvFile,
			WorkerLifetime:      lifetime, APIKey: model.AnonKey.ValueString(),
		},
		URL: model.URL.ValueString(), VerifyJWT: model.VerifyJWT.ValueBool(),
	}
	diags.Append(model.RestartCommand.ElementsAs(ctx, &config.RestartCommand, false)...)
	return config, true, diags
}

func mapValues[K comparable, V any](m map[K]V) func(func(V) bool) {
	return func(yield func(V) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
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
	r.fill("self_hosted.anon_key", &own.APIKey, envAnonKey, "")
	if own.WorkerLifetime == 0 {
		own.WorkerLifetime = selfhosted.DefaultWorkerLifetime
	}
	if own.URL == "" {
		own.URL = defaultSelfHostedURL
	}
	own.URL = strings.TrimRight(own.URL, "/")
	config.ProjectURL = own.URL
	if !isWebAddress(own.URL) {
		r.reject("self_hosted.url", "%q is not an http or https address.", own.URL)
	}
	switch {
	case own.APIKey == "":
		r.reject("self_hosted.anon_key", "The database needs the project's anon key or publishable key to call the alert function. Set `anon_key` or the environment variable %s. In the Docker setup it is ANON_KEY in .env; with the CLI, \"supabase status\" prints it.", envAnonKey)
	case strings.ContainsFunc(own.APIKey, func(c rune) bool { return c <= ' ' || c > '~' }):
		r.reject("self_hosted.anon_key", "The key contains a space, a line break or another character that no key has. Copy it again.")
	case own.VerifyJWT && !isJWT(own.APIKey):
		r.reject("self_hosted.anon_key", "With `verify_jwt` the runtime accepts a JWT only. Use the legacy anon key.")
	}
	if own.TokensInEnvironment && own.EnvFile == "" {
		r.reject("self_hosted.env_file", "With `token_store = %q` the token is kept in the runtime's environment. Set `env_file` too.", tokensInEnvFile)
	}
	r.fill("database_url", &config.DatabaseURL, envDatabaseURL, "")
	if config.DatabaseURL == "" {
		r.reject("database_url", "A self-hosted project has no Management API, so SQL needs a connection. Set `database_url` or, better, the environment variable %s: postgresql://postgres.<POOLER_TENANT_ID>:<password>@<host>:5432/postgres for the Docker setup, postgresql://postgres:postgres@127.0.0.1:54322/postgres for \"supabase start\".", envDatabaseURL)
	} else if _, err := postgres.ParseURL(config.DatabaseURL); err != nil {
		r.reject("database_url", "%s", text.Sentence(err.Error()))
	}
}

func isJWT(key string) bool { return strings.HasPrefix(key, "eyJ") && strings.Count(key, ".") == 2 }

// attributePath is the path of a provider argument, nested ones with a dot.
func attributePath(attribute string) path.Path {
	outer, inner, nested := strings.Cut(attribute, ".")
	if !nested {
		return path.Root(outer)
	}
	return path.Root(outer).AtName(inner)
}

// checkSelfHosted refuses, at a backup's own attributes, what a self-hosted
// project cannot take.
func (p *projects) checkSelfHosted(name string, code source.Source, secrets map[string]attr.Value, diags *diag.Diagnostics) {
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
			"Functions of a self-hosted project get secrets from the runtime's environment alone. Set `self_hosted.env_file` in the provider block.")
	}
	for secret, value := range secrets {
		content, _ := value.(types.String)
		if err := selfhosted.CheckSecret(secret, content.ValueString()); err != nil {
			diags.AddAttributeError(path.Root("secrets").AtMapKey(secret), "Invalid secret", text.Sentence(err.Error()))
		}
	}
}

// warnUnsettled says what is left to do by hand after an apply.
func (p *projects) warnUnsettled(diags *diag.Diagnostics) {
	diags.AddWarning("The functions runtime has to be restarted",
		fmt.Sprintf("%s has changed, and a runtime reads its environment when it is created. Until then its functions know the old values: a new token is refused, and runs fail with 401. "+
			"In the Docker setup run \"docker compose up -d --force-recreate --no-deps functions\", with the CLI \"supabase stop\" and \"supabase start\". "+
			"It was not proved that the backup works. With `restart_command` in `self_hosted` an apply does both by itself.", filepath.Base(p.config.SelfHosted.EnvFile)))
}
