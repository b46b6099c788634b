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
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/backends"
)

// replica starts an HTTP server and gives its endpoint.
func replica(t *testing.T, h http.HandlerFunc) backends.Endpoint {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return backends.Endpoint{Network: "tcp", Addr: s.Listener.Addr().String()}
}

// rawReplica starts a server that hands each connection to f, which closes it.
func rawReplica(t testing.TB, f func(net.Conn)) backends.Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ended, func() { c.Close() })
			conns.Go(func() { defer c.Close(); f(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); end(); conns.Wait() })
	return backends.Endpoint{Network: "tcp", Addr: ln.Addr().String()}
}

// at makes an entry one of a function with these replicas.
func at(endpoints ...backends.Endpoint) func(*backends.Entry) {
	return func(e *backends.Entry) {
		e.Endpoints, e.Handler = endpoints, nil
		e.Status.Replicas, e.Status.Available = len(endpoints), len(endpoints)
	}
}

func TestAReplicaGetsTheCallAndTheClientItsAnswer(t *testing.T) {
	g, url := serve(t, testConfig())
	var got *http.Request
	var body string
	e := replica(t, func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, body = r, string(text)
		w.Header()["X-Many"] = []string{"1", "2"}
		w.Header().Set("X-Named", "x")
		w.Header().Set("Connection", "X-Named")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Content-Length", "6")
		w.WriteHeader(201)
		io.WriteString(w, "answer")
	})
	setFunction(g, "f", nil, at(e))
	resp, text := do(t, "PUT", url+"/function/f/a%2f/b?x=%20y", strings.NewReader("hello"), "X-A", "1", "X-A", "2", "X-Hop", "3", "Connection", "X-Hop", "Te", "trailers", "User-Agent", "me", "X-Call-Id", "abc")
	if resp.StatusCode != 201 || text != "answer" || resp.ContentLength != 6 || len(resp.Header["X-Many"]) != 2 || resp.Header.Get("X-Named")+resp.Header.Get("Keep-Alive") != "" || resp.Header.Get("X-Call-Id") != "abc" {
		t.Errorf("the client got %d %q %v", resp.StatusCode, text, resp.Header)
	}
	if got.Method != "PUT" || got.RequestURI != "/a%2f/b?x=%20y" || body != "hello" || got.ContentLength != 5 || got.Host != e.Addr {
		t.Errorf("the replica got %s %s, %q of %d, for %s", got.Method, got.RequestURI, body, got.ContentLength, got.Host)
	}
	if h := got.Header; len(h["X-A"]) != 2 || h.Get("X-Hop")+h.Get("Te")+h.Get("Connection") != "" || h.Get("User-Agent") != "me" || h.Get("X-Call-Id") != "abc" ||
		h.Get("X-Forwarded-Host") != strings.TrimPrefix(url, "http://") || h.Get("X-Start-Time") == "" {
		t.Errorf("the replica got %v", h)
	}
}

