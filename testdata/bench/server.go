package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// child is a server under load in a process of its own.
type child struct {
	cmd      *exec.Cmd
	url      string // of what is called
	api      string
	password string
	log      *os.File
}

// servePlain answers as hello does, without any of us in between.
func servePlain(w io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "http://%s\n", ln.Addr())
	return fasthttp.Serve(ln, func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("text/plain")
		ctx.SetBodyString("Hello, world!\n")
	})
}

// startPlain starts the plain server.
func startPlain(ctx context.Context) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self, "-plain")}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	c.url = strings.TrimSpace(line) + "/"
	return c, err
}

// startHearth starts the binary with its defaults and waits until it says
// that it answers calls; it gives the time that took.
func (b *bench) startHearth(ctx context.Context) (*child, time.Duration, error) {
	data := filepath.Join(b.dir, "data")
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		return nil, 0, err
	}
	c := &child{log: log, cmd: exec.CommandContext(ctx, b.binary, "--data-dir", data, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")}
	c.cmd.Stderr = log
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, 0, err
	}
	lines := bufio.NewScanner(out)
	for c.api == "" && lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "functions and API"); ok {
			c.api = strings.TrimSpace(url)
		}
	}
	took := time.Since(began)
	if c.api == "" {
		return nil, 0, fmt.Errorf("hearth did not start: %w", c.cmd.Wait())
	}
	c.url = c.api + "/function/hello"
	password, err := os.ReadFile(filepath.Join(data, "credentials", "basic-auth-password"))
	c.password = string(password)
	return c, took, err
}

// deploy makes one function of the store.
func (c *child) deploy(ctx context.Context, name, image string) error {
	body, err := json.Marshal(map[string]string{"service": name, "image": image})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api+"/system/functions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth("admin", c.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("deploy %s: %s: %s", name, resp.Status, text)
	}
	return err
}

// call calls a function once and checks that it answers.
func (c *child) call(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || len(text) == 0 {
		return fmt.Errorf("call %s: %s, %q, %w", url, resp.Status, text, err)
	}
	return nil
}

// logged is how many bytes the server has written to its log.
func (c *child) logged() int64 {
	info, err := c.log.Stat()
	if err != nil {
		return -1
	}
	return info.Size()
}

// memory reads how many bytes of the process are in memory.
func (c *child) memory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	var kib float64
	_, err = fmt.Sscan(after, &kib)
	return kib * 1024, err
}

// stop ends the server and waits for it.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.cmd.Wait()
	if c.log != nil {
		_ = c.log.Close()
	}
}
