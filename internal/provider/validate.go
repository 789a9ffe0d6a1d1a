package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// ValidateConfig checks what concerns several arguments at once. It does not
// read `source_dir`, because a destroy is validated too and needs none.
func (r *autoBackupResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config autoBackupModel
	resp.Diagnostics.Append(config.get(ctx, req.Config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	validateSchedules(config.Schedules, &resp.Diagnostics)
	validateTimeouts(config.Timeouts.Attributes(), &resp.Diagnostics)
	validateSecrets(ctx, config, &resp.Diagnostics)
	validateRetention(config, &resp.Diagnostics)
	validateOffsite(ctx, config, &resp.Diagnostics)
	validateChannels(ctx, config, &resp.Diagnostics)
}

// validateSchedules refuses a backup without a schedule, and a schedule that is null.
func validateSchedules(schedules types.Map, diags *diag.Diagnostics) {
	if schedules.IsNull() || schedules.IsUnknown() {
		return
	}
	at := path.Root("schedules")
	if len(schedules.Elements()) == 0 {
		diags.AddAttributeError(at, "A backup without a schedule",
			"Without a schedule no backup is ever made. Leave `schedules` out for the default, every day at 03:00, or name one: schedules = { daily = { cron = \"0 3 * * *\" } }. To pause a schedule, set `enabled = false` in it.")
	}
	for _, key := range slices.Sorted(maps.Keys(schedules.Elements())) {
		if schedules.Elements()[key].IsNull() {
			diags.AddAttributeError(at.AtMapKey(key), "Invalid schedule", "The schedule is null. Leave its key out, or write it, for example { cron = \"0 3 * * *\" }.")
		}
	}
}

// validateTimeouts refuses timeouts that are not positive. The attributes
// themselves check that each is a duration.
func validateTimeouts(timeouts map[string]attr.Value, diags *diag.Diagnostics) {
	for _, operation := range slices.Sorted(maps.Keys(timeouts)) {
		text, ok := timeouts[operation].(types.String)
		if !ok || text.IsNull() || text.IsUnknown() {
			continue
		}
		if d, err := time.ParseDuration(text.ValueString()); err == nil && d <= 0 {
			diags.AddAttributeError(path.Root("timeouts").AtName(operation), "Invalid timeout",
				fmt.Sprintf("%q leaves no time. Write a duration above zero, for example \"10m\", or leave it out for the default of %s.", text.ValueString(), formatDuration(defaultTimeout)))
		}
	}
}

// validateSecrets refuses secrets that the platform does not accept.
func validateSecrets(ctx context.Context, config autoBackupModel, diags *diag.Diagnostics) {
	if config.Secrets.IsUnknown() {
		return
	}
	at := path.Root("secrets")
	lengths := map[string]int{}
	for name, element := range config.extraSecrets(ctx) {
		value, _ := element.(types.String)
		if _, named := config.Secrets.Elements()[name]; named && value.IsNull() {
			diags.AddAttributeError(at.AtMapKey(name), "Invalid secret", "The value is null. Leave the name out to remove the secret.")
		}
		if strings.ContainsRune(value.ValueString(), 0) {
			diags.AddAttributeError(config.secretPath(name), "Invalid secret", "The value contains a NUL character, which an environment variable cannot contain. Encode the value, for example with `base64encode`.")
		}
		lengths[name] = len([]rune(value.ValueString()))
	}
	faults := backup.ValidateSecrets(config.nameOrDefault(), lengths)
	for _, secret := range slices.Sorted(maps.Keys(faults)) {
		where := at
		if secret != "" {
			where = config.secretPath(secret)
		}
		diags.AddAttributeError(where, "Invalid secret", text.Sentence(faults[secret].Error()))
	}
}

// nextDates is how many dates illustrate a schedule with both day fields.
const nextDates = 3

// warnDayFields explains cron expressions with both day fields: cron runs them on days
// that match either of them, and many people expect both.
func warnDayFields(schedules map[string]backup.Schedule, now time.Time, diags *diag.Diagnostics) {
	for _, key := range slices.Sorted(maps.Keys(schedules)) {
		warnDays(path.Root("schedules").AtMapKey(key), schedules[key], now, diags)
	}
}

// warnDays is warnDayFields for the schedule of one argument.
func warnDays(at path.Path, s backup.Schedule, now time.Time, diags *diag.Diagnostics) {
	if !s.DaysEither {
		return
	}
	expression, err := schedule.Parse(s.Cron)
	if err != nil {
		return // refused elsewhere
	}
	location, err := zone.Load(s.Zone)
	if err != nil {
		return
	}
	var dates []string
	for _, due := range expression.Next(location, now, nextDates) {
		dates = append(dates, due.In(location).Format("Mon 2006-01-02 15:04"))
	}
	diags.AddAttributeWarning(at.AtName("cron"), "Both day fields are set",
		fmt.Sprintf("%q names days of the month and days of the week, and cron runs it on days that match either of them. The next runs are %s (%s). If you need only one of the two, write * for the other.",
			s.Cron, strings.Join(dates, ", "), s.Zone))
}

// checkOverdueAfter refuses an `overdue_after` with which every backup would be
// reported as overdue before the next one is due.
func checkOverdueAfter(settings backup.Settings, diags *diag.Diagnostics) {
	standard, err := backup.OverdueAfter(settings.Schedules)
	if err != nil || standard == 0 {
		return
	}
	gap := standard - backup.OverdueMargin
	switch after := time.Duration(settings.Alert.OverdueAfterSeconds) * time.Second; {
	case after == 0:
		diags.AddAttributeError(path.Root("alert").AtName("overdue_after"), "Never overdue",
			fmt.Sprintf("With 0s a backup is never reported as overdue, which is only accepted if no schedule is enabled. Write at least %s, or leave it out for the default of %s.",
				formatDuration(gap), formatDuration(standard)))
	case after < gap:
		diags.AddAttributeError(path.Root("alert").AtName("overdue_after"), "Overdue before the next backup is due",
			fmt.Sprintf("After a backup the next one may be due only %s later, and with %s it would be reported as overdue each time before that. Write at least %s, or leave it out for the default of %s.",
				formatDuration(gap), formatDuration(after), formatDuration(gap), formatDuration(standard)))
	}
}
