package http1

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of reading on after an answer that came before the request's end.
const (
	lingerBytes = 64 << 20
	lingerTime  = 2 * time.Second
)

// Conn is a client's connection under guard. Like any net.Conn it may be read
// by one goroutine and written by another.
type Conn struct {
	net.Conn
	ln    *Listener
	guard guard
	stub  bool // a byte stands for the message that was rejected

	wantRead, haveRead time.Time // deadlines: asked for, and set
	haveWrite          time.Time
	lingers            atomic.Bool
	finished           atomic.Bool // nothing more is read
	used               atomic.Bool // something came
	spare              bool        // nothing had come at the last sweep of a closed listener

	mu    sync.Mutex
	call  *Call  // in flight
	count uint64 // of calls
	seen  uint64 // count at the last sweep
}

// tlsConn is a Conn over TLS; the server finds that out by its methods.
type tlsConn struct{ *Conn }

// Handshake implements what the server calls before the first request.
func (c tlsConn) Handshake() error {
	inner := c.Conn.Conn.(*tls.Conn)
	if err := inner.SetDeadline(c.wantRead); err != nil {
		return err
	}
	c.haveRead, c.haveWrite = c.wantRead, c.wantRead
	return inner.Handshake()
}

// ConnectionState gives the state of TLS.
func (c tlsConn) ConnectionState() tls.ConnectionState {
	return c.Conn.Conn.(*tls.Conn).ConnectionState()
}

// NetConn gives the connection inside, as tls.Conn does.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// connOf gives the Conn under what a server hands out; nil if there is none.
func connOf(c net.Conn) *Conn {
	switch c := c.(type) {
	case *Conn:
		return c
	case tlsConn:
		return c.Conn
	}
	return nil
}

// Rejected gives why the guard closed the connection; nil if it did not.
func Rejected(c net.Conn) *Rejection {
	if c := connOf(c); c != nil {
		return c.guard.fault
	}
	return nil
}

// RejectedBody gives why the guard stopped the body that is being read; nil if
// it did not.
func RejectedBody(c net.Conn) *Rejection {
	if c := connOf(c); c != nil && c.badBody() {
		return c.guard.fault
	}
	return nil
}

// badBody tells whether the guard stopped the body of the present call.
func (c *Conn) badBody() bool {
	return c.guard.fault != nil && !c.guard.fresh && c.guard.state > inHeader
}

// Linger asks a connection to be closed gently: our side first, so that a
// client that still sends can read the answer before the connection is reset.
func Linger(c net.Conn) {
	if c := connOf(c); c != nil {
		c.lingers.Store(true)
	}
}

// Finish ends reading from a connection, at once: a read that is under way and
// all to come give io.EOF. The server closes it, gently, when the answer is
// out. What its buffer holds of a body must be read by the caller, or it would
// be taken for a request.
func Finish(c net.Conn) {
	if c := connOf(c); c != nil {
		c.lingers.Store(true)
		c.finished.Store(true)
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// Read gives bytes that passed the guard. Of a message that did not, the
// server gets one byte that is none of it, so that it has something to refuse,
// and then the Rejection as an error.
func (c *Conn) Read(p []byte) (int, error) {
	if c.guard.fault != nil {
		return c.refuse(p)
	}
	if err := c.setReadDeadline(); err != nil {
		return 0, err
	}
	if c.finished.Load() { // after the deadline, which Finish sets too
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if n == 0 && c.finished.Load() {
		return 0, io.EOF
	}
	if n > 0 && !c.used.Load() {
		c.used.Store(true)
	}
	begun, fault := c.guard.scan(p[:n])
	if fault == nil {
		return n, err
	}
	c.lingers.Store(true)
	if c.ln.o.Rejected != nil {
		c.ln.o.Rejected(fault)
	}
	if c.stub = c.guard.fresh || c.guard.state <= inHeader; begun > 0 {
		return begun, nil
	}
	return c.refuse(p)
}

// refuse ends reading.
func (c *Conn) refuse(p []byte) (int, error) {
	if c.stub && len(p) > 0 {
		c.stub = false
		p[0] = 'X'
		return 1, nil
	}
	return 0, c.guard.fault
}

// setReadDeadline sets the deadline asked for last, if the one that is set is
// not near enough.
func (c *Conn) setReadDeadline() error {
	want := c.wantRead
	if want.IsZero() == c.haveRead.IsZero() {
		if d := want.Sub(c.haveRead); d.Abs() <= c.ln.o.Slack {
			return nil
		}
	}
	c.haveRead = want
	return c.Conn.SetReadDeadline(want)
}

// SetReadDeadline takes effect with the next Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.wantRead = t
	return nil
}

// SetDeadline implements net.Conn. Deadlines for writing are the connection's
// own business: each Write has so long.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn; see SetDeadline.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// Write gives the client between one and two WriteTimeouts to take p.
func (c *Conn) Write(p []byte) (int, error) {
	if limit := c.ln.o.WriteTimeout; limit > 0 {
		if now := time.Now(); c.haveWrite.Sub(now) < limit {
			c.haveWrite = now.Add(2 * limit)
			if err := c.Conn.SetWriteDeadline(c.haveWrite); err != nil {
				return 0, err
			}
		}
	}
	return c.Conn.Write(p)
}

// Close ends our side first if Linger was asked, and lets the client end its
// own.
func (c *Conn) Close() error {
	c.ln.forget(c)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.lingers.Load() && half.CloseWrite() == nil &&
		c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.Conn.Close()
}

// PassThrough says that what follows on the connection is not HTTP.
func PassThrough(c net.Conn) {
	if c := connOf(c); c != nil {
		c.guard.state = passThrough
	}
}

// Interrupt ends a Read that waits, and all later ones.
func Interrupt(c net.Conn) {
	if u, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
		c = u.UnsafeConn() // of a connection that the server has handed out
	}
	if inner := connOf(c); inner != nil {
		c = inner.Conn
	}
	c.SetReadDeadline(time.Unix(1, 0))
}
