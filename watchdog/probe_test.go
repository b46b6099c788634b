package watchdog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

func TestProbesTellWhatTheyAreAskedFor(t *testing.T) {
	r := start(t, nil, "fprocess=cat")
	status := func(method, path string, want int, text string) {
		t.Helper()
		resp, got := r.do(t, method, path, nil)
		if resp.StatusCode != want || got != text {
			t.Errorf("%s %s: got %s %q, want %d %q", method, path, resp.Status, got, want, text)
		}
	}
	status("GET", "/_/health", 200, "OK")
	status("POST", "/_/health", 405, "")
	status("HEAD", "/_/health", 405, "")
	status("GET", "/_/ready", 200, "")
	status("POST", "/_/ready", 405, "")
	info, err := os.Stat(r.cfg.LockFile)
	if err != nil || info.Size() != 0 || info.Mode().Perm()&^0o660 != 0 {
		t.Errorf("lock file: %v, %v", info, err)
	}
	os.Remove(r.cfg.LockFile) // how an operator takes a function out
	status("GET", "/_/health", 503, "")
	status("GET", "/_/ready", 503, "")
	status("POST", "/", 200, "")
	r.stop()
	if strings.Contains(r.log.String(), "/_/") {
		t.Errorf("probes are in the log:\n%s", r.log)
	}
}

func TestWithoutALockFileHealthIsThatOfTheListener(t *testing.T) {
	r := start(t, nil, "fprocess=cat", "suppress_lock=true")
	if resp, text := r.do(t, "GET", "/_/health", nil); resp.StatusCode != 200 || text != "OK" {
		t.Errorf("got %s %q", resp.Status, text)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(r.socket), ".lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a lock file: %v", err)
	}
}

func TestReadyAsksTheFunctionWhereItHasAPath(t *testing.T) {
	r := startProxy(t, "ready_path=/status?503")
	if resp, _ := r.do(t, "GET", "/_/ready", nil); resp.StatusCode != 503 || resp.Header.Get("X-Mine") != "yes" {
		t.Errorf("got %s", resp.Status)
	}
}

func TestAboveTheLimitRequestsAreRefusedAndProbesAreNot(t *testing.T) {
	gate, inside := make(chan struct{}), make(chan struct{}, 2)
	r := start(t, handlerFunc(func(_ context.Context, _ *backends.Request, resp backends.Response) error {
		inside <- struct{}{}
		<-gate
		_, err := resp.Write([]byte("done"))
		return err
	}), "mode=inproc", "max_inflight=2")
	answers := make(chan string, 2)
	for range 2 {
		go func() {
			resp, err := r.Post("http://f/", "", nil)
			if err != nil {
				answers <- err.Error()
				return
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			answers <- string(text)
		}()
		<-inside
	}
	for range 3 {
		resp, text := r.do(t, "POST", "/", strings.NewReader("body"))
		if resp.StatusCode != 429 || text != "Concurrent request limit exceeded. Max concurrent requests: 2\n" ||
			resp.Header.Get("X-Openfaas-Internal") != "faas-middleware" || resp.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("got %s %q %v", resp.Status, text, resp.Header)
		}
	}
	if resp, _ := r.do(t, "GET", "/_/health", nil); resp.StatusCode != 200 {
		t.Errorf("health: %s", resp.Status)
	}
	if resp, _ := r.do(t, "GET", "/_/ready", nil); resp.StatusCode != 429 {
		t.Errorf("ready: %s", resp.Status)
	}
	close(gate)
	for range 2 {
		if text := <-answers; text != "done" {
			t.Errorf("got %q", text)
		}
	}
	if resp, _ := r.do(t, "POST", "/", nil); resp.StatusCode != 200 {
		t.Errorf("afterwards: %s", resp.Status)
	}
}

// handlerFunc makes a function of a Go function.
type handlerFunc func(ctx context.Context, req *backends.Request, resp backends.Response) error

func (f handlerFunc) Invoke(ctx context.Context, req *backends.Request, resp backends.Response) error {
	return f(ctx, req, resp)
}

