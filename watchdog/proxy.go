package watchdog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/gateway/http1"
)

// proxying gives requests to a process that serves HTTP.
type proxying struct {
	w       *Watchdog
	service service
	pool    upstream
	prefix  string // of the upstream's paths

	mu      sync.Mutex
	tunnels map[*tunnel]struct{}
	open    sync.WaitGroup // tunnels
}

func newProxying(w *Watchdog) *proxying {
	u := w.cfg.Upstream
	addr := u.Host
	if u.Port() == "" {
		addr += ":80"
	}
	return &proxying{
		w: w, service: service{w: w, addr: addr}, pool: upstream{addr: addr},
		prefix: strings.TrimSuffix(u.EscapedPath(), "/"), tunnels: map[*tunnel]struct{}{},
	}
}

// run keeps the process running. When ctx ends, tunnels that are still open
// are cut: draining is over.
func (p *proxying) run(ctx context.Context, ready func()) error {
	var once sync.Once
	err := p.service.run(ctx, func() { once.Do(ready) })
	p.pool.close()
	p.mu.Lock()
	for t := range p.tunnels {
		t.close()
	}
	p.mu.Unlock()
	p.open.Wait()
	return err
}

func (p *proxying) able() bool { return p.service.up.Load() }

// serve proxies one request.
func (p *proxying) serve(x *exchange) (later bool) {
	upgrade := isUpgrade(x)
	streams := upgrade || isStream(x)
	if !streams {
		x.limit(p.timeout(x))
	}
	body, length, err := p.body(x)
	if err != nil {
		x.failBody(err)
		return false
	}
	c, feed, err := p.ask(x, body, length, upgrade)
	if err != nil {
		p.fail(x, err)
		return false
	}
	if !streams {
		x.duration()
	}
	if upgrade && x.Response.StatusCode() == http.StatusSwitchingProtocols {
		p.tunnel(x, c)
		return true
	}
	return p.answer(x, c, feed)
}

// timeout of a request: exec_timeout, which the client may shorten.
func (p *proxying) timeout(x *exchange) time.Duration {
	limit := p.w.cfg.ExecTimeout
	if asked, err := time.ParseDuration(string(x.Request.Header.Peek("X-Timeout"))); err == nil && asked > 0 && asked < limit {
		return asked
	}
	return limit
}

// body gives the request's body and its length.
func (p *proxying) body(x *exchange) (io.Reader, int, error) {
	if p.w.cfg.BufferBody {
		b, err := x.body()
		return bytes.NewReader(b), len(b), err
	}
	r, length := x.stream()
	return r, max(length, -1), nil
}

// ask sends the request and reads the header of the answer into the
// exchange's. A connection that was idle may have ended just now: what can be
// asked twice then is, once, as long as nothing came back.
func (p *proxying) ask(x *exchange, body io.Reader, length int, upgrade bool) (*upstreamConn, *feed, error) {
	for fresh := false; ; fresh = true {
		c, err := p.pool.get(x.call, fresh)
		if err != nil {
			return nil, nil, err
		}
		feed := p.send(x, c, body, length, upgrade)
		if err = p.readHeader(x, c, upgrade); err == nil {
			return c, feed, nil
		}
		c.Close()
		feed.stop(x)
		safe := x.method == http.MethodGet || x.method == http.MethodHead || x.method == http.MethodOptions
		if fresh || !c.reused || !safe || length != 0 || x.call.Err() != nil || !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
	}
}

// send writes the request. A body that is still coming is written by a
// goroutine, so that the function may answer before its end.
func (p *proxying) send(x *exchange, c *upstreamConn, body io.Reader, length int, upgrade bool) *feed {
	c.SetWriteDeadline(deadlineOf(x.call))
	writeHead(x, c, p.prefix, length, upgrade)
	if length == 0 {
		c.w.Flush()
		return nil
	}
	f := &feed{c: c, done: make(chan struct{})}
	if !x.Request.IsBodyStream() || p.w.cfg.BufferBody {
		f.copy(body, length)
		return f
	}
	go f.copy(body, length)
	return f
}

