package http1

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

// failing is a listener whose Accept fails a few times first.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return &pieces{}, nil
}

func TestAShortageOfDescriptorsDoesNotEndTheListener(t *testing.T) {
	l := Listen(&failing{errs: []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED}}, ListenerOptions{})
	defer l.Stop()
	conn, err := l.Accept()
	if err != nil {
		t.Fatalf("after a shortage: %v", err)
	}
	if n := l.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	conn.Close()
	if n := l.Connections(); n != 0 {
		t.Errorf("%d connections, want 0", n)
	}
	broken := Listen(&failing{errs: []error{syscall.EINVAL}}, ListenerOptions{})
	defer broken.Stop()
	if _, err := broken.Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("another error: got %v", err)
	}
}