func TestAHandlerIsServedAndItsErrorsAreSaid(t *testing.T) {
	r := start(t, handlerFunc(func(ctx context.Context, req *backends.Request, resp backends.Response) error {
		switch string(req.Path) {
		case "/echo":
			resp.SetHeader([]byte("X-Query"), req.Query)
			resp.SetStatus(201)
			_, err := resp.Write(req.Body)
			return err
		case "/slow":
			<-ctx.Done()
			return ctx.Err()
		case "/big":
			_, err := resp.Write(make([]byte, 2000))
			return err
		case "/panic":
			panic("inside")
		case "/odd":
			resp.SetStatus(99)
			return nil
		}
		return backends.Errorf(backends.ErrFunction, "exit code 1")
	}), "mode=inproc", "exec_timeout=100ms", "max_answer_bytes=1000")
	for path, want := range map[string]int{"/echo?a=1": 201, "/slow": 504, "/big": 502, "/panic": 500, "/odd": 500, "/": 500} {
		resp, text := r.do(t, "POST", path, strings.NewReader("hi"))
		if resp.StatusCode != want || (want >= 500) != (resp.Header.Get("X-Openfaas-Internal") == "of-watchdog") {
			t.Errorf("%s: got %s %q %v", path, resp.Status, text, resp.Header)
		}
		if want == 201 && (text != "hi" || resp.Header.Get("X-Query") != "a=1" || resp.Header.Get("X-Duration-Seconds") == "") {
			t.Errorf("%s: got %q %v", path, text, resp.Header)
		}
	}
	if !strings.Contains(r.log.String(), "panic: inside") {
		t.Errorf("the panic is not in the log:\n%s", r.log)
	}
}

func TestAStopLosesNoRequestAndTellsTheFunctionLast(t *testing.T) {
	t.Parallel()
	r := startProxy(t, "healthcheck_interval=600ms")
	slow := make(chan string, 1)
	go func() {
		resp, err := r.Get("http://f/slow?1200ms")
		if err != nil {
			slow <- err.Error()
			return
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		slow <- fmt.Sprint(resp.StatusCode, string(text))
	}()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		time.Sleep(100 * time.Millisecond) // the slow request is on its way
		r.stop()
	}()
	eventually(t, "health to be bad", func() bool {
		resp, err := r.Get("http://f/_/health")
		if err != nil {
			t.Fatalf("it no longer listens: %v", err)
		}
		resp.Body.Close()
		return resp.StatusCode == 503
	})
	if _, err := os.Stat(r.cfg.LockFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock file is still there: %v", err)
	}
	if resp, text := r.do(t, "POST", "/echo", strings.NewReader("late")); resp.StatusCode != 200 || text != "late" {
		t.Errorf("a request before the end of listening: %s %q", resp.Status, text)
	}
	if got := <-slow; got != "200slow" {
		t.Errorf("the request in flight: %s", got)
	}
	<-stopped
	log := r.log.String()
	if heard, done := strings.Index(log, "function heard SIGTERM"), strings.Index(log, "GET /slow?1200ms - 200"); heard < done || done < 0 {
		t.Errorf("the function heard of the end before it:\n%s", log)
	}
}

func TestAFunctionThatIgnoresSIGTERMIsKilled(t *testing.T) {
	t.Parallel()
	r := startProxy(t, "TEST_STUBBORN=yes")
	begin := time.Now()
	r.stop()
	if took := time.Since(begin); took < r.cfg.StopDelay {
		t.Errorf("it was given only %v", took)
	}
	if !strings.Contains(r.log.String(), "function heard SIGTERM") {
		t.Errorf("it was not asked:\n%s", r.log)
	}
}

func TestFilesAreServedAndNothingElseIs(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "outside"), "secret")
	public := filepath.Join(dir, "public")
	if err := os.MkdirAll(filepath.Join(public, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(public, "index.html"), "<p>home")
	writeFile(t, filepath.Join(public, "a.txt"), "0123456789")
	r := start(t, nil, "mode=static", "static_path="+public)
	for name, c := range map[string]struct {
		method, path, header string
		status               int
		want                 string
	}{
		"the index":               {"GET", "/", "", 200, "<p>home"},
		"a file":                  {"GET", "/a.txt", "", 200, "0123456789"},
		"a part":                  {"GET", "/a.txt", "Range: bytes=2-4", 206, "234"},
		"its head":                {"HEAD", "/a.txt", "", 200, ""},
		"nothing":                 {"GET", "/b.txt", "", 404, "404 page not found\n"},
		"a method that is not":    {"POST", "/a.txt", "", 405, ""},
		"a directory":             {"GET", "/sub/", "", 403, "*"},
		"the directory above":     {"GET", "/../outside", "", 404, "*"},
		"the same, encoded":       {"GET", "/%2e%2e/outside", "", 404, "*"},
		"the same, encoded twice": {"GET", "/%252e%252e/outside", "", 404, "*"},
		"the same, with slashes":  {"GET", "/sub/..%2f..%2foutside", "", 404, "*"},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			resp, text := r.do(t, c.method, c.path, nil, headers...)
			if resp.StatusCode != c.status || !like(text, c.want) || strings.Contains(text, "secret") {
				t.Errorf("got %s %q", resp.Status, text)
			}
		})
	}
}
