package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/fleet"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	officialSource  = "https://github.com/supabase/terraform-provider-supabase"
	officialVersion = "v1.9.1"
	officialFile    = "terraform-provider-supabase"
	officialAddress = "supabase/supabase"
	// cloneTimeout is how long its source may take to come.
	cloneTimeout = 2 * time.Minute

	// It has no backups, so it has an Edge Function in the place of each.
	officialConfiguration = `terraform {
  required_providers {
    supabase = { source = "supabase/supabase" }
  }
}

locals {
  functions = jsondecode(file("${path.module}/backups.json"))
}

resource "supabase_edge_function" "this" {
  for_each    = local.functions
  project_ref = each.value.ref
  slug        = each.value.name
  entrypoint  = "${path.module}/index.ts"
}
`
	officialFunction = "Deno.serve(() => new Response())\n"
)

// buildOfficial builds the official provider from a git repository, and installs a sample.
func (b *bench) buildOfficial(ctx context.Context, repository string) (*candidate, error) {
	if repository == none {
		return nil, nil
	}
	log.Printf("building the official provider %s", officialVersion)
	source, dir := filepath.Join(b.dir, "source"), filepath.Join(b.dir, nameOfficial)
	timed, cancel := context.WithTimeout(ctx, cloneTimeout)
	defer cancel()
	if err := execute(timed, "git", "-c", "advice.detachedHead=false", "clone", "--quiet", "--depth", "1", "--branch", officialVersion, repository, source); err != nil {
		return nil, err
	}
	if err := execute(ctx, "go", "-C", source, "build", "-trimpath", "-o", filepath.Join(dir, officialFile), "."); err != nil {
		return nil, err
	}
	c := &candidate{
		name: nameOfficial, program: filepath.Join(dir, officialFile),
		fresh: func(ctx context.Context, w string, environ, refs []string, perProject int) (*stack.WorkingDirectory, error) {
			return officialDirectory(ctx, w, b.metered, environ, refs, perProject)
		},
	}
	c.record = func(ctx context.Context) (*stack.Recording, error) {
		recording, _, err := b.installOfficial(ctx, c, 1, true)
		return recording, err
	}
	recording, state, err := b.installOfficial(ctx, c, fleet.PerProject, false)
	if err != nil {
		return nil, err
	}
	c.serve = recording.Serve
	c.unchanged = func(ctx context.Context, dir string, f *stack.Fleet, perProject int) (*stack.WorkingDirectory, error) {
		w, err := c.fresh(ctx, dir, f.Environ(), f.Refs, perProject)
		if err != nil {
			return nil, err
		}
		text, err := multiply(f, state, perProject)
		if err != nil {
			return nil, err
		}
		return w, os.WriteFile(filepath.Join(dir, "terraform.tfstate"), text, 0o600)
	}
	return c, os.RemoveAll(source)
}

// officialDirectory is like fleet.NewWorkingDirectory, which it changes.
func officialDirectory(ctx context.Context, dir, provider string, environ, refs []string, perProject int) (*stack.WorkingDirectory, error) {
	w, err := fleet.NewWorkingDirectory(ctx, dir, provider, environ, refs, perProject)
	if err != nil {
		return nil, err
	}
	for _, variable := range environ {
		if url, ok := strings.CutPrefix(variable, "SUPABASE_API_URL="); ok {
			w.Env = append(w.Env, "SUPABASE_API_ENDPOINT="+url)
		}
	}
	for name, text := range map[string]string{
		"main.tf": officialConfiguration, "index.ts": officialFunction,
		"terraform.rc": fmt.Sprintf("provider_installation {\n  dev_overrides { %q = %q }\n  direct {}\n}\n", officialAddress, provider),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// installOfficial creates functions in the project of a stack. It records the apply, or
// else a plan after it, and returns the state too.
func (b *bench) installOfficial(ctx context.Context, c *candidate, functions int, apply bool) (recording *stack.Recording, state []byte, err error) {
	s, err := stack.Start(ctx, stack.Options{Articles: 1, RateLimit: -1})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	dir, err := b.mkdir("official")
	if err != nil {
		return nil, nil, err
	}
	w, err := officialDirectory(ctx, dir, filepath.Dir(c.program), s.Environ(), []string{s.ProjectRef}, functions)
	if err != nil {
		return nil, nil, err
	}
	stop := func() {}
	if apply {
		recording, stop = s.RecordWrites()
	}
	_, err = w.Must(ctx, 0, "apply", "-auto-approve", "-no-color")
	stop()
	if err != nil {
		return nil, nil, err
	}
	if state, err = os.ReadFile(filepath.Join(dir, "terraform.tfstate")); err != nil || apply {
		return recording, state, err
	}
	recording, stop = s.Record()
	defer stop()
	_, err = w.Must(ctx, 0, "plan", "-detailed-exitcode", "-no-color")
	return recording, state, err
}

// multiply makes a state of one project that of all projects of a fleet, with the first
// functions of each.
func multiply(f *stack.Fleet, state []byte, perProject int) ([]byte, error) {
	var whole map[string]any
	if err := json.Unmarshal(state, &whole); err != nil {
		return nil, err
	}
	resources, _ := whole["resources"].([]any)
	if len(resources) != 1 {
		return nil, fmt.Errorf("the state has %d resources, not one", len(resources))
	}
	resource, _ := resources[0].(map[string]any)
	instances, _ := resource["instances"].([]any)
	if len(instances) < perProject {
		return nil, fmt.Errorf("the state has %d functions, not %d", len(instances), perProject)
	}
	key := func(instance any) string {
		fields, _ := instance.(map[string]any)
		key, _ := fields["index_key"].(string)
		return key
	}
	slices.SortFunc(instances, func(a, b any) int { return strings.Compare(key(a), key(b)) })
	var first []string
	for _, instance := range instances[:perProject] {
		text, err := json.Marshal(instance)
		if err != nil {
			return nil, err
		}
		first = append(first, string(text))
	}
	var all []json.RawMessage
	for _, ref := range f.Refs {
		for _, instance := range first {
			all = append(all, json.RawMessage(f.Translate(instance, ref)))
		}
	}
	resource["instances"] = all
	return json.Marshal(whole)
}
