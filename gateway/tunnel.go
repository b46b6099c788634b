package gateway

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
	"hearth/gateway/http1"
)

// switched answers 101 and makes the connections a tunnel. The call stays in
// flight until either side ends it.
func (x *transit) switched() error {
	ctx, l := x.call.HTTP, x.link
	h := &ctx.Response.Header
	protocol := append([]byte(nil), h.Peek(fasthttp.HeaderUpgrade)...)
	if len(protocol) == 0 || ctx.RequestBodyStream() != nil {
		x.drop()
		return backends.Errorf(errUpstream, "function %s switched to a protocol without a name", x.r.key)
	}
	cleanAnswer(h)
	h.SetBytesV(fasthttp.HeaderUpgrade, protocol)
	h.Set(fasthttp.HeaderConnection, fasthttp.HeaderUpgrade)
	ctx.SetStatusCode(http.StatusSwitchingProtocols)
	x.call.Watch(nil)
	if err := l.Conn.SetDeadline(time.Time{}); err != nil {
		return x.cut(err)
	}
	if !x.g.tunnels.add(l.Conn) {
		x.drop()
		return backends.Errorf(backends.ErrUnavailable, "the gateway is stopping")
	}
	http1.PassThrough(ctx.Conn())
	x.streams = true
	ctx.Hijack(func(client net.Conn) {
		defer x.g.tunnels.remove(l.Conn)
		x.tunnel(client)
	})
	return nil
}

// tunnel copies both ways until one side ends.
func (x *transit) tunnel(client net.Conn) {
	l := x.link
	var back sync.WaitGroup
	back.Go(func() {
		io.CopyBuffer(struct{ io.Writer }{client}, struct{ io.Reader }{l.r}, make([]byte, 4<<10))
		http1.Interrupt(client)
	})
	io.CopyBuffer(struct{ io.Writer }{l.Conn}, struct{ io.Reader }{client}, make([]byte, 4<<10))
	l.Conn.Close()
	back.Wait()
	x.hangUp()
	x.end()
}

// tunnels are the replicas' ends of tunnels that are open.
type tunnels struct {
	mu     sync.Mutex
	closed bool
	ends   map[net.Conn]struct{}
	open   sync.WaitGroup
}

func (t *tunnels) add(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if t.ends == nil {
		t.ends = map[net.Conn]struct{}{}
	}
	t.ends[c] = struct{}{}
	t.open.Add(1)
	return true
}

func (t *tunnels) remove(c net.Conn) {
	t.mu.Lock()
	delete(t.ends, c)
	t.mu.Unlock()
	t.open.Done()
}

// close waits for the tunnels to end, until ended is closed, and then ends them.
func (t *tunnels) close(ended <-chan struct{}) {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		t.open.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return
	case <-ended:
	}
	t.mu.Lock()
	for c := range t.ends {
		c.Close()
	}
	t.mu.Unlock()
	<-gone
}