// deadlineOf is a context's deadline, or none.
func deadlineOf(ctx context.Context) time.Time {
	end, _ := ctx.Deadline()
	return end
}

// writeHead writes the request's line and header.
func writeHead(x *exchange, c *upstreamConn, prefix string, length int, upgrade bool) {
	h, w := &x.Request.Header, c.w
	named := string(h.Peek(fasthttp.HeaderConnection))
	w.Write(h.Method())
	w.WriteString(" " + prefix)
	w.Write(h.RequestURI())
	w.WriteString(" HTTP/1.1\r\nHost: ")
	w.Write(h.Host())
	w.WriteString("\r\n")
	for name, value := range h.AllInOrder() {
		if endsHere(name, named) {
			continue
		}
		w.Write(name)
		w.WriteString(": ")
		w.Write(value)
		w.WriteString("\r\n")
	}
	switch {
	case upgrade:
		w.WriteString("Connection: Upgrade\r\nUpgrade: ")
		w.Write(h.Peek(fasthttp.HeaderUpgrade))
		w.WriteString("\r\n")
	case length > 0, length == 0 && len(h.Peek(fasthttp.HeaderContentLength)) > 0:
		w.WriteString("Content-Length: " + strconv.Itoa(length) + "\r\n")
	case length < 0:
		w.WriteString("Transfer-Encoding: chunked\r\n")
	}
	w.WriteString("\r\n")
}

// endsHere tells which headers belong to one hop: RFC 9110 section 7.6.1, and
// what Connection names.
func endsHere(name []byte, named string) bool {
	switch string(name) {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Content-Length", "Host", "Expect", "Proxy":
		return true
	}
	if named == "" || strings.EqualFold(named, "close") || strings.EqualFold(named, "keep-alive") {
		return false
	}
	for one := range strings.SplitSeq(named, ",") {
		if strings.EqualFold(strings.TrimSpace(one), string(name)) {
			return true
		}
	}
	return false
}

// isUpgrade reports whether the client asks for another protocol.
func isUpgrade(x *exchange) bool {
	h := &x.Request.Header
	return len(h.Peek(fasthttp.HeaderUpgrade)) > 0 && x.method == http.MethodGet && h.ConnectionUpgrade()
}

// isStream reports whether the client reads an answer without end.
func isStream(x *exchange) bool {
	accept := string(x.Request.Header.Peek(fasthttp.HeaderAccept))
	return strings.Contains(accept, "text/event-stream") || strings.Contains(accept, "application/x-ndjson")
}

// readHeader reads the header of the answer, past those that only announce it.
// One that switches protocols answers only who asked for that.
func (p *proxying) readHeader(x *exchange, c *upstreamConn, upgrade bool) error {
	h := &x.Response.Header
	for {
		if _, err := c.r.Peek(1); err != nil {
			return err
		}
		if err := h.Read(c.r); err != nil {
			return errors.Join(errAnswer, err)
		}
		switch s := h.StatusCode(); {
		case s == http.StatusSwitchingProtocols && !upgrade:
			return errAnswer
		case s >= 200, s == http.StatusSwitchingProtocols:
			return nil
		}
	}
}

var errAnswer = errors.New("the function's answer is not HTTP")

// fail answers for a function that did not, in OpenFaaS' way: an empty 500, or
// 504 when its time was over.
func (p *proxying) fail(x *exchange, err error) {
	status := http.StatusInternalServerError
	if errors.Is(x.call.Err(), context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
		p.w.log.printf("the function did not answer within exec_timeout, %s", p.timeout(x))
	} else if x.call.Err() == nil {
		p.w.log.printf("Upstream HTTP request error: %s", err)
	}
	x.fail(status, "")
	if x.Request.IsBodyStream() {
		x.SetConnectionClose()
		http1.Linger(x.Conn())
	}
}
