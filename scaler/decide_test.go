package scaler

import (
	"math"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// policy is the default one, changed.
func policy(change func(p *backends.ScalePolicy)) backends.ScalePolicy {
	p := backends.DefaultScale
	if change != nil {
		change(&p)
	}
	return p
}

// fed is a window that saw these loads, one a second, and the time after them.
func fed(p backends.ScalePolicy, loads ...float64) (*Window, time.Time) {
	w, now := NewWindow(epoch), epoch
	for _, load := range loads {
		now = now.Add(time.Second)
		w.Add(p, now, load, load > 0)
	}
	return w, now
}

// for30 is the same load for half a minute.
func for30(load float64) []float64 {
	loads := make([]float64, 30)
	for i := range loads {
		loads[i] = load
	}
	return loads
}

func TestDecide(t *testing.T) {
	capacity := policy(func(p *backends.ScalePolicy) { p.Type, p.Target, p.Proportion = "capacity", 5, 1 })
	idling := policy(func(p *backends.ScalePolicy) { p.Zero, p.ZeroAfter = true, 20*time.Second })
	for name, c := range map[string]struct {
		policy backends.ScalePolicy
		loads  []float64
		have   int
		want   int
		hold   bool
		says   string
	}{
		"15 in flight at a target of 5 want 3":              {capacity, for30(15), 1, 3, false, "+2: 15 in flight, target 5 x 1"},
		"25 in flight at a target of 5 want 5":              {capacity, for30(25), 3, 5, false, "+2: 25 in flight"},
		"90 at 100 times 0.7 want 2":                        {policy(func(p *backends.ScalePolicy) { p.Target, p.Proportion = 100, 0.7 }), for30(90), 1, 2, false, "90 calls/s, target 100 x 0.7"},
		"45 at 50 times 0.9 want exactly 1":                 {policy(nil), for30(45), 1, 1, true, "hold: 45 calls/s"},
		"no load goes to min where zero is not allowed":     {capacity, for30(0), 5, 1, false, "-4: 0 in flight"},
		"no load for zero-duration goes to zero":            {idling, for30(0), 5, 0, false, "-5: no calls for 30s"},
		"no load for less than zero-duration stays at min":  {idling, for30(0)[:15], 1, 1, true, "hold"},
		"a parked function is left to its first call":       {idling, for30(40), 0, 0, true, "hold: at zero until a call comes"},
		"load above max stops at max":                       {capacity, for30(1000), 3, 20, false, "+17"},
		"no sample at all holds":                            {capacity, nil, 3, 3, true, "hold: no fresh load"},
		"a young window does not go down":                   {capacity, for30(0)[:4], 3, 3, true, "hold: not watched long enough"},
		"a young window goes up":                            {capacity, for30(25)[:2], 3, 5, false, "+2"},
		"equal bounds hold":                                 {policy(func(p *backends.ScalePolicy) { p.Min, p.Max = 2, 2 }), for30(1e6), 2, 2, true, "hold: min and max are 2"},
		"equal bounds mend another number":                  {policy(func(p *backends.ScalePolicy) { p.Min, p.Max = 2, 2 }), for30(1e6), 7, 2, false, "-5: outside min and max"},
		"low for longer than the down window goes down":     {policy(func(p *backends.ScalePolicy) { p.DownWindow = 25 * time.Second }), for30(0), 5, 1, false, "-4"},
		"a rate of 2 doubles at most":                       {policy(func(p *backends.ScalePolicy) { p.UpRate = 2 }), for30(900), 3, 6, false, "+3"},
		"a rate of 1 still adds one":                        {policy(func(p *backends.ScalePolicy) { p.UpRate = 1 }), for30(900), 3, 4, false, "+1"},
		"a down rate of 2 halves at most":                   {policy(func(p *backends.ScalePolicy) { p.DownRate = 2 }), for30(0), 9, 4, false, "-5"},
		"a down rate of 1 still takes one":                  {policy(func(p *backends.ScalePolicy) { p.DownRate = 1 }), for30(0), 9, 8, false, "-1"},
		"NaN, infinity, negative and absurd are not loads":  {capacity, []float64{math.NaN(), math.Inf(1), -1, 1e18}, 3, 3, true, "hold: no fresh load"},
		"a burst shows in the panic window before the mean": {policy(func(p *backends.ScalePolicy) { p.PanicWindow = 2 * time.Second }), append(for30(0), 450, 450), 1, 10, false, "+9: 90 calls/s, target 50 x 0.9, panic"},
	} {
		t.Run(name, func(t *testing.T) {
			w, now := fed(c.policy, c.loads...)
			d := Decide(c.policy, w, c.have, now)
			if d.Want != c.want || d.Hold != c.hold || !strings.Contains(d.Reason.String(), c.says) {
				t.Errorf("got %d hold=%v %q, want %d hold=%v %q", d.Want, d.Hold, d.Reason, c.want, c.hold, c.says)
			}
		})
	}
}

func TestTheDownWindowTakesTheMostThatWasRecommended(t *testing.T) {
	p := policy(func(p *backends.ScalePolicy) { p.Window, p.DownWindow = time.Second, 30*time.Second })
	w, now, have := NewWindow(epoch), epoch, 1
	var history []int
	for i := range 120 {
		load := 0.0
		if i < 40 {
			load = 225 // five replicas
		}
		now = now.Add(time.Second)
		w.Add(p, now, load, load > 0)
		d := Decide(p, w, have, now)
		if !d.Hold {
			have = d.Want
		}
		history = append(history, have)
	}
	if history[39] != 5 || history[69] != 5 || history[71] != 1 {
		t.Errorf("replicas at 40, 70 and 72 s: %d %d %d, want 5 5 1: %v", history[39], history[69], history[71], history)
	}
}

func TestPanicNeverGoesDown(t *testing.T) {
	p := policy(func(p *backends.ScalePolicy) { p.Window, p.PanicWindow = 60*time.Second, 6*time.Second })
	w, now, have := NewWindow(epoch), epoch, 1
	for i := range 200 {
		load := 0.0
		if i >= 70 && i < 80 {
			load = 450
		}
		now = now.Add(time.Second)
		w.Add(p, now, load, load > 0)
		before := have
		if d := Decide(p, w, have, now); !d.Hold {
			have = d.Want
		}
		if i >= 70 && i < 130 && have < before {
			t.Fatalf("went down to %d at %d s, in panic", have, i)
		}
	}
	if have != 1 {
		t.Errorf("%d replicas long after the burst, want 1", have)
	}
}

func TestNothingIsDecidedOnOldData(t *testing.T) {
	p := policy(nil)
	w, now := fed(p, for30(450)...)
	if d := Decide(p, w, 1, now.Add(3*time.Second)); d.Hold {
		t.Errorf("3 s without a sample hold: %v", d.Reason)
	}
	if d := Decide(p, w, 1, now.Add(4*time.Second)); !d.Hold || d.Reason.Cause != CauseNoData {
		t.Errorf("4 s without a sample decide %d: %v", d.Want, d.Reason)
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	p := policy(func(p *backends.ScalePolicy) { p.PanicWindow, p.DownWindow = 6*time.Second, time.Minute })
	w, now := fed(p, for30(450)...)
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Second)
		w.Add(p, now, 500, true)
		Decide(p, w, 3, now)
	}); n != 0 {
		t.Errorf("%v allocations per sample and decision, want 0", n)
	}
}

func BenchmarkDecide10000Functions(b *testing.B) {
	p := policy(func(p *backends.ScalePolicy) { p.DownWindow = time.Minute })
	windows := make([]*Window, 10_000)
	now := epoch
	for i := range windows {
		windows[i], now = fed(p, for30(float64(i%700))...)
	}
	for b.Loop() {
		now = now.Add(time.Second)
		for i, w := range windows {
			w.Add(p, now, float64(i%700), true)
			Decide(p, w, 1+i%20, now)
		}
	}
}
