package scaler

import (
	"fmt"
	"math"
	"time"

	"hearth/backends"
)

// Decision is how many replicas a function should have, and why.
type Decision struct {
	Want   int
	Hold   bool // leave it as it is, whatever Want says
	Reason Reason
}

// Reason says why a decision is what it is. It is a value, so that deciding
// for ten thousand functions writes no text that nobody reads.
type Reason struct {
	Cause      Cause
	Have, Want int
	Load       float64 // mean, in the unit of Type
	Type       string
	Target     float64
	Proportion float64
	Idle       time.Duration
}

// Cause is the rule that decided.
type Cause int

const (
	CauseNoData   Cause = iota // no fresh sample
	CauseParked                // at zero: a call wakes it, not the loop
	CauseAlerts                // its label scale.factor leaves it to alerts
	CauseByHand                // somebody scaled it lately
	CauseFixed                 // min and max are the same
	CauseSteady                // the load asks for what is there
	CauseYoung                 // not watched long enough to go down
	CauseLoad                  // the load asks for another number
	CausePanic                 // a burst
	CauseWindow                // the down window asks for more than the load
	CauseBounds                // outside min and max
	CauseIdle                  // without calls for zero-duration
	CauseInFlight              // idle by the window, but not every gateway is
)

// String is one line for a log, an event or a person.
func (r Reason) String() string {
	load := fmt.Sprintf("%.4g %s, target %g x %g", r.Load, unit(r.Type), r.Target, r.Proportion)
	switch r.Cause {
	case CauseNoData:
		return "hold: no fresh load"
	case CauseParked:
		return "hold: at zero until a call comes"
	case CauseAlerts:
		return "hold: the label " + backends.LabelScaleFactor + " leaves it to alerts"
	case CauseByHand:
		return fmt.Sprintf("hold: scaled by hand, left alone for %v", r.Idle.Round(time.Second))
	case CauseFixed:
		return fmt.Sprintf("hold: min and max are %d", r.Have)
	case CauseYoung:
		return "hold: not watched long enough to go down: " + load
	case CauseSteady:
		return "hold: " + load
	case CauseIdle:
		return fmt.Sprintf("%+d: no calls for %v", r.Want-r.Have, r.Idle.Round(time.Second))
	case CauseInFlight:
		return "hold: a gateway still has calls"
	case CausePanic:
		return fmt.Sprintf("%+d: %s, panic", r.Want-r.Have, load)
	case CauseWindow:
		return fmt.Sprintf("%+d: %s, held up by the down window", r.Want-r.Have, load)
	case CauseBounds:
		return fmt.Sprintf("%+d: outside min and max", r.Want-r.Have)
	}
	return fmt.Sprintf("%+d: %s", r.Want-r.Have, load)
}

// unit names what a load of that type counts.
func unit(typ string) string {
	switch typ {
	case "rps":
		return "calls/s"
	case "capacity":
		return "in flight"
	case "cpu":
		return "milli-CPU"
	case "queue":
		return "queued"
	}
	return typ
}

// Decide gives the number of replicas for a function that has so many now. It
// depends on nothing but its arguments, and the only thing it changes is the
// window's memory of what it recommended. It allocates nothing once the window
// has its size.
//
// The rule is that of OpenFaaS' autoscaler: the load over target times
// proportion, rounded up, within min and max; up at once, down only to the
// most that was recommended within the down window; to zero after
// zero-duration without calls. A policy with a panic window also looks at a
// shorter mean and, while that asks for a multiple of what there is, goes up by
// it and never down, as Knative's autoscaler does.
func Decide(p backends.ScalePolicy, w *Window, have int, now time.Time) Decision {
	reason := Reason{Have: have, Want: have, Type: p.Type, Target: p.Target, Proportion: p.Proportion}
	hold := func(c Cause) Decision {
		reason.Cause = c
		return Decision{Want: have, Hold: true, Reason: reason}
	}
	load, known := w.mean(p.Window, now)
	switch {
	case have <= 0:
		return hold(CauseParked)
	case !known:
		return hold(CauseNoData)
	}
	reason.Load = load
	if idle := now.Sub(w.active); p.Zero && load == 0 && idle >= p.ZeroAfter {
		reason.Cause, reason.Want, reason.Idle = CauseIdle, 0, idle
		return Decision{Want: 0, Reason: reason}
	}
	want, cause := desired(p, load), CauseLoad
	if w.panic(p, have, now) {
		want, cause = max(want, w.panics.most, have), CausePanic
	}
	want = clamp(p, limitRate(p, want, have))
	most, covered := w.recommend(p.DownWindow, want, now)
	covered = covered && now.Sub(w.start) >= p.Window
	switch {
	case have < p.Min || have > p.Max:
		cause = CauseBounds
	case p.Min == p.Max:
		return hold(CauseFixed)
	case want < have && !covered:
		return hold(CauseYoung)
	case want < have && most > want:
		want, cause = min(most, have), CauseWindow
	}
	if want == have {
		return hold(CauseSteady)
	}
	reason.Cause, reason.Want = cause, want
	return Decision{Want: want, Reason: reason}
}

// desired is how many replicas carry that load. A load that exceeds a whole
// number of replicas by rounding alone does not ask for one more.
func desired(p backends.ScalePolicy, load float64) int {
	const rounding = 1e-6
	n := math.Ceil(load/(p.Target*p.Proportion) - rounding)
	return int(min(n, backends.MaxReplicas))
}

// panic looks at the short window and says whether the function is in a burst.
func (w *Window) panic(p backends.ScalePolicy, have int, now time.Time) bool {
	if p.PanicWindow <= 0 {
		return false
	}
	load, known := w.mean(p.PanicWindow, now)
	if !known {
		return false
	}
	in := now.Before(w.panics.until)
	if !in {
		w.panics.most = 0
	}
	want := desired(p, load)
	if float64(want) >= p.PanicThreshold*float64(have) {
		w.panics.until, in = now.Add(p.Window), true
	}
	if in {
		w.panics.most = max(w.panics.most, want)
	}
	return in
}

// limitRate bounds one step to a multiple or a fraction of what there is; a
// step of one is always allowed.
func limitRate(p backends.ScalePolicy, want, have int) int {
	if p.UpRate > 0 {
		want = min(want, max(have+1, int(math.Ceil(float64(have)*p.UpRate))))
	}
	if p.DownRate > 0 {
		want = max(want, min(have-1, int(math.Floor(float64(have)/p.DownRate))))
	}
	return want
}

func clamp(p backends.ScalePolicy, n int) int { return min(max(n, p.Min), p.Max) }
