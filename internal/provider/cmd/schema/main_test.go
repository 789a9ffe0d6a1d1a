package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestAsTerraform proves that what is printed is what Terraform would print:
// every section that this Terraform knows is the same, and nothing that it
// prints is missing.
func TestAsTerraform(t *testing.T) {
	t.Parallel()
	terraform, err := stack.Terraform(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "dev.tfrc"), "CHECKPOINT_DISABLE=1")
		if name == terraform {
			cmd.Dir = dir
		}
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, complaint.String())
		}
		return out
	}
	for name, content := range map[string]string{
		"dev.tfrc": fmt.Sprintf("provider_installation {\n  dev_overrides { \"aimindset/aimindset\" = %q }\n}\n", dir),
		"main.tf":  "terraform {\n  required_providers {\n    aimindset = { source = \"aimindset/aimindset\" }\n  }\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("go", "build", "-o", filepath.Join(dir, "terraform-provider-aimindset"), "github.com/aimindset/terraform-provider-aimindset")
	theirs := sections(t, run(terraform, "providers", "schema", "-json"))

	var printed bytes.Buffer
	if err := printSchemas(t.Context(), &printed, registryAddress); err != nil {
		t.Fatal(err)
	}
	ours := sections(t, printed.Bytes())
	for section, theirSection := range theirs {
		if ourSection := ours[section]; !reflect.DeepEqual(ourSection, theirSection) {
			t.Errorf("section %s is\n%s\nand Terraform prints\n%s", section, indented(ourSection), indented(theirSection))
		}
	}
	for _, section := range []string{"provider", "resource_schemas", "data_source_schemas"} {
		if theirs[section] == nil {
			t.Errorf("Terraform prints no section %s", section)
		}
	}
	for section := range ours {
		// Terraform 1.12 is the first to print identities, and 1.14 actions and
		// list resources; OpenTofu leaves out what it does not have.
		if theirs[section] == nil && !slices.Contains([]string{"functions", "resource_identity_schemas", "action_schemas", "list_resource_schemas"}, section) {
			t.Errorf("Terraform prints no section %s, and it is printed here", section)
		}
	}
}

// sections are the parts of the one provider in a printed document.
func sections(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var document struct {
		FormatVersion   string                    `json:"format_version"`
		ProviderSchemas map[string]map[string]any `json:"provider_schemas"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if document.FormatVersion != "1.0" || len(document.ProviderSchemas) != 1 {
		t.Fatalf("format %s, with %d providers", document.FormatVersion, len(document.ProviderSchemas))
	}
	for _, sections := range document.ProviderSchemas {
		return sections // below the address of whichever registry
	}
	return nil
}

func indented(value any) string {
	text, _ := json.MarshalIndent(value, "", " ")
	return string(text)
}
