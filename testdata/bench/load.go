package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// load compares hello through the gateway with the plain handler, and looks
// at what many connections do to the default configuration.
func (b *bench) load(ctx context.Context) error {
	plain, err := startPlain(ctx)
	if err != nil {
		return err
	}
	defer plain.stop()
	hearth, _, err := b.startHearth(ctx)
	if err != nil {
		return err
	}
	defer hearth.stop()
	if err := hearth.deploy(ctx, "hello", "store/hello"); err != nil {
		return err
	}
	for _, c := range []*child{plain, hearth} {
		if err := c.call(ctx, c.url); err != nil {
			return err
		}
	}
	var ours, theirs, p99 []float64
	for range b.rounds {
		p, err := b.wrk(ctx, plain.url, 64)
		if err != nil {
			return err
		}
		h, err := b.wrk(ctx, hearth.url, 64)
		if err != nil {
			return err
		}
		if h.bad > 0 {
			return fmt.Errorf("wrk: %d calls failed", h.bad)
		}
		theirs, ours, p99 = append(theirs, p.rate), append(ours, h.rate), append(p99, h.p99.Seconds()*1000)
	}
	b.add(figure{name: "plain fasthttp handler, wrk -c64", unit: "calls/s", value: median(theirs)})
	b.add(figure{name: "hello through the gateway, wrk -c64", unit: "calls/s", value: median(ours)})
	b.add(figure{name: "hello / plain handler", unit: "ratio", value: median(ours) / median(theirs), bound: atLeast, floor: 0.3, goal: "0.7"})
	b.add(figure{name: "99th percentile, wrk -c64", unit: "ms", value: median(p99), goal: "20"})
	return b.crowds(ctx, plain, hearth)
}

// crowds are many connections at once against the defaults.
func (b *bench) crowds(ctx context.Context, plain, hearth *child) error {
	h, err := b.wrk(ctx, hearth.url, 1000)
	if err != nil {
		return err
	}
	b.add(figure{name: "hello, wrk -c1000", unit: "calls/s", value: h.rate})
	b.add(figure{name: "failed calls, wrk -c1000", unit: "calls", value: float64(h.bad), bound: atMost, floor: 0})
	p, err := b.hey(ctx, plain.url)
	if err != nil {
		return err
	}
	h, err = b.hey(ctx, hearth.url)
	if err != nil {
		return err
	}
	b.add(figure{name: "plain fasthttp handler, hey -n 100000 -c 500", unit: "calls/s", value: p.rate})
	b.add(figure{name: "hello, hey -n 100000 -c 500", unit: "calls/s", value: h.rate})
	b.add(figure{name: "hello / plain handler, hey", unit: "ratio", value: h.rate / p.rate, bound: atLeast, floor: 0.3, goal: "0.7"})
	b.add(figure{name: "failed calls, hey -n 100000 -c 500", unit: "calls", value: float64(h.bad), bound: atMost, floor: 0})
	b.add(figure{name: "log written by all that", unit: "bytes", value: float64(hearth.logged()), bound: atMost, floor: 1 << 20})
	return nil
}

// result is what a load generator saw.
type result struct {
	rate float64 // calls per second
	p99  time.Duration
	bad  int // answers that are not 2xx, and errors of sockets
}

// wrk runs wrk with that many connections.
func (b *bench) wrk(ctx context.Context, url string, connections int) (result, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t2", "-c"+strconv.Itoa(connections), "-d"+strconv.Itoa(b.seconds)+"s",
		"--timeout", "30s", "--latency", url).CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	r := result{rate: number(out, `Requests/sec:\s+([\d.]+)`), bad: int(number(out, `Non-2xx or 3xx responses: (\d+)`))}
	if m := regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`).FindSubmatch(out); m != nil {
		for _, n := range m[1:] {
			count, _ := strconv.Atoi(string(n))
			r.bad += count
		}
	}
	if m := regexp.MustCompile(`99%\s+(\S+)`).FindSubmatch(out); m != nil {
		r.p99, _ = time.ParseDuration(string(m[1]))
	}
	if r.rate == 0 {
		return r, fmt.Errorf("wrk says no rate: %s", out)
	}
	return r, nil
}

// hey runs hey with 100,000 calls over 500 connections.
func (b *bench) hey(ctx context.Context, url string) (result, error) {
	const calls = 100_000
	out, err := exec.CommandContext(ctx, "hey", "-n", strconv.Itoa(calls), "-c", "500", "-t", "30", url).CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("hey: %w: %s", err, out)
	}
	r := result{rate: number(out, `Requests/sec:\s+([\d.]+)`), bad: calls}
	for _, m := range regexp.MustCompile(`\[2\d\d\]\s+(\d+) responses`).FindAllSubmatch(out, -1) {
		good, _ := strconv.Atoi(string(m[1]))
		r.bad -= good
	}
	if r.rate == 0 || strings.Contains(string(out), "unable to") {
		return r, fmt.Errorf("hey says no rate: %s", out)
	}
	return r, nil
}

// number gives the number that a pattern finds, 0 if it finds none.
func number(out []byte, pattern string) float64 {
	m := regexp.MustCompile(pattern).FindSubmatch(out)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(string(m[1]), 64)
	return n
}
