package main

import (
	"context"
	"fmt"
	"os/exec"
)

// allocations runs the gateway's own benchmark of one call through its handler
// with auth, metrics and logging on.
func (b *bench) allocations(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkCall$", "-benchmem", "./gateway").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -bench: %w: %s", err, out)
	}
	if number(out, `(\d+) B/op`) == 0 && number(out, `([\d.]+) ns/op`) == 0 {
		return fmt.Errorf("the benchmark BenchmarkCall of ./gateway did not run: %s", out)
	}
	b.add(figure{name: "one call inside the gateway", unit: "us", value: number(out, `([\d.]+) ns/op`) / 1000})
	b.add(figure{name: "allocations of one call inside the gateway", unit: "allocations", value: number(out, `(\d+) allocs/op`), bound: atMost, floor: 0, goal: "0"})
	return nil
}
