package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/backends"
)

// scaling is a backend whose replicas come when the test says so.
type scaling struct {
	*memoryBackend
	scale func(ctx context.Context, key backends.Key, replicas int) error
}

func (s *scaling) Scale(ctx context.Context, key backends.Key, replicas int) error {
	return s.scale(ctx, key, replicas)
}

// atZero makes an entry one of a function without replicas.
func atZero(e *backends.Entry) { e.Handler, e.Status.Replicas, e.Status.Available = nil, 0, 0 }

func contains(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

func TestABurstOnAFunctionAtZeroAsksForItOnceAndLosesNoCall(t *testing.T) {
	cfg := testConfig()
	var scales atomic.Int64
	var g *Gateway
	var wg sync.WaitGroup
	cfg.Backend = &scaling{newMemoryBackend(), func(_ context.Context, key backends.Key, n int) error {
		if scales.Add(1); n != 2 {
			t.Errorf("scale to %d, want 2", n)
		}
		wg.Go(func() {
			min2 := func(e *backends.Entry) {
				e.Status.Labels = map[string]string{backends.LabelScaleMin: "2"}
				e.Status.Replicas = 2
			}
			setFunction(g, key.Name, nil, min2, func(e *backends.Entry) { e.Status.Available = 0 })
			time.Sleep(20 * time.Millisecond) // the replica starts
			setFunction(g, key.Name, hello, min2)
		})
		return nil
	}}
	var url string
	g, url = serve(t, cfg)
	setFunction(g, "zero", nil, atZero, func(e *backends.Entry) { e.Status.Labels = map[string]string{backends.LabelScaleMin: "2"} })
	for range 200 {
		wg.Go(func() {
			resp, err := http.Get(url + "/function/zero")
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Errorf("got %d", resp.StatusCode)
			}
		})
	}
	wg.Wait()
	http.DefaultClient.CloseIdleConnections()
	if n := scales.Load(); n != 1 {
		t.Errorf("%d scale calls, want 1", n)
	}
}

func TestAFunctionThatDoesNotComeUpIsAnswered503(t *testing.T) {
	cfg := testConfig()
	cfg.Backend = &scaling{newMemoryBackend(), func(_ context.Context, key backends.Key, _ int) error {
		switch key.Name {
		case "refused":
			return backends.Errorf(backends.ErrInvalid, "no room for it")
		case "broken":
			return errors.New("connection refused")
		}
		return nil // accepted and never seen
	}}
	g, url := serve(t, cfg)
	limit := policy(backends.KeyTimeout, "150ms")
	for name, want := range map[string]string{"refused": "no room for it", "broken": "150ms", "never": "150ms"} {
		setFunction(g, name, nil, atZero, limit)
		start := time.Now()
		resp, text := do(t, "GET", url+"/function/"+name, nil)
		if resp.StatusCode != 503 || !strings.Contains(text, want) || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: got %d %q after %s", name, resp.StatusCode, text, time.Since(start))
		}
	}
	setFunction(g, "starting", nil, limit, func(e *backends.Entry) {
		e.Status.Available, e.Status.Problem = 0, "its image cannot be pulled"
	})
	if resp, text := do(t, "GET", url+"/function/starting", nil); resp.StatusCode != 503 || !strings.Contains(text, "its image cannot be pulled") {
		t.Errorf("a replica that cannot start: got %d %q", resp.StatusCode, text)
	}
}

func TestAFunctionRemovedWhileACallWaitsForItIsAnswered404(t *testing.T) {
	cfg := testConfig()
	var g *Gateway
	cfg.Backend = &scaling{newMemoryBackend(), func(_ context.Context, key backends.Key, _ int) error {
		g.Table().Delete(key)
		return nil
	}}
	var url string
	g, url = serve(t, cfg)
	setFunction(g, "removed", nil, atZero)
	if resp, text := do(t, "GET", url+"/function/removed", nil); resp.StatusCode != 404 {
		t.Errorf("got %d %q, want 404", resp.StatusCode, text)
	}
}

func TestAParkedFunctionAnswersBeforeItsWakingIsOnRecord(t *testing.T) {
	cfg := testConfig()
	asked, answered := make(chan struct{}), make(chan struct{})
	cfg.Backend = &scaling{newMemoryBackend(), func(ctx context.Context, _ backends.Key, _ int) error {
		close(asked)
		<-answered
		return backends.ErrInvalid
	}}
	g, url := serve(t, cfg)
	setFunction(g, "parked", hello, func(e *backends.Entry) { e.Status.Replicas = 0 })
	if resp, text := do(t, "GET", url+"/function/parked", nil); resp.StatusCode != 200 || text != "hello" {
		t.Errorf("got %d %q", resp.StatusCode, text)
	}
	<-asked
	close(answered)
}

func TestWithoutScaleFromZeroAFunctionAtZeroStaysThere(t *testing.T) {
	cfg := testConfig()
	cfg.ScaleFromZero = false
	cfg.Backend = &scaling{newMemoryBackend(), func(context.Context, backends.Key, int) error {
		t.Error("it was scaled")
		return nil
	}}
	g, url := serve(t, cfg)
	setFunction(g, "zero", nil, atZero)
	setFunction(g, "parked", hello, func(e *backends.Entry) { e.Status.Replicas = 0 })
	for _, name := range []string{"zero", "parked"} {
		if resp, text := do(t, "GET", url+"/function/"+name, nil); resp.StatusCode != 503 || !strings.Contains(text, "--scale-from-zero") {
			t.Errorf("%s: got %d %q", name, resp.StatusCode, text)
		}
	}
}
