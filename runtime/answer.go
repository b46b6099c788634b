package runtime

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"

	"hearth/backends"
)

// defaultAnswer bounds an answer whose Spec says nothing.
const defaultAnswer = 32 << 20

// maxHeaderBlock bounds the CGI header block, as HTTP servers bound what they read.
const maxHeaderBlock = 64 << 10

// answer is where a guest's standard output goes: the body, or a CGI header block and then the body.
type answer struct {
	resp  backends.Response
	left  int64 // bytes of body that may still come
	limit int64
	wrote int64  // bytes of body
	block []byte // of the header block, until it is whole
	open  bool   // the header block is not whole
}

func (a *answer) begin(resp backends.Response, limit int64, cgi bool) {
	*a = answer{resp: resp, left: limit, limit: limit, block: a.block[:0], open: cgi}
}

// write takes output. It unwinds the guest when there is too much of it.
func (a *answer) write(p []byte) {
	if a.open {
		if p = a.header(p); a.open {
			return
		}
	}
	if len(p) == 0 {
		return
	}
	if err := a.put(p); err != nil {
		panic(&halt{err})
	}
}

// put appends to the body. ErrAnswerTooLarge beyond the limit.
func (a *answer) put(p []byte) error {
	if int64(len(p)) > a.left {
		return a.tooLarge()
	}
	if _, err := a.resp.Write(p); err != nil {
		if errors.Is(err, backends.ErrTooLarge) {
			return a.tooLarge()
		}
		return err
	}
	a.left -= int64(len(p))
	a.wrote += int64(len(p))
	return nil
}

func (a *answer) tooLarge() error {
	return backends.Errorf(backends.ErrAnswerTooLarge, "output too large: a function may answer with %d bytes", a.limit)
}

// header collects the header block and returns what follows it.
func (a *answer) header(p []byte) (body []byte) {
	for len(p) > 0 {
		line := bytes.IndexByte(p, '\n') + 1
		if line == 0 {
			line = len(p)
		}
		if len(a.block)+line > maxHeaderBlock {
			panic(&halt{backends.Errorf(backends.ErrFunction, "the CGI header block is longer than %d bytes", maxHeaderBlock)})
		}
		a.block = append(a.block, p[:line]...)
		p = p[line:]
		if endsHeader(a.block) {
			if err := setHeader(a.resp, a.block); err != nil {
				panic(&halt{err})
			}
			a.open = false
			return p
		}
	}
	return nil
}

// finish tells what is wrong with an answer that is complete.
func (a *answer) finish() error {
	if a.open {
		return backends.Errorf(backends.ErrFunction, "the answer has no CGI header block: it must begin with lines such as Content-Type: text/plain and an empty line")
	}
	return nil
}

// endsHeader tells whether a block ends with an empty line.
func endsHeader(block []byte) bool {
	rest, ok := bytes.CutSuffix(block, []byte("\n"))
	if !ok {
		return false
	}
	rest = bytes.TrimSuffix(rest, []byte("\r"))
	return len(rest) == 0 || rest[len(rest)-1] == '\n'
}

// setHeader gives a response the status and the lines of a CGI header block (RFC 3875, section 6).
func setHeader(resp backends.Response, block []byte) error {
	status, location := 0, false
	for line := range bytes.Lines(block) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return backends.Errorf(backends.ErrFunction, "the CGI header block has the line %.80q, want Name: value", line)
		}
		switch {
		case bytes.EqualFold(name, []byte("Status")):
			code, _, _ := bytes.Cut(value, []byte(" "))
			n, err := strconv.Atoi(string(code))
			if err != nil || n < 200 || n > 599 {
				return backends.Errorf(backends.ErrFunction, "the CGI header block has the status %.40q, 200 to 599 are allowed", value)
			}
			status = n
		case isFraming(name): // the server's own business
		default:
			location = location || bytes.EqualFold(name, []byte("Location"))
			resp.AddHeader(name, value)
		}
	}
	if status == 0 && location {
		status = http.StatusFound
	}
	if status != 0 {
		resp.SetStatus(status)
	}
	return nil
}

// isFraming tells which lines describe the connection and not the answer.
func isFraming(name []byte) bool {
	for _, own := range [...]string{"Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Trailer", "Te"} {
		if bytes.EqualFold(name, []byte(own)) {
			return true
		}
	}
	return false
}

// isToken tells whether a name may be a header's (RFC 9110, section 5.6.2).
func isToken(name []byte) bool {
	for _, b := range name {
		alnum := b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9'
		if !alnum && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), b) < 0 {
			return false
		}
	}
	return len(name) > 0
}

// isFieldValue tells whether a value may stand on a header line.
func isFieldValue(value []byte) bool {
	for _, b := range value {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}
