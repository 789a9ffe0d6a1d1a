package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/bucket"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/cms"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/restore"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

var (
	_ action.ActionWithConfigure      = (*restoreAction)(nil)
	_ action.ActionWithValidateConfig = (*restoreAction)(nil)
)

// defaultRestoreTimeout is how long a restore may take.
const defaultRestoreTimeout = 2 * time.Hour

// restoreAction restores an off-site copy into a database. It needs the project's name
// and not the project.
type restoreAction struct {
	// projects is nil until the provider is configured.
	projects *projects
}

func newRestoreAction() action.Action { return &restoreAction{} }

type restoreActionModel struct {
	Endpoint          types.String `tfsdk:"endpoint"`
	Region            types.String `tfsdk:"region"`
	Bucket            types.String `tfsdk:"bucket"`
	Prefix            types.String `tfsdk:"prefix"`
	ProjectRef        types.String `tfsdk:"project_ref"`
	Name              types.String `tfsdk:"name"`
	AccessKeyID       types.String `tfsdk:"access_key_id"`
	SecretAccessKey   types.String `tfsdk:"secret_access_key"`
	PrivateKey        types.String `tfsdk:"private_key"`
	UnwrapCommand     types.List   `tfsdk:"unwrap_command"`
	Backup            types.String `tfsdk:"backup"`
	ManifestSHA256    types.String `tfsdk:"manifest_sha256"`
	DatabaseURL       types.String `tfsdk:"database_url"`
	Schema            types.String `tfsdk:"schema"`
	Confirm           types.String `tfsdk:"confirm"`
	DryRun            types.Bool   `tfsdk:"dry_run"`
	AcceptBrokenChain types.Bool   `tfsdk:"accept_broken_chain"`
	CheckSQL          types.List   `tfsdk:"check_sql"`
	Keep              types.Bool   `tfsdk:"keep"`
	ResultFile        types.String `tfsdk:"result_file"`
	SigningKey        types.String `tfsdk:"signing_key"`
	Timeout           types.String `tfsdk:"timeout"`
}

func (a *restoreAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_auto_backup_restore"
}

func (a *restoreAction) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	a.projects = configured(req.ProviderData, &resp.Diagnostics)
}

func (a *restoreAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	required := func(description, what string, complain func(string) error) schema.StringAttribute {
		return schema.StringAttribute{Required: true, Validators: []validator.String{checked(what, complain)}, MarkdownDescription: description}
	}
	optional := func(description, what string, complain func(string) error) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, Validators: []validator.String{checked(what, complain)}, MarkdownDescription: description}
	}
	// The server makes them write-only; see writeOnly.
	secret := func(description string, required bool) schema.StringAttribute {
		return schema.StringAttribute{Required: required, Optional: !required, MarkdownDescription: description + " Write-only: it may come from an ephemeral resource or variable, and is then in no plan."}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Restores an off-site copy from its bucket into a database, without the project that it was made of: with `terraform apply -invoke`. " +
			"First it verifies everything: the chain of manifests, the digest of every object, and, decrypted, of what it contains. Then one transaction creates the schema, loads the rows, and compares their number and digest with the manifest; " +
			"it is committed only if all are as expected. It never writes into a schema that has tables.\n\n" +
			"A dry run (`dry_run`) verifies the same and lists everything that stands against a restore. The guide [Off-site copies](../guides/off-site#restore) has the commands for older engines, " +
			"and [the format](../guides/off-site-format) what to do without this provider. The action sends no request to the project or the Management API.\n\nActions need Terraform 1.14 or newer.",
		Attributes: map[string]schema.Attribute{
			"endpoint":          required("URL of the S3 service, such as `https://s3.eu-central-1.amazonaws.com`.", "must be the URL of an S3 service", offsite.ValidateEndpoint),
			"region":            required("Region of the bucket, or `auto` where the service has none.", "must be a region", offsite.ValidateRegion),
			"bucket":            required("Name of the bucket.", "must be the name of a bucket", offsite.ValidateBucket),
			"prefix":            optional("The destination's `prefix`. Default: none.", "must be a prefix of object names", offsite.ValidatePrefix),
			"project_ref":       optional("Reference of the project that the copies are of. Default: the provider's `project_ref`.", "must be a project reference", backup.ValidateProjectRef),
			"name":              optional("Name of the backup. Default: `"+backup.DefaultName+"`.", "must be the name of a backup", func(s string) error { return backup.Name(s).Validate() }),
			"access_key_id":     secret("Credentials that may list the bucket and read its objects; those of the project may only write.", true),
			"secret_access_key": secret("The secret of `access_key_id`.", true),
			"private_key":       secret("RSA private key of one of the recipients, as PEM without a passphrase. Either this or `unwrap_command`.", false),
			"unwrap_command": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Program with its arguments that decrypts content keys, for a private key in a KMS or an HSM. It is run once for each object, without a shell, gets the encrypted key in base64 on standard input and the identifier of the recipient's key in the environment variable `AIMINDSET_KEY_ID`, " +
					"and prints the key (RSA-OAEP with SHA-256, 32 bytes) in base64. Its arguments are not secret.",
			},
			"backup":          optional("Which backup: `latest` for the newest whole one, a time as in RFC 3339 for the newest until then, or a backup ID. Default: `latest`.", "must be latest, a time or a backup ID", validateBackup),
			"manifest_sha256": optional("SHA-256 that the manifest must have, as the project has recorded it in `auto_backup.exports`: anybody who may write to the bucket can put a backup of their own there. Default: any.", "must be a SHA-256", validateSHA256),
			"database_url":    secret("Connection URL of the target, as for the provider: the server is verified unless the URL says otherwise. The role need not be a superuser; it must own the database or be allowed to create what the schema has.", true),
			"schema": optional("Restores the schema `public` of the copy under this name, beside what the target has in `public`. The schema must not exist. Texts of functions that name `public` are not changed, and extensions of the target in `public` are not found by what is restored. "+
				"Default: `public`, which must have no tables.", "must be the name of a schema", validateIdentifier),
			"confirm":             optional("The target once more, against a wrong `database_url`: the project reference, or, where the URL has none, the name of the database. Required unless it is a dry run.", "must be a name", anyText),
			"dry_run":             schema.BoolAttribute{Optional: true, MarkdownDescription: "Verifies everything, reports all that stands against a restore, and writes nothing. Default: `false`."},
			"accept_broken_chain": schema.BoolAttribute{Optional: true, MarkdownDescription: "Restores although a backup between others is missing or was changed. Default: `false`."},
			"check_sql": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Statements that are run before the end of the transaction, with no search path. Each must return one row with one column that is true, such as `select count(*) > 100 from public.articles`. What they change is undone.",
			},
			"keep":        schema.BoolAttribute{Optional: true, MarkdownDescription: "Keeps the restored rows although a statement of `check_sql` did not return true. Default: `false`."},
			"result_file": optional("File that gets the result as JSON, also after a failure: what was restored from which manifest, when and in how long, and each comparison with what was expected and found. It has no values of rows.", "must be a path", anyText),
			"signing_key": secret("Ed25519 private key as PEM, which signs the file of `result_file`: the 64 bytes of the signature get into a file of that name with `.sig` at its end. `openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in result.json -sigfile result.json.sig` verifies it.", false),
			"timeout":     optional("How long the restore may take. Default: `"+formatDuration(defaultRestoreTimeout)+"`.", "must be a positive duration", func(s string) error { _, err := parseTimeout(s); return err }),
		},
	}
}

