package inproc

import (
	"errors"
	"testing"
	"time"

	"hearth/backends"
)

func TestUsageIsOfTheTimeSinceItWasAskedFor(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	f := fn("sum", "store/sha512sum")
	must(t, n.Deploy(t.Context(), f))
	read := n.Powers().Usage
	if u, err := read.Usage(t.Context(), f.Key); err != nil || u != (backends.Usage{}) {
		t.Errorf("a function never called uses %+v, %v", u, err)
	}
	body := string(make([]byte, 1<<20))
	for range 5 {
		n.call(t, "sum", body)
	}
	h := n.entry("sum").Handler.(*function)
	now := time.Now()
	u := h.view.usage(f.Key, now.Add(usageEvery))
	if u.MilliCPU <= 0 || u.MemoryBytes <= 0 {
		t.Errorf("after five calls it uses %+v", u)
	}
	if again := h.view.usage(f.Key, now.Add(usageEvery+usageEvery/2)); again.MilliCPU != u.MilliCPU {
		t.Errorf("too soon after that it uses %+v, want %+v", again, u)
	}
	if idle := h.view.usage(f.Key, now.Add(3*usageEvery)); idle.MilliCPU != 0 {
		t.Errorf("idle it uses %+v", idle)
	}
	must(t, n.Update(t.Context(), f)) // another generation: what is measured does not fall
	n.call(t, "sum", body)
	if u := h.view.usage(f.Key, now.Add(5*usageEvery)); u.MilliCPU < 0 {
		t.Errorf("after an update it uses %+v", u)
	}
	if _, err := read.Usage(t.Context(), fn("absent", "").Key); !errors.Is(err, backends.ErrNotFound) {
		t.Errorf("an unknown function gave %v", err)
	}
}
