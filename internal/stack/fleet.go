package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Recording has the responses of a stack's Management API.
type Recording struct {
	ref, projectURL string

	mu sync.Mutex
	// answers are the responses to each request, in their order. Of a read there is only
	// the last one, unless writes are recorded too.
	answers map[string][]recordedAnswer
	writes  bool
}

type recordedAnswer struct {
	status      int
	contentType string
	body        string
}

// Record records the successful responses of the stack's Management API to reads until
// stop is called. It replaces the middleware of InterceptAPI.
func (s *Stack) Record() (recording *Recording, stop func()) { return s.record(false) }

// RecordWrites is Record with all responses, also to writes, in their order. A fleet of the
// recording responds to each project's first request as the stack did to the first one of
// its kind, to the second one as to the second, and so on. So it is good for exactly what
// was recorded, in any number of projects.
func (s *Stack) RecordWrites() (recording *Recording, stop func()) { return s.record(true) }

func (s *Stack) record(writes bool) (recording *Recording, stop func()) {
	r := &Recording{ref: s.ProjectRef, projectURL: s.ProjectURL, answers: map[string][]recordedAnswer{}, writes: writes}
	s.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, key, err := question(req, writes)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			answer := &recorder{header: http.Header{}, status: http.StatusOK}
			next.ServeHTTP(answer, req)
			if key != "" && (writes || answer.status < 300) {
				r.mu.Lock()
				if !writes {
					r.answers[key] = nil
				}
				r.answers[key] = append(r.answers[key], recordedAnswer{answer.status, answer.header.Get("Content-Type"), answer.body.String()})
				r.mu.Unlock()
			}
			maps.Copy(w.Header(), answer.header)
			w.WriteHeader(answer.status)
			_, _ = w.Write(answer.body.Bytes())
		})
	})
	return r, func() { s.InterceptAPI(nil) }
}

// recorder records a response.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

const (
	projectList = "/v1/projects"
	readOnlySQL = "/database/query/read-only"
	writtenSQL  = "/database/query"
)

// renewal begins the statement with which the provider keeps its lease on a backup while it
// waits for something else. How many there are depends on the time that it waits.
const renewal = "-- Renews a lease."

// withoutArguments empties what differs between two runs of a statement: an argument as the
// provider writes it into the statement, which is a space and E'…', and the holder of a lease
// in a script, 32 hexadecimal digits in quotes. It reads each statement of a plan, so it
// must not take long beside what is measured.
func withoutArguments(sql string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(sql, '\'')
		if at < 0 {
			b.WriteString(sql)
			return b.String()
		}
		end := -1
		if strings.HasSuffix(sql[:at], " E") {
			end = endOfArgument(sql, at+1)
		}
		begin := at - len(" E")
		if end < 0 && len(sql) > at+33 && sql[at+33] == '\'' && strings.Trim(sql[at+1:at+33], "0123456789abcdef") == "" {
			begin, end = at, at+33
		}
		if end < 0 {
			b.WriteString(sql[:at+1])
			sql = sql[at+1:]
			continue
		}
		b.WriteString(sql[:begin])
		b.WriteString(" E''")
		sql = sql[end+1:]
	}
}

// endOfArgument returns where the quote is that ends the text from an index on, or -1. Of
// a text without an end it is the last one that may be it.
func endOfArgument(sql string, from int) int {
	last := -1
	for i := from; i < len(sql); i++ {
		switch {
		case sql[i] == '\\':
			i++
		case sql[i] != '\'':
		case i+1 < len(sql) && sql[i+1] == '\'':
			last = i
			i++
		default:
			return i
		}
	}
	return last
}

// question splits a request about a project into the project and what is asked. It ignores the
// arguments of a statement. It is empty for a write, unless writes are asked for.
func question(r *http.Request, writes bool) (ref, what string, err error) {
	if r.Method == http.MethodGet && r.URL.Path == projectList {
		return "", "GET " + projectList, nil
	}
	rest, ok := strings.CutPrefix(r.URL.Path, projectList+"/")
	if !ok {
		return "", "", nil
	}
	ref, path, _ := strings.Cut(rest, "/")
	path = "/" + path
	switch {
	case r.Method == http.MethodGet:
		return ref, "GET " + path, nil
	case r.Method == http.MethodPost && (path == readOnlySQL || writes && path == writtenSQL):
		text, err := io.ReadAll(io.LimitReader(r.Body, maxBundleBytes))
		if err != nil {
			return "", "", err
		}
		r.Body = io.NopCloser(bytes.NewReader(text))
		var body struct {
			Query string `json:"query"`
		}
		if err := json.Unmarshal(text, &body); err != nil {
			return "", "", err
		}
		return ref, "POST " + path + "\n" + withoutArguments(body.Query), nil
	case writes:
		return ref, r.Method + " " + path, nil
	}
	return ref, "", nil
}

