package provider

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// TestWarnLease proves what a plan says of the lease of another apply: who holds it
// and until when, and that the holder has died only if its process is gone from this
// machine, or if it has been silent for long.
func TestWarnLease(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), "true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	here, _, _ := strings.Cut(processName(), ", process ")
	named := func(host string, pid int) string { return host + ", process " + strconv.Itoa(pid) }
	id := backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "auto-backup"}
	read := time.Date(2026, 3, 2, 6, 0, 30, 0, time.FixedZone("", -3*60*60))
	const gone, silent = "no such process", "has not renewed the lease for"
	for what, c := range map[string]struct {
		process string
		renewed time.Duration
		says    string // of the holder's death
	}{
		"another machine":              {named("root@elsewhere", 7), 20 * time.Second, ""},
		"another machine, silent":      {named("root@elsewhere", 7), time.Minute, "for 1m, so it has probably died or cannot reach the project."},
		"this process":                 {processName(), 0, ""},
		"this process, silent":         {processName(), time.Minute, silent},
		"a process that has ended":     {named(here, child.Process.Pid), 0, gone},
		"the first process":            {named(here, 1), 0, ""},
		"a name without a process":     {here, 0, ""},
		"a name that says otherwise":   {here + ", process one", 0, ""},
		"an impossible process":        {named(here, -1), 0, ""},
		"a name that moves the cursor": {"\x1b[2J", 0, ""},
	} {
		var diags diag.Diagnostics
		lease := &backup.Lease{Process: c.process, Since: read.Add(-time.Hour), RenewedAt: read.Add(-c.renewed), ExpiresAt: read.Add(90*time.Second - c.renewed), ReadAt: read}
		warnLease(id, lease, &diags)
		if len(diags) != 1 || diags.HasError() {
			t.Fatalf("%s: %v", what, diags)
		}
		text := diags[0].Summary() + "\n" + diags[0].Detail()
		want := []string{"Another apply holds the lease on abcdefghijklmnopqrst/auto-backup", strconv.Quote(c.process), "since 2026-03-02T08:00:30Z", "until " + lease.ExpiresAt.UTC().Format(time.RFC3339), c.says}
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: it does not say %q: %s", what, part, text)
			}
		}
		for _, part := range []string{gone, silent} {
			if c.says != part && !strings.Contains(c.says, "for 1m") && strings.Contains(text, part) {
				t.Errorf("%s: it says %q", what, part)
			}
		}
	}
	var diags diag.Diagnostics
	if warnLease(id, nil, &diags); len(diags) > 0 {
		t.Errorf("without a lease, it says %v", diags)
	}
	if !running(os.Getpid()) {
		t.Error("this process is said not to run")
	}
}
