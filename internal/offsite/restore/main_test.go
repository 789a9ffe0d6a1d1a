package restore_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// project is the stack whose PostgreSQL has the databases of the tests.
var project *stack.Stack

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if project, err = stack.Start(context.Background(), stack.Options{Parts: stack.Database, Articles: 1, RateLimit: -1}); err != nil {
		fmt.Fprintln(os.Stderr, "starting the stack:", err)
		return 1
	}
	// The schemas of the copies create it where it is missing; databases share it.
	if _, err := project.Admin().Exec(context.Background(), "create role restore_test_reader nologin"); err != nil {
		fmt.Fprintln(os.Stderr, "creating a role:", err)
		return 1
	}
	code := m.Run()
	if err := project.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "closing the stack:", err)
		return 1
	}
	return code
}
