package stack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// management is a stand-in for the parts of the Management API
// (https://api.supabase.com) about functions, secrets, SQL, API keys, the project, its
// pooler, its backups, its health and the login roles of the CLI. Statuses, headers and bodies are
// those recorded from the real API, or else those of its OpenAPI description. SQL is run
// by the real service behind the API; see postgresMeta.
//
// It leaves out: every other endpoint, OAuth, branches, creating API keys, the
// tighter limits of a few endpoints, eszip uploads, and the quota of SQL time.
// It responds with 404 for an unknown project; the real response is not known.
type management struct {
	keys    *keys
	store   *functionStore
	gateway *gateway // nil if the stack has no functions
	// databaseURL is the connection string of a role.
	databaseURL func(role string) string
	created     time.Time
	limiter     *limiter
	mux         *http.ServeMux
	endpoints   []string // "METHOD /path/{parameter}"

	mu      sync.Mutex
	calls   []Call
	backups PlatformBackups
}

// Call is a request to the Management API.
type Call struct {
	Method string
	// Path is the endpoint in the notation of the API's description, such as
	// /v1/projects/{ref}/functions/{function_slug}.
	Path string
	// Status is that of the response; 0 if the connection was cut.
	Status int
	At     time.Time
}

// permission is what an endpoint requires of a token.
type permission int

const (
	mayRead permission = iota
	mayWrite
)

// forbiddenMessage is the message for a token without the privilege.
const forbiddenMessage = "Your account does not have the necessary privileges to access this endpoint. " +
	"For more details, refer to our documentation https://supabase.com/docs/guides/platform/access-control"

func newManagement(k *keys, store *functionStore, g *gateway, databaseURL func(string) string, l *limiter) *management {
	m := &management{
		keys: k, store: store, gateway: g, databaseURL: databaseURL,
		created: time.Now(), limiter: l, mux: http.NewServeMux(),
	}
	const project = "/v1/projects/{ref}"
	const functions = project + "/functions"
	m.handle("GET /v1/projects", mayRead, m.listProjects)
	m.handle("GET "+project, mayRead, m.getProject)
	m.handle("GET "+project+"/api-keys", mayRead, m.listKeys)
	m.handle("GET "+project+"/api-keys/legacy", mayRead, m.legacyKeys)
	m.handle("POST "+project+"/cli/login-role", mayWrite, m.createLoginRole)
	m.handle("DELETE "+project+"/cli/login-role", mayWrite, m.deleteLoginRoles)
	m.handle("GET "+project+"/config/database/pooler", mayRead, m.pooler)
	m.handle("GET "+project+"/database/backups", mayRead, m.listBackups)
	m.handle("GET "+project+"/health", mayRead, m.health)
	m.handle("GET "+project+"/secrets", mayRead, m.listSecrets)
	m.handle("POST "+project+"/secrets", mayWrite, m.createSecrets)
	m.handle("DELETE "+project+"/secrets", mayWrite, m.deleteSecrets)
	m.handle("GET "+functions, mayRead, m.listFunctions)
	m.handle("POST "+functions, mayWrite, m.createFunction)
	m.handle("PUT "+functions, mayWrite, m.updateFunctions)
	m.handle("POST "+functions+"/deploy", mayWrite, m.deployFunction)
	m.handle("GET "+functions+"/{function_slug}", mayRead, m.getFunction)
	m.handle("PATCH "+functions+"/{function_slug}", mayWrite, m.updateFunction)
	m.handle("DELETE "+functions+"/{function_slug}", mayWrite, m.deleteFunction)
	m.handle("GET "+functions+"/{function_slug}/body", mayRead, m.functionBody)
	// The privilege that a query needs depends on its body.
	m.handle("POST "+project+"/database/query", mayRead, m.query)
	m.handle("POST "+project+"/database/query/read-only", mayRead, m.queryReadOnly)
	m.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, apiErrorf(http.StatusNotFound, "Cannot %s %s", r.Method, r.URL.Path))
	})
	return m
}

// endpoint handles a request of a known user to a known project.
type endpoint func(w http.ResponseWriter, r *http.Request) error

