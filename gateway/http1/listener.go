package http1

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ListenerOptions is what a Listener does with its connections.
type ListenerOptions struct {
	WriteTimeout time.Duration // of one write to a client that does not read; 0 = none
	// Slack is how far a deadline for reading may be off. Moving one costs as
	// much as a small request, so that they are moved only so often.
	Slack    time.Duration
	Rejected func(*Rejection) // is told of every message the guard stopped; may be nil
	Sweep    time.Duration    // between looks for clients that went away; 0 = 250 ms
}

// Listener makes guarded connections of another listener's, and ends the calls
// of clients that go away. Close ends accepting; Stop ends the rest.
type Listener struct {
	net.Listener
	o      ListenerOptions
	mu     sync.Mutex
	conns  map[*Conn]struct{}
	stop   chan struct{}
	once   sync.Once // of Stop
	closed sync.Once
	// draining makes the sweep close connections on which nothing ever came:
	// clients open some in advance, and the server would wait for them.
	draining atomic.Bool
	stopped  sync.WaitGroup
}

// Listen wraps a listener. The caller must Stop it when its connections are
// done.
func Listen(ln net.Listener, o ListenerOptions) *Listener {
	if o.Sweep == 0 {
		o.Sweep = 250 * time.Millisecond
	}
	l := &Listener{Listener: ln, o: o, conns: map[*Conn]struct{}{}, stop: make(chan struct{})}
	l.stopped.Go(l.sweepOn)
	return l
}

// Accept implements net.Listener. It waits where there is a shortage, such as
// of file descriptors, that ends with other connections: the server would take
// the error for the end of its listener.
func (l *Listener) Accept() (net.Conn, error) {
	const first, most = 5 * time.Millisecond, time.Second
	inner, err := l.Listener.Accept()
	for pause := first; err != nil && isShortage(err); pause = min(2*pause, most) {
		select {
		case <-time.After(pause):
		case <-l.stop:
			return nil, err
		}
		inner, err = l.Listener.Accept()
	}
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: inner, ln: l}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	if _, ok := inner.(*tls.Conn); ok {
		return tlsConn{c}, nil
	}
	return c, nil
}

// Close ends accepting; a second time it does nothing.
func (l *Listener) Close() error {
	var err error
	l.closed.Do(func() {
		l.draining.Store(true)
		err = l.Listener.Close()
	})
	return err
}

// isShortage tells whether accepting may work again later.
func isShortage(err error) bool {
	for _, short := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, short) {
			return true
		}
	}
	return false
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// Connections gives how many are open.
func (l *Listener) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Abort ends the calls in flight as if their clients had left, and closes all
// connections.
func (l *Listener) Abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.mu.Lock()
		if c.call != nil {
			c.call.Cancel()
		}
		c.mu.Unlock()
		c.Conn.Close()
	}
}

// Stop ends looking after the connections.
func (l *Listener) Stop() {
	l.once.Do(func() { close(l.stop) })
	l.stopped.Wait()
}

// sweepOn looks after the clients of calls in flight: the server does not read
// from a connection while its call runs, and so does not learn that it ended.
func (l *Listener) sweepOn() {
	tick := time.NewTicker(l.o.Sweep)
	defer tick.Stop()
	var conns []*Conn
	for {
		select {
		case <-tick.C:
		case <-l.stop:
			return
		}
		conns = conns[:0]
		l.mu.Lock()
		for c := range l.conns {
			conns = append(conns, c)
		}
		l.mu.Unlock()
		for _, c := range conns {
			c.sweep()
		}
		clear(conns)
	}
}

// sweep ends the call of a client that went away, and a connection that nobody
// has used when the listener is closed. Calls that were not yet in
// flight at the last sweep are left alone: most end before the next.
func (c *Conn) sweep() {
	if c.ln.draining.Load() && !c.used.Load() {
		if c.spare { // at the last sweep too
			c.Conn.Close()
		}
		c.spare = true
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call == nil || c.seen != c.count {
		c.seen = c.count
		return
	}
	if closedByPeer(c.Conn) {
		c.call.Cancel()
	}
}

// begin and end mark the call in flight on a connection.
func (c *Conn) begin(call *Call) {
	c.mu.Lock()
	c.call = call
	c.count++
	c.mu.Unlock()
}

func (c *Conn) end() {
	c.mu.Lock()
	c.call = nil
	c.mu.Unlock()
}

// Gone reports whether the client of a connection has ended its side.
func Gone(c net.Conn) bool {
	if inner := connOf(c); inner != nil {
		c = inner.Conn
	}
	return closedByPeer(c)
}

// closedByPeer looks at a socket without taking anything from it.
func closedByPeer(c net.Conn) (closed bool) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
	})
	return closed || err != nil
}
