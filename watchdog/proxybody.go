package watchdog

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/gateway/http1"
)

// wholeAnswer is the largest body, in bytes, that is read before it is sent.
const wholeAnswer = 16 << 10

// answer sends the body of the answer, as it comes unless it is small.
func (p *proxying) answer(x *exchange, c *upstreamConn, f *feed) (later bool) {
	h := &x.Response.Header
	length, status := h.ContentLength(), h.StatusCode()
	b := &proxyBody{x: x, p: p, c: c, feed: f, keep: !h.ConnectionClose() && length != -2}
	clean(h)
	if !f.isDone() {
		x.SetConnectionClose() // the function may not read to the end
	}
	switch {
	case x.method == http.MethodHead, status == http.StatusNoContent, status == http.StatusNotModified:
		x.Response.SkipBody = true
		b.err = io.EOF
		b.release()
		return false
	case length >= 0 && length <= wholeAnswer:
		body := make([]byte, length)
		if _, err := io.ReadFull(c.r, body); err != nil {
			c.Close()
			f.stop(x)
			p.fail(x, err)
			return false
		}
		x.SetBody(body)
		b.err = io.EOF
		b.release()
		return false
	case length >= 0:
		b.r, b.left = io.LimitReader(c.r, int64(length)), int64(length)
	case length == -1:
		b.r, b.chunked = httputil.NewChunkedReader(c.r), true
	default:
		b.r = c.r
	}
	x.SetBodyStream(b, max(length, -1))
	x.Response.ImmediateHeaderFlush = true
	return true
}

// clean takes from a header what belongs to the hop behind us.
func clean(h *fasthttp.ResponseHeader) {
	named := string(h.Peek(fasthttp.HeaderConnection))
	h.ResetConnectionClose()
	var gone []string
	for name := range h.All() {
		if n := string(name); n != fasthttp.HeaderContentLength && endsHere(name, named) {
			gone = append(gone, n)
		}
	}
	for _, name := range gone {
		h.Del(name)
	}
}

// proxyBody is the body of an answer on its way.
type proxyBody struct {
	x       *exchange
	p       *proxying
	c       *upstreamConn
	feed    *feed
	r       io.Reader
	left    int64 // of a body with a length
	chunked bool
	keep    bool // the connection may be used again
	err     error
}

// Read gives what has come. An end before the end is an error, which cuts the
// answer.
func (b *proxyBody) Read(buf []byte) (int, error) {
	if b.x.sent < 0 {
		b.x.sent = 0
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(buf)
	b.x.sent += int64(n)
	if b.left > 0 {
		if b.left -= int64(n); b.left > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	if err == io.EOF && b.chunked {
		err = endOfChunks(b.c.r)
	}
	if err != nil && err != io.EOF {
		b.p.w.log.printf("the function's answer was cut: %v", err)
	}
	b.err = err
	if n > 0 {
		return n, nil
	}
	return 0, b.err
}

// endOfChunks reads past the trailer.
func endOfChunks(r *bufio.Reader) error {
	for range 100 {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return errors.Join(io.ErrUnexpectedEOF, err)
		}
		if len(line) <= 2 {
			return io.EOF
		}
	}
	return io.ErrUnexpectedEOF
}

// Close ends the exchange.
func (b *proxyBody) Close() error {
	b.release()
	b.x.end()
	return nil
}

// release gives the connection back. It is used again if both messages ended.
func (b *proxyBody) release() {
	whole := b.err == io.EOF || b.r != nil && b.left == 0 && !b.chunked && b.keep
	sent := b.feed.stop(b.x)
	if whole && sent && b.keep {
		b.p.pool.put(b.c)
	} else {
		b.c.Close()
	}
	if !sent {
		b.x.leaveBody()
	}
}

// feed is a request's body on its way to the function.
type feed struct {
	c    *upstreamConn
	done chan struct{}
	all  bool // was read and written
}

// copy writes a body of a length, or in chunks if that is -1.
func (f *feed) copy(body io.Reader, length int) {
	defer close(f.done)
	c := f.c
	buf := make([]byte, 16<<10)
	var total int
	for {
		n, err := body.Read(buf)
		if total += n; n > 0 && writePart(c, buf[:n], length) != nil {
			return
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
	}
	if length < 0 {
		c.w.WriteString("0\r\n\r\n")
	}
	f.all = c.w.Flush() == nil && (length < 0 || total == length)
}

// writePart writes and flushes one part of a body.
func writePart(c *upstreamConn, part []byte, length int) error {
	if length < 0 {
		c.w.WriteString(strconv.FormatInt(int64(len(part)), 16) + "\r\n")
	}
	c.w.Write(part)
	if length < 0 {
		c.w.WriteString("\r\n")
	}
	return c.w.Flush()
}

// isDone reports whether all was sent, or very nearly.
func (f *feed) isDone() bool {
	if f == nil {
		return true
	}
	soon := time.NewTimer(time.Millisecond)
	defer soon.Stop()
	select {
	case <-f.done:
		return f.all
	case <-soon.C:
		return false
	}
}

// stop waits for the end of feeding, and ends it if it waits for the client or
// the function. It reports whether all was sent.
func (f *feed) stop(x *exchange) bool {
	if f == nil {
		return true
	}
	soon := time.NewTimer(feedDelay)
	defer soon.Stop()
	select {
	case <-f.done:
		return f.all
	case <-soon.C:
	}
	http1.Finish(x.Conn())
	f.c.Close()
	<-f.done
	return false
}
