// Package local is the backend that needs nothing else: functions, secrets and
// namespaces are files in one directory, and what runs them is in this process.
//
// A change is on disk before the call that made it returns, changes happen one
// after the other, and each is one atomic replacement of one file: the state
// found after a crash is a prefix of what was acknowledged, plus at most the
// one change in flight. A file that cannot be read as one of ours is moved to
// the quarantine directory and reported, never fatal. What is in memory is
// always what opening the directory again would give.
//
// It does not decide which images can run: the host of in-process functions
// does. It does not guard the directory against a second process.
package local

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"hearth/backends"
)

// Config says where the state is.
type Config struct {
	// Dir holds the state; it is made with mode 0700 if it is missing.
	Dir string
	// Logger gets what is wrong with the directory. It never gets a secret.
	Logger *slog.Logger
}

// Local is a backends.Backend over a directory.
type Local struct {
	store *store
	log   *slog.Logger

	// turn holds a token for the one change, or start of a watch, that may be
	// under way. It goes before mu and is held over the disk; mu never is.
	turn     chan struct{}
	watchers map[*watcher]struct{} // by turn
	closed   chan struct{}         // closed by turn

	mu         sync.RWMutex
	functions  map[backends.Key]backends.Status
	secrets    map[secretKey][]byte
	namespaces map[string]backends.Namespace
}

// Open reads the state in the directory, or begins one. An error means that the
// directory cannot be used at all, or that a newer version of Hearth wrote it.
func Open(cfg Config) (*Local, error) {
	return open(cfg, osFiles{})
}

func open(cfg Config, files files) (*Local, error) {
	if cfg.Dir == "" {
		return nil, &backends.FieldError{Field: "directory of the local backend", Value: cfg.Dir, Allowed: "a directory's path"}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &store{dir: cfg.Dir, files: files, log: cfg.Logger}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.Dir, err)
	}
	l := &Local{
		store:      s,
		log:        cfg.Logger,
		turn:       make(chan struct{}, 1),
		watchers:   map[*watcher]struct{}{},
		closed:     make(chan struct{}),
		functions:  map[backends.Key]backends.Status{},
		secrets:    map[secretKey][]byte{},
		namespaces: map[string]backends.Namespace{backends.DefaultNamespace: {Name: backends.DefaultNamespace}},
	}
	for kind, take := range map[string]func(string, []byte) error{
		kindNamespace: l.takeNamespace, kindSecret: l.takeSecret, kindFunction: l.takeFunction,
	} {
		if err := s.load(kind, take); err != nil {
			return nil, fmt.Errorf("open %s: %w", cfg.Dir, err)
		}
	}
	l.restoreNamespaces()
	return l, nil
}

// Close waits for the change under way, refuses later ones and ends all
// watches. What was stored can still be read.
func (l *Local) Close() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if !l.isClosed() {
		close(l.closed)
	}
	return nil
}

// Info names the backend.
func (l *Local) Info() backends.Info {
	return backends.Info{Name: "hearth-local", Orchestration: "local"}
}

// Powers are secrets and namespaces; the host of in-process functions adds more.
func (l *Local) Powers() backends.Powers {
	return backends.Powers{Secrets: secrets{l}, Namespaces: namespaces{l}}
}

// change runs do alone among all changes; what names it if ctx ends before.
// do reads the maps without mu, which only a change writes.
func (l *Local) change(ctx context.Context, what string, do func() error) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if l.isClosed() {
		return errClosed()
	}
	return do()
}

func (l *Local) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

func errClosed() error {
	return backends.Errorf(backends.ErrUnavailable, "the local backend is closed")
}
