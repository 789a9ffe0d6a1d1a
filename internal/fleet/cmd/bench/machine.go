package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// Machine is where and when the figures were measured, and of what.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	// Memory is in KiB.
	Memory int `json:"memory_kib"`
	// Load is the load average when the measurements of the provider began.
	Load float64 `json:"load"`
	Date string  `json:"date"` // of UTC, YYYY-MM-DD
	// Commit is what was measured, Changed whether files differed from it.
	Commit  string `json:"commit"`
	Changed bool   `json:"changed"`
	// Before is the commit of the provider before, Official the version of Supabase's
	// provider. They are empty where they were left out.
	Before    string `json:"before"`
	Official  string `json:"official"`
	Go        string `json:"go"`
	Terraform string `json:"terraform"`
}

// busy reports whether the machine did something else meanwhile. The bench itself keeps
// its cores at work.
func (m Machine) busy() bool { return m.Load > 2*float64(m.Cores) }

func machine(ctx context.Context, b *bench) (Machine, error) {
	m := Machine{
		Cores: runtime.NumCPU(), Date: time.Now().UTC().Format(time.DateOnly),
		Before: b.beforeCommit, Official: b.officialVersion, Go: strings.TrimPrefix(runtime.Version(), "go"),
	}
	m.Processor = field("/proc/cpuinfo", "model name")
	var err error
	if m.Memory, err = strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB")); err != nil {
		return m, fmt.Errorf("the machine's memory: %w", err)
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return m, err
	}
	if _, err := fmt.Sscan(string(load), &m.Load); err != nil {
		return m, fmt.Errorf("the machine's load: %w", err)
	}
	// Without git, the figures name no commit.
	if commit, err := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(commit))
		changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output()
		m.Changed = err != nil || len(changes) > 0
	}
	terraform, err := stack.Terraform(ctx)
	if err != nil {
		return m, err
	}
	version, err := exec.CommandContext(ctx, terraform, "version").Output()
	if err != nil {
		return m, err
	}
	first, _, _ := strings.Cut(string(version), "\n")
	m.Terraform = strings.TrimPrefix(first, "Terraform v")
	return m, nil
}

// field reads a value of a file in /proc, of the first line with its name.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
