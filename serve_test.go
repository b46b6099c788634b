package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/backends"
	"hearth/gateway/client"
)

// sleeper deploys a function that sleeps as long as its body says, and begins
// a call of it; the answer's status comes through the channel, 0 for none.
func sleeper(t *testing.T, s *instance, sleep string) <-chan int {
	t.Helper()
	c, err := client.New(s.url, "admin", s.password())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Deploy(t.Context(), backends.FunctionDeployment{Service: "sleep", Image: "store/sleep"}); err != nil {
		t.Fatal(err)
	}
	answer := make(chan int, 1)
	go func() {
		resp, err := http.Post(s.url+"/function/sleep", "text/plain", strings.NewReader(sleep))
		if err != nil {
			answer <- 0
			return
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			answer <- 0
			return
		}
		answer <- resp.StatusCode
	}()
	await(t, "a call in flight", func() bool {
		return strings.Contains(metrics(t, s), `gateway_function_invocation_started{function_name="sleep.openfaas-fn"} 1`)
	})
	return answer
}

// metrics reads all metrics.
func metrics(t *testing.T, s *instance) string {
	t.Helper()
	resp, err := http.Get(s.aside + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// await waits until something is there; what names it.
func await(t *testing.T, what string, there func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !there(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %s", what, patience)
		}
	}
}

func TestCallsInFlightEndBeforeTheServerDoes(t *testing.T) {
	s := testServer(t)
	answer := sleeper(t, s, "700ms")
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if status := <-answer; status != http.StatusOK {
		t.Errorf("status %d, want 200", status)
	}
	if _, err := http.Get(s.url + "/healthz"); err == nil {
		t.Error("the server still answers")
	}
}

func TestCallsStillRunningAfterTheDrainTimeoutAreCutAndSaid(t *testing.T) {
	s := testServer(t, "--drain-timeout", "200ms")
	answer := sleeper(t, s, "30s")
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "calls in flight were cut after 200ms") || s.cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("got %v with status %d, want status 1 and calls that were cut", err, s.cmd.ProcessState.ExitCode())
	}
	if status := <-answer; status == http.StatusOK {
		t.Errorf("status %d for a call that did not end", status)
	}
}

func TestASecondSignalEndsTheServerAtOnce(t *testing.T) {
	s := testServer(t)
	answer := sleeper(t, s, "30s")
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	await(t, "draining", func() bool { return strings.Contains(s.stderr.String(), "draining") })
	began := time.Now()
	if err := s.stop(); err == nil {
		t.Error("it ended with status 0")
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s", took)
	}
	<-answer
}

// A signal may come at any moment of the start, before anything is served too.
func TestASignalWhileStartingEndsTheServer(t *testing.T) {
	binary, err := exec.LookPath("hearth")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 * checkScale() {
		cmd := exec.Command(binary, "--data-dir", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
		var output lockedBuffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(40 * time.Millisecond)) // the moment is what is random here
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		stuck := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		if !stuck.Stop() {
			t.Fatalf("it did not end:\n%s", output.String())
		}
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM && status.ExitStatus() != exitOK {
			t.Errorf("it ended with %s:\n%s", cmd.ProcessState, output.String())
		}
	}
}

func TestTheCommandLineTalksTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir)
	s := testServer(t, "--tls-cert", cert, "--tls-key", key)
	gateway := strings.Replace(s.url, "127.0.0.1", "localhost", 1)
	if !strings.HasPrefix(gateway, "https://") {
		t.Fatalf("URL %s", s.url)
	}
	run := func(trust string) (string, error) {
		cmd := exec.Command("hearth", "store", "list", "--gateway", gateway)
		cmd.Env = append(os.Environ(), "HEARTH_DATA_DIR="+s.data, "SSL_CERT_FILE="+trust)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(cert); err != nil || !strings.Contains(out, "wordcount") {
		t.Errorf("with a trusted certificate: %v\n%s", err, out)
	}
	if out, err := run(os.DevNull); err == nil || !strings.Contains(out, "certificate") {
		t.Errorf("with an unknown certificate: %v\n%s", err, out)
	}
}

func TestAServerThatEndedLeavesNothingRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	var out, errs lockedBuffer
	p := process{
		args:  []string{"dev", "hello", "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"},
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
	}
	ended := make(chan int, 1)
	go func() { ended <- p.run(t.Context()) }()
	await(t, "a deployed function", func() bool { return strings.Contains(out.String(), "\nhello: http://") })
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("exit code %d:\n%s", code, errs.String())
		}
	case <-time.After(patience):
		t.Fatalf("it did not end:\n%s", errs.String())
	}
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before, // fasthttp's own, which end by themselves or with the process
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// Clients with kept-alive connections call on and on while the server drains.
// Whatever was sent on a connection that the server had accepted is answered;
// only a new connection may be refused.
func TestNoCallIsLostWhenTheServerStopsUnderLoad(t *testing.T) {
	s := testServer(t)
	c, err := client.New(s.url, "admin", s.password())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Deploy(t.Context(), backends.FunctionDeployment{Service: "hello", Image: "store/hello"}); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var answered atomic.Int64
	enough := make(chan struct{})
	for range 16 {
		group.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			own := &http.Client{Transport: transport, Timeout: patience}
			for {
				resp, err := own.Post(s.url+"/function/hello", "text/plain", strings.NewReader("you"))
				if errors.Is(err, syscall.ECONNREFUSED) {
					return
				}
				if err != nil {
					t.Errorf("a call was lost: %v", err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "you") {
					t.Errorf("status %d, %q, %v", resp.StatusCode, text, err)
					return
				}
				if answered.Add(1) == 500 {
					close(enough)
				}
			}
		})
	}
	<-enough
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	group.Wait()
	t.Logf("%d calls answered", answered.Load())
}

func TestBalancersHearOfTheStopBeforeConnectionsAreRefused(t *testing.T) {
	s := testServer(t, "--drain-delay", "1s")
	status := func(url string) int {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}).Get(url)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(s.aside + "/readyz"); got != http.StatusOK {
		t.Fatalf("before: status %d, want 200", got)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, "/readyz that says 503", func() bool { return status(s.aside+"/readyz") == http.StatusServiceUnavailable })
	if got := status(s.url + "/healthz"); got != http.StatusOK {
		t.Errorf("a new connection meanwhile: status %d, want 200", got)
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
	if !s.cmd.ProcessState.Success() {
		t.Errorf("it ended with %s", s.cmd.ProcessState)
	}
}
