package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hearth/backends"
)

// Limits of a proof: a function that takes longer is not worth freezing early.
const (
	proofCall  = 500 * time.Millisecond
	proofTotal = 10 * time.Second
	proofRuns  = 2 // of the same request
)

// proof compares calls of a program that was frozen early with calls that run it from its start. Where two runs from the start agree, the
// resumed ones must give the same answer; where they do not, the answer tells the time or a random number, and resumed ones must not agree
// either.
type proof struct {
	m       *Module
	resumed *worker
	image   *image
}

// prove lets later calls resume the program early, if that is seen to make no difference. It is one of the module's background tasks.
func (m *Module) prove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, proofTotal)
	defer cancel()
	p := &proof{m: m}
	err := p.run(ctx)
	m.remember(err)
	if err != nil {
		p.abandon()
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			m.engine.log.Info("the program is not frozen after its start", "function", m.spec.Key.String(), "reason", err)
		}
		return
	}
	m.pool.mu.Lock()
	idle := m.pool.idle
	m.pool.idle, m.pool.early = nil, runtimes
	m.pool.retire(p.image)
	m.pool.mu.Unlock()
	for _, w := range idle {
		m.discard(w)
	}
	p.resumed.since = time.Now()
	m.give(p.resumed)
}

// verdict is what a proof came to, as it is kept between runs.
type verdict struct {
	Engine string // what it may depend on besides the function
	Module string // sha256:HEX of the module
	Differ string // how answers differ; empty: they do not
}

// errDiffers is of the proofs that need not be tried again.
var errDiffers = errors.New("it answers differently")

// proofPath is where the verdict on this function is kept; empty: nowhere.
func (m *Module) proofPath() string {
	c := m.engine.compiler
	if c == nil {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%x %q %q %v", m.code.digest, m.args.bytes, m.env.bytes, m.spec.CGI)
	return filepath.Join(c.dir, "proofs", hex.EncodeToString(h.Sum(nil)))
}

// remembered gives the verdict of an earlier proof.
func (m *Module) remembered() (v verdict, ok bool) {
	path := m.proofPath()
	if path == "" {
		return v, false
	}
	text, err := os.ReadFile(path)
	ok = err == nil && json.Unmarshal(text, &v) == nil && v.Engine == m.engine.compiler.engine && v.Module == moduleName(m.code.digest)
	return v, ok
}

// remember keeps the verdict. That a program was not fast enough is none: the machine may have been busy.
func (m *Module) remember(err error) {
	path := m.proofPath()
	if path == "" || err != nil && !errors.Is(err, errDiffers) {
		return
	}
	v := verdict{Engine: m.engine.compiler.engine, Module: moduleName(m.code.digest)}
	if err != nil {
		v.Differ = err.Error()
	}
	m.engine.compiler.mu.Lock()
	defer m.engine.compiler.mu.Unlock()
	if err := writeNote(path, v); err != nil {
		m.engine.log.Warn("a proof will have to be repeated", "function", m.spec.Key.String(), "error", err)
	}
}

func (p *proof) abandon() {
	if p.resumed != nil && p.resumed.instance != nil {
		p.m.discard(p.resumed)
	}
	if p.image != nil {
		p.image.close()
	}
}

// run compares every request; nil if there is no difference.
func (p *proof) run(ctx context.Context) error {
	for _, req := range proofRequests() {
		var fresh, resumed [proofRuns]string
		for i := range proofRuns {
			var err error
			if fresh[i], err = p.fromStart(ctx, req); err != nil {
				return err
			}
			if resumed[i], err = p.resume(ctx, req); err != nil {
				return err
			}
		}
		if fresh[0] == fresh[1] && (resumed[0] != fresh[0] || resumed[1] != fresh[0]) {
			return fmt.Errorf("%w: %s, from its start %s", errDiffers, excerpt(resumed[0]), excerpt(fresh[0]))
		}
		if fresh[0] != fresh[1] && resumed[0] == resumed[1] {
			return fmt.Errorf("%w: %s again and again, from its start something else each time", errDiffers, excerpt(resumed[0]))
		}
	}
	return nil
}

func excerpt(s string) string { return fmt.Sprintf("%.80q", s) }

// fromStart calls the program in an instance of its own.
func (p *proof) fromStart(ctx context.Context, req *backends.Request) (string, error) {
	w := &worker{}
	return p.call(ctx, w, req, func() error {
		if err := p.m.instantiate(w); err != nil {
			return err
		}
		w.unfit = true
		return nil
	})
}

// resume calls the program where it was frozen.
func (p *proof) resume(ctx context.Context, req *backends.Request) (string, error) {
	if p.resumed != nil {
		return p.call(ctx, p.resumed, req, func() error { return nil })
	}
	w := &worker{}
	p.resumed = w
	return p.call(ctx, w, req, func() error {
		err := p.m.instantiate(w)
		if err == nil {
			err = w.freeze(p.m, runtimes)
		}
		if err == nil {
			p.image, err = captureImage(w.mod, traitsOf(&p.m.code.facts))
		}
		if err == nil {
			err = w.adopt(p.image)
		}
		return err
	})
}

// call answers a request in a worker that ready makes ready, and gives the whole answer as text.
func (p *proof) call(ctx context.Context, w *worker, req *backends.Request, ready func() error) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, proofCall)
	defer cancel()
	if !p.m.engine.slots.acquire(ctx, &p.m.lane, false) {
		return "", ctx.Err()
	}
	var answer transcript
	c := &w.call
	c.begin(ctx, p.m, req, &answer)
	c.log.begin(nil)
	c.slot, c.running = true, time.Now()
	c.admitted = c.running
	err := ready()
	if err == nil {
		if err = w.enter(); err != nil {
			answer.printf("error %v", err)
		}
		err = ctx.Err()
	}
	c.leave()
	c.end()
	if w.instance != nil && w.unfit {
		p.m.discard(w)
		w.instance = nil
		if w == p.resumed && err == nil {
			err = errors.New("an instance was spoilt")
		}
	} else if err == nil {
		err = w.restore(p.m.engine.restorer)
	}
	return answer.String(), err
}

