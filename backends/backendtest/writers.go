package backendtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"

	"hearth/backends"
)

const (
	writers = 8
	changes = 40 // of each writer
)

// line is what a writer's ledger holds for one function.
type line struct {
	env      string
	replicas int
}

// writers lets several change functions of their own at once, each keeping a
// ledger of what was acknowledged, and compares the ledgers with the backend
// and with the table that was fed meanwhile.
func (s *suite) writers() {
	r := s.watched(s.Backend)
	ledgers := make([]map[string]line, writers)
	var wait sync.WaitGroup
	for w := range writers {
		ledgers[w] = map[string]line{}
		wait.Go(func() { s.writer(w, ledgers[w]) })
	}
	wait.Wait()
	want := 0
	for _, ledger := range ledgers {
		want += len(ledger)
		for name, l := range ledger {
			got, err := s.Get(s.Context(), key(name))
			if err != nil || got.Replicas != l.replicas || got.Env["n"] != l.env {
				s.Errorf("%s is %v with %d replicas, %v; its writer wrote %+v", name, got.Env, got.Replicas, err, l)
			}
		}
	}
	if got := len(s.all()); got != want {
		s.Errorf("there are %d functions; the writers left %d", got, want)
	}
	s.agrees(r)
}

// writer makes random changes to functions that only it changes.
func (s *suite) writer(w int, ledger map[string]line) {
	random := rand.New(rand.NewPCG(uint64(w), 1))
	for n := range changes {
		name := fmt.Sprintf("w%d-%d", w, random.IntN(5))
		f := s.function(name)
		f.Env["n"] = strconv.Itoa(n)
		l, there := ledger[name]
		var err, want error
		switch random.IntN(4) {
		case 0:
			err = s.Deploy(s.Context(), f)
			if want = backends.ErrExists; !there {
				want, ledger[name] = nil, line{f.Env["n"], 1}
			}
		case 1:
			err = s.Update(s.Context(), f)
			if want = backends.ErrNotFound; there {
				want, ledger[name] = nil, line{f.Env["n"], l.replicas}
			}
		case 2:
			replicas := random.IntN(4)
			err = s.Scale(s.Context(), f.Key, replicas)
			if want = backends.ErrNotFound; there {
				want, ledger[name] = nil, line{l.env, replicas}
			}
		case 3:
			err = s.Delete(s.Context(), f.Key)
			if want = backends.ErrNotFound; there {
				want = nil
				delete(ledger, name)
			}
		}
		if !errors.Is(err, want) {
			s.Errorf("change %d of %s gave %v; want %v", n, name, err, want)
		}
	}
}

// contenders lets several do the same at once.
func (s *suite) contenders() {
	f := s.function("prize")
	s.oneOf("Deploy", backends.ErrExists, func(int) error { return s.Deploy(s.Context(), f) })
	generation := s.get(f.Key).Generation
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			mine := s.function("prize")
			mine.Env["writer"] = strconv.Itoa(w)
			if err := s.Update(s.Context(), mine); err != nil {
				s.Errorf("an update beside others: %v", err)
			}
		})
	}
	wait.Wait()
	if got := s.get(f.Key).Generation; got != generation+writers {
		s.Errorf("generation is %d after %d updates; want %d", got, writers, generation+writers)
	}
	s.oneOf("Delete", backends.ErrNotFound, func(int) error { return s.Delete(s.Context(), f.Key) })
	if p := s.Powers().Secrets; p != nil {
		s.oneOf("create secret", backends.ErrExists, func(w int) error {
			return p.Create(s.Context(), backends.Secret{Namespace: f.Namespace, Name: "prize", Value: []byte{byte(w)}})
		})
	}
}

// oneOf asserts that exactly one of several succeeds and the others get kind.
func (s *suite) oneOf(what string, kind error, do func(w int) error) {
	s.Helper()
	errs := make([]error, writers)
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() { errs[w] = do(w) })
	}
	wait.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			s.kind(what+" beside others", err, kind)
		}
	}
	if won != 1 {
		s.Errorf("%d of %d succeeded with %s; want 1", won, writers, what)
	}
}
