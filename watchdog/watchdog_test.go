package watchdog

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/backends"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv("TEST_FUNCTION"); addr != "" {
		runFunction(addr)
		return
	}
	if os.Getenv("TEST_MAIN") != "" {
		os.Exit(runMain())
	}
	// The server's pool looks whether it was stopped only every ten seconds.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// running is a watchdog that serves on a socket of its own.
type running struct {
	*http.Client
	cfg    Config
	socket string
	log    *lockedBuffer
	stop   func() // SIGTERM, and waits for the end
}

// lockedBuffer is a log for many writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a watchdog in an environment of NAME=value and waits until it is
// healthy.
func start(t testing.TB, handler backends.Handler, environ ...string) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{socket: filepath.Join(dir, "s"), log: &lockedBuffer{}}
	environ = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + dir, "listen_socket=" + r.socket, "healthcheck_interval=0"}, environ...)
	cfg, warnings, err := FromEnviron(environ)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if path := os.Getenv("TEST_WATCHDOG"); path != "" {
		return startOther(t, r, path, environ)
	}
	cfg.Log, cfg.StopDelay = r.log, 300*time.Millisecond
	r.cfg = cfg
	w, err := New(cfg, handler)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	}}
	r.Client = &http.Client{Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the watchdog does not end")
		}
		transport.CloseIdleConnections()
	}
	t.Cleanup(r.stop)
	r.awaitHealth(t)
	return r
}

func (r *running) awaitHealth(t testing.TB) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		if resp, err := r.Get("http://f/_/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return
			}
		}
		if time.Since(begin) > 15*time.Second {
			t.Fatalf("not healthy; the log says\n%s", r.log)
		}
	}
}

// startOther runs another watchdog's program in place of ours: with
// TEST_WATCHDOG, go test -parallel 1 -run Contract shows how they differ.
func startOther(t testing.TB, r *running, path string, environ []string) *running {
	t.Helper()
	addr := freeAddr(t)
	cmd := exec.Command(path)
	_, port, _ := net.SplitHostPort(addr)
	cmd.Env = append(environ, "port="+port)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}}
	r.Client = &http.Client{Transport: transport, Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			transport.CloseIdleConnections()
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
	t.Cleanup(r.stop)
	r.awaitHealth(t)
	return r
}

// do makes one request. Headers are "Name: value".
func (r *running) do(t *testing.T, method, target string, body io.Reader, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://f"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := r.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, target, err, r.log)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, target, err, r.log)
	}
	return resp, string(text)
}

// forkCase is one row of the contract of modes that start a process per
// request.
type forkCase struct {
	env     []string
	method  string // POST if empty
	target  string // / if empty
	headers []string
	body    string
	status  int
	want    string // the whole answer, or with a * at the end what it begins with
	header  string // that the answer has: Name: value, or -Name for none
	logged  string
}