// proofRequests are bodies that programs treat differently, each in two environments.
func proofRequests() []*backends.Request {
	var all []*backends.Request
	for _, body := range [][]byte{nil, []byte("1"), bytes.Repeat([]byte("0123456789abcdef\n"), 65536/17+1), {0xff, 0xfe, 0x00, 0x80}} {
		all = append(all,
			&backends.Request{CallID: []byte("proof-1"), Method: []byte("POST"), Path: []byte("/"), Host: []byte("localhost"),
				RemoteAddr: []byte("127.0.0.1:1"), Header: headerLines{{"Content-Type", "text/plain"}}, Body: body},
			&backends.Request{CallID: []byte("proof-2"), Method: []byte("PUT"), Path: []byte("/a/b"), Query: []byte("c=d"), Host: []byte("example.org"),
				RemoteAddr: []byte("127.0.0.2:2"), Header: headerLines{{"Accept", "*/*"}, {"Authorization", "Basic eDp5"}}, Body: body})
	}
	return all
}

// headerLines is a backends.Header.
type headerLines [][2]string

func (h headerLines) Get(name string) []byte {
	for _, line := range h {
		if line[0] == name {
			return []byte(line[1])
		}
	}
	return nil
}

func (h headerLines) Visit(yield func(name, value []byte) bool) {
	for _, line := range h {
		if !yield([]byte(line[0]), []byte(line[1])) {
			return
		}
	}
}

// transcript is a backends.Response that writes down all it is told.
type transcript struct{ strings.Builder }

func (t *transcript) printf(format string, args ...any) { fmt.Fprintf(t, format, args...) }

func (t *transcript) SetStatus(code int)           { t.printf("status %d\n", code) }
func (t *transcript) SetHeader(name, value []byte) { t.printf("set %q: %q\n", name, value) }
func (t *transcript) AddHeader(name, value []byte) { t.printf("add %q: %q\n", name, value) }
func (t *transcript) Write(p []byte) (int, error)  { return t.Builder.Write(p) }
