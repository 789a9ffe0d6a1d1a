package faults_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// onBoth runs a test in a project of its own over each transport.
func onBoth(t *testing.T, test func(t *testing.T, s *site)) {
	t.Helper()
	for name, direct := range map[string]bool{"management_api": false, "database_url": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := newSite(t.Context(), direct)
			if err != nil {
				t.Fatal(err)
			}
			s.ctx = context.WithoutCancel(t.Context())
			t.Cleanup(func() {
				if err := s.close(); err != nil {
					t.Error(err)
				}
			})
			test(t, s)
		})
	}
}

// must ends the test if something fails that it does not test.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// whole returns which of two configurations the project has, and fails if it has
// neither.
func (s *site) whole(t *testing.T, among ...aim) aim {
	t.Helper()
	var complaints []string
	for _, a := range among {
		wrong, err := s.check(a)
		must(t, err)
		if len(wrong) == 0 {
			return a
		}
		complaints = append(complaints, strings.Join(wrong, "\n\t"))
	}
	t.Fatalf("the project is none of the configurations:\n\t%s", strings.Join(complaints, "\n\t"))
	return aim{}
}

// TestTwoAtOnce proves that two applies of different configurations at the same time,
// from two processes that meet at every call, leave one of the two configurations as a
// whole, and that the second one waits or says why it did not succeed. Creates, updates,
// rotations and destroys meet.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		pairs := []struct {
			name      string
			installed bool
			aims      [2]aim
		}{
			{"two creates", false, [2]aim{{Variant: 0}, {Variant: 1}}},
			{"two updates", true, [2]aim{{Variant: 0, Known: true}, {Variant: 1, Known: true}}},
			{"an update and a rotation", true, [2]aim{{Variant: 1, Known: true}, {Variant: 0, Known: true, Rotate: true}}},
			{"two rotations", true, [2]aim{{Variant: 0, Known: true, Rotate: true}, {Variant: 0, Known: true, Rotate: true}}},
			{"an update and a destroy", true, [2]aim{{Variant: 1, Known: true}, {Gone: true, Known: true}}},
			{"two destroys", true, [2]aim{{Gone: true, Known: true}, {Gone: true, Known: true}}},
		}
		rounds := 2
		if *all {
			rounds = 6
		}
		for round := range rounds {
			for _, pair := range pairs {
				must(t, s.clean())
				if pair.installed {
					must(t, aim{}.pursue(s.ctx, s.place))
				}
				random := rand.New(rand.NewPCG(uint64(round), uint64(len(pair.name))))
				var mu sync.Mutex
				s.faulty.Begin(nil, func(stack.RemoteCall) {
					mu.Lock()
					pause := time.Duration(random.IntN(20)) * time.Millisecond
					mu.Unlock()
					time.Sleep(pause)
				})
				var errs [2]error
				var group sync.WaitGroup
				for i, a := range pair.aims {
					p := s.place
					p.Process = fmt.Sprintf("machine %d", i)
					group.Go(func() { errs[i] = a.pursue(s.ctx, p) })
				}
				group.Wait()
				_, _, err := s.faulty.End()
				must(t, err)
				for i, err := range errs {
					if err != nil && !errors.Is(err, install.ErrInstalledMeanwhile) {
						t.Errorf("%s: apply %d: %v", pair.name, i, err)
					}
				}
				if errs[0] != nil && errs[1] != nil {
					t.Errorf("%s: neither succeeded", pair.name)
				}
				won := s.whole(t, pair.aims[0], pair.aims[1])
				if i := slices.Index(pair.aims[:], won); errs[i] != nil && pair.aims[0] != pair.aims[1] {
					t.Errorf("%s: the project is that of apply %d, which failed: %v", pair.name, i, errs[i])
				}
			}
		}
	})
}

