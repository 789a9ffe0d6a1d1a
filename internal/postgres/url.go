package postgres

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	connectTimeout = 15 * time.Second
	// cancelPatience is how long a statement may take to react to its
	// cancellation.
	cancelPatience = 2 * time.Second
	// largestMessage limits, in bytes, what one message of the server may take
	// in memory.
	largestMessage = 64 << 20
)

// sslModes are PostgreSQL's.
var sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// tlsParameters are passed on to pgconn as they are, and authentication is the
// one that says by which methods the password may be given.
var tlsParameters = []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "channel_binding", "target_session_attrs", authentication}

const authentication = "require_auth"

// knownParameters are other parameters of libpq that people write. Only such
// names are quoted in errors: an unknown one could be a part of the password.
var knownParameters = []string{
	"dbname", "gssencmode", "host", "hostaddr", "keepalives", "passfile", "password", "port", "requiressl", "service",
	"ssl", "sslcertmode", "sslcrl", "sslnegotiation", "sslsni", "tcp_user_timeout", "user",
}

// foreignParameters occur in connection strings written for other clients. They
// are ignored.
var foreignParameters = []string{
	"pgbouncer", "connection_limit", "pool_timeout", "pool_mode", "statement_cache_mode", "prepared_statements", "schema", "supa",
}

// A URL is the parsed connection URL of a database.
type URL struct{ config *pgconn.Config }

// ParseURL parses a URL of the form
// postgresql://user:password@host:port/database. Port and database default to
// 5432 and postgres. Of the parameters of libpq it accepts those about TLS,
// require_auth, connect_timeout, target_session_attrs, options and
// application_name, and it ignores those that are meant for connection pools of
// other programs.
//
// sslmode defaults to verify-full, or to prefer if the host is a loopback
// address; without sslrootcert, the system's certificates count, and for
// Supabase's hosts Supabase's root. require_auth defaults to scram-sha-256, by
// which a server does not learn the password.
//
// The errors quote no part of the URL that could be the password, however
// malformed the URL is.
func ParseURL(s string) (URL, error) {
	config, err := parseURL(s)
	return URL{config}, err
}

// Project returns the reference of the Supabase project whose database this
// says it is: the one in the host name of a direct connection, in the user name of a
// connection through the pooler, whatever the role, or in the pooler's option
// reference. It is empty if none has one. An address and a tunnel need not have one,
// and through a tunnel nothing shows that the user name is right.
func (u URL) Project() string {
	if ref := projectOfHost(u.config.Host); ref != "" {
		return ref
	}
	// In each text, a reference of 20 lower-case letters. The suffix -rr-… is that of a
	// read replica.
	for _, place := range []struct{ text, pattern string }{
		{u.config.User, `\.([a-z]{20})(?:-rr-[a-z0-9-]+)?$`},
		{u.config.RuntimeParams["options"], `\breference=([a-z]{20})\b`},
	} {
		if match := regexp.MustCompile(place.pattern).FindStringSubmatch(place.text); match != nil {
			return match[1]
		}
	}
	return ""
}

// Host returns the host and the port.
func (u URL) Host() string { return net.JoinHostPort(u.config.Host, fmt.Sprint(u.config.Port)) }

// OnPlatform reports whether the host is one of Supabase's platform.
func (u URL) OnPlatform() bool { return isSupabase(u.config.Host) }

// parseURL ignores the environment and the home directory, unlike libpq.
func parseURL(s string) (*pgconn.Config, error) { return parse(s, supabaseRoot) }

