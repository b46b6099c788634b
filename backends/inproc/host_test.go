package inproc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/backends/backendtest"
	"hearth/backends/inproc/store"
	"hearth/backends/local"
	"hearth/runtime"
)

// node is the real thing: a local backend, an engine and the Host around both.
type node struct {
	backends.Backend
	dir   string
	host  *Host
	table *backendtest.Recorder
	stop  func()
}

// startNode opens a node on a directory and watches it.
func startNode(t *testing.T, dir string, change func(*Config)) *node {
	t.Helper()
	engine, err := runtime.New(context.Background(), runtime.Config{CacheDir: filepath.Join(dir, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := local.Open(local.Config{Dir: filepath.Join(dir, "local"), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: dir, Engine: engine, Logger: quiet()}
	if change != nil {
		change(&cfg)
	}
	h, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Backend: h.Backend(l), dir: dir, host: h, table: backendtest.NewRecorder()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := n.Watch(ctx, n.table); !errors.Is(err, context.Canceled) {
			t.Errorf("watch ended with %v", err)
		}
	}()
	n.table.Wait(10*time.Second, func(map[backends.Key]backends.Entry) bool { return true })
	stopped := false
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-ended
		if err := errors.Join(h.Close(), l.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(n.stop)
	return n
}

func fn(name, image string) backends.Function {
	return backends.Function{Key: backends.Key{Namespace: backends.DefaultNamespace, Name: name}, Image: image}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entry gives what the table holds of a function.
func (n *node) entry(name string) backends.Entry {
	return n.table.Entries()[backends.Key{Namespace: backends.DefaultNamespace, Name: name}]
}

// call calls a function through the table, as the gateway does.
func (n *node) call(t *testing.T, name, body string) string {
	t.Helper()
	h := n.entry(name).Handler
	if h == nil {
		t.Fatalf("%s has no handler", name)
	}
	answer, err := invoke(t.Context(), h, body)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return answer
}

func invoke(ctx context.Context, h backends.Handler, body string) (string, error) {
	var resp answer
	err := h.Invoke(ctx, &backends.Request{
		Start: time.Now(), Method: []byte("POST"), Path: []byte("/"), Host: []byte("localhost"), Header: noHeader{}, Body: []byte(body),
	}, &resp)
	return string(resp.body), err
}

type noHeader struct{}

func (noHeader) Get(string) []byte                { return nil }
func (noHeader) Visit(func(_, value []byte) bool) {}

// answer is a backends.Response that keeps the body.
type answer struct {
	status int
	body   []byte
}

func (a *answer) SetStatus(code int)           { a.status = code }
func (a *answer) SetHeader(name, value []byte) {}
func (a *answer) AddHeader(name, value []byte) {}
func (a *answer) Write(p []byte) (int, error)  { a.body = append(a.body, p...); return len(p), nil }

func TestHostedLocalIsABackend(t *testing.T) {
	nodes := map[backends.Backend]*node{}
	backendtest.Run(t, func(t *testing.T) backends.Backend {
		n := startNode(t, t.TempDir(), nil)
		nodes[n.Backend] = n
		return n.Backend
	}, backendtest.Options{
		Image: "store/hello",
		Reopen: func(t *testing.T, b backends.Backend) backends.Backend {
			nodes[b].stop()
			return startNode(t, nodes[b].dir, nil).Backend
		},
	})
}

func TestStoreFunctionAnswersThroughItsEntryAndAfterARestart(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, nil)
	must(t, n.Deploy(t.Context(), fn("sum", "store/wordcount")))
	e := n.entry("sum")
	if e.Status.Available != 1 || e.Status.Problem != "" || e.Status.Annotations[backends.KeyDigest] == "" {
		t.Errorf("the entry is %+v", e)
	}
	if got := strings.Fields(n.call(t, "sum", "a b\nc\n")); !slices.Equal(got, []string{"2", "3", "6"}) {
		t.Errorf("answered %q", got)
	}
	n.stop()
	n = startNode(t, dir, nil)
	if got := strings.Fields(n.call(t, "sum", "a b\nc\n")); !slices.Equal(got, []string{"2", "3", "6"}) {
		t.Errorf("after a restart answered %q", got)
	}
}

func TestParkedFunctionAnswersItsFirstCall(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	must(t, n.Deploy(t.Context(), fn("cat", "store/cat")))
	n.call(t, "cat", "warm")
	must(t, n.Scale(t.Context(), fn("cat", "").Key, 0))
	e := n.entry("cat")
	if e.Status.Replicas != 0 || e.Status.Available != 0 || e.Handler.(*function).current.Load() != nil {
		t.Errorf("the parked entry is %+v", e)
	}
	if got := n.call(t, "cat", "again"); got != "again" {
		t.Errorf("answered %q", got)
	}
}

func TestImageIsRefused(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside.wasm")
	f, _ := store.Lookup("hello")
	must(t, os.WriteFile(outside, f.Wasm, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "text.wasm"), []byte("#!/bin/sh"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "cut.wasm"), f.Wasm[:len(f.Wasm)/2], 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "link.wasm")))
	must(t, os.Mkdir(filepath.Join(dir, "dir.wasm"), 0o700))
	with := startNode(t, t.TempDir(), func(c *Config) { c.ModuleDir = dir })
	without := startNode(t, t.TempDir(), nil)
	for _, tt := range []struct {
		name  string
		n     *node
		image string
		says  string
	}{
		{"a container, with the backends that run it", with, "docker.io/library/nginx:latest", "kubernetes and nomad"},
		{"a path without a module directory", without, "./hello.wasm", "--module-dir"},
		{"an absolute path without a module directory", without, "/etc/passwd", "--module-dir"},
		{"a path out of the module directory", with, "../outside.wasm", "below --module-dir"},
		{"an absolute path outside", with, outside, "below --module-dir"},
		{"a link out of the module directory", with, "link.wasm", "below --module-dir"},
		{"a directory", with, "file:dir.wasm", "regular file"},
		{"an absent file", with, "file:absent.wasm", "existing file"},
		{"a file that is no module", with, "text.wasm", "text.wasm"},
		{"a truncated module", with, "file:cut.wasm", "cut.wasm"},
		{"a digest that is none", with, "module@sha256:1234", "64 lower case"},
		{"a module that is not stored", with, "module@sha256:" + strings.Repeat("0", 64), "upload it"},
		{"an unknown name of the store", with, "store/absent", "GET /system/store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.n.Deploy(t.Context(), fn("bad", tt.image))
			if !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("deploy gave %v", err)
			}
			if list, _ := tt.n.List(t.Context(), ""); len(list) != 0 {
				t.Errorf("it was deployed: %v", list)
			}
		})
	}
}