// handle registers an endpoint, after the checks that all have in common.
func (m *management) handle(pattern string, needs permission, serve endpoint) {
	m.endpoints = append(m.endpoints, pattern)
	m.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		ref := r.PathValue("ref")
		caller := clientIP(r)
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		known := token == m.keys.accessToken || token == m.keys.readToken
		if known {
			caller = m.keys.userID
			w.Header().Set("X-Gotrue-Id", m.keys.userID)
		}
		if !m.limiter.take(w.Header(), caller+" "+ref+" "+pattern) {
			fail(w, apiErrorf(http.StatusTooManyRequests, "ThrottlerException: Too Many Requests"))
			return
		}
		var err error
		switch {
		case token == "":
			err = apiErrorf(http.StatusUnauthorized, "Unauthorized")
		case !known:
			err = apiErrorf(http.StatusUnauthorized, "JWT could not be decoded")
		case pattern != "GET /v1/projects" && !isRef(ref):
			err = apiErrorf(http.StatusBadRequest, "ref: must be a string of 20 lower-case letters")
		case pattern != "GET /v1/projects" && ref != m.keys.ref:
			err = apiErrorf(http.StatusNotFound, "Project not found")
		case needs == mayWrite && !m.mayWrite(r):
			err = apiErrorf(http.StatusForbidden, forbiddenMessage)
		default:
			err = serve(w, r)
		}
		if err != nil {
			fail(w, err)
		}
	})
}

func isRef(ref string) bool {
	return len(ref) == 20 && !strings.ContainsFunc(ref, func(c rune) bool { return c < 'a' || c > 'z' })
}

// mayWrite reports whether the request's token has write privileges.
func (m *management) mayWrite(r *http.Request) bool {
	return r.Header.Get("Authorization") == "Bearer "+m.keys.accessToken
}

// record returns the outermost handler, which records the requests.
func (m *management) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := m.mux.Handler(r)
		_, template, ok := strings.Cut(pattern, " ")
		if !ok {
			template = r.URL.Path
		}
		status := &statusWriter{ResponseWriter: w}
		call := Call{Method: r.Method, Path: template, At: time.Now()}
		defer func() {
			call.Status = status.status
			m.mu.Lock()
			m.calls = append(m.calls, call)
			m.mu.Unlock()
		}()
		next.ServeHTTP(status, r)
		if status.status == 0 {
			status.status = http.StatusOK // a handler that writes nothing
		}
	})
}

// log returns a copy of all requests so far.
func (m *management) log() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// statusWriter records the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap implements the interface that http.ResponseController uses.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limiter counts requests in fixed windows, one for each user, project and
// endpoint. A window begins with its first request.
type limiter struct {
	limit  int // none if negative
	window time.Duration
	now    func() time.Time

	mu      sync.Mutex
	windows map[string]*rateWindow
}

type rateWindow struct {
	count int
	ends  time.Time
}

func newLimiter(limit int, window time.Duration) *limiter {
	return &limiter{limit: limit, window: window, now: time.Now, windows: map[string]*rateWindow{}}
}

// take counts a request, writes the headers, and reports whether it may pass.
func (l *limiter) take(h http.Header, key string) bool {
	if l.limit < 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	w := l.windows[key]
	if w == nil || !now.Before(w.ends) {
		w = &rateWindow{ends: now.Add(l.window)}
		l.windows[key] = w
	}
	w.count++
	h.Set("X-RateLimit-Limit", strconv.Itoa(l.limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, l.limit-w.count)))
	h.Set("X-RateLimit-Reset", strconv.Itoa(int(math.Ceil(w.ends.Sub(now).Seconds()))))
	return w.count <= l.limit
}

// writeJSON writes a response with a JSON body.
func writeJSON(w http.ResponseWriter, status int, body any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimRight(text.Bytes(), "\n"))
}

// writeEmpty writes a response without a body or content type.
func writeEmpty(w http.ResponseWriter, status int) {
	w.Header()["Content-Type"] = nil
	w.WriteHeader(status)
}

// fail writes an error in the Management API's form.
func fail(w http.ResponseWriter, err error) {
	var known *apiError
	if errors.As(err, &known) {
		writeJSON(w, known.status, map[string]string{"message": known.message})
		return
	}
	writeJSON(w, http.StatusInternalServerError, struct {
		Message string `json:"message"`
		EventID string `json:"errorEventId"`
	}{"Internal Server Error", randomHex(16)})
}

// readJSON decodes a request's body.
func readJSON(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBundleBytes))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return apiErrorf(http.StatusBadRequest, "Invalid request body: %v", err)
	}
	return nil
}

// Projects, keys, pooler and health.

