package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hearth/backends"
	"hearth/backends/inproc"
	"hearth/backends/local"
	"hearth/gateway"
	"hearth/gateway/client"
	"hearth/runtime"
)

// startGateway runs the real parts, with a state of their own, on a port of
// their own.
func startGateway(t *testing.T) (url string) {
	t.Helper()
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	engine, err := runtime.New(context.Background(), runtime.Config{CacheDir: filepath.Join(dir, "cache")})
	must(t, err)
	state, err := local.Open(local.Config{Dir: filepath.Join(dir, "local"), Logger: quiet})
	must(t, err)
	host, err := inproc.Open(context.Background(), inproc.Config{Dir: dir, Engine: engine, MaxModule: 1 << 20, Logger: quiet})
	must(t, err)
	backend := host.Backend(state)
	g, err := gateway.New(gateway.Config{
		Backend: backend, Logger: quiet, Registry: prometheus.NewRegistry(),
		Call: backends.DefaultCall, Scale: backends.DefaultScale, Version: backends.VersionInfo{Release: "1.2.3", SHA: "abc"},
		Credentials: &gateway.Credentials{User: "admin", Password: "secret"},
		MaxBody:     16 << 20, MaxAnswer: 32 << 20, MaxModule: 1 << 20,
		HeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, WriteTimeout: time.Minute, ScaleFromZero: true,
	})
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	watching, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- backend.Watch(watching, g.Table()) }()
	go func() { ended <- g.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := g.Shutdown(ctx)
		stop()
		if err := errors.Join(err, <-ended, <-ended, host.Close(), state.Close(), engine.Close()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

func newClient(t *testing.T, url, password string) *client.Client {
	t.Helper()
	c, err := client.New(url+"/", "admin", password)
	must(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return c.WithTransport(transport)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v, want an error of kind %v", what, err, kind)
	}
}

func keyOf(name string) backends.Key {
	return backends.Key{Namespace: backends.DefaultNamespace, Name: name}
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(b)
}

func TestAFunctionIsDeployedCalledScaledAndRemoved(t *testing.T) {
	ctx := t.Context()
	c := newClient(t, startGateway(t), "secret")
	info, err := c.Info(ctx)
	must(t, err)
	must(t, c.Healthy(ctx))
	if info.Version.Release != "1.2.3" || info.Provider.Provider == "" {
		t.Errorf("info: got %+v", info)
	}
	d := backends.FunctionDeployment{Service: "say", Image: "store/cat", Labels: map[string]string{"team": "a"}}
	for i, wantNew := range []bool{true, false} {
		if isNew, err := c.Deploy(ctx, d); err != nil || isNew != wantNew {
			t.Fatalf("deploy %d: got %v, %v", i, isNew, err)
		}
	}
	wantKind(t, "create again", c.Create(ctx, d), backends.ErrExists)
	wantKind(t, "update of nothing", c.Update(ctx, backends.FunctionDeployment{Service: "none", Image: "store/cat"}), backends.ErrNotFound)
	wantKind(t, "a bad name", c.Create(ctx, backends.FunctionDeployment{Service: "../x", Image: "store/cat"}), backends.ErrInvalid)
	list, err := c.List(ctx, "")
	must(t, err)
	if len(list) != 1 || list[0].Name != "say" || list[0].Labels["team"] != "a" {
		t.Errorf("list: got %+v", list)
	}

	resp, err := c.Invoke(ctx, client.Call{Key: keyOf("say"), Path: "/a%20b", Query: "x=1", Body: strings.NewReader("hello")})
	must(t, err)
	if text := readAll(t, resp); resp.StatusCode != 200 || text != "hello" || resp.Header.Get("X-Call-Id") == "" {
		t.Errorf("invoke: got %s %q", resp.Status, text)
	}
	must(t, c.Scale(ctx, keyOf("say"), 0))
	if status, err := c.Get(ctx, keyOf("say")); err != nil || status.Replicas != 0 {
		t.Errorf("after scaling to 0: %+v, %v", status, err)
	}
	wantKind(t, "scale below zero", c.Scale(ctx, keyOf("say"), -1), backends.ErrInvalid)
	wantKind(t, "scale nothing", c.Scale(ctx, keyOf("none"), 1), backends.ErrNotFound)
	must(t, c.Delete(ctx, keyOf("say")))
	wantKind(t, "delete again", c.Delete(ctx, keyOf("say")), backends.ErrNotFound)
	_, err = c.Get(ctx, keyOf("say"))
	wantKind(t, "get", err, backends.ErrNotFound)
	if resp, err = c.Invoke(ctx, client.Call{Key: keyOf("say")}); err != nil || resp.StatusCode != 404 {
		t.Errorf("invoke after delete: got %v, %v", resp, err)
	}
	resp.Body.Close()
}

func TestACallPassesMethodHeadersAndStatusBothWays(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Add("X-Two", "1")
		w.Header().Add("X-Two", "2")
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	c := newClient(t, server.URL+"/prefix", "secret")
	resp, err := c.Invoke(t.Context(), client.Call{
		Key: backends.Key{Namespace: "dev", Name: "f"}, Method: "PROPFIND", Path: "/a%2Fb/", Query: "q=%20&&",
		Header: http.Header{"x-lower": {"v"}, "Host": {"function.example"}, "User-Agent": {"mine"}}, Async: true,
	})
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusTeapot || len(resp.Header["X-Two"]) != 2 {
		t.Errorf("got %s %v", resp.Status, resp.Header)
	}
	if want := "/prefix/async-function/f.dev/a%2Fb/?q=%20&&"; got.RequestURI != want || got.Method != "PROPFIND" || got.Host != "function.example" {
		t.Errorf("sent %s %s to %s, want %s", got.Method, got.RequestURI, got.Host, want)
	}
	if got.Header.Get("Authorization") != "" || got.Header.Get("X-Lower") != "v" || got.UserAgent() != "mine" {
		t.Errorf("sent %v", got.Header)
	}
	for _, path := range []string{"a", "/#x", "/%zz", "/ \x00"} {
		_, err := c.Invoke(t.Context(), client.Call{Key: keyOf("f"), Path: path})
		wantKind(t, "path "+path, err, backends.ErrInvalid)
	}
}

func TestSecretsAndNamespacesAreMadeChangedAndRemoved(t *testing.T) {
	ctx := t.Context()
	c := newClient(t, startGateway(t), "secret")
	s := backends.Secret{Name: "key", Value: []byte("\x00\xffraw")}
	must(t, c.CreateSecret(ctx, s))
	wantKind(t, "create again", c.CreateSecret(ctx, s), backends.ErrExists)
	must(t, c.UpdateSecret(ctx, s))
	if names, err := c.Secrets(ctx, ""); err != nil || !slices.Equal(names, []string{"key"}) {
		t.Errorf("secrets: got %v, %v", names, err)
	}
	must(t, c.DeleteSecret(ctx, "", "key"))
	wantKind(t, "delete again", c.DeleteSecret(ctx, "", "key"), backends.ErrNotFound)
	wantKind(t, "update of nothing", c.UpdateSecret(ctx, s), backends.ErrNotFound)

	n := backends.NamespaceBody{Name: "dev", Labels: map[string]string{"team": "a"}}
	must(t, c.CreateNamespace(ctx, n))
	wantKind(t, "create again", c.CreateNamespace(ctx, n), backends.ErrExists)
	if got, err := c.Namespace(ctx, "dev"); err != nil || got.Labels["team"] != "a" {
		t.Errorf("namespace: got %+v, %v", got, err)
	}
	n.Labels = map[string]string{"team": "b"}
	must(t, c.UpdateNamespace(ctx, n))
	if got, err := c.Namespace(ctx, "dev"); err != nil || got.Labels["team"] != "b" || len(n.Labels) != 1 {
		t.Errorf("after update: got %+v, %v, and the argument became %v", got, err, n.Labels)
	}
	must(t, c.Create(ctx, backends.FunctionDeployment{Service: "say", Image: "store/cat", Namespace: "dev"}))
	wantKind(t, "delete of a namespace in use", c.DeleteNamespace(ctx, "dev"), backends.ErrConflict)
	must(t, c.Delete(ctx, backends.Key{Namespace: "dev", Name: "say"}))
	must(t, c.DeleteNamespace(ctx, "dev"))
	if names, err := c.Namespaces(ctx); err != nil || !slices.Equal(names, []string{backends.DefaultNamespace}) {
		t.Errorf("namespaces: got %v, %v", names, err)
	}
	_, err := c.Namespace(ctx, "a/b")
	wantKind(t, "a bad name", err, backends.ErrInvalid)
}

func TestAModuleIsUploadedDeployedAndItsLogRead(t *testing.T) {
	ctx := t.Context()
	c := newClient(t, startGateway(t), "secret")
	wasm, err := os.ReadFile("../../backends/inproc/store/wasm/box.wasm")
	must(t, err)
	module, err := c.PutModule(ctx, bytes.NewReader(wasm))
	must(t, err)
	if module.Size != int64(len(wasm)) || module.Image != "module@"+module.Digest {
		t.Errorf("got %+v", module)
	}
	_, err = c.PutModule(ctx, strings.NewReader("#!/bin/sh"))
	wantKind(t, "a script", err, backends.ErrInvalid)
	_, err = c.PutModule(ctx, io.MultiReader(bytes.NewReader(make([]byte, 3<<20))))
	wantKind(t, "3 MiB", err, backends.ErrTooLarge)
	store, err := c.Store(ctx)
	if err != nil || len(store) < 8 {
		t.Errorf("store: got %d functions, %v", len(store), err)
	}

	_, err = c.Deploy(ctx, backends.FunctionDeployment{Service: "say", Image: module.Image, EnvProcess: "cat", Annotations: map[string]string{backends.KeyCallLog: "classic"}})
	must(t, err)
	following, stop := context.WithCancel(ctx)
	defer stop()
	call := func() {
		resp, err := c.Invoke(ctx, client.Call{Key: keyOf("say"), Body: strings.NewReader("hello world")})
		must(t, err)
		readAll(t, resp)
	}
	call()
	var texts []string
	for line, err := range c.Logs(following, backends.LogQuery{Key: keyOf("say"), Follow: true}) {
		must(t, err)
		if line.Key != keyOf("say") || line.Time.IsZero() {
			t.Errorf("got %+v", line)
		}
		if texts = append(texts, line.Text); len(texts) == 2 {
			call() // what is written from now on comes too
		}
		if len(texts) == 4 {
			break
		}
	}
	if len(texts) != 4 || !strings.Contains(texts[2], "Forking fprocess.") || !strings.Contains(texts[3], "Wrote 11 Bytes") {
		t.Errorf("followed %q", texts)
	}
	n := 0
	for _, err := range c.Logs(ctx, backends.LogQuery{Key: keyOf("say"), Tail: 3, Since: time.Now().Add(-time.Hour)}) {
		must(t, err)
		n++
	}
	if n != 3 {
		t.Errorf("the last 3 lines: got %d", n)
	}
	for _, err := range c.Logs(ctx, backends.LogQuery{Key: keyOf("none")}) {
		wantKind(t, "logs of nothing", err, backends.ErrNotFound)
	}
}
