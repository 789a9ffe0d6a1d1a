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

	// proofFailed is the value of proof after an apply that did not come to its
	// end or whose proof failed.
	proofFailed = "failed"
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
	coverageType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"copied": types.ListType{ElemType: types.StringType}, "not_copied": types.ListType{ElemType: types.StringType}, "kept_in": types.StringType,
	}}
	jobType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"job_id": types.Int64Type, "utc": types.StringType, "active": types.BoolType,
		"command": types.StringType, "database": types.StringType, "username": types.StringType, "due": types.StringType,
	}}
)

func (r *autoBackupResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The automatic backup of a Supabase project: the pg_cron jobs, the dispatcher and the watchdog in the database, " +
			"the Edge Function they call and its secrets. Without any argument it runs `backup_all_data()` every night at 03:00 in São Paulo.",
		Attributes: map[string]schema.Attribute{
			"id": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "`<project_ref>/<name>`, which is also the import ID.",
			},
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

			"function_url": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Address at which the database calls the Edge Function.",
			},
			"function_status": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Status of the Edge Function, `ACTIVE` when it answers.",
			},
			"function_verify_jwt": schema.BoolAttribute{
				Computed: true, MarkdownDescription: "Whether the platform demands a JWT before it runs the function. The function checks its own token, so this is `false`.",
			},
			"function_entrypoint": schema.StringAttribute{
				Computed: true, MarkdownDescription: "File of the Edge Function that the platform runs, always `index.ts`.",
			},
			"function_import_map": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Import map of the Edge Function, relative to `index.ts`; null when there is none.",
			},
			"function_revision": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Bundle hash and time of the last deployment. While it stays, the source is not read again.",
			},
			"source_files": schema.MapAttribute{
				ElementType: types.StringType, Computed: true,
				MarkdownDescription: "SHA-256 of every deployed source file, by its path relative to `index.ts`.",
			},
			"secret_fingerprints": schema.MapAttribute{
				ElementType: types.StringType, Computed: true,
				MarkdownDescription: "Salted and stretched fingerprints of the extra secrets, by name.",
			},
			"token_digest": schema.StringAttribute{
				Computed: true, MarkdownDescription: "SHA-256 of the invocation token where the vault and the function agree on it; else what is wrong.",
			},
			"jobs": schema.MapNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The pg_cron jobs, by schedule key, and the `watchdog`. A second job of the same name that belongs to another role stands under `<key>@<role>` until an apply removes it.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"job_id":   schema.Int64Attribute{Computed: true, MarkdownDescription: "Id of the job in `cron.job`."},
					"utc":      schema.StringAttribute{Computed: true, MarkdownDescription: "Schedule of the job; pg_cron reads it in UTC."},
					"active":   schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the job runs."},
					"command":  schema.StringAttribute{Computed: true, MarkdownDescription: "SQL that the job runs."},
					"database": schema.StringAttribute{Computed: true, MarkdownDescription: "Database in which it runs."},
					"username": schema.StringAttribute{Computed: true, MarkdownDescription: "Role that owns the job."},
					"due":      schema.StringAttribute{Computed: true, MarkdownDescription: "Which ticks of the job the dispatcher lets through: the schedule as it is compiled in the database. Null for the watchdog."},
				}},
			},
			"dispatcher_version": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Version of the SQL that is installed in schema `auto_backup`.",
			},
			"drift": schema.MapAttribute{
				ElementType: types.StringType, Computed: true,
				MarkdownDescription: "What is not as an apply leaves it and has no attribute of its own, by object: tables, columns, indexes, constraints, functions and grants of schema `auto_backup`, " +
					"the provider's ownership markers, and extensions. It is empty when nothing is.",
			},
			"alert_url": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Address at which the watchdog calls the alert function.",
			},
			"coverage": schema.SingleNestedAttribute{
				Computed: true,
				MarkdownDescription: "What a backup holds and what it does not, as the text of the SQL function says. It is looked at whenever something is planned. " +
					"The copies lie in the database that they are copies of: they help against a mistake in a table, not against the loss of the project.",
				Attributes: map[string]schema.Attribute{
					"copied":     schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Tables from which the SQL function copies, where its text could be read."},
					"not_copied": schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Tables with rows that the SQL function never names: those of schema `public`, the users (`auth.users`) and the files (`storage.objects`)."},
					"kept_in":    schema.StringAttribute{Computed: true, MarkdownDescription: "Where the copies are."},
				},
			},
			"proof": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "What the last apply has proved: `none`, `probe` or `backup`, as `verify` wanted it; or `" + proofFailed + "`, and then the next apply proves it again.",
			},
			"log_accepts_auto_backup": schema.BoolAttribute{
				Computed: true, MarkdownDescription: "Whether `backup_logs` accepts rows of `action_type` `auto_backup`.",
			},
		},
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
