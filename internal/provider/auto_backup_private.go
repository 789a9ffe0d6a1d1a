package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
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

// applied is the part of what was last applied that the attributes do not have. A
// refresh compares the project with it.
type applied struct {
	// Settings are the settings that were applied, compiled schedules included.
	// Their instance identifies the installation.
	Settings backup.Settings `json:"settings"`
	// Digests are those of the function's source files, by path.
	Digests digests `json:"digests"`
	// ImportMap is the path of the source's import map, or empty.
	ImportMap string `json:"import_map,omitempty"`
	// RPC is the digest of the SQL function that makes the backup, or "" if there was
	// none.
	RPC string `json:"rpc,omitempty"`
	// FormerKeys are the keys of schedules whose jobs may still be there, because no apply
	// has finished the jobs since the schedules were removed.
	FormerKeys []string `json:"former_keys,omitempty"`
	// Seen is the deployed source when it was last read.
	Seen seenSource `json:"seen"`
}

// seenSource is a deployed source that was read; see backup.FunctionState.
type seenSource struct {
	Revision string            `json:"revision"`
	Files    digests           `json:"files,omitempty"`
	Changes  map[string]string `json:"changes,omitempty"`
	// AsApplied says, in the private state only, that Files are the applied ones.
	AsApplied bool `json:"as_applied,omitempty"`
}

// digests are SHA-256 in hexadecimal, by path. In the private state they are in base64:
// Terraform reads, sends and writes it for each backup in each plan, and encodes it twice.
type digests map[string]string

// MarshalJSON implements json.Marshaler.
func (d digests) MarshalJSON() ([]byte, error) {
	packed := make(map[string]string, len(d))
	for path, digest := range d {
		if sum, err := hex.DecodeString(digest); err == nil && len(sum) == sha256.Size {
			digest = base64.RawStdEncoding.EncodeToString(sum)
		}
		packed[path] = digest
	}
	return json.Marshal(packed)
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *digests) UnmarshalJSON(text []byte) error {
	packed := map[string]string{}
	if err := json.Unmarshal(text, &packed); err != nil {
		return err
	}
	for path, digest := range packed {
		if sum, err := base64.RawStdEncoding.DecodeString(digest); err == nil && len(sum) == sha256.Size {
			packed[path] = hex.EncodeToString(sum)
		}
	}
	*d = packed
	return nil
}

// instance returns the installation that was applied, or "" if it is not known.
func (a *applied) instance() string {
	if a == nil {
		return ""
	}
	return a.Settings.Instance
}

// tellSource tells what is known of the deployed source; nothing if nothing was applied.
func (a *applied) tellSource(known *backup.Known) {
	if a != nil {
		known.Revision, known.Files, known.Changes = a.Seen.Revision, a.Seen.Files, a.Seen.Changes
		known.Applied = a.Digests
	}
}

// formerKeys returns the keys of the jobs that an apply which did not finish its jobs
// may have left: those of the former schedules and of those before.
func (a *applied) formerKeys(schedules map[string]attr.Value) []string {
	keys := slices.Collect(maps.Keys(schedules))
	if a != nil {
		keys = append(keys, a.FormerKeys...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// privateState is the private part of a resource's state, in a request or a
// response.
type privateState interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// appliedOf returns what was last applied, or nil for a state that has not been
// refreshed since its import.
func appliedOf(ctx context.Context, private privateState, diags *diag.Diagnostics) *applied {
	text, more := private.GetKey(ctx, appliedKey)
	diags.Append(more...)
	if len(text) == 0 {
		return nil
	}
	var a applied
	if err := json.Unmarshal(text, &a); err != nil {
		diags.AddError("Broken state", "The private part of the resource's state is not valid: "+err.Error()+". Remove the resource from the state with \"terraform state rm\" and import it.")
		return nil
	}
	if a.Seen.AsApplied {
		a.Seen.Files, a.Seen.AsApplied = a.Digests, false
	}
	return &a
}

func keepApplied(ctx context.Context, private privateState, a applied, diags *diag.Diagnostics) {
	if a.Seen.AsApplied = maps.Equal(a.Seen.Files, a.Digests); a.Seen.AsApplied {
		a.Seen.Files = nil
	}
	text, err := json.Marshal(a)
	if err != nil {
		diags.AddError("Cannot keep what was applied", err.Error())
		return
	}
	diags.Append(private.SetKey(ctx, appliedKey, text)...)
}
