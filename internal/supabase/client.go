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
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/supabase/cli/pkg/api"

	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/guard"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/ratelimit"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/redact"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/sqlfailure"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// DefaultBaseURL is where Supabase serves the Management API.
	DefaultBaseURL = "https://api.supabase.com"

	// A call is retried until it has failed so many times: altogether, because
	// of the rate limit, and without a response in time.
	maxFailures = 6
	maxRefusals = 10
	maxTimeouts = 2
	// shortestDelay is the pause before the second attempt. Each later pause is twice as
	// long, so the last attempt is sent at least 15 s after the first.
	shortestDelay = 500 * time.Millisecond
)

// Config configures a Client.
type Config struct {
	// BaseURL is the API's address; DefaultBaseURL if empty. It must be https,
	// or http to a loopback address.
	BaseURL string
	// Token is the access token, personal or from OAuth. Required.
	Token string
	// UserAgent is sent with every request.
	UserAgent string
	// Transport sends the requests. If nil, the client has its own, with the
	// defaults of net/http.
	Transport http.RoundTripper
	// Logger receives silences of the API at level Warn, waits at level Info and each
	// request at level Debug, without secrets. It may be nil.
	Logger *slog.Logger
}

// A Client calls the Management API with one access token. It is safe for
// concurrent use.
type Client struct {
	server    string
	token     string
	userAgent string
	transport http.RoundTripper
	log       *slog.Logger
	redactor  *redact.Redactor
	pacer     *ratelimit.Pacer
}

// TellWaits returns a context whose requests say what they wait for, as
// [ratelimit.TellWaits] does.
func TellWaits(ctx context.Context, tell func(message string)) context.Context {
	return ratelimit.TellWaits(ctx, tell)
}

// ValidateURL reports why requests with an access token may not be sent to an
// address. The error does not quote it.
func ValidateURL(address string) error {
	base, err := url.Parse(address)
	loopback := func(host string) bool {
		ip := net.ParseIP(host)
		return host == "localhost" || ip != nil && ip.IsLoopback()
	}
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
		redactor:  redact.New(cfg.Token),
	}
	if c.transport == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		// Terraform works on ten resources at once, with three requests each.
		transport.MaxIdleConnsPerHost = 32
		// A provider that serves several runs keeps no connection between them.
		transport.IdleConnTimeout = 10 * time.Second
		c.transport = transport
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.pacer = ratelimit.New(c.log)
	return c, nil
}

// Close closes idle connections. The client can still be used.
func (c *Client) Close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// An effect says whether a request may be sent again.
type effect int

const (
	// reads changes nothing.
	reads effect = iota
	// overwrites has the same result however often it is sent.
	overwrites
	// adds must not be sent again if it may have been carried out.
	adds
)

// A call is one operation of the API: a request and its retries.
type call struct {
	// op and resource are for people; see Error.
	op, resource string
	// ref is the project's; empty for a call about the whole account.
	ref     string
	account bool
	// endpoint is the method and the path, with the names of its variables.
	// Within a project the API counts requests by endpoint.
	endpoint string
	// permission is the one that the token needs.
	permission string
	effect     effect
	// timeout limits one attempt.
	timeout time.Duration
	// accept is the wanted media type of the response; JSON if empty.
	accept string
	// largest limits, in bytes, the body of a successful response; 4 MiB if 0.
	largest int64
	// sql says that a failure may contain an SQL error.
	sql bool
	// optional says that the caller can do without the result, so nobody should wait
	// long for it: it is tried twice, and once if there is no response.
	optional bool
	// hide lists values that errors must not contain, in addition to those
	// that the redactor knows.
	hide []string

	client                                *Client
	attempts, failures, timeouts, refused int
	// arrived says that a failed attempt may have been carried out.
	arrived bool
	// barred is why the guard refused an attempt.
	barred error
	// last says how the last attempt failed; wait is the time until the next.
	last string
	wait time.Duration
}

var refPattern = text.Pattern(`^[a-z]{20}$`)

