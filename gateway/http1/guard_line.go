package http1

import "bytes"

// requestLine checks METHOD SP TARGET SP VERSION.
func (g *guard) requestLine(line []byte) *Rejection {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	target, version, ok2 := bytes.Cut(rest, []byte{' '})
	if !ok || !ok2 || len(method) > 32 || !isToken(method) {
		return badLine
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		g.old = true
	default:
		return badVersion
	}
	if string(method) == "CONNECT" {
		return connect
	}
	for _, b := range target {
		if b <= ' ' || b == 0x7f || b == '#' {
			return badTarget
		}
	}
	switch {
	case len(target) > 0 && target[0] == '/':
		return nil
	case string(target) == "*" && string(method) == "OPTIONS":
		return nil
	}
	return g.absolute(target)
}

// absolute checks a target that is a whole URL and keeps its authority, which
// must be that of Host.
func (g *guard) absolute(target []byte) *Rejection {
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || !bytes.EqualFold(scheme, []byte("http")) && !bytes.EqualFold(scheme, []byte("https")) {
		return badTarget
	}
	if i := bytes.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	if !isHost(rest) {
		return badTarget
	}
	g.target = append(g.target[:0], rest...)
	return nil
}

// header checks a header line and notes what frames the message.
func (g *guard) header(line []byte) *Rejection {
	name, value, fault := cutHeader(line)
	if fault != nil {
		return fault
	}
	switch len(name) {
	case 4:
		if equalFold(name, "host") {
			if g.host || !isHost(value) {
				return badHost
			}
			g.host = true
			if len(g.target) > 0 {
				g.named = append(g.named[:0], value...)
			}
		}
	case 6:
		if equalFold(name, "expect") && !equalFold(value, "100-continue") {
			return badExpect
		}
	case 14:
		switch {
		case equalFold(name, "content-length"):
			return g.contentLength(value)
		case equalFold(name, "content_length"):
			return twinFraming
		}
	case 17:
		switch {
		case equalFold(name, "transfer-encoding"):
			if g.chunked || g.old || !equalFold(value, "chunked") {
				return badEncoding
			}
			g.chunked = true
		case equalFold(name, "transfer_encoding"):
			return twinFraming
		}
	}
	return nil
}

// cutHeader cuts a line into its name and its value without the white space
// around it.
func cutHeader(line []byte) (name, value []byte, fault *Rejection) {
	if line[0] == ' ' || line[0] == '\t' {
		return nil, nil, folded
	}
	n := 0
	for n < len(line) && tokenByte[line[n]] {
		n++
	}
	if n == 0 || n == len(line) || line[n] != ':' {
		return nil, nil, badName
	}
	value = line[n+1:]
	if !isValue(value) {
		return nil, nil, badValue
	}
	return line[:n], trimSpace(value), nil
}

// contentLength reads the length of a body.
func (g *guard) contentLength(value []byte) *Rejection {
	if g.length || len(value) == 0 || len(value) > 18 {
		return badLength
	}
	g.length = true
	for _, b := range value {
		if b < '0' || b > '9' {
			return badLength
		}
		g.left = g.left*10 + int64(b-'0')
	}
	return nil
}

// trailer checks a line after the last chunk. What frames, routes or
// authenticates a message cannot come after it.
func (g *guard) trailer(line []byte) *Rejection {
	name, _, fault := cutHeader(line)
	if fault != nil {
		return fault
	}
	for _, bad := range [...]string{
		"transfer-encoding", "content-length", "host", "connection", "te", "trailer", "upgrade", "expect", "authorization", "cookie",
		"content-encoding", "content-type", "content-range", "range", "x-call-id",
	} {
		if equalFold(name, bad) {
			return badTrailer
		}
	}
	return nil
}

// equalFold compares with a text in lower case, in ASCII alone.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// isValue tells whether a header's value has no control characters but tabs.
func isValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isHost tells whether a text can be a host with an optional port: the bytes
// of RFC 3986 section 3.2.2 and nothing that ends or splits an authority.
func isHost(b []byte) bool {
	for _, c := range b {
		if !hostByte[c] {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 255+len(":65535")
}

var (
	hostByte = bytesOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+;=:[]%")
	hexValue = func() (t [256]int8) {
		for i := range t {
			t[i] = -1
		}
		for i := range 16 {
			t["0123456789abcdef"[i]], t["0123456789ABCDEF"[i]] = int8(i), int8(i)
		}
		return t
	}()
)

func bytesOf(set string) (t [256]bool) {
	for i := range len(set) {
		t[set[i]] = true
	}
	return t
}