func TestAnswersWithoutABodyLeaveTheConnectionUsable(t *testing.T) {
	g, url := serve(t, testConfig())
	var conns atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "hello")
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	setFunction(g, "f", nil, at(backends.Endpoint{Network: "tcp", Addr: s.Listener.Addr().String()}))
	for _, c := range []struct {
		method, path string
		status       int
		length       int64
	}{{"GET", "/204", 204, 0}, {"GET", "/304", 304, -1}, {"HEAD", "/x", 200, 5}, {"GET", "/x", 200, 5}, {"HEAD", "/204", 204, 0}, {"GET", "/y", 200, 5}} {
		resp, text := do(t, c.method, url+"/function/f"+c.path, nil)
		if want := map[bool]string{true: "hello"}[c.method == "GET" && c.status == 200]; resp.StatusCode != c.status || text != want || c.length > 0 && resp.ContentLength != c.length {
			t.Errorf("%s %s: got %d %q of %d", c.method, c.path, resp.StatusCode, text, resp.ContentLength)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestLargeBodiesStreamBothWays(t *testing.T) {
	g, url := serve(t, testConfig())
	const size = 12 << 20
	setFunction(g, "f", nil, at(replica(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fixed" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		http.NewResponseController(w).EnableFullDuplex()
		if n, err := io.Copy(w, r.Body); n != size || err != nil {
			t.Errorf("the replica got %d bytes, %v", n, err)
		}
	})))
	body := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	want := sha256.Sum256(body)
	for _, path := range []string{"/fixed", "/chunked"} {
		for how, r := range map[string]io.Reader{"with its length": bytes.NewReader(body), "in chunks": struct{ io.Reader }{bytes.NewReader(body)}} {
			resp, text := do(t, "POST", url+"/function/f"+path, r)
			if resp.StatusCode != 200 || sha256.Sum256([]byte(text)) != want || (path == "/fixed") != (resp.ContentLength == size) {
				t.Errorf("%s, sent %s: got %d with %d bytes of %d", path, how, resp.StatusCode, len(text), resp.ContentLength)
			}
		}
	}
}

func TestEachPieceOfAStreamArrivesWhenItIsWritten(t *testing.T) {
	g, url := serve(t, testConfig())
	next := make(chan struct{})
	setFunction(g, "f", nil, at(replica(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.URL.Path == "/fixed" {
			w.Header().Set("Content-Length", "30")
		}
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		for i := range 3 {
			<-next
			fmt.Fprintf(w, "data: %d\n\n\n", i)
			w.(http.Flusher).Flush()
		}
	})))
	for _, path := range []string{"/chunked", "/fixed"} {
		resp, err := http.Get(url + "/function/f" + path) // returns with the head, before the first piece
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			next <- struct{}{}
			piece := make([]byte, 10)
			if _, err := io.ReadFull(resp.Body, piece); err != nil || string(piece) != fmt.Sprintf("data: %d\n\n\n", i) {
				t.Fatalf("%s, piece %d: %q, %v", path, i, piece, err)
			}
			if path == "/fixed" {
				break
			}
		}
		if path == "/fixed" {
			next <- struct{}{}
			next <- struct{}{}
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAnAnswerThatIsCutIsNeverTakenForWhole(t *testing.T) {
	g, url := serve(t, testConfig())
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	chunk := "2710\r\n" + strings.Repeat("x", 10000) + "\r\n"
	cases := map[string]string{
		"nothing":                      "",
		"half a head":                  head,
		"half a body":                  head + "Content-Length: 20000\r\n\r\n" + strings.Repeat("x", 10000),
		"all but one byte":             head + "Content-Length: 20000\r\n\r\n" + strings.Repeat("x", 19999),
		"a head alone":                 head + "Content-Length: 5\r\n\r\n",
		"a head of chunks alone":       head + "Transfer-Encoding: chunked\r\n\r\n",
		"half a chunk":                 head + "Transfer-Encoding: chunked\r\n\r\n" + chunk[:5000],
		"a chunk without the last one": head + "Transfer-Encoding: chunked\r\n\r\n" + chunk,
		"a chunk without its line end": head + "Transfer-Encoding: chunked\r\n\r\n" + chunk[:len(chunk)-2],
		"the last chunk without end":   head + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n",
		"a chunk that is longer":       head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
	}
	before := g.total.truncated.Load()
	var begun uint64
	for name, answer := range cases {
		for how, reset := range map[string]bool{"ended": false, "reset": true} {
			e := rawReplica(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return // the gateway's own end
				}
				io.WriteString(c, answer)
				if reset {
					c.(*net.TCPConn).SetLinger(0)
				}
			})
			setFunction(g, "f", nil, at(e))
			resp, err := http.Get(url + "/function/f")
			if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
				continue
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch {
			case resp.StatusCode == 502 && err == nil:
			case resp.StatusCode == 200 && err != nil:
				begun++
			default:
				t.Errorf("%s, %s: got %d and %d bytes, %v", name, how, resp.StatusCode, len(text), err)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	for limit := time.Now().Add(5 * time.Second); g.total.truncated.Load() < before+begun && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	if n := g.total.truncated.Load() - before; n != begun || begun == 0 {
		t.Errorf("%d answers are counted as cut, %d were", n, begun)
	}
}

func TestACallThatMayHaveRunIsNotMadeAgain(t *testing.T) {
	g, url := serve(t, testConfig())
	var runs atomic.Int64
	closes := func(c net.Conn) { // reads the request and closes without an answer
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.Copy(io.Discard, r.Body)
			runs.Add(1)
		}
	}
	setFunction(g, "f", nil, at(rawReplica(t, closes), rawReplica(t, closes)))
	for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
		runs.Store(0)
		if resp, text := do(t, method, url+"/function/f", nil); resp.StatusCode != 502 || runs.Load() != 1 {
			t.Errorf("%s: got %d %q after %d runs, want 502 after 1", method, resp.StatusCode, text, runs.Load())
		}
	}
}

func TestAReplicaThatCannotBeConnectedToCostsNoCall(t *testing.T) {
	g, url := serve(t, testConfig())
	gone := rawReplica(t, func(net.Conn) {})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Addr = ln.Addr().String()
	ln.Close()
	var served atomic.Int64
	good := replica(t, func(http.ResponseWriter, *http.Request) { served.Add(1) })
	setFunction(g, "f", nil, at(gone, good))
	for range 50 {
		if resp, text := do(t, "POST", url+"/function/f", strings.NewReader("x")); resp.StatusCode != 200 {
			t.Fatalf("got %d %q", resp.StatusCode, text)
		}
	}
	down := g.table.lookup([]byte("f")).target.Load().upstreams[0]
	if served.Load() != 50 || down.fails.Load() == 0 || down.fails.Load() > 20 || down.inflight.Load() != 0 {
		t.Errorf("served %d, %d connects failed, %d in flight", served.Load(), down.fails.Load(), down.inflight.Load())
	}
}

func TestAConnectionThatAReplicaClosedMeanwhileCostsNoCall(t *testing.T) {
	g, url := serve(t, testConfig())
	closed := make(chan struct{}, 1)
	var runs atomic.Int64
	setFunction(g, "f", nil, at(rawReplica(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			runs.Add(1)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		c.Close()
		closed <- struct{}{}
	})))
	for i := range 20 {
		if resp, text := do(t, "POST", url+"/function/f", strings.NewReader("x")); resp.StatusCode != 200 || text != "ok" {
			t.Fatalf("call %d: got %d %q", i, resp.StatusCode, text)
		}
		<-closed
	}
	if runs.Load() != 20 {
		t.Errorf("%d runs of 20 calls", runs.Load())
	}
}

