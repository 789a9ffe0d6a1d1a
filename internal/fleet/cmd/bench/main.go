// Bench measures what the provider costs Terraform, side by side with a
// provider that does nothing. It prints a table, writes all figures as JSON, and
// fails where a limit is not kept.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/fleet"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// The limits. A ratio is to the provider that does nothing.
const (
	startLimit    = 1.33    // start of the process to handshake
	planLimit     = 1.5     // plan of 200 backups without changes, on loopback
	growthLimitKB = 50.0    // peak memory for each further backup
	starts        = 80      // of each provider
	mostProjects  = 200     // further backups are spread over these
	apiDelay      = 50 * ms // of each request to the slow API
	sqlDelay      = 10 * ms // of each statement over it
	ms            = time.Millisecond
	nothing       = "github.com/aimindset/terraform-provider-aimindset/internal/fleet/testdata/nothing"
	providerFile  = "terraform-provider-aimindset"
	envMetered    = "BENCH_METERED"
	envMeter      = "BENCH_METER"
)

// Figures is the JSON that the bench writes. Times are in milliseconds, memory
// is in KiB, and everything measured several times is a median.
type Figures struct {
	Start  Pair    `json:"start_to_handshake_ms"`
	Plans  []Plan  `json:"plans_without_changes"`
	Apply  Applied `json:"apply"`
	Growth Pair    `json:"peak_memory_per_backup_kib"`
	// Glances are of the data source aimindset_auto_backups.
	Glances []Glance `json:"glances"`
	// Micro are medians of Go benchmarks, in milliseconds.
	Micro map[string]float64 `json:"benchmarks_ms"`
	// WAL is what some of them write to the database's write-ahead log, in KiB.
	WAL map[string]float64 `json:"benchmarks_wal_kib"`
	// Missed are the limits that were not kept.
	Missed []string `json:"missed"`
}

// Pair is a figure of this provider beside that of the one that does nothing.
type Pair struct {
	Provider float64 `json:"provider"`
	Nothing  float64 `json:"nothing"`
	Ratio    float64 `json:"ratio"`
}

func pair(provider, nothing float64) Pair {
	return Pair{Provider: provider, Nothing: nothing, Ratio: provider / nothing}
}

// Plan is one plan that finds nothing to do.
type Plan struct {
	Backups  int  `json:"backups"`
	Projects int  `json:"projects"`
	Slow     bool `json:"slow_api"`
	// API, SQL and Connections are counts of one plan.
	API         int  `json:"api_requests"`
	SQL         int  `json:"sql_statements"`
	Connections int  `json:"connections"`
	Wall        Pair `json:"wall_ms"`
	CPU         Pair `json:"provider_cpu_ms"`
	Peak        Pair `json:"provider_peak_kib"`
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
	micro := flag.String("benchmarks", "", "a file with the output of Go benchmarks to take in")
	out := flag.String("out", "", "the file to write the figures to, as JSON")
	most := flag.Int("most", 1000, "leave out plans of more backups; their limits are then not judged")
	only := flag.String("only", "", "measure only this: start, plans, glances or apply")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, *micro, *out, *most, *only)
}

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

// bench is what the measurements share.
type bench struct {
	dir string
	// providers are the directories of this provider and of the one that does
	// nothing, metered the one in which Terraform finds the meter.
	providers [2]string
	metered   string
	schema    string
	sample    *fleet.Sample
}

