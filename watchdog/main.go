package watchdog

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"hearth/backends"
)

// Program is what a main gives and Main needs.
type Program struct {
	Version string
	Args    []string // without the program's name
	Environ []string
	Stdout  io.Writer
	Stderr  io.Writer
	// Load makes the handler of the mode wasm; nil = that mode is not built in.
	Load func(ctx context.Context, cfg Config) (backends.Handler, func() error, error)
}

// Main is the body of a watchdog's main: it serves until ctx ends and gives the
// exit code.
func Main(ctx context.Context, p Program) int {
	for _, arg := range p.Args {
		switch strings.TrimLeft(arg, "-") {
		case "version":
			fmt.Fprintf(p.Stdout, "hearth watchdog version: %s\n", p.Version)
			return 0
		case "run-healthcheck":
			return healthcheck(p)
		default:
			fmt.Fprintf(p.Stderr, "argument %.80q is not allowed: -version or -run-healthcheck; the rest is read from the environment\n", arg)
			return 2
		}
	}
	cfg, warnings, err := FromEnviron(p.Environ)
	cfg.Log, cfg.Reap = p.Stderr, true
	for _, text := range warnings {
		fmt.Fprintln(p.Stderr, text)
	}
	if err != nil {
		fmt.Fprintln(p.Stderr, err)
		return 2
	}
	if err := serve(ctx, p, cfg); err != nil {
		fmt.Fprintln(p.Stderr, err)
		return 1
	}
	return 0
}

// serve makes and runs the watchdog.
func serve(ctx context.Context, p Program, cfg Config) error {
	var handler backends.Handler
	if cfg.Mode == Wasm {
		if p.Load == nil {
			return backends.Errorf(backends.ErrUnsupported, "the mode wasm is not in this program: hearth watchdog has it")
		}
		loaded, unload, err := p.Load(ctx, cfg)
		if err != nil {
			return err
		}
		defer unload()
		handler = loaded
	}
	w, err := New(cfg, handler)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// healthcheck gives 0 if the lock file is there: what a container's probe
// executes.
func healthcheck(p Program) int {
	values := map[string]string{}
	for _, pair := range p.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			values[name] = value
		}
	}
	if _, err := os.Stat(LockFile(values)); err != nil {
		fmt.Fprintln(p.Stderr, "unable to find lock file.")
		return 1
	}
	return 0
}
