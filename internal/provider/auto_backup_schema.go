package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// The values of log_constraint and of verify.
const (
	logConstraintExtend  = "extend"
	logConstraintRequire = "require"

	verifyNone   = "none"
	verifyProbe  = "probe"
	verifyBackup = "backup"

	// verifiedFailed is the value of verified after an apply whose verification
	// failed, or which failed before it.
	verifiedFailed = "failed"
)

var (
	scheduleType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"cron": types.StringType, "timezone": types.StringType, "enabled": types.BoolType,
	}}
	functionType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"source_dir": types.StringType, "rpc": types.StringType, "verify_table": types.StringType,
	}}
	alertType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"enabled": types.BoolType, "function": types.StringType, "source": types.StringType, "overdue_after": types.StringType,
	}}
	retryType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"attempts": types.Int64Type, "delay": types.StringType,
	}}
)

func (r *autoBackupResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The automatic backup of a Supabase project: the pg_cron jobs, the dispatcher and the watchdog in the database, " +
			"the Edge Function they call and its secrets. Without any argument it runs `backup_all_data()` every night at 03:00 in São Paulo.",
		Attributes: map[string]schema.Attribute{
			"project_ref": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators:          []validator.String{checked("must be a project reference", backup.ValidateProjectRef)},
				MarkdownDescription: "Project of the backup. Default: the provider's `project_ref`. Another one makes a new backup.",
			},
			"name": schema.StringAttribute{
				Optional: true, Computed: true,
				Default:             stringdefault.StaticString(backup.DefaultName),
				Validators:          []validator.String{checked("must survive as slug, job name and secret name", func(s string) error { return backup.Name(s).Validate() })},
				PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
				MarkdownDescription: "Name from which the names of all parts derive: lower-case words joined by hyphens, at most 40 characters. Default: `" + backup.DefaultName + "`. Another one makes a new backup.",
			},
			"timezone": schema.StringAttribute{
				Optional: true, Computed: true,
				Default:             stringdefault.StaticString(backup.DefaultTimezone),
				Validators:          []validator.String{checked("must be an IANA time zone", validateZone)},
				MarkdownDescription: "IANA time zone in which the schedules are read. Default: `" + backup.DefaultTimezone + "`.",
			},
			"schedules":      schedulesAttribute(),
			"function":       functionAttribute(),
			"alert":          alertAttribute(),
			"retry":          retryAttribute(),
			"log_constraint": logConstraintAttribute(),
			"secrets": schema.MapAttribute{
				ElementType: types.StringType,
				Optional:    true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "Extra secrets of the project's Edge Functions, by name. Write-only: the values are in no state and no plan; " +
					"a changed value is found by its fingerprint. Removing a name removes the secret, but for one that was adopted. An ephemeral value has to be the same at the plan and at its apply.",
			},
			"adopt_existing": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Take over jobs, functions and secrets of the backup's names which this provider did not make; the plan lists them. " +
					"A job of another key stays as it is, and the plan warns of it. Adopted jobs and functions go with the backup, adopted secrets stay. Default: `false`, which refuses to plan.",
			},
			"verify": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(verifyProbe),
				Validators: []validator.String{stringvalidator.OneOf(verifyNone, verifyProbe, verifyBackup)},
				MarkdownDescription: "What an apply has to prove: `none`; `probe`, the database calls the function, which proves its token, its rights and its tables without a backup; " +
					"`backup`, a whole backup is run as well. An apply that cannot prove it fails with the link of the chain that broke, and the next one tries again. Default: `" + verifyProbe + "`.",
			},
			"rotate_token": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Any change of this text makes a new invocation token, without a tick that fails in between, and has the watchdog use the project's present API key. A date is a good text.",
			},
			"timeouts": timeoutsAttribute(ctx),
		},
	}
	for name, computed := range computedAttributes() {
		resp.Schema.Attributes[name] = computed.schema
	}
}

func timeoutsAttribute(ctx context.Context) schema.Attribute {
	const text = "How long it may take, such as `5m` or `1h30m`. Default: `10m`."
	attribute := timeouts.Attributes(ctx, timeouts.Opts{
		Create: true, CreateDescription: text,
		Read: true, ReadDescription: "How long a refresh, and after it the look of a plan, may take. Default: `10m`.",
		Update: true, UpdateDescription: text,
		Delete: true, DeleteDescription: text,
	})
	if nested, ok := attribute.(schema.SingleNestedAttribute); ok {
		nested.MarkdownDescription = "How long an operation may take. What was done until then is in the state, and the next apply goes on from there."
		attribute = nested
	}
	return attribute
}

