package backendtest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

func TestRecorderNotesWhatABackendMustNotDo(t *testing.T) {
	entry := func(name string, generation int64) backends.Entry {
		return backends.Entry{Status: backends.Status{Function: backends.Function{Key: key(name)}, Generation: generation}}
	}
	for name, c := range map[string]struct {
		do   func(r *Recorder)
		want string // empty: nothing
	}{
		"a set before the first replace": {func(r *Recorder) { r.Set(entry("a", 1)) }, "Set came before Replace"},
		"a delete before the first replace": {func(r *Recorder) { r.Delete(key("a")) },
			"Delete came before Replace"},
		"two entries of one key": {func(r *Recorder) { r.Replace([]backends.Entry{entry("a", 1), entry("a", 1)}) }, "two entries"},
		"a generation that falls": {func(r *Recorder) { r.Replace([]backends.Entry{entry("a", 2)}); r.Set(entry("a", 1)) },
			"generation fell from 2 to 1"},
		"no generation":            {func(r *Recorder) { r.Replace([]backends.Entry{entry("a", 0)}) }, "generation 0"},
		"a name that is not valid": {func(r *Recorder) { r.Replace([]backends.Entry{entry("../a", 1)}) }, "is not allowed"},
		"a function made anew": {func(r *Recorder) {
			r.Replace([]backends.Entry{entry("a", 2)})
			r.Delete(key("a"))
			r.Set(entry("a", 1))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRecorder()
			c.do(r)
			faults := r.Faults()
			if c.want == "" && len(faults) > 0 || c.want != "" && !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("noted %q; want one with %q", faults, c.want)
			}
		})
	}
}

func TestRecorderWaitsForTheTableToBecomeSo(t *testing.T) {
	r := NewRecorder()
	one := func(m map[backends.Key]backends.Entry) bool { return len(m) == 1 }
	if r.Wait(0, func(map[backends.Key]backends.Entry) bool { return true }) {
		t.Error("a table that was never replaced is as asked")
	}
	go func() {
		r.Replace(nil)
		r.Set(backends.Entry{Status: backends.Status{Function: backends.Function{Key: key("a")}, Generation: 1}})
	}()
	if !r.Wait(time.Minute, one) {
		t.Error("the table did not become as asked")
	}
	if r.Delete(key("a")); r.Wait(0, one) {
		t.Error("an empty table has one entry")
	}
}
