package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/report"
)

const (
	defaultHistory = 10
	mostHistory    = 200
)

// The values of a problem's severity.
const (
	severityError   = "error"
	severityWarning = "warning"
)

var _ datasource.DataSourceWithConfigure = (*autoBackupStatus)(nil)

// autoBackupStatus is the data source aimindset_auto_backup_status.
type autoBackupStatus struct {
	// projects is nil until the provider is configured.
	projects *projects
}

func newAutoBackupStatus() datasource.DataSource { return &autoBackupStatus{} }

type statusModel struct {
	ProjectRef   types.String  `tfsdk:"project_ref"`
	Name         types.String  `tfsdk:"name"`
	HistoryLimit types.Int64   `tfsdk:"history_limit"`
	DiskGB       types.Float64 `tfsdk:"disk_gb"`
	Require      types.Set     `tfsdk:"require"`

	ID                  string                        `tfsdk:"id"`
	Installation        string                        `tfsdk:"installation"`
	State               string                        `tfsdk:"state"`
	Healthy             bool                          `tfsdk:"healthy"`
	Summary             string                        `tfsdk:"summary"`
	Problems            []problemModel                `tfsdk:"problems"`
	CheckedAt           string                        `tfsdk:"checked_at"`
	WatchdogAt          *string                       `tfsdk:"watchdog_at"`
	LastSuccess         *successModel                 `tfsdk:"last_success"`
	LastRun             *runModel                     `tfsdk:"last_run"`
	ConsecutiveFailures int64                         `tfsdk:"consecutive_failures"`
	RetryAt             *string                       `tfsdk:"retry_at"`
	NextRuns            []nextRunModel                `tfsdk:"next_runs"`
	StoredBackups       *storedModel                  `tfsdk:"stored_backups"`
	Drill               *drillStatusModel             `tfsdk:"drill"`
	Offsite             map[string]copyModel          `tfsdk:"offsite"`
	Heartbeat           *heartbeatStatusModel         `tfsdk:"heartbeat"`
	Webhooks            map[string]webhookStatusModel `tfsdk:"webhooks"`
	PlatformBackups     platformModel                 `tfsdk:"platform_backups"`
	Coverage            *coverageModel                `tfsdk:"coverage"`
	History             []runModel                    `tfsdk:"history"`
	Nights              []nightModel                  `tfsdk:"nights"`
	Report              string                        `tfsdk:"report"`
	ReportSVG           string                        `tfsdk:"report_svg"`
	Metrics             string                        `tfsdk:"metrics"`
}

type problemModel struct {
	Code     string `tfsdk:"code"`
	Severity string `tfsdk:"severity"`
	Message  string `tfsdk:"message"`
	Remedy   string `tfsdk:"remedy"`
}

type successModel struct {
	FinishedAt      string  `tfsdk:"finished_at"`
	AgeSeconds      int64   `tfsdk:"age_seconds"`
	DurationSeconds *int64  `tfsdk:"duration_seconds"`
	BackupID        *string `tfsdk:"backup_id"`
	Records         *int64  `tfsdk:"records"`
	RunID           *string `tfsdk:"run_id"`
	Schedule        *string `tfsdk:"schedule"`
	DueAt           *string `tfsdk:"due_at"`
}

type runModel struct {
	RunID           *string `tfsdk:"run_id"`
	Schedule        *string `tfsdk:"schedule"`
	Trigger         *string `tfsdk:"trigger"`
	Attempt         *int64  `tfsdk:"attempt"`
	State           string  `tfsdk:"state"`
	DueAt           *string `tfsdk:"due_at"`
	RequestedAt     *string `tfsdk:"requested_at"`
	FinishedAt      *string `tfsdk:"finished_at"`
	DurationSeconds *int64  `tfsdk:"duration_seconds"`
	BackupID        *string `tfsdk:"backup_id"`
	Records         *int64  `tfsdk:"records"`
	Code            *string `tfsdk:"code"`
	Error           *string `tfsdk:"error"`
	WhatHappened    *string `tfsdk:"what_happened"`
	Recovered       *bool   `tfsdk:"recovered"`
	Tick            *string `tfsdk:"tick"`
	Request         *string `tfsdk:"request"`
	HTTP            *string `tfsdk:"http"`
	Function        *string `tfsdk:"function"`
	Log             *string `tfsdk:"log"`
	Alert           *string `tfsdk:"alert"`
}

