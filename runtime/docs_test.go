package runtime_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hearth/runtime"
)

// TestTheGoReactorOfTheDocumentationIsAFunction builds what docs/abi/reactor.md
// prints, as it says.
func TestTheGoReactorOfTheDocumentationIsAFunction(t *testing.T) {
	page, err := os.ReadFile("../docs/abi/reactor.md")
	if err != nil {
		t.Fatal(err)
	}
	_, source, ok := strings.Cut(string(page), "```go\n")
	source, _, _ = strings.Cut(source, "```")
	if !ok {
		t.Fatal("the page has no Go program")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": source, "go.mod": "module upper\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-o", "upper.wasm", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wasm, err := os.ReadFile(filepath.Join(dir, "upper.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, newEngine(t, runtime.Config{}), wasm, runtime.Spec{})
	for _, body := range []string{"abc", "", strings.Repeat("x", 100_000)} {
		resp, err := invoke(t, m, requestOf("POST", "/", "q=1", body, headers{{"A", "b"}}))
		if err != nil || resp.body.String() != strings.ToUpper(body) {
			t.Errorf("%d bytes became %d bytes, %v", len(body), resp.body.Len(), err)
		}
	}
}
