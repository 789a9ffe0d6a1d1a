package postgres

import (
	"crypto/x509"
	_ "embed" // for the certificate
	"errors"
	"strings"
)

// supabaseRoot is the certificate, in PEM, by which Supabase signs those of its
// database servers and poolers: "Supabase Root 2021 CA", valid until 2031-04-26,
// SHA-256 fingerprint
// 807025ad50d4ed219d2c9c7d299c004f824eb00cf7f65afef607d07b72e6cafa.
//
// Two public sources agree on it, byte for byte (SHA-256 of the file:
// 700723581420dd1ac98fd7e9ac529f0ef210eadcaf87fc868a3ad7d114c2f3b7): the
// repository of Supabase's CLI, github.com/supabase/cli,
// apps/cli-go/internal/gen/types/templates/prod-ca-2021.crt; and the dashboard's
// download, supabase-downloads.s3-ap-southeast-1.amazonaws.com/prod/ssl/prod-ca-2021.crt,
// as several repositories have stored or recorded it.
//
// The CLI has a second root of the same name with another key, valid from
// 2025-09-03, fingerprint
// 5f9b77951a7aa1303f9b58eea9bfa89e358cfdc15f9786ff10d4930a722c9ae2. It has no
// second source yet, so it is not here: sslrootcert can name it.
//
//go:embed supabase-root-2021.crt
var supabaseRoot []byte

// isSupabase reports whether a host is a database server or a pooler of
// Supabase's platform.
func isSupabase(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return strings.HasSuffix(host, ".supabase.co") || strings.HasSuffix(host, ".supabase.com")
}

// verifyBy sets the certificates by which a host is verified if the URL names
// none: the system's, and for Supabase's hosts its root as well. With verify-ca,
// which does not compare the host's name, every certificate that anyone can get
// would do, so there it is Supabase's root or nothing.
func verifyBy(root []byte, host, mode string) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	switch {
	case mode == "verify-full":
		if system, err := x509.SystemCertPool(); err == nil {
			roots = system
		}
	case !isSupabase(host):
		return nil, errors.New("sslmode=verify-ca in the database URL needs sslrootcert=<file>: without it, the certificate of any host would do. To verify the host by the system's certificates, write sslmode=verify-full")
	}
	if isSupabase(host) {
		roots.AppendCertsFromPEM(root)
	}
	return roots, nil
}
