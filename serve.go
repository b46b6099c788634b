package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"hearth/backends"
	"hearth/gateway"
	"hearth/scaler"
)

// serveCommand is the server.
type serveCommand struct {
	Config `embed:""`
}

// Run serves until a signal or a fault.
func (s *serveCommand) Run(ctx context.Context, p *process) error {
	if err := s.prepare(p); err != nil {
		return err
	}
	if s.PrintConfig {
		return s.print(p.stdout, &p.layers.origins)
	}
	return s.serve(ctx, p, nil)
}

// prepare completes and checks the configuration.
func (c *Config) prepare(p *process) error {
	from := &p.layers.origins
	c.derive(from)
	if c.DataDir == "" {
		dir, err := defaultDataDir(p.layers.environ)
		if err != nil {
			return &usageError{&backends.FieldError{Field: "--data-dir", Allowed: "it must be given, because " + err.Error()}}
		}
		c.DataDir = dir
	}
	if err := c.validate(from); err != nil {
		return &usageError{err}
	}
	for _, w := range p.layers.warnings {
		fmt.Fprintln(p.stderr, "hearth: "+w)
	}
	return nil
}

// server is all parts of a running server.
type server struct {
	cfg         *Config
	log         *slog.Logger
	registry    *prometheus.Registry
	data        *dataDir
	credentials *gateway.Credentials
	api, aside  net.Listener // API and functions; metrics and health
	tls         *tls.Config
	backend     backends.Backend
	gateway     *gateway.Gateway
	table       *fedTable
	scaler      *scaler.Scaler // nil: switched off
	slots       int            // functions on a CPU at once
	closers     []io.Closer    // in the order they were opened
}

// serve builds the server, runs it until a signal, drains it, and takes it
// down. Once calls are answered it runs ready, if that is not nil, which must
// end with its context.
func (c *Config) serve(ctx context.Context, p *process, ready func(context.Context, *server) error) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// A core of this process would hold every secret.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	s := &server{cfg: c, log: c.logger(p.stderr), registry: newRegistry()}
	defer s.close()
	if err := s.open(ctx, p); err != nil {
		return err
	}
	group, run := errgroup.WithContext(context.WithoutCancel(ctx))
	watch, unwatch := context.WithCancel(run)
	group.Go(func() error { return s.gateway.Serve(s.api) })
	group.Go(func() error { return s.gateway.ServeMetrics(s.aside) })
	group.Go(func() error {
		if err := s.backend.Watch(watch, s.table); watch.Err() == nil {
			return fmt.Errorf("watch the functions: %w", err)
		}
		return nil
	})
	if s.scaler != nil {
		group.Go(func() error {
			_ = s.scaler.Run(watch) // it ends with watch alone
			return nil
		})
	}
	group.Go(func() error {
		select {
		case <-s.table.fed:
		case <-run.Done():
			return nil
		case <-ctx.Done():
			return nil
		}
		s.greet(p.stdout)
		if ready == nil {
			return nil
		}
		until, cancel := context.WithCancel(run)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return ready(until, s)
	})
	group.Go(func() error {
		defer unwatch()
		select {
		case <-ctx.Done():
		case <-run.Done():
		}
		stop() // the next signal ends the process at once
		return s.drain()
	})
	return group.Wait()
}

// drain lets calls in flight end.
func (s *server) drain() error {
	limit := time.Duration(s.cfg.DrainTimeout)
	s.log.Info("draining", "at most", limit)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.cfg.DrainDelay)+limit)
	defer cancel()
	err := s.gateway.Shutdown(ctx)
	// Shutdown does not reach a listener that nobody has begun to serve.
	_, _ = s.api.Close(), s.aside.Close()
	if err != nil {
		return fmt.Errorf("calls in flight were cut after %s: %w", limit, err)
	}
	return nil
}

// close takes down what open built, the last first.
func (s *server) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i].Close(); err != nil {
			s.log.Error("close", "error", err)
		}
	}
}

// logger writes in the format and from the level of the configuration.
func (c *Config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // validate has seen it
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
