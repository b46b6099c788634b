package http1

import (
	"bytes"
	"net/http"
)

// Rejection is why a request was not let in. There is one value per reason.
type Rejection struct {
	Status int
	Reason string // a word or two, the value of a metric's label
	Text   string // what the client reads
}

// Error implements error.
func (r *Rejection) Error() string { return r.Text }

// guard reads along with the bytes of a connection, before anything parses
// them, and stops it at the first message that two readers could read in two
// ways: RFC 9112 with every leniency it allows taken away. It knows exactly
// where each message ends, so that nothing is taken for a request that is a
// body elsewhere. It allocates only for lines that arrive in pieces.
type guard struct {
	state   guardState
	old     bool // HTTP/1.0
	length  bool // Content-Length came
	chunked bool // Transfer-Encoding came
	host    bool // Host came
	left    int64
	head    int    // bytes of the present head or trailer section
	part    []byte // a line that has begun
	target  []byte // authority of a target in absolute form
	named   []byte // Host, if target is set
	fault   *Rejection
	fresh   bool // the present message began in what was scanned last
}

type guardState uint8

const (
	atRequest   guardState = iota // before the first byte of a message
	inRequest                     // in the request line
	inHeader                      // at a header line
	inBody                        // left bytes of a body with a length
	atChunk                       // at the line of a chunk's size
	inChunk                       // left bytes of a chunk
	afterChunk                    // at the line end after a chunk's data
	inTrailer                     // at a trailer line
	passThrough                   // not HTTP any more
)

// HeadBuffer is the size, in bytes, of the buffer with which a server must
// read under a guard. A request's line and headers together, and likewise its
// trailers, must be shorter.
const HeadBuffer = 16 << 10

// maxChunkLine bounds the line of a chunk's size with its extensions.
const maxChunkLine = 256

// scan reads the next bytes of the connection. begun gives the offset in p of
// the message that is going on at its end, or was when it was rejected; 0 if
// that began earlier. After a rejection nothing is read any more.
func (g *guard) scan(p []byte) (begun int, fault *Rejection) {
	g.fresh = false
	for i := 0; i < len(p) && g.fault == nil; {
		switch g.state {
		case passThrough:
			return 0, nil
		case inBody, inChunk:
			n := min(g.left, int64(len(p)-i))
			i += int(n)
			if g.left -= n; g.left == 0 {
				if g.state == inBody {
					g.reset()
				} else {
					g.state = afterChunk
				}
			}
		default:
			if g.state == atRequest {
				begun, g.state, g.fresh = i, inRequest, true
			}
			end := bytes.IndexByte(p[i:], '\n') + 1
			if end == 0 {
				g.keep(p[i:])
				return begun, g.fault
			}
			line := p[i : i+end]
			if len(g.part) > 0 {
				g.keep(line)
				line = g.part
			} else {
				g.grow(end)
			}
			i += end
			g.line(line)
			g.part = g.part[:0]
		}
	}
	return begun, g.fault
}

// keep holds a piece of a line until the rest comes.
func (g *guard) keep(piece []byte) {
	if g.grow(len(piece)); g.fault == nil {
		g.part = append(g.part, piece...)
	}
}

// grow counts bytes of a head.
func (g *guard) grow(n int) {
	g.head += n
	switch {
	case g.state == atChunk || g.state == afterChunk:
		if g.head > maxChunkLine {
			g.fault = badChunk
		}
	case g.head >= HeadBuffer:
		g.fault = tooLong
	}
}

// reset makes the guard ready for the next message.
func (g *guard) reset() {
	*g = guard{part: g.part[:0], fresh: g.fresh, target: g.target[:0], named: g.named[:0], fault: g.fault}
}

