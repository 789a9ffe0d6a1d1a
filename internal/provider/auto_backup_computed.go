package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/fingerprint"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// A computedAttribute is an attribute whose value the provider computes. The value
// is known in the plan, and an apply stores the planned value, unless it depends
// on an argument that is not known yet.
type computedAttribute struct {
	schema schema.Attribute
	// field returns the attribute's field in a model, a *types.String or a
	// *types.Map.
	field func(*autoBackupModel) any
	// planned returns the value after an apply.
	planned func(planning, *diag.Diagnostics) attr.Value
}

// planning has what computed values are computed from.
type planning struct {
	id       backup.ID
	settings backup.Settings
	// digests are those of the function's source; nil if it cannot be read.
	digests map[string]string
	// verify is the argument of that name.
	verify types.String
	// secrets are the configured secrets that have fingerprints. Their values may be
	// unknown, and if unsure is true, one may turn out not to be configured.
	secrets map[string]attr.Value
	unsure  bool
	// state is nil for a new backup.
	state        *autoBackupModel
	fingerprints *fingerprint.Cache
}

// computedAttributes returns all computed attributes by name. Apart from this table,
// an attribute has only its field in autoBackupModel.
func computedAttributes() map[string]computedAttribute {
	return map[string]computedAttribute{
		"id": {
			schema: schema.StringAttribute{
				Computed: true, MarkdownDescription: "`<project_ref>/<name>`, which is also the import ID.",
			},
			field:   func(m *autoBackupModel) any { return &m.ID },
			planned: func(p planning, _ *diag.Diagnostics) attr.Value { return types.StringValue(p.id.String()) },
		},
		"function_url": {
			schema: schema.StringAttribute{
				Computed: true, MarkdownDescription: "URL at which the database calls the Edge Function.",
			},
			field:   func(m *autoBackupModel) any { return &m.FunctionURL },
			planned: func(p planning, _ *diag.Diagnostics) attr.Value { return types.StringValue(p.settings.Function.URL) },
		},
		"source_hash": {
			schema: schema.StringAttribute{
				Computed: true, MarkdownDescription: "Short hash of the Edge Function's whole source, which changes with any of its files.",
			},
			field: func(m *autoBackupModel) any { return &m.SourceHash },
			planned: func(p planning, _ *diag.Diagnostics) attr.Value {
				if p.digests == nil {
					return types.StringUnknown()
				}
				return types.StringValue(sourceHash(p.digests))
			},
		},
		"cron_utc": {
			schema: schema.MapAttribute{
				ElementType: types.StringType, Computed: true,
				MarkdownDescription: "Schedules of the pg_cron jobs in UTC, by schedule key; that of a restore drill has the key `drill`. If the clock of a schedule's time zone changes, the job ticks more often, and the dispatcher lets only the due ticks through.",
			},
			field: func(m *autoBackupModel) any { return &m.CronUTC },
			planned: func(p planning, _ *diag.Diagnostics) attr.Value {
				utc := map[string]string{}
				for key, s := range p.settings.Schedules {
					utc[key] = s.UTC
				}
				if restored := p.settings.Drill; restored != nil {
					utc[drill.JobKey] = restored.UTC
				}
				return mapOf(utc)
			},
		},
		"dispatcher_version": {
			schema: schema.StringAttribute{
				Computed: true, MarkdownDescription: "Version of the SQL that is installed in schema `auto_backup`.",
			},
			field: func(m *autoBackupModel) any { return &m.DispatcherVersion },
			planned: func(planning, *diag.Diagnostics) attr.Value {
				return types.StringValue(payload.LoadDispatcher().Version)
			},
		},
		"verified": {
			schema: schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "What the last apply verified: `none`, `probe` or `backup`, as `verify` asked; " +
					"or `" + verifiedFailed + "`, and then the next apply verifies again.",
			},
			field: func(m *autoBackupModel) any { return &m.Verified },
			planned: func(p planning, _ *diag.Diagnostics) attr.Value {
				// It alone does not require an apply, unless the last
				// verification failed.
				if p.state != nil && p.state.Verified.ValueString() != verifiedFailed {
					return p.state.Verified
				}
				return p.verify
			},
		},
		"secret_fingerprints": {
			schema: schema.MapAttribute{
				ElementType: types.StringType, Computed: true,
				MarkdownDescription: "Salted fingerprints of the additional secrets and of those of `heartbeat` and `webhooks`, by name: PBKDF2-HMAC-SHA256 with 600,000 iterations. Each takes about 0.13 s of one core, once in a plan and once in an apply. Null if there are none.",
			},
			field:   func(m *autoBackupModel) any { return &m.SecretFingerprints },
			planned: plannedFingerprints,
		},
		"drift": {
			schema: schema.MapAttribute{
				ElementType: types.StringType, Computed: true,
				MarkdownDescription: "Everything in the project that differs from what was applied, by object: what was found and what is wanted. " +
					"A refresh fills it, a plan always plans it empty, and an apply repairs what it lists.",
			},
			field:   func(m *autoBackupModel) any { return &m.Drift },
			planned: func(planning, *diag.Diagnostics) attr.Value { return mapOf(nil) },
		},
	}
}

// plannedFingerprints keeps the fingerprints of unchanged secrets. Those of changed
// secrets are computed when they are applied.
func plannedFingerprints(p planning, diags *diag.Diagnostics) attr.Value {
	switch {
	case p.unsure:
		return types.MapUnknown(types.StringType)
	case len(p.secrets) == 0:
		return types.MapNull(types.StringType)
	}
	known := map[string]string{}
	if p.state != nil {
		known = stringsOf(p.state.SecretFingerprints)
	}
	fingerprints, digests := map[string]attr.Value{}, map[string]string{}
	for name, element := range p.secrets {
		fingerprints[name] = types.StringUnknown()
		value, _ := element.(types.String)
		if !value.IsUnknown() && p.fingerprints.Is(known[name]) {
			digests[name] = backup.DigestOf(value.ValueString())
		}
	}
	wanted, err := p.fingerprints.All(digests, known)
	if err != nil {
		diags.AddError("Cannot fingerprint a secret", err.Error())
	}
	for name, fingerprint := range wanted {
		if fingerprint == known[name] {
			fingerprints[name] = types.StringValue(fingerprint)
		}
	}
	return types.MapValueMust(types.StringType, fingerprints)
}

// sourceHash returns a short hash of a source: 64 bits of the SHA-256 over the
// paths and digests of its files, in hexadecimal.
func sourceHash(digests map[string]string) string {
	hash := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(digests)) {
		fmt.Fprintf(hash, "%s  %s\n", digests[file], file)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// plan sets the computed values to the planned ones.
func (m *autoBackupModel) plan(p planning, diags *diag.Diagnostics) {
	for _, computed := range computedAttributes() {
		assign(computed.field(m), computed.planned(p, diags))
	}
}

// forget plans every computed value but the ID as unknown until the apply.
func (m *autoBackupModel) forget() {
	for name, computed := range computedAttributes() {
		if name == "id" {
			continue
		}
		switch field := computed.field(m).(type) {
		case *types.String:
			*field = types.StringUnknown()
		case *types.Map:
			*field = types.MapUnknown(types.StringType)
		}
	}
}

func assign(field any, value attr.Value) {
	switch field := field.(type) {
	case *types.String:
		if text, ok := value.(types.String); ok {
			*field = text
		}
	case *types.Map:
		if elements, ok := value.(types.Map); ok {
			*field = elements
		}
	}
}
