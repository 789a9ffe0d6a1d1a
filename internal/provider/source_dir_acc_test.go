package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestDestroyWithoutSourceDir proves that a backup can be destroyed after its
// `source_dir` is gone, with and without a refresh, while a plan of the same
// configuration warns, is not empty, and its apply is refused.
func TestDestroyWithoutSourceDir(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20})
	c := newCLI(t, "")
	for _, options := range [][]string{nil, {"-refresh=false"}} {
		dir := filepath.Join(t.TempDir(), "function")
		if err := os.CopyFS(dir, os.DirFS("../../examples/own-function-source/function")); err != nil {
			t.Fatal(err)
		}
		c.configure("terraform {\n  required_providers {\n    aimindset = { source = \"aimindset/aimindset\" }\n  }\n}\n" + p.config(fmt.Sprintf("function = { source_dir = %q }\n verify = \"none\"", dir)))
		c.run(0, "apply", "-no-color", "-auto-approve")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for _, refusal := range []struct {
			exit int
			args []string
		}{{2, []string{"plan", "-no-color", "-detailed-exitcode"}}, {1, []string{"apply", "-no-color", "-auto-approve"}}} {
			if out := flat(c.run(refusal.exit, refusal.args...)); !strings.Contains(out, "`function.source_dir`: No index.ts") {
				t.Errorf("%v does not name the argument: %s", refusal.args, out)
			}
		}
		c.run(0, append([]string{"destroy", "-no-color", "-auto-approve"}, options...)...)
		if jobs := p.value("select string_agg(jobname, ', ') from cron.job where jobname like 'auto-backup-%'"); jobs != "" {
			t.Errorf("after the destroy the jobs %s are there", jobs)
		}
	}
}
