package provider

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// present prepares diagnostics for a terminal: it removes characters that would
// affect the terminal, and adds the name of the argument to the text, because for
// a nested argument Terraform shows only the resource's first line.
func present(diags []*tfprotov6.Diagnostic) {
	for _, d := range diags {
		d.Summary, d.Detail = text.Printable(d.Summary), text.Printable(d.Detail)
		argument := argumentOf(d.Attribute)
		if argument == "" || strings.Contains(d.Detail, "`"+argument+"`") {
			continue
		}
		d.Detail = strings.TrimSuffix("`"+text.Printable(argument)+"`: "+d.Detail, ": ")
	}
}

// argumentOf returns an argument's path in the notation of a configuration:
// schedules["daily"].cron.
func argumentOf(path *tftypes.AttributePath) string {
	var b strings.Builder
	if path == nil {
		return ""
	}
	for i, step := range path.Steps() {
		switch step := step.(type) {
		case tftypes.AttributeName:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(string(step))
		case tftypes.ElementKeyString:
			fmt.Fprintf(&b, "[%q]", text.Head(string(step), maxKey))
		case tftypes.ElementKeyInt:
			fmt.Fprintf(&b, "[%d]", int64(step))
		default:
			b.WriteString("[…]") // an element of a set has no name
		}
	}
	return b.String()
}

// maxKey is how many bytes of a map's key a diagnostic repeats. Valid keys of
// schedules are shorter.
const maxKey = 64
