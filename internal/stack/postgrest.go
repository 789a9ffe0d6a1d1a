package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgrest is a stand-in for the gateway and the PostgREST in front of a project's
// database, at /rest/v1/: the roles of keys, calls of functions, and reading and
// writing one table at a time. Each request is one transaction of the role
// authenticator, which switches to the key's role.
//
// It leaves out: schemas other than public, embedded resources, or= filters,
// upserts, counts, ranges, OpenAPI, CSV, variadic functions and those of one
// unnamed parameter, HEAD and PUT. Its schema cache is always fresh. Of
// pg-safeupdate it has what passes the API itself: an UPDATE or DELETE without
// a filter is refused, one inside an SQL function is not.
type postgrest struct {
	keys *keys
	pool *pgxpool.Pool
	// gatewayTimeout is when the gateway gives up waiting for PostgREST.
	gatewayTimeout time.Duration
}

// maxRows is how many rows a read returns at most.
const maxRows = 1000

func newPostgrest(ctx context.Context, k *keys, authenticatorURL string, gatewayTimeout time.Duration) (*postgrest, error) {
	pool, err := newPool(ctx, authenticatorURL, "postgrest")
	if err != nil {
		return nil, err
	}
	return &postgrest{keys: k, pool: pool, gatewayTimeout: gatewayTimeout}, nil
}

func (p *postgrest) close() { p.pool.Close() }

