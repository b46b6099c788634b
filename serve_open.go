package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"hearth/backends"
	"hearth/backends/inproc"
	"hearth/backends/local"
	programs "hearth/backends/process"
	"hearth/backends/provider"
	"hearth/gateway"
	"hearth/runtime"
	"hearth/scaler"
)

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
	programs, err := s.openPrograms(ctx, host)
	if err != nil {
		return nil, err
	}
	return host.Backend(programs.Backend(inner)), nil
}

// openPrograms makes the host of programs of this machine, which logs where
// the host of modules does.
func (s *server) openPrograms(ctx context.Context, host *inproc.Host) (*programs.Host, error) {
	call := backends.DefaultCall
	call.Timeout = time.Duration(s.cfg.Timeout)
	h, err := programs.Open(ctx, programs.Config{
		Allow: s.cfg.AllowExec, Dir: s.data.in("exec"), Child: replicaChild, Call: call, Log: host.LogLine, Logger: s.log,
	})
	if err != nil {
		return nil, &usageError{err}
	}
	s.closers = append(s.closers, h)
	return h, nil
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

// replicaChild is this program as the child that runs a program of this
// machine. What it gets of an environment is the function's.
func replicaChild(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "replica")
	cmd.Args[0] = "hearth"
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
