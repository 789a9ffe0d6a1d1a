// Package fleet puts Terraform before many backups in many projects, to
// measure and to test what the provider costs there. It is used by tests and by
// the bench only.
package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	// Provider is this provider's package.
	Provider = "github.com/aimindset/terraform-provider-aimindset"
	// PerProject is how many backups the recorded project has.
	PerProject = 5

	configuration = `terraform {
  required_providers {
    aimindset = { source = "aimindset/aimindset" }
  }
}

locals {
  backups = jsondecode(file("${path.module}/backups.json"))
}

resource "aimindset_auto_backup" "this" {
  for_each    = local.backups
  project_ref = each.value.ref
  name        = each.value.name
  verify      = "none"
}
`
)

// Build builds a provider into a directory that Terraform takes it from, under
// the name of this one.
func Build(ctx context.Context, pkg, dir string, flags ...string) error {
	args := slices.Concat([]string{"build", "-trimpath", "-o", filepath.Join(dir, "terraform-provider-aimindset")}, flags, []string{pkg})
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// backupName is the name of one of a project's backups.
func backupName(n int) string {
	if n == 0 {
		return "auto-backup"
	}
	return fmt.Sprintf("auto-backup-%c%c", 'a'+n/26, 'a'+n%26)
}

// Workspace is a directory in which Terraform runs.
type Workspace struct {
	Dir string
	// Env is Terraform's environment.
	Env []string

	terraform string
}

// NewWorkspace makes a directory in which Terraform manages backups of
// projects, by their references, with the provider that stands in another one.
func NewWorkspace(ctx context.Context, dir, provider string, environ []string, refs []string, perProject int) (*Workspace, error) {
	terraform, err := stack.Terraform(ctx)
	if err != nil {
		return nil, err
	}
	backups := map[string]map[string]string{}
	for _, ref := range refs {
		for n := range perProject {
			backups[ref+"/"+backupName(n)] = map[string]string{"ref": ref, "name": backupName(n)}
		}
	}
	list, err := json.Marshal(backups)
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"main.tf": configuration, "backups.json": string(list),
		"terraform.rc": fmt.Sprintf("provider_installation {\n  dev_overrides { \"aimindset/aimindset\" = %q }\n}\n", provider),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	w := &Workspace{Dir: dir, terraform: terraform}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SUPABASE_") && !strings.HasPrefix(variable, "TF_") {
			w.Env = append(w.Env, variable)
		}
	}
	w.Env = append(w.Env, environ...)
	w.Env = append(w.Env, "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "terraform.rc"), "CHECKPOINT_DISABLE=1")
	return w, nil
}

// Run is one run of Terraform that has ended.
type Run struct {
	// Output is what it printed, Exit its exit code.
	Output string
	Exit   int
	// Took is how long it took from its start to its end.
	Took time.Duration
	// CPU is what it and all that it started used.
	CPU time.Duration
}

// Terraform runs Terraform. That it ends with an exit code is no error.
func (w *Workspace) Terraform(ctx context.Context, args ...string) (Run, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, w.terraform, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = w.Dir, w.Env, &out, &out
	start := time.Now()
	err := cmd.Run()
	run := Run{Output: out.String(), Took: time.Since(start)}
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return run, fmt.Errorf("terraform %s: %w\n%s", args[0], errors.Join(err, ctx.Err()), run.Output)
	}
	run.Exit = cmd.ProcessState.ExitCode()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		run.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return run, nil
}

// Must is Terraform with an exit code that is expected.
func (w *Workspace) Must(ctx context.Context, exit int, args ...string) (Run, error) {
	run, err := w.Terraform(ctx, args...)
	if err == nil && run.Exit != exit {
		err = fmt.Errorf("terraform %s ended with %d, not with %d:\n%s", strings.Join(args, " "), run.Exit, exit, run.Output)
	}
	return run, err
}

// Sample is a project in which PerProject backups were really installed: what
// its stack's API answers to a plan, and the state that Terraform has of them.
type Sample struct {
	recording *stack.Recording
	state     terraformState
}

