package backends

import (
	"math"
	"strconv"
	"time"
)

// OpenFaaS' labels that make the scale policy.
const (
	LabelScaleMin        = "com.openfaas.scale.min"
	LabelScaleMax        = "com.openfaas.scale.max"
	LabelScaleFactor     = "com.openfaas.scale.factor"
	LabelScaleType       = "com.openfaas.scale.type"
	LabelScaleTarget     = "com.openfaas.scale.target"
	LabelScaleProportion = "com.openfaas.scale.target-proportion"
	LabelScaleZero       = "com.openfaas.scale.zero"
	LabelScaleZeroAfter  = "com.openfaas.scale.zero-duration"
	LabelScaleDownWindow = "com.openfaas.scale.down.window"
)

const (
	maxRatio      = 1000 // of thresholds and rates
	maxTimeout    = 24 * time.Hour
	maxDownWindow = 5 * time.Minute // and of the windows over which load is averaged
)

// ScalePolicy is how many replicas a function may have, and for which load.
type ScalePolicy struct {
	Min, Max   int
	Factor     int           // step in per cent of Max for alerts; 0 switches them off
	Type       string        // rps, capacity, cpu, queue, or the name of a query
	Target     float64       // load per ready replica, in the type's unit
	Proportion float64       // of Target to aim at, above 0 and up to 1
	Zero       bool          // may go to zero
	ZeroAfter  time.Duration // without any traffic
	DownWindow time.Duration // going down takes the highest want of so long; 0 = at once

	Window         time.Duration // the load is the mean of so long
	PanicWindow    time.Duration // ... and of so long, to see a burst; 0 = do not look
	PanicThreshold float64       // a burst asks for so many times the replicas there are
	UpRate         float64       // one step goes to at most so many times the replicas; 0 = any step
	DownRate       float64       // one step goes to at least one such part of the replicas; 0 = any step
	Initial        int           // replicas at the first deploy; 0 = Min
}

// DefaultScale is the policy of a function without labels.
var DefaultScale = ScalePolicy{Min: 1, Max: 20, Factor: 20, Type: "rps", Target: 50, Proportion: 0.90,
	ZeroAfter: 15 * time.Minute, Window: 10 * time.Second, PanicThreshold: 2}

// ScaleLabels are all labels and keys that ScalePolicyOf reads.
func ScaleLabels() []string {
	return []string{
		LabelScaleMin, LabelScaleMax, LabelScaleFactor, LabelScaleType, LabelScaleTarget, LabelScaleProportion, LabelScaleZero,
		LabelScaleZeroAfter, LabelScaleDownWindow,
		KeyScaleWindow, KeyScalePanicWindow, KeyScalePanicThreshold, KeyScaleUpRate, KeyScaleDownRate, KeyScaleInitial,
	}
}

