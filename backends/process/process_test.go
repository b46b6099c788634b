package process_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/backends"
	"hearth/backends/backendtest"
	"hearth/backends/local"
	"hearth/backends/process"
	"hearth/watchdog"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "replica" {
		os.Exit(serveReplica(os.Args[2]))
	}
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		os.Exit(serveHTTP())
	}
	goleak.VerifyTestMain(m)
}

// serveHTTP is a program that serves HTTP, and exits when it is told to.
func serveHTTP() int {
	err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == "exit" {
			os.Exit(3)
		}
		fmt.Fprintf(w, "%d %s", os.Getpid(), body)
	}))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// serveReplica is the child: the real watchdog, without limits.
func serveReplica(socket string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, _, err := watchdog.FromEnviron(os.Environ())
	if err == nil {
		cfg.Network, cfg.Address, cfg.Metrics, cfg.LockFile, cfg.Unready, cfg.Reap = "unix", socket, "", "", 50*time.Millisecond, true
		var w *watchdog.Watchdog
		if w, err = watchdog.New(cfg, nil); err == nil {
			err = w.Run(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// bench is a host over a local backend, with a table that follows it.
type bench struct {
	*testing.T
	backends.Backend
	host *process.Host
	dir  string

	mu       sync.Mutex
	children []*exec.Cmd
	lines    []string // INSTANCE TEXT
	entries  map[backends.Key]backends.Entry
	changed  chan struct{}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "hx") // short: sockets are below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bench{T: t, dir: filepath.Join(dir, "exec"), entries: map[backends.Key]backends.Entry{}, changed: make(chan struct{})}
	l, err := local.Open(local.Config{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	b.host, err = process.Open(t.Context(), process.Config{
		Allow: true, Dir: b.dir, Call: backends.DefaultCall, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Child: func(ctx context.Context) *exec.Cmd {
			b.mu.Lock()
			defer b.mu.Unlock()
			cmd := exec.CommandContext(ctx, os.Args[0], "replica")
			b.children = append(b.children, cmd)
			return cmd
		},
		Log: func(key backends.Key, instance string, line []byte) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.lines = append(b.lines, instance+" "+string(line))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Backend = b.host.Backend(l)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Watch(ctx, table{b}) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := b.host.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", b.dir, err)
		}
		for _, cmd := range b.children {
			if cmd.Process != nil && cmd.ProcessState == nil {
				t.Errorf("child %d was not waited for", cmd.Process.Pid)
			}
		}
		l.Close()
	})
	return b
}

// table is the bench as what Watch feeds.
type table struct{ *bench }

func (b table) Replace(entries []backends.Entry) {
	b.tell(func() {
		clear(b.entries)
		for _, e := range entries {
			b.entries[e.Status.Key] = e
		}
	})
}
func (b table) Set(e backends.Entry)    { b.tell(func() { b.entries[e.Status.Key] = e }) }
func (b table) Delete(key backends.Key) { b.tell(func() { delete(b.entries, key) }) }

func (b *bench) tell(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
	close(b.changed)
	b.changed = make(chan struct{})
}

// await waits until the table's entry of a function is as it should be.
func (b *bench) await(name, what string, good func(backends.Entry) bool) backends.Entry {
	b.Helper()
	late := time.After(patience)
	for {
		b.mu.Lock()
		e, changed := b.entries[key(name)], b.changed
		b.mu.Unlock()
		if good(e) {
			return e
		}
		select {
		case <-changed:
		case <-late:
			b.Fatalf("%s never had %s: %+v", name, what, e)
		}
	}
}

func (b *bench) awaitReady(name string, n int) backends.Entry {
	b.Helper()
	return b.await(name, fmt.Sprint(n, " ready replicas"), func(e backends.Entry) bool { return len(e.Endpoints) == n && e.Status.Available == n })
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// script writes a program and gives its path.
func (b *bench) script(text string) string {
	b.Helper()
	path := filepath.Join(filepath.Dir(b.dir), fmt.Sprintf("script%d.sh", len(text)))
	b.must(os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	return path
}

func key(name string) backends.Key {
	return backends.Key{Namespace: backends.DefaultNamespace, Name: name}
}

func program(name, process string) backends.Function {
	return backends.Function{Key: key(name), Image: backends.ImageProgram, Process: process, Env: map[string]string{}}
}

// call posts to an endpoint.
func call(e backends.Endpoint, body string) (int, string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, e.Network, e.Addr)
	}}}
	resp, err := client.Post("http://localhost/", "text/plain", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (b *bench) answers(e backends.Endpoint, body, want string) {
	b.Helper()
	if status, got, err := call(e, body); err != nil || status != 200 || got != want {
		b.Errorf("%s answers %d %q, %v; want %q", e.Instance, status, got, err, want)
	}
}

func TestHostIsABackend(t *testing.T) {
	for _, image := range []string{"hello", backends.ImageProgram} {
		t.Run(image, func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T) backends.Backend {
				dir := t.TempDir()
				l, err := local.Open(local.Config{Dir: filepath.Join(dir, "state")})
				if err != nil {
					t.Fatal(err)
				}
				short, err := os.MkdirTemp("", "hx")
				if err != nil {
					t.Fatal(err)
				}
				h, err := process.Open(t.Context(), process.Config{Allow: true, Dir: filepath.Join(short, "exec"), Call: backends.DefaultCall,
					Log: func(backends.Key, string, []byte) {},
					Child: func(ctx context.Context) *exec.Cmd { // the suite calls none
						return exec.CommandContext(ctx, "sleep", "1000", "#")
					}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { h.Close(); l.Close(); os.RemoveAll(short) })
				return h.Backend(l)
			}, backendtest.Options{Image: image})
		})
	}
}

func TestProgramAnswersOnASocketPerReplicaUntilItIsScaledAway(t *testing.T) {
	b := newBench(t)
	b.must(b.Deploy(t.Context(), program("wc", "wc -l")))
	b.answers(b.awaitReady("wc", 1).Endpoints[0], "a\nb\n", "2\n")
	b.must(b.Scale(t.Context(), key("wc"), 3))
	e := b.awaitReady("wc", 3)
	for _, one := range e.Endpoints {
		b.answers(one, "a\n", "1\n")
	}
	b.must(b.Scale(t.Context(), key("wc"), 1))
	if left := b.awaitReady("wc", 1).Endpoints[0]; !slices.Contains(e.Endpoints, left) {
		t.Errorf("%v is none of %v", left, e.Endpoints)
	}
	b.must(b.Scale(t.Context(), key("wc"), 0))
	b.awaitReady("wc", 0) // at once: the call above has told the table
	b.must(b.Scale(t.Context(), key("wc"), 1))
	b.answers(b.awaitReady("wc", 1).Endpoints[0], "", "0\n")
}

func TestReplicasBeyondWhatAMachineShouldRunAreNotStarted(t *testing.T) {
	b := newBench(t)
	b.must(b.Deploy(t.Context(), program("cat", "cat")))
	b.awaitReady("cat", 1)
	b.must(b.Scale(t.Context(), key("cat"), backends.MaxReplicas))
	b.await("cat", "a problem", func(e backends.Entry) bool { return e.Status.Problem != "" })
	b.must(b.Scale(t.Context(), key("cat"), 0))
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.children); n > 100 {
		t.Errorf("%d children were started", n)
	}
}

func TestProgramThatServesHTTPKeepsItsProcessAndIsStartedAgainWhenThatEnds(t *testing.T) {
	b := newBench(t)
	f := program("serve", os.Args[0]+" serve")
	f.Env["mode"], f.Labels = "http", map[string]string{backends.LabelScaleMin: "2"}
	b.must(b.Deploy(t.Context(), f))
	pids := map[string]bool{}
	one := b.awaitReady("serve", 2).Endpoints
	for _, e := range slices.Concat(one, one) {
		status, text, err := call(e, "x")
		if pid, body, _ := strings.Cut(text, " "); err != nil || status != 200 || body != "x" {
			t.Errorf("%d %q, %v", status, text, err)
		} else {
			pids[pid] = true
		}
	}
	if len(pids) != 2 {
		t.Errorf("two replicas answered from the processes %v", pids)
	}
	if status, _, err := call(one[0], "exit"); err != nil || status != 500 {
		t.Errorf("a call that ends the process got %d, %v", status, err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		status, text, err := call(one[0], "y")
		if pid, _, _ := strings.Cut(text, " "); err == nil && status == 200 && !pids[pid] {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it was not started again: %d %q, %v", status, text, err)
		}
	}
}

func TestReplicaThatDiesLeavesTheTableAndIsStartedAgain(t *testing.T) {
	b := newBench(t)
	b.must(b.Deploy(t.Context(), program("cat", "cat")))
	b.awaitReady("cat", 1)
	for round := range 3 {
		b.mu.Lock()
		child := b.children[round]
		b.mu.Unlock()
		b.must(syscall.Kill(child.Process.Pid, syscall.SIGKILL))
		e := b.await("cat", "a problem", func(e backends.Entry) bool { return len(e.Endpoints) == 0 && e.Status.Available == 0 })
		if !strings.Contains(e.Status.Problem, "signal: killed") {
			t.Errorf("problem %q", e.Status.Problem)
		}
		b.answers(b.awaitReady("cat", 1).Endpoints[0], "x", "x")
	}
}

func TestVersionBeforeAnswersUntilTheNewOneIsReady(t *testing.T) {
	b := newBench(t)
	b.must(b.Deploy(t.Context(), program("fn", "echo one")))
	old := b.awaitReady("fn", 1).Endpoints[0]
	bad := program("fn", "sleep 1000") // serves no HTTP
	bad.Env["mode"] = "http"
	b.must(b.Update(t.Context(), bad))
	e := b.await("fn", "a problem with the new version", func(e backends.Entry) bool {
		return strings.Contains(e.Status.Problem, "the one before answers") && strings.Contains(e.Status.Problem, "503")
	})
	if !slices.Equal(e.Endpoints, []backends.Endpoint{old}) {
		t.Fatalf("the endpoints are %v, want %v", e.Endpoints, old)
	}
	b.answers(old, "", "one\n")
	b.must(b.Update(t.Context(), program("fn", "echo two")))
	e = b.await("fn", "the new version", func(e backends.Entry) bool {
		return len(e.Endpoints) == 1 && e.Endpoints[0] != old && e.Status.Problem == ""
	})
	b.answers(e.Endpoints[0], "", "two\n")
}

func TestCallInFlightEndsBeforeItsProgramDoes(t *testing.T) {
	b := newBench(t)
	begun := filepath.Join(filepath.Dir(b.dir), "begun")
	b.must(b.Deploy(t.Context(), program("slow", b.script("echo > "+begun+"; sleep 1; echo done"))))
	e := b.awaitReady("slow", 1).Endpoints[0]
	answer := make(chan string, 1)
	go func() {
		status, text, err := call(e, "")
		answer <- fmt.Sprint(status, " ", text, err)
	}()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(begun); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal("the call did not begin")
		}
	}
	b.must(b.Delete(t.Context(), key("slow")))
	if got := <-answer; got != "200 done\n<nil>" {
		t.Errorf("the call got %q", got)
	}
	if _, err := b.Get(t.Context(), key("slow")); backends.HTTPStatus(err) != http.StatusNotFound {
		t.Errorf("get: %v", err)
	}
}

