package fleet

import (
	"slices"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestCreation proves that the first apply of many projects makes exactly as many requests
// and statements for each of them as that of one project, that a recorded apply serves them
// all, and that no connection is left.
func TestCreation(t *testing.T) {
	t.Parallel()
	recording, err := RecordCreation(t.Context(), provider)
	if err != nil {
		t.Fatal(err)
	}
	var one stack.FleetStats
	for _, projects := range []int{1, 20} {
		f, err := recording.Serve(t.Context(), stack.FleetOptions{Projects: projects})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
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
			t.Errorf("%d projects: unexpected are %v, and %d connections are left open", projects, stats.Unexpected, stats.Open)
		}
		if projects == 1 {
			one = stats
			t.Logf("%d requests, %d statements", one.API, one.SQL)
		}
		if stats.API != projects*one.API || stats.SQL != projects*one.SQL {
			t.Errorf("%d projects took %d requests and %d statements, one takes %d and %d", projects, stats.API, stats.SQL, one.API, one.SQL)
		}
	}
}
