package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
)

// intent is what a resource plans for a backup.
type intent int

const (
	makes intent = 1 << iota
	keeps
	removes
)

// run is what the resources of one run of Terraform tell each other.
type run struct {
	mu sync.Mutex
	// seen are the backups that a state of this run knows, with what it knows.
	seen map[backup.ID]backup.Known
	// intents are what the resources of this run have planned.
	intents map[backup.ID]intent
}

// see notes what a state knows of a backup.
func (r *run) see(id backup.ID, known backup.Known) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[backup.ID]backup.Known{}
	}
	r.seen[id] = known
}

// saw reports whether a refresh of this run has come across a backup, and what
// the state knew of it.
func (r *run) saw(id backup.ID) (known backup.Known, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok = r.seen[id]
	return known, ok
}

// plan notes what one resource plans for a backup, and answers with what
// others plan for the same one.
func (r *run) plan(id backup.ID, what intent) (others intent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.intents == nil {
		r.intents = map[backup.ID]intent{}
	}
	others = r.intents[id]
	r.intents[id] |= what
	return others
}

// done ends what a resource has planned for a backup.
func (r *run) done(id backup.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.intents, id)
}

// planOnce notes that a resource makes, keeps or removes a backup. It refuses
// a second resource for the same one: each would undo what the other one does,
// and Terraform, which does not know that they are the same, might do so at the
// same time.
func (r *autoBackupResource) planOnce(id backup.ID, what intent, diags *diag.Diagnostics) {
	at := path.Root("name")
	switch others := r.projects.run.plan(id, what); {
	case what&(makes|keeps) != 0 && others&(makes|keeps) != 0:
		diags.AddAttributeError(at, "Two resources describe the same backup",
			fmt.Sprintf("Another resource of this configuration is the backup %s as well. Give each its own `name`, or keep one of them. "+
				"If one is in the state and has to leave it without removing the backup, write a `removed` block with `lifecycle { destroy = false }`.", id))
	case what|others == makes|removes:
		diags.AddAttributeError(at, "The backup is removed under one address and made under another",
			fmt.Sprintf("Backup %s stands in the state under an address which the configuration no longer has, and in the configuration under one which the state does not have. "+
				"Tell Terraform that they are the same:\n\nmoved {\n  from = <the former address>\n  to   = <the present address>\n}", id))
	}
}

// planRemoval takes note of a backup that is to be removed.
func (r *autoBackupResource) planRemoval(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var state autoBackupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if r.projects != nil && !resp.Diagnostics.HasError() {
		r.planOnce(state.id(), removes, &resp.Diagnostics)
	}
}

// checkImport refuses the import of a backup that is not there. Its reads are
// those of the refresh that follows.
func checkImport(ctx context.Context, service *install.Service, id backup.ID, diags *diag.Diagnostics) {
	if service == nil {
		return
	}
	found, err := service.ObserveCached(ctx, id.Name, backup.Known{})
	if err != nil {
		addError(diags, "Cannot read the backup", err)
		return
	}
	if found.Exists() {
		return
	}
	installed := "none is installed there"
	if len(found.Backups) > 0 {
		installed = "installed are: " + strings.Join(found.Backups, ", ")
	}
	diags.AddError("There is nothing to import",
		fmt.Sprintf("There is no backup %s in project %s that this provider has made; %s. Jobs, functions and secrets of other hands are not imported: apply the resource with `adopt_existing = true` to take them over.",
			id.Name, id.ProjectRef, installed))
}

// checkReplacement decides about a backup of the state that is to be replaced
// under its own name: because its creation failed, or because somebody asks for
// it (-replace, replace_triggered_by, or because "terraform taint" was used).
//
// What a failed creation has left may go, and so may what has lost its settings:
// it makes no backups, and its history is lost. Anything else is refused here,
// because the apply could not tell it any more: with create_before_destroy the
// new object would find the old one in its place, and Terraform would remove
// what both of them are.
func checkReplacement(found backup.State, asked bool, diags *diag.Diagnostics) {
	if asked || found.Settings != nil && !found.LeftBehind() {
		diags.AddError("A backup is not replaced by itself",
			fmt.Sprintf("Backup %s would be removed and installed anew under the same name. In between no backup would run, and the history of its runs would go. Every change is made in place instead:\n\n"+
				"- if its address in the configuration has changed, add a `moved` block;\n"+
				"- if the resource is tainted, run \"terraform untaint\" with its address, and apply: what differs is repaired;\n"+
				"- if you asked for it with -replace or replace_triggered_by, take that away; `rotate_token` makes a new token;\n"+
				"- to begin with an empty history, destroy the backup and apply again.", found.ID))
		return
	}
	diags.AddWarning("A failed creation is begun anew",
		fmt.Sprintf("The creation of backup %s did not come to its end. What it left in the project is removed or taken over.", found.ID))
}

