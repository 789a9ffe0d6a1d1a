package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	invalidDestination = "Invalid destination"

	// mostRecipients keeps the encrypted keys at the head of each object small.
	mostRecipients = 10
)

var (
	lockType    = types.ObjectType{AttrTypes: map[string]attr.Type{"mode": types.StringType, "days": types.Int64Type}}
	offsiteType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"endpoint": types.StringType, "region": types.StringType, "bucket": types.StringType, "prefix": types.StringType,
		"recipients": types.ListType{ElemType: types.StringType}, "lock": lockType, "every": types.StringType,
		"tables": types.SetType{ElemType: types.StringType}, "verify": types.StringType,
		"access_key_id": types.StringType, "secret_access_key": types.StringType,
	}}
)

type offsiteModel struct {
	Endpoint   types.String `tfsdk:"endpoint"`
	Region     types.String `tfsdk:"region"`
	Bucket     types.String `tfsdk:"bucket"`
	Prefix     types.String `tfsdk:"prefix"`
	Recipients types.List   `tfsdk:"recipients"`
	Lock       types.Object `tfsdk:"lock"`
	Every      types.String `tfsdk:"every"`
	Tables     types.Set    `tfsdk:"tables"`
	Verify     types.String `tfsdk:"verify"`
	// The credentials are known in the configuration only.
	AccessKeyID     types.String `tfsdk:"access_key_id"`
	SecretAccessKey types.String `tfsdk:"secret_access_key"`
}

// destinations returns those destinations of a map that are known and not null.
func destinations(ctx context.Context, configured types.Map, diags *diag.Diagnostics) map[string]offsiteModel {
	return knownObjects[offsiteModel](ctx, configured, diags)
}

// knownObjects returns those objects of a map that are known and not null.
func knownObjects[M any](ctx context.Context, configured types.Map, diags *diag.Diagnostics) map[string]M {
	models := map[string]M{}
	for key, element := range configured.Elements() {
		object, ok := element.(types.Object)
		if !ok || object.IsNull() || object.IsUnknown() {
			continue
		}
		var m M
		diags.Append(object.As(ctx, &m, basetypes.ObjectAsOptions{})...)
		models[key] = m
	}
	return models
}

// isUnknown reports whether anything but the credentials is unknown.
func (m offsiteModel) isUnknown() bool {
	values := slices.Concat(
		[]attr.Value{m.Endpoint, m.Region, m.Bucket, m.Prefix, m.Recipients, m.Lock, m.Every, m.Tables, m.Verify},
		m.Recipients.Elements(), m.Tables.Elements(), slices.Collect(maps.Values(m.Lock.Attributes())),
	)
	return slices.ContainsFunc(values, attr.Value.IsUnknown)
}

// read returns the destination, with those recipients that are valid; their validator
// reports the others.
func (m offsiteModel) read(name backup.Name, key string, now time.Time) offsite.Destination {
	d := offsite.Destination{
		Endpoint: m.Endpoint.ValueString(), Region: m.Region.ValueString(), Bucket: m.Bucket.ValueString(), Prefix: m.Prefix.ValueString(),
		Recipients: []string{}, Every: m.Every.ValueString(), Verify: m.Verify.ValueString(), Tables: []string{},
		Secrets: name.OffsiteSecrets(key),
	}
	for _, element := range m.Recipients.Elements() {
		pem, _ := element.(types.String)
		if r, err := offsite.ParseRecipient(pem.ValueString()); err == nil {
			d.Recipients = append(d.Recipients, r.String())
			if !r.NotAfter.IsZero() && r.NotAfter.Before(now) {
				d.Expired = append(d.Expired, r.NotAfter)
			}
		}
	}
	for _, element := range m.Tables.Elements() {
		if table, ok := element.(types.String); ok {
			d.Tables = append(d.Tables, table.ValueString())
		}
	}
	slices.Sort(d.Tables)
	if mode, ok := m.Lock.Attributes()["mode"].(types.String); ok {
		days, _ := m.Lock.Attributes()["days"].(types.Int64)
		d.Lock = &offsite.Lock{Mode: mode.ValueString(), Days: days.ValueInt64()}
	}
	return d
}

