package rewrite

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"sort"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
)

//go:embed testdata/kernels.wasm
var kernelsWasm []byte

// kernels are the exports of kernels.wasm with arguments that take some hundred microseconds each.
var kernels = []struct {
	name  string
	args  []uint64
	calls bool // little but calls
}{
	{"spin", []uint64{300}, false},
	{"fib", []uint64{22}, true},
	{"ackermann", []uint64{2, 150}, true},
	{"sort", []uint64{4000}, false},
	{"sha256", []uint64{32}, false},
	{"matrix", []uint64{64}, false},
	{"json", []uint64{200}, false},
	{"trees", []uint64{13}, true},
	{"sieve", []uint64{100_000}, false},
	{"machine", []uint64{30}, false},
}

// BenchmarkMetering compares each kernel with and without metering, turn by turn, so that a busy machine slows both.
// It reports the ratio of the fastest turns as x.
func BenchmarkMetering(b *testing.B) {
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	metered := instantiate(b, r, rewritten(b, kernelsWasm, Options{}))
	plain, err := r.InstantiateWithConfig(ctx, kernelsWasm, wazero.NewModuleConfig().WithName("plain"))
	if err != nil {
		b.Fatal(err)
	}
	ctx = context.WithValue(ctx, guestKey{}, metered)
	ratios := make(map[string]float64)
	for _, k := range kernels {
		b.Run(k.name, func(b *testing.B) {
			f, g := plain.ExportedFunction(k.name), metered.ExportedFunction(k.name)
			var before, after []time.Duration
			run := func(call func(context.Context, ...uint64) ([]uint64, error)) time.Duration {
				metered.counter().Set(uint64(NewCounter(Refill, DefaultStack)))
				start := time.Now()
				if _, err := call(ctx, k.args...); err != nil {
					b.Fatal(err)
				}
				return time.Since(start)
			}
			for range max(b.N, 60) {
				before, after = append(before, run(f.Call)), append(after, run(g.Call))
			}
			ratio := float64(low(after)) / float64(low(before))
			b.ReportMetric(float64(low(before).Nanoseconds()), "plain-ns")
			b.ReportMetric(ratio, "x")
			b.ReportMetric(0, "ns/op")
			ratios[k.name] = ratio
		})
	}
	all, calls, heavy := 0.0, 0.0, 0
	for _, k := range kernels {
		if all += math.Log(ratios[k.name]); k.calls {
			calls += math.Log(ratios[k.name])
			heavy++
		}
	}
	fmt.Printf("geometric means: all x%.3f, call-heavy x%.3f\n",
		math.Exp(all/float64(len(kernels))), math.Exp(calls/float64(heavy)))
}

// low is the lower octile.
func low(d []time.Duration) time.Duration {
	sort.Slice(d, func(i, j int) bool { return d[i] < d[j] })
	return d[len(d)/8]
}
