package runtime

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// arg reads a parameter of type i32.
func arg(stack []uint64, i int) uint32 { return uint32(stack[i]) }

func (c *call) argsSizesGet(mem api.Memory, s []uint64) errno {
	return writeSizes(mem, arg(s, 0), arg(s, 1), c.module.args.count, len(c.module.args.bytes))
}

func (c *call) argsGet(mem api.Memory, s []uint64) errno {
	return writeStrings(mem, arg(s, 0), arg(s, 1), &c.module.args)
}

func (c *call) environSizesGet(mem api.Memory, s []uint64) errno {
	env := c.environ()
	return writeSizes(mem, arg(s, 0), arg(s, 1), env.count, len(env.bytes))
}

func (c *call) environGet(mem api.Memory, s []uint64) errno {
	return writeStrings(mem, arg(s, 0), arg(s, 1), c.environ())
}

func writeSizes(mem api.Memory, countAt, sizeAt uint32, count, size int) errno {
	if !mem.WriteUint32Le(countAt, uint32(count)) || !mem.WriteUint32Le(sizeAt, uint32(size)) {
		return errnoFault
	}
	return errnoSuccess
}

// writeStrings writes the strings at bufferAt, each with a NUL, and the address of each at pointersAt.
func writeStrings(mem api.Memory, pointersAt, bufferAt uint32, list *stringList) errno {
	buffer, ok := mem.Read(bufferAt, uint32(len(list.bytes)))
	pointers, ok2 := mem.Read(pointersAt, uint32(4*list.count))
	if !ok || !ok2 {
		return errnoFault
	}
	copy(buffer, list.bytes)
	start, n := 0, 0
	for i, b := range list.bytes {
		if b == 0 {
			binary.LittleEndian.PutUint32(pointers[4*n:], bufferAt+uint32(start))
			start, n = i+1, n+1
		}
	}
	return errnoSuccess
}

// Clocks of WASI preview 1.
const (
	clockRealtime  = 0
	clockMonotonic = 1
	clockProcess   = 2
	clockThread    = 3
)

// now reads a clock in nanoseconds.
func (c *call) now(clock uint32) (int64, errno) {
	if f := c.freezing; f != nil && clock <= clockMonotonic { // early: the time the module was loaded, and it passes
		f.clock += int64(time.Microsecond)
		if clock == clockRealtime {
			return c.module.engine.started.UnixNano() + f.clock, errnoSuccess
		}
		return f.clock, errnoSuccess
	}
	switch clock {
	case clockRealtime:
		return time.Now().UnixNano(), errnoSuccess
	case clockMonotonic:
		return int64(time.Since(c.module.engine.started)), errnoSuccess
	case clockProcess, clockThread:
		return 0, errnoNotsup
	}
	return 0, errnoInval
}

func (c *call) clockTimeGet(mem api.Memory, s []uint64) errno {
	now, e := c.now(arg(s, 0))
	if e == errnoSuccess && !mem.WriteUint64Le(arg(s, 2), uint64(now)) {
		return errnoFault
	}
	return e
}

func (c *call) clockResGet(mem api.Memory, s []uint64) errno {
	_, e := c.now(arg(s, 0))
	if e == errnoSuccess && !mem.WriteUint64Le(arg(s, 1), 1) {
		return errnoFault
	}
	return e
}

func (c *call) randomGet(mem api.Memory, s []uint64) errno {
	buf, ok := mem.Read(arg(s, 0), arg(s, 1))
	if !ok {
		return errnoFault
	}
	if f := c.freezing; f != nil {
		_, _ = f.random.Read(buf) // never fails
		return errnoSuccess
	}
	const chunk = 1 << 20
	for len(buf) > 0 {
		c.check()
		n := min(len(buf), chunk)
		_, _ = rand.Read(buf[:n]) // never fails
		buf = buf[n:]
	}
	return errnoSuccess
}

func (c *call) schedYield(api.Memory, []uint64) errno {
	c.check()
	return errnoSuccess
}

