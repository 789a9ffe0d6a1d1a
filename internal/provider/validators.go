package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
	"github.com/aimindset/terraform-provider-aimindset/internal/zone"
)

// maxText is the maximum length, in bytes, of texts that are validated. An error
// about a longer one would fill the terminal, and the search for suggestions would
// take long.
const maxText = 4096

// anyText accepts every text that is not too long.
func anyText(string) error { return nil }

// check is a string validator whose function says what is wrong.
type check struct {
	description string
	complain    func(string) error
}

func checked(description string, complain func(string) error) validator.String {
	return check{description, complain}
}

func (c check) Description(context.Context) string         { return c.description }
func (c check) MarkdownDescription(context.Context) string { return c.description }

func (c check) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	value := req.ConfigValue.ValueString()
	if len(value) > maxText {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid value", fmt.Sprintf("The value has %d bytes; the limit is %d. It %s.", len(value), maxText, c.description))
		return
	}
	if err := c.complain(value); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid value", text.Sentence(err.Error()))
	}
}

func validateCron(text string) error {
	_, err := schedule.Parse(text)
	return err
}

func validateZone(text string) error {
	_, err := zone.Load(text)
	return err
}

const (
	maxIdentifier = 63 // bytes that PostgreSQL keeps of a name
	maxSlug       = 200
)

var (
	identifier = text.Pattern(`^[A-Za-z_][A-Za-z0-9_]*$`)
	slug       = text.Pattern(`^[A-Za-z][A-Za-z0-9_-]*$`)
)

func validateIdentifier(text string) error {
	if len(text) > maxIdentifier || !identifier().MatchString(text) {
		return fmt.Errorf("%q is not a plain SQL name; write it without a schema or quotes, with letters, digits and underscores only", text)
	}
	return nil
}

func validateSlug(text string) error {
	if len(text) > maxSlug || !slug().MatchString(text) {
		return fmt.Errorf("%q is not a valid slug of an Edge Function; write the last part of the function's URL, for example \"alert-processor\"", text)
	}
	return nil
}

// maxAlertSource keeps the subject of an e-mail readable.
const maxAlertSource = 100

// validateAlertSource refuses characters that the alert function would copy into
// HTML unchanged.
func validateAlertSource(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("the source is empty, which the alert function refuses; name the origin of the alert")
	case len([]rune(s)) > maxAlertSource:
		return fmt.Errorf("the source has %d characters; the limit is %d, because it becomes part of an e-mail's subject", len([]rune(s)), maxAlertSource)
	case strings.ContainsAny(s, "<>&") || text.Printable(s) != s || strings.Contains(s, "\n"):
		return errors.New("the source becomes part of an e-mail's subject and HTML; remove <, >, &, control characters and invisible characters")
	}
	return nil
}

func validateDuration(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a duration; write hours, minutes or seconds, for example \"26h\" or \"10m\"", text)
	case d < time.Minute:
		return fmt.Errorf("%q is shorter than one minute; the watchdog runs every ten minutes", text)
	case d%time.Second != 0:
		return fmt.Errorf("%q has fractions of a second; write whole seconds", text)
	}
	return nil
}

// validateOverdueAfter also accepts no time at all, which a project has, and an import
// writes, where no schedule is enabled. Beside one that is, checkOverdueAfter refuses it.
func validateOverdueAfter(text string) error {
	if d, err := time.ParseDuration(text); err == nil && d == 0 {
		return nil
	}
	return validateDuration(text)
}

// formatDuration writes a duration without trailing zero units: 26h, 10m, 1h30m.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
