package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzGuard holds the guard to another reader: whatever it lets in, net/http
// reads as the same one message, which ends at the same byte, and it says the
// same of bytes in whatever pieces they come.
func FuzzGuard(f *testing.F) {
	for _, c := range wireCases(f) {
		if len(c.raw) < 1000 {
			f.Add([]byte(c.raw), uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, size uint8) {
		var whole, split guard
		_, fault := whole.scan(raw)
		step := int(size%16) + 1
		for i := 0; i < len(raw) && split.fault == nil; i += step {
			split.scan(raw[i:min(i+step, len(raw))])
		}
		// A line that is both too long and wrong is refused either way.
		if (fault == nil) != (split.fault == nil) || fault != split.fault && fault != tooLong && split.fault != tooLong {
			t.Fatalf("as a whole: %v, in pieces of %d: %v", fault, step, split.fault)
		}
		if end := firstMessage(raw); end > 0 {
			compareWithNetHTTP(t, raw[:end])
		}
	})
}

// firstMessage gives the end of the first message that the guard lets in, 0 if
// there is none.
func firstMessage(raw []byte) int {
	var g guard
	for i := range raw {
		if _, fault := g.scan(raw[i : i+1]); fault != nil {
			return 0
		}
		if g.state == atRequest {
			return i + 1
		}
	}
	return 0
}

func compareWithNetHTTP(t *testing.T, raw []byte) {
	r := bufio.NewReader(bytes.NewReader(raw))
	req, err := http.ReadRequest(r)
	if bad := new(url.Error); errors.As(err, &bad) {
		return // it cannot be read, and so not in two ways
	}
	if err != nil {
		t.Fatalf("net/http refuses what the guard lets in: %v: %q", err, raw)
	}
	line, _, _ := bytes.Cut(raw, []byte("\r\n"))
	if got := req.Method + " " + req.RequestURI + " " + req.Proto; got != string(line) {
		t.Errorf("net/http reads the request line as %q, it is %q", got, line)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatalf("net/http cannot read the body: %v: %q", err, raw)
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("net/http ends the message %d bytes earlier: %q", len(rest), raw)
	}
	seen, answers := serveRaw(string(raw), 1<<20)
	if len(seen) == 0 && strings.HasPrefix(answers, "HTTP/1.1 400 ") {
		return // refused, and so not read in two ways
	}
	if len(seen) != 1 || !bytes.HasSuffix([]byte(seen[0]), []byte(quote(body))) {
		t.Errorf("the server saw %q, net/http a body of %q", seen, body)
	}
}
