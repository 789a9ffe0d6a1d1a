package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/fleet"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	nothing      = "github.com/aimindset/terraform-provider-aimindset/internal/fleet/testdata/nothing"
	providerFile = "terraform-provider-aimindset"
	// before is the commit before the work on the round trips of an apply, on the provider's
	// start, and on what a plan sends and keeps.
	before = "d803e6fc36241b602087e31ec723d65e5e2e253b"
	none   = "none"
)

// candidate is one of the providers that are compared.
type candidate struct {
	name    string
	program string // its file
	env     []string
	// serve starts a fleet in which backups are installed, and unchanged creates a
	// directory in which Terraform manages the first ones of each project.
	serve     func(context.Context, stack.FleetOptions) (*stack.Fleet, error)
	unchanged func(ctx context.Context, dir string, f *stack.Fleet, perProject int) (*stack.WorkingDirectory, error)
	// fresh creates a directory in which Terraform has yet to create backups.
	fresh func(ctx context.Context, dir string, environ, refs []string, perProject int) (*stack.WorkingDirectory, error)
	// record records an apply of one new backup.
	record func(context.Context) (*stack.Recording, error)
	// check compares what a plan asked of a fleet with what it may ask.
	check func(*stack.Fleet) error
}

// bench is what the measurements share.
type bench struct {
	dir string
	// candidates are the providers, in the order in which they take turns.
	candidates []*candidate
	metered    string // the directory in which Terraform finds the meter
	// What is not left out: the commit of the provider before, in the root of this
	// repository and as it was then, and the version of the official one.
	beforeCommit, root, source string
	officialVersion            string
}

// named returns those of the candidates that have one of some names.
func (b *bench) named(names ...string) []*candidate {
	var some []*candidate
	for _, c := range b.candidates {
		for _, name := range names {
			if c.name == name {
				some = append(some, c)
			}
		}
	}
	return some
}

func (b *bench) prepare(ctx context.Context, o options) error {
	b.metered = filepath.Join(b.dir, "metered")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Mkdir(b.metered, 0o700); err != nil {
		return err
	}
	for _, name := range []string{providerFile, officialFile} {
		if err := os.Symlink(self, filepath.Join(b.metered, name)); err != nil {
			return err
		}
	}
	// As a release is built: with cgo, a program is linked when it starts.
	if err := os.Setenv("CGO_ENABLED", "0"); err != nil {
		return err
	}
	earlier, err := b.buildBefore(ctx, o.before)
	if err != nil {
		return err
	}
	if earlier != "" {
		c, err := b.ours(ctx, nameBefore, earlier)
		if err != nil {
			return err
		}
		b.candidates = append(b.candidates, c)
		b.beforeCommit = o.before
	}
	log.Print("building this provider, and one that does nothing")
	dir := filepath.Join(b.dir, nameProvider)
	if err := stack.BuildProvider(ctx, stack.Provider, dir); err != nil {
		return err
	}
	ours, err := b.ours(ctx, nameProvider, dir)
	if err != nil {
		return err
	}
	ours.check = fleet.CheckBudget
	idle, err := b.idle(ctx, ours)
	if err != nil {
		return err
	}
	b.candidates = append(b.candidates, ours, idle)
	official, err := b.buildOfficial(ctx, o.official)
	if err != nil {
		log.Printf("the official provider is left out: %v", err)
	} else if official != nil {
		b.candidates = append(b.candidates, official)
		b.officialVersion = officialVersion
	}
	return ctx.Err()
}

// buildBefore builds the provider of a commit and returns its directory, which is empty if
// the commit is not at hand.
func (b *bench) buildBefore(ctx context.Context, commit string) (string, error) {
	if commit == none {
		return "", nil
	}
	root, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err == nil {
		err = exec.CommandContext(ctx, "git", "cat-file", "-e", commit+"^{commit}").Run()
	}
	if err != nil {
		log.Printf("the provider before is left out: git has no commit %s here", commit)
		return "", ctx.Err()
	}
	log.Printf("building the provider of commit %.12s", commit)
	source, dir := filepath.Join(b.dir, "source-"+nameBefore), filepath.Join(b.dir, nameBefore)
	if err := os.Mkdir(source, 0o700); err != nil {
		return "", err
	}
	archive := source + ".tar"
	b.root, b.source = strings.TrimSpace(string(root)), source
	for _, command := range [][]string{
		{"git", "-C", b.root, "archive", "--output", archive, commit},
		{"tar", "-x", "-f", archive, "-C", source},
		{"go", "-C", source, "build", "-trimpath", "-o", filepath.Join(dir, providerFile), "."},
	} {
		if err := execute(ctx, command...); err != nil {
			return "", err
		}
	}
	return dir, os.Remove(archive)
}

// execute runs a program. Its error has what it printed.
func execute(ctx context.Context, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GOWORK=off")
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", command[0], command[1], err, out)
	}
	return nil
}

// ours is a build of this provider, in a directory.
func (b *bench) ours(ctx context.Context, name, dir string) (*candidate, error) {
	log.Printf("installing a sample: %s", name)
	sample, err := fleet.TakeSample(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &candidate{
		name: name, program: filepath.Join(dir, providerFile), serve: sample.Serve,
		unchanged: func(ctx context.Context, dir string, f *stack.Fleet, perProject int) (*stack.WorkingDirectory, error) {
			return sample.WorkingDirectory(ctx, dir, b.metered, f, perProject)
		},
		fresh: func(ctx context.Context, dir string, environ, refs []string, perProject int) (*stack.WorkingDirectory, error) {
			return fleet.NewWorkingDirectory(ctx, dir, b.metered, environ, refs, perProject)
		},
		record: func(ctx context.Context) (*stack.Recording, error) { return fleet.RecordCreation(ctx, dir) },
	}, nil
}

// idle is the provider that does nothing, with the schema and the state of another one.
func (b *bench) idle(ctx context.Context, like *candidate) (*candidate, error) {
	c := *like
	c.name, c.check = nameNothing, nil
	dir := filepath.Join(b.dir, c.name)
	if err := stack.BuildProvider(ctx, nothing, dir); err != nil {
		return nil, err
	}
	c.program = filepath.Join(dir, providerFile)
	schema, err := b.mkdir("schema")
	if err != nil {
		return nil, err
	}
	w, err := fleet.NewWorkingDirectory(ctx, schema, filepath.Dir(like.program), nil, nil, 0)
	if err != nil {
		return nil, err
	}
	text, err := w.Must(ctx, 0, "providers", "schema", "-json")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(schema, "schema.json")
	c.env = []string{"NOTHING_SCHEMA=" + file}
	return &c, os.WriteFile(file, []byte(text.Output), 0o600)
}

func (b *bench) mkdir(name string) (string, error) { return os.MkdirTemp(b.dir, name+"-") }
