package runtime_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
)

func TestAScriptAnswers(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	for name, c := range map[string]struct {
		source string
		body   string
		want   string
		header headers
		status int
	}{
		"with a text":               {`export default (r) => "hello " + r.text()`, "wörld", "hello wörld", headers{{"Content-Type", "text/plain; charset=utf-8"}}, 200},
		"with an object, as JSON":   {`export default (r) => ({sum: r.json().reduce((a, b) => a + b)})`, "[1,2,3]", `{"sum":6}`, headers{{"Content-Type", "application/json"}}, 200},
		"with status and headers":   {`export default () => ({status: 201, headers: {"X-A": "b"}, body: "made"})`, "", "made", headers{{"x-a", "b"}}, 201},
		"with a Response":           {`export default () => new Response("no", {status: 404, headers: new Headers({A: "1"})})`, "", "no", headers{{"a", "1"}}, 404},
		"with Response.json":        {`export default () => Response.json({a: 1})`, "", `{"a":1}`, headers{{"content-type", "application/json"}}, 200},
		"with bytes":                {`export default (r) => r.bytes().reverse()`, "\xff\x00a", "a\x00\xff", nil, 200},
		"with a NUL in its text":    {`export default () => "a\0b"`, "", "a\x00b", nil, 200},
		"with a promise":            {`export default async (r) => { await null; return "late " + (await r.text()) }`, "x", "late x", headers{{"Content-Type", "text/plain; charset=utf-8"}}, 200},
		"with nothing":              {`export default () => {}`, "", "", headers{{"Content-Type", "text/plain; charset=utf-8"}}, 200},
		"from an object with fetch": {`export default {fetch(r, env) { return new Response(env.COLOUR) }}`, "", "red", nil, 200},
		"knowing the request": {`export default (r) => [r.method, r.path, r.query, r.url, r.headers.get("x-one")].join(" ")`, "",
			"PUT /p q=1 /p?q=1 uno", headers{{"Content-Type", "text/plain; charset=utf-8"}}, 200},
		"knowing its secrets":       {`export default (r, c) => c.secrets.key + c.env.COLOUR`, "", "valuered", headers{{"Content-Type", "text/plain; charset=utf-8"}}, 200},
		"decoding what is no UTF-8": {`export default (r) => r.text()`, "a\xffb\xe2\x82\xac\x00", "a\ufffdb€\x00", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			m := load(t, e, []byte(c.source), runtime.Spec{Env: map[string]string{"COLOUR": "red"}, Secrets: map[string][]byte{"key": []byte("value")}})
			for range 3 {
				resp, err := invoke(t, m, requestOf("PUT", "/p", "q=1", c.body, headers{{"X-One", "uno"}}))
				if err != nil {
					t.Fatal(err)
				}
				if resp.body.String() != c.want || resp.status != c.status || fmt.Sprint(resp.header) != fmt.Sprint(c.header) {
					t.Fatalf("%d %v %q, want %d %v %q", resp.status, resp.header, resp.body.String(), c.status, c.header, c.want)
				}
			}
		})
	}
}

func TestAScriptKeepsNothingAndItsRandomNumbersAndTimesAreTheCalls(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}), []byte(`
		let calls = 0; const early = Math.random();
		export default () => { calls++; globalThis.leak = (globalThis.leak || 0) + 1; return [calls, leak, early, Math.random(), Date.now()].join(" ") }
	`), runtime.Spec{})
	numbers, earlies, times := map[string]bool{}, map[string]bool{}, map[string]bool{}
	const calls = 1000
	for range calls {
		resp, err := invoke(t, m, requestOf("GET", "/", "", "", nil))
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(resp.body.String())
		if f[0] != "1" || f[1] != "1" {
			t.Fatalf("calls and leak are %v, want 1 and 1", f[:2])
		}
		earlies[f[2]], numbers[f[3]], times[f[4]] = true, true, true
	}
	if len(numbers) != calls || len(earlies) != 1 || len(times) < 2 {
		t.Errorf("%d different random numbers in %d calls, %d from the start, %d times", len(numbers), calls, len(earlies), len(times))
	}
	if made := m.Stats().Made; made != 1 {
		t.Errorf("%d instances", made)
	}
}

