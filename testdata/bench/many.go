package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// size builds the binary as a release does.
func (b *bench) size(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.add(figure{name: "binary, static and stripped", unit: "MiB", value: float64(info.Size()) / (1 << 20), bound: atMost, floor: 40, goal: "25"})
	return nil
}

// many measures what deployed functions cost that nobody calls.
func (b *bench) many(ctx context.Context) error {
	hearth, _, err := b.startHearth(ctx)
	if err != nil {
		return err
	}
	for i := range 100 {
		if err := hearth.deploy(ctx, fmt.Sprintf("idle-%d", i), "store/hello"); err != nil {
			hearth.stop()
			return err
		}
	}
	hearth.stop()
	hearth, took, err := b.startHearth(ctx)
	if err != nil {
		return err
	}
	defer hearth.stop()
	b.add(figure{name: "start-up with 100 functions", unit: "s", value: took.Seconds(), bound: atMost, floor: 1, goal: "0.1"})
	if err := hearth.call(ctx, hearth.api+"/function/idle-99"); err != nil {
		return err
	}
	before, err := hearth.memory()
	if err != nil {
		return err
	}
	for i := 100; i < 1000; i++ {
		if err := hearth.deploy(ctx, fmt.Sprintf("idle-%d", i), "store/hello"); err != nil {
			return err
		}
	}
	after, err := hearth.memory()
	if err != nil {
		return err
	}
	b.add(figure{name: "memory with 100 functions after a start", unit: "MiB", value: before / (1 << 20), bound: atMost, floor: 256, goal: "64"})
	b.add(figure{name: "memory with 1,000 idle functions", unit: "MiB", value: after / (1 << 20), bound: atMost, floor: 512, goal: "128"})
	return nil
}
