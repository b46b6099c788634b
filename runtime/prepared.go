package runtime

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"hearth/backends"
	"hearth/runtime/rewrite"
)

// prepared is a module as it is compiled, and what is known of the one it was made from.
type prepared struct {
	Program string        // that made it: another one may rewrite otherwise
	Sum     digest        // of wasm
	Facts   rewrite.Facts // of the module as it was given, without its lists
	ABI     abi
	Early   bool // a Go program that may be frozen after its runtime has started

	wasm []byte
}

// prepare checks a module and rewrites it so that it can be stopped: what is compiled is never what was given.
func prepare(wasm []byte) (*prepared, error) {
	parsed, err := inspect(wasm)
	if err != nil {
		return nil, err
	}
	p := &prepared{Facts: parsed.Facts()}
	p.ABI = abiOf(&p.Facts)
	if p.wasm, err = rewrite.Rewrite(parsed, rewrite.Options{Entry: p.ABI == command}); err != nil {
		return nil, backends.Errorf(backends.ErrInvalid, "%w", err)
	}
	p.Early = p.ABI == command && goResumable(&p.Facts, wasm)
	p.Facts.Imports, p.Facts.Exports, p.Facts.Producers = nil, nil, nil // they hold on to the module's bytes
	p.Sum = sha256.Sum256(p.wasm)
	return p, nil
}

// programID tells builds of this program apart: what Go's linker wrote into it. Empty when it did not.
func programID() string {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return ""
	}
	defer f.Close()
	section := f.Section(".note.go.buildid")
	if section == nil {
		return ""
	}
	text, err := section.Data()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (c *compiler) preparedPath(module digest) string {
	return filepath.Join(c.dir, "rewritten", hex.EncodeToString(module[:]))
}

// prepared gives what was kept of a module, nil if there is nothing that can be used. Rewriting a large module takes as long as loading its
// compiled code.
func (c *compiler) prepared(module digest) *prepared {
	text, err := os.ReadFile(c.preparedPath(module))
	if err != nil {
		return nil
	}
	head, wasm, ok := bytes.Cut(text, []byte("\n"))
	p := &prepared{}
	if !ok || json.Unmarshal(head, p) != nil || p.Program == "" || p.Program != c.program || sha256.Sum256(wasm) != p.Sum {
		return nil
	}
	p.wasm = wasm
	return p
}

// keep writes a prepared module beside the compiled code. Nothing is lost without it but time.
func (c *compiler) keep(module digest, p *prepared) error {
	if c.program == "" {
		return nil
	}
	p.Program = c.program
	head, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("keep the rewritten module: %w", err)
	}
	path := c.preparedPath(module)
	if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
		err = os.WriteFile(path+".new", append(append(head, '\n'), p.wasm...), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keep the rewritten module: %w", err)
	}
	return nil
}

// retainPrepared removes the prepared modules that are not kept, and gives the bytes of those that are.
func (c *compiler) retainPrepared(keep func(digest string) bool) (size int64, err error) {
	paths, err := filepath.Glob(filepath.Join(c.dir, "rewritten", "*"))
	for _, path := range paths {
		info, statErr := os.Stat(path)
		if statErr == nil && keep("sha256:"+filepath.Base(path)) {
			size += info.Size()
			continue
		}
		if e := os.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}
	if err != nil {
		return size, fmt.Errorf("cache of rewritten modules: %w", err)
	}
	return size, nil
}
