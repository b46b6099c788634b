package watchdog

import (
	"bufio"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzEnvironment maps any header that the server would let in. No variable
// comes twice, none but those of requests is added, none can stop the process
// from starting, and what the platform says is not said by a header.
func FuzzEnvironment(f *testing.F) {
	f.Add("POST /a%20b?x=1 HTTP/1.1\r\nHost: f\r\nX-Two: 1\r\nX-Two: 2\r\nProxy: evil\r\nX_Two: 3\r\n\r\n", true)
	f.Add("GET /%00 HTTP/1.1\r\nHost: f\r\nMethod: DELETE\r\nQuery: q\r\nhTTP_PROXY: x\r\n\r\n", false)
	f.Fuzz(func(t *testing.T, head string, classic bool) {
		var ctx fasthttp.RequestCtx
		ctx.Init(&fasthttp.Request{}, &net.TCPAddr{}, nil)
		if ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(head))) != nil || strings.IndexByte(head, 0) >= 0 {
			return // the guard and the server let none of these in
		}
		ctx.Request.SetRequestURIBytes(ctx.Request.Header.RequestURI())
		w := &Watchdog{cfg: Config{Mode: Streaming, Environ: []string{"OWN=kept", "PATH=/bin"}}}
		if classic {
			w.cfg.Mode, w.cfg.CGI = Classic, true
		}
		x := &exchange{RequestCtx: &ctx, w: w, method: string(ctx.Method())}
		env := x.environment()
		if !slices.Equal(env[:2], w.cfg.Environ) {
			t.Fatalf("the watchdog's own variables became %q", env[:2])
		}
		seen := map[string]bool{}
		for _, pair := range env[2:] {
			name, _, ok := strings.Cut(pair, "=")
			if !ok || !strings.HasPrefix(name, "Http_") || strings.IndexByte(pair, 0) >= 0 {
				t.Errorf("%q is no variable of a request", pair)
			}
			if folded := strings.ToLower(name); seen[folded] && folded != "http_content_length" || folded == "http_proxy" {
				t.Errorf("%q comes again, or must not come", pair)
			} else {
				seen[folded] = true
			}
		}
		if !slices.Contains(env, "Http_Method="+x.method) {
			t.Errorf("no method in %q", env)
		}
	})
}
