package stack

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// netVersion is the version of pg_net that the stand-in behaves like.
const netVersion = "0.20.4"

// netRequest is a row of net.http_request_queue.
type netRequest struct {
	id      int64
	method  string
	url     string
	headers []string // "name: value"; NULL values are left out
	body    *string
	timeout int // milliseconds; 0 and less mean none
}

// netResponse is a row of net._http_response: either status and what belongs to
// it, or errorMsg.
type netResponse struct {
	status      *int
	contentType *string
	headers     map[string]string
	content     *string
	timedOut    bool
	errorMsg    *string
}

// netClient is a stand-in for the libcurl in pg_net's worker, with its behavior: the
// bytes of headers are sent unchanged, connections are reused, a request on a reused
// connection is sent again if that is closed without a response, redirects are
// followed, and errors have the texts of libcurl 7; libcurl 8 writes some of them
// differently. It leaves out HTTP/2, with which Supabase's gateway responds and which
// has header names in lower case, proxies, compression and user names in URLs.
type netClient struct {
	mu   sync.Mutex
	idle map[string][]*netConn
}

// netConn is a connection, kept for requests to the same scheme, host and port.
type netConn struct {
	net.Conn
	reader *bufio.Reader
	key    string
	since  time.Time // since when it is idle
	reused bool
	// broken says that a header ended the header block early, so that the rest
	// of that request was left on the connection as the next one's beginning.
	broken bool
}

const (
	netMaxIdle      = 32
	netMaxIdleAge   = 118 * time.Second // libcurl's
	netMaxRetries   = 5                 // libcurl's
	netMaxRedirects = 30                // libcurl's
)

// curlError is an error with libcurl's text.
type curlError string

func (e curlError) Error() string { return string(e) }

const (
	errNetScheme    curlError = "Unsupported protocol"
	errNetURL       curlError = "URL using bad/illegal format or missing URL"
	errNetResolve   curlError = "Couldn't resolve host name"
	errNetConnect   curlError = "Couldn't connect to server"
	errNetTLS       curlError = "SSL connect error"
	errNetPeer      curlError = "SSL peer certificate or SSH remote key was not OK"
	errNetNothing   curlError = "Server returned nothing (no headers, no data)"
	errNetSend      curlError = "Failed sending data to the peer"
	errNetReceive   curlError = "Failure when receiving data from the peer"
	errNetPartial   curlError = "Transferred a partial file"
	errNetReply     curlError = "Weird server reply"
	errNetRedirects curlError = "Number of redirects hit maximum amount"
)

// errNetClosedIdle is the error of a reused connection that was closed without a
// response.
var errNetClosedIdle = errors.New("kept connection closed without an answer")

// netTimings say how long the steps of a request took, for the message of a
// timeout. A step that has not ended is zero.
type netTimings struct {
	begin, resolved, connected time.Time
}

// do sends a request and returns the response to store, which may be a failure. It
// returns an error only if the context ended.
func (c *netClient) do(ctx context.Context, r netRequest) (netResponse, error) {
	inner := ctx
	if r.timeout > 0 {
		var cancel context.CancelFunc
		inner, cancel = context.WithTimeout(ctx, time.Duration(r.timeout)*time.Millisecond)
		defer cancel()
	}
	timings := &netTimings{begin: time.Now()}
	response, err := c.follow(inner, r, timings)
	switch {
	case err == nil:
		return response, nil
	case ctx.Err() != nil:
		return netResponse{}, ctx.Err()
	case inner.Err() != nil:
		message := timings.message(r.timeout, time.Now())
		return netResponse{timedOut: true, errorMsg: &message}, nil
	default:
		message := err.Error()
		return netResponse{errorMsg: &message}, nil
	}
}

// message returns the text of a timeout, which names the step that did not end.
func (t *netTimings) message(timeout int, end time.Time) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	var dns, handshake, exchange time.Duration
	switch {
	case t.resolved.IsZero():
		dns = end.Sub(t.begin)
	case t.connected.IsZero():
		dns, handshake = t.resolved.Sub(t.begin), end.Sub(t.resolved)
	default:
		dns, handshake, exchange = t.resolved.Sub(t.begin), t.connected.Sub(t.resolved), end.Sub(t.connected)
	}
	return fmt.Sprintf("Timeout of %d ms reached. Total time: %f ms (DNS time: %f ms, TCP/SSL handshake time: %f ms, HTTP Request/Response time: %f ms)",
		timeout, ms(end.Sub(t.begin)), ms(dns), ms(handshake), ms(exchange))
}