type projectRow struct {
	ID               string          `json:"id"`
	Ref              string          `json:"ref"`
	OrganizationID   string          `json:"organization_id"`
	OrganizationSlug string          `json:"organization_slug"`
	Name             string          `json:"name"`
	Region           string          `json:"region"`
	Status           string          `json:"status"`
	Database         projectDatabase `json:"database"`
	CreatedAt        string          `json:"created_at"`
}

type projectDatabase struct {
	Host           string `json:"host"`
	Version        string `json:"version"`
	PostgresEngine string `json:"postgres_engine"`
	ReleaseChannel string `json:"release_channel"`
}

func (m *management) project() projectRow {
	return projectRow{
		ID: m.keys.ref, Ref: m.keys.ref, OrganizationID: "aimindsetlocalstack", OrganizationSlug: "aimindsetlocalstack",
		Name: "AIMindset", Region: "sa-east-1", Status: "ACTIVE_HEALTHY",
		Database: projectDatabase{
			Host: "db." + m.keys.ref + ".supabase.co", Version: "15.14.1.066", PostgresEngine: "15", ReleaseChannel: "ga",
		},
		CreatedAt: m.created.UTC().Format("2006-01-02T15:04:05.000000Z"),
	}
}

func (m *management) listProjects(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, []projectRow{m.project()})
	return nil
}

func (m *management) getProject(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, m.project())
	return nil
}

// listKeys lists the API keys. Only the secret key is masked, and only a token
// with write privileges may see it.
func (m *management) listKeys(w http.ResponseWriter, r *http.Request) error {
	reveal := r.URL.Query().Get("reveal") == "true"
	if reveal && !m.mayWrite(r) {
		return apiErrorf(http.StatusForbidden, forbiddenMessage)
	}
	hash := func(key string) string {
		sum := sha256.Sum256([]byte(key))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	type legacyRow struct {
		Name        string `json:"name"`
		APIKey      string `json:"api_key"`
		ID          string `json:"id"`
		Type        string `json:"type"`
		Hash        string `json:"hash"`
		Prefix      string `json:"prefix"`
		Description string `json:"description"`
	}
	legacy := func(name, key string) legacyRow {
		signature := key[strings.LastIndexByte(key, '.')+1:]
		return legacyRow{name, key, name, "legacy", hash(key), signature[:5], "Legacy " + name + " API key"}
	}
	type keyRow struct {
		ID                string            `json:"id"`
		Name              string            `json:"name"`
		Type              string            `json:"type"`
		APIKey            string            `json:"api_key"`
		Description       *string           `json:"description"`
		SecretJWTTemplate map[string]string `json:"secret_jwt_template"`
		Hash              string            `json:"hash"`
		Prefix            string            `json:"prefix"`
		InsertedAt        string            `json:"inserted_at"`
		UpdatedAt         string            `json:"updated_at"`
	}
	at := m.created.UTC().Format(time.RFC3339)
	id := func(kind string) string { // stable for the project
		sum := sha256.Sum256([]byte(m.keys.ref + kind))
		return fmt.Sprintf("%x-%x-4%x-8%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])[:36]
	}
	prefix := func(key, kind string) string { return key[:len(kind)+5] }
	secret := m.keys.secret
	if !reveal {
		secret = prefix(secret, "sb_secret_") + strings.Repeat("·", 26)
	}
	var list []any
	if m.keys.anon != "" {
		list = append(list, legacy("anon", m.keys.anon), legacy("service_role", m.keys.serviceRole))
	}
	list = append(list,
		keyRow{
			ID: id("publishable"), Name: "default", Type: "publishable", APIKey: m.keys.publishable,
			Hash: hash(m.keys.publishable), Prefix: prefix(m.keys.publishable, "sb_publishable_"), InsertedAt: at, UpdatedAt: at,
		},
		keyRow{
			ID: id("secret"), Name: "default", Type: "secret", APIKey: secret,
			SecretJWTTemplate: map[string]string{"role": "service_role"},
			Hash:              hash(m.keys.secret), Prefix: prefix(m.keys.secret, "sb_secret_"), InsertedAt: at, UpdatedAt: at,
		},
	)
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (m *management) legacyKeys(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]bool{"enabled": m.keys.anon != "" && !m.keys.legacyOff.Load()})
	return nil
}

func (m *management) pooler(w http.ResponseWriter, _ *http.Request) error {
	const host = "aws-0-sa-east-1.pooler.supabase.com"
	user := "postgres." + m.keys.ref
	connection := fmt.Sprintf("postgresql://%s:[YOUR-PASSWORD]@%s:6543/postgres", user, host)
	writeJSON(w, http.StatusOK, []any{struct {
		Identifier           string `json:"identifier"`
		DatabaseType         string `json:"database_type"`
		DBUser               string `json:"db_user"`
		DBHost               string `json:"db_host"`
		DBPort               int    `json:"db_port"`
		DBName               string `json:"db_name"`
		ConnectionString     string `json:"connection_string"`
		PoolMode             string `json:"pool_mode"`
		DefaultPoolSize      *int   `json:"default_pool_size"`
		MaxClientConn        *int   `json:"max_client_conn"`
		IsUsingScramAuth     bool   `json:"is_using_scram_auth"`
		ConnectionStringTwin string `json:"connectionString"`
	}{m.keys.ref, "PRIMARY", user, host, 6543, "postgres", connection, "transaction", nil, nil, true, connection}})
	return nil
}

// healthServices are the services that can be asked for.
var healthServices = []string{"auth", "db", "db_postgres_user", "pooler", "realtime", "rest", "storage", "pg_bouncer"}

// health reports the state of the database, and reports services that the stack does
// not have as healthy.
func (m *management) health(w http.ResponseWriter, r *http.Request) error {
	services := r.URL.Query()["services"]
	if len(services) == 0 {
		return apiErrorf(http.StatusBadRequest, "services: Required")
	}
	type row struct {
		Name    string `json:"name"`
		Healthy bool   `json:"healthy"`
		Status  string `json:"status"`
		Error   string `json:"error,omitempty"`
	}
	rows := []row{}
	for _, name := range services {
		if !slices.Contains(healthServices, name) {
			return apiErrorf(http.StatusBadRequest, "services: Invalid enum value %q", name)
		}
		up := row{Name: name, Healthy: true, Status: "ACTIVE_HEALTHY"}
		if name == "db" || name == "db_postgres_user" || name == "rest" {
			if err := m.ping(r.Context()); err != nil {
				up = row{Name: name, Status: "UNHEALTHY", Error: "connection failed"}
			}
		}
		rows = append(rows, up)
	}
	writeJSON(w, http.StatusOK, rows)
	return nil
}

func (m *management) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, m.databaseURL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Secrets.

func (m *management) listSecrets(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, m.store.listSecrets())
	return nil
}

