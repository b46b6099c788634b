package runtime

import (
	"context"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/backends/inproc/store"
	"hearth/testdata/guests"
)

// residentBytes is what the process has in memory.
func residentBytes(tb testing.TB) int {
	tb.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		tb.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// BenchmarkIdleInstances reports what an idle instance of a small program takes, once it has rested: KiB/instance.
func BenchmarkIdleInstances(b *testing.B) {
	for _, resume := range []string{ResumeOff, ResumeAuto} {
		b.Run("resume="+resume, func(b *testing.B) {
			e, err := New(context.Background(), Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			f, _ := store.Lookup("cat")
			m, err := e.Load(context.Background(), f.Wasm, Spec{Args: f.Process, Resume: resume})
			if err != nil {
				b.Fatal(err)
			}
			const instances = 2000
			debug.FreeOSMemory()
			before := residentBytes(b)
			for b.Loop() {
				workers := make([]*worker, instances)
				for i := range workers {
					w := &worker{}
					workers[i] = w
					var answer transcript
					w.call.begin(context.Background(), m, &backends.Request{Body: []byte("x")}, &answer)
					if err := m.ready(w); err != nil {
						b.Fatal(err)
					}
					if err := w.enter(); err != nil || answer.String() != "x" {
						b.Fatal(answer.String(), err)
					}
					w.call.end()
				}
				for _, w := range workers {
					w.since = time.Now()
					m.give(w)
				}
			}
			m.rest(time.Now().Add(trimAfter + time.Second))
			debug.FreeOSMemory()
			if n := m.Stats().Idle; n > 0 {
				b.ReportMetric(float64(residentBytes(b)-before)/1024/float64(n), "KiB/instance")
			}
		})
	}
}

// BenchmarkNewInstanceFromImage makes and closes instances of functions whose image is there.
func BenchmarkNewInstanceFromImage(b *testing.B) {
	for _, bench := range []struct {
		name string
		wasm []byte
		spec Spec
	}{
		{"command", guests.Wasm(b, "store/box"), Spec{Args: []string{"cat"}, Resume: ResumeOff}},
		{"frozen", guests.Wasm(b, "store/box"), Spec{Args: []string{"cat"}}},
		{"reactor-C", guests.Wasm(b, "reactor/greet"), Spec{}},
		{"reactor-Go", guests.Go(b, "reactor"), Spec{}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			e, err := New(context.Background(), Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			m, err := e.Load(context.Background(), bench.wasm, bench.spec)
			if err != nil {
				b.Fatal(err)
			}
			var answer transcript
			if err := m.Invoke(context.Background(), &backends.Request{Path: []byte("/")}, &answer); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				w := &worker{}
				w.call.begin(context.Background(), m, &backends.Request{}, &answer)
				if err := m.ready(w); err != nil || w.unfit {
					b.Fatal(err)
				}
				w.call.end()
				m.discard(w)
			}
		})
	}
}
