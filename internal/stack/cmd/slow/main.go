// Slow runs tests and prints which of them, and which packages, took the longest. Its
// arguments are those of go test.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The length of each table.
const (
	mostPackages = 10
	mostTests    = 40
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "slow:", err)
		os.Exit(1)
	}
}

// run runs go test with the arguments, and prints the tables also if tests fail.
func run(ctx context.Context, arguments []string) error {
	// Without the cache: a result from there says how long it took some other time.
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-count=1"}, arguments...)...) //nolint:gosec // the arguments are those of who runs it
	// go test then ends its tests, which end their stacks.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	packages, tests, readErr := read(output, os.Stdout)
	err = cmd.Wait()
	if err := errors.Join(readErr, write(os.Stdout, packages, tests)); err != nil {
		return err
	}
	used := cmd.ProcessState
	fmt.Printf("\n%.0f s in all, and %.0f s of processors\n", time.Since(begin).Seconds(), (used.UserTime() + used.SystemTime()).Seconds())
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

// event is a line of go test -json; "go doc test2json" describes it.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// took is how long a package or a test took.
type took struct {
	pkg, test, action string
	seconds           float64
}

// read reads what go test -json prints. It hands on what failed tests and packages have
// printed, and the compiler.
func read(output io.Reader, failures io.Writer) (packages, tests []took, err error) {
	printed := map[string]*strings.Builder{}
	lines := json.NewDecoder(output)
	for {
		var e event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return packages, tests, nil
		} else if err != nil {
			return nil, nil, fmt.Errorf("reading what go test printed: %w", err)
		}
		name := e.Package + " " + e.Test
		switch e.Action {
		case "build-output":
			_, _ = io.WriteString(failures, e.Output)
		case "output":
			if printed[name] == nil {
				printed[name] = &strings.Builder{}
			}
			_, _ = printed[name].WriteString(e.Output)
		case "pass", "fail", "skip":
			if e.Action == "fail" && printed[name] != nil {
				_, _ = io.WriteString(failures, printed[name].String())
			}
			delete(printed, name)
			one := took{e.Package, e.Test, e.Action, e.Elapsed}
			if e.Test == "" {
				packages = append(packages, one)
			} else {
				tests = append(tests, one)
			}
		}
	}
}

// write writes the slowest packages and the slowest tests. A test's time has that of its
// subtests in it, but for those that are parallel: they run when it has come to its end.
func write(w io.Writer, packages, tests []took) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	slowest(table, "package", packages, mostPackages)
	slowest(table, "test", tests, mostTests)
	return table.Flush()
}

func slowest(w io.Writer, what string, all []took, most int) {
	slices.SortStableFunc(all, func(a, b took) int { return cmp.Compare(b.seconds, a.seconds) })
	_, _ = fmt.Fprintf(w, "\nseconds\t%s, of %d\n", what, len(all))
	for _, one := range all[:min(most, len(all))] {
		pkg := one.pkg[strings.Index(one.pkg, "/internal/")+1:]
		failed := ""
		if one.action == "fail" {
			failed = "  FAILED"
		}
		_, _ = fmt.Fprintf(w, "%.1f\t%s%s\n", one.seconds, strings.TrimSpace(pkg+" "+one.test), failed)
	}
}
