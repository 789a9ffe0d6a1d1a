package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// maxNextRuns limits the work of one call.
const maxNextRuns = 1000

// readSchedule parses the first two arguments of both functions.
func readSchedule(cron, timezone string) (schedule.Expr, *time.Location, *function.FuncError) {
	expression, err := schedule.Parse(cron)
	if err != nil {
		return schedule.Expr{}, nil, function.NewArgumentFuncError(0, text.Sentence(err.Error()))
	}
	location, err := zone.Load(timezone)
	if err != nil {
		return schedule.Expr{}, nil, function.NewArgumentFuncError(1, text.Sentence(err.Error()))
	}
	return expression, location, nil
}

var scheduleParameters = []function.Parameter{
	function.StringParameter{Name: "cron", MarkdownDescription: "Five cron fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`."},
	function.StringParameter{Name: "timezone", MarkdownDescription: "IANA time zone of the fields, for example `America/Sao_Paulo`."},
}

// nextRuns is the function next_runs.
type nextRuns struct{}

func newNextRuns() function.Function { return nextRuns{} }

func (nextRuns) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "next_runs"
}

func (nextRuns) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "The next times at which a schedule is due",
		MarkdownDescription: "Returns the times after `after` at which a schedule is due, in RFC 3339 with the zone's offset. " +
			"A local time that the clock skips is due at the first instant after the gap, and one that the clock repeats is due once.",
		Parameters: append(scheduleParameters[:2:2],
			function.StringParameter{Name: "after", MarkdownDescription: "Time in RFC 3339, for example `plantimestamp()`."},
			function.Int64Parameter{Name: "count", MarkdownDescription: "Number of times to return, 1 to 1000."},
		),
		Return: function.ListReturn{ElementType: types.StringType},
	}
}

func (nextRuns) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var cron, zone, after string
	var count int64
	if resp.Error = req.Arguments.Get(ctx, &cron, &zone, &after, &count); resp.Error != nil {
		return
	}
	expression, location, failure := readSchedule(cron, zone)
	if failure != nil {
		resp.Error = failure
		return
	}
	from, err := time.Parse(time.RFC3339, after)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(2, "The time is not in RFC 3339. Write it like \"2026-11-23T03:00:00Z\".")
		return
	}
	if count < 1 || count > maxNextRuns {
		resp.Error = function.NewArgumentFuncError(3, "The count must be between 1 and 1000.")
		return
	}
	times := []string{}
	for _, t := range expression.Next(location, from, int(count)) {
		due := t.In(location)
		if because := notRFC3339(due); because != "" {
			resp.Error = function.NewArgumentFuncError(2, because)
			return
		}
		times = append(times, due.Format(time.RFC3339))
	}
	resp.Error = resp.Result.Set(ctx, times)
}

// notRFC3339 says why RFC 3339 cannot express a time, and what to do; empty if it can.
func notRFC3339(t time.Time) string {
	_, offset := t.Zone()
	switch {
	case t.Year() > 9999:
		return "The schedule is due after the year 9999, which RFC 3339 cannot express. Give an earlier time, or a smaller count."
	case offset%60 != 0:
		return fmt.Sprintf("The offset of %s has seconds in the year %d, which RFC 3339 cannot express. Give a later time.", t.Location(), t.Year())
	}
	return ""
}

// cronUTC is the function cron_utc.
type cronUTC struct{ now func() time.Time }

func newCronUTC() function.Function { return cronUTC{now: time.Now} }

func (cronUTC) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "cron_utc"
}

func (cronUTC) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "The pg_cron schedule of a local time",
		MarkdownDescription: "Returns the schedule, in UTC, of the pg_cron job that a backup with this schedule has. It is the same as `jobs[*].utc`. " +
			"If the zone's offset changes, the job ticks at every time that can be due, and the dispatcher lets only the due ones through.",
		Parameters: scheduleParameters,
		Return:     function.StringReturn{},
	}
}

func (f cronUTC) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var cron, zone string
	if resp.Error = req.Arguments.Get(ctx, &cron, &zone); resp.Error != nil {
		return
	}
	expression, location, failure := readSchedule(cron, zone)
	if failure != nil {
		resp.Error = failure
		return
	}
	compiled, err := schedule.Compile(expression, location, f.now())
	if err != nil {
		resp.Error = function.NewFuncError(text.Sentence(err.Error()))
		return
	}
	resp.Error = resp.Result.Set(ctx, compiled.UTC)
}
