package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// TestPresent proves that a diagnostic names its argument in its text, once,
// and that nothing in it does anything to a terminal.
func TestPresent(t *testing.T) {
	t.Parallel()
	cron := tftypes.NewAttributePath().WithAttributeName("schedules").WithElementKeyString("daily").WithAttributeName("cron")
	for what, c := range map[string]struct {
		path         *tftypes.AttributePath
		detail, want string
	}{
		"nested":         {cron, "Hour 24 is out of range.", "`schedules[\"daily\"].cron`: Hour 24 is out of range."},
		"at the root":    {tftypes.NewAttributePath().WithAttributeName("name"), "Choose another name.", "`name`: Choose another name."},
		"named already":  {tftypes.NewAttributePath().WithAttributeName("verify"), "Set `verify` to \"probe\".", "Set `verify` to \"probe\"."},
		"list":           {tftypes.NewAttributePath().WithAttributeName("refs").WithElementKeyInt(2), "Wrong.", "`refs[2]`: Wrong."},
		"set":            {tftypes.NewAttributePath().WithAttributeName("refs").WithElementKeyValue(tftypes.NewValue(tftypes.String, "x")), "Wrong.", "`refs[…]`: Wrong."},
		"no argument":    {nil, "The project is paused.", "The project is paused."},
		"empty path":     {tftypes.NewAttributePath(), "The project is paused.", "The project is paused."},
		"no detail":      {cron, "", "`schedules[\"daily\"].cron`"},
		"escapes":        {nil, "a\x1b[2Jb\u202ec\nd", "a[2Jbc\nd"},
		"escapes in key": {tftypes.NewAttributePath().WithAttributeName("secrets").WithElementKeyString("A\u202eB"), "Wrong.", "`secrets[\"A\\u202eB\"]`: Wrong."},
		"long key":       {tftypes.NewAttributePath().WithAttributeName("secrets").WithElementKeyString(strings.Repeat("é", 65)), "Wrong.", "`secrets[\"" + strings.Repeat("é", 32) + "…\"]`: Wrong."},
	} {
		d := &tfprotov6.Diagnostic{Attribute: c.path, Summary: "S\x07", Detail: c.detail}
		present([]*tfprotov6.Diagnostic{d})
		if d.Detail != c.want || d.Summary != "S" {
			t.Errorf("%s: %q with the summary %q, want %q", what, d.Detail, d.Summary, c.want)
		}
		present([]*tfprotov6.Diagnostic{d})
		if d.Detail != c.want {
			t.Errorf("%s, presented twice: %q, want %q", what, d.Detail, c.want)
		}
	}
}
