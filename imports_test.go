package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers of the import graph: what each package may import besides the
// standard library. A package that is not here may import nothing.
var allowedImports = map[string][]string{
	"hearth": {"hearth/...", "github.com/alecthomas/kong", "github.com/goccy/go-yaml", "github.com/fsnotify/fsnotify", "filippo.io/age",
		"golang.org/x/sync/errgroup", "golang.org/x/sys/unix", "golang.org/x/term", "github.com/prometheus/client_golang/..."},
	"hearth/backends": {},

	"hearth/runtime":           {"hearth/backends", "hearth/runtime/...", "github.com/tetratelabs/wazero/...", "golang.org/x/sys/..."},
	"hearth/runtime/rewrite":   {},
	"hearth/runtime/quickjs":   {},
	"hearth/scaler":            {"hearth/backends", "github.com/prometheus/client_golang/..."},
	"hearth/scaler/simulation": {"hearth/backends", "hearth/scaler"},
	"hearth/gateway/async":     {"hearth/backends", "github.com/prometheus/client_golang/...", "go.opentelemetry.io/..."},
	"hearth/gateway/http1":     {"hearth/backends", "github.com/valyala/fasthttp/...", "golang.org/x/sys/..."},

	"hearth/backends/local":       {"hearth/backends"},
	"hearth/backends/provider":    {"hearth/backends"},
	"hearth/backends/process":     {"hearth/backends"},
	"hearth/backends/logs":        {"hearth/backends"},
	"hearth/backends/backendtest": {"hearth/backends"},
	"hearth/backends/kubernetes":  {"hearth/backends", "k8s.io/...", "sigs.k8s.io/..."},
	"hearth/backends/nomad":       {"hearth/backends", "github.com/hashicorp/nomad/api"},
	"hearth/backends/inproc": {"hearth/backends", "hearth/runtime", "hearth/backends/inproc/store", "oras.land/oras-go/v2/...",
		"github.com/opencontainers/...", "github.com/prometheus/client_golang/...", "golang.org/x/sync/..."},
	"hearth/backends/inproc/store": {"hearth/backends"},

	"hearth/gateway": {"hearth/backends", "hearth/gateway/async", "hearth/gateway/http1", "hearth/gateway/ui", "github.com/valyala/fasthttp/...",
		"github.com/prometheus/client_golang/...", "go.opentelemetry.io/...", "github.com/coreos/go-oidc/..."},
	"hearth/gateway/ui":      {},
	"hearth/gateway/client":  {"hearth/backends"},
	"hearth/gateway/nats":    {"hearth/backends", "hearth/gateway/async", "github.com/nats-io/..."},
	"hearth/gateway/trigger": {"hearth/backends", "hearth/gateway/async", "github.com/robfig/cron/v3", "github.com/twmb/franz-go/..."},

	"hearth/watchdog":           {"hearth/backends", "hearth/gateway/http1", "github.com/valyala/fasthttp/...", "github.com/prometheus/client_golang/..."},
	"hearth/watchdog/wasm":      {"hearth/watchdog", "hearth/runtime", "hearth/backends"},
	"hearth/watchdog/fwatchdog": {"hearth/watchdog", "hearth/watchdog/wasm"},

	"hearth/docs/examples/upper": {},
	"hearth/testdata/bench":      {"hearth/backends", "hearth/gateway/client", "github.com/valyala/fasthttp"},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; packages++ {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		allowed, known := allowedImports[pkg.ImportPath]
		if !known {
			t.Errorf("%s is not in the table of what packages may import", pkg.ImportPath)
			continue
		}
		for _, imported := range pkg.Imports {
			if !isStandard(imported) && !slices.ContainsFunc(allowed, func(pattern string) bool { return matchesImport(pattern, imported) }) {
				t.Errorf("%s must not import %s", pkg.ImportPath, imported)
			}
		}
	}
	if packages < 5 {
		t.Errorf("go list found %d packages only", packages)
	}
}

// isStandard tells a package of the standard library, whose first element has
// no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return first != "hearth" && !strings.Contains(first, ".")
}

// matchesImport matches a path with a pattern, where /... stands for the
// package itself and all below.
func matchesImport(pattern, path string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	return path == root || below && strings.HasPrefix(path, root+"/")
}
