package supabase

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestPermissionNames proves that errors and guides name a token's permissions as the
// dashboard does, each with its level, and no others.
func TestPermissionNames(t *testing.T) {
	t.Parallel()
	known := regexp.MustCompile(`^(Edge Functions|Edge Function Secrets|Database|API Keys|Backups|Projects|Projects \(account-wide\)): (Read|Read-write) \(`)
	fields := reflect.ValueOf(may)
	for i := range fields.NumField() {
		if name := fields.Field(i).String(); !known.MatchString(name) {
			t.Errorf("%s is %q", fields.Type().Field(i).Name, name)
		}
	}
	guides, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil || len(guides) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	// What the API calls a permission has the dashboard's name in the same row.
	api := regexp.MustCompile("`([a-z_]+_(?:read|write))` \\|")
	named := 0
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "fine-grained token") {
				t.Errorf("%s: the dashboard says scoped token: %s", guide, line)
			}
			permission := api.FindStringSubmatch(line)
			if permission == nil {
				continue
			}
			named++
			row := strings.Split(line, " | ")
			found := false
			for i := range fields.NumField() {
				field := fields.Field(i).String()
				name := strings.TrimSuffix(known.FindString(field), " (")
				found = found || row[1] == name && strings.Contains(field, permission[1])
			}
			if !found {
				t.Errorf("%s: %q is not what the dashboard calls %s", guide, row[1], permission[1])
			}
		}
	}
	if named < 8 {
		t.Errorf("the guides name %d permissions, want at least 8", named)
	}
}
