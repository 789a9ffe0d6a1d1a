package stack

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// S3Request is a request of a client to an S3 server, as its proxy saw it.
type S3Request struct {
	Method, Bucket, Key string
	// Query has the parameters of the URL, Header the headers without the signature.
	Query  url.Values
	Header http.Header
	// AccessKeyID is the account that signed the request.
	AccessKeyID string
	// Fault is the name of the fault that the request met, or empty.
	Fault string
	// Status is what the client got, and ServerStatus what the server said: 0 if there
	// was no response.
	Status, ServerStatus int
}

func (r S3Request) String() string {
	return fmt.Sprintf("%s %s/%s %s %d", r.Method, r.Bucket, r.Key, r.Query.Encode(), r.Status)
}

// S3Match chooses requests. Its zero value is the first request.
type S3Match struct {
	// Method is the method; empty means any.
	Method string
	// Key is a regular expression for the object's key. A request for a bucket has the
	// key "". Empty means any.
	Key string
	// Query is a parameter that the URL has, such as "retention" or "object-lock"; empty
	// means any or none.
	Query string
	// Nth is the first request that is chosen, among those that match since Break, from
	// 1; 0 means 1.
	Nth int
	// Times is how many are chosen from there; 0 means 1, a negative number all.
	Times int
}

// S3Fault is what happens to a request. Handle responds in place of the server, which it
// may call as next.
type S3Fault struct {
	Name   string
	Handle func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// S3Trap is a fault and the requests to which it happens.
type S3Trap struct {
	match S3Match
	key   *regexp.Regexp
	fault S3Fault
	proxy *s3Proxy
	seen  int
	met   int
}

// Met returns how many requests have met the fault so far.
func (t *S3Trap) Met() int {
	t.proxy.mu.Lock()
	defer t.proxy.mu.Unlock()
	return t.met
}

// chooses counts a request, and reports whether the fault happens to it.
func (t *S3Trap) chooses(r *S3Request) bool {
	if t.match.Method != "" && t.match.Method != r.Method || t.match.Key != "" && !t.key.MatchString(r.Key) || t.match.Query != "" && !r.Query.Has(t.match.Query) {
		return false
	}
	t.seen++
	first, times := max(t.match.Nth, 1), t.match.Times
	if times == 0 {
		times = 1
	}
	if t.seen < first || times > 0 && t.seen >= first+times {
		return false
	}
	t.met++
	return true
}

// Break makes a fault happen to the requests of clients that match from now on. Of
// several faults for one request, the first one happens. It panics if Key is not a valid
// regular expression.
func (s *S3) Break(match S3Match, fault S3Fault) *S3Trap {
	trap := &S3Trap{match: match, key: regexp.MustCompile(match.Key), fault: fault, proxy: s.proxy}
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	s.proxy.traps = append(s.proxy.traps, trap)
	return trap
}

// Repair removes all faults, and ends the requests that hang.
func (s *S3) Repair() { s.proxy.release() }

// Reset is Repair, and forgets the requests and the texts to watch for.
func (s *S3) Reset() {
	s.proxy.release()
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	s.proxy.requests, s.proxy.watched, s.proxy.leaks = nil, nil, nil
}

// Requests returns the requests of clients since the start or Reset, in the order in
// which they arrived. Those of this type's own methods are not among them.
func (s *S3) Requests() []S3Request {
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	requests := make([]S3Request, len(s.proxy.requests))
	for i, r := range s.proxy.requests {
		requests[i] = *r
	}
	return requests
}

// Watch makes the proxy look for texts in the URL, the headers and the body of each
// request and each response.
func (s *S3) Watch(texts ...string) {
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	s.proxy.watched = append(s.proxy.watched, texts...)
}

// Leaks returns where the watched texts were, without the texts.
func (s *S3) Leaks() []string {
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	return slices.Clone(s.proxy.leaks)
}

// s3Proxy is between clients and an S3 server.
type s3Proxy struct {
	server  *S3
	reverse *httputil.ReverseProxy

	mu       sync.Mutex
	traps    []*S3Trap
	requests []*S3Request
	watched  []string
	leaks    []string
	released chan struct{} // closed when requests that hang are to end
}

func newS3Proxy(server *S3) *s3Proxy {
	return &s3Proxy{server: server, reverse: server.reverse(), released: make(chan struct{})}
}

// release removes the faults and ends the requests that hang.
func (p *s3Proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traps = nil
	close(p.released)
	p.released = make(chan struct{})
}

// credential is the part of a signature that names the account.
var credential = regexp.MustCompile(`Credential=([^/,]+)/`)

// arrive records a request, and returns its fault, if it meets one.
func (p *s3Proxy) arrive(r *http.Request) (record *S3Request, fault *S3Fault, watched []string) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	record = &S3Request{Method: r.Method, Bucket: bucket, Key: key, Query: r.URL.Query(), Header: r.Header.Clone()}
	if found := credential.FindStringSubmatch(r.Header.Get("Authorization")); found != nil {
		record.AccessKeyID = found[1]
	}
	record.Header.Del("Authorization")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, record)
	for _, trap := range p.traps {
		// Each one counts the request.
		if trap.chooses(record) && fault == nil {
			fault, record.Fault = &trap.fault, trap.fault.Name
		}
	}
	return record, fault, slices.Clone(p.watched)
}

