package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// table prints all figures.
func (f *Figures) table() string {
	var t strings.Builder
	fmt.Fprint(&t, "| Measured | Before | This provider | One that does nothing | The official one | To before | To nothing |\n|---|--:|--:|--:|--:|--:|--:|\n")
	if f.Start.Provider > 0 {
		row(&t, "Start to handshake", f.Start, "ms")
	}
	for _, p := range f.Plans {
		p.rows(&t, fmt.Sprintf("Plan without changes, %d backups in %d projects, %s", p.Backups, p.Projects, where(p.Slow)))
	}
	if f.Growth.Provider > 0 {
		row(&t, "Peak memory for each further backup", f.Growth, "KiB")
	}
	for _, g := range f.Glances {
		g.rows(&t, fmt.Sprintf("Look at the backups of %d projects, %s", g.Projects, where(g.Slow)))
	}
	if f.Apply.Backups > 0 {
		f.Apply.rows(&t, fmt.Sprintf("Apply of %d new backups in one project", f.Apply.Backups))
	}
	for _, r := range f.Projects {
		r.rows(&t, fmt.Sprintf("Apply of a new backup in each of %d projects", r.Projects))
	}
	if len(f.Micro) > 0 {
		fmt.Fprint(&t, "\n| Measured | Before | Now | WAL |\n|---|--:|--:|--:|\n")
		for _, name := range slices.Sorted(maps.Keys(f.Micro)) {
			wal := ""
			if kib, ok := f.Micro[name]["wal-KiB"]; ok {
				wal = fmt.Sprintf("%.0f KiB", kib)
			}
			earlier := ""
			if figures, ok := f.MicroBefore[name]; ok {
				earlier = duration(took(figures))
			}
			fmt.Fprintf(&t, "| %s | %s | %s | %s |\n", name, earlier, duration(took(f.Micro[name])), wal)
		}
	}
	return t.String()
}

// rows prints the figures of a run.
func (r *Run) rows(t io.Writer, what string) {
	row(t, what+": time", r.Wall, "ms")
	row(t, what+": provider's CPU", r.CPU, "ms")
	row(t, what+": provider's peak memory", r.Peak.scaled(1.0/1024), "MiB")
	row(t, what+": API requests", r.Requests, "")
	row(t, what+": SQL statements", r.Statements, "")
	row(t, what+": connections", r.Connections, "")
}

// row prints a figure, unless no provider has it.
func row(t io.Writer, what string, f Figure, unit string) {
	if f == (Figure{}) {
		return
	}
	cell := func(value float64, format string) string {
		if value == 0 {
			return ""
		}
		return strings.TrimSpace(fmt.Sprintf(format, value) + " " + unit)
	}
	format := "%.1f"
	if unit == "" {
		format = "%.0f"
	}
	ratio := func(to float64) string {
		if to == 0 || f.Provider == 0 {
			return ""
		}
		return fmt.Sprintf("%.2f", f.Provider/to)
	}
	_, _ = fmt.Fprintf(t, "| %s | %s | %s | %s | %s | %s | %s |\n", what,
		cell(f.Before, format), cell(f.Provider, format), cell(f.Nothing, format), cell(f.Official, format), ratio(f.Before), ratio(f.Nothing))
}

// duration writes milliseconds for people.
func duration(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.0f µs", ms*1000)
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 100_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	default:
		return fmt.Sprintf("%.0f min", ms/60_000)
	}
}
