package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	tfjson "github.com/hashicorp/terraform-json"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/aimindset/terraform-provider-aimindset/internal/fingerprint"
	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// takeSteps takes the steps of a test with the real Terraform and the provider in this
// process, as resource.UnitTest does, and with a third of its runs of Terraform: one that
// plans and applies, and one that has to plan nothing. The state is read from its file,
// and there is no plan without a refresh beside the one with it. resource.UnitTest itself
// takes the steps of TestLifecycle, over every transport.
//
// A check of a plan that asks for more than actions costs two runs more; wants and
// nothing do not. Checks get no state of Terraform's former type. A step that fails ends
// the test, and nothing is destroyed then.
func takeSteps(t *testing.T, c resource.TestCase) {
	t.Helper()
	needTerraform(t)
	w, err := stack.NewWorkingDirectory(t.Context(), t.TempDir(), "", stack.Quick, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &stepper{t: t, w: w, errorCheck: c.ErrorCheck}
	s.onlyKnown(c, "ProtoV6ProviderFactories", "Steps", "ErrorCheck", "CheckDestroy")
	for i, step := range c.Steps {
		if step.PreConfig != nil {
			step.PreConfig()
		}
		err := s.take(step)
		if err != nil && s.errorCheck != nil {
			err = s.errorCheck(err)
		}
		switch {
		case step.ExpectError == nil && err != nil:
			t.Fatalf("step %d of %d: %v", i+1, len(c.Steps), err)
		case step.ExpectError != nil && err == nil:
			t.Fatalf("step %d of %d did not fail", i+1, len(c.Steps))
		case step.ExpectError != nil && !step.ExpectError.MatchString(err.Error()):
			t.Fatalf("step %d of %d did not fail with %s, but: %v", i+1, len(c.Steps), step.ExpectError, err)
		}
	}
	state, err := s.state()
	if err == nil && len(managed(state)) > 0 {
		_, err = s.terraform(0, "apply", "-destroy", "-auto-approve", "-refresh=false")
	}
	if err == nil && c.CheckDestroy != nil {
		err = c.CheckDestroy(nil)
	}
	if err != nil {
		t.Fatalf("after the last step: %v", err)
	}
}

// stepper takes the steps of one test.
type stepper struct {
	t          *testing.T
	w          *stack.WorkingDirectory
	errorCheck resource.ErrorCheckFunc
}

// onlyKnown fails the test if it sets a field that would be ignored.
func (s *stepper) onlyKnown(of any, fields ...string) {
	s.t.Helper()
	value := reflect.ValueOf(of)
	for _, field := range reflect.VisibleFields(value.Type()) {
		if !slices.Contains(fields, field.Name) && !value.FieldByIndex(field.Index).IsZero() {
			s.t.Fatalf("takeSteps knows no %s: use resource.UnitTest", field.Name)
		}
	}
}

// reattached names a provider in TF_REATTACH_PROVIDERS.
type reattached struct {
	Protocol        string
	ProtocolVersion int
	Pid             int
	Test            bool
	Addr            struct{ Network, String string }
}

// knownFingerprints has the fingerprints that the providers in this process have computed.
// A provider's program computes each again at its start, which takes more time than all
// else that it does.
var knownFingerprints fingerprint.Cache

// serve serves a new provider in this process until stop is called, and returns the
// variable by which Terraform finds it. The provider reads its environment by getenv.
func serve(getenv func(variable string) string) (variable string, stop func(), err error) {
	p := provider.NewWith(getenv, &knownFingerprints)
	server, err := provider.NewServer(p)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	configs, closed, served := make(chan *plugin.ReattachConfig, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		served <- tf6server.Serve("registry.terraform.io/aimindset/aimindset", func() tfprotov6.ProviderServer { return server },
			tf6server.WithDebug(ctx, configs, closed), tf6server.WithGoPluginLogger(hclog.NewNullLogger()), tf6server.WithoutLogStderrOverride())
	}()
	stop = func() {
		cancel()
		<-closed
		if c, ok := p.(io.Closer); ok {
			_ = c.Close()
		}
	}
	var config *plugin.ReattachConfig
	select {
	case config = <-configs:
	case err := <-served:
		cancel()
		return "", nil, fmt.Errorf("serve the provider: %w", err)
	}
	r := reattached{Protocol: string(config.Protocol), ProtocolVersion: config.ProtocolVersion, Pid: config.Pid, Test: config.Test}
	r.Addr.Network, r.Addr.String = config.Addr.Network(), config.Addr.String()
	providers := map[string]reattached{}
	for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		for _, namespace := range []string{"aimindset", "hashicorp"} { // with a source, and without
			providers[registry+"/"+namespace+"/aimindset"] = r
		}
	}
	text, err := json.Marshal(providers)
	if err != nil {
		stop()
		return "", nil, err
	}
	return "TF_REATTACH_PROVIDERS=" + string(text), stop, nil
}

