// Package process runs programs of this machine as functions for the local
// backend.
//
// Host.Backend wraps a backend: a function whose image is exec: has a process
// per replica, which is this binary with our watchdog around the function's
// command line, listening on a socket of its own. The table that Watch feeds
// gets those that are ready as endpoints. All else goes to the backend as it
// came.
//
// It promises that a replica that dies is started again, ever more slowly;
// that a new version takes the calls only when it is ready, and the one before
// ends after the calls that it has; and that nothing is left behind by Close,
// or by the end of this process however it comes: no process, no socket.
//
// It does not confine the programs: they run as the user of the server, with
// the function's limits of memory and CPU and an environment without anything
// of the server's. That is why it must be allowed.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"hearth/backends"
)

// Config is what a Host needs.
type Config struct {
	Allow bool   // false refuses every program
	Dir   string // sockets and secrets are below it; nothing else may be
	// Child makes the command of a replica without arguments, environment and
	// files. It is given SOCKET, the bytes of memory and the seconds of CPU
	// that a process of the function may take (0 = any), and the function's
	// environment; it serves until SIGTERM, ends the calls it has, and exits.
	Child  func(ctx context.Context) *exec.Cmd
	Call   backends.CallPolicy // of functions that say nothing
	Log    func(key backends.Key, instance string, line []byte)
	Logger *slog.Logger // nil drops
}

// Host runs programs for the backends that it wraps.
type Host struct {
	cfg    Config
	log    *slog.Logger
	run    string // our part of Dir
	ctx    context.Context
	cancel context.CancelFunc
	starts chan start
	work   sync.WaitGroup // replicas
	idle   chan struct{}  // closed when nothing is started any more

	mu      sync.Mutex
	closed  bool
	counter int // of replicas
}

// Open makes the directory, and removes what a process before this one left.
func Open(ctx context.Context, cfg Config) (*Host, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Host{cfg: cfg, log: cfg.Logger, starts: make(chan start), idle: make(chan struct{})}
	if err := os.RemoveAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("remains of programs: %w", err)
	}
	if cfg.Allow {
		if err := h.prepare(); err != nil {
			return nil, err
		}
	}
	h.ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go h.startAll()
	return h, nil
}

// maxSocket is how long the path of a socket may be, by unix(7).
const maxSocket = 107

// prepare makes a directory of our own: a process that outlived its server for
// a moment must not remove our sockets.
func (h *Host) prepare() error {
	if err := os.MkdirAll(h.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("directory of programs: %w", err)
	}
	var err error
	if h.run, err = os.MkdirTemp(h.cfg.Dir, ""); err != nil {
		return fmt.Errorf("directory of programs: %w", err)
	}
	if over := len(filepath.Join(h.run, "1234567.sock")) - maxSocket; over > 0 {
		return errors.Join(&backends.FieldError{Field: "--data-dir", Value: h.cfg.Dir,
			Allowed: fmt.Sprintf("a path that is %d bytes shorter, because with --allow-exec sockets are below it", over)}, os.RemoveAll(h.cfg.Dir))
	}
	return nil
}

// start is a command to be started.
type start struct {
	cmd *exec.Cmd
	err chan error
}

// startAll starts every replica from one thread that lives until all of them
// have ended: a child hears of the end of the thread that made it, not of the
// process's.
func (h *Host) startAll() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(h.idle)
	for s := range h.starts {
		s.err <- s.cmd.Start()
	}
}

func (h *Host) start(cmd *exec.Cmd) error {
	s := start{cmd, make(chan error, 1)}
	h.starts <- s
	return <-s.err
}

// Backend gives b with programs as functions. It is called once.
func (h *Host) Backend(b backends.Backend) backends.Backend {
	return &hosted{host: h, inner: b, views: map[*view]bool{}, programs: map[backends.Key]*program{}}
}

// spawn runs do beside the caller; Close waits for it. False once closed.
func (h *Host) spawn(do func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.work.Go(do)
	return true
}

// next gives a number that no other replica has.
func (h *Host) next() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counter++
	return h.counter
}

// Close ends all programs, after the calls that they have, and removes what is
// theirs.
func (h *Host) Close() error {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	h.mu.Unlock()
	if again {
		return nil
	}
	h.cancel()
	h.work.Wait()
	close(h.starts)
	<-h.idle
	if err := os.RemoveAll(h.cfg.Dir); err != nil {
		return fmt.Errorf("remains of programs: %w", err)
	}
	return nil
}