// TestStandstill proves that an apply which was suspended until another one acquired
// its lease changes nothing when it continues, and names the other one: at every call
// the process is stopped, another one applies another configuration as a whole, and the
// first one continues.
func TestStandstill(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		must(t, aim{}.pursue(s.ctx, s.place))
		s.variant = 1
		s.faulty.Begin(nil, nil)
		must(t, aim{Variant: s.variant, Known: true}.pursue(s.ctx, s.place))
		calls, _, err := s.faulty.End()
		must(t, err)
		late := 0
		for i, call := range calls {
			if !*all && i%4 != 0 {
				continue
			}
			first, second := aim{Variant: 1 - s.variant, Known: true}, aim{Variant: s.variant, Known: true, Rotate: true}
			p := s.place
			p.Process, p.LeaseTime, p.Later = "the first", time.Hour, filepath.Join(t.TempDir(), "later")
			v, err := newVictim(t.Context(), first, p)
			must(t, err)
			stopped := make(chan struct{})
			s.faulty.Begin(&stack.Trap{Call: call, Fault: stack.Interfere, Act: func() {
				v.stop()
				close(stopped)
			}}, nil)
			ended := make(chan error, 1)
			go func() { ended <- v.wait() }()
			select {
			case <-stopped:
			case err := <-ended:
				t.Fatalf("%s was never made: %v", call, err)
			}
			// More time than that of its lease passes. Its pending requests are carried
			// out, and another apply begins.
			s.faulty.Settle()
			stop := s.expires(p.Process)
			q := s.place
			q.Process = "the second"
			err = second.pursue(s.ctx, q)
			must(t, stop())
			must(t, os.WriteFile(p.Later, nil, 0o600))
			v.signal(syscall.SIGCONT)
			first.Rotate = false
			stood := <-ended
			if err != nil {
				t.Fatalf("%s: the second apply: %v", call, err)
			}
			_, _, err = s.faulty.End()
			must(t, err)
			// One that had not begun, or had ended, took its turn.
			want := []aim{second}
			if stood == nil {
				want = append(want, first)
			} else {
				late++
				if text := stood.Error(); !strings.Contains(text, install.ErrLeaseLost.Error()) {
					t.Errorf("%s: the apply that stood still says: %s", call, text)
				}
			}
			s.variant = s.whole(t, want...).Variant
		}
		if late == 0 {
			t.Error("no apply came too late")
		}
	})
}

// expires makes the leases of a process that cannot renew them expire, repeatedly,
// because a statement that it has sent may still arrive. The returned function stops
// that.
func (s *site) expires(process string) (stop func() error) {
	over, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := s.sql(`do $$ begin if to_regclass('auto_backup.leases') is not null then
				update auto_backup.leases set expires_at = now() where process = '` + process + `'; end if; end $$`); err != nil {
				ended <- err
				return
			}
			select {
			case <-tick.C:
			case <-over:
				ended <- nil
				return
			}
		}
	}()
	return func() error {
		close(over)
		return <-ended
	}
}

// hears is a log that calls a function for each record with a message.
type hears struct {
	message string // empty: at none
	heard   func()
}

// logger returns a logger for it.
func (h hears) logger() *slog.Logger { return slog.New(h) }

func (h hears) Enabled(context.Context, slog.Level) bool { return true }
func (h hears) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h hears) WithGroup(string) slog.Handler            { return h }
func (h hears) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message && h.message != "" {
		h.heard()
	}
	return nil
}

// The log messages of waits.
const (
	waitsForApply = "waiting for another apply of the backup"
	waitsForLimit = "waiting for the rate limit of the Management API"
)

// TestEveryWaitEnds proves that every wait of an apply, for another apply, the end of a
// rate limit or a response, ends with the operation's timeout and when it is
// interrupted, and that the error says what it waited for. A rate limit that lasts
// longer than the timeout ends the apply immediately.
func TestEveryWaitEnds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		must(t, aim{}.pursue(s.ctx, s.place))
		other := aim{Variant: 1, Known: true}
		statement := "POST /v1/projects/{ref}/database/query"
		if s.place.DatabaseURL != "" {
			statement = "SQL"
		}
		for _, c := range []struct {
			name, message string
			begin         func()
			trap          stack.Trap
			// says is what the error says; if it was cancelled, another read at the same
			// time may have ended first.
			says []string
		}{
			{"another apply", waitsForApply, func() {
				must(t, s.sql(`insert into auto_backup.leases values ('auto-backup', 'x', $1, '1 hour', '2026-03-02 05:59Z', now() + interval '1 hour')`, "root@\x1b[2Jelsewhere"))
			}, stack.Trap{}, []string{`"root@\x1b[2Jelsewhere"`, "2026-03-02T05:59:00Z"}},
			{"a rate limit", waitsForLimit, nil, stack.Trap{Call: stack.RemoteCall{Name: "GET /v1/projects/{ref}/secrets", N: 2}, Fault: stack.RateLimited, Window: time.Hour}, []string{"list the secrets"}},
			{"an answer of the API", "", nil, stack.Trap{Call: stack.RemoteCall{Name: "POST /v1/projects/{ref}/secrets", N: 2}, Fault: stack.Hang}, []string{"set the secrets"}},
			{"an answer of the database", "", nil, stack.Trap{Call: stack.RemoteCall{Name: statement, N: 2}, Fault: stack.Hang}, nil},
			// The first request for the secrets only asks for the right to write them.
		} {
			for _, why := range []error{context.DeadlineExceeded, context.Canceled} {
				if c.begin != nil {
					c.begin()
				}
				var ctx context.Context
				var end func()
				if errors.Is(why, context.Canceled) {
					ctx, end = context.WithCancel(s.ctx)
				} else {
					deadline := stack.NewDeadline(s.ctx, 30*time.Minute)
					ctx, end = deadline, deadline.Expire
				}
				trap := c.trap
				trap.Act = func() {
					s.faulty.Release()
					end()
				}
				p := s.place
				p.Log = hears{c.message, end}.logger()
				s.faulty.Begin(&trap, nil)
				ended := make(chan error, 1)
				go func() { ended <- other.pursue(ctx, p) }()
				var err error
				select {
				case err = <-ended:
				case <-time.After(patience):
					t.Fatalf("%s, %v: the wait does not end", c.name, why)
				}
				waited := ctx.Err() != nil
				end()
				_, _, broken := s.faulty.End()
				must(t, broken)
				must(t, s.sql(`delete from auto_backup.leases`))
				refused := errors.Is(err, supabase.ErrRateLimited) && errors.Is(err, context.DeadlineExceeded)
				if !errors.Is(err, why) || waited == refused {
					t.Errorf("%s, %v: waited %t, got %v", c.name, why, waited, err)
				}
				if c.message == waitsForLimit && !refused {
					c.says = []string{"read backup "}
				}
				for _, text := range c.says {
					if err != nil && !strings.Contains(err.Error(), text) {
						t.Errorf("%s, %v: the error does not say %q: %v", c.name, why, text, err)
					}
				}
			}
		}
		must(t, other.pursue(s.ctx, s.place))
		s.whole(t, other)
	})
}

