package postgres

import _ "embed"

// The statements that a backup needs. Except for Extensions, which is a script
// for DB.Exec, each is for DB.Query; its file says what its parameters are.
var (
	//go:embed queries/observe.sql
	Observe string
	//go:embed queries/backups.sql
	Backups string
	//go:embed queries/acquire.sql
	Acquire string
	//go:embed queries/hold.sql
	Hold string
	//go:embed queries/release.sql
	Release string
	//go:embed queries/status.sql
	Status string
	//go:embed queries/preflight.sql
	Preflight string
	//go:embed queries/extensions.sql
	Extensions string
	//go:embed queries/stamp.sql
	Stamp string
	//go:embed queries/reopen.sql
	Reopen string
	//go:embed queries/configure.sql
	Configure string
	//go:embed queries/put_vault_secret.sql
	PutVaultSecret string
	//go:embed queries/drained.sql
	Drained string
	//go:embed queries/remove_vault_secrets.sql
	RemoveVaultSecrets string
	//go:embed queries/extend_log_constraint.sql
	ExtendLogConstraint string
	//go:embed queries/leave.sql
	Leave string
	//go:embed queries/unschedule.sql
	Unschedule string
	//go:embed queries/unschedule_others.sql
	UnscheduleOthers string
	//go:embed queries/forget.sql
	Forget string
	//go:embed queries/probe.sql
	Probe string
	//go:embed queries/response.sql
	Response string
	//go:embed queries/run.sql
	Run string
	//go:embed queries/run_state.sql
	RunState string
)