func run(ctx context.Context, micro, out string, most int, only string) (err error) {
	b := &bench{}
	if b.dir, err = os.MkdirTemp("", "aimindset-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	var f Figures
	if f.Micro, f.WAL, err = readMicro(micro); err != nil {
		return err
	}
	for _, part := range []struct {
		name    string
		measure func(context.Context, *Figures) error
	}{
		{"start", func(ctx context.Context, f *Figures) (err error) { f.Start, err = b.start(ctx); return err }},
		{"plans", func(ctx context.Context, f *Figures) (err error) { f.Plans, err = b.plans(ctx, most); return err }},
		{"glances", func(ctx context.Context, f *Figures) (err error) { f.Glances, err = b.glances(ctx); return err }},
		{"apply", func(ctx context.Context, f *Figures) (err error) { f.Apply, err = b.apply(ctx); return err }},
	} {
		if only != "" && only != part.name {
			continue
		}
		if err := part.measure(ctx, &f); err != nil {
			return err
		}
	}
	f.judge()
	fmt.Print(f.table())
	if out != "" {
		text, err := json.MarshalIndent(f, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, append(text, '\n'), 0o600); err != nil {
			return err
		}
	}
	if len(f.Missed) > 0 {
		return errors.New("limits are not kept: " + strings.Join(f.Missed, "; "))
	}
	return nil
}

func (b *bench) prepare(ctx context.Context) error {
	for i, pkg := range []string{stack.Provider, nothing} {
		b.providers[i] = filepath.Join(b.dir, "provider"+strconv.Itoa(i))
		if err := stack.BuildProvider(ctx, pkg, b.providers[i]); err != nil {
			return err
		}
	}
	b.metered = filepath.Join(b.dir, "metered")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Mkdir(b.metered, 0o700); err != nil {
		return err
	}
	if err := os.Symlink(self, filepath.Join(b.metered, providerFile)); err != nil {
		return err
	}
	if b.sample, err = fleet.TakeSample(ctx, b.providers[0]); err != nil {
		return err
	}
	schema, err := b.mkdir("schema")
	if err != nil {
		return err
	}
	w, err := fleet.NewWorkingDirectory(ctx, schema, b.providers[0], nil, nil, 0)
	if err != nil {
		return err
	}
	text, err := w.Must(ctx, 0, "providers", "schema", "-json")
	if err != nil {
		return err
	}
	b.schema = filepath.Join(schema, "schema.json")
	return os.WriteFile(b.schema, []byte(text.Output), 0o600)
}

func (b *bench) mkdir(name string) (string, error) { return os.MkdirTemp(b.dir, name+"-") }

// start measures from the start of a provider's process to its handshake, the
// line by which Terraform learns where to reach it.
func (b *bench) start(ctx context.Context) (Pair, error) {
	var times [2][]float64
	for range starts {
		for i, dir := range b.providers { // in turn, so that both meet the same machine
			took, err := handshake(ctx, filepath.Join(dir, providerFile))
			if err != nil {
				return Pair{}, err
			}
			times[i] = append(times[i], took.Seconds()*1000)
		}
	}
	return pair(median(times[0]), median(times[1])), nil
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

// plans measures plans that find nothing to do, of at most so many backups.
func (b *bench) plans(ctx context.Context, most int) (plans []Plan, err error) {
	for _, slow := range []bool{false, true} {
		for _, backups := range []int{1, 50, 200, 1000} {
			if backups > most {
				continue
			}
			log.Printf("planning %d backups, slow API: %t", backups, slow)
			p, err := b.plan(ctx, backups, slow)
			if err != nil {
				return nil, err
			}
			plans = append(plans, p)
		}
	}
	return plans, nil
}

// plan measures a plan that finds nothing to do, with each provider.
func (b *bench) plan(ctx context.Context, backups int, slow bool) (Plan, error) {
	perProject := (backups + mostProjects - 1) / mostProjects
	p := Plan{Backups: backups, Projects: backups / perProject, Slow: slow}
	opts := stack.FleetOptions{Projects: p.Projects}
	if slow {
		opts.APIDelay, opts.SQLDelay = apiDelay, sqlDelay
	}
	f, err := b.sample.Serve(ctx, opts)
	if err != nil {
		return p, err
	}
	defer func() { _ = f.Close() }()
	times := 5
	if backups > 100 {
		times = 3
	}
	var wall, cpu, peak [2][]float64
	for range times {
		for i, provider := range b.providers {
			dir, err := b.mkdir("plan")
			if err != nil {
				return p, err
			}
			w, err := b.sample.WorkingDirectory(ctx, dir, b.metered, f, perProject)
			if err != nil {
				return p, err
			}
			f.Reset()
			m, err := b.measure(ctx, w, provider, "plan", "-detailed-exitcode", "-no-color")
			if err != nil {
				return p, err
			}
			wall[i], cpu[i], peak[i] = append(wall[i], m.wall), append(cpu[i], m.cpu), append(peak[i], m.peak)
			if i == 0 {
				stats := f.Stats()
				p.API, p.SQL, p.Connections = stats.API, stats.SQL, stats.Connections
				if err := fleet.CheckBudget(f); err != nil {
					return p, fmt.Errorf("plan of %d backups: %w", backups, err)
				}
			}
		}
	}
	p.Wall = pair(median(wall[0]), median(wall[1]))
	p.CPU = pair(median(cpu[0]), median(cpu[1]))
	p.Peak = pair(median(peak[0]), median(peak[1]))
	return p, nil
}

// measurement is one run of Terraform: its time, the CPU time of all processes
// of its provider and the peak memory of the largest.
type measurement struct{ wall, cpu, peak float64 }

// measure runs Terraform with a provider.
func (b *bench) measure(ctx context.Context, w *stack.WorkingDirectory, provider string, args ...string) (measurement, error) {
	file := filepath.Join(w.Dir, "meter.txt")
	w.Env = append(w.Env, envMetered+"="+filepath.Join(provider, providerFile), envMeter+"="+file)
	if provider == b.providers[1] {
		w.Env = append(w.Env, "NOTHING_SCHEMA="+b.schema)
	}
	run, err := w.Must(ctx, 0, args...)
	if err != nil {
		return measurement{}, err
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

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// judge computes the growth and compares with the limits. The counts of requests
// have been compared where they were counted.
func (f *Figures) judge() {
	f.Missed = []string{}
	miss := func(what string, got, limit float64) {
		if got > limit {
			f.Missed = append(f.Missed, fmt.Sprintf("%s is %.2f, the limit is %.2f", what, got, limit))
		}
	}
	miss("the ratio of the times to the handshake", f.Start.Ratio, startLimit)
	f.judgeGlances(miss)
	f.Apply.judge(miss)
	var first, last Plan
	for _, p := range f.Plans {
		switch {
		case p.Slow:
		case p.Backups == 1:
			first = p
		default:
			last = p
			if p.Backups == 200 {
				miss("the ratio of the times of a plan of 200 backups", p.Wall.Ratio, planLimit)
			}
		}
	}
	if last.Backups == 0 {
		return
	}
	further := float64(last.Backups - first.Backups)
	f.Growth = pair((last.Peak.Provider-first.Peak.Provider)/further, (last.Peak.Nothing-first.Peak.Nothing)/further)
	// The peak of few backups grows with how many of them are read at once, and
	// says nothing of what each one costs.
	if last.Backups == 1000 {
		miss("the growth in KiB for each further backup", f.Growth.Provider, growthLimitKB)
	}
}

func (f *Figures) table() string {
	var t strings.Builder
	fmt.Fprint(&t, "| Measured | This provider | One that does nothing | Ratio | API requests | SQL statements | Connections |\n|---|--:|--:|--:|--:|--:|--:|\n")
	row := func(what string, p Pair, unit string, counts ...int) {
		fmt.Fprintf(&t, "| %s | %.1f %s | %.1f %s | %.2f |", what, p.Provider, unit, p.Nothing, unit, p.Ratio)
		for i := range 3 {
			if i < len(counts) {
				fmt.Fprintf(&t, " %d |", counts[i])
			} else {
				fmt.Fprint(&t, " |")
			}
		}
		fmt.Fprintln(&t)
	}
	if f.Start.Provider > 0 {
		row("Start to handshake", f.Start, "ms")
	}
	for _, p := range f.Plans {
		what := fmt.Sprintf("Plan without changes, %d backups in %d projects, %s", p.Backups, p.Projects, where(p.Slow))
		row(what+": time", p.Wall, "ms", p.API, p.SQL, p.Connections)
		row(what+": provider's CPU", p.CPU, "ms")
		row(what+": provider's peak memory", Pair{p.Peak.Provider / 1024, p.Peak.Nothing / 1024, p.Peak.Ratio}, "MiB")
	}
	if f.Apply.Backups > 0 {
		row(fmt.Sprintf("Apply of %d new backups in one project: time", f.Apply.Backups), f.Apply.Wall, "ms", f.Apply.API, f.Apply.SQL)
	}
	if f.Growth.Provider > 0 {
		row("Peak memory for each further backup", f.Growth, "KiB")
	}
	f.glanceTable(&t)
	if len(f.Micro) > 0 {
		fmt.Fprint(&t, "\n| Measured | Median |\n|---|--:|\n")
		for _, name := range sortedKeys(f.Micro) {
			if cost := f.Micro[name]; cost < 1 {
				fmt.Fprintf(&t, "| %s | %.1f µs |\n", name, cost*1000)
			} else {
				fmt.Fprintf(&t, "| %s | %.1f ms |\n", name, cost)
			}
			if wal, ok := f.WAL[name]; ok {
				fmt.Fprintf(&t, "| %s: WAL | %.0f KiB |\n", name, wal)
			}
		}
	}
	return t.String()
}

// where names the API.
func where(slow bool) string {
	if !slow {
		return "loopback"
	}
	return fmt.Sprintf("%d ms per request, %d ms per statement", apiDelay.Milliseconds(), sqlDelay.Milliseconds())
}

func sortedKeys(m map[string]float64) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// readMicro reads the output of Go benchmarks: the median that a benchmark
// reports, or its CPU time, or else its time for one operation; and the WAL that it reports.
func readMicro(file string) (figures, wal map[string]float64, err error) {
	if file == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	figures, wal = map[string]float64{}, map[string]float64{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if at := strings.LastIndexByte(name, '-'); at > 0 {
			name = name[:at]
		}
		name = strings.ReplaceAll(name, "_", " ")
		units := map[string]float64{"ns/op": 1e6, "p50-us": 1e3, "p50-ms": 1, "best-ms": 1, "cpu-ms": 1} // how many of them are a millisecond
		for _, unit := range []string{"ns/op", "p50-us", "p50-ms", "best-ms", "cpu-ms"} {
			if at := slices.Index(fields, unit); at > 1 {
				value, err := strconv.ParseFloat(fields[at-1], 64)
				if err != nil {
					return nil, nil, fmt.Errorf("%q: %w", line, err)
				}
				figures[name] = value / units[unit]
			}
		}
		if at := slices.Index(fields, "wal-KiB"); at > 1 {
			if wal[name], err = strconv.ParseFloat(fields[at-1], 64); err != nil {
				return nil, nil, fmt.Errorf("%q: %w", line, err)
			}
		}
	}
	return figures, wal, nil
}
