package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// instance is a running hearth with a data directory of its own, on ports the
// system chose.
type instance struct {
	cmd            *exec.Cmd
	data           string
	url, aside     string
	stdout, stderr lockedBuffer
	done           chan struct{} // closed when the process has ended
}

// lockedBuffer is written by a process and read by a test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startServer starts a binary and waits until it answers calls. A server
// that ends before is an error with what it printed.
func startServer(binary, dir string, environ []string, args ...string) (*instance, error) {
	s := &instance{data: filepath.Join(dir, "data"), done: make(chan struct{})}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		args = append([]string{"serve"}, args...)
	}
	args = append([]string{args[0], "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir", s.data}, args[1:]...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = dir, environ, &s.stdout, &s.stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	greeting := regexp.MustCompile(`functions and API  (\S+)\n  metrics, health    (\S+)/metrics(?s:.*)/system/functions\n\n`)
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if m := greeting.FindStringSubmatch(s.stdout.String()); m != nil {
			s.url, s.aside = m[1], m[2]
			return s, nil
		}
		select {
		case <-s.done:
			return nil, fmt.Errorf("hearth ended: %s\n%s", s.cmd.ProcessState, s.stderr.String())
		default:
		}
		if time.Now().After(end) {
			s.kill()
			return nil, fmt.Errorf("hearth does not answer after %s:\n%s", patience, s.stderr.String())
		}
	}
}

// stop sends SIGTERM and gives an error unless the process ends with status 0.
func (s *instance) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		s.kill()
		return fmt.Errorf("hearth does not end %s after SIGTERM:\n%s", patience, s.stderr.String())
	}
	if !s.cmd.ProcessState.Success() {
		return fmt.Errorf("hearth ended with %s:\n%s", s.cmd.ProcessState, s.stderr.String())
	}
	return nil
}

// kill ends the process as a power cut would.
func (s *instance) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// password reads what the server made.
func (s *instance) password() string {
	text, _ := os.ReadFile(filepath.Join(s.data, "credentials", passwordFile))
	return string(text)
}

// scriptServer is the server of a script, if one is running.
type scriptServer struct {
	*instance
	followed lockedBuffer // what follow printed
	unload   func()       // ends the load, if there is one
}

// setupScript gives a script a home of its own and an end to its server.
func setupScript(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("XDG_STATE_HOME", filepath.Join(home, "state"))
	modules, err := filepath.Abs("backends/inproc/store/wasm")
	if err != nil {
		return err
	}
	env.Setenv("MODULES", modules)
	wazero, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		return err
	}
	env.Setenv("WASI", filepath.Join(strings.TrimSpace(string(wazero)), "imports/wasi_snapshot_preview1/example/testdata"))
	cache, err := exec.Command("go", "env", "GOCACHE").Output() // of the home that scripts do not have
	if err != nil {
		return err
	}
	env.Setenv("GOCACHE", strings.TrimSpace(string(cache)))
	env.Values["server"] = &scriptServer{}
	env.Defer(func() {
		s := env.Values["server"].(*scriptServer)
		if s.unload != nil {
			s.unload()
		}
		if s.instance != nil {
			s.kill()
		}
	})
	return os.MkdirAll(home, 0o700)
}

// scriptCommands are what scripts can do besides running hearth.
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"server":   scriptStart,
		"sigterm":  scriptStop, // stop is one of testscript: it ends a script
		"kill9":    scriptKill,
		"http":     scriptHTTP,
		"log":      scriptLog,
		"follow":   scriptFollow,
		"followed": scriptFollowed,
		"load":     scriptLoad,
	}
}

// scriptLoad: load RATE URL calls it so many times a second in the background;
// load 0 ends that.
func scriptLoad(ts *testscript.TestScript, neg bool, args []string) {
	holder := ts.Value("server").(*scriptServer)
	if holder.unload != nil {
		holder.unload()
		holder.unload = nil
	}
	rate, err := strconv.Atoi(args[0])
	ts.Check(err)
	if rate == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for ctx.Err() == nil {
			if resp, err := http.Get(args[1]); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			<-tick.C
		}
	}()
	holder.unload = func() { cancel(); <-done }
}

