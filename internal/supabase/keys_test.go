package supabase

import (
	"slices"
	"testing"
)

// TestPublicKeysOf proves which of a project's keys are public, which of them a request
// carries first, and that a secret or masked key is never among them.
func TestPublicKeysOf(t *testing.T) {
	t.Parallel()
	var (
		anon        = APIKey{ID: "anon", Name: "anon", Type: "legacy", Key: "jwt"}
		serviceRole = APIKey{ID: "service_role", Name: "service_role", Type: "legacy", Key: "canary"}
		secret      = APIKey{ID: "1", Name: "default", Type: "secret", Key: "canary"}
		publishable = APIKey{ID: "2", Name: "default", Type: "publishable", Key: "sb_publishable_a"}
		mobile      = APIKey{ID: "3", Name: "mobile", Type: "publishable", Key: "sb_publishable_b"}
		masked      = APIKey{ID: "4", Name: "masked", Type: "publishable"}
		named       = APIKey{ID: "5", Name: "anon", Type: "secret", Key: "canary"}
	)
	for what, c := range map[string]struct {
		keys   []APIKey
		first  []string
		legacy string
	}{
		"none":            {nil, nil, ""},
		"secret ones":     {[]APIKey{serviceRole, secret, named, masked}, nil, ""},
		"the legacy one":  {[]APIKey{serviceRole, anon}, []string{"jwt"}, "jwt"},
		"both kinds":      {[]APIKey{anon, secret, publishable, mobile}, []string{"sb_publishable_a", "sb_publishable_b"}, "jwt"},
		"without legacy":  {[]APIKey{mobile, named, publishable}, []string{"sb_publishable_b", "sb_publishable_a"}, ""},
		"legacy and none": {[]APIKey{masked, anon}, []string{"jwt"}, "jwt"},
	} {
		if got := PublicKeysOf(c.keys); !slices.Equal(got.First, c.first) || got.Legacy != c.legacy {
			t.Errorf("%s: %+v", what, got)
		}
	}
}
