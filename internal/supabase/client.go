package supabase

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/supabase/cli/pkg/api"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// DefaultBaseURL is where Supabase serves the Management API.
	DefaultBaseURL = "https://api.supabase.com"

	// largestSource, largestRows and largestBody bound in bytes the answers with
	// the source of a function, with rows, and all others; largestFailure bounds
	// failures. Small JSON can become large in memory: a list of a project's
	// functions or secrets stays far below its bound.
	largestSource  = 64 << 20
	largestRows    = 16 << 20
	largestBody    = 4 << 20
	largestFailure = 1 << 20

	// statusUpstreamFailure is the API's own status for a failure of something
	// behind it. It comes with permanent failures too.
	statusUpstreamFailure = 544

	// Calls that may be repeated are given up after so many failures, and
	// after so many refusals because of the rate limit.
	mostFailures  = 6
	mostRefusals  = 10
	mostTimeouts  = 2
	mostInternal  = 3
	shortestDelay = 500 * time.Millisecond
	longestDelay  = 10 * time.Second
	longestAfter  = time.Minute

	// idleTimeout is how long a connection is kept that nobody uses.
	idleTimeout = 10 * time.Second
)

// Config is what a Client is made of.
type Config struct {
	// BaseURL is the API's address; DefaultBaseURL if empty. It must be https,
	// or http to a loopback address.
	BaseURL string
	// Token is the access token, personal or of OAuth. Required.
	Token string
	// UserAgent is sent with every request.
	UserAgent string
	// Transport sends the requests; a private one with the defaults of
	// net/http if nil.
	Transport http.RoundTripper
	// Logger receives what the client does: waits at level Info, each request
	// at level Debug. Nothing in it is secret. It may be nil.
	Logger *slog.Logger
	// Redactor hides secrets; a new one if nil. The client adds its token and
	// the secrets that it handles.
	Redactor *Redactor
	// AttemptTimeout bounds one attempt of a call. 0 means as long as each
	// call usually needs at most, from half a minute to five.
	AttemptTimeout time.Duration
}

// A Client calls the Management API with one access token. It may be used by
// several goroutines at once.
type Client struct {
	server    string
	token     string
	userAgent string
	transport http.RoundTripper
	log       *slog.Logger
	redactor  *Redactor
	timeout   time.Duration
	pacer     *pacer
}

// ValidateURL reports why requests with an access token may not be sent to an
// address. The error does not quote it.
func ValidateURL(address string) error {
	base, err := url.Parse(address)
	switch {
	case err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return fmt.Errorf("the Management API's URL must be like %s, without user, query or fragment", DefaultBaseURL)
	case base.Scheme != "https" && (base.Scheme != "http" || !loopback(base.Hostname())):
		return errors.New("the Management API's URL must begin with https://, because the access token is sent there (http:// is accepted for a loopback address)")
	}
	return nil
}

// ValidateToken reports why a text cannot be an access token. The error does
// not quote it.
func ValidateToken(token string) error {
	switch {
	case token == "":
		return errors.New("the access token is empty")
	case strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return errors.New("the access token contains a space, a line break or another character that no token has; copy it again")
	}
	return nil
}

