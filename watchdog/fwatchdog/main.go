// Command fwatchdog serves one function over HTTP inside a container. Its
// environment is that of OpenFaaS' watchdogs.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"hearth/watchdog"
	"hearth/watchdog/wasm"
)

// version is set by the release build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(watchdog.Main(ctx, watchdog.Program{
		Version: version, Args: os.Args[1:], Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr, Load: wasm.Load,
	}))
}
