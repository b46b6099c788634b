package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

// dial opens a connection of a test's own to a gateway.
func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// send writes a request as it is and reads one answer.
func send(t *testing.T, conn net.Conn, raw string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// isClosed waits until the other side ends the connection.
func isClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := io.Copy(io.Discard, conn); err != nil || n > 0 {
		t.Errorf("the connection is not closed: %d bytes more, %v", n, err)
	}
}

func TestALargeBodyIsAFileThatNobodySees(t *testing.T) {
	cfg := testConfig()
	cfg.MaxBody, cfg.SpillDir = 8<<20, t.TempDir()
	g, url := serve(t, cfg)
	sum := handlerFunc(func(_ context.Context, r *backends.Request, resp backends.Response) error {
		if names, err := os.ReadDir(cfg.SpillDir); err != nil || len(names) > 0 {
			t.Errorf("in the directory: %v, %v", names, err)
		}
		_, err := fmt.Fprintf(responseWriter{resp}, "%x", sha256.Sum256(r.Body))
		return err
	})
	setFunction(g, "sum", sum)
	body := bytes.Repeat([]byte("0123456789abcde\n"), 1<<19)
	for _, n := range []int{1<<20 - 1, 1 << 20, 1<<20 + 1, 5_000_000, 8 << 20} {
		for how, r := range map[string]io.Reader{"with its length": bytes.NewReader(body[:n]), "in chunks": struct{ io.Reader }{bytes.NewReader(body[:n])}} {
			resp, text := do(t, "POST", url+"/function/sum", r)
			if want := fmt.Sprintf("%x", sha256.Sum256(body[:n])); resp.StatusCode != 200 || text != want {
				t.Errorf("%d bytes %s: got %d %q", n, how, resp.StatusCode, text)
			}
		}
	}
	cfg = testConfig()
	cfg.MaxBody, cfg.SpillDir = 8<<20, t.TempDir()+"/none"
	g, url = serve(t, cfg)
	setFunction(g, "sum", sum)
	if resp, text := do(t, "POST", url+"/function/sum", bytes.NewReader(body[:2<<20])); resp.StatusCode != 503 {
		t.Errorf("without a directory: got %d %q, want 503", resp.StatusCode, text)
	}
}

func TestABodyThatIsTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "echo", echo)
	conn := dial(t, url)
	resp, _ := send(t, conn, "POST /function/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n")
	if resp.StatusCode != 413 || !resp.Close {
		t.Errorf("expecting 100: got %d, close %v", resp.StatusCode, resp.Close)
	}
	conn = dial(t, url)
	if resp, _ = send(t, conn, "POST /function/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n"+strings.Repeat("x", 9000)); resp.StatusCode != 413 || !resp.Close {
		t.Errorf("after 9,000 bytes: got %d, close %v", resp.StatusCode, resp.Close)
	}
	conn = dial(t, url)
	io.WriteString(conn, "POST /function/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("a body that may come: %q, %v", line, err)
	}
	io.WriteString(conn, "hello")
	if rest, err := io.ReadAll(r); err != nil || !bytes.HasSuffix(rest, []byte("hello")) {
		t.Errorf("after 100: got %q, %v", rest, err)
	}
}