func TestAClientThatLeavesEndsTheWorkOfTheReplica(t *testing.T) {
	g, url := serve(t, testConfig())
	running, ended := make(chan struct{}), make(chan time.Time)
	setFunction(g, "f", nil, at(replica(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/streaming" {
			w.(http.Flusher).Flush()
		}
		running <- struct{}{}
		<-r.Context().Done()
		ended <- time.Now()
	})))
	for i, path := range []string{"/silent", "/streaming"} {
		conn := dial(t, url)
		io.WriteString(conn, "GET /function/f"+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		<-running
		left := time.Now()
		conn.Close()
		if took := (<-ended).Sub(left); took > time.Second {
			t.Errorf("%s: the replica was let go after %s", path, took)
		}
		r := g.table.lookup([]byte("f"))
		for limit := time.Now().Add(5 * time.Second); r.ended() < uint64(i+1) && time.Now().Before(limit); {
			time.Sleep(time.Millisecond)
		}
		if o := find(r.list(), 499); o == nil || r.inflight.Load() != 0 {
			t.Errorf("%s: no 499 in the metrics, or %d still in flight", path, r.inflight.Load())
		}
	}
}

func TestATunnelCarriesBothWaysAndCountsAsACall(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "f", nil, at(rawReplica(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if req.Header.Get("Upgrade") != "echo/1" || req.Header.Get("Connection") != "Upgrade" {
			t.Errorf("the replica was asked for %v", req.Header)
		}
		if req.URL.Path == "/refused" {
			io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo/1\r\nConnection: upgrade\r\nX-Mine: 1\r\n\r\nfirst")
		io.Copy(c, r)
	})))
	route := g.table.lookup([]byte("f"))
	for _, ends := range []string{"client", "gateway"} {
		conn := dial(t, url)
		io.WriteString(conn, "GET /function/f/x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo/1\r\n\r\n")
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo/1" || resp.Header.Get("X-Mine") != "1" {
			t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
		}
		io.WriteString(conn, "\x00 not \n HTTP")
		text := make([]byte, len("first\x00 not \n HTTP"))
		if _, err := io.ReadFull(r, text); err != nil || string(text) != "first\x00 not \n HTTP" {
			t.Errorf("through the tunnel came %q, %v", text, err)
		}
		if route.inflight.Load() != 1 {
			t.Errorf("%d calls in flight, want the tunnel", route.inflight.Load())
		}
		if ends == "gateway" {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			g.Shutdown(ctx)
			cancel()
		} else {
			conn.Close()
		}
		for limit := time.Now().Add(5 * time.Second); route.inflight.Load() > 0 && time.Now().Before(limit); {
			time.Sleep(time.Millisecond)
		}
		if n := route.inflight.Load(); n != 0 {
			t.Errorf("ended by the %s: %d calls in flight", ends, n)
		}
		if ends == "client" {
			refused := dial(t, url)
			if resp, text := send(t, refused, "GET /function/f/refused HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n"); resp.StatusCode != 403 || text != "no" {
				t.Errorf("refused: got %d %q", resp.StatusCode, text)
			}
		}
	}
}