// uuidPattern is the form of a backup ID.
const uuidPattern = `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`

func validateBackup(s string) error {
	_, err := time.Parse(time.RFC3339, s)
	if s == bucket.Newest || err == nil || regexp.MustCompile(uuidPattern).MatchString(s) {
		return nil
	}
	return fmt.Errorf("%q names no backup; write \"latest\", a time such as \"2026-11-26T06:00:00Z\", or a backup ID in small letters", s)
}

func validateSHA256(s string) error {
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(s) {
		return fmt.Errorf("%q is not a SHA-256; write 64 hexadecimal digits in small letters", s)
	}
	return nil
}

// ValidateConfig refuses arguments that do not go together.
func (a *restoreAction) ValidateConfig(ctx context.Context, req action.ValidateConfigRequest, resp *action.ValidateConfigResponse) {
	var config restoreActionModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if key, command := config.PrivateKey, config.UnwrapCommand; !key.IsUnknown() && !command.IsUnknown() && key.IsNull() == command.IsNull() {
		resp.Diagnostics.AddAttributeError(path.Root("private_key"), "Wrong key", "Set either `private_key` or `unwrap_command`.")
	}
	if config.Confirm.IsNull() && !config.DryRun.IsUnknown() && !config.DryRun.ValueBool() {
		resp.Diagnostics.AddAttributeError(path.Root("confirm"), "Missing confirmation", "Set `confirm` to the project reference or the name of the database of `database_url`, or `dry_run = true` to see what it is.")
	}
	if !config.SigningKey.IsNull() && config.ResultFile.IsNull() {
		resp.Diagnostics.AddAttributeError(path.Root("signing_key"), "Nothing to sign", "`signing_key` signs the file of `result_file`, and there is none.")
	}
	if config.Keep.ValueBool() && config.CheckSQL.IsNull() {
		resp.Diagnostics.AddAttributeError(path.Root("keep"), "Nothing to keep", "`keep` is about statements of `check_sql`, and there are none.")
	}
}

