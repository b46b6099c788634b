package gateway

import (
	"bytes"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"hearth/backends"
)

// origins decides which web pages may drive the API through the browser of
// somebody who can reach it. Programs that are not browsers send none of the
// headers looked at here and always pass.
type origins struct {
	hosts []string // lower case, without port
	// open says that there are no credentials: then even reading counts, and
	// the lesser signs of a browser are looked at too.
	open bool
}

func newOrigins(allowed []string, open bool) origins {
	o := origins{open: open}
	for _, h := range allowed {
		o.hosts = append(o.hosts, hostname(strings.ToLower(h)))
	}
	return o
}

// check gives an error, to be answered with 403, for a request that a page of
// another site makes, or one whose Host may have been bound by its page's
// author to our address (DNS rebinding).
func (o origins) check(ctx *fasthttp.RequestCtx) error {
	h := &ctx.Request.Header
	origin, site := h.Peek(fasthttp.HeaderOrigin), h.Peek("Sec-Fetch-Site")
	if len(origin) == 0 && len(site) == 0 && !(o.open && looksLikeBrowser(h)) {
		return nil
	}
	host := strings.ToLower(string(h.Host()))
	if !o.allows(host) {
		return &backends.FieldError{Field: "Host", Value: host, Allowed: "from a browser: localhost, an IP address, or one of the allowed hosts of the configuration"}
	}
	if len(origin) > 0 {
		from, err := url.Parse(string(origin))
		if err != nil || from.Host == "" || !sameHost(strings.ToLower(from.Host), host) && !slices.Contains(o.hosts, hostname(strings.ToLower(from.Host))) {
			return &backends.FieldError{Field: "Origin", Value: string(origin), Allowed: "from a browser: pages of this gateway itself or of the allowed hosts of the configuration"}
		}
		return nil
	}
	if s := string(site); s != "" && s != "same-origin" && s != "none" {
		return &backends.FieldError{Field: "Sec-Fetch-Site", Value: s, Allowed: "from a browser: pages of this gateway itself"}
	}
	return nil
}

// allows reports whether a browser may know us by that name. An IP address
// cannot be bound to another one, so any will do.
func (o origins) allows(host string) bool {
	name := hostname(host)
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(o.hosts, name) {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// looksLikeBrowser sees what every browser sends even where it sends neither
// Origin nor Sec-Fetch-Site: with a GET to plain HTTP.
func looksLikeBrowser(h *fasthttp.RequestHeader) bool {
	return len(h.Peek(fasthttp.HeaderAcceptLanguage)) > 0 || len(h.Peek(fasthttp.HeaderReferer)) > 0 ||
		bytes.HasPrefix(h.UserAgent(), []byte("Mozilla/"))
}

// sameHost compares two host:port, where the port that the scheme implies may
// be left out on either side.
func sameHost(a, b string) bool {
	return trimPort(a) == trimPort(b)
}

func trimPort(host string) string {
	return strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":443")
}

// hostname cuts the port, the brackets of an IPv6 address and a final dot off.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}