func TestAReplicaNeverRunsMoreThanItSaid(t *testing.T) {
	g, url := serve(t, testConfig())
	var endpoints []backends.Endpoint
	var served atomic.Int64
	for range 3 {
		var running atomic.Int64
		endpoints = append(endpoints, replica(t, func(http.ResponseWriter, *http.Request) {
			if n := running.Add(1); n > 2 {
				t.Errorf("%d run at once", n)
			}
			time.Sleep(time.Millisecond)
			served.Add(1)
			running.Add(-1)
		}))
	}
	setFunction(g, "f", nil, policy(backends.KeyMaxInflight, "2"), at(endpoints...))
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if resp, text := do(t, "GET", url+"/function/f", nil); resp.StatusCode != 200 {
				t.Errorf("got %d %q", resp.StatusCode, text)
			}
		})
	}
	wg.Wait()
	if served.Load() != 100 {
		t.Errorf("served %d", served.Load())
	}
}

func TestAReplicaMayBeASocketOrAPartOfAnotherServer(t *testing.T) {
	g, url := serve(t, testConfig())
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	show := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RequestURI) })
	s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: show}}
	s.Start()
	t.Cleanup(s.Close)
	part := replica(t, show)
	part.Prefix = "/function/f"
	setFunction(g, "socket", nil, at(backends.Endpoint{Network: "unix", Addr: path}))
	setFunction(g, "part", nil, at(part))
	for name, want := range map[string]string{"socket": "/x?y=z", "part": "/function/f/x?y=z"} {
		if resp, text := do(t, "GET", url+"/function/"+name+"/x?y=z", nil); resp.StatusCode != 200 || text != want {
			t.Errorf("%s: got %d %q", name, resp.StatusCode, text)
		}
	}
}

