package install

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// countingProject is a project that counts what is asked of it. It stands for
// an API and a database whose answers a test wants to hold up, to fail or to
// change; what they really answer is tested on the stack.
type countingProject struct {
	API // the methods that a test does not expect are nil and so break it

	mu sync.Mutex
	// functions, secrets and statements count the reads; asked are the names
	// that the last statement asked for.
	functions, secrets, statements int
	asked                          []backup.Name
	// installed are the backups with a settings row.
	installed []backup.Name
	// vault are backups to which secrets of the vault could belong; nil: not known.
	vault []backup.Name
	// revision is in every answer.
	revision string
	// hold, when it is set, is called in the middle of each read, and may fail it.
	hold func(ctx context.Context, what string) error
}

func (p *countingProject) read(ctx context.Context, what string, count *int) (string, error) {
	p.mu.Lock()
	*count++
	revision, hold := p.revision, p.hold
	p.mu.Unlock()
	if hold != nil {
		return revision, hold(ctx, what)
	}
	return revision, nil
}

func (p *countingProject) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *countingProject) counts() [3]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return [3]int{p.functions, p.secrets, p.statements}
}

func (p *countingProject) ListFunctions(ctx context.Context, _ string) ([]supabase.Function, error) {
	_, err := p.read(ctx, "functions", &p.functions)
	return nil, err
}

func (p *countingProject) ListSecrets(ctx context.Context, _ string) ([]supabase.Secret, error) {
	revision, err := p.read(ctx, "secrets", &p.secrets)
	return []supabase.Secret{{Name: "REVISION", Digest: revision}}, err
}

func (p *countingProject) SetSecrets(ctx context.Context, _ string, values map[string]string) error {
	p.mu.Lock()
	hold := p.hold
	p.mu.Unlock()
	if hold != nil {
		if err := hold(ctx, "write"); err != nil {
			return err
		}
	}
	p.set(func() { p.revision = values["REVISION"] })
	return nil
}

func (p *countingProject) Query(ctx context.Context, access postgres.Access, _ string, args ...any) (json.RawMessage, error) {
	if access != postgres.ReadOnly {
		p.set(func() { p.revision = args[0].(string) })
		return nil, nil
	}
	var names []backup.Name
	if err := json.Unmarshal([]byte(args[0].(string)), &names); err != nil {
		return nil, err
	}
	p.set(func() {
		p.asked = slices.DeleteFunc(slices.Clone(names), func(name backup.Name) bool { return name == facts.Unmentioned })
	})
	revision, err := p.read(ctx, "statement", &p.statements)
	if err != nil {
		return nil, err
	}
	each := map[backup.Name]any{}
	for _, name := range append(names, p.installed...) {
		each[name] = map[string]any{"token_digest": backup.TokenDigest{Digest: revision}}
	}
	return json.Marshal(map[string]any{"each": each, "vault_names": p.vault})
}

func (p *countingProject) QueryAfter(context.Context, postgres.Statement, string, ...any) (json.RawMessage, error) {
	return nil, errors.New("nothing is acquired here")
}

func (p *countingProject) Exec(_ context.Context, script string) error {
	p.set(func() { p.revision = script })
	return nil
}

func (p *countingProject) Close(context.Context) error { return nil }

const testRef = "abcdefghijklmnopqrst"

// seen is what an observation says that the project was at.
func seen(s backup.State) []string { return []string{s.Secrets["REVISION"], s.Token.Vault} }

// TestObserveCachedShares proves the read budget of a run: however many backups of a
// project are observed, at the same time or one after the other, the API is
// read twice and the database once.
func TestObserveCachedShares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := []backup.Name{"one", "two", "three", "four", "five"}
		p := &countingProject{revision: "1", installed: names}
		s := NewService(testRef, p, p)
		gate := make(chan struct{})
		p.hold = func(context.Context, string) error { <-gate; return nil }
		var group sync.WaitGroup
		for _, name := range slices.Concat(names, names) {
			group.Go(func() {
				if found, err := s.ObserveCached(t.Context(), name, backup.Known{}); err != nil || found.Token.Vault != "1" {
					t.Errorf("observing %s: %v, %v", name, seen(found), err)
				}
			})
		}
		synctest.Wait()
		if got, want := p.counts(), [3]int{1, 1, 1}; got != want {
			t.Errorf("the reads are not made at the same time: %v", got)
		}
		close(gate)
		group.Wait()
		if _, err := s.ObserveCached(t.Context(), "three", backup.Known{}); err != nil {
			t.Error(err)
		}
		if got, want := p.counts(), [3]int{1, 1, 1}; got != want {
			t.Errorf("functions, secrets and statements were read %v times", got)
		}
	})
}

