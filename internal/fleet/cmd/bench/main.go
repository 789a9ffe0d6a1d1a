// Bench measures what the provider costs Terraform, in turn with the provider of an earlier
// commit, with one that does nothing, and with the official provider of Supabase, if it can
// be had. It prints a table, writes all figures as JSON, and fails where a limit is not kept.
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
	"strings"
	"syscall"
)

// options are the program's flags.
type options struct {
	micro, out, only string
	most             int
	before, official string
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
	flag.StringVar(&o.only, "only", "", "measure only this: start, plans, glances, apply or projects")
	flag.StringVar(&o.before, "before", before, "the commit of the earlier provider, or none")
	flag.StringVar(&o.official, "official", officialSource, "the git repository of the official provider, or none")
	flag.Parse()
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
		{"start", func(ctx context.Context, f *Figures) (err error) { f.Start, err = b.start(ctx); return err }},
		{"plans", func(ctx context.Context, f *Figures) (err error) { f.Plans, err = b.plans(ctx, o.most); return err }},
		{"glances", func(ctx context.Context, f *Figures) (err error) { f.Glances, err = b.glances(ctx); return err }},
		{"apply", func(ctx context.Context, f *Figures) (err error) { f.Apply, err = b.apply(ctx); return err }},
		{"projects", func(ctx context.Context, f *Figures) (err error) { f.Projects, err = b.projects(ctx); return err }},
	} {
		if o.only != "" && o.only != part.name {
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
