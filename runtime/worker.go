package runtime

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"hearth/backends"
	"hearth/runtime/rewrite"
)

// worker is one instance with all that a call in it needs, so that a warm call makes nothing new.
type worker struct {
	*instance // nil until the first call that needs it
	call      call
	reactor   reactor      // of a module that is one
	entry     api.Function // kept: making one costs more than a call
	since     time.Time    // it went idle
	lean      bool         // it was trimmed since then
	unfit     bool         // for another call
	threw     bool         // the function raised an exception, which is no reason to give its instance up
	adopting  *image       // which the new instance must get before it is run: it has no data of its own
}

// errEnded is how a program that ends well in its start function comes out of instantiation.
var errEnded = errors.New("the program ended in its start function")

// instanceConfig is the same for all instances and never changes. Nothing of the host reads its source of random numbers, but without one
// the engine gives each instance a generator of 5 KiB.
var instanceConfig = wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader)

// instantiate makes the worker's instance. A start function of the module runs as part of the worker's call.
func (w *worker) instantiate(m *Module) error {
	c := &w.call
	guest, img := m.template()
	in, err := instantiateIn(c, m.memory, int64(m.code.facts.MemoryMin)*wasmPage, &m.budget, func(ctx context.Context) (api.Module, error) {
		mod, err := m.engine.wasm.InstantiateModule(ctx, guest, instanceConfig)
		if err == nil {
			return mod, nil
		}
		if err = c.verdict(err); err == nil {
			err = errEnded
		}
		return nil, err
	})
	if err != nil {
		return err
	}
	m.counts.made.Add(1)
	w.adopting = img
	w.instance, w.entry = in, in.mod.ExportedFunction(rewrite.EntryExport)
	c.frozen, c.instance = nil, in
	c.counter = in.mod.ExportedGlobal(rewrite.FuelExport).(api.MutableGlobal)
	return nil
}

// enter runs the guest for the request that its call holds.
func (w *worker) enter() error {
	c := &w.call
	c.counter.Set(freshCounter)
	w.threw = false
	var err error
	switch c.module.code.abi {
	case command:
		err = w.run()
	case wasmReactor:
		err = w.react()
	case javascript:
		err = w.evaluateCall()
	}
	if err != nil {
		// The engine keeps the stack it grew.
		w.unfit = w.unfit || errors.Is(err, errStack) || strings.Contains(err.Error(), "stack overflow") ||
			c.module.spec.Keep && (!w.threw || c.starved)
		err = c.verdict(err)
	}
	if err == nil {
		err = c.answer.finish()
	}
	return err
}

func (w *worker) run() error {
	w.call.exitCode = 0
	if err := w.entry.CallWithStack(&w.call, nil); err != nil || w.call.exitCode == 0 {
		return err
	}
	return sys.NewExitError(w.call.exitCode)
}

// verdict turns what the engine returned into an error of a kind; nil for a program that ended well.
func (c *call) verdict(err error) error {
	var h *halt
	if errors.As(err, &h) {
		return h.err
	}
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() == 0 {
			return nil
		}
		c.failed = FailedExit
		return backends.Errorf(backends.ErrFunction, "the function ended with exit status %d", exit.ExitCode())
	}
	c.failed = FailedTrap
	trap, _, _ := strings.Cut(err.Error(), "\n")
	c.log.finish()
	c.log.write([]byte(err.Error() + "\n"))
	return backends.Errorf(backends.ErrFunction, "the function was stopped by a trap: %s", strings.TrimPrefix(trap, "wasm error: "))
}

// classicLine logs a line as the classic watchdog prints it.
func (m *Module) classicLine(at time.Time, text string) {
	if m.spec.Log != nil {
		m.spec.Log(fmt.Append(nil, at.UTC().Format("2006/01/02 15:04:05 "), text))
	}
}
