package copies_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
)

// The limits of a copy. The platform gives a request 2 s of processor time and 256 MB; a
// call of 25 MB has to stay far below.
const (
	callProcessor = 600 * time.Millisecond
	callMemory    = 200 << 20
	// netLatency is how long another request of the database may wait for pg_net.
	netLatency = 10 * time.Second
)

// BenchmarkCopy copies a backup of 1 GB, from the real PostgreSQL through the function to
// the real S3 server, in calls of 25 MB. It measures the processor time of the function's
// thread for a call, the peak of its memory, the time of the whole, and the longest time
// that a request of somebody else waited for pg_net meanwhile.
func BenchmarkCopy(b *testing.B) {
	for _, c := range []struct {
		name, deno string
		megabytes  int
	}{{"1 GB, current Deno", "", 1000}, {"100 MB, the platform's Deno", "platform", 100}} {
		b.Run(c.name, func(b *testing.B) {
			b.Setenv("STACK_DENO_VERSION", c.deno)
			s := newSite(b, 5, nil)
			s.backUp()
			s.complete()
			// The texts are hexadecimal, so gzip halves them.
			s.exec(fmt.Sprintf(`
				set local statement_timeout = 0;
				with text as materialized (
					select i, string_agg(md5(random()::text), '') as t from generate_series(0, 999) i, generate_series(1, 60) group by i
				),
				one as materialized (select a from public.backup_articles a limit 1)
				insert into public.backup_articles
				select (jsonb_populate_record(one.a, jsonb_build_object('id', gen_random_uuid(), 'original_id', gen_random_uuid(), 'content', n || text.t))).*
				from one, generate_series(1, %d * 1000000 / (select 1920 + length((to_jsonb(one.a) - 'content')::text) from one)) n
				inner join text on text.i = n %% 1000`, c.megabytes))
			for b.Loop() {
				b.StopTimer()
				before, _, err := s.stack.FunctionUsage(string(s.name))
				must(b, err)
				// What is moved is copied again.
				s.apply(func(d *offsite.Destination) { d.Prefix = "large" })
				b.StartTimer()
				s.watch()
				longest := s.whileCopying()
				after, memory, err := s.stack.FunctionUsage(string(s.name))
				must(b, err)
				raw := one[int64](s, `select raw_bytes from auto_backup.exports order by export_id desc limit 1`)
				calls := one[int](s, `select calls from auto_backup.exports order by export_id desc limit 1`)
				call := time.Duration(float64(after-before) * 25e6 / float64(raw))
				b.ReportMetric(float64(call.Milliseconds()), "p50-ms")
				b.ReportMetric(float64(memory)/1e6, "MB")
				b.ReportMetric(float64(raw)/1e6, "raw-MB")
				b.ReportMetric(float64(calls), "calls")
				b.ReportMetric(float64(longest.Milliseconds()), "pg_net-ms")
				if call > callProcessor || memory > callMemory || longest > netLatency {
					b.Errorf("a call took %v of the processor, %d MB, and a request of others waited %v", call, memory>>20, longest)
				}
			}
		})
	}
}

// whileCopying waits until the copy is complete, and returns the longest time that
// somebody else's request took meanwhile, from the database through pg_net.
func (s *site) whileCopying() time.Duration {
	s.t.Helper()
	var longest time.Duration
	for s.state() != "complete" {
		if one[bool](s, `select failures > 2 from auto_backup.exports order by export_id desc limit 1`) {
			s.t.Fatal(s.state())
		}
		began := time.Now()
		id := one[int64](s, `select net.http_get($1)`, s.stack.ProjectURL+"/rest/v1/")
		s.await("an answer", func() bool { return one[bool](s, `select exists (select from net._http_response where id = $1)`, id) })
		longest = max(longest, time.Since(began))
	}
	return longest
}
