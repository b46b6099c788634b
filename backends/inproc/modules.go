package inproc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hearth/backends"
)

const (
	digestPrefix = "sha256:"
	imagePrefix  = "module@" // of an uploaded module's image name
	moduleSuffix = ".wasm"
	partPrefix   = ".part-" // a module that is still being written
)

// moduleStore keeps modules in one directory, one file per module, named by
// the SHA-256 of its bytes. A file appears whole or not at all, is never
// changed afterwards, and is compared with its name whenever it is read, so
// what a digest names is what runs.
type moduleStore struct {
	dir  string
	max  int64 // bytes of one module
	disk disk
	log  *slog.Logger

	mu    sync.Mutex
	files map[string]moduleFile // by digest
	pins  map[string]int        // digests that a deployment under way needs
}

// moduleFile is what the store remembers about a file.
type moduleFile struct {
	size  int64
	since time.Time // stored or asked for last; the oldest go first
}

// openModuleStore reads what the directory holds and clears away what an
// interrupted write has left.
func openModuleStore(dir string, most int64, d disk, log *slog.Logger) (*moduleStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("module store: %w", err)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} { // a directory lasts once the one above it is on the disk
		if err := (osDisk{}).syncDir(filepath.Dir(d)); err != nil {
			return nil, fmt.Errorf("module store: %w", err)
		}
	}
	s := &moduleStore{dir: dir, max: most, disk: d, log: log, files: map[string]moduleFile{}, pins: map[string]int{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("module store: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), partPrefix) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("module store: %w", err)
			}
			continue
		}
		name, ok := strings.CutSuffix(e.Name(), moduleSuffix)
		info, err := e.Info()
		if !ok || !isDigest(digestPrefix+name) || err != nil || !info.Mode().IsRegular() {
			continue
		}
		s.files[digestPrefix+name] = moduleFile{size: info.Size(), since: info.ModTime()}
	}
	return s, nil
}

// isDigest says whether text is sha256: and 64 lower case hexadecimal digits.
func isDigest(text string) bool {
	digits, ok := strings.CutPrefix(text, digestPrefix)
	return ok && len(digits) == hex.EncodedLen(sha256.Size) && strings.Trim(digits, "0123456789abcdef") == ""
}

// digestOf is the name of these bytes.
func digestOf(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return digestPrefix + hex.EncodeToString(sum[:])
}

func (s *moduleStore) path(digest string) string {
	return filepath.Join(s.dir, strings.TrimPrefix(digest, digestPrefix)+moduleSuffix)
}

// has says whether the store holds a module.
func (s *moduleStore) has(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.files[digest]
	return ok
}

// pin keeps a module from being collected until the function it returns is
// called, whether the store holds it already or not.
func (s *moduleStore) pin(digest string) (unpin func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[digest]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pins[digest]--; s.pins[digest] == 0 {
			delete(s.pins, digest)
		}
	})
}

// put stores what r gives, up to its end, if check accepts it. Storing the
// same bytes again changes nothing but their age. ErrTooLarge above the limit.
func (s *moduleStore) put(ctx context.Context, r io.Reader, check func(wasm []byte) error) (backends.Module, error) {
	part, digest, size, err := s.receive(ctx, r)
	if err != nil {
		return backends.Module{}, err
	}
	defer s.disk.remove(part) // gone already when it was renamed
	wasm, err := os.ReadFile(part)
	if err != nil {
		return backends.Module{}, fmt.Errorf("module store: %w", err)
	}
	if err := check(wasm); err != nil {
		return backends.Module{}, err
	}
	if err := s.adopt(part, digest, size); err != nil {
		return backends.Module{}, err
	}
	return backends.Module{Image: imagePrefix + digest, Digest: digest, Size: size}, nil
}

// receive writes r to a part file that is on the disk when it returns.
func (s *moduleStore) receive(ctx context.Context, r io.Reader) (part, digest string, size int64, err error) {
	f, err := s.disk.create(s.dir, partPrefix+"*")
	if err != nil {
		return "", "", 0, storeFault(err)
	}
	part = f.Name()
	sum := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, sum), &moduleReader{ctx: ctx, r: r, left: s.max, max: s.max})
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		s.disk.remove(part)
		return "", "", 0, storeFault(err)
	}
	return part, digestPrefix + hexSum(sum), size, nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// storeFault keeps an error that has a kind and makes one of the disk's.
func storeFault(err error) error {
	switch {
	case errors.Is(err, backends.ErrTooLarge), errors.Is(err, backends.ErrInvalid), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	var path *fs.PathError
	var link *os.LinkError
	if errors.As(err, &path) || errors.As(err, &link) {
		return backends.Errorf(backends.ErrUnavailable, "the module cannot be stored: %w", err)
	}
	return backends.Errorf(backends.ErrInvalid, "the module did not arrive whole: %w", err)
}

// adopt gives a part file its name. Over a file of that name it is put as
// well: the old one may have rotted.
func (s *moduleStore) adopt(part, digest string, size int64) error {
	if err := s.disk.rename(part, s.path(digest)); err != nil {
		return storeFault(err)
	}
	if err := s.disk.syncDir(s.dir); err != nil {
		return storeFault(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[digest] = moduleFile{size: size, since: time.Now()}
	return nil
}

// keep stores bytes if check accepts them, unless the store has them.
func (s *moduleStore) keep(ctx context.Context, wasm []byte, check func(wasm []byte) error) error {
	digest := digestOf(wasm)
	if s.has(digest) {
		if _, err := s.read(digest); err == nil {
			s.touch(digest)
			return nil
		}
	}
	_, err := s.put(ctx, bytes.NewReader(wasm), check)
	return err
}

// read gives a module's bytes. ErrNotFound if the store lacks it,
// ErrUnavailable if the file holds other bytes: then it is set aside.
func (s *moduleStore) read(digest string) ([]byte, error) {
	wasm, err := os.ReadFile(s.path(digest))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.forget(digest)
		return nil, backends.Errorf(backends.ErrNotFound, "module %s is not stored here: upload it again", digest)
	case err != nil:
		return nil, backends.Errorf(backends.ErrUnavailable, "module %s cannot be read: %w", digest, err)
	}
	if got := digestOf(wasm); got != digest {
		s.quarantine(digest, got)
		return nil, backends.Errorf(backends.ErrUnavailable, "module %s is damaged on the disk and was set aside: upload it again", digest)
	}
	return wasm, nil
}

// touch makes a module young, as if it had been stored now.
func (s *moduleStore) touch(digest string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.files[digest]; ok {
		f.since = now
		s.files[digest] = f
	}
}

// quarantine sets a damaged file aside, where a person can look at it.
func (s *moduleStore) quarantine(digest, got string) {
	aside := s.path(digest) + ".damaged"
	s.log.Error("module damaged on the disk", "digest", digest, "found", got, "kept", aside)
	if err := s.disk.rename(s.path(digest), aside); err != nil {
		s.log.Error("module cannot be set aside", "digest", digest, "error", err)
	}
	s.forget(digest)
}

func (s *moduleStore) forget(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, digest)
}

// moduleReader reads a module that arrives: it refuses one that is too large
// with its first byte too many, and ends with ctx.
type moduleReader struct {
	ctx  context.Context
	r    io.Reader
	left int64
	max  int64
}

func (m *moduleReader) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > m.left+1 {
		p = p[:m.left+1]
	}
	n, err := m.r.Read(p)
	if m.left -= int64(n); m.left < 0 {
		return 0, backends.Errorf(backends.ErrTooLarge, "the module is larger than %d bytes: strip it of debug sections, or raise --max-module", m.max)
	}
	return n, err
}
