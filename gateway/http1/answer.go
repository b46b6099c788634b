package http1

import (
	"bytes"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
)

// answer is the backends.Response of a call: it writes into the server's own
// response.
type answer struct {
	resp    *fasthttp.Response
	limit   int64
	status  int  // a status that is none, as the function gave it
	invalid bool // it gave one
}

// SetStatus sets the status; one outside 200 to 599 makes the answer invalid.
func (a *answer) SetStatus(code int) {
	if code < 200 || code > 599 {
		a.status, a.invalid = code, true
		return
	}
	a.invalid = false
	a.resp.SetStatusCode(code)
}

// InvalidStatus gives a status that the function set and that is none.
func (a *answer) InvalidStatus() (code int, invalid bool) { return a.status, a.invalid }

// SetHeader replaces all lines of that name. Lines that belong to the hop,
// frame the message or could not be sent are left out.
func (a *answer) SetHeader(name, value []byte) {
	if mayAnswer(name, value) {
		a.resp.Header.SetBytesKV(name, value)
	}
}

// AddHeader appends a line, under the same rules as SetHeader.
func (a *answer) AddHeader(name, value []byte) {
	if mayAnswer(name, value) {
		a.resp.Header.AddBytesKV(name, value)
	}
}

// Write appends to the body. ErrTooLarge above the limit.
func (a *answer) Write(p []byte) (int, error) {
	if a.limit > 0 && int64(len(a.resp.Body()))+int64(len(p)) > a.limit {
		return 0, backends.Errorf(backends.ErrTooLarge, "answer: more than the %d bytes allowed", a.limit)
	}
	a.resp.AppendBody(p)
	return len(p), nil
}

// mayAnswer tells whether a function may send a header line to the client.
func mayAnswer(name, value []byte) bool {
	for _, b := range value {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	if !isToken(name) {
		return false
	}
	var canonical [32]byte
	if len(name) > len(canonical) {
		return true
	}
	upper := true
	for i, b := range name {
		if upper && b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		} else if !upper && b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		canonical[i], upper = b, b == '-'
	}
	switch string(canonical[:len(name)]) {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Date":
		return false
	}
	return true
}

// isToken tells whether a name is a token of RFC 9110 section 5.6.2.
func isToken(name []byte) bool {
	for _, b := range name {
		if !tokenByte[b] {
			return false
		}
	}
	return len(name) > 0
}

// tokenByte is true for the bytes of a token.
var tokenByte = bytesOf("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

// Discard forgets what was written.
func (c *Call) Discard() {
	c.resp.Reset()
	c.resp.Header.SetNoDefaultContentType(true)
	c.invalid = false
}

// Stamp adds the gateway's own headers to the answer: the id, when the call
// began, and how long it waited, started and ran. Those that the function set
// stay, but for the id.
func (c *Call) Stamp(queue time.Duration, servedBy []byte) {
	h := &c.resp.Header
	h.SetCanonical(nameCallID, c.Request.CallID)
	if len(h.PeekCanonical(nameStartTime)) == 0 {
		h.SetCanonical(nameStartTime, strconv.AppendInt(c.startTime[:0], c.Request.Start.UnixNano(), 10))
	}
	if len(servedBy) > 0 {
		h.SetCanonical(nameServedBy, servedBy)
	}
	p := c.Request.Phases
	b := appendMillis(append(c.scratch[:0], "queue;dur="...), queue)
	b = appendMillis(append(b, ", start;dur="...), p.Start)
	b = appendMillis(append(b, ", run;dur="...), p.Run)
	h.SetCanonical(nameServerTiming, b)
	c.scratch = b
}

// Complete adds what the answer of a function without an HTTP server of its
// own lacks: how long it ran, and a type, which is that of the request as it
// was with OpenFaaS' watchdogs, or plain text.
func (c *Call) Complete() {
	h := &c.resp.Header
	if len(h.PeekCanonical(nameDuration)) == 0 {
		us := max(c.Request.Phases.Run, 0).Microseconds()
		b := append(strconv.AppendInt(c.scratch[:0], us/1e6, 10), '.')
		for unit := int64(1e5); unit > 0; unit /= 10 {
			b = append(b, byte('0'+us/unit%10))
		}
		h.SetCanonical(nameDuration, b)
		c.scratch = b
	}
	if len(h.ContentType()) == 0 && len(c.resp.Body()) > 0 {
		t := c.HTTP.Request.Header.ContentType()
		if len(t) == 0 || bytes.HasPrefix(t, formType) || bytes.HasPrefix(t, multipartType) {
			t = plainText
		}
		h.SetContentTypeBytes(t)
	}
}

var (
	nameDuration     = []byte("X-Duration-Seconds")
	formType         = []byte("application/x-www-form-urlencoded")
	multipartType    = []byte("multipart/")
	plainText        = []byte("text/plain; charset=utf-8")
	nameServedBy     = []byte("X-Served-By")
	nameServerTiming = []byte("Server-Timing")
)

// appendMillis appends milliseconds with three decimals.
func appendMillis(b []byte, d time.Duration) []byte {
	us := max(d, 0).Microseconds()
	b = append(strconv.AppendInt(b, us/1000, 10), '.')
	return append(b, byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}
