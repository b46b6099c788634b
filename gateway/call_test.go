package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"hearth/backends"
)

// handlerFunc makes a function of a Go function.
type handlerFunc func(ctx context.Context, req *backends.Request, resp backends.Response) error

func (f handlerFunc) Invoke(ctx context.Context, req *backends.Request, resp backends.Response) error {
	return f(ctx, req, resp)
}

// echo answers with what it got.
var echo = handlerFunc(func(_ context.Context, req *backends.Request, resp backends.Response) error {
	resp.SetHeader([]byte("Content-Type"), []byte("text/x-echo"))
	_, err := resp.Write(req.Body)
	return err
})

// hello answers with five bytes and allocates nothing.
var hello = handlerFunc(func(_ context.Context, _ *backends.Request, resp backends.Response) error {
	_, err := resp.Write(helloText)
	return err
})

var helloText = []byte("hello")

func testConfig() Config {
	return Config{
		Backend: newMemoryBackend(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		Call: backends.DefaultCall, Scale: backends.DefaultScale,
		Version: backends.VersionInfo{Release: "0.0.1"}, Credentials: &Credentials{"admin", "secret"},
		MaxBody: 1 << 20, MaxAnswer: 1 << 20, HeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, WriteTimeout: 10 * time.Second,
		ScaleFromZero: true,
	}
}

// serve starts a gateway on a port of its own and gives its URL; it ends with
// the test.
func serve(t testing.TB, cfg Config) (*Gateway, string) {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return g, "http://" + ln.Addr().String()
}

// setFunction puts a function into the table.
func setFunction(g *Gateway, name string, h backends.Handler, change ...func(*backends.Entry)) backends.Key {
	key, err := backends.ParseKey(name)
	if err != nil {
		panic(err)
	}
	e := backends.Entry{Handler: h, Status: backends.Status{Function: backends.Function{Key: key}, Replicas: 1, Available: 1}}
	for _, f := range change {
		f(&e)
	}
	g.Table().Set(e)
	return key
}

// do makes one request without following redirects and reads the answer.
func do(t *testing.T, method, url string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestACallReachesTheFunctionItsPathNames(t *testing.T) {
	g, url := serve(t, testConfig())
	show := handlerFunc(func(_ context.Context, r *backends.Request, resp backends.Response) error {
		fmt.Fprintf(responseWriter{resp}, "%s %s ? %s", r.Method, r.Path, r.Query)
		return nil
	})
	setFunction(g, "show", show)
	setFunction(g, "other.dev", show)
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/function/show", "GET / ? "},
		{"GET", "/function/show/", "GET / ? "},
		{"POST", "/function/show.openfaas-fn/a/b", "POST /a/b ? "},
		{"DELETE", "/function/show?x=1&y=%20", "DELETE / ? x=1&y=%20"},
		{"PUT", "/function/show/a%2fb/..//c?x", "PUT /a%2fb/..//c ? x"},
		{"PATCH", "/function/other.dev/x", "PATCH /x ? "},
		{"OPTIONS", "/function/show/x", "OPTIONS /x ? "},
		{"REPORT", "/function/show/x", "REPORT /x ? "},
	} {
		resp, text := do(t, c.method, url+c.path, nil)
		if resp.StatusCode != 200 || text != c.want {
			t.Errorf("%s %s: got %d %q, want 200 %q", c.method, c.path, resp.StatusCode, text, c.want)
		}
	}
	for _, path := range []string{"/function/none", "/function/other", "/function/", "/function/show.dev/x", "/function/SHOW", "/function/sh%6fw", "/function/a.b.c", "/function//show"} {
		resp, text := do(t, "GET", url+path, nil)
		if resp.StatusCode != 404 || !strings.HasSuffix(text, "\n") {
			t.Errorf("GET %s: got %d %q, want 404 and a sentence", path, resp.StatusCode, text)
		}
	}
	if resp, _ := do(t, "GET", url+"/%66unction/show", nil); resp.StatusCode != 400 {
		t.Errorf("another spelling of /function/: got %d, want 400", resp.StatusCode)
	}
}

// responseWriter is the body of a Response as an io.Writer.
type responseWriter struct{ backends.Response }

func TestAnErrorOfAFunctionIsAnsweredWithWhoIsToBlame(t *testing.T) {
	g, url := serve(t, testConfig())
	for _, c := range []struct {
		name     string
		err      error
		status   int
		internal bool
		retry    string
		text     string
	}{
		{"deadline", backends.ErrDeadline, 504, true, "", "com.hearth.timeout"},
		{"context", context.DeadlineExceeded, 504, true, "", "1m0s"},
		{"failed", backends.Errorf(backends.ErrFunction, "exit code 3"), 500, true, "", "exit code 3"},
		{"answer", backends.Errorf(backends.ErrTooLarge, "answer: more than the 5 bytes allowed"), 502, true, "", "5 bytes"},
		{"busy", backends.Errorf(backends.ErrBusy, "no slot"), 429, true, "1", "no slot"},
		{"unavailable", backends.Errorf(backends.ErrUnavailable, "not loaded"), 503, true, "1", "not loaded"},
		{"gone", backends.ErrGone, 503, true, "1", "replaced"},
	} {
		setFunction(g, c.name, handlerFunc(func(_ context.Context, _ *backends.Request, resp backends.Response) error {
			resp.SetStatus(201)
			resp.SetHeader([]byte("X-Of-Function"), []byte("1"))
			if _, err := resp.Write([]byte("half an answer")); err != nil {
				return err
			}
			return c.err
		}))
		resp, text := do(t, "GET", url+"/function/"+c.name, nil)
		h := resp.Header
		if resp.StatusCode != c.status || h.Get("X-OpenFaaS-Internal") != "" != c.internal || h.Get("Retry-After") != c.retry {
			t.Errorf("%s: got %d, internal %q, retry %q", c.name, resp.StatusCode, h.Get("X-OpenFaaS-Internal"), h.Get("Retry-After"))
		}
		if !strings.Contains(text, c.text) || strings.Contains(text, "half") || h.Get("X-Of-Function") != "" || h.Get("X-Call-Id") == "" {
			t.Errorf("%s: got %q and %v", c.name, text, h)
		}
	}
}

func TestAPanicEndsTheCallAndNotTheProcess(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "panics", handlerFunc(func(context.Context, *backends.Request, backends.Response) error { panic("ouch") }))
	setFunction(g, "hello", hello)
	if resp, text := do(t, "GET", url+"/function/panics", nil); resp.StatusCode != 500 || strings.Contains(text, "ouch") {
		t.Errorf("got %d %q, want 500 without the panic's text", resp.StatusCode, text)
	}
	if resp, text := do(t, "GET", url+"/function/hello", nil); resp.StatusCode != 200 || text != "hello" {
		t.Errorf("after a panic: got %d %q", resp.StatusCode, text)
	}
}

