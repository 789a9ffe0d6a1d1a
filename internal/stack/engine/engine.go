// Package engine says what the Terraform or OpenTofu that tests run has. Not every
// supported version has everything, so a test of what some lack asks first. What it is
// told is noted, so that nothing is skipped in silence.
package engine

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/hashicorp/go-version"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

//go:embed features.json
var table []byte

// Feature is something that not every Terraform and OpenTofu has.
type Feature struct {
	Key, Name string
	// Terraform and OpenTofu are the oldest version of each that has it; empty if none.
	Terraform, OpenTofu string
	// Alpha is true if only Terraform's alpha releases have it, or what was built like one.
	Alpha bool
	// Runs are the tests of it.
	Runs []Run
}

// Run is a text in a file of the repository, which is a test, a step of a workflow, or a
// command.
type Run struct{ File, Text string }

// test returns the name of the test, if the run is one of the package in a directory.
func (r Run) test(dir string) (name string, ok bool) {
	name, ok = strings.CutPrefix(strings.TrimSuffix(r.Text, "("), "func ")
	return name, ok && strings.HasPrefix(r.File, dir+"/")
}

// Features returns the table of all that some engines lack.
func Features() ([]Feature, error) {
	var features []Feature
	if err := json.Unmarshal(table, &features); err != nil {
		return nil, fmt.Errorf("features.json: %w", err)
	}
	return features, nil
}

// From says from which version on an engine has the feature.
func (f Feature) From(openTofu bool) string {
	oldest := f.Terraform
	if openTofu {
		oldest = f.OpenTofu
	}
	switch {
	case oldest == "":
		return "no"
	case f.Alpha && !openTofu:
		return "from " + oldest + ", in alpha releases only"
	}
	return "from " + oldest
}

// Engine is a Terraform or an OpenTofu.
type Engine struct {
	// Path is the program.
	Path     string
	Version  *version.Version
	OpenTofu bool
	// Experiments is true for alpha releases of Terraform, and for what was built like one.
	Experiments bool
}

// Find looks at the program that stack.Terraform chooses.
func Find(ctx context.Context) (*Engine, error) {
	path, err := stack.Terraform(ctx)
	if err != nil {
		return nil, fmt.Errorf("find Terraform: %w", err)
	}
	e := &Engine{Path: path}
	if e.Version, e.OpenTofu, err = stack.TerraformVersion(ctx, path); err != nil {
		return nil, err
	}
	e.Experiments, err = experiments(ctx, path)
	return e, err
}

// experiments asks a program for a plan with an argument that is an experiment. There is
// nothing to plan, so it fails, but says whether it knows the argument.
func experiments(ctx context.Context, path string) (bool, error) {
	dir, err := os.MkdirTemp("", "aimindset-engine-")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cmd := exec.CommandContext(ctx, path, "plan", "-allow-deferral", "-no-color")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false, fmt.Errorf("%s plans a directory without a configuration:\n%s", path, out)
	}
	return strings.Contains(string(out), "No configuration files"), nil
}

// String is the name and the version, as in "OpenTofu 1.12.6".
func (e *Engine) String() string {
	name := "Terraform "
	if e.OpenTofu {
		name = "OpenTofu "
	}
	if name += e.Version.String(); e.Experiments {
		name += " with experiments"
	}
	return name
}

// Has says whether the engine has a feature.
func (e *Engine) Has(f Feature) bool {
	oldest := f.Terraform
	if e.OpenTofu {
		oldest = f.OpenTofu
	}
	if oldest == "" || f.Alpha && !e.Experiments {
		return false
	}
	return e.Version.Core().GreaterThanOrEqual(version.Must(version.NewVersion(oldest)))
}
