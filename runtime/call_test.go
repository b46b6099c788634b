package runtime_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/backends/inproc/store"
	"hearth/runtime"
)

// newEngine makes an engine that the test closes.
func newEngine(tb testing.TB, cfg runtime.Config) *runtime.Engine {
	tb.Helper()
	if cfg.CacheDir == "" {
		cfg.CacheDir = sharedCache()
	}
	e, err := runtime.New(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			tb.Errorf("close the engine: %v", err)
		}
	})
	return e
}

func load(tb testing.TB, e *runtime.Engine, wasm []byte, spec runtime.Spec) *runtime.Module {
	tb.Helper()
	if spec.Key.Name == "" {
		spec.Key = backends.Key{Namespace: backends.DefaultNamespace, Name: "fn"}
	}
	m, err := e.Load(context.Background(), wasm, spec)
	if err != nil {
		tb.Fatalf("load: %v", err)
	}
	return m
}

// stored returns a function of the store.
func stored(tb testing.TB, name string) store.Function {
	tb.Helper()
	f, ok := store.Lookup(name)
	if !ok {
		tb.Fatalf("the store has no function %q", name)
	}
	return f
}

// headers is a request's or an answer's header.
type headers [][2]string

func (h headers) Get(name string) []byte {
	for _, line := range h {
		if line[0] == name {
			return []byte(line[1])
		}
	}
	return nil
}

func (h headers) Visit(yield func(name, value []byte) bool) {
	for _, line := range h {
		if !yield([]byte(line[0]), []byte(line[1])) {
			return
		}
	}
}

// recorder is a backends.Response that keeps the answer.
type recorder struct {
	status int
	header headers
	body   bytes.Buffer
	most   int // bytes it takes, 0 = any
}

func (r *recorder) SetStatus(code int) { r.status = code }
func (r *recorder) SetHeader(name, value []byte) {
	for i := range r.header {
		if r.header[i][0] == string(name) {
			r.header[i][1] = string(value)
			return
		}
	}
	r.AddHeader(name, value)
}
func (r *recorder) AddHeader(name, value []byte) {
	r.header = append(r.header, [2]string{string(name), string(value)})
}
func (r *recorder) Write(p []byte) (int, error) {
	if r.most > 0 && r.body.Len()+len(p) > r.most {
		return 0, backends.Errorf(backends.ErrTooLarge, "answer above %d bytes", r.most)
	}
	return r.body.Write(p)
}

func request(body string) *backends.Request {
	return &backends.Request{Start: time.Now(), Method: []byte("POST"), Path: []byte("/"), Host: []byte("127.0.0.1"), Header: headers{}, Body: []byte(body)}
}

// invoke calls a function within ten seconds.
func invoke(tb testing.TB, m *runtime.Module, req *backends.Request) (*recorder, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r := &recorder{status: http.StatusOK}
	return r, m.Invoke(ctx, req, r)
}

func TestARequestBecomesTheVariablesOfBothWatchdogs(t *testing.T) {
	f := stored(t, "env")
	m := load(t, newEngine(t, runtime.Config{}), f.Wasm, runtime.Spec{Args: f.Process, Env: map[string]string{"greeting": "hi", "Http_Path": "spoofed"}})
	req := request("body")
	req.Path, req.Query = []byte("/a%20b"), []byte("q=1&r")
	req.Header = headers{{"X-Call-Id", "7"}, {"X-Call-Id", "8"}, {"Proxy", "http://evil"}, {"Method", "spoofed"}, {"Content-Type", "text/plain"}, {"X-Nul", "a\x00b"}}
	r, err := invoke(t, m, req)
	if err != nil {
		t.Fatal(err)
	}
	want := "Http_Method=POST\nHttp_Path=/a%20b\nHttp_Query=q=1&r\nHttp_Host=127.0.0.1\nHttp_ContentLength=4\nHttp_Content_Length=4\n" +
		"Http_X_Call_Id=7\nHttp_Content_Type=text/plain\nHttp_Path=spoofed\ngreeting=hi\n"
	if got := r.body.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if req.Phases.Run <= 0 || req.Phases.Start <= 0 {
		t.Errorf("phases %+v, want both set", req.Phases)
	}
}

