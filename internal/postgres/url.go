package postgres

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	applicationName = "terraform-provider-aimindset"
	connectTimeout  = 15 * time.Second
	// cancelPatience is how long a statement may take to notice that it was
	// cancelled.
	cancelPatience = 2 * time.Second
	// largestMessage bounds in bytes what the server can make this program
	// hold at once.
	largestMessage = 64 << 20
)

// sslModes are PostgreSQL's.
var sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// foreignParameters stand in connection strings that are meant for other
// clients and mean nothing here.
var foreignParameters = []string{
	"pgbouncer", "connection_limit", "pool_timeout", "pool_mode", "statement_cache_mode", "prepared_statements", "schema", "supa",
}

// parseURL makes a connection string a configuration. Nothing in the
// environment or in the home directory has a part in it. Its errors quote
// nothing of the string, which is too easily cut in the wrong place when it is
// malformed.
func parseURL(text string) (*pgconn.Config, error) {
	const form = "postgresql://user:password@host:port/database"
	if strings.Contains(text, "[YOUR-PASSWORD]") {
		return nil, errors.New("the database URL still has [YOUR-PASSWORD] in the place of the password")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the database URL cannot be read; it has to be like %s, and characters of the password like @ : / ? # %% [ ] and spaces have to be percent-encoded (@ is %%40)", form)
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return nil, fmt.Errorf("the database URL has to be like %s", form)
	case u.Hostname() == "" || u.User.Username() == "":
		return nil, fmt.Errorf("the database URL has to name a host and a user, like %s; characters of the password like / ? # have to be percent-encoded", form)
	case strings.Contains(u.Host, ","):
		return nil, errors.New("the database URL has to name one host")
	case u.Fragment != "":
		return nil, errors.New("the database URL has a #, which is written %23")
	}
	port := u.Port()
	if port == "" {
		port = "5432"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errors.New("the port in the database URL has to be between 1 and 65535")
	}
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("what follows the ? in the database URL cannot be read")
	}
	// What is set here is not looked for in the environment or at home.
	set := url.Values{
		"sslmode": {"require"}, "sslrootcert": {""}, "sslcert": {""}, "sslkey": {""}, "sslpassword": {""},
		"sslnegotiation": {"postgres"}, "sslsni": {"1"}, "passfile": {""}, "target_session_attrs": {"any"},
		"channel_binding": {"prefer"}, "require_auth": {""}, "connect_timeout": {strconv.Itoa(int(connectTimeout.Seconds()))},
		"min_protocol_version": {"3.0"}, "max_protocol_version": {"3.0"},
	}
	if loopback(u.Hostname()) {
		set.Set("sslmode", "prefer")
	}
	runtime := map[string]string{"application_name": applicationName}
	for name, values := range given {
		value := values[len(values)-1]
		switch {
		case slices.Contains(foreignParameters, name):
		case name == "options", name == "application_name":
			runtime[name] = value
		case name == "sslmode" && !slices.Contains(sslModes, value):
			return nil, errors.New("sslmode in the database URL has to be one of " + strings.Join(sslModes, ", "))
		case name == "connect_timeout":
			if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 600 {
				return nil, errors.New("connect_timeout in the database URL has to be a number of seconds between 1 and 600")
			}
			set.Set(name, value)
		case slices.Contains([]string{"sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "channel_binding", "target_session_attrs"}, name):
			set.Set(name, value)
		default:
			return nil, fmt.Errorf("the database URL has the parameter %s, which is not known here", presentable(strconv.Quote(name), nil))
		}
	}
	password, _ := u.User.Password()
	clean := url.URL{Scheme: "postgres", User: url.User(u.User.Username()), Host: net.JoinHostPort(u.Hostname(), port), Path: u.Path, RawQuery: set.Encode()}
	if strings.Trim(clean.Path, "/") == "" {
		clean.Path = "/postgres"
	}
	config, err := pgconn.ParseConfig(clean.String())
	if err != nil {
		if strings.Contains(err.Error(), "unable to add CA") {
			return nil, fmt.Errorf("the database URL cannot be used: the file %s, which sslrootcert names, holds no certificate in PEM", presentable(strconv.Quote(set.Get("sslrootcert")), nil))
		}
		// The password is not in that string. What can be wrong are files.
		reason := err
		if inner := errors.Unwrap(err); inner != nil {
			reason = inner
		}
		return nil, fmt.Errorf("the database URL cannot be used: %s", presentable(reason.Error(), []string{given.Get("sslpassword")}))
	}
	config.Password = password
	config.RuntimeParams = runtime
	config.DialFunc = (&net.Dialer{}).DialContext
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		frontend := pgproto3.NewFrontend(r, w)
		frontend.SetMaxBodyLen(largestMessage)
		return frontend
	}
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelPatience}
	}
	return config, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