// follow sends the request and follows redirects. A POST becomes a GET without
// body unless it is told to stay one.
func (c *netClient) follow(ctx context.Context, r netRequest, timings *netTimings) (netResponse, error) {
	target, err := parseNetURL(r.url)
	if err != nil {
		return netResponse{}, err
	}
	// Of several responses pg_net stores the first one's headers and the last one's rest.
	var headers map[string]string
	for range netMaxRedirects + 1 {
		got, err := c.exchange(ctx, target, r, timings)
		if err != nil {
			return netResponse{}, err
		}
		if headers == nil {
			headers = got.names
		}
		location := got.header.Get("Location")
		if location == "" || got.status/100 != 3 {
			return got.stored(headers), nil
		}
		next, err := target.Parse(location)
		if err != nil {
			return netResponse{}, errNetURL
		}
		if next, err = parseNetURL(next.String()); err != nil {
			return netResponse{}, err
		}
		if connectionKey(next) != connectionKey(target) {
			r.headers = withoutCredentials(r.headers)
		}
		switch got.status {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
			if strings.EqualFold(r.method, http.MethodPost) {
				r.method, r.body = http.MethodGet, nil
			}
		}
		target = next
	}
	return netResponse{}, errNetRedirects
}

func parseNetURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return nil, errNetURL
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, errNetScheme
	}
	return u, nil
}

func connectionKey(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
}

func withoutCredentials(headers []string) []string {
	var kept []string
	for _, h := range headers {
		name, _, _ := strings.Cut(h, ":")
		if !strings.EqualFold(name, "Authorization") && !strings.EqualFold(name, "Cookie") {
			kept = append(kept, h)
		}
	}
	return kept
}

// netAnswer is a server's response.
type netAnswer struct {
	status  int
	header  http.Header
	names   map[string]string // the same with names as they were sent
	content string
	last    bool // the server closes the connection
}

// stored is what pg_net stores of a response: the body up to its first NUL byte, and
// nothing for an empty one.
func (a netAnswer) stored(headers map[string]string) netResponse {
	stored := netResponse{status: &a.status, headers: headers}
	if values := a.header["Content-Type"]; len(values) > 0 {
		contentType := storable(values[len(values)-1])
		stored.contentType = &contentType
	}
	if content, _, _ := strings.Cut(a.content, "\x00"); content != "" {
		content = storable(content)
		stored.content = &content
	}
	return stored
}

// storable makes s acceptable as PostgreSQL's text, whatever a server sent.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// exchange sends a request and reads the response, on a kept connection if there is
// one. If that turns out to be closed, it sends the request again, whatever the server
// may have done with it.
func (c *netClient) exchange(ctx context.Context, target *url.URL, r netRequest, timings *netTimings) (netAnswer, error) {
	for try := 0; ; try++ {
		conn, err := c.connection(ctx, target, timings)
		if err != nil {
			return netAnswer{}, err
		}
		got, err := conn.exchange(ctx, target, r)
		if err == nil {
			c.keep(conn, got.last)
			return got, nil
		}
		_ = conn.Close()
		if !errors.Is(err, errNetClosedIdle) {
			return netAnswer{}, err
		}
		if try == netMaxRetries {
			return netAnswer{}, errNetSend
		}
	}
}

// connection returns a kept connection, or a new one.
func (c *netClient) connection(ctx context.Context, target *url.URL, timings *netTimings) (*netConn, error) {
	key := connectionKey(target)
	for {
		conn := c.take(key)
		if conn == nil {
			break
		}
		if conn.closedByPeer() || time.Since(conn.since) > netMaxIdleAge {
			_ = conn.Close()
			continue
		}
		timings.resolved = timings.begin
		timings.connected = timings.begin
		conn.reused = true
		return conn, nil
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(key, target.Scheme+"://"))
	if err != nil {
		return nil, errNetURL
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, errNetResolve
	}
	timings.resolved = time.Now()
	var raw net.Conn
	for _, address := range addresses {
		if raw, err = (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(address, port)); err == nil {
			break
		}
	}
	if raw == nil {
		return nil, errNetConnect
	}
	if target.Scheme == "https" {
		secured := tls.Client(raw, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			var verification *tls.CertificateVerificationError
			var unknown x509.UnknownAuthorityError
			if errors.As(err, &verification) || errors.As(err, &unknown) {
				return nil, errNetPeer
			}
			return nil, errNetTLS
		}
		raw = secured
	}
	timings.connected = time.Now()
	return &netConn{Conn: raw, reader: bufio.NewReader(raw), key: key}, nil
}

// take removes and returns the connection that was kept last.
func (c *netClient) take(key string) *netConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := c.idle[key]
	if len(idle) == 0 {
		return nil
	}
	c.idle[key] = idle[:len(idle)-1]
	return idle[len(idle)-1]
}

// keep keeps a connection for the next request, if the server allows it.
func (c *netClient) keep(conn *netConn, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last || len(c.idle[conn.key]) >= netMaxIdle {
		_ = conn.Close()
		return
	}
	conn.since = time.Now()
	if c.idle == nil {
		c.idle = map[string][]*netConn{}
	}
	c.idle[conn.key] = append(c.idle[conn.key], conn)
}