func TestAnAnswerAboveEitherLimitIsRefusedAsTheFunctionsFault(t *testing.T) {
	e, f := newEngine(t, runtime.Config{}), stored(t, "cat")
	for name, most := range map[string][2]int{"the module's": {100, 0}, "the server's": {0, 100}} {
		m := load(t, e, f.Wasm, runtime.Spec{Args: f.Process, Answer: int64(most[0])})
		r := &recorder{most: most[1]}
		err := m.Invoke(t.Context(), request(strings.Repeat("x", 101)), r)
		if backends.HTTPStatus(err) != http.StatusBadGateway || !strings.Contains(err.Error(), "output too large") {
			t.Errorf("%s limit: %v (status %d), want output too large and 502", name, err, backends.HTTPStatus(err))
		}
		if r = (&recorder{}); m.Invoke(t.Context(), request(strings.Repeat("x", 100)), r) != nil || r.body.Len() != 100 {
			t.Errorf("%s limit: an answer at the limit was refused", name)
		}
	}
}

func TestASleepingFunctionIsStoppedAtTheCallsDeadline(t *testing.T) {
	f := stored(t, "sleep")
	m := load(t, newEngine(t, runtime.Config{}), f.Wasm, runtime.Spec{Args: []string{"sleep", "60"}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := m.Invoke(ctx, request(""), &recorder{})
	if backends.HTTPStatus(err) != http.StatusGatewayTimeout || !strings.Contains(err.Error(), backends.KeyTimeout) {
		t.Errorf("got %v (status %d), want 504 and the key to change", err, backends.HTTPStatus(err))
	}
}

func TestACallWhoseCallerWentAwayEndsAsCanceled(t *testing.T) {
	f := stored(t, "sleep")
	m := load(t, newEngine(t, runtime.Config{}), f.Wasm, runtime.Spec{Args: []string{"sleep", "60"}})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := m.Invoke(ctx, request(""), &recorder{}); backends.HTTPStatus(err) != 499 {
		t.Errorf("got %v, want it canceled", err)
	}
}

func TestAnExitStatusFailsTheCall(t *testing.T) {
	f := stored(t, "alpine")
	m := load(t, newEngine(t, runtime.Config{}), f.Wasm, runtime.Spec{Args: []string{"false"}})
	if _, err := invoke(t, m, request("")); backends.HTTPStatus(err) != http.StatusInternalServerError || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("got %v, want exit status 1 and 500", err)
	}
}

func TestClassicLogHasTheTwoLinesOfTheClassicWatchdog(t *testing.T) {
	var lines []string
	f := stored(t, "cat")
	m := load(t, newEngine(t, runtime.Config{}), f.Wasm, runtime.Spec{Args: f.Process, ClassicLog: true, Log: func(l []byte) { lines = append(lines, string(l)) }})
	if _, err := invoke(t, m, request("eleven byte")); err != nil {
		t.Fatal(err)
	}
	const stamp = "0123456789/: "
	if len(lines) != 2 || strings.TrimLeft(lines[0], stamp) != "Forking fprocess." || !strings.HasPrefix(strings.TrimLeft(lines[1], stamp), "Wrote 11 Bytes - Duration: 0.") {
		t.Errorf("log %q", lines)
	}
}

func TestCloseWaitsForCallsInFlightAndLaterCallsAreGone(t *testing.T) {
	f := stored(t, "sleep")
	m := load(t, newEngine(t, runtime.Config{}), f.Wasm, runtime.Spec{Args: []string{"sleep", "0.1"}, ClassicLog: true, Log: nil})
	began, done := make(chan struct{}), make(chan error, 1)
	go func() {
		close(began)
		done <- m.Invoke(context.Background(), request(""), &recorder{})
	}()
	<-began
	for m.InFlight() == 0 && len(done) == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = m.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("the call in flight: %v", err)
		}
	default:
		t.Error("Close returned before the call in flight")
	}
	if err := m.Invoke(t.Context(), request(""), &recorder{}); backends.HTTPStatus(err) != http.StatusServiceUnavailable {
		t.Errorf("a call after Close: %v, want ErrGone", err)
	}
}
