package gateway

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"hearth/backends"
	"hearth/gateway/http1"
)

// pump copies a request's body to a replica, each piece when it comes. The
// client may be silent for so long. A *bodyError is the client's fault.
func pump(l *link, client net.Conn, body io.Reader, chunked bool, silence time.Duration) error {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	defer l.Conn.SetWriteDeadline(time.Time{})
	for {
		client.SetReadDeadline(time.Now().Add(silence))
		n, err := body.Read(buf[:])
		if n > 0 {
			l.Conn.SetWriteDeadline(time.Now().Add(silence))
			if err := writePiece(l, buf[:n], chunked); err != nil {
				return err
			}
		}
		rejected := http1.RejectedBody(client)
		switch {
		case rejected != nil && err != nil:
			return &bodyError{rejected}
		case err == io.EOF:
			return endPieces(l, chunked)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return &bodyError{backends.Errorf(http1.ErrBodySlow, "the request's body stopped for %s", silence)}
		case err != nil:
			return &bodyError{http1.ErrBodyCut}
		}
	}
}

func writePiece(l *link, p []byte, chunked bool) error {
	if chunked {
		l.w.Write(strconv.AppendInt(l.w.AvailableBuffer(), int64(len(p)), 16))
		l.w.WriteString("\r\n")
	}
	l.w.Write(p)
	if chunked {
		l.w.WriteString("\r\n")
	}
	return l.w.Flush()
}

func endPieces(l *link, chunked bool) error {
	if chunked {
		l.w.WriteString("0\r\n\r\n")
	}
	return l.w.Flush()
}
