package stack

import (
	"net/http"
	"testing"
)

// TestGateways proves what both gateways accept for verify_jwt, before and after the
// legacy keys are deactivated, and that a project may have no legacy keys at all.
func TestGateways(t *testing.T) {
	t.Parallel()
	type outcome struct{ publishable, legacy, both, afterwards string }
	for name, c := range map[string]struct {
		options Options
		want    outcome
	}{
		"of today":       {Options{}, outcome{"", "", "", "UNAUTHORIZED_LEGACY_JWT"}},
		"for JWTs alone": {Options{JWTGateway: true}, outcome{"UNAUTHORIZED_NO_AUTH_HEADER", "", "", "UNAUTHORIZED_LEGACY_JWT"}},
		"of a project without legacy keys": {Options{NoLegacyKeys: true}, outcome{
			"", "UNAUTHORIZED_INVALID_JWT_FORMAT", "UNAUTHORIZED_INVALID_JWT_FORMAT", "UNAUTHORIZED_INVALID_JWT_FORMAT",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.options.Parts = Functions
			s, err := Start(t.Context(), c.options)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			if err := s.DeployFunction(t.Context(), "f", map[string]string{"index.ts": `Deno.serve(() => new Response("reached"))`}, true); err != nil {
				t.Fatal(err)
			}
			call := func(headers ...string) string {
				got := send(t, http.MethodPost, s.ProjectURL+"/functions/v1/f", "{}", headers...)
				if code := got.header.Get("sb-error-code"); got.status == http.StatusUnauthorized && code != "" {
					return code
				}
				if got.status != http.StatusOK || got.body != "reached" {
					t.Errorf("HTTP %d %s", got.status, got.body)
				}
				return ""
			}
			both := []string{"apikey", s.PublishableKey, "Authorization", "Bearer " + s.AnonKey}
			got := outcome{publishable: call("apikey", s.PublishableKey), legacy: call("Authorization", "Bearer "+s.AnonKey), both: call(both...)}
			s.DeactivateLegacyKeys()
			got.afterwards = call(both...)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			keys := decode[[]struct{ Type string }](t, send(t, http.MethodGet, s.APIURL+"/v1/projects/"+s.ProjectRef+"/api-keys", "", "Authorization", "Bearer "+s.AccessToken))
			want := 4
			if c.options.NoLegacyKeys {
				want = 2
			}
			if len(keys) != want {
				t.Errorf("%d keys, want %d: %+v", len(keys), want, keys)
			}
		})
	}
}