// offsiteSettings reads the configured destinations; nil if there are none. project is the
// reference of the backup's project.
func offsiteSettings(ctx context.Context, configured types.Map, name backup.Name, project string, now time.Time) reading[*offsite.Settings] {
	var diags diag.Diagnostics
	if configured.IsUnknown() || slices.ContainsFunc(slices.Collect(maps.Values(configured.Elements())), attr.Value.IsUnknown) {
		return unknown[*offsite.Settings]()
	}
	if len(configured.Elements()) == 0 {
		return readingOf[*offsite.Settings](nil, diags)
	}
	result := &offsite.Settings{Destinations: map[string]offsite.Destination{}, ProjectRef: project}
	for key, m := range destinations(ctx, configured, &diags) {
		if m.isUnknown() {
			return unknown[*offsite.Settings]()
		}
		result.Destinations[key] = m.read(name, key, now)
		addConflicts(key, result.Destinations[key], project, &diags)
	}
	return readingOf(result, diags)
}

// addConflicts refuses a destination whose arguments do not go together.
func addConflicts(key string, d offsite.Destination, project string, diags *diag.Diagnostics) {
	for _, conflict := range d.Check(project) {
		diags.AddAttributeError(path.Root("offsite").AtMapKey(key).AtName(conflict.Argument), invalidDestination, text.Sentence(conflict.Text))
	}
}

// validateOffsite refuses destinations that cannot work, as far as they are known.
func validateOffsite(ctx context.Context, config autoBackupModel, diags *diag.Diagnostics) {
	if len(config.Offsite.Elements()) == 0 {
		return
	}
	at := path.Root("offsite")
	refuseOwnFunction(config.Function, diags)
	for _, key := range slices.Sorted(maps.Keys(config.Offsite.Elements())) {
		if config.Offsite.Elements()[key].IsNull() {
			diags.AddAttributeError(at.AtMapKey(key), invalidDestination, "The destination is null. Leave its key out to end its copies.")
		}
	}
	named := config.Secrets.Elements()
	for key, m := range destinations(ctx, config.Offsite, diags) {
		names := config.nameOrDefault().OffsiteSecrets(key)
		for _, secret := range []struct {
			argument, name string
			value          types.String
		}{{"access_key_id", names.AccessKeyID, m.AccessKeyID}, {"secret_access_key", names.SecretAccessKey, m.SecretAccessKey}} {
			if value := secret.value.ValueString(); !secret.value.IsUnknown() && !secret.value.IsNull() && (value == "" || strings.TrimSpace(value) != value) {
				diags.AddAttributeError(at.AtMapKey(key).AtName(secret.argument), invalidDestination,
					"The value is empty, or has a space or a line break at its beginning or end, which the service would refuse. Remove it, for example with `trimspace`.")
			}
			if _, taken := named[secret.name]; taken {
				diags.AddAttributeError(path.Root("secrets").AtMapKey(secret.name), "Invalid secret",
					fmt.Sprintf("%s is the secret of %s. Remove it from `secrets`, or choose another key for the destination.", secret.name, argumentText(at.AtMapKey(key).AtName(secret.argument))))
			}
		}
		if !m.isUnknown() {
			addConflicts(key, m.read("", key, time.Now()), config.ProjectRef.ValueString(), diags)
		}
	}
}

// refuseOwnFunction refuses copies of a backup whose function is the user's own.
func refuseOwnFunction(function types.Object, diags *diag.Diagnostics) {
	directory, ok := function.Attributes()["source_dir"].(types.String)
	if ok && !directory.IsNull() && !directory.IsUnknown() {
		diags.AddAttributeError(path.Root("offsite"), "Copies need the built-in function",
			"The provider's own Edge Function makes the copies, and `function.source_dir` replaces it. Leave `source_dir` out, or `offsite`.")
	}
}

// argumentText is the text of a path, as in diagnostics.
func argumentText(at path.Path) string { return "`" + at.String() + "`" }

func (m autoBackupModel) nameOrDefault() backup.Name {
	if m.Name.IsNull() || m.Name.IsUnknown() {
		return backup.DefaultName
	}
	return backup.Name(m.Name.ValueString())
}

// extraSecrets are the extra function secrets of a configuration by name: those of
// `secrets` and the credentials of the destinations.
func (m autoBackupModel) extraSecrets(ctx context.Context) map[string]attr.Value {
	all := maps.Clone(m.Secrets.Elements())
	if all == nil {
		all = map[string]attr.Value{}
	}
	for key, d := range destinations(ctx, m.Offsite, &diag.Diagnostics{}) {
		names := m.nameOrDefault().OffsiteSecrets(key)
		all[names.AccessKeyID], all[names.SecretAccessKey] = d.AccessKeyID, d.SecretAccessKey
	}
	return all
}

// fingerprinted are all secrets of a configuration of which the state keeps fingerprints, by
// name: the extra function secrets, and the vault's of the heartbeat and the webhooks.
func (m autoBackupModel) fingerprinted(ctx context.Context) map[string]attr.Value {
	all := m.extraSecrets(ctx)
	maps.Copy(all, m.channelSecrets(ctx))
	return all
}

