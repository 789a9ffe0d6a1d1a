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
			"and the Edge Function that they call, with its secrets. Without arguments it runs `backup_all_data()` every night at 03:00 in São Paulo.",
		Attributes: map[string]schema.Attribute{
			"project_ref": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators:          []validator.String{checked("must be a project reference", backup.ValidateProjectRef)},
				MarkdownDescription: "Reference of the backup's project. Default: the provider's `project_ref`. A change replaces the backup.",
			},
			"name": schema.StringAttribute{
				Optional: true, Computed: true,
				Default:             stringdefault.StaticString(backup.DefaultName),
				Validators:          []validator.String{checked("must be usable as function slug, job name and secret name", func(s string) error { return backup.Name(s).Validate() })},
				PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
				MarkdownDescription: "Name of the backup, from which the names of all its parts derive: lower-case words joined by hyphens, at most 40 characters. Default: `" + backup.DefaultName + "`. A change replaces the backup.",
			},
			"timezone": schema.StringAttribute{
				Optional: true, Computed: true,
				Default:             stringdefault.StaticString(backup.DefaultTimezone),
				Validators:          []validator.String{checked("must be an IANA time zone", validateZone)},
				MarkdownDescription: "IANA time zone of the schedules. Default: `" + backup.DefaultTimezone + "`.",
			},
			"schedules":      schedulesAttribute(),
			"function":       functionAttribute(),
			"alert":          alertAttribute(),
			"retry":          retryAttribute(),
			"drill":          drillAttribute(),
			"retention":      retentionAttribute(),
			"offsite":        offsiteAttribute(),
			"heartbeat":      heartbeatAttribute(),
			"webhooks":       webhooksAttribute(),
			"log_constraint": logConstraintAttribute(),
			"secrets": schema.MapAttribute{
				ElementType: types.StringType,
				Optional:    true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "Additional secrets of the project's Edge Functions, by name. Write-only: neither the state nor a plan contains the values; " +
					"a changed value is detected by its fingerprint. Removing a name deletes the secret, unless it was adopted. An ephemeral value must be the same in the plan and in its apply.",
			},
			"adopt_existing": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Whether to adopt existing jobs, functions and secrets that have the backup's names and that this provider did not create. The plan lists them. " +
					"A job with a different key is not changed, and the plan warns about it. Destroying the backup removes adopted jobs and functions and keeps adopted secrets. Default: `false`: such objects are an error.",
			},
			"verify": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(verifyProbe),
				Validators: []validator.String{stringvalidator.OneOf(verifyNone, verifyProbe, verifyBackup)},
				MarkdownDescription: "What an apply verifies: `none`; `probe`: the database calls the function, which checks its token, permissions and tables without making a backup; " +
					"`backup`: a whole backup is made too. If the verification fails, the apply fails and says which step did not work, and the next apply verifies again. Default: `" + verifyProbe + "`.",
			},
			"rotate_token": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Any change of this text creates a new invocation token, without a failed run in between, and makes the watchdog use the project's current API key. For example, use a date.",
			},
			"timeouts": timeoutsAttribute(ctx),
		},
	}
	for name, computed := range computedAttributes() {
		resp.Schema.Attributes[name] = computed.schema
	}
}

func timeoutsAttribute(ctx context.Context) schema.Attribute {
	const text = "Maximum duration, such as `5m` or `1h30m`. Default: `10m`."
	attribute := timeouts.Attributes(ctx, timeouts.Opts{
		Create: true, CreateDescription: text,
		Read: true, ReadDescription: "Maximum duration of a refresh, and of the reads of a plan. Default: `10m`.",
		Update: true, UpdateDescription: text,
		Delete: true, DeleteDescription: text,
	})
	if nested, ok := attribute.(schema.SingleNestedAttribute); ok {
		nested.MarkdownDescription = "How long an operation may take. After a timeout the state contains what was done, and the next apply continues from there."
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
		MarkdownDescription: "Schedules of the backup, by key. The pg_cron job of a schedule is named `<name>-<key>`. Default: `{ daily = { cron = \"" + backup.DefaultCron + "\" } }`.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"cron": schema.StringAttribute{
				Required:            true,
				Validators:          []validator.String{checked("must be a cron expression", validateCron)},
				MarkdownDescription: "Five cron fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, in the schedule's time zone. Expressions that pg_cron would accept but never run, or run at other times than they say, are refused.",
			},
			"timezone": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be an IANA time zone", validateZone)},
				MarkdownDescription: "IANA time zone of this schedule. Default: the backup's `timezone`.",
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
		MarkdownDescription: "The Edge Function and what it calls. The default is the built-in function, which calls `" + backup.DefaultRPC + "()`.",
		Attributes: map[string]schema.Attribute{
			"source_dir": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{stringvalidator.LengthAtLeast(1), checked("must be a directory", anyText)},
				MarkdownDescription: "Directory with your own `index.ts` and the files that it imports. Default: the built-in function.",
			},
			"rpc": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(backup.DefaultRPC),
				Validators:          []validator.String{checked("must be the name of an SQL function", validateIdentifier)},
				MarkdownDescription: "SQL function in schema `public` that makes the backup. Default: `" + backup.DefaultRPC + "`.",
			},
			"verify_table": schema.StringAttribute{
				Optional:            true,
				Validators:          []validator.String{checked("must be the name of a table", validateIdentifier)},
				MarkdownDescription: "Table in schema `public` that must contain rows with the backup's `backup_id` for a run to count as successful. Give it a column `backup_created_at` (`timestamptz`) too: without it, a backup whose response was lost is recorded as failed, and the status does not count the stored backups. Default: none.",
			},
		},
	}
}

// defaultAlert is the value of a configuration without `alert`. It is not the schema's
// default, which could not have the state's duration: the framework would take every plan
// for one that changes the backup.
func defaultAlert() types.Object {
	return types.ObjectValueMust(alertType.AttrTypes, map[string]attr.Value{
		"enabled": types.BoolValue(true), "function": types.StringValue(backup.DefaultAlertFunction),
		"source": types.StringValue(backup.DefaultAlertSource), "overdue_after": types.StringUnknown(),
	})
}

func alertAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true, Computed: true, // ModifyPlan has the default
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
				MarkdownDescription: "Source that the e-mail names. Default: `" + backup.DefaultAlertSource + "`.",
			},
			"overdue_after": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators:          []validator.String{checked("must be a duration", validateOverdueAfter)},
				MarkdownDescription: "Time since the last success after which the backup is overdue, such as `26h`. Default: the longest gap between two scheduled runs plus two hours, and `0s`, which means never, if no schedule is enabled.",
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
				MarkdownDescription: "How often a failed run is retried, 0 to 10. Default: 1.",
			},
			"delay": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(delay),
				Validators:          []validator.String{checked("must be a duration", validateDuration)},
				MarkdownDescription: "Time between a failed run and its retry. Default: `" + delay + "`.",
			},
		},
	}
}

func logConstraintAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(logConstraintExtend),
		Validators: []validator.String{stringvalidator.OneOf(logConstraintExtend, logConstraintRequire)},
		MarkdownDescription: "What to do if the CHECK on `backup_logs.action_type` does not allow `auto_backup`: `extend` widens it and restores it on destroy; " +
			"`require` refuses to plan until you have widened it. Default: `" + logConstraintExtend + "`.",
	}
}

func (r *autoBackupResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"project_ref": identityschema.StringAttribute{RequiredForImport: true, Description: "Reference of the backup's project."},
		"name":        identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the backup."},
	}}
}
