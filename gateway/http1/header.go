package http1

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"
)

// Headers that the gateway gives to functions and clients.
const (
	HeaderCallID    = "X-Call-Id"
	HeaderStartTime = "X-Start-Time"
)

// Get gives the first value of a name in canonical form as the function sees
// it, nil if absent.
func (c *Call) Get(name string) (value []byte) {
	c.Visit(func(n, v []byte) bool {
		if string(n) == name {
			value = v
			return false
		}
		return true
	})
	return value
}

// Visit calls yield for every header line that the function may see, in the
// order in which the client sent them, and then for those of the gateway. Host
// is not among them: it is a field of the request.
func (c *Call) Visit(yield func(name, value []byte) bool) {
	h := &c.HTTP.Request.Header
	c.scanConnection(h)
	for name, value := range h.AllInOrder() {
		if c.hides(name) {
			continue
		}
		if !yield(name, value) {
			return
		}
	}
	c.visitOwn(h, yield)
}

var (
	nameCallID    = []byte(HeaderCallID)
	nameStartTime = []byte(HeaderStartTime)
	nameForwarded = []byte(fasthttp.HeaderXForwardedFor)
	nameFwdHost   = []byte(fasthttp.HeaderXForwardedHost)
	nameFwdProto  = []byte(fasthttp.HeaderXForwardedProto)
	protoHTTP     = []byte("http")
	protoHTTPS    = []byte("https")
)

// visitOwn yields what the gateway says about the call.
func (c *Call) visitOwn(h *fasthttp.RequestHeader, yield func(name, value []byte) bool) {
	if len(c.forwarded) == 0 {
		c.fillForwarded(h)
	}
	proto := protoHTTP
	if c.HTTP.IsTLS() {
		proto = protoHTTPS
	}
	if c.trusted {
		if v := h.Peek(fasthttp.HeaderXForwardedProto); len(v) > 0 {
			proto = v
		}
	}
	_ = yield(nameCallID, c.Request.CallID) &&
		yield(nameStartTime, strconv.AppendInt(c.startTime[:0], c.Request.Start.UnixNano(), 10)) &&
		yield(nameForwarded, c.forwarded) &&
		yield(nameFwdHost, c.host) &&
		yield(nameFwdProto, proto)
}

// fillForwarded says for whom the call is made. A peer that is not trusted
// cannot have spoken for anybody else.
func (c *Call) fillForwarded(h *fasthttp.RequestHeader) {
	c.host = h.Host()
	if c.trusted {
		if v := h.Peek(fasthttp.HeaderXForwardedFor); len(v) > 0 {
			c.forwarded = append(append(c.forwarded, v...), ", "...)
		}
		if v := h.Peek(fasthttp.HeaderXForwardedHost); len(v) > 0 {
			c.host = v
		}
	}
	c.forwarded = append(c.forwarded, c.Request.RemoteAddr...)
}

// scanConnection notes the headers that Connection names.
func (c *Call) scanConnection(h *fasthttp.RequestHeader) {
	if c.scanned {
		return
	}
	c.scanned = true
	for name, value := range h.AllInOrder() {
		if string(name) != fasthttp.HeaderConnection || bytes.EqualFold(value, []byte("close")) || bytes.EqualFold(value, []byte("keep-alive")) {
			continue
		}
		c.named = append(append(c.named, value...), ',')
	}
}

// hides reports whether a header line ends here. Besides what belongs to the
// hop, these are the names that the gateway gives itself, and their twins with
// underscores, which a function that reads its headers from environment
// variables could not tell from them.
func (c *Call) hides(name []byte) bool {
	if endsHere(name) || len(c.named) > 0 && isNamed(c.named, name) {
		return true
	}
	if bytes.IndexByte(name, '_') < 0 {
		return false
	}
	var twin [32]byte
	if len(name) > len(twin) {
		return false
	}
	upper := true
	for i, b := range name {
		if b == '_' {
			b = '-'
		}
		switch {
		case upper && b >= 'a' && b <= 'z':
			b -= 'a' - 'A'
		case !upper && b >= 'A' && b <= 'Z':
			b += 'a' - 'A'
		}
		twin[i], upper = b, b == '-'
	}
	dashed := twin[:len(name)]
	return endsHere(dashed) || string(dashed) == fasthttp.HeaderContentLength
}

// endsHere tells of a canonical name whether it never goes on to a function:
// RFC 9110 section 7.6.1, what the gateway answers itself, and what it sets.
func endsHere(name []byte) bool {
	switch string(name) {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy", "Host", "Expect",
		"X-Call-Id", "X-Start-Time", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto":
		return true
	}
	return false
}

// isNamed looks for a name in a list with commas, whatever its case.
func isNamed(list, name []byte) bool {
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, []byte(","))
		if bytes.EqualFold(bytes.TrimSpace(one), name) {
			return true
		}
	}
	return false
}