// scriptStart: server [args] starts hearth and sets OPENFAAS_URL, METRICS,
// PASSWORD and DATA.
func scriptStart(ts *testscript.TestScript, neg bool, args []string) {
	holder := ts.Value("server").(*scriptServer)
	if holder.instance != nil {
		ts.Fatalf("a server is running")
	}
	binary, err := exec.LookPath("hearth")
	ts.Check(err)
	environ := append(os.Environ(), "HOME="+ts.Getenv("HOME"), "XDG_STATE_HOME="+ts.Getenv("XDG_STATE_HOME"))
	s, err := startServer(binary, ts.MkAbs("."), environ, args...)
	if neg {
		if err == nil {
			s.kill()
			ts.Fatalf("the server started")
		}
		return
	}
	ts.Check(err)
	holder.instance = s
	ts.Setenv("OPENFAAS_URL", s.url)
	ts.Setenv("METRICS", s.aside)
	ts.Setenv("DATA", s.data)
	ts.Setenv("PASSWORD", s.password())
}

func scriptStop(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(takeServer(ts).stop())
}

func scriptKill(ts *testscript.TestScript, neg bool, args []string) { takeServer(ts).kill() }

func takeServer(ts *testscript.TestScript) *instance {
	holder := ts.Value("server").(*scriptServer)
	s := holder.instance
	if s == nil {
		ts.Fatalf("no server is running")
	}
	holder.instance = nil
	return s
}

// scriptLog: log PATTERN waits until what the server printed matches.
func scriptLog(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("server").(*scriptServer)
	pattern := regexp.MustCompile(args[0])
	text := func() string { return s.stdout.String() + s.stderr.String() }
	if neg {
		if pattern.MatchString(text()) {
			ts.Fatalf("%s is in:\n%s", args[0], text())
		}
		return
	}
	awaitMatch(ts, args[0], text)
}

// scriptHTTP: http [-u USER:PASSWORD] [-H NAME:VALUE] STATUS METHOD URL [BODY | @FILE]
// prints the body of the answer to stdout, so that stdout and cmp work on it.
func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	header, user := http.Header{}, ""
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		if args[0] == "-u" {
			user = args[1]
		} else {
			name, value, _ := strings.Cut(args[1], ":")
			header.Add(name, value)
		}
		args = args[2:]
	}
	var body io.Reader = http.NoBody
	if len(args) > 3 {
		text := args[3]
		if path, ok := strings.CutPrefix(text, "@"); ok {
			text = ts.ReadFile(path)
		}
		body = strings.NewReader(text)
	}
	req, err := http.NewRequest(args[1], args[2], body)
	ts.Check(err)
	req.Header = header
	if name, password, ok := strings.Cut(user, ":"); ok {
		req.SetBasicAuth(name, password)
	}
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write(text)
	ts.Check(err)
	if got := fmt.Sprint(resp.StatusCode); got != args[0] {
		ts.Fatalf("%s %s: status %s, want %s: %s", args[1], args[2], got, args[0], text)
	}
}

// scriptFollow: follow FUNCTION follows its log until the server ends.
func scriptFollow(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("server").(*scriptServer)
	cmd := exec.Command("hearth", "logs", "-f", "--tail", "1", args[0])
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+s.url, "HEARTH_DATA_DIR="+s.data)
	cmd.Stdout, cmd.Stderr = &s.followed, &s.followed
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// scriptFollowed: followed PATTERN waits until what was followed matches.
func scriptFollowed(ts *testscript.TestScript, neg bool, args []string) {
	awaitMatch(ts, args[0], ts.Value("server").(*scriptServer).followed.String)
}

// awaitMatch waits until a text matches.
func awaitMatch(ts *testscript.TestScript, pattern string, text func() string) {
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(patience); !re.MatchString(text()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("%s is not in:\n%s", pattern, text())
		}
	}
}

// testServer is a server for a Go test.
func testServer(t *testing.T, args ...string) *instance {
	t.Helper()
	binary, err := exec.LookPath("hearth")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := startServer(binary, dir, append(os.Environ(), "HOME="+dir), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}