// FleetOptions configures a fleet.
type FleetOptions struct {
	// Projects is the number of projects.
	Projects int
	// RateLimit is how many requests to each endpoint of each project are accepted
	// in RateWindow; 0 means no limit.
	RateLimit  int
	RateWindow time.Duration
	// AcrossProjects makes the limit apply to an endpoint over all projects.
	AcrossProjects bool
	// APIDelay is how long each response takes, SQLDelay how long one to SQL does.
	APIDelay, SQLDelay time.Duration
}

// FleetProject is what differs in a project of a fleet.
type FleetProject struct {
	// Name is the project's name and Status its status, ACTIVE_HEALTHY if empty.
	Name, Status string
	// Recording has the responses about the project; nil: those of the fleet.
	Recording *Recording
	// Fails is the status with which every request about the project is refused, saying
	// Says; 0: none.
	Fails int
	Says  string
	// Hangs makes every request about the project wait until its sender gives up.
	Hangs bool
	// Throttles is an endpoint, such as "POST /functions/deploy", whose requests get a 429
	// until a lease in the project was renewed.
	Throttles string
}

// Fleet is a stand-in for the Management API with many projects. It lists them, and responds
// to requests about every project with a stack's recorded responses
// about its one project, in which it replaces the project's reference and address, so
// that a state of that project is a state of each.
//
// It leaves out everything else: to a request that was not recorded it
// responds with 501 and counts it as unexpected. It ignores the arguments of statements.
type Fleet struct {
	// APIURL is the Management API's base, ProjectURL the URL of a project, with
	// {ref} in place of its reference.
	APIURL, ProjectURL string
	// AccessToken may read.
	AccessToken string
	// Refs are the projects.
	Refs []string

	recording *Recording
	options   FleetOptions
	limiter   *limiter
	server    *http.Server

	mu       sync.Mutex
	stats    FleetStats
	open     map[net.Conn]bool
	projects map[string]FleetProject
	asked    map[string]int  // how often each project was asked each question
	renewed  map[string]bool // the projects in which a lease was renewed
}

// FleetStats counts the requests to a fleet.
type FleetStats struct {
	// API and SQL count the requests with a response, without the renewals of leases, which
	// are as many as the waits are long.
	API, SQL, Renewals int
	// PerProject is the same by project and endpoint.
	PerProject map[string]int
	// Refused counts the requests that got a 429, by project and endpoint.
	Refused map[string]int
	// Connections counts the connections that were made, Open those that are open.
	Connections, Open int
	// Unexpected are requests that a fleet does not support.
	Unexpected []string
}

// Serve starts a fleet from a recording.
func (r *Recording) Serve(ctx context.Context, opts FleetOptions) (*Fleet, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		APIURL: "http://" + listener.Addr().String(), ProjectURL: "https://{ref}.supabase.co",
		AccessToken: "sbp_" + randomHex(20), recording: r, options: opts,
		limiter: newLimiter(opts.RateLimit, opts.RateWindow), server: newServer(), open: map[net.Conn]bool{}, projects: map[string]FleetProject{},
	}
	if opts.RateLimit == 0 {
		f.limiter.limit = -1
	}
	for i := range opts.Projects {
		f.Refs = append(f.Refs, fleetRef(i))
	}
	f.Reset()
	f.server.Handler = f
	f.server.ConnState = f.connection
	go func() { _ = f.server.Serve(listener) }()
	return f, nil
}

// fleetRef returns the reference of a project: its number in letters.
func fleetRef(n int) string {
	ref := []byte("fleetaaaaaaaaaaaaaaa")
	for i := len(ref) - 1; n > 0; i, n = i-1, n/26 {
		ref[i] += byte(n % 26)
	}
	return string(ref)
}

// Set says how a project of the fleet differs from the others.
func (f *Fleet) Set(ref string, project FleetProject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.projects[ref] = project
}

// rows are the projects as the API lists them.
func (f *Fleet) rows() []projectRow {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := []projectRow{}
	for i, ref := range f.Refs {
		own := f.projects[ref]
		row := projectRow{
			ID: ref, Ref: ref, OrganizationID: "aimindsetlocalstack", OrganizationSlug: "aimindsetlocalstack", Name: own.Name, Region: "sa-east-1", Status: own.Status,
			Database:  projectDatabase{Host: "db." + ref + ".supabase.co", Version: "15.14.1.066", PostgresEngine: "15", ReleaseChannel: "ga"},
			CreatedAt: "2026-01-01T00:00:00.000000Z",
		}
		setDefault(&row.Name, fmt.Sprintf("Project %d", i+1))
		setDefault(&row.Status, "ACTIVE_HEALTHY")
		rows = append(rows, row)
	}
	return rows
}

