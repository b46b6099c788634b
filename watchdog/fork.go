package watchdog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"hearth/backends"
)

// forking runs a process for each request.
type forking struct {
	w      *Watchdog
	answer func(*exchange) (later bool)
}

func (f *forking) run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	return nil
}

func (f *forking) serve(x *exchange) bool {
	x.limit(f.w.cfg.ExecTimeout)
	return f.answer(x)
}

func (f *forking) able() bool { return true }

// killDelay is how long the output of a killed process may stay open in the
// hands of others.
const killDelay = time.Second

// command makes the process of a request, in a process group of its own. It is
// killed with its group when the exchange's context ends.
func (x *exchange) command() *exec.Cmd {
	argv := x.w.cfg.Process
	cmd := exec.CommandContext(x.call, argv[0], argv[1:]...)
	cmd.Env = x.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = killDelay
	return cmd
}

// killGroup kills a process that has not been waited for, and all that stayed
// in its group.
func killGroup(cmd *exec.Cmd) error {
	if err := cmd.Process.Kill(); err != nil {
		return err // it has ended: its number may be another's by now
	}
	return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}

// runProcess runs a process to its end.
func (w *Watchdog) runProcess(cmd *exec.Cmd) error {
	if err := w.start(cmd); err != nil {
		return err
	}
	return w.wait(cmd)
}

// output is the standard output of a process, up to a bound. Above it the
// process is killed.
type output struct {
	text bytes.Buffer // not embedded: io.Copy would go past Write
	most int64
	over bool
	kill func()
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if int64(o.text.Len()+len(p)) > o.most {
		o.over = true
		o.kill()
		return 0, backends.ErrTooLarge
	}
	return o.text.Write(p)
}

func (o *output) fault() string {
	return fmt.Sprintf("the output is longer than the %d bytes allowed: max_answer_bytes raises it\n", o.most)
}

// serialize runs a process on the whole body and answers its whole output.
func (w *Watchdog) serialize(x *exchange) (later bool) {
	body, err := x.body()
	if err != nil {
		x.failBody(err)
		return false
	}
	cmd := x.command()
	errs := w.childLines("stderr")
	out := &output{most: w.cfg.MaxAnswer, kill: func() { killGroup(cmd) }}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(body), out, errs
	err = w.runProcess(cmd)
	errs.Close()
	x.SetContentType(w.contentType())
	switch {
	case out.over:
		x.fail(http.StatusBadGateway, out.fault())
	case err != nil:
		w.log.printf("the function failed: %v", err)
		x.SetStatusCode(http.StatusInternalServerError)
		x.SetBodyString(exitText(err))
	default:
		x.SetBody(out.text.Bytes())
	}
	return false
}

// contentType of answers of processes.
func (w *Watchdog) contentType() string {
	if w.cfg.ContentType != "" {
		return w.cfg.ContentType
	}
	return "application/octet-stream"
}

// exitText is how a process ended: exit status 1, signal: killed.
func exitText(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ProcessState.String()
	}
	return err.Error()
}

// classic runs a process as the first watchdog did.
func (w *Watchdog) classic(x *exchange) (later bool) {
	switch x.method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		x.SetStatusCode(http.StatusMethodNotAllowed)
		if x.Request.IsBodyStream() {
			x.SetConnectionClose()
		}
		return false
	}
	body, err := x.body()
	if err == nil && w.cfg.Marshal {
		body, err = x.marshal(body)
	}
	if err != nil {
		x.failBody(err)
		return false
	}
	w.log.printf("Forking fprocess.")
	cmd := x.command()
	out := &output{most: w.cfg.MaxAnswer, kill: func() { killGroup(cmd) }}
	cmd.Stdin, cmd.Stdout = bytes.NewReader(body), out
	var errs io.WriteCloser = nopCloser{out}
	if !w.cfg.Combine {
		errs = w.childLines("stderr")
	}
	cmd.Stderr = errs
	if w.cfg.Combine {
		cmd.Stderr = out // the same writer: os/exec writes to it in turns
	}
	err = w.runProcess(cmd)
	errs.Close()
	w.answerClassic(x, out, err)
	return false
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// answerClassic answers what a process of the mode classic wrote.
func (w *Watchdog) answerClassic(x *exchange, out *output, err error) {
	switch {
	case out.over:
		x.fail(http.StatusBadGateway, out.fault())
		return
	case err != nil && errors.Is(x.call.Err(), context.DeadlineExceeded):
		w.log.printf("Killed process after %s.", w.cfg.ExecTimeout)
		x.SetStatusCode(http.StatusRequestTimeout)
		x.SetBodyString("Killed process.\n")
		return
	case err != nil:
		w.log.printf("%s", exitText(err))
		x.SetStatusCode(http.StatusInternalServerError)
		x.SetContentType("text/plain; charset=utf-8")
		x.SetBodyString(exitText(err) + "\n" + out.text.String())
		return
	}
	kind := w.cfg.ContentType
	if kind == "" {
		kind = string(x.Request.Header.ContentType())
	}
	if kind == "" {
		kind = http.DetectContentType(out.text.Bytes())
	}
	x.SetContentType(kind)
	x.duration()
	x.SetBody(out.text.Bytes())
	if w.cfg.Debug {
		w.log.printf("%s", strings.ToValidUTF8(out.text.String()[:min(out.text.Len(), w.cfg.LogLine)], "\uFFFD"))
	}
	w.log.printf("Wrote %d Bytes - Duration: %fs", out.text.Len(), time.Since(x.begin).Seconds())
}