func TestAProcessPerRequestKeepsTheContract(t *testing.T) {
	const sh = "fprocess=/bin/sh " // one word per argument: scripts are files
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "script")
		writeFile(t, path, text)
		return sh + path
	}
	for name, c := range map[string]forkCase{
		"streaming: the body is the input, the output the answer":    {env: []string{"fprocess=cat"}, body: "hello", status: 200, want: "hello", header: "Content-Type: application/octet-stream"},
		"streaming: no duration":                                     {env: []string{"fprocess=cat"}, status: 200, header: "-X-Duration-Seconds"},
		"streaming: content_type":                                    {env: []string{"fprocess=cat", "content_type=text/x"}, body: "x", status: 200, want: "x", header: "Content-Type: text/x"},
		"streaming: function_process goes before fprocess":           {env: []string{"fprocess=false", "function_process=echo one  two"}, status: 200, want: "one  two\n"},
		"streaming: a failure after output is a success":             {env: []string{script("echo out; exit 3")}, status: 200, want: "out\n", logged: "exit status 3"},
		"streaming: a failure without a word is one":                 {env: []string{script("exit 3")}, status: 500, want: "exit status 3"},
		"streaming: standard error goes to the log":                  {env: []string{script("echo oops >&2; echo out")}, status: 200, want: "out\n", logged: " stderr: oops\n"},
		"streaming: without prefix":                                  {env: []string{script("echo oops >&2; echo out"), "prefix_logs=false"}, status: 200, want: "out\n", logged: "\noops\n"},
		"streaming: a program that is not there":                     {env: []string{"fprocess=/nowhere"}, status: 500, want: "fork/exec /nowhere*", header: "X-Openfaas-Internal: of-watchdog"},
		"streaming: HEAD":                                            {env: []string{"fprocess=echo x"}, method: "HEAD", status: 200},
		"streaming: any method":                                      {env: []string{"fprocess=env"}, method: "PROPFIND", status: 200, want: "*\nHttp_Method=PROPFIND\n*"},
		"streaming: a killed process without output":                 {env: []string{script("sleep 30"), "exec_timeout=100ms"}, status: 500, want: "signal: killed", logged: "exec_timeout"},
		"serializing: the whole answer":                              {env: []string{"mode=serializing", "fprocess=cat"}, body: "hello", status: 200, want: "hello", header: "Content-Length: 5"},
		"serializing: a failure":                                     {env: []string{"mode=serializing", script("echo out; echo oops >&2; exit 3")}, status: 500, want: "exit status 3", logged: " stderr: oops\n"},
		"serializing: a killed process":                              {env: []string{"mode=serializing", script("echo out; sleep 30"), "exec_timeout=100ms"}, status: 500, want: "signal: killed"},
		"serializing: more output than allowed":                      {env: []string{"mode=serializing", "fprocess=yes", "max_answer_bytes=1000000"}, status: 502, want: "the output is longer than the 1000000 bytes*", header: "X-Openfaas-Internal: of-watchdog"},
		"serializing: more body than allowed":                        {env: []string{"mode=serializing", "fprocess=cat", "max_body_bytes=4"}, body: "hello", status: 413, want: "body: more than the 4 bytes allowed: max_body_bytes raises it\n"},
		"serializing: input that is not read":                        {env: []string{"mode=serializing", "fprocess=echo hi"}, body: strings.Repeat("x", 1<<20), status: 200, want: "hi\n"},
		"classic: output and error are the answer, with a duration":  {env: []string{"mode=classic", script("echo out; echo oops >&2")}, status: 200, want: "out\noops\n", header: "X-Duration-Seconds: *", logged: "Forking fprocess.\n"},
		"classic: the line about bytes":                              {env: []string{"mode=classic", "fprocess=cat"}, body: "hello world", status: 200, want: "hello world", logged: "Wrote 11 Bytes - Duration: 0."},
		"classic: combine_output=false":                              {env: []string{"mode=classic", script("echo out; echo oops >&2"), "combine_output=false"}, status: 200, want: "out\n", logged: "stderr: oops\n"},
		"classic: the type is that of the request":                   {env: []string{"mode=classic", "fprocess=cat"}, headers: []string{"Content-Type: text/x"}, body: "{}", status: 200, want: "{}", header: "Content-Type: text/x"},
		"classic: content_type goes first":                           {env: []string{"mode=classic", "fprocess=cat", "content_type=text/y"}, headers: []string{"Content-Type: text/x"}, status: 200, header: "Content-Type: text/y"},
		"classic: the type is guessed":                               {env: []string{"mode=classic", "fprocess=echo <html>"}, status: 200, want: "<html>\n", header: "Content-Type: text/html; charset=utf-8"},
		"classic: a failure":                                         {env: []string{"mode=classic", script("echo out; exit 3")}, status: 500, want: "exit status 3\nout\n", header: "-X-Duration-Seconds"},
		"classic: a killed process":                                  {env: []string{"mode=classic", script("sleep 30"), "exec_timeout=100ms"}, status: 408, want: "Killed process.\n"},
		"classic: HEAD":                                              {env: []string{"mode=classic", "fprocess=cat"}, method: "HEAD", status: 405},
		"classic: OPTIONS":                                           {env: []string{"mode=classic", "fprocess=cat"}, method: "OPTIONS", status: 405},
		"classic: /_/ready is the function's":                        {env: []string{"mode=classic", "fprocess=echo mine"}, method: "GET", target: "/_/ready", status: 200, want: "mine\n"},
		"classic: marshal_request":                                   {env: []string{"mode=classic", "fprocess=cat", "marshal_request=true"}, headers: []string{"X-A: 1"}, body: "hi", status: 200, want: `{"header":{*`},
		"classic: a chunked body has length -1 in the environment":   {env: []string{"mode=classic", "fprocess=env"}, body: "chunked", status: 200, want: "*\nHttp_Content_Length=-1\n*"},
		"classic: Host is in the environment":                        {env: []string{"mode=classic", "fprocess=env"}, status: 200, want: "*\nHttp_Host=f\n*"},
		"classic: no headers in the environment with cgi_headers=no": {env: []string{"mode=classic", script("env | grep -c Http_ || true"), "cgi_headers=false"}, status: 200, want: "0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, nil, c.env...)
			var body io.Reader = strings.NewReader(c.body)
			if c.body == "chunked" {
				body = io.MultiReader(body)
			}
			method, target := c.method, c.target
			if method == "" {
				method = "POST"
			}
			if target == "" {
				target = "/"
			}
			resp, text := r.do(t, method, target, body, c.headers...)
			if resp.StatusCode != c.status || !like(text, c.want) {
				t.Errorf("got %s %.300q, want %d %.300q", resp.Status, text, c.status, c.want)
			}
			checkHeader(t, resp, c.header)
			r.stop()
			if c.logged != "" && !strings.Contains(r.log.String(), c.logged) {
				t.Errorf("the log has no %q:\n%s", c.logged, r.log)
			}
		})
	}
}

