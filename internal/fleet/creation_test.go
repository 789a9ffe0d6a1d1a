package fleet

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// creation is the recorded apply of a new backup.
var creation = sync.OnceValues(func() (*stack.Recording, error) { return RecordCreation(context.Background(), provider) })

// create applies a new backup in each project of a fleet.
func create(t *testing.T, f *stack.Fleet) stack.FleetStats {
	t.Helper()
	w, err := NewWorkingDirectory(t.Context(), t.TempDir(), provider, f.Environ(), f.Refs, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.Env = slices.Concat(w.Env, environ)
	if _, err := w.Must(t.Context(), 0, "apply", "-auto-approve", "-no-color"); err != nil {
		t.Fatal(err)
	}
	stats := f.Stats()
	if len(stats.Unexpected) > 0 || stats.Open != 0 {
		t.Errorf("%d projects: unexpected are %v, and %d connections are left open", len(f.Refs), stats.Unexpected, stats.Open)
	}
	return stats
}

// newFleet serves the recorded apply to new projects.
func newFleet(t *testing.T, projects int) *stack.Fleet {
	t.Helper()
	recording, err := creation()
	if err != nil {
		t.Fatal(err)
	}
	f, err := recording.Serve(t.Context(), stack.FleetOptions{Projects: projects})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// simulated are the requests that TestFleet of package ratelimit makes for each project.
var simulated = map[string]int{
	"POST /database/query/read-only": 5, "POST /database/query": 7, "GET /functions": 3, "GET /secrets": 3, "GET /api-keys": 1,
	"POST /secrets": 2, "PATCH /functions/terraform-provider-aimindset-has-no-such-function": 1, "POST /functions/deploy": 1,
}

// TestCreation proves that the first apply of many projects makes exactly as many requests
// and statements for each of them as that of one project, and those of which the time under
// a rate limit is simulated, that a recorded apply serves them all, and that no connection is left.
func TestCreation(t *testing.T) {
	t.Parallel()
	var one stack.FleetStats
	for _, projects := range []int{1, 20} {
		stats := create(t, newFleet(t, projects))
		if projects == 1 {
			one = stats
			asked := map[string]int{}
			for what, times := range stats.PerProject {
				endpoint, _, _ := strings.Cut(what, " of ")
				asked[endpoint] = times
			}
			if !maps.Equal(asked, simulated) {
				t.Errorf("asked is %v, and package ratelimit simulates %v", asked, simulated)
			}
		}
		if stats.API != projects*one.API || stats.SQL != projects*one.SQL {
			t.Errorf("%d projects took %d requests and %d statements, one takes %d and %d", projects, stats.API, stats.SQL, one.API, one.SQL)
		}
	}
}

// TestCreationWaits proves that an apply which waits for the rate limit for longer than its
// lease goes without a renewal renews the lease, and makes no other request than one that
// does not wait.
func TestCreationWaits(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	const endpoint = "POST /functions/deploy"
	f.Set(f.Refs[1], stack.FleetProject{Throttles: endpoint})
	stats := create(t, f)
	if stats.Renewals == 0 || stats.Refused[endpoint+" of "+f.Refs[1]] == 0 {
		t.Errorf("%d renewals, refused were %v", stats.Renewals, stats.Refused)
	}
	for what, times := range stats.PerProject {
		if endpoint, ok := strings.CutSuffix(what, " of "+f.Refs[0]); ok && stats.PerProject[endpoint+" of "+f.Refs[1]] != times {
			t.Errorf("%s: %d times without a wait, %d times with one", endpoint, times, stats.PerProject[endpoint+" of "+f.Refs[1]])
		}
	}
}