// New returns a client. It sends nothing.
func New(cfg Config) (*Client, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if err := ValidateURL(cfg.BaseURL); err != nil {
		return nil, err
	}
	if err := ValidateToken(cfg.Token); err != nil {
		return nil, err
	}
	c := &Client{
		server:    strings.TrimSuffix(cfg.BaseURL, "/") + "/",
		token:     cfg.Token,
		userAgent: cfg.UserAgent,
		transport: cfg.Transport,
		log:       cfg.Logger,
		redactor:  cfg.Redactor,
		timeout:   cfg.AttemptTimeout,
	}
	if c.transport == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		// Terraform works on ten resources at once, and each makes three requests.
		transport.MaxIdleConnsPerHost = 32
		// A provider that serves several runs keeps nothing between them.
		transport.IdleConnTimeout = idleTimeout
		c.transport = transport
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.redactor == nil {
		c.redactor = NewRedactor()
	}
	c.redactor.Add(cfg.Token)
	c.pacer = newPacer(c.log)
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Redactor is what the client hides secrets with.
func (c *Client) Redactor() *Redactor { return c.redactor }

// Close closes idle connections. The client may be used on.
func (c *Client) Close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// An effect is what sending a request twice does.
type effect int

const (
	// reads changes nothing.
	reads effect = iota
	// overwrites leaves the same behind however often it is sent.
	overwrites
	// adds must not be sent again when it may have been carried out.
	adds
)

// A call is one operation on the API: one request, or the same again when it
// failed.
type call struct {
	// op and resource are for people; see Error.
	op, resource string
	// ref is the project's, empty for a call about the whole account.
	ref     string
	account bool
	// endpoint is the method and the path with its variables by name: what the
	// API counts requests by, within a project.
	endpoint string
	// permission is what the token needs for it.
	permission string
	effect     effect
	// timeout is for one attempt.
	timeout time.Duration
	// accept is the form in which the answer is wanted; JSON if empty.
	accept string
	// largest bounds in bytes the body of a successful answer; largestBody if 0.
	largest int64
	// sql says that failures may quote an error of SQL.
	sql bool
	// hide holds values that errors must not show, besides those that the
	// redactor knows.
	hide []string

	client                                *Client
	attempts, failures, timeouts, refused int
	// arrived says that an attempt without success may have been carried out.
	arrived bool
	// last is how the last attempt failed, wait the time until the next.
	last string
	wait time.Duration
}

var refPattern = regexp.MustCompile(`^[a-z]{20}$`)

// do performs a call and returns the body of the successful answer. request
// makes the request with the generated client, whose HTTP client repeats it as
// often as is needed.
func (c *Client) do(ctx context.Context, k *call, request func(*api.Client) (*http.Response, error)) (*http.Response, []byte, error) {
	k.client = c
	if c.timeout > 0 {
		k.timeout = c.timeout
	}
	if !k.account && !refPattern.MatchString(k.ref) {
		return nil, nil, k.invalid("a project ref is 20 lower-case letters")
	}
	response, err := request(&api.Client{Server: c.server, Client: k, RequestEditors: []api.RequestEditorFn{k.dress}})
	if err != nil {
		return nil, nil, k.unanswered(ctx, err)
	}
	body := peek(response)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, nil, k.unsuccessful(response.StatusCode, body)
	}
	return response, body, nil
}

// dress adds to a request what the generated client does not know.
func (k *call) dress(_ context.Context, r *http.Request) error {
	r.Header.Set("Authorization", "Bearer "+k.client.token)
	if k.client.userAgent != "" {
		r.Header.Set("User-Agent", k.client.userAgent)
	}
	if k.accept == "" {
		k.accept = "application/json"
	}
	r.Header.Set("Accept", k.accept)
	return nil
}

// Do sends a request until it is answered in a way that repeating will not
// change. It is the HTTP client of the generated client.
func (k *call) Do(r *http.Request) (*http.Response, error) {
	request, err := retryablehttp.FromRequest(r)
	if err != nil {
		return nil, err
	}
	repeating := retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     k,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     math.MaxInt,
		CheckRetry:   k.again,
		Backoff:      k.delay,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	return repeating.Do(request)
}

// RoundTrip makes one attempt, when the rate limit allows it, and reads the
// answer to its end.
func (k *call) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	entered, err := k.client.pacer.enter(ctx, k.endpoint+" "+k.ref)
	if err != nil {
		return nil, &heldBackError{err}
	}
	attempt, cancel := context.WithTimeoutCause(ctx, k.timeout, errAttemptTimeout)
	defer cancel()
	k.attempts++
	start := time.Now()
	response, err := k.client.transport.RoundTrip(r.WithContext(attempt))
	if err == nil {
		err = buffer(response, cmp.Or(k.largest, largestBody))
	}
	if err != nil {
		if ctx.Err() == nil && errors.Is(context.Cause(attempt), errAttemptTimeout) {
			err = errAttemptTimeout
		}
		k.arrived = k.arrived || !unsent(err)
		entered.done(nil, 0)
		k.logAttempt(ctx, start, 0, err)
		return nil, err
	}
	entered.done(response, min(shortestDelay<<min(k.refused+1, 10), usualWindow))
	k.logAttempt(ctx, start, response.StatusCode, nil)
	return response, nil
}

