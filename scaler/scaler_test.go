package scaler

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearth/backends"
)

// world is a backend and a gateway's counters in one: what the scaler orders
// shows in its table at once.
type world struct {
	mu     sync.Mutex
	table  backends.Table
	status backends.Status
	load   backends.Load
	orders []int
	broken error
}

func (w *world) loads(into []backends.Load) []backends.Load {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(into, w.load)
}

func (w *world) scale(_ context.Context, _ backends.Key, replicas int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orders = append(w.orders, replicas)
	if w.broken != nil {
		return w.broken
	}
	w.status.Replicas = replicas
	w.table.Set(backends.Entry{Status: w.status})
	return nil
}

// serve counts so many calls each second for so long.
func (w *world) serve(perSecond, inFlight int, d time.Duration) {
	for range int(d / time.Second) {
		w.mu.Lock()
		w.load.Started += uint64(perSecond)
		w.load.Completed += uint64(perSecond)
		w.load.InFlight = inFlight
		w.mu.Unlock()
		time.Sleep(time.Second)
	}
	synctest.Wait()
}

func (w *world) replicas() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status.Replicas
}

func (w *world) ordered() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.orders)
}

// run gives a world with one function of those labels to the test, in virtual time.
func run(t *testing.T, labels map[string]string, test func(t *testing.T, w *world, s *Scaler), change ...func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		key := backends.Key{Namespace: backends.DefaultNamespace, Name: "f"}
		w := &world{load: backends.Load{Key: key}}
		w.status = backends.Status{Function: backends.Function{Key: key, Image: "i", Labels: labels}, Replicas: 1, Available: 1, Generation: 1}
		cfg := Config{Loads: w.loads, Scale: w.scale, Defaults: backends.DefaultScale, Logger: slog.New(slog.DiscardHandler)}
		for _, f := range change {
			f(&cfg)
		}
		s := New(cfg)
		w.table = s
		s.Replace([]backends.Entry{{Status: w.status}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(sampleEvery / 2) // calls are counted between samples, not with them
		test(t, w, s)
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestReplicasFollowTheLoadUpAndDownToZero(t *testing.T) {
	labels := map[string]string{backends.LabelScaleZero: "true", backends.LabelScaleZeroAfter: "2m"}
	run(t, labels, func(t *testing.T, w *world, s *Scaler) {
		w.serve(200, 2, 30*time.Second)
		if n := w.replicas(); n != 5 {
			t.Errorf("%d replicas at 200 calls/s, want 5", n)
		}
		w.serve(0, 0, 30*time.Second)
		if n := w.replicas(); n != 1 {
			t.Errorf("%d replicas without load, want 1", n)
		}
		w.serve(0, 0, 100*time.Second)
		if n := w.replicas(); n != 0 {
			t.Errorf("%d replicas after two minutes, want 0", n)
		}
		scaling, ok := s.Scaling(w.status.Key)
		if !ok || len(scaling.Events) < 3 || scaling.Events[len(scaling.Events)-1].To != 0 || scaling.Reason != "hold: at zero until a call comes" {
			t.Errorf("events: %+v", scaling)
		}
	})
}

func TestACallUnderWayKeepsAFunctionFromZero(t *testing.T) {
	labels := map[string]string{backends.LabelScaleZero: "true", backends.LabelScaleZeroAfter: "1m"}
	run(t, labels, func(t *testing.T, w *world, _ *Scaler) {
		w.serve(0, 1, 10*time.Minute)
		if n := w.replicas(); n != 1 {
			t.Errorf("%d replicas with a call in flight, want 1", n)
		}
	})
}

func TestAFunctionScaledByHandIsLeftAloneForFiveMinutes(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world, s *Scaler) {
		w.serve(10, 0, 20*time.Second)
		if err := w.scale(t.Context(), w.status.Key, 7); err != nil {
			t.Fatal(err)
		}
		w.serve(10, 0, 4*time.Minute)
		if n := w.replicas(); n != 7 {
			t.Errorf("%d replicas four minutes after somebody asked for 7", n)
		}
		if scaling, _ := s.Scaling(w.status.Key); scaling.Reason[:20] != "hold: scaled by hand" {
			t.Errorf("reason %q", scaling.Reason)
		}
		w.serve(10, 0, 2*time.Minute)
		if n := w.replicas(); n != 1 {
			t.Errorf("%d replicas six minutes after, want 1", n)
		}
	})
}

func TestAFunctionWithTheFactorLabelIsLeftToAlerts(t *testing.T) {
	run(t, map[string]string{backends.LabelScaleFactor: "20"}, func(t *testing.T, w *world, _ *Scaler) {
		w.serve(10_000, 100, time.Minute)
		if len(w.orders) != 0 {
			t.Errorf("the loop ordered %v", w.orders)
		}
	})
}

func TestAFailedOrderIsToldAndTriedAgain(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world, s *Scaler) {
		w.broken = backends.Errorf(backends.ErrUnavailable, "the directory is read-only")
		w.serve(200, 0, 20*time.Second)
		scaling, _ := s.Scaling(w.status.Key)
		if len(scaling.Events) < 2 || scaling.Events[0].Error != "the directory is read-only" {
			t.Errorf("events: %+v", scaling.Events)
		}
		w.mu.Lock()
		w.broken = nil
		w.mu.Unlock()
		w.serve(200, 0, 5*time.Second)
		if n := w.replicas(); n != 5 {
			t.Errorf("%d replicas once it works, want 5", n)
		}
	})
}

func TestACounterThatBeginsAnewIsNotALoad(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world, _ *Scaler) {
		w.serve(10, 0, 20*time.Second)
		w.mu.Lock()
		w.load = backends.Load{Key: w.load.Key}
		w.mu.Unlock()
		w.serve(10, 0, 20*time.Second)
		if len(w.orders) != 0 {
			t.Errorf("ordered %v", w.orders)
		}
	})
}
