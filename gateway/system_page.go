package gateway

import (
	"io/fs"
	"net/http"
	"path"

	"github.com/valyala/fasthttp"

	"hearth/backends"
	"hearth/gateway/ui"
)

// pagePolicy lets the page use its own files and the gateway's API, and no
// other page put it in a frame.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// home leads to the page. The answer is not cached: it may lead elsewhere in
// a later version.
func (s *system) home(c *call) error {
	c.SetStatusCode(http.StatusFound)
	c.Response.Header.Set(fasthttp.HeaderLocation, "/ui/")
	c.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	return nil
}

// page answers one file of the page.
func (s *system) page(c *call) error {
	name := c.name
	if name == "" {
		name = "index.html"
	}
	content, err := fs.ReadFile(ui.Files(), name)
	if err != nil {
		return backends.Errorf(backends.ErrNotFound, "404 page not found")
	}
	h := &c.Response.Header
	h.SetContentType(mimeType(name))
	h.Set(fasthttp.HeaderContentSecurityPolicy, pagePolicy)
	h.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	h.Set(fasthttp.HeaderReferrerPolicy, "no-referrer")
	h.Set(fasthttp.HeaderCacheControl, "no-cache")
	c.SetBody(content)
	return nil
}

// mimeType does not ask the machine's table, which may say anything.
func mimeType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	}
	return "application/octet-stream"
}
