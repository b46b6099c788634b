package watchdog

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Bounds of connections to the function. Idle ones are given up before servers
// do: Node closes its after five seconds.
const (
	maxIdle      = 256
	idleUpstream = 4 * time.Second
	upstreamHead = 64 << 10 // bytes of an answer's header
	dialWait     = 2 * time.Second
)

// upstream is the pool of connections to a process that serves HTTP.
type upstream struct {
	addr string
	mu   sync.Mutex
	idle []*upstreamConn // the last one used is the last
	shut bool
}

// upstreamConn is one connection to the function.
type upstreamConn struct {
	net.Conn
	ctx    context.Context // of the request that has it
	r      *bufio.Reader
	w      *bufio.Writer
	since  time.Time // idle
	reused bool
}

// get gives a connection: one that was used, if it is still good, or a new
// one. A process that is only being started is waited for a little.
func (u *upstream) get(ctx context.Context, fresh bool) (*upstreamConn, error) {
	for !fresh {
		c := u.take()
		if c == nil {
			break
		}
		if time.Since(c.since) < idleUpstream && isQuiet(c.Conn) {
			c.reused, c.ctx = true, ctx
			return c, nil
		}
		c.Close()
	}
	var dialer net.Dialer
	for begin := time.Now(); ; {
		conn, err := dialer.DialContext(ctx, "tcp", u.addr)
		if err == nil {
			c := &upstreamConn{Conn: conn, ctx: ctx, w: bufio.NewWriterSize(conn, 8<<10)}
			c.r = bufio.NewReaderSize(c, upstreamHead)
			return c, nil
		}
		if ctx.Err() != nil || !errors.Is(err, syscall.ECONNREFUSED) || time.Since(begin) > dialWait {
			return nil, err
		}
		time.Sleep(lookAgain)
	}
}

func (u *upstream) take() *upstreamConn {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.idle) == 0 {
		return nil
	}
	c := u.idle[len(u.idle)-1]
	u.idle = u.idle[:len(u.idle)-1]
	return c
}

// put gives a connection back whose answer was read to its end.
func (u *upstream) put(c *upstreamConn) {
	c.since, c.ctx = time.Now(), nil
	var old *upstreamConn
	u.mu.Lock()
	switch {
	case u.shut:
		old = c
	case len(u.idle) == maxIdle:
		old = u.idle[0]
		u.idle = append(u.idle[:0], u.idle[1:]...)
		fallthrough
	default:
		u.idle = append(u.idle, c)
	}
	u.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

// close closes what is idle, and what is given back later.
func (u *upstream) close() {
	u.mu.Lock()
	idle := u.idle
	u.idle, u.shut = nil, true
	u.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}

// isQuiet reports whether nothing has come on an idle connection: no bytes that
// nobody asked for, and no end.
func isQuiet(conn net.Conn) bool {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
	})
	return quiet && err == nil
}

// patience is how often a wait for the function looks whether the client is
// still there.
const patience = 500 * time.Millisecond

// Read waits for bytes until ctx ends.
func (c *upstreamConn) Read(b []byte) (int, error) {
	for {
		if err := c.Conn.SetReadDeadline(nextLook(c.ctx)); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(b)
		if n > 0 || !isTimeout(err) {
			return n, err
		}
		if ended := c.ctx.Err(); ended != nil {
			return 0, ended
		}
	}
}

// nextLook is the end of ctx or of the patience.
func nextLook(ctx context.Context) time.Time {
	next := time.Now().Add(patience)
	if end, ok := ctx.Deadline(); ok && end.Before(next) {
		return end
	}
	return next
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
