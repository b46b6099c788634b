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

func TestFailuresAreCountedByTheirCause(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	timed, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, c := range []struct {
		guest, input string
		ctx          context.Context
		want         runtime.Failure
	}{
		{"loop", "", timed, runtime.FailedDeadline}, {"loop", "", gone, runtime.FailedCanceled}, {"traps", "u", t.Context(), runtime.FailedTrap},
		{"recursion", "", t.Context(), runtime.FailedTrap}, {"traps", "e", t.Context(), runtime.FailedExit}, {"flood-stdout", "", t.Context(), runtime.FailedOutput},
	} {
		m := load(t, e, hostile(t, c.guest), runtime.Spec{Answer: 1 << 20})
		if m.Invoke(c.ctx, request(c.input), &discard{}) == nil {
			t.Errorf("%s %q did not fail", c.guest, c.input)
		}
		s := m.Stats()
		if s.Failed != 1 || s.Failures[c.want] != 1 {
			t.Errorf("%s %q: %v, want one failure, %v", c.guest, c.input, s.Failures, c.want)
		}
		_ = m.Close()
	}
}
