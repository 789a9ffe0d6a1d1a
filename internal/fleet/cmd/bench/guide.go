package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// writeGuide writes the guide of a file with figures, and keeps the figures for the test
// that compares the two.
func writeGuide(figures, guide, keep string) error {
	text, err := os.ReadFile(figures)
	if err != nil {
		return err
	}
	var f Figures
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("%s: %w", figures, err)
	}
	page, err := f.guide()
	if err != nil {
		return fmt.Errorf("%s: %w", figures, err)
	}
	if err := os.WriteFile(guide, []byte(page), 0o600); err != nil {
		return err
	}
	return os.WriteFile(keep, text, 0o600)
}

const guideTop = `---
page_title: "Costs: what a plan, an apply and a night take"
description: |-
  Measured times, processor time, memory and requests of the provider and of what it installs, and how each grows.
---

# Costs: what a plan, an apply and a night take

`

// guide is the guide docs/guides/costs.md. It says which of its figures were not measured.
func (f *Figures) guide() (string, error) {
	p := &page{figures: f}
	p.plans()
	p.applies()
	p.night()
	p.copies()
	p.say("## Measure it\n\n`make bench` in the provider's repository measures all of this again, beside the provider of an earlier commit, writes this page, and fails if a limit was not kept. [Performance](performance) has the limits, and says which requests these are.\n")
	if len(f.Missed) > 0 {
		p.say("\nThis time, these were not kept: %s.\n", strings.Join(f.Missed, "; "))
	}
	body := p.text.String()
	p.text.Reset()
	p.text.WriteString(guideTop)
	err := p.introduction()
	return p.text.String() + body, err
}

// page is a guide that is being written.
type page struct {
	figures *Figures
	text    strings.Builder
	missing []string
}

