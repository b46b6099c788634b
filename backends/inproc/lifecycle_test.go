package inproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/backends"
	"hearth/backends/backendtest"
	"hearth/backends/local"
	"hearth/runtime"
)

// fakeEngine loads modules that answer with what they were loaded with. It
// can hold loads up, fail them, and knows what is open.
type fakeEngine struct {
	mu    sync.Mutex
	loads int
	open  int
	hold  chan struct{} // loads wait until it is closed; nil = they do not
	begun chan struct{} // gets a token for each load that is held up
	fail  error

	compiled map[string]bool // nil = not known
}

func (e *fakeEngine) Check([]byte) error { return nil }

func (e *fakeEngine) Compile(_ context.Context, wasm []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.compiled != nil {
		e.compiled[digestOf(wasm)] = true
	}
	return nil
}

func (e *fakeEngine) Compiled() map[string]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.compiled)
}

func (e *fakeEngine) Retain(func(string) bool) (int64, error) { return 0, nil }

func (e *fakeEngine) Load(ctx context.Context, _ []byte, spec runtime.Spec) (module, error) {
	e.mu.Lock()
	hold, fail := e.hold, e.fail
	e.mu.Unlock()
	if spec.Log == nil { // a trial
		return &fakeModule{engine: e, trial: true}, nil
	}
	if hold != nil {
		e.begun <- struct{}{}
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.loads++
	if fail != nil {
		return nil, fail
	}
	e.open++
	return &fakeModule{engine: e, text: spec.Env["version"]}, nil
}

func (e *fakeEngine) set(hold chan struct{}, fail error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hold, e.fail = hold, fail
}

func (e *fakeEngine) counts() (loads, open int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.loads, e.open
}

type fakeModule struct {
	engine *fakeEngine
	text   string
	trial  bool
	calls  sync.RWMutex
	closed bool
}

func (m *fakeModule) Invoke(_ context.Context, _ *backends.Request, resp backends.Response) error {
	m.calls.RLock()
	defer m.calls.RUnlock()
	if m.closed {
		return backends.Errorf(backends.ErrGone, "closed")
	}
	_, err := resp.Write([]byte(m.text))
	return err
}

func (m *fakeModule) Stats() runtime.Stats { return runtime.Stats{} }

func (m *fakeModule) Close() error {
	m.calls.Lock()
	defer m.calls.Unlock()
	if !m.closed && !m.trial {
		m.engine.mu.Lock()
		m.engine.open--
		m.engine.mu.Unlock()
	}
	m.closed = true
	return nil
}

// startFake opens a node whose engine is e.
func startFake(t *testing.T, e *fakeEngine) *node {
	t.Helper()
	e.begun = make(chan struct{}, 100)
	l, err := local.Open(local.Config{Dir: t.TempDir(), Logger: quiet()})
	must(t, err)
	h, err := open(t.Context(), Config{Dir: t.TempDir(), Logger: quiet()}, e)
	must(t, err)
	n := &node{Backend: h.Backend(l), host: h, table: backendtest.NewRecorder()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); n.Watch(ctx, n.table) }()
	n.table.Wait(10*time.Second, func(map[backends.Key]backends.Entry) bool { return true })
	t.Cleanup(func() {
		cancel()
		<-ended
		if err := errors.Join(h.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if _, open := e.counts(); open != 0 {
			t.Errorf("%d modules are still open", open)
		}
	})
	return n
}

func version(v string) backends.Function {
	f := fn("fn", "store/hello")
	f.Env = map[string]string{"version": v}
	return f
}

func TestOldVersionAnswersUntilTheNewOneIsReady(t *testing.T) {
	e := &fakeEngine{}
	n := startFake(t, e)
	must(t, n.Deploy(t.Context(), version("old")))
	if got := n.call(t, "fn", ""); got != "old" {
		t.Errorf("answered %q", got)
	}
	hold := make(chan struct{})
	e.set(hold, nil)
	updated := make(chan error)
	go func() { updated <- n.Update(t.Context(), version("new")) }()
	<-e.begun
	if got := n.call(t, "fn", ""); got != "old" || n.entry("fn").Status.Available != 1 {
		t.Errorf("while the new one loads: answered %q, status %+v", got, n.entry("fn").Status)
	}
	close(hold)
	must(t, <-updated)
	if got := n.call(t, "fn", ""); got != "new" {
		t.Errorf("after the update answered %q", got)
	}
}

func TestVersionThatCannotBeLoadedLeavesTheOldOneAnswering(t *testing.T) {
	e := &fakeEngine{}
	n := startFake(t, e)
	must(t, n.Deploy(t.Context(), version("old")))
	n.call(t, "fn", "")
	e.set(nil, errors.New("no memory"))
	must(t, n.Update(t.Context(), version("bad")))
	if got := n.call(t, "fn", ""); got != "old" {
		t.Errorf("answered %q", got)
	}
	if s := n.entry("fn").Status; s.Available != 1 || !strings.Contains(s.Problem, "no memory") {
		t.Errorf("the entry is %+v", s)
	}
	e.set(nil, nil)
	must(t, n.Update(t.Context(), version("good")))
	if got := n.call(t, "fn", ""); got != "good" || n.entry("fn").Status.Problem != "" {
		t.Errorf("answered %q, problem %q", got, n.entry("fn").Status.Problem)
	}
}

func TestFirstCallsShareOneLoadAndEachKeepsItsOwnTime(t *testing.T) {
	e := &fakeEngine{}
	n := startFake(t, e)
	must(t, n.Deploy(t.Context(), version("one")))
	must(t, n.Scale(t.Context(), version("").Key, 0))
	hold := make(chan struct{})
	e.set(hold, nil)
	h := n.entry("fn").Handler
	var patient sync.WaitGroup
	for range 50 {
		patient.Go(func() {
			if got, err := invoke(t.Context(), h, ""); got != "one" || err != nil {
				t.Errorf("answered %q, %v", got, err)
			}
		})
	}
	<-e.begun
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := invoke(gone, h, ""); !errors.Is(err, backends.ErrCanceled) {
		t.Errorf("a client that left got %v", err)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := invoke(late, h, ""); !errors.Is(err, backends.ErrUnavailable) {
		t.Errorf("a call out of time got %v", err)
	}
	close(hold)
	patient.Wait()
	if loads, _ := e.counts(); loads != 2 { // one when it was deployed
		t.Errorf("%d loads", loads)
	}
}

func TestLoadThatFailedIsNotRepeatedAtOnce(t *testing.T) {
	e := &fakeEngine{}
	n := startFake(t, e)
	must(t, n.Deploy(t.Context(), version("one")))
	must(t, n.Scale(t.Context(), version("").Key, 0))
	e.set(nil, errors.New("broken"))
	h := n.entry("fn").Handler
	for range 50 {
		if _, err := invoke(t.Context(), h, ""); !errors.Is(err, backends.ErrUnavailable) || !strings.Contains(err.Error(), "broken") {
			t.Fatalf("the call gave %v", err)
		}
	}
	if loads, _ := e.counts(); loads > 10 {
		t.Errorf("%d loads for 50 calls", loads)
	}
	if s, err := n.Get(t.Context(), version("").Key); err != nil || s.Available != 0 || s.Problem != "broken" {
		t.Errorf("the status is %+v, %v", s, err)
	}
	e.set(nil, nil)
	retry := n.entry("fn").Handler.(*function).backoff
	for range 100 {
		if got, err := invoke(t.Context(), h, ""); err == nil && got == "one" {
			return
		}
		time.Sleep(retry / 10) // the retry's time must pass
	}
	t.Error("it never came back")
}

func TestFunctionRemovedWhileItLoadsIsGone(t *testing.T) {
	e := &fakeEngine{}
	n := startFake(t, e)
	must(t, n.Deploy(t.Context(), version("one")))
	must(t, n.Scale(t.Context(), version("").Key, 0))
	hold := make(chan struct{})
	e.set(hold, nil)
	h := n.entry("fn").Handler
	called := make(chan error)
	go func() { _, err := invoke(t.Context(), h, ""); called <- err }()
	<-e.begun
	must(t, n.Delete(t.Context(), version("").Key))
	close(hold)
	if err := <-called; !errors.Is(err, backends.ErrGone) {
		t.Errorf("the call gave %v", err)
	}
	must(t, n.Deploy(t.Context(), version("two")))
	if got := n.call(t, "fn", ""); got != "two" {
		t.Errorf("answered %q", got)
	}
}

func TestIdleFunctionIsParkedAndComesBack(t *testing.T) {
	e := &fakeEngine{}
	n := startFake(t, e)
	must(t, n.Deploy(t.Context(), version("one")))
	n.call(t, "fn", "")
	f := n.entry("fn").Handler.(*function)
	b := n.Backend.(*hosted)
	for range idleRounds + 1 {
		if f.current.Load() == nil {
			t.Fatal("parked too early")
		}
		b.parkIdle()
	}
	if f.current.Load() != nil {
		t.Error("not parked")
	}
	if got := n.call(t, "fn", ""); got != "one" || n.entry("fn").Status.Available != 1 {
		t.Errorf("answered %q", got)
	}
}

func TestEveryVersionThatIsReplacedIsClosed(t *testing.T) {
	e := &fakeEngine{}
	n := startFake(t, e)
	must(t, n.Deploy(t.Context(), version("0")))
	n.call(t, "fn", "")
	for i := range 50 {
		v := strconv.Itoa(i)
		must(t, n.Update(t.Context(), version(v)))
		if got := n.call(t, "fn", ""); got != v {
			t.Fatalf("after update %s answered %q", v, got)
		}
	}
}

// scaled multiplies a count by CHECK_SCALE, 1 if it is not set.
func scaled(n int) int {
	scale, err := strconv.ParseFloat(os.Getenv("CHECK_SCALE"), 64)
	if err != nil || scale <= 0 {
		scale = 1
	}
	return max(1, int(float64(n)*scale))
}

// TestNoCallFailsWhileVersionsChange calls a function from eight goroutines
// while it is updated, scaled to zero and back, and its secret is changed.
func TestNoCallFailsWhileVersionsChange(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	ctx := t.Context()
	secrets := n.Powers().Secrets
	must(t, secrets.Create(ctx, backends.Secret{Namespace: backends.DefaultNamespace, Name: "key", Value: []byte("s")}))
	f := fn("fn", "store/cat")
	f.Secrets = []string{"key"}
	must(t, n.Deploy(ctx, f))
	h := n.entry("fn").Handler
	var stop atomic.Bool
	var calls atomic.Int64
	var callers sync.WaitGroup
	for c := range 8 {
		callers.Go(func() {
			body := fmt.Sprint("caller ", c)
			for !stop.Load() {
				if got, err := invoke(context.Background(), h, body); err != nil || got != body {
					t.Errorf("answered %q, %v", got, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for i := range scaled(40) {
		switch i % 4 {
		case 0, 1:
			f.Env = map[string]string{"i": strconv.Itoa(i)}
			must(t, n.Update(ctx, f))
		case 2:
			must(t, n.Scale(ctx, f.Key, i%8/4))
		case 3:
			must(t, secrets.Update(ctx, backends.Secret{Namespace: backends.DefaultNamespace, Name: "key", Value: []byte(strconv.Itoa(i))}))
		}
	}
	stop.Store(true)
	callers.Wait()
	t.Logf("%d calls, 0 failed", calls.Load())
}

// TestLifecycleHammer deploys, updates, deletes, scales and calls the same ten
// functions from 64 goroutines; a call may only find the function absent.
func TestLifecycleHammer(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	images := []string{"store/cat", "store/echo", "functions/alpine"}
	allowed := []error{backends.ErrNotFound, backends.ErrExists, backends.ErrGone}
	var before footprint
	rounds := scaled(4)
	for round := range 2 + scaled(1) {
		var workers sync.WaitGroup
		for w := range 64 {
			workers.Go(func() {
				random := rand.New(rand.NewPCG(uint64(w), uint64(round)))
				for range rounds {
					f := fn("fn"+strconv.Itoa(random.IntN(10)), images[random.IntN(len(images))])
					f.Process = "cat"
					var err error
					switch random.IntN(8) {
					case 0:
						err = n.Deploy(t.Context(), f)
					case 1:
						err = n.Update(t.Context(), f)
					case 2:
						err = n.Delete(t.Context(), f.Key)
					case 3:
						err = n.Scale(t.Context(), f.Key, random.IntN(2))
					default:
						if h := n.entry(f.Name).Handler; h != nil {
							_, err = invoke(t.Context(), h, "x")
						}
					}
					if err != nil && !slices.ContainsFunc(allowed, func(k error) bool { return errors.Is(err, k) }) {
						t.Errorf("%v", err)
					}
				}
			})
		}
		workers.Wait()
		for i := range 10 {
			if err := n.Delete(t.Context(), fn("fn"+strconv.Itoa(i), "").Key); err != nil && !errors.Is(err, backends.ErrNotFound) {
				t.Error(err)
			}
		}
		now := footprintNow(before)
		if round > 1 && (now.goroutines > before.goroutines+4 || now.mappings > before.mappings+20 || now.heap > before.heap*11/10+2<<20) {
			t.Errorf("left behind: %+v after a round, %+v after the next", before, now)
		}
		before = now
	}
}

// footprint is what a process holds.
type footprint struct {
	goroutines, mappings int
	heap                 uint64 // bytes in use after a collection
}

// footprintNow measures once the goroutines that free modules have ended.
func footprintNow(before footprint) footprint {
	for i := 0; i < 100 && goruntime.NumGoroutine() > before.goroutines; i++ {
		time.Sleep(5 * time.Millisecond) // there is no event for the end of a goroutine of the engine
	}
	goruntime.GC()
	goruntime.GC() // empties what pools keep for one collection
	var mem goruntime.MemStats
	goruntime.ReadMemStats(&mem)
	maps, _ := os.ReadFile("/proc/self/maps")
	return footprint{goruntime.NumGoroutine(), bytes.Count(maps, []byte{'\n'}), mem.HeapAlloc}
}

func TestStartLoadsNothing(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, nil)
	const functions = 30
	for i := range functions {
		must(t, n.Deploy(t.Context(), fn("fn"+strconv.Itoa(i), "store/cat")))
	}
	n.stop()
	n = startNode(t, dir, nil)
	for key, e := range n.table.Entries() {
		if e.Status.Available != 1 || e.Handler == nil {
			t.Errorf("%s: %+v", key, e.Status)
		}
	}
	n.call(t, "fn7", "x")
	if loads := n.host.counters.loads.Load(); len(n.table.Entries()) != functions || loads != 1 {
		t.Errorf("%d functions; %d loads for one call", len(n.table.Entries()), loads)
	}
}

func TestWarmCallAllocatesNothingOfOurs(t *testing.T) {
	n := startFake(t, &fakeEngine{})
	must(t, n.Deploy(t.Context(), version("")))
	h := n.entry("fn").Handler
	req, resp := &backends.Request{Header: noHeader{}}, &answer{}
	if allocs := testing.AllocsPerRun(100, func() {
		if err := h.Invoke(context.Background(), req, resp); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestCodeOfAnotherEngineIsMadeAnewAtStart(t *testing.T) {
	e := &fakeEngine{compiled: map[string]bool{}}
	n := startFake(t, e)
	must(t, n.Deploy(t.Context(), fn("cat", "store/cat")))
	must(t, n.Deploy(t.Context(), fn("json", "store/json")))
	want := e.Compiled()
	if len(want) != 2 {
		t.Fatalf("compiled are %v", want)
	}
	e.mu.Lock()
	clear(e.compiled) // as after an upgrade
	e.mu.Unlock()
	h, err := open(t.Context(), Config{Dir: n.host.cfg.Dir, Logger: quiet()}, e)
	must(t, err)
	again := &node{Backend: h.Backend(n.Backend.(*hosted).inner), host: h, table: backendtest.NewRecorder()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); again.Watch(ctx, again.table) }()
	again.table.Wait(10*time.Second, func(map[backends.Key]backends.Entry) bool { return true })
	for end := time.Now().Add(10 * time.Second); len(e.Compiled()) < 2 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // it happens beside everything else and says nothing
	}
	if got := e.Compiled(); !maps.Equal(got, want) {
		t.Errorf("compiled are %v, want %v", got, want)
	}
	cancel()
	<-ended
	must(t, h.Close())
}
