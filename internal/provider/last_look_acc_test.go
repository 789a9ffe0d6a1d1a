package provider_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestManyAtOnce proves that of 100 backups over two projects, which are created
// 50 at a time through an API that limits requests, every one is in the state:
// nothing has to be read after an apply, so no limit can lose one.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const each = 50
	limit := stack.Options{Articles: 1, RateLimit: 120, RateWindow: 2 * time.Second}
	blog, shop := start(t, limit), start(t, limit)
	text := strings.Replace(required, `provider "aimindset" {}`, "", 1)
	for alias, p := range map[string]*project{"blog": blog, "shop": shop} {
		block := strings.Replace(p.providerAs(p.AccessToken, ""), "{", fmt.Sprintf("{\n  alias = %q", alias), 1)
		text += block + fmt.Sprintf(`
			resource "aimindset_auto_backup" %[1]q {
				provider    = aimindset.%[1]s
				count       = %[2]d
				name        = "backup-${count.index}"
				project_ref = %[3]q
				verify      = "none"
			}
		`, alias, each, p.ProjectRef)
	}
	c := newCLI(t, text)
	c.run(0, "apply", "-auto-approve", "-no-color", "-parallelism=50")
	if listed := strings.Fields(c.run(0, "state", "list")); len(listed) != 2*each {
		t.Errorf("%d of %d backups are in the state", len(listed), 2*each)
	}
	for _, p := range []*project{blog, shop} {
		if got := p.value("select count(*) from auto_backup.settings where completed_at is not null"); got != fmt.Sprint(each) {
			t.Errorf("%s of %d backups are installed in project %s", got, each, p.ProjectRef)
		}
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color", "-parallelism=50")
}

// TestAPIGoneAfterTheLastWrite proves that a backup is created, and is in the
// state, although the Management API answers nothing any more from the moment of
// the last write on; and that the plan is empty when it is back.
func TestAPIGoneAfterTheLastWrite(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1})
	c := newCLI(t, required+`resource "aimindset_auto_backup" "this" { verify = "none" }`, p.Environ()...)
	var written atomic.Bool
	p.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if written.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
			if bytes.Contains(body, []byte("select auto_backup.configure(")) {
				written.Store(true)
			}
		})
	})
	c.run(0, "apply", "-auto-approve", "-no-color")
	if !written.Load() {
		t.Fatal("the API was never gone")
	}
	if listed := strings.TrimSpace(c.run(0, "state", "list")); listed != "aimindset_auto_backup.this" {
		t.Errorf("the state has %q", listed)
	}
	p.InterceptAPI(nil)
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
}