type nextRunModel struct {
	Schedule string `tfsdk:"schedule"`
	DueAt    string `tfsdk:"due_at"`
}

type coverageModel struct {
	Copied    []string            `tfsdk:"copied"`
	NotCopied []string            `tfsdk:"not_copied"`
	Tables    []coveredTableModel `tfsdk:"tables"`
	LeftOut   int64               `tfsdk:"left_out"`
}

type coveredTableModel struct {
	Name    string  `tfsdk:"name"`
	Copy    *string `tfsdk:"copy"`
	Covered bool    `tfsdk:"covered"`
	Reason  *string `tfsdk:"reason"`
}

func (d *autoBackupStatus) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_auto_backup_status"
}

func (d *autoBackupStatus) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "How a backup is doing: whether the last one that was due was made, whether the next one will be, and what is wrong.\n\n" +
			"It runs one or two SQL statements and reads four lists from the Management API. It writes nothing, so a read-only token and a read-only database role are enough. " +
			"It reads any installation of this name, including one that another state manages, and the pg_cron jobs that AIMindset had before. " +
			"Whatever is missing, broken or not readable is a problem in the result. It fails only when the API or the database cannot be reached.\n\n" +
			"In the configuration that manages the backup, add `depends_on = [aimindset_auto_backup.this]`, so that it is read after an apply has made its changes.",
		Attributes: map[string]schema.Attribute{
			"project_ref": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators:          []validator.String{checked("must be a project reference", backup.ValidateProjectRef)},
				MarkdownDescription: "Project of the backup. Default: the provider's `project_ref`.",
			},
			"name": schema.StringAttribute{
				Optional: true, Computed: true,
				Validators:          []validator.String{checked("must be the name of a backup", func(s string) error { return backup.Name(s).Validate() })},
				MarkdownDescription: "Name of the backup. Default: `" + backup.DefaultName + "`.",
			},
			"history_limit": schema.Int64Attribute{
				Optional: true, Computed: true,
				Validators:          []validator.Int64{int64validator.Between(0, mostHistory)},
				MarkdownDescription: fmt.Sprintf("How many entries `history` has at most, 0 to %d. Default: %d.", mostHistory, defaultHistory),
			},
			"disk_gb": diskAttribute(),
			"require": requireAttribute(),

			"id": schema.StringAttribute{Computed: true, MarkdownDescription: "`<project_ref>/<name>`."},
			"installation": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "What makes the backup: `provider`, an `aimindset_auto_backup` of this or another state; `legacy`, a pg_cron job that makes backups by itself; `none`. " +
					"`backup_logs` is the only record of a legacy job's backups, so the links of the chain are null.",
			},
			"state": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "The worst condition found, in one word: " +
					"`not_installed`; " +
					"`scheduler_down`, pg_cron or the watchdog does not tick, so no backup is started and no alert is sent; " +
					"`failing`, the latest attempt failed, or something is broken that will make the next one fail; " +
					"`late`, a due time passed without a backup, or its job does not start it, so the watchdog has to; " +
					"`running`, a backup is in progress; " +
					"`never_ran`, no backup has been made yet; " +
					"`healthy`.",
			},
			"healthy": schema.BoolAttribute{
				Computed: true, MarkdownDescription: "Whether backups are made as they should be: `state` is `healthy` or `running`, or `never_ran` before the first due time of this provider's backup; then no problem is an `error`.",
			},
			"summary": schema.StringAttribute{
				Computed: true, MarkdownDescription: "The state in one sentence, with the first problem or the time of the last success, and what comes next. Times are those of the backup's time zone. " +
					"It stays the same while nothing happens. For use in `error_message`.",
			},
			"problems": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "What is wrong, the worst first, and causes before their effects. Empty when nothing is wrong.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"code": schema.StringAttribute{
						Computed: true,
						MarkdownDescription: "Kind of the problem, such as `job_missing` or `function_missing`; for a failed attempt, the code of its run, such as `http_404`. " +
							"Codes stay the same between versions; [the guide](../guides/last-night) lists them.",
					},
					"severity": schema.StringAttribute{
						Computed:            true,
						MarkdownDescription: "`" + severityError + "`, which makes `healthy` false, or `" + severityWarning + "`: backups are made all the same.",
					},
					"message": schema.StringAttribute{Computed: true, MarkdownDescription: "What is wrong and with what, in whole sentences."},
					"remedy":  schema.StringAttribute{Computed: true, MarkdownDescription: "What to do."},
				}},
			},
			"checked_at": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Time of the check, by the database's clock. RFC 3339, UTC.",
			},
			"watchdog_at": schema.StringAttribute{
				Computed: true, MarkdownDescription: "When the watchdog last ran; it is due every ten minutes. RFC 3339, UTC; null if it never has.",
			},
			"last_success": schema.SingleNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The newest backup that succeeded, whatever started it; null when there is none.",
				Attributes: map[string]schema.Attribute{
					"finished_at":      schema.StringAttribute{Computed: true, MarkdownDescription: "When it ended. RFC 3339, UTC."},
					"age_seconds":      schema.Int64Attribute{Computed: true, MarkdownDescription: "Time from then to `checked_at`, in seconds, rounded down."},
					"duration_seconds": schema.Int64Attribute{Computed: true, MarkdownDescription: "Time from the request to the end, in seconds, rounded down; null when not known."},
					"backup_id":        schema.StringAttribute{Computed: true, MarkdownDescription: "UUID of its rows in the backup tables; null when not known."},
					"records":          schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of rows that were saved; null when not known."},
					"run_id":           schema.StringAttribute{Computed: true, MarkdownDescription: "UUID of the attempt, also the id of its row in `backup_logs`; null for a legacy job."},
					"schedule":         schema.StringAttribute{Computed: true, MarkdownDescription: "Key of its schedule, `manual` for a backup that was started manually; null for a legacy job."},
					"due_at":           schema.StringAttribute{Computed: true, MarkdownDescription: "When it was due. RFC 3339, UTC; null for a legacy job."},
				},
			},
			"last_run": schema.SingleNestedAttribute{
				Computed: true, Attributes: runAttributes(),
				MarkdownDescription: "The newest attempt, with each link of the chain; null when there is none.",
			},
			"consecutive_failures": schema.Int64Attribute{
				Computed: true, MarkdownDescription: "Number of attempts that failed since the last success, retries included.",
			},
			"retry_at": schema.StringAttribute{
				Computed: true, MarkdownDescription: "When the watchdog is due to repeat the failed attempt. RFC 3339, UTC; null when it will not, or when the next due time comes first.",
			},
			"next_runs": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The next due time of each enabled schedule, the nearest first.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"schedule": schema.StringAttribute{Computed: true, MarkdownDescription: "Key of the schedule, or the name of a legacy job."},
					"due_at":   schema.StringAttribute{Computed: true, MarkdownDescription: "When it is due. RFC 3339, with the offset of the schedule's time zone."},
				}},
			},
			"stored_backups":   storedAttribute(),
			"drill":            drillStatusAttribute(),
			"offsite":          copiesAttribute(),
			"heartbeat":        heartbeatStatusAttribute(),
			"webhooks":         webhooksStatusAttribute(),
			"platform_backups": platformAttribute(),
			"coverage": schema.SingleNestedAttribute{
				Computed: true,
				MarkdownDescription: "What a backup holds and what it does not, as far as the text of the SQL function reveals it. Null when the text cannot be read. " +
					"The copies are in the database that they are copies of: they help against a mistake in a table, not against the loss of the project.",
				Attributes: map[string]schema.Attribute{
					"copied":     schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Tables from which the SQL function copies."},
					"not_copied": schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Tables with rows that the SQL function never names: those of schema `public`, the users (`auth.users`) and the files (`storage.objects`)."},
					"tables": schema.ListNestedAttribute{
						Computed:            true,
						MarkdownDescription: "All of these tables, and those that a restore drill restores: whether every backup keeps its own rows of them. At most 200, first those that are not copied.",
						NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
							"name":    schema.StringAttribute{Computed: true, MarkdownDescription: "The live table, with its schema."},
							"copy":    schema.StringAttribute{Computed: true, MarkdownDescription: "The table into which it is copied; null when there is none, or when it is not known."},
							"covered": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether each stored backup keeps rows of the table, so that a drill can restore them."},
							"reason": schema.StringAttribute{Computed: true, MarkdownDescription: "`not_copied`: the SQL function does not name the table; `not_kept`: it copies it into a table without the column `backup_id`, so only the newest copy exists; " +
								"`unclear`: its text does not show what it copies; `filtered`: the table is covered, but the function leaves out some rows, or may do so. Null when nothing is missing."},
						}},
					},
					"left_out": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many tables `tables` leaves out; `not_copied` has at most 200, too."},
				},
			},
			"nights":     nightsAttribute(),
			"report":     reportAttribute(),
			"report_svg": pictureAttribute(),
			"metrics":    metricsAttribute(),
			"history": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The newest attempts, and the incidents of being overdue, the newest first; as `auto_backup.history` has them.",
				NestedObject:        schema.NestedAttributeObject{Attributes: runAttributes()},
			},
		},
	}
}

