package runtime

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"hearth/backends"
	"hearth/runtime/quickjs"
)

// Spec is what one function gives its module.
type Spec struct {
	Key     backends.Key
	Args    []string          // argv; empty = the function's name alone
	Env     map[string]string // the function's environment
	Secrets map[string][]byte // read at SecretPath/NAME
	// SecretPath is the directory of the secrets; empty = /var/openfaas/secrets.
	SecretPath string
	Memory     int64               // bytes an instance may have; 0 = 128 MiB
	Answer     int64               // bytes an answer may have; 0 = 32 MiB
	CGI        bool                // the answer begins with a CGI header block
	Resume     string              // where calls take up the program, see the Resume constants; empty = ResumeAuto
	Keep       bool                // an instance goes into its next call as the last one left it; not for commands
	ClassicLog bool                // log the two lines per call of OpenFaaS' classic watchdog
	AllowHTTP  []backends.HostRule // whom it may call; empty = nobody
	Log        func(line []byte)   // takes one line of the function's log, valid only during the call; nil drops them
}

// Where calls take up a program, as backends.KeyResume says.
const (
	ResumeAuto  = "auto"
	ResumeStdin = "stdin"
	ResumeEnv   = "env"
	ResumeOff   = "off"
)

// defaultMemory bounds an instance whose Spec says nothing.
const defaultMemory = 128 << 20

// Module is one version of one function. It is a backends.Handler.
type Module struct {
	engine   *Engine
	spec     Spec
	code     *code
	source   []byte // of a function in JavaScript
	args     stringList
	env      stringList
	secrets  secretDir
	budget   budget // what its instances have
	memory   int64  // bytes an instance may have, in whole pages
	calls    gate
	lane     lane // where its calls wait for a run slot
	pool     pool
	counts   counts
	once     sync.Once
	outbound *outbound          // nil when it may call nobody
	tasks    sync.WaitGroup     // in the background
	stop     context.CancelFunc // ends them
}

var _ backends.Handler = (*Module)(nil)

// Load makes a module ready to answer calls, compiling it if the cache lacks it. ErrInvalid if it cannot be run.
func (e *Engine) Load(ctx context.Context, wasm []byte, spec Spec) (*Module, error) {
	if spec.Memory <= 0 {
		spec.Memory = defaultMemory
	}
	if spec.Answer <= 0 {
		spec.Answer = defaultAnswer
	}
	var source []byte
	if isScript(wasm) {
		wasm, source = quickjs.Wasm, wasm
	}
	c, err := e.acquire(ctx, wasm)
	if err != nil {
		return nil, err
	}
	if spec.Keep && c.abi == command {
		e.release(c)
		return nil, &backends.FieldError{Field: backends.KeyState, Value: "keep",
			Allowed: "fresh for a command, which ends with its call; a reactor (exports alloc and handle) or a function in JavaScript can keep state"}
	}
	pages := min(spec.Memory/wasmPage, maxPages)
	if least := int64(c.facts.MemoryMin); least > pages || pages == 0 {
		e.release(c)
		return nil, &backends.FieldError{Field: "limits.memory", Value: fmt.Sprint(spec.Memory),
			Allowed: fmt.Sprintf("at least %d bytes, what the module starts with", max(least, 1)*wasmPage)}
	}
	m := &Module{
		engine: e, spec: spec, code: c, source: source, memory: pages * wasmPage, calls: gate{drained: make(chan struct{})},
		budget: budget{of: &e.budget},
		args:   newArgs(spec.Args, spec.Key.Name), env: newEnviron(spec.Env), secrets: newSecretDir(spec.SecretPath, spec.Secrets),
		outbound: newOutbound(spec.AllowHTTP, &e.network),
	}
	// What a start function does may depend on the request: there is no state before it to return to.
	m.pool.loaded = int64(time.Since(e.started))
	_, _ = rand.Read(m.pool.seed[:]) // never fails
	m.pool.fromStart = c.abi != command
	m.pool.fresh = c.facts.HasStart && c.abi != javascript || e.restorer == nil
	switch spec.Resume {
	case ResumeOff:
		m.pool.fromStart = true
	case ResumeStdin:
		m.pool.early = all
	}
	// The requests of a proof are made up: nobody else should hear of them.
	prove := c.early && !m.pool.fresh && m.outbound == nil && (spec.Resume == "" || spec.Resume == ResumeAuto)
	if known, ok := m.remembered(); prove && ok {
		prove = false
		if known.Differ == "" {
			m.pool.early = runtimes
		}
	}
	e.mu.Lock()
	closed := e.closed
	if !closed {
		e.modules[m] = struct{}{}
	}
	e.mu.Unlock()
	var background context.Context
	background, m.stop = context.WithCancel(e.ctx)
	if closed {
		m.stop()
		e.release(c)
		return nil, errEngineClosed
	}
	if prove {
		m.tasks.Go(func() { m.prove(background) })
	}
	return m, nil
}

// maxPages is how much memory wasm can address, in pages.
const maxPages = 65536

// Close waits for the calls in flight and frees the module. Later calls get ErrGone.
func (m *Module) Close() error {
	m.calls.close()
	m.once.Do(func() {
		m.stop()
		m.tasks.Wait()
		m.engine.mu.Lock()
		delete(m.engine.modules, m)
		m.engine.mu.Unlock()
		m.pool.close(m)
		m.outbound.close()
		m.engine.release(m.code)
	})
	return nil
}

// Invoke answers one call, as backends.Handler says. The call's deadline is ctx's.
func (m *Module) Invoke(ctx context.Context, req *backends.Request, resp backends.Response) error {
	if !m.calls.enter() {
		return backends.Errorf(backends.ErrGone, "function %s was replaced", m.spec.Key)
	}
	defer m.calls.leave()
	m.counts.calls.Add(1)
	started := time.Now()
	admitted := started
	if ctx.Err() != nil || !m.engine.slots.try(&m.lane) {
		if ctx.Err() != nil || !m.engine.slots.acquire(ctx, &m.lane, false) {
			err := stopReason(ctx, req)
			m.counts.fail(err, FailedOther)
			return err
		}
		admitted = time.Now()
	}
	w := m.pool.pop()
	if w == nil {
		w = &worker{}
	}
	c := &w.call
	c.begin(ctx, m, req, resp)
	c.slot, c.running, c.admitted, c.away = true, admitted, admitted, 0
	err := m.answer(w, started)
	if err != nil {
		m.counts.fail(err, c.failed)
	}
	slot := c.slot
	c.end()
	m.give(w)
	if slot {
		m.engine.slots.release(&m.lane)
	}
	return err
}

// answer runs a call in its worker.
func (m *Module) answer(w *worker, started time.Time) error {
	c := &w.call
	if m.spec.ClassicLog {
		m.classicLine(started, "Forking fprocess.")
	}
	err := m.ready(w)
	entered := time.Now()
	switch err {
	case nil:
		err = w.enter()
	case errEnded:
		err = c.answer.finish()
	}
	c.log.finish()
	ended := time.Now()
	w.since = ended
	m.counts.busy.Add(int64(ended.Sub(c.admitted) - c.absent(ended)))
	c.req.Phases = backends.Phases{Start: entered.Sub(started), Run: ended.Sub(entered)}
	if m.spec.ClassicLog {
		m.classicLine(ended, fmt.Sprintf("Wrote %d Bytes - Duration: %fs", c.answer.wrote, ended.Sub(started).Seconds()))
	}
	return err
}
