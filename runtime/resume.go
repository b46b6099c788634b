package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"unsafe"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"hearth/runtime/rewrite"
)

// A command starts anew for every call, but what it does before it first asks for something that can differ between calls is the same
// every time. So it is run up to that host call once, frozen there, and every call resumes it from there: the memory comes from the
// image, the native stack from a copy, and the host call is made then.

// errFrozen unwinds a guest that has reached the point where it is frozen.
var errFrozen = errors.New("frozen")

// errNoFreeze is what a program comes to that ends before it asks for anything of a call.
var errNoFreeze = errors.New("the program ends before it asks for anything")

// frozen is a program stopped inside a host call. It belongs to one instance, whose native stack it holds.
type frozen struct {
	door    moment // in the hook before _start: a program that ends leaves through it
	moment  moment // where it is frozen
	counter rewrite.Counter
	fds     []descriptor

	// Of a program that is frozen early:
	early      earliness
	started    bool          // it has read its environment
	seeded     bool          // it has taken random numbers before that, as Go's runtime does
	unproven   bool          // it has taken what calls should not share, as no known runtime does
	random     *rand.ChaCha8 // what it gets as random numbers until it is frozen
	clock      int64         // and as the time
	generators []int         // where in its memory random number generators are
	fresh      *rand.ChaCha8 // what they are seeded from

	pending hostCall // the host call it is in, with its parameters
	params  [maxHostParams]uint64
	args    [maxHostParams]uint64 // for one resumption
	result  [1]uint64
	said    [1]uint64 // by the hook, to the entry
}

// hostCall is the work of a host function.
type hostCall = func(c *call, mem api.Memory, stack []uint64) errno

const maxHostParams = 9 // of path_open

// earliness says what a program may be given before it is frozen although it differs between calls.
type earliness uint8

const (
	exact        earliness = iota // nothing
	runtimes                      // what Go's runtime asks for while it starts
	all                           // everything but its input: somebody said that it does not matter
	initialising                  // a reactor: everything, and it is not frozen at all
)

// constancy says whether a host function gives the same in every call of a function.
type constancy uint8

const (
	varies constancy = iota // it may not, or has an effect: a program is frozen here
	constant
	byDescriptor // unless it reads standard input
	environment  // varies, but see earliness
	randomness
	clock
)

// constancyOf is by name. What is not listed varies.
func constancyOf(name string) constancy {
	switch name {
	case "args_get", "args_sizes_get", "clock_res_get", "sched_yield",
		"fd_advise", "fd_close", "fd_fdstat_get", "fd_fdstat_set_flags", "fd_fdstat_set_rights", "fd_filestat_get", "fd_pread",
		"fd_prestat_get", "fd_prestat_dir_name", "fd_readdir", "fd_renumber", "fd_seek", "fd_tell",
		"path_filestat_get", "path_open", "path_readlink":
		return constant // the same arguments, secrets and files for all calls
	case "fd_read":
		return byDescriptor
	case "environ_get", "environ_sizes_get":
		return environment
	case "random_get":
		return randomness
	case "clock_time_get":
		return clock
	}
	return varies
}

// freezes tells whether a program being run to its freezing point has reached it with this host call.
func (k constancy) freezes(c *call, stack []uint64) bool {
	f := c.freezing
	if f.early == initialising {
		f.note(k, stack)
		return false
	}
	switch k {
	case constant:
		return false
	case byDescriptor:
		d := c.fd(arg(stack, 0))
		return d != nil && d.kind == fdStdin
	case environment:
		f.started = true
		return f.early == exact
	case randomness: // Go's runtime seeds itself once, before it reads the environment
		return f.early == exact || f.early == runtimes && f.started
	case clock: // Go's runtime never asks for the time of day
		return f.early == exact || f.early == runtimes && arg(stack, 0) != clockMonotonic
	}
	return true
}

// note remembers what a reactor takes while it is initialised.
func (f *frozen) note(k constancy, stack []uint64) {
	switch k {
	case environment:
		f.started = true
	case randomness:
		f.seeded = true
		f.unproven = f.unproven || f.started
	case clock:
		f.unproven = f.unproven || arg(stack, 0) != clockMonotonic
	}
}

// moment is a native stack inside a host call. Going back to it spoils the stack it is restored from, so there is a copy.
type moment struct {
	snapshot experimental.Snapshot
	stack    []byte // the part of the snapshot's own that is in use
	pristine []byte // copy of it
}

func newMoment(ctx context.Context) moment {
	m := moment{snapshot: experimental.GetSnapshotter(ctx).Snapshot()}
	v := reflect.ValueOf(m.snapshot).Elem()
	m.stack = v.FieldByName("stack").Bytes()
	m.stack = m.stack[uintptr(v.FieldByName("sp").Uint())-uintptr(unsafe.Pointer(&m.stack[0])):]
	m.pristine = bytes.Clone(m.stack)
	return m
}