var (
	errAttemptTimeout = errors.New("there was no answer in time")
	errTooLarge       = errors.New("the answer is too large")
)

// heldBackError says that an attempt was not made, because the rate limit or
// the end of the context came before.
type heldBackError struct{ error }

func (e *heldBackError) Unwrap() error { return e.error }

// buffer reads the body of an answer into memory. A failure that is too long
// is cut, an answer that is too long is an error.
func buffer(response *http.Response, largest int64) error {
	defer func() { _ = response.Body.Close() }()
	limit, success := int64(largestFailure), response.StatusCode >= 200 && response.StatusCode <= 299
	if success {
		limit = largest
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil && success {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	if int64(len(body)) > limit {
		if success {
			return fmt.Errorf("%w: more than %d MiB", errTooLarge, limit>>20)
		}
		body = body[:limit]
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	return nil
}

func (k *call) logAttempt(ctx context.Context, start time.Time, status int, err error) {
	attrs := []slog.Attr{
		slog.String("endpoint", k.endpoint), slog.String("ref", k.ref),
		slog.Int("attempt", k.attempts), slog.Duration("took", time.Since(start)),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", k.redact(reason(err))))
	} else {
		attrs = append(attrs, slog.Int("status", status))
	}
	k.client.log.LogAttrs(ctx, slog.LevelDebug, "management API request", attrs...)
}

func (k *call) redact(text string) string { return k.client.redactor.redact(text, k.hide) }

// again decides whether to repeat a request, and when. An answer that has come
// counts also when the context has ended since.
func (k *call) again(ctx context.Context, response *http.Response, err error) (bool, error) {
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if errors.As(err, new(*heldBackError)) {
			return false, err
		}
		k.last = reason(err)
		k.failures++
		if errors.Is(err, errAttemptTimeout) {
			k.timeouts++
		}
		if permanent(err) || k.effect == adds && !unsent(err) || k.failures >= mostFailures || k.timeouts > mostTimeouts {
			return false, err
		}
		k.postpone(ctx, nil)
		return true, nil
	}
	status := response.StatusCode
	if status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests {
		return false, nil
	}
	message, _ := messageOf(peek(response))
	if k.sql {
		message = parseSQLError(message).message
	}
	k.last = strings.TrimSuffix(fmt.Sprintf("HTTP %d: %s", status, message), ": ")
	if status == http.StatusTooManyRequests {
		// The pacer waits for the end of the window.
		k.refused++
		k.wait = 0
		return k.refused < mostRefusals, nil
	}
	k.failures++
	// When the database has no connection to spare, nothing was carried out.
	full := status == http.StatusServiceUnavailable &&
		(strings.Contains(message, "too many clients") || strings.Contains(message, "remaining connection slots"))
	k.arrived = k.arrived || !full
	if k.effect == adds && !full || k.failures >= mostAttempts(status) {
		return false, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	k.postpone(ctx, response)
	return true, nil
}

// mostAttempts is how many attempts a failure is worth. Gateways fail in
// passing; other failures of the server are often there to stay.
func mostAttempts(status int) int {
	switch {
	case status == http.StatusRequestTimeout, status >= 502 && status <= 504, status >= 520 && status <= 527, status == 530:
		return mostFailures
	case status == http.StatusInternalServerError:
		return mostInternal
	}
	return 1
}

// peek returns the body of a buffered answer and leaves it to be read again.
func peek(response *http.Response) []byte {
	body, _ := io.ReadAll(response.Body)
	response.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// postpone sets the time until the next attempt.
func (k *call) postpone(ctx context.Context, response *http.Response) {
	k.wait = min(shortestDelay<<(k.failures-1), longestDelay)
	k.wait += rand.N(k.wait / 4)
	if response != nil {
		if asked, ok := retryAfter(response.Header, time.Now()); ok {
			k.wait = max(k.wait, min(asked, longestAfter))
		}
	}
	k.client.log.LogAttrs(ctx, slog.LevelInfo, "repeating a request to the Management API",
		slog.String("endpoint", k.endpoint), slog.String("ref", k.ref),
		slog.String("because", text.Head(k.redact(k.last), longestMessage)), slog.Duration("in", k.wait))
}

func (k *call) delay(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return k.wait }

// unsent says that an error came before a request could reach the server.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, new(*net.DNSError)) || distrusted(err) ||
		errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// distrusted says that an error came from making the connection secure.
func distrusted(err error) bool {
	return errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.CertificateInvalidError)) || errors.As(err, new(*tls.CertificateVerificationError)) ||
		errors.As(err, new(tls.RecordHeaderError))
}

// permanent says that an error will come again.
func permanent(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, errTooLarge) || distrusted(err) || errors.As(err, &dns) && dns.IsNotFound
}

// reason is an error's text without the request's URL.
func reason(err error) string {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err.Error()
	}
	return err.Error()
}