// procExit unwinds the guest; Invoke turns the code into an answer.
func (c *call) procExit(_ api.Memory, s []uint64) errno {
	code := arg(s, 0)
	if c.frozen != nil {
		c.exitCode = code
		c.frozen.leave()
	}
	if code != 0 {
		panic(sys.NewExitError(code))
	}
	panic(c.module.engine.exited)
}

func (c *call) procRaise(api.Memory, []uint64) errno { return errnoNosys }

// sock answers everything about sockets: there are none.
func (c *call) sock(_ api.Memory, s []uint64) errno {
	if c.fd(arg(s, 0)) == nil {
		return errnoBadf
	}
	return errnoNotsock
}

// Layout and limits of poll_oneoff.
const (
	subscriptionSize = 48
	eventSize        = 32
	maxSubscriptions = 1024

	eventClock   = 0
	eventFdRead  = 1
	eventFdWrite = 2

	clockAbsolute = 1 // flag of a clock subscription
)

// pollOneoff waits for the first of its subscriptions. Whatever can be read or written is ready at once; clocks are slept for, but never
// beyond the end of the call.
func (c *call) pollOneoff(mem api.Memory, s []uint64) errno {
	n := arg(s, 2)
	if n == 0 || n > maxSubscriptions {
		return errnoInval
	}
	in, ok := mem.Read(arg(s, 0), n*subscriptionSize)
	out, ok2 := mem.Read(arg(s, 1), n*eventSize)
	if !ok || !ok2 {
		return errnoFault
	}
	var p poll
	for i := range int(n) {
		if e := p.add(c, in[i*subscriptionSize:][:subscriptionSize]); e != errnoSuccess {
			return e
		}
	}
	if !p.ready {
		c.sleep(p.wait)
		p.wait = max(p.wait, 0)
	} else {
		p.wait = 0
	}
	// The guest's memory stays where it is while it waits in here, so in and out are still good.
	written := uint32(0)
	for i := range int(n) {
		if p.event(c, in[i*subscriptionSize:][:subscriptionSize], out[written*eventSize:][:eventSize]) {
			written++
		}
	}
	if !mem.WriteUint32Le(arg(s, 3), written) {
		return errnoFault
	}
	return errnoSuccess
}

// poll is what a list of subscriptions comes to.
type poll struct {
	ready  bool          // something other than a clock is
	clocks bool          // wait is set
	wait   time.Duration // until the first clock
}

func (p *poll) add(c *call, sub []byte) errno {
	switch sub[8] {
	case eventClock:
		wait, e := c.until(sub)
		if e == errnoSuccess && (!p.clocks || wait < p.wait) {
			p.clocks, p.wait = true, wait
		}
		p.ready = p.ready || e != errnoSuccess
	case eventFdRead, eventFdWrite:
		p.ready = true
	default:
		return errnoInval
	}
	return errnoSuccess
}

// event writes the event of a subscription if it has happened.
func (p *poll) event(c *call, sub, out []byte) bool {
	kind := sub[8]
	e, bytes := errnoSuccess, uint64(0)
	if kind == eventClock {
		var wait time.Duration
		if wait, e = c.until(sub); e == errnoSuccess {
			relative := binary.LittleEndian.Uint16(sub[40:])&clockAbsolute == 0
			if relative && wait > p.wait || !relative && wait > 0 {
				return false
			}
		}
	} else {
		bytes, e = c.pollable(binary.LittleEndian.Uint32(sub[16:]), kind)
	}
	clear(out)
	copy(out, sub[:8])
	binary.LittleEndian.PutUint16(out[8:], uint16(e))
	out[10] = kind
	binary.LittleEndian.PutUint64(out[16:], bytes)
	return true
}

// until tells how long a clock subscription has to wait.
func (c *call) until(sub []byte) (time.Duration, errno) {
	now, e := c.now(binary.LittleEndian.Uint32(sub[16:]))
	if e != errnoSuccess {
		return 0, e
	}
	timeout := int64(min(binary.LittleEndian.Uint64(sub[24:]), math.MaxInt64))
	if binary.LittleEndian.Uint16(sub[40:])&clockAbsolute != 0 {
		return max(time.Duration(timeout-now), 0), errnoSuccess
	}
	return time.Duration(timeout), errnoSuccess
}