func TestLinesOfAProgramAreKeptUnderItsInstance(t *testing.T) {
	b := newBench(t)
	f := program("say", b.script("echo heard >&2; cat"))
	f.Env["combine_output"] = "false"
	b.must(b.Deploy(t.Context(), f))
	e := b.awaitReady("say", 1).Endpoints[0]
	b.answers(e, "x", "x")
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		b.mu.Lock()
		found := slices.Contains(b.lines, e.Instance+" heard")
		b.mu.Unlock()
		if found {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("lines %q", b.lines)
		}
	}
}

func TestProgramSeesItsOwnEnvironmentAndSecretsAlone(t *testing.T) {
	t.Setenv("SERVER_ONLY", "1")
	b := newBench(t)
	b.must(b.Powers().Secrets.Create(t.Context(), backends.Secret{Name: "word", Value: []byte("first")}))
	f := program("env", b.script(`cat "$HEARTH_SECRETS/word"; stat -c ' %a' "$HEARTH_SECRETS"; env`))
	f.Env["A"], f.Secrets = "b", []string{"word"}
	b.must(b.Deploy(t.Context(), f))
	e := b.awaitReady("env", 1).Endpoints[0]
	_, got, err := call(e, "")
	if err != nil || !strings.HasPrefix(got, "first 700\n") || !strings.Contains(got, "\nA=b\n") {
		t.Errorf("%v %q", err, got)
	}
	for _, name := range []string{"SERVER_ONLY", "HOME", "USER"} {
		if strings.Contains(got, "\n"+name+"=") {
			t.Errorf("%s is in %q", name, got)
		}
	}
	b.must(b.Powers().Secrets.Update(t.Context(), backends.Secret{Name: "word", Value: []byte("second")}))
	if _, got, err = call(e, ""); err != nil || !strings.HasPrefix(got, "second") {
		t.Errorf("after the update: %v %q", err, got)
	}
}

