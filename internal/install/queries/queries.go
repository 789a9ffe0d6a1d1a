// Package queries holds the SQL with which a backup is installed, verified, run
// and removed. Except for Extensions, which is a script for DB.Exec, each is one
// statement for DB.Query; its file says what its parameters are.
package queries

import _ "embed"

// Which backups are installed.
var (
	//go:embed backups.sql
	Backups string
)

// The lease on a backup.
var (
	//go:embed acquire.sql
	Acquire string
	//go:embed acquire_first.sql
	AcquireFirst string
	//go:embed leased.sql
	Leased string
	//go:embed renew.sql
	Renew string
	//go:embed release.sql
	Release string
)

// What the database role may do.
var (
	//go:embed rights.sql
	Rights string
)

// Installation.
var (
	//go:embed extensions.sql
	Extensions string
	//go:embed mark.sql
	Mark string
	//go:embed begin.sql
	Begin string
	//go:embed reopen.sql
	Reopen string
	//go:embed configure.sql
	Configure string
	//go:embed finish.sql
	Finish string
	//go:embed put_vault_secret.sql
	PutVaultSecret string
	//go:embed replace_vault_secret.sql
	ReplaceVaultSecret string
	//go:embed keep_former_token.sql
	KeepFormerToken string
	//go:embed drained.sql
	Drained string
	//go:embed extend_log_constraint.sql
	ExtendLogConstraint string
)

// Removal.
var (
	//go:embed leave.sql
	Leave string
	//go:embed unschedule.sql
	Unschedule string
	//go:embed unschedule_others.sql
	UnscheduleOthers string
	//go:embed remove_vault_secrets.sql
	RemoveVaultSecrets string
	//go:embed forget.sql
	Forget string
)

// Verification, and a backup made on request.
var (
	//go:embed probe.sql
	Probe string
	//go:embed offsite_probe.sql
	OffsiteProbe string
	//go:embed response.sql
	Response string
	//go:embed run.sql
	Run string
	//go:embed run_state.sql
	RunState string
)

// A restore drill on request.
var (
	//go:embed drill.sql
	Drill string
	//go:embed drill_state.sql
	DrillState string
)
