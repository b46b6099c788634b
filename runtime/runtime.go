// Package runtime runs functions that are WebAssembly modules inside this process.
//
// It promises that a guest reaches nothing but what its Spec lists (its request, its answer, its log, its environment, its secrets, the
// clock and random numbers), that every call begins in the state the module starts with, and that a call ends at its deadline. It knows
// nothing of HTTP servers, of backends or of where modules are stored.
//
// An Engine owns what all functions share: the compiler, the cache of compiled code and the host functions. A Module is one version of
// one function and answers its calls.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"hearth/backends"
)

// Config is what an Engine needs.
type Config struct {
	// CacheDir keeps compiled code between runs. It is native code that gets executed: only we may write there. Empty = memory only.
	CacheDir string
	// Compile starts this program as the child that compiles (see CompileMain); nil compiles in this process.
	Compile func(ctx context.Context) *exec.Cmd
	// Slots is how many guests are on a CPU at once; 0 = as many as there are CPUs.
	Slots int
	// MemoryBudget bounds the bytes of all instances together; 0 = no bound.
	MemoryBudget int64
	// Logger takes what concerns the engine itself; nil drops it.
	Logger *slog.Logger
}

// Engine runs modules. It is safe for concurrent use.
type Engine struct {
	log     *slog.Logger
	cache   wazero.CompilationCache
	wasm    wazero.Runtime
	started time.Time      // zero of the guests' monotonic clock
	exited  *sys.ExitError // what proc_exit(0) unwinds with
	slots   slots
	network network // that guests call out to

	budget   budget             // of all instances' memory
	restorer *restorer          // nil = every call has an instance of its own
	compiler *compiler          // nil = compile in this process
	ctx      context.Context    // of compilations
	cancel   context.CancelFunc // ends them

	mu      sync.Mutex
	closed  bool
	code    map[digest]*code // compiled modules in use
	modules map[*Module]struct{}
	flights sync.WaitGroup // compilations and the sweeper
}

// New makes an engine. ErrInvalid names the field of a Config that cannot be used.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Slots <= 0 {
		cfg.Slots = goruntime.GOMAXPROCS(0)
	}
	e := &Engine{
		log:     cfg.Logger,
		started: time.Now(),
		exited:  sys.NewExitError(0),
		code:    map[digest]*code{},
		modules: map[*Module]struct{}{},
		slots:   newSlots(cfg.Slots),
		network: newNetwork(),
		budget:  budget{limit: cfg.MemoryBudget},
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Compile != nil && cfg.CacheDir == "" {
		return nil, &backends.FieldError{Field: "CacheDir", Value: "", Allowed: "a directory, when modules are compiled by a child"}
	}
	dir, err := openCacheDir(cfg.CacheDir)
	if err != nil {
		return nil, err
	}
	if cfg.Compile != nil {
		e.compiler = newCompiler(dir, cfg.Compile)
	}
	if e.cache, err = openCache(dir); err != nil {
		return nil, err
	}
	if e.restorer, err = newRestorer(restoreAuto); err != nil {
		e.log.Warn("instances cannot be restored here: every call makes one", "error", err)
		e.restorer = nil
	} else {
		e.log.Info("instances are restored after every call", "path", e.restorer.path)
	}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.wasm = wazero.NewRuntimeWithConfig(ctx, engineConfig(e.cache))
	if err := errors.Join(e.provideWASI(ctx), e.provideOwn(ctx), e.provideScripts(ctx)); err != nil {
		_ = e.Close()
		return nil, fmt.Errorf("provide the host functions: %w", err)
	}
	e.flights.Add(1)
	go e.sweep()
	return e, nil
}

// engineConfig is how modules are compiled, here and in the child alike: compiled code is found again only under the same settings.
func engineConfig(cache wazero.CompilationCache) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfigCompiler().WithCompilationCache(cache).WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false)
}

// openCacheDir makes the directory of compiled code, which nobody else may write; empty stays empty.
func openCacheDir(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("cache of compiled code: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("cache of compiled code: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return "", &backends.FieldError{Field: "CacheDir", Value: dir, Allowed: "a directory only its owner can write (chmod 700)"}
	}
	return dir, sweepCache(dir)
}

// openCache opens the cache of compiled code.
func openCache(dir string) (wazero.CompilationCache, error) {
	if dir == "" {
		return wazero.NewCompilationCache(), nil
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cache of compiled code: %w", err)
	}
	return cache, nil
}

// Close closes every module, waits for their calls in flight and frees what the engine holds.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	open := make([]*Module, 0, len(e.modules))
	for m := range e.modules {
		open = append(open, m)
	}
	e.mu.Unlock()
	e.cancel()
	e.flights.Wait()
	for _, m := range open {
		_ = m.Close()
	}
	if e.restorer != nil {
		e.restorer.close()
	}
	ctx := context.Background()
	err := e.wasm.Close(ctx)
	if cacheErr := e.cache.Close(ctx); err == nil {
		err = cacheErr
	}
	return err
}

var errEngineClosed = backends.Errorf(backends.ErrUnavailable, "the runtime is closed")
