package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"hearth/backends"
	"hearth/backends/inproc"
	"hearth/backends/local"
	"hearth/backends/provider"
	"hearth/gateway"
	"hearth/runtime"
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

// open builds all parts. On an error, what was opened is in s.closers.
func (s *server) open(ctx context.Context, p *process) error {
	c, from := s.cfg, &p.layers.origins
	if limit := setMemoryLimit("/", p.layers.environ); limit > 0 {
		s.log.Debug("memory limit from the cgroup", "bytes", limit)
	}
	if s.slots = spareProcessor(p.layers.environ); c.RunSlots > 0 {
		s.slots = c.RunSlots
	}
	var err error
	if s.data, err = openDataDir(from.name("data-dir"), c.DataDir); err != nil {
		return &usageError{err}
	}
	s.closers = append(s.closers, s.data)
	switch {
	case c.InsecureNoAuth || !c.BasicAuth:
	case c.SecretMountPath != "":
		s.credentials, err = readCredentials(from.name("secret-mount-path"), c.SecretMountPath)
	default:
		s.credentials, err = makeCredentials(from.name("data-dir"), s.data.in("credentials"))
	}
	if err != nil {
		return &usageError{err}
	}
	if c.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return &usageError{err}
		}
		s.tls = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	if s.api, err = s.listen(from.name("listen"), c.Listen); err != nil {
		return err
	}
	if s.aside, err = s.listen(from.name("metrics-listen"), c.MetricsListen); err != nil {
		return err
	}
	if s.backend, err = s.openBackend(ctx); err != nil {
		return err
	}
	return s.openGateway()
}

// listen opens a listener; a busy port is a mistake in the configuration.
func (s *server) listen(field string, at address) (net.Listener, error) {
	ln, err := net.Listen("tcp", string(at))
	if err != nil {
		text := err.Error()
		if op, ok := errors.AsType[*net.OpError](err); ok {
			text = op.Err.Error()
		}
		return nil, &usageError{&backends.FieldError{Field: field, Value: string(at), Allowed: "an address that is free on this machine: " + text}}
	}
	s.closers = append(s.closers, closeListener{ln})
	return ln, nil
}

// closeListener closes a listener that the gateway may have closed already.
type closeListener struct{ net.Listener }

