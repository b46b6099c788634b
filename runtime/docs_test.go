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

// TestTheProgramsOfThePageCallOut builds what docs/abi/http.md prints, as it says.
func TestTheProgramsOfThePageCallOut(t *testing.T) {
	text, err := os.ReadFile("../docs/abi/http.md")
	if err != nil {
		t.Fatal(err)
	}
	s := outside(t)
	host := strings.TrimPrefix(s.URL, "http://")
	e := newEngine(t, runtime.Config{})
	for language, c := range map[string]struct{ file, tool, args string }{
		"go": {"main.go", "go", "build -trimpath -buildvcs=false -o call.wasm ."},
		"c":  {"call.c", "clang", "--target=wasm32 -O2 -ffreestanding -nostdlib -Wl,--no-entry call.c -o call.wasm"},
	} {
		t.Run(language, func(t *testing.T) {
			if _, err := exec.LookPath(c.tool); err != nil {
				t.Skipf("%s is not installed", c.tool)
			}
			_, source, ok := strings.Cut(string(text), "```"+language+"\n")
			source, _, _ = strings.Cut(source, "```")
			dir := t.TempDir()
			for name, text := range map[string]string{c.file: source, "go.mod": "module call\n\ngo 1.26\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil || !ok {
					t.Fatal(err, ok)
				}
			}
			build := exec.CommandContext(t.Context(), c.tool, strings.Fields(c.args)...)
			build.Dir, build.Env = dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			wasm, err := os.ReadFile(filepath.Join(dir, "call.wasm"))
			if err != nil {
				t.Fatal(err)
			}
			m := load(t, e, wasm, runtime.Spec{AllowHTTP: hosts(t, host)})
			for range 3 {
				if got, want := ask(t, m, "POST", s.URL+"/a"), "GET "+host; !strings.HasPrefix(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			silent := load(t, e, wasm, runtime.Spec{})
			if resp, err := invoke(t, silent, requestOf("POST", "/", "", s.URL, nil)); err == nil && !strings.Contains(resp.body.String(), "allow-http") {
				t.Errorf("without the key: %q", resp.body.String())
			}
		})
	}
}
