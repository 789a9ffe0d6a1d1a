package docs_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestVersionsGuide proves what the guide says of pins and upgrades: the lock file keeps
// a version though there is a newer one, the guide's commands upgrade to it and plan, and
// with the former version's pin the same command goes back.
func TestVersionsGuide(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(example(t, projectRef, "docs", "guides", "versions.md"))
	upgrade := slices.IndexFunc(blocks, func(b block) bool { return b.kind == "sh" })
	if upgrade < 1 {
		t.Fatalf("the guide has the blocks %+v", blocks)
	}
	u := newUser(t)
	u.write("main.tf", requiredProviders)
	u.run(0, "terraform init -input=false")
	platform := runtime.GOOS + "_" + runtime.GOARCH
	programs, err := filepath.Glob(filepath.Join(u.dir, ".terraform", "providers", "*", "aimindset", "aimindset", "*", platform, "terraform-provider-aimindset_v*"))
	if err != nil || len(programs) != 1 {
		t.Fatalf("the provider is installed as %q, %v", programs, err)
	}
	program, err := filepath.EvalSymlinks(programs[0])
	if err != nil {
		t.Fatal(err)
	}
	mirror := t.TempDir()
	publish := func(version string) {
		t.Helper()
		for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
			dir := filepath.Join(mirror, registry, "aimindset", "aimindset", version, platform)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(program, filepath.Join(dir, "terraform-provider-aimindset_v"+version)); err != nil {
				t.Fatal(err)
			}
		}
	}
	later := u.at()
	later.write("terraform.rc", "provider_installation {\n  filesystem_mirror { path = \""+mirror+"\" }\n}\n")
	later.env = append(later.env, "TF_CLI_CONFIG_FILE="+filepath.Join(later.dir, "terraform.rc"))
	uses := func(version string) {
		t.Helper()
		if out := later.run(0, "terraform version"); !strings.Contains(out, "aimindset/aimindset v"+version) {
			t.Errorf("instead of version %s\n%s", version, out)
		}
	}
	publish("1.0.0")
	follow(later, &stack.Stack{ProjectRef: projectRef}, blocks[:upgrade])
	later.run(0, "terraform init -input=false")
	uses("1.0.0")
	publish("1.1.0")
	publish("2.0.0")
	later.run(0, "rm -r .terraform && terraform init -input=false")
	uses("1.0.0")
	follow(later, &stack.Stack{ProjectRef: projectRef}, blocks[upgrade:])
	uses("1.1.0")
	later.write("main.tf", strings.Replace(later.run(0, "cat main.tf"), "~> 1.0", "~> 1.0.0", 1))
	later.run(0, "terraform init -input=false -upgrade")
	uses("1.0.0")
}
