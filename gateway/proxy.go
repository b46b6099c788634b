package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
)

const (
	// inlineBody is the largest body that is sent together with its head.
	inlineBody = 8 << 10
	// connectFor is how long a call looks for a replica that can be connected
	// to while the table says that there is one.
	connectFor = 3 * time.Second
	maxInterim = 8 // answers with a status of 1xx before the real one
)

// errUpstream is the kind of errors of the way to a replica.
var errUpstream = errors.New("no answer")

// forward sends the call to a replica and begins its answer. Another replica
// is tried only as long as no byte of the call was sent to the one before.
func (x *transit) forward(t *target) error {
	till := time.Now().Add(connectFor)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		err := x.try(t)
		if err == nil || !errors.Is(err, errNotSent) {
			return err
		}
		if x.call.Err() == context.Canceled {
			return backends.ErrCanceled
		}
		if errors.Is(err, errAllBusy) {
			till, _ = x.call.Deadline() // a place will become free, unlike a replica that is gone
		}
		if time.Now().After(till) {
			if errors.Is(err, errAllBusy) {
				return errQueueSlow
			}
			return backends.Errorf(errUpstream, "function %s cannot be reached: %v", x.r.key, err)
		}
		select {
		case <-time.After(pause):
		case <-x.call.Done():
		}
		if t, err = x.g.ready(x.call, x.r); err != nil {
			return err
		}
		if t.Handler != nil {
			return backends.ErrGone // nothing ran; the function is in this process now
		}
	}
}

// errNotSent is the kind of errors after which nothing of the call was sent.
var (
	errNotSent = errors.New("not sent")
	errAllBusy = backends.Errorf(errNotSent, "all replicas are busy")
)

// try sends the call to one replica after the other until one takes it.
func (x *transit) try(t *target) error {
	err := errAllBusy
	for range t.upstreams {
		u := pick(t.upstreams, t.policy.MaxInflight)
		if u == nil {
			return err
		}
		var l *link
		if l, err = u.get(x.call); err == nil {
			x.up, x.link = u, l
			if err = x.send(t.policy.Timeout); err == nil {
				return x.receive(t.policy.Timeout)
			}
			sent := l.sent > 0
			x.drop()
			if sent {
				return x.broken(err, "while it was sent the request")
			}
			err = backends.Errorf(errNotSent, "%w", err)
			continue
		}
		u.inflight.Add(-1)
		err = backends.Errorf(errNotSent, "%w", err)
	}
	return err
}

// broken explains what happened to a connection in use.
func (x *transit) broken(err error, when string) error {
	switch {
	case x.call.Err() == context.Canceled:
		return backends.ErrCanceled
	case errors.Is(err, os.ErrDeadlineExceeded) || err == fasthttp.ErrTimeout:
		return backends.ErrDeadline
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || err == errTruncated:
		return backends.Errorf(errUpstream, "function %s closed the connection %s", x.r.key, when)
	}
	return backends.Errorf(errUpstream, "function %s broke the connection %s: %v", x.r.key, when, err)
}

