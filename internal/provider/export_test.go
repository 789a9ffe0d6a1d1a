package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/provider"

	"github.com/aimindset/terraform-provider-aimindset/internal/fingerprint"
)

// NewWith returns a provider for the test of a process: it reads the environment by getenv,
// and knows the fingerprints that others with the same cache have computed.
func NewWith(getenv func(variable string) string, known *fingerprint.Cache) provider.Provider {
	return &aimindset{version: "test", getenv: getenv, fingerprints: known}
}
