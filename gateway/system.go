package gateway

import (
	"github.com/valyala/fasthttp"

	"hearth/backends"
)

// system answers every path that is not a call of a function.
type system struct {
	cfg         Config
	invocations func(backends.Key) float64
}

// newSystem makes the API over cfg.Backend. invocations gives how often a
// function has been called since this process began.
func newSystem(cfg Config, invocations func(backends.Key) float64) *system {
	return &system{cfg: cfg, invocations: invocations}
}

// serve answers one request of the API.
func (s *system) serve(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	ctx.Error("404 page not found\n", fasthttp.StatusNotFound)
}
