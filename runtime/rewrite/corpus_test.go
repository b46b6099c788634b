package rewrite

import (
	"context"
	"errors"
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// wazeroDir finds the sources of the pinned wazero module: its tests carry thousands of binaries nobody here wrote.
var wazeroDir = sync.OnceValue(func() string {
	p, err := build.Import("github.com/tetratelabs/wazero", ".", build.FindOnly)
	if err == nil && p.Dir != "" {
		return p.Dir
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
})

// corpusFiles lists the binaries below a directory of the wazero module.
func corpusFiles(t testing.TB, under string) []string {
	t.Helper()
	if wazeroDir() == "" {
		t.Fatal("the wazero module is not in the module cache: run go mod download")
	}
	var files []string
	err := filepath.WalkDir(filepath.Join(wazeroDir(), under), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".wasm") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// compiles tells whether wazero accepts a binary with the features functions have here.
func compiles(ctx context.Context, r wazero.Runtime, wasm []byte) error {
	c, err := r.CompileModule(ctx, wasm)
	if err == nil {
		err = c.Close(ctx)
	}
	return err
}

func TestParseAcceptsEveryModuleThatTheEngineAccepts(t *testing.T) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	defer r.Close(ctx)
	accepted, refused := 0, 0
	files := corpusFiles(t, ".")
	for i, path := range files {
		if testing.Short() && i%8 != 0 {
			continue
		}
		wasm, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, ours := Parse(wasm, Limits{})
		theirs := compiles(ctx, r, wasm)
		switch {
		case theirs == nil && errors.Is(ours, ErrUnsupported) && strings.Contains(path, "typed-function-references"):
			refused++ // the engine reads these types whatever features it is given
		case theirs == nil && ours != nil:
			t.Errorf("%s: the engine accepts it: %v", strings.TrimPrefix(path, wazeroDir()), ours)
		case theirs == nil:
			accepted++
		case ours != nil:
			refused++
		}
	}
	if accepted < len(files)/16 {
		t.Errorf("only %d of %d binaries were accepted: the corpus is not what it should be", accepted, len(files))
	}
	t.Logf("%d binaries: %d accepted by both, %d refused by both", len(files), accepted, refused)
}
