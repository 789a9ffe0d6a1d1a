package text_test

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// TestPattern proves that an expression is compiled once, and only when it is asked for.
func TestPattern(t *testing.T) {
	t.Parallel()
	text.Pattern(`(`) // is not compiled, or it would panic
	digits := text.Pattern(`^[0-9]+$`)
	first, second := digits(), digits()
	if !first.MatchString("12") || first.MatchString("a") || first != second {
		t.Error("the pattern of digits does not find digits, or is compiled again")
	}
}