func TestASlowClientIsCutOff(t *testing.T) {
	cfg := testConfig()
	cfg.HeaderTimeout, cfg.IdleTimeout, cfg.Call.Timeout = 150*time.Millisecond, 200*time.Millisecond, time.Second
	g, url := serve(t, cfg)
	setFunction(g, "echo", echo)
	for name, c := range map[string]struct {
		raw    string
		status int
	}{
		"half a request line":     {"GET /func", 408},
		"a header without end":    {"GET /function/echo HTTP/1.1\r\nHost: a\r\nX-", 408},
		"half a body":             {"POST /function/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello", 408},
		"half a body in chunks":   {"POST /function/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 408},
		"nothing after a request": {"GET /function/echo HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, url)
			if resp, text := send(t, conn, c.raw); resp.StatusCode != c.status {
				t.Errorf("got %d %q, want %d", resp.StatusCode, text, c.status)
			}
			isClosed(t, conn)
		})
	}
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	cfg := testConfig()
	cfg.WriteTimeout, cfg.MaxAnswer = 100*time.Millisecond, 64<<20
	g, url := serve(t, cfg)
	setFunction(g, "much", handlerFunc(func(_ context.Context, _ *backends.Request, resp backends.Response) error {
		_, err := resp.Write(make([]byte, 32<<20))
		return err
	}))
	conn := dial(t, url)
	if _, err := io.WriteString(conn, "GET /function/much HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for g.server.GetOpenConnectionsCount() == 0 || g.table.lookup([]byte("much")).started.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for limit := time.Now().Add(10 * time.Second); g.server.GetOpenConnectionsCount() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the connection is still open")
		}
	}
	if n, _ := io.Copy(io.Discard, conn); n >= 32<<20 {
		t.Errorf("the client got all %d bytes", n)
	}
}

func TestACallEndsWhenItsClientGoesAway(t *testing.T) {
	g, url := serve(t, testConfig())
	why := make(chan error, 1)
	running := make(chan struct{}, 1)
	key := setFunction(g, "long", handlerFunc(func(ctx context.Context, _ *backends.Request, _ backends.Response) error {
		running <- struct{}{}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Second):
		}
		why <- ctx.Err()
		return backends.ErrCanceled
	}))
	for name, leave := range map[string]func(net.Conn){
		"by closing":   func(c net.Conn) { c.Close() },
		"by resetting": func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
	} {
		conn := dial(t, url)
		if _, err := io.WriteString(conn, "GET /function/long HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-running
		start := time.Now()
		leave(conn)
		if err := <-why; err != context.Canceled || time.Since(start) > time.Second {
			t.Errorf("%s: the call ended with %v after %s", name, err, time.Since(start))
		}
	}
	r := g.table.lookup([]byte(key.Name))
	for limit := time.Now().Add(5 * time.Second); r.ended() < 2 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	if o := find(r.list(), 499); o == nil || r.ended() != 2 {
		t.Errorf("the metrics have no 499: %v", r.list())
	}
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	g, err := New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(ln) }()
	const calls = 20
	running, release := make(chan struct{}, calls), make(chan struct{})
	setFunction(g, "slow", handlerFunc(func(_ context.Context, _ *backends.Request, resp backends.Response) error {
		running <- struct{}{}
		<-release
		_, err := resp.Write(helloText)
		return err
	}))
	idle := dial(t, ln.Addr().String())
	answers := make(chan string, calls)
	for range calls {
		go func() {
			resp, err := http.Get("http://" + ln.Addr().String() + "/function/slow")
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			answers <- fmt.Sprint(string(text), err, resp.Close)
		}()
	}
	for range calls {
		<-running
	}
	down := make(chan error, 1)
	go func() { down <- g.Shutdown(t.Context()) }()
	for !g.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		conn.Close()
		t.Error("a stopping gateway accepts connections")
	}
	close(release)
	for range calls {
		if got := <-answers; got != "hello<nil> true" {
			t.Errorf("in flight: got %s", got)
		}
	}
	idle.Close()
	if err := <-down; err != nil {
		t.Error(err)
	}
}

func TestShutdownEndsWhatOutlivesItsGrace(t *testing.T) {
	g, url := serve(t, testConfig())
	ended := make(chan error, 1)
	running := make(chan struct{})
	setFunction(g, "endless", handlerFunc(func(ctx context.Context, _ *backends.Request, _ backends.Response) error {
		close(running)
		<-ctx.Done()
		ended <- ctx.Err()
		return backends.ErrCanceled
	}))
	conn := dial(t, url)
	io.WriteString(conn, "GET /function/endless HTTP/1.1\r\nHost: a\r\n\r\n")
	<-running
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := g.Shutdown(ctx); err == nil {
		t.Error("a call was in flight and Shutdown says that none was")
	}
	if err := <-ended; err != context.Canceled {
		t.Errorf("the call ended with %v", err)
	}
}
