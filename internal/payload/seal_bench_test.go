package payload_test

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// The limits of making the parts of an off-site copy. With them the 25 MB of a call take
// half of the 2 s of processor time that the platform gives. On an idle machine it is
// about 12 ms for a megabyte, nearly all of it gzip's; a busy one counts twice as much.
const (
	// partLimit is in milliseconds of processor time for a megabyte of rows.
	partLimit = 40.0
	// partMemory is the peak of the process in megabytes.
	partMemory = 200.0
)

// BenchmarkSealPart measures the time of a processor that the function takes to compress
// and encrypt 8 MB of rows, in milliseconds, and the memory of its process. It fails where
// even the fastest time is above the limit.
func BenchmarkSealPart(b *testing.B) {
	for _, c := range []struct{ name, deno string }{{"current Deno", ""}, {"the platform's Deno", "platform"}} {
		b.Run(c.name, func(b *testing.B) {
			b.Setenv("STACK_DENO_VERSION", c.deno)
			deno, err := stack.Deno()
			if err != nil {
				b.Fatal(err)
			}
			var costs, encryption []float64
			var memory float64
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), deno, "run", "--quiet", "--no-check", "--no-remote", "--no-lock", "--allow-all", "function/_tests/copy_cost.ts")
				out, err := cmd.Output()
				if err != nil {
					b.Fatal(err)
				}
				var gzip, seal, digest, all, before, peak float64
				if _, err := fmt.Sscan(string(out), &gzip, &seal, &digest, &all, &before, &peak); err != nil {
					b.Fatalf("%v in %q", err, out)
				}
				costs, encryption, memory = append(costs, gzip+seal+digest), append(encryption, seal), max(memory, peak)
			}
			slices.Sort(costs)
			slices.Sort(encryption)
			b.ReportMetric(costs[len(costs)/2]*8, "p50-ms")
			b.ReportMetric(costs[len(costs)/2], "ms/MB")
			b.ReportMetric(encryption[len(encryption)/2], "encryption-ms/MB")
			b.ReportMetric(memory, "MB")
			if costs[0] > partLimit {
				b.Errorf("the fastest took %.1f ms/MB, the limit is %.1f", costs[0], partLimit)
			}
			if memory > partMemory {
				b.Errorf("the process took %.0f MB, the limit is %.0f", memory, partMemory)
			}
		})
	}
}
