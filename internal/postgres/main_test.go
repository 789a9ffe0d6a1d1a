package postgres

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// project is the stack that the tests share. Each works on tables of its own.
// pooler is in front of its database and gives a session for a transaction only.
var (
	project *stack.Stack
	pooler  *stack.Pooler
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if project, err = stack.Start(context.Background(), stack.Options{Parts: stack.Database, Articles: 1, RateLimit: -1}); err != nil {
		fmt.Fprintln(os.Stderr, "starting the stack:", err)
		return 1
	}
	if pooler, err = project.StartPooler(context.Background(), stack.TransactionMode, 3); err != nil {
		fmt.Fprintln(os.Stderr, "starting the pooler:", err)
		return 1
	}
	code := m.Run()
	if err := project.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "closing the stack:", err)
		return 1
	}
	return code
}

func openDirect(t *testing.T, url string) DB {
	t.Helper()
	db, err := Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return db
}

func openAPI(t *testing.T) DB {
	t.Helper()
	client, err := supabase.New(supabase.Config{BaseURL: project.APIURL, Token: project.AccessToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return OverAPI(supabase.ProjectSQL{Client: client, Ref: project.ProjectRef})
}

// transports are the ways to the same database.
func transports(t *testing.T) map[string]DB {
	return map[string]DB{
		"direct": openDirect(t, project.DatabaseURL), "pooler": openDirect(t, pooler.DatabaseURL), "api": openAPI(t),
	}
}

// onEach runs a test with each transport. name is free for the test's objects.
func onEach(t *testing.T, test func(t *testing.T, db DB, name string)) {
	t.Parallel()
	for transport, db := range transports(t) {
		name := "public.test_" + transport + "_" + fmt.Sprintf("%x", time.Now().UnixNano())
		t.Run(transport, func(t *testing.T) {
			t.Cleanup(func() { _, _ = project.Admin().Exec(context.Background(), "drop table if exists "+name) })
			test(t, db, name)
		})
	}
}

// must runs a query that has to succeed.
func must(t *testing.T, db DB, access Access, sql string, args ...any) string {
	t.Helper()
	result, err := db.Query(t.Context(), access, sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return string(result)
}

// count reads the number of rows of a table past every transport.
func count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := project.Admin().QueryRow(t.Context(), "select count(*) from "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
