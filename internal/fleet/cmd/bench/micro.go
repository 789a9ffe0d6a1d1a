package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// readMicro reads the output of Go benchmarks: what each reports, by its units.
func readMicro(file string) (map[string]map[string]float64, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseMicro(string(text))
}

func parseMicro(text string) (_ map[string]map[string]float64, err error) {
	all := map[string]map[string]float64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if at := strings.LastIndexByte(name, '-'); at > 0 {
			name = name[:at]
		}
		figures := map[string]float64{}
		for at := 2; at+1 < len(fields); at += 2 { // after the number of operations
			if figures[fields[at+1]], err = strconv.ParseFloat(fields[at], 64); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
		}
		all[strings.ReplaceAll(name, "_", " ")] = figures
	}
	return all, nil
}

// nights runs the benchmarks of a night's SQL of the commit before.
func (b *bench) nights(ctx context.Context) (map[string]map[string]float64, error) {
	if b.source == "" {
		return nil, nil
	}
	log.Print("measuring the nights before")
	installed, err := filepath.Glob(filepath.Join(b.root, "internal", "stack", "*", "node_modules"))
	if err != nil {
		return nil, err
	}
	for _, modules := range installed { // what the stack runs, which is not installed again
		to := filepath.Join(b.source, "internal", "stack", filepath.Base(filepath.Dir(modules)), "node_modules")
		if err := os.Symlink(modules, to); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "-C", b.source, "test", "-count=1", "-run", "^$", "-bench", "DispatcherSQL", "-benchtime", "200x", "./internal/payload")
	out, err := cmd.Output()
	figures, broken := parseMicro(string(out))
	if len(figures) == 0 { // it may have missed its limits, which are not ours
		log.Printf("the nights before are left out: %v\n%s", err, out)
	}
	return figures, errors.Join(broken, ctx.Err())
}

// millisecond says of units how many of them are a millisecond. The first one that a
// benchmark reports is its time.
var millisecond = []struct {
	unit string
	in   float64
}{{"cpu-ms", 1}, {"best-ms", 1}, {"p50-ms", 1}, {"p50-us", 1e3}, {"ns/op", 1e6}}

// took is a benchmark's time in milliseconds: that of a processor, or the shortest, or the
// median, or else the mean.
func took(figures map[string]float64) float64 {
	for _, m := range millisecond {
		if value, ok := figures[m.unit]; ok {
			return value / m.in
		}
	}
	return 0
}
