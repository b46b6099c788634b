package inproc

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/backends/backendtest"
	"hearth/backends/local"
)

// cluster is a backend that runs containers, with logs and figures of its own.
type cluster struct{ backends.Backend }

func (cluster) Info() backends.Info {
	return backends.Info{Name: "test", Orchestration: "cluster"}
}

func (c cluster) Powers() backends.Powers {
	p := c.Backend.Powers()
	p.Logs, p.Usage = c, c
	return p
}

func (cluster) Logs(_ context.Context, q backends.LogQuery) iter.Seq2[backends.LogLine, error] {
	return func(yield func(backends.LogLine, error) bool) {
		yield(backends.LogLine{Key: q.Key, Text: "from a container"}, nil)
	}
}

func (cluster) Usage(context.Context, backends.Key) (backends.Usage, error) {
	return backends.Usage{MilliCPU: 7}, nil
}

// startCluster opens a node over a cluster, without a watch.
func startCluster(t *testing.T) *node {
	t.Helper()
	l, err := local.Open(local.Config{Dir: t.TempDir(), Logger: quiet()})
	must(t, err)
	e := &fakeEngine{}
	h, err := open(t.Context(), Config{Dir: t.TempDir(), Logger: quiet()}, e)
	must(t, err)
	t.Cleanup(func() {
		if err := errors.Join(h.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if _, open := e.counts(); open != 0 {
			t.Errorf("%d modules are still open", open)
		}
	})
	return &node{Backend: h.Backend(cluster{l}), host: h, table: backendtest.NewRecorder()}
}

// watch feeds the node's table until the function it returns is called.
func (n *node) watch(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); n.Watch(ctx, n.table) }()
	if !n.table.Wait(10*time.Second, func(map[backends.Key]backends.Entry) bool { return true }) {
		t.Error("the table was not replaced")
	}
	return func() { cancel(); <-ended }
}

func TestContainerPassesThroughToABackendThatRunsIt(t *testing.T) {
	n := startCluster(t)
	defer n.watch(t)()
	f := fn("nginx", "docker.io/library/nginx:latest")
	f.Annotations = map[string]string{backends.KeyDigest: "sha256:" + strings.Repeat("a", 64), "note": "kept"}
	must(t, n.Deploy(t.Context(), f))
	e := n.entry("nginx")
	if e.Handler != nil || e.Status.Annotations[backends.KeyDigest] != "" || e.Status.Annotations["note"] != "kept" {
		t.Errorf("the entry is %+v", e)
	}
	for line, err := range n.Powers().Logs.Logs(t.Context(), backends.LogQuery{Key: f.Key}) {
		if err != nil || line.Text != "from a container" {
			t.Errorf("the log has %+v, %v", line, err)
		}
	}
	if u, err := n.Powers().Usage.Usage(t.Context(), f.Key); err != nil || u.MilliCPU != 7 {
		t.Errorf("it uses %+v, %v", u, err)
	}
	f.Image = "store/hello" // and it may become a module, and a container again
	must(t, n.Update(t.Context(), f))
	if n.entry("nginx").Handler == nil {
		t.Error("the module has no handler")
	}
	f.Image = "docker.io/library/nginx:latest"
	must(t, n.Update(t.Context(), f))
	if e := n.entry("nginx"); e.Handler != nil || e.Status.Annotations[backends.KeyDigest] != "" {
		t.Errorf("the entry is %+v", e)
	}
}

func TestModulesStayLoadedWhenTheSameTableIsWatchedForAgain(t *testing.T) {
	n := startCluster(t)
	stop := n.watch(t)
	must(t, n.Deploy(t.Context(), version("one")))
	n.call(t, "fn", "")
	h := n.entry("fn").Handler
	stop()
	if got, err := invoke(t.Context(), h, ""); got != "one" || err != nil {
		t.Errorf("without a watch it answered %q, %v", got, err)
	}
	must(t, n.Update(t.Context(), version("two"))) // unseen
	defer n.watch(t)()
	n.table.Wait(10*time.Second, func(m map[backends.Key]backends.Entry) bool { return m[version("").Key].Status.Generation == 2 })
	if n.entry("fn").Handler != h {
		t.Error("the function was begun anew")
	}
	n.Backend.(*hosted).settle(t.Context(), version("").Key)
	if got := n.call(t, "fn", ""); got != "two" {
		t.Errorf("answered %q", got)
	}
}

func TestStoreIsListedWithImagesThatResolve(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	list := n.Powers().Store.StoreFunctions()
	if len(list) < 8 {
		t.Fatalf("%d functions", len(list))
	}
	for _, f := range list {
		if i, err := n.host.parseImage(f.Images["x86_64"]); err != nil || !i.isModule() || f.Title == "" || f.Fprocess == "" {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestHouseKeepingClosesTheLogsOfSilentFunctions(t *testing.T) {
	s := openLogs(t, t.TempDir(), 1<<20, 1<<30)
	l := s.of(logKey)
	l.write("i", []byte("one"))
	if s.closeIdle(time.Now()); l.file == nil {
		t.Error("closed at once")
	}
	if s.closeIdle(time.Now().Add(2 * logIdle)); l.file != nil {
		t.Error("still open")
	}
	l.write("i", []byte("two"))
	if got := texts(t, l, backends.LogQuery{}); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q", got)
	}
	s.retain(func(backends.Key) bool { return false })
	if s.size.Load() != 0 {
		t.Errorf("%d bytes are left", s.size.Load())
	}
}

func TestKeysOfAFunctionGoBeforeThoseOfItsImage(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	b := n.Backend.(*hosted)
	f := fn("fn", "functions/alpine")
	d := defaults{process: []string{"cat"}, environment: map[string]string{"a": "image", "b": "image"},
		annotations: map[string]string{backends.KeyOutput: "cgi"}, classicLog: true}
	s, err := b.spec(t.Context(), f, d)
	must(t, err)
	if !s.CGI || !s.ClassicLog || !slices.Equal(s.Args, []string{"cat"}) || s.Env["a"] != "image" {
		t.Errorf("with nothing of its own: %+v", s)
	}
	f.Process, f.Env = "head -n 3", map[string]string{"a": "own"}
	f.Annotations = map[string]string{backends.KeyOutput: "raw"}
	f.Labels = map[string]string{backends.KeyCallLog: "off"}
	f.Limits = &backends.Resources{Memory: "64Mi"}
	s, err = b.spec(t.Context(), f, d)
	must(t, err)
	if s.CGI || s.ClassicLog || !slices.Equal(s.Args, []string{"head", "-n", "3"}) || s.Env["a"] != "own" || s.Env["b"] != "image" || s.Memory != 64<<20 {
		t.Errorf("with its own: %+v", s)
	}
}
