package scaler

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hearth/backends"
)

const (
	sampleEvery  = time.Second
	orderTimeout = 30 * time.Second // of one Scale
	maxOrders    = 16               // Scales under way at once
)

// Config is what a Scaler needs.
type Config struct {
	// Loads appends what the gateway has counted of each function.
	Loads func(into []backends.Load) []backends.Load
	// Scale sets a function's replicas; Backend.Scale.
	Scale func(ctx context.Context, key backends.Key, replicas int) error
	// Usage measures functions that scale by cpu; nil leaves those alone.
	Usage backends.UsageReader
	// Leaser lets one of several gateways scale; nil = there is only this one.
	Leaser backends.Leaser
	// Peers finds the other gateways, whose loads count too; nil = none.
	// PeerToken is what they ask for.
	Peers     backends.Peers
	PeerToken string
	Defaults  backends.ScalePolicy // of functions that say nothing
	Logger    *slog.Logger
	Registry  *prometheus.Registry
}

// Scaler samples loads and scales functions. It is a backends.Table, which is
// how it learns of them. It is safe for concurrent use.
type Scaler struct {
	cfg    Config
	orders chan struct{} // a slot per Scale under way
	wait   sync.WaitGroup
	count  *prometheus.CounterVec
	client *http.Client
	lease  atomic.Pointer[backends.Lease] // nil: another gateway leads

	mu        sync.Mutex
	functions map[backends.Key]*function
	sources   map[string]*source // of this gateway and of each peer

	loads []backends.Load // reused by the loop
}

// New makes a Scaler, which does nothing before Run.
func New(cfg Config) *Scaler {
	s := &Scaler{
		cfg: cfg, orders: make(chan struct{}, maxOrders), functions: map[backends.Key]*function{}, sources: map[string]*source{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}},
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hearth_scaler_orders_total",
			Help: "Changes of replicas that the autoscaler asked for, by direction (up, down, zero) and result (ok, error).",
		}, []string{"direction", "result"}),
	}
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(s.count)
	}
	return s
}

// Run samples and scales until ctx ends; then it waits for the orders under
// way and returns ctx's error.
func (s *Scaler) Run(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	defer s.wait.Wait()
	if s.cfg.Leaser != nil {
		s.wait.Go(func() { s.lead(ctx) })
	}
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			now := time.Now()
			s.sample(ctx, now)
			s.decide(ctx, now)
		}
	}
}

// sample adds the second's load, summed over all gateways, to every function's
// window. While a known gateway is silent there is no sample, and so, soon, no
// decision.
func (s *Scaler) sample(ctx context.Context, now time.Time) {
	used := s.usage(ctx)
	peers, complete := s.peerLoads(ctx)
	s.loads = s.cfg.Loads(s.loads[:0])
	s.mu.Lock()
	defer s.mu.Unlock()
	total := make(map[backends.Key]happened, len(s.functions))
	s.source(self).add(now, s.loads, total)
	for addr, loads := range peers {
		if loads == nil {
			continue // silent: what it did is counted when it speaks again
		}
		s.source(addr).add(now, loads, total)
	}
	for addr := range s.sources {
		if _, known := peers[addr]; !known && addr != self && complete {
			delete(s.sources, addr) // it left
		}
	}
	for key, f := range s.functions {
		h := total[key]
		load := f.load(h, used)
		if !complete {
			load = unknown
		}
		f.window.Add(f.policy, now, load, h.active)
	}
}

// source gives the counters of one gateway.
func (s *Scaler) source(addr string) *source {
	from := s.sources[addr]
	if from == nil {
		from = &source{last: map[backends.Key]backends.Load{}}
		s.sources[addr] = from
	}
	from.forget(s.functions)
	return from
}

// unknown is no load; what was active still counts.
const unknown = -1

// load is the function's load in its type's unit.
func (f *function) load(h happened, used map[backends.Key]float64) float64 {
	switch f.policy.Type {
	case "rps":
		return h.perSecond
	case "capacity":
		return h.inFlight
	case "cpu":
		if milli, ok := used[f.status.Key]; ok {
			return milli
		}
	}
	return unknown
}

// usage asks the backend about the functions that scale by cpu.
func (s *Scaler) usage(ctx context.Context) map[backends.Key]float64 {
	if s.cfg.Usage == nil {
		return nil
	}
	s.mu.Lock()
	var keys []backends.Key
	for key, f := range s.functions {
		if f.policy.Type == "cpu" && f.status.Replicas > 0 {
			keys = append(keys, key)
		}
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, sampleEvery)
	defer cancel()
	used := make(map[backends.Key]float64, len(keys))
	for _, key := range keys {
		if u, err := s.cfg.Usage.Usage(ctx, key); err == nil {
			used[key] = u.MilliCPU
		}
	}
	return used
}

// decide decides for every function and, if this gateway leads, orders what is
// to change.
func (s *Scaler) decide(ctx context.Context, now time.Time) {
	until, leads := s.mayOrder(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.functions {
		f.latest = f.decide(now)
		if f.latest.Hold || f.ordering || !leads {
			continue
		}
		select {
		case s.orders <- struct{}{}:
			f.ordering, f.ordered = true, f.latest.Want
			from, d := f.status.Replicas, f.latest
			s.wait.Go(func() { s.order(ctx, until, key, from, d) })
		default: // the backend is slow; the next second will ask again
		}
	}
}

// decide is Decide, but for functions that are somebody else's to scale.
func (f *function) decide(now time.Time) Decision {
	have := f.status.Replicas
	reason := Reason{Have: have, Want: have, Type: f.policy.Type, Target: f.policy.Target, Proportion: f.policy.Proportion}
	if f.alerts {
		reason.Cause = CauseAlerts
		return Decision{Want: have, Hold: true, Reason: reason}
	}
	if left := byHandFor - now.Sub(f.byHand); !f.byHand.IsZero() && left > 0 {
		reason.Cause, reason.Idle = CauseByHand, left
		return Decision{Want: have, Hold: true, Reason: reason}
	}
	return Decide(f.policy, f.window, have, now)
}

// order asks the backend for one change, while this gateway leads at the
// latest, and notes what became of it.
func (s *Scaler) order(ctx context.Context, until time.Time, key backends.Key, from int, d Decision) {
	defer func() { <-s.orders }()
	ctx, cancel := context.WithDeadline(ctx, earlier(until, time.Now().Add(orderTimeout)))
	defer cancel()
	err := s.cfg.Scale(ctx, key, d.Want)
	event := backends.ScaleEvent{Time: time.Now(), From: from, To: d.Want, Reason: d.Reason.String()}
	level, result := slog.LevelInfo, "ok"
	if err != nil {
		event.Error, level, result = err.Error(), slog.LevelWarn, "error"
	}
	s.count.WithLabelValues(direction(from, d.Want), result).Inc()
	s.cfg.Logger.LogAttrs(ctx, level, "scaled", slog.String("function", key.String()), slog.Int("from", from), slog.Int("to", d.Want),
		slog.String("reason", event.Reason), slog.String("error", event.Error))
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.functions[key]; f != nil {
		f.ordering = false
		f.note(event)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func direction(from, to int) string {
	switch {
	case to == 0:
		return "zero"
	case to > from:
		return "up"
	}
	return "down"
}