// terraform runs Terraform with a provider of its own, as every run has one. Another
// exit code than the expected one is an error with what it printed.
func (s *stepper) terraform(exit int, args ...string) (string, error) {
	variable, stop, err := serve(os.Getenv)
	if err != nil {
		return "", err
	}
	defer stop()
	w := *s.w
	w.Env = append(slices.Clip(w.Env), variable)
	run, err := w.Must(s.t.Context(), exit, append(args, "-no-color")...)
	return run.Output, err
}

// take takes a step.
func (s *stepper) take(step resource.TestStep) error {
	s.t.Helper()
	s.onlyKnown(step, "PreConfig", "Config", "Check", "Destroy", "ExpectNonEmptyPlan", "ExpectError", "PlanOnly", "ConfigPlanChecks", "ConfigStateChecks",
		"ResourceName", "ImportState", "ImportStateId", "ImportStateVerify", "ImportStateVerifyIgnore")
	if step.Config != "" {
		if err := os.WriteFile(filepath.Join(s.w.Dir, "main.tf"), []byte(step.Config), 0o600); err != nil {
			return err
		}
	}
	checks := step.ConfigPlanChecks
	switch {
	case step.ImportState:
		return s.imports(step)
	case step.Destroy:
		return s.destroys(step)
	case step.PlanOnly:
		if len(checks.PostApplyPreRefresh) > 0 {
			if err := s.plan(step, checks.PostApplyPreRefresh, "-refresh=false"); err != nil {
				return err
			}
		}
		return s.plan(step, checks.PostApplyPostRefresh)
	}
	if len(checks.PostApplyPreRefresh) > 0 {
		s.t.Fatal("takeSteps plans without a refresh only where it applies nothing: use resource.UnitTest")
	}
	looks := step.Check != nil || len(step.ConfigStateChecks) > 0
	if !looks && len(checks.PreApply) > 0 && !slices.ContainsFunc(checks.PreApply, func(c plancheck.PlanCheck) bool { return c != nothing{} }) {
		return s.plan(step, checks.PostApplyPostRefresh) // there is nothing to apply, and nothing to plan afterwards
	}
	if err := s.apply(checks.PreApply); err != nil {
		return err
	}
	if step.Check != nil {
		if err := step.Check(nil); err != nil {
			return fmt.Errorf("the check: %w", err)
		}
	}
	if len(step.ConfigStateChecks) > 0 {
		state, err := s.state()
		if err != nil {
			return err
		}
		for _, check := range step.ConfigStateChecks {
			var resp statecheck.CheckStateResponse
			if check.CheckState(s.t.Context(), statecheck.CheckStateRequest{State: state}, &resp); resp.Error != nil {
				return fmt.Errorf("the state: %w", resp.Error)
			}
		}
	}
	return s.plan(step, checks.PostApplyPostRefresh)
}

// wants is the check that a plan has an action for the resource of most tests.
type wants plancheck.ResourceActionType

// CheckPlan implements plancheck.PlanCheck.
func (a wants) CheckPlan(ctx context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	plancheck.ExpectResourceAction(address, plancheck.ResourceActionType(a)).CheckPlan(ctx, req, resp)
}

// nothing is the check that a plan is empty.
type nothing struct{}

// CheckPlan implements plancheck.PlanCheck.
func (nothing) CheckPlan(ctx context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	plancheck.ExpectEmptyPlan().CheckPlan(ctx, req, resp)
}

// onlyActions reports whether checks ask for no more of a plan than its actions.
func onlyActions(checks []plancheck.PlanCheck) bool {
	for _, check := range checks {
		switch check.(type) {
		case wants, nothing:
		default:
			return false
		}
	}
	return true
}

