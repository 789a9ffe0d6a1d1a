package checks

import (
	"slices"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
)

// network are the checks of what sends the requests.
var network = []Check{
	{
		Code: "pg_net_down", Theme: Network, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"extensions", "processes", "server"},
		Find: func(s *Subject) []Finding {
			if !s.lacksNetWorker() {
				return nil
			}
			return one(About("pg_net's worker", "is not running, so no request leaves the database"))
		},
	},
	{
		Code: "queue_crowded", Theme: Network, Planning: Warning, Asked: Healthy,
		Facts: []facts.Part{"queue", "extensions", "processes", "server"},
		Find: func(s *Subject) []Finding {
			// So many wait when pg_net does not keep up.
			const crowd = 200
			if len(s.Queue) < crowd || s.lacksNetWorker() {
				return nil
			}
			// How many it holds changes all the time.
			return one(About("pg_net's queue", "holds %d requests or more that have not been sent, and the backup's would be behind them", crowd))
		},
	},
}

// lacksNetWorker reports whether pg_net is installed and its worker certainly does
// not run. Since 0.14 it reports itself under a name that every role sees; before,
// only a role that sees the kind of each process could tell.
func (s *Subject) lacksNetWorker() bool {
	installed, ok := s.Extensions["pg_net"]
	version, known := parseVersion(installed)
	visible := s.Server.SeesProcesses || known && slices.Compare(version[:], []int{0, 14}) >= 0
	return ok && visible && !s.Processes.PgNet
}
