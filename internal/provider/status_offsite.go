package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
)

type copyModel struct {
	State          string  `tfsdk:"state"`
	CopiedAt       *string `tfsdk:"copied_at"`
	BackupID       *string `tfsdk:"backup_id"`
	MadeAt         *string `tfsdk:"made_at"`
	Rows           *int64  `tfsdk:"rows"`
	RawBytes       *int64  `tfsdk:"raw_bytes"`
	Bytes          *int64  `tfsdk:"bytes"`
	Objects        *int64  `tfsdk:"objects"`
	ManifestKey    *string `tfsdk:"manifest_key"`
	ManifestSHA256 *string `tfsdk:"manifest_sha256"`
	Sequence       *int64  `tfsdk:"sequence"`
	LockedUntil    *string `tfsdk:"locked_until"`
	VerifiedAt     *string `tfsdk:"verified_at"`
	VerifiedState  *string `tfsdk:"verified_state"`
	Code           *string `tfsdk:"code"`
	Error          *string `tfsdk:"error"`
	Remedy         *string `tfsdk:"remedy"`
}

// holding is a validator: a set has to hold a value.
type holding struct{ value, reason string }

func (h holding) Description(context.Context) string             { return fmt.Sprintf("must hold %q", h.value) }
func (h holding) MarkdownDescription(ctx context.Context) string { return h.Description(ctx) }

func (h holding) ValidateSet(_ context.Context, req validator.SetRequest, resp *validator.SetResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	for _, value := range req.ConfigValue.Elements() {
		if value.IsUnknown() || value.Equal(types.StringValue(h.value)) {
			return
		}
	}
	resp.Diagnostics.AddAttributeError(req.Path, "Invalid set", fmt.Sprintf("The set lacks %q: %s. Add it.", h.value, h.reason))
}

// requirements are what the configuration requires, and the default where it says nothing.
func (m *statusModel) requirements() []health.Requirement { return requirementsOf(&m.Require) }

// requirementsOf reads the argument require, and sets it to the default if it is null.
func requirementsOf(require *types.Set) (all []health.Requirement) {
	if require.IsNull() {
		all = health.DefaultRequire()
		var values []attr.Value
		for _, r := range all {
			values = append(values, types.StringValue(string(r)))
		}
		*require = types.SetValueMust(types.StringType, values)
		return all
	}
	all = []health.Requirement{}
	for _, value := range require.Elements() {
		if name, ok := value.(types.String); ok {
			all = append(all, health.Requirement(name.ValueString()))
		}
	}
	return all
}

// fillCopies puts the destinations of copies into the attributes.
func (m *statusModel) fillCopies(s health.Status) {
	if s.Offsite == nil {
		return
	}
	m.Offsite = map[string]copyModel{}
	for key, d := range s.Offsite {
		model := copyModel{State: string(d.State), Code: optional(d.Problem.Code), Error: optional(d.Problem.Error)}
		if model.Code != nil {
			model.Remedy = optional(codes.Lookup(d.Problem.Code, d.Problem.SQLState).Remedy)
		}
		if c := d.Copy; c != nil {
			model.CopiedAt, model.BackupID, model.MadeAt = optionalTime(c.CompletedAt), optional(c.BackupID), optionalTime(c.MadeAt)
			model.Rows, model.RawBytes, model.Bytes, model.Objects, model.Sequence = &c.Rows, &c.RawBytes, &c.Bytes, &c.Objects, &c.Sequence
			model.ManifestKey, model.ManifestSHA256, model.LockedUntil = optional(c.ManifestKey), optional(c.ManifestSHA256), optionalTime(c.LockedUntil)
		}
		if look := d.Check; look != nil {
			model.VerifiedAt, model.VerifiedState = optionalTime(look.FinishedAt), optional(look.State)
		}
		m.Offsite[key] = model
	}
}

func requireAttribute() schema.Attribute {
	backup, drill, offsite := string(health.RequireBackup), string(health.RequireDrill), string(health.RequireOffsite)
	return schema.SetAttribute{
		ElementType: types.StringType, Optional: true, Computed: true,
		Validators: []validator.Set{
			setvalidator.ValueStringsAre(stringvalidator.OneOf(backup, drill, offsite)),
			holding{backup, "every status requires the backup itself"},
		},
		MarkdownDescription: "What the backup is not `healthy` without: `" + backup + "`, always; `" + drill + "`, so that a failed restore drill makes it unhealthy; " +
			"`" + offsite + "`, so that a copy outside the project does that fails, is late or was never made, or an object of one that is missing, changed or not locked any more, or a backup without a destination. " +
			"What is left out is a warning. Default: `[\"" + backup + "\", \"" + drill + "\"]`.",
	}
}

func copiesAttribute() schema.Attribute {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
	}
	return schema.MapNestedAttribute{
		Computed: true,
		MarkdownDescription: "The copies outside the project, by the key of their destination: the newest complete one, and how the newest attempt went. " +
			"What is null is not known, or there is none. Null when there is no destination.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"state": text("`copied`; `pending`, a copy is being made or due soon; `failing`, the newest attempt failed, and `code` says why; `late`, the newest backup that is due has not been copied for more than a day; " +
				"`never`, the same, and there is no copy at all; `unverified`, the weekly look found something wrong with a copy, or could not read the bucket."),
			"copied_at":       text("When the newest copy was complete. RFC 3339, UTC."),
			"backup_id":       text("UUID of the backup that it is a copy of."),
			"made_at":         text("When this backup was requested. RFC 3339, UTC."),
			"rows":            number("Number of rows in the copy."),
			"raw_bytes":       number("Size of the rows as text, in bytes."),
			"bytes":           number("Size of what is stored of them, compressed and encrypted, in bytes."),
			"objects":         number("Number of objects in the bucket."),
			"manifest_key":    text("Key of the manifest in the bucket."),
			"manifest_sha256": text("SHA-256 digest of the manifest, in hexadecimal. Keep it elsewhere: it shows that the copy and all before it are those that were made."),
			"sequence":        number("Number of the manifest, counted from 1 at this address."),
			"locked_until":    text("When the first lock of its objects ends. RFC 3339, UTC; null without locks."),
			"verified_at":     text("When the newest weekly look at the bucket ended. RFC 3339, UTC."),
			"verified_state":  text("What it found: `passed`, `failed`, or `unreadable` if it could not read the bucket."),
			"code":            text("Why the state is `failing`, `late`, `never` or `unverified`; null otherwise."),
			"error":           text("What the other side said, or the key of the first object with something wrong."),
			"remedy":          text("What to do about it."),
		}},
	}
}
