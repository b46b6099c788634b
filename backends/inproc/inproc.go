// Package inproc runs WebAssembly functions in this process for any backend.
//
// Host.Backend wraps a backend: images that are modules are resolved, checked
// and compiled before the backend hears of them, their digest is kept with
// the function, and the table that Watch feeds gets a Handler for each. All
// else goes to the backend as it came.
//
// It promises that a function serves the bytes that were deployed, after a
// restart too; that the generation before serves until the new one is ready;
// and that what one function stores or logs is bounded and goes with it. It
// decides neither how many replicas a function has nor who may call it.
package inproc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hearth/backends"
	"hearth/backends/inproc/store"
	"hearth/runtime"
)

// Config is what a Host needs. Sizes are in bytes; 0 means what the comment says.
type Config struct {
	Dir        string                 // modules and logs are below it
	Engine     *runtime.Engine        // outlives the Host
	ModuleDir  string                 // images may be paths below it; empty = none may
	Aliases    map[string]store.Alias // by image, with a tag or without; before the store's own
	SecretPath string                 // where functions find secrets; empty = /var/openfaas/secrets
	MaxModule  int64                  // of one module; 64 MiB
	MaxAnswer  int64                  // of one answer; 32 MiB
	DiskCap    int64                  // of all modules and their compiled code; no bound
	LogFile    int64                  // of one of a function's three log files; 10 MiB
	LogTotal   int64                  // of all logs; 1 GiB
	Logger     *slog.Logger           // nil drops
	Registry   *prometheus.Registry   // gets our metrics; nil = none
}

// Host runs functions for the backends that it wraps.
type Host struct {
	cfg     Config
	engine  engine
	modules *moduleStore
	logs    *logStore
	log     *slog.Logger
	history *history
	loads   chan struct{} // holds a token for each load under way

	counters   counters
	collecting sync.Mutex
	codeBytes  atomic.Int64 // compiled code on the disk, when last looked at

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	mu     sync.Mutex
	closed bool
	hosted []*hosted
	work   sync.WaitGroup
}

// engine is what the Host needs of package runtime.
type engine interface {
	Check(wasm []byte) error
	Compile(ctx context.Context, wasm []byte) error
	Load(ctx context.Context, wasm []byte, spec runtime.Spec) (module, error)
	Compiled() map[string]bool
	Retain(keep func(digest string) bool) (bytes int64, err error)
}

// module is a *runtime.Module.
type module interface {
	backends.Handler
	Stats() runtime.Stats
	Close() error
}

// wasmEngine is the real engine.
type wasmEngine struct{ *runtime.Engine }

func (wasmEngine) Check(wasm []byte) error { return runtime.Check(wasm) }

func (e wasmEngine) Load(ctx context.Context, wasm []byte, spec runtime.Spec) (module, error) {
	m, err := e.Engine.Load(ctx, wasm, spec)
	if err != nil {
		return nil, err // not a nil *Module in an interface
	}
	return m, nil
}

// Open opens the state in cfg.Dir, or begins one.
func Open(ctx context.Context, cfg Config) (*Host, error) {
	if cfg.Engine == nil {
		return nil, backends.Errorf(backends.ErrInvalid, "inproc: Engine must be given")
	}
	return open(ctx, cfg, wasmEngine{cfg.Engine})
}

func open(ctx context.Context, cfg Config, e engine) (*Host, error) {
	if cfg.Dir == "" {
		return nil, &backends.FieldError{Field: "directory of modules and logs", Value: cfg.Dir, Allowed: "a directory's path"}
	}
	cfg.MaxModule = cmp.Or(cfg.MaxModule, 64<<20)
	cfg.LogFile = cmp.Or(cfg.LogFile, 10<<20)
	cfg.LogTotal = cmp.Or(cfg.LogTotal, 1<<30)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	modules, err := openModuleStore(filepath.Join(cfg.Dir, "modules"), cfg.MaxModule, osDisk{}, cfg.Logger)
	if err != nil {
		return nil, err
	}
	logs, err := openLogStore(filepath.Join(cfg.Dir, "logs"), cfg.LogFile, cfg.LogTotal, cfg.Logger)
	if err != nil {
		return nil, err
	}
	past, err := openHistory(filepath.Join(cfg.Dir, "history"))
	if err != nil {
		return nil, err
	}
	h := &Host{history: past, cfg: cfg, engine: e, modules: modules, logs: logs, log: cfg.Logger, loads: make(chan struct{}, maxLoads)}
	h.ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if cfg.Registry != nil {
		if err := cfg.Registry.Register(newMetrics(h)); err != nil {
			return nil, fmt.Errorf("metrics of functions: %w", err)
		}
	}
	h.spawn(h.keepHouse)
	return h, nil
}

// Backend gives b with modules as images, and with the powers that come with
// them. It is called once per backend.
func (h *Host) Backend(b backends.Backend) backends.Backend {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &hosted{host: h, inner: b}
	h.hosted = append(h.hosted, w)
	return w
}

// LogLine keeps a line, without its end, of a function that somebody else runs
// with the logs of those that run here.
func (h *Host) LogLine(key backends.Key, instance string, line []byte) {
	h.logs.of(key).write(instance, line)
}

// backends gives the backends that the Host wraps.
func (h *Host) backends() []*hosted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hosted[:len(h.hosted):len(h.hosted)]
}

// Close refuses new calls, waits for those in flight and frees all modules.
func (h *Host) Close() error {
	h.cancel()
	for _, b := range h.backends() {
		b.close()
	}
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.work.Wait()
	h.logs.close()
	return nil
}

// spawn runs do beside the caller; Close waits for it. False once closed.
func (h *Host) spawn(do func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.work.Go(do)
	return true
}

// maxLoads is how many modules are read and loaded at once; the engine bounds
// how many are compiled.
const maxLoads = 16

// houseEvery is how often what lies idle is looked for.
const houseEvery = time.Minute

// keepHouse gives back what idle functions hold, until Close.
func (h *Host) keepHouse() {
	tick := time.NewTicker(houseEvery)
	defer tick.Stop()
	var collected time.Time
	for {
		select {
		case now := <-tick.C:
			h.logs.closeIdle(now)
			for _, b := range h.backends() {
				b.parkIdle()
			}
			if now.Sub(collected) >= collectEvery {
				h.collect(0)
				collected = now
			}
		case <-h.ctx.Done():
			return
		}
	}
}
