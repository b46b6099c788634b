package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
	"hearth/gateway/http1"
)

// headerInternal marks answers that are the platform's and not a function's;
// clients and queues read it to know that nothing ran to its end.
const headerInternal = "X-Openfaas-Internal"

// serveCall answers a call of a function.
func (g *Gateway) serveCall(ctx *fasthttp.RequestCtx, name, path, query []byte) {
	r := g.table.lookup(name)
	if r == nil {
		g.unknown(ctx, name)
		return
	}
	x := transits.Get().(*transit)
	x.g, x.r, x.call = g, r, http1.Acquire(ctx, g.calls)
	x.call.Request.Path, x.call.Request.Query = path, query
	r.started.Add(1)
	r.inflight.Add(1)
	if err := x.answer(); err != nil {
		x.drop()
		closing := ctx.Response.ConnectionClose()
		x.call.Discard()
		g.refuse(ctx, r, err)
		if closing {
			ctx.SetConnectionClose()
		}
	}
	x.call.Stamp(x.queue, g.servedBy)
	x.status = ctx.Response.StatusCode()
	if !x.streams { // else it ends when the server has sent the answer
		x.end()
	}
}

// answer lets the function answer the call.
func (x *transit) answer() (err error) {
	defer x.contain(&err)
	g, r := x.g, x.r
	x.counted = true
	if g.total.inflight.Add(1) > maxCalls {
		g.total.overloaded.Add(1)
		return errOverload
	}
	t := r.target.Load()
	x.call.SetDeadline(x.call.Request.Start.Add(t.policy.Timeout))
	if t.Handler != nil { // a client that is slow to send takes nobody's turn
		if err = x.readBody(t); err != nil {
			return err
		}
	}
	if err = x.enter(t); err != nil {
		return err
	}
	for range maxReplaced {
		waits := !r.target.Load().answers()
		t, err = g.ready(x.call, r)
		if waits {
			x.queue = time.Since(x.call.Request.Start)
		}
		if err != nil {
			return err
		}
		if t.Handler != nil {
			err = x.invoke(t)
		} else {
			err = x.forward(t)
		}
		if !errors.Is(err, backends.ErrGone) {
			break
		}
		x.call.Discard()
	}
	return err
}

// invoke lets a function of this process answer.
func (x *transit) invoke(t *target) error {
	if err := x.readBody(t); err != nil {
		return err
	}
	if err := t.Handler.Invoke(x.call, &x.call.Request, x.call); err != nil {
		return err
	}
	if code, invalid := x.call.InvalidStatus(); invalid {
		return backends.Errorf(errAnswer, "function %s answered with status %d, which is none", x.r.key, code)
	}
	x.call.Complete()
	return nil
}

// readBody reads the request's body, once.
func (x *transit) readBody(t *target) (err error) {
	if x.bodyRead {
		return nil
	}
	x.bodyRead = true
	if x.call.Request.Body, err = x.call.ReadBody(x.g.cfg.MaxBody, x.g.cfg.SpillDir); err != nil {
		x.call.HTTP.SetConnectionClose()
		http1.Linger(x.call.HTTP.Conn())
		return &bodyError{err}
	}
	if len(x.call.Request.Body) > 0 { // the time that a client took to send is its own
		x.call.SetDeadline(time.Now().Add(t.policy.Timeout))
	}
	return nil
}

// enter waits for the call's turn where the function has a limit.
func (x *transit) enter(t *target) error {
	err := x.r.gate.enter(x.call, t.policy.MaxQueue)
	if x.entered = err == nil; t.policy.MaxInflight > 0 {
		x.queue = time.Since(x.call.Request.Start)
	}
	if err == errQueueFull {
		x.g.total.full.Add(1)
	}
	return err
}