func runAttributes() map[string]schema.Attribute {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"run_id":           text("UUID of the attempt, also the id of its row in `backup_logs`; null for an incident without an attempt."),
		"schedule":         text("Key of the schedule; `manual` for an attempt that was started manually."),
		"trigger":          text("What started it: `schedule`, its job; `retry`, the watchdog after a failure; `catch_up`, the watchdog because the job did not; `manual`, a person or the action `aimindset_auto_backup_run`."),
		"attempt":          number("Number of the attempt at its due time, from 1."),
		"state":            text("`requested`, `running`, `succeeded`, `failed`; or `overdue`, an incident without an attempt."),
		"due_at":           text("When it was due. RFC 3339, UTC."),
		"requested_at":     text("When the database called the function. RFC 3339, UTC."),
		"finished_at":      text("When it ended. RFC 3339, UTC; null while it runs."),
		"duration_seconds": number("Time from the request to the end, in seconds, rounded down; null while it runs."),
		"backup_id":        text("UUID of the backup that it made."),
		"records":          number("Number of rows that it saved."),
		"code":             text("Why it failed, in one word; null if it did not."),
		"error":            text("The error itself, as the admin panel and the e-mails show it; null if it did not fail."),
		"what_happened":    text("What happened, in one or two sentences."),
		"recovered":        schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether a later backup succeeded; null if it did not fail."},
		"tick":             text("First link: what started it, or why its job did not."),
		"request":          text("Second link: whether the database made the request."),
		"http":             text("Third link: the response to the request."),
		"function":         text("Fourth link: how far the Edge Function got."),
		"log":              text("Fifth link: who wrote the outcome into `backup_logs` and `system_logs`."),
		"alert":            text("Sixth link: what became of the alert about a failure; null when none was needed."),
	}
}

