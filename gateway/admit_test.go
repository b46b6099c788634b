package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/backends"
)

func TestMain(m *testing.M) {
	// fasthttp keeps the time for Date headers as long as the process lives,
	// and a closed server's cleaner of idle workers sleeps out its 10 s.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// policy sets keys of a function.
func policy(pairs ...string) func(*backends.Entry) {
	return func(e *backends.Entry) {
		e.Status.Annotations = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			e.Status.Annotations[pairs[i]] = pairs[i+1]
		}
	}
}

func TestAFunctionRunsAsManyCallsAsItSaysAndRefusesWhatItsQueueCannotHold(t *testing.T) {
	g, url := serve(t, testConfig())
	var running, most atomic.Int64
	release := make(chan struct{})
	slow := handlerFunc(func(context.Context, *backends.Request, backends.Response) error {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-release
		running.Add(-1)
		return nil
	})
	key := setFunction(g, "slow", slow, policy(backends.KeyMaxInflight, "2", backends.KeyMaxQueue, "3"))
	codes := make(chan int, 10)
	for range 10 {
		go func() {
			resp, err := http.Get(url + "/function/slow")
			if err != nil {
				codes <- 0
				return
			}
			resp.Body.Close()
			codes <- resp.StatusCode
		}()
	}
	got := map[int]int{}
	for range 5 { // 2 run, 3 wait, the others are answered at once
		got[<-codes]++
	}
	close(release)
	for range 5 {
		got[<-codes]++
	}
	if got[200] != 5 || got[429] != 5 || most.Load() != 2 {
		t.Errorf("got %v with %d at once, want 5 times 200 and 5 times 429 with 2 at once", got, most.Load())
	}
	if r := g.table.lookup([]byte(key.Name)); r.gate.running.Load() != 0 || r.gate.queued.Load() != 0 || r.inflight.Load() != 0 {
		t.Error("something is left in the gate")
	}
}

func TestACallThatWaitsForItsTurnTooLongIsToldWhichLimitItMet(t *testing.T) {
	g, url := serve(t, testConfig())
	setFunction(g, "slow", handlerFunc(func(ctx context.Context, _ *backends.Request, _ backends.Response) error {
		<-ctx.Done()
		return backends.ErrDeadline
	}), policy(backends.KeyMaxInflight, "1", backends.KeyTimeout, "100ms"))
	var wg sync.WaitGroup
	var codes [2]atomic.Int64
	for range 2 {
		wg.Go(func() {
			resp, text := do(t, "GET", url+"/function/slow", nil)
			switch {
			case resp.StatusCode == 504 && contains(text, "100ms", backends.KeyTimeout):
				codes[0].Add(1)
			case resp.StatusCode == 429 && contains(text, "100ms", backends.KeyMaxInflight) && resp.Header.Get("Retry-After") == "1":
				codes[1].Add(1)
			case resp.StatusCode != 200:
				t.Errorf("got %d %q", resp.StatusCode, text)
			}
		})
	}
	wg.Wait()
	if codes[0].Load() == 0 {
		t.Error("no call was told that the function's limit was met")
	}
}

func TestManyCallsThroughOneGateLeaveItEmpty(t *testing.T) {
	var g gate
	g.setLimit(3)
	var running atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range 300 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(200))*time.Microsecond)
				if err := g.enter(ctx, 20); err == nil {
					if n := running.Add(1); n > 5 {
						t.Errorf("%d run at once", n)
					}
					if r.IntN(50) == 0 {
						g.setLimit(1 + r.IntN(5))
					}
					running.Add(-1)
					g.leave()
				} else if !errors.Is(err, backends.ErrBusy) {
					t.Errorf("got %v", err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if g.running.Load() != 0 || g.queued.Load() != 0 || g.first != nil || g.last != nil {
		t.Errorf("left: running %d, queued %d", g.running.Load(), g.queued.Load())
	}
}

func TestRaisingALimitLetsThoseWhoWaitRun(t *testing.T) {
	var g gate
	g.setLimit(1)
	if err := g.enter(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	entered := make(chan error)
	go func() { entered <- g.enter(t.Context(), 1) }()
	for g.queued.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	g.setLimit(0)
	if err := <-entered; err != nil {
		t.Error(err)
	}
}

func TestAFunctionUnderFourTimesItsLoadStillAnswersAsManyAsItCan(t *testing.T) {
	g, url := serve(t, testConfig())
	const each = 5 * time.Millisecond
	setFunction(g, "f", handlerFunc(func(context.Context, *backends.Request, backends.Response) error {
		time.Sleep(each)
		return nil
	}), policy(backends.KeyMaxInflight, "4", backends.KeyMaxQueue, "8"))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	var ok, refused atomic.Int64
	for range 48 { // 4 run, 8 wait, the others are refused and come again
		wg.Go(func() {
			for ok.Load() < 400 {
				resp, err := client.Get(url + "/function/f")
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				switch resp.StatusCode {
				case 200:
					ok.Add(1)
				case 429:
					refused.Add(1)
					time.Sleep(each)
				default:
					t.Errorf("got %d", resp.StatusCode)
				}
			}
		})
	}
	start := time.Now()
	wg.Wait()
	t.Logf("%d answers in %s, at best %s; %d refused", ok.Load(), time.Since(start), each*time.Duration(ok.Load())/4, refused.Load())
	r := g.table.lookup([]byte("f"))
	if refused.Load() == 0 || r.gate.running.Load() != 0 || r.gate.queued.Load() != 0 {
		t.Errorf("%d refused, %d in the gate", refused.Load(), r.gate.running.Load()+r.gate.queued.Load())
	}
}
