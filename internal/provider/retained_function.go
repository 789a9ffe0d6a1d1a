package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// mostRetained limits the work of one call, and mostKept what a policy can ask for.
const (
	mostRetained = 10_000
	mostKept     = 10_000
)

// retainedBackups is the function retained_backups.
type retainedBackups struct{}

func newRetainedBackups() function.Function { return retainedBackups{} }

func (retainedBackups) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "retained_backups"
}

func (retainedBackups) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "Which backups a retention keeps",
		MarkdownDescription: "Returns those of the times of backups that a retention keeps, the oldest first and as they were given; the others are those of the backups that it removes. " +
			"It is the rule of the argument `retention`, which the database follows. The database also keeps the newest backup that a drill has restored, and removes nothing while anything is wrong.",
		Parameters: []function.Parameter{
			function.ListParameter{
				Name: "times", ElementType: types.StringType,
				MarkdownDescription: fmt.Sprintf("When the backups were made, in RFC 3339, in any order. At most %d.", mostRetained),
			},
			function.MapParameter{
				Name: "policy", ElementType: types.NumberType,
				MarkdownDescription: fmt.Sprintf("The numbers of the argument `retention`, with its defaults: `keep_last` (%d), `daily`, `weekly`, `monthly` and `yearly` (0).", retention.DefaultKeepLast),
			},
			function.StringParameter{
				Name:                "timezone",
				MarkdownDescription: "IANA time zone of the days, weeks, months and years, for example `America/Sao_Paulo`.",
			},
		},
		Return: function.ListReturn{ElementType: types.StringType},
	}
}

func (retainedBackups) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var (
		times  []types.String
		policy map[string]types.Number
		name   string
	)
	if resp.Error = req.Arguments.Get(ctx, &times, &policy, &name); resp.Error != nil {
		return
	}
	if len(times) > mostRetained {
		resp.Error = function.NewArgumentFuncError(0, fmt.Sprintf("There are %d times; at most %d can be given.", len(times), mostRetained))
		return
	}
	made, given := make([]time.Time, len(times)), map[time.Time]string{}
	for i, element := range times {
		at, err := time.Parse(time.RFC3339, element.ValueString())
		if err != nil {
			resp.Error = function.NewArgumentFuncError(0, fmt.Sprintf("Element %d, %s, is not a time in RFC 3339. Write it like \"2026-11-23T03:00:00Z\".", i, text.Line(element.String())))
			return
		}
		made[i] = at.UTC()
		if _, twice := given[made[i]]; !twice {
			given[made[i]] = element.ValueString()
		}
	}
	rule, err := policyOf(policy)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(1, text.Sentence(err.Error()))
		return
	}
	location, err := zone.Load(name)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(2, text.Sentence(err.Error()))
		return
	}
	kept := []string{}
	for _, at := range rule.Keep(made, location, time.Time{}) {
		kept = append(kept, given[at])
	}
	resp.Error = resp.Result.Set(ctx, kept)
}

// policyOf reads a policy with the defaults of the argument retention.
func policyOf(numbers map[string]types.Number) (retention.Policy, error) {
	p := retention.Policy{KeepLast: retention.DefaultKeepLast}
	fields := map[string]*int64{"keep_last": &p.KeepLast, "daily": &p.Daily, "weekly": &p.Weekly, "monthly": &p.Monthly, "yearly": &p.Yearly}
	for _, key := range slices.Sorted(maps.Keys(numbers)) {
		field, known := fields[key]
		if !known {
			return p, fmt.Errorf("%q is not a number of a retention; these are %s", key, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		if numbers[key].IsNull() {
			continue
		}
		number := numbers[key].ValueBigFloat()
		value, _ := number.Int64()
		if !number.IsInt() || value < 0 || value > mostKept {
			return p, fmt.Errorf("%q is %s, which is not a whole number between 0 and %d", key, number.Text('g', 10), mostKept)
		}
		*field = value
	}
	return p, nil
}
