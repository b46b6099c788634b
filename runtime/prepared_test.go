package runtime

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestAllThatIsKnownOfAModuleIsKept(t *testing.T) {
	paths, err := filepath.Glob("../testdata/guests/hostile/*.wasm")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d modules found (%v), want at least 12", len(paths), err)
	}
	c := newCompiler(t.TempDir(), nil)
	if c.program == "" {
		t.Fatal("this program has no build identity")
	}
	for _, path := range paths {
		wasm, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := prepare(wasm)
		if err != nil {
			continue // refused: nothing to keep
		}
		sum := sha256.Sum256(wasm)
		if err := c.keep(sum, p); err != nil {
			t.Fatal(err)
		}
		if got := c.prepared(sum); !reflect.DeepEqual(got, p) {
			t.Errorf("%s: kept\n%+v\nof\n%+v", filepath.Base(path), got, p)
		}
	}
}
