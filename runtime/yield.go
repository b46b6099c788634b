package runtime

import (
	"context"
	"errors"
	"time"

	"github.com/tetratelabs/wazero/api"

	"hearth/backends"
	"hearth/runtime/rewrite"
)

// stackAllowance bounds the native stack that a guest's calls may take, in bytes.
const stackAllowance = 4 << 20

// freshCounter is what a guest's counter is set to before it is entered.
const freshCounter = (uint64)((1<<31-stackAllowance)<<32 | (1<<31 - rewrite.Refill))

var errStack = backends.Errorf(backends.ErrFunction, "the function was stopped: its calls are nested too deeply (stack above %d MiB)", stackAllowance>>20)

var errReferences = backends.Errorf(backends.ErrFunction, "the function was stopped: it made more than %d references to functions", maxReferences)

// provideOwn makes known the host functions that rewritten modules import besides their own, and those that guests call out with.
func (e *Engine) provideOwn(ctx context.Context) error {
	builder := e.wasm.NewHostModuleBuilder(rewrite.HostModule)
	for _, h := range httpFunctions() {
		builder.NewFunctionBuilder().WithGoModuleFunction(h.body(), valueTypes(h.params), valueTypes(h.results)).Export(h.name)
	}
	_, err := builder.
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(yield), nil, nil).Export(rewrite.YieldImport).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(hook), nil, []api.ValueType{api.ValueTypeI32}).Export(rewrite.HookImport).
		Instantiate(ctx)
	return err
}

// yield is what a metered guest calls when its fuel or its stack is spent. This is the only place where a guest that computes can be
// stopped: compiled code is never interrupted, not even by the garbage collector.
func yield(ctx context.Context, guest api.Module, _ []uint64) {
	c := callOf(ctx)
	counter := c.counter
	if counter == nil { // the module's start function, which runs while the instance is made
		counter = guest.ExportedGlobal(rewrite.FuelExport).(api.MutableGlobal)
	}
	spent := rewrite.Counter(counter.Get())
	if spent.StackSpent() {
		panic(&halt{errStack})
	}
	if c.instance != nil && c.instance.hoards() {
		panic(&halt{errReferences})
	}
	c.check()
	c.share()
	counter.Set(uint64(spent.Refuel(rewrite.Refill)))
}

// check unwinds the guest if its call is over. It reads the clock itself: while guests keep every CPU, no timer fires.
func (c *call) check() {
	if c.over() {
		panic(&halt{stopReason(c.ctx, c.req)})
	}
}

func (c *call) over() bool {
	return c.timed && time.Now().After(c.deadline) || c.ctx.Err() != nil
}

// stopReason says why a call is over.
func stopReason(ctx context.Context, req *backends.Request) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return backends.Errorf(backends.ErrCanceled, "the caller did not wait for the answer")
	}
	after := ""
	if deadline, ok := ctx.Deadline(); ok && !req.Start.IsZero() {
		after = " of " + deadline.Sub(req.Start).Round(time.Millisecond).String()
	}
	return backends.Errorf(backends.ErrDeadline, "the function did not answer within its time limit%s (%s)", after, backends.KeyTimeout)
}

// share lets others have the CPU when the guest has had it for a while and somebody waits.
func (c *call) share() {
	now := time.Now()
	if now.Sub(c.running) < slice {
		return
	}
	if s := &c.module.engine.slots; s.contended() {
		c.leave()
		c.resume()
		return
	}
	c.running = now
}

// resume takes a slot again, or unwinds the guest when the call is over before it gets one.
func (c *call) resume() {
	if c.slot = c.module.engine.slots.acquire(c, &c.module.lane, true); c.slot {
		c.running = time.Now()
		c.away += c.running.Sub(c.left)
	}
	c.check()
	if !c.slot { // the context ended for a reason check does not know
		panic(&halt{stopReason(c.ctx, c.req)})
	}
}

// sleep waits for d without a slot, or unwinds the guest when the call ends before that.
func (c *call) sleep(d time.Duration) {
	c.check()
	if d <= 0 {
		return
	}
	c.leave()
	timer := time.NewTimer(d)
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	}
	timer.Stop()
	c.resume()
}
