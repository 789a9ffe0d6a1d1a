package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// warnLease warns that some apply holds the lease on a backup, for which an apply of
// this plan would wait. It says that the other apply has died only as far as that can
// be known.
func warnLease(id backup.ID, lease *backup.Lease, diags *diag.Diagnostics) {
	if lease == nil {
		return
	}
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	died := ""
	silence := lease.Silence()
	switch {
	case diedHere(lease.Process, processName(), running):
		died = " This machine has that name and no such process, so that apply has probably died."
	case silence > 0:
		died = fmt.Sprintf(" It has not renewed the lease for %s, so it has probably died or cannot reach the project.", formatDuration(silence.Round(time.Second)))
	}
	// Terraform shows one of several warnings with the same heading.
	diags.AddWarning("Another apply holds the lease on "+id.String(),
		fmt.Sprintf("The process %q has held it since %s and renewed it last at %s.%s An apply waits for it: until it is released, which a running apply does at its end, or else until %s, when it expires unless it is renewed. "+
			"What this plan has read may change until then.",
			lease.Process, at(lease.Since), at(lease.RenewedAt), died, at(lease.ExpiresAt)))
}

// leaseTime is how long the plan of a destroy looks for a lease.
const leaseTime = 10 * time.Second

// findLease warns of the lease on a backup that nothing else in this run has read. The
// destroy will say what keeps it from being read.
func (r *autoBackupResource) findLease(ctx context.Context, id backup.ID, diags *diag.Diagnostics) {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	service, err := r.projects.service(id.ProjectRef)
	if err != nil {
		return
	}
	lease, err := service.Lease(ctx, id.Name)
	if err != nil {
		tflog.Debug(ctx, "the lease on the backup was not read", map[string]any{"backup": id.String(), "because": err.Error()})
	}
	warnLease(id, lease, diags)
}

// diedHere reports whether a process is known not to run any more. Both names are
// those of processName; own is this process's. Only a process of the same user on a
// machine of the same name can be looked for.
func diedHere(process, own string, running func(pid int) bool) bool {
	const before = ", process "
	where, number, ok := strings.Cut(process, before)
	here, _, _ := strings.Cut(own, before)
	pid, err := strconv.Atoi(number)
	return ok && where == here && err == nil && pid > 0 && !running(pid)
}

// running reports whether this machine may have a process with an ID.
func running(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false // only Windows looks for the process here
	}
	defer func() { _ = process.Release() }()
	if runtime.GOOS == "windows" {
		return true
	}
	err = process.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, fs.ErrPermission)
}
