package runtime_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/runtime"
)

// TestNoTraceOfACallIsFoundByTheNext has a guest look through its whole memory for what calls before it brought and left, while calls of
// two functions end in every way there is.
func TestNoTraceOfACallIsFoundByTheNext(t *testing.T) {
	calls := 2500 // of each caller
	if n, err := strconv.Atoi(os.Getenv("CHECK_SCALE")); err == nil && n > 0 {
		calls *= n
	}
	e := newEngine(t, runtime.Config{})
	wasm := hostile(t, "leak")
	functions := []*runtime.Module{load(t, e, wasm, runtime.Spec{Log: func([]byte) {}}), load(t, e, wasm, runtime.Spec{Args: []string{"other"}, Log: func([]byte) {}})}
	probe := &recorder{status: http.StatusOK}
	if err := functions[0].Invoke(t.Context(), request("s"+strings.Repeat("secret-of-call-0-0 ", 100)), probe); err != nil {
		t.Fatal(err)
	}
	var before, own int
	if n, err := fmt.Sscan(probe.body.String(), &before, &own); n != 2 || before != 0 || own < 100 {
		t.Fatalf("the guest finds %q (%v); want nothing before and more than 100 traces of its own", probe.body.String(), err)
	}
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for n := range calls {
				leakCall(t, functions[(caller+n/10)%2], fmt.Sprintf("secret-of-call-%d-%d", caller, n), n)
			}
		})
	}
	callers.Wait()
	t.Logf("CHECK 33: %d calls of 2 functions, with a trace of another: %v", 4*calls, t.Failed())
}

// leakCall makes one call that brings a secret in its body and in a header.
func leakCall(t *testing.T, m *runtime.Module, secret string, n int) {
	most, end := 10*time.Second, "-"
	switch {
	case n%500 == 250:
		most, end = 5*time.Millisecond, "l"
	case n%50 == 20:
		end = "t"
	case n%50 == 40:
		end = "e"
	}
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	req, r := request(end+strings.Repeat(secret, 100)), &recorder{status: http.StatusOK}
	req.Header, req.Path = headers{{"X-Secret", secret}}, []byte("/"+secret)
	err := m.Invoke(ctx, req, r)
	if failed := err != nil; failed != (end != "-") {
		t.Errorf("call %d (%s): %v", n, end, err)
	}
	// What was written before a failure is seen here all the same.
	if r.body.String() != "0" && end != "l" {
		t.Errorf("call %d (%s) found traces of others: %q", n, end, r.body.String())
	}
}
