package backends

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keys of ours, read from annotations and labels alike.
const (
	KeyTimeout     = "com.hearth.timeout"
	KeyMaxInflight = "com.hearth.max-inflight"
	KeyMaxQueue    = "com.hearth.max-queue"
	KeyOutput      = "com.hearth.output"
	KeyCallLog     = "com.hearth.call-log"
	KeyResume      = "com.hearth.resume"
	KeyState       = "com.hearth.state"
	KeyAllowHTTP   = "com.hearth.allow-http"
	KeyDigest      = "com.hearth.digest"

	KeyScaleWindow         = "com.hearth.scale.window"
	KeyScalePanicWindow    = "com.hearth.scale.panic-window"
	KeyScalePanicThreshold = "com.hearth.scale.panic-threshold"
	KeyScaleUpRate         = "com.hearth.scale.up-rate"
	KeyScaleDownRate       = "com.hearth.scale.down-rate"
	KeyScaleInitial        = "com.hearth.scale.initial"
)

// keyPrefix begins every key of ours. One that is not in Keys is refused, so
// that a slip of the pen is not silently without effect.
const keyPrefix = "com.hearth."

// KeyDoc describes one key: the table the reference documentation is made of.
type KeyDoc struct {
	Name, Allowed, Default, Meaning string
	// check gives false for a value that is not allowed; nil allows any.
	check func(value string) bool
}

// Keys is the table of all com.hearth keys.
func Keys() []KeyDoc {
	return []KeyDoc{
		{KeyTimeout, "a duration above 0 and up to 24h, such as 30s", "--timeout",
			"how long one call may take; exec_timeout and write_timeout of the environment are read when it is absent", isTimeout},
		{KeyMaxInflight, "a whole number of 0 or more", "max_inflight of the environment, else 0",
			"how many calls run at once per replica, 0 = no limit", isCount},
		{KeyMaxQueue, "a whole number of 0 or more", "4096",
			"how many calls may wait when max-inflight is reached", isCount},
		{KeyOutput, "raw or cgi", "raw",
			"raw: standard output is the body; cgi: it begins with a CGI header block (Status, Content-Type, any other) and an empty line", isOneOf("raw", "cgi")},
		{KeyCallLog, "off or classic", "off",
			"classic: the function's log gets the two lines per call that OpenFaaS' classic watchdog writes", isOneOf("off", "classic")},
		{KeyResume, "auto, stdin, env or off", "auto",
			"where a call takes up a program. off: at its start; env: at the first thing it asks for that may differ between calls (input, " +
				"variables, time, random numbers); stdin: at its first read of input, with the function's own variables and one time and one " +
				"set of random numbers before that for all calls; auto: as env, and Go programs as stdin where that was seen to make no difference",
			isOneOf("auto", "stdin", "env", "off")},
		{KeyState, "fresh or keep", "fresh",
			"fresh: every call starts in the state the function was deployed in; keep: an instance goes into its next call as the last one left it. " +
				"Calls at the same time have instances of their own, and an instance can go at any time: keep caches there, not data",
			isOneOf("fresh", "keep")},
		{KeyAllowHTTP, "hosts parted by commas: api.example.com, example.com:8443, *.example.com, 10.0.0.7:8080, 10.0.0.0/8", "none",
			"which hosts the function may call; without a port, at 80 and 443. A name that has an internal address (loopback, private, link-local and the like) " +
				"is refused unless a range with that address is listed too",
			func(v string) bool { _, ok := ParseHosts(v); return ok }},
		{KeyDigest, "set by the platform", "",
			"sha256 of the module that runs", nil},
		{KeyScaleWindow, "a duration from 1s to 5m", "10s",
			"the load that scaling goes by is the mean of so long", isWindow},
		{KeyScalePanicWindow, "a duration from 1s to 5m", "off",
			"look at the mean of so long too, to see a burst; while one lasts, never go down", isWindow},
		{KeyScalePanicThreshold, "a number from 1 to 1000", "2",
			"a burst asks for so many times the replicas there are", isRatio},
		{KeyScaleUpRate, "a number from 1 to 1000", "off",
			"one step up goes to at most so many times the replicas there are, and by one at least", isRatio},
		{KeyScaleDownRate, "a number from 1 to 1000", "off",
			"one step down leaves at least one such part of the replicas there are, and goes by one at least", isRatio},
		{KeyScaleInitial, "a whole number from 1 to 100000", "com.openfaas.scale.min",
			"replicas at the first deploy", isReplicas},
	}
}

// Value gives the value of one of our keys, empty if absent. Validate has
// made sure that label and annotation do not differ.
func (f *Function) Value(key string) string {
	if v, ok := f.Annotations[key]; ok {
		return v
	}
	return f.Labels[key]
}

// validateKeys refuses unknown keys of ours, values that are not allowed, and
// a key whose label and annotation differ.
func validateKeys(faults *Faults, f Function) {
	known := map[string]KeyDoc{}
	for _, k := range Keys() {
		known[k.Name] = k
	}
	for _, of := range [...]struct {
		field string
		pairs map[string]string
	}{{"labels", f.Labels}, {"annotations", f.Annotations}} {
		for _, k := range slices.Sorted(maps.Keys(of.pairs)) {
			if !strings.HasPrefix(k, keyPrefix) {
				continue
			}
			doc, ok := known[k]
			if !ok {
				faults.Add(of.field, k, "known keys are "+strings.Join(slices.Sorted(maps.Keys(known)), ", "))
				continue
			}
			if doc.check != nil && !doc.check(of.pairs[k]) {
				faults.Add(of.field+"["+k+"]", of.pairs[k], doc.Allowed)
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.Labels)) {
		if a, ok := f.Annotations[k]; ok && strings.HasPrefix(k, keyPrefix) && a != f.Labels[k] {
			faults.Add("labels["+k+"]", f.Labels[k], "the same value as the annotation, "+quote(a)+", or none")
		}
	}
}

func isTimeout(v string) bool { d, ok := ParseDuration(v); return ok && d > 0 && d <= maxTimeout }
func isWindow(v string) bool {
	d, ok := ParseDuration(v)
	return ok && d >= time.Second && d <= maxDownWindow
}
func isRatio(v string) bool {
	n, err := strconv.ParseFloat(v, 64)
	return err == nil && n >= 1 && n <= maxRatio
}
func isReplicas(v string) bool { n, ok := parseCount(v); return ok && n >= 1 && n <= MaxReplicas }
func isCount(v string) bool    { _, ok := parseCount(v); return ok }
func isOneOf(values ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(values, v) }
}