func (m *management) createSecrets(w http.ResponseWriter, r *http.Request) error {
	var rows []struct {
		Name  *string `json:"name"`
		Value *string `json:"value"`
	}
	if err := readJSON(r, &rows); err != nil {
		return err
	}
	values := map[string]string{}
	for i, row := range rows {
		if row.Name == nil || row.Value == nil {
			return apiErrorf(http.StatusBadRequest, "%d: name and value are required", i)
		}
		values[*row.Name] = *row.Value
	}
	if err := m.store.setSecrets(values); err != nil {
		return err
	}
	writeEmpty(w, http.StatusCreated)
	return nil
}

func (m *management) deleteSecrets(w http.ResponseWriter, r *http.Request) error {
	var names []string
	if err := readJSON(r, &names); err != nil {
		return err
	}
	if err := m.store.deleteSecrets(names); err != nil {
		return err
	}
	writeEmpty(w, http.StatusOK)
	return nil
}

// Functions.

var errFunctionMissing = apiErrorf(http.StatusNotFound, "Function not found")

func (m *management) listFunctions(w http.ResponseWriter, _ *http.Request) error {
	list := m.store.list()
	if list == nil {
		list = []*function{}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (m *management) getFunction(w http.ResponseWriter, r *http.Request) error {
	f := m.store.get(r.PathValue("function_slug"))
	if f == nil {
		return errFunctionMissing
	}
	writeJSON(w, http.StatusOK, f)
	return nil
}

func (m *management) deleteFunction(w http.ResponseWriter, r *http.Request) error {
	slug := r.PathValue("function_slug")
	if !m.store.remove(slug) {
		return errFunctionMissing
	}
	if m.gateway != nil {
		m.gateway.discard(slug)
	}
	writeJSON(w, http.StatusOK, map[string]string{"message": "ok"})
	return nil
}

// deployFunction takes the sources of a function as multipart/form-data.
func (m *management) deployFunction(w http.ResponseWriter, r *http.Request) error {
	d := deployment{slug: r.URL.Query().Get("slug"), verifyJWT: true, files: map[string][]byte{}}
	var err error
	if text := r.URL.Query().Get("bundleOnly"); text != "" {
		if d.bundleOnly, err = strconv.ParseBool(text); err != nil {
			return apiErrorf(http.StatusBadRequest, "bundleOnly: must be true or false")
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBundleBytes)
	parts, err := r.MultipartReader()
	if err != nil {
		return apiErrorf(http.StatusBadRequest, "Request is not multipart/form-data")
	}
	var metadata *struct {
		EntrypointPath string `json:"entrypoint_path"`
		ImportMapPath  string `json:"import_map_path"`
		Name           string `json:"name"`
		VerifyJWT      *bool  `json:"verify_jwt"`
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(part)
		}
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			return apiErrorf(http.StatusRequestEntityTooLarge, "request entity too large")
		case err != nil:
			return apiErrorf(http.StatusBadRequest, "Invalid multipart body")
		}
		// FileName() would drop the directories.
		_, disposition, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil {
			return apiErrorf(http.StatusBadRequest, "Invalid multipart body")
		}
		switch part.FormName() {
		case "metadata":
			if err := json.Unmarshal(content, &metadata); err != nil {
				return apiErrorf(http.StatusBadRequest, "metadata: %v", err)
			}
		case "file":
			if disposition["filename"] == "" {
				return apiErrorf(http.StatusBadRequest, "file: a file name is required")
			}
			d.files[disposition["filename"]] = content
		default:
			return apiErrorf(http.StatusBadRequest, "Unexpected field %q", part.FormName())
		}
	}
	if metadata == nil || metadata.EntrypointPath == "" {
		return apiErrorf(http.StatusBadRequest, "metadata.entrypoint_path: Required")
	}
	d.entrypoint, d.importMap, d.name = metadata.EntrypointPath, metadata.ImportMapPath, metadata.Name
	if metadata.VerifyJWT != nil {
		d.verifyJWT = *metadata.VerifyJWT
	}
	// After the whole request was received, it is deployed even if the caller has gone.
	f, err := m.store.deploy(context.WithoutCancel(r.Context()), d)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, f)
	return nil
}

