package install

import "testing"

// TestRelativePath proves that a deployed path is read back as it was uploaded.
func TestRelativePath(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"supabase/functions/auto-backup", "supabase/functions/auto-backup/index.ts", "index.ts"},
		{"supabase/functions/auto-backup", "supabase/functions/auto-backup/lib/a.ts", "lib/a.ts"},
		{"supabase/functions/auto-backup", "supabase/functions/_shared/a.ts", "../_shared/a.ts"},
		{"supabase/functions/auto-backup", "a.ts", "../../../a.ts"},
		{".", "index.ts", "index.ts"},
		{"source", "source/index.ts", "index.ts"},
	} {
		if got := relativePath(c[0], c[1]); got != c[2] {
			t.Errorf("%s from %s: %s, want %s", c[1], c[0], got, c[2])
		}
	}
}
