package simulation

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/backends"
)

// Call is one call of a trace.
type Call struct {
	At    time.Duration // since the trace began
	Takes time.Duration // of the function's own time
}

// maxCalls bounds a trace, so that a slip in a rate does not eat the machine.
const maxCalls = 20_000_000

// ReadCSV reads one call per line: arrival and duration, each in seconds as a
// decimal number or as a Go duration; further columns are ignored, and so is a
// first line of names. ErrInvalid names the line. The calls come sorted.
func ReadCSV(r io.Reader) ([]Call, error) {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord, rows.ReuseRecord, rows.TrimLeadingSpace = -1, true, true
	rows.Comment = '#'
	var calls []Call
	for first := true; ; first = false {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, backends.Errorf(backends.ErrInvalid, "trace: %v", err)
		}
		line, _ := rows.FieldPos(0)
		call, err := parseCall(row)
		if err != nil && first {
			continue // names of columns
		}
		if err != nil {
			return nil, fmt.Errorf("trace, line %d: %w", line, err)
		}
		if calls = append(calls, call); len(calls) > maxCalls {
			return nil, backends.Errorf(backends.ErrTooLarge, "trace: more than %d calls", maxCalls)
		}
	}
	if len(calls) == 0 {
		return nil, backends.Errorf(backends.ErrInvalid, "trace: it has no calls")
	}
	sortCalls(calls)
	return calls, nil
}

func parseCall(row []string) (Call, error) {
	if len(row) < 2 {
		return Call{}, &backends.FieldError{Field: "line", Value: strings.Join(row, ","), Allowed: "arrival,duration"}
	}
	at, err := parseTime("arrival", row[0])
	if err != nil {
		return Call{}, err
	}
	takes, err := parseTime("duration", row[1])
	return Call{at, takes}, err
}

// parseTime reads seconds or a Go duration, up to a year.
func parseTime(field, text string) (time.Duration, error) {
	const most = 365 * 24 * time.Hour
	text = strings.TrimSpace(text)
	d, err := time.ParseDuration(text)
	if err != nil {
		var s float64
		if s, err = strconv.ParseFloat(text, 64); err == nil && s >= 0 && s <= most.Seconds() {
			d = time.Duration(s * float64(time.Second))
		} else if err == nil {
			d = -1
		}
	}
	if err != nil || d < 0 || d > most {
		return 0, &backends.FieldError{Field: field, Value: text, Allowed: "seconds such as 1.5, or a duration such as 1500ms, up to a year"}
	}
	return d, nil
}

// Shapes names the generators of Generate and what each makes.
func Shapes() map[string]string {
	return map[string]string{
		"steady":     "calls at the rate, as a Poisson process",
		"burst":      "a tenth of the rate, and ten times the rate for a tenth of the time in the middle",
		"diurnal":    "a sine between nothing and twice the rate, two waves over the length",
		"on-off":     "twice the rate and nothing, in eight turns",
		"heavy-tail": "pauses and durations with a heavy tail, as serverless platforms see them: mostly rare, now and then a crowd",
	}
}

// Load says what Generate makes.
type Load struct {
	Shape string        // a key of Shapes
	Rate  float64       // mean calls a second
	For   time.Duration // length
	Takes time.Duration // mean of a call's own time
	Seed  uint64
}

// Generate makes a trace; the same load gives the same trace. ErrInvalid for
// an unknown shape or a load that makes no sense.
func Generate(l Load) ([]Call, error) {
	if err := l.validate(); err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(l.Seed, 1))
	var calls []Call
	if l.Shape == "heavy-tail" {
		calls = heavyTail(rnd, l)
	} else {
		calls = poisson(rnd, l)
	}
	sortCalls(calls)
	return calls, nil
}

func (l Load) validate() error {
	var faults backends.Faults
	if shapes := Shapes(); shapes[l.Shape] == "" {
		faults.Add("shape", l.Shape, "steady, burst, diurnal, on-off or heavy-tail")
	}
	if !(l.Rate > 0) || l.Rate*l.For.Seconds() > maxCalls/4 {
		faults.Add("rate", strconv.FormatFloat(l.Rate, 'g', -1, 64), fmt.Sprintf("above 0, and at most %d calls in all", maxCalls/4))
	}
	if l.For <= 0 || l.Takes < 0 {
		faults.Add("length and duration", l.For.String()+", "+l.Takes.String(), "above 0, and not below 0")
	}
	return faults.Err()
}

// poisson draws arrivals of a rate that changes with time, by thinning.
func poisson(rnd *rand.Rand, l Load) []Call {
	const peak = 10 // no shape exceeds ten times the rate
	var calls []Call
	for at := 0.0; ; {
		at += rnd.ExpFloat64() / (l.Rate * peak)
		if at >= l.For.Seconds() {
			return calls
		}
		if rnd.Float64()*peak < shapeAt(l.Shape, at/l.For.Seconds()) {
			calls = append(calls, Call{fromSeconds(at), fromSeconds(l.Takes.Seconds() * rnd.ExpFloat64())})
		}
	}
}

// shapeAt is the rate at a part of the length, as a multiple of the mean one.
func shapeAt(shape string, part float64) float64 {
	switch shape {
	case "burst":
		if part > 0.45 && part < 0.55 {
			return 10
		}
		return 0.1
	case "diurnal":
		return 1 - math.Cos(part*4*math.Pi)
	case "on-off":
		return 2 * float64((int(part*8)+1)%2)
	}
	return 1
}

// heavyTail draws pauses from a Pareto distribution and crowds of calls after
// each, with log-normal durations.
func heavyTail(rnd *rand.Rand, l Load) []Call {
	const alpha, crowd = 1.3, 8
	mean := crowd / l.Rate // of a pause
	least := mean * (alpha - 1) / alpha
	var calls []Call
	for at := 0.0; at < l.For.Seconds(); at += min(least/math.Pow(1-rnd.Float64(), 1/alpha), l.For.Seconds()) {
		for range 1 + rnd.IntN(2*crowd-1) {
			takes := l.Takes.Seconds() * math.Exp(rnd.NormFloat64()-0.5)
			calls = append(calls, Call{fromSeconds(at + rnd.Float64()), fromSeconds(takes)})
		}
	}
	return calls
}

func fromSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func sortCalls(calls []Call) {
	slices.SortStableFunc(calls, func(a, b Call) int { return int(min(max(a.At-b.At, -1), 1)) })
}