// do performs a call and returns the successful response with its body. request
// sends the request with the generated client, whose HTTP client retries it.
func (c *Client) do(ctx context.Context, k *call, request func(*api.Client) (*http.Response, error)) (*http.Response, []byte, error) {
	k.client = c
	if !k.account && !refPattern().MatchString(k.ref) {
		return nil, nil, k.invalid("the project ref must be 20 lower-case letters")
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

// dress sets the headers of a request.
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

// Do sends a request and retries it while that may help. It is the HTTP client
// of the generated client.
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

// RoundTrip makes one attempt as soon as the rate limit allows it, and reads the
// whole response.
func (k *call) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	entered, err := k.client.pacer.Enter(ctx, k.endpoint, k.ref, k.effect != reads)
	if err != nil {
		return nil, &heldBackError{err}
	}
	if k.barred = guard.Ask(ctx); k.barred != nil {
		entered.Done(nil, 0)
		return nil, &heldBackError{k.barred}
	}
	attempt, cancel := context.WithTimeoutCause(ctx, k.timeout, errAttemptTimeout)
	defer cancel()
	k.attempts++
	start := time.Now()
	heard := k.listen(ctx, start)
	defer heard()
	response, err := k.client.transport.RoundTrip(r.WithContext(attempt))
	if err == nil {
		// A list of a project's functions or secrets stays far below this limit.
		err = buffer(response, cmp.Or(k.largest, 4<<20))
	}
	if err != nil {
		if ctx.Err() == nil && errors.Is(context.Cause(attempt), errAttemptTimeout) {
			err = errAttemptTimeout
		}
		k.arrived = k.arrived || !unsent(err)
		entered.Done(nil, 0)
		k.logAttempt(ctx, start, 0, err)
		return nil, err
	}
	entered.Done(response, shortestDelay<<min(k.refused+1, 10))
	k.logAttempt(ctx, start, response.StatusCode, nil)
	return response, nil
}

// listen says in the log, after each silence, that an attempt has no response yet,
// until the returned function is called.
func (k *call) listen(ctx context.Context, start time.Time) (heard func()) {
	const silence = 10 * time.Second
	done := make(chan struct{})
	var listening sync.WaitGroup
	listening.Go(func() {
		ticker := time.NewTicker(silence)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				k.client.log.LogAttrs(ctx, slog.LevelWarn, "the Management API does not respond; still waiting",
					slog.String("endpoint", k.endpoint), slog.String("ref", k.ref),
					slog.Int("attempt", k.attempts), slog.Duration("for", time.Since(start)))
			}
		}
	})
	return func() {
		close(done)
		listening.Wait()
	}
}

var (
	errAttemptTimeout = errors.New("there was no response in time")
	errTooLarge       = errors.New("the response is too large")
)

// heldBackError is the error of an attempt that was not made because of the rate
// limit, the guard or the context.
type heldBackError struct{ error }

func (e *heldBackError) Unwrap() error { return e.error }

// buffer reads the body of a response into memory. It truncates a failure that is
// too large; a successful response that is too large is an error.
func buffer(response *http.Response, largest int64) error {
	defer func() { _ = response.Body.Close() }()
	const largestFailure = 1 << 20
	limit, success := int64(largestFailure), response.StatusCode >= 200 && response.StatusCode <= 299
	if success {
		limit = largest
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil && success {
		return fmt.Errorf("the response was cut off: %w", err)
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

func (k *call) redact(text string) string { return k.client.redactor.RedactAlso(text, k.hide) }

// again decides whether to retry a request, and when. A response counts even if
// the context has ended since.
func (k *call) again(ctx context.Context, response *http.Response, err error) (bool, error) {
	failures, refusals, timeouts := maxFailures, maxRefusals, maxTimeouts
	if k.optional {
		failures, refusals, timeouts = 2, 2, 0
	}
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
		if permanent(err) || k.effect == adds && !unsent(err) || k.failures >= failures || k.timeouts > timeouts {
			return false, err
		}
		k.postpone(ctx, nil)
		return true, nil
	}
	status := response.StatusCode
	if status < 300 {
		return false, nil // there is no message in it
	}
	message, _ := messageOf(peek(response))
	database := sqlfailure.None
	if k.sql {
		database = sqlfailure.TroubleOf(status, message)
		message = sqlfailure.Parse(message).Message
	}
	if database == sqlfailure.None && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests {
		return false, nil
	}
	k.last = strings.TrimSuffix(fmt.Sprintf("HTTP %d: %s", status, message), ": ")
	if status == http.StatusTooManyRequests {
		// The pacer waits for the end of the window.
		k.refused++
		k.wait = 0
		return k.refused < refusals, nil
	}
	k.failures++
	// If the database took no connection, nothing was carried out.
	unreached := database == sqlfailure.Unreachable || status == http.StatusServiceUnavailable &&
		(strings.Contains(message, "too many clients") || strings.Contains(message, "remaining connection slots"))
	k.arrived = k.arrived || !unreached
	most := maxAttempts(status)
	if database.Temporary() {
		most = maxFailures
	}
	if k.effect == adds && !unreached || k.failures >= min(most, failures) {
		return false, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	k.postpone(ctx, response)
	return true, nil
}

// maxAttempts is how often a request that fails with this status is sent. An outage
// shows as failures of gateways or of the server itself, and is usually short; other
// failures often are not.
func maxAttempts(status int) int {
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusInternalServerError,
		status >= 502 && status <= 504, status >= 520 && status <= 527, status == 530:
		return maxFailures
	}
	return 1
}

// peek returns the body of a buffered response, which can be read again.
func peek(response *http.Response) []byte {
	body, _ := io.ReadAll(response.Body)
	response.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// postpone sets the time to wait before the next attempt.
func (k *call) postpone(ctx context.Context, response *http.Response) {
	// longestAfter is the longest pause for which a response may ask.
	const longestDelay, longestAfter = 10 * time.Second, time.Minute
	k.wait = min(shortestDelay<<(k.failures-1), longestDelay)
	k.wait += rand.N(k.wait / 4)
	if response != nil {
		if asked, ok := ratelimit.RetryAfter(response.Header, time.Now()); ok {
			k.wait = max(k.wait, min(asked, longestAfter))
		}
	}
	k.client.log.LogAttrs(ctx, slog.LevelInfo, "repeating a request to the Management API",
		slog.String("endpoint", k.endpoint), slog.String("ref", k.ref),
		slog.String("because", text.Head(k.redact(k.last), longestMessage)), slog.Duration("in", k.wait))
}

func (k *call) delay(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return k.wait }

// unsent reports whether an error occurred before the request was sent.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, new(*net.DNSError)) || distrusted(err) ||
		errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// distrusted reports whether an error comes from TLS.
func distrusted(err error) bool {
	return errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.CertificateInvalidError)) || errors.As(err, new(*tls.CertificateVerificationError)) ||
		errors.As(err, new(tls.RecordHeaderError))
}

// permanent reports whether a retry would fail in the same way.
func permanent(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, errTooLarge) || distrusted(err) || errors.As(err, &dns) && dns.IsNotFound
}

