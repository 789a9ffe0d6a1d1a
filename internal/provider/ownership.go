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

// terraformRun is what the resources of one run of Terraform share.
type terraformRun struct {
	mu sync.Mutex
	// seen are the refreshed backups, with what the state knows about each. What it knows
	// of the source is left out: it is large, and the plan of a replacement finds it in the
	// private state. Terraform gives none for a tainted backup, whose source is read again.
	seen map[backup.ID]backup.Known
	// lost are the refreshed backups that another state has recreated or adopted since
	// this one recorded them.
	lost map[backup.ID]bool
	// intents are what resources have planned for each backup.
	intents map[backup.ID]intent
	// again is whether a resource may be planned several times, as Pulumi does: once for
	// its differences, and once more for the change. Then a second plan for a backup is
	// not a second resource.
	again bool
}

// pulumi is in the version of Terraform that Pulumi's bridge says it is.
const pulumi = "pulumi"

// see records what the state of a refreshed backup knows.
func (r *terraformRun) see(id backup.ID, known backup.Known) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[backup.ID]backup.Known{}
	}
	r.seen[id] = backup.Known{Managed: known.Managed, Keys: known.Keys, Secrets: known.Secrets, Channels: known.Channels}
}

// saw reports whether this run has refreshed a backup, and what its state knows but for the
// source.
func (r *terraformRun) saw(id backup.ID) (known backup.Known, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok = r.seen[id]
	return known, ok
}

// lose records that another state has a refreshed backup now.
func (r *terraformRun) lose(id backup.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost == nil {
		r.lost = map[backup.ID]bool{}
	}
	r.lost[id] = true
}

// hasLost reports whether another state has a refreshed backup now.
func (r *terraformRun) hasLost(id backup.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost[id]
}

// plan records what a resource plans for a backup, and returns what other resources
// have planned for the same backup.
func (r *terraformRun) plan(id backup.ID, what intent) (others intent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.intents == nil {
		r.intents = map[backup.ID]intent{}
	}
	others = r.intents[id]
	r.intents[id] |= what
	return others
}

// done forgets what resources have planned for a backup.
func (r *terraformRun) done(id backup.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.intents, id)
}

// planOnce records that a resource creates, keeps or removes a backup. It refuses a
// second resource for the same backup: each would undo what the other does, perhaps
// at the same time, because Terraform does not know that they are the same.
func (r *autoBackupResource) planOnce(id backup.ID, what intent, diags *diag.Diagnostics) {
	if r.projects.run.again {
		return
	}
	at := path.Root("name")
	switch others := r.projects.run.plan(id, what); {
	case what&(makes|keeps) != 0 && others&(makes|keeps) != 0:
		diags.AddAttributeError(at, "Two resources describe the same backup",
			fmt.Sprintf("Another resource in this configuration also describes backup %s. Give each its own `name`, or remove one of them. "+
				"To remove one from the state without removing the backup, use a `removed` block with `lifecycle { destroy = false }`.", id))
	case what|others == makes|removes:
		diags.AddAttributeError(at, "The backup is removed under one address and created under another",
			fmt.Sprintf("The state has backup %s under an address that the configuration no longer has, and the configuration has it under an address that the state does not have. "+
				"Tell Terraform that they are the same:\n\nmoved {\n  from = <the former address>\n  to   = <the current address>\n}", id))
	}
}

// planRemoval records that a backup is to be removed. Terraform plans a destroy in a
// process of its own, and shows no warnings of the refresh before it, so this looks for
// the lease again.
func (r *autoBackupResource) planRemoval(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var state autoBackupModel
	resp.Diagnostics.Append(state.get(ctx, req.State)...)
	if r.projects != nil && !resp.Diagnostics.HasError() {
		r.planOnce(state.id(), removes, &resp.Diagnostics)
		if _, refreshed := r.projects.run.saw(state.id()); !refreshed {
			r.findLease(ctx, state.id(), &resp.Diagnostics)
		}
	}
}

// superseded reports whether the backup was recreated since it was applied as was
// says. One that came with a copy of another project's database was not: it is the
// state's own backup, with what the copy has overwritten.
func superseded(found backup.State, was *applied) bool {
	return found.Superseded(was.instance()) && !copied(was.Settings, found)
}

// copied reports whether the settings in the project are a copy of another project's.
// own are settings of this project.
func copied(own backup.Settings, found backup.State) bool {
	if found.Settings == nil {
		return false
	}
	there, _ := found.Settings.Elsewhere(own)
	return there != ""
}

// looksForeign reports whether what was found may be what another project's database
// holds: the backup that was applied is missing, or is another installation.
func looksForeign(found backup.State, was *applied) bool {
	return !found.Exists() || found.Superseded(was.instance()) || was != nil && copied(was.Settings, found)
}

// isOwnDatabase reports whether the database that serves a backup's project is the
// project's. Otherwise it adds an error, so that the state does not lose a backup that
// is there.
func (r *autoBackupResource) isOwnDatabase(ctx context.Context, id backup.ID, diags *diag.Diagnostics) bool {
	if err := r.projects.checkDatabase(ctx, id.ProjectRef); err != nil {
		addError(diags, "Cannot read the backup", err)
		return false
	}
	return true
}

