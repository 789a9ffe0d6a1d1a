// Package fleet runs Terraform with many backups in many projects, to measure and
// test what the provider costs. Only tests and the benchmark use it.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
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

// backupName returns the name of one of a project's backups.
func backupName(n int) string {
	if n == 0 {
		return "auto-backup"
	}
	return fmt.Sprintf("auto-backup-%c%c", 'a'+n/26, 'a'+n%26)
}

// NewWorkingDirectory creates a directory in which Terraform manages backups of
// projects, given by their references, with the provider in another directory.
func NewWorkingDirectory(ctx context.Context, dir, provider string, environ []string, refs []string, perProject int) (*stack.WorkingDirectory, error) {
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
	return stack.NewWorkingDirectory(ctx, dir, provider, environ, map[string]string{"main.tf": configuration, "backups.json": string(list)})
}

// Sample is a project in which PerProject backups were installed: the responses of
// its API to a plan and to the data source aimindset_auto_backups, and Terraform's state.
type Sample struct {
	// API and SQL are how many requests and statements it took to install the backups.
	API, SQL  int
	recording *stack.Recording
	state     terraformState
}

// terraformState has the parts of a state that are needed to multiply its instances.
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

// TakeSample starts a stack, installs backups with the provider in a directory, and
// records what a plan and the data source aimindset_auto_backups read.
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
	w, err := NewWorkingDirectory(ctx, dir, provider, s.Environ(), []string{s.ProjectRef}, PerProject)
	if err != nil {
		return nil, err
	}
	if _, err := w.Must(ctx, 0, "apply", "-auto-approve", "-no-color"); err != nil {
		return nil, err
	}
	sample := &Sample{}
	sample.API, sample.SQL = count(s)
	recording, stop := s.Record()
	defer stop()
	if _, err := w.Must(ctx, 0, "plan", "-detailed-exitcode", "-no-color"); err != nil {
		return nil, err
	}
	if err := recordGlance(ctx, s, provider); err != nil {
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

// count returns how many requests to the API and SQL statements a stack has got.
func count(s *stack.Stack) (api, sql int) {
	for _, call := range s.APICalls() {
		if strings.Contains(call.Path, "/database/query") {
			sql++
		} else {
			api++
		}
	}
	return api, sql
}

// Serve starts a fleet of projects like the sample.
func (s *Sample) Serve(ctx context.Context, opts stack.FleetOptions) (*stack.Fleet, error) {
	return s.recording.Serve(ctx, opts)
}

// WorkingDirectory creates a directory in which Terraform manages the first backups
// of each project of a fleet, with a state of all of them.
func (s *Sample) WorkingDirectory(ctx context.Context, dir, provider string, f *stack.Fleet, perProject int) (*stack.WorkingDirectory, error) {
	if perProject > PerProject {
		return nil, fmt.Errorf("a sample has %d backups, not %d", PerProject, perProject)
	}
	w, err := NewWorkingDirectory(ctx, dir, provider, f.Environ(), f.Refs, perProject)
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
			translated, err := translate(f, instance, ref)
			if err != nil {
				return nil, err
			}
			state.Resources[0].Instances = append(state.Resources[0].Instances, translated)
		}
	}
	text, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	return w, os.WriteFile(filepath.Join(dir, "terraform.tfstate"), text, 0o600)
}

// translate makes the sample's instance that of another project, in its attributes
// and in what the provider keeps beside them.
func translate(f *stack.Fleet, instance, ref string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(f.Translate(instance, ref)), &fields); err != nil {
		return nil, err
	}
	// Terraform keeps bytes, which are a map of the framework's, whose values are bytes again.
	var packed []byte
	if err := json.Unmarshal(fields["private"], &packed); err != nil {
		return nil, fmt.Errorf("the instance's private part: %w", err)
	}
	var private map[string][]byte
	if err := json.Unmarshal(packed, &private); err != nil {
		return nil, fmt.Errorf("the instance's private part: %w", err)
	}
	for key, value := range private {
		private[key] = []byte(f.Translate(string(value), ref))
	}
	packed, err := json.Marshal(private)
	if err != nil {
		return nil, err
	}
	if fields["private"], err = json.Marshal(packed); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// CheckBudget reports whether a plan did not cost exactly three requests to the API
// and one statement per project.
func CheckBudget(f *stack.Fleet) error {
	const requests = 3 // functions, secrets, API keys
	return check(f, 0, requests)
}

// check reports whether a fleet did not get some requests for all projects together, some
// for each of them, one statement for each, and none of them twice.
func check(f *stack.Fleet, together, each int) error {
	stats := f.Stats()
	var errs []error
	if len(stats.Unexpected) > 0 {
		errs = append(errs, fmt.Errorf("requests that only this run made: %v", stats.Unexpected))
	}
	if want := together + each*len(f.Refs); stats.API != want || stats.SQL != len(f.Refs) {
		errs = append(errs, fmt.Errorf("%d requests and %d statements for %d projects, not %d and %d", stats.API, stats.SQL, len(f.Refs), want, len(f.Refs)))
	}
	for what, count := range stats.PerProject {
		if count > 1 {
			errs = append(errs, fmt.Errorf("%s was asked %d times", what, count))
		}
	}
	return errors.Join(errs...)
}