func TestAReplicaThatIsSilentOrSpeaksTooSoonIsUnderstood(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "silent", nil, policy(backends.KeyTimeout, "100ms"), at(rawReplica(t, func(c net.Conn) { io.Copy(io.Discard, c) })))
	if resp, text := do(t, "GET", url+"/function/silent", nil); resp.StatusCode != 504 || !contains(text, "100ms", backends.KeyTimeout) {
		t.Errorf("silent: got %d %q", resp.StatusCode, text)
	}
	setFunction(g, "interim", nil, at(rawReplica(t, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})))
	if resp, text := do(t, "GET", url+"/function/interim", nil); resp.StatusCode != 200 || text != "ok" || resp.Header.Get("Link") != "" {
		t.Errorf("interim: got %d %q %v", resp.StatusCode, text, resp.Header)
	}
	setFunction(g, "early", nil, at(rawReplica(t, func(c net.Conn) {
		c.Read(make([]byte, 1000))
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		time.Sleep(50 * time.Millisecond)
	})))
	conn := dial(t, url)
	resp, text := send(t, conn, "POST /function/early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 20000))
	if resp.StatusCode != 413 || text != "no" || !resp.Close {
		t.Errorf("early: got %d %q, close %v", resp.StatusCode, text, resp.Close)
	}
	for name, answer := range map[string]string{
		"no HTTP": "SSH-2.0-x\r\n\r\n", "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "a bad coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"a protocol nobody asked for": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "a status of none": "HTTP/1.1 700 X\r\nContent-Length: 0\r\n\r\n",
	} {
		setFunction(g, "bad", nil, at(rawReplica(t, func(c net.Conn) { http.ReadRequest(bufio.NewReader(c)); io.WriteString(c, answer) })))
		if resp, text := do(t, "GET", url+"/function/bad", nil); resp.StatusCode != 502 || resp.Header.Get("X-OpenFaaS-Internal") == "" {
			t.Errorf("%s: got %d %q", name, resp.StatusCode, text)
		}
	}
}

func TestAWarmProxiedCallAllocatesNothingOfOurs(t *testing.T) {
	g, _ := serve(t, testConfig())
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")
	setFunction(g, "f", nil, at(rawReplica(t, func(c net.Conn) {
		for buf := make([]byte, 4096); ; {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})))
	ctx := requestCtx("GET /function/f/x?y=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
	handler := g.Handler()
	allocs := testing.AllocsPerRun(500, func() {
		ctx.Response.Reset()
		handler(ctx)
	})
	if string(ctx.Response.Body()) != "hello" || allocs != 0 {
		t.Errorf("got %q with %v allocations, want hello with 0", ctx.Response.Body(), allocs)
	}
}

func TestAClientOfHTTP10GetsNoChunks(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "f", nil, at(replica(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		io.WriteString(w, "two")
	})))
	resp, text := send(t, dial(t, url), "GET /function/f HTTP/1.0\r\n\r\n")
	if resp.StatusCode != 200 || text != "onetwo" || len(resp.TransferEncoding) > 0 || !resp.Close {
		t.Errorf("got %d %q, %v, close %v", resp.StatusCode, text, resp.TransferEncoding, resp.Close)
	}
}

func TestReplicasOfATableThatChangesLoseNoCall(t *testing.T) {
	g, url := serve(t, testConfig())
	generation := func(n int) backends.Endpoint {
		return replica(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
		})
	}
	endpoints := []backends.Endpoint{generation(0), generation(1)}
	setFunction(g, "f", nil, at(endpoints...))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var calls atomic.Int64
	for range 4 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := client.Post(url+"/function/f", "", strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if calls.Add(1); resp.StatusCode != 200 {
					t.Errorf("got %d", resp.StatusCode)
				}
			}
		})
	}
	for n := 2; n < 22; n++ {
		for before := calls.Load(); calls.Load() < before+20; {
			time.Sleep(time.Millisecond)
		}
		endpoints = []backends.Endpoint{endpoints[1], generation(n)}
		setFunction(g, "f", nil, at(endpoints...))
	}
	close(stop)
	wg.Wait()
	t.Logf("%d calls over 20 changes", calls.Load())
}
