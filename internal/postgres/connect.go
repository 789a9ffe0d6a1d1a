package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// directHost matches the host of a project's own database server. It has only an
// IPv6 address, unless the project pays for an IPv4 address.
var directHost = text.Pattern(`(?i)^db\.([a-z]{20})(?:-rr-[a-z0-9-]+)?\.supabase\.[a-z]+\.?$`)

// where says where the database URL is set.
const where = "`database_url` or SUPABASE_DB_URL"

// explainConnect returns the error for a failure to connect, with advice.
func explainConnect(config *pgconn.Config, err error) *Error {
	address := net.JoinHostPort(config.Host, fmt.Sprint(config.Port))
	e := &Error{kind: ErrUnavailable, before: "connect to the database at " + text.Line(address)}
	var refused *pgconn.PgError
	var dns *net.DNSError
	var number syscall.Errno
	switch {
	case errors.As(err, &refused):
		e.SQLState, e.Message = refused.Code, refused.Message
		e.advice = refusalAdvice(config, refused)
	case errors.As(err, &dns):
		e.Message = "the host name " + dns.Name + " has no address that this machine can use"
		if !dns.IsNotFound {
			e.Message = "the host name " + dns.Name + " could not be looked up: " + dns.Err
		}
		e.unreached(config.Host, "Check the host in the database URL.")
	case untrusted(err):
		e.Message = "the server's certificate is not trusted: " + innermost(err)
		e.advice = "Check the host first: somebody may be between this machine and the server. If the certificate is another one than the provider knows, download it (on Supabase: dashboard, Database, Settings, SSL Configuration) and add it to the database URL, " + where + ": ?sslrootcert=<file>. With ?sslmode=require the connection is encrypted, but the server is not verified."
	case strings.Contains(err.Error(), "require_auth check failed"):
		e.Message = "the server does not authenticate by SCRAM-SHA-256: " + innermost(err)
		e.advice = "Check the host: with another method, whoever responds there could learn the password. If this is your server, set password_encryption to scram-sha-256 and set the password again, or allow its method in the database URL, " + where + ": ?require_auth=md5, password or none."
	case strings.Contains(err.Error(), "server refused TLS connection"):
		e.Message = "the server does not encrypt connections"
		e.advice = "Supabase's servers do, so check the host. For a database in a network of your own add ?sslmode=disable to the database URL, " + where + "."
	case errors.As(err, new(tls.RecordHeaderError)):
		e.Message = "the server does not speak PostgreSQL's protocol or TLS"
		e.advice = "Check the host and the port in the database URL."
	case errors.As(err, &number):
		e.Message = number.Error()
		e.unreached(config.Host, "Check the host and the port in the database URL, and that the project is not paused.")
	case pgconn.Timeout(err) || isTimeout(err):
		e.Message = fmt.Sprintf("no response within %s", config.ConnectTimeout)
		e.unreached(config.Host, "Check the host and the port in the database URL, firewalls, and the network restrictions in the project's settings.")
	default:
		e.Message = innermost(err)
		e.advice = "Check the host and the port in the database URL."
	}
	e.Message = presentable(e.Message, []string{config.Password})
	e.SQLState = text.Line(e.SQLState)
	return e
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

func untrusted(err error) bool {
	return errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.CertificateInvalidError)) || errors.As(err, new(*tls.CertificateVerificationError))
}

// permanent reports whether connecting again would fail in the same way.
func permanent(err error) bool {
	var dns *net.DNSError
	return untrusted(err) || errors.As(err, &dns) && dns.IsNotFound || strings.Contains(err.Error(), "server refused TLS connection")
}

// projectOfHost returns the reference of the project whose own database server a
// host is, or "".
func projectOfHost(host string) string {
	if match := directHost().FindStringSubmatch(host); match != nil {
		return strings.ToLower(match[1])
	}
	return ""
}

// unreached sets the advice for a host that cannot be reached.
func (e *Error) unreached(host, otherwise string) {
	project := projectOfHost(host)
	if project == "" {
		e.advice = otherwise
		return
	}
	e.cause = ErrDirectHost
	e.advice = "Without the IPv4 add-on this host has only an IPv6 address, which this machine may not be able to reach. Use the URL of the session pooler (dashboard, Connect, Session pooler), which has the form postgresql://postgres." + project + ":[YOUR-PASSWORD]@aws-0-<region>.pooler.supabase.com:5432/postgres. Or remove the database URL: SQL then goes through the Management API."
}

// tooMany reports whether a server or a pooler has no free connection.
func tooMany(refused *pgconn.PgError) bool {
	text := strings.ToLower(refused.Message)
	return refused.Code == "53300" || strings.Contains(text, "max clients") || strings.Contains(text, "maxclients") ||
		strings.Contains(text, "max client connections") || strings.Contains(text, "no more connections allowed")
}

// refusalAdvice says what to do if the server or the pooler refuses.
func refusalAdvice(config *pgconn.Config, refused *pgconn.PgError) string {
	text := strings.ToLower(refused.Message)
	switch {
	case refused.Code == "28P01", strings.Contains(text, "password authentication failed"), strings.Contains(text, "wrong password"):
		if config.Password == "" {
			return "The database URL has no password."
		}
		return "Check the password in the database URL. Characters like @ : / ? # % must be percent-encoded. You can reset the password in the dashboard, Database, Settings."
	case strings.Contains(text, "tenant or user not found"), strings.Contains(text, "tenant/user"), strings.Contains(text, "tenant identifier"):
		return "Copy the pooler's URL from the dashboard, Connect. Its user is postgres.<project ref> (on a self-hosted project postgres.<POOLER_TENANT_ID>), and its host depends on the project's region and cluster. The pooler does not find a paused project either."
	case strings.Contains(text, "session mode") && tooMany(refused):
		return "In session mode every client occupies a connection of the database. Close some, use the transaction pooler (the same URL with port 6543), or remove the database URL: SQL then goes through the Management API."
	case refused.Code == "3D000":
		return "On Supabase the database is called postgres: the path of the database URL must be /postgres."
	case tooMany(refused):
		return "All connections of the database are in use. Close some, or remove the database URL: SQL then goes through the Management API."
	case refused.Code == "28000" && strings.Contains(text, "no encryption"), strings.Contains(text, "ssl") && strings.Contains(text, "required"):
		return "Remove sslmode from the database URL, or write sslmode=require if the server cannot be verified."
	}
	return ""
}

// innermost returns the text of the last error in a chain, which says what
// happened without saying where.
func innermost(err error) string {
	for {
		switch wrapped := err.(type) { //nolint:errorlint // the chain is walked link by link
		case interface{ Unwrap() error }:
			if wrapped.Unwrap() == nil {
				return err.Error()
			}
			err = wrapped.Unwrap()
		case interface{ Unwrap() []error }:
			if len(wrapped.Unwrap()) == 0 {
				return err.Error()
			}
			err = wrapped.Unwrap()[0]
		default:
			return err.Error()
		}
	}
}
