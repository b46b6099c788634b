package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"
	"unsafe"

	"hearth/gateway/http1"
)

// transit is one call on its way through the gateway, from its route to its
// last byte. It is pooled; end gives it back. An answer that a replica streams
// is read from it by the server after the handler has returned.
type transit struct {
	g      *Gateway
	r      *route
	call   *http1.Call
	queue  time.Duration                 // waited for a turn and a replica
	line   func(name, value []byte) bool // writeLine, made once
	status int

	bodyRead bool

	counted, entered bool // in the process' and the function's calls in flight

	up        *upstream
	link      *link
	upgrade   bool // the client asks to change the protocol
	reuse     bool // the connection can carry another call
	streams   bool // the server reads the answer's body from the transit
	framing   framing
	left      int64      // bytes of the body, or of the chunk
	inBody    bool       // a chunk was read, its line end was not
	done      bool       // the body was read to its end
	uploading chan error // gets what ended the upload; nil if there is none
}

// framing is how the end of a body is known.
type framing uint8

const (
	byLength framing = iota
	byChunks
	byClose
)

var transits = sync.Pool{New: func() any {
	x := &transit{}
	x.line = x.writeLine
	return x
}}

// end counts the call and gives everything back.
func (x *transit) end() {
	if x.status == 200 && x.call.Err() == context.Canceled {
		x.status = statusClientGone
	}
	took := time.Since(x.call.Request.Start)
	x.r.note(x.status, took)
	if x.g.cfg.CallLog {
		x.log(took)
	}
	if x.entered {
		x.r.gate.leave()
	}
	if x.counted {
		x.g.total.inflight.Add(-1)
	}
	x.r.inflight.Add(-1)
	x.call.Release()
	*x = transit{line: x.line}
	transits.Put(x)
}

// log writes the line of the call. The method and the id are the client's, cut
// and checked by the guard and by Acquire; they live until the call is released.
func (x *transit) log(took time.Duration) {
	req := &x.call.Request
	x.g.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "call",
		slog.String("function", x.r.name), slog.String("method", textOf(req.Method)), slog.Int("status", x.status),
		slog.Duration("took", took), slog.String("id", textOf(req.CallID)))
}

// textOf is b as a string, which must not outlive it.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// errTruncated ends an answer whose replica did not end it: the server closes
// the client's connection on it, so that nobody takes it for whole.
var errTruncated = errors.New("the function's answer was cut")

// Read gives the next bytes of the answer's body.
func (x *transit) Read(p []byte) (n int, err error) {
	if x.framing == byChunks && x.left == 0 && !x.done {
		if err := x.nextChunk(); err != nil {
			return 0, errTruncated
		}
	}
	if x.done || x.framing == byLength && x.left == 0 {
		x.done = true
		return 0, io.EOF
	}
	if x.framing != byClose && int64(len(p)) > x.left {
		p = p[:x.left]
	}
	if n, err = x.fill(p); n > 0 {
		if x.framing != byClose {
			x.left -= int64(n)
		}
		return n, nil
	}
	if x.framing == byClose && err == io.EOF {
		x.done = true
		return 0, io.EOF
	}
	return 0, errTruncated
}

// fill reads what has come, or waits for more as long as the function may be
// silent.
func (x *transit) fill(p []byte) (int, error) {
	l := x.link
	if l.r.Buffered() == 0 {
		if err := l.readBy(time.Now().Add(x.r.target.Load().policy.Timeout)); err != nil {
			return 0, err
		}
		if x.call.Err() == context.Canceled { // readBy may have come after Canceled
			return 0, context.Canceled
		}
	}
	return l.r.Read(p)
}

// WriteTo sends a body of known length, each piece when it comes.
func (x *transit) WriteTo(w io.Writer) (total int64, err error) {
	flusher, _ := w.(interface{ Flush() error })
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		n, err := x.Read(buf[:])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
			if flusher != nil && x.left > 0 && x.link.r.Buffered() == 0 {
				if err := flusher.Flush(); err != nil {
					return total, err
				}
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// nextChunk reads up to the next chunk's data, or to the body's end.
func (x *transit) nextChunk() error {
	if x.inBody {
		if line, err := x.readLine(); err != nil {
			return err
		} else if len(line) > 0 {
			return errTruncated
		}
	}
	line, err := x.readLine()
	if err != nil {
		return err
	}
	size, ok := http1.ChunkSize(line)
	if !ok {
		return errTruncated
	}
	x.left, x.inBody = size, true
	if size > 0 {
		return nil
	}
	for trailers := 0; ; trailers += len(line) {
		if line, err = x.readLine(); err != nil {
			return err
		}
		if len(line) == 0 {
			x.done = true
			return nil
		}
		if bytes.IndexByte(line, ':') <= 0 || trailers > linkBuffer {
			return errTruncated
		}
	}
}

// readLine reads a line without its end, CR LF.
func (x *transit) readLine() ([]byte, error) {
	if x.link.r.Buffered() == 0 { // wait under the deadline of silence
		if err := x.link.readBy(time.Now().Add(x.r.target.Load().policy.Timeout)); err != nil {
			return nil, err
		}
	}
	line, err := x.link.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return nil, errTruncated
	}
	return line[:len(line)-2], nil
}

// Close ends the answer: the server has sent it, or given up.
func (x *transit) Close() error {
	if !x.done && x.left == 0 && x.framing == byLength {
		x.done = true
	}
	if !x.done {
		x.reuse = false
		if x.call.Err() != context.Canceled {
			x.g.total.truncated.Add(1)
		}
	}
	x.hangUp()
	x.end()
	return nil
}

// upload sends the body while the answer may already come. The goroutine ends
// with the body, or when stopUpload ends both its connections.
func (x *transit) upload(body io.Reader, chunked bool, silence time.Duration) {
	ended := make(chan error, 1)
	x.uploading = ended
	l, client := x.link, x.call.HTTP.Conn()
	l.till = time.Time{}
	l.Conn.SetReadDeadline(l.till) // waiting for the answer begins when the body is sent
	go func() {
		err := l.w.Flush()
		if err == nil {
			err = pump(l, client, body, chunked, silence)
		}
		if err == nil {
			err = l.Conn.SetReadDeadline(time.Now().Add(silence)) // for the answer to begin
		} else {
			l.Conn.SetDeadline(time.Unix(1, 0)) // nobody may take it for whole
		}
		ended <- err
	}()
}

// uploadEnded tells whether nothing is left to send.
func (x *transit) uploadEnded() bool {
	if x.uploading == nil {
		return true
	}
	const patience = 5 * time.Millisecond // its last bytes are sent, it only has to say so
	select {
	case err := <-x.uploading:
		x.uploading = nil
		x.link.till = time.Time{}
		return err == nil
	case <-time.After(patience):
		return false
	}
}

// stopUpload ends an upload that goes on and gives what the client did wrong.
func (x *transit) stopUpload() error {
	if x.uploading == nil {
		return nil
	}
	x.link.SetDeadline(time.Unix(1, 0))
	http1.Interrupt(x.call.HTTP.Conn())
	http1.Linger(x.call.HTTP.Conn())
	err := <-x.uploading
	x.uploading, x.reuse = nil, false
	var body *bodyError
	if errors.As(err, &body) {
		return body
	}
	return nil
}