func (d *autoBackupStatus) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.projects = configured(req.ProviderData, &resp.Diagnostics)
}

func (d *autoBackupStatus) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	var model statusModel
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("project_ref"), &model.ProjectRef)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("name"), &model.Name)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("history_limit"), &model.HistoryLimit)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("disk_gb"), &model.DiskGB)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("require"), &model.Require)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if d.projects != nil && model.ProjectRef.IsNull() && d.projects.config.ProjectRef != "" {
		model.ProjectRef = types.StringValue(d.projects.config.ProjectRef)
	}
	if d.projects != nil && model.ProjectRef.IsNull() {
		resp.Diagnostics.AddAttributeError(path.Root("project_ref"), "No project",
			"Neither the data source nor the provider names a project. Set `project_ref` here or in the provider, or the environment variable "+envProjectRef+".")
		return
	}
	if model.Name.IsNull() {
		model.Name = types.StringValue(backup.DefaultName)
	}
	if model.HistoryLimit.IsNull() {
		model.HistoryLimit = types.Int64Value(defaultHistory)
	}
	require := model.requirements()
	service := serviceOf(d.projects, model.ProjectRef.ValueString(), &resp.Diagnostics)
	if service == nil {
		return
	}
	name := backup.Name(model.Name.ValueString())
	found, err := health.Read(ctx, service, health.Query{
		ID: backup.ID{ProjectRef: service.Ref, Name: name}, History: int(model.HistoryLimit.ValueInt64()),
		FunctionURL: backup.FunctionURL(d.projects.config.gateway(service.Ref).url, name.Slug()),
		Clock:       time.Now(), Disk: int64(model.DiskGB.ValueFloat64() * bytesPerGB), Require: require,
	})
	if err != nil {
		addError(&resp.Diagnostics, "Cannot read the status of the backup", err)
		return
	}
	model.fill(found)
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

