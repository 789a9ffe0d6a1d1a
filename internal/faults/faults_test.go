// Package faults_test makes every remote call of every operation fail in every way, on
// the local stack, and proves that nothing stays half done.
package faults_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

var (
	all    = flag.Bool("faults.all", false, "run every cell, not a part of them")
	every  = flag.Int("faults.every", 1, "with faults.all, run one in so many cells, of each call and of each fault others")
	only   = flag.String("faults.only", "", "run only the cells whose name contains this text, which contains the operation's")
	timing = flag.Bool("faults.timing", false, "log how long each cell takes")
)

const (
	// sites is the number of projects at a time, shards the number that share the
	// cells of one operation over one transport.
	sites  = 6
	shards = 3
	// stride is the interval of the cells that run without faults.all.
	stride = 17
)

// operation is an operation during which faults happen.
type operation struct {
	name string
	aim  aim
	// installed says that a backup exists before, foreign that objects which the
	// provider does not manage do.
	installed, foreign bool
	// partly says that some of its cells run without faults.all.
	partly bool
}

var operations = []operation{
	{name: "create", partly: true},
	{name: "update", installed: true, partly: true},
	{name: "rotation", aim: aim{Rotate: true}, installed: true},
	{name: "adopt", aim: aim{Adopt: true}, foreign: true},
	{name: "destroy", aim: aim{Gone: true}, installed: true},
}

// keeps says that the schedule works before, and must all the time.
func (o operation) keeps() bool { return (o.installed || o.foreign) && !o.aim.Gone }

// interference is what another actor may do to a backup in the middle of an
// operation.
var interference = []struct {
	what string
	do   func(s *site) error
}{
	{"removes a job", func(s *site) error {
		return s.sql(`begin; set local role postgres; select cron.unschedule(jobid) from cron.job where jobname = 'auto-backup-daily'; commit`)
	}},
	{"changes a job", func(s *site) error {
		return s.sql(`begin; set local role postgres; select cron.alter_job(jobid, schedule := '1 1 1 1 *', active := false) from cron.job where jobname = 'auto-backup-daily'; commit`)
	}},
	{"removes the function", func(s *site) error { s.stack.RemoveFunction(name.Slug()); return nil }},
	{"deploys another function", func(s *site) error {
		if status, _ := s.stack.FunctionStatus(name.Slug()); status == "" {
			return nil
		}
		return s.stack.DeployFunction(s.ctx, name.Slug(), map[string]string{"index.ts": "Deno.serve(() => new Response('other'));"}, true)
	}},
	{"overwrites the token", func(s *site) error {
		if s.stack.SecretDigests()[name.TokenSecret()] == "" {
			return nil
		}
		return s.stack.SetSecret(name.TokenSecret(), "by hand")
	}},
	{"empties the vault", func(s *site) error { return s.sql(`delete from vault.secrets where name like 'auto-backup/%'`) }},
	{"removes the settings", func(s *site) error {
		s.unclaimed = true
		return s.sql(`do $$ begin if to_regclass('auto_backup.settings') is not null then delete from auto_backup.settings; end if; end $$`)
	}},
	{"removes the schema", func(s *site) error {
		s.dropped, s.unclaimed = true, true
		return s.sql(`drop schema if exists auto_backup cascade`)
	}},
}

// cell is one fault at one call of one operation.
type cell struct {
	operation *operation
	call      stack.RemoteCall
	fault     stack.Fault
	// planned says that Terraform makes the call before it changes anything,
	// expires that the operation's own time ends what hangs.
	planned, expires bool
	// index is the place of the call in its operation; it chooses among the
	// forms of a fault.
	index int
}

func (c cell) String() string {
	text := fmt.Sprintf("%s, %s: %s", c.operation.name, c.call, c.fault)
	if c.fault == stack.Interfere {
		text += ", which " + interference[c.index%len(interference)].what
	}
	if c.fault == stack.Kill && c.index%2 == 0 {
		text += " with Terraform"
	}
	if c.expires {
		text += " until the timeout"
	}
	return text
}

