package runtime

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/tetratelabs/wazero"

	"hearth/backends"
	"hearth/runtime/rewrite"
)

// digest is the SHA-256 of a module's bytes.
type digest = [sha256.Size]byte

// code is one compiled module, shared by all functions that run the same bytes. It is compiled once, by whoever asks first, and freed
// with its last user.
type code struct {
	digest digest
	users  int           // under Engine.mu
	ready  chan struct{} // closed when compiled or err is set
	err    error
	guest  wazero.CompiledModule
	bare   wazero.CompiledModule // the same without data segments, nil if it needs them later
	abi    abi
	early  bool          // a Go program that may be frozen after its runtime has started
	facts  rewrite.Facts // of the module as it was given, without its lists
}

// Compile makes sure that the compiled module is in the cache, so that Load is quick. ErrInvalid when it cannot be compiled. Several
// callers with the same module wait for one compilation.
func (e *Engine) Compile(ctx context.Context, wasm []byte) error {
	if isScript(wasm) {
		return e.tryScript(ctx, wasm)
	}
	c, err := e.acquire(ctx, wasm)
	if err != nil {
		return err
	}
	e.release(c)
	return nil
}

// acquire returns the compiled module; the caller releases it. It gives up with ctx, the compilation goes on for the others.
func (e *Engine) acquire(ctx context.Context, wasm []byte) (*code, error) {
	sum := sha256.Sum256(wasm)
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, errEngineClosed
	}
	c, ok := e.code[sum]
	if !ok {
		c = &code{digest: sum, ready: make(chan struct{})}
		e.code[sum] = c
		c.users++ // the compilation itself
		e.flights.Add(1)
		go e.compile(c, wasm)
	}
	c.users++
	e.mu.Unlock()
	select {
	case <-c.ready:
	case <-ctx.Done():
		e.release(c)
		return nil, fmt.Errorf("wait for the compilation: %w", ctx.Err())
	}
	if c.err != nil {
		e.release(c)
		return nil, c.err
	}
	return c, nil
}

// compile fills c. A module that failed is forgotten with its last user, so that the next caller tries again.
func (e *Engine) compile(c *code, wasm []byte) {
	defer e.flights.Done()
	defer e.release(c)
	defer close(c.ready)
	p, err := e.prepare(c.digest, wasm)
	if err != nil {
		c.err = err
		return
	}
	guest, err := e.wasm.CompileModule(e.ctx, p.wasm)
	if err != nil {
		c.err = backends.Errorf(backends.ErrInvalid, "the module cannot be compiled: %w", err)
		return
	}
	c.guest, c.facts, c.abi, c.early = guest, p.Facts, p.ABI, p.Early
	if !c.facts.MemoryInit && !c.facts.DataDrop {
		if c.bare, err = withoutData(guest); err != nil {
			e.log.Warn("new instances of a module are slow", "error", err)
		}
	}
}

// prepare gives a module in the form that is compiled, and makes sure that a child has compiled it if children do.
func (e *Engine) prepare(sum digest, wasm []byte) (*prepared, error) {
	if e.compiler == nil {
		return prepare(wasm)
	}
	p, kept := e.compiler.prepared(sum), true
	if p == nil {
		var err error
		if p, err = prepare(wasm); err != nil {
			return nil, err
		}
		kept = false
	}
	if err := e.compiler.fill(e.ctx, sum, p); err != nil {
		return nil, err
	}
	if !kept {
		if err := e.compiler.keep(sum, p); err != nil {
			e.log.Warn("a module will be rewritten again", "error", err)
		}
	}
	return p, nil
}

// release gives a compiled module back.
func (e *Engine) release(c *code) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.users--; c.users > 0 {
		return
	}
	delete(e.code, c.digest)
	if c.guest != nil {
		_ = c.guest.Close(context.Background())
	}
}

// Compiling is how many modules are being compiled now.
func (e *Engine) Compiling() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, c := range e.code {
		select {
		case <-c.ready:
		default:
			n++
		}
	}
	return n
}
