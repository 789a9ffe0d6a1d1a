package backup

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

// Rival is an active pg_cron job that seems to make the same backup by another
// way, so that more backups run than are declared.
type Rival struct {
	Job
	// Key is the schedule key under which the backup would adopt the job. It
	// is empty when the job's name or role does not allow that.
	Key string
	// Readable says that a schedule of the backup can have the job's times.
	Readable bool
}

// Rivals lists the active jobs that are not among those of spec and that run
// the same backup, as their name or their command says. They are not touched.
func (s State) Rivals(spec Spec) []Rival {
	var rivals []Rival
	add := func(key string, job Job) {
		// A job without a role runs no more than any other job does.
		if !job.Active || job.Orphaned {
			return
		}
		_, err := schedule.Parse(job.Schedule)
		rivals = append(rivals, Rival{Job: job, Key: key, Readable: err == nil})
	}
	for key, job := range s.Namesakes {
		if !spec.WantedNamesake(key) {
			if key == WatchdogKey || job.Username != JobOwner {
				key = ""
			}
			add(key, job)
		}
	}
	for _, job := range s.OtherJobs {
		add("", job)
	}
	slices.SortFunc(rivals, func(a, b Rival) int { return cmp.Compare(a.ID, b.ID) })
	return rivals
}

// isJobOf reports whether a job has the command of a job of one of the given
// backups. Such a job belongs to that backup, whatever its name looks like.
func isJobOf(job Job, backups []string) bool {
	return slices.ContainsFunc(backups, func(backup string) bool {
		name := Name(backup)
		key, named := strings.CutPrefix(job.Name, string(name)+"-")
		return named && job.Username == JobOwner &&
			(job.Command == name.dispatchCommand(key) || (key == WatchdogKey && job.Command == name.watchCommand()))
	})
}
