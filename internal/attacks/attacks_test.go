// Package attacks_test attacks an installed backup on the local stack: every attacker
// tries every aim, and what they may not reach is checked. The table of the guide
// docs/guides/security-model.md is generated from the list of attacks.
package attacks_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

var (
	out    = flag.String("attacks.out", "", "write the guide to this file instead of comparing it")
	only   = flag.String("attacks.only", "", "run only the attacks whose attacker, aim or text contains this text")
	heavy  = flag.Bool("attacks.heavy", false, "run the attacks that take hundreds of megabytes too")
	timing = flag.Bool("attacks.timing", false, "log how long each attack takes")
)

const guide = "../../docs/guides/security-model.md"

// The aims of an attack.
const (
	readToken   = "read the token"
	forge       = "forge a success"
	suppress    = "suppress or delay an alert"
	double      = "double or prevent a backup"
	redirect    = "redirect a backup"
	runCode     = "run code as another role"
	exhaust     = "exhaust memory, CPU or locks"
	spoof       = "spoof or flood e-mails"
	readSecrets = "read other secrets"
	mislead     = "mislead a plan or the status"
	removeKept  = "make the retention remove what it keeps, or stop it"
)

var aims = []string{readToken, forge, suppress, double, redirect, runCode, exhaust, spoof, readSecrets, mislead, removeKept}

// The attackers.
const (
	noKey         = "no key, REST"
	anon          = "`anon`, REST"
	authenticated = "`authenticated`, REST"
	serviceRole   = "`service_role`, REST"

	plainSQL         = "a role with CREATE on `public`, SQL"
	authenticatedSQL = "`authenticated`, SQL"
	serviceRoleSQL   = "`service_role`, SQL"
	readOnlySQL      = "`supabase_read_only_user`, SQL"

	readOnlyToken = "a read-only API token"
	scopedToken   = "an API token scoped to functions and secrets"
	forgedAPI     = "a forged Management API"
	forgedServer  = "a forged database server"
	brokenClock   = "a broken clock"
	editedState   = "an edited Terraform state"
)

var attackers = []string{
	noKey, anon, authenticated, serviceRole, plainSQL, authenticatedSQL, serviceRoleSQL, readOnlySQL,
	readOnlyToken, scopedToken, forgedAPI, forgedServer, brokenClock, editedState,
}

// attack is what an attacker tries to reach an aim. Several may have the same cell.
type attack struct {
	attacker, aim string
	// what is tried, for the guide.
	what string
	// numbers are those of the eighteen attacks that once succeeded; see before_test.go.
	numbers []int
	// heavy attacks take hundreds of megabytes and most of a minute.
	heavy bool
	// run attacks, and returns what does not hold.
	run func(*site) error
}

func (a attack) String() string { return a.attacker + ": " + a.aim }

// exception is a cell that is not attacked, and why.
type exception struct{ attacker, aim, why string }

// fewest is how many cells must be attacked.
const fewest = 100

// TestAttacks proves that none of the attacks reaches its aim. They share a project,
// and each begins with a backup that is installed and has no history.
func TestAttacks(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := newSite(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, a := range attacks() {
		if !strings.Contains(a.String()+": "+a.what, *only) || a.heavy && !*heavy {
			continue
		}
		t.Run(a.String(), func(t *testing.T) {
			started := time.Now()
			err := stack.Steps(func() {
				s.begin()
				if err := a.run(s); err != nil {
					s.failf("%w", err)
				}
			})
			if err != nil {
				t.Errorf("%s\n%v", a.what, err)
			}
			if err := stack.Steps(s.end); err != nil {
				t.Fatalf("clean up: %v", err)
			}
			if *timing {
				t.Logf("%.2f s", time.Since(started).Seconds())
			}
		})
	}
}

// TestMatrix proves that every cell of the matrix is attacked or has a reason why it is
// not, and not both; that enough are attacked; that each of the eighteen attacks that
// once succeeded is among them; and that the guide shows exactly this.
func TestMatrix(t *testing.T) {
	t.Parallel()
	type cell struct{ attacker, aim string }
	tried, numbers := map[cell]bool{}, map[int]bool{}
	known := map[cell]bool{}
	for _, attacker := range attackers {
		for _, aim := range aims {
			known[cell{attacker, aim}] = true
		}
	}
	for _, a := range attacks() {
		c := cell{a.attacker, a.aim}
		if !known[c] || a.what == "" || a.run == nil {
			t.Errorf("%s: not a cell of the matrix, or incomplete", a)
		}
		tried[c] = true
		for _, n := range a.numbers {
			numbers[n] = true
		}
	}
	excepted := map[cell]bool{}
	for _, e := range exceptions() {
		c := cell{e.attacker, e.aim}
		if !known[c] || tried[c] || excepted[c] || e.why == "" {
			t.Errorf("%s: %s: unknown, attacked, named twice, or without a reason", e.attacker, e.aim)
		}
		excepted[c] = true
	}
	for c := range known {
		if !tried[c] && !excepted[c] {
			t.Errorf("%s: %s: neither attacked nor out of scope", c.attacker, c.aim)
		}
	}
	if len(tried) < fewest {
		t.Errorf("%d cells are attacked, fewer than %d", len(tried), fewest)
	}
	for n := range formerly {
		if !numbers[n] {
			t.Errorf("attack %d, which once succeeded, is not tried", n)
		}
	}
	text := render()
	if *out != "" {
		if err := os.WriteFile(*out, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	found, err := os.ReadFile(guide)
	if err != nil || string(found) != text {
		t.Errorf("docs/guides/security-model.md does not show the attacks (%v); \"make attacks\" writes it", err)
	}
}

// render returns the guide.
func render() string {
	var b strings.Builder
	b.WriteString(introduction)
	cells := 0
	for _, attacker := range attackers {
		var rows strings.Builder
		for _, aim := range aims {
			var texts []string
			for _, a := range attacks() {
				if a.attacker != attacker || a.aim != aim {
					continue
				}
				text := a.what
				for _, n := range a.numbers {
					text += fmt.Sprintf(" (%d)", n)
				}
				texts = append(texts, text)
			}
			if len(texts) > 0 {
				cells++
				fmt.Fprintf(&rows, "| %s | %s | Held |\n", aim, strings.Join(texts, " "))
				continue
			}
			for _, e := range exceptions() {
				if e.attacker == attacker && e.aim == aim {
					fmt.Fprintf(&rows, "| %s | %s | Out of scope |\n", aim, e.why)
				}
			}
		}
		fmt.Fprintf(&b, "\n### %s\n\n| Aim | What is tried, or why not | |\n|---|---|---|\n%s", upperFirst(attacker), rows.String())
	}
	fmt.Fprintf(&b, "\nOf %d cells, %d are attacked.\n", len(attackers)*len(aims), cells)
	b.WriteString(renderFormerly())
	return b.String()
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// all joins what does not hold.
func all(wrong ...error) error { return errors.Join(wrong...) }
