package runtime

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"hearth/runtime/rewrite"
)

// everyPath are the restore paths; each must leave the same state behind.
var everyPath = []restorePath{restoreScan, restoreWalk, restoreMadvise, restoreCopy}

// checkScale multiplies the rounds of long tests.
func checkScale() int {
	if n, err := strconv.Atoi(os.Getenv("CHECK_SCALE")); err == nil && n > 0 {
		return n
	}
	return 1
}

// imageRig is a compiled module of testdata/image with what instances of it need.
type imageRig struct {
	tb       testing.TB
	ctx      context.Context
	engine   wazero.Runtime
	code     wazero.CompiledModule
	traits   traits
	budget   budget
	restorer *restorer
}

func newImageRig(tb testing.TB, name string, path restorePath) *imageRig {
	tb.Helper()
	wasm, err := os.ReadFile("testdata/image/" + name + ".wasm")
	if err != nil {
		tb.Fatal(err)
	}
	return newImageRigOf(tb, wasm, path)
}

func newImageRigOf(tb testing.TB, wasm []byte, path restorePath) *imageRig {
	tb.Helper()
	parsed, err := rewrite.Parse(wasm, rewrite.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	facts := parsed.Facts()
	g := &imageRig{tb: tb, ctx: context.Background(), traits: traitsOf(&facts)}
	if g.restorer, err = newRestorer(path); err != nil {
		tb.Fatalf("restore path %v: %v", path, err)
	}
	tb.Cleanup(g.restorer.close)
	g.engine = wazero.NewRuntimeWithConfig(g.ctx, wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(1024))
	tb.Cleanup(func() { _ = g.engine.Close(g.ctx) })
	if g.code, err = g.engine.CompileModule(g.ctx, wasm); err != nil {
		tb.Fatal(err)
	}
	return g
}

// instance makes an instance that is in no image's state yet.
func (g *imageRig) instance() *instance {
	g.tb.Helper()
	in, err := instantiateIn(g.ctx, 64<<20, 0, &g.budget, func(ctx context.Context) (api.Module, error) {
		return g.engine.InstantiateModule(ctx, g.code, instanceConfig)
	})
	if err != nil {
		g.tb.Fatal(err)
	}
	g.tb.Cleanup(func() { in.close(g.ctx) })
	return in
}

// image captures in.
func (g *imageRig) image(in *instance) *image {
	g.tb.Helper()
	img, err := captureImage(in.mod, g.traits)
	if err != nil {
		g.tb.Fatal(err)
	}
	g.tb.Cleanup(img.close)
	return img
}

// from makes an instance from an image.
func (g *imageRig) from(img *image) *instance {
	g.tb.Helper()
	in := g.instance()
	if err := in.adopt(img); err != nil {
		g.tb.Fatal(err)
	}
	return in
}

// restore puts in back and checks every byte of its memory against the image.
func (g *imageRig) restore(in *instance) {
	g.tb.Helper()
	if err := in.restore(g.restorer); err != nil {
		g.tb.Fatal(err)
	}
	if mem, _ := in.mod.Memory().Read(0, in.mod.Memory().Size()); !bytes.Equal(mem, in.img.view) {
		g.tb.Fatalf("%v: memory of %d bytes differs from the image of %d", g.restorer.path, len(mem), len(in.img.view))
	}
}

// callGuest returns the only result of an exported function, 0 without one.
func callGuest(in *instance, name string, params ...uint64) (uint64, error) {
	res, err := in.mod.ExportedFunction(name).Call(context.Background(), params...)
	if len(res) == 0 {
		return 0, err
	}
	return res[0], err
}

func mustCall(tb testing.TB, in *instance, name string, params ...uint64) uint64 {
	tb.Helper()
	res, err := callGuest(in, name, params...)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return res
}

// Everything a guest can change is as in the image after a call, whichever way the call ended.
func TestEveryKindOfStateIsRestored(t *testing.T) {
	for _, path := range everyPath {
		t.Run(path.String(), func(t *testing.T) {
			g := newImageRig(t, "mutable", path)
			template := g.instance()
			in := g.from(g.image(template))
			pristine, referenced := mustCall(t, in, "state"), mustCall(t, in, "referenced")
			g.restore(in)
			if got := mustCall(t, template, "state"); got != pristine {
				t.Fatalf("an instance from the image is in state %d, the captured one in %d", pristine, got)
			}
			for round := range 100 * checkScale() {
				mustCall(t, in, "mutate")
				if mustCall(t, in, "state") == pristine || mustCall(t, in, "referenced") == referenced {
					t.Fatal("the guest changed nothing, so this test proves nothing")
				}
				g.restore(in)
				if got := mustCall(t, in, "state"); got != pristine {
					t.Fatalf("round %d: state %d after restoring, want %d", round, got, pristine)
				}
				if got := mustCall(t, in, "referenced"); got != referenced {
					t.Fatalf("round %d: the global refers to function %d, want %d", round, got, referenced)
				}
				if got := mustCall(t, in, "tail"); got != 0 {
					t.Fatalf("round %d: memory grown anew holds %d", round, got)
				}
				g.restore(in)
				checkSegments(t, g, in)
				if _, err := callGuest(in, "trap"); err == nil {
					t.Fatal("the trap did not happen")
				}
				if round%50 == 0 {
					if _, err := callGuest(in, "overflow"); err == nil {
						t.Fatal("the stack did not overflow")
					}
				}
				g.restore(in)
			}
		})
	}
}

func checkSegments(t *testing.T, g *imageRig, in *instance) {
	t.Helper()
	for _, s := range []struct{ drop, use string }{{"drop", "init"}, {"elem_drop", "table_init"}} {
		mustCall(t, in, s.drop)
		if _, err := callGuest(in, s.use); err == nil {
			t.Fatalf("%s worked after %s", s.use, s.drop)
		}
		g.restore(in)
		mustCall(t, in, s.use)
		g.restore(in)
	}
}

// What initialisation changed is in every instance made from the image, though references differ between them.
func TestAnImageCarriesChangedStateToNewInstances(t *testing.T) {
	for _, path := range everyPath {
		t.Run(path.String(), func(t *testing.T) {
			g := newImageRig(t, "mutable", path)
			template := g.instance()
			mustCall(t, template, "mutate")
			mustCall(t, template, "drop")
			want := mustCall(t, template, "state")
			img := g.image(template)
			first, second := g.from(img), g.from(img)
			if err := template.adopt(img); err != nil {
				t.Fatal(err)
			}
			for _, in := range []*instance{first, second, template} {
				for range 3 {
					if got := mustCall(t, in, "state"); got != want {
						t.Fatalf("state %d, want %d", got, want)
					}
					if got := mustCall(t, in, "referenced"); got != 3 {
						t.Fatalf("the global refers to function %d, want 3", got)
					}
					if _, err := callGuest(in, "init"); err == nil {
						t.Fatal("a segment dropped before the capture is back")
					}
					mustCall(t, in, "mutate")
					g.restore(in)
				}
			}
		})
	}
}

// Memory of any amount is put back, more written pages than are kept resident included.
func TestMemoryIsRestoredWhateverWasWritten(t *testing.T) {
	for _, path := range everyPath {
		t.Run(path.String(), func(t *testing.T) {
			g := newImageRig(t, "reactor", path)
			in := g.from(g.image(g.instance()))
			for round := range 2 * checkScale() {
				for _, pages := range []uint64{0, 1, 2, 65, 200, 511, 512, 513, 4096, 8192, 3} {
					if got := mustCall(t, in, "next"); got != 1 {
						t.Fatalf("round %d: call number %d in a pristine instance", round, got)
					}
					if got := mustCall(t, in, "dirty", pages); got != 0 {
						t.Fatalf("round %d: %d pages held %d", round, pages, got)
					}
					if got := mustCall(t, in, "grow", 1+pages%7); got != 0 {
						t.Fatalf("round %d: grown memory held %d", round, got)
					}
					g.restore(in)
				}
			}
		})
	}
}

// Pages that are no longer written stop being kept and copied.
func TestPagesOfAnOutlierAreGivenBack(t *testing.T) {
	g := newImageRig(t, "reactor", restoreScan)
	in := g.from(g.image(g.instance()))
	mustCall(t, in, "dirty", 500)
	g.restore(in)
	if in.left.bytes < 500*4096 {
		t.Fatalf("%d bytes kept after writing 500 pages", in.left.bytes)
	}
	for range trimSoonest + 2 {
		mustCall(t, in, "next")
		g.restore(in)
	}
	if in.left.bytes > trimAbove {
		t.Errorf("%d bytes still kept by calls that write one page", in.left.bytes)
	}
	mustCall(t, in, "dirty", 8192)
	g.restore(in)
	if in.left.bytes > residentCap {
		t.Errorf("%d bytes kept, at most %d allowed", in.left.bytes, residentCap)
	}
}

// Two functions never share an image; two instances of one image never see each other.
func TestInstancesOfAnImageAreApart(t *testing.T) {
	g := newImageRig(t, "reactor", restoreAuto)
	img := g.image(g.instance())
	a, b := g.from(img), g.from(img)
	mustCall(t, a, "dirty", 300)
	if got := mustCall(t, b, "dirty", 300); got != 0 {
		t.Fatalf("an instance saw %d written by another", got)
	}
	g.restore(b)
	if got := mustCall(t, a, "dirty", 300); got == 0 {
		t.Fatal("restoring one instance changed another")
	}
}

// Growing stops at the function's limit and at the budget of all instances, and the guest sees a failed memory.grow.
func TestGrowingIsBounded(t *testing.T) {
	g := newImageRig(t, "reactor", restoreAuto)
	in := g.from(g.image(g.instance()))
	size, all := int64(in.mem.size), g.budget.used.Load()
	for _, c := range []struct {
		name   string
		budget int64
		pages  uint64
		ok     bool
	}{
		{"within both", 0, 10, true},
		{"above the function's limit", 0, 2000, false},
		{"within the budget", all + 10*wasmPage, 10, true},
		{"above the budget", all + 10*wasmPage, 11, false},
	} {
		g.budget.limit = c.budget
		_, ok := in.mod.Memory().Grow(uint32(c.pages))
		if ok != c.ok {
			t.Errorf("%s: growing by %d pages: %v", c.name, c.pages, ok)
		}
		g.restore(in)
		in.mem.release(size)
	}
	in.close(g.ctx)
	if used := g.budget.used.Load(); used != all-size {
		t.Errorf("%d bytes charged with one instance of %d left", used, size)
	}
}

func BenchmarkRestore(b *testing.B) {
	for _, path := range everyPath {
		for _, pages := range []uint64{0, 16, 256, 4096} {
			b.Run(fmt.Sprintf("%v/dirty=%d", path, pages), func(b *testing.B) {
				g := newImageRig(b, "reactor", path)
				in := g.from(g.image(g.instance()))
				dirty := in.mod.ExportedFunction("dirty")
				stack := make([]uint64, 1)
				b.ReportAllocs()
				for b.Loop() {
					stack[0] = pages
					if err := dirty.CallWithStack(g.ctx, stack); err != nil {
						b.Fatal(err)
					}
					if err := in.restore(g.restorer); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkNewInstance(b *testing.B) {
	g := newImageRig(b, "reactor", restoreAuto)
	img := g.image(g.instance())
	b.ReportAllocs()
	for b.Loop() {
		in, err := instantiateIn(g.ctx, 64<<20, 0, &g.budget, func(ctx context.Context) (api.Module, error) {
			return g.engine.InstantiateModule(ctx, g.code, instanceConfig)
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := in.adopt(img); err != nil {
			b.Fatal(err)
		}
		in.close(g.ctx)
	}
}
