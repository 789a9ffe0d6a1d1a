package checks

import (
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// stored are the checks of the backups that the application's tables hold.
var stored = []Check{
	{
		Code: "stored_backups_missing", Theme: Stored, Asked: Failing,
		Facts: []facts.Part{"stored_backups", "last_success", "last_log", "log_checks"},
		Find: func(s *Subject) []Finding {
			// If the reader does not see the application's tables, it is not known.
			sees := s.Readable("public.backup_logs") && s.Readable("public.system_logs")
			if s.LastSuccess == nil || !s.storesBackups() || s.StoredBackups != nil || !sees {
				return nil
			}
			return one(About("The schema public", "has no table any more that holds backups, with the columns backup_id and backup_created_at"))
		},
	},
	{
		Code: "stored_backup_missing", Theme: Stored, Asked: Failing,
		Facts: []facts.Part{"stored_backups", "last_success"},
		Find: func(s *Subject) []Finding {
			if s.LastSuccess == nil || !s.storesBackups() || s.StoredBackups == nil || s.StoredBackups.HasLast == nil || *s.StoredBackups.HasLast {
				return nil
			}
			return one(About("The backup "+s.LastSuccess.BackupID, "was the last success, but the backup tables have no row of it"))
		},
	},
}

// storesBackups reports whether the counted tables are those that the backup fills: the
// tables of AIMindset's function, or the one that verify_table names. That one is not
// counted if it lacks a column.
func (s *Subject) storesBackups() bool {
	f := s.Spec.Settings.Function
	if f.RPC == backup.DefaultRPC {
		return true
	}
	return f.VerifyTable != nil && s.StoredBackups != nil && slices.Contains(s.StoredBackups.Tables, "public."+QuoteIdent(*f.VerifyTable))
}

// clock are the checks of the clocks.
var clock = []Check{
	{
		Code: "clock_skew", Theme: Clock, Asked: Healthy,
		Facts: []facts.Part{"server"},
		Find: func(s *Subject) []Finding {
			const allowed = 5 * time.Minute
			apart := s.Clock.Sub(s.Server.Now).Abs()
			if s.Clock.IsZero() || s.Server.Now.IsZero() || apart <= allowed {
				return nil
			}
			return one(About("The clock of this machine", "and that of the database are %s apart; ages are by the database's clock", text.Duration(apart)))
		},
	},
	{
		Code: "future_runs", Theme: Clock, Asked: Healthy,
		Facts: []facts.Part{"future_runs"},
		Find: func(s *Subject) []Finding {
			if s.FutureRuns == nil || s.FutureRuns.Count == 0 {
				return nil
			}
			return one(About("The run history", "has runs that are dated after now, up to %s, and do not count: %d", text.Time(s.FutureRuns.Latest), s.FutureRuns.Count))
		},
	},
}