// ScalePolicyOf reads a function's labels over defaults. ErrInvalid lists all
// labels with values that are not allowed.
func ScalePolicyOf(f Function, defaults ScalePolicy) (ScalePolicy, error) {
	p := defaults
	var faults Faults
	read := func(label, allowed string, parse func(v string) bool) {
		if v, ok := f.Labels[label]; ok && !parse(v) {
			faults.Add("labels["+label+"]", v, allowed)
		}
	}
	own := func(key string, parse func(v string) bool) {
		before := p
		if v := f.Value(key); v != "" && !parse(v) {
			p = before // validateKeys names it, once
		}
	}
	count := func(into *int, least, most int) func(string) bool {
		return func(v string) bool {
			n, ok := parseCount(v)
			*into = n
			return ok && n >= least && n <= most
		}
	}
	duration := func(into *time.Duration, most time.Duration) func(string) bool {
		return func(v string) bool {
			d, ok := ParseDuration(v)
			*into = d
			return ok && d <= most
		}
	}
	read(LabelScaleMin, "a whole number from 1 to 100000", count(&p.Min, 1, MaxReplicas))
	if p.Max < p.Min {
		p.Max = p.Min
	}
	read(LabelScaleMax, "a whole number from 1 to 100000", count(&p.Max, 1, MaxReplicas))
	if p.Max < p.Min && faults.Err() == nil {
		if _, given := f.Labels[LabelScaleMin]; given {
			faults.Add("labels["+LabelScaleMax+"]", strconv.Itoa(p.Max), "not below "+LabelScaleMin+", "+strconv.Itoa(p.Min))
		}
		p.Min = p.Max
	}
	read(LabelScaleFactor, "a whole number from 0 to 100", count(&p.Factor, 0, 100))
	read(LabelScaleType, "rps, capacity, cpu, queue, or the name of a query", func(v string) bool { p.Type = v; return isLabel(v) })
	read(LabelScaleTarget, "a number above 0", number(&p.Target, math.MaxFloat32))
	read(LabelScaleProportion, "a number above 0 and up to 1", number(&p.Proportion, 1))
	read(LabelScaleZero, "true or false", func(v string) bool { p.Zero = v == "true"; return p.Zero || v == "false" })
	read(LabelScaleZeroAfter, "a duration above 0 such as 15m", func(v string) bool {
		return duration(&p.ZeroAfter, 365*24*time.Hour)(v) && p.ZeroAfter > 0
	})
	read(LabelScaleDownWindow, "a duration up to 5m", duration(&p.DownWindow, maxDownWindow))
	own(KeyScaleWindow, duration(&p.Window, maxDownWindow))
	own(KeyScalePanicWindow, duration(&p.PanicWindow, maxDownWindow))
	own(KeyScalePanicThreshold, number(&p.PanicThreshold, maxRatio))
	own(KeyScaleUpRate, number(&p.UpRate, maxRatio))
	own(KeyScaleDownRate, number(&p.DownRate, maxRatio))
	own(KeyScaleInitial, count(&p.Initial, 1, MaxReplicas))
	return p, faults.Err()
}

// number reads a finite decimal number above 0.
func number(into *float64, most float64) func(string) bool {
	return func(v string) bool {
		n, err := strconv.ParseFloat(v, 64)
		*into = n
		return err == nil && n > 0 && n <= most
	}
}

// CallPolicy is what one call of a function may take.
type CallPolicy struct {
	Timeout     time.Duration
	MaxInflight int // running at once per replica; 0 = no limit
	MaxQueue    int // waiting for one of those
}

// DefaultCall is the policy of a function that says nothing.
var DefaultCall = CallPolicy{Timeout: time.Minute, MaxQueue: 4096}

// CallPolicyOf reads a function's keys and the environment names of the
// OpenFaaS watchdogs over defaults. Values in the environment that a watchdog
// would ignore are ignored here too; ErrInvalid for keys of ours.
func CallPolicyOf(f Function, defaults CallPolicy) (CallPolicy, error) {
	p := defaults
	for _, name := range [...]string{"write_timeout", "exec_timeout"} {
		if d, ok := ParseDuration(f.Env[name]); ok && d > 0 && d <= maxTimeout {
			p.Timeout = d
		}
	}
	if n, ok := parseCount(f.Env["max_inflight"]); ok {
		p.MaxInflight = n
	}
	var faults Faults
	if v := f.Value(KeyTimeout); v != "" {
		d, _ := ParseDuration(v)
		if p.Timeout = d; !isTimeout(v) {
			faults.Add(KeyTimeout, v, "a duration above 0 and up to 24h")
		}
	}
	for key, into := range map[string]*int{KeyMaxInflight: &p.MaxInflight, KeyMaxQueue: &p.MaxQueue} {
		if v := f.Value(key); v != "" {
			n, ok := parseCount(v)
			if *into = n; !ok {
				faults.Add(key, v, "a whole number of 0 or more")
			}
		}
	}
	return p, faults.Err()
}

// ParseDuration reads a Go duration or a bare whole number of seconds, as all
// of OpenFaaS does; never negative.
func ParseDuration(v string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return time.Duration(n) * time.Second, true
	}
	d, err := time.ParseDuration(v)
	return d, err == nil && d >= 0
}