func TestUploadIsRefused(t *testing.T) {
	n := startNode(t, t.TempDir(), func(c *Config) { c.MaxModule = 1 << 20 })
	f, _ := store.Lookup("hello")
	for _, tt := range []struct {
		name, body, says string
		kind             error
	}{
		{"nothing at all", "", "", backends.ErrInvalid},
		{"a script", "#!/bin/sh\nexit 0\n", "not a JavaScript module", backends.ErrInvalid},
		{"a truncated module", string(f.Wasm[:len(f.Wasm)-10]), "", backends.ErrInvalid},
		{"a component", "\x00asm\x0d\x00\x01\x00", "component", backends.ErrInvalid},
		{"a module above the limit", string(f.Wasm) + strings.Repeat("\x00", 1<<20), "larger than 1048576 bytes", backends.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := n.Powers().Modules.Put(t.Context(), strings.NewReader(tt.body))
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("gave %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(n.dir, "modules", "*")); len(left) != 0 {
				t.Errorf("left behind %v", left)
			}
		})
	}
}

func TestImageFormsOfOneModuleAnswerAlike(t *testing.T) {
	dir := t.TempDir()
	f, _ := store.Lookup("cat")
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "box.wasm"), f.Wasm, 0o600))
	n := startNode(t, t.TempDir(), func(c *Config) {
		c.ModuleDir = dir
		c.Aliases = map[string]store.Alias{
			"example.org/cat":         {Function: "cat"},
			"example.org:5000/team/x": {Function: "file:sub/box.wasm", Process: []string{"cat"}},
		}
	})
	uploaded, err := n.Powers().Modules.Put(t.Context(), strings.NewReader(string(f.Wasm)))
	must(t, err)
	for i, tt := range []struct{ image, process string }{
		{"store/cat", ""},
		{"store/cat:latest", ""},
		{uploaded.Image, "cat"},
		{"file:sub/box.wasm", "cat"},
		{"./sub/box.wasm", "cat"},
		{"sub/box.wasm", "cat"},
		{filepath.Join(dir, "sub/box.wasm"), "cat"},
		{"docker.io/functions/alpine:latest", ""},
		{"functions/alpine", "cat"},
		{"example.org/cat:v3", ""},
		{"example.org:5000/team/x:1", ""},
	} {
		name := "fn" + string(rune('a'+i))
		d := fn(name, tt.image)
		d.Process = tt.process
		must(t, n.Deploy(t.Context(), d))
		if got := n.call(t, name, "round"); got != "round" {
			t.Errorf("%s answered %q", tt.image, got)
		}
		s, err := n.Get(t.Context(), d.Key)
		if err != nil || s.Image != tt.image || s.Process != tt.process || s.Annotations[backends.KeyDigest] != uploaded.Digest {
			t.Errorf("%s is shown as %+v, %v", tt.image, s, err)
		}
	}
}

func TestDigestIsThePlatformsWord(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	f := fn("hello", "store/hello")
	forged := "sha256:" + strings.Repeat("f", 64)
	f.Annotations, f.Labels = map[string]string{backends.KeyDigest: forged}, map[string]string{backends.KeyDigest: forged}
	must(t, n.Deploy(t.Context(), f))
	s, err := n.Get(t.Context(), f.Key)
	must(t, err)
	if got := s.Annotations[backends.KeyDigest]; got == forged || s.Labels[backends.KeyDigest] != "" {
		t.Errorf("the digest is %s, labels %v", got, s.Labels)
	}
	s.Function.Image = "store/cat" // as a client that sends back what it got
	must(t, n.Update(t.Context(), s.Function))
	if got := n.call(t, "hello", "meow"); got != "meow" {
		t.Errorf("after the update answered %q", got)
	}
}