func TestAnAnswerSaysWhichCallItIsAndWhereItsTimeWent(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "ids", handlerFunc(func(_ context.Context, r *backends.Request, resp backends.Response) error {
		r.Phases = backends.Phases{Start: 1500 * time.Microsecond, Run: 20 * time.Millisecond}
		_, err := resp.Write(append(append(bytes.Clone(r.CallID), ' '), r.Header.Get("X-Call-Id")...))
		return err
	}))
	for given, taken := range map[string]bool{"abc-123": true, "": false, "a b": false, "<x>": false, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false} {
		resp, text := do(t, "GET", url+"/function/ids", nil, "X-Call-Id", given)
		id := resp.Header.Get("X-Call-Id")
		if taken && id != given || !taken && len(id) != 36 || text != id+" "+id {
			t.Errorf("id %q: got %q, the function saw %q", given, id, text)
		}
		if st := resp.Header.Get("X-Start-Time"); len(st) != 19 {
			t.Errorf("X-Start-Time: got %q, want nanoseconds", st)
		}
		if st := resp.Header.Get("Server-Timing"); !strings.HasPrefix(st, "queue;dur=") || !strings.HasSuffix(st, ", start;dur=1.500, run;dur=20.000") {
			t.Errorf("Server-Timing: got %q", st)
		}
	}
}

// requestCtx makes a request as the server would hand it to the handler.
func requestCtx(request string) *fasthttp.RequestCtx {
	var ctx fasthttp.RequestCtx
	ctx.Init2(&net.TCPConn{}, nil, false)
	if err := ctx.Request.Header.Read(newReader(request)); err != nil {
		panic(err)
	}
	return &ctx
}