// refuseLost refuses to create a backup that this state has lost to another one. As
// long as the state has the address, Terraform ignores an import block for it.
func refuseLost(id backup.ID, diags *diag.Diagnostics) {
	diags.AddError("Another state has the backup",
		fmt.Sprintf("Backup %s was recreated, or adopted by another state, after this state last recorded it. It belongs to the other state now and is not changed. "+
			"To give it up here, remove it from this state, with this resource's address; that changes nothing in the project:\n\n"+
			"  terraform state rm aimindset_auto_backup.this\n\n"+
			"Then remove the resource from the configuration, or choose another `name`. To have it back instead, run the same command, because Terraform imports nothing into an address that the state has. %s",
			id, importBlock(id)))
}

// checkImport refuses the import of a backup that does not exist. The refresh that
// follows uses what it reads.
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
		fmt.Sprintf("Project %[2]s has no backup %[1]s that this provider has installed; %[3]s. Jobs, functions and secrets that this provider did not create cannot be imported: apply the resource with `adopt_existing = true` to adopt them.",
			id.Name, id.ProjectRef, installed))
}

// checkReplacement decides whether a backup may be replaced by itself: because its
// creation failed, or because of -replace, replace_triggered_by or "terraform taint".
//
// The rest of a failed creation may be replaced, and so may a backup that has lost
// its settings, because it makes no backups and its history is lost. Anything else
// is refused now, because an apply could not detect it: with create_before_destroy
// the new object would find the old one installed, and Terraform would then remove
// both.
func checkReplacement(found backup.State, asked bool, diags *diag.Diagnostics) {
	if asked || found.Settings != nil && !found.LeftBehind() {
		diags.AddError("The backup cannot be replaced",
			fmt.Sprintf("Backup %s would be removed and installed again under the same name. No backup would run in between, and its run history would be lost. Every change can be made in place instead:\n\n"+
				"- if its address in the configuration has changed, add a `moved` block;\n"+
				"- if the resource is tainted, run \"terraform untaint\" with its address and apply, which repairs what differs;\n"+
				"- if you use -replace or replace_triggered_by, remove it; `rotate_token` creates a new token;\n"+
				"- to start with an empty history, destroy the backup and apply again.", found.ID))
		return
	}
	diags.AddWarning("A failed creation is repeated",
		fmt.Sprintf("The creation of backup %s did not finish. What it left in the project is removed or adopted.", found.ID))
}

const secretsKept = "Secrets of others are kept in the project"

// tellOwnership warns about objects that the plan adopts, about secrets that it
// leaves behind, and about conflicting jobs.
func tellOwnership(spec backup.Spec, found backup.State, diags *diag.Diagnostics) {
	if objects := found.Adopts(spec); len(objects) > 0 {
		diags.AddAttributeWarning(path.Root("adopt_existing"), "Existing objects will be adopted",
			fmt.Sprintf("Because `adopt_existing` is set, these become part of backup %s. Destroying it removes the jobs and functions among them:\n\n- %s", spec.ID, strings.Join(objects, "\n- ")))
	}
	if names := found.SecretsToLeave(spec); len(names) > 0 {
		diags.AddAttributeWarning(path.Root("secrets"), "Adopted secrets are kept in the project",
			fmt.Sprintf("Backup %s no longer has the secrets %s. They existed before it, and other functions may use them, so they keep their current values. To remove them: supabase secrets unset --project-ref %s %s",
				spec.ID, strings.Join(names, ", "), spec.ID.ProjectRef, strings.Join(names, " ")))
	}
	if kept := found.KeptSecrets(spec); kept != "" {
		diags.AddAttributeWarning(path.Root("secret_fingerprints"), secretsKept, kept)
	}
	for _, job := range found.Conflicts(spec) {
		tellConflict(spec, job, diags)
	}
}

// tellConflict warns about a job that makes the same backup. It does not quote the
// command, because such commands have been seen to contain keys.
func tellConflict(spec backup.Spec, job backup.ConflictingJob, diags *diag.Diagnostics) {
	name := job.Name
	if name == "" {
		name = "(without a name)"
	}
	text := []string{
		fmt.Sprintf("The pg_cron job %s has the ID %d, the schedule %q (UTC) and the role %s. According to its name or its command, it makes the same backup. It is not changed, so more backups run than this configuration declares.",
			name, job.ID, job.Schedule, job.Username),
	}
	var times string
	if job.Readable {
		times = fmt.Sprintf("{ cron = %q, timezone = \"UTC\" }", job.Schedule)
	} else {
		times = "{ cron = \"…\", timezone = \"UTC\" }   # five fields; this job's schedule has a form that only pg_cron has"
	}
	if job.Key != "" {
		text = append(text, "To make it a schedule of this backup, write:",
			"  adopt_existing = true\n  schedules = {"+otherSchedules(spec)+"\n    "+job.Key+" = "+times+"\n  }")
	} else {
		text = append(text, fmt.Sprintf("It cannot be adopted, because it is not a job named %s with the role %s. To run the backup at its times, add a schedule with another key and remove the job:", spec.ID.Name.Job("<key>"), backup.JobOwner),
			"  schedules = {"+otherSchedules(spec)+"\n    other = "+times+"\n  }")
	}
	text = append(text, fmt.Sprintf("To remove it, run as role %s:", job.Username), fmt.Sprintf("  select cron.unschedule(%d);", job.ID))
	// Terraform merges warnings with the same summary, so each has its own.
	diags.AddAttributeWarning(path.Root("schedules"), fmt.Sprintf("Job %s (id %d) makes the same backup", name, job.ID), strings.Join(text, "\n\n"))
}

// otherSchedules returns the declared schedules in the notation of a configuration.
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
