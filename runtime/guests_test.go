package runtime_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
	"hearth/testdata/guests"
)

// TestProgramsOfOthersRun runs programs that nobody here wrote, from toolchains that are not ours, as they are.
func TestProgramsOfOthersRun(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	secrets := map[string][]byte{"token": []byte("s3cret\n"), "tls.crt": []byte("certificate\n")}
	const dir = "/var/openfaas/secrets"
	for _, c := range []struct {
		guest  string
		args   []string
		body   string
		answer string
		fails  string // what the error says; empty: none
	}{
		{"wazero/cat-rust", []string{"cat", dir + "/token"}, "", "s3cret\n", ""},
		{"wazero/cat-tinygo", []string{"cat", dir + "/token"}, "", "s3cret\n", ""},
		{"wazero/cat-zig-cc", []string{"cat", dir + "/token"}, "", "s3cret\n", ""},
		{"wazero/cat-zig", []string{"cat", dir + "/tls.crt"}, "", "certificate\n", ""}, // its library opens absolute paths below descriptor 3
		{"wazero/cat-zig", []string{"cat", "tls.crt"}, "", "certificate\n", ""},
		{"wazero/cat-rust", []string{"cat", dir + "/../secrets/token"}, "", "", "exit status"},
		{"wazero/cat-tinygo", []string{"cat", "/etc/passwd"}, "", "", "exit status"},
		{"wazero/wasi-rust", []string{"wasi", "ls", dir}, "", dir + "/tls.crt\n" + dir + "/token\n", ""},
		{"wazero/wasi-rust", []string{"wasi", "ls", dir + "/token"}, "", "ENOTDIR\n", ""},
		{"wazero/wasi-rust", []string{"wasi", "stat"}, "", "stdin isatty: false\nstdout isatty: false\nstderr isatty: false\n/ isatty: false\n", ""},
		{"wazero/wasi-zig", []string{"wasi", "stat"}, "", "stdin isatty: false\nstdout isatty: false\nstderr isatty: false\n/ isatty: false\n", ""},
		{"wazero/wasi-zig", []string{"wasi", "preopen"}, "", "0: stdin\n1: stdout\n2: stderr\n3: " + dir + "\n", ""},
		{"wazero/wasi-tinygo", []string{"wasi", "ls", dir}, "", "./tls.crt\n./token\n", ""},
		{"wazero/wasi-zig-cc", []string{"wasi", "ls", dir}, "", "./.\n./..\n./tls.crt\n./token\n", ""},
		{"wazero/wasi-rust", []string{"wasi", "sock"}, "", "", "did not answer"}, // it takes no for an answer a thousand times a second
		{"wazero/cli-tinygo", []string{"cli", "3", "4"}, "", "result: 7\n", ""},
		{"wazero/print-args", []string{"args", "a b", ""}, "", "args\x00a b\x00\x00", ""},
		{"wazero/print-prestat", nil, "", dir, ""},
	} {
		t.Run(c.guest+" "+strings.Join(c.args, " "), func(t *testing.T) {
			m := load(t, e, guests.Wasm(t, c.guest), runtime.Spec{Args: c.args, Secrets: secrets})
			defer m.Close()
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				r := &recorder{status: http.StatusOK}
				err := m.Invoke(ctx, request(c.body), r)
				cancel()
				if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
					t.Errorf("%v; want an error with %q", err, c.fails)
				}
				if err == nil && r.body.String() != c.answer {
					t.Errorf("answered %q; want %q", r.body.String(), c.answer)
				}
			}
		})
	}
	answersAgain(t, e)
}

// TestAnOrdinaryGoProgramIsAFunction runs what the stock toolchain makes.
func TestAnOrdinaryGoProgramIsAFunction(t *testing.T) {
	e := newEngine(t, runtime.Config{CacheDir: t.TempDir()})
	wasm := guests.Go(t, "tool")
	var log strings.Builder
	spec := runtime.Spec{Args: []string{"tool"}, Memory: 64 << 20, Secrets: map[string][]byte{"token": []byte("s3cret")},
		Log: func(line []byte) { log.Write(append(line, '\n')) }}
	byPath := load(t, e, wasm, spec) // one module, and so one after the other on what may be the same instance
	for _, c := range []struct {
		words  string // a path, or arguments
		body   string
		answer string
		kind   error
		says   string // in the error or in the log
	}{
		{"/cat", strings.Repeat("0123456789abcdef", 1<<16), strings.Repeat("0123456789abcdef", 1<<16), nil, ""},
		{"/upper", "one\ntwo", "ONE\nTWO\n", nil, ""},
		{"/report", `{"text":"A@x.org, b@x.org; a@x.org"}`, `{"addresses":{"a@x.org":2,"b@x.org":1},"path":"/report"}` + "\n", nil, ""},
		{"/report", `{"text":`, "", backends.ErrFunction, "unexpected EOF"},
		{"/workers", "", "500500\n", nil, ""},
		{"/sleep/30ms", "", "slept\n", nil, ""},
		{"/clock", "", "ticks\n", nil, ""},
		{"/exit", "", "", backends.ErrFunction, "exit status 3"},
		{"/nothing", "", "", backends.ErrFunction, `no verb "nothing"`},
		{"/panic", "", "", backends.ErrFunction, "panic: on purpose"},
		{"/deadlock", "", "", backends.ErrFunction, "all goroutines are asleep"},
		{"/spin", "", "", backends.ErrDeadline, "time limit"},
		{"/sleep/1h", "", "", backends.ErrDeadline, "time limit"},
		{"/hoard", "", "", backends.ErrFunction, "out of memory"},
		{"/recurse", "", "", backends.ErrFunction, "stack"},
		{"/cat", "still here", "still here", nil, ""},
		{"upper", "by an argument", "BY AN ARGUMENT\n", nil, ""},
		{"read /var/openfaas/secrets/token", "", "s3cret", nil, ""},
		{"read /etc/passwd", "", "", backends.ErrFunction, "open /etc/passwd"},
		{"read /var/openfaas/secrets/../../../etc/passwd", "", "", backends.ErrFunction, "exit status 1"},
		{"write /var/openfaas/secrets/token", "", "", backends.ErrFunction, "exit status 1"},
	} {
		t.Run(c.words, func(t *testing.T) {
			m, req := byPath, request(c.body)
			req.Path = []byte(c.words)
			if c.words[0] != '/' {
				spec.Args = append([]string{"tool"}, strings.Fields(c.words)...)
				m = load(t, e, wasm, spec)
				defer m.Close()
			}
			most := 20 * time.Second
			if errors.Is(c.kind, backends.ErrDeadline) {
				most = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), most)
			defer cancel()
			log.Reset()
			r := &recorder{status: http.StatusOK}
			err := m.Invoke(ctx, req, r)
			if !errors.Is(err, c.kind) {
				t.Errorf("%v; want kind %v\n%s", err, c.kind, log.String())
			}
			if err == nil && r.body.String() != c.answer {
				t.Errorf("answered %.100q; want %.100q", r.body.String(), c.answer)
			}
			if err != nil && !strings.Contains(err.Error()+log.String(), c.says) {
				t.Errorf("neither %v nor the log says %q:\n%.2000s", err, c.says, log.String())
			}
		})
	}
	answersAgain(t, e)
}