// terraformState is as much of a state as is needed to multiply its instances.
type terraformState struct {
	Version          int             `json:"version"`
	TerraformVersion string          `json:"terraform_version"`
	Serial           int             `json:"serial"`
	Lineage          string          `json:"lineage"`
	Outputs          json.RawMessage `json:"outputs"`
	Resources        []struct {
		Mode      string            `json:"mode"`
		Type      string            `json:"type"`
		Name      string            `json:"name"`
		Provider  string            `json:"provider"`
		Instances []json.RawMessage `json:"instances"`
	} `json:"resources"`
	CheckResults json.RawMessage `json:"check_results"`
}

// TakeSample starts a stack, installs its backups with the provider in a
// directory, and keeps what a plan reads.
func TakeSample(ctx context.Context, provider string) (_ *Sample, err error) {
	s, err := stack.Start(ctx, stack.Options{Articles: 1, RateLimit: -1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	dir, err := os.MkdirTemp("", "aimindset-fleet-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := NewWorkspace(ctx, dir, provider, s.Environ(), []string{s.ProjectRef}, PerProject)
	if err != nil {
		return nil, err
	}
	if _, err := w.Must(ctx, 0, "apply", "-auto-approve", "-no-color"); err != nil {
		return nil, err
	}
	sample := &Sample{}
	recording, stop := s.Record()
	defer stop()
	if _, err := w.Must(ctx, 0, "plan", "-detailed-exitcode", "-no-color"); err != nil {
		return nil, err
	}
	sample.recording = recording
	text, err := os.ReadFile(filepath.Join(dir, "terraform.tfstate"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &sample.state); err != nil {
		return nil, err
	}
	if len(sample.state.Resources) != 1 || len(sample.state.Resources[0].Instances) != PerProject {
		return nil, fmt.Errorf("the state has not %d backups:\n%s", PerProject, text)
	}
	return sample, nil
}

// Serve starts a fleet of projects as the sample's.
func (s *Sample) Serve(ctx context.Context, opts stack.FleetOptions) (*stack.Fleet, error) {
	return s.recording.Serve(ctx, opts)
}

// Workspace makes a directory in which Terraform manages the first backups of
// each project of a fleet, and has a state of all of them.
func (s *Sample) Workspace(ctx context.Context, dir, provider string, f *stack.Fleet, perProject int) (*Workspace, error) {
	if perProject > PerProject {
		return nil, fmt.Errorf("a sample has %d backups, not %d", PerProject, perProject)
	}
	w, err := NewWorkspace(ctx, dir, provider, f.Environ(), f.Refs, perProject)
	if err != nil {
		return nil, err
	}
	var instances []string
	for _, instance := range s.state.Resources[0].Instances {
		var known struct {
			Attributes struct{ Name string } `json:"attributes"`
		}
		if err := json.Unmarshal(instance, &known); err != nil {
			return nil, err
		}
		for n := range perProject {
			if known.Attributes.Name == backupName(n) {
				instances = append(instances, string(instance))
			}
		}
	}
	state := s.state
	state.Resources = slices.Clone(s.state.Resources)
	state.Resources[0].Instances = nil
	for _, ref := range f.Refs {
		for _, instance := range instances {
			state.Resources[0].Instances = append(state.Resources[0].Instances, json.RawMessage(f.Translate(instance, ref)))
		}
	}
	text, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	return w, os.WriteFile(filepath.Join(dir, "terraform.tfstate"), text, 0o600)
}

// CheckBudget says where a plan did not cost exactly what it may: two requests
// to the API and one statement for each project.
func CheckBudget(f *stack.Fleet) error {
	stats := f.Stats()
	var errs []error
	if len(stats.Unexpected) > 0 {
		errs = append(errs, fmt.Errorf("requests that no refresh needs: %v", stats.Unexpected))
	}
	if stats.API != 2*len(f.Refs) || stats.SQL != len(f.Refs) {
		errs = append(errs, fmt.Errorf("%d requests and %d statements for %d projects, not %d and %d", stats.API, stats.SQL, len(f.Refs), 2*len(f.Refs), len(f.Refs)))
	}
	for what, count := range stats.PerProject {
		if count > 1 {
			errs = append(errs, fmt.Errorf("%s was asked %d times", what, count))
		}
	}
	return errors.Join(errs...)
}
