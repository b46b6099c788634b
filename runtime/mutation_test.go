package runtime_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
)

// scaled multiplies the size of a test by CHECK_SCALE.
func scaled(n int) int {
	if scale, err := strconv.ParseFloat(os.Getenv("CHECK_SCALE"), 64); err == nil && scale > 0 {
		return max(1, int(float64(n)*scale))
	}
	return n
}

// seeds are small modules of every kind.
func seeds(tb testing.TB) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob("../testdata/guests/hostile/*.wasm")
	if err != nil {
		tb.Fatal(err)
	}
	found := map[string][]byte{}
	for _, path := range paths {
		wasm, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		if len(wasm) < 1024 {
			found[filepath.Base(path)] = wasm
		}
	}
	if len(found) < 12 {
		tb.Fatalf("%d modules found, want at least 12", len(found))
	}
	return found
}

func TestATruncatedModuleIsRefused(t *testing.T) {
	for name, wasm := range seeds(t) {
		whole := sectionEnds(wasm)
		for n := range wasm {
			if err := runtime.Check(wasm[:n]); !errors.Is(err, backends.ErrInvalid) && !(err == nil && whole[n]) {
				t.Errorf("%s cut after %d of %d bytes: %v, want ErrInvalid", name, n, len(wasm), err)
			}
		}
	}
}

// sectionEnds gives the offsets at which a module may end: some without its last sections are whole.
func sectionEnds(wasm []byte) map[int]bool {
	ends := map[int]bool{}
	for at := 8; at < len(wasm); {
		size, n := binary.Uvarint(wasm[at+1:])
		at += 1 + n + int(size)
		ends[at] = true
	}
	return ends
}

// mutate changes a module in a few places.
func mutate(r *rand.Rand, wasm []byte) []byte {
	out := append([]byte(nil), wasm...)
	for range 1 + r.IntN(2) {
		at := 8 + r.IntN(len(out)-8)
		switch r.IntN(12) {
		case 0:
			out[at] ^= 1 << r.IntN(8)
		case 2:
			out = append(out[:at], append([]byte{byte(r.Uint32())}, out[at:]...)...)
		case 3:
			if len(out) > 40 {
				out = append(out[:at], out[at+1:]...)
			}
		case 4:
			from := 8 + r.IntN(len(out)-8)
			copy(out[at:], out[from:min(from+8, len(out))])
		default:
			out[at] = [...]byte{0, 1, 0x7f, 0x80, 0xff, 0x40, 0x0b, 0x41}[r.IntN(8)]
		}
	}
	return out
}

// TestADamagedModuleIsRefusedOrRunsWithinItsLimits gives the engine modules that no compiler made. Those it takes are run.
func TestADamagedModuleIsRefusedOrRunsWithinItsLimits(t *testing.T) {
	e, err := runtime.New(t.Context(), runtime.Config{}) // without a cache on disk, which nothing here would be found in again
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	all := seeds(t)
	const seed = 20261124
	var ran, refused int
	for name, wasm := range all {
		r := rand.New(rand.NewPCG(seed, uint64(len(wasm))))
		for i := range scaled(150) {
			mutant := mutate(r, wasm)
			m, err := e.Load(t.Context(), mutant, runtime.Spec{Memory: 8 << 20, Answer: 64 << 10, Log: func([]byte) {}})
			if err != nil {
				if refused++; !errors.Is(err, backends.ErrInvalid) {
					t.Fatalf("%s, mutation %d: %v of no kind; module %x", name, i, err, mutant)
				}
				continue
			}
			ran++
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
			for range 2 {
				if err := m.Invoke(ctx, request("t"), &discard{}); err != nil && backends.HTTPStatus(err) == 500 && !errors.Is(err, backends.ErrFunction) {
					t.Fatalf("%s, mutation %d: %v of no kind; module %x", name, i, err, mutant)
				}
			}
			cancel()
			_ = m.Close()
		}
	}
	if ran < scaled(100) || refused < scaled(100) {
		t.Errorf("%d ran, %d were refused: the mutations are too weak or too strong", ran, refused)
	}
	answersAgain(t, e)
}

// TestNoStateCrossesFromCallToCallWhileTheCollectorRuns makes many callers mark and look for marks, in two functions of the same module,
// whose calls end in every way, while garbage is collected all the time.
func TestNoStateCrossesFromCallToCallWhileTheCollectorRuns(t *testing.T) {
	e := newEngine(t, runtime.Config{Slots: 4})
	modules := []*runtime.Module{load(t, e, hostile(t, "state"), runtime.Spec{}), load(t, e, hostile(t, "state"), runtime.Spec{Args: []string{"other"}})}
	collecting, collected := context.WithCancel(t.Context())
	var collector, callers sync.WaitGroup
	collector.Go(func() {
		for collecting.Err() == nil {
			goruntime.GC()
		}
	})
	const ends = "------------------------------t---------------l---------------r-"
	for caller := range 6 {
		callers.Go(func() {
			for i := range scaled(1000) {
				end := ends[(i*7+caller)%len(ends)]
				timeout := 10 * time.Second
				if end == 'l' {
					timeout = time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				err := modules[i%2].Invoke(ctx, request(string(end)), &discard{})
				cancel()
				if err != nil && (end == '-' || strings.Contains(err.Error(), "exit status") || strings.Contains(err.Error(), "memory access")) {
					t.Errorf("caller %d, call %d (%c): %v", caller, i, end, err)
					return
				}
			}
		})
	}
	callers.Wait()
	collected()
	collector.Wait()
	for _, m := range modules {
		if s := m.Stats(); s.InFlight != 0 || s.Instances != int64(s.Idle) {
			t.Errorf("stats %+v, want nothing in flight", s)
		}
	}
}
