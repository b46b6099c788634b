package watchdog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
	"hearth/gateway/http1"
)

// Watchdog serves one function. Make one with New.
type Watchdog struct {
	cfg      Config
	mode     mode
	log      *logger
	metrics  *metrics
	healthy  atomic.Bool  // takes requests, as far as probes are told
	inflight atomic.Int64 // requests of the function
	reaper   reaper

	mu   sync.Mutex
	live map[*exchange]struct{}
}

// mode is one way to the function.
type mode interface {
	// run keeps what requests need going until ctx ends, and calls ready
	// when the first request can be taken.
	run(ctx context.Context, ready func()) error
	// serve answers one request. It reports whether the answer is only sent
	// later, as a stream, which then calls x.end.
	serve(x *exchange) (later bool)
	// able reports whether requests can be answered now.
	able() bool
}

// New makes a watchdog; the handler is for the modes inproc and wasm. It
// listens to nothing before Run. ErrInvalid if cfg lacks something.
func New(cfg Config, handler backends.Handler) (*Watchdog, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = os.Stderr
	}
	w := &Watchdog{cfg: cfg, log: &logger{to: cfg.Log, dated: true}, metrics: newMetrics(), live: map[*exchange]struct{}{}}
	switch cfg.Mode {
	case Streaming:
		w.mode = &forking{w: w, answer: w.stream}
	case Serializing:
		w.mode = &forking{w: w, answer: w.serialize}
	case Classic:
		w.mode = &forking{w: w, answer: w.classic}
	case HTTP:
		w.mode = newProxying(w)
	case Static:
		w.mode = newFiles(w)
	case Inproc, Wasm:
		if handler == nil {
			return nil, backends.Errorf(backends.ErrInvalid, "the mode %s needs a handler", cfg.Mode)
		}
		w.mode = &handling{w: w, handler: handler}
	default:
		return nil, backends.Errorf(backends.ErrUnsupported, "the mode %s is not served", cfg.Mode)
	}
	return w, nil
}