// secretPath is the path of the argument with the value of a secret with a fingerprint.
func (m autoBackupModel) secretPath(secret string) path.Path {
	if ofChannel(secret) {
		return m.channelPath(secret)
	}
	for key := range m.Offsite.Elements() {
		at := path.Root("offsite").AtMapKey(key)
		switch names := m.nameOrDefault().OffsiteSecrets(key); secret {
		case names.AccessKeyID:
			return at.AtName("access_key_id")
		case names.SecretAccessKey:
			return at.AtName("secret_access_key")
		}
	}
	return path.Root("secrets").AtMapKey(secret)
}

// offsiteOf is the argument for the destinations that a project has.
func offsiteOf(found *offsite.Settings) types.Map {
	if found == nil || len(found.Destinations) == 0 {
		return types.MapNull(offsiteType)
	}
	elements := map[string]attr.Value{}
	for key, d := range found.Destinations {
		lock := types.ObjectNull(lockType.AttrTypes)
		if d.Lock != nil {
			lock = types.ObjectValueMust(lockType.AttrTypes, map[string]attr.Value{"mode": types.StringValue(d.Lock.Mode), "days": types.Int64Value(d.Lock.Days)})
		}
		recipients, tables := []attr.Value{}, []attr.Value{}
		for _, r := range d.Recipients {
			recipients = append(recipients, types.StringValue(offsite.PEM(r)))
		}
		for _, table := range d.Tables {
			tables = append(tables, types.StringValue(table))
		}
		elements[key] = types.ObjectValueMust(offsiteType.AttrTypes, map[string]attr.Value{
			"endpoint": types.StringValue(d.Endpoint), "region": types.StringValue(d.Region), "bucket": types.StringValue(d.Bucket), "prefix": types.StringValue(d.Prefix),
			"recipients": types.ListValueMust(types.StringType, recipients), "lock": lock, "every": types.StringValue(d.Every),
			"tables": types.SetValueMust(types.StringType, tables), "verify": types.StringValue(d.Verify),
			"access_key_id": types.StringNull(), "secret_access_key": types.StringNull(),
		})
	}
	return types.MapValueMust(offsiteType, elements)
}

// keptDestinations are the keys of the destinations that are as in the state.
func (m autoBackupModel) keptDestinations(state *autoBackupModel) (keys []string) {
	if state == nil {
		return nil
	}
	for key, element := range m.Offsite.Elements() {
		if former, ok := state.Offsite.Elements()[key]; ok && element.Equal(former) {
			keys = append(keys, key)
		}
	}
	return keys
}

// keepRecipients keeps the state's text of a destination's recipients if the configuration
// has the same keys in other words, such as a certificate in the place of a public key.
func (m *autoBackupModel) keepRecipients(state *autoBackupModel) {
	if state == nil || m.Offsite.IsNull() || m.Offsite.IsUnknown() {
		return
	}
	elements := m.Offsite.Elements()
	for key, element := range elements {
		wanted, ok := element.(types.Object)
		former, both := state.Offsite.Elements()[key].(types.Object)
		if !ok || !both {
			continue
		}
		attributes := wanted.Attributes()
		if present := former.Attributes()["recipients"]; sameRecipients(attributes["recipients"], present) {
			attributes["recipients"] = present
			elements[key] = types.ObjectValueMust(offsiteType.AttrTypes, attributes)
		}
	}
	m.Offsite = types.MapValueMust(offsiteType, elements)
}

func sameRecipients(a, b attr.Value) bool {
	keys := func(value attr.Value) (keys []string) {
		recipients, _ := value.(types.List)
		for _, element := range recipients.Elements() {
			pem, _ := element.(types.String)
			r, err := offsite.ParseRecipient(pem.ValueString())
			if err != nil {
				return nil
			}
			keys = append(keys, r.String())
		}
		return keys
	}
	wanted := keys(a)
	return len(wanted) > 0 && slices.Equal(wanted, keys(b))
}

