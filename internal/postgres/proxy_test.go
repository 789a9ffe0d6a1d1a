package postgres

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// newProxy puts a proxy before the project's database.
func newProxy(t *testing.T) *stack.DatabaseProxy {
	t.Helper()
	p, err := stack.NewDatabaseProxy(project.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