func TestAScriptThatFailsIsExplained(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	for name, c := range map[string]struct {
		source string
		kind   error
		says   string
		logs   string
	}{
		"an exception":                {`export default () => { throw new TypeError("no such thing") }`, backends.ErrFunction, "TypeError: no such thing", "function.js"},
		"a rejected promise":          {`export default async () => { throw new Error("later") }`, backends.ErrFunction, "Error: later", "later"},
		"a promise that never ends":   {`export default () => new Promise(() => {})`, backends.ErrFunction, "never settled", ""},
		"a status that is none":       {`export default () => ({status: 99, body: ""})`, backends.ErrFunction, `status "99"`, ""},
		"a header with a line break":  {`export default () => ({headers: {"a": "b\r\nc: d"}, body: ""})`, backends.ErrFunction, "line break", ""},
		"endless recursion":           {`const f = () => f() + 1; export default () => f()`, backends.ErrFunction, "", ""},
		"a loop without end":          {`export default () => { for (;;); }`, backends.ErrDeadline, "time limit", ""},
		"more memory than there is":   {`export default () => { const a = []; for (;;) a.push(new Uint8Array(1 << 20)) }`, backends.ErrFunction, "", ""},
		"an answer that is too large": {`export default () => "x".repeat(2 << 20)`, backends.ErrAnswerTooLarge, "too large", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			m := load(t, e, []byte(c.source), runtime.Spec{Answer: 1 << 20, Log: func(line []byte) { log.Write(line); log.WriteByte('\n') }})
			ctx, cancel := contextOf(t, 2*time.Second)
			defer cancel()
			err := m.Invoke(ctx, requestOf("GET", "/", "", "", nil), &recorder{})
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || !strings.Contains(log.String(), c.logs) {
				t.Errorf("got %v, want the kind %v saying %q; log %q, want %q", err, c.kind, c.says, log.String(), c.logs)
			}
		})
	}
}

func TestConsoleIsTheLog(t *testing.T) {
	var log strings.Builder
	m := load(t, newEngine(t, runtime.Config{}), []byte(`export default () => { console.log("one", 2, {three: [4]}); console.error(new Error("five")); return "" }`),
		runtime.Spec{Log: func(line []byte) { log.Write(line); log.WriteByte('\n') }})
	if _, err := invoke(t, m, requestOf("GET", "/", "", "", nil)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(log.String(), "one 2 {\"three\":[4]}\nError: five\n") {
		t.Errorf("log %q", log.String())
	}
}

func TestASourceIsTriedAtDeploy(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	if err := e.Compile(t.Context(), []byte(`export default () => "fine"`)); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct{ source, says string }{
		"a slip of the pen":             {`export default () => {`, "SyntaxError"},
		"a module that throws":          {`nobody(); export default () => 1`, "nobody"},
		"a default that is no function": {`export default 42`, "no function as its default export"},
		"an import":                     {`import x from "y"; export default () => x`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := runtime.Check([]byte(c.source)); err != nil {
				t.Fatalf("check: %v", err)
			}
			if err := e.Compile(t.Context(), []byte(c.source)); !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
		})
	}
	load(t, e, []byte(`export default () => "keeps the engine compiled"`), runtime.Spec{})
	ctx, cancel := contextOf(t, time.Second)
	defer cancel()
	if err := e.Compile(ctx, []byte(`for (;;); export default () => 1`)); err == nil || !strings.Contains(err.Error(), "time limit") {
		t.Errorf("a loop without end: %v", err)
	}
	for _, text := range []string{"hello", "", "const a = 1", "{\"a\": 1}"} {
		if err := runtime.Check([]byte(text)); !errors.Is(err, backends.ErrInvalid) {
			t.Errorf("%q passes for a function: %v", text, err)
		}
	}
}

func BenchmarkScript(b *testing.B) {
	m := load(b, newEngine(b, runtime.Config{}), []byte(`export default (r) => "hello " + r.text()`), runtime.Spec{})
	req, resp := requestOf("GET", "/", "", "you", nil), &discard{}
	ctx, cancel := contextOf(b, time.Hour)
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Invoke(ctx, req, resp); err != nil {
			b.Fatal(err)
		}
	}
}