// send writes the call: at once if it is small, else its body by a goroutine
// that ends with the transit, so that a function may answer while it reads.
func (x *transit) send(timeout time.Duration) error {
	ctx := x.call.HTTP
	w, req, h := x.link.w, &x.call.Request, &ctx.Request.Header
	w.Write(req.Method)
	w.WriteByte(' ')
	w.WriteString(x.up.endpoint.Prefix)
	w.Write(req.Path)
	if len(req.Query) > 0 {
		w.WriteByte('?')
		w.Write(req.Query)
	}
	w.WriteString(" HTTP/1.1\r\nHost: ")
	w.WriteString(x.up.host)
	w.WriteString("\r\n")
	x.call.Visit(x.line)
	if x.upgrade = h.ConnectionUpgrade() && len(h.Peek(fasthttp.HeaderUpgrade)) > 0; x.upgrade {
		w.WriteString("Connection: Upgrade\r\nUpgrade: ")
		w.Write(h.Peek(fasthttp.HeaderUpgrade))
		w.WriteString("\r\n")
	}
	length, stream := h.ContentLength(), ctx.RequestBodyStream()
	switch {
	case length >= 0:
		w.WriteString("Content-Length: ")
		w.Write(strconv.AppendInt(w.AvailableBuffer(), int64(length), 10))
		w.WriteString("\r\n\r\n")
	case stream != nil:
		w.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	default:
		w.WriteString("\r\n")
	}
	x.call.Watch(x) // from here on the connection ends with the call
	if stream != nil && length != 0 && (length < 0 || length > inlineBody) {
		x.upload(stream, length < 0, timeout)
		return nil
	}
	if stream != nil && length > 0 {
		body, err := x.call.ReadBody(inlineBody, "")
		if err != nil {
			return &bodyError{err}
		}
		w.Write(body)
	}
	return w.Flush()
}

// writeLine writes a header line of the client.
func (x *transit) writeLine(name, value []byte) bool {
	if string(name) == fasthttp.HeaderContentLength {
		return true
	}
	w := x.link.w
	w.Write(name)
	w.WriteString(": ")
	w.Write(value)
	w.WriteString("\r\n")
	return true
}

// Canceled ends waiting for the replica because the client went away.
func (x *transit) Canceled() { x.link.SetDeadline(time.Unix(1, 0)) }

// receive reads the head of the answer, and its body if that has come with it.
// Else the body is left to the server, which reads it as it sends it.
func (x *transit) receive(timeout time.Duration) error {
	ctx, l := x.call.HTTP, x.link
	closing := ctx.Response.ConnectionClose()
	h := &ctx.Response.Header
	if x.uploading == nil {
		if err := l.readBy(time.Now().Add(timeout)); err != nil {
			return x.cut(err)
		}
	}
	for range maxInterim {
		if err := readHead(l, h); err != nil {
			return x.cut(err)
		}
		if code := h.StatusCode(); code >= 200 || code == http.StatusSwitchingProtocols {
			break
		}
	}
	code := h.StatusCode()
	if code == http.StatusSwitchingProtocols && x.upgrade {
		return x.switched()
	}
	if code < 200 || code > 599 {
		x.drop()
		return backends.Errorf(errAnswer, "function %s answered with status %d, which is none here", x.r.key, code)
	}
	x.reuse = x.uploadEnded()
	x.frame(h.ContentLength())
	if cleanAnswer(h) {
		x.reuse = false
	}
	if closing || x.uploading != nil {
		h.SetConnectionClose()
	}
	return x.begin(ctx)
}

// readHead reads the head of an answer. fasthttp's parser would take an empty
// line before it, and a status of 000 for 200.
func readHead(l *link, h *fasthttp.ResponseHeader) error {
	start, err := l.r.Peek(len("HTTP/1.1 200"))
	if err != nil {
		return err
	}
	if version := start[:len("HTTP/1.1 ")]; !bytes.Equal(version, []byte("HTTP/1.1 ")) && !bytes.Equal(version, []byte("HTTP/1.0 ")) || start[len(version)] == '0' {
		return errors.New("its answer is not HTTP/1")
	}
	return h.Read(l.r)
}

// frame notes how the answer's body ends.
func (x *transit) frame(length int) {
	code := x.call.HTTP.Response.StatusCode()
	switch {
	case string(x.call.Request.Method) == http.MethodHead || code == http.StatusNoContent || code == http.StatusNotModified:
		x.left, x.framing = 0, byLength
	case length >= 0:
		x.left, x.framing = int64(length), byLength
	case length == -1:
		x.left, x.framing = 0, byChunks
	default:
		x.left, x.framing, x.reuse = 0, byClose, false
	}
}

