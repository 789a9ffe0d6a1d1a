// Package faults_test has every remote call of every operation fail in every
// way, on the local stack, and proves that nothing is left half done.
package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
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
	only   = flag.String("faults.only", "", "run only the cells whose name contains this text, which contains the operation's")
	timing = flag.Bool("faults.timing", false, "log how long each cell takes")
)

// sites is how many projects there are at a time.
const sites = 4

// stride is how many cells there are for one that a part of them has.
const stride = 7

// operation is what the faults happen to.
type operation struct {
	name string
	aim  aim
	// installed says that a backup is there before, foreign that what somebody
	// else made is.
	installed, foreign bool
	// partly says that the part of all cells has some of it.
	partly bool
}

var operations = []operation{
	{name: "create", partly: true},
	{name: "update", installed: true, partly: true},
	{name: "rotation", aim: aim{Rotate: true}, installed: true},
	{name: "adopt", aim: aim{Adopt: true}, foreign: true},
	{name: "destroy", aim: aim{Gone: true}, installed: true},
}

// keeps says that the schedule works before, and has to all the time.
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
		return s.sql(`do $$ begin if to_regclass('auto_backup.settings') is not null then delete from auto_backup.settings; end if; end $$`)
	}},
	{"removes the schema", func(s *site) error {
		s.dropped = true
		return s.sql(`drop schema if exists auto_backup cascade`)
	}},
}

// cell is one fault at one call of one operation.
type cell struct {
	operation *operation
	call      stack.RemoteCall
	fault     stack.Fault
	// index is the place of the call in its operation; it chooses among the
	// forms of a fault.
	index int
}

func (c cell) String() string {
	text := fmt.Sprintf("%s, %s: %s", c.operation.name, c.call, c.fault)
	if c.fault == stack.Interfere {
		text += ", which " + interference[c.index%len(interference)].what
	}
	return text
}

// group is the cells of one operation over one transport.
type group struct {
	operation *operation
	direct    bool
}

func (g group) String() string {
	if g.direct {
		return g.operation.name + " over a connection"
	}
	return g.operation.name + " over the Management API"
}

// result is what came of a cell.
type result struct {
	cell
	wrong []string
	took  time.Duration
}

// TestFaults proves, for every remote call of create, update, rotation, adoption
// and destroy, over both transports, and for every way in which the call can
// fail: one more apply, or destroy, makes the project what the configuration
// says; then nothing differs, nothing is left over, and the next tick makes
// exactly one backup; and as far as a schedule worked before, it worked before
// each single call. The last line says how many cells there were.
func TestFaults(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var groups []group
	for i := range operations {
		if o := &operations[i]; (*all || o.partly) && (*only == "" || strings.Contains(*only, o.name)) {
			for _, direct := range []bool{false, true} {
				groups = append(groups, group{operation: o, direct: direct})
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
				results[g.String()] = got
				count += len(got)
				if *all {
					fmt.Printf("%s: %d cells\n", g, len(got))
				}
				mu.Unlock()
			}
		})
	}
	work.Wait()

	failed := 0
	for _, g := range groups {
		t.Run(g.String(), func(t *testing.T) {
			for _, r := range results[g.String()] {
				if *timing {
					t.Logf("%5.1f s %s", r.took.Seconds(), r.cell)
				}
				if len(r.wrong) > 0 {
					failed++
					t.Errorf("%s:\n\t%s", r.cell, strings.Join(r.wrong, "\n\t"))
				}
			}
		})
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
	calls, err := s.rehearse(g.operation)
	if err != nil {
		return nil, fmt.Errorf("without any fault: %w", err)
	}
	for _, c := range g.cells(calls) {
		began := time.Now()
		wrong, err := s.run(c)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		results = append(results, result{c, wrong, time.Since(began)})
		progress()
		if err != nil {
			// The next cell begins with a project that is clean.
			if err := s.clean(); err != nil {
				return results, err
			}
		}
	}
	return results, nil
}

// cells are the cells of a group's operation, whose calls are given.
func (g group) cells(calls []stack.RemoteCall) []cell {
	var cells []cell
	for i, call := range calls {
		for n, fault := range stack.Faults {
			c := cell{operation: g.operation, call: call, fault: fault, index: i}
			// Each fault meets other calls, and each call other faults.
			chosen := *all || (i+3*n)%stride == 0
			if fault.Possible(call) && chosen && strings.Contains(g.String()+": "+c.String(), *only) {
				cells = append(cells, c)
			}
		}
	}
	return cells
}

// begin brings the project into the state before an operation and answers with
// the operation's aim.
func (s *site) begin(o *operation) (aim, error) {
	a := o.aim
	switch {
	case o.installed:
		if s.works() != "" {
			if err := (aim{Variant: s.variant}).pursue(s.ctx, s.place); err != nil {
				return a, err
			}
		}
		a.Variant, a.Known = s.variant, true
		if o.name == "update" {
			a.Variant = 1 - s.variant
		}
	default:
		if err := s.clean(); err != nil {
			return a, err
		}
		if o.foreign {
			return a, s.legacy()
		}
	}
	return a, nil
}

// clean removes the backup.
func (s *site) clean() error {
	if err := s.later(); err != nil {
		return err
	}
	if err := (aim{Gone: true, Known: true}).pursue(s.ctx, s.place); err != nil {
		return err
	}
	wrong, err := s.check(aim{Gone: true})
	if err == nil && len(wrong) > 0 {
		err = errors.New(wrong[0])
	}
	return err
}

