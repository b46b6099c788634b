package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

// peers are addresses, or an error.
type peers struct {
	addrs []string
	err   error
}

func (p *peers) Peers(context.Context) ([]string, error) { return p.addrs, p.err }

// gatewayOf serves loads as another gateway does; answer may misbehave.
func gatewayOf(t *testing.T, answer func(w http.ResponseWriter)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != LoadPath || r.Header.Get("Authorization") != "Bearer token" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		answer(w)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func telling(loads *[]backends.Load) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) { _ = json.NewEncoder(w).Encode(*loads) }
}

// TestLoadsOfAllGatewaysAreSummed is check 23.
func TestLoadsOfAllGatewaysAreSummed(t *testing.T) {
	key := backends.Key{Namespace: backends.DefaultNamespace, Name: "f"}
	ours, theirs := backends.Load{Key: key}, []backends.Load{{Key: key}}
	others := &peers{addrs: []string{gatewayOf(t, telling(&theirs))}}
	s := New(Config{
		Loads: func(into []backends.Load) []backends.Load { return append(into, ours) }, Scale: nil,
		Peers: others, PeerToken: "token", Defaults: backends.DefaultScale, Logger: slog.New(slog.DiscardHandler),
	})
	defer s.client.CloseIdleConnections()
	s.Set(backends.Entry{Status: backends.Status{Function: backends.Function{Key: key, Image: "i"}, Replicas: 1, Generation: 1}})
	f, now := s.functions[key], time.Now()
	second := func(we, they uint64) (load float64, known bool) {
		ours.Completed, ours.Started = ours.Completed+we, ours.Started+we
		theirs[0].Completed, theirs[0].Started = theirs[0].Completed+they, theirs[0].Started+they
		now = now.Add(time.Second)
		s.sample(t.Context(), now)
		return f.window.mean(time.Second, now)
	}
	second(0, 0)
	if load, known := second(100, 50); !known || load != 150 {
		t.Errorf("100 and 50 calls/s are %v, known=%v", load, known)
	}

	live := others.addrs[0]
	for name, addr := range map[string]string{
		"refuses":             "127.0.0.1:1",
		"hangs":               gatewayOf(t, func(http.ResponseWriter) { time.Sleep(2 * peerTimeout) }),
		"answers garbage":     gatewayOf(t, func(w http.ResponseWriter) { fmt.Fprint(w, `[{"Key":`) }),
		"answers NaN":         gatewayOf(t, func(w http.ResponseWriter) { fmt.Fprint(w, `[{"Completed":NaN}]`) }),
		"answers a huge body": gatewayOf(t, func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 1<<20)) }),
		"answers an error":    gatewayOf(t, func(w http.ResponseWriter) { http.Error(w, "", http.StatusInternalServerError) }),
	} {
		others.addrs = []string{live, addr}
		if _, known := second(100, 50); known {
			t.Errorf("a peer that %s is no load", name)
		}
	}
	others.addrs, others.err = nil, errors.New("no list")
	if _, known := second(100, 0); known {
		t.Error("a load is known though the peers are not")
	}

	others.addrs, others.err = []string{live}, nil
	if load, known := second(0, 0); !known || load > 60 {
		t.Errorf("what a silent peer did is one second's load: %v, known=%v", load, known)
	}
	theirs[0].InFlight = 2e9
	if load, known := second(10, 1e18); !known || load != 10 {
		t.Errorf("absurd counters give %v, known=%v", load, known)
	}
	others.addrs = nil
	if load, known := second(30, 0); !known || load != 30 || len(s.sources) != 1 {
		t.Errorf("a peer that left still counts: %v, known=%v, %d sources", load, known, len(s.sources))
	}
}

// fakeLeaser hands a role from one holder to the next, each for 15 s unless
// told otherwise: it does not renew.
type fakeLeaser struct {
	free  chan struct{}
	held  chan *fakeLease // to the test
	lasts time.Duration
	term  int64
}

type fakeLease struct {
	from    *fakeLeaser
	term    int64
	expires time.Time
	lost    chan struct{}
}

func (l *fakeLeaser) Acquire(ctx context.Context, _ string) (backends.Lease, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.free:
		l.term++
		lease := &fakeLease{from: l, term: l.term, expires: time.Now().Add(l.lasts), lost: make(chan struct{})}
		l.held <- lease
		return lease, nil
	}
}

func (l *fakeLease) Term() int64           { return l.term }
func (l *fakeLease) Expires() time.Time    { return l.expires }
func (l *fakeLease) Lost() <-chan struct{} { return l.lost }
func (l *fakeLease) Release(context.Context) error {
	l.from.free <- struct{}{}
	return nil
}

func TestOnlyTheHolderOfTheLeaseOrders(t *testing.T) {
	var leaser *fakeLeaser
	run(t, nil, func(t *testing.T, w *world, s *Scaler) {
		w.serve(200, 0, 20*time.Second)
		if n := len(w.ordered()); n != 0 {
			t.Fatalf("%d orders without a lease", n)
		}
		leaser.free <- struct{}{}
		w.serve(200, 0, 5*time.Second)
		if !slices.Equal(w.ordered(), []int{5}) {
			t.Fatalf("ordered %v with a lease, want 5", w.ordered())
		}
		w.serve(200, 0, 9*time.Second) // the lease is not renewed and runs out at 15 s
		w.serve(900, 0, 20*time.Second)
		if !slices.Equal(w.ordered(), []int{5}) {
			t.Errorf("ordered %v with less than %v of the lease left", w.ordered(), leaseMargin)
		}
		first := <-leaser.held
		close(first.lost) // so it is released, and acquired anew
		w.serve(900, 0, 5*time.Second)
		if second := <-leaser.held; len(w.ordered()) < 2 || second.term != 2 {
			t.Errorf("ordered %v in term %d, want more in term 2", w.ordered(), second.term)
		}
	}, func(c *Config) {
		leaser = &fakeLeaser{free: make(chan struct{}, 1), held: make(chan *fakeLease, 2), lasts: 15 * time.Second}
		c.Leaser = leaser
	})
	if len(leaser.free) != 1 {
		t.Error("the lease was not given back at the end")
	}
}
