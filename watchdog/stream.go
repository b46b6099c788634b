package watchdog

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"

	"hearth/gateway/http1"
)

// stream runs a process whose input is the body as it comes, and whose output
// is the answer as it comes. The answer begins with the first byte, so that a
// process that fails without a word is a failure for the client too.
func (w *Watchdog) stream(x *exchange) (later bool) {
	s, err := startStream(x)
	if err != nil {
		w.log.printf("the function cannot be started: %v", err)
		x.fail(http.StatusInternalServerError, err.Error()+"\n")
		x.SetConnectionClose()
		return false
	}
	x.SetContentType(w.contentType())
	switch {
	case x.method == http.MethodHead:
		io.Copy(io.Discard, s)
		x.sent = 0
	case s.prefetch():
		if !s.isFed() {
			x.SetConnectionClose() // the function may not read to the end
		}
		x.Response.ImmediateHeaderFlush = true
		x.SetBodyStream(s, -1)
		return true
	}
	if err := s.err; err != io.EOF {
		w.log.printf("the function failed: %v", err)
		x.SetStatusCode(http.StatusInternalServerError)
		x.SetBodyString(exitText(err))
	}
	if !s.stopFeeding() {
		x.leaveBody()
		x.SetConnectionClose()
	}
	return false
}

// isFed reports whether the process has been given all of the body.
func (s *stream) isFed() bool {
	if !s.x.Request.IsBodyStream() {
		return true
	}
	select {
	case whole := <-s.fed:
		s.joined, s.whole = true, whole
	default:
	}
	return s.joined && s.whole
}

// stream is the output of a process on its way to the client.
type stream struct {
	x      *exchange
	cmd    *exec.Cmd
	stdout io.ReadCloser
	errs   *lines
	first  []byte
	err    error // what comes after first; io.EOF after a good end
	fed    chan bool
	whole  bool // all of the body has been read
	joined bool
}

// startStream starts the process and the goroutine that feeds it.
func startStream(x *exchange) (*stream, error) {
	s := &stream{x: x, cmd: x.command(), errs: x.w.childLines("stderr"), fed: make(chan bool, 1)}
	s.cmd.Stderr = s.errs
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if s.stdout, err = s.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	s.cmd.Cancel = func() error {
		if f, ok := s.stdout.(*os.File); ok { // what left the group may hold it open
			f.SetReadDeadline(time.Now().Add(killDelay))
		}
		return killGroup(s.cmd)
	}
	if err := x.w.start(s.cmd); err != nil {
		return nil, err
	}
	body, _ := x.stream()
	go func() {
		_, err := io.Copy(stdin, body)
		stdin.Close()
		if err != nil { // the process does not read on; is there more to read?
			var one [1]byte
			n, end := body.Read(one[:])
			s.fed <- n == 0 && end == io.EOF
			return
		}
		s.fed <- true
	}()
	return s, nil
}

// prefetch waits for the first output. It reports false if the process ended
// without any.
func (s *stream) prefetch() bool {
	buf := make([]byte, 32<<10)
	n, err := s.stdout.Read(buf)
	s.first = buf[:n]
	if err != nil {
		s.err = s.wait()
	}
	return n > 0
}

// wait ends the process and gives io.EOF if all was well.
func (s *stream) wait() error {
	err := s.x.w.wait(s.cmd)
	s.errs.Close()
	if cause := s.x.call.Err(); cause != nil && err != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			s.x.w.log.printf("the function was killed: it took longer than exec_timeout, %s", s.x.w.cfg.ExecTimeout)
		}
		return err
	}
	if err != nil {
		if len(s.first) == 0 && s.x.sent <= 0 {
			return err
		}
		// The answer has begun, and as in OpenFaaS stays one of success.
		s.x.w.log.printf("the function failed after it had begun to answer: %v", err)
	}
	return io.EOF
}

// Read gives output. An error other than io.EOF cuts the answer.
func (s *stream) Read(p []byte) (int, error) {
	if s.x.sent < 0 {
		s.x.sent = 0
	}
	if len(s.first) > 0 {
		n := copy(p, s.first)
		s.first = s.first[n:]
		s.x.sent += int64(n)
		return n, nil
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.stdout.Read(p)
	s.x.sent += int64(n)
	if err != nil {
		s.err = s.wait()
	}
	if n > 0 {
		return n, nil
	}
	return 0, s.err
}

// stopFeeding waits for the goroutine that feeds, and ends it if it waits for
// the client. It reports whether all of the body has been read.
func (s *stream) stopFeeding() bool {
	if s.joined {
		return s.whole
	}
	s.joined = true
	if !s.x.Request.IsBodyStream() {
		s.whole = <-s.fed // the end of the process ends it
		return s.whole
	}
	soon := time.NewTimer(feedDelay)
	defer soon.Stop()
	select {
	case s.whole = <-s.fed:
	case <-soon.C:
		http1.Finish(s.x.Conn())
		<-s.fed
	}
	return s.whole
}

// feedDelay is how long after the end of a process the rest of its input may
// come, so that the connection can be used again.
const feedDelay = 10 * time.Millisecond

// Close ends the process if it still runs, and the exchange. The connection
// goes too if there is body left on it, which would be taken for a request.
func (s *stream) Close() error {
	if s.err == nil {
		s.x.call.Cancel()
		io.Copy(io.Discard, s.stdout)
		s.wait()
	}
	if !s.stopFeeding() {
		s.x.leaveBody()
	}
	s.x.end()
	return nil
}