// rehearse does an operation without faults, and lists its calls.
func (s *site) rehearse(o *operation) ([]stack.RemoteCall, error) {
	a, err := s.begin(o)
	if err != nil {
		return nil, err
	}
	s.lost = ""
	before := s.watch
	if !o.keeps() {
		before = nil
	}
	s.faulty.Begin(nil, before)
	err = a.pursue(s.ctx, s.place)
	calls, _, broken := s.faulty.End()
	if err := errors.Join(err, broken); err != nil {
		return nil, err
	}
	if s.lost != "" {
		return nil, fmt.Errorf("the schedule does not work all the time: %s", s.lost)
	}
	s.variant = a.Variant
	wrong, err := s.check(a)
	if err == nil && len(wrong) > 0 {
		err = errors.New(strings.Join(wrong, "\n"))
	}
	slices.SortFunc(calls, func(a, b stack.RemoteCall) int { return strings.Compare(a.String(), b.String()) })
	return calls, err
}

// run runs one cell and says what is wrong after it.
func (s *site) run(c cell) (wrong []string, err error) {
	a, err := s.begin(c.operation)
	if err != nil {
		return nil, err
	}
	token := s.stack.SecretDigests()[name.TokenSecret()]
	s.lost = ""
	before := s.watch
	if !c.operation.keeps() || c.fault == stack.Interfere {
		before = nil
	}
	failed, err := s.strike(c, a, before)
	if err != nil {
		return nil, err
	}
	if err := s.later(); err != nil {
		return nil, err
	}
	// What failed is planned again.
	again := a
	again.Rotate = a.Rotate && failed != nil
	again.Known = a.Known || c.fault != stack.Kill
	s.faulty.Begin(nil, before)
	if err := again.pursue(s.ctx, s.place); err != nil {
		return nil, fmt.Errorf("the next apply fails: %w (the first one: %s)", err, said(failed))
	}
	if _, _, err := s.faulty.End(); err != nil {
		return nil, err
	}
	s.variant = a.Variant
	if s.lost != "" {
		wrong = append(wrong, "the schedule was lost: "+s.lost)
	}
	if a.Rotate && s.stack.SecretDigests()[name.TokenSecret()] == token {
		wrong = append(wrong, "the token is still the old one")
	}
	more, err := s.check(a)
	if len(more) > 0 {
		more = append(more, "the first apply said: "+said(failed))
	}
	return append(wrong, more...), err
}

// said is what an operation said.
func said(err error) string {
	if err == nil {
		return "that it succeeded"
	}
	return err.Error()
}

// strike does the operation of a cell with its fault. It answers with what the
// operation said.
func (s *site) strike(c cell, a aim, before func(stack.RemoteCall)) (failed, err error) {
	trap := &stack.Trap{Call: c.call, Fault: c.fault}
	ctx, expire := expiring(s.ctx)
	defer expire(context.Canceled)
	var interfered error
	do := func() error { return a.pursue(ctx, s.place) }
	switch {
	case c.fault.Is(stack.Interfere):
		trap.Act = func() { interfered = interference[c.index%len(interference)].do(s) }
	case c.fault.Is(stack.Kill):
		victim, err := newVictim(ctx, a, s.place)
		if err != nil {
			return nil, err
		}
		trap.Act = victim.kill
		do = victim.wait
	case c.fault.Is(stack.Hang):
		// The time is over, or somebody presses Ctrl-C, when everything stands.
		why := []error{context.DeadlineExceeded, context.Canceled}[c.index%2]
		inner := before
		before = func(call stack.RemoteCall) {
			if inner != nil {
				inner(call)
			}
			if call == c.call {
				time.AfterFunc(50*time.Millisecond, func() { s.faulty.Release(); expire(why) })
			}
		}
	}
	s.faulty.Begin(trap, before)
	failed = do()
	_, sprung, broken := s.faulty.End()
	switch {
	case broken != nil:
		return nil, fmt.Errorf("the fault did not come about: %w", broken)
	case interfered != nil:
		return nil, interfered
	case !sprung:
		return nil, fmt.Errorf("the call was never made (the apply said: %s)", said(failed))
	case failed == nil && c.fault == stack.Kill:
		return nil, errors.New("the process was not killed")
	}
	return failed, nil
}

// expiringContext is a context whose deadline comes when the test says so.
type expiringContext struct {
	context.Context
	done chan struct{}

	mu  sync.Mutex
	err error
}

func expiring(ctx context.Context) (context.Context, func(error)) {
	e := &expiringContext{Context: ctx, done: make(chan struct{})}
	return e, func(why error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.err == nil {
			e.err = why
			close(e.done)
		}
	}
}

func (e *expiringContext) Done() <-chan struct{} { return e.done }

func (e *expiringContext) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
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

// signal sends a signal to the victim, which is at work.
func (v *victim) signal(number syscall.Signal) { _ = v.cmd.Process.Signal(number) }

// TestMain does what a victim has to do, in a process that is one.
func TestMain(m *testing.M) {
	text := os.Getenv(victimEnv)
	if text == "" {
		code := m.Run()
		if *all && passed > 0 {
			fmt.Printf("%d cells passed: every fault at every remote call of every operation, over both transports\n", passed)
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