func (k *call) failure() *Error {
	return &Error{Op: text.Head(text.Line(k.op), longestMessage), Resource: text.Head(text.Line(k.resource), longestMessage), Attempts: k.attempts}
}

// invalid is the error for input that is not sent.
func (k *call) invalid(why string) *Error {
	e := k.failure()
	e.Message = why
	e.kinds = []error{ErrInvalidInput}
	return e
}

// unanswered is the error for a call without an answer.
func (k *call) unanswered(ctx context.Context, err error) *Error {
	e := k.failure()
	e.Message = text.Head(k.redact(reason(err)), longestMessage)
	switch {
	case errors.As(err, new(*heldBackError)) && ctx.Err() == nil:
		e.cause = context.DeadlineExceeded
		e.kinds = append(e.kinds, ErrRateLimited)
		e.Advice = "Run again later, or with a longer timeout."
	case ctx.Err() != nil:
		e.cause = ctx.Err()
		e.Message = "there was no time left"
		if errors.Is(e.cause, context.Canceled) {
			e.Message = "it was interrupted"
		}
		if k.last != "" {
			e.Message += "; the last attempt failed with: " + text.Head(k.redact(k.last), longestMessage)
		}
		if k.refused > 0 {
			e.kinds = append(e.kinds, ErrRateLimited)
		}
	case errors.Is(err, errTooLarge), errors.Is(err, io.ErrUnexpectedEOF):
		e.kinds = append(e.kinds, ErrUnexpectedAnswer)
	case distrusted(err):
		e.Advice = "The connection is not secure: check the API's URL, the proxy if there is one, and the certificates that this machine trusts."
	default:
		e.Advice = "Check the network between this machine and the API, and run again."
	}
	k.markUnknown(e)
	return e
}

// unsuccessful is the error for an answer that is no success.
func (k *call) unsuccessful(status int, body []byte) *Error {
	e := k.failure()
	e.explain(status, body, k.sql, k.permission, k.redact)
	k.markUnknown(e)
	return e
}

func (k *call) markUnknown(e *Error) {
	if k.arrived && k.effect != reads {
		e.kinds = append(e.kinds, ErrOutcomeUnknown)
	}
}

// malformed is the error for an answer that is not of the documented form. The
// answer itself is not quoted.
func (k *call) malformed(why string) *Error {
	e := k.failure()
	e.Message = "the answer is not of the documented form: " + k.redact(why)
	e.kinds = []error{ErrUnexpectedAnswer}
	k.arrived = true
	k.markUnknown(e)
	return e
}

// decode reads an answer of JSON.
func decode[T any](k *call, body []byte) (T, error) {
	var value T
	if err := json.Unmarshal(body, &value); err != nil {
		var zero T
		return zero, k.malformed(jsonReason(err))
	}
	return value, nil
}

// jsonReason says what is wrong with JSON without quoting it.
func jsonReason(err error) string {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind):
		return fmt.Sprintf("the field %q holds a %s", kind.Field, kind.Value)
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is no JSON from byte %d on", syntax.Offset)
	}
	return "it is no JSON"
}