// share moves a moment onto the stack of an earlier one that the guest has been running on since: an instance then keeps one native stack,
// of 10 KiB at least, instead of two. It does nothing when the guest has outgrown that stack.
func (m *moment) share(earlier *moment) {
	v, e := reflect.ValueOf(m.snapshot).Elem(), reflect.ValueOf(earlier.snapshot).Elem()
	top := e.FieldByName("top").Uint()
	if v.FieldByName("c").Elem().FieldByName("stackTop").Uint() != top {
		return
	}
	moved := top - v.FieldByName("top").Uint()
	for _, name := range []string{"sp", "fp", "top"} {
		f := v.FieldByName(name)
		*(*uintptr)(unsafe.Pointer(f.UnsafeAddr())) += uintptr(moved)
	}
	f := v.FieldByName("stack")
	*(*[]byte)(unsafe.Pointer(f.UnsafeAddr())) = e.FieldByName("stack").Bytes()
	m.stack = f.Bytes()[uintptr(v.FieldByName("sp").Uint())-uintptr(unsafe.Pointer(&f.Bytes()[0])):]
	m.pristine = bytes.Clone(m.stack)
}

// back makes the guest go on from this moment with the results of the host call it was in. It does not return.
func (m *moment) back(results []uint64) {
	copy(m.stack, m.pristine)
	m.snapshot.Restore(results)
}

// What the hook tells the entry.
const (
	start = 0
	leave = 1
)

// leave ends a resumed program: the hook returns again, and tells the entry not to start it. It does not return.
func (f *frozen) leave() {
	f.said[0] = leave
	f.door.back(f.said[:])
}

// freeze stops the guest of c inside a host call.
func (c *call) freeze(ctx context.Context, run hostCall, stack []uint64) {
	f := c.freezing
	f.moment = newMoment(ctx)
	f.moment.share(&f.door)
	f.counter = rewrite.Counter(c.counter.Get())
	f.fds = slices.Clone(c.fds)
	f.pending = run
	copy(f.params[:], stack)
	panic(&halt{errFrozen})
}

// snapshotting is a context that tells the engine to allow snapshots. Nothing ever changes it.
var snapshotting = experimental.WithSnapshotter(context.Background())

// hook is what a command calls before its _start. A frozen program goes on from where it is instead.
func hook(ctx context.Context, guest api.Module, stack []uint64) {
	c := callOf(ctx)
	stack[0] = start
	f := c.frozen
	if f == nil {
		if c.freezing != nil {
			c.freezing.door = newMoment(ctx)
			c.freezing.said[0] = start
			c.freezing.door.back(c.freezing.said[:]) // and on from there, on the stack of that moment
		}
		return
	}
	c.fds = append(c.fds[:0], f.fds...)
	if len(f.generators) > 0 {
		mem := *c.instance.state.buffer
		for _, at := range f.generators {
			reseed(mem, at, f.fresh)
		}
	}
	f.args = f.params
	f.result[0] = uint64(f.pending(c, guest.Memory(), f.args[:]))
	c.counter.Set(uint64(f.counter.Refuel(rewrite.Refill)))
	// The host call may have unwound the stack that is in use. Only now is it replaced.
	f.moment.back(f.result[:])
}

// freeze runs the worker's new instance, as part of the worker's call, up to its freezing point. errNoFreeze if there is none. Every
// instance of a module comes to the same state there: what is given to it early is the same for all.
func (w *worker) freeze(m *Module, early earliness) error {
	c := &w.call
	c.freezing = &frozen{early: early, random: rand.NewChaCha8(m.pool.seed), clock: m.pool.loaded}
	c.counter.Set(freshCounter)
	err := w.entry.CallWithStack(c, nil)
	f := c.freezing
	c.freezing, f.random = nil, nil
	if errors.Is(err, errFrozen) {
		if early != exact && w.state.buffer != nil {
			f.generators, f.fresh = findGenerators(*w.state.buffer), newStream()
		}
		if early == runtimes && len(f.generators) == 0 {
			return errNoFreeze // an older Go, whose generators are not known
		}
		c.frozen = f
		return nil
	}
	if c.over() {
		return stopReason(c.ctx, c.req)
	}
	return errNoFreeze
}

// differs tells how the state of an instance differs from that of an image; empty if it does not.
func (in *instance) differs(img *image) string {
	if b := in.state.buffer; b != nil && !bytes.Equal(*b, img.view) {
		return fmt.Sprintf("memory of %d bytes is not that of the image of %d", len(*b), len(img.view))
	}
	for i, g := range in.state.globals {
		if lo, hi := in.state.engine.GetGlobalValue(g.index); !g.reference && (globalValue{lo, hi}) != img.globals[i] {
			return fmt.Sprintf("global %d", g.index)
		}
	}
	return ""
}
