package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// outcome is how far an apply came. Its texts say what was done, what the state
// contains, and what to do next.
type outcome struct {
	id backup.ID
	// created says that the backup was to be created, not updated.
	created bool
	// kept says that the state contains the backup even if the apply fails. It
	// does not if jobs existed before a creation: Terraform removes what it failed
	// to create, and that would stop them.
	kept bool
	// done are the parts of which a step was finished, in order. Some have two steps: what
	// replaces others comes before they are removed.
	done []backup.Part
}

// steps is how many steps of a part were finished.
func (o outcome) steps(part backup.Part) int {
	return len(slices.DeleteFunc(slices.Clone(o.done), func(done backup.Part) bool { return done != part }))
}

// advice returns the last paragraph of the error of an apply that failed or was
// interrupted.
func (o outcome) advice() string {
	if len(o.done) == 0 {
		return "No part of the installation was finished, and the state is unchanged. Apply again to continue."
	}
	var names []string
	for _, part := range o.done {
		if name := part.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	done := "Finished: " + strings.Join(names, ", ") + ". "
	switch {
	case !o.kept:
		return done + fmt.Sprintf("Jobs of backup %s existed before this apply, so the state does not have it: Terraform would remove them before it creates the backup again. "+
			"Apply again to continue. To abandon the backup instead, import it with\n\n  terraform import aimindset_auto_backup.<name> %[1]s\n\nand destroy it.", o.id)
	case o.created:
		return done + "The state has the backup, marked as tainted because its creation ended with an error. Apply again: that removes what was installed and starts again."
	}
	return done + "The state has the planned values, and the next plan lists what is still missing. Apply again to continue."
}

// unverified returns the last paragraph of the error of an apply whose verification
// failed or was interrupted.
func (o outcome) unverified() string {
	switch {
	case !o.kept:
		return fmt.Sprintf("The backup is installed and its jobs run. Jobs of backup %s existed before this apply, so the state does not have it: Terraform would remove them before it creates the backup again. "+
			"Fix the cause and apply again, which verifies it again.", o.id)
	case o.created:
		// Terraform taints whatever a failed create leaves, and no provider can
		// prevent that. A create that succeeds without its verification would be
		// worse: nobody reads the warnings of a pipeline.
		return "The backup is installed and its jobs run. The state has it, marked as tainted because its creation ended with an error. " +
			"Fix the cause, then keep the installation and its run history with\n\n  terraform untaint aimindset_auto_backup.<name>\n\n" +
			"and apply again, which verifies it again. Without the first command, the apply removes the backup and installs it again."
	}
	return "The backup is installed, and the state has it. Fix the cause and apply again, which verifies it again."
}

// unverifiedCopies is unverified for a destination of copies.
func (o outcome) unverifiedCopies() string {
	return "Backups are made in the database nevertheless. " + o.unverified()
}

// verifyDestinations verifies the destinations of copies, and reports whether that
// succeeded. kept says that they are as before, so that there is no need to warn again.
func (r *autoBackupResource) verifyDestinations(ctx context.Context, service *install.Service, spec backup.Spec, mode string, kept bool, o outcome, diags *diag.Diagnostics) bool {
	if spec.Settings.Offsite == nil || mode == verifyNone || service.Unsettled() {
		return true
	}
	works := true
	for _, key := range slices.Sorted(maps.Keys(spec.Settings.Offsite.Destinations)) {
		at := path.Root("offsite").AtMapKey(key)
		problems, err := service.VerifyDestination(ctx, spec.ID, key)
		if err != nil {
			works = false
			var said diag.Diagnostics
			addErrorAdvice(&said, "It is not known whether copies can be made", r.projects.explainSelfHosted(err), o.unverifiedCopies())
			for _, d := range said {
				diags.Append(diag.WithPath(at, d))
			}
			if ctx.Err() != nil {
				return false
			}
		}
		for _, problem := range problems {
			said := text.Sentence(problem.Message)
			if problem.Remedy != "" {
				said += "\n\nWhat to do: " + problem.Remedy
			}
			switch {
			case !problem.Warning:
				works = false
				diags.AddAttributeError(at, "No copies can be made", said+"\n\n"+o.unverifiedCopies())
			case !kept:
				diags.AddAttributeWarning(at, "A destination is not as safe as it could be", said)
			}
		}
	}
	return works
}

// verify verifies the installation as the plan says, and reports whether that
// succeeded.
func (r *autoBackupResource) verify(ctx context.Context, service *install.Service, id backup.ID, mode string, o outcome, diags *diag.Diagnostics) bool {
	if service.Unsettled() {
		r.projects.warnUnsettled(diags)
		return true
	}
	if mode == verifyNone {
		return true
	}
	err := service.Verify(ctx, id, mode == verifyBackup)
	switch {
	case err == nil:
		return true
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		diags.AddError("The verification was interrupted", "The apply was interrupted, so it is not known whether the backup works.\n\n"+strings.ReplaceAll(o.unverified(), "Fix the cause, then keep", "Keep"))
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		diags.AddError("The verification took too long", "The time of `timeouts` was over before it was known whether the backup works.\n\n"+o.unverified())
	default:
		addErrorAdvice(diags, "The backup is installed but does not work", r.projects.explainSelfHosted(err), o.unverified())
	}
	return false
}
