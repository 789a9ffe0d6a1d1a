package main

import (
	"fmt"
	"os"
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
	all := map[string]map[string]float64{}
	for line := range strings.Lines(string(text)) {
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