// functionText is the body of the older endpoints: a function of one file.
type functionText struct {
	Slug      string  `json:"slug"`
	Name      *string `json:"name"`
	Body      *string `json:"body"`
	VerifyJWT *bool   `json:"verify_jwt"`
}

func readFunctionText(r *http.Request) (functionText, error) {
	var text functionText
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType != "application/json" {
		return text, apiErrorf(http.StatusUnsupportedMediaType, "Unsupported content type %q", mediaType)
	}
	return text, readJSON(r, &text)
}

// createFunction handles the older endpoint for deploying.
func (m *management) createFunction(w http.ResponseWriter, r *http.Request) error {
	text, err := readFunctionText(r)
	if err != nil {
		return err
	}
	if text.Slug == "" || text.Name == nil || text.Body == nil {
		return apiErrorf(http.StatusBadRequest, "slug, name and body are required")
	}
	if m.store.get(text.Slug) != nil {
		return apiErrorf(http.StatusBadRequest, "Duplicated function slug")
	}
	f, err := m.store.deploy(context.WithoutCancel(r.Context()), deployment{
		slug: text.Slug, name: *text.Name, entrypoint: "index.ts",
		verifyJWT: text.VerifyJWT == nil || *text.VerifyJWT,
		files:     map[string][]byte{"index.ts": []byte(*text.Body)},
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, f)
	return nil
}

// updateFunction changes a function's name, JWT check or code.
func (m *management) updateFunction(w http.ResponseWriter, r *http.Request) error {
	slug := r.PathValue("function_slug")
	text, err := readFunctionText(r)
	if err != nil {
		return err
	}
	current := m.store.get(slug)
	if current == nil {
		return errFunctionMissing
	}
	if text.Body != nil {
		d := deployment{
			slug: slug, name: current.Name, entrypoint: "index.ts", verifyJWT: current.VerifyJWT,
			files: map[string][]byte{"index.ts": []byte(*text.Body)},
		}
		if text.Name != nil {
			d.name = *text.Name
		}
		if text.VerifyJWT != nil {
			d.verifyJWT = *text.VerifyJWT
		}
		f, err := m.store.deploy(context.WithoutCancel(r.Context()), d)
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, f)
		return nil
	}
	f := m.store.update(slug, func(f *function) {
		if text.Name != nil {
			f.Name = *text.Name
		}
		if text.VerifyJWT != nil {
			f.VerifyJWT = *text.VerifyJWT
		}
	})
	if f == nil {
		return errFunctionMissing
	}
	writeJSON(w, http.StatusOK, f)
	return nil
}

