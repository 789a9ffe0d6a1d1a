package host_test

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/host"
)

// TestPrivate proves which hosts count as private: loopback, private and link-local
// addresses in both families, and names that the public DNS does not have.
func TestPrivate(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "172.16.0.1": true, "192.168.1.9": true, "169.254.1.1": true, "::1": true, "fd00::1": true, "fe80::1": true, "::ffff:10.0.0.1": true,
		"kong": true, "localhost": true, "api.localhost": true, "db.internal": true, "nas.local": true, "nas.local.": true,
		"8.8.8.8": false, "172.32.0.1": false, "2001:db8::1": false, "::ffff:8.8.8.8": false, "example.com": false, "local.example.com": false, "internal.": true, "localhost.com": false,
	} {
		if got := host.Private(name); got != want {
			t.Errorf("Private(%q) = %v", name, got)
		}
	}
}
