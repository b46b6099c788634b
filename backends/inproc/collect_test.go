package inproc

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"hearth/backends"
	"hearth/backends/inproc/store"
)

// variant gives a module that does what the store's does and has other bytes.
func variant(t *testing.T, name string, n int) []byte {
	t.Helper()
	f, ok := store.Lookup(name)
	if !ok {
		t.Fatalf("the store has no %s", name)
	}
	return append(slices.Clone(f.Wasm), 0, 2, 1, byte('a'+n)) // a custom section with a name of one letter
}

// upload stores a module.
func (n *node) upload(t *testing.T, wasm []byte) backends.Module {
	t.Helper()
	m, err := n.Powers().Modules.Put(t.Context(), bytes.NewReader(wasm))
	must(t, err)
	return m
}

// age makes all modules older.
func (n *node) age(by time.Duration) {
	s := n.host.modules
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, f := range s.files {
		f.since = f.since.Add(-by)
		s.files[d] = f
	}
}

// stored gives which of the digests are stored, by index.
func (n *node) stored(digests []string) []int {
	var there []int
	for i, d := range digests {
		if n.host.modules.has(d) {
			there = append(there, i)
		}
	}
	return there
}

func TestModulesOfTheLastThreeGenerationsAreKept(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, nil)
	f := fn("cat", "")
	f.Process = "cat"
	var digests []string
	for i := range 5 {
		m := n.upload(t, variant(t, "cat", i))
		digests = append(digests, m.Digest)
		f.Image = m.Image
		if i == 0 {
			must(t, n.Deploy(t.Context(), f))
		} else {
			must(t, n.Update(t.Context(), f))
		}
	}
	digests = append(digests, n.upload(t, variant(t, "cat", 5)).Digest) // never deployed
	n.host.collect(0)
	if got := n.stored(digests); len(got) != 6 {
		t.Errorf("young modules were removed: %v are left", got)
	}
	n.stop()
	n = startNode(t, dir, nil) // the history survives
	n.age(2 * uploadKept)
	n.host.collect(0)
	if got := n.stored(digests); !slices.Equal(got, []int{2, 3, 4}) {
		t.Errorf("modules %v are left", got)
	}
	if got := n.call(t, "cat", "still"); got != "still" {
		t.Errorf("answered %q", got)
	}
	must(t, n.Delete(t.Context(), f.Key))
	n.host.collect(0)
	if got := n.stored(digests); len(got) != 0 {
		t.Errorf("of a removed function modules %v are left", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "history", "*")); len(left) != 0 {
		t.Errorf("left behind %v", left)
	}
}

func TestNothingIsCollectedBeforeAllFunctionsAreKnown(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	m := n.upload(t, variant(t, "cat", 0))
	n.age(2 * uploadKept)
	n.host.Backend(n.Backend.(*hosted).inner) // another one, which nobody watches
	n.host.collect(0)
	if !n.host.modules.has(m.Digest) {
		t.Error("a module was removed that a function may need")
	}
}

func TestPinnedModuleIsNotCollected(t *testing.T) {
	n := startNode(t, t.TempDir(), nil)
	m := n.upload(t, variant(t, "cat", 0))
	n.age(2 * uploadKept)
	unpin := n.host.modules.pin(m.Digest)
	n.host.collect(0)
	if !n.host.modules.has(m.Digest) {
		t.Error("it was")
	}
	unpin()
	n.host.collect(0)
	if n.host.modules.has(m.Digest) {
		t.Error("it is kept without the pin")
	}
}

func TestDiskCapTakesWhatIsOldestAndNotInUse(t *testing.T) {
	size := int64(len(variant(t, "cat", 0)))
	n := startNode(t, t.TempDir(), func(c *Config) { c.DiskCap = 3*size + size/2 })
	f := fn("cat", "")
	f.Process = "cat"
	var digests []string
	for i := range 3 {
		m := n.upload(t, variant(t, "cat", i))
		digests = append(digests, m.Digest)
		f.Image = m.Image
		if i == 0 {
			must(t, n.Deploy(t.Context(), f))
		} else {
			must(t, n.Update(t.Context(), f))
		}
		n.age(2 * uploadKeptFull)
	}
	digests = append(digests, n.upload(t, variant(t, "cat", 3)).Digest)
	if got := n.stored(digests); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("with a fourth module %v are stored", got)
	}
	for i := range 2 { // the only ones to go are in use or too young
		other := fn("other"+string(rune('0'+i)), "module@"+digests[1+2*i])
		other.Process = "cat"
		must(t, n.Deploy(t.Context(), other))
	}
	_, err := n.Powers().Modules.Put(t.Context(), bytes.NewReader(variant(t, "cat", 4)))
	if !errors.Is(err, backends.ErrUnavailable) {
		t.Errorf("a module too many gave %v", err)
	}
	if got := n.call(t, "cat", "still"); got != "still" {
		t.Errorf("answered %q", got)
	}
}
