package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"

	"hearth/backends"
)

// Gateway serves the API and the functions. Make one with New.
type Gateway struct {
	cfg     Config
	table   *table
	system  *system
	server  *fasthttp.Server
	metrics *http.Server
}

// New makes a gateway; it listens to nothing before Serve. ErrInvalid if cfg
// lacks something.
func New(cfg Config) (*Gateway, error) {
	if cfg.Backend == nil || cfg.Logger == nil || cfg.Registry == nil {
		return nil, backends.Errorf(backends.ErrInvalid, "gateway: Backend, Logger and Registry must be given")
	}
	g := &Gateway{cfg: cfg, table: newTable()}
	g.system = newSystem(cfg, func(backends.Key) float64 { return 0 })
	g.server = &fasthttp.Server{Handler: g.Handler()}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Registry, promhttp.HandlerOpts{}))
	g.metrics = &http.Server{Handler: mux, ReadHeaderTimeout: cfg.HeaderTimeout}
	return g, nil
}

// Table is the routing table that the backend's Watch feeds.
func (g *Gateway) Table() backends.Table { return g.table }

// Handler answers every request of the main listener.
func (g *Gateway) Handler() fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if bytes.HasPrefix(ctx.Path(), []byte("/function/")) {
			ctx.Error("404 page not found\n", fasthttp.StatusNotFound)
			return
		}
		g.system.serve(ctx)
	}
}

// Serve serves the API and the functions until Shutdown, then returns nil.
// It closes ln.
func (g *Gateway) Serve(ln net.Listener) error {
	if err := g.server.Serve(ln); err != nil {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// ServeMetrics serves /metrics, /healthz and /readyz until Shutdown, then
// returns nil. It closes ln.
func (g *Gateway) ServeMetrics(ln net.Listener) error {
	if err := g.metrics.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown drains: calls in flight end, new connections are refused, and both
// Serve and ServeMetrics return. It gives ctx's error if that ends first.
func (g *Gateway) Shutdown(ctx context.Context) error {
	return errors.Join(g.server.ShutdownWithContext(ctx), g.metrics.Shutdown(ctx))
}