// close closes the kept connections.
func (c *netClient) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conns := range c.idle {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	c.idle = nil
}

// closedByPeer reports, without reading, whether the other side has closed the
// connection.
func (n *netConn) closedByPeer() bool {
	conn := n.Conn
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Read(func(fd uintptr) bool {
		var buffer [1]byte
		read, _, err := syscall.Recvfrom(int(fd), buffer[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = read == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN)
		return true
	})
	return closed || err != nil
}

// exchange writes a request and reads its answer. It returns errNetClosedIdle if
// the connection was a kept one and nothing at all came back.
func (n *netConn) exchange(ctx context.Context, target *url.URL, r netRequest) (_ netAnswer, err error) {
	// A connection has deadlines, but no context.
	stop := context.AfterFunc(ctx, func() { _ = n.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
	}()

	if n.broken {
		// This is the response to the rest of the earlier request, which libcurl does
		// not accept as HTTP/1.1.
		return netAnswer{}, errNetScheme
	}
	message, early := requestBytes(target, r)
	n.broken = early
	if _, err := io.WriteString(n, message); err != nil {
		if n.reused && ctx.Err() == nil {
			return netAnswer{}, errNetClosedIdle
		}
		return netAnswer{}, errNetSend
	}
	start, readErr := n.reader.Peek(5)
	switch {
	case len(start) == 0 && n.reused && ctx.Err() == nil:
		return netAnswer{}, errNetClosedIdle
	case len(start) == 0 && errors.Is(readErr, io.EOF):
		return netAnswer{}, errNetNothing
	case readErr != nil:
		return netAnswer{}, errNetReceive
	case string(start) != "HTTP/":
		return netAnswer{}, errNetScheme
	}
	for {
		head, err := readHead(n.reader)
		if err != nil {
			return netAnswer{}, errNetReply
		}
		// What this reader reads ahead is part of the head, or of no response at all.
		whole := bufio.NewReader(io.MultiReader(strings.NewReader(head), n.reader))
		resp, err := http.ReadResponse(whole, &http.Request{Method: strings.ToUpper(r.method)})
		if err != nil {
			return netAnswer{}, errNetReply
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		content, err := io.ReadAll(resp.Body)
		if errors.Join(err, resp.Body.Close()) != nil {
			return netAnswer{}, errNetPartial
		}
		return netAnswer{resp.StatusCode, resp.Header, headerNames(head), string(content), resp.Close || whole.Buffered() > 0}, nil
	}
}

// readHead reads a status line and headers, to the empty line.
func readHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		head.WriteString(line)
		if strings.TrimRight(line, "\r\n") == "" {
			return head.String(), nil
		}
	}
}

// headerNames returns the headers of a response with their names as they were sent. Of
// several with one name it has the last.
func headerNames(head string) map[string]string {
	headers := map[string]string{}
	for line := range strings.Lines(head) {
		if name, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "HTTP/") {
			headers[name] = storable(strings.TrimSpace(value))
		}
	}
	return headers
}

// requestBytes returns a request as libcurl writes it for pg_net. It does not check
// headers: a line break ends a header, and an empty line ends the header block early,
// which the second result reports.
func requestBytes(target *url.URL, r netRequest) (message string, early bool) {
	headers := make([]string, 0, len(r.headers)+5)
	given := map[string]bool{}
	for _, h := range r.headers {
		name, value, _ := strings.Cut(h, ":")
		given[strings.ToLower(name)] = true
		// Without a value, it would only remove what libcurl sends by itself.
		if strings.Trim(value, " \t") != "" {
			headers = append(headers, h)
		}
	}
	headers = append(headers, "User-Agent: pg_net/"+netVersion)
	body := ""
	if r.body != nil {
		body, _, _ = strings.Cut(*r.body, "\x00")
	}
	if r.body != nil || strings.EqualFold(r.method, http.MethodPost) {
		if !given["content-length"] {
			headers = append(headers, "Content-Length: "+strconv.Itoa(len(body)))
		}
		if r.body != nil && !given["content-type"] {
			headers = append(headers, "Content-Type: application/x-www-form-urlencoded")
		}
	}
	if !given["accept"] {
		headers = append([]string{"Accept: */*"}, headers...)
	}
	if !given["host"] {
		headers = append([]string{"Host: " + target.Host}, headers...)
	}
	head := strings.ToUpper(r.method) + " " + target.RequestURI() + " HTTP/1.1\r\n" + strings.Join(headers, "\r\n") + "\r\n"
	lenient := strings.ReplaceAll(head, "\r\n", "\n")
	return head + "\r\n" + body, strings.Contains(lenient, "\n\n")
}
