package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"

	"hearth/backends"
	"hearth/backends/inproc/store"
	"hearth/runtime"
	"hearth/testdata/guests"
)

// requests are bodies and environments that a program may treat differently.
func variedRequests() []*backends.Request {
	var all []*backends.Request
	for _, body := range []string{"", "7", "line one\nline two\n", `{"a":[1,2,{"b":null}]}`, strings.Repeat("0123456789abcdef", 4096) + "x", "\xff\xfe\x00binary"} {
		for _, path := range []string{"/", "/some/where"} {
			r := request(body)
			r.Path, r.Query = []byte(path), []byte("name=value&n=3")
			r.Header = headers{{"X-Test", path}, {"Content-Type", "text/plain"}}
			all = append(all, r)
		}
	}
	return all
}

func answerOf(tb testing.TB, m *runtime.Module, r *backends.Request) string {
	tb.Helper()
	got, err := invoke(tb, m, r)
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprint(got.status, got.header, got.body.String())
}

// Whether a call runs a program from its start or from where it was frozen shows in nothing but the time it takes.
func TestAResumedProgramAnswersLikeOneRunFromItsStart(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	for _, f := range store.Functions() {
		switch f.Name {
		case "nodeinfo", "sleep": // whose answers tell the time
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			spec := runtime.Spec{Args: f.Process, CGI: f.Annotations[backends.KeyOutput] == "cgi", Env: map[string]string{"greeting": "hi"},
				Secrets: map[string][]byte{"key": []byte("value")}}
			resumed, started := load(t, e, f.Wasm, spec), load(t, e, f.Wasm, spec)
			started.RunFromStart()
			for round := range 2 {
				for i, r := range variedRequests() {
					want, got := answerOf(t, started, r), answerOf(t, resumed, r)
					if got != want {
						t.Errorf("round %d, request %d: answer %.200q, from the start %.200q", round, i, got, want)
					}
				}
			}
			if !resumed.Resumes() || started.Resumes() {
				t.Errorf("the program is resumed: %v, and when it must not be: %v", resumed.Resumes(), started.Resumes())
			}
		})
	}
}

// A program that never asks for anything is run from its start, and so is one that fails before.
func TestAProgramThatNeverAsksForAnythingIsRunFromItsStart(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), hostile(t, "recursion"), runtime.Spec{})
	for range 3 {
		if _, err := invoke(t, m, request("")); err == nil {
			t.Fatal("the program did not fail")
		}
	}
	if m.Resumes() {
		t.Error("it is resumed")
	}
}

// Instances frozen one after another are all in the state of the one image, and no call sees another's request.
func TestResumedProgramsKeepCallsApart(t *testing.T) {
	f := stored(t, "cat")
	for _, path := range runtime.RestorePaths() {
		t.Run(path, func(t *testing.T) {
			e := newEngine(t, runtime.Config{Slots: 4})
			if err := e.ForceRestore(path); err != nil {
				t.Fatal(err)
			}
			m := load(t, e, f.Wasm, runtime.Spec{Args: f.Process})
			var all sync.WaitGroup
			for caller := range 8 {
				all.Go(func() { echoes(t, m, caller, 200*runtime.CheckScale()) })
			}
			all.Wait()
			if !m.Resumes() {
				t.Error("the program is not resumed")
			}
		})
	}
}

// echoes calls a function that answers with its input, with another body each time.
func echoes(t *testing.T, m *runtime.Module, caller, calls int) {
	resp := &recorder{}
	for i := range calls {
		body := bytes.Repeat(fmt.Appendf(nil, "%d-%d ", caller, i), 1+i%97*40)
		resp.body.Reset()
		if err := m.Invoke(context.Background(), &backends.Request{Body: body}, resp); err != nil || !bytes.Equal(resp.body.Bytes(), body) {
			t.Errorf("caller %d, call %d: %d bytes of %d, %v", caller, i, resp.body.Len(), len(body), err)
			return
		}
		if i%100 == 0 {
			goruntime.GC()
		}
	}
}

// Programs of other people and other toolchains are resumed without a difference too.
func TestProgramsOfOthersAreResumed(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	for _, g := range guests.List(t) {
		if g.Module == "" {
			continue
		}
		t.Run(g.Name, func(t *testing.T) {
			for _, args := range [][]string{{"cat"}, {"cat", "/var/openfaas/secrets/key"}, {"wasi", "stat"}, {"wasi", "ls", "/var/openfaas/secrets"}, {"cli", "3", "4"}} {
				spec := runtime.Spec{Args: args, Secrets: map[string][]byte{"key": []byte("value")}}
				resumed := load(t, e, g.Wasm(t), spec)
				spec.Resume = runtime.ResumeOff
				started := load(t, e, g.Wasm(t), spec)
				for _, body := range []string{"", "some input"} {
					for range 2 {
						if want, got := answerOf(t, started, request(body)), answerOf(t, resumed, request(body)); got != want {
							t.Errorf("%v: answer %.200q, from the start %.200q", args, got, want)
						}
					}
				}
			}
		})
	}
}

func BenchmarkResume(b *testing.B) {
	for _, name := range []string{"hello", "cat", "env"} {
		for _, path := range append(runtime.RestorePaths(), runtime.ResumeOff) {
			b.Run(name+"/"+path, func(b *testing.B) {
				e, f := newEngine(b, runtime.Config{}), stored(b, name)
				if err := e.ForceRestore(path); err != nil {
					b.Fatal(err)
				}
				spec := runtime.Spec{Args: f.Process}
				if path == runtime.ResumeOff {
					spec.Resume = path
				}
				m := load(b, e, f.Wasm, spec)
				req, resp := request(strings.Repeat("x", 1024)), &discard{}
				b.ReportAllocs()
				for b.Loop() {
					if err := m.Invoke(context.Background(), req, resp); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// A program that seeds its generator when it starts is resumed before that, and so draws anew in every call.
func TestAResumedProgramDrawsAnewInEveryCall(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), guests.Wasm(t, "image/draw"), runtime.Spec{})
	seen := map[string]int{}
	for i := range 1000 {
		body := fmt.Sprint("call-", i)
		r, err := invoke(t, m, request(body))
		if err != nil || !strings.HasSuffix(r.body.String(), " input="+body+"\n") {
			t.Fatalf("call %d: %q, %v", i, r.body.String(), err)
		}
		for _, field := range strings.Fields(r.body.String()) {
			if seen[field]++; seen[field] > 1 && !strings.HasPrefix(field, "rand=") { // which has 31 bits
				t.Errorf("call %d drew %s again", i, field)
			}
		}
	}
	if !m.Resumes() {
		t.Error("the program is not resumed")
	}
}

// The engine remembers each reference that a guest makes to a function: without a bound a loop of one instruction fills the memory.
func TestAGuestCannotFillTheMemoryWithReferences(t *testing.T) {
	wasm, err := os.ReadFile("testdata/image/references.wasm")
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, newEngine(t, runtime.Config{}), wasm, runtime.Spec{})
	_, err = invoke(t, m, request(""))
	if !errors.Is(err, backends.ErrFunction) || !strings.Contains(err.Error(), "references") {
		t.Errorf("error %v, want one about references", err)
	}
	if s := m.Stats(); s.Instances != 0 {
		t.Errorf("%d instances kept", s.Instances)
	}
}