// Run serves until ctx ends, drains, and returns nil; or the error that kept
// it from serving. After ctx it says to probes that it is going, takes
// requests for as long as Unready, and then gives those in flight as long as
// WriteTimeout. The function is told last.
func (w *Watchdog) Run(ctx context.Context) error {
	ln, err := net.Listen(w.cfg.Network, w.cfg.Address)
	if err != nil {
		return fmt.Errorf("port: %w", err)
	}
	var metricsServer *http.Server
	var metricsLn net.Listener
	if w.cfg.Metrics != "" {
		if metricsLn, err = net.Listen("tcp", w.cfg.Metrics); err != nil {
			// Two functions on one host must not keep each other from serving.
			w.log.printf("metrics are not served: %v", err)
		}
	}
	if w.cfg.Reap {
		defer w.reaper.begin(w.log)()
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	server, guarded := w.newServer(ln)
	ended := make(chan error, 3)
	tasks := 2
	go func() { ended <- server.Serve(guarded) }()
	go func() { ended <- w.mode.run(running, w.open) }()
	if metricsLn != nil {
		w.log.printf("Metrics on %s", metricsLn.Addr())
		metricsServer = w.metrics.server()
		tasks++
		go func() { ended <- metricsServer.Serve(metricsLn) }()
	}
	w.log.printf("Timeouts: read: %s write: %s hard: %s health: %s.", w.cfg.ReadTimeout, w.cfg.WriteTimeout, w.cfg.ExecTimeout, w.cfg.Unready)
	w.log.printf("Listening on %s", ln.Addr())
	select {
	case err = <-ended: // none ends by itself, but of an error
		tasks--
	case <-ctx.Done():
		err = w.goAway(server)
	}
	w.shut()
	stop()
	server.CloseOnShutdown = true
	err = errors.Join(err, ignoreClosed(ln.Close()))
	if metricsServer != nil {
		err = errors.Join(err, metricsServer.Close())
	}
	for range tasks {
		err = errors.Join(err, ignoreClosed(<-ended))
	}
	guarded.Stop()
	return err
}

// newServer makes the server of the function's listener.
func (w *Watchdog) newServer(ln net.Listener) (*fasthttp.Server, *http1.Listener) {
	slack := min(w.cfg.ReadTimeout/10, 500*time.Millisecond)
	guarded := http1.Listen(ln, http1.ListenerOptions{WriteTimeout: w.cfg.WriteTimeout, Slack: slack})
	return &fasthttp.Server{
		Handler: w.handle, Logger: quiet{}, SecureErrorLogMessage: true,
		ReadTimeout: w.cfg.ReadTimeout, IdleTimeout: idleTimeout, ErrorHandler: w.badRequest,
		ReadBufferSize: http1.HeadBuffer, Concurrency: maxConnections,
		StreamRequestBody: true, MaxRequestBodySize: streamFrom, DisablePreParseMultipartForm: true,
		NoDefaultServerHeader: true, NoDefaultContentType: true, CloseOnShutdown: true,
	}, guarded
}

const (
	idleTimeout    = 2 * time.Minute // longer than the gateway keeps a connection
	maxConnections = 64 << 10
	streamFrom     = 16 << 10 // bytes of a body that are read before the handler runs
)

// quiet drops what the server says about single connections.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// badRequest answers what is not HTTP as we read it.
func (w *Watchdog) badRequest(ctx *fasthttp.RequestCtx, _ error) {
	status, text := http.StatusBadRequest, "bad request"
	if r := http1.Rejected(ctx.Conn()); r != nil {
		status, text = r.Status, r.Text
	}
	ctx.Error(text+"\n", status)
	ctx.SetConnectionClose()
}

// open lets probes know that requests are taken, and makes the lock file.
func (w *Watchdog) open() {
	if w.cfg.LockFile != "" {
		if err := os.WriteFile(w.cfg.LockFile, nil, 0o660); err != nil {
			w.log.printf("the lock file cannot be written, health stays bad: %v", err)
		}
	}
	w.healthy.Store(true)
}

// shut takes both back.
func (w *Watchdog) shut() {
	if w.healthy.Swap(false) && w.cfg.LockFile != "" {
		if err := os.Remove(w.cfg.LockFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.log.printf("the lock file cannot be removed: %v", err)
		}
	}
}

// goAway ends serving without losing a request.
func (w *Watchdog) goAway(server *fasthttp.Server) error {
	w.shut()
	wait, unready := max(w.cfg.WriteTimeout, w.cfg.ExecTimeout), w.cfg.Unready
	if w.cfg.Abandoned != nil && w.cfg.Abandoned() {
		wait, unready = 0, 0
	}
	w.log.printf("SIGTERM: no new connections in %s", unready)
	time.Sleep(unready)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := server.ShutdownWithContext(ctx); err != nil {
		w.log.printf("%d requests are cut: they took too long to wait for", w.inflight.Load())
		w.cut()
	}
	return nil
}

// cut ends the requests that are left, and with them their processes.
func (w *Watchdog) cut() {
	w.mu.Lock()
	for x := range w.live {
		x.call.Cancel()
	}
	w.mu.Unlock()
	for begin := time.Now(); w.inflight.Load() > 0 && time.Since(begin) < 3*killDelay; {
		time.Sleep(lookAgain)
	}
}

// ignoreClosed drops the errors of ending as planned.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// handle answers every request.
func (w *Watchdog) handle(ctx *fasthttp.RequestCtx) {
	switch string(ctx.URI().PathOriginal()) {
	case "/_/health":
		w.health(ctx)
		return
	case "/_/ready":
		if w.cfg.Mode != Classic && w.probe(ctx) {
			return
		}
	}
	if n := w.inflight.Add(1); w.cfg.MaxInflight > 0 && n > int64(w.cfg.MaxInflight) {
		w.inflight.Add(-1)
		w.refuse(ctx)
		return
	}
	w.exchange(ctx)
}

// exchange lets the function answer. A panic ends the request alone.
func (w *Watchdog) exchange(ctx *fasthttp.RequestCtx) {
	x := newExchange(w, ctx)
	defer func() {
		if v := recover(); v != nil {
			w.log.printf("panic: %v\n%s", v, debug.Stack())
			x.fail(http.StatusInternalServerError, "internal error: the log says more\n")
			x.end()
		}
	}()
	if !w.mode.serve(x) {
		x.end()
	}
}

// health answers whether requests are taken: OpenFaaS' probe.
func (w *Watchdog) health(ctx *fasthttp.RequestCtx) {
	switch {
	case string(ctx.Method()) != http.MethodGet:
		ctx.SetStatusCode(http.StatusMethodNotAllowed)
	case w.accepts():
		ctx.SetBodyString("OK")
	default:
		ctx.SetStatusCode(http.StatusServiceUnavailable)
	}
}

// accepts reports whether requests are taken. Anybody may remove the lock file
// to have the function taken out.
func (w *Watchdog) accepts() bool {
	if !w.healthy.Load() {
		return false
	}
	if w.cfg.LockFile == "" {
		return true
	}
	_, err := os.Stat(w.cfg.LockFile)
	return err == nil
}

// probe answers whether one more request could be taken. It reports false if
// the function itself has to say, on its ready path.
func (w *Watchdog) probe(ctx *fasthttp.RequestCtx) bool {
	switch {
	case string(ctx.Method()) != http.MethodGet:
		ctx.SetStatusCode(http.StatusMethodNotAllowed)
	case !w.accepts() || !w.mode.able():
		ctx.SetStatusCode(http.StatusServiceUnavailable)
	case w.cfg.MaxInflight > 0 && w.inflight.Load() >= int64(w.cfg.MaxInflight):
		w.refuse(ctx)
	case w.cfg.ReadyPath != "":
		ctx.Request.SetRequestURI(w.cfg.ReadyPath)
		w.inflight.Add(1)
		w.exchange(ctx)
	}
	return true
}

// refuse answers a request above the limit, in OpenFaaS' words.
func (w *Watchdog) refuse(ctx *fasthttp.RequestCtx) {
	begin := time.Now()
	ctx.SetStatusCode(http.StatusTooManyRequests)
	ctx.SetContentType("text/plain")
	ctx.Response.Header.Set(headerInternal, "faas-middleware")
	ctx.SetBodyString(fmt.Sprintf("Concurrent request limit exceeded. Max concurrent requests: %d\n", w.cfg.MaxInflight))
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	if ctx.Request.IsBodyStream() {
		ctx.SetConnectionClose()
		http1.Linger(ctx.Conn())
	}
	w.metrics.observe(string(ctx.Method()), http.StatusTooManyRequests, time.Since(begin))
}

// headerInternal marks what is not the function's own answer.
const headerInternal = "X-Openfaas-Internal"
