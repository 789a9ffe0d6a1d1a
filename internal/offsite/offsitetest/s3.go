package offsitetest

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A Server is an S3 server that lists and reads the objects of one bucket. It verifies
// no signature. Objects and Break may be changed between requests.
type Server struct {
	*httptest.Server
	Bucket string

	mu      sync.Mutex
	page    int
	objects map[string][]byte
	broken  func(w http.ResponseWriter, r *http.Request) bool
}

// NewServer starts a server with an empty bucket. Close it.
func NewServer() *Server {
	s := &Server{Bucket: "backups", objects: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	return s
}

// NewTLSServer is NewServer with a certificate that no machine trusts.
func NewTLSServer() *Server {
	s := &Server{Bucket: "backups", objects: map[string][]byte{}}
	s.Server = httptest.NewTLSServer(s)
	return s
}

// Put stores an object, Remove removes it.
func (s *Server) Put(key string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = data
}

// Page limits a page of a list to so many objects and folders; 0 means no limit.
func (s *Server) Page(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = limit
}

// Remove removes all objects whose keys have a prefix.
func (s *Server) Remove(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.objects, func(key string, _ []byte) bool { return strings.HasPrefix(key, prefix) })
}

// Object returns an object.
func (s *Server) Object(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[key]
}

// Keys returns the keys of all objects.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Break lets a function respond in the server's place, if it returns true. Nil ends it.
func (s *Server) Break(broken func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

// Refuse responds as S3 does to what it refuses.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken != nil && broken(w, r) {
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case bucket != s.Bucket:
		Refuse(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist.")
	case key == "":
		s.list(w, r)
	default:
		data := s.Object(key)
		if data == nil {
			Refuse(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
			return
		}
		w.Header().Set("Last-Modified", "Thu, 26 Nov 2026 06:00:00 GMT")
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data)
	}
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		Key          string
		Size         int
		LastModified string
		ETag         string
	}
	type common struct{ Prefix string }
	result := struct {
		XMLName      xml.Name `xml:"ListBucketResult"`
		Name         string
		Prefix       string
		Delimiter    string
		KeyCount     int
		MaxKeys      int
		IsTruncated  bool
		EncodingType string `xml:",omitempty"`
		// NextContinuationToken is the last key or folder of the page.
		NextContinuationToken string `xml:",omitempty"`
		Contents              []entry
		CommonPrefixes        []common
	}{Name: s.Bucket, Prefix: r.URL.Query().Get("prefix"), Delimiter: r.URL.Query().Get("delimiter"), MaxKeys: 1000, EncodingType: r.URL.Query().Get("encoding-type")}
	encoded := func(key string) string { return key }
	if result.EncodingType != "" {
		encoded = url.QueryEscape
	}
	s.mu.Lock()
	limit := s.page
	s.mu.Unlock()
	after := r.URL.Query().Get("continuation-token")
	for _, key := range s.Keys() {
		rest, ok := strings.CutPrefix(key, result.Prefix)
		if !ok || after != "" && (key <= after || strings.HasSuffix(after, "/") && strings.HasPrefix(key, after)) {
			continue
		}
		if limit > 0 && len(result.Contents)+len(result.CommonPrefixes) == limit && !strings.HasPrefix(key, result.NextContinuationToken) {
			result.IsTruncated = true
			break
		}
		if folder, _, cut := strings.Cut(rest, "/"); cut && result.Delimiter != "" {
			prefix := common{encoded(result.Prefix + folder + "/")}
			result.NextContinuationToken = result.Prefix + folder + "/"
			if !slices.Contains(result.CommonPrefixes, prefix) {
				result.CommonPrefixes = append(result.CommonPrefixes, prefix)
			}
			continue
		}
		result.NextContinuationToken = key
		result.Contents = append(result.Contents, entry{encoded(key), len(s.Object(key)), "2026-11-26T06:00:00.000Z", `"x"`})
	}
	if !result.IsTruncated {
		result.NextContinuationToken = ""
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(result)
}