// TestObserveCachedNewNames proves that backups which are not installed yet share
// their statements too: who asks while one is under way is in the next.
func TestObserveCachedNewNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &countingProject{}
		s := NewService(testRef, p, p)
		gate := make(chan struct{})
		p.hold = func(context.Context, string) error { <-gate; return nil }
		var group sync.WaitGroup
		observe := func(name backup.Name) {
			group.Go(func() {
				if _, err := s.ObserveCached(t.Context(), name, backup.Known{}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for _, name := range []backup.Name{"one", "two", "three", "four"} {
			observe(name)
		}
		close(gate)
		group.Wait()
		if got, want := p.counts(), [3]int{1, 1, 2}; got != want {
			t.Errorf("functions, secrets and statements were read %v times", got)
		}
		if want := []backup.Name{"four", "one", "three", "two"}; !slices.Equal(p.asked, want) {
			t.Errorf("the last statement asked for %v", p.asked)
		}
	})
}

// TestObserveAbsent proves that one statement serves every backup of which the project has
// nothing, though it was sent before anybody asked for it, but none of which it may have
// something; and that an apply's first look is not repeated for the writes of others.
func TestObserveAbsent(t *testing.T) {
	t.Parallel()
	p := &countingProject{vault: []backup.Name{"left", "other"}}
	s := NewService(testRef, p, p)
	for _, c := range []struct {
		name       backup.Name
		statements int
	}{{"one", 1}, {"two", 1}, {"left", 2}, {"three", 2}, {"other", 3}} {
		found, err := s.ObserveFirst(t.Context(), c.name, backup.Known{})
		if err != nil || found.ID.Name != c.name || found.Exists() || p.counts() != [3]int{1, 1, c.statements} {
			t.Errorf("%s is %+v, after %v reads: %v", c.name, found, p.counts(), err)
		}
		if err := s.DB.Exec(t.Context(), "a script"); err != nil {
			t.Fatal(err)
		}
	}
	s.shared.change("two")
	if _, err := s.ObserveFirst(t.Context(), "two", backup.Known{}); err != nil || p.counts() != [3]int{2, 2, 4} {
		t.Errorf("what this process changes was read %v times: %v", p.counts(), err)
	}
}

// TestObserveCachedAfterWrites proves that nothing read before or during a write of
// this process is an answer after it, whichever way the write went and whether
// or not it succeeded; and that Observe reads again without any write.
func TestObserveCachedAfterWrites(t *testing.T) {
	t.Parallel()
	for what, write := range map[string]func(*Service, context.Context) error{
		"secrets": func(s *Service, ctx context.Context) error {
			return s.API.SetSecrets(ctx, testRef, map[string]string{"REVISION": "2"})
		},
		"statement": func(s *Service, ctx context.Context) error {
			_, err := s.DB.Query(ctx, postgres.ReadWrite, "", "2")
			return err
		},
		"script": func(s *Service, ctx context.Context) error { return s.DB.Exec(ctx, "2") },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := &countingProject{revision: "1"}
			s := NewService(testRef, p, p)
			expect := func(read func(context.Context, backup.Name, backup.Known) (backup.State, error), revision string) {
				t.Helper()
				found, err := read(t.Context(), "one", backup.Known{})
				if err != nil || !slices.Equal(seen(found), []string{revision, revision}) {
					t.Errorf("found revisions %v, not %s: %v", seen(found), revision, err)
				}
			}
			expect(s.ObserveCached, "1")
			if err := write(s, t.Context()); err != nil {
				t.Fatal(err)
			}
			expect(s.ObserveCached, "2")
			p.set(func() { p.revision = "3" }) // by somebody else
			expect(s.ObserveCached, "2")
			expect(s.Observe, "3")
			expect(s.ObserveCached, "3")
			if got, want := p.counts(), [3]int{3, 3, 3}; got != want {
				t.Errorf("functions, secrets and statements were read %v times", got)
			}
		})
	}

	t.Run("a read that a write overtakes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := &countingProject{revision: "1"}
			s := NewService(testRef, p, p)
			reads, writes := make(chan struct{}), make(chan struct{})
			p.hold = func(_ context.Context, what string) error {
				if what == "write" {
					<-writes
					return errors.New("the connection was cut") // it may have arrived
				}
				<-reads
				return nil
			}
			var group sync.WaitGroup
			group.Go(func() { _ = s.API.SetSecrets(t.Context(), testRef, nil) })
			synctest.Wait() // the write is under way
			group.Go(func() { _, _ = s.ObserveCached(t.Context(), "one", backup.Known{}) })
			synctest.Wait() // and so is a read that began after it
			p.set(func() { p.revision = "2" })
			close(writes)
			synctest.Wait()
			close(reads)
			group.Wait()
			found, err := s.ObserveCached(t.Context(), "one", backup.Known{})
			if err != nil || found.Token.Vault != "2" {
				t.Errorf("found revisions %v: %v", seen(found), err)
			}
		})
	})
}

