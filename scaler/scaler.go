package scaler

import (
	"context"
	"log/slog"
	"sync"
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
	Usage    backends.UsageReader
	Defaults backends.ScalePolicy // of functions that say nothing
	Logger   *slog.Logger
	Registry *prometheus.Registry
}

// Scaler samples loads and scales functions. It is a backends.Table, which is
// how it learns of them. It is safe for concurrent use.
type Scaler struct {
	cfg    Config
	orders chan struct{} // a slot per Scale under way
	wait   sync.WaitGroup
	count  *prometheus.CounterVec

	mu        sync.Mutex
	functions map[backends.Key]*function
	loads     []backends.Load // reused
	sampled   time.Time       // when last
}

// New makes a Scaler, which does nothing before Run.
func New(cfg Config) *Scaler {
	s := &Scaler{
		cfg: cfg, orders: make(chan struct{}, maxOrders), functions: map[backends.Key]*function{},
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
	defer s.wait.Wait()
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

// sample adds the second's load to every function's window.
func (s *Scaler) sample(ctx context.Context, now time.Time) {
	used := s.usage(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	elapsed := now.Sub(s.sampled).Seconds()
	s.sampled = now
	s.loads = s.cfg.Loads(s.loads[:0])
	for _, load := range s.loads {
		f := s.functions[load.Key]
		if f == nil {
			continue
		}
		before, seen := f.load, f.seen
		f.load, f.seen = load, true
		if !seen || load.Completed < before.Completed || load.Started < before.Started {
			continue // a first sample, or a counter that began anew
		}
		active := load.InFlight > 0 || load.Started != before.Started || load.Completed != before.Completed
		value, known := float64(load.Completed-before.Completed)/elapsed, true
		switch f.policy.Type {
		case "rps":
		case "capacity":
			value = float64(load.InFlight)
		case "cpu":
			value, known = used[load.Key]
		default:
			known = false
		}
		if !known {
			value = -1 // not a load; what was active still counts
		}
		f.window.Add(f.policy, now, value, active)
	}
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

// decide decides for every function and orders what is to change.
func (s *Scaler) decide(ctx context.Context, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.functions {
		f.latest = f.decide(now)
		if f.latest.Hold || f.ordering {
			continue
		}
		select {
		case s.orders <- struct{}{}:
			f.ordering, f.ordered = true, f.latest.Want
			s.wait.Add(1)
			go s.order(ctx, key, f.status.Replicas, f.latest)
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

// order asks the backend for one change and notes what became of it.
func (s *Scaler) order(ctx context.Context, key backends.Key, from int, d Decision) {
	defer s.wait.Done()
	defer func() { <-s.orders }()
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
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

func direction(from, to int) string {
	switch {
	case to == 0:
		return "zero"
	case to > from:
		return "up"
	}
	return "down"
}