// contain makes an error of a panic.
func (x *transit) contain(err *error) {
	if v := recover(); v != nil {
		x.g.cfg.Logger.Error("panic in a call", "function", x.r.key.String(), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		*err = errPanic
	}
}

const (
	// maxReplaced is how often one call may find its function replaced under it.
	maxReplaced = 8
	// maxCalls bounds the calls that are in the process at once.
	maxCalls = 32 << 10
)

var (
	errPanic    = errors.New("internal error: the log of the gateway says more")
	errAnswer   = errors.New("answer that cannot be sent")
	errOverload = backends.Errorf(backends.ErrUnavailable, "the gateway has too many calls in flight: try again, or run more gateways")
)

// bodyError is what kept the body of a request from being read.
type bodyError struct{ error }

func (e *bodyError) Unwrap() error { return e.error }

func (e *bodyError) status() int {
	switch {
	case errors.Is(e, backends.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(e, http1.ErrBodySlow):
		return http.StatusRequestTimeout
	case errors.Is(e, backends.ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// unknown answers a call of a function that does not exist.
func (g *Gateway) unknown(ctx *fasthttp.RequestCtx, name []byte) {
	const most = 128 // more than any name that may exist
	text := fmt.Sprintf("function %q not found: GET /system/functions lists what is deployed\n", name[:min(len(name), most)])
	if len(name) == 0 {
		text = "the path names no function: it is /function/NAME or /function/NAME.NAMESPACE\n"
	}
	answerText(ctx, http.StatusNotFound, text)
}

// refuse answers with an error of the platform: the status says whose fault it
// is, the text which limit was met and how to raise it.
func (g *Gateway) refuse(ctx *fasthttp.RequestCtx, r *route, err error) {
	status, text := g.explain(r, err)
	answerText(ctx, status, text+"\n")
	if status >= 500 || status == http.StatusTooManyRequests {
		ctx.Response.Header.Set(headerInternal, "gateway")
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
}

// explain gives the status and the sentence of an error of a call.
func (g *Gateway) explain(r *route, err error) (int, string) {
	p := r.target.Load().policy
	var body *bodyError
	var rejected *http1.Rejection
	switch {
	case errors.As(err, &rejected):
		return rejected.Status, strings.TrimSuffix(rejected.Text, "\n")
	case errors.As(err, &body):
		return body.status(), body.Error()
	case errors.Is(err, errPanic):
		return http.StatusInternalServerError, err.Error()
	case isKind(err, backends.ErrDeadline, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, fmt.Sprintf("function %s did not answer within its limit of %s: raise %s of the function, or --timeout of the gateway", r.key, p.Timeout, backends.KeyTimeout)
	case isKind(err, backends.ErrCanceled, context.Canceled):
		return statusClientGone, "the client went away"
	case err == errQueueFull:
		return http.StatusTooManyRequests, fmt.Sprintf("function %s runs %d calls at once and %d more wait, which is all that may: raise %s or %s of the function, or its replicas", r.key, p.MaxInflight, p.MaxQueue, backends.KeyMaxInflight, backends.KeyMaxQueue)
	case err == errQueueSlow:
		return http.StatusTooManyRequests, fmt.Sprintf("function %s was busy for all of the call's limit of %s: raise %s of the function, or its replicas", r.key, p.Timeout, backends.KeyMaxInflight)
	case err == errWakeFull:
		return http.StatusServiceUnavailable, fmt.Sprintf("function %s has no replica yet and %d calls wait for one, which is all that may: raise %s of the function", r.key, p.MaxQueue, backends.KeyMaxQueue)
	case isKind(err, errAnswer, errUpstream, backends.ErrTooLarge):
		return http.StatusBadGateway, err.Error()
	}
	return backends.HTTPStatus(err), err.Error()
}

// statusClientGone is nginx's code for a client that did not wait: nobody
// reads it but the metrics.
const statusClientGone = 499

// trusts tells whether a peer may say for whom it speaks.
func (g *Gateway) trusts(peer net.Addr) bool { return within(addrOf(peer), g.cfg.TrustedProxies) }

// handle answers every request of the main listener. A panic ends the request
// and not the process.
func (g *Gateway) handle(ctx *fasthttp.RequestCtx) {
	defer func() {
		if v := recover(); v != nil {
			g.cfg.Logger.Error("panic in a request", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			ctx.Response.Reset()
			answerText(ctx, http.StatusInternalServerError, errPanic.Error()+"\n")
			ctx.SetConnectionClose()
		}
		// Now and not before the call, during which draining may have begun.
		if g.draining.Load() && !ctx.Hijacked() {
			ctx.SetConnectionClose()
		}
	}()
	if name, path, query, ok := cutCall(ctx.Request.Header.RequestURI()); ok {
		g.serveCall(ctx, name, path, query)
		return
	}
	if bytes.HasPrefix(ctx.Path(), functionPrefix) {
		// Another spelling of a call's path: two readers would differ about it.
		answerText(ctx, http.StatusBadRequest, "the path of a call is /function/NAME as it is, without % codes and dots before the name\n")
		return
	}
	g.system.serve(ctx)
}

// headerReceived gives a request with a body the time of a call to send it.
func (g *Gateway) headerReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if n := h.ContentLength(); n == 0 || n < -1 {
		return fasthttp.RequestConfig{}
	}
	return fasthttp.RequestConfig{ReadTimeout: max(g.table.call.Timeout, time.Second)}
}

// expect decides, before a client sends a body that it asked leave for,
// whether it may.
func (g *Gateway) expect(ctx *fasthttp.RequestCtx) int {
	name, _, _, ok := cutCall(ctx.Request.Header.RequestURI())
	if !ok {
		return http.StatusContinue
	}
	switch r := g.table.lookup(name); {
	case r == nil:
		return http.StatusNotFound
	case r.target.Load().Handler != nil && int64(ctx.Request.Header.ContentLength()) > g.cfg.MaxBody:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusContinue
}

// badRequest answers what could not be read as a request.
func (g *Gateway) badRequest(ctx *fasthttp.RequestCtx, err error) {
	status, text := http.StatusBadRequest, "the request cannot be read\n"
	var small *fasthttp.ErrSmallBuffer
	switch r := http1.Rejected(ctx.Conn()); {
	case r != nil:
		status, text = r.Status, r.Text
	case errors.As(err, &small):
		status, text = http.StatusRequestHeaderFieldsTooLarge, "the request line and headers together are longer than 16 KiB\n"
	case errors.Is(err, os.ErrDeadlineExceeded):
		status, text = http.StatusRequestTimeout, fmt.Sprintf("the request's header did not come within %s\n", g.cfg.HeaderTimeout)
	}
	http1.Linger(ctx.Conn())
	answerText(ctx, status, text)
}
