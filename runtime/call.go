package runtime

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero/api"

	"hearth/backends"
)

// call is the state of one call: what its guest sees of the request, and what has become of its answer. It is also the context that the
// guest is entered with, which is how a host function finds it.
type call struct {
	ctx    context.Context // the caller's
	module *Module
	req    *backends.Request

	deadline time.Time // if timed
	timed    bool
	slot     bool          // holds a run slot
	running  time.Time     // since it got the slot
	admitted time.Time     // got its first slot
	left     time.Time     // gave a slot back last
	away     time.Duration // without a slot, until it got this one
	counter  api.MutableGlobal
	instance *instance // the guest's; nil while its start function runs
	freezing *frozen   // the guest is run to where it freezes, and this is filled there
	frozen   *frozen   // the guest goes on from here
	exitCode uint32    // with which a resumed guest ended
	failed   Failure   // how the guest ended
	fetches  int       // requests it has made
	fetched  []byte    // what is left of the answer to the last of them
	starved  bool      // the guest, a script, did not get the memory it asked for

	env       stringList // made when it is asked for
	addHeader func(name, value []byte) bool
	fds       []descriptor
	answer    answer
	log       callLog
}

// callKey finds the call behind a context that the engine has wrapped.
type callKey struct{}

func callOf(ctx context.Context) *call {
	if c, ok := ctx.(*call); ok {
		return c
	}
	return ctx.Value(callKey{}).(*call)
}

// Deadline, Done, Err and Value are the caller's context with the call added.
func (c *call) Deadline() (time.Time, bool) { return c.ctx.Deadline() }
func (c *call) Done() <-chan struct{}       { return c.ctx.Done() }
func (c *call) Err() error                  { return c.ctx.Err() }
func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	if c.freezing != nil || c.frozen != nil {
		if v := snapshotting.Value(key); v != nil {
			return v
		}
	}
	return c.ctx.Value(key)
}

// begin prepares the state for a request.
func (c *call) begin(ctx context.Context, m *Module, req *backends.Request, resp backends.Response) {
	c.ctx, c.module, c.req = ctx, m, req
	c.deadline, c.timed = ctx.Deadline()
	c.failed, c.starved, c.fetches = FailedOther, false, 0
	c.env.reset()
	c.fds = m.secrets.open(c.fds)
	c.answer.begin(resp, m.spec.Answer, m.spec.CGI && m.code.abi == command)
	c.log.begin(m.spec.Log)
}

// end lets go of what belongs to the caller.
func (c *call) end() {
	c.ctx, c.req = nil, nil
	c.answer.resp, c.fetched = nil, nil
	c.log.emit = nil
}

// halt unwinds a guest whose call is over. The error is the call's.
type halt struct{ err error }

func (h *halt) Error() string { return h.err.Error() }
func (h *halt) Unwrap() error { return h.err }

// leave gives the run slot back.
func (c *call) leave() {
	if c.slot {
		c.slot, c.left = false, time.Now()
		c.module.engine.slots.release(&c.module.lane)
	}
}

// absent is how long the call has been without a slot, at its end.
func (c *call) absent(end time.Time) time.Duration {
	if c.slot {
		return c.away
	}
	return c.away + end.Sub(c.left)
}
