package runtime_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
)

func TestTimeAsleepIsNotTimeBusy(t *testing.T) {
	f := stored(t, "sleep")
	m := load(t, newEngine(t, runtime.Config{}), f.Wasm, runtime.Spec{Args: []string{"sleep", "0.3"}})
	if _, err := invoke(t, m, request("")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := m.Invoke(ctx, request(""), &recorder{}); !errors.Is(err, backends.ErrDeadline) {
		t.Fatal(err)
	}
	if s := m.Stats(); s.Busy <= 0 || s.Busy > 400*time.Millisecond || s.Memory <= 0 {
		t.Errorf("busy for %v of 500 ms, %d bytes", s.Busy, s.Memory)
	}
}

func TestAGuestThatComputesIsBusy(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), hostile(t, "loop"), runtime.Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := m.Invoke(ctx, request(""), &recorder{}); !errors.Is(err, backends.ErrDeadline) {
		t.Fatal(err)
	}
	if s := m.Stats(); s.Busy < 50*time.Millisecond {
		t.Errorf("busy for %v of 100 ms", s.Busy)
	}
}
