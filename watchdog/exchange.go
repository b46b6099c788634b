package watchdog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
	"hearth/gateway/http1"
)

// exchange is one request of the function and its answer. Its call is the
// context: it ends with the deadline, the client, or the answer.
type exchange struct {
	*fasthttp.RequestCtx
	w      *Watchdog
	call   *http1.Call
	begin  time.Time
	method string
	path   string
	sent   int64 // bytes of a streamed body; of others -1
}

func newExchange(w *Watchdog, ctx *fasthttp.RequestCtx) *exchange {
	x := &exchange{RequestCtx: ctx, w: w, begin: time.Now(), method: string(ctx.Method()), path: string(ctx.RequestURI()), sent: -1}
	x.call = http1.Acquire(ctx, http1.Options{Answer: w.cfg.MaxAnswer, Trusted: func(net.Addr) bool { return true }})
	w.metrics.inflight.Inc()
	w.mu.Lock()
	w.live[x] = struct{}{}
	w.mu.Unlock()
	return x
}

// limit gives the request a time to live; 0 = none.
func (x *exchange) limit(d time.Duration) {
	if d > 0 {
		x.call.SetDeadline(x.begin.Add(d))
	}
}

// body gives the request's body whole. ErrTooLarge above the bound.
func (x *exchange) body() ([]byte, error) {
	b, err := x.call.ReadBody(x.w.cfg.MaxBody, os.TempDir())
	if err != nil {
		x.SetConnectionClose()
		http1.Linger(x.Conn())
	}
	return b, err
}

// stream gives the request's body as it comes, and its length, -1 if that is
// not known.
func (x *exchange) stream() (io.Reader, int) {
	if r := x.RequestBodyStream(); r != nil {
		return r, x.Request.Header.ContentLength()
	}
	b := x.Request.Body()
	return bytes.NewReader(b), len(b)
}

// leaveBody gives up what is left of the body, when nobody else reads it any
// more. The connection ends with the answer.
func (x *exchange) leaveBody() {
	http1.Finish(x.Conn())
	if r := x.RequestBodyStream(); r != nil {
		io.Copy(io.Discard, r) // what the server has read already
	}
}

// duration adds the header that says how long the function took.
func (x *exchange) duration() {
	x.Response.Header.Set("X-Duration-Seconds", fmt.Sprintf("%f", time.Since(x.begin).Seconds()))
}

// fail replaces the answer by one of the watchdog's own.
func (x *exchange) fail(status int, text string) {
	closing := x.Response.ConnectionClose()
	x.call.Discard()
	x.SetStatusCode(status)
	x.Response.Header.Set(headerInternal, "of-watchdog")
	if text != "" {
		x.SetContentType("text/plain; charset=utf-8")
		x.SetBodyString(text)
	}
	if closing {
		x.SetConnectionClose()
	}
}

// failBody answers a request whose body could not be read.
func (x *exchange) failBody(err error) {
	if errors.Is(err, backends.ErrTooLarge) {
		x.fail(http.StatusRequestEntityTooLarge, fmt.Sprintf("body: more than the %d bytes allowed: max_body_bytes raises it\n", x.w.cfg.MaxBody))
		return
	}
	x.fail(http.StatusBadRequest, err.Error()+"\n")
}

// end completes the exchange: the answer is known, or sent.
func (x *exchange) end() {
	status, took := x.Response.StatusCode(), time.Since(x.begin)
	if x.sent < 0 {
		x.sent = int64(len(x.Response.Body()))
	}
	x.w.mu.Lock()
	delete(x.w.live, x)
	x.w.mu.Unlock()
	x.w.metrics.observe(x.method, status, took)
	x.w.metrics.inflight.Dec()
	x.w.inflight.Add(-1)
	if x.w.cfg.Mode != Classic && !bytes.HasPrefix(x.UserAgent(), []byte("kube-probe")) {
		line := fmt.Sprintf("%s %s - %d %s - ContentLength: %dB (%.4fs)", x.method, cut(x.path), status, http.StatusText(status), x.sent, took.Seconds())
		if x.w.cfg.LogCallID {
			line += " [" + string(x.call.Request.CallID) + "]"
		}
		x.w.log.printf("%s", line)
	}
	x.call.Release()
}

// cut keeps a path from filling the log.
func cut(path string) string {
	const most = 1024
	if len(path) > most {
		return path[:most] + "..."
	}
	return path
}
