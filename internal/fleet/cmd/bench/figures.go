package main

import (
	"fmt"
	"slices"
	"time"
)

// The limits. Unless said otherwise, a ratio is to the provider that does nothing.
const (
	startLimit        = 1.15 // start of the process to handshake
	onePlanLimit      = 1.05 // plan of one backup without changes, on loopback
	planLimit         = 1.5  // plan of 200 backups
	manyPlansLimit    = 0.7  // plan of 1,000 backups, to the provider before
	growthLimitKiB    = 50.0 // peak memory for each further backup
	applyLimit        = 6 * time.Second
	requestsLimit     = 210 // to the API, of an apply of 50 backups
	statementsLimit   = 160 // of it
	projectsLimit     = 1.3 // time per project, to that of a quarter of them
	glanceGrowthLimit = 50.0
)

// Figures is the JSON that the bench writes. Times are in milliseconds, memory
// is in KiB, and everything measured several times is a median.
type Figures struct {
	Machine Machine `json:"machine"`
	Start   Figure  `json:"start_to_handshake_ms"`
	Plans   []Plan  `json:"plans_without_changes"`
	Apply   Applied `json:"apply"`
	// Projects are applies of one new backup in each of so many projects.
	Projects []Run  `json:"new_projects"`
	Growth   Figure `json:"peak_memory_per_backup_kib"`
	// Glances are of the data source aimindset_auto_backups.
	Glances []Plan `json:"glances"`
	// Micro are the figures of Go benchmarks, by their names and units.
	Micro map[string]map[string]float64 `json:"benchmarks"`
	// MicroBefore are those of the earlier commit.
	MicroBefore map[string]map[string]float64 `json:"benchmarks_before,omitempty"`
	// Missed are the limits that were not kept.
	Missed []string `json:"missed"`
}

// Figure is one figure of each provider; 0 where it was not measured.
type Figure struct {
	Provider float64 `json:"provider"`
	// Before is that of the provider of an earlier commit.
	Before float64 `json:"before,omitempty"`
	// Nothing is that of a provider that does nothing.
	Nothing float64 `json:"nothing,omitempty"`
	// Official is that of Supabase's provider, which has an Edge Function for each backup.
	Official float64 `json:"official,omitempty"`
}

// The names of the providers.
const (
	nameProvider = "provider"
	nameBefore   = "before"
	nameNothing  = "nothing"
	nameOfficial = "official"
)

// of is the figure of a provider.
func (f *Figure) of(name string) *float64 {
	switch name {
	case nameBefore:
		return &f.Before
	case nameNothing:
		return &f.Nothing
	case nameOfficial:
		return &f.Official
	default:
		return &f.Provider
	}
}

// scaled is the figure in another unit.
func (f Figure) scaled(by float64) Figure {
	return Figure{f.Provider * by, f.Before * by, f.Nothing * by, f.Official * by}
}

// growth is how much each further one of something adds to a figure.
func growth(few, many Figure, further int) Figure {
	var each Figure
	for _, name := range []string{nameProvider, nameBefore, nameNothing, nameOfficial} {
		if *few.of(name) > 0 && *many.of(name) > 0 {
			*each.of(name) = (*many.of(name) - *few.of(name)) / float64(further)
		}
	}
	return each
}

// Run is one run of Terraform.
type Run struct {
	Backups  int `json:"backups"`
	Projects int `json:"projects"`
	// Wall is the time of the whole run; CPU and Peak are the provider's.
	Wall Figure `json:"wall_ms"`
	CPU  Figure `json:"provider_cpu_ms"`
	Peak Figure `json:"provider_peak_kib"`
	// Requests go to the Management API, but for those with Statements.
	Requests    Figure `json:"api_requests"`
	Statements  Figure `json:"sql_statements"`
	Connections Figure `json:"connections"`
}

// Plan is one plan that finds nothing to do.
type Plan struct {
	Run
	Slow bool `json:"slow_api"`
}

// Applied is one apply into an empty project.
type Applied struct {
	Run
	// Trips counts the requests and the statements by what they are for.
	Trips map[string]int `json:"trips"`
}

// plan returns a plan of so many backups.
func (f *Figures) plan(backups int, slow bool) (Plan, bool) {
	at := slices.IndexFunc(f.Plans, func(p Plan) bool { return p.Backups == backups && p.Slow == slow })
	if at < 0 {
		return Plan{}, false
	}
	return f.Plans[at], true
}

// judge computes the growth and compares with the limits. How many requests a plan makes
// has been compared where they were counted. What was not measured is not judged.
func (f *Figures) judge() {
	f.Missed = []string{}
	miss := func(what string, got, limit float64) {
		if got > limit {
			f.Missed = append(f.Missed, fmt.Sprintf("%s is %.2f, the limit is %.2f", what, got, limit))
		}
	}
	ratio := func(what string, got, of, limit float64) {
		if of > 0 {
			miss(what, got/of, limit)
		}
	}
	ratio("the ratio of the times to the handshake", f.Start.Provider, f.Start.Nothing, startLimit)
	one, measured := f.plan(1, false)
	ratio("the ratio of the times of a plan of one backup", one.Wall.Provider, one.Wall.Nothing, onePlanLimit)
	p, _ := f.plan(200, false)
	ratio("the ratio of the times of a plan of 200 backups", p.Wall.Provider, p.Wall.Nothing, planLimit)
	// The peak of few backups grows with how many of them are read at once, and
	// says nothing of what each one costs.
	if most, found := f.plan(1000, false); found && measured {
		ratio("the ratio of the times of a plan of 1,000 backups to those of the provider before", most.Wall.Provider, most.Wall.Before, manyPlansLimit)
		f.Growth = growth(one.Peak, most.Peak, most.Backups-one.Backups)
		miss("the growth in KiB for each further backup", f.Growth.Provider, growthLimitKiB)
	}
	if f.Apply.Backups > 0 {
		miss(fmt.Sprintf("the time in seconds of an apply of %d backups", f.Apply.Backups), f.Apply.Wall.Provider/1000, applyLimit.Seconds())
		miss("the number of its requests", f.Apply.Requests.Provider, requestsLimit)
		miss("the number of its statements", f.Apply.Statements.Provider, statementsLimit)
	}
	f.judgeProjects(miss)
	if len(f.Glances) > 1 {
		few, many := f.Glances[0], f.Glances[1]
		miss("the growth in KiB for each further project that is looked at", growth(few.Peak, many.Peak, many.Projects-few.Projects).Provider, glanceGrowthLimit)
	}
}

// judgeProjects compares the first applies of ever more projects with each other.
func (f *Figures) judgeProjects(miss func(what string, got, limit float64)) {
	for i, many := range f.Projects {
		each := func(f Figure, r Run) float64 { return f.Provider / float64(r.Projects) }
		first := f.Projects[0]
		if each(many.Requests, many) != each(first.Requests, first) || each(many.Statements, many) != each(first.Statements, first) {
			f.Missed = append(f.Missed, fmt.Sprintf("%d new projects take %.2f requests and %.2f statements each, and %d take %.2f and %.2f",
				many.Projects, each(many.Requests, many), each(many.Statements, many), first.Projects, each(first.Requests, first), each(first.Statements, first)))
		}
		for _, few := range f.Projects[:i] {
			if few.Projects*4 == many.Projects && many.Projects == mostProjects {
				miss(fmt.Sprintf("the ratio of the times for each of %d new projects to those of %d", many.Projects, few.Projects), each(many.Wall, many)/each(few.Wall, few), projectsLimit)
			}
		}
	}
}
