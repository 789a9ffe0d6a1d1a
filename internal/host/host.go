// Package host says of the hosts of addresses what a plan has to know of them.
package host

import (
	"net/netip"
	"slices"
	"strings"
)

// Private reports whether a host, a name or an address without its port, is of the
// machine itself or of a private network, so that requests to it need not be encrypted.
func Private(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		address = address.Unmap()
		return address.IsLoopback() || address.IsPrivate() || address.IsLinkLocalUnicast()
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	// A name of one label, such as a service of Docker Compose, is not in the public DNS.
	return len(labels) == 1 || slices.Contains([]string{"localhost", "internal", "local"}, labels[len(labels)-1])
}