// tellOwnership says what the plan takes over, what it leaves behind, and which
// other jobs make the same backup.
func tellOwnership(spec backup.Spec, found backup.State, diags *diag.Diagnostics) {
	if objects := found.Adopts(spec); len(objects) > 0 {
		diags.AddAttributeWarning(path.Root("adopt_existing"), "Objects of other hands are taken over",
			fmt.Sprintf("As `adopt_existing` is set, these become part of backup %s, and go when it is destroyed:\n\n- %s", spec.ID, strings.Join(objects, "\n- ")))
	}
	if names := found.SecretsToLeave(spec); len(names) > 0 {
		diags.AddAttributeWarning(path.Root("secrets"), "Adopted secrets stay in the project",
			fmt.Sprintf("Backup %s no longer names %s. They were there before it, and other functions may use them, so they keep the value that they have now. To remove them: supabase secrets unset --project-ref %s %s",
				spec.ID, strings.Join(names, ", "), spec.ID.ProjectRef, strings.Join(names, " ")))
	}
	for _, job := range found.Conflicts(spec) {
		tellConflict(spec, job, diags)
	}
}

// tellConflict names one job that makes the same backup. Its command is not
// quoted, because such commands have been seen to hold keys.
func tellConflict(spec backup.Spec, job backup.ConflictingJob, diags *diag.Diagnostics) {
	name := job.Name
	if name == "" {
		name = "(without a name)"
	}
	text := []string{
		fmt.Sprintf("The pg_cron job %s has the id %d, the schedule %q (UTC) and the role %s. As its name or its command says, it makes the same backup. It stays as it is, so more backups run than this configuration declares.",
			name, job.ID, job.Schedule, job.Username),
	}
	var times string
	if job.Readable {
		times = fmt.Sprintf("{ cron = %q, timezone = \"UTC\" }", job.Schedule)
	} else {
		times = "{ cron = \"…\", timezone = \"UTC\" }   # five fields; pg_cron's own form of this job's schedule has no equal"
	}
	if job.Key != "" {
		text = append(text, "To make it a schedule of this backup, write:",
			"  adopt_existing = true\n  schedules = {"+otherSchedules(spec)+"\n    "+job.Key+" = "+times+"\n  }")
	} else {
		text = append(text, fmt.Sprintf("It cannot be adopted, because it is not a job named %s of role %s. To run the backup at its times, add a schedule under a key of your own and remove the job:", spec.ID.Name.Job("<key>"), backup.JobOwner),
			"  schedules = {"+otherSchedules(spec)+"\n    other = "+times+"\n  }")
	}
	text = append(text, fmt.Sprintf("To remove it, run as role %s:", job.Username), fmt.Sprintf("  select cron.unschedule(%d);", job.ID))
	// Terraform folds warnings of one summary into one, so each has its own.
	diags.AddAttributeWarning(path.Root("schedules"), fmt.Sprintf("Job %s (id %d) makes the same backup", name, job.ID), strings.Join(text, "\n\n"))
}

// otherSchedules are the lines of the declared schedules, in the form of a
// configuration.
func otherSchedules(spec backup.Spec) string {
	var lines strings.Builder
	keys := make([]string, 0, len(spec.Settings.Schedules))
	for key := range spec.Settings.Schedules {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		s := spec.Settings.Schedules[key]
		fmt.Fprintf(&lines, "\n    %s = { cron = %q", key, s.Cron)
		if s.Timezone != nil {
			fmt.Fprintf(&lines, ", timezone = %q", *s.Timezone)
		}
		if !s.Enabled {
			lines.WriteString(", enabled = false")
		}
		lines.WriteString(" }")
	}
	return lines.String()
}
