package offsite

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// SupabaseStorage is the name of Supabase's own service.
const SupabaseStorage = "Supabase Storage"

// Service is what is known of the S3 service behind an endpoint.
type Service struct {
	// Name is for people; empty if the service is not known.
	Name string
	// Lock says how objects are locked there, if not by the headers of S3; empty if these
	// do it, or if that is not known. It continues a sentence after the service's name.
	Lock string
	// Region is the only region there; empty if there are several or it is not known.
	Region string
	// ProjectRef is the Supabase project whose Storage it is; empty for others.
	ProjectRef string
	// bare says that its endpoints have no path.
	bare bool
}

// ServiceOf says what is known of the service of a valid endpoint.
func ServiceOf(endpoint string) Service {
	u, err := url.Parse(endpoint)
	if err != nil {
		return Service{}
	}
	host := u.Hostname()
	labels := strings.Split(host, ".")
	under := func(domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }
	switch {
	case under("r2.cloudflarestorage.com"):
		return Service{
			Name: "Cloudflare R2", Region: "auto", bare: true,
			Lock: "has no locks of objects, but bucket locks by prefix and age; leave `lock` out, and set one there, for example with the resource cloudflare_r2_bucket_lock",
		}
	case under("supabase.co") || under("supabase.in") || strings.HasSuffix(u.Path, "/storage/v1/s3"):
		s := Service{Name: SupabaseStorage, Lock: "has neither locks nor versions: whoever has its S3 keys can delete every object; leave `lock` out, or use another service"}
		if len(labels[0]) == 20 && (under("supabase.co") || under("supabase.in")) {
			s.ProjectRef = labels[0]
		}
		return s
	case under("amazonaws.com") || under("amazonaws.com.cn"):
		s := Service{Name: "Amazon S3", bare: true}
		for _, label := range labels {
			for _, part := range []string{label, strings.TrimPrefix(label, "s3-"), strings.TrimPrefix(label, "s3-fips-")} {
				if patterns.amazon().MatchString(part) {
					s.Region = part
				}
			}
		}
		if host == "s3.amazonaws.com" {
			s.Region = "us-east-1"
		}
		return s
	case under("backblazeb2.com"):
		s := Service{Name: "Backblaze B2", bare: true}
		if len(labels) == 4 && labels[0] == "s3" {
			s.Region = labels[1]
		}
		return s
	case under("wasabisys.com"):
		s := Service{Name: "Wasabi", bare: true}
		if len(labels) == 4 && labels[0] == "s3" {
			s.Region = labels[1]
		}
		return s
	case under("storage.googleapis.com"):
		return Service{Name: "Google Cloud Storage", bare: true}
	}
	return Service{}
}

// Conflict is an error about one argument of a destination, or about two that do not go
// together.
type Conflict struct {
	// Argument is the name of the argument to change.
	Argument string
	Text     string
}

// Check returns what of a destination whose texts are valid cannot work together. project
// is the reference of the backup's project.
func (d Destination) Check(project string) []Conflict {
	var conflicts []Conflict
	add := func(argument, text string, args ...any) {
		conflicts = append(conflicts, Conflict{Argument: argument, Text: fmt.Sprintf(text, args...)})
	}
	u, err := url.Parse(d.Endpoint)
	if err != nil {
		return nil // ValidateEndpoint says so
	}
	service := ServiceOf(d.Endpoint)
	switch host, _, _ := strings.Cut(u.Hostname(), "."); {
	case service.ProjectRef != "" && service.ProjectRef == project:
		add("endpoint", "%q is the Storage of the backup's own project, which is deleted with the project: such a copy does not survive what it is made for. Use a bucket elsewhere", d.Endpoint)
	case d.Bucket != "" && strings.HasPrefix(u.Hostname(), d.Bucket+"."):
		add("endpoint", "%q names the bucket, which would be asked for twice; write %q, and the bucket as `bucket`", d.Endpoint, u.Scheme+"://"+strings.TrimPrefix(u.Host, d.Bucket+"."))
	case d.Bucket != "" && strings.HasSuffix(u.Path, "/"+d.Bucket):
		add("endpoint", "%q ends with the bucket, which would be asked for twice; write %q, and the bucket as `bucket`", d.Endpoint, strings.TrimSuffix(d.Endpoint, "/"+d.Bucket))
	case service.bare && u.Path != "":
		add("endpoint", "%q has the path %s, and %s has none in its endpoints; write %q", d.Endpoint, u.Path, service.Name, u.Scheme+"://"+u.Host)
	case service.Name == SupabaseStorage && u.Path == "" && host != "":
		add("endpoint", "%q is not the S3 endpoint of Supabase Storage; write %q", d.Endpoint, d.Endpoint+"/storage/v1/s3")
	}
	if service.Region != "" && d.Region != "" && d.Region != service.Region {
		add("region", "%q is not the region of %s at %s, so every signature would be refused; write %q", d.Region, service.Name, u.Host, service.Region)
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(d.Recipients))); len(distinct) < len(d.Recipients) {
		add("recipients", "the same key is there twice, so one person less can open the copies than it seems; leave one out, or replace it by another person's")
	}
	if d.Lock != nil && service.Lock != "" {
		add("lock", "%s %s", service.Name, service.Lock)
	}
	return conflicts
}
