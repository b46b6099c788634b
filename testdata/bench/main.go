// Bench prints the figures of SPECIFICATION.md, all measured in one run on
// this machine: hello through the gateway next to a plain fasthttp handler,
// metering, start-up, memory, size and allocations.
//
//	go run ./testdata/bench [-check] [-rounds N] [-seconds N]
//
// With -check it ends with status 1 if a figure is on the wrong side of its
// floor. Floors of what depends on the machine are ratios, or far from what
// any machine should do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

// options are the flags.
type options struct {
	check   bool
	rounds  int
	seconds int
	plain   bool
}

func main() {
	var o options
	flag.BoolVar(&o.check, "check", false, "fail when a figure is on the wrong side of its floor")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of load, of which the median counts")
	flag.IntVar(&o.seconds, "seconds", 5, "length of each round of wrk")
	flag.BoolVar(&o.plain, "plain", false, "be the plain fasthttp server that the gateway is compared with")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.plain {
		return servePlain(os.Stdout)
	}
	dir, err := os.MkdirTemp("", "hearth-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir, binary: filepath.Join(dir, "hearth")}
	for _, part := range []func(context.Context) error{b.size, b.allocations, b.metering, b.load, b.many} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return b.report(os.Stdout)
}
