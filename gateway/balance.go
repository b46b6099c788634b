package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"hearth/backends"
)

// Bounds of connections to replicas.
const (
	dialTimeout = 5 * time.Second
	ejectFirst  = 100 * time.Millisecond // after a failed connect, doubled with each up to ejectMost
	ejectMost   = 10 * time.Second
	idleLinks   = 512              // kept per replica
	idleTime    = 30 * time.Second // that an unused one is kept
	linkBuffer  = 16 << 10         // bytes of an answer's head at most
)

// upstream is one replica reached over a socket, with its kept-alive
// connections. It outlives changes of the table as long as the replica is in
// it, so that a change does not cost connections.
type upstream struct {
	endpoint backends.Endpoint
	host     string // for the Host header
	inflight atomic.Int64
	fails    atomic.Int32 // connects that failed since the last that did not
	downTill atomic.Int64 // Unix nanoseconds; not picked before then if another can be

	mu     sync.Mutex
	idle   []*link // the last used is last
	closed bool    // the replica left the table
}

func newUpstream(e backends.Endpoint) *upstream {
	u := &upstream{endpoint: e, host: e.Addr}
	if e.Network == "unix" {
		u.host = "localhost"
	}
	return u
}

// upstreams gives what the endpoints of an entry are reached by, keeping those
// of old that stay, and ends those that do not.
func upstreams(old []*upstream, endpoints []backends.Endpoint) []*upstream {
	kept := make(map[backends.Endpoint]*upstream, len(old))
	for _, u := range old {
		kept[u.endpoint] = u
	}
	list := make([]*upstream, 0, len(endpoints))
	for _, e := range endpoints {
		u := kept[e]
		if u == nil {
			u = newUpstream(e)
		}
		delete(kept, e)
		list = append(list, u)
	}
	for _, u := range kept {
		u.close()
	}
	return list
}

// pick takes a place on one of the replicas: of two at random the one with
// fewer calls in flight, leaving out those that are full or could not be
// connected to lately. nil if all are full.
func pick(list []*upstream, limit int) *upstream {
	n := len(list)
	if n == 0 {
		return nil
	}
	i := 0
	if n > 1 {
		now := time.Now().UnixNano()
		i = rand.IntN(n)
		j := rand.IntN(n - 1)
		if j >= i {
			j++
		}
		if list[j].load(now) < list[i].load(now) {
			i = j
		}
	}
	for k := range n {
		if u := list[(i+k)%n]; u.take(limit) {
			return u
		}
	}
	return nil
}

// load orders replicas: those that are down come after all others.
func (u *upstream) load(now int64) int64 {
	const down = 1 << 40
	if u.downTill.Load() > now {
		return down + u.inflight.Load()
	}
	return u.inflight.Load()
}

func (u *upstream) take(limit int) bool {
	if limit == 0 {
		u.inflight.Add(1)
		return true
	}
	for {
		n := u.inflight.Load()
		if n >= int64(limit) {
			return false
		}
		if u.inflight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// link is a connection to a replica.
type link struct {
	net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	sent int64 // bytes written for the present call
	till time.Time
	used time.Time // when it became idle

	raw  syscall.RawConn
	look func(fd uintptr) // sets dead
	dead bool
	byte [1]byte
}

// Write counts, so that it is known whether anything of a call was sent.
func (l *link) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	l.sent += int64(n)
	return n, err
}

// readBy sets when waiting for the replica ends, up to half a second later
// than asked: moving a deadline costs as much as a small call.
func (l *link) readBy(t time.Time) error {
	const slack = 500 * time.Millisecond
	if d := l.till.Sub(t); d >= 0 && d <= slack {
		return nil
	}
	l.till = t.Add(slack)
	return l.Conn.SetReadDeadline(l.till)
}

// stale tells whether an idle connection cannot be used: the replica closed
// it, or sent what nobody asked for.
func (l *link) stale() bool {
	if l.raw == nil {
		return false
	}
	l.dead = false
	return l.raw.Control(l.look) != nil || l.dead
}

// get gives a connection: an idle one that is still good, or a new one.
func (u *upstream) get(ctx context.Context) (*link, error) {
	for {
		u.mu.Lock()
		n := len(u.idle)
		if n == 0 {
			u.mu.Unlock()
			return u.dial(ctx)
		}
		l := u.idle[n-1]
		u.idle[n-1] = nil
		u.idle = u.idle[:n-1]
		u.mu.Unlock()
		if !l.stale() {
			l.sent = 0
			return l, nil
		}
		l.Close()
	}
}

// dial connects. A replica that cannot be connected to is left alone for a
// while; the first call after that finds out whether it is back.
func (u *upstream) dial(ctx context.Context) (*link, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, u.endpoint.Network, u.endpoint.Addr)
	if err == nil && u.endpoint.TLS {
		host, _, _ := net.SplitHostPort(u.endpoint.Addr)
		secure := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
		if err = secure.HandshakeContext(ctx); err != nil {
			conn.Close()
		}
		conn = secure
	}
	if err != nil {
		if ctx.Err() == nil {
			pause := min(ejectFirst<<min(u.fails.Add(1)-1, 10), ejectMost)
			u.downTill.Store(time.Now().Add(pause).UnixNano())
		}
		return nil, err
	}
	u.fails.Store(0)
	u.downTill.Store(0)
	l := &link{Conn: conn}
	l.r, l.w = bufio.NewReaderSize(l.Conn, linkBuffer), bufio.NewWriterSize(l, 4<<10)
	if s, ok := conn.(syscall.Conn); ok {
		if l.raw, err = s.SyscallConn(); err != nil {
			conn.Close()
			return nil, err
		}
		l.look = func(fd uintptr) {
			_, _, err := syscall.Recvfrom(int(fd), l.byte[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			l.dead = !errors.Is(err, syscall.EAGAIN)
		}
	}
	return l, nil
}

// put keeps a connection for the next call.
func (u *upstream) put(l *link) {
	l.used = time.Now()
	u.mu.Lock()
	if keep := !u.closed && len(u.idle) < idleLinks; keep {
		u.idle = append(u.idle, l)
		l = nil
	}
	u.mu.Unlock()
	if l != nil {
		l.Close()
	}
}

// reap closes connections that nobody needed for idleTime.
func (u *upstream) reap(now time.Time) {
	u.mu.Lock()
	n := 0
	for n < len(u.idle) && now.Sub(u.idle[n].used) > idleTime {
		n++
	}
	old := append([]*link(nil), u.idle[:n]...)
	u.idle = append(u.idle[:0], u.idle[n:]...)
	u.mu.Unlock()
	for _, l := range old {
		l.Close()
	}
}

// close ends the idle connections; those in use end with their calls.
func (u *upstream) close() {
	u.mu.Lock()
	old := u.idle
	u.idle, u.closed = nil, true
	u.mu.Unlock()
	for _, l := range old {
		l.Close()
	}
}
