package simulation

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

func policy(change func(p *backends.ScalePolicy)) backends.ScalePolicy {
	p := backends.DefaultScale
	change(&p)
	return p
}

func TestAnIdleFunctionGoesToZeroAndItsFirstCallWaitsForOneColdStart(t *testing.T) {
	calls := []Call{{0, 100 * time.Millisecond}, {10 * time.Minute, 100 * time.Millisecond}, {10*time.Minute + 5*time.Second, time.Second}}
	r := Run(Config{
		Policy: policy(func(p *backends.ScalePolicy) { p.Zero, p.ZeroAfter = true, time.Minute }),
		Calls:  calls, ColdStart: 2 * time.Second, Replicas: 1,
	})
	if r.ColdStarts != 1 || r.Wait(1) != 2*time.Second || r.Wait(0) != 0 {
		t.Errorf("%d cold starts, waits %v; want 1, one of them 2s", r.ColdStarts, r.Waits)
	}
	if s := r.Seconds[300]; s.Ready != 0 || s.Wanted != 0 {
		t.Errorf("after five minutes %+v, want zero", s)
	}
	if r.ReplicaSeconds > 90 {
		t.Errorf("%v replica-seconds for a minute and a few seconds of use", r.ReplicaSeconds)
	}
}

func TestReplicasFollowASteadyLoad(t *testing.T) {
	calls, err := Generate(Load{Shape: "steady", Rate: 200, For: 5 * time.Minute, Takes: 50 * time.Millisecond, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := Run(Config{Policy: policy(func(*backends.ScalePolicy) {}), Calls: calls, Replicas: 1})
	if last := r.Seconds[200]; last.Ready < 4 || last.Ready > 6 {
		t.Errorf("%d replicas at 200 calls/s and 45 each, want 5", last.Ready)
	}
	if len(r.Waits) != len(calls) || r.Calls != len(calls) {
		t.Errorf("%d of %d calls ran", len(r.Waits), len(calls))
	}
}

func TestALimitOfConcurrencyMakesCallsWait(t *testing.T) {
	calls := []Call{{0, time.Second}, {0, time.Second}, {0, time.Second}}
	r := Run(Config{Policy: policy(func(p *backends.ScalePolicy) { p.Max = 1 }), Calls: calls, Concurrency: 1, Replicas: 1})
	if want := []time.Duration{0, time.Second, 2 * time.Second}; !slices.Equal(r.Waits, want) {
		t.Errorf("waits %v, want %v", r.Waits, want)
	}
}

func TestEveryShapeKeepsItsMeanRate(t *testing.T) {
	for shape := range Shapes() {
		l := Load{Shape: shape, Rate: 20, For: time.Hour, Takes: 10 * time.Millisecond, Seed: 7}
		calls, err := Generate(l)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Generate(l)
		rate := float64(len(calls)) / l.For.Seconds()
		if rate < 10 || rate > 40 || !slices.Equal(calls, again) || !slices.IsSortedFunc(calls, func(a, b Call) int { return int(a.At - b.At) }) {
			t.Errorf("%s: %.1f calls/s, asked for 20; sorted and repeatable?", shape, rate)
		}
	}
}

func TestCSV(t *testing.T) {
	calls, err := ReadCSV(strings.NewReader("arrival,duration\n1.5,20ms\n0, 0.25, more\n# remark\n2s,1\n"))
	want := []Call{{0, 250 * time.Millisecond}, {1500 * time.Millisecond, 20 * time.Millisecond}, {2 * time.Second, time.Second}}
	if err != nil || !slices.Equal(calls, want) {
		t.Errorf("got %v, %v", calls, err)
	}
	for name, text := range map[string]string{
		"no calls": "", "names alone": "a,b\n", "one column": "1,1\n2\n", "a word": "1,1\nx,1\n", "below zero": "1,1\n-1,1\n",
		"not a number": "1,1\nNaN,1\n", "beyond a year": "1,1\n1e30,1\n", "a bare quote": "1,1\n\"1,1\n",
	} {
		if _, err := ReadCSV(strings.NewReader(text)); !errors.Is(err, backends.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadsThatMakeNoSenseAreRefused(t *testing.T) {
	good := Load{Shape: "steady", Rate: 1, For: time.Second}
	for name, change := range map[string]func(*Load){
		"shape": func(l *Load) { l.Shape = "square" }, "no rate": func(l *Load) { l.Rate = 0 }, "too many": func(l *Load) { l.Rate = 1e12 },
		"no length": func(l *Load) { l.For = 0 }, "durations below zero": func(l *Load) { l.Takes = -1 },
	} {
		l := good
		change(&l)
		if _, err := Generate(l); !errors.Is(err, backends.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlotsHoldWhatTheResultSays(t *testing.T) {
	calls, _ := Generate(Load{Shape: "burst", Rate: 100, For: 10 * time.Minute, Takes: 100 * time.Millisecond, Seed: 3})
	r := Run(Config{Policy: policy(func(*backends.ScalePolicy) {}), Calls: calls, ColdStart: time.Second, Replicas: 1})
	var text, svg strings.Builder
	if err := errors.Join(r.WriteTable(&text), r.WritePlot(&text, 80), r.WriteSVG(&svg)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"most replicas    20", "replicas  |", "max 20", "█"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	d := xml.NewDecoder(strings.NewReader(svg.String()))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("SVG: %v", err)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("1,2\n3,4s\n")
	f.Fuzz(func(t *testing.T, text string) {
		calls, err := ReadCSV(strings.NewReader(text))
		if err == nil && (len(calls) == 0 || calls[0].At < 0 || calls[0].Takes < 0) {
			t.Fatalf("accepted %v", calls)
		}
	})
}