// group is cells of one operation over one transport: all of them, or, of
// several shards, those of one.
type group struct {
	operation     *operation
	direct        bool
	shard, shards int
}

func (g group) String() string {
	if g.direct {
		return g.operation.name + " over a connection"
	}
	return g.operation.name + " over the Management API"
}

// result is the result of a cell.
type result struct {
	cell
	wrong []string
	took  time.Duration
}

// TestFaults proves with the real Terraform, for every remote call of create, update,
// rotation, adoption and destroy, from the refresh to the end, over both transports,
// and for every way in which the call can fail: one more apply, or destroy, brings the
// project in line with the configuration; then the plan is empty, nothing is left over,
// and the next tick makes exactly one backup; and a schedule that worked before worked
// before every single call. The last line has the number of cells.
func TestFaults(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var groups []group
	for i := range operations {
		if o := &operations[i]; (*all || o.partly) && (*only == "" || strings.Contains(*only, o.name)) {
			for _, direct := range []bool{false, true} {
				g := group{operation: o, direct: direct, shards: 1}
				if *all {
					g.shards = shards
				}
				for ; g.shard < g.shards; g.shard++ {
					groups = append(groups, g)
				}
			}
		}
	}
	var (
		work    sync.WaitGroup
		mu      sync.Mutex
		results = map[string][]result{}
		queue   = make(chan group, len(groups))
		count   int
	)
	for _, g := range groups {
		queue <- g
	}
	close(queue)
	var done atomic.Int64
	progress := func() {
		if n := done.Add(1); *all && n%50 == 0 {
			fmt.Printf("%d cells so far\n", n)
		}
	}
	for range min(sites, len(groups)) {
		work.Go(func() {
			for g := range queue {
				got, err := g.run(ctx, progress)
				mu.Lock()
				if err != nil {
					t.Errorf("%s: %v", g, err)
				}
				results[g.String()] = append(results[g.String()], got...)
				count += len(got)
				mu.Unlock()
			}
		})
	}
	work.Wait()

	failed := 0
	for _, name := range slices.Sorted(maps.Keys(results)) {
		t.Run(name, func(t *testing.T) {
			for _, r := range results[name] {
				if *timing {
					t.Logf("%5.1f s %s", r.took.Seconds(), r.cell)
				}
				if len(r.wrong) > 0 {
					failed++
					t.Errorf("%s:\n\t%s", r.cell, strings.Join(r.wrong, "\n\t"))
				}
			}
		})
		if *all {
			fmt.Printf("%s: %d cells\n", name, len(results[name]))
		}
	}
	if count == 0 || failed > 0 {
		t.Errorf("%d of %d cells failed", failed, count)
		return
	}
	passed = count
}

// passed is how many cells passed, once all did.
var passed int

// run runs the cells of a group in a project of its own, and calls progress
// after each.
func (g group) run(ctx context.Context, progress func()) (results []result, err error) {
	s, err := newSite(ctx, g.direct)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	dir, err := os.MkdirTemp("", "aimindset-faults-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	environ := slices.Concat(s.stack.Environ(), stack.Quick)
	if g.direct {
		environ = append(environ, "SUPABASE_DB_URL="+s.faulty.DatabaseURL)
	}
	program, err := builtProvider()
	if err != nil {
		return nil, err
	}
	if s.dir, err = stack.NewWorkingDirectory(ctx, dir, program, environ, map[string]string{"main.tf": configuration}); err != nil {
		return nil, err
	}
	// A rotation waits for what others have asked the function for with the old
	// token, longer than the hanging calls of other operations should take.
	if s.timeout = "20s"; g.operation.aim.Rotate {
		s.timeout = "2m"
	}
	planned, applied, err := s.rehearse(g.operation)
	if err != nil {
		return nil, fmt.Errorf("without any fault: %w", err)
	}
	for i, c := range g.cells(planned, applied) {
		if i%g.shards != g.shard {
			continue
		}
		began := time.Now()
		wrong, err := s.run(c)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		results = append(results, result{c, wrong, time.Since(began)})
		progress()
		if len(wrong) > 0 {
			// The next cell begins with a project that is clean.
			if err := s.clean(); err != nil {
				return results, err
			}
		}
	}
	return results, nil
}

// builtProvider builds the provider once, and returns the directory that
// holds it.
var builtProvider = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch, "provider")
	return dir, stack.BuildProvider(context.Background(), stack.Provider, dir)
})