// apply plans and applies the configuration. The checks are of the plan.
func (s *stepper) apply(checks []plancheck.PlanCheck) error {
	switch {
	case len(checks) == 0:
		_, err := s.terraform(0, "apply", "-auto-approve")
		return err
	case !onlyActions(checks):
		if err := s.check(checks); err != nil {
			return err
		}
		_, err := s.terraform(0, "apply", "tfplan")
		return err
	}
	output, err := s.terraform(0, "apply", "-auto-approve", "-json")
	if err != nil {
		return err
	}
	plan := &tfjson.Plan{}
	// What is planned to stay as it is, is not told.
	state, err := s.state()
	if err != nil {
		return err
	}
	for _, r := range state.Values.RootModule.Resources {
		plan.ResourceChanges = append(plan.ResourceChanges, &tfjson.ResourceChange{Address: r.Address, Change: &tfjson.Change{Actions: tfjson.Actions{tfjson.ActionNoop}}})
	}
	applying := false
	for line := range strings.Lines(output) {
		var event struct {
			Type   string
			Change struct {
				Action   tfjson.Action
				Resource struct{ Addr string }
			}
			Outputs map[string]struct{ Action tfjson.Action }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		switch event.Type {
		case "planned_change":
			of := &tfjson.ResourceChange{Address: event.Change.Resource.Addr, Change: &tfjson.Change{Actions: tfjson.Actions{event.Change.Action}}}
			plan.ResourceChanges = append(slices.DeleteFunc(plan.ResourceChanges, func(r *tfjson.ResourceChange) bool { return r.Address == of.Address }), of)
		case "apply_start":
			applying = true
		case "outputs":
			for name, o := range event.Outputs {
				if !applying && o.Action != "" && o.Action != tfjson.ActionNoop {
					if plan.OutputChanges == nil {
						plan.OutputChanges = map[string]*tfjson.Change{}
					}
					plan.OutputChanges[name] = &tfjson.Change{Actions: tfjson.Actions{o.Action}}
				}
			}
		}
	}
	return s.run(checks, plan)
}

// check makes a plan, in the file tfplan, and checks it.
func (s *stepper) check(checks []plancheck.PlanCheck, args ...string) error {
	if _, err := s.terraform(0, slices.Concat([]string{"plan", "-out=tfplan"}, args)...); err != nil {
		return err
	}
	text, err := s.terraform(0, "show", "-json", "tfplan")
	if err != nil {
		return err
	}
	plan := &tfjson.Plan{}
	if err := plan.UnmarshalJSON([]byte(text)); err != nil {
		return err
	}
	return s.run(checks, plan)
}

// run runs checks of a plan.
func (s *stepper) run(checks []plancheck.PlanCheck, plan *tfjson.Plan) error {
	for _, check := range checks {
		var resp plancheck.CheckPlanResponse
		if check.CheckPlan(s.t.Context(), plancheck.CheckPlanRequest{Plan: plan}, &resp); resp.Error != nil {
			return fmt.Errorf("the plan: %w", resp.Error)
		}
	}
	return nil
}

// plan plans, and proves that there is nothing to do, or something if the step says so.
func (s *stepper) plan(step resource.TestStep, checks []plancheck.PlanCheck, args ...string) error {
	exit := 0
	if step.ExpectNonEmptyPlan {
		exit = 2
	}
	if _, err := s.terraform(exit, slices.Concat([]string{"plan", "-detailed-exitcode"}, args)...); err != nil {
		return err
	}
	if checks = slices.DeleteFunc(slices.Clone(checks), func(c plancheck.PlanCheck) bool { return exit == 0 && c == nothing{} }); len(checks) == 0 {
		return nil
	}
	return s.check(checks, args...)
}

// destroys destroys everything.
func (s *stepper) destroys(step resource.TestStep) error {
	if _, err := s.terraform(0, "apply", "-destroy", "-auto-approve"); err != nil {
		return err
	}
	if step.Check != nil {
		if err := step.Check(nil); err != nil {
			return fmt.Errorf("the check: %w", err)
		}
	}
	state, err := s.state()
	if err == nil && len(managed(state)) > 0 {
		err = fmt.Errorf("destroy left %s in the state", managed(state)[0].Address)
	}
	return err
}

// managed returns the resources in a state that Terraform manages.
func managed(state *tfjson.State) []*tfjson.StateResource {
	return slices.DeleteFunc(slices.Clone(state.Values.RootModule.Resources), func(r *tfjson.StateResource) bool { return r.Mode != tfjson.ManagedResourceMode })
}

// imports imports a resource into a state of its own, and compares that with the one
// that the other steps have made.
func (s *stepper) imports(step resource.TestStep) error {
	made, err := s.state()
	if err != nil {
		return err
	}
	attributes := func(state *tfjson.State) map[string]any {
		for _, r := range state.Values.RootModule.Resources {
			if r.Address == step.ResourceName {
				values := maps.Clone(r.AttributeValues)
				for _, name := range step.ImportStateVerifyIgnore {
					delete(values, name)
				}
				return values
			}
		}
		return nil
	}
	want, id := attributes(made), step.ImportStateId
	if id == "" {
		id, _ = want["id"].(string)
	}
	main, err := os.ReadFile(filepath.Join(s.w.Dir, "main.tf"))
	if err != nil {
		return err
	}
	other, err := stack.NewWorkingDirectory(s.t.Context(), s.t.TempDir(), "", stack.Quick, map[string]string{"main.tf": string(main)})
	if err != nil {
		return err
	}
	elsewhere := &stepper{t: s.t, w: other}
	if _, err := elsewhere.terraform(0, "import", step.ResourceName, id); err != nil || !step.ImportStateVerify {
		return err
	}
	imported, err := elsewhere.state()
	if err != nil {
		return err
	}
	if got := attributes(imported); want == nil || !reflect.DeepEqual(got, want) {
		return fmt.Errorf("the state was\n%s\nand is imported as\n%s", indented(want), indented(got))
	}
	return nil
}

func indented(value any) string {
	text, _ := json.MarshalIndent(value, "", "  ")
	return string(text)
}

// state reads Terraform's state, as "terraform show" would show it.
func (s *stepper) state() (*tfjson.State, error) {
	var file struct {
		Version   string `json:"terraform_version"`
		Outputs   map[string]json.RawMessage
		Resources []struct {
			Mode, Type, Name string
			Instances        []struct {
				IndexKey   any `json:"index_key"`
				Attributes json.RawMessage
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(s.w.Dir, "terraform.tfstate"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	} else if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&file); err != nil {
			return nil, fmt.Errorf("terraform.tfstate: %w", err)
		}
	}
	resources := []any{}
	for _, r := range file.Resources {
		for _, instance := range r.Instances {
			at := r.Type + "." + r.Name
			if r.Mode == "data" {
				at = "data." + at
			}
			switch key := instance.IndexKey.(type) {
			case string:
				at += fmt.Sprintf("[%q]", key)
			case json.Number:
				at += "[" + key.String() + "]"
			}
			resources = append(resources, map[string]any{"address": at, "mode": r.Mode, "type": r.Type, "name": r.Name, "values": instance.Attributes})
		}
	}
	shown, err := json.Marshal(map[string]any{
		"format_version": "1.0", "terraform_version": file.Version,
		"values": map[string]any{"outputs": file.Outputs, "root_module": map[string]any{"resources": resources}},
	})
	if err != nil {
		return nil, err
	}
	state := &tfjson.State{}
	state.UseJSONNumber(true)
	return state, state.UnmarshalJSON(shown)
}

// TestStepsFail proves that a step fails where resource.UnitTest would fail it: if
// something is to be done after its apply or, in a step that only plans, at all; if nothing
// is although the step expects something; if a plan has other actions than a check wants;
// and if a check of the state, a plan or an apply fails.
func TestStepsFail(t *testing.T) {
	t.Parallel()
	needTerraform(t)
	const (
		steady = `resource "terraform_data" "this" { input = "steady" }`
		always = `resource "terraform_data" "this" { input = timestamp() }`
		output = `output "result" { value = "one" }`
	)
	planned := func(checks ...plancheck.PlanCheck) resource.ConfigPlanChecks {
		return resource.ConfigPlanChecks{PreApply: checks}
	}
	value := func(value string) []statecheck.StateCheck {
		return []statecheck.StateCheck{statecheck.ExpectKnownOutputValue("result", knownvalue.StringExact(value))}
	}
	for name, c := range map[string]struct {
		step resource.TestStep
		says string // empty: the step passes
	}{
		"steady":                     {resource.TestStep{Config: steady}, ""},
		"more to do afterwards":      {resource.TestStep{Config: always}, "exit"},
		"expected to have more":      {resource.TestStep{Config: always, ExpectNonEmptyPlan: true}, ""},
		"no more, though expected":   {resource.TestStep{Config: steady, ExpectNonEmptyPlan: true}, "exit"},
		"only planned, with changes": {resource.TestStep{Config: steady, PlanOnly: true}, "exit"},
		"not nothing to do":          {resource.TestStep{Config: steady, ConfigPlanChecks: planned(nothing{})}, "exit"},
		"not nothing, with a look":   {resource.TestStep{Config: steady, ConfigPlanChecks: planned(nothing{}), Check: func(*terraform.State) error { return nil }}, "the plan: "},
		"a new output is something":  {resource.TestStep{Config: output, ConfigPlanChecks: planned(nothing{}), ConfigStateChecks: value("one")}, "the plan: "},
		"another action":             {resource.TestStep{Config: steady, ConfigPlanChecks: planned(wants(plancheck.ResourceActionUpdate))}, "the plan: "},
		"an output as expected":      {resource.TestStep{Config: output, ConfigStateChecks: value("one")}, ""},
		"another output":             {resource.TestStep{Config: output, ConfigStateChecks: value("two")}, "the state: "},
		"a failed check":             {resource.TestStep{Config: steady, Check: func(*terraform.State) error { return errors.New("no") }}, "the check: no"},
		"no configuration":           {resource.TestStep{Config: `resource "terraform_data" {}`}, "Missing name for resource"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := stack.NewWorkingDirectory(t.Context(), t.TempDir(), "", stack.Quick, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = (&stepper{t: t, w: w}).take(c.step)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("the error is %v, and not with %q", err, c.says)
			}
		})
	}
}
