package main

import (
	"context"
	"fmt"
	"os/exec"
)

// metering compares compute kernels as they are and as functions run them, turn
// by turn.
func (b *bench) metering(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkMetering$", "-benchtime", "200x", "./runtime/rewrite").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -bench: %w: %s", err, out)
	}
	all, calls := number(out, `all x([\d.]+)`), number(out, `call-heavy x([\d.]+)`)
	if all == 0 || calls == 0 {
		return fmt.Errorf("the benchmark BenchmarkMetering of ./runtime/rewrite did not run: %s", out)
	}
	b.add(figure{name: "metering of compute kernels, geometric mean", unit: "times unmetered", value: all, bound: atMost, floor: 1.12, goal: "1.05"})
	b.add(figure{name: "metering of kernels that do little but call", unit: "times unmetered", value: calls, bound: atMost, floor: 1.4, goal: "1.2"})
	return nil
}