func TestWhatCannotRunIsRefusedAndNamed(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		name, image, process string
		env                  [2]string
		want                 string
	}{
		{"a program in the image", "exec:wc", "wc", [2]string{}, "envProcess"},
		{"no program", "exec:", " ", [2]string{}, "envProcess"},
		{"a program that is not there", "exec:", "no-such-program", [2]string{}, `"no-such-program"`},
		{"a relative path", "exec:", "./wc", [2]string{}, "absolute path"},
		{"a directory", "exec:", "/tmp", [2]string{}, "executable file"},
		{"a program outside its own path", "exec:", "wc", [2]string{"PATH", "/nowhere"}, "/nowhere"},
		{"a mode of no program", "exec:", "wc", [2]string{"mode", "static"}, "classic, streaming, serializing, http"},
		{"an address that replicas would share", "exec:", "wc", [2]string{"upstream_url", "http://127.0.0.1:3000"}, "PORT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := program("fn", tt.process)
			f.Image = tt.image
			if tt.env[0] != "" {
				f.Env[tt.env[0]] = tt.env[1]
			}
			err := b.Deploy(t.Context(), f)
			if backends.HTTPStatus(err) != http.StatusBadRequest || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("deploy: %v, want %q", err, tt.want)
			}
		})
	}
	if list, err := b.List(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
}