// newPool returns a pool of at most ten connections. Each is tested before its use,
// because a restart of the server leaves dead connections.
func newPool(ctx context.Context, databaseURL, application string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 10
	config.ConnConfig.RuntimeParams["application_name"] = application
	config.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		return conn.Ping(ctx) == nil, nil
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// restError is an error response in PostgREST's form.
type restError struct {
	status  int
	Code    string  `json:"code"`
	Details *string `json:"details"`
	Hint    *string `json:"hint"`
	Message string  `json:"message"`
}

func (e *restError) Error() string { return e.Code + ": " + e.Message }

func restErrorf(status int, code, format string, args ...any) *restError {
	return &restError{status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *restError) withDetails(details string) *restError {
	e.Details = &details
	return e
}

// identity is the sender of a request.
type identity struct {
	role   string
	claims string // JSON
}

// authenticate does the gateway's part: it requires an API key, which decides the role
// unless a JWT does.
func (p *postgrest) authenticate(r *http.Request) (identity, error) {
	k := p.keys
	apikey := r.Header.Get("apikey")
	if apikey == "" {
		apikey = r.URL.Query().Get("apikey")
	}
	authorization := r.Header.Get("Authorization")
	bearer, hasBearer := strings.CutPrefix(authorization, "Bearer ")
	type gatewayBody struct {
		Message string `json:"message"`
		Hint    string `json:"hint"`
	}
	refuse := func(message, hint string) error { return &rawError{401, gatewayBody{message, hint}} }
	var role string
	switch apikey {
	case "":
		return identity{}, refuse("No API key found in request", "No `apikey` request header or url param was found.")
	case k.publishable:
		role = "anon"
	case k.secret:
		if strings.HasPrefix(r.UserAgent(), "Mozilla/") {
			return identity{}, refuse("Forbidden use of secret API key in browser",
				"Secret API keys can only be used in a protected environment and should never be used in a browser.")
		}
		role = "service_role"
	case k.anon, k.serviceRole:
		if k.legacyOff.Load() {
			return identity{}, refuse("Legacy API keys are disabled", "Use the publishable and secret API keys of the project.")
		}
		if !hasBearer {
			bearer, hasBearer = apikey, true
		}
	default:
		return identity{}, refuse("Invalid API key", "Double check your Supabase `anon` or `service_role` API key.")
	}
	if strings.HasPrefix(bearer, "sb_") && bearer != apikey {
		return identity{}, refuse("Invalid API key", "Double check your Supabase `anon` or `service_role` API key.")
	}
	if !hasBearer {
		claims, err := json.Marshal(map[string]string{"role": role})
		return identity{role, string(claims)}, err
	}
	claims, err := k.verify(bearer, time.Now())
	switch {
	case errors.Is(err, errJWTFormat):
		return identity{}, restErrorf(401, "PGRST301", "Expected 3 parts in JWT; got %d", strings.Count(bearer, ".")+1)
	case errors.Is(err, errJWTExpired):
		return identity{}, restErrorf(401, "PGRST303", "JWT expired")
	case err != nil:
		return identity{}, restErrorf(401, "PGRST301", "No suitable key or wrong key type")
	}
	encoded, err := json.Marshal(claims)
	if err != nil {
		return identity{}, err
	}
	role, _ = claims["role"].(string)
	if role == "" {
		role = "anon"
	}
	return identity{role, string(encoded)}, nil
}

// rawError is an error response of the gateway, whose body has no common form.
type rawError struct {
	status int
	body   any
}

func (e *rawError) Error() string { return fmt.Sprintf("%d: %v", e.status, e.body) }

// restAnswer is a successful response.
type restAnswer struct {
	status int
	body   []byte // JSON; nil for none
	ranges string // Content-Range
}

// ServeHTTP serves /rest/v1/.
func (p *postgrest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, err := p.authenticate(r)
	if err != nil {
		writeRestError(w, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBundleBytes))
	if err != nil {
		writeRestError(w, restErrorf(http.StatusRequestEntityTooLarge, "PGRST102", "Request body is too large"))
		return
	}
	// PostgREST continues when its caller has gone, or when the gateway has given up.
	type result struct {
		answer restAnswer
		err    error
	}
	done := make(chan result, 1)
	ctx := context.WithoutCancel(r.Context())
	go func() {
		answer, err := p.serve(ctx, who, r, body)
		done <- result{answer, err}
	}()
	timer := time.NewTimer(p.gatewayTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		writeJSON(w, http.StatusGatewayTimeout, map[string]string{"message": "The upstream server is timing out"})
	case got := <-done:
		if got.err != nil {
			writeRestError(w, got.err)
			return
		}
		if got.answer.ranges != "" {
			w.Header().Set("Content-Range", got.answer.ranges)
		}
		if got.answer.body == nil {
			writeEmpty(w, got.answer.status)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(got.answer.status)
		_, _ = w.Write(got.answer.body)
	}
}

func writeRestError(w http.ResponseWriter, err error) {
	var raw *rawError
	var known *restError
	switch {
	case errors.As(err, &raw):
		writeJSON(w, raw.status, raw.body)
	case errors.As(err, &known):
		if known.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		writeJSON(w, known.status, known)
	default:
		writeJSON(w, http.StatusInternalServerError, restErrorf(500, "PGRSTX00", "%v", err))
	}
}

// serve routes one request.
func (p *postgrest) serve(ctx context.Context, who identity, r *http.Request, body []byte) (restAnswer, error) {
	name := strings.TrimPrefix(r.URL.Path, "/rest/v1/")
	if fn, ok := strings.CutPrefix(name, "rpc/"); ok {
		return p.call(ctx, who, r, fn, body)
	}
	if name == "" || strings.Contains(name, "/") {
		return restAnswer{}, restErrorf(http.StatusNotFound, "PGRST125", "Invalid path specified in request URL")
	}
	return p.table(ctx, who, r, name, body)
}

// transact runs do in a transaction of the identity's role, with the settings
// that PostgREST makes: the role's own, those of hoisted, and the request's.
func (p *postgrest) transact(ctx context.Context, who identity, r *http.Request, readOnly bool, hoisted map[string]string, do func(*session) error) error {
	acquire, cancel := context.WithTimeout(ctx, 10*time.Second)
	conn, err := p.pool.Acquire(acquire)
	cancel()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return restErrorf(http.StatusGatewayTimeout, "PGRST003", "Timed out acquiring connection from connection pool.")
	case err != nil:
		return connectionError(err)
	}
	defer conn.Release()
	s := &session{conn: conn.Conn().PgConn(), role: who.role}
	begin := "begin isolation level read committed read write"
	if readOnly {
		begin = "begin isolation level read committed read only"
	}
	if _, err := s.conn.Exec(ctx, begin).ReadAll(); err != nil {
		return s.translate(err)
	}
	err = s.prepare(ctx, who, r, hoisted)
	if err == nil {
		err = do(s)
	}
	if err != nil {
		s.rollback(ctx)
		return err
	}
	_, err = s.conn.Exec(ctx, "commit").ReadAll()
	return s.translate(err)
}

// session is a transaction of one request.
type session struct {
	conn *pgconn.PgConn
	role string
}

func (s *session) rollback(ctx context.Context) {
	if !s.conn.IsClosed() {
		_, _ = s.conn.Exec(ctx, "rollback").ReadAll()
	}
}

// prepare switches to the role.
func (s *session) prepare(ctx context.Context, who identity, r *http.Request, hoisted map[string]string) error {
	settings, err := s.query(ctx, `
		select split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
		from pg_catalog.pg_db_role_setting s
		join pg_catalog.pg_roles r on r.oid = s.setrole
		cross join unnest(s.setconfig) setting
		where r.rolname = $1 and s.setdatabase = 0`, who.role)
	if err != nil {
		return err
	}
	headers := map[string]string{}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	encoded, err := json.Marshal(headers)
	if err != nil {
		return err
	}
	names := []string{"search_path"}
	values := []string{`public, extensions`}
	set := func(name, value string) {
		names = append(names, name)
		values = append(values, value)
	}
	for _, row := range settings {
		set(string(row[0]), string(row[1]))
	}
	for _, name := range slices.Sorted(maps.Keys(hoisted)) {
		set(name, hoisted[name])
	}
	set("request.jwt.claims", who.claims)
	set("request.method", r.Method)
	set("request.path", strings.TrimPrefix(r.URL.Path, "/rest/v1"))
	set("request.headers", string(encoded))
	set("role", who.role) // last: a setting may need the authenticator's rights
	var sql strings.Builder
	args := make([]string, 0, 2*len(names))
	sql.WriteString("select ")
	for i := range names {
		if i > 0 {
			sql.WriteString(", ")
		}
		fmt.Fprintf(&sql, "set_config($%d, $%d, true)", 2*i+1, 2*i+2)
		args = append(args, names[i], values[i])
	}
	_, err = s.query(ctx, sql.String(), args...)
	return err
}

// query runs one statement with text parameters whose types the server infers.
func (s *session) query(ctx context.Context, sql string, args ...string) ([][][]byte, error) {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	result := s.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	return result.Rows, s.translate(result.Err)
}

// translate returns PostgREST's response for a database error.
func (s *session) translate(err error) error {
	if err == nil {
		return nil
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return connectionError(err)
	}
	out := &restError{status: sqlStatus(e, s.role != "anon"), Code: e.Code, Message: e.Message}
	if e.Detail != "" {
		out.Details = &e.Detail
	}
	if e.Hint != "" {
		out.Hint = &e.Hint
	}
	return out
}

// connectionError returns the response if the database cannot be reached.
func connectionError(err error) error {
	return restErrorf(http.StatusServiceUnavailable, "PGRST001", "Database client error. Retrying the connection.").
		withDetails(err.Error())
}

// sqlStatus returns the HTTP status of a database error.
func sqlStatus(e *pgconn.PgError, authenticated bool) int {
	if n, ok := strings.CutPrefix(e.Code, "PT"); ok {
		if status, err := strconv.Atoi(n); err == nil && status >= 100 && status < 600 {
			return status
		}
		return 500
	}
	switch e.Code {
	case "23503", "23505":
		return 409
	case "25006":
		return 405
	case "21000":
		if strings.HasSuffix(e.Message, "requires a WHERE clause") {
			return 400
		}
		return 500
	case "53400":
		return 500
	case "57P01":
		return 503
	case "P0001":
		return 400
	case "42883", "42P01":
		return 404
	case "42P17":
		return 500
	case "42501":
		if authenticated {
			return 403
		}
		return 401
	}
	switch e.Code[:2] {
	case "08", "53":
		return 503
	case "0L", "0P", "28":
		return 403
	case "09", "25", "2D", "38", "39", "3B", "40", "54", "55", "57", "58", "F0", "HV", "P0", "XX":
		return 500
	}
	return 400
}

// Calls of functions.

// routine is a function in the schema cache.
type routine struct {
	oid        string
	volatile   bool
	set        bool // returns a set
	void       bool
	composite  bool              // returns rows rather than values
	names      []string          // of the parameters, in order
	types      []string          // of the parameters
	defaults   int               // how many of the last ones may be left out
	settings   map[string]string // hoisted to the transaction
	definition string            // for an error about ambiguity
}

// hoistedSettings are a function's settings that PostgREST applies to the
// transaction, before the call.
var hoistedSettings = []string{"statement_timeout", "plan_filter.statement_cost_limit", "default_transaction_isolation"}

// call runs a function: POST with named arguments in a JSON object, or GET with
// them in the query, which is always read-only.
func (p *postgrest) call(ctx context.Context, who identity, r *http.Request, name string, body []byte) (restAnswer, error) {
	args := map[string]json.RawMessage{}
	switch r.Method {
	case http.MethodPost:
		if len(bytes.TrimSpace(body)) > 0 {
			if err := json.Unmarshal(body, &args); err != nil {
				return restAnswer{}, restErrorf(http.StatusBadRequest, "PGRST102", "Empty or invalid json")
			}
		}
	case http.MethodGet:
		for key, values := range r.URL.Query() {
			if key != "select" && key != "apikey" {
				args[key] = jsonText(values[0])
			}
		}
	default:
		return restAnswer{}, restErrorf(http.StatusMethodNotAllowed, "PGRST101", "Cannot use the %s method on RPC", r.Method)
	}
	fn, err := p.routine(ctx, name, slices.Sorted(maps.Keys(args)))
	if err != nil {
		return restAnswer{}, err
	}
	encoded, err := json.Marshal(args)
	if err != nil {
		return restAnswer{}, err
	}
	var columns, named []string
	for i, n := range fn.names {
		if _, ok := args[n]; ok {
			columns = append(columns, quote(n)+" "+fn.types[i])
			named = append(named, quote(n)+" := args."+quote(n))
		}
	}
	from := "(select $1::json) args"
	if len(columns) > 0 {
		from = "json_to_record($1::json) args(" + strings.Join(columns, ", ") + ")"
	}
	invocation := quote("public") + "." + quote(name) + "(" + strings.Join(named, ", ") + ")"
	var sql string
	switch {
	case fn.void:
		sql = "select (" + invocation + ")::text from " + from
	case fn.composite || fn.set:
		value := "to_json(result)"
		aggregate := fmt.Sprintf("coalesce(json_agg(%s), '[]')", value)
		if !fn.set {
			aggregate = value
		}
		sql = fmt.Sprintf("select (%s)::text from (select result.* from %s, lateral %s result limit %d) result",
			aggregate, from, invocation, maxRows)
		if !fn.composite {
			sql = fmt.Sprintf("select coalesce(json_agg(result.value), '[]')::text from (select result.value from %s, lateral %s result(value) limit %d) result",
				from, invocation, maxRows)
		}
	default:
		sql = "select to_json(" + invocation + ")::text from " + from
	}
	readOnly := r.Method == http.MethodGet || !fn.volatile
	answer := restAnswer{status: http.StatusOK}
	err = p.transact(ctx, who, r, readOnly, fn.settings, func(s *session) error {
		rows, err := s.query(ctx, sql, string(encoded))
		switch {
		case err != nil:
			return err
		case fn.void:
			answer.status = http.StatusNoContent
		case len(rows) == 0 || rows[0][0] == nil:
			answer.body = []byte("null")
		default:
			answer.body = rows[0][0]
		}
		return nil
	})
	return answer, err
}

// routine finds the function that takes exactly these arguments.
func (p *postgrest) routine(ctx context.Context, name string, args []string) (*routine, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, connectionError(err)
	}
	defer conn.Release()
	s := &session{conn: conn.Conn().PgConn(), role: "authenticator"}
	// Parameters of mode IN, in order; the last pronargdefaults are optional.
	rows, err := s.query(ctx, `
		select p.oid, p.provolatile = 'v', p.proretset, p.prorettype = 'void'::regtype,
			t.typtype = 'c' or p.prorettype = 'record'::regtype or coalesce(p.proargmodes::text[] && '{t,o,b}', false),
			p.pronargdefaults,
			coalesce(to_json(p.proargnames), '[]'),
			coalesce((select json_agg(format_type(a.type, null) order by a.n)
				from unnest(p.proargtypes) with ordinality a(type, n)), '[]'),
			coalesce(to_json(p.proargmodes::text[]), 'null'),
			coalesce(to_json(p.proconfig), '[]'),
			format('public.%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid))
		from pg_catalog.pg_proc p
		join pg_catalog.pg_type t on t.oid = p.prorettype
		where p.pronamespace = 'public'::regnamespace and p.proname = $1 and p.prokind = 'f'
		order by p.oid`, name)
	if err != nil {
		return nil, err
	}
	var found []*routine
	for _, row := range rows {
		fn := &routine{
			oid: string(row[0]), volatile: string(row[1]) == "t", set: string(row[2]) == "t",
			void: string(row[3]) == "t", composite: string(row[4]) == "t",
			settings: map[string]string{}, definition: string(row[10]),
		}
		var modes, config []string
		fn.defaults, _ = strconv.Atoi(string(row[5]))
		for i, into := range map[int]any{6: &fn.names, 7: &fn.types, 8: &modes, 9: &config} {
			if err := json.Unmarshal(row[i], into); err != nil {
				return nil, err
			}
		}
		if modes != nil {
			var in []string
			for i, n := range fn.names {
				if modes[i] == "i" || modes[i] == "b" {
					in = append(in, n)
				}
			}
			fn.names = in
		}
		for _, setting := range config {
			key, value, _ := strings.Cut(setting, "=")
			if slices.Contains(hoistedSettings, key) {
				fn.settings[key] = value
			}
		}
		if fn.takes(args) {
			found = append(found, fn)
		}
	}
	signature := "public." + name
	detail := " without parameters"
	if len(args) > 0 {
		signature += "(" + strings.Join(args, ", ") + ")"
		detail = " with parameter " + strings.Join(args, ", ")
		if len(args) > 1 {
			detail = " with parameters " + strings.Join(args, ", ")
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		message := "Could not find the function " + signature
		if len(args) == 0 {
			message += " without parameters"
		}
		return nil, restErrorf(http.StatusNotFound, "PGRST202", "%s in the schema cache", message).withDetails(
			"Searched for the function public." + name + detail + ", but no matches were found in the schema cache.")
	default:
		var all []string
		for _, fn := range found {
			all = append(all, fn.definition)
		}
		hint := "Try renaming the parameters or the function itself in the database so function overloading can be resolved"
		e := restErrorf(http.StatusMultipleChoices, "PGRST203",
			"Could not choose the best candidate function between: %s", strings.Join(all, ", "))
		e.Hint = &hint
		return nil, e
	}
}

// takes reports whether the function can be called with these arguments.
func (fn *routine) takes(args []string) bool {
	if len(fn.names) != len(fn.types) {
		return len(fn.types) == 0 && len(args) == 0 // unnamed parameters cannot be given
	}
	for _, a := range args {
		if !slices.Contains(fn.names, a) {
			return false
		}
	}
	for _, n := range fn.names[:len(fn.names)-fn.defaults] {
		if !slices.Contains(args, n) {
			return false
		}
	}
	return true
}

// Tables.

// table reads or writes one table.
func (p *postgrest) table(ctx context.Context, who identity, r *http.Request, name string, body []byte) (restAnswer, error) {
	q := &tableQuery{table: name, target: quote("public") + "." + quote(name)}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return restAnswer{}, restErrorf(http.StatusBadRequest, "PGRST100", "failed to parse the query: %v", err)
	}
	if err := q.parse(values); err != nil {
		return restAnswer{}, err
	}
	single := strings.HasPrefix(r.Header.Get("Accept"), "application/vnd.pgrst.object")
	representation := slices.ContainsFunc(r.Header.Values("Prefer"), func(v string) bool {
		return strings.Contains(v, "return=representation")
	})
	var sql string
	answer := restAnswer{}
	switch r.Method {
	case http.MethodGet:
		answer.status, representation = http.StatusOK, true
		sql = q.selectSQL()
	case http.MethodPost:
		answer.status = http.StatusCreated
		sql, err = q.insertSQL(body, representation)
	case http.MethodPatch:
		answer.status = http.StatusNoContent
		sql, err = q.updateSQL(body, representation)
	case http.MethodDelete:
		answer.status = http.StatusNoContent
		sql, err = q.deleteSQL(representation)
	default:
		err = restErrorf(http.StatusMethodNotAllowed, "PGRST117", "Unsupported HTTP method: %s", r.Method)
	}
	if err != nil {
		return restAnswer{}, err
	}
	if representation && answer.status == http.StatusNoContent {
		answer.status = http.StatusOK
	}
	err = p.transact(ctx, who, r, r.Method == http.MethodGet, nil, func(s *session) error {
		if err := q.check(ctx, s, r.Method); err != nil {
			return err
		}
		rows, err := s.query(ctx, sql, q.args...)
		if err != nil || !representation {
			return err
		}
		answer.body = rows[0][0]
		n, _ := strconv.Atoi(string(rows[0][1]))
		switch {
		case single && n != 1:
			return restErrorf(http.StatusNotAcceptable, "PGRST116", "Cannot coerce the result to a single JSON object").
				withDetails(fmt.Sprintf("The result contains %d rows", n))
		case single:
			answer.body = bytes.TrimSuffix(bytes.TrimPrefix(answer.body, []byte("[")), []byte("]"))
		case r.Method == http.MethodGet && n > 0:
			answer.ranges = fmt.Sprintf("%d-%d/*", q.offset, q.offset+n-1)
		case r.Method == http.MethodGet:
			answer.ranges = "*/*"
		}
		return nil
	})
	return answer, err
}

// tableQuery is a request about one table.
type tableQuery struct {
	table   string // its name
	target  string // its quoted name
	columns string // what is read, as SQL over the alias "it"
	filters []string
	order   string
	limit   int
	offset  int
	args    []string
	written []string // columns of the request's body
}

// bind adds a parameter and returns its placeholder.
func (q *tableQuery) bind(value string) string {
	q.args = append(q.args, value)
	return "$" + strconv.Itoa(len(q.args))
}

func quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }

