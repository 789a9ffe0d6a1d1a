package main

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/aimindset/terraform-provider-aimindset/internal/fleet"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	fewProjects  = 20 // with which the memory of many is compared
	glanceTimes  = 3
	glanceGrowth = 50.0 // KiB of peak memory for each further project
)

// Glance is one look at all projects that a token can see.
type Glance struct {
	Projects int  `json:"projects"`
	Slow     bool `json:"slow_api"`
	// API and SQL are counts of one plan.
	API  int     `json:"api_requests"`
	SQL  int     `json:"sql_statements"`
	Wall float64 `json:"wall_ms"`
	CPU  float64 `json:"provider_cpu_ms"`
	Peak float64 `json:"provider_peak_kib"`
}

// glances measures plans that read how the backups of few and of many projects are doing.
func (b *bench) glances(ctx context.Context) ([]Glance, error) {
	var all []Glance
	for _, g := range []Glance{{Projects: fewProjects}, {Projects: mostProjects}, {Projects: mostProjects, Slow: true}} {
		log.Printf("looking at %d projects, slow API: %t", g.Projects, g.Slow)
		if err := b.glance(ctx, &g); err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

func (b *bench) glance(ctx context.Context, g *Glance) error {
	opts := stack.FleetOptions{Projects: g.Projects}
	if g.Slow {
		opts.APIDelay, opts.SQLDelay = apiDelay, sqlDelay
	}
	f, err := b.sample.Serve(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var wall, cpu, peak []float64
	for range glanceTimes {
		dir, err := b.mkdir("glance")
		if err != nil {
			return err
		}
		w, err := fleet.GlanceDirectory(ctx, dir, b.metered, f)
		if err != nil {
			return err
		}
		f.Reset()
		m, err := b.measure(ctx, w, b.providers[0], "plan", "-detailed-exitcode", "-no-color")
		if err != nil {
			return err
		}
		if err := fleet.CheckGlance(f); err != nil {
			return fmt.Errorf("look at %d projects: %w", g.Projects, err)
		}
		wall, cpu, peak = append(wall, m.wall), append(cpu, m.cpu), append(peak, m.peak)
	}
	stats := f.Stats()
	g.API, g.SQL = stats.API, stats.SQL
	g.Wall, g.CPU, g.Peak = median(wall), median(cpu), median(peak)
	return nil
}

// judgeGlances compares the growth of the memory with its limit.
func (f *Figures) judgeGlances(miss func(what string, got, limit float64)) {
	if len(f.Glances) > 1 {
		few, many := f.Glances[0], f.Glances[1]
		miss("the growth in KiB for each further project that is looked at", (many.Peak-few.Peak)/float64(many.Projects-few.Projects), glanceGrowth)
	}
}

// glanceTable prints the looks at all projects. The provider that does nothing has no
// such data source.
func (f *Figures) glanceTable(t io.Writer) {
	for _, g := range f.Glances {
		what := fmt.Sprintf("Look at the backups of %d projects, %s", g.Projects, where(g.Slow))
		_, _ = fmt.Fprintf(t, "| %s: time | %.1f ms | | | %d | %d | |\n", what, g.Wall, g.API, g.SQL)
		_, _ = fmt.Fprintf(t, "| %s: provider's CPU | %.1f ms | | | | | |\n", what, g.CPU)
		_, _ = fmt.Fprintf(t, "| %s: provider's peak memory | %.1f MiB | | | | | |\n", what, g.Peak/1024)
	}
}
