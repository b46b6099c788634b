package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"hearth/backends"
)

// Times of a replica's life.
const (
	firstPause = 100 * time.Millisecond // before it is started again
	lastPause  = 30 * time.Second
	longLife   = 10 * time.Second // after which a pause is the first again
	lookFirst  = 5 * time.Millisecond
	lookStart  = 100 * time.Millisecond // while it is not ready
	lookReady  = 2 * time.Second
	lookWait   = time.Second      // for the answer of a probe
	endSlack   = 10 * time.Second // above the longest call, until it is killed
	pipeWait   = 2 * time.Second  // for what it left behind to close its output
)

// replica is one child, and those that take its place when it dies.
type replica struct {
	program  *program
	function backends.Function
	instance string
	socket   string
	secrets  string // directory of its secrets; empty if it has none
	ctx      context.Context
	cancel   context.CancelFunc

	// Guarded by hosted.mu.
	ready   bool
	problem string // why not
}

// newReplica starts a replica; nil if the host is closing.
func (h *Host) newReplica(p *program, f backends.Function, generation int64) *replica {
	n := h.next()
	r := &replica{
		program: p, function: f, instance: fmt.Sprintf("%s-%d-%d", f.Name, generation, n),
		socket: filepath.Join(h.run, strconv.Itoa(n)+".sock"), problem: "it is being started",
	}
	if len(f.Secrets) > 0 {
		r.secrets = filepath.Join(h.run, strconv.Itoa(n))
	}
	r.ctx, r.cancel = context.WithCancel(h.ctx)
	if !h.spawn(r.live) {
		r.cancel()
		return nil
	}
	return r
}

// live keeps the child running until the replica is ended.
func (r *replica) live() {
	h := r.program.hosted.host
	defer r.cancel()
	defer r.remove()
	for pause := firstPause; r.ctx.Err() == nil; pause = min(2*pause, lastPause) {
		begin := time.Now()
		err := r.once()
		if r.ctx.Err() != nil {
			return
		}
		if time.Since(begin) > longLife {
			pause = firstPause
		}
		why := fmt.Sprintf("replica %s has ended (%s); it is started again in %s; its log may say why", r.instance, reason(err), pause)
		h.log.Warn("program has ended", "function", r.function.Key.String(), "replica", r.instance, "error", reason(err), "again", pause)
		r.become(false, why)
		select {
		case <-time.After(pause):
		case <-r.ctx.Done():
		}
	}
}

// reason is why a child ended.
func reason(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// remove removes what the child left on the disk.
func (r *replica) remove() {
	err := os.Remove(r.socket)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if r.secrets != "" {
		err = errors.Join(err, os.RemoveAll(r.secrets))
	}
	if err != nil {
		r.program.hosted.host.log.Warn("remains of a program", "replica", r.instance, "error", err)
	}
}

// become says whether the replica can answer.
func (r *replica) become(ready bool, problem string) {
	b := r.program.hosted
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.ready != ready || r.problem != problem {
		r.ready, r.problem = ready, problem
		r.program.changed()
	}
}

// once runs a child to its end.
func (r *replica) once() error {
	h := r.program.hosted.host
	r.remove() // what the one before left
	if err := r.writeSecrets(); err != nil {
		return err
	}
	spec, err := h.spec(r.function, r.secrets)
	if err != nil {
		return err
	}
	cmd := h.cfg.Child(context.WithoutCancel(r.ctx))
	cmd.Args = append(cmd.Args, r.socket, strconv.FormatInt(spec.memory, 10), strconv.FormatInt(spec.seconds, 10))
	cmd.Env, cmd.Dir = spec.environ, "/"
	lines := &lineWriter{line: func(line []byte) { h.cfg.Log(r.function.Key, r.instance, line) }}
	cmd.Stdout, cmd.Stderr = lines, lines
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.WaitDelay = pipeWait
	if err := h.start(cmd); err != nil {
		return err
	}
	defer lines.flush()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return r.attend(cmd, ended, spec)
}

// attend looks after a child until it has ended, and tells it to when the
// replica is ended.
func (r *replica) attend(cmd *exec.Cmd, ended <-chan error, spec spec) error {
	look := lookFirst
	timer := time.NewTimer(look)
	defer timer.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-r.ctx.Done():
			return r.dismiss(cmd, ended, spec.longest)
		case <-timer.C:
		}
		if problem := r.probe(spec.probe); problem == "" {
			look = lookReady
			r.become(true, "")
		} else {
			look = min(2*look, lookStart)
			r.become(false, problem)
		}
		timer.Reset(look)
	}
}

// dismiss lets a child end the calls it has, which takes as long as the
// longest may, and kills one that does not end.
func (r *replica) dismiss(cmd *exec.Cmd, ended <-chan error, longest time.Duration) error {
	pid := cmd.Process.Pid
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
	limit := time.NewTimer(longest + endSlack)
	defer limit.Stop()
	select {
	case err := <-ended:
		return err
	case <-limit.C:
	}
	r.program.hosted.host.log.Warn("program did not end and is killed", "replica", r.instance)
	if cmd.Process.Kill() == nil { // not waited for: the number is its own
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	return <-ended
}

// probe asks whether the replica can answer, and says why not.
func (r *replica) probe(path string) (problem string) {
	ctx, cancel := context.WithTimeout(r.ctx, lookWait)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", r.socket)
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return "replica " + r.instance + " does not listen yet"
	}
	resp.Body.Close()
	if resp.StatusCode < 300 || resp.StatusCode == http.StatusTooManyRequests { // busy is not broken
		return ""
	}
	return fmt.Sprintf("replica %s answers its readiness probe with %d; its log may say why", r.instance, resp.StatusCode)
}

// maxLine is how much of a line without an end is kept in memory.
const maxLine = 64 << 10

// lineWriter cuts what a child writes into lines.
type lineWriter struct {
	line func([]byte)
	part []byte
}

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		if room := maxLine - len(w.part); len(line) > room {
			line, rest, ended = p[:room], p[room:], true
		}
		w.part = append(w.part, line...)
		if p = rest; ended {
			w.line(w.part)
			w.part = w.part[:0]
		}
	}
	return n, nil
}

// flush passes on a last line without an end.
func (w *lineWriter) flush() {
	if len(w.part) > 0 {
		w.line(w.part)
		w.part = nil
	}
}
