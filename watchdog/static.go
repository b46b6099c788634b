package watchdog

import (
	"context"
	"net/http"

	"github.com/valyala/fasthttp"
)

// files serves a directory. It lists none: what is not named is not shown.
type files struct{ handler fasthttp.RequestHandler }

func newFiles(w *Watchdog) *files {
	fs := &fasthttp.FS{
		Root: w.cfg.Files, IndexNames: []string{"index.html"}, AcceptByteRange: true, SkipCache: true,
		PathNotFound: func(ctx *fasthttp.RequestCtx) { ctx.Error("404 page not found\n", http.StatusNotFound) },
	}
	return &files{handler: fs.NewRequestHandler()}
}

func (f *files) run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	return nil
}

func (f *files) able() bool { return true }

func (f *files) serve(x *exchange) (later bool) {
	if x.method != http.MethodGet && x.method != http.MethodHead {
		x.SetStatusCode(http.StatusMethodNotAllowed)
		x.Response.Header.Set(fasthttp.HeaderAllow, "GET, HEAD")
		if x.Request.IsBodyStream() {
			x.SetConnectionClose()
		}
		return false
	}
	f.handler(x.RequestCtx)
	x.sent = int64(max(x.Response.Header.ContentLength(), 0))
	return false
}
