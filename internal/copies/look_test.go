package copies_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestWeeklyLook proves that the weekly look finds what happened to copies afterwards: it
// passes where all is there, and names an object that is missing, that has another size,
// and that lost its lock, each as an incident, which a look that passes ends.
func TestWeeklyLook(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, nil)
	s.backUp()
	s.complete()
	s.exec(`update auto_backup.exports set completed_at = completed_at - interval '2 days', made_at = made_at - interval '2 days'`)
	s.looks("passed", "", "none")
	if seen := one[string](s, `select checked || ' of ' || objects from auto_backup.export_checks order by check_id desc limit 1`); seen != "8 of 8" && seen != "9 of 9" {
		t.Errorf("the look saw %s objects", seen)
	}

	trap := s.s3.Break(stack.S3Match{Method: http.MethodHead, Key: "schema-after", Times: -1}, stack.S3Error(404, "NoSuchKey"))
	s.looks("failed", "offsite_object_missing", "offsite_object_missing")
	if trap.Met() == 0 {
		t.Error("the look did not ask for the object")
	}
	if problems := one[string](s, `select problems::text from auto_backup.export_checks order by check_id desc limit 1`); !strings.Contains(problems, "schema-after") {
		t.Errorf("the problems are %s", problems)
	}
	s.s3.Reset()
	s.looks("passed", "", "none")

	s.s3.Break(stack.S3Match{Method: http.MethodHead, Times: -1}, stack.S3HideLock())
	s.looks("failed", "offsite_object_unlocked", "offsite_object_unlocked")
	s.s3.Reset()
	s.looks("passed", "", "none")

	key := one[string](s, `select e.path || o.key from auto_backup.export_objects o join auto_backup.exports e using (export_id) where o.kind = 'recovery'`)
	must(t, s.s3.Put(s.ctx, s.s3.Bucket, key, []byte("another guide")))
	s.looks("failed", "offsite_object_changed", "offsite_object_changed")
}

// looks lets a week go by, waits for the look, and compares how it ended and what is open.
func (s *site) looks(state, code, incidents string) {
	s.t.Helper()
	s.exec(`update auto_backup.export_checks set started_at = started_at - interval '8 days', finished_at = finished_at - interval '8 days'`)
	s.watch()
	s.await("the look", func() bool {
		return one[bool](s, `select coalesce((select state <> 'open' from auto_backup.export_checks where started_at > now() - interval '1 day' order by check_id desc limit 1), false)`)
	})
	if got := one[string](s, `select state || ' ' || coalesce(code, '') from auto_backup.export_checks order by check_id desc limit 1`); got != state+" "+code {
		s.t.Errorf("the look ended as %s, want %s %s", got, state, code)
	}
	if open := one[string](s, `select coalesce(string_agg(code, ', '), 'none') from auto_backup.incidents where kind = 'offsite' and recovered_at is null`); open != incidents {
		s.t.Errorf("the incidents are %s, want %s", open, incidents)
	}
}
