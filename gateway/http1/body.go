package http1

import (
	"errors"
	"io"
	"os"

	"hearth/backends"
)

// keepBody is the largest buffer that a pooled call keeps for the next body.
const keepBody = 64 << 10

// ErrBodyCut is what ReadBody returns when the body did not come to its end:
// the client stopped, went away, or broke the framing.
var ErrBodyCut = errors.New("the request's body ended before its end")

// ReadBody reads the whole body into memory of the call. ErrTooLarge, without
// reading any of it, if it says that it is longer than most bytes, and after
// most bytes if it says nothing; ErrBodyCut if it does not come to its end.
// After any error the connection must be closed: what is unread would be taken
// for a request.
func (c *Call) ReadBody(most int64) ([]byte, error) {
	r := c.HTTP.RequestBodyStream()
	if r == nil {
		return c.HTTP.Request.Body(), nil // of a server that does not stream
	}
	length := int64(c.HTTP.Request.Header.ContentLength())
	if length > most {
		return nil, tooLarge(most)
	}
	b := c.body[:0]
	if need := int(min(length, 1<<20)); cap(b) < need {
		b = make([]byte, 0, need)
	}
	for {
		if len(b) == cap(b) && int64(len(b)) != length {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		c.body = b
		switch {
		case int64(len(b)) > most:
			return nil, tooLarge(most)
		case err == io.EOF || length >= 0 && int64(len(b)) == length:
			if length >= 0 && int64(len(b)) < length || c.conn != nil && c.conn.badBody() {
				return nil, ErrBodyCut
			}
			return b, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, backends.Errorf(ErrBodySlow, "the request's body did not come within its time")
		case err != nil:
			return nil, ErrBodyCut
		}
	}
}

// ErrBodySlow is the kind of the error for a body that did not come in time.
var ErrBodySlow = errors.New("slow body")

func tooLarge(most int64) error {
	return backends.Errorf(backends.ErrTooLarge, "body: more than the %d bytes allowed", most)
}
