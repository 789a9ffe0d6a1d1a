package provider_test

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestTimeouts proves that create, update and delete end when the time that
// `timeouts` grants each of them is over. Another apply holds the lease on each
// backup until much later: with the default time the operations would wait for
// that, and succeed.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	held := func(name, expires string) {
		t.Helper()
		p.sql(`insert into auto_backup.leases as l (backup, holder, process, term, since, expires_at)
			values ($1, 'other', 'another machine', interval '1 hour', now(), now() + $2::interval)
			on conflict (backup) do update set holder = 'other', process = excluded.process, expires_at = excluded.expires_at`, name, expires)
	}
	block := func(name, arguments string) string {
		return `
		resource "aimindset_auto_backup" "` + name + `" {
		  name   = "` + name + `"
		  verify = "none"
		  ` + arguments + `
		}`
	}
	const short = `timeouts = { create = "3m", update = "6s", delete = "6s" }`
	c := newCLI(t, required+block("one", short), p.Environ()...)
	c.run(0, "apply", "-auto-approve", "-no-color")
	wanted := []string{`is being changed by "another machine"`, "Wait for the other apply to finish"}

	held("one", "1 hour")
	c.configure(required + block("one", short+"\n retry = { attempts = 2 }"))
	c.says(c.run(1, "apply", "-auto-approve", "-no-color"), wanted...)
	c.says(c.run(1, "destroy", "-auto-approve", "-no-color"), wanted...)

	held("two", "1 hour")
	c.configure(required + block("one", short) + block("two", `timeouts = { create = "6s" }`))
	c.says(c.run(1, "apply", "-auto-approve", "-no-color", "-target=aimindset_auto_backup.two"), wanted...)

	held("one", "-1 seconds")
	held("two", "-1 seconds")
	c.run(0, "apply", "-auto-approve", "-no-color")
}