// options reads the configuration. It reports what is wrong by argument.
func (a *restoreAction) options(ctx context.Context, config restoreActionModel, diags *diag.Diagnostics) restore.Options {
	wrong := func(argument string, err error) {
		if err != nil {
			diags.AddAttributeError(path.Root(argument), "Invalid value", text.Sentence(err.Error()))
		}
	}
	place := bucket.Place{
		Endpoint: config.Endpoint.ValueString(), Region: config.Region.ValueString(), Bucket: config.Bucket.ValueString(), Prefix: config.Prefix.ValueString(),
		ProjectRef: config.ProjectRef.ValueString(), Backup: config.Name.ValueString(),
		AccessKeyID: config.AccessKeyID.ValueString(), SecretAccessKey: config.SecretAccessKey.ValueString(),
	}
	if place.ProjectRef == "" && a.projects != nil {
		place.ProjectRef = a.projects.config.ProjectRef
	}
	if place.ProjectRef == "" {
		wrong("project_ref", errors.New("neither the action nor the provider names the project that the copies are of"))
	}
	if place.Backup == "" {
		place.Backup = backup.DefaultName
	}
	o := restore.Options{
		Backup: bucket.Newest, ManifestSHA256: config.ManifestSHA256.ValueString(), DatabaseURL: config.DatabaseURL.ValueString(), Confirm: config.Confirm.ValueString(), Schema: config.Schema.ValueString(),
		DryRun: config.DryRun.ValueBool(), AcceptBrokenChain: config.AcceptBrokenChain.ValueBool(), Keep: config.Keep.ValueBool(),
	}
	if !config.Backup.IsNull() {
		o.Backup = config.Backup.ValueString()
	}
	var err error
	o.Bucket, err = bucket.Open(place)
	wrong("endpoint", err)
	if _, err := postgres.ParseURL(o.DatabaseURL); err != nil {
		wrong("database_url", err)
	}
	if key := config.PrivateKey.ValueString(); !config.PrivateKey.IsNull() {
		o.Key, err = cms.ParsePrivateKey([]byte(key))
		wrong("private_key", err)
	} else {
		var argv []string
		diags.Append(config.UnwrapCommand.ElementsAs(ctx, &argv, false)...)
		if len(argv) == 0 {
			wrong("unwrap_command", errors.New("the command is empty"))
		}
		o.Key = cms.Command(argv)
	}
	diags.Append(config.CheckSQL.ElementsAs(ctx, &o.CheckSQL, false)...)
	return o
}

func (a *restoreAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var config restoreActionModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	o := a.options(ctx, config, &resp.Diagnostics)
	timeout := defaultRestoreTimeout
	if !config.Timeout.IsNull() {
		var err error
		if timeout, err = parseTimeout(config.Timeout.ValueString()); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("timeout"), "Invalid value", text.Sentence(err.Error()))
		}
	}
	var signer *restore.Signer
	if key := config.SigningKey.ValueString(); !config.SigningKey.IsNull() {
		var err error
		if signer, err = restore.ParseSigner([]byte(key)); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("signing_key"), "Invalid value", text.Sentence(err.Error()))
		}
	}
	if resp.Diagnostics.HasError() {
		return
	}
	tell := func(message string) { resp.SendProgress(action.InvokeProgressEvent{Message: message}) }
	o.Progress = tell
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result, err := restore.Run(ctx, o)
	for _, warning := range result.Warnings {
		tell("note: " + text.Line(warning))
	}
	for _, l := range result.LeftOut {
		needs := ""
		if len(l.Needs) > 0 {
			needs = ": " + strings.Join(l.Needs, ", ")
		}
		tell("left out: " + text.Line(l.Kind+" "+l.Name+" "+l.Reason+needs))
	}
	for _, n := range result.NotCovered {
		tell("not covered: " + text.Line(n.Surface+": "+n.Reason))
	}
	addRestoreResult(&resp.Diagnostics, result, err, timeout)
	if file := config.ResultFile.ValueString(); file != "" {
		if err := writeResult(file, result, signer); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("result_file"), "The result was not written", text.Sentence(err.Error()))
		}
	}
}

// addRestoreResult reports a restore that did not take place: every blocker by the
// argument that it is about.
func addRestoreResult(diags *diag.Diagnostics, result *restore.Result, err error, timeout time.Duration) {
	switch {
	case err == nil:
	case errors.Is(err, restore.ErrOutcomeUnknown):
		diags.AddError("It is not known whether the backup was restored", text.Sentence(err.Error()))
	case errors.Is(err, context.DeadlineExceeded):
		diags.AddError("The backup was not restored in time", fmt.Sprintf("It was not restored within %s, and nothing was written. To wait longer, raise `timeout`.", formatDuration(timeout)))
	case errors.Is(err, context.Canceled):
		diags.AddError("The restore was interrupted", "Nothing was written.")
	case errors.Is(err, restore.ErrBlocked):
		for _, b := range result.Blockers {
			const summary = "The backup cannot be restored"
			if b.Argument == "" {
				diags.AddError(summary, b.String())
			} else {
				diags.AddAttributeError(path.Root(b.Argument), summary, b.String())
			}
		}
	default:
		diags.AddError("The backup was not restored", text.Sentence(err.Error())+"\n\nNothing was written to the target.")
	}
}

// writeResult writes the result, and its signature if there is a signer, for the owner of
// the files alone: the result names tables and servers.
func writeResult(file string, result *restore.Result, signer *restore.Signer) error {
	document, err := result.Document()
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, document, 0o600); err != nil || signer == nil {
		return err
	}
	return os.WriteFile(file+".sig", signer.Sign(document), 0o600)
}