// parse reads the query string.
func (q *tableQuery) parse(values url.Values) error {
	q.limit, q.columns = maxRows, "it.*"
	for _, key := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[key] {
			var err error
			switch key {
			case "apikey", "columns", "on_conflict":
			case "select":
				err = q.parseSelect(value)
			case "order":
				err = q.parseOrder(value)
			case "limit":
				var n int
				n, err = strconv.Atoi(value)
				q.limit = min(n, maxRows)
			case "offset":
				q.offset, err = strconv.Atoi(value)
			case "and", "or", "not.and", "not.or":
				err = errors.New("logical operators are not part of the local stack")
			default:
				err = q.parseFilter(key, value)
			}
			if err != nil {
				return restErrorf(http.StatusBadRequest, "PGRST100", "failed to parse %s (%s): %v", key, value, err)
			}
		}
	}
	return nil
}

var columnPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*$`)

// column returns the SQL of a column or of a path into JSON (a->b->>c).
func (q *tableQuery) column(text string) (sql, name string, err error) {
	parts := strings.Split(strings.ReplaceAll(text, "->>", "->\x00"), "->")
	for i, part := range parts {
		key, asText := strings.CutPrefix(part, "\x00")
		name = key
		if i == 0 {
			if !columnPattern.MatchString(key) {
				return "", "", fmt.Errorf("unexpected %q", text)
			}
			sql = "it." + quote(key)
			continue
		}
		arrow := "->"
		if asText {
			arrow = "->>"
		}
		kind := "text"
		if _, err := strconv.Atoi(key); err == nil {
			kind = "int"
		}
		sql = fmt.Sprintf("to_jsonb(%s)%s(%s::%s)", sql, arrow, q.bind(key), kind)
	}
	return sql, name, nil
}

func (q *tableQuery) parseSelect(text string) error {
	if text == "" || text == "*" {
		return nil
	}
	var columns []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "*" {
			columns = append(columns, "it.*")
			continue
		}
		item, cast, hasCast := strings.Cut(item, "::")
		alias := ""
		if before, after, ok := strings.Cut(item, ":"); ok {
			alias, item = before, after
		}
		sql, name, err := q.column(item)
		if err != nil {
			return err
		}
		if hasCast {
			if !columnPattern.MatchString(cast) {
				return fmt.Errorf("unexpected %q", cast)
			}
			sql = "(" + sql + ")::" + quote(cast)
		}
		if alias == "" {
			alias = name
		}
		columns = append(columns, sql+" as "+quote(alias))
	}
	q.columns = strings.Join(columns, ", ")
	return nil
}

func (q *tableQuery) parseOrder(text string) error {
	var terms []string
	for item := range strings.SplitSeq(text, ",") {
		words := strings.Split(item, ".")
		sql, _, err := q.column(words[0])
		if err != nil {
			return err
		}
		for _, word := range words[1:] {
			switch word {
			case "asc", "desc":
				sql += " " + word
			case "nullsfirst":
				sql += " nulls first"
			case "nullslast":
				sql += " nulls last"
			default:
				return fmt.Errorf("unexpected %q", word)
			}
		}
		terms = append(terms, sql)
	}
	q.order = " order by " + strings.Join(terms, ", ")
	return nil
}

// comparisons are the operators that compare with one value.
var comparisons = map[string]string{
	"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "like", "ilike": "ilike",
}

func (q *tableQuery) parseFilter(key, text string) error {
	operator, value, ok := strings.Cut(text, ".")
	not := ""
	if ok && operator == "not" {
		not = "not "
		operator, value, ok = strings.Cut(value, ".")
	}
	if !ok {
		return fmt.Errorf("unexpected %q expecting operator (eq, gt, ...)", text)
	}
	sql, _, err := q.column(key)
	if err != nil {
		return err
	}
	symbol, compares := comparisons[operator]
	switch {
	case operator == "like" || operator == "ilike":
		sql += " " + symbol + " " + q.bind(strings.ReplaceAll(value, "*", "%"))
	case compares:
		sql += " " + symbol + " " + q.bind(value)
	case operator == "is" && slices.Contains([]string{"null", "true", "false", "unknown"}, strings.ToLower(value)):
		sql += " is " + strings.ToLower(value)
	case operator == "in" && strings.HasPrefix(value, "(") && strings.HasSuffix(value, ")"):
		var list []string
		for _, item := range splitList(value[1 : len(value)-1]) {
			list = append(list, q.bind(item))
		}
		if len(list) == 0 {
			sql = "false"
		} else {
			sql += " in (" + strings.Join(list, ", ") + ")"
		}
	default:
		return fmt.Errorf("unexpected operator %q", operator)
	}
	q.filters = append(q.filters, not+"("+sql+")")
	return nil
}

// splitList splits the items of in.(…), which may be in double quotes.
func splitList(text string) []string {
	if text == "" {
		return nil
	}
	var items []string
	var item strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(text):
			i++
			item.WriteByte(text[i])
		case c == ',' && !quoted:
			items = append(items, item.String())
			item.Reset()
		default:
			item.WriteByte(c)
		}
	}
	return append(items, item.String())
}

// where returns the condition of all filters.
func (q *tableQuery) where() string {
	if len(q.filters) == 0 {
		return ""
	}
	return " where " + strings.Join(q.filters, " and ")
}

// result wraps a statement that yields rows: their JSON and their number.
func (q *tableQuery) result(with string) string {
	return with + " select coalesce(json_agg(result), '[]')::text, count(*)::text from (select " + q.columns + " from written it) result"
}

func (q *tableQuery) selectSQL() string {
	return fmt.Sprintf("select coalesce(json_agg(result), '[]')::text, count(*)::text from (select %s from %s it%s%s limit %d offset %d) result",
		q.columns, q.target, q.where(), q.order, max(0, q.limit), max(0, q.offset))
}

// payload reads the body's columns and binds the body.
func (q *tableQuery) payload(body []byte, many bool) (placeholder string, err error) {
	invalid := restErrorf(http.StatusBadRequest, "PGRST102", "Empty or invalid json")
	if !json.Valid(body) {
		return "", invalid
	}
	var rows []map[string]json.RawMessage
	if trimmed := bytes.TrimSpace(body); trimmed[0] == '[' && many {
		if json.Unmarshal(body, &rows) != nil {
			return "", invalid
		}
	} else {
		var row map[string]json.RawMessage
		if json.Unmarshal(body, &row) != nil || row == nil {
			return "", invalid
		}
		rows = append(rows, row)
	}
	for i, row := range rows {
		columns := slices.Sorted(maps.Keys(row))
		if i > 0 && !slices.Equal(columns, q.written) {
			return "", restErrorf(http.StatusBadRequest, "PGRST102", "All object keys must match")
		}
		q.written = columns
	}
	encoded, err := json.Marshal(rows)
	if err != nil {
		return "", err
	}
	return q.bind(string(encoded)), nil
}

// columnList returns the written columns, each with a prefix.
func (q *tableQuery) columnList(prefix string) string {
	list := make([]string, len(q.written))
	for i, c := range q.written {
		list[i] = prefix + quote(c)
	}
	return strings.Join(list, ", ")
}

func (q *tableQuery) insertSQL(body []byte, representation bool) (string, error) {
	value, err := q.payload(body, true)
	if err != nil {
		return "", err
	}
	sql := fmt.Sprintf("insert into %s (%s) select %s from json_populate_recordset(null::%s, %s) body",
		q.target, q.columnList(""), q.columnList("body."), q.target, value)
	if len(q.written) == 0 {
		sql = fmt.Sprintf("insert into %s select from json_array_elements(%s::json) limit 0", q.target, value)
		if string(bytes.TrimSpace(body)) != "[]" {
			sql = fmt.Sprintf("with body as (select %s::json) insert into %s default values", value, q.target)
		}
	}
	if !representation {
		return sql, nil
	}
	return q.result("with written as (" + sql + " returning *)"), nil
}

func (q *tableQuery) updateSQL(body []byte, representation bool) (string, error) {
	value, err := q.payload(body, false)
	if err != nil {
		return "", err
	}
	if len(q.written) == 0 {
		// There is nothing to change.
		q.args = nil
		return "select '[]', '0'", nil
	}
	if len(q.filters) == 0 {
		return "", restErrorf(http.StatusBadRequest, "21000", "UPDATE requires a WHERE clause")
	}
	sql := fmt.Sprintf("update %s it set (%s) = row(%s) from json_populate_recordset(null::%s, %s) body%s",
		q.target, q.columnList(""), q.columnList("body."), q.target, value, q.where())
	if !representation {
		return sql, nil
	}
	return q.result("with written as (" + sql + " returning it.*)"), nil
}

func (q *tableQuery) deleteSQL(representation bool) (string, error) {
	if len(q.filters) == 0 {
		return "", restErrorf(http.StatusBadRequest, "21000", "DELETE requires a WHERE clause")
	}
	sql := "delete from " + q.target + " it" + q.where()
	if !representation {
		return sql, nil
	}
	return q.result("with written as (" + sql + " returning it.*)"), nil
}

// check looks up the table and the written columns, as PostgREST does in its schema
// cache.
func (q *tableQuery) check(ctx context.Context, s *session, method string) error {
	rows, err := s.query(ctx, `
		select coalesce(json_agg(a.attname), '[]')
		from pg_catalog.pg_class c
		left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		where c.relnamespace = 'public'::regnamespace and c.relname = $1 and c.relkind in ('r', 'p', 'v', 'm', 'f')
		group by c.oid`, q.table)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return restErrorf(http.StatusNotFound, "PGRST205", "Could not find the table 'public.%s' in the schema cache", q.table)
	}
	if method != http.MethodPost && method != http.MethodPatch {
		return nil
	}
	var columns []string
	if err := json.Unmarshal(rows[0][0], &columns); err != nil {
		return err
	}
	for _, c := range q.written {
		if !slices.Contains(columns, c) {
			return restErrorf(http.StatusBadRequest, "PGRST204", "Could not find the '%s' column of '%s' in the schema cache", c, q.table)
		}
	}
	return nil
}

// jsonText returns a string as JSON, without the escapes for HTML.
func jsonText(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return bytes.TrimRight(b.Bytes(), "\n")
}
