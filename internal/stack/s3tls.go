package stack

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// S3Certificate is what is right or wrong with the certificate of an endpoint.
type S3Certificate int

// The certificates of endpoints.
const (
	// S3Trusted is of the CA in CAFile, for 127.0.0.1 and localhost.
	S3Trusted S3Certificate = iota
	// S3Expired is like S3Trusted and expired yesterday.
	S3Expired
	// S3OtherHost is like S3Trusted and for another host.
	S3OtherHost
	// S3OtherCA is of a CA that nobody knows.
	S3OtherCA
)

// ServeTLS opens another endpoint of the server, with TLS and a certificate of a kind,
// until the server is closed.
func (s *S3) ServeTLS(ctx context.Context, kind S3Certificate) (endpoint string, err error) {
	ca := s.ca
	if kind == S3OtherCA {
		if ca, err = newTestCA(); err != nil {
			return "", err
		}
	}
	certificate, err := ca.issue(kind)
	if err != nil {
		return "", err
	}
	return s.serve(ctx, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
}

// testCA issues certificates.
type testCA struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newTestCA() (*testCA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of the local stack " + randomLetters(8)},
		NotBefore: time.Now().AddDate(0, 0, -30), NotAfter: time.Now().AddDate(0, 0, 30),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	return &testCA{key: key, certificate: certificate}, err
}

// pem returns the certificate of the CA.
func (c *testCA) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate.Raw})
}

// issue returns a certificate of a kind, with its key.
func (c *testCA) issue(kind S3Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "S3 of the local stack"},
		NotBefore: time.Now().AddDate(0, 0, -20), NotAfter: time.Now().AddDate(0, 0, 20),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if kind == S3Expired {
		template.NotAfter = time.Now().AddDate(0, 0, -1)
	}
	if kind == S3OtherHost {
		template.DNSNames, template.IPAddresses = []string{"other.example"}, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, key.Public(), c.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
