package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// referee runs modules on stock wazero with wazero's own WASI: an engine and a host that share nothing with ours.
type referee struct {
	runtime wazero.Runtime
	mu      sync.Mutex
	modules map[string]wazero.CompiledModule // by digest
}

func newReferee(tb testing.TB) *referee {
	tb.Helper()
	ctx := context.Background()
	r := &referee{runtime: wazero.NewRuntime(ctx), modules: map[string]wazero.CompiledModule{}}
	tb.Cleanup(func() {
		if err := r.runtime.Close(ctx); err != nil {
			tb.Errorf("close the referee: %v", err)
		}
	})
	wasi_snapshot_preview1.MustInstantiate(ctx, r.runtime)
	return r
}

// call is one run of a function.
type call struct {
	process []string // the function's own when nil
	env     [][2]string
	stdin   []byte
	stdout  io.Writer         // collected in outcome.stdout when nil
	secrets map[string]string // files under /var/openfaas/secrets
}

type outcome struct {
	stdout, stderr []byte
	exit           uint32
	slept          time.Duration // asked for; nothing here really waits
}

func (r *referee) compiled(tb testing.TB, f Function) wazero.CompiledModule {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, ok := r.modules[f.Digest]; ok {
		return m
	}
	m, err := r.runtime.CompileModule(context.Background(), f.Wasm)
	if err != nil {
		tb.Fatalf("compile %s: %v", f.Module, err)
	}
	r.modules[f.Digest] = m
	return m
}

func (r *referee) run(tb testing.TB, f Function, c call) outcome {
	tb.Helper()
	var stdout, stderr bytes.Buffer
	var o outcome
	if c.stdout == nil {
		c.stdout = &stdout
	}
	if c.process == nil {
		c.process = f.Process
	}
	config := wazero.NewModuleConfig().WithName("").WithArgs(c.process...).WithRandSource(rand.Reader).
		WithStdin(bytes.NewReader(c.stdin)).WithStdout(c.stdout).WithStderr(&stderr).
		WithNanosleep(func(ns int64) { o.slept += time.Duration(ns) })
	for _, variable := range c.env {
		config = config.WithEnv(variable[0], variable[1])
	}
	if c.secrets != nil {
		config = config.WithFSConfig(wazero.NewFSConfig().WithReadOnlyDirMount(secretsDir(tb, c.secrets), "/var/openfaas/secrets"))
	}
	m, err := r.runtime.InstantiateModule(context.Background(), r.compiled(tb, f), config)
	var exit *sys.ExitError
	switch {
	case errors.As(err, &exit):
		o.exit = exit.ExitCode()
	case err != nil:
		tb.Fatalf("run %s %q: %v", f.Name, c.process, err)
	default:
		if err := m.Close(context.Background()); err != nil {
			tb.Fatalf("close %s: %v", f.Name, err)
		}
	}
	o.stdout, o.stderr = stdout.Bytes(), stderr.Bytes()
	return o
}

func secretsDir(tb testing.TB, secrets map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, value := range secrets {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func lookup(tb testing.TB, name string) Function {
	tb.Helper()
	f, ok := Lookup(name)
	if !ok {
		tb.Fatalf("the store has no function %q", name)
	}
	return f
}
