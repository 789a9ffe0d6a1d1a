package bucket

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"
	"github.com/hashicorp/go-retryablehttp"
)

const (
	// emptyDigest is the SHA-256 of no bytes, which is what a GET sends.
	emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	// longestDocument is the longest page of a list, in bytes: 1000 keys of 1024 bytes
	// that are all encoded fit.
	longestDocument = 8 << 20
	// longestRefusal is how much is read of what a server says when it refuses.
	longestRefusal = 64 << 10
	// attempts is how often an object is read whose transfer breaks.
	attempts = 3
	// A request is repeated so often, after pauses between these.
	retries       = 3
	shortestPause = 200 * time.Millisecond
	longestPause  = 5 * time.Second
)

// s3 sends the two requests that reading takes, signed by the signer of Amazon's SDK. It
// addresses a bucket by path and follows no redirect, as the Edge Function does, so that it
// reads wherever the function writes. A whole client of S3 would cost each start of the
// provider a tenth of its time, and the one of MinIO takes no endpoint with a path, which
// Supabase Storage has.
type s3 struct {
	endpoint *url.URL
	bucket   string
	http     *retryablehttp.Client
}

func newS3(place Place, endpoint *url.URL) *s3 {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // nothing of this program replaces it
	transport.DisableCompression = true                          // bytes are read as they are stored
	transport.MaxIdleConnsPerHost = parallel
	transport.ResponseHeaderTimeout = time.Minute
	return &s3{endpoint, place.Bucket, &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: &signing{
				transport, v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
				aws.Credentials{AccessKeyID: place.AccessKeyID, SecretAccessKey: place.SecretAccessKey}, place.Region,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax: retries, RetryWaitMin: shortestPause, RetryWaitMax: longestPause,
		CheckRetry: retryablehttp.DefaultRetryPolicy, Backoff: pause, ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}}
}

// pause is as long as a server that is busy wants it, within limits.
func pause(shortest, longest time.Duration, attempt int, r *http.Response) time.Duration {
	return min(retryablehttp.DefaultBackoff(shortest, longest, attempt, r), longest)
}

// signing signs each attempt of a request, because a signature is valid for minutes only.
type signing struct {
	http.RoundTripper
	signer      *v4.Signer
	credentials aws.Credentials
	region      string
}

func (s *signing) RoundTrip(r *http.Request) (*http.Response, error) {
	signed := r.Clone(r.Context())
	signed.Header.Set("X-Amz-Content-Sha256", emptyDigest)
	if err := s.signer.SignHTTP(r.Context(), s.credentials, signed, emptyDigest, "s3", s.region, time.Now()); err != nil {
		return nil, err
	}
	return s.RoundTripper.RoundTrip(signed)
}

// refusal is a response with another status than 200. The code is empty if the response is
// not that of an S3 server.
type refusal struct {
	status                int
	code, message, region string
}

func (r *refusal) Error() string {
	if r.code == "" {
		return fmt.Sprintf("status %d", r.status)
	}
	return r.code + ": " + r.message
}

// errForeign says that a response is not that of an S3 server.
var errForeign = errors.New("its response is not that of an S3 server")

// errBroken says that a response began and did not end.
var errBroken = errors.New("the transfer broke")

// get reads an object, or a document about the bucket if there is no key. Of more than limit
// bytes it returns limit and one.
func (s *s3) get(ctx context.Context, key string, query url.Values, limit int64) (data []byte, err error) {
	for range attempts {
		if data, err = s.try(ctx, key, query, limit); !errors.Is(err, errBroken) || ctx.Err() != nil {
			break
		}
	}
	return data, err
}

func (s *s3) try(ctx context.Context, key string, query url.Values, limit int64) ([]byte, error) {
	at := *s.endpoint
	plain, encoded := at.Path+"/"+s.bucket, at.EscapedPath()+"/"+httpbinding.EscapePath(s.bucket, true)
	if key != "" {
		plain, encoded = plain+"/"+key, encoded+"/"+httpbinding.EscapePath(key, false)
	}
	at.Path, at.RawPath, at.RawQuery = plain, encoded, query.Encode()
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, refused(response)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return data, nil
}

// refused reads why a server refuses.
func refused(response *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(response.Body, longestRefusal))
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	var said struct {
		XMLName               xml.Name `xml:"Error"`
		Code, Message, Region string
	}
	r := &refusal{status: response.StatusCode}
	if xml.Unmarshal(data, &said) == nil {
		r.code, r.message, r.region = said.Code, said.Message, said.Region
	}
	if region := response.Header.Get("X-Amz-Bucket-Region"); r.region == "" {
		r.region = region
	}
	return r
}

// entry is an object, or a folder whose key ends with a slash.
type entry struct {
	Key  string
	Size int64
}

// list yields the objects and the folders whose keys begin with a prefix, which may end with
// a slash. It ends with the first error.
func (s *s3) list(ctx context.Context, prefix string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		query := url.Values{"list-type": {"2"}, "prefix": {prefix}, "delimiter": {"/"}, "encoding-type": {"url"}}
		for {
			page, next, err := s.page(ctx, query)
			if err != nil {
				yield(entry{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			query.Set("continuation-token", next)
		}
	}
}

// page reads one page of a list, and what continues it.
func (s *s3) page(ctx context.Context, query url.Values) (entries []entry, next string, err error) {
	data, err := s.get(ctx, "", query, longestDocument)
	if err != nil {
		return nil, "", err
	}
	var list struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		EncodingType          string
		IsTruncated           bool
		NextContinuationToken string
		Contents              []entry
		CommonPrefixes        []struct{ Prefix string }
	}
	if err := xml.NewDecoder(bytes.NewReader(data)).Decode(&list); err != nil {
		return nil, "", fmt.Errorf("%w: %w", errForeign, err)
	}
	entries = list.Contents
	for _, folder := range list.CommonPrefixes {
		entries = append(entries, entry{Key: folder.Prefix})
	}
	if strings.EqualFold(list.EncodingType, "url") {
		for i, e := range entries {
			if entries[i].Key, err = url.QueryUnescape(e.Key); err != nil {
				return nil, "", fmt.Errorf("%w: %w", errForeign, err)
			}
		}
	}
	if !list.IsTruncated {
		return entries, "", nil
	}
	if next = list.NextContinuationToken; next == "" || next == query.Get("continuation-token") {
		return nil, "", fmt.Errorf("%w: the list does not end", errForeign)
	}
	return entries, next, nil
}
