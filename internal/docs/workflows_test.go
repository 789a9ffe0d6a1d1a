package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	usesPattern   = regexp.MustCompile(`(?m)^\s*(?:- )?uses: (.*)$`)
	pinnedPattern = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	makePattern   = regexp.MustCompile(`\bmake ([a-z-]+)`)
	matrixPattern = regexp.MustCompile(`(?m)^\s*command: \[(.*)\]$`)
)

// TestWorkflows proves that CI runs no action that can be changed under it,
// each being named by the digest of its commit, and no command that this
// repository does not have.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	targets, err := os.ReadFile(filepath.Join(root, "GNUmakefile"))
	if err != nil {
		t.Fatal(err)
	}
	workflows, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yml"))
	if err != nil || len(workflows) < 3 {
		t.Fatalf("the workflows are %v, %v", workflows, err)
	}
	for _, workflow := range workflows {
		text, err := os.ReadFile(workflow)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(workflow)
		for _, use := range usesPattern.FindAllStringSubmatch(string(text), -1) {
			if !pinnedPattern.MatchString(use[1]) {
				t.Errorf("%s uses %s, which is not pinned by a digest with its version beside it", name, use[1])
			}
		}
		commands := []string{}
		for _, run := range makePattern.FindAllStringSubmatch(string(text), -1) {
			commands = append(commands, run[1])
		}
		for _, list := range matrixPattern.FindAllStringSubmatch(string(text), -1) {
			for command := range strings.SplitSeq(list[1], ",") {
				commands = append(commands, strings.Fields(command)[0])
			}
		}
		if len(commands) == 0 {
			t.Errorf("%s runs nothing", name)
		}
		for _, command := range commands {
			if !strings.Contains(string(targets), "\n"+command+":") {
				t.Errorf("%s runs make %s, and there is no such target", name, command)
			}
		}
	}
}
