package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/backends"
	"hearth/gateway/client"
)

// descendants gives the processes below a process.
func descendants(pid int) []int {
	var all []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range lists {
		text, _ := os.ReadFile(file)
		for _, one := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(one); err == nil {
				all = append(append(all, n), descendants(n)...)
			}
		}
	}
	return all
}

// alive tells which of some processes have not ended.
func alive(pids []int) []int {
	var left []int
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !strings.Contains(string(text), ") Z ") {
			left = append(left, pid)
		}
	}
	return left
}

// execServer is a server that runs programs, and a client of it.
func execServer(t *testing.T) (*instance, *client.Client) {
	t.Helper()
	s := testServer(t, "--allow-exec", "--timeout", "20s")
	c, err := client.New(s.url, "admin", s.password())
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// runProgram deploys a program and waits until it can answer.
func runProgram(t *testing.T, c *client.Client, f backends.FunctionDeployment) {
	t.Helper()
	f.Image = backends.ImageProgram
	if _, err := deploy(t.Context(), c, f, patience); err != nil {
		t.Fatal(err)
	}
}

// TestKilledServerLeavesNoProgramBehind kills the server with SIGKILL while
// programs run calls, serve, and have daemons that left their group.
func TestKilledServerLeavesNoProgramBehind(t *testing.T) {
	s, c := execServer(t)
	daemon := filepath.Join(s.cmd.Dir, "daemon.sh")
	if err := os.WriteFile(daemon, []byte("#!/bin/sh\nsetsid sh -c 'sleep 1000; true' </dev/null >/dev/null 2>&1 &\nsleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	runProgram(t, c, backends.FunctionDeployment{Service: "daemon", EnvProcess: daemon})
	runProgram(t, c, backends.FunctionDeployment{Service: "cat", EnvProcess: "cat"})
	calls, hangUp := context.WithCancel(t.Context())
	var calling sync.WaitGroup
	defer calling.Wait()
	defer hangUp()
	for range 3 {
		calling.Go(func() {
			req, err := http.NewRequestWithContext(calls, http.MethodPost, s.url+"/function/daemon", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		})
	}
	var pids []int
	for end := time.Now().Add(patience); len(pids) < 2+3*4; time.Sleep(5 * time.Millisecond) {
		if pids = descendants(s.cmd.Process.Pid); time.Now().After(end) {
			t.Fatalf("only %d processes run", len(pids))
		}
	}
	s.kill()
	for end := time.Now().Add(patience); len(alive(pids)) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("of %d processes %v are left", len(pids), alive(pids))
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		sockets, err := filepath.Glob(filepath.Join(s.data, "exec", "*", "*.sock"))
		if err != nil || time.Now().After(end) {
			t.Fatalf("sockets are left: %v, %v", sockets, err)
		}
		if len(sockets) == 0 {
			return
		}
	}
}

// TestProgramIsReplacedUnderLoadWithoutAFailedCall replaces a program,
// and changes how many replicas it has, while it is called.
func TestProgramIsReplacedUnderLoadWithoutAFailedCall(t *testing.T) {
	s, c := execServer(t)
	version := func(n int) backends.FunctionDeployment {
		return backends.FunctionDeployment{Service: "fn", EnvProcess: "echo version" + strconv.Itoa(n)}
	}
	runProgram(t, c, version(0))
	var calls, failed, latest atomic.Int64
	done := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := http.Post(s.url+"/function/fn", "text/plain", strings.NewReader("x"))
				calls.Add(1)
				if err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				n, cut := strings.CutPrefix(strings.TrimSpace(string(text)), "version")
				number, convErr := strconv.ParseInt(n, 10, 64)
				if err != nil || resp.StatusCode != http.StatusOK || !cut || convErr != nil {
					failed.Add(1)
					t.Errorf("%d %q %v", resp.StatusCode, text, err)
					return
				}
				latest.Store(number)
			}
		})
	}
	rounds := 5 * checkScale()
	key := backends.Key{Namespace: backends.DefaultNamespace, Name: "fn"}
	for n := 1; n <= rounds; n++ {
		runProgram(t, c, version(n))
		if err := c.Scale(t.Context(), key, 1+n%3); err != nil {
			t.Error(err)
		}
		for end := time.Now().Add(patience); latest.Load() != int64(n); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("version %d never answered", n)
			}
		}
	}
	close(done)
	callers.Wait()
	t.Logf("%d updates, %d calls, %d failed", rounds, calls.Load(), failed.Load())
}

// TestProgramIsKeptWithinItsLimits runs programs that want more memory and CPU
// than they may have.
func TestProgramIsKeptWithinItsLimits(t *testing.T) {
	s, c := execServer(t)
	for _, tt := range []struct {
		name, script string
		limits       backends.Resources
		want         int
	}{
		{"little", "head -c 1000000 /dev/zero | wc -c", backends.Resources{Memory: "32Mi", CPU: "1"}, http.StatusOK},
		{"much", "head -c 100000000 /dev/zero | tail -c 90000000 | wc -c; [ $? = 0 ]", backends.Resources{}, http.StatusOK},
		{"hungry", `x=$(head -c 100000000 /dev/zero | tr "\0" x); echo ${#x}`, backends.Resources{Memory: "32Mi"}, http.StatusInternalServerError},
		{"busy", "while :; do :; done", backends.Resources{CPU: "50m"}, http.StatusInternalServerError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(s.cmd.Dir, tt.name+".sh")
			if err := os.WriteFile(file, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			runProgram(t, c, backends.FunctionDeployment{Service: tt.name, EnvProcess: file, Limits: &tt.limits})
			resp, err := http.Post(s.url+"/function/"+tt.name, "text/plain", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if text, _ := io.ReadAll(resp.Body); resp.StatusCode != tt.want {
				t.Errorf("%d %.200q, want %d", resp.StatusCode, text, tt.want)
			}
		})
	}
}