// ServeHTTP implements http.Handler.
func (p *s3Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	record, fault, watched := p.arrive(r)
	where := func(part string) func() {
		return func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.leaks = append(p.leaks, fmt.Sprintf("%s of %s %s", part, r.Method, r.URL.Path))
		}
	}
	p.mu.Lock()
	released := p.released
	p.mu.Unlock()
	if len(watched) > 0 {
		_, _ = newWatcher(watched, where("URL")).Write([]byte(r.URL.String() + "\n" + r.URL.Path))
		for name, values := range r.Header {
			_, _ = newWatcher(watched, where("header "+name)).Write([]byte(strings.Join(values, "\n")))
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, newWatcher(watched, where("body"))), r.Body}
	}
	r = r.WithContext(context.WithValue(r.Context(), releasedKey{}, released))
	client := &s3Writer{ResponseWriter: w, set: func(status int) { p.note(&record.Status, status) }}
	if len(watched) > 0 {
		client.also = newWatcher(watched, where("response"))
	}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.reverse.ServeHTTP(&s3Writer{ResponseWriter: w, set: func(status int) { p.note(&record.ServerStatus, status) }}, r)
	})
	if fault == nil {
		next.ServeHTTP(client, r)
		return
	}
	fault.Handle(client, r, next)
}

// note sets a part of a record.
func (p *s3Proxy) note(status *int, to int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*status = to
}

// s3Writer reports the status of a response, and writes its body elsewhere, too.
type s3Writer struct {
	http.ResponseWriter
	set  func(int)
	also io.Writer
	done bool
}

