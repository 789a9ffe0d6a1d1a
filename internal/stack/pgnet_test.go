package stack

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// seen is a request as a server got it.
type seen struct {
	method, url, body string
	header            http.Header
}

// target is a server for pg_net to call.
type target struct {
	*httptest.Server
	mu   sync.Mutex
	got  []seen
	news chan struct{} // closed, and replaced, when something came
	slow chan struct{} // closed: answer /slow
}

// newTarget starts a server which keeps what it gets. /status/N answers N,
// /redirect/N sends to /status/200 with N, /slow waits for slow, /drop closes
// the connection.
func newTarget(t *testing.T) *target {
	t.Helper()
	target := &target{news: make(chan struct{}), slow: make(chan struct{})}
	target.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		target.mu.Lock()
		target.got = append(target.got, seen{r.Method, r.URL.String(), string(body), r.Header})
		close(target.news)
		target.news = make(chan struct{})
		target.mu.Unlock()
		var code int
		switch {
		case r.URL.Path == "/slow":
			select {
			case <-target.slow:
			case <-r.Context().Done():
			}
		case r.URL.Path == "/drop":
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/nul":
			_, _ = io.WriteString(w, "before\x00after")
		case scan(r.URL.Path, "/redirect/%d", &code):
			http.Redirect(w, r, "/status/200", code)
		case scan(r.URL.Path, "/status/%d", &code):
			w.Header().Set("Sb-Error-Code", "NOT_FOUND")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			if code != http.StatusNoContent {
				_, _ = io.WriteString(w, `{"ok": "ção"}`)
			}
		}
	}))
	t.Cleanup(target.Close)
	return target
}

func scan(s, format string, into *int) bool {
	n, _ := fmt.Sscanf(s, format, into)
	return n == 1
}

// last returns the request that came last.
func (t *target) last() seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.got[len(t.got)-1]
}

func (t *target) count(path string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.got {
		if strings.HasPrefix(s.url, path) {
			n++
		}
	}
	return n
}

// await waits until a number of requests for a path has come.
func (t *target) await(test *testing.T, path string, n int) {
	test.Helper()
	limit := time.After(patience)
	for {
		t.mu.Lock()
		news := t.news
		t.mu.Unlock()
		if t.count(path) >= n {
			return
		}
		select {
		case <-news:
		case <-limit:
			test.Fatalf("%d of %d requests for %s came", t.count(path), n, path)
		}
	}
}

// answer is a row of net._http_response.
type answer struct {
	Status      *int
	ContentType *string
	Headers     map[string]string
	Content     *string
	TimedOut    *bool
	Error       *string
	Created     time.Time
}

// answerOf waits for the answer to a request.
func answerOf(t *testing.T, conn *pgx.Conn, id int64) answer {
	t.Helper()
	await(t, conn, `select exists (select from net._http_response where id = $1)`, id)
	var a answer
	if err := conn.QueryRow(t.Context(), `
		select status_code, content_type, headers, content, timed_out, error_msg, created
		from net._http_response where id = $1`, id,
	).Scan(&a.Status, &a.ContentType, &a.Headers, &a.Content, &a.TimedOut, &a.Error, &a.Created); err != nil {
		t.Fatal(err)
	}
	return a
}

func newTestWorker(t *testing.T, c *cluster) netControl {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w, err := startNet(ctx, c, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		w.close()
	})
	return w
}