// TestObserveCachedFailures proves that a read that failed is not remembered, and that
// who shared it is told why.
func TestObserveCachedFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, part := range []string{"functions", "secrets", "statement"} {
			p := &countingProject{revision: "1", installed: []backup.Name{"one", "two"}}
			s := NewService(testRef, p, p)
			gate, broken := make(chan struct{}), errors.New("out of order")
			p.hold = func(_ context.Context, what string) error {
				<-gate
				if what == part {
					return broken
				}
				return nil
			}
			var group sync.WaitGroup
			for _, name := range p.installed {
				group.Go(func() {
					if _, err := s.ObserveCached(t.Context(), name, backup.Known{}); !errors.Is(err, broken) {
						t.Errorf("%s: %s was told %v", part, name, err)
					}
				})
			}
			synctest.Wait()
			close(gate)
			group.Wait()
			p.set(func() { p.hold = nil })
			if found, err := s.ObserveCached(t.Context(), "one", backup.Known{}); err != nil || found.Token.Vault != "1" {
				t.Errorf("%s: the failure is remembered: %v", part, err)
			}
			read := p.counts()[slices.Index([]string{"functions", "secrets", "statement"}, part)]
			if read != 2 {
				t.Errorf("%s: it was read %d times", part, read)
			}
		}
	})
}

// TestObserveCachedInterrupted proves that an asker who gives up, or whose time is
// over, fails himself at once and nobody else.
func TestObserveCachedInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &countingProject{revision: "1", installed: []backup.Name{"one", "two"}}
		s := NewService(testRef, p, p)
		gate := make(chan struct{})
		p.hold = func(ctx context.Context, _ string) error {
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		first, giveUp := context.WithCancel(t.Context())
		third, giveUpToo := context.WithCancel(t.Context())
		results := map[string]chan error{}
		for _, asker := range []struct {
			who string
			ctx context.Context
		}{{"first", first}, {"second", t.Context()}, {"third", third}} {
			results[asker.who] = make(chan error, 1)
			go func() {
				_, err := s.ObserveCached(asker.ctx, "one", backup.Known{})
				results[asker.who] <- err
			}()
			synctest.Wait()
		}
		giveUpToo() // who waits for the first
		if err := <-results["third"]; !errors.Is(err, context.Canceled) {
			t.Errorf("the third was told %v", err)
		}
		giveUp() // who reads
		if err := <-results["first"]; !errors.Is(err, context.Canceled) {
			t.Errorf("the first was told %v", err)
		}
		synctest.Wait()
		close(gate)
		if err := <-results["second"]; err != nil {
			t.Errorf("the second was told %v", err)
		}
	})
}

// keyed is a project that counts what is asked of the things that no write changes.
type keyed struct {
	countingProject
	keys, backups, mayWriteFunctions, mayWriteSecrets int

	err error
}

func (k *keyed) APIKeys(ctx context.Context, _ string) ([]supabase.APIKey, error) {
	_, err := k.read(ctx, "keys", &k.keys)
	return []supabase.APIKey{{Key: "anon"}}, errors.Join(err, k.err)
}

func (k *keyed) Backups(ctx context.Context, _ string) (supabase.Backups, error) {
	_, err := k.read(ctx, "backups", &k.backups)
	return supabase.Backups{}, errors.Join(err, k.err)
}

func (k *keyed) MayWriteFunctions(ctx context.Context, _ string) error {
	_, err := k.read(ctx, "may", &k.mayWriteFunctions)
	return errors.Join(err, k.err)
}

func (k *keyed) MayWriteSecrets(ctx context.Context, _ string) error {
	_, err := k.read(ctx, "may", &k.mayWriteSecrets)
	return errors.Join(err, k.err)
}

// TestReadOnce proves that the API keys, the platform's backups and the rights of the token are read once in
// a run, whatever is written in between, and again after a read that failed.
func TestReadOnce(t *testing.T) {
	t.Parallel()
	k := &keyed{err: errors.New("down")}
	s := NewService(testRef, k, k)
	for round := range 4 {
		if round == 1 {
			k.err = nil
		}
		_, err := s.API.APIKeys(t.Context(), testRef)
		_, kept := s.PlatformBackups(t.Context())
		for _, err := range []error{err, kept, s.API.MayWriteFunctions(t.Context(), testRef), s.API.MayWriteSecrets(t.Context(), testRef)} {
			if (err != nil) != (round == 0) {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if err := s.API.SetSecrets(t.Context(), testRef, map[string]string{"REVISION": "2"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := [4]int{k.keys, k.backups, k.mayWriteFunctions, k.mayWriteSecrets}; got != [4]int{2, 2, 2, 2} {
		t.Errorf("keys, backups and rights were read %v times, want twice: once in vain", got)
	}
}