// cells returns the cells of a group's operation. Terraform makes the planned calls
// before it changes anything, the applied ones from then on.
func (g group) cells(planned, applied []stack.RemoteCall) []cell {
	var cells []cell
	for i, call := range slices.Concat(planned, applied) {
		for n, fault := range stack.Faults {
			c := cell{operation: g.operation, call: call, fault: fault, index: i, planned: i < len(planned)}
			c.expires = fault == stack.Hang && !c.planned && i%4 == 0 && !g.operation.aim.Rotate
			// Each fault meets other calls, and each call other faults.
			interval := stride
			if *all {
				interval = max(1, *every)
			}
			chosen := (i+3*n)%interval == 0
			if fault.Possible(call) && chosen && strings.Contains(g.String()+": "+c.String(), *only) {
				cells = append(cells, c)
			}
		}
	}
	return cells
}

// begin brings the project into the state before an operation and returns
// the operation's aim.
func (s *site) begin(o *operation) (aim, error) {
	a := o.aim
	if !o.installed {
		if err := s.clean(); err != nil {
			return a, err
		}
		if o.foreign {
			return a, s.legacy()
		}
		return a, nil
	}
	a.Variant, a.Known, s.unclaimed = s.variant, true, false
	if s.works() != "" {
		if _, err := s.dir.Must(s.ctx, 0, s.terraform("apply", aim{Variant: s.variant})...); err != nil {
			return a, err
		}
	}
	if o.name == "update" {
		a.Variant = 1 - s.variant
	}
	if a.Rotate {
		s.rotation++
	}
	return a, nil
}

// clean removes the backup, and what Terraform knows of it.
func (s *site) clean() error {
	if err := s.later(); err != nil {
		return err
	}
	if err := (aim{Gone: true, Known: true}).pursue(s.ctx, s.place); err != nil {
		return err
	}
	if s.dir != nil {
		if err := s.dir.Forget(); err != nil {
			return err
		}
	}
	if s.unclaimed {
		s.unclaimed = false
		if err := s.place.removeSecrets(s.ctx, "EXTRA", "OF_FIRST", "OF_SECOND"); err != nil {
			return err
		}
	}
	wrong, err := s.check(aim{Gone: true})
	if err == nil && len(wrong) > 0 {
		err = errors.New(wrong[0])
	}
	return err
}

// watching returns what looks at the schedule before each call, where it
// has to work all the time.
func (s *site) watching(o *operation) func(stack.RemoteCall) {
	s.lost = ""
	if !o.keeps() {
		return nil
	}
	return s.watch
}

// rehearse does an operation without faults, and lists the calls of its plan and
// those of its apply, as one apply does them all.
func (s *site) rehearse(o *operation) (planned, applied []stack.RemoteCall, err error) {
	a, err := s.begin(o)
	if err != nil {
		return nil, nil, err
	}
	before := s.watching(o)
	counts := map[string]int{}
	for _, step := range []struct {
		args  []string
		calls *[]stack.RemoteCall
	}{
		{append(s.terraform("plan", a), "-out=plan.bin"), &planned},
		{[]string{"apply", "-no-color", "-input=false", "plan.bin"}, &applied},
	} {
		s.faulty.Begin(nil, before)
		_, failed := s.dir.Must(s.ctx, 0, step.args...)
		calls, _, broken := s.faulty.End()
		if err := errors.Join(failed, broken); err != nil {
			return nil, nil, err
		}
		for _, call := range calls {
			counts[call.Name]++
			*step.calls = append(*step.calls, stack.RemoteCall{Name: call.Name, N: counts[call.Name]})
		}
		// Calls that are made at the same time come in any order.
		slices.SortFunc(*step.calls, func(a, b stack.RemoteCall) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.N, b.N))
		})
	}
	if s.lost != "" {
		return nil, nil, fmt.Errorf("the schedule does not work all the time: %s", s.lost)
	}
	wrong, err := s.result(a, "")
	if err == nil && len(wrong) > 0 {
		err = errors.New(strings.Join(wrong, "\n"))
	}
	return planned, applied, err
}

