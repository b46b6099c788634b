package http1

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// wireCase is one request of testdata/http.
type wireCase struct {
	class, name, raw string
	status           int
}

func wireCases(t testing.TB) (cases []wireCase) {
	files, err := filepath.Glob("../../testdata/http/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(field) != 3 {
				t.Fatalf("%s: not three fields: %.80q", file, line)
			}
			c := wireCase{class: strings.TrimSuffix(filepath.Base(file), ".txt"), name: field[2]}
			if c.status, err = strconv.Atoi(field[0]); err != nil {
				t.Fatal(err)
			}
			if c.raw, err = strconv.Unquote(field[1]); err != nil {
				t.Fatalf("%s: %v: %.80q", file, err, field[1])
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// pieces is a connection that delivers its input in pieces of some size, and
// keeps what is written to it.
type pieces struct {
	net.Conn
	in   []byte
	size int
	out  bytes.Buffer
}

func (p *pieces) Read(b []byte) (int, error) {
	n := copy(b[:min(len(b), p.size)], p.in)
	if p.in = p.in[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error)      { return p.out.Write(b) }
func (p *pieces) Close() error                     { return nil }
func (p *pieces) SetReadDeadline(time.Time) error  { return nil }
func (p *pieces) SetWriteDeadline(time.Time) error { return nil }
func (p *pieces) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (p *pieces) LocalAddr() net.Addr              { return p.RemoteAddr() }

// guarded puts a connection under guard without a listener's goroutine.
func guarded(c net.Conn) *Conn { return &Conn{Conn: c, ln: &Listener{conns: map[*Conn]struct{}{}}} }

// serveRaw serves bytes as a connection and gives the requests that reached
// the handler and the answers.
func serveRaw(raw string, size int) (seen []string, answers string) {
	server := &fasthttp.Server{
		StreamRequestBody: true, ReadBufferSize: HeadBuffer, Logger: silent{}, SecureErrorLogMessage: true, NoDefaultDate: true, NoDefaultServerHeader: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			call := Acquire(ctx, Options{})
			defer call.Release()
			body, err := call.ReadBody(1<<20, "")
			if err != nil {
				ctx.SetStatusCode(400)
				if r := Rejected(ctx.Conn()); r != nil {
					ctx.SetStatusCode(r.Status)
				}
				ctx.SetConnectionClose()
				return
			}
			seen = append(seen, fmt.Sprintf("%s %s %s %q", ctx.Method(), ctx.Request.Header.RequestURI(), ctx.Host(), body))
		},
		ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) {
			ctx.SetStatusCode(400)
			if r := Rejected(ctx.Conn()); r != nil {
				ctx.SetStatusCode(r.Status)
			}
		},
	}
	p := &pieces{in: []byte(raw), size: size}
	server.ServeConn(guarded(p)) // its error is what the answers show
	return seen, p.out.String()
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func TestEveryRequestWithTwoReadingsIsRefusedAndNothingAfterItIsRead(t *testing.T) {
	const before, after = "GET /before HTTP/1.1\r\nHost: b\r\n\r\n", "GET /after HTTP/1.1\r\nHost: b\r\n\r\n"
	classes := map[string]int{}
	for _, c := range wireCases(t) {
		classes[c.class]++
		for _, size := range []int{1 << 20, 1, 7, 512} {
			seen, answers := serveRaw(before+c.raw+after, size)
			text := strings.Join(seen, "\n")
			last := answers[strings.LastIndex(answers, "HTTP/1.1 "):]
			switch {
			case strings.Contains("\n"+text, "\nGET /smuggled"):
				t.Errorf("%s, %s, pieces of %d: a request inside another was read: %s", c.class, c.name, size, text)
			case c.status == 200 && (len(seen) != 3 || !strings.Contains(seen[2], "/after")):
				t.Errorf("%s, %s, pieces of %d: %d requests: %s\n%s", c.class, c.name, size, len(seen), text, answers)
			case c.status != 200 && (len(seen) != 1 || !strings.HasPrefix(last, fmt.Sprintf("HTTP/1.1 %d ", c.status)) || !strings.Contains(last, "Connection: close")):
				t.Errorf("%s, %s, pieces of %d: want %d and close: %d requests: %s\n%s", c.class, c.name, size, c.status, len(seen), text, answers)
			}
		}
	}
	total := 0
	for _, n := range classes {
		total += n
	}
	if t.Logf("%d cases of %d classes", total, len(classes)); total < 150 || len(classes) < 12 {
		t.Errorf("only %d cases of %d classes", total, len(classes))
	}
}

func TestTheGuardAllocatesNothingForWholeRequests(t *testing.T) {
	request := []byte("POST /function/echo?x=y HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: x\r\nAccept: */*\r\nContent-Length: 5\r\n\r\nhello")
	chunked := []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	var g guard
	if n := testing.AllocsPerRun(1000, func() { g.scan(request); g.scan(chunked) }); n != 0 || g.fault != nil || g.state != atRequest {
		t.Errorf("%v allocations, fault %v, state %d", n, g.fault, g.state)
	}
}

func quote(b []byte) string { return fmt.Sprintf("%q", b) }