// Proves what net.http_post and its siblings refuse, and what of their arguments
// arrives at the server, NULLs and dirty values included.
func TestNetRequests(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	newTestWorker(t, c)
	conn, server := connect(t, c, "postgres"), newTarget(t)

	try(t, conn, map[string]attempt{
		"charset":        {sql: `select net.http_post('http://x', headers => '{"content-type": "application/json; charset=utf-8"}')`, state: "P0001", message: `Content-Type header must be "application/json"`},
		"no url":         {sql: `select net.http_post(null)`, state: "23502"},
		"empty url":      {sql: `select net.http_post('')`, state: "XX000", message: `invalid URL "": `},
		"no scheme":      {sql: `select net.http_post('example.com/x')`, state: "XX000", message: "Bad scheme"},
		"no timeout":     {sql: `select net.http_post('http://x', timeout_milliseconds => null)`, state: "23502"},
		"anon may":       {role: "anon", sql: `select net.http_get('http://127.0.0.1:9')`},
		"anon sees keys": {role: "anon", sql: `select headers from net.http_request_queue; delete from net._http_response`},
		"default timeout": {sql: `do $$ begin
			perform net.http_post('http://x');
			assert (select timeout_milliseconds = 5000 from net.http_request_queue); end $$`},
	})

	for name, test := range map[string]struct {
		call                    string // %s is the server
		method, url, body       string
		present, absent         []string // headers
		contentType, authHeader string
	}{
		"defaults": {
			call:   `net.http_post('%s')`,
			method: "POST", url: "/", body: "{}", contentType: "application/json",
		},
		"query and body": {
			call:   `net.http_post('%s/p?a=1', '{"k": [1, "ã\"\\"]}', '{"b c": "ç&", "none": null}')`,
			method: "POST", url: "/p?a=1&b%20c=%c3%a7%26", body: `{"k": [1, "ã\"\\"]}`, contentType: "application/json",
		},
		"content type is added": {
			call:   `net.http_post('%s', headers => '{"X-Signature": "abc"}')`,
			method: "POST", url: "/", body: "{}", contentType: "application/json", present: []string{"X-Signature"},
		},
		"no headers": {
			call:   `net.http_post('%s', headers => null)`,
			method: "POST", url: "/", body: "{}", contentType: "application/x-www-form-urlencoded",
		},
		"no body": {
			call:   `net.http_post('%s', null)`,
			method: "POST", url: "/", contentType: "application/json",
		},
		"a bearer of NULL is no header": {
			call:   `net.http_post('%s', headers => jsonb_build_object('Authorization', 'Bearer ' || null, 'apikey', null))`,
			method: "POST", url: "/", body: "{}", contentType: "application/json", absent: []string{"Authorization", "Apikey"},
		},
		"an empty value is no header": {
			call:   `net.http_post('%s', headers => '{"apikey": "", "Authorization": "Bearer x"}')`,
			method: "POST", url: "/", body: "{}", contentType: "application/json", absent: []string{"Apikey"}, authHeader: "Bearer x",
		},
		"get": {
			call:   `net.http_get('%s/g')`,
			method: "GET", url: "/g",
		},
		"delete": {
			call:   `net.http_delete('%s/d', body => '{"a": 1}')`,
			method: "DELETE", url: "/d", body: `{"a": 1}`, contentType: "application/x-www-form-urlencoded",
		},
		"302 makes a GET of a POST": {
			call:   `net.http_post('%s/redirect/302', headers => '{"Authorization": "Bearer x"}')`,
			method: "GET", url: "/status/200", contentType: "application/json", authHeader: "Bearer x",
		},
		"307 does not": {
			call:   `net.http_post('%s/redirect/307', '{"a": 1}')`,
			method: "POST", url: "/status/200", body: `{"a": 1}`, contentType: "application/json",
		},
	} {
		t.Run(name, func(t *testing.T) {
			id := value[int64](t, conn, `select `+fmt.Sprintf(test.call, server.URL))
			if a := answerOf(t, conn, id); a.Status == nil || *a.Status != http.StatusOK {
				t.Fatalf("answer: %+v", a)
			}
			got := server.last()
			if got.method != test.method || got.url != test.url || got.body != test.body {
				t.Errorf("got %s %s %q", got.method, got.url, got.body)
			}
			if h := got.header.Get("Content-Type"); h != test.contentType {
				t.Errorf("content type %q", h)
			}
			if h := got.header.Get("User-Agent"); h != "pg_net/0.20.4" {
				t.Errorf("user agent %q", h)
			}
			if h := got.header.Get("Authorization"); h != test.authHeader {
				t.Errorf("authorization %q", h)
			}
			for _, name := range test.present {
				if len(got.header[name]) == 0 {
					t.Errorf("%s is missing", name)
				}
			}
			for _, name := range test.absent {
				if len(got.header[name]) != 0 {
					t.Errorf("%s is there", name)
				}
			}
		})
	}
}

