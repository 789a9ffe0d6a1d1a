package postgres

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// A fault is what a proxy does with the next request.
type fault int

const (
	none fault = iota
	// cutBefore ends the connection without passing the request on.
	cutBefore
	// cutAfter passes the request on and ends the connection in the place of
	// the answer.
	cutAfter
	// cutLast passes all of the answer on but its last message, which says that
	// the server is ready for the next request.
	cutLast
	// silence neither passes the request on nor answers.
	silence
)

// A proxy stands between a DB and the database. It notes what is sent, and
// fails as it is told.
type proxy struct {
	url      string
	listener net.Listener

	mu          sync.Mutex
	next        fault
	connections int
	open        int
	// messages are the types of the messages sent, in order; names the names
	// of the prepared statements and portals among them.
	messages []byte
	names    []string
	group    sync.WaitGroup
	conns    []net.Conn
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(project.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	u.Host = listener.Addr().String()
	p := &proxy{url: u.String(), listener: listener}
	p.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
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
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.group.Wait()
	})
	return p
}

// fail has the next request fail.
func (p *proxy) fail(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = f
}

// counts gives the connections made and those open now.
func (p *proxy) counts() (made, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections, p.open
}

// sent gives the types of the messages since the last call, and the names in
// them.
func (p *proxy) sent() (string, []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	messages, names := string(p.messages), p.names
	p.messages, p.names = nil, nil
	return messages, names
}

func (p *proxy) serve(client, server net.Conn) {
	// muted is closed when no answer may reach the client any more.
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
				// The server has done what it was asked.
				return
			default:
			}
			const ready = 6 // Bytes of the last message.
			if n > ready && buffer[n-ready] == 'Z' && shorten.Load() {
				_, _ = client.Write(buffer[:n-ready])
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
		p.mu.Lock()
		kind := header[0]
		if kind != 'p' && kind != 'X' { // Neither password nor farewell.
			p.messages = append(p.messages, kind)
		}
		if kind == 'P' || kind == 'B' {
			p.names = append(p.names, string(body[:slices.Index(body, 0)]))
		}
		whole := kind == 'S' || kind == 'Q'
		doing := none
		if whole {
			doing, p.next = p.next, none
		}
		p.mu.Unlock()
		if !whole && kind != 'p' && kind != 'X' {
			continue
		}
		switch doing {
		case none:
		case cutBefore:
			return
		case cutAfter:
			close(muted)
			_, _ = server.Write(request)
			<-answered
			return
		case cutLast:
			shorten.Store(true)
		case silence:
			_, _ = io.Copy(io.Discard, client)
			return
		}
		if _, err := server.Write(request); err != nil {
			return
		}
		request = nil
	}
}
