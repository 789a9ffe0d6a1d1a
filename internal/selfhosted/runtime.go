package selfhosted

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// functionChanged records that a function's files changed. If the function
// existed, an instance of its former code may still run.
func (p *Project) functionChanged(existed bool) {
	if p.config.FreshInstances {
		return // the next request gets the new code
	}
	p.state.Lock()
	defer p.state.Unlock()
	p.state.functions++
	if existed {
		p.state.stale = time.Now().Add(p.config.WorkerLifetime)
	}
}

// Settle makes the runtime use what was written: it runs the restart command, or
// without one waits until no instance of former code can run any more. Without
// a restart command a changed environment does not take effect; Unsettled
// reports that.
func (p *Project) Settle(ctx context.Context) error {
	p.restarting.Lock()
	defer p.restarting.Unlock()
	p.state.Lock()
	environment, functions, stale := p.state.environment, p.state.functions, p.state.stale
	settled := environment == p.state.seenEnvironment && functions == p.state.seenFunctions
	seenEnvironment := p.state.seenEnvironment
	p.state.Unlock()
	if settled {
		return nil
	}
	if len(p.config.RestartCommand) > 0 {
		if err := p.restart(ctx); err != nil {
			return err
		}
		seenEnvironment = environment
	} else if wait := time.Until(stale); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("wait %s until no instance of the function's former code runs any more: %w", p.config.WorkerLifetime, ctx.Err())
		}
	}
	p.state.Lock()
	defer p.state.Unlock()
	// Changes made in the meantime are left to the next call.
	p.state.seenEnvironment, p.state.seenFunctions = seenEnvironment, functions
	return nil
}

// Unsettled reports whether the runtime must be recreated manually to get its
// environment.
func (p *Project) Unsettled() bool {
	p.state.Lock()
	defer p.state.Unlock()
	return p.state.environment != p.state.seenEnvironment
}

// Restarts reports whether Settle recreates the runtime, which then needs some
// time until it answers requests.
func (p *Project) Restarts() bool { return len(p.config.RestartCommand) > 0 }

// killDelay is how long the restart command may keep its output open after it
// was killed.
const killDelay = 10 * time.Second

// restart runs the restart command. The error contains the end of its output.
func (p *Project) restart(ctx context.Context) error {
	command := p.config.RestartCommand
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = killDelay
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		said := p.presentable(output.String())
		if said != "" {
			said = ": " + said
		}
		return fmt.Errorf("run `restart_command` %s: %w%s", filepath.Base(command[0]), err, said)
	}
	return nil
}

// longestOutput limits, in bytes, how much of a program's output an error shows.
const longestOutput = 1000

// presentable returns the end of a program's output as one printable line in
// which the values of the env file are replaced.
func (p *Project) presentable(output string) string {
	if e, err := readEnvironment(p.config.EnvFile); p.config.EnvFile != "" && err == nil {
		for _, value := range e.values() {
			if len(value) >= 4 {
				output = strings.ReplaceAll(output, value, "[redacted]")
			}
		}
	}
	return text.Tail(text.Line(output), longestOutput)
}
