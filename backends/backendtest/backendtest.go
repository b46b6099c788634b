// Package backendtest is the conformance suite of backends.Backend: what every
// backend must do alike, so that the gateway, the scaler and the clients need
// not know which one is there. It uses the Backend interface alone.
//
// The suite says nothing about how many replicas are available, and how soon:
// that is what backends differ in.
package backendtest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"hearth/backends"
)

// Options tell what the suite cannot find out from the backend.
type Options struct {
	// Image is one that the backend accepts; empty means hello.
	Image string
	// Reopen stops the backend and opens another one on the same state; nil
	// if the state does not outlive it.
	Reopen func(t *testing.T, b backends.Backend) backends.Backend
	// Later says that a change reaches the table only some time after the call
	// that made it, because the backend is not the only writer.
	Later bool
}

// patience bounds how long the suite waits for what a backend must do at some
// time. It is far above what any takes.
const patience = 30 * time.Second

// Run checks one kind of backend. open gives a fresh one without functions and
// secrets, and takes care of closing it.
func Run(t *testing.T, open func(t *testing.T) backends.Backend, opts Options) {
	if opts.Image == "" {
		opts.Image = "hello"
	}
	for _, c := range []struct {
		name  string
		needs func(backends.Powers) bool
		run   func(*suite)
	}{
		{"a deployed function is there as it was given", nil, (*suite).deploy},
		{"a deployed function begins with the replicas of its policy", nil, (*suite).deployReplicas},
		{"what cannot be deployed is refused whole", nil, (*suite).deployRefused},
		{"an update replaces a function and keeps its replicas", nil, (*suite).update},
		{"an update that is refused leaves the old function", nil, (*suite).updateRefused},
		{"a deleted function is gone and can be deployed again", nil, (*suite).delete},
		{"scaling is absolute, idempotent and bounded", nil, (*suite).scale},
		{"a list is sorted and of one namespace or of all", nil, (*suite).list},
		{"what callers do to their copies stays with them", nil, (*suite).copies},
		{"no form of a name reaches outside", nil, (*suite).names},
		{"an ended context changes nothing", nil, (*suite).canceled},
		{"a table is replaced first and then follows", nil, (*suite).watch},
		{"every watcher sees the same", nil, (*suite).watchMany},
		{"eight writers lose nothing", nil, (*suite).writers},
		{"of eight that want the same, one gets it", nil, (*suite).contenders},
		{"secrets are stored by namespace and name", hasSecrets, (*suite).secrets},
		{"a function gets only secrets that exist", hasSecrets, (*suite).functionSecrets},
		{"namespaces are made, changed and removed", hasNamespaces, (*suite).namespaces},
		{"a namespace in use cannot be removed", hasNamespaces, (*suite).namespaceInUse},
		{"a restart keeps everything", func(backends.Powers) bool { return opts.Reopen != nil }, (*suite).restart},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t)
			if c.needs != nil && !c.needs(b.Powers()) {
				t.Skip("the backend does not have this power, which is allowed")
			}
			c.run(&suite{T: t, Backend: b, opts: opts})
		})
	}
}

func hasSecrets(p backends.Powers) bool    { return p.Secrets != nil }
func hasNamespaces(p backends.Powers) bool { return p.Namespaces != nil }

// suite is one case: the backend under test and what the case asserts with.
type suite struct {
	*testing.T
	backends.Backend
	opts Options
}

// key makes a key in the default namespace.
func key(name string) backends.Key {
	return backends.Key{Namespace: backends.DefaultNamespace, Name: name}
}

// function makes one with something in each field that any backend can keep.
func (s *suite) function(name string) backends.Function {
	return backends.Function{
		Key:          key(name),
		Image:        s.opts.Image,
		Process:      "cat -",
		Env:          map[string]string{"taste": "test", "empty": ""},
		Labels:       map[string]string{"team": "blue"},
		Annotations:  map[string]string{"note": "two\nlines, ünd mehr"},
		Limits:       &backends.Resources{Memory: "64Mi", CPU: "100m"},
		Requests:     &backends.Resources{Memory: "32Mi"},
		ReadOnlyRoot: true,
	}
}

// must ends the case on an error.
func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// kind asserts the kind of an error.
func (s *suite) kind(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s gave error %v; want one of kind %q", what, err, want)
	}
}

// get gives the status of a function that must be there.
func (s *suite) get(k backends.Key) backends.Status {
	s.Helper()
	status, err := s.Get(s.Context(), k)
	if err != nil {
		s.Fatalf("Get(%s): %v", k, err)
	}
	return status
}

// all gives the statuses of all functions.
func (s *suite) all() []backends.Status {
	s.Helper()
	list, err := s.List(s.Context(), "")
	s.must(err)
	return list
}

// same asserts that a status holds the function as it was given.
func (s *suite) same(got backends.Status, want backends.Function) {
	s.Helper()
	if g, w := text(got.Function), text(want); g != w {
		s.Errorf("the function is\n%s\nwant\n%s", g, w)
	}
}

// text is a function without what the platform adds, so that it can be
// compared: an empty map is as good as none.
func text(f backends.Function) string {
	f = f.Clone()
	maps.DeleteFunc(f.Annotations, func(k, _ string) bool { return k == backends.KeyDigest })
	maps.DeleteFunc(f.Labels, func(k, _ string) bool { return k == backends.FunctionLabel })
	b, err := json.MarshalIndent(f.Deployment(), "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// watched starts a watch and returns once its table has been replaced.
func (s *suite) watched(b backends.Backend) *Recorder {
	s.Helper()
	r := NewRecorder()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Watch(ctx, r) }()
	s.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			s.kind("Watch", err, context.Canceled)
		case <-time.After(patience):
			s.Error("Watch goes on after its context ended")
		}
		for _, fault := range r.Faults() {
			s.Error(fault)
		}
	})
	if !r.Wait(patience, func(map[backends.Key]backends.Entry) bool { return true }) {
		s.Fatal("Watch never called Replace")
	}
	return r
}

// shows asserts that a table comes to hold something: at once, unless the
// backend is one that sees its changes later.
func (s *suite) shows(r *Recorder, what string, is func(map[backends.Key]backends.Entry) bool) {
	s.Helper()
	var wait time.Duration
	if s.opts.Later {
		wait = patience
	}
	if !r.Wait(wait, is) {
		s.Errorf("the table does not show %s: %v", what, r.Entries())
	}
}
