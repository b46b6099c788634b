package inproc

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hearth/backends"
)

const (
	generationsKept = 3           // modules of a function's latest generations
	uploadKept      = time.Hour   // a module that nobody has deployed yet
	uploadKeptFull  = time.Minute // the same when the disk's cap is reached
	collectEvery    = 10 * houseEvery
)

// history remembers which modules the latest generations of each function
// ran, newest first, one small file per function, so that going back to one of
// them needs no upload. What is lost of it costs only that.
type history struct {
	dir string

	mu      sync.Mutex
	digests map[backends.Key][]string
}

func openHistory(dir string) (*history, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("history of modules: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("history of modules: %w", err)
	}
	h := &history{dir: dir, digests: map[backends.Key][]string{}}
	for _, e := range entries {
		key, err := backends.ParseKey(e.Name())
		text, readErr := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || readErr != nil {
			continue
		}
		digests := strings.Fields(string(text))
		if slices.ContainsFunc(digests, func(d string) bool { return !isDigest(d) }) {
			continue
		}
		h.digests[key] = digests
	}
	return h, nil
}

// add notes the module of a function's newest generation.
func (h *history) add(key backends.Key, digest string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.digests[key]
	if len(old) > 0 && old[0] == digest {
		return nil
	}
	digests := []string{digest}
	for _, d := range old {
		if d != digest && len(digests) < generationsKept {
			digests = append(digests, d)
		}
	}
	h.digests[key] = digests
	path := filepath.Join(h.dir, key.String())
	err := os.WriteFile(path+".new", []byte(strings.Join(digests, "\n")+"\n"), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	return err
}

// retain forgets the functions that are no more and gives all modules of the
// others.
func (h *history) retain(present func(backends.Key) bool) (map[string]bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := map[string]bool{}
	var fault error
	for key, digests := range h.digests {
		if present(key) {
			for _, d := range digests {
				kept[d] = true
			}
			continue
		}
		delete(h.digests, key)
		if err := os.Remove(filepath.Join(h.dir, key.String())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			fault = err
		}
	}
	return kept, fault
}

// modulesInUse gives the modules of all functions there are; false while some
// backend has not shown its functions.
func (h *Host) modulesInUse() (used map[string]bool, functions map[backends.Key]bool, known bool) {
	used, functions = map[string]bool{}, map[backends.Key]bool{}
	wrapped := h.backends()
	for _, b := range wrapped {
		shown := false
		for _, v := range b.tables() {
			shown = v.modules(used, functions) || shown
		}
		if !shown {
			return nil, nil, false
		}
	}
	return used, functions, len(wrapped) > 0
}

// modules adds the modules of the view's functions; false if it has not seen
// all functions.
func (v *view) modules(used map[string]bool, functions map[backends.Key]bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, f := range v.functions {
		digest, _ := moduleOf(f.entry.Status.Function)
		used[digest], functions[key] = true, true
	}
	return v.replaced
}

// collect removes modules that no function needs, and the compiled code of
// modules that are not stored. To leave room for so many bytes more under the
// cap it removes, oldest first, also what is only kept to go back to.
func (h *Host) collect(more int64) {
	h.collecting.Lock()
	defer h.collecting.Unlock()
	used, functions, known := h.modulesInUse()
	if !known {
		return
	}
	kept, err := h.history.retain(func(key backends.Key) bool { return functions[key] })
	if err != nil {
		h.log.Warn("history of modules", "error", err)
	}
	now := time.Now()
	removed := h.modules.drop(func(digest string, f moduleFile) bool {
		return !used[digest] && !kept[digest] && now.Sub(f.since) > uploadKept
	})
	removed += h.squeeze(more, func(digest string, f moduleFile) bool {
		return !used[digest] && now.Sub(f.since) > uploadKeptFull
	})
	if removed > 0 {
		h.log.Info("modules removed that no function needs", "modules", removed)
	}
	h.retainCode()
}

// squeeze removes modules that may go, oldest first, until all that is stored
// is within the cap, with more bytes still to come.
func (h *Host) squeeze(more int64, may func(string, moduleFile) bool) (removed int) {
	over := h.over(more)
	return h.modules.drop(func(digest string, f moduleFile) bool {
		if over <= 0 || !may(digest, f) {
			return false
		}
		over -= f.size
		return true
	})
}

// retainCode removes compiled code whose module is not stored.
func (h *Host) retainCode() {
	bytes, err := h.engine.Retain(h.modules.has)
	if err != nil {
		h.log.Warn("cache of compiled code", "error", err)
		return
	}
	h.codeBytes.Store(bytes)
}

// over is by how many bytes more than the cap the disk would hold with so many
// more.
func (h *Host) over(more int64) int64 {
	if h.cfg.DiskCap <= 0 {
		return 0
	}
	_, bytes := h.modules.stats()
	return bytes + h.codeBytes.Load() + more - h.cfg.DiskCap
}

// room makes sure that a module can be stored within the disk's cap.
func (h *Host) room(size int64) error {
	if h.over(size) <= 0 {
		return nil
	}
	h.collect(size)
	if over := h.over(size); over > 0 {
		return backends.Errorf(backends.ErrUnavailable,
			"the module's %d bytes do not fit: the modules of deployed functions leave no room under the disk's cap of %d bytes (remove functions, or raise --module-disk)", size, h.cfg.DiskCap)
	}
	return nil
}

// drop removes the modules that may go, asking about the oldest first. One
// that is pinned stays.
func (s *moduleStore) drop(may func(string, moduleFile) bool) (removed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digests := slices.SortedFunc(maps.Keys(s.files), func(a, b string) int { return s.files[a].since.Compare(s.files[b].since) })
	for _, digest := range digests {
		if s.pins[digest] > 0 || !may(digest, s.files[digest]) {
			continue
		}
		if err := s.disk.remove(s.path(digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("module cannot be removed", "digest", digest, "error", err)
			continue
		}
		delete(s.files, digest)
		removed++
	}
	return removed
}

// stats gives how many modules there are and what they take on the disk.
func (s *moduleStore) stats() (modules int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		bytes += f.size
	}
	return len(s.files), bytes
}
