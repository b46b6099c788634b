package scaler

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"hearth/backends"
)

// model decides as Decide does, but keeps every sample and every want of all
// time in plain slices and looks through them anew each time.
type model struct {
	start, active time.Time
	samples       []sample
	wants         []sample
	panicUntil    time.Time
	panicMost     int
}

type sample struct {
	second int
	value  float64
}

func (m *model) add(now time.Time, load float64, active bool) {
	if active {
		m.active = now
	}
	if load >= 0 && load <= maxLoad {
		m.samples = append(m.samples, sample{seconds(now.Sub(m.start)), float64(float32(load))})
	}
}

func (m *model) mean(d time.Duration, now time.Time) (float64, bool) {
	second := seconds(now.Sub(m.start))
	if len(m.samples) == 0 || second-m.samples[len(m.samples)-1].second > 3 {
		return 0, false
	}
	sum, n := 0.0, 0
	for _, s := range m.samples {
		if s.second > second-seconds(d) {
			sum, n = sum+s.value, n+1
		}
	}
	return sum / float64(n), n > 0
}

func (m *model) decide(p backends.ScalePolicy, have int, now time.Time) (want int, hold bool) {
	load, known := m.mean(p.Window, now)
	if have <= 0 || !known {
		return have, true
	}
	if p.Zero && load == 0 && now.Sub(m.active) >= p.ZeroAfter {
		return 0, false
	}
	want = ceilDiv(load, p.Target*p.Proportion)
	if p.PanicWindow > 0 {
		if burst, ok := m.mean(p.PanicWindow, now); ok {
			in := now.Before(m.panicUntil)
			if !in {
				m.panicMost = 0
			}
			bw := ceilDiv(burst, p.Target*p.Proportion)
			if float64(bw) >= p.PanicThreshold*float64(have) {
				m.panicUntil, in = now.Add(p.Window), true
			}
			if in {
				m.panicMost = max(m.panicMost, bw)
				want = max(want, m.panicMost, have)
			}
		}
	}
	if p.UpRate > 0 && want > have {
		want = min(want, max(have+1, int(math.Ceil(float64(have)*p.UpRate))))
	}
	if p.DownRate > 0 && want < have {
		want = max(want, min(have-1, int(math.Floor(float64(have)/p.DownRate))))
	}
	want = max(p.Min, min(p.Max, want))
	second := seconds(now.Sub(m.start))
	m.wants = append(m.wants, sample{second, float64(want)})
	most := 0
	for _, s := range m.wants {
		if s.second >= second-seconds(p.DownWindow) {
			most = max(most, int(s.value))
		}
	}
	watched := now.Sub(m.start)
	switch outside := have < p.Min || have > p.Max; {
	case outside:
	case p.Min == p.Max:
		return have, true
	case want < have && (watched < p.DownWindow || watched < p.Window):
		return have, true
	case want < have:
		want = min(most, have)
	}
	return want, want == have
}

func ceilDiv(load, by float64) int {
	return int(min(math.Ceil(load/by-1e-6), backends.MaxReplicas))
}

// scale is CHECK_SCALE: how many times the usual counts a run does.
func scale() int {
	if n, err := strconv.Atoi(os.Getenv("CHECK_SCALE")); err == nil {
		return max(1, n)
	}
	return 1
}

