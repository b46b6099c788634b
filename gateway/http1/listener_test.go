package http1

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
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

// TestAConnectionThatNobodyUsesDoesNotHoldUpTheEnd: clients open connections in
// advance, and the server waits for the first byte on each.
func TestAConnectionThatNobodyUsesDoesNotHoldUpTheEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	guarded := Listen(ln, ListenerOptions{Sweep: time.Millisecond})
	defer guarded.Stop()
	server := &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) {}, ReadTimeout: time.Hour, ReadBufferSize: HeadBuffer}
	served := make(chan error, 1)
	go func() { served <- server.Serve(guarded) }()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for guarded.Connections() == 0 {
		time.Sleep(time.Millisecond)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown() }()
	select {
	case err := <-ended:
		if err != nil || <-served != nil {
			t.Errorf("shutdown: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the server waits for a connection on which nothing came")
	}
}
