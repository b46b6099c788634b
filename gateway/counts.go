package gateway

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// counts is what the calls of one function came to. It lives and dies with the
// function's route, so that no series outlives its function.
type counts struct {
	started  atomic.Uint64
	inflight atomic.Int64 // running, and waiting for an answer
	mu       sync.Mutex   // of growing codes
	codes    atomic.Pointer[[]*outcome]
}

// outcome counts the calls that ended with one status.
type outcome struct {
	code    int // 0 stands for all codes beyond maxCodes
	buckets [len(bounds) + 1]atomic.Uint64
	nanos   atomic.Int64
}

// bounds are the buckets of durations, OpenFaaS' and Prometheus' own.
var bounds = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// maxCodes bounds the series of one function, whatever statuses it answers
// with.
const maxCodes = 24

// note counts a call that ended.
func (c *counts) note(code int, took time.Duration) {
	o := c.of(code)
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	o.nanos.Add(int64(took))
	o.buckets[i].Add(1)
}

// of gives the outcome of a code, making it at its first call.
func (c *counts) of(code int) *outcome {
	if o := find(c.list(), code); o != nil {
		return o
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list()
	if len(list) >= maxCodes {
		code = 0
	}
	if o := find(list, code); o != nil {
		return o
	}
	o := &outcome{code: code}
	grown := append(append(make([]*outcome, 0, len(list)+1), list...), o)
	c.codes.Store(&grown)
	return o
}

func (c *counts) list() []*outcome {
	if p := c.codes.Load(); p != nil {
		return *p
	}
	return nil
}

func find(list []*outcome, code int) *outcome {
	for _, o := range list {
		if o.code == code {
			return o
		}
	}
	return nil
}

// label is the value of the label code.
func (o *outcome) label() string {
	if o.code == 0 {
		return "other"
	}
	return strconv.Itoa(o.code)
}

// histogram gives how many calls ended, the sum of their seconds, and how many
// took at most each of the bounds.
func (o *outcome) histogram() (count uint64, sum float64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, len(bounds))
	for i, b := range bounds {
		count += o.buckets[i].Load()
		upTo[b.Seconds()] = count
	}
	count += o.buckets[len(bounds)].Load()
	return count, time.Duration(o.nanos.Load()).Seconds(), upTo
}