// fill puts a status into the attributes.
func (m *statusModel) fill(s health.Status) {
	m.ID, m.Installation, m.State = s.ID.String(), string(s.Installation), string(s.Condition)
	m.Healthy, m.Summary, m.ConsecutiveFailures = s.Healthy(), s.Summary, s.Failures
	m.CheckedAt, m.WatchdogAt, m.RetryAt = rfc3339(s.CheckedAt), optionalTime(s.WatchedAt), optionalTime(s.RetryAt)
	m.Problems = []problemModel{}
	for _, p := range s.Problems {
		severity := severityError
		if s.Warns(p) {
			severity = severityWarning
		}
		m.Problems = append(m.Problems, problemModel{p.Code, severity, p.Message, p.Remedy})
	}
	if r := s.LastSuccess; r != nil {
		m.LastSuccess = &successModel{
			FinishedAt: rfc3339(r.FinishedAt), AgeSeconds: int64(s.CheckedAt.Sub(r.FinishedAt).Seconds()),
			DurationSeconds: duration(*r), BackupID: optional(r.BackupID), Records: r.Records,
			RunID: optional(r.ID), Schedule: optional(r.Schedule), DueAt: optionalTime(r.DueAt),
		}
	}
	if s.LastRun != nil {
		run := runOf(*s.LastRun)
		m.LastRun = &run
	}
	m.NextRuns = []nextRunModel{}
	for _, n := range s.NextRuns {
		m.NextRuns = append(m.NextRuns, nextRunModel{n.Schedule, n.DueAt.Format(time.RFC3339)})
	}
	m.fillStored(s)
	m.fillDrill(s)
	m.fillCopies(s)
	m.fillChannels(s)
	m.PlatformBackups = platformOf(s.Platform)
	if c := s.Coverage; c != nil {
		m.Coverage = &coverageModel{Copied: c.Copied, NotCopied: c.NotCopied, Tables: []coveredTableModel{}, LeftOut: int64(c.LeftOut)}
		for _, t := range c.Tables {
			m.Coverage.Tables = append(m.Coverage.Tables, coveredTableModel{t.Name, optional(t.Copy), t.Covered, optional(t.Reason)})
		}
	}
	m.fillNights(s)
	m.Report, m.ReportSVG, m.Metrics = report.Markdown(s), report.SVG(s), report.Metrics(s)
	m.History = []runModel{}
	for _, r := range s.History {
		m.History = append(m.History, runOf(r))
	}
}

func runOf(r history.Run) runModel {
	m := runModel{
		RunID: optional(r.ID), Schedule: optional(r.Schedule), Trigger: optional(string(r.Trigger)), State: string(r.State),
		DueAt: optionalTime(r.DueAt), RequestedAt: optionalTime(r.RequestedAt), FinishedAt: optionalTime(r.FinishedAt),
		DurationSeconds: duration(r), BackupID: optional(r.BackupID), Records: r.Records,
		Code: optional(r.Code), Error: optional(r.Error), WhatHappened: optional(r.WhatHappened), Recovered: r.Recovered,
		Tick: optional(r.Tick), Request: optional(r.Request), HTTP: optional(r.HTTP),
		Function: optional(r.Function), Log: optional(r.Log), Alert: optional(r.Alert),
	}
	if r.Attempt > 0 {
		m.Attempt = &r.Attempt
	}
	return m
}

func duration(r history.Run) *int64 {
	length, known := r.Duration()
	if !known {
		return nil
	}
	seconds := int64(length / time.Second)
	return &seconds
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func rfc3339(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

func optionalTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return optional(rfc3339(t))
}