// Environ returns the provider's settings.
func (f *Fleet) Environ() []string {
	return []string{
		"SUPABASE_ACCESS_TOKEN=" + f.AccessToken, "SUPABASE_API_URL=" + f.APIURL, "SUPABASE_PROJECT_URL=" + f.ProjectURL,
	}
}

// Close ends the fleet and its connections.
func (f *Fleet) Close() error { return f.server.Close() }

// Translate replaces the recorded project in a text with another one.
func (f *Fleet) Translate(text, ref string) string {
	return strings.NewReplacer(
		f.recording.projectURL, strings.ReplaceAll(f.ProjectURL, "{ref}", ref), f.recording.ref, ref,
	).Replace(text)
}

// Stats returns the counts since the last Reset.
func (f *Fleet) Stats() FleetStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := f.stats
	stats.PerProject, stats.Refused = maps.Clone(stats.PerProject), maps.Clone(stats.Refused)
	stats.Open = len(f.open)
	return stats
}

// Reset sets the counts to zero, and begins with the first of recorded responses again.
func (f *Fleet) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.renewed = map[string]int{}, map[string]bool{}
	f.stats = FleetStats{PerProject: map[string]int{}, Refused: map[string]int{}}
}

func (f *Fleet) connection(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch state {
	case http.StateNew:
		f.open[c] = true
		f.stats.Connections++
	case http.StateClosed, http.StateHijacked:
		delete(f.open, c)
	case http.StateActive, http.StateIdle:
	}
}

// ServeHTTP implements http.Handler.
func (f *Fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ref, what, err := question(r, f.recording.writes)
	if err != nil {
		fail(w, apiErrorf(http.StatusBadRequest, "%v", err))
		return
	}
	endpoint, _, isSQL := strings.Cut(what, "\n")
	f.mu.Lock()
	own := f.projects[ref]
	f.mu.Unlock()
	recording := f.recording
	if own.Recording != nil {
		recording = own.Recording
	}
	recording.mu.Lock()
	answers := recording.answers[what]
	recording.mu.Unlock()
	list := endpoint == "GET "+projectList
	known := len(answers) > 0 || list
	at := endpoint + " of " + ref
	counted := at
	if f.options.AcrossProjects {
		counted = endpoint
	}

	renews := strings.Contains(what, renewal)

	var answer recordedAnswer
	f.mu.Lock()
	throttled := own.Throttles == endpoint && !f.renewed[ref]
	taken := !throttled && f.limiter.take(w.Header(), counted)
	if taken && len(answers) > 0 {
		answer = answers[min(f.asked[ref+" "+what], len(answers)-1)]
		f.asked[ref+" "+what]++
	}
	switch {
	case !known:
		f.stats.Unexpected = append(f.stats.Unexpected, fmt.Sprintf("%s %s", r.Method, r.URL.Path))
	case !taken:
		f.stats.Refused[at]++
	case renews:
		f.stats.Renewals++
		f.renewed[ref] = true
	default:
		f.stats.PerProject[at]++
		if isSQL {
			f.stats.SQL++
		} else {
			f.stats.API++
		}
	}
	f.mu.Unlock()

	switch {
	case r.Header.Get("Authorization") != "Bearer "+f.AccessToken:
		fail(w, apiErrorf(http.StatusUnauthorized, "JWT could not be decoded"))
	case own.Hangs:
		<-r.Context().Done()
	case own.Fails != 0:
		fail(w, &apiError{own.Fails, own.Says})
	case !known:
		fail(w, apiErrorf(http.StatusNotImplemented, "a fleet does not answer this"))
	case !taken:
		if throttled {
			w.Header().Set("Retry-After", "5")
		}
		fail(w, apiErrorf(http.StatusTooManyRequests, "ThrottlerException: Too Many Requests"))
	default:
		delay := f.options.APIDelay
		if isSQL {
			delay = f.options.SQLDelay
		}
		if delay > 0 {
			select {
			case <-time.After(delay):
			case <-r.Context().Done():
				return
			}
		}
		if list {
			writeJSON(w, http.StatusOK, f.rows())
			return
		}
		w.Header().Set("Content-Type", answer.contentType)
		w.WriteHeader(answer.status)
		_, _ = io.WriteString(w, f.Translate(answer.body, ref))
	}
}