func schedulesAttribute() schema.Attribute {
	standard := types.MapValueMust(scheduleType, map[string]attr.Value{
		backup.DefaultScheduleKey: types.ObjectValueMust(scheduleType.AttrTypes, map[string]attr.Value{
			"cron": types.StringValue(backup.DefaultCron), "timezone": types.StringNull(), "enabled": types.BoolValue(true),
		}),
	})
	return schema.MapNestedAttribute{
		Optional: true, Computed: true,
		Default: mapdefault.StaticValue(standard),
		Validators: []validator.Map{
			mapvalidator.KeysAre(checked("must be a schedule key", backup.ValidateKey)),
		},
		MarkdownDescription: "Schedules of the backup, by key; the job of a schedule is named `<name>-<key>`. Default: `{ daily = { cron = \"" + backup.DefaultCron + "\" } }`.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"cron": schema.StringAttribute{
				Required:            true,
				Validators:          []validator.String{checked("must be a cron expression", validateCron)},
				MarkdownDescription: "Five cron fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, read in the schedule's time zone. What pg_cron would accept and never fire, or fire otherwise than it reads, is refused.",
			},
			"timezone": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be an IANA time zone", validateZone)},
				MarkdownDescription: "Time zone of this schedule. Default: that of the backup.",
			},
			"enabled": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(true),
				MarkdownDescription: "Whether the job is active. Default: `true`.",
			},
		}},
	}
}

func functionAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true, Computed: true,
		Default: objectdefault.StaticValue(types.ObjectValueMust(functionType.AttrTypes, map[string]attr.Value{
			"source_dir": types.StringNull(), "rpc": types.StringValue(backup.DefaultRPC), "verify_table": types.StringNull(),
		})),
		MarkdownDescription: "The Edge Function, and what it calls. By default the built-in one, which calls `" + backup.DefaultRPC + "()`.",
		Attributes: map[string]schema.Attribute{
			"source_dir": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{stringvalidator.LengthAtLeast(1), checked("must be a directory", anyText)},
				MarkdownDescription: "Directory with an own `index.ts` and what it imports. Default: the built-in function.",
			},
			"rpc": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(backup.DefaultRPC),
				Validators:          []validator.String{checked("must be the name of an SQL function", validateIdentifier)},
				MarkdownDescription: "SQL function in schema `public` that makes the backup. Default: `" + backup.DefaultRPC + "`.",
			},
			"verify_table": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be the name of a table", validateIdentifier)},
				MarkdownDescription: "Table in schema `public` that has to hold rows of the backup's `backup_id` before a run counts as a success. Default: none.",
			},
		},
	}
}

func alertAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true, Computed: true,
		Default: objectdefault.StaticValue(types.ObjectValueMust(alertType.AttrTypes, map[string]attr.Value{
			"enabled": types.BoolValue(true), "function": types.StringValue(backup.DefaultAlertFunction),
			"source": types.StringValue(backup.DefaultAlertSource), "overdue_after": types.StringUnknown(),
		})),
		MarkdownDescription: "How a backup that failed or did not run is reported.",
		Attributes: map[string]schema.Attribute{
			"enabled": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(true),
				MarkdownDescription: "Whether failures are reported by e-mail. Default: `true`.",
			},
			"function": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(backup.DefaultAlertFunction),
				Validators:          []validator.String{checked("must be the slug of an Edge Function", validateSlug)},
				MarkdownDescription: "Slug of the Edge Function that sends the e-mail. Default: `" + backup.DefaultAlertFunction + "`.",
			},
			"source": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(backup.DefaultAlertSource),
				Validators:          []validator.String{checked("must be plain text", validateAlertSource)},
				MarkdownDescription: "Origin named in the e-mail. Default: `" + backup.DefaultAlertSource + "`.",
			},
			"overdue_after": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators:          []validator.String{checked("must be a duration", validateDuration)},
				MarkdownDescription: "Age of the last success at which the backup is overdue, such as `26h`. Default: the longest gap of the schedules and two hours.",
			},
		},
	}
}

func retryAttribute() schema.Attribute {
	delay := formatDuration(backup.DefaultRetryDelay)
	return schema.SingleNestedAttribute{
		Optional: true, Computed: true,
		Default: objectdefault.StaticValue(types.ObjectValueMust(retryType.AttrTypes, map[string]attr.Value{
			"attempts": types.Int64Value(backup.DefaultRetryAttempts), "delay": types.StringValue(delay),
		})),
		MarkdownDescription: "What happens after a failed run.",
		Attributes: map[string]schema.Attribute{
			"attempts": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(backup.DefaultRetryAttempts),
				Validators:          []validator.Int64{int64validator.Between(0, 10)},
				MarkdownDescription: "How often a failed run is tried again, 0 to 10. Default: 1.",
			},
			"delay": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(delay),
				Validators:          []validator.String{checked("must be a duration", validateDuration)},
				MarkdownDescription: "Pause before it. Default: `" + delay + "`.",
			},
		},
	}
}

func logConstraintAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(logConstraintExtend),
		Validators: []validator.String{stringvalidator.OneOf(logConstraintExtend, logConstraintRequire)},
		MarkdownDescription: "What to do where the CHECK of `backup_logs.action_type` refuses `auto_backup`: `extend` widens it and puts it back on destroy; " +
			"`require` refuses to plan until somebody else has widened it. Default: `" + logConstraintExtend + "`.",
	}
}

func (r *autoBackupResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"project_ref": identityschema.StringAttribute{RequiredForImport: true, Description: "Project of the backup."},
		"name":        identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the backup."},
	}}
}
