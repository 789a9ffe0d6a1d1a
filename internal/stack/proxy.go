package stack

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
)

// ProxyFault is what a DatabaseProxy does with a request.
type ProxyFault int

// What a DatabaseProxy can do with a request.
const (
	// ProxyPass passes the request and its response on.
	ProxyPass ProxyFault = iota
	// ProxyCutBefore ends the connection without passing the request on.
	ProxyCutBefore
	// ProxyCutAfter passes the request on and ends the connection instead of
	// passing on the response.
	ProxyCutAfter
	// ProxyCutLast passes on the response without its last message, which says that
	// the server is ready for the next request.
	ProxyCutLast
	// ProxySilence neither passes the request on nor responds.
	ProxySilence
)

// DatabaseProxy is a proxy between a client and a database. It records what is sent, and
// fails on demand. A request is everything that a client sends until it waits for a
// response.
type DatabaseProxy struct {
	// URL is the database's, with the proxy as its host.
	URL string

	listener  net.Listener
	intercept atomic.Pointer[func(port int) ProxyFault]

	mu sync.Mutex
	// closed is signalled when a connection is.
	closed      *sync.Cond
	next        ProxyFault
	connections int
	open        int
	// messages are the types of the messages sent, in order; names the names
	// of the prepared statements and portals among them.
	messages []byte
	names    []string
	group    sync.WaitGroup
	conns    []net.Conn
}

// NewDatabaseProxy returns a proxy on a free loopback port for the database at a URL,
// without TLS.
func NewDatabaseProxy(databaseURL string) (*DatabaseProxy, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	target := u.Host
	u.Host = listener.Addr().String()
	p := &DatabaseProxy{URL: u.String(), listener: listener}
	p.closed = sync.NewCond(&p.mu)
	p.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.connections++
			p.open++
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			p.group.Go(func() { p.serve(client, server) })
		}
	})
	return p, nil
}

// Close ends all connections.
func (p *DatabaseProxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.group.Wait()
}

// Fail makes the next request fail.
func (p *DatabaseProxy) Fail(f ProxyFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = f
}

// Intercept makes each request wait for decide, which determines its fault. port is the
// connection's source port as seen by the database. nil removes decide.
func (p *DatabaseProxy) Intercept(decide func(port int) ProxyFault) {
	if decide == nil {
		p.intercept.Store(nil)
		return
	}
	p.intercept.Store(&decide)
}

// Counts returns the connections made and those open now.
func (p *DatabaseProxy) Counts() (made, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections, p.open
}

// idle waits until no connection is open.
func (p *DatabaseProxy) idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.open > 0 {
		p.closed.Wait()
	}
}

// Sent returns the types of the messages since the last call, and the names in
// them.
func (p *DatabaseProxy) Sent() (string, []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	messages, names := string(p.messages), p.names
	p.messages, p.names = nil, nil
	return messages, names
}

func (p *DatabaseProxy) serve(client, server net.Conn) {
	// muted is closed when no response may reach the client any more.
	muted := make(chan struct{})
	answered := make(chan struct{})
	var shorten atomic.Bool
	p.group.Go(func() {
		defer close(answered)
		buffer := make([]byte, 1<<16)
		for {
			n, err := server.Read(buffer)
			select {
			case <-muted:
				// The server has carried out the request.
				return
			default:
			}
			if whole, ok := bytes.CutSuffix(buffer[:n], []byte{'Z', 0, 0, 0, 5, 'I'}); ok && len(whole) > 0 && shorten.Load() {
				_, _ = client.Write(whole)
				_ = client.Close()
				return
			}
			if n > 0 {
				_, _ = client.Write(buffer[:n])
			}
			if err != nil {
				_ = client.Close()
				return
			}
		}
	})
	defer func() {
		_ = client.Close()
		_ = server.Close()
		<-answered
		p.mu.Lock()
		p.open--
		p.closed.Broadcast()
		p.mu.Unlock()
	}()

	var request []byte
	startup := true
	for {
		header := make([]byte, 5)
		if startup {
			header = header[:4]
		}
		if _, err := io.ReadFull(client, header); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[len(header)-4:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		request = append(append(request, header...), body...)
		if startup {
			startup = false
			_, _ = server.Write(request)
			request = nil
			continue
		}
		kind := header[0]
		whole := kind == 'S' || kind == 'Q'
		if !whole && kind != 'p' && kind != 'X' {
			p.note(kind, body)
			continue
		}
		doing := p.note(kind, body)
		if decide := p.intercept.Load(); decide != nil && whole && doing == ProxyPass {
			doing = (*decide)(server.LocalAddr().(*net.TCPAddr).Port)
		}
		switch doing {
		case ProxyPass:
		case ProxyCutBefore:
			return
		case ProxyCutAfter:
			close(muted)
			_, _ = server.Write(request)
			<-answered
			return
		case ProxyCutLast:
			shorten.Store(true)
		case ProxySilence:
			_, _ = io.Copy(io.Discard, client)
			return
		}
		if _, err := server.Write(request); err != nil {
			return
		}
		request = nil
	}
}

// note records what was sent and returns the fault for it.
func (p *DatabaseProxy) note(kind byte, body []byte) ProxyFault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kind != 'p' && kind != 'X' { // Neither password nor farewell.
		p.messages = append(p.messages, kind)
	}
	if kind == 'P' || kind == 'B' {
		p.names = append(p.names, string(body[:slices.Index(body, 0)]))
	}
	if kind != 'S' && kind != 'Q' {
		return ProxyPass
	}
	doing := p.next
	p.next = ProxyPass
	return doing
}
