package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// maxText is how many bytes a text has at most that is looked at: a complaint
// about a longer one would fill the terminal, and take long to find better ones.
const maxText = 4096

// anyText accepts every text that is not too long.
func anyText(string) error { return nil }

// check is a string validator made of a function that says what is wrong.
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
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid value", fmt.Sprintf("The value has %d bytes, the limit is %d: it %s.", len(value), maxText, c.description))
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
	_, err := schedule.LoadZone(text)
	return err
}

const (
	maxIdentifier = 63 // bytes that PostgreSQL keeps of a name
	maxSlug       = 200
)

var (
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	slug       = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
)

func validateIdentifier(text string) error {
	if len(text) > maxIdentifier || !identifier.MatchString(text) {
		return fmt.Errorf("%q is no plain SQL name; write it without a schema and quotes, in letters, digits and underscores", text)
	}
	return nil
}

func validateSlug(text string) error {
	if len(text) > maxSlug || !slug.MatchString(text) {
		return fmt.Errorf("%q is no slug of an Edge Function; write the last part of its address, for example \"alert-processor\"", text)
	}
	return nil
}

// maxAlertSource keeps the subject of an e-mail readable.
const maxAlertSource = 100

// validateAlertSource refuses what the alert function would put into HTML as it is.
func validateAlertSource(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("the alert function refuses an empty source; name the origin of the alert")
	case len([]rune(s)) > maxAlertSource:
		return fmt.Errorf("the source has %d characters, the limit is %d; it becomes part of an e-mail's subject", len([]rune(s)), maxAlertSource)
	case strings.ContainsAny(s, "<>&") || text.Printable(s) != s || strings.Contains(s, "\n"):
		return errors.New("the source becomes part of an e-mail's subject and HTML; write it without <, >, &, control characters and invisible ones")
	}
	return nil
}

func validateDuration(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no duration; write hours, minutes or seconds, for example \"26h\" or \"10m\"", text)
	case d < time.Minute:
		return fmt.Errorf("%q is shorter than one minute; the watchdog looks every ten minutes", text)
	case d%time.Second != 0:
		return fmt.Errorf("%q has parts of a second; write whole seconds", text)
	}
	return nil
}

// formatDuration writes a duration without parts that are zero: 26h, 10m, 1h30m.
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
