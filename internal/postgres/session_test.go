package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestOpenSession proves that a session keeps a transaction open over its statements, copies
// rows, and keeps the server's warnings; and that its errors have the names of what
// failed and no value.
func TestOpenSession(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := OpenSession(ctx, project.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	if s.Database() != "postgres" {
		t.Errorf("the database is %q", s.Database())
	}
	if err := s.Exec(ctx, "begin; create temporary table copied (n int constraint positive check (n > 0), t text) on commit drop; do $$ begin raise warning 'beware'; raise notice 'not this'; end $$"); err != nil || !s.InTransaction() {
		t.Fatalf("in a transaction: %t, %v", s.InTransaction(), err)
	}
	if got := s.Warnings(); len(got) != 1 || got[0] != "beware" || len(s.Warnings()) != 0 {
		t.Errorf("the warnings are %q", got)
	}
	if n, err := s.Copy(ctx, strings.NewReader("1\tone\n2\t\\N\n"), "copy pg_temp.copied from stdin"); err != nil || n != 2 {
		t.Errorf("copied %d rows, %v", n, err)
	}
	rows, err := s.Query(ctx, "select n, t from pg_temp.copied where n >= $1::int order by n", 1)
	if err != nil || len(rows) != 2 || *rows[0][1] != "one" || rows[1][1] != nil {
		t.Errorf("got %v, %v", rows, err)
	}
	for sql, want := range map[string]string{
		"insert into pg_temp.copied values (-77, 'canary')":               "23514",
		"select 'canary'::int":                                            "22P02",
		"do $$ begin raise exception 'canary'; end $$":                    "P0001",
		"insert into pg_temp.copied (nothing) values ('canary')":          `column "nothing" of relation "copied"`,
		"select 1 from pg_temp.copied group by 'canary'::text, t, n, 1/0": "22012",
	} {
		_ = s.Exec(ctx, "savepoint before")
		err := s.Exec(ctx, sql)
		var failure *Error
		if !errors.As(err, &failure) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "-77") {
			t.Errorf("%s: %v", sql, err)
		}
		if s.InTransaction() {
			t.Errorf("%s: the transaction can be committed", sql)
		}
		_ = s.Exec(ctx, "rollback to savepoint before")
	}
	if err := s.Exec(ctx, "commit"); err != nil || s.InTransaction() {
		t.Errorf("after the end: in a transaction %t, %v", s.InTransaction(), err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Exec(canceled, "select 1"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := OpenSession(ctx, "postgresql://u:secret-word@127.0.0.1:1/x"); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "secret-word") {
		t.Errorf("nobody there: %v", err)
	}
}