// result says what is wrong after an operation that has succeeded. said is what
// Terraform has printed.
func (s *site) result(a aim, said string) (wrong []string, err error) {
	if !a.Gone {
		s.variant = a.Variant
	}
	if wrong, err = s.orphaned(a, said); a.Gone || err != nil {
		return wrong, err
	}
	plan, err := s.dir.Run(s.ctx, append(s.terraform("plan", a), "-detailed-exitcode")...)
	if err != nil {
		return wrong, err
	}
	if plan.Exit != 0 {
		wrong = append(wrong, fmt.Sprintf("the plan ends with %d:\n%s", plan.Exit, plan.Output))
	}
	if len(wrong) > 0 {
		return wrong, nil
	}
	return s.tick()
}

// run runs one cell and says what is wrong after it.
func (s *site) run(c cell) (wrong []string, err error) {
	a, err := s.begin(c.operation)
	if err != nil {
		return nil, err
	}
	token := s.stack.SecretDigests()[name.TokenSecret()]
	before := s.watching(c.operation)
	if c.fault == stack.Interfere {
		before = nil
	}
	first, err := s.strike(c, a, before)
	if err != nil {
		return nil, fmt.Errorf("%w\nThe first apply said: %s", err, first.Output)
	}
	if err := s.later(); err != nil {
		return nil, err
	}
	s.faulty.Begin(nil, before)
	second, a, failed := s.repair(c.operation, a)
	_, _, broken := s.faulty.End()
	if err := errors.Join(failed, broken); err != nil {
		return nil, fmt.Errorf("the next apply fails: %w\nThe first one said: %s", err, first.Output)
	}
	if s.lost != "" {
		wrong = append(wrong, "the schedule was lost: "+s.lost)
	}
	if a.Rotate && s.stack.SecretDigests()[name.TokenSecret()] == token {
		wrong = append(wrong, "the token is still the old one")
	}
	more, err := s.result(a, first.Output+second)
	if wrong = append(wrong, more...); len(wrong) > 0 {
		wrong = append(wrong, "the first apply said: "+first.Output)
	}
	return wrong, err
}

// repair applies once more. Two refusals are the right ones, and then it does what they
// say. Where Terraform died after it had finished the installation and before it could
// save its state, that is an import, so that no other state's backup is ever taken over.
// Where the settings of a failed creation were removed, nothing says any more whose its
// secrets are, and they have to be adopted. It returns what Terraform has printed, and
// the aim with which it succeeded.
func (s *site) repair(o *operation, a aim) (said string, done aim, err error) {
	run, err := s.dir.Must(s.ctx, 0, s.terraform("apply", a)...)
	switch {
	case err == nil || o.installed || o.foreign:
		return run.Output, a, err
	case s.unclaimed && strings.Contains(run.Output, "Objects with the backup's names exist"):
		a.Adopt = true
	case strings.Contains(run.Output, "The backup already exists"):
		if finished, err := s.text(`select count(*) from auto_backup.settings where completed_at is not null`); err != nil || finished != "1" {
			return "", a, fmt.Errorf("an unfinished installation is refused: %w\n%s", err, run.Output)
		}
		arguments := append(s.terraform("import", a), "aimindset_auto_backup.this", s.stack.ProjectRef+"/auto-backup")
		if _, err := s.dir.Must(s.ctx, 0, arguments...); err != nil {
			return "", a, err
		}
	default:
		return run.Output, a, err
	}
	run, err = s.dir.Must(s.ctx, 0, s.terraform("apply", a)...)
	return run.Output, a, err
}

