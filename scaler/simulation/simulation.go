// Package simulation replays a trace of calls through the autoscaler's own
// decision code in virtual time, so that a person can see what a set of labels
// does before users do.
//
// It promises that the decisions are those of package scaler. Replicas are
// simple: each runs so many calls at once, starts in a fixed time, and a call
// takes as long as the trace says wherever it runs.
package simulation

import (
	"container/heap"
	"slices"
	"time"

	"hearth/backends"
	"hearth/scaler"
)

// Config is what a simulation is about.
type Config struct {
	Policy      backends.ScalePolicy
	Calls       []Call        // sorted by At
	ColdStart   time.Duration // from a replica's order to its first call
	Concurrency int           // calls at once per replica; 0 = no limit
	Replicas    int           // ready at the beginning
}

// Second is the state at the end of one second.
type Second struct {
	Ready, Wanted    int
	Running, Waiting int
}

// Result is what came of it.
type Result struct {
	Calls          int
	ColdStarts     int             // calls that came when no replica was ready
	Waits          []time.Duration // before each call ran, sorted
	ReplicaSeconds float64         // ordered or ready, as they are paid for
	MostReplicas   int
	Changes        int // of the wanted number
	Seconds        []Second
}

// Wait is the wait that a part of all calls, such as 0.99, did not exceed.
func (r *Result) Wait(part float64) time.Duration {
	if len(r.Waits) == 0 {
		return 0
	}
	return r.Waits[min(int(part*float64(len(r.Waits))), len(r.Waits)-1)]
}

// Run replays the trace until its last call has ended.
func Run(cfg Config) Result {
	w := &world{cfg: cfg, window: scaler.NewWindow(epoch), ready: cfg.Replicas, wanted: cfg.Replicas}
	for i := range cfg.Calls {
		w.push(cfg.Calls[i].At, arrival, i)
	}
	w.push(time.Second, tick, 0)
	for w.events.Len() > 0 {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		w.handle(e)
	}
	slices.Sort(w.result.Waits)
	w.result.Calls = len(cfg.Calls)
	return w.result
}

var epoch = time.Unix(0, 0)

type kind int

const (
	completion kind = iota // first, so that a place is free for what comes at the same instant
	ready
	arrival
	tick
)

type event struct {
	at   time.Duration
	kind kind
	call int
	seq  int
}

type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e events) Less(i, j int) bool {
	a, b := e[i], e[j]
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.kind != b.kind:
		return a.kind < b.kind
	}
	return a.seq < b.seq
}
func (e *events) Push(x any) { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// world is the function, its replicas and its queue at one instant.
type world struct {
	cfg       Config
	now       time.Duration
	events    events
	seq       int
	window    *scaler.Window
	ready     int
	starting  int
	wanted    int
	running   int
	completed int   // in the present second
	started   int   // in the present second
	queue     []int // calls that wait, oldest first
	ended     int
	result    Result
}

func (w *world) push(at time.Duration, k kind, call int) {
	w.seq++
	heap.Push(&w.events, event{at, k, call, w.seq})
}

func (w *world) handle(e event) {
	switch e.kind {
	case arrival:
		w.started++
		if w.ready == 0 {
			w.result.ColdStarts++
		}
		if w.wanted == 0 { // the gateway wakes it, not the loop
			w.scaleTo(max(1, w.cfg.Policy.Min))
		}
		w.queue = append(w.queue, e.call)
	case completion:
		w.running, w.completed, w.ended = w.running-1, w.completed+1, w.ended+1
	case ready:
		if w.starting > 0 { // else it was scaled away while it started
			w.starting, w.ready = w.starting-1, w.ready+1
		}
	case tick:
		w.tick()
	}
	w.dispatch()
}

// dispatch lets waiting calls run where there is a place.
func (w *world) dispatch() {
	for len(w.queue) > 0 && w.ready > 0 && (w.cfg.Concurrency == 0 || w.running < w.ready*w.cfg.Concurrency) {
		call := w.cfg.Calls[w.queue[0]]
		w.result.Waits = append(w.result.Waits, w.now-call.At)
		w.push(w.now+call.Takes, completion, w.queue[0])
		w.queue, w.running = w.queue[1:], w.running+1
	}
}

// tick is one second of the autoscaler.
func (w *world) tick() {
	p, now := w.cfg.Policy, epoch.Add(w.now)
	load := float64(w.completed)
	if p.Type == "capacity" {
		load = float64(w.running + len(w.queue))
	}
	w.window.Add(p, now, load, w.started+w.completed+w.running+len(w.queue) > 0)
	if d := scaler.Decide(p, w.window, w.wanted, now); !d.Hold {
		w.scaleTo(d.Want)
	}
	w.completed, w.started = 0, 0
	w.result.ReplicaSeconds += float64(w.ready + w.starting)
	w.result.Seconds = append(w.result.Seconds, Second{w.ready, w.wanted, w.running, len(w.queue)})
	if w.ended < len(w.cfg.Calls) {
		w.push(w.now+time.Second, tick, 0)
	}
}

// scaleTo orders replicas; those that go are the ones still starting, first.
func (w *world) scaleTo(n int) {
	if n == w.wanted {
		return
	}
	w.result.Changes++
	for have := w.ready + w.starting; have < n; have++ {
		w.starting++
		w.push(w.now+w.cfg.ColdStart, ready, 0)
	}
	for have := w.ready + w.starting; have > n; have-- {
		if w.starting > 0 {
			w.starting--
		} else {
			w.ready--
		}
	}
	w.wanted = n
	w.result.MostReplicas = max(w.result.MostReplicas, n)
}