func TestAWarmCallAllocatesNothingOfOurs(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools forget what they hold")
	}
	for name, log := range map[string]io.Writer{"without a log": nil, "with one": io.Discard} {
		cfg := testConfig()
		if cfg.CallLog = log != nil; cfg.CallLog {
			cfg.Logger = slog.New(slog.NewJSONHandler(log, nil))
		}
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		setFunction(g, "hello", hello)
		ctx := requestCtx("GET /function/hello/x?y=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\n\r\n")
		handler := g.Handler()
		allocs := testing.AllocsPerRun(1000, func() {
			ctx.Response.Reset()
			handler(ctx)
		})
		if string(ctx.Response.Body()) != "hello" || allocs != 0 {
			t.Errorf("%s: got %q with %v allocations, want hello with 0", name, ctx.Response.Body(), allocs)
		}
	}
}

func TestTheLineOfACallIsWrittenWhereItIsAskedFor(t *testing.T) {
	cfg := testConfig()
	var lines bytes.Buffer
	cfg.CallLog, cfg.Logger = true, slog.New(slog.NewJSONHandler(&lines, nil))
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	setFunction(g, "hello", hello)
	g.Handler()(requestCtx("PUT /function/hello HTTP/1.1\r\nHost: a\r\nX-Call-Id: abc\r\n\r\n"))
	if !contains(lines.String(), `"msg":"call","function":"hello.openfaas-fn","method":"PUT","status":200,"took":`, `,"id":"abc"}`) || strings.Count(lines.String(), "\n") != 1 {
		t.Errorf("got %s", lines.String())
	}
}

func TestAnAnswerHasATypeAndItsDuration(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "cat", handlerFunc(func(_ context.Context, r *backends.Request, resp backends.Response) error {
		r.Phases.Run = 1234567 * time.Microsecond
		_, err := resp.Write(r.Body)
		return err
	}))
	for given, want := range map[string]string{"": "text/plain; charset=utf-8", "application/json": "application/json", "application/x-www-form-urlencoded": "text/plain; charset=utf-8"} {
		resp, _ := do(t, "POST", url+"/function/cat", strings.NewReader("{}"), "Content-Type", given)
		if got := resp.Header.Get("Content-Type"); got != want || resp.Header.Get("X-Duration-Seconds") != "1.234567" {
			t.Errorf("%q: got %q after %s", given, got, resp.Header.Get("X-Duration-Seconds"))
		}
	}
}

func TestAProcessWithTooManyCallsRefusesMore(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "hello", hello)
	g.total.inflight.Add(maxCalls)
	if resp, text := do(t, "GET", url+"/function/hello", nil); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(text, "too many calls") {
		t.Errorf("got %d %q", resp.StatusCode, text)
	}
	if n := g.total.inflight.Load(); n != maxCalls || g.total.overloaded.Load() != 1 {
		t.Errorf("%d in flight, %d refused", n, g.total.overloaded.Load())
	}
}

func TestABodyIsReadWholeOrRefused(t *testing.T) {
	cfg := testConfig()
	cfg.MaxBody = 100_000
	g, url := serve(t, cfg)
	setFunction(g, "echo", echo)
	for _, n := range []int{0, 1, 8 << 10, 16<<10 + 1, 99_999, 100_000, 100_001, 300_000} {
		body := strings.Repeat("x", n)
		for how, r := range map[string]io.Reader{"with its length": strings.NewReader(body), "in chunks": struct{ io.Reader }{strings.NewReader(body)}} {
			resp, text := do(t, "POST", url+"/function/echo", r)
			if ok := n <= 100_000; ok && (resp.StatusCode != 200 || text != body) || !ok && (resp.StatusCode != 413 || !strings.Contains(text, "100000")) {
				t.Errorf("%d bytes %s: got %d and %d bytes", n, how, resp.StatusCode, len(text))
			}
		}
	}
}

func TestACallWhoseFunctionIsReplacedUnderItRunsOnTheNewOne(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "f", handlerFunc(func(_ context.Context, _ *backends.Request, resp backends.Response) error {
		resp.SetHeader([]byte("X-Old"), []byte("1"))
		if _, err := resp.Write([]byte("old")); err != nil {
			return err
		}
		setFunction(g, "f", echo)
		return backends.ErrGone
	}))
	if resp, text := do(t, "POST", url+"/function/f", strings.NewReader("new")); resp.StatusCode != 200 || text != "new" || resp.Header.Get("X-Old") != "" {
		t.Errorf("got %d %q %v", resp.StatusCode, text, resp.Header)
	}
}