func offsiteAttribute() schema.Attribute {
	recipient := checked("must be a public key or a certificate in PEM", func(pem string) error { _, err := offsite.ParseRecipient(pem); return err })
	return schema.MapNestedAttribute{
		Optional:   true,
		Validators: []validator.Map{mapvalidator.KeysAre(checked("must be a key of a destination", offsite.ValidateKey))},
		MarkdownDescription: "Buckets outside the project, by key, that get an encrypted copy of each backup. The copies survive the deletion of the project, and nobody can read them with what the project has. " +
			"The Edge Function compresses the rows, encrypts them to the `recipients` (CMS, AES-256-GCM) and stores them by S3's protocol; `manifest.json` is written last, and `recovery.md` beside it says how to get the data back without this provider. " +
			"An apply with `verify` other than `none` writes and reads an object to see whether it works. A copy that fails does not make the backup a failed one. Needs the built-in function. Default: no copies.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"endpoint": schema.StringAttribute{
				Required:            true,
				Validators:          []validator.String{checked("must be the URL of an S3 service", offsite.ValidateEndpoint)},
				MarkdownDescription: "URL of the S3 service, without the bucket, such as `https://s3.eu-central-1.amazonaws.com`. It must be `https`, except in a private network.",
			},
			"region": schema.StringAttribute{
				Required:            true,
				Validators:          []validator.String{checked("must be a region", offsite.ValidateRegion)},
				MarkdownDescription: "Region of the bucket, as the service names it. For Cloudflare R2 it is `auto`.",
			},
			"bucket": schema.StringAttribute{
				Required:            true,
				Validators:          []validator.String{checked("must be the name of a bucket", offsite.ValidateBucket)},
				MarkdownDescription: "Name of the bucket, which must exist.",
			},
			"prefix": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(""),
				Validators:          []validator.String{checked("must be a prefix", offsite.ValidatePrefix)},
				MarkdownDescription: "What the names of all objects begin with, before a slash. Default: nothing.",
			},
			"recipients": schema.ListAttribute{
				ElementType: types.StringType, Required: true,
				Validators: []validator.List{listvalidator.SizeBetween(1, mostRecipients), listvalidator.ValueStringsAre(recipient)},
				MarkdownDescription: fmt.Sprintf("RSA public keys of %d to %d bits, or certificates, in PEM. Each of their private keys opens every copy alone. ", offsite.LeastBits, offsite.MostBits) +
					"Without a private key no copy can be opened, so name two, and keep the private keys apart, **never in the project, in the configuration or in a state**.",
			},
			"lock": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "How long no object can be changed or deleted, by S3's Object Lock, which the bucket must have. Default: no lock.",
				Attributes: map[string]schema.Attribute{
					"mode": schema.StringAttribute{
						Required:            true,
						Validators:          []validator.String{stringvalidator.OneOf(offsite.Governance, offsite.Compliance)},
						MarkdownDescription: "`governance`: users with the permission `s3:BypassGovernanceRetention` can still delete; `compliance`: **nobody can, not even the owner of the account**.",
					},
					"days": schema.Int64Attribute{
						Required:            true,
						Validators:          []validator.Int64{int64validator.Between(1, offsite.MostLockDays)},
						MarkdownDescription: "How many days from the moment an object is written.",
					},
				},
			},
			"every": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(offsite.EveryBackup),
				Validators:          []validator.String{stringvalidator.OneOf(offsite.EveryBackup, offsite.EveryDay, offsite.EveryWeek)},
				MarkdownDescription: "What is copied: every `backup`, or at most one `daily` or `weekly`. Default: `" + offsite.EveryBackup + "`.",
			},
			"tables": schema.SetAttribute{
				ElementType: types.StringType, Optional: true, Computed: true,
				Default:    setdefault.StaticValue(types.SetValueMust(types.StringType, []attr.Value{types.StringValue(offsite.StoredRows)})),
				Validators: []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(checked("must be \"stored\", \"live\" or a table with its schema", offsite.ValidateTable))},
				MarkdownDescription: "What a copy contains, besides the schema of the database: `stored`, the rows that the SQL function has stored; `live`, the tables that it copies, whole, with the columns that it leaves out; " +
					"and other tables by name, such as `public.settings`. Default: `[\"" + offsite.StoredRows + "\"]`.",
			},
			"verify": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(offsite.VerifyHead),
				Validators: []validator.String{stringvalidator.OneOf(offsite.VerifyWrite, offsite.VerifyHead, offsite.VerifyRead)},
				MarkdownDescription: "How each object is verified: `write`: by the response to the write, for credentials that can only write; `head`: by its size, checksum and lock as the bucket reports them; " +
					"`read`: it is read back and compared. Default: `" + offsite.VerifyHead + "`.",
			},
			"access_key_id": schema.StringAttribute{
				Required: true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "Access key ID of the bucket. Write-only, like `secrets`: it becomes a secret of the project's Edge Functions, and only its fingerprint is kept.",
			},
			"secret_access_key": schema.StringAttribute{
				Required: true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "Secret access key of the bucket, write-only. It need not be able to delete objects.",
			},
		}},
	}
}
