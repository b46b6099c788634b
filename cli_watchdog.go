package main

import (
	"context"
	"os/signal"
	"syscall"

	"hearth/watchdog"
	"hearth/watchdog/wasm"
)

// watchdogCommand serves one function inside a container, as OpenFaaS'
// watchdogs do; its environment says which and how.
type watchdogCommand struct {
	Args []string `arg:"" optional:"" help:"-version, -run-healthcheck, or nothing."`
}

// Run serves until SIGTERM.
func (w *watchdogCommand) Run(ctx context.Context, p *process) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	p.code = watchdog.Main(ctx, watchdog.Program{
		Version: release, Args: w.Args, Environ: p.environ, Stdout: p.stdout, Stderr: p.stderr, Load: wasm.Load,
	})
	return nil
}