// Proves what is stored for each kind of outcome: status, headers and content of
// an answer, or the error's text.
func TestNetOutcomes(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	newTestWorker(t, c)
	conn, server := connect(t, c, "postgres"), newTarget(t)
	defer close(server.slow)
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		url     string
		timeout int
		status  int
		content string
		error   string // how error_msg begins; libcurl 8 says "Could not" for "Couldn't"
	}{
		"200":             {url: server.URL + "/status/200", status: 200, content: `{"ok": "ção"}`},
		"404":             {url: server.URL + "/status/404", status: 404, content: `{"ok": "ção"}`},
		"546":             {url: server.URL + "/status/546", status: 546, content: `{"ok": "ção"}`},
		"no content":      {url: server.URL + "/status/204", status: 204},
		"cut at NUL":      {url: server.URL + "/nul", status: 200, content: "before"},
		"timeout":         {url: server.URL + "/slow", timeout: 100, error: "Timeout of 100 ms reached. Total time: 1"},
		"refused":         {url: "http://" + refused, error: "Couldn't connect to server"},
		"no such host":    {url: "http://nowhere.invalid", error: "Couldn't resolve host"},
		"TLS to plain":    {url: strings.Replace(server.URL, "http:", "https:", 1), error: "SSL connect error"},
		"hung up":         {url: server.URL + "/drop", error: "Server returned nothing (no headers, no data)"},
		"not HTTP at all": {url: "ftp://127.0.0.1/x", error: "Unsupported protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			// On a fresh connection, as a kept one is tried again.
			worker := value[int](t, conn, `select pid from pg_stat_activity where application_name like 'pg_net%'`)
			execute(t, conn, `select net.worker_restart()`)
			await(t, conn, `select count(*) = 1 and min(pid) <> $1 from pg_stat_activity where application_name like 'pg_net%'`, worker)
			timeout := 60000
			if test.timeout > 0 {
				timeout = test.timeout
			}
			a := answerOf(t, conn, value[int64](t, conn, `select net.http_post($1, timeout_milliseconds => $2)`, test.url, timeout))
			if test.error != "" {
				if a.Error == nil || !strings.HasPrefix(strings.Replace(*a.Error, "Could not", "Couldn't", 1), test.error) {
					t.Errorf("error: %+v", a)
				}
				if a.Status != nil || a.Headers != nil || a.Content != nil || *a.TimedOut != (test.timeout > 0) {
					t.Errorf("beside the error: %+v", a)
				}
				return
			}
			if a.Error != nil || *a.TimedOut || a.Status == nil || *a.Status != test.status {
				t.Fatalf("answer: %+v", a)
			}
			if test.content == "" && a.Content != nil || test.content != "" && (a.Content == nil || *a.Content != test.content) {
				t.Errorf("content: %+v", a)
			}
			if strings.HasPrefix(test.url, server.URL+"/status") &&
				(a.Headers["Sb-Error-Code"] != "NOT_FOUND" || a.ContentType == nil || *a.ContentType != "application/json") {
				t.Errorf("headers: %+v", a)
			}
		})
	}
	if server.count("/slow") != 1 {
		t.Error("the request that timed out did not arrive")
	}
}

// Proves that a line break in a header value is not noticed before it is too
// late: the request arrives without its body, and the next one on the connection
// fails.
func TestNetDirtySecret(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	arrived := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		var head strings.Builder
		lines := bufio.NewReader(conn)
		for {
			line, err := lines.ReadString('\n')
			if err != nil || strings.TrimRight(line, "\r\n") == "" {
				break
			}
			head.WriteString(line)
		}
		arrived <- head.String()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	}()

	client := &netClient{}
	defer client.close()
	body := `{"a": 1}`
	request := netRequest{
		method: "POST", url: "http://" + listener.Addr().String(), body: &body, timeout: 10000,
		headers: []string{"apikey: x", "Authorization: Bearer abc\n"},
	}
	response, err := client.do(t.Context(), request)
	if err != nil || response.status == nil || *response.status != http.StatusOK {
		t.Fatalf("the dirty request: %+v, %v", response, err)
	}
	head := <-arrived
	if !strings.Contains(head, "Authorization: Bearer abc\n") || strings.Contains(head, "Content-Length") || strings.Contains(head, "User-Agent") {
		t.Errorf("the server got %q", head)
	}
	request.headers = []string{"apikey: x"}
	if response, err = client.do(t.Context(), request); err != nil || response.errorMsg == nil || *response.errorMsg != "Unsupported protocol" {
		t.Errorf("the next request: %+v, %v", response, err)
	}
}