func (c closeListener) Close() error {
	if err := c.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// openBackend makes the backend the configuration names, and lets modules run
// on it in this process.
func (s *server) openBackend(ctx context.Context) (backends.Backend, error) {
	if s.cfg.Backend == "provider" {
		return s.openProvider(ctx)
	}
	inner, err := s.newBackend()
	if err != nil {
		return nil, err
	}
	c := s.cfg
	engine, err := runtime.New(ctx, runtime.Config{
		CacheDir: s.data.in("cache"), Compile: compileChild,
		Slots: s.slots, MemoryBudget: int64(c.Memory), Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, engine)
	aliases, bad := c.aliases()
	if bad != nil {
		return nil, bad
	}
	host, err := inproc.Open(ctx, inproc.Config{
		Dir: s.data.in("wasm"), Engine: engine, ModuleDir: c.ModuleDir, Aliases: aliases,
		MaxModule: int64(c.MaxModule), MaxAnswer: int64(c.MaxAnswer), DiskCap: int64(c.ModuleDisk),
		LogFile: int64(c.FunctionLog), LogTotal: int64(c.FunctionLogAll), Logger: s.log, Registry: s.registry,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, host)
	return host.Backend(inner), nil
}

// newBackend makes the backend that keeps the functions.
func (s *server) newBackend() (backends.Backend, error) {
	switch s.cfg.Backend {
	case "local":
		l, err := local.Open(local.Config{Dir: s.data.in("state"), Logger: s.log})
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, l)
		return l, nil
	}
	return nil, &backends.FieldError{Field: "--backend", Value: s.cfg.Backend, Allowed: "local"}
}

// compileChild is this program as the child that compiles modules. It inherits
// nothing of our environment.
func compileChild(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "compile")
	cmd.Args[0], cmd.Env = "hearth", []string{}
	return cmd
}

// newRegistry makes the registry that /metrics shows, with the process's own
// figures in it.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// openProvider makes the backend over an external provider. What it is given to
// run, it runs: there is no host of modules before it, because a provider keeps
// the values of secrets to itself.
func (s *server) openProvider(ctx context.Context) (backends.Backend, error) {
	u, err := url.Parse(s.cfg.ProviderURL)
	if err != nil {
		return nil, err
	}
	credentials := s.credentials
	if dir := s.cfg.ProviderCredentials; dir != "" {
		if credentials, err = readCredentials("--provider-credentials", dir); err != nil {
			return nil, &usageError{err}
		}
	}
	cfg := provider.Config{URL: u, Logger: s.log}
	if credentials != nil {
		cfg.User, cfg.Password = credentials.User, credentials.Password
	}
	return provider.New(ctx, cfg)
}

// openGateway makes the gateway over the backend.
func (s *server) openGateway() error {
	c := s.cfg
	call := backends.DefaultCall
	call.Timeout = time.Duration(c.Timeout)
	policy, err := c.scalePolicy()
	if err != nil {
		return err
	}
	spill := s.data.in("spill")
	if err := os.MkdirAll(spill, 0o700); err != nil {
		return err
	}
	s.gateway, err = gateway.New(gateway.Config{
		Backend: s.backend, Call: call, Scale: policy, Scaling: s.scaling,
		Version: backends.VersionInfo{Release: release, SHA: commit},
		Logger:  s.log, Registry: s.registry,
		Credentials: s.credentials, TLS: s.tls,
		MaxBody: int64(c.MaxBody), MaxAnswer: int64(c.MaxAnswer), MaxModule: int64(c.MaxModule),
		SpillDir:      spill,
		HeaderTimeout: time.Duration(c.HeaderTimeout), IdleTimeout: time.Duration(c.IdleTimeout), WriteTimeout: time.Duration(c.WriteTimeout),
		DrainDelay:     time.Duration(c.DrainDelay),
		TrustedProxies: c.proxies(), AllowedHosts: c.AllowedHosts,
		ScaleFromZero: c.ScaleFromZero, CallLog: c.CallLog,
		Ready: func(context.Context) error { return s.table.ready() },
	})
	if err != nil {
		return err
	}
	tables := manyTables{s.gateway.Table()}
	if c.Autoscale {
		s.scaler = scaler.New(scaler.Config{
			Loads: s.gateway.Loads, Scale: s.backend.Scale, Usage: s.backend.Powers().Usage,
			Leaser: s.backend.Powers().Leaser, Defaults: policy, Logger: s.log, Registry: s.registry,
		})
		tables = append(tables, s.scaler)
	}
	s.table = &fedTable{Table: tables, fed: make(chan struct{})}
	return nil
}

// scaling tells what the autoscaler knows, which is made after the gateway.
func (s *server) scaling(key backends.Key) (backends.Scaling, bool) {
	if s.scaler == nil {
		return backends.Scaling{Reason: "hold: the autoscaler is switched off"}, true
	}
	return s.scaler.Scaling(key)
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

// manyTables feeds several tables as one.
type manyTables []backends.Table

func (m manyTables) Replace(entries []backends.Entry) {
	for _, t := range m {
		t.Replace(entries)
	}
}

func (m manyTables) Set(e backends.Entry) {
	for _, t := range m {
		t.Set(e)
	}
}

func (m manyTables) Delete(key backends.Key) {
	for _, t := range m {
		t.Delete(key)
	}
}

// fedTable is the gateway's table, which tells when it was first filled.
type fedTable struct {
	backends.Table
	fed    chan struct{}
	filled atomic.Bool
}

// Replace is part of backends.Table.
func (t *fedTable) Replace(entries []backends.Entry) {
	t.Table.Replace(entries)
	if t.filled.CompareAndSwap(false, true) {
		close(t.fed)
	}
}

// ready tells why calls cannot be answered yet.
func (t *fedTable) ready() error {
	if !t.filled.Load() {
		return backends.Errorf(backends.ErrUnavailable, "the functions are being loaded")
	}
	return nil
}
