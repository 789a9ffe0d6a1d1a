package provider_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestSettingsLostDuringCreate proves the exception that the guide on interrupted applies
// names: a create failed after it had written an extra secret, and the row of
// auto_backup.settings that says whose the secret is was then removed manually. The next
// apply is refused with the secret's name, whether or not the state has the backup, and
// one with `adopt_existing` succeeds. Its destroy keeps the secret.
func TestSettingsLostDuringCreate(t *testing.T) {
	t.Parallel()
	for what, known := range map[string]bool{"in the state": true, "in no state": false} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := start(t, stack.Options{})
			c := newCLI(t, required+`
				variable "adopt" { default = false }
				resource "aimindset_auto_backup" "this" {
					verify         = "none"
					secrets        = { EXTRA = "value" }
					adopt_existing = var.adopt
				}`, p.Environ()...)
			p.InterceptAPI(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "/functions/deploy") {
						http.Error(w, `{"message":"no"}`, http.StatusBadRequest)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			c.run(1, applyNow...)
			p.InterceptAPI(nil)
			if !known {
				c.forget()
			}
			p.sql("delete from auto_backup.settings")
			for range 2 {
				c.says(c.run(1, applyNow...), "Objects with the backup's names exist", "the function secret EXTRA", "`adopt_existing = true`")
			}
			c.run(0, append(applyNow, "-var=adopt=true")...)
			c.run(0, "plan", "-detailed-exitcode", "-no-color", "-var=adopt=true")
			c.run(0, append(destroyNow, "-var=adopt=true")...)
			if left := p.traces("auto-backup"); !slices.Contains(left, "secret EXTRA") {
				t.Errorf("the adopted secret was removed; left is %v", left)
			}
		})
	}
}
