package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"hearth/backends"
	"hearth/runtime/rewrite"
)

// Spec is what one function gives its module.
type Spec struct {
	Key     backends.Key
	Args    []string          // argv; empty = the function's name alone
	Env     map[string]string // the function's environment
	Secrets map[string][]byte // read at SecretPath/NAME
	// SecretPath is the directory of the secrets; empty = /var/openfaas/secrets.
	SecretPath string
	Memory     int64             // bytes an instance may have; 0 = 128 MiB
	Answer     int64             // bytes an answer may have; 0 = 32 MiB
	CGI        bool              // the answer begins with a CGI header block
	ClassicLog bool              // log the two lines per call of OpenFaaS' classic watchdog
	Log        func(line []byte) // takes one line of the function's log, valid only during the call; nil drops them
}

// defaultMemory bounds an instance whose Spec says nothing.
const defaultMemory = 128 << 20

// Module is one version of one function. It is a backends.Handler.
type Module struct {
	engine  *Engine
	spec    Spec
	code    *code
	args    stringList
	env     stringList
	secrets secretDir
	memory  experimental.MemoryAllocator
	calls   gate
	states  sync.Pool // of *call
	once    sync.Once
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
	c, err := e.acquire(ctx, wasm)
	if err != nil {
		return nil, err
	}
	if least := int64(c.facts.MemoryMin) * pageSize; least > spec.Memory {
		e.release(c)
		return nil, &backends.FieldError{Field: "limits.memory", Value: fmt.Sprint(spec.Memory),
			Allowed: fmt.Sprintf("at least %d bytes, what the module starts with", least)}
	}
	m := &Module{
		engine: e, spec: spec, code: c, calls: gate{drained: make(chan struct{})},
		args: newArgs(spec.Args, spec.Key.Name), env: newEnviron(spec.Env), secrets: newSecretDir(spec.SecretPath, spec.Secrets),
		memory: bounded(spec.Memory),
	}
	e.mu.Lock()
	closed := e.closed
	if !closed {
		e.modules[m] = struct{}{}
	}
	e.mu.Unlock()
	if closed {
		e.release(c)
		return nil, errEngineClosed
	}
	return m, nil
}

// Close waits for the calls in flight and frees the module. Later calls get ErrGone.
func (m *Module) Close() error {
	m.calls.close()
	m.once.Do(func() {
		m.engine.mu.Lock()
		delete(m.engine.modules, m)
		m.engine.mu.Unlock()
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
	c, ok := m.states.Get().(*call)
	if !ok {
		c = &call{}
	}
	c.begin(ctx, m, req, resp)
	err := m.run(c)
	c.log.finish()
	c.end()
	m.states.Put(c)
	return err
}

// run enters a fresh instance.
func (m *Module) run(c *call) error {
	started := time.Now()
	if c.over() {
		return c.stopReason()
	}
	if c.slot = m.engine.slots.acquire(c); !c.slot {
		return c.stopReason()
	}
	defer c.leave()
	c.running = time.Now()
	if m.spec.ClassicLog {
		m.classicLine(started, "Forking fprocess.")
	}
	guest, err := m.engine.wasm.InstantiateModule(experimental.WithMemoryAllocator(c, m.memory), m.code.guest,
		wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return m.verdict(c, err)
	}
	defer guest.Close(context.Background())
	c.counter = guest.ExportedGlobal(rewrite.FuelExport).(api.MutableGlobal)
	c.counter.Set(freshCounter)
	entered := time.Now()
	_, err = guest.ExportedFunction("_start").Call(c)
	if err = m.verdict(c, err); err == nil {
		err = c.answer.finish()
	}
	ended := time.Now()
	c.req.Phases = backends.Phases{Start: entered.Sub(started), Run: ended.Sub(entered)}
	if m.spec.ClassicLog {
		m.classicLine(ended, fmt.Sprintf("Wrote %d Bytes - Duration: %fs", c.answer.wrote, ended.Sub(started).Seconds()))
	}
	return err
}

// classicLine logs a line as the classic watchdog prints it.
func (m *Module) classicLine(at time.Time, text string) {
	if m.spec.Log != nil {
		m.spec.Log([]byte(at.UTC().Format("2006/01/02 15:04:05 ") + text))
	}
}

// verdict turns what the engine returned into an error of a kind; nil for a program that ended well.
func (m *Module) verdict(c *call, err error) error {
	if err == nil {
		return nil
	}
	var h *halt
	if errors.As(err, &h) {
		return h.err
	}
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		switch code := exit.ExitCode(); {
		case code == 0:
			return nil
		default:
			return backends.Errorf(backends.ErrFunction, "the function ended with exit status %d", code)
		}
	}
	trap, _, _ := strings.Cut(err.Error(), "\n")
	c.log.finish()
	c.log.write([]byte(err.Error() + "\n"))
	return backends.Errorf(backends.ErrFunction, "the function was stopped by a trap: %s", strings.TrimPrefix(trap, "wasm error: "))
}

const pageSize = 64 << 10

// bounded allocates memories of at most so many bytes.
type bounded int64

func (b bounded) Allocate(_, most uint64) experimental.LinearMemory {
	return &boundedMemory{most: min(most, uint64(b))}
}

type boundedMemory struct {
	buf  []byte
	most uint64
}

// Reallocate grows the memory; nil above the bound, which memory.grow answers with -1.
func (m *boundedMemory) Reallocate(size uint64) []byte {
	if size > m.most {
		return nil
	}
	if grown := int(size) - len(m.buf); grown > 0 {
		m.buf = append(m.buf, make([]byte, grown)...)
	}
	return m.buf
}

func (m *boundedMemory) Free() { m.buf = nil }

// InFlight is how many calls the module answers now.
func (m *Module) InFlight() int { return int(m.calls.state.Load() >> 1) }
