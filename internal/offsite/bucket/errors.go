package bucket

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// The kinds of errors, for errors.Is.
var (
	// ErrNoBucket says that there is no such bucket.
	ErrNoBucket = errors.New("there is no such bucket")
	// ErrDenied says that the credentials are wrong or may not do it.
	ErrDenied = errors.New("access was denied")
	// ErrRegion says that the bucket is in another region.
	ErrRegion = errors.New("the bucket is in another region")
	// ErrClock says that this machine's clock is wrong.
	ErrClock = errors.New("this machine's clock is wrong")
	// ErrTLS says that the server's certificate is not trusted, or that it does not
	// speak TLS.
	ErrTLS = errors.New("no secure connection")
	// ErrUnreachable says that the server did not respond.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrMissing says that there is no such object.
	ErrMissing = errors.New("the object is missing")
	// ErrChanged says that an object is not what the manifest says.
	ErrChanged = errors.New("the object was changed")
)

// codes are the kinds of what S3 servers say, each with what to do next.
var codes = map[string]struct {
	kind   error
	remedy string
}{
	"NoSuchBucket":                 {ErrNoBucket, "Check `bucket` and `endpoint`."},
	"AccessDenied":                 {ErrDenied, "The credentials need s3:ListBucket on the bucket and s3:GetObject on its objects. The ones of the project may only write; use others in `access_key_id` and `secret_access_key`."},
	"InvalidAccessKeyId":           {ErrDenied, "The server does not know `access_key_id`."},
	"SignatureDoesNotMatch":        {ErrDenied, "Check `secret_access_key`."},
	"ExpiredToken":                 {ErrDenied, "The credentials have expired. Set others in `access_key_id` and `secret_access_key`."},
	"AccountProblem":               {ErrDenied, "Look at the account of the storage provider."},
	"AllAccessDisabled":            {ErrDenied, "Look at the account of the storage provider."},
	"AuthorizationHeaderMalformed": {ErrRegion, "Set `region` to the bucket's."},
	"PermanentRedirect":            {ErrRegion, "Set `region` and `endpoint` to the bucket's."},
	"TemporaryRedirect":            {ErrRegion, "Set `region` and `endpoint` to the bucket's."},
	"InvalidRegion":                {ErrRegion, "Set `region` to the bucket's."},
	"RequestTimeTooSkewed":         {ErrClock, "Set the clock of this machine."},
	"NoSuchKey":                    {ErrMissing, "It was removed, or it has expired. If the bucket keeps versions, look for a delete marker."},
	"InvalidObjectState":           {ErrMissing, "It is in an archive. Restore it there first."},
}

// Error is a failure of a request.
type Error struct {
	// What is what was tried, Said what the server said.
	What, Said, Remedy string
	kind               error
}

// Error says what was tried, what the other side said, and what to do next.
func (e *Error) Error() string {
	parts := "failed to " + e.What + ": " + e.kind.Error()
	if e.Said != "" {
		parts += " (" + e.Said + ")"
	}
	if e.Remedy == "" {
		return parts
	}
	return parts + ". " + e.Remedy
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.kind }

// explain turns an error of the client into one that says what to do next.
func (b *Bucket) explain(ctx context.Context, what string, err error) error {
	e := &Error{What: what}
	said := b.redact(err.Error())
	var response *refusal
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("failed to %s: %w", what, ctx.Err())
	case errors.As(err, &response):
		known, ok := codes[response.code]
		e.kind, e.Remedy, e.Said = known.kind, known.remedy, said
		switch {
		case ok:
		case response.code == "" && response.status < http.StatusInternalServerError && response.status != http.StatusTooManyRequests:
			e.kind, e.Remedy = errForeign, "Check `endpoint`."
		default:
			e.kind, e.Said = fmt.Errorf("the server responded with status %d", response.status), b.redact(strings.Trim(response.code+": "+response.message, ": "))
			e.Remedy = "Try again later, and look at the status of the storage provider."
		}
		if errors.Is(e.kind, ErrRegion) && response.region != "" {
			e.Remedy = fmt.Sprintf("Set `region` to %q.", text.Head(text.Line(response.region), 40))
		}
	case errors.Is(err, errForeign):
		e.kind, e.Said, e.Remedy = errForeign, strings.TrimPrefix(said, errForeign.Error()+": "), "Check `endpoint`."
	case untrusted(err):
		e.kind, e.Said = ErrTLS, said
		e.Remedy = "Check `endpoint`: somebody may be between this machine and the server. If it is your own server, let this machine trust its certificate, for example with SSL_CERT_FILE."
	case errors.As(err, new(tls.RecordHeaderError)) || strings.Contains(said, "server gave HTTP response to HTTPS client"):
		e.kind, e.Said, e.Remedy = ErrTLS, "the server does not speak TLS", "Check `endpoint`."
	case errors.As(err, &dns):
		e.kind, e.Said, e.Remedy = ErrUnreachable, "the host name "+text.Line(dns.Name)+" could not be looked up", "Check `endpoint`."
	case isTimeout(err):
		e.kind, e.Said, e.Remedy = ErrUnreachable, "no response in time", "Check `endpoint`, firewalls and proxies."
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		e.kind, e.Said, e.Remedy = ErrUnreachable, "the connection broke", "Try again."
	default:
		e.kind, e.Said, e.Remedy = ErrUnreachable, said, "Check `endpoint`, firewalls and proxies."
	}
	return e
}

func untrusted(err error) bool {
	return errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.CertificateInvalidError)) || errors.As(err, new(*tls.CertificateVerificationError))
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// redact makes what a server said fit to be shown. A server that repeats the signed
// request shows the access key, and no secret; both are hidden.
func (b *Bucket) redact(s string) string {
	for _, secret := range []string{b.place.SecretAccessKey, b.place.AccessKeyID} {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "[redacted]")
		}
	}
	return text.Head(text.Line(s), 300)
}