// reason returns an error's text without the request's URL.
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

// invalid returns the error for input that is not sent.
func (k *call) invalid(why string) *Error {
	e := k.failure()
	e.Message = why
	e.kinds = []error{errInvalidInput}
	return e
}

// unanswered returns the error for a call without a response.
func (k *call) unanswered(ctx context.Context, err error) *Error {
	e := k.failure()
	e.Message = text.Head(k.redact(reason(err)), longestMessage)
	switch {
	case k.barred != nil:
		e.cause = k.barred
		e.Message = "it was not sent: " + text.Head(text.Line(k.redact(k.barred.Error())), longestMessage)
	case errors.As(err, new(*heldBackError)) && ctx.Err() == nil:
		e.cause = context.DeadlineExceeded
		e.kinds = append(e.kinds, ErrRateLimited)
		e.Advice = "Run again later, or raise `timeouts`."
	case ctx.Err() != nil:
		e.cause = ctx.Err()
		e.Message = "the time was over"
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
		e.kinds = append(e.kinds, errUnexpectedResponse)
	case distrusted(err):
		e.Advice = "The connection is not secure. Check `api_url`, the proxy if there is one, and the certificates that this machine trusts."
	default:
		e.Advice = "Check the network between this machine and the API, and run again."
	}
	k.markUnknown(e)
	return e
}

// unsuccessful returns the error for a response with a status other than 2xx.
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

// malformed returns the error for a response that does not have the documented
// form. It does not quote the response.
func (k *call) malformed(why string) *Error {
	e := k.failure()
	e.Message = "the response does not have the documented form: " + k.redact(why)
	e.Advice = "Check `api_url`, and the proxy if there is one. Otherwise see https://status.supabase.com and run again."
	e.kinds = []error{errUnexpectedResponse}
	k.arrived = true
	k.markUnknown(e)
	return e
}

// decode reads a JSON response. null is an error: no call has a result that can
// be missing.
func decode[T any](k *call, body []byte) (T, error) {
	var value T
	if bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		return value, k.malformed("it is null")
	}
	if err := json.Unmarshal(body, &value); err != nil {
		var zero T
		return zero, k.notJSON(err)
	}
	return value, nil
}

// decodeList reads a JSON response with a list. missing returns the name of a field
// without which an element cannot be told from others, and that it lacks, or "".
// Ignoring such an element would mean that the object does not exist.
func decodeList[T any](k *call, body []byte, missing func(T) string) ([]T, error) {
	list, err := decode[[]*T](k, body)
	if err != nil {
		return nil, err
	}
	elements := make([]T, len(list))
	for i, element := range list {
		if element == nil {
			return nil, k.malformed(fmt.Sprintf("element %d is null", i+1))
		}
		if field := missing(*element); field != "" {
			return nil, k.malformed(fmt.Sprintf("element %d has no %q", i+1, field))
		}
		elements[i] = *element
	}
	return elements, nil
}

// without returns the first of the fields, each a name and a value, that has no
// value, or "".
func without(fields ...string) string {
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] == "" {
			return fields[i]
		}
	}
	return ""
}

// notJSON says what is wrong with a JSON text without quoting it.
func (k *call) notJSON(err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return k.malformed("it is a JSON " + kind.Value)
	case errors.As(err, &kind):
		return k.malformed(fmt.Sprintf("the field %q is a JSON %s", kind.Field, kind.Value))
	case errors.As(err, &syntax):
		return k.malformed(fmt.Sprintf("it is not valid JSON at byte %d", syntax.Offset))
	}
	return k.malformed("it is not valid JSON")
}