// updateFunctions stores the metadata of several functions.
func (m *management) updateFunctions(w http.ResponseWriter, r *http.Request) error {
	var rows []struct {
		ID             string `json:"id"`
		Slug           string `json:"slug"`
		Name           string `json:"name"`
		Status         string `json:"status"`
		Version        *int   `json:"version"`
		CreatedAt      int64  `json:"created_at"`
		VerifyJWT      *bool  `json:"verify_jwt"`
		ImportMap      bool   `json:"import_map"`
		EntrypointPath string `json:"entrypoint_path"`
		ImportMapPath  string `json:"import_map_path"`
		EzbrSHA256     string `json:"ezbr_sha256"`
	}
	if err := readJSON(r, &rows); err != nil {
		return err
	}
	statuses := []string{statusActive, statusRemoved, statusThrottled}
	for i, row := range rows {
		if row.ID == "" || row.Name == "" || row.Version == nil || !slugPattern.MatchString(row.Slug) || !slices.Contains(statuses, row.Status) {
			return apiErrorf(http.StatusBadRequest, "%d: id, slug, name, status and version are required", i)
		}
	}
	answer := struct {
		Functions []*function `json:"functions"`
	}{[]*function{}}
	for _, row := range rows {
		f := function{
			ID: row.ID, Slug: row.Slug, Name: row.Name, Status: row.Status, Version: *row.Version, CreatedAt: row.CreatedAt,
			VerifyJWT: true, ImportMap: row.ImportMap, EntrypointPath: row.EntrypointPath,
			ImportMapPath: row.ImportMapPath, EzbrSHA256: row.EzbrSHA256,
		}
		if current := m.store.get(row.Slug); current != nil {
			f.VerifyJWT = current.VerifyJWT
		}
		if row.VerifyJWT != nil {
			f.VerifyJWT = *row.VerifyJWT
		}
		answer.Functions = append(answer.Functions, m.store.publish(f))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// functionBody returns the code: the files in a multipart response if the client
// accepts one, and otherwise the bundle.
func (m *management) functionBody(w http.ResponseWriter, r *http.Request) error {
	f := m.store.get(r.PathValue("function_slug"))
	if f == nil || f.bundle == nil {
		return errFunctionMissing
	}
	if !strings.HasPrefix(r.Header.Get("Accept"), "multipart/form-data") {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(f.bundle.eszip)
		return nil
	}
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	metadata, err := json.Marshal(map[string]string{"deno2_entrypoint_path": "source/" + f.bundle.entrypoint})
	if err != nil {
		return err
	}
	if err := parts.WriteField("metadata", string(metadata)); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(f.bundle.files)) {
		header := textproto.MIMEHeader{}
		header.Set("Content-Disposition", mime.FormatMediaType("form-data",
			map[string]string{"name": "file", "filename": path.Join("source", name)}))
		header.Set("Content-Type", "application/octet-stream")
		part, err := parts.CreatePart(header)
		if err != nil {
			return err
		}
		if _, err := part.Write(f.bundle.files[name]); err != nil {
			return err
		}
	}
	if err := parts.Close(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", parts.FormDataContentType())
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body.Bytes())
	return nil
}

// SQL.

// queryBody is a request to run SQL.
type queryBody struct {
	Query      string `json:"query"`
	Parameters []any  `json:"parameters"`
	ReadOnly   bool   `json:"read_only"`
}

func (m *management) query(w http.ResponseWriter, r *http.Request) error {
	var body queryBody
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if !body.ReadOnly && !m.mayWrite(r) {
		return apiErrorf(http.StatusForbidden, forbiddenMessage)
	}
	return m.runQuery(w, r, body)
}

func (m *management) queryReadOnly(w http.ResponseWriter, r *http.Request) error {
	var body queryBody
	if err := readJSON(r, &body); err != nil {
		return err
	}
	body.ReadOnly = true
	return m.runQuery(w, r, body)
}

func (m *management) runQuery(w http.ResponseWriter, r *http.Request, body queryBody) error {
	if body.Query == "" {
		return apiErrorf(http.StatusBadRequest, "query: String must contain at least 1 character(s)")
	}
	role := "postgres"
	if body.ReadOnly {
		role = "supabase_read_only_user"
	}
	// The query continues when the caller has gone.
	rows, err := sqlService.query(context.WithoutCancel(r.Context()), m.databaseURL(role), body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(rows)
	return nil
}

// clientIP returns the address of a request's sender.
func clientIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
