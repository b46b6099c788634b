package backends_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

func TestScalePolicyIsReadFromLabelsOverDefaults(t *testing.T) {
	with := func(change func(*backends.ScalePolicy)) backends.ScalePolicy {
		p := backends.DefaultScale
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		labels map[string]string
		want   backends.ScalePolicy
	}{
		"no labels": {nil, backends.DefaultScale},
		"all of them": {map[string]string{
			backends.LabelScaleMin: "2", backends.LabelScaleMax: "9", backends.LabelScaleFactor: "0", backends.LabelScaleType: "capacity",
			backends.LabelScaleTarget: "12.5", backends.LabelScaleProportion: "0.5", backends.LabelScaleZero: "true",
			backends.LabelScaleZeroAfter: "90", backends.LabelScaleDownWindow: "5m",
			backends.KeyScaleWindow: "1m", backends.KeyScalePanicWindow: "6s", backends.KeyScalePanicThreshold: "3",
			backends.KeyScaleUpRate: "1.5", backends.KeyScaleDownRate: "2", backends.KeyScaleInitial: "4",
		}, backends.ScalePolicy{Min: 2, Max: 9, Factor: 0, Type: "capacity", Target: 12.5, Proportion: 0.5, Zero: true,
			ZeroAfter: 90 * time.Second, DownWindow: 5 * time.Minute, Window: time.Minute, PanicWindow: 6 * time.Second,
			PanicThreshold: 3, UpRate: 1.5, DownRate: 2, Initial: 4}},
		"values of ours that are not allowed, which Validate names": {map[string]string{backends.KeyScaleWindow: "soon", backends.KeyScaleInitial: "-1"},
			backends.DefaultScale},
		"a minimum above the default maximum raises it": {map[string]string{backends.LabelScaleMin: "50"},
			with(func(p *backends.ScalePolicy) { p.Min, p.Max = 50, 50 })},
		"a minimum equal to the maximum": {map[string]string{backends.LabelScaleMin: "3", backends.LabelScaleMax: "3"},
			with(func(p *backends.ScalePolicy) { p.Min, p.Max = 3, 3 })},
		"zero switched off": {map[string]string{backends.LabelScaleZero: "false"}, backends.DefaultScale},
		"no window":         {map[string]string{backends.LabelScaleDownWindow: "0"}, backends.DefaultScale},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := backends.ScalePolicyOf(backends.Function{Labels: c.labels}, backends.DefaultScale)
			if err != nil || got != c.want {
				t.Errorf("gave %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	defaults := with(func(p *backends.ScalePolicy) { p.Min, p.Max = 3, 10 })
	got, err := backends.ScalePolicyOf(backends.Function{Labels: map[string]string{backends.LabelScaleMax: "2"}}, defaults)
	if err != nil || got.Min != 2 || got.Max != 2 {
		t.Errorf("a maximum below the default minimum gave %+v, %v; want both 2", got, err)
	}
}

func TestScaleLabelsOutsideTheirRangeAreInvalidAndAllNamed(t *testing.T) {
	for label, values := range map[string][]string{
		backends.LabelScaleMin:        {"", "0", "-1", "1.5", "x", "100001", "9223372036854775808", "1e3", " 1", "+1"},
		backends.LabelScaleMax:        {"", "0", "-1", "x", "100001"},
		backends.LabelScaleFactor:     {"", "-1", "101", "x"},
		backends.LabelScaleType:       {"", "RPS", "a b", "a/b", strings.Repeat("a", 64)},
		backends.LabelScaleTarget:     {"", "0", "-1", "NaN", "Inf", "-Inf", "1e300", "x"},
		backends.LabelScaleProportion: {"", "0", "1.1", "-0.5", "NaN"},
		backends.LabelScaleZero:       {"", "1", "yes", "True"},
		backends.LabelScaleZeroAfter:  {"", "0", "-1m", "soon", "9000h"},
		backends.LabelScaleDownWindow: {"", "-1s", "5m1s", "301"},
	} {
		for _, v := range values {
			f := backends.Function{Labels: map[string]string{label: v, backends.LabelScaleZero + "x": "ignored"}}
			if _, err := backends.ScalePolicyOf(f, backends.DefaultScale); !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), label) {
				t.Errorf("%s: %q gave %v; want an error of kind invalid that names it", label, v, err)
			}
		}
	}
	_, err := backends.ScalePolicyOf(backends.Function{Labels: map[string]string{
		backends.LabelScaleMin: "5", backends.LabelScaleMax: "4", backends.LabelScaleTarget: "NaN"}}, backends.DefaultScale)
	if err == nil || !strings.Contains(err.Error(), backends.LabelScaleMax) || !strings.Contains(err.Error(), backends.LabelScaleTarget) {
		t.Errorf("two faults gave %v; want both named", err)
	}
}

func TestCallPolicyReadsOurKeysOverTheWatchdogsNames(t *testing.T) {
	for name, c := range map[string]struct {
		env, labels, annotations map[string]string
		want                     backends.CallPolicy
	}{
		"nothing given": {nil, nil, nil, backends.DefaultCall},
		"the watchdogs' names": {map[string]string{"write_timeout": "10s", "exec_timeout": "20", "max_inflight": "7"}, nil, nil,
			backends.CallPolicy{Timeout: 20 * time.Second, MaxInflight: 7, MaxQueue: 4096}},
		"watchdog values that a watchdog would ignore": {map[string]string{"exec_timeout": "soon", "write_timeout": "0", "max_inflight": "-1"}, nil, nil,
			backends.DefaultCall},
		"a label of ours": {map[string]string{"exec_timeout": "20s", "max_inflight": "7"},
			map[string]string{backends.KeyTimeout: "1500ms", backends.KeyMaxInflight: "0", backends.KeyMaxQueue: "0"}, nil,
			backends.CallPolicy{Timeout: 1500 * time.Millisecond}},
		"an annotation of ours": {nil, nil, map[string]string{backends.KeyTimeout: "2", backends.KeyMaxQueue: "1"},
			backends.CallPolicy{Timeout: 2 * time.Second, MaxQueue: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			f := backends.Function{Env: c.env, Labels: c.labels, Annotations: c.annotations}
			got, err := backends.CallPolicyOf(f, backends.DefaultCall)
			if err != nil || got != c.want {
				t.Errorf("gave %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	for key, value := range map[string]string{backends.KeyTimeout: "25h", backends.KeyMaxInflight: "-1", backends.KeyMaxQueue: "x"} {
		_, err := backends.CallPolicyOf(backends.Function{Labels: map[string]string{key: value}}, backends.DefaultCall)
		if !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %s gave %v; want an error of kind invalid that names it", key, value, err)
		}
	}
}

func TestDurationsAreGoDurationsOrSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "5": 5 * time.Second, "007": 7 * time.Second, "1h30m": 90 * time.Minute, "1.5s": 1500 * time.Millisecond, "0s": 0,
	} {
		if got, ok := backends.ParseDuration(text); !ok || got != want {
			t.Errorf("ParseDuration(%q) gave %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-1", "-1s", "s", "1 s", "NaN", "1e3", "99999999999999999999", "0x10", "5 "} {
		if got, ok := backends.ParseDuration(text); ok {
			t.Errorf("ParseDuration(%q) gave %v; want none", text, got)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"", "5", "1h", "-1s", "1.5µs", "4294967296", "9223372036854775807ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := backends.ParseDuration(text)
		if !ok {
			return
		}
		if d < 0 {
			t.Fatalf("ParseDuration(%q) gave %v", text, d)
		}
		if again, ok := backends.ParseDuration(d.String()); !ok || again != d {
			t.Fatalf("ParseDuration(%q) gave %v, %v; want %v", d.String(), again, ok, d)
		}
	})
}

// FuzzPolicies: what Validate lets through has policies without faults, and a
// policy is always within its own bounds.
func FuzzPolicies(f *testing.F) {
	f.Add(backends.LabelScaleMin, "2", backends.LabelScaleMax, "1", "exec_timeout", "5")
	f.Add(backends.KeyTimeout, "0", backends.KeyOutput, "cgi", "max_inflight", "x")
	f.Add(backends.LabelScaleTarget, "1e39", backends.LabelScaleProportion, "1", "", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, env, value string) {
		fn := backends.Function{
			Key: backends.Key{Namespace: "a", Name: "b"}, Image: "hello",
			Labels: map[string]string{k1: v1}, Annotations: map[string]string{k2: v2}, Env: map[string]string{env: value},
		}
		fn.Labels[k2] = v2
		invalid := fn.Validate()
		scale, scaleErr := backends.ScalePolicyOf(fn, backends.DefaultScale)
		call, callErr := backends.CallPolicyOf(fn, backends.DefaultCall)
		for _, err := range []error{invalid, scaleErr, callErr} {
			if err != nil && !errors.Is(err, backends.ErrInvalid) {
				t.Fatalf("%v is not of kind invalid", err)
			}
		}
		if invalid != nil {
			return
		}
		if scaleErr != nil || callErr != nil {
			t.Fatalf("a valid function has policies that are not: %v, %v", scaleErr, callErr)
		}
		if scale.Min < 1 || scale.Max < scale.Min || scale.Max > backends.MaxReplicas || !(scale.Target > 0) || !(scale.Proportion > 0 && scale.Proportion <= 1) || scale.ZeroAfter <= 0 {
			t.Fatalf("the scale policy is %+v", scale)
		}
		if call.Timeout <= 0 || call.MaxInflight < 0 || call.MaxQueue < 0 {
			t.Fatalf("the call policy is %+v", call)
		}
	})
}
