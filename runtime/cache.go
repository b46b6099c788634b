package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Retain removes the compiled code of all modules but those that keep names (sha256:HEX of the module as it was given), and all that an
// engine of another version or another machine has left. It returns the bytes that stay. Code that is only in memory, because no child
// compiles or no directory was given, is none of its business.
func (e *Engine) Retain(keep func(digest string) bool) (bytes int64, err error) {
	if e.compiler == nil {
		return 0, nil
	}
	return e.compiler.retain(keep)
}

// Compiled gives the modules (sha256:HEX as they were given) whose compiled code is in the cache; nil when no child compiles.
func (e *Engine) Compiled() map[string]bool {
	if e.compiler == nil {
		return nil
	}
	compiled := map[string]bool{}
	notes, _ := filepath.Glob(filepath.Join(e.compiler.dir, "notes", "*")) // the pattern is well formed
	for _, path := range notes {
		if n, ok := e.compiler.noted(path); ok {
			compiled[n.Module] = true
		}
	}
	return compiled
}

func (c *compiler) retain(keep func(digest string) bool) (bytes int64, err error) {
	c.mu.Lock() // whoever finds code noted has its module kept, so keep says so from then on
	defer c.mu.Unlock()
	notes, err := filepath.Glob(filepath.Join(c.dir, "notes", "*"))
	if err != nil {
		return 0, fmt.Errorf("cache of compiled code: %w", err)
	}
	noted := map[string]bool{}
	for _, path := range notes {
		var n note
		text, err := os.ReadFile(path)
		if err == nil && json.Unmarshal(text, &n) == nil && n.Engine == c.engine && filepath.IsLocal(n.File) {
			file := filepath.Join(c.dir, n.File)
			if keep(n.Module) {
				noted[file] = true
				continue
			}
			err = os.Remove(file)
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("cache of compiled code: %w", err)
		}
	}
	if err := c.forget(keep); err != nil {
		return 0, err
	}
	rewritten, err := c.retainPrepared(keep)
	if err != nil {
		return 0, err
	}
	compiled, err := c.removeUnnoted(noted)
	return rewritten + compiled, err
}

// forget removes what proofs came to that no longer matter.
func (c *compiler) forget(keep func(digest string) bool) error {
	paths, err := filepath.Glob(filepath.Join(c.dir, "proofs", "*"))
	for _, path := range paths {
		var v verdict
		text, readErr := os.ReadFile(path)
		if readErr == nil && json.Unmarshal(text, &v) == nil && v.Engine == c.engine && keep(v.Module) {
			continue
		}
		if e := os.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("cache of proofs: %w", err)
	}
	return nil
}

// removeUnnoted removes compiled code that no note speaks of and that is too old to be about to get one.
func (c *compiler) removeUnnoted(noted map[string]bool) (bytes int64, err error) {
	files, err := filepath.Glob(filepath.Join(c.dir, "wazero-*", "*"))
	if err != nil {
		return 0, fmt.Errorf("cache of compiled code: %w", err)
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err == nil && (noted[path] || time.Since(info.ModTime()) < staleAfter) {
			bytes += info.Size()
			continue
		}
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return bytes, fmt.Errorf("cache of compiled code: %w", err)
		}
	}
	return bytes, nil
}