// begin gives the body to the server.
func (x *transit) begin(ctx *fasthttp.RequestCtx) error {
	resp := &ctx.Response
	if x.framing == byLength && x.left <= int64(x.link.r.Buffered()) {
		if x.left > 0 {
			b, err := x.link.r.Peek(int(x.left))
			if err != nil {
				return x.cut(err)
			}
			resp.SetBody(b)
			x.link.r.Discard(len(b))
		}
		x.left = 0
		x.hangUp()
		return nil
	}
	if x.framing == byChunks && x.link.r.Buffered() > 0 {
		if err := x.nextChunk(); err != nil { // while it can still be said
			return x.cut(err)
		}
	}
	if x.framing != byLength && !ctx.Request.Header.IsHTTP11() {
		return x.collect(resp) // HTTP/1.0 knows no chunks
	}
	size := -1
	if x.framing == byLength {
		size = int(x.left)
	}
	resp.ImmediateHeaderFlush = x.link.r.Buffered() == 0
	resp.SetBodyStream(x, size)
	x.streams = true
	return nil
}

// collect reads a whole body of unknown length.
func (x *transit) collect(resp *fasthttp.Response) error {
	most := x.g.cfg.MaxAnswer
	body, err := io.ReadAll(io.LimitReader(x, most+1))
	if err != nil {
		return x.cut(err)
	}
	if int64(len(body)) > most {
		x.drop()
		return backends.Errorf(backends.ErrTooLarge, "answer of unknown length to a client of HTTP/1.0: more than the %d bytes allowed", most)
	}
	resp.SetBody(body)
	x.hangUp()
	return nil
}

// cut ends the transit before its answer began.
func (x *transit) cut(err error) error {
	if x.uploading != nil {
		x.call.HTTP.SetConnectionClose()
		if failed := x.stopUpload(); failed != nil {
			x.drop()
			return failed
		}
	}
	err = x.broken(err, "before it answered")
	x.drop()
	return err
}

// drop closes the connection to the replica.
func (x *transit) drop() {
	x.reuse = false
	x.hangUp()
}

// hangUp ends the use of the replica.
func (x *transit) hangUp() {
	if x.link == nil {
		return
	}
	x.call.Watch(nil)
	x.stopUpload()
	if x.reuse && x.call.Err() != context.Canceled && x.link.r.Buffered() == 0 {
		x.up.put(x.link)
	} else {
		x.link.Close()
	}
	x.up.inflight.Add(-1)
	x.up, x.link = nil, nil
}

// cleanAnswer takes from an answer's head what belongs to the hop to the
// replica. closes tells whether the replica closes the connection.
func cleanAnswer(h *fasthttp.ResponseHeader) (closes bool) {
	h.SetNoDefaultContentType(true)
	h.SetProtocol(protocol11)
	var found, named bool
	for name := range h.All() {
		switch string(name) {
		case fasthttp.HeaderConnection:
			found, named = true, true
		case fasthttp.HeaderKeepAlive, fasthttp.HeaderProxyConnection, fasthttp.HeaderUpgrade, fasthttp.HeaderTE, fasthttp.HeaderTrailer, fasthttp.HeaderProxyAuthenticate:
			found = true
		}
	}
	if !found {
		return false
	}
	if named {
		for _, name := range bytes.Split(bytes.Clone(h.Peek(fasthttp.HeaderConnection)), []byte(",")) {
			name = bytes.TrimSpace(name)
			if closes = closes || bytes.EqualFold(name, []byte("close")); !bytes.EqualFold(name, []byte(fasthttp.HeaderContentLength)) {
				h.DelBytes(name)
			}
		}
	}
	for _, name := range [...]string{fasthttp.HeaderConnection, fasthttp.HeaderKeepAlive, fasthttp.HeaderProxyConnection, fasthttp.HeaderUpgrade,
		fasthttp.HeaderTE, fasthttp.HeaderTrailer, fasthttp.HeaderProxyAuthenticate} {
		h.Del(name)
	}
	return closes
}

var protocol11 = []byte("HTTP/1.1")
