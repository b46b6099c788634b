package runtime_test

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
)

const counting = `let calls = 0; export default (r) => {
	calls++;
	if (r.text() === "throw") throw new Error("as asked");
	if (r.text() === "loop") for (;;);
	if (r.text() === "trap") { const f = () => f() + 1; const a = []; for (;;) a.push(new Uint8Array(1 << 20)) }
	return String(calls)
}`

func TestAFunctionThatKeepsItsStateGoesOnWhereItsLastCallEnded(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	m := load(t, e, []byte(counting), runtime.Spec{Keep: true})
	answer := func(m *runtime.Module, body, want string) {
		t.Helper()
		if resp, err := invoke(t, m, requestOf("POST", "/", "", body, nil)); err != nil || resp.body.String() != want {
			t.Errorf("got %q, %v; want %q", resp.body.String(), err, want)
		}
	}
	for i := range 50 {
		answer(m, "", strconv.Itoa(i+1))
	}
	if _, err := invoke(t, m, requestOf("POST", "/", "", "throw", nil)); !errors.Is(err, backends.ErrFunction) {
		t.Errorf("got %v", err)
	}
	answer(m, "", "52") // an exception is the function's own business
	if made := m.Stats().Made; made != 1 {
		t.Errorf("%d instances", made)
	}
	answer(load(t, e, []byte(counting), runtime.Spec{Keep: true, Key: backends.Key{Namespace: "a", Name: "other"}}), "", "1")
	answer(load(t, e, []byte(counting), runtime.Spec{Keep: true}), "", "1") // another version
	fresh := load(t, e, []byte(counting), runtime.Spec{})
	answer(fresh, "", "1")
	answer(fresh, "", "1")
}

func TestAnInstanceThatKeepsItsStateIsGivenUpAfter(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	for _, how := range []string{"loop", "trap"} {
		t.Run(how, func(t *testing.T) {
			m := load(t, e, []byte(counting), runtime.Spec{Keep: true, Memory: 32 << 20})
			if _, err := invoke(t, m, requestOf("POST", "/", "", "", nil)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := contextOf(t, 300*time.Millisecond)
			defer cancel()
			if err := m.Invoke(ctx, requestOf("POST", "/", "", how, nil), &recorder{}); err == nil {
				t.Fatal("no error")
			}
			resp, err := invoke(t, m, requestOf("POST", "/", "", "", nil))
			if err != nil || resp.body.String() != "1" {
				t.Errorf("got %q, %v; want the count of a new instance", resp.body.String(), err)
			}
		})
	}
}

func TestCallsAtTheSameTimeKeepTheirStateApart(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), []byte(counting), runtime.Spec{Keep: true})
	const callers, calls = 8, 50
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				if _, err := invoke(t, m, requestOf("POST", "/", "", "", nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if made := m.Stats().Made; made > callers {
		t.Errorf("%d instances for %d callers", made, callers)
	}
}

func TestAScriptThatKeepsItsStateDoesNotGrow(t *testing.T) {
	rounds := 2000 * runtime.CheckScale()
	m := load(t, newEngine(t, runtime.Config{}), []byte(`let n = 0; export default async (r) => {
		n++; await null;
		console.log("call", n);
		if (n % 7 === 0) throw new Error("seven " + Math.random());
		if (n % 3 === 0) return r.bytes();
		return {status: 201, headers: {a: "b"}, body: r.text() + r.headers.get("x-a")}
	}`), runtime.Spec{Keep: true, Memory: 32 << 20, Log: func([]byte) {}})
	text, binary := strings.Repeat("x", 300), strings.Repeat("\xff\x00", 150)
	var settled int64
	for i := range rounds {
		body := text
		if i%2 == 0 {
			body = binary
		}
		if _, err := invoke(t, m, requestOf("POST", "/", "", body, headers{{"X-A", "1"}})); err != nil && !strings.Contains(err.Error(), "seven") {
			t.Fatalf("call %d: %v", i, err)
		}
		if i == rounds/2 {
			settled = m.Stats().Memory
		}
	}
	stats := m.Stats()
	if stats.Made != 1 || stats.Memory != settled {
		t.Errorf("%d instances, memory went from %d to %d bytes", stats.Made, settled, stats.Memory)
	}
}

func TestACommandCannotKeepState(t *testing.T) {
	_, err := newEngine(t, runtime.Config{}).Load(t.Context(), stored(t, "env").Wasm, runtime.Spec{Keep: true})
	if !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), "JavaScript") {
		t.Errorf("got %v", err)
	}
}
