// Package http1 is the edge between HTTP/1 on fasthttp and functions: it
// refuses requests that two readers could read in two ways, keeps what belongs
// to one hop away from the next, and lets a backends.Handler answer a request
// without a copy or an allocation of its own.
//
// It knows neither routes nor functions. Invariant: what a function sees is
// what was parsed once, from bytes that have only one reading.
package http1

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
)

// Call is one request on its way to a handler: the Request, its Header, the
// Response, and the context of the work, in one pooled object. Nothing of it
// may be used after Release.
type Call struct {
	Request backends.Request
	HTTP    *fasthttp.RequestCtx
	conn    *Conn // nil if the server's connections are not guarded

	lifetime
	answer
	named   []byte // values of Connection but close and keep-alive, joined by commas
	scanned bool   // named is known
	trusted bool   // the peer may say for whom it speaks

	id        [64]byte // the call's id, made or taken over
	startTime [20]byte // X-Start-Time
	remote    [64]byte // ip:port of the peer
	forwarded []byte   // X-Forwarded-For
	host      []byte   // X-Forwarded-Host
	body      []byte   // the request's, if it fits
	mapped    []byte   // the request's body, if it is in a file
	scratch   []byte   // for values of headers on their way out
}

var calls = sync.Pool{New: func() any { return &Call{scratch: make([]byte, 0, 128)} }}

// Options is what a server says about all of its calls.
type Options struct {
	// Answer bounds the body of an answer in bytes; 0 = no bound.
	Answer int64
	// Trusted tells whether the peer may set X-Forwarded-*; nil = nobody may.
	Trusted func(addr net.Addr) bool
}

// Acquire takes a call from the pool and fills it from a request, but for
// Path, Query and Body. Release gives it back.
func Acquire(ctx *fasthttp.RequestCtx, o Options) *Call {
	c := calls.Get().(*Call)
	c.HTTP = ctx
	if c.conn = connOf(ctx.Conn()); c.conn != nil {
		c.conn.begin(c)
	}
	h := &ctx.Request.Header
	start := ctx.Time()
	if start.IsZero() {
		start = time.Now()
	}
	remote := ctx.RemoteAddr()
	c.answer = answer{resp: &ctx.Response, limit: o.Answer}
	c.trusted = o.Trusted != nil && o.Trusted(remote)
	c.Request = backends.Request{
		Start: start, Method: h.Method(), Host: h.Host(), Header: c,
		RemoteAddr: appendAddr(c.remote[:0], remote), CallID: c.callID(h.PeekCanonical(nameCallID)),
	}
	return c
}

// Release puts the call back. Its context ends here at the latest.
func (c *Call) Release() {
	if c.conn != nil {
		c.conn.end()
	}
	reusable := c.lifetime.end()
	c.HTTP, c.conn, c.Request, c.answer = nil, nil, backends.Request{}, answer{}
	c.named, c.scanned, c.trusted = c.named[:0], false, false
	c.forwarded, c.host = c.forwarded[:0], nil
	c.dropBody()
	if reusable {
		calls.Put(c)
	}
}

// callID takes over a client's id if it is one, and makes one if not.
func (c *Call) callID(given []byte) []byte {
	if IsCallID(given) {
		return append(c.id[:0], given...)
	}
	var b [16]byte
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 8 {
		b[i], b[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4 of RFC 9562
	id := hex.AppendEncode(c.id[:0], b[:4])
	for _, part := range [...][]byte{b[4:6], b[6:8], b[8:10], b[10:]} {
		id = hex.AppendEncode(append(id, '-'), part)
	}
	return id
}

// IsCallID reports whether a client's id is taken over: 1 to 64 letters,
// digits and '-', so that it is harmless wherever it is written.
func IsCallID(id []byte) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, b := range id {
		l := b | 0x20
		if (l < 'a' || l > 'z') && (b < '0' || b > '9') && b != '-' {
			return false
		}
	}
	return true
}

// appendAddr appends ip:port without allocating.
func appendAddr(dst []byte, a net.Addr) []byte {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		if a == nil {
			return dst
		}
		return append(dst, a.String()...)
	}
	ap := tcp.AddrPort()
	if ap.Addr().Is6() && !ap.Addr().Is4In6() {
		return ap.AppendTo(dst)
	}
	dst = ap.Addr().Unmap().AppendTo(dst)
	return strconv.AppendUint(append(dst, ':'), uint64(ap.Port()), 10)
}

// lifetime is the context.Context of a call: it ends at a deadline, when the
// client goes away, or with the call. It costs nothing until someone asks for
// Done.
type lifetime struct {
	mu       sync.Mutex
	deadline time.Time
	err      error
	done     chan struct{}
	timer    *time.Timer // fires expire; made with the first Done
	armed    bool
	watcher  Watcher
}

// Watcher is told that a call's client went away. It must not wait.
type Watcher interface{ Canceled() }

// Watch sets who is told, at once if it is too late; nil = nobody.
func (l *lifetime) Watch(w Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watcher = w; w != nil && l.err == context.Canceled {
		w.Canceled()
	}
}

// SetDeadline sets when the call's context ends. It must be called before the
// context is handed on.
func (l *lifetime) SetDeadline(t time.Time) { l.deadline = t }

// Deadline implements context.Context.
func (l *lifetime) Deadline() (time.Time, bool) { return l.deadline, !l.deadline.IsZero() }

// Value implements context.Context; a call carries no values.
func (l *lifetime) Value(any) any { return nil }

// Done implements context.Context.
func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.err != nil {
			close(l.done)
		}
	}
	if !l.armed && l.err == nil && !l.deadline.IsZero() {
		l.armed = true
		if l.timer == nil {
			l.timer = time.AfterFunc(time.Until(l.deadline), l.expire)
		} else {
			l.timer.Reset(time.Until(l.deadline))
		}
	}
	return l.done
}

// Err implements context.Context.
func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && !l.deadline.IsZero() && !time.Now().Before(l.deadline) {
		l.finish(context.DeadlineExceeded)
	}
	return l.err
}

// Cancel ends the context because the client went away.
func (l *lifetime) Cancel() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.finish(context.Canceled); l.watcher != nil {
		l.watcher.Canceled()
	}
}

func (l *lifetime) expire() {
	l.mu.Lock()
	l.finish(context.DeadlineExceeded)
	l.mu.Unlock()
}

// finish sets the first error and wakes who waits; mu is held.
func (l *lifetime) finish(err error) {
	if l.err != nil {
		return
	}
	l.err = err
	if l.done != nil {
		close(l.done)
	}
}

// end makes the lifetime ready for the next call. It reports false if someone
// may still come back to this one.
func (l *lifetime) end() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	reusable := l.err == nil && (!l.armed || l.timer.Stop())
	if !reusable {
		l.finish(context.Canceled)
		return false
	}
	l.deadline, l.armed, l.watcher = time.Time{}, false, nil
	return true
}
