package watchdog

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// Times of a process that serves.
const (
	firstPause = 100 * time.Millisecond // before it is started again
	lastPause  = 10 * time.Second
	longLife   = 10 * time.Second // after which a pause is the first again
	stopDelay  = 10 * time.Second
	lookAgain  = 10 * time.Millisecond
)

// service is a process that serves HTTP. It is started again when it ends, and
// told to end only when nobody needs it any more.
type service struct {
	w    *Watchdog
	up   atomic.Bool // it accepts connections
	addr string
}

// run keeps the process running until ctx ends. ready is called once, when it
// first accepts a connection.
func (s *service) run(ctx context.Context, ready func()) error {
	pause := firstPause
	for ctx.Err() == nil {
		begin := time.Now()
		err := s.once(ctx, ready)
		if ctx.Err() != nil {
			break
		}
		if time.Since(begin) > longLife {
			pause = firstPause
		}
		s.w.log.printf("the function's process has ended (%s); it is started again in %s", exitReason(err), pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
	return nil
}

func exitReason(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return exitText(err)
}

// once runs the process to its end.
func (s *service) once(ctx context.Context, ready func()) error {
	argv := s.w.cfg.Process
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = s.w.cfg.Environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = killDelay
	out, errs := s.w.childLines("stdout"), s.w.childLines("stderr")
	cmd.Stdout, cmd.Stderr = out, errs
	if err := s.w.start(cmd); err != nil {
		return err
	}
	s.w.log.printf("Started process %d: %v", cmd.Process.Pid, argv)
	living, end := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(living, ready)
	}()
	ended := make(chan error, 1)
	go func() { ended <- s.w.wait(cmd) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // not waited for yet: the number is its own
		select {
		case err = <-ended:
		case <-time.After(cmp.Or(s.w.cfg.StopDelay, stopDelay)):
			killGroup(cmd)
			err = <-ended
		}
	}
	end()
	<-watched
	s.up.Store(false)
	return errors.Join(err, out.Close(), errs.Close())
}

// watch looks when the process begins to accept connections.
func (s *service) watch(ctx context.Context, ready func()) {
	var dialer net.Dialer
	for ctx.Err() == nil {
		if conn, err := dialer.DialContext(ctx, "tcp", s.addr); err == nil {
			conn.Close()
			s.up.Store(true)
			ready()
			return
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
		}
	}
}