// strike does the operation of a cell with its fault.
func (s *site) strike(c cell, a aim, before func(stack.RemoteCall)) (run stack.TerraformRun, err error) {
	trap := &stack.Trap{Call: c.call, Fault: c.fault}
	var (
		terraform *stack.TerraformProcess
		started   = make(chan struct{})
		acted     error
	)
	switch {
	case c.fault.Is(stack.Interfere):
		trap.Act = func() { acted = interference[c.index%len(interference)].do(s) }
	case c.fault.Is(stack.Kill):
		trap.Act = func() {
			<-started
			if c.index%2 == 0 {
				acted = terraform.Kill()
			} else {
				acted = terraform.KillProvider()
			}
		}
	case c.fault.Is(stack.Hang):
		trap.Act = func() {
			s.faulty.Release()
			if !c.expires {
				<-started
				_ = terraform.Interrupt() // one that has ended is told of below
			}
		}
	}
	command := "apply"
	if c.planned && c.fault == stack.Hang {
		// The plan within an apply does not listen to Ctrl-C, for all of Terraform.
		command = "plan"
	}
	s.faulty.Begin(trap, before)
	if terraform, err = s.dir.Start(s.ctx, s.terraform(command, a)...); err != nil {
		return run, err
	}
	close(started)
	run, ended := terraform.Wait()
	_, sprung, broken := s.faulty.End()
	switch {
	case ended != nil:
		return run, ended
	case broken != nil:
		return run, fmt.Errorf("the fault did not come about: %w", broken)
	case acted != nil:
		return run, acted
	case !sprung:
		return run, errors.New("the call was never made")
	case run.Exit == 0 && c.fault == stack.Kill:
		return run, errors.New("nothing was killed")
	}
	return run, nil
}

// victim is a process that does an operation and is killed in the middle of it.
type victim struct {
	cmd    *exec.Cmd
	output strings.Builder
}

const victimEnv = "FAULTS_VICTIM"

// order is what a victim has to do.
type order struct {
	Aim   aim
	Place place
}

func newVictim(ctx context.Context, a aim, p place) (*victim, error) {
	text, err := json.Marshal(order{a, p})
	if err != nil {
		return nil, err
	}
	v := &victim{cmd: exec.CommandContext(ctx, os.Args[0])}
	v.cmd.Env = append(os.Environ(), victimEnv+"="+string(text))
	v.cmd.Stdout, v.cmd.Stderr = &v.output, &v.output
	return v, nil
}

// wait runs the victim to its end.
func (v *victim) wait() error {
	if err := v.cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, v.output.String())
	}
	return nil
}

func (v *victim) kill() { v.signal(syscall.SIGKILL) }

// stop stops the victim, and returns when no thread of it runs any more. A signal may
// reach a thread of a busy machine only after others have gone on.
func (v *victim) stop() {
	v.signal(syscall.SIGSTOP)
	running := func(thread string) bool {
		stat, err := os.ReadFile(thread)
		// The state follows the name, which is in parentheses.
		_, state, _ := strings.Cut(string(stat), ") ")
		return err == nil && !strings.HasPrefix(state, "T")
	}
	for {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", v.cmd.Process.Pid))
		if err != nil || !slices.ContainsFunc(threads, running) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// signal sends a signal to the victim, which is at work.
func (v *victim) signal(number syscall.Signal) { _ = v.cmd.Process.Signal(number) }

// scratch is a directory for what all tests share.
var scratch string

// TestMain does what a victim has to do, in a process that is one.
func TestMain(m *testing.M) {
	text := os.Getenv(victimEnv)
	if text == "" {
		var err error
		if scratch, err = os.MkdirTemp("", "aimindset-faults-"); err != nil {
			log.Fatal(err)
		}
		code := m.Run()
		_ = os.RemoveAll(scratch)
		if *all && passed > 0 {
			fmt.Printf("%d cells passed: every fault at every remote call of %s, over both transports\n", passed, cmp.Or(*only, "every operation"))
		}
		os.Exit(code)
	}
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.Aim.pursue(context.Background(), o.Place)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
