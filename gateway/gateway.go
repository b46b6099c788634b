package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
	"hearth/gateway/http1"
)

// Gateway serves the API and the functions. Make one with New.
type Gateway struct {
	cfg      Config
	table    *table
	system   *system
	server   *fasthttp.Server
	metrics  *http.Server
	calls    http1.Options
	servedBy []byte // X-Served-By
	total    *gatewayCounts
	waker    *waker
	draining atomic.Bool
	tunnels  tunnels

	mu        sync.Mutex
	listeners []*http1.Listener
}

// New makes a gateway; it listens to nothing before Serve. ErrInvalid if cfg
// lacks something.
func New(cfg Config) (*Gateway, error) {
	if cfg.Backend == nil || cfg.Logger == nil || cfg.Registry == nil {
		return nil, backends.Errorf(backends.ErrInvalid, "gateway: Backend, Logger and Registry must be given")
	}
	g := &Gateway{cfg: cfg, table: newTable(cfg.Call, cfg.Scale), servedBy: []byte("hearth/" + cmp.Or(cfg.Version.Release, "dev"))}
	g.calls.Answer = cfg.MaxAnswer
	if len(cfg.TrustedProxies) > 0 {
		g.calls.Trusted = g.trusts
	}
	g.system = newSystem(cfg, g.table.invocations)
	g.server = newServer(cfg, g)
	collector := newMetrics(g.table)
	if err := cfg.Registry.Register(collector); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.total = &collector.total
	g.waker = newWaker(cfg.Backend, g.total)
	g.metrics = &http.Server{Handler: g.metricsHandler(), ReadHeaderTimeout: cfg.HeaderTimeout}
	return g, nil
}

// Table is the routing table that the backend's Watch feeds.
func (g *Gateway) Table() backends.Table { return g.table }

// Handler answers every request of the main listener.
func (g *Gateway) Handler() fasthttp.RequestHandler { return g.handle }

// Limits of the HTTP server that nobody has needed to change.
const (
	maxConnections = 64 << 10
	streamFrom     = 16 << 10 // bytes of a body that are read before the handler runs
)

// newServer sets the server up. fasthttp has no timeouts, logs headers and
// names itself unless told otherwise.
func newServer(cfg Config, g *Gateway) *fasthttp.Server {
	return &fasthttp.Server{
		Handler: g.handle, HeaderReceived: g.headerReceived, ExpectHandler: g.expect,
		Logger: serverLog{cfg.Logger}, SecureErrorLogMessage: true,
		ReadTimeout: cfg.HeaderTimeout, IdleTimeout: cfg.IdleTimeout, ErrorHandler: g.badRequest,
		ReadBufferSize: http1.HeadBuffer, Concurrency: maxConnections,
		StreamRequestBody: true, MaxRequestBodySize: streamFrom, DisablePreParseMultipartForm: true,
		NoDefaultServerHeader: true, NoDefaultContentType: true, CloseOnShutdown: true,
	}
}

// serverLog takes what fasthttp has to say, which is about single connections.
type serverLog struct{ log *slog.Logger }

// Printf implements fasthttp.Logger. An error about a request quotes it, and
// with it what may be a secret: only the text before the quotation is kept.
func (l serverLog) Printf(format string, args ...any) {
	for i, arg := range args {
		if err, ok := arg.(error); ok {
			args[i], _, _ = strings.Cut(err.Error(), `"`)
		}
	}
	l.log.Debug("http server", "message", fmt.Sprintf(format, args...))
}

// Serve serves the API and the functions until Shutdown, then returns nil.
// It closes ln.
func (g *Gateway) Serve(ln net.Listener) error {
	const maxSlack = 500 * time.Millisecond
	guarded := http1.Listen(overTLS(ln, g.cfg.TLS), http1.ListenerOptions{
		WriteTimeout: g.cfg.WriteTimeout, Slack: min(g.cfg.HeaderTimeout/10, g.cfg.IdleTimeout/10, maxSlack),
		Rejected: g.total.rejected,
	})
	g.mu.Lock()
	if g.listeners = append(g.listeners, guarded); len(g.listeners) == 1 {
		g.waker.running.Go(g.reapOn)
	}
	g.mu.Unlock()
	if err := g.server.Serve(guarded); err != nil {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// reapOn closes connections to replicas that nobody needs, until the gateway
// stops.
func (g *Gateway) reapOn() {
	tick := time.NewTicker(idleTime / 4)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			g.table.reap(now)
		case <-g.waker.ctx.Done():
			return
		}
	}
}

// ServeMetrics serves /metrics, /healthz and /readyz until Shutdown, then
// returns nil. It closes ln.
func (g *Gateway) ServeMetrics(ln net.Listener) error {
	if err := g.metrics.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics %s: %w", ln.Addr(), err)
	}
	return nil
}

// letLeave stops accepting connections and gives clients the time to leave by
// themselves: each is told to with the answer to its next call. Closing a
// connection between two calls, as the server does with those that stay, cuts
// the call that is on its way at that moment.
func (g *Gateway) letLeave(ctx context.Context) {
	const most, look = 500 * time.Millisecond, 2 * time.Millisecond
	g.mu.Lock()
	listeners := slices.Clone(g.listeners)
	g.mu.Unlock()
	open := 0
	for _, ln := range listeners {
		ln.Close()
		open += ln.Connections()
	}
	for end := time.Now().Add(most); open > 0 && ctx.Err() == nil && time.Now().Before(end); {
		time.Sleep(look)
		open = 0
		for _, ln := range listeners {
			open += ln.Connections()
		}
	}
}

// Shutdown drains: /readyz says 503, after DrainDelay new connections are
// refused, calls in flight end, and both Serve and ServeMetrics return. If ctx
// ends first, the contexts of calls in flight end and their connections are
// closed; it gives ctx's error then.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.draining.Store(true)
	select {
	case <-time.After(g.cfg.DrainDelay):
	case <-ctx.Done():
	}
	g.letLeave(ctx)
	err := g.server.ShutdownWithContext(ctx)
	g.tunnels.close(ctx.Done())
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ln := range g.listeners {
		if err != nil {
			ln.Abort()
		}
	}
	const last = 2 * time.Second // for handlers to see that their context ended
	for limit := time.Now().Add(last); err != nil && g.server.GetOpenConnectionsCount() > 0 && time.Now().Before(limit); {
		time.Sleep(5 * time.Millisecond)
	}
	for _, ln := range g.listeners {
		ln.Stop()
	}
	g.waker.close()
	g.table.reap(time.Now().Add(2 * idleTime))
	if g.metrics.Shutdown(ctx) != nil { // a scrape in flight is no reason to wait
		g.metrics.Close()
	}
	return err
}
