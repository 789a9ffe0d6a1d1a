package payload_test

import (
	"context"
	"net"
	"net/url"
	"slices"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// The limits of reading rows of 2 kB in the function, which has 2 s of processor time and
// 256 MB of memory on the platform for a part of the off-site copy, of 25 MB.
const (
	// streamLimit is in milliseconds of processor time for a megabyte, also over TLS.
	streamLimit = 3.0
	// streamMemory is in bytes, beyond what there was before.
	streamMemory = 16 << 20
)

// BenchmarkPostgresClient measures the time of a processor that the function takes to read
// 25 MB, in milliseconds, and its memory. It fails where even the fastest time is above
// the limit.
func BenchmarkPostgresClient(b *testing.B) {
	s, err := stack.Start(context.Background(), stack.Options{Parts: stack.Database, Articles: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	root, key := certificate(b, "db.example.com")
	if err := s.ServeTLS(b.Context(), []byte(root), key, false); err != nil {
		b.Fatal(err)
	}
	encrypted, err := url.Parse(s.DatabaseURL)
	if err != nil {
		b.Fatal(err)
	}
	encrypted.RawQuery, encrypted.Host = "", net.JoinHostPort("db.example.com", encrypted.Port())
	for _, c := range []struct{ name, deno, url string }{
		{"current Deno", "", s.DatabaseURL},
		{"current Deno, TLS", "", encrypted.String()},
		{"the platform's Deno", "platform", s.DatabaseURL},
		{"the platform's Deno, TLS", "platform", encrypted.String()},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.Setenv("STACK_DENO_VERSION", c.deno)
			client := startClient(b, "--allow-all") // which /proc needs
			client.open(b, command{Open: c.url, Host: "127.0.0.1", Root: root})
			if o := client.do(b, command{Query: `
				create temporary table lines as
				select row_to_json(r)::text as line
				from (select n as id, repeat(md5(n::text), 62) as content, 'ação' as tag from generate_series(1, 12500) n) r`}); o.Code != "" {
				b.Fatalf("%+v", o)
			}
			var costs []float64
			memory := 0
			megabytes := 0.0
			for b.Loop() {
				o := client.do(b, command{Stream: "select line from pg_temp.lines", Measure: true})
				if o.Count != 12500 {
					b.Fatalf("%+v", o)
				}
				costs, memory, megabytes = append(costs, o.CPUMS), max(memory, o.Memory), float64(o.Bytes)/1e6
			}
			slices.Sort(costs)
			b.ReportMetric(costs[len(costs)/2], "p50-ms")
			b.ReportMetric(costs[len(costs)/2]/megabytes, "ms/MB")
			b.ReportMetric(float64(memory)/1e6, "MB")
			if best := costs[0] / megabytes; best > streamLimit {
				b.Errorf("the fastest took %.1f ms/MB, the limit is %.1f", best, streamLimit)
			}
			if memory > streamMemory {
				b.Errorf("it took %d bytes of memory, the limit is %d", memory, streamMemory)
			}
		})
	}
}
