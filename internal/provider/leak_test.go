package provider_test

import (
	"bytes"
	"io"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/aimindset/terraform-provider-aimindset/internal/provider"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// goroutines returns the stacks of all goroutines but those of the stack, which starts
// some with the first request for them: those of its code, of the connections that it
// serves, and of the output of its programs.
func goroutines(t *testing.T) []string {
	t.Helper()
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 2); err != nil {
		t.Fatal(err)
	}
	var stacks []string
	for stack := range strings.SplitSeq(text.String(), "\n\n") {
		ofStack := false
		for _, sign := range []string{"internal/stack.", "created by net/http.(*Server).Serve", "created by os/exec.(*Cmd).Start"} {
			ofStack = ofStack || strings.Contains(stack, sign)
		}
		if !ofStack {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// TestNothingIsLeft proves that a provider which served an apply, a plan and a
// destroy leaves no goroutine and no connection when it is closed, on either
// way to the database; and that with a database URL there is one connection at
// most. It is not parallel, so that it counts no other test's goroutines.
func TestNothingIsLeft(t *testing.T) { //nolint:paralleltest // see above
	for name, direct := range map[string]bool{"management_api": false, "database_url": true} {
		t.Run(name, func(t *testing.T) {
			p := start(t, stack.Options{Articles: 1})
			p.direct = direct
			const sessions = "select count(*) from pg_stat_activity where usename = 'postgres' and application_name = 'terraform-provider-aimindset'"
			before := goroutines(t)

			served := provider.New("test")()
			most := "0"
			resource.UnitTest(t, resource.TestCase{
				ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){
					"aimindset": func() (tfprotov6.ProviderServer, error) { return provider.NewServer(served) },
				},
				Steps: []resource.TestStep{{
					Config: p.config(nightly + "\nverify = \"none\""),
					Check: func(*terraform.State) error {
						most = p.value(sessions)
						return nil
					},
				}},
			})
			if most = max(most, p.value(sessions)); direct && most != "1" {
				t.Errorf("%s connections to the database were open at once, want 1", most)
			}
			if err := served.(io.Closer).Close(); err != nil {
				t.Error(err)
			}
			p.await("0", sessions)
			for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
				after := goroutines(t)
				if len(after) <= len(before) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d goroutines became %d:\n%s\n\n----\n\n%s", len(before), len(after), strings.Join(before, "\n\n"), strings.Join(after, "\n\n"))
				}
			}
		})
	}
}
