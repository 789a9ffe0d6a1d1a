package provider

import (
	"context"
	"maps"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// private is a private state in memory.
type private map[string][]byte

func (p private) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) { return p[key], nil }

func (p private) SetKey(_ context.Context, key string, value []byte) diag.Diagnostics {
	p[key] = value
	return nil
}

// TestPrivateState proves that what was applied is the same after it was kept, whether the
// deployed source is the applied one or another, also with what is no digest; and that the
// source which a plan of the built-in function has twice is kept once.
func TestPrivateState(t *testing.T) {
	t.Parallel()
	source := backup.BuiltInSource("auto-backup", backup.Settings{}).Digests()
	changed := maps.Clone(source)
	changed["index.ts"] = source["run.ts"]
	for name, c := range map[string]struct {
		digests, files map[string]string
		largest        int
	}{
		"as applied": {source, source, 80 * len(source)},
		"changed":    {source, changed, 160 * len(source)},
		"unread":     {source, nil, 80 * len(source)},
		"nothing":    {nil, nil, 200},
		"no digests": {map[string]string{"a": "x", "b": ""}, map[string]string{"a": "y"}, 250},
	} {
		kept, diags := private{}, diag.Diagnostics{}
		want := applied{Digests: c.digests, RPC: "x", Seen: seenSource{Revision: "1", Files: c.files, Changes: map[string]string{"a": "b"}}}
		keepApplied(t.Context(), kept, want, &diags)
		got := appliedOf(t.Context(), kept, &diags)
		if got == nil || diags.HasError() {
			t.Errorf("%s: %v", name, diags)
			continue
		}
		if !maps.Equal(got.Digests, want.Digests) || !maps.Equal(got.Seen.Files, want.Seen.Files) || got.Seen.Revision != "1" || got.Seen.Changes["a"] != "b" || got.RPC != "x" {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		// The settings, which are empty here, take some 400 bytes.
		if size := len(kept[appliedKey]) - 400; size > c.largest {
			t.Errorf("%s takes %d bytes besides the settings, more than %d", name, size, c.largest)
		}
	}
}
