package http1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"hearth/backends"
)

const (
	keepBody  = 64 << 10 // bytes of the largest buffer that a pooled call keeps
	spillFrom = 1 << 20  // bytes of a body that stay in memory of the process
)

// ErrBodyCut is what ReadBody returns when the body did not come to its end:
// the client stopped or went away.
var ErrBodyCut = errors.New("the request's body ended before its end")

// ErrBodySlow is the kind of the error for a body that did not come in time.
var ErrBodySlow = errors.New("slow body")

// ReadBody reads the whole body: up to 1 MiB into memory of the call, more into
// an unlinked file in dir that is mapped into memory until Release. ErrTooLarge,
// without reading any of it, if it says that it is longer than most bytes, and
// after most bytes if it says nothing; ErrBodyCut if it does not come to its
// end, a *Rejection if the guard stopped it, ErrBodySlow if not in time, ErrUnavailable if the file cannot be
// written. After any error the connection must be closed: what is unread would
// be taken for a request.
func (c *Call) ReadBody(most int64, dir string) ([]byte, error) {
	r := c.HTTP.RequestBodyStream()
	if r == nil {
		return c.HTTP.Request.Body(), nil // of a server that does not stream
	}
	length := int64(c.HTTP.Request.Header.ContentLength())
	if length > most {
		return nil, tooLarge(most)
	}
	if length > spillFrom {
		return c.spill(r, nil, most, dir)
	}
	b := c.body[:0]
	if need := int(max(length, 512)); cap(b) < need {
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
		case int64(len(b)) == length && (err == nil || err == io.EOF):
			return b, nil
		case err != nil:
			return b, c.bodyEnd(err, length)
		case len(b) > spillFrom:
			return c.spill(r, b, most, dir)
		}
	}
}

// bodyEnd gives what ended reading, nil if it was the body's end.
func (c *Call) bodyEnd(err error, length int64) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return backends.Errorf(ErrBodySlow, "the request's body did not come within its time")
	case c.conn != nil && c.conn.badBody():
		return c.conn.guard.fault
	case err == io.EOF && length < 0:
		return nil
	}
	return ErrBodyCut
}

// spill writes what was read and what is left into a file and maps it.
func (c *Call) spill(r io.Reader, read []byte, most int64, dir string) ([]byte, error) {
	f, err := os.CreateTemp(dir, "body-")
	if err != nil {
		return nil, notStored(err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, notStored(err)
	}
	if _, err := f.Write(read); err != nil {
		return nil, notStored(err)
	}
	total, length := int64(len(read)), int64(c.HTTP.Request.Header.ContentLength())
	if cap(c.body) < keepBody {
		c.body = make([]byte, 0, keepBody)
	}
	buf := c.body[:keepBody] // read is in the file by now
	for total != length {
		n, err := r.Read(buf)
		if total += int64(n); total > most {
			return nil, tooLarge(most)
		}
		if _, err := f.Write(buf[:n]); err != nil {
			return nil, notStored(err)
		}
		if err == io.EOF && total == length {
			break
		}
		if err != nil {
			if err := c.bodyEnd(err, length); err != nil {
				return nil, err
			}
			break
		}
	}
	if c.mapped, err = syscall.Mmap(int(f.Fd()), 0, int(total), syscall.PROT_READ, syscall.MAP_SHARED); err != nil {
		return nil, notStored(err)
	}
	return c.mapped, nil
}

// dropBody gives the body's memory back, but for a buffer of common size.
func (c *Call) dropBody() {
	if c.mapped != nil {
		syscall.Munmap(c.mapped) // fails only for what is not mapped
		c.mapped = nil
	}
	if cap(c.body) > keepBody {
		c.body = nil
	}
}

func tooLarge(most int64) error {
	return backends.Errorf(backends.ErrTooLarge, "body: more than the %d bytes allowed: raise --max-body of the gateway", most)
}

func notStored(err error) error {
	return fmt.Errorf("the request's body cannot be stored: %w", backends.Errorf(backends.ErrUnavailable, "%w", err))
}
