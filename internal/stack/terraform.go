package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Provider is the package of the provider.
const Provider = "github.com/aimindset/terraform-provider-aimindset"

// BuildProvider builds a provider as a release is built, without symbols, into a
// directory that Terraform takes it from, under the name of this one.
func BuildProvider(ctx context.Context, pkg, dir string, flags ...string) error {
	args := slices.Concat([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "terraform-provider-aimindset")}, flags, []string{pkg})
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// WorkingDirectory is a directory with a configuration, in which Terraform runs.
type WorkingDirectory struct {
	Dir string
	// Env is Terraform's environment.
	Env []string

	terraform string
}

// NewWorkingDirectory has Terraform run in dir, with the provider that
// BuildProvider has left in another directory, if that is not empty, and with files
// there, by their names. Terraform sees environ, and of this process's own environment what has
// to do neither with Supabase nor with Terraform.
func NewWorkingDirectory(ctx context.Context, dir, provider string, environ []string, files map[string]string) (*WorkingDirectory, error) {
	terraform, err := Terraform(ctx)
	if err != nil {
		return nil, err
	}
	const settings = "terraform.rc"
	overrides := ""
	if provider != "" {
		overrides = fmt.Sprintf("dev_overrides { \"aimindset/aimindset\" = %q }", provider)
	}
	rc := fmt.Sprintf("provider_installation {\n  %s\n  direct {}\n}\n", overrides)
	if err := os.WriteFile(filepath.Join(dir, settings), []byte(rc), 0o600); err != nil {
		return nil, err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	w := &WorkingDirectory{Dir: dir, terraform: terraform}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SUPABASE_") && !strings.HasPrefix(variable, "TF_") {
			w.Env = append(w.Env, variable)
		}
	}
	w.Env = append(w.Env, environ...)
	w.Env = append(w.Env, "TF_CLI_CONFIG_FILE="+filepath.Join(dir, settings), "CHECKPOINT_DISABLE=1")
	return w, nil
}

// Getenv returns a variable of Terraform's environment, "" if it is not set.
func (w *WorkingDirectory) Getenv(variable string) string {
	for _, entry := range slices.Backward(w.Env) { // as for a program, the last one counts
		if value, ok := strings.CutPrefix(entry, variable+"="); ok {
			return value
		}
	}
	return ""
}

// Quick are variables with which Terraform, and the providers that it starts, take a third
// less processor time for a plan. They make no keys for the connection between them, which
// does not leave the machine, and collect no garbage below half a gigabyte. What measures
// Terraform, or shows how it is used, does without.
var Quick = []string{"TF_DISABLE_PLUGIN_TLS=1", "GOGC=off", "GOMEMLIMIT=512MiB"}

// Forget loses the state, as an apply does that dies before it could write it.
func (w *WorkingDirectory) Forget() error {
	err := os.Remove(filepath.Join(w.Dir, "terraform.tfstate"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// TerraformRun is one run of Terraform that has ended.
type TerraformRun struct {
	// Output is what it printed, Exit its exit code, -1 if it was killed.
	Output string
	Exit   int
	// Took is how long it took from its start to its end.
	Took time.Duration
	// CPU is what it and all that it started used.
	CPU time.Duration
}

// Run runs Terraform. An exit code other than 0 is not an error.
func (w *WorkingDirectory) Run(ctx context.Context, args ...string) (TerraformRun, error) {
	p, err := w.Start(ctx, args...)
	if err != nil {
		return TerraformRun{}, err
	}
	run, err := p.Wait()
	if err = errors.Join(err, ctx.Err()); err != nil {
		return run, fmt.Errorf("terraform %s: %w\n%s", args[0], err, run.Output)
	}
	return run, nil
}

// Must is Run with an expected exit code.
func (w *WorkingDirectory) Must(ctx context.Context, exit int, args ...string) (TerraformRun, error) {
	run, err := w.Run(ctx, args...)
	if err == nil && run.Exit != exit {
		err = fmt.Errorf("terraform %s ended with %d, not with %d:\n%s", strings.Join(args, " "), run.Exit, exit, run.Output)
	}
	return run, err
}

// TerraformProcess is a Terraform at work.
type TerraformProcess struct {
	cmd   *exec.Cmd
	out   bytes.Buffer
	began time.Time
}

// Start starts Terraform. It and its providers are killed when ctx ends.
func (w *WorkingDirectory) Start(ctx context.Context, args ...string) (*TerraformProcess, error) {
	p := &TerraformProcess{cmd: exec.CommandContext(ctx, w.terraform, args...), began: time.Now()}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = w.Dir, w.Env, &p.out, &p.out
	// Providers stay in the group of the Terraform that starts them.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = p.Kill
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("terraform %s: %w", args[0], err)
	}
	return p, nil
}

// Wait waits for the end. An exit code other than 0, or a signal, is not an error.
func (p *TerraformProcess) Wait() (TerraformRun, error) {
	err := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil
	}
	run := TerraformRun{Output: p.out.String(), Exit: p.cmd.ProcessState.ExitCode(), Took: time.Since(p.began)}
	if usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		run.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return run, err
}

// Interrupt asks Terraform to end, as Ctrl-C does.
func (p *TerraformProcess) Interrupt() error { return p.cmd.Process.Signal(os.Interrupt) }

// Kill kills Terraform and its providers at once, as a machine does that dies.
func (p *TerraformProcess) Kill() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// KillProvider kills Terraform's providers and not Terraform itself.
func (p *TerraformProcess) KillProvider() error {
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	killed := 0
	for _, file := range processes {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent: the name may hold anything.
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(p.cmd.Process.Pid) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
		killed++
	}
	if killed == 0 {
		return errors.New("Terraform has no provider")
	}
	return nil
}