// Proves that one net.http_post becomes several requests when the server closes
// kept connections without an answer.
func TestNetSendsAgain(t *testing.T) {
	t.Parallel()
	server := newTarget(t)
	client := &netClient{}
	defer client.close()
	// Three connections that are kept.
	var together sync.WaitGroup
	for range 3 {
		together.Go(func() {
			if r, err := client.do(t.Context(), netRequest{method: "GET", url: server.URL + "/slow", timeout: 10000}); err != nil || r.errorMsg != nil {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	server.await(t, "/slow", 3)
	close(server.slow)
	together.Wait()

	r, err := client.do(t.Context(), netRequest{method: "POST", url: server.URL + "/drop", timeout: 10000})
	if err != nil || r.errorMsg == nil || *r.errorMsg != string(errNetNothing) {
		t.Errorf("%+v, %v", r, err)
	}
	if n := server.count("/drop"); n != 4 {
		t.Errorf("one request arrived %d times, not once for each kept connection and once more", n)
	}
}

// Proves how requests and transactions belong together: what is rolled back is
// not sent, nothing is sent before the commit, a bare INSERT wakes nobody; a batch
// is stored as a whole, and the next one begins after it; and old answers go only
// when the worker is awake. That something does not happen is proven by what
// happens next, not by a pause.
func TestNetBatches(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	newTestWorker(t, c)
	admin, conn, server := connect(t, c, "supabase_admin"), connect(t, c, "postgres"), newTarget(t)

	execute(t, conn, `begin; select net.http_get($$`+server.URL+`/rolled-back$$); rollback`)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select net.http_get($1)`, server.URL+"/committed"); err != nil {
		t.Fatal(err)
	}
	// The worker takes all that it sees: it does not see this one.
	other := connect(t, c, "postgres")
	answerOf(t, other, value[int64](t, other, `select net.http_get($1)`, server.URL+"/meanwhile"))
	if n := server.count("/committed"); n != 0 {
		t.Error("a request was sent before its transaction committed")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.await(t, "/committed", 1)
	await(t, conn, `select count(*) = 2 from net._http_response`)

	// The stand-in's worker hears what this listener hears, in the same order. Nobody
	// hears what wakes the real one.
	listener, standIn := connect(t, c, "supabase_admin"), !c.files.has("pg_net")
	execute(t, listener, `listen pg_net`)
	bare := value[int64](t, conn, `
		insert into net.http_request_queue (method, url, headers, timeout_milliseconds) values ('GET', $1, '{}', 1000)
		returning id`, server.URL+"/bare")
	execute(t, conn, `select pg_notify('pg_net', 'the test')`)
	if heard, err := listener.WaitForNotification(t.Context()); err != nil || heard.Payload != "the test" {
		t.Errorf("after a bare INSERT the worker heard %+v, %v", heard, err)
	}
	execute(t, conn, `select net.wake()`)
	answerOf(t, conn, bare)
	if standIn {
		if heard, err := listener.WaitForNotification(t.Context()); err != nil || heard.Payload != "wake" {
			t.Errorf("net.wake() says %+v, %v", heard, err)
		}
	}

	// In one batch, and then one more.
	fast, slow := int64(0), int64(0)
	if err := conn.QueryRow(t.Context(), `select net.http_get($1 || '/fast'), net.http_get($1 || '/slow', timeout_milliseconds => 20000)`,
		server.URL).Scan(&fast, &slow); err != nil {
		t.Fatal(err)
	}
	server.await(t, "/slow", 1)
	server.await(t, "/fast", 1)
	later := value[int64](t, conn, `select net.http_get($1)`, server.URL+"/later")
	if n := value[int](t, conn, `select count(*) from net._http_response where id in ($1, $2)`, fast, slow); n != 0 {
		t.Error("an answer could be seen before its batch ended")
	}
	if n := value[int](t, conn, `select count(*) from net.http_request_queue where id in ($1, $2)`, fast, slow); n != 2 {
		t.Errorf("%d of 2 running requests are in the queue", n)
	}
	released := value[time.Time](t, conn, `select clock_timestamp()`)
	close(server.slow)
	a, b := answerOf(t, conn, fast), answerOf(t, conn, slow)
	if !a.Created.Equal(b.Created) || !a.Created.Before(released) {
		t.Errorf("created: %v and %v, not the time when the batch began", a.Created, b.Created)
	}
	// One transaction shows both.
	if n := value[int](t, conn, `select count(distinct xmin::text) from net._http_response where id in ($1, $2)`, fast, slow); n != 1 {
		t.Errorf("the answers of one batch were stored by %d transactions", n)
	}
	// An answer bears the time at which its batch began.
	if next := answerOf(t, conn, later); next.Created.Before(released) {
		t.Errorf("the next batch began at %v, before the first one ended after %v", next.Created, released)
	}
	if server.count("/rolled-back") != 0 {
		t.Error("what was rolled back was sent")
	}

	// The worker sleeps once it has found nothing more to do.
	await(t, conn, `select state = 'idle' and query in ('commit', '') from pg_stat_activity where application_name like 'pg_net%'`)
	asleep := value[time.Time](t, conn, `select state_change from pg_stat_activity where application_name like 'pg_net%'`)
	execute(t, admin, `update net._http_response set created = created - interval '1 day'`)
	old := value[int](t, conn, `select count(*) from net._http_response`)
	if since := value[time.Time](t, conn, `select state_change from pg_stat_activity where application_name like 'pg_net%'`); old < 6 || !since.Equal(asleep) {
		t.Errorf("%d old answers are there, and the worker, asleep since %v, did something at %v", old, asleep, since)
	}
	awake := value[int64](t, conn, `select net.http_get($1)`, server.URL+"/awake")
	answerOf(t, conn, awake)
	if n := value[int](t, conn, `select count(*) from net._http_response where id <> $1`, awake); n != 0 {
		t.Errorf("%d old answers are left after the worker was awake", n)
	}
}

// refusing returns a channel that is closed when the server takes no new connections
// any more, as during its shutdown.
func refusing(t *testing.T, c *cluster) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			conn, err := pgx.Connect(t.Context(), c.url("postgres"))
			if err != nil {
				return
			}
			_ = conn.Close(t.Context())
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return done
}

// Proves that a clean restart waits for what is being sent and keeps queue and
// answers, that a crash empties both and starts the ids again, and that the
// worker can be down, which is noticed, and comes back to what waits.
func TestNetRestarts(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	w := newTestWorker(t, c)
	conn, server := connect(t, c, "postgres"), newTarget(t)

	slow := value[int64](t, conn, `select net.http_post($1, timeout_milliseconds => 20000)`, server.URL+"/slow")
	server.await(t, "/slow", 1)
	stopping := refusing(t, c)
	if w, ok := w.(*netWorker); ok {
		stopping = w.run.drain
	}
	go func() {
		<-stopping
		close(server.slow)
	}()
	if err := c.restart(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	conn = connect(t, c, "postgres")
	if a := answerOf(t, conn, slow); a.Status == nil || *a.Status != http.StatusOK || server.count("/slow") != 1 {
		t.Errorf("after the restart: %+v, sent %d times", a, server.count("/slow"))
	}

	if _, err := conn.Exec(t.Context(), `select net.check_worker_is_up()`); err != nil {
		t.Error(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	await(t, conn, `select count(*) = 0 from pg_stat_activity where application_name like 'pg_net%'`)
	if _, err := conn.Exec(t.Context(), `select net.check_worker_is_up()`); sqlState(t, err) != "P0001" {
		t.Errorf("a worker that is down: %v", err)
	}
	waiting := value[int64](t, conn, `select net.http_get($1)`, server.URL+"/status/200")
	if err := w.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	answerOf(t, conn, waiting)
	if !value[bool](t, conn, `select net.worker_restart()`) {
		t.Error("net.worker_restart() is not true")
	}
	execute(t, conn, `select net.wait_until_running()`)

	if err := c.restart(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	conn = connect(t, c, "postgres")
	if n := value[int](t, conn, `select count(*) from net._http_response`); n != 0 {
		t.Errorf("%d answers survived a crash", n)
	}
	if id := value[int64](t, conn, `select net.http_get($1)`, server.URL+"/status/200"); id != 1 {
		t.Errorf("the first id after a crash is %d", id)
	}
	answerOf(t, conn, 1)
}