// like compares with a text in which * stands for anything, at one end or both.
func like(text, want string) bool {
	inner, anyEnd := strings.CutSuffix(want, "*")
	inner, anyStart := strings.CutPrefix(inner, "*")
	switch {
	case anyStart && anyEnd:
		return strings.Contains(text, inner)
	case anyEnd:
		return strings.HasPrefix(text, inner)
	}
	return text == want
}

func checkHeader(t *testing.T, resp *http.Response, want string) {
	t.Helper()
	if name, none := strings.CutPrefix(want, "-"); none {
		if len(resp.Header[name]) > 0 {
			t.Errorf("the answer has %s: %s", name, resp.Header.Get(name))
		}
		return
	}
	if name, value, ok := strings.Cut(want, ": "); ok && (len(resp.Header[name]) == 0 || !like(resp.Header.Get(name), value)) {
		t.Errorf("got %s %q, want %q", name, resp.Header[name], value)
	}
}

func TestHeadersBecomeEnvironmentAndNothingElseDoes(t *testing.T) {
	r := start(t, nil, "fprocess=env", "OWN=kept", "Http_Method=from outside")
	_, text := r.do(t, "POST", "/a%20b/c?x=%201&y", strings.NewReader("hi"), "X-Two: first", "X-Two: second", "Proxy: http://evil", "pRoXy: http://evil",
		"X_Under: spoof", "X-Under: right", "Method: DELETE", "Query: spoof", "Path: /etc", "Content-Type: text/x")
	got := strings.Split(strings.TrimSpace(text), "\n")
	for _, want := range []string{"OWN=kept", "Http_X_Two=first", "Http_X_Under=right", "Http_Method=POST", "Http_Path=/a b/c", "Http_Query=x=%201&y", "Http_Content_Type=text/x", "Http_Content_Length=2"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for _, line := range got {
		name, _, _ := strings.Cut(line, "=")
		if lower := strings.ToLower(name); strings.Contains(line, "evil") || strings.Contains(line, "spoof") || lower == "http_proxy" || lower == "http_host" {
			t.Errorf("%s is in the environment", line)
		}
	}
}
