package backup

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// ConflictingJob is an active pg_cron job that seems to make the same backup in
// another way, so that more backups run than are declared.
type ConflictingJob struct {
	Job
	// Key is the schedule key under which the backup would adopt the job. It
	// is empty when the job's name or role does not allow that.
	Key string
	// Readable says that a schedule of the backup can have the job's times.
	Readable bool
}

// Conflicts lists the active jobs that spec does not have and that make the same
// backup, as their names or their commands say, by their ids. An apply does not
// change them.
func (s State) Conflicts(spec Spec) []ConflictingJob {
	var conflicts []ConflictingJob
	add := func(key string, job Job) {
		// A job whose role does not exist does not run.
		if !job.Active || job.Orphaned {
			return
		}
		_, err := schedule.Parse(job.Schedule)
		conflicts = append(conflicts, ConflictingJob{Job: job, Key: key, Readable: err == nil})
	}
	for key, job := range s.ConflictingJobs {
		if spec.WantsJob(key) {
			continue // it is adopted or refused
		}
		if job.Username != JobOwner || ValidateKey(key) != nil {
			key = ""
		}
		add(key, job)
	}
	makes := MakesBackup(spec.ID.Name, spec.Settings.Function.RPC)
	for _, job := range s.OtherJobs {
		if strings.HasPrefix(job.Name, string(spec.ID.Name)+"-") || makes(job) {
			add("", job)
		}
	}
	slices.SortFunc(conflicts, func(a, b ConflictingJob) int { return cmp.Compare(a.ID, b.ID) })
	return conflicts
}

// MakesBackup returns a function that reports whether a job makes a backup, by
// what its command says: it calls the SQL function rpc (DefaultRPC if that is
// empty), in SQL or over HTTP, or an address that ends in the backup's name, or
// the dispatcher for this backup. A drill makes none.
func MakesBackup(name Name, rpc string) func(Job) bool {
	// SQL reads names without quotes in lower case.
	word := `(?i:(?:^|[^a-z0-9_$])` + regexp.QuoteMeta(cmp.Or(rpc, DefaultRPC)) + `(?:[^a-z0-9_$]|$))`
	pattern := regexp.MustCompile(word +
		`|/` + regexp.QuoteMeta(string(name)) + `(?:['"/?#]|$)|auto_backup\s*\.\s*(?:dispatch|watch|start|launch|run_now)\s*\(\s*'` + regexp.QuoteMeta(string(name)) + `'`)
	return func(job Job) bool { return pattern.MatchString(job.Command) }
}

// Dispatches returns the backup for which a job calls the dispatcher, the watchdog,
// the drill or the retention; empty if it calls none of them.
func (j Job) Dispatches() string {
	if m := patterns.dispatch().FindStringSubmatch(j.Command); m != nil {
		return m[1]
	}
	return ""
}

// isOf reports whether a job has the command of a job of one of the given
// backups. Such a job belongs to that backup, whatever its name looks like.
func (j Job) isOf(backups []string) bool {
	return slices.ContainsFunc(backups, func(backup string) bool {
		name := Name(backup)
		key, named := strings.CutPrefix(j.Name, string(name)+"-")
		return named && j.Username == JobOwner &&
			(j.Command == name.dispatchCommand(key) || key == WatchdogKey && j.Command == name.watchCommand() || (key == drill.JobKey || key == retention.JobKey) && j.Dispatches() == backup)
	})
}