// line reads one line with its end.
func (g *guard) line(line []byte) {
	if g.fault != nil {
		return
	}
	n := len(line) - 2
	if n < 0 || line[n] != '\r' {
		g.fault = bareLF
		return
	}
	line = line[:n]
	switch g.state {
	case inRequest:
		g.state, g.fault = inHeader, g.requestLine(line)
	case inHeader:
		if n == 0 {
			g.fault = g.endOfHead()
		} else {
			g.fault = g.header(line)
		}
	case atChunk:
		g.fault = g.chunkSize(line)
	case afterChunk:
		g.state, g.head = atChunk, 0
		if n != 0 {
			g.fault = badChunk
		}
	case inTrailer:
		if n == 0 {
			g.reset()
		} else {
			g.fault = g.trailer(line)
		}
	}
}

// endOfHead decides how the body is framed.
func (g *guard) endOfHead() *Rejection {
	switch {
	case !g.host && !g.old:
		return noHost
	case len(g.target) > 0 && !bytes.EqualFold(g.target, g.named):
		return otherHost
	case g.chunked && g.length:
		return bothFramings
	case g.chunked:
		g.state, g.head = atChunk, 0
	case g.left > 0:
		g.state = inBody
	default:
		g.reset()
	}
	return nil
}

// chunkSize reads the line before a chunk.
func (g *guard) chunkSize(line []byte) *Rejection {
	size, ok := ChunkSize(line)
	if !ok {
		return badChunk
	}
	g.head = 0
	if size == 0 {
		g.state = inTrailer
	} else {
		g.state, g.left = inChunk, size
	}
	return nil
}

// ChunkSize reads the line before a chunk, without its end; false if it is not
// a size, in at most 15 hexadecimal digits, with or without extensions.
func ChunkSize(line []byte) (size int64, ok bool) {
	digits := 0
	for ; digits < len(line); digits++ {
		v := hexValue[line[digits]]
		if v < 0 {
			break
		}
		size = size<<4 | int64(v)
	}
	return size, digits > 0 && digits <= 15 && (digits == len(line) || line[digits] == ';') && isValue(line)
}

func reject(status int, reason, text string) *Rejection {
	return &Rejection{status, reason, text + "\n"}
}

// The reasons.
var (
	bareLF       = reject(http.StatusBadRequest, "line end", "a line of the request does not end with CR LF")
	badLine      = reject(http.StatusBadRequest, "request line", "the request line is not METHOD TARGET HTTP/1.1")
	badTarget    = reject(http.StatusBadRequest, "target", "the target of the request is neither a path nor an http URL, or has bytes that no target may have")
	badVersion   = reject(http.StatusBadRequest, "version", "the version of the request is neither HTTP/1.1 nor HTTP/1.0")
	connect      = reject(http.StatusBadRequest, "connect", "this server is no proxy: it knows no CONNECT")
	badName      = reject(http.StatusBadRequest, "header name", "a header line of the request has no valid name")
	badValue     = reject(http.StatusBadRequest, "header value", "a header of the request has a control character")
	folded       = reject(http.StatusBadRequest, "folded header", "a header of the request is folded over several lines")
	badLength    = reject(http.StatusBadRequest, "content-length", "Content-Length is not one decimal number, given once")
	badEncoding  = reject(http.StatusBadRequest, "transfer-encoding", "Transfer-Encoding is not chunked, given once, in HTTP/1.1")
	bothFramings = reject(http.StatusBadRequest, "two framings", "the request has both Content-Length and Transfer-Encoding")
	twinFraming  = reject(http.StatusBadRequest, "framing twin", "the request has Content_Length or Transfer_Encoding, which some readers take for the real ones")
	noHost       = reject(http.StatusBadRequest, "no host", "the request has no Host")
	badHost      = reject(http.StatusBadRequest, "host", "Host is not a host with an optional port, given once")
	otherHost    = reject(http.StatusBadRequest, "two hosts", "the host of the target is not that of the Host header")
	badChunk     = reject(http.StatusBadRequest, "chunk", "the chunks of the request's body are not well-formed")
	badTrailer   = reject(http.StatusBadRequest, "trailer", "a trailer of the request has a name that no trailer may have")
	badExpect    = reject(http.StatusExpectationFailed, "expect", "the only expectation this server meets is 100-continue")
	tooLong      = reject(http.StatusRequestHeaderFieldsTooLarge, "head too large", "the request line and headers together are longer than 16 KiB")
)
