package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/fleet"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	mostProjects = 200                   // further backups are spread over these
	apiDelay     = 50 * time.Millisecond // of each request to the slow API
	sqlDelay     = 10 * time.Millisecond // of each statement over it
	fewProjects  = 20                    // with which the memory of a look at many is compared
	glanceTimes  = 3
)

// planned are the plans that are measured, and how often. The time of a plan of one backup
// is mostly Terraform's own, and its ratio has a narrow limit, so it takes the most.
var planned = []struct {
	backups int
	slow    bool
	times   int
}{
	{1, false, 15},
	{50, false, 3},
	{200, false, 3},
	{1000, false, 3},
	{200, true, 3},
}

// plans measures plans that find nothing to do, of at most so many backups.
func (b *bench) plans(ctx context.Context, most int) (plans []Plan, err error) {
	for _, p := range planned {
		if p.backups > most {
			continue
		}
		log.Printf("planning %d backups, %s, %d times", p.backups, where(p.slow), p.times)
		plan, err := b.plan(ctx, p.backups, p.slow, p.times)
		if err != nil {
			return nil, fmt.Errorf("plan of %d backups: %w", p.backups, err)
		}
		plans = append(plans, plan)
	}
	return plans, nil
}

// plan measures a plan that finds nothing to do, with each provider.
func (b *bench) plan(ctx context.Context, backups int, slow bool, times int) (p Plan, err error) {
	perProject := (backups + mostProjects - 1) / mostProjects
	p = Plan{Run: Run{Backups: backups, Projects: backups / perProject}, Slow: slow}
	fleets := map[*candidate]*stack.Fleet{}
	defer func() {
		for _, f := range fleets {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, c := range b.candidates {
		if fleets[c], err = c.serve(ctx, p.options()); err != nil {
			return p, err
		}
	}
	often := func(c *candidate) int {
		if c.name != nameProvider && slow || backups >= 200 && c.name == nameOfficial || backups == 1000 && c.name == nameNothing {
			return 1 // no limit compares with it
		}
		return times
	}
	return p, p.turns(b.candidates, often, func(c *candidate) (measurement, error) {
		dir, err := b.mkdir("plan")
		if err != nil {
			return measurement{}, err
		}
		f := fleets[c]
		w, err := c.unchanged(ctx, dir, f, perProject)
		if err != nil {
			return measurement{}, err
		}
		f.Reset()
		m, err := b.measure(ctx, w, c, "plan", "-detailed-exitcode", "-no-color")
		if err == nil && c.check != nil {
			err = c.check(f)
		}
		p.count(c, f.Stats())
		return m, err
	})
}

// options are those of the fleet.
func (p *Plan) options() stack.FleetOptions {
	opts := stack.FleetOptions{Projects: p.Projects}
	if p.Slow {
		opts.APIDelay, opts.SQLDelay = apiDelay, sqlDelay
	}
	return opts
}

// where names the API.
func where(slow bool) string {
	if !slow {
		return "loopback"
	}
	return fmt.Sprintf("%d ms per request, %d ms per statement", apiDelay.Milliseconds(), sqlDelay.Milliseconds())
}

// glances measures plans that read how the backups of few and of many projects are doing.
// The other providers have no such data source.
func (b *bench) glances(ctx context.Context) ([]Plan, error) {
	var all []Plan
	for _, g := range []Plan{{Run: Run{Projects: fewProjects}}, {Run: Run{Projects: mostProjects}}, {Run: Run{Projects: mostProjects}, Slow: true}} {
		log.Printf("looking at %d projects, %s", g.Projects, where(g.Slow))
		if err := b.glance(ctx, &g); err != nil {
			return nil, fmt.Errorf("look at %d projects: %w", g.Projects, err)
		}
		all = append(all, g)
	}
	return all, nil
}

func (b *bench) glance(ctx context.Context, g *Plan) error {
	return g.turns(b.named(nameBefore, nameProvider), oftener(glanceTimes), func(c *candidate) (m measurement, err error) {
		f, err := c.serve(ctx, g.options())
		if err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		dir, err := b.mkdir("glance")
		if err != nil {
			return m, err
		}
		w, err := fleet.GlanceDirectory(ctx, dir, b.metered, f)
		if err != nil {
			return m, err
		}
		if m, err = b.measure(ctx, w, c, "plan", "-detailed-exitcode", "-no-color"); err != nil {
			return m, err
		}
		g.count(c, f.Stats())
		if c.name == nameProvider {
			err = fleet.CheckGlance(f)
		}
		return m, err
	})
}