// TestDecideEqualsANaiveModel is check 53: 10^6 random steps at full scale.
func TestDecideEqualsANaiveModel(t *testing.T) {
	const perHistory = 400
	histories := min(scale(), 10) * 100_000 / perHistory
	for h := range histories {
		rnd := rand.New(rand.NewPCG(uint64(h), 53))
		p := randomPolicy(rnd)
		w, m, now, have := NewWindow(epoch), &model{start: epoch, active: epoch}, epoch, 1+rnd.IntN(10)
		for step := range perHistory {
			now = now.Add(time.Duration(1+rnd.IntN(8)/7*rnd.IntN(9)) * time.Second)
			load, active := randomLoad(rnd), rnd.IntN(3) == 0
			w.Add(p, now, load, active)
			m.add(now, load, active)
			d := Decide(p, w, have, now)
			want, hold := m.decide(p, have, now)
			if d.Want != want || d.Hold != hold {
				t.Fatalf("history %d, step %d: got %d hold=%v (%v), the model %d hold=%v; policy %+v", h, step, d.Want, d.Hold, d.Reason, want, hold, p)
			}
			checkInvariants(t, p, have, d)
			if have = d.Want; have == 0 {
				have = 1 // woken
			}
		}
	}
	t.Logf("CHECK 53: %d random steps equal the model", histories*perHistory)
}

func checkInvariants(t *testing.T, p backends.ScalePolicy, have int, d Decision) {
	t.Helper()
	switch {
	case d.Hold && d.Want != have:
		t.Fatalf("a hold wants %d of %d", d.Want, have)
	case !d.Hold && d.Want == 0 && !p.Zero:
		t.Fatal("zero without leave")
	case !d.Hold && d.Want != 0 && (d.Want < p.Min || d.Want > p.Max):
		t.Fatalf("%d is outside %d..%d", d.Want, p.Min, p.Max)
	}
}

func randomPolicy(rnd *rand.Rand) backends.ScalePolicy {
	p := backends.DefaultScale
	p.Min = 1 + rnd.IntN(3)
	p.Max = p.Min + rnd.IntN(30)
	p.Target, p.Proportion = float64(1+rnd.IntN(100)), float64(1+rnd.IntN(100))/100
	p.Window = time.Duration(1+rnd.IntN(60)) * time.Second
	p.DownWindow = time.Duration(rnd.IntN(2)*rnd.IntN(90)) * time.Second
	p.PanicWindow = time.Duration(rnd.IntN(2)*(1+rnd.IntN(10))) * time.Second
	p.PanicThreshold = 1 + 3*rnd.Float64()
	p.UpRate, p.DownRate = float64(rnd.IntN(2))*(1+rnd.Float64()), float64(rnd.IntN(2))*(1+rnd.Float64())
	p.Zero, p.ZeroAfter = rnd.IntN(2) == 0, time.Duration(1+rnd.IntN(60))*time.Second
	return p
}

func randomLoad(rnd *rand.Rand) float64 {
	switch rnd.IntN(12) {
	case 0:
		return math.NaN()
	case 1:
		return -1
	case 2:
		return 1e300
	case 3, 4, 5, 6:
		return 0
	}
	return math.Exp(rnd.Float64() * 8)
}

// FuzzDecide holds the invariants for any policy that passes validation and any load.
func FuzzDecide(f *testing.F) {
	f.Add(15.0, 5.0, 1.0, uint8(1), uint8(20), uint8(1), false)
	f.Add(math.Inf(1), 1e-300, 1e-300, uint8(1), uint8(255), uint8(3), true)
	f.Fuzz(func(t *testing.T, load, target, proportion float64, low, high, have uint8, zero bool) {
		if !(target > 0 && target <= math.MaxFloat32 && proportion > 0 && proportion <= 1) || low == 0 || high < low {
			return
		}
		p := policy(func(p *backends.ScalePolicy) {
			p.Min, p.Max, p.Target, p.Proportion, p.Zero, p.ZeroAfter = int(low), int(high), target, proportion, zero, time.Second
		})
		w, now := fed(p, load, load, load)
		d := Decide(p, w, int(have), now)
		checkInvariants(t, p, int(have), d)
		if math.IsNaN(load) && !d.Hold {
			t.Fatalf("no data, yet %v", d.Reason)
		}
		w, now = fed(p, load/2, load/2, load/2)
		if less := Decide(p, w, int(have), now); less.Want > d.Want && load <= maxLoad {
			t.Fatalf("half the load wants %d, all of it %d", less.Want, d.Want)
		}
	})
}