// parse parses a URL. root is Supabase's root certificate in PEM.
func parse(s string, root []byte) (*pgconn.Config, error) {
	const form = "postgresql://user:password@host:port/database"
	if strings.Contains(s, "[YOUR-PASSWORD]") {
		return nil, errors.New("the database URL still has [YOUR-PASSWORD] in place of the password; write the database's password there, with characters like @ : / ? # % [ ] and spaces percent-encoded (@ is %40)")
	}
	if atAfterHost(s) {
		// What is before the / ? or # would count as the host, and be shown.
		return nil, fmt.Errorf("the database URL has an @ after a / ? or #; it must have the form %s, and in the password characters like @ : / ? # %% must be percent-encoded (@ is %%40, / is %%2F, ? is %%3F, # is %%23)", form)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the database URL cannot be parsed; it must have the form %s, and in the password characters like @ : / ? # %% [ ] and spaces must be percent-encoded (@ is %%40)", form)
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return nil, fmt.Errorf("the database URL must have the form %s", form)
	case u.Hostname() == "" || u.User.Username() == "":
		return nil, fmt.Errorf("the database URL must name a host and a user and have the form %s; in the password characters like / ? # must be percent-encoded", form)
	case strings.Contains(u.Host, ","):
		return nil, errors.New("the database URL must name exactly one host")
	case u.Fragment != "":
		return nil, errors.New("the database URL contains a #; in a password write %23")
	}
	port := u.Port()
	if port == "" {
		port = "5432"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errors.New("the port in the database URL must be between 1 and 65535")
	}
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("the parameters after the ? in the database URL cannot be parsed")
	}
	// pgconn does not look for these in the environment or in the home directory.
	set := url.Values{
		"sslmode": {"verify-full"}, "sslrootcert": {""}, "sslcert": {""}, "sslkey": {""}, "sslpassword": {""},
		"sslnegotiation": {"postgres"}, "sslsni": {"1"}, "passfile": {""}, "target_session_attrs": {"any"},
		"channel_binding": {"prefer"}, authentication: {"scram-sha-256"}, "connect_timeout": {strconv.Itoa(int(connectTimeout.Seconds()))},
		"min_protocol_version": {"3.0"}, "max_protocol_version": {"3.0"},
	}
	if loopback(u.Hostname()) {
		set.Set("sslmode", "prefer")
	}
	runtime := map[string]string{"application_name": "terraform-provider-aimindset"}
	for name, values := range given {
		value := values[len(values)-1]
		switch {
		case slices.Contains(foreignParameters, name):
		case name == "options", name == "application_name":
			runtime[name] = value
		case name == "sslmode" && !slices.Contains(sslModes, value):
			return nil, errors.New("sslmode in the database URL must be one of " + strings.Join(sslModes, ", "))
		case name == "connect_timeout":
			if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 600 {
				return nil, errors.New("connect_timeout in the database URL must be between 1 and 600 seconds")
			}
			set.Set(name, value)
		case slices.Contains(tlsParameters, name):
			set.Set(name, value)
		case slices.Contains(knownParameters, name):
			return nil, fmt.Errorf("the database URL has the parameter %q, which is not supported; remove it", name)
		default:
			return nil, fmt.Errorf("the database URL has a parameter after the ? that is not supported. Supported are %s, connect_timeout, options and application_name. A ? or & in the password must be percent-encoded (? is %%3F, & is %%26)", strings.Join(tlsParameters, ", "))
		}
	}
	password, _ := u.User.Password()
	clean := url.URL{Scheme: "postgres", User: url.User(u.User.Username()), Host: net.JoinHostPort(u.Hostname(), port), Path: u.Path, RawQuery: set.Encode()}
	if strings.Trim(clean.Path, "/") == "" {
		clean.Path = "/postgres"
	}
	config, err := pgconn.ParseConfig(clean.String())
	if err != nil {
		for name, values := range map[string]string{
			authentication:    "none, password, md5, scram-sha-256 (several are separated by commas)",
			"channel_binding": "disable, prefer, require",
		} {
			if strings.Contains(err.Error(), "invalid "+name) || strings.Contains(err.Error(), "unknown "+name) {
				return nil, fmt.Errorf("%s in the database URL must be one of %s", name, values)
			}
		}
		if strings.Contains(err.Error(), "unable to add CA") {
			return nil, fmt.Errorf("the database URL cannot be used: the file %s of sslrootcert contains no PEM certificate", presentable(strconv.Quote(set.Get("sslrootcert")), nil))
		}
		// The password is not in this string. The errors are about files.
		reason := err
		if inner := errors.Unwrap(err); inner != nil {
			reason = inner
		}
		return nil, fmt.Errorf("the database URL cannot be used: %s", presentable(reason.Error(), []string{given.Get("sslpassword")}))
	}
	if mode := set.Get("sslmode"); strings.HasPrefix(mode, "verify-") && set.Get("sslrootcert") == "" {
		if config.TLSConfig.RootCAs, err = verifyBy(root, config.Host, mode); err != nil {
			return nil, err
		}
	}
	config.Password = password
	config.RuntimeParams = runtime
	config.DialFunc = (&net.Dialer{}).DialContext
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		frontend := pgproto3.NewFrontend(&parameterLimit{from: r}, w)
		frontend.SetMaxBodyLen(largestMessage)
		return frontend
	}
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &canceler{conn: c}
	}
	return config, nil
}

// atAfterHost reports whether an @ follows the part of a URL in which the password
// is. Then that part probably ended within the password.
func atAfterHost(s string) bool {
	_, rest, _ := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?#")
	return end >= 0 && strings.Contains(rest[end:], "@")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
