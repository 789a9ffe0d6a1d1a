// Package selfhosted manages the Edge Functions of a project whose functions are
// files: in the functions directory of Supabase's Docker setup or of "supabase
// start". It has the methods of the Management API's client, so the same code
// installs, compares and removes a backup.
//
// A functions directory has one directory per function. The runtime loads
// <slug>/index.ts when a request for it arrives, keeps the instance for a while,
// and passes the environment that it was started with to every function. That
// makes three differences to the platform:
//
//   - A function has no properties. A marker file in its directory says that it
//     belongs to this provider.
//   - New code takes effect when the last instance of the old code has ended, or at
//     the next request if the runtime starts an instance for each; a new environment
//     does when the runtime is recreated. Settle takes care of both.
//   - A function finds its token in tokens.json beside the code, which only the
//     file's owner can read and which needs no restart, unless the configuration
//     keeps tokens in the environment.
package selfhosted

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// DefaultWorkerLifetime is how long Supabase's Docker setup keeps an instance
// of a function.
const DefaultWorkerLifetime = time.Minute

// Config describes a self-hosted project.
type Config struct {
	// FunctionsDir is the directory with one directory per function.
	FunctionsDir string
	// EnvFile is the file that the runtime's environment comes from, or empty.
	EnvFile string
	// TokensInEnvironment keeps tokens in EnvFile instead of beside the
	// functions.
	TokensInEnvironment bool
	// RestartCommand is a program with its arguments that recreates the
	// runtime, or nil.
	RestartCommand []string
	// WorkerLifetime is how long an instance of a function serves requests;
	// DefaultWorkerLifetime if zero.
	WorkerLifetime time.Duration
	// FreshInstances says that the runtime starts an instance for each request, so
	// that no request gets former code.
	FreshInstances bool
	// APIKey is the project's legacy anon key or publishable key.
	APIKey string
}

// Project gives access to a self-hosted project's functions and secrets. It is
// safe for concurrent use. Its methods ignore the project reference, which they
// take because those of the Management API's client do.
type Project struct {
	config Config

	// files is held from reading files to writing them.
	files sync.Mutex
	// restarting is held while the restart command runs.
	restarting sync.Mutex

	state struct {
		sync.Mutex
		// environment and functions count the changes of the env file and of
		// the functions; the runtime knows of the first seenEnvironment and
		// seenFunctions of them.
		environment, functions         int
		seenEnvironment, seenFunctions int
		// stale is the time until which an instance of former code may run.
		stale time.Time
	}
}

// New returns a Project. It reads nothing.
func New(config Config) *Project {
	if config.WorkerLifetime == 0 {
		config.WorkerLifetime = DefaultWorkerLifetime
	}
	return &Project{config: config}
}

// reserved are directories that are not functions: the runtime's router, and
// by convention the code that functions share.
var reserved = []string{"main", "_shared"}

var slugPattern = text.Pattern(`^[A-Za-z][A-Za-z0-9_-]*$`)

// CheckSlug reports why a function of this slug cannot be deployed.
func CheckSlug(slug string) error {
	switch {
	case slices.Contains(reserved, slug):
		return fmt.Errorf("the directory %q among a self-hosted project's functions belongs to the runtime; choose another name", slug)
	case !slugPattern().MatchString(slug):
		return fmt.Errorf("%q is not a valid slug of an Edge Function; use letters, digits, - and _, beginning with a letter", slug)
	}
	return nil
}

// CheckFile reports why a function's file cannot be deployed. The path is
// relative to the entry point.
func CheckFile(file string) error {
	switch {
	case !filepath.IsLocal(filepath.FromSlash(file)):
		return fmt.Errorf("%s is outside the function's directory, where all functions of a self-hosted project share files; move it inside", file)
	case path.Clean(file) == markerFile:
		return fmt.Errorf("the provider itself writes %s; rename the file", file)
	}
	return nil
}

func (p *Project) dir(slug string) string { return filepath.Join(p.config.FunctionsDir, slug) }

// MayWriteFunctions returns an error that wraps fs.ErrPermission if this process may
// not write to the directory of the functions. It writes nothing.
func (p *Project) MayWriteFunctions(context.Context, string) error {
	return writable("functions_dir", p.config.FunctionsDir)
}

// MayWriteSecrets is MayWriteFunctions for the places of tokens and secrets.
func (p *Project) MayWriteSecrets(context.Context, string) error {
	err := writable("functions_dir", p.config.FunctionsDir)
	if p.config.EnvFile != "" {
		err = errors.Join(err, writable("env_file", filepath.Dir(p.config.EnvFile)))
	}
	return err
}

// writable returns an error if files may not be created in a directory, which the
// argument of self_hosted names.
func writable(argument, dir string) error {
	if err := mayWrite(dir); errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("`%s` in `self_hosted`: this user may not write to the directory %s: %w", argument, dir, err)
	}
	return nil
}

// Backups fails: there is no platform that makes backups of the project.
func (p *Project) Backups(context.Context, string) (supabase.Backups, error) {
	return supabase.Backups{}, errors.New("the project is self-hosted, so there is no platform that makes backups of it")
}

// APIKeys returns the configured key. Only the runtime has the others.
func (p *Project) APIKeys(context.Context, string) ([]supabase.APIKey, error) {
	key := supabase.APIKey{ID: "anon", Name: "anon", Type: "legacy", Key: p.config.APIKey}
	if strings.HasPrefix(p.config.APIKey, "sb_publishable_") {
		key = supabase.APIKey{ID: "default", Name: "default", Type: "publishable", Key: p.config.APIKey}
	}
	return []supabase.APIKey{key}, nil
}
