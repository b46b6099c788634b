package provider_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hearth/backends"
	"hearth/backends/local"
	"hearth/backends/provider"
	"hearth/gateway"
)

var quiet = slog.New(slog.DiscardHandler)

// serveProvider runs a real provider: our own gateway over a directory.
func serveProvider(t *testing.T) *url.URL {
	t.Helper()
	l, err := local.Open(local.Config{Dir: t.TempDir(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	g, err := gateway.New(gateway.Config{
		Backend: l, Logger: quiet, Registry: prometheus.NewRegistry(), Call: backends.DefaultCall, Scale: backends.DefaultScale,
		Credentials: &gateway.Credentials{User: "admin", Password: "s3cret"}, MaxBody: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(g.Shutdown(ctx), <-done); err != nil {
			t.Error(err)
		}
	})
	return &url.URL{Scheme: "http", Host: ln.Addr().String()}
}

func open(t *testing.T, u *url.URL) *provider.Provider {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p, err := provider.New(t.Context(), provider.Config{
		URL: u, User: "admin", Password: "s3cret", Poll: 20 * time.Millisecond, Logger: quiet, Client: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func function(name string) backends.Function {
	return backends.Function{
		Key: backends.Key{Namespace: backends.DefaultNamespace, Name: name}, Image: "functions/alpine:latest",
		Process: "env", Env: map[string]string{"a": "b"}, Labels: map[string]string{backends.LabelScaleMax: "3"},
	}
}

// table records what a watch feeds.
type table struct {
	mu      sync.Mutex
	entries map[backends.Key]backends.Entry
	changed chan struct{}
	empties int
}

func newTable() *table { return &table{changed: make(chan struct{}, 1000)} }

func (t *table) edit(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	t.changed <- struct{}{}
}

func (t *table) Replace(entries []backends.Entry) {
	t.edit(func() {
		if len(entries) == 0 && len(t.entries) > 0 {
			t.empties++
		}
		t.entries = map[backends.Key]backends.Entry{}
		for _, e := range entries {
			t.entries[e.Status.Key] = e
		}
	})
}
func (t *table) Set(e backends.Entry)    { t.edit(func() { t.entries[e.Status.Key] = e }) }
func (t *table) Delete(key backends.Key) { t.edit(func() { delete(t.entries, key) }) }

// await waits until the table is as wanted.
func (t *table) await(tb testing.TB, what string, wanted func(map[backends.Key]backends.Entry) bool) {
	tb.Helper()
	limit := time.After(10 * time.Second)
	for {
		t.mu.Lock()
		ok := t.entries != nil && wanted(t.entries)
		t.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-t.changed:
		case <-limit:
			tb.Fatalf("the table never showed %s: %+v", what, t.entries)
		}
	}
}

func watch(t *testing.T, p *provider.Provider) *table {
	t.Helper()
	tab, done := newTable(), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- p.Watch(ctx, tab) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v", err)
		}
	})
	return tab
}

func TestFunctionsLiveInTheProvider(t *testing.T) {
	p, ctx := open(t, serveProvider(t)), t.Context()
	if info := p.Info(); info.Name != "hearth-local" {
		t.Errorf("info %+v is not the provider's own", info)
	}
	tab, f := watch(t, p), function("env")
	tab.await(t, "nothing", func(m map[backends.Key]backends.Entry) bool { return len(m) == 0 })
	if err := p.Deploy(ctx, f); err != nil {
		t.Fatal(err)
	}
	if err := p.Deploy(ctx, f); !errors.Is(err, backends.ErrExists) {
		t.Errorf("a second deploy: %v", err)
	}
	tab.await(t, "an endpoint", func(m map[backends.Key]backends.Entry) bool {
		e := m[f.Key]
		return len(e.Endpoints) == 1 && e.Endpoints[0].Prefix == "/function/env.openfaas-fn" && e.Status.Generation == 1
	})
	if err := p.Scale(ctx, f.Key, 2); err != nil {
		t.Fatal(err)
	}
	f.Env["a"] = "c"
	if err := p.Update(ctx, f); err != nil {
		t.Fatal(err)
	}
	status, err := p.Get(ctx, f.Key)
	if err != nil || status.Env["a"] != "c" || status.Replicas != 2 || status.Labels[backends.FunctionLabel] != "" {
		t.Errorf("status %+v, %v", status, err)
	}
	tab.await(t, "the next generation", func(m map[backends.Key]backends.Entry) bool { return m[f.Key].Status.Generation == 2 })
	if list, err := p.List(ctx, ""); err != nil || len(list) != 1 || list[0].Name != "env" {
		t.Errorf("list %+v, %v", list, err)
	}
	if err := p.Delete(ctx, f.Key); err != nil {
		t.Fatal(err)
	}
	tab.await(t, "that it is gone", func(m map[backends.Key]backends.Entry) bool { return len(m) == 0 })
	for name, err := range map[string]error{"update": p.Update(ctx, f), "delete": p.Delete(ctx, f.Key), "scale": p.Scale(ctx, f.Key, 1)} {
		if !errors.Is(err, backends.ErrNotFound) {
			t.Errorf("%s of what is gone: %v", name, err)
		}
	}
}

func TestSecretsAndNamespacesPassThrough(t *testing.T) {
	p, ctx := open(t, serveProvider(t)), t.Context()
	powers := p.Powers()
	if err := powers.Namespaces.Create(ctx, backends.Namespace{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	if names, err := powers.Namespaces.List(ctx); err != nil || len(names) != 2 || names[1] != "team" {
		t.Errorf("namespaces %v, %v", names, err)
	}
	secret := backends.Secret{Namespace: "team", Name: "key", Value: []byte{0xff, 0, 1}}
	if err := powers.Secrets.Create(ctx, secret); err != nil {
		t.Fatal(err)
	}
	if err := powers.Secrets.Create(ctx, secret); !errors.Is(err, backends.ErrExists) {
		t.Errorf("a second create: %v", err)
	}
	if err := powers.Secrets.Update(ctx, secret); err != nil {
		t.Error(err)
	}
	if names, err := powers.Secrets.List(ctx, "team"); err != nil || len(names) != 1 || names[0] != "key" {
		t.Errorf("secrets %v, %v", names, err)
	}
	if _, err := powers.Secrets.Read(ctx, "team", "key"); !errors.Is(err, backends.ErrUnsupported) {
		t.Errorf("reading a secret: %v", err)
	}
	if err := powers.Secrets.Delete(ctx, "team", "key"); err != nil {
		t.Error(err)
	}
	if err := powers.Namespaces.Delete(ctx, "team"); err != nil {
		t.Error(err)
	}
}

// TestAnOutageLeavesTheTableAsItWas cuts the provider off by a proxy that
// answers 500, garbage, and nothing at all.
func TestAnOutageLeavesTheTableAsItWas(t *testing.T) {
	real := serveProvider(t)
	var fault atomic.Pointer[string]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := fault.Load()
		switch {
		case f == nil:
			relay(w, r, real)
		case *f == "500":
			http.Error(w, "etcd is away", http.StatusInternalServerError)
		case *f == "garbage":
			_, _ = w.Write([]byte("<html>"))
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	defer proxy.Close()
	proxy.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	u, _ := url.Parse(proxy.URL)
	p := open(t, u)
	tab, f := watch(t, p), function("env")
	if err := p.Deploy(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"500", "garbage", "cut"} {
		fault.Store(&kind)
		tab.await(t, "a stale entry during "+kind, func(m map[backends.Key]backends.Entry) bool {
			return m[f.Key].Stale && len(m[f.Key].Endpoints) == 1
		})
		err := p.Scale(t.Context(), f.Key, 1)
		if accepted := kind == "garbage"; !accepted && !errors.Is(err, backends.ErrUnavailable) {
			t.Errorf("scale during %s: %v", kind, err)
		}
		fault.Store(nil)
		tab.await(t, "a fresh entry after "+kind, func(m map[backends.Key]backends.Entry) bool {
			e, ok := m[f.Key]
			return ok && !e.Stale
		})
	}
	if tab.empties != 0 {
		t.Errorf("the table was emptied %d times", tab.empties)
	}
}

func relay(w http.ResponseWriter, r *http.Request, to *url.URL) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = to.Scheme, to.Host, ""
	out.Host = to.Host
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

func TestAnswersOfOtherProvidersAreReadAsWhatTheyMean(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   error
	}{
		"faas-netes says 500 for what exists":   {500, `deployments.apps "env" already exists`, backends.ErrExists},
		"faasd says 400 for what exists":        {400, "function env already exists", backends.ErrExists},
		"a bad request is the caller's":         {400, "validation failed: service", backends.ErrInvalid},
		"our wrong credentials are not":         {401, "invalid credentials", backends.ErrUnavailable},
		"an unknown function":                   {404, "", backends.ErrNotFound},
		"a provider without the route":          {501, "", backends.ErrUnsupported},
		"a provider that cannot reach its node": {502, "", backends.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Error(w, c.body, c.status)
			}))
			defer server.Close()
			u, _ := url.Parse(server.URL)
			if err := open(t, u).Update(t.Context(), function("env")); !errors.Is(err, c.kind) || err.Error() == "" {
				t.Errorf("got %v, want the kind %v", err, c.kind)
			}
		})
	}
}

func TestAURLThatCannotBeAProviderIsRefused(t *testing.T) {
	for _, text := range []string{"", "ftp://host", "http://", "unix:///x", "/path"} {
		u, _ := url.Parse(text)
		if _, err := provider.New(t.Context(), provider.Config{URL: u, Logger: quiet}); !errors.Is(err, backends.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
