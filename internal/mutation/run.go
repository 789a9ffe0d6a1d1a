package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// memoryKiB bounds what a mutant may allocate: some never stop.
const memoryKiB = 4 << 20

// trial is one run of the tests.
type trial struct {
	dir  string
	env  []string
	args []string // the program and its arguments
}

// run reports whether the tests passed within the time, with their output.
func (t trial) run(ctx context.Context, limit time.Duration) (passed, inTime bool, output []byte, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	script := fmt.Sprintf(`ulimit -d %d && exec "$@"`, memoryKiB)
	cmd := exec.CommandContext(limited, "/bin/sh", append([]string{"-c", script, "sh"}, t.args...)...)
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), t.env...)
	// Whatever the tests have started ends with them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	output, err = cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return false, false, output, ctx.Err()
	case limited.Err() != nil:
		return false, false, output, nil
	case errors.As(err, &exit):
		return false, true, output, nil
	case err != nil && !errors.Is(err, exec.ErrWaitDelay): // the tests passed, something they started goes on
		return false, true, output, err
	}
	return true, true, output, nil
}

// baseline runs the tests on the source as it is. They must pass: otherwise
// every mutant would count as killed. It returns the time that a mutant gets.
func (t trial) baseline(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	passed, _, output, err := t.run(ctx, 20*time.Minute)
	if err != nil {
		return 0, err
	}
	if !passed {
		return 0, fmt.Errorf("the tests fail without a mutant:\n%s", tail(output))
	}
	return 20*time.Second + 5*time.Since(begin), nil
}

// tryAll runs the tests against every mutant, several at a time.
func tryAll(ctx context.Context, mutants []mutant, parallel int, limit time.Duration, prepare func(i int, m mutant) (trial, error)) ([]outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	outcomes := make([]outcome, len(mutants))
	slots := make(chan struct{}, max(parallel, 1))
	var running sync.WaitGroup
	for i, m := range mutants {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			t, err := prepare(i, m)
			if err == nil {
				outcomes[i], err = try(ctx, m, t, limit)
			}
			if err != nil {
				cancel(fmt.Errorf("%s: %w", m, err))
			}
		})
	}
	running.Wait()
	return outcomes, context.Cause(ctx)
}

func try(ctx context.Context, m mutant, t trial, limit time.Duration) (outcome, error) {
	passed, inTime, output, err := t.run(ctx, limit)
	switch {
	case err != nil:
		return outcome{}, err
	case passed:
		return outcome{mutant: m, fate: survived}, nil
	case !inTime:
		return outcome{mutant: m, fate: timedOut, by: "the time limit"}, nil
	}
	return outcome{mutant: m, fate: killed, by: firstFailure(output)}, nil
}

var (
	color       = regexp.MustCompile("\x1b\\[[0-9;]*m")
	failingTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^(.*) \.\.\. FAILED`)
	crash       = regexp.MustCompile(`(?m)^(panic: .*|fatal error: .*|.*error: .*)$`)
)

// firstFailure finds in the output of go test or deno test what failed.
func firstFailure(output []byte) string {
	output = color.ReplaceAll(output, nil)
	if all := failingTest.FindAllSubmatch(output, -1); all != nil {
		// Go names a subtest after the tests that it belongs to.
		name := all[0]
		for _, next := range all[1:] {
			if !bytes.HasPrefix(next[1], append(name[1], '/')) {
				break
			}
			name = next
		}
		return string(bytes.TrimSpace(append(name[1], name[2]...)))
	}
	if found := crash.Find(output); found != nil {
		return oneLine(string(found))
	}
	return oneLine(string(tail(output)))
}

// tail is the end of an output, of a length that a reader can take in.
func tail(output []byte) []byte {
	if len(output) > 4000 {
		output = output[len(output)-4000:]
	}
	return output
}

// command runs a tool of the build and returns what it wrote to standard output.
func command(ctx context.Context, dir string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", name, args[0], err, tail(out), tail(stderr.Bytes()))
	}
	return out, nil
}
