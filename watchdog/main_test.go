package watchdog

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runMain is the watchdog as a program of its own: this very binary.
func runMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return Main(ctx, Program{Version: "1.2.3", Args: os.Args[1:], Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr})
}

// program is a watchdog that runs as a process.
type program struct {
	cmd     *exec.Cmd
	url     string
	metrics string
	log     *lockedBuffer
}

// command makes a run of the program in an environment of its own.
func command(t *testing.T, args []string, environ ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append([]string{"TEST_MAIN=1", "PATH=/usr/bin:/bin", "TMPDIR=" + t.TempDir(), "port=0", "metrics_port=0", "healthcheck_interval=0"}, environ...)
	return cmd
}

// startProgram runs the program until the test ends.
func startProgram(t *testing.T, environ ...string) *program {
	t.Helper()
	p := &program{cmd: command(t, nil, environ...), log: &lockedBuffer{}}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		io.Copy(p.log, stderr)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		<-copied
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("it ended with %v:\n%s", err, p.log)
		}
	})
	find := func(text string) string {
		var found []string
		at := regexp.MustCompile(text + ` on \S*:(\d+)\n`)
		eventually(t, text, func() bool {
			found = at.FindStringSubmatch(p.log.String())
			return found != nil
		})
		return "http://127.0.0.1:" + found[1]
	}
	p.metrics, p.url = find("Metrics"), find("Listening")
	return p
}

func TestTheProgramServesCountsAndEndsWithZero(t *testing.T) {
	p := startProgram(t, "fprocess=cat")
	for _, body := range []string{"a", "b"} {
		resp, err := http.Post(p.url, "", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(resp.Body); string(text) != body {
			t.Errorf("got %q", text)
		}
		resp.Body.Close()
	}
	resp, err := http.Get(p.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for _, want := range []string{`http_requests_total{code="200",method="post"} 2`, `http_request_duration_seconds_count{code="200",method="post"} 2`, "http_requests_in_flight 0"} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("the metrics have no %s", want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestArgumentsAndBadEnvironmentsAreAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		args    []string
		environ []string
		code    int
		want    string
	}{
		"version":                  {[]string{"-version"}, nil, 0, "1.2.3"},
		"an unknown argument":      {[]string{"serve"}, nil, 2, `argument "serve" is not allowed`},
		"health without lock file": {[]string{"-run-healthcheck"}, nil, 1, "unable to find lock file."},
		"no process":               {nil, nil, 2, "fprocess"},
		"an unknown mode":          {nil, []string{"mode=afterburn", "fprocess=cat"}, 2, `mode: "afterburn" is not allowed`},
		"http without upstream":    {nil, []string{"mode=http", "fprocess=cat"}, 2, "upstream_url"},
		"an upstream that is none": {nil, []string{"mode=http", "fprocess=cat", "upstream_url=127.0.0.1:3000"}, 2, "upstream_url"},
		"tokens nobody checks":     {nil, []string{"fprocess=cat", "jwt_auth=true"}, 2, "jwt_auth"},
		"wasm in a small program":  {nil, []string{"mode=wasm", "wasm_module=x.wasm"}, 1, "hearth watchdog has it"},
		"a port beyond all ports":  {nil, []string{"fprocess=cat", "port=70000"}, 2, "port"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, c.args, c.environ...).CombinedOutput()
			code := 0
			if exit, ok := err.(*exec.ExitError); ok {
				code = exit.ExitCode()
			}
			if code != c.code || !strings.Contains(string(out), c.want) || bytes.Count(out, []byte("\n")) > 1 {
				t.Errorf("got %d %s", code, out)
			}
		})
	}
}

func TestTheHealthcheckFindsTheLockFileOfARunningWatchdog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startProgram(t, "fprocess=cat", "TMPDIR="+dir)
	eventually(t, "the lock file", func() bool {
		return command(t, []string{"--run-healthcheck"}, "TMPDIR="+dir).Run() == nil
	})
}

func TestProcessesThatAFunctionLeavesBehindDoNotStayZombies(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "script")
	writeFile(t, script, "(sleep 0.3 >/dev/null 2>&1 </dev/null &)\necho $$")
	p := startProgram(t, "fprocess=/bin/sh "+script, "mode=serializing")
	for range 10 {
		resp, err := http.Post(p.url, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if n := len(childrenOf(p.cmd.Process.Pid)); n == 0 {
		t.Error("the processes left behind did not become the watchdog's")
	}
	eventually(t, "all of them to be gone", func() bool { return len(childrenOf(p.cmd.Process.Pid)) == 0 })
	http.DefaultClient.CloseIdleConnections()
}

// childrenOf gives the children of a process, zombies too.
func childrenOf(pid int) (children []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, _ := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			children = append(children, path)
		}
	}
	return children
}

func TestWhateverAFunctionWritesMemoryAndLinesAreBounded(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	writeFile(t, script, "head -c 50000000 /dev/zero | tr '\\0' x >&2\necho out")
	r := start(t, nil, "fprocess=/bin/sh "+script, "log_buffer_size=4096", "mode=serializing")
	if _, text := r.do(t, "POST", "/", nil); text != "out\n" {
		t.Errorf("got %q", text)
	}
	most := 0
	for lines := bufio.NewScanner(strings.NewReader(r.log.String())); lines.Scan(); {
		most = max(most, len(lines.Text()))
	}
	if most > 4096+len("2006/01/02 15:04:05 stderr: ") {
		t.Errorf("a line of %d bytes", most)
	}
}