// WriteHeader implements http.ResponseWriter.
func (w *s3Writer) WriteHeader(status int) {
	if !w.done && status >= http.StatusOK {
		w.done = true
		w.set(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *s3Writer) Write(b []byte) (int, error) {
	if !w.done {
		w.WriteHeader(http.StatusOK)
	}
	if w.also != nil {
		_, _ = w.also.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *s3Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// watcher calls found once if one of the texts is in what is written to it.
type watcher struct {
	texts []string
	tail  []byte
	keep  int
	found func()
}

func newWatcher(texts []string, found func()) *watcher {
	w := &watcher{texts: texts, found: found}
	for _, text := range texts {
		w.keep = max(w.keep, len(text)-1)
	}
	return w
}

// Write implements io.Writer.
func (w *watcher) Write(p []byte) (int, error) {
	if w.found == nil {
		return len(p), nil
	}
	whole := slices.Concat(w.tail, p)
	for _, text := range w.texts {
		if bytes.Contains(whole, []byte(text)) {
			w.found()
			w.found = nil
			return len(p), nil
		}
	}
	w.tail = bytes.Clone(whole[max(0, len(whole)-w.keep):])
	return len(p), nil
}

// releasedKey is the context's key for the channel that ends requests that hang.
type releasedKey struct{}

// hang waits until the client has gone or the fault is removed, and then ends the
// connection.
func hang(w http.ResponseWriter, r *http.Request) {
	released, _ := r.Context().Value(releasedKey{}).(chan struct{})
	select {
	case <-r.Context().Done():
	case <-released:
	}
	cut(w)
}

// cut resets the client's connection.
func cut(w http.ResponseWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = buffered.Flush()
		reset(conn)
	}
	panic(http.ErrAbortHandler)
}

// reset ends a connection without the usual farewell.
func reset(conn net.Conn) {
	plain := conn
	if encrypted, ok := conn.(*tls.Conn); ok {
		plain = encrypted.NetConn()
	}
	if tcp, ok := plain.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = plain.Close()
}

// S3Error responds with a status and an error code of S3, without the server.
func S3Error(status int, code string) S3Fault {
	return S3Fault{fmt.Sprintf("%d %s", status, code), func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		writeS3Error(w, r, status, code)
	}}
}

func writeS3Error(w http.ResponseWriter, r *http.Request, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	text, _ := xml.Marshal(struct {
		XMLName                 xml.Name `xml:"Error"`
		Code, Message, Resource string
		RequestID               string `xml:"RequestId"`
	}{Code: code, Message: "The local stack made this request fail.", Resource: r.URL.Path, RequestID: "STACK"})
	_, _ = w.Write(append([]byte(xml.Header), text...))
}

// S3SlowDown responds with 503 SlowDown and the seconds after which to try again.
func S3SlowDown(retryAfter time.Duration) S3Fault {
	fault := S3Error(http.StatusServiceUnavailable, "SlowDown")
	handle := fault.Handle
	fault.Handle = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.Header().Set("Retry-After", fmt.Sprint(int(retryAfter/time.Second)))
		handle(w, r, next)
	}
	return fault
}

// S3Redirect responds with 301 PermanentRedirect to an endpoint, as for a bucket of
// another region.
func S3Redirect(endpoint, region string) S3Fault {
	return S3Fault{"redirect to " + region, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", endpoint+r.URL.RequestURI())
		w.Header().Set("X-Amz-Bucket-Region", region)
		writeS3Error(w, r, http.StatusMovedPermanently, "PermanentRedirect")
	}}
}

// S3HTML responds with a status and a page, as the proxy of a hotel or a company does.
func S3HTML(status int) S3Fault {
	return S3Fault{fmt.Sprintf("%d HTML", status), func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><head><title>Log in to the network</title></head><body><h1>Log in</h1></body></html>")
	}}
}

// S3CutBefore resets the connection before the server gets the request.
func S3CutBefore() S3Fault {
	return S3Fault{"cut before", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { cut(w) }}
}

// S3CutAfter resets the connection in place of the response, after the server has done
// everything.
func S3CutAfter() S3Fault {
	return S3Fault{"cut after", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		carryOut(r, next)
		cut(w)
	}}
}

// carryOut lets the server do everything, even if the client goes, and returns its
// response.
func carryOut(r *http.Request, next http.Handler) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r = r.WithContext(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(body))
	next.ServeHTTP(response, r)
	return response
}

// S3HalfRequest resets the connection after half of the request's body. The server does
// not get it.
func S3HalfRequest() S3Fault {
	return S3Fault{"half a request", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		cut(w)
	}}
}

// S3HalfResponse resets the connection after half of the response's body or, if it has
// none, in the middle of its headers.
func S3HalfResponse() S3Fault {
	return S3Fault{"half a response", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		writeHalf(w, carryOut(r, next))
		cut(w)
	}}
}