func TestRefusedUpdateLeavesTheOldVersionAnswering(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	must(t, n.Deploy(t.Context(), fn("cat", "store/cat")))
	bad := fn("cat", "store/cat")
	bad.Limits = &backends.Resources{Memory: "1Ki"}
	if err := n.Update(t.Context(), bad); !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), "limits.memory") {
		t.Errorf("update gave %v", err)
	}
	if got := n.call(t, "cat", "old"); got != "old" {
		t.Errorf("answered %q", got)
	}
}

func TestSecretReachesTheFunctionAndItsChangeToo(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	ctx := t.Context()
	secrets := n.Powers().Secrets
	must(t, secrets.Create(ctx, backends.Secret{Namespace: backends.DefaultNamespace, Name: "key", Value: []byte("one")}))
	f := fn("cat", "store/cat")
	f.Process, f.Secrets = "cat /var/openfaas/secrets/key", []string{"key"}
	must(t, n.Deploy(ctx, f))
	if got := n.call(t, "cat", ""); got != "one" {
		t.Errorf("answered %q", got)
	}
	must(t, secrets.Update(ctx, backends.Secret{Name: "key", Namespace: backends.DefaultNamespace, Value: []byte("two")}))
	if got := n.call(t, "cat", ""); got != "two" {
		t.Errorf("after the change answered %q", got)
	}
	must(t, secrets.Delete(ctx, backends.DefaultNamespace, "key"))
	if got := n.call(t, "cat", ""); got != "two" {
		t.Errorf("after the removal answered %q", got)
	}
	if e := n.entry("cat"); e.Status.Available != 1 || !strings.Contains(e.Status.Problem, "secret key not found") {
		t.Errorf("the entry is %+v", e.Status)
	}
	must(t, secrets.Create(ctx, backends.Secret{Namespace: backends.DefaultNamespace, Name: "key", Value: []byte("three")}))
	if got := n.call(t, "cat", ""); got != "three" || n.entry("cat").Status.Problem != "" {
		t.Errorf("made again, answered %q, problem %q", got, n.entry("cat").Status.Problem)
	}
}

func TestClassicAliasLogsItsTwoLinesAndDeletionEndsThem(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	ctx := t.Context()
	f := fn("cat", "functions/alpine:latest")
	f.Process = "cat"
	must(t, n.Deploy(ctx, f))
	n.call(t, "cat", "openfaas-fn")
	var got []string
	for line, err := range n.Powers().Logs.Logs(ctx, backends.LogQuery{Key: f.Key}) {
		must(t, err)
		got = append(got, strings.TrimLeft(line.Text, "0123456789/: "))
		if line.Instance != "cat-1" || line.Key != f.Key {
			t.Errorf("line %+v", line)
		}
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "Forking fprocess") || !strings.HasPrefix(got[1], "Wrote 11 Bytes") {
		t.Errorf("logged %q", got)
	}
	must(t, n.Delete(ctx, f.Key))
	for _, err := range n.Powers().Logs.Logs(ctx, backends.LogQuery{Key: f.Key}) {
		if !errors.Is(err, backends.ErrNotFound) {
			t.Errorf("the log of a removed function gave %v", err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(n.dir, "logs", "*", "*")); len(left) != 0 {
		t.Errorf("left behind %v", left)
	}
}

func TestDamagedModuleOfTheStoreIsReplacedByTheEmbeddedOne(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, nil)
	must(t, n.Deploy(t.Context(), fn("cat", "store/cat")))
	n.stop()
	files, _ := filepath.Glob(filepath.Join(dir, "modules", "*.wasm"))
	if len(files) != 1 {
		t.Fatalf("modules: %v", files)
	}
	must(t, os.WriteFile(files[0], []byte("rot"), 0o600))
	n = startNode(t, dir, nil)
	if got := n.call(t, "cat", "healed"); got != "healed" {
		t.Errorf("answered %q", got)
	}
}

func TestMissingModuleIsAProblemAndTheCallUnavailable(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, func(c *Config) { c.ModuleDir = dir })
	f, _ := store.Lookup("hello")
	must(t, os.WriteFile(filepath.Join(dir, "own.wasm"), f.Wasm, 0o600))
	must(t, n.Deploy(t.Context(), fn("own", "own.wasm")))
	n.stop()
	must(t, os.RemoveAll(filepath.Join(dir, "modules")))
	n = startNode(t, dir, nil)
	e := n.entry("own")
	if e.Status.Available != 0 || !strings.Contains(e.Status.Problem, "deploy the function again") {
		t.Errorf("the entry is %+v", e.Status)
	}
	if _, err := invoke(t.Context(), e.Handler, ""); !errors.Is(err, backends.ErrUnavailable) {
		t.Errorf("the call gave %v", err)
	}
}
