package gateway

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Bounds of reading on after an answer that came before the request's end.
const (
	lingerBytes = 64 << 20
	lingerTime  = 2 * time.Second
)

// lingerListener makes connections that can be closed with an answer still on
// its way: a socket closed while the client goes on sending is reset, and a
// reset takes with it what the client has not read yet, such as why its body
// was refused.
type lingerListener struct{ net.Listener }

// Accept implements net.Listener.
func (l lingerListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingerConn{Conn: conn}, nil
}

// lingerConn reads on for a while when it is closed, if asked to.
type lingerConn struct {
	net.Conn
	asked atomic.Bool
}

// NetConn gives the connection inside, as tls.Conn does.
func (c *lingerConn) NetConn() net.Conn { return c.Conn }

// Close ends our side, lets the client end its own if Linger was asked, and
// closes.
func (c *lingerConn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if ok && c.asked.Load() && half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.Conn.Close()
}

// linger asks a connection of a lingerListener to be closed gently.
func linger(conn net.Conn) {
	for {
		if c, ok := conn.(*lingerConn); ok {
			c.asked.Store(true)
			return
		}
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		conn = outer.NetConn()
	}
}
