package postgres

import _ "embed"

// What is asked about a project's database, each for DB.Query; its file says
// what its parameters are.
var (
	//go:embed queries/observe.sql
	Observe string
	//go:embed queries/status.sql
	Status string
	//go:embed queries/preflight.sql
	Preflight string
)
