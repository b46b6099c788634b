package watchdog

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"hearth/gateway/http1"
)

// tunnel is a connection that has become one of another protocol.
type tunnel struct {
	client net.Conn
	c      *upstreamConn
	once   sync.Once
}

// close ends both sides.
func (t *tunnel) close() {
	t.once.Do(func() {
		t.client.Close()
		t.c.Close()
	})
}

// tunnel sends the answer that switches protocols, and passes bytes both ways
// until one side ends.
func (p *proxying) tunnel(x *exchange, c *upstreamConn) {
	head := fmt.Appendf(nil, "HTTP/1.1 101 %s\r\nConnection: Upgrade\r\n", http.StatusText(http.StatusSwitchingProtocols))
	for name, value := range x.Response.Header.All() {
		if n := string(name); n == "Upgrade" || !endsHere(name, "") {
			head = fmt.Appendf(head, "%s: %s\r\n", name, value)
		}
	}
	head = append(head, "\r\n"...)
	http1.PassThrough(x.Conn())
	x.HijackSetNoResponse(true)
	p.open.Add(1)
	x.Hijack(func(client net.Conn) {
		defer p.open.Done()
		t := &tunnel{client: x.Conn(), c: c}
		p.mu.Lock()
		p.tunnels[t] = struct{}{}
		p.mu.Unlock()
		x.sent = t.pass(client, head)
		p.mu.Lock()
		delete(p.tunnels, t)
		p.mu.Unlock()
		x.end()
	})
}

// pass copies both ways and gives how much went to the client.
func (t *tunnel) pass(client net.Conn, head []byte) (sent int64) {
	defer t.close()
	t.c.Conn.SetDeadline(time.Time{})
	if _, err := client.Write(head); err != nil {
		return 0
	}
	up := make(chan struct{})
	go func() {
		defer close(up)
		io.Copy(t.c.Conn, client)
		if half, ok := t.c.Conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	}()
	begun, _ := t.c.r.Peek(t.c.r.Buffered())
	sent, _ = io.Copy(client, io.MultiReader(bytes.NewReader(begun), t.c.Conn))
	t.close() // the function has ended: so does the client's side
	<-up
	return sent
}