func (p *page) say(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

// table begins a table, with a column for each provider.
func (p *page) table() {
	p.say("| | This provider | One that does nothing |")
	if p.official() {
		p.say(" The official one |")
	}
	p.say("\n|---|--:|--:|")
	if p.official() {
		p.say("--:|")
	}
	p.say("\n")
}

func (p *page) official() bool { return p.figures.Machine.Official != "" }

// further begins a row that belongs to the one before.
const further = "… "

// miss notes what was not measured. What belongs to it goes without saying.
func (p *page) miss(what string) {
	if !strings.HasPrefix(what, further) {
		p.missing = append(p.missing, what)
	}
}

// row writes a row of such a table, unless this provider's figure was not measured.
func (p *page) row(what string, f Figure, show func(float64) string) {
	if f.Provider == 0 {
		p.miss(what)
		return
	}
	values := []float64{f.Provider, f.Nothing}
	if p.official() {
		values = append(values, f.Official)
	}
	p.say("| %s |", what)
	for _, value := range values {
		if value == 0 {
			p.say(" |")
		} else {
			p.say(" %s |", show(value))
		}
	}
	p.say("\n")
}

// micro is what a Go benchmark reports in a unit; its time without one.
func (p *page) micro(name, unit string) float64 {
	if unit == "" {
		return took(p.figures.Micro[name])
	}
	return p.figures.Micro[name][unit]
}

// cells writes a row of figures without other providers, unless one was not measured.
func (p *page) cells(what string, show func(float64) string, values ...float64) {
	if slices.Contains(values, 0) {
		p.miss(what)
		return
	}
	p.say("| %s |", what)
	for _, value := range values {
		p.say(" %s |", show(value))
	}
	p.say("\n")
}

// introduction says where and when, what the others are, and what is not there.
func (p *page) introduction() error {
	m := p.figures.Machine
	date, err := time.Parse(time.DateOnly, m.Date)
	if err != nil || m.Commit == "" || m.Processor == "" {
		return errors.New("the machine, the date or the commit is missing")
	}
	changed := ""
	if m.Changed {
		changed = " with changes"
	}
	busy := ""
	if m.busy() {
		busy = fmt.Sprintf(" **The machine did other work meanwhile (load %.0f), so an idle one takes less time than this says.**", m.Load)
	}
	p.say("Measured by `make bench` on %s, at commit `%.12s`%s, with Terraform %s, on a machine with %d cores (%s) and %.0f GiB of memory. The providers took turns. Where one was measured several times, the figure is the median.%s\n\n",
		date.Format("2 January 2006"), m.Commit, changed, minor(m.Terraform), m.Cores, m.Processor, float64(m.Memory)/(1<<20), busy)
	p.say(`The machine also ran the stand-in for Supabase's Management API, which responds at once. "Slow API" means one that takes %d ms for each request and %d ms for each statement, so that waiting shows. On the platform both depend on the network and on the region. The processor time and the memory are those of the provider's processes, without Terraform's.

The provider that does nothing has the same schema and the same state, and asks nobody anything: what it takes is Terraform's and the plugin framework's share. `, apiDelay.Milliseconds(), sqlDelay.Milliseconds())
	if p.official() {
		p.say("The [official provider](https://registry.terraform.io/providers/supabase/supabase/latest) (%s) has no backups. It manages an Edge Function, `supabase_edge_function`, in the place of each, which is part of what a backup consists of; its SQL, jobs and secrets have no counterpart there.\n\n", m.Official)
	} else {
		p.say("The [official provider](https://registry.terraform.io/providers/supabase/supabase/latest) has not been measured this time, because its source could not be had: `make bench` clones it from GitHub.\n\n")
	}
	if len(p.missing) > 0 {
		p.say("Not measured this time, and left out below: %s.\n\n", strings.Join(p.missing, "; "))
	}
	return nil
}

func (p *page) plans() {
	p.say("## A plan without changes\n\n")
	p.table()
	p.row("Start of the provider to its handshake", p.figures.Start, duration)
	for _, backups := range []int{1, 200, 1000} {
		p.planRows(backups, false, backups != 200)
	}
	p.planRows(200, true, true)

	one, _ := p.figures.plan(1, false)
	many, _ := p.figures.plan(mostProjects, false)
	most, _ := p.figures.plan(1000, false)
	p.say("\nIt grows with the projects, each of which is read once, and with the backups, which Terraform handles one by one:\n\n")
	p.table()
	p.row("Each further project with a backup, from 1 to 200: time", growth(one.Wall, many.Wall, mostProjects-1), duration)
	p.row("… API requests", growth(one.Requests, many.Requests, mostProjects-1), number)
	p.row("… SQL statements", growth(one.Statements, many.Statements, mostProjects-1), number)
	p.row("Each further backup in these projects, from 200 to 1,000: time", growth(many.Wall, most.Wall, 1000-mostProjects), duration)
	p.row("Each further backup, from 1 to 1,000: memory", p.figures.Growth, size)

	p.say("\n## A look at all projects\n\nThe data source [`aimindset_auto_backups`](../data-sources/auto_backups) shows how the backups of all projects are doing. Here each project has thirty recorded nights. The other providers have nothing of the kind.\n\n")
	p.say("| Projects | Time | Processor | Memory | API requests | SQL statements |\n|---|--:|--:|--:|--:|--:|\n")
	if len(p.figures.Glances) < 3 {
		p.miss("looks at all projects")
	}
	for _, g := range p.figures.Glances {
		slow := ""
		if g.Slow {
			slow = ", slow API"
		}
		p.say("| %d%s | %s | %s | %s | %s | %s |\n", g.Projects, slow, duration(g.Wall.Provider), duration(g.CPU.Provider), size(g.Peak.Provider), number(g.Requests.Provider), number(g.Statements.Provider))
	}
	p.say("\n")
}

// planRows writes the rows of a plan. Further ones of the same requests leave them out.
func (p *page) planRows(backups int, slow, short bool) {
	plan, _ := p.figures.plan(backups, slow)
	what := fmt.Sprintf("%s backups in %d projects", number(float64(backups)), min(backups, mostProjects))
	if backups == 1 {
		what = "1 backup"
	}
	if slow {
		what += ", slow API"
	}
	p.row(what+": time", plan.Wall, duration)
	if slow {
		return
	}
	p.row("… processor", plan.CPU, duration)
	p.row("… memory", plan.Peak, size)
	if !short {
		p.row("… API requests", plan.Requests, number)
		p.row("… SQL statements", plan.Statements, number)
	}
}

func (p *page) applies() {
	a := p.figures.Apply
	p.say("## An apply\n\n")
	p.table()
	p.row(fmt.Sprintf("%d new backups in one project: time", applied), a.Wall, duration)
	p.row("… processor", a.CPU, duration)
	p.row("… API requests", a.Requests, number)
	p.row("… SQL statements", a.Statements, number)
	var few, many Run
	if len(p.figures.Projects) < len(newProjects) {
		p.miss("first applies of many projects")
	}
	for _, r := range p.figures.Projects {
		if r.Projects == newProjects[0] {
			few = r
		}
		many = r
		p.row(fmt.Sprintf("A new backup in each of %d projects: time", r.Projects), r.Wall, duration)
	}
	p.row("… processor", many.CPU, duration)
	p.row("… API requests", many.Requests, number)
	p.row("… SQL statements", many.Statements, number)
	if more := many.Projects - few.Projects; more > 0 {
		p.row(fmt.Sprintf("Each further project, from %d to %d: time", few.Projects, many.Projects), growth(few.Wall, many.Wall, more), duration)
		p.row("… memory", growth(few.Peak, many.Peak, more), size)
	}
	p.say(`
The backups of one project are installed in a real PostgreSQL on the same machine, with everything that they consist of. For the new projects, the stand-in responds as it did to the same apply of one project: what the databases do is not in these times, because on the platform each project has a machine of its own. Requests and statements grow in proportion to the projects, and within a project [with its backups](performance). [Rate limits](performance#rate-limits) add to it where the platform counts requests across all projects.

`)
}

func (p *page) night() {
	p.say("## A night\n\nWhat a night costs in the project. Its run history has 10,000 runs, which with one backup a day would be 27 years, each with its log rows, and pg_net has 10,000 responses. pg_cron makes each tick in a new session, which first reads what it needs of the catalogs: compare it with a session that has made the same tick before.\n\n| | Time |\n|---|--:|\n")
	for _, r := range []struct{ what, benchmark string }{
		{"`dispatch` requests a backup, and signs the request", "DispatcherSQL/dispatch, new session"},
		{"… in a session that has done so before", "DispatcherSQL/dispatch, warm session"},
		{"`watch`, the watchdog, has nothing to do", "DispatcherSQL/watch, idle, new session"},
		{"… in a session that has done so before", "DispatcherSQL/watch, idle, warm session"},
		{"`watch` has nothing to do, with two destinations of off-site copies and three channels", "DispatcherSQL/watch, idle, with copies and channels, new session"},
		{"… in a session that has done so before", "DispatcherSQL/watch, idle, with copies and channels, warm session"},
		{"`watch` looks at a run that is under way", "DispatcherSQL/watch, a run under way, new session"},
		{"A day of the watchdog with nothing to do, 144 ticks: processor", "IdleDayCPU"},
	} {
		p.cells(r.what, duration, p.micro(r.benchmark, ""))
	}
	p.cells("… WAL", size, p.micro("IdleDayCPU", "wal-KiB"))
	p.cells("Such a day with these destinations and channels: processor", duration, p.micro("IdleDayOutsideCPU", ""))
	p.cells("… WAL", size, p.micro("IdleDayOutsideCPU", "wal-KiB"))
	for _, r := range []struct{ what, benchmark string }{
		{"The Edge Function starts and accepts the request", "ColdStart/to 202"},
		{"A status in the morning, over the Management API", "Status/10,000 runs, over Management API"},
		{"… over a connection", "Status/10,000 runs, over connection"},
	} {
		p.cells(r.what, duration, p.micro(r.benchmark, ""))
	}
	p.say("\nWhat the backup itself takes is the time of its function `backup_all_data()`, which depends on the application's rows; a tick does not read them. A tick hardly grows with the runs in the history either. The processor time of one:\n\n| | 100 runs | 10,000 runs |\n|---|--:|--:|\n")
	for _, r := range []struct{ what, benchmark string }{
		{"`dispatch`", "RunHistory/dispatch"},
		{"`watch` with nothing to do", "RunHistory/watch, idle"},
	} {
		p.cells(r.what, duration, p.micro(r.benchmark+", 100 runs", ""), p.micro(r.benchmark+", 10,000 runs", ""))
	}
	p.say("\n")

	p.say("## A restore drill, and the removal of a stored backup\n\nOf each, the fastest of those measured, right after a checkpoint, which makes the most WAL.\n\n| | Time | WAL |\n|---|--:|--:|\n")
	for _, r := range []struct{ what, benchmark string }{
		{"A drill of 28,000 rows in three tables", "Drill/28,000 rows"},
		{"A drill of 1,000,000 rows in one table", "Drill/1,000,000 rows"},
		{"A drill of a sample of 100,000 out of 10,000,000 rows", "Drill/10,000,000 rows, sampled"},
		{"The removal of a stored backup of 28,000 rows", "Retain"},
	} {
		time, wal := p.micro(r.benchmark, ""), p.micro(r.benchmark, "wal-KiB")
		if time == 0 || wal == 0 {
			p.miss(r.what)
			continue
		}
		p.say("| %s | %s | %s |\n", r.what, duration(time), size(wal))
	}
	p.say("\nA drill's time grows with the rows that it restores, up to `drill.max_rows`. Its WAL does not: they are restored into temporary tables.\n\n")
}

func (p *page) copies() {
	p.say("## An off-site copy\n\nFrom the database to the bucket, in calls of the Edge Function of 25 MB each.\n\n| | |\n|---|--:|\n")
	for _, c := range []struct{ what, benchmark string }{
		{"A backup of 100 MB, on the platform's Deno", "Copy/100 MB, the platform's Deno"},
		{"A backup of 1 GB, on a current Deno", "Copy/1 GB, current Deno"},
	} {
		p.cells(c.what+": time", duration, p.micro(c.benchmark, "ns/op")/1e6)
		p.cells("… calls", number, p.micro(c.benchmark, "calls"))
		p.cells("… processor of a call", duration, p.micro(c.benchmark, "p50-ms"))
		p.cells("… memory of the function, at most", size, p.micro(c.benchmark, "MB")*1e6/1024)
		p.cells("… the longest that another request waited for pg_net", duration, p.micro(c.benchmark, "pg_net-ms"))
	}
	p.cells("Reading 25 MB over TLS, on the platform's Deno: processor", duration, p.micro("PostgresClient/the platform's Deno, TLS", "p50-ms"))
	p.cells("Compressing and encrypting 8 MB, on the platform's Deno: processor", duration, p.micro("SealPart/the platform's Deno", "p50-ms"))
	p.say("\nThe calls, and so the time, grow with the bytes. The function reads, compresses and stores the rows in parts, so its memory does not. A tick of the watchdog requests the first call, and each call the next.\n\n")
}

// minor is a version without its last number.
func minor(version string) string {
	if at := strings.LastIndexByte(version, '.'); at > 0 {
		return version[:at]
	}
	return version
}

// number writes a number with its thousands apart, and of what is no whole one two decimals.
func number(n float64) string {
	if n != float64(int(n)) {
		return fmt.Sprintf("%.2f", n)
	}
	digits := strconv.Itoa(int(n))
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// size writes KiB for people.
func size(kib float64) string {
	if kib < 1024 {
		return fmt.Sprintf("%.0f KiB", kib)
	}
	return fmt.Sprintf("%.0f MiB", kib/1024)
}
