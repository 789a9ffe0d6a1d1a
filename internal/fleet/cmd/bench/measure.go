package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	envMetered = "BENCH_METERED"
	envMeter   = "BENCH_METER"
	starts     = 60 // of each provider
)

// meter runs a provider in the place of itself and notes what it used. Terraform
// starts a provider several times in one run.
func meter(program, file string) int {
	cmd := exec.Command(program, os.Args[1:]...) //nolint:noctx,gosec // it ends when Terraform asks the provider to; the bench named it
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, envMetered+"=") })
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	signal.Ignore(os.Interrupt)
	err := cmd.Run()
	if cmd.ProcessState == nil {
		log.Print(err)
		return 1
	}
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, time.Duration(usage.Utime.Nano()+usage.Stime.Nano()).Microseconds(), usage.Maxrss)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		log.Print(err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// measurement is one run of Terraform: its time, the CPU time of all processes
// of its provider and the peak memory of the largest.
type measurement struct{ wall, cpu, peak float64 }

// measure runs Terraform with a provider.
func (b *bench) measure(ctx context.Context, w *stack.WorkingDirectory, c *candidate, args ...string) (measurement, error) {
	file := filepath.Join(w.Dir, "meter.txt")
	w.Env = append(w.Env, envMetered+"="+c.program, envMeter+"="+file)
	w.Env = append(w.Env, c.env...)
	run, err := w.Must(ctx, 0, args...)
	if err != nil {
		return measurement{}, fmt.Errorf("%s: %w", c.name, err)
	}
	m := measurement{wall: float64(run.Took.Microseconds()) / 1000}
	text, err := os.ReadFile(file)
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(text)) {
		var cpu, peak float64
		if _, err := fmt.Sscan(line, &cpu, &peak); err != nil {
			return m, fmt.Errorf("the meter's line %q: %w", line, err)
		}
		m.cpu += cpu / 1000
		m.peak = max(m.peak, peak)
	}
	return m, nil
}

// turns has candidates take turns, so that all meet the same machine, each so many times,
// and sets the medians.
func (r *Run) turns(candidates []*candidate, times func(*candidate) int, run func(*candidate) (measurement, error)) error {
	all := map[string][]measurement{}
	for n, more := 0, true; more; n++ {
		more = false
		for _, c := range candidates {
			if n >= times(c) {
				continue
			}
			m, err := run(c)
			if err != nil {
				return err
			}
			all[c.name] = append(all[c.name], m)
			more = more || n+1 < times(c)
		}
	}
	for name, measured := range all {
		for figure, of := range map[*Figure]func(measurement) float64{
			&r.Wall: func(m measurement) float64 { return m.wall },
			&r.CPU:  func(m measurement) float64 { return m.cpu },
			&r.Peak: func(m measurement) float64 { return m.peak },
		} {
			var values []float64
			for _, m := range measured {
				values = append(values, of(m))
			}
			*figure.of(name) = median(values)
		}
	}
	return nil
}

// oftener has this provider take so many turns, and each other one, with which no limit
// compares it then, one.
func oftener(times int) func(*candidate) int {
	return func(c *candidate) int {
		if c.name == nameProvider {
			return times
		}
		return 1
	}
}

// count sets how much a run has asked of a fleet.
func (r *Run) count(c *candidate, stats stack.FleetStats) {
	*r.Requests.of(c.name) = float64(stats.API)
	*r.Statements.of(c.name) = float64(stats.SQL)
	*r.Connections.of(c.name) = float64(stats.Connections)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// start measures from the start of a provider's process to its handshake, the
// line by which Terraform learns where to reach it.
func (b *bench) start(ctx context.Context) (f Figure, err error) {
	log.Printf("starting each provider %d times", starts)
	times := map[string][]float64{}
	for range starts {
		for _, c := range b.candidates {
			took, err := handshake(ctx, c.program)
			if err != nil {
				return f, err
			}
			times[c.name] = append(times[c.name], took.Seconds()*1000)
		}
	}
	for name, values := range times {
		*f.of(name) = median(values)
	}
	return f, nil
}

func handshake(ctx context.Context, provider string) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, provider)
	// What Terraform sets, but for the certificate of its own.
	cmd.Env = append(os.Environ(), "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2", "PLUGIN_PROTOCOL_VERSIONS=6")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	took := time.Since(begin)
	cancel()
	_ = cmd.Wait() // it was killed
	if err != nil || !strings.HasPrefix(line, "1|6|") {
		return 0, fmt.Errorf("%s said %q: %w", provider, line, err)
	}
	return took, nil
}
