package provider

import (
	"context"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

// Keys of a resource's private state.
const (
	// appliedKey holds what was applied; see applied.
	appliedKey = "applied"
	// replannedKey marks a plan that Terraform may ask for a second time,
	// without the prior state, because the resource is to be replaced.
	replannedKey = "replanned"
)

// applied is what the last apply made of a backup, as far as its attributes do
// not say it. A refresh compares the project with it.
type applied struct {
	// Settings are the settings that were applied, compiled schedules included.
	// Their instance tells this installation from others under its name.
	Settings backup.Settings `json:"settings"`
	// Digests are those of the function's source files, by path.
	Digests map[string]string `json:"digests"`
	// ImportMap is the path of the source's import map, or empty.
	ImportMap string `json:"import_map,omitempty"`
	// Seen is the deployed source as it was last read.
	Seen seenSource `json:"seen"`
}

// seenSource is a deployed source as it was read; see backup.FunctionState.
type seenSource struct {
	Revision string            `json:"revision"`
	Files    map[string]string `json:"files"`
	Changes  map[string]string `json:"changes,omitempty"`
}

// instance is the installation that was applied; empty where that is not known.
func (a *applied) instance() string {
	if a == nil {
		return ""
	}
	return a.Settings.Instance
}

// privateState is what a request or a response keeps beside a resource's state.
type privateState interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// appliedOf reads what was applied. It returns nil for a state that was not
// refreshed since its import.
func appliedOf(ctx context.Context, private privateState, diags *diag.Diagnostics) *applied {
	text, more := private.GetKey(ctx, appliedKey)
	diags.Append(more...)
	if len(text) == 0 {
		return nil
	}
	var a applied
	if err := json.Unmarshal(text, &a); err != nil {
		diags.AddError("Broken state", "The private part of the resource's state cannot be read: "+err.Error()+". Remove the resource from the state with \"terraform state rm\" and import it.")
		return nil
	}
	return &a
}

func keepApplied(ctx context.Context, private privateState, a applied, diags *diag.Diagnostics) {
	text, err := json.Marshal(a)
	if err != nil {
		diags.AddError("Cannot keep what was applied", err.Error())
		return
	}
	diags.Append(private.SetKey(ctx, appliedKey, text)...)
}
