package runtime_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
)

// TestAGuestReachesNothingButWhatItWasGiven compares what a probe of every descriptor, path, socket, variable and clock was granted with
// the list of what a function has.
func TestAGuestReachesNothingButWhatItWasGiven(t *testing.T) {
	t.Setenv("HOST_ONLY", "must not be seen")
	e := newEngine(t, runtime.Config{})
	other := load(t, e, hostile(t, "reach"), runtime.Spec{Key: backends.Key{Namespace: "openfaas-fn", Name: "other"},
		Secrets: map[string][]byte{"other": []byte("of another function")}, Env: map[string]string{"OTHERS": "x"}})
	if _, err := invoke(t, other, request("")); err != nil {
		t.Fatal(err)
	}
	const below = " /var/openfaas/secrets"
	for name, c := range map[string]struct {
		spec runtime.Spec
		want []string
	}{
		"a function with nothing": {runtime.Spec{Args: []string{"reach"}}, []string{
			"descriptor 0 of type 0", "descriptor 1 of type 0", "descriptor 2 of type 0", "argument reach", "clock 0", "clock 1",
		}},
		"a function with a secret and a variable": {runtime.Spec{Args: []string{"reach", "-v"}, Env: map[string]string{"MINE": "1"},
			Secrets: map[string][]byte{"token": []byte("mine")}}, []string{
			"descriptor 0 of type 0", "descriptor 1 of type 0", "descriptor 2 of type 0", "descriptor 3 of type 3", "directory 3:" + below,
			"open 3 .", "open 3 ./", "open 3" + below, "read 3 token: mine", "read 3 ./token: mine", "read 3 .//token: mine",
			"read 3" + below + "/token: mine", "stat 3 token: 4 bytes", "stat 3 ./token: 4 bytes", "stat 3 .//token: 4 bytes",
			"stat 3" + below + "/token: 4 bytes", "entry .", "entry ..", "entry token",
			"argument reach", "argument -v", "variable MINE=1", "clock 0", "clock 1",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := load(t, e, hostile(t, "reach"), c.spec)
			randoms := map[string]bool{}
			for call := range 3 {
				r, err := invoke(t, m, request(""))
				if err != nil {
					t.Fatal(err)
				}
				granted := slices.DeleteFunc(strings.Split(strings.TrimSuffix(r.body.String(), "\n"), "\n"), func(line string) bool {
					random, ok := strings.CutPrefix(line, "random ")
					if ok && randoms[random] {
						t.Errorf("call %d got the random bytes of an earlier one: %s", call, random)
					}
					randoms[random] = true
					return ok || strings.HasPrefix(line, "variable Http_") || strings.HasPrefix(line, "variable X_") // the request's own
				})
				for _, line := range granted {
					if !slices.Contains(c.want, line) {
						t.Errorf("call %d was granted %q", call, line)
					}
				}
				for _, line := range c.want {
					if !slices.Contains(granted, line) {
						t.Errorf("call %d was not granted %q", call, line)
					}
				}
			}
		})
	}
}

// misuse calls every host function with numbers that a seed chooses.
func misuse(tb testing.TB, m *runtime.Module, seed uint64) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	err := m.Invoke(ctx, request(string(binary.LittleEndian.AppendUint64(nil, seed))), &recorder{})
	if err == nil {
		return
	}
	known := false
	for _, kind := range []error{backends.ErrFunction, backends.ErrDeadline, backends.ErrTooLarge} {
		known = known || errors.Is(err, kind)
	}
	if !known || strings.Contains(err.Error(), "recovered") || strings.Contains(err.Error(), "runtime error") {
		tb.Errorf("seed %d: %v", seed, err)
	}
}

func misusable(tb testing.TB) (*runtime.Engine, *runtime.Module) {
	e := newEngine(tb, runtime.Config{})
	return e, load(tb, e, hostile(tb, "misuse"), runtime.Spec{Secrets: map[string][]byte{"token": []byte("mine")}, Log: func([]byte) {}})
}

func TestMisuseOfTheHostFailsTheCallAtMost(t *testing.T) {
	e, m := misusable(t)
	seeds := 20
	if n, err := strconv.Atoi(os.Getenv("CHECK_SCALE")); err == nil && n > 0 {
		seeds *= n
	}
	for seed := range seeds {
		misuse(t, m, uint64(seed))
	}
	answersAgain(t, e)
}

func FuzzMisuse(f *testing.F) {
	_, m := misusable(f)
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { misuse(t, m, seed) })
}

func TestReadingPastTheEndOfTheRequestIsStoppedToo(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), hostile(t, "read-end"), runtime.Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := m.Invoke(ctx, request("body"), &recorder{}); !errors.Is(err, backends.ErrDeadline) {
		t.Errorf("got %v, want ErrDeadline", err)
	}
}

func TestHeadersWithoutEndAreCutOff(t *testing.T) {
	m := load(t, newEngine(t, runtime.Config{}), hostile(t, "flood-header"), runtime.Spec{CGI: true})
	if r, err := invoke(t, m, request("")); !errors.Is(err, backends.ErrFunction) || !strings.Contains(err.Error(), "header block") || len(r.header) > 0 {
		t.Errorf("got %v and %d lines, want ErrFunction about the header block", err, len(r.header))
	}
}

func TestTailCallsAreRefusedByName(t *testing.T) {
	if err := runtime.Check(hostile(t, "loop-tail")); !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), "tail calls") {
		t.Errorf("got %v, want ErrInvalid about tail calls", err)
	}
}