// TestCrashedHolder proves that an apply waits for one that died no longer than its
// lease lasts, and is then carried out.
func TestCrashedHolder(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		must(t, aim{}.pursue(s.ctx, s.place))
		p := s.place
		p.Process, p.LeaseTime = "the dead process", time.Hour
		v, err := newVictim(t.Context(), aim{Variant: 1, Known: true}, p)
		must(t, err)
		s.faulty.Begin(&stack.Trap{Call: stack.RemoteCall{Name: "POST /v1/projects/{ref}/functions/deploy", N: 1}, Fault: stack.Kill, Act: v.kill}, nil)
		if v.wait() == nil {
			t.Fatal("the process was not killed")
		}
		_, _, err = s.faulty.End()
		must(t, err)
		ctx := stack.NewDeadline(s.ctx, time.Minute)
		p.Log = hears{waitsForApply, ctx.Expire}.logger()
		var busy *install.BusyError
		if err := (aim{Variant: 1, Known: true}).pursue(ctx, p); !errors.As(err, &busy) || busy.Holder != "the dead process" || busy.Expires > p.LeaseTime {
			t.Errorf("an apply that has less time than the lease says %v", err)
		}
		var expiry error
		p.Log = hears{waitsForApply, func() {
			expiry = s.sql(`update auto_backup.leases set expires_at = now()`)
		}}.logger()
		must(t, aim{Variant: 1, Known: true}.pursue(s.ctx, p))
		must(t, expiry)
		expired, err := s.text(`select count(*) from auto_backup.leases`)
		must(t, err)
		if expired != "0" {
			t.Errorf("%s leases are left", expired)
		}
		s.whole(t, aim{Variant: 1, Known: true})
	})
}

// waitLog is a log whose first line ends the wait.
type waitLog struct {
	strings.Builder
	ends func()
}

func (l *waitLog) Write(line []byte) (int, error) {
	if l.Len() == 0 {
		l.ends()
	}
	return l.Builder.Write(line)
}

// TestWaitIsSaid proves that an apply which waits for another one logs once for which
// process and since when, and continues when the other one ends.
func TestWaitIsSaid(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		must(t, aim{}.pursue(s.ctx, s.place))
		must(t, s.sql(`insert into auto_backup.leases values ('auto-backup', 'x', $1, '1 hour', '2026-03-02 05:59Z', now() + interval '1 hour')`, "root@elsewhere\n\x1b[2J"))
		service, done, err := s.place.service()
		must(t, err)
		defer done()
		var log waitLog
		log.ends = func() { must(t, s.sql(`delete from auto_backup.leases where holder = 'x'`)) }
		service.Log = slog.New(slog.NewTextHandler(&log, nil))
		spec, err := aim{Variant: 1}.spec(s.place)
		must(t, err)
		found, err := service.Observe(s.ctx, name, backup.Known{})
		must(t, err)
		_, err = service.Apply(s.ctx, spec, found, func(backup.Part) {})
		must(t, err)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 1 {
			t.Fatalf("the log has %d lines:\n%s", len(lines), log.String())
		}
		for _, want := range []string{"waiting for another apply", "root@elsewhere", "2026-03-02T05:59:00Z", string(name)} {
			if !strings.Contains(lines[0], want) {
				t.Errorf("the log does not say %q: %s", want, lines[0])
			}
		}
		s.whole(t, aim{Variant: 1})
	})
}
