package payload_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// The limits. They are several times what it takes on a machine with two cores that does
// other things too.
const (
	// queueLimit is what queuing a signed request may cost the database.
	queueLimit = 5 * time.Millisecond
	// databaseSignatureLimit is what making or verifying one signature may cost there.
	databaseSignatureLimit = 500 * time.Microsecond
	// functionSignatureLimit is what either may cost the Edge Function. Anybody can send
	// it a request whose signature has to be verified.
	functionSignatureLimit = 250 * time.Microsecond
	// signatures is how many of them are measured at once in the database.
	signatures = 50
)

// BenchmarkSignature measures what signatures cost in the database and in the Edge
// Function, in microseconds. It fails where even the fastest quarter is above the limit.
func BenchmarkSignature(b *testing.B) {
	b.Run("SQL", benchmarkSignatureSQL)
	for _, version := range []string{"", "platform"} {
		name := "function, current Deno"
		if version != "" {
			name = "function, the platform's Deno"
		}
		b.Run(name, func(b *testing.B) {
			b.Setenv("STACK_DENO_VERSION", version)
			// Each of them is measured by a process of its own.
			for at, what := range []string{"a request verified", "an outcome signed"} {
				b.Run(what, func(b *testing.B) { benchmarkSignatureFunction(b, at) })
			}
		})
	}
}

func benchmarkSignatureSQL(b *testing.B) {
	tdb := startDatabase(b)
	ctx := context.Background()
	tdb.exec(b, tdb.owner, `select vault.create_secret($1, 'bench/token')`, token)
	tdb.exec(b, tdb.owner, `insert into auto_backup.settings (backup, document, owner) values ('bench', $1, 'test')`, settings())
	outcome := signedBody("auto_backup", `{"run_id":%q,"revision":1,"backup_id":%q,"total_records":4242}`, backupID, backupID)
	conn, err := tdb.owner.Acquire(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Release()
	for _, c := range []struct {
		what, counted string
		limit         time.Duration
	}{
		{"a request queued with its signature", `auto_backup.post('bench', body, 10000) > 0`, queueLimit},
		{"a request's signature alone", `length(encode(auto_backup.hmac(
			convert_to(body::text, 'UTF8'), convert_to(auto_backup.token('bench'), 'UTF8')), 'hex')) = 64`, databaseSignatureLimit},
		{"an outcome verified", `auto_backup.is_signed(
			auto_backup.keys('bench', now()), auto_backup.outcome('auto_backup', body), body ->> 'signature')`, databaseSignatureLimit},
	} {
		b.Run(c.what, func(b *testing.B) {
			var costs []time.Duration
			for b.Loop() {
				tx, err := conn.Begin(ctx)
				if err != nil {
					b.Fatal(err)
				}
				begin := time.Now()
				var count int
				err = tx.QueryRow(ctx, `
					select count(*) filter (where `+c.counted+`)
					from generate_series(1, $2) n, lateral (select $1::jsonb || jsonb_build_object('n', n) as body) b`,
					json.RawMessage(outcome), signatures).Scan(&count)
				costs = append(costs, time.Since(begin)/signatures)
				if rollback := tx.Rollback(ctx); err != nil || rollback != nil || count != signatures {
					b.Fatalf("%d of %d: %v, %v", count, signatures, err, rollback)
				}
			}
			reportCosts(b, costs, c.limit)
		})
	}
}

// benchmarkSignatureFunction measures with the Edge Function's own modules. at is the
// place of the figure in a line of signature_cost.ts.
func benchmarkSignatureFunction(b *testing.B, at int) {
	deno, err := stack.Deno()
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, deno, "run", "--quiet", "--no-check", "--no-remote", "--no-lock", "function/_tests/signature_cost.ts")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was killed
	}()
	lines := bufio.NewScanner(stdout)
	var costs []time.Duration
	for b.Loop() {
		var figures [2]float64
		if !lines.Scan() {
			b.Fatalf("the measurement has ended: %v", lines.Err())
		}
		if _, err := fmt.Sscan(lines.Text(), &figures[0], &figures[1]); err != nil {
			b.Fatal(err)
		}
		costs = append(costs, time.Duration(figures[at]*float64(time.Microsecond)))
	}
	reportCosts(b, costs, functionSignatureLimit)
}

// reportCosts reports percentiles of costs in microseconds, and fails where even the
// fastest quarter is above the limit: the rest tells more about what else the machine
// does.
func reportCosts(b *testing.B, costs []time.Duration, limit time.Duration) {
	slices.Sort(costs)
	percentile := func(p int) time.Duration { return costs[len(costs)*p/100] }
	for _, p := range []int{25, 50, 95} {
		b.ReportMetric(float64(percentile(p).Nanoseconds())/1000, fmt.Sprintf("p%d-us", p))
	}
	if cost := percentile(25); cost > limit {
		b.Errorf("a quarter of them took %s or less, the limit is %s", cost, limit)
	}
}