func TestAClientThatLeavesEndsTheProcess(t *testing.T) {
	for _, mode := range []string{"streaming", "serializing", "classic"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			script, pidFile := filepath.Join(dir, "script"), filepath.Join(dir, "pid")
			writeFile(t, script, "echo $$ > "+pidFile+".new; mv "+pidFile+".new "+pidFile+"; sleep 60 & wait")
			r := start(t, nil, "mode="+mode, "fprocess=/bin/sh "+script)
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				req, _ := http.NewRequestWithContext(ctx, "POST", "http://f/", nil)
				if resp, err := r.Do(req); err == nil {
					resp.Body.Close()
				}
			}()
			var pid int
			eventually(t, "the process", func() bool {
				text, _ := os.ReadFile(pidFile)
				pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
				return pid > 0
			})
			leave()
			eventually(t, "its end", func() bool { return syscall.Kill(-pid, 0) == syscall.ESRCH })
		})
	}
}

func TestStreamsOfAnySizePassThroughAProcess(t *testing.T) {
	r := start(t, nil, "fprocess=cat")
	for _, n := range []int{0, 1, 16 << 10, 1 << 20, 30 << 20} {
		want := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
		for how, body := range map[string]io.Reader{"with its length": bytes.NewReader(want), "in chunks": io.MultiReader(bytes.NewReader(want))} {
			if _, got := r.do(t, "POST", "/", body); got != string(want) {
				t.Errorf("%d bytes %s came back as %d", n, how, len(got))
			}
		}
	}
}

func TestWhatAProcessLeavesOfABodyIsNeverARequest(t *testing.T) {
	for _, mode := range []string{"streaming", "serializing", "classic"} {
		r := start(t, nil, "mode="+mode, "fprocess=echo hi")
		smuggled := strings.Repeat("GET /smuggled HTTP/1.1\r\nHost: f\r\n\r\n", 100_000/36)
		for i := range 20 {
			for _, body := range []io.Reader{strings.NewReader(smuggled), io.MultiReader(strings.NewReader(smuggled)), strings.NewReader("small")} {
				if resp, text := r.do(t, "POST", fmt.Sprint("/", i), body); resp.StatusCode != 200 || text != "hi\n" {
					t.Fatalf("%s: got %s %q", mode, resp.Status, text)
				}
			}
		}
		r.stop()
		if strings.Contains(r.log.String(), "smuggled") || strings.Count(r.log.String(), "Wrote ")+strings.Count(r.log.String(), "- 200 OK") != 60 {
			t.Errorf("%s: the log says\n%.2000s", mode, r.log)
		}
	}
}

func TestTheEnvironmentIsReadAsBothWatchdogsReadIt(t *testing.T) {
	for name, c := range map[string]struct {
		environ string
		is      func(Config) bool
		warned  bool
	}{
		"defaults": {"", func(c Config) bool {
			return c.Mode == Streaming && c.Address == ":8080" && c.Metrics == ":8081" && c.PrefixLogs && c.LogLine == 65536
		}, false},
		"of-watchdog's limit of 30 s": {"", func(c Config) bool {
			return c.ExecTimeout == 30*time.Second && c.ReadTimeout == 30*time.Second && c.WriteTimeout == 30*time.Second
		}, false},
		"the classic has none":             {"mode=classic", func(c Config) bool { return c.ExecTimeout == 0 && c.Combine && c.CGI }, false},
		"a bare number is seconds":         {"exec_timeout=90", func(c Config) bool { return c.ExecTimeout == 90*time.Second }, false},
		"a duration":                       {"exec_timeout=1m30s", func(c Config) bool { return c.ExecTimeout == 90*time.Second }, false},
		"0 is none":                        {"exec_timeout=0", func(c Config) bool { return c.ExecTimeout == 0 }, false},
		"a duration that is none":          {"read_timeout=soon", func(c Config) bool { return c.ReadTimeout == 30*time.Second }, true},
		"a limit that is none":             {"max_inflight=-1", func(c Config) bool { return c.MaxInflight == 0 }, true},
		"lines without bound have one":     {"log_buffer_size=-1", func(c Config) bool { return c.LogLine == 1<<20 }, false},
		"1 is true":                        {"http_buffer_req_body=1", func(c Config) bool { return c.BufferBody }, false},
		"yes is not":                       {"buffer_http=yes", func(c Config) bool { return !c.BufferBody }, false},
		"the other name of the upstream":   {"http_upstream_url=http://127.0.0.1:1 upstream_url=http://127.0.0.1:2", func(c Config) bool { return c.Upstream.Host == "127.0.0.1:1" }, false},
		"the lock file is in the TMPDIR":   {"TMPDIR=/x", func(c Config) bool { return c.LockFile == "/x/.lock" }, false},
		"the lock file is in /tmp":         {"", func(c Config) bool { return c.LockFile == "/tmp/.lock" }, false},
		"no lock file":                     {"suppress_lock=true", func(c Config) bool { return c.LockFile == "" }, false},
		"log_callid as the code has it":    {"log_callid=true", func(c Config) bool { return c.LogCallID }, false},
		"log_call_id as the docs have it":  {"log_call_id=true", func(c Config) bool { return c.LogCallID }, false},
		"a short end unless told":          {"", func(c Config) bool { return c.Unready == 5*time.Second }, false},
		"never longer than writing":        {"write_timeout=2s", func(c Config) bool { return c.Unready == 2*time.Second }, false},
		"a socket takes the ports' places": {"listen_socket=/s", func(c Config) bool { return c.Network == "unix" && c.Address == "/s" && c.Metrics == "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c2, warnings, err := FromEnviron(append([]string{"fprocess=cat"}, strings.Fields(c.environ)...))
			if err != nil || !c.is(c2) || (len(warnings) == 1) != c.warned {
				t.Errorf("got %+v, %q, %v", c2, warnings, err)
			}
		})
	}
}