// writeHalf writes half of a response.
func writeHalf(w http.ResponseWriter, response *httptest.ResponseRecorder) {
	body := response.Body.Bytes()
	if len(body) == 0 {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nDate: ")
			reset(conn)
		}
		panic(http.ErrAbortHandler)
	}
	writeResponse(w, response, body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
}

// writeResponse writes a response with another body.
func writeResponse(w http.ResponseWriter, response *httptest.ResponseRecorder, body []byte) {
	maps.Copy(w.Header(), response.Header())
	w.WriteHeader(response.Code)
	_, _ = w.Write(body)
}

// S3Hang does not respond, and the server does not get the request.
func S3Hang() S3Fault {
	return S3Fault{"hang", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		// The server notices that a client has gone only after it has read the body.
		_, _ = io.Copy(io.Discard, r.Body)
		hang(w, r)
	}}
}

// S3HangAfter does not respond after the server has done everything.
func S3HangAfter() S3Fault {
	return S3Fault{"hang after", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		carryOut(r, next)
		hang(w, r)
	}}
}

// S3HangHalf sends half of the response's body and then nothing. A response without a
// body does not come at all.
func S3HangHalf() S3Fault {
	return S3Fault{"hang in the middle", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		response := carryOut(r, next)
		if response.Body.Len() > 0 {
			writeHalf(w, response)
		}
		hang(w, r)
	}}
}

// S3FlipRequest changes one byte in the middle of the request's body.
func S3FlipRequest() S3Fault {
	return S3Fault{"flipped request", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(flipped(body)))
		next.ServeHTTP(w, r)
	}}
}

// S3FlipResponse changes one byte in the middle of the response's body.
func S3FlipResponse() S3Fault {
	return S3Fault{"flipped response", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		response := carryOut(r, next)
		writeResponse(w, response, flipped(response.Body.Bytes()))
	}}
}

func flipped(body []byte) []byte {
	body = bytes.Clone(body)
	if len(body) > 0 {
		body[len(body)/2] ^= 0x01
	}
	return body
}

// S3Delay waits before the server gets the request.
func S3Delay(d time.Duration) S3Fault {
	return S3Fault{"delay", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
			cut(w)
		}
	}}
}

// S3Act calls act and then lets the request pass.
func S3Act(act func(S3Request)) S3Fault {
	return S3Fault{"act", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		act(S3Request{Method: r.Method, Bucket: bucket, Key: key, Query: r.URL.Query()})
		next.ServeHTTP(w, r)
	}}
}

// lockHeaders is how the names of the headers of Object Lock begin.
const lockHeaders = "X-Amz-Object-Lock-"

// DropLock removes the headers of Object Lock from the request and signs it again, as if
// the server did not know them.
func (s *S3) DropLock() S3Fault {
	return S3Fault{"lock dropped", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(w, s.without(r, lockHeaders))
	}}
}

// without returns a request without the headers whose names begin with a prefix, signed
// again by its account.
func (s *S3) without(r *http.Request, prefix string) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Del("Connection")
	for name := range r.Header {
		if strings.HasPrefix(name, prefix) {
			r.Header.Del(name)
		}
	}
	for _, account := range []S3Account{s.Root, s.Writer, s.Reader, s.Nobody} {
		if strings.Contains(r.Header.Get("Authorization"), "Credential="+account.AccessKeyID+"/") {
			r.Header.Del("Authorization")
			return signer.SignV4(*r, account.AccessKeyID, account.SecretAccessKey, "", S3Region)
		}
	}
	return r
}

// S3HideLock removes the headers of Object Lock from the response.
func S3HideLock() S3Fault {
	return S3Fault{"lock hidden", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		response := carryOut(r, next)
		for name := range response.Header() {
			if strings.HasPrefix(name, lockHeaders) {
				response.Header().Del(name)
			}
		}
		writeResponse(w, response, response.Body.Bytes())
	}}
}
