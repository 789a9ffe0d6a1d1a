// Bench measures what the provider costs Terraform, in turn with the provider of an earlier
// commit, with one that does nothing, and with the official provider of Supabase, if it can
// be had. It prints a table, writes all figures as JSON, and fails where a limit is not kept.
// From such figures it writes the guide docs/guides/costs.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// options are the program's flags.
type options struct {
	micro, out, only string
	most             int
	before, official string
	// Instead of measuring:
	figures, guide, keep string
}

func main() {
	if program := os.Getenv(envMetered); program != "" {
		os.Exit(meter(program, os.Getenv(envMeter)))
	}
	if err := command(); err != nil {
		log.Fatal(err)
	}
}

// command is what the program does when it is not a provider's meter.
func command() error {
	var o options
	flag.StringVar(&o.micro, "benchmarks", "", "a file with the output of Go benchmarks to take in")
	flag.StringVar(&o.out, "out", "", "the file to write the figures to, as JSON")
	flag.IntVar(&o.most, "most", 1000, "leave out plans of more backups; their limits are then not judged")
	flag.StringVar(&o.only, "only", "", "measure only these, with commas between them: nights, start, plans, glances, apply, projects")
	flag.StringVar(&o.before, "before", before, "the commit of the earlier provider, or none")
	flag.StringVar(&o.official, "official", officialSource, "the git repository of the official provider, or none")
	flag.StringVar(&o.figures, "figures", "", "measure nothing, and write the guide from the figures in this file")
	flag.StringVar(&o.guide, "guide", "docs/guides/costs.md", "the guide to write")
	flag.StringVar(&o.keep, "keep", "internal/fleet/cmd/bench/testdata/figures.json", "where to keep the guide's figures")
	flag.Parse()
	if o.figures != "" {
		return writeGuide(o.figures, o.guide, o.keep)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, o)
}

func run(ctx context.Context, o options) (err error) {
	b := &bench{}
	if b.dir, err = os.MkdirTemp("", "aimindset-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.prepare(ctx, o); err != nil {
		return err
	}
	var f Figures
	if f.Machine, err = machine(ctx, b); err != nil {
		return err
	}
	if f.Micro, err = readMicro(o.micro); err != nil {
		return err
	}
	for _, part := range []struct {
		name    string
		measure func(context.Context, *Figures) error
	}{
		{"nights", func(ctx context.Context, f *Figures) (err error) { f.MicroBefore, err = b.nights(ctx); return err }},
		{"start", func(ctx context.Context, f *Figures) (err error) { f.Start, err = b.start(ctx); return err }},
		{"plans", func(ctx context.Context, f *Figures) (err error) { f.Plans, err = b.plans(ctx, o.most); return err }},
		{"glances", func(ctx context.Context, f *Figures) (err error) { f.Glances, err = b.glances(ctx); return err }},
		{"apply", func(ctx context.Context, f *Figures) (err error) { f.Apply, err = b.apply(ctx); return err }},
		{"projects", func(ctx context.Context, f *Figures) (err error) { f.Projects, err = b.projects(ctx); return err }},
	} {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), part.name) {
			continue
		}
		if err := part.measure(ctx, &f); err != nil {
			return err
		}
	}
	f.judge()
	fmt.Print(f.table())
	if o.out != "" {
		text, err := json.MarshalIndent(f, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.out, append(text, '\n'), 0o600); err != nil {
			return err
		}
	}
	if len(f.Missed) > 0 {
		return errors.New("limits are not kept: " + strings.Join(f.Missed, "; "))
	}
	return nil
}
