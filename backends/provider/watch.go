package provider

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"sync"
	"time"

	"hearth/backends"
)

// watch is one table that is fed.
type watch struct {
	table backends.Table

	mu    sync.Mutex // one change of the table at a time
	known map[backends.Key]backends.Status
	gen   map[backends.Key]int64
	stale bool
}

// Watch polls with jitter. While the provider is away the table keeps what was
// known, marked stale.
func (p *Provider) Watch(ctx context.Context, t backends.Table) error {
	w := &watch{table: t, gen: map[backends.Key]int64{}}
	p.mu.Lock()
	p.watches[w] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.watches, w)
		p.mu.Unlock()
	}()
	for {
		if list, err := p.List(ctx, ""); err == nil {
			w.replace(p, list)
		} else if ctx.Err() == nil {
			w.lost(p, err)
		}
		pause := p.cfg.Poll + time.Duration(rand.Int64N(int64(p.cfg.Poll)/4+1))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// refresh has every watch see one function as it is now, so that a change is
// in the table before the call that made it returns.
func (p *Provider) refresh(ctx context.Context, key backends.Key) {
	status, err := p.Get(ctx, key)
	if err != nil && !errors.Is(err, backends.ErrNotFound) {
		return // the next poll sees it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.watches {
		if err != nil {
			w.remove(key)
		} else {
			w.set(p, status)
		}
	}
}

func (w *watch) replace(p *Provider, list []backends.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stale {
		p.cfg.Logger.Info("the provider answers again")
	}
	known := make(map[backends.Key]backends.Status, len(list))
	entries := make([]backends.Entry, 0, len(list))
	changed := w.known == nil || w.stale || len(list) != len(w.known)
	for _, status := range list {
		e := w.entry(p, status)
		old, ok := w.known[status.Key]
		changed = changed || !ok || !reflect.DeepEqual(old, e.Status)
		known[status.Key] = e.Status
		entries = append(entries, e)
	}
	w.known, w.stale = known, false
	if changed {
		w.table.Replace(entries)
	}
}

func (w *watch) set(p *Provider, status backends.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil {
		return // nothing was listed yet: Replace comes first
	}
	e := w.entry(p, status)
	w.known[status.Key] = e.Status
	w.table.Set(e)
}

func (w *watch) remove(key backends.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.known, key)
	if w.known != nil {
		w.table.Delete(key)
	}
}

// lost marks what is known as stale.
func (w *watch) lost(p *Provider, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stale || w.known == nil {
		if !w.stale {
			p.cfg.Logger.Warn("the provider's functions cannot be listed", "error", err)
		}
		w.stale = true
		return
	}
	w.stale = true
	p.cfg.Logger.Warn("the provider is away; its functions are routed as they were known", "error", err)
	for _, status := range w.known {
		e := w.entry(p, status)
		e.Stale = true
		w.table.Set(e)
	}
}

// entry makes a function's entry; its generation grows when it changes, which
// a provider does not tell.
func (w *watch) entry(p *Provider, status backends.Status) backends.Entry {
	if old, ok := w.known[status.Key]; !ok || !reflect.DeepEqual(old.Function, status.Function) {
		w.gen[status.Key]++
	}
	status.Generation = w.gen[status.Key]
	e := backends.Entry{Status: status}
	if status.Available > 0 {
		e.Endpoints = []backends.Endpoint{p.endpoint(status.Key)}
	}
	return e
}

// endpoint is the provider's own route to a function.
func (p *Provider) endpoint(key backends.Key) backends.Endpoint {
	u := p.cfg.URL
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return backends.Endpoint{
		Network: "tcp", Addr: net.JoinHostPort(u.Hostname(), port), TLS: u.Scheme == "https",
		Prefix: strings.TrimSuffix(u.Path, "/") + "/function/" + key.String(), Instance: key.String(),
	}
}
