package provider_test

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestTimeouts proves that create, update and delete end when the time that
// `timeouts` grants each of them is over. Another apply holds the lease on each
// backup until much later: with the default time the operations would wait for
// that, and succeed. It also proves that the plan of each warns of the lease, and that
// the error names its holder and its end.
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
	wanted := []string{`The process "another machine" has held it since`, "An apply waits for it", `is being changed by "another machine"`, "and holds the lease until 20", "Wait for the other apply to finish"}
	heldOn := func(name string) []string {
		return append([]string{"Another apply holds the lease on " + p.ProjectRef + "/" + name}, wanted...)
	}

	held("one", "1 hour")
	c.configure(required + block("one", short+"\n retry = { attempts = 2 }"))
	c.says(c.run(1, "apply", "-auto-approve", "-no-color"), heldOn("one")...)
	c.says(c.run(1, "destroy", "-auto-approve", "-no-color"), heldOn("one")...)

	held("two", "1 hour")
	c.configure(required + block("one", short) + block("two", `timeouts = { create = "6s" }`))
	c.says(c.run(1, "apply", "-auto-approve", "-no-color", "-target=aimindset_auto_backup.two"), heldOn("two")...)

	held("one", "-1 seconds")
	held("two", "-1 seconds")
	c.silent(c.run(0, "apply", "-auto-approve", "-no-color"), "holds the lease")
}
