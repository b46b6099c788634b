package inproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearth/backends"
)

func accept([]byte) error { return nil }

func openModules(t *testing.T, dir string, d disk) *moduleStore {
	t.Helper()
	s, err := openModuleStore(dir, 1<<20, d, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestModuleIsReadBackByItsDigestAfterReopening(t *testing.T) {
	dir := t.TempDir()
	s := openModules(t, dir, osDisk{})
	wasm := []byte("\x00asm\x01\x00\x00\x00")
	m, err := s.put(context.Background(), bytes.NewReader(wasm), accept)
	if err != nil {
		t.Fatal(err)
	}
	if m.Digest != digestOf(wasm) || m.Image != "module@"+m.Digest || m.Size != int64(len(wasm)) {
		t.Errorf("put answered %+v", m)
	}
	again := openModules(t, dir, osDisk{})
	if got, err := again.read(m.Digest); err != nil || !bytes.Equal(got, wasm) || !again.has(m.Digest) {
		t.Errorf("read after reopening: %q, %v", got, err)
	}
}

func TestModuleIsNotStoredWhen(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	tests := []struct {
		name  string
		ctx   context.Context
		r     io.Reader
		check func([]byte) error
		want  error
	}{
		{"it is one byte too large", t.Context(), bytes.NewReader(make([]byte, 1<<20+1)), accept, backends.ErrTooLarge},
		{"the check refuses it", t.Context(), strings.NewReader("x"), func([]byte) error { return backends.Errorf(backends.ErrInvalid, "no") }, backends.ErrInvalid},
		{"the sender goes away", t.Context(), io.MultiReader(strings.NewReader("x"), failing{io.ErrUnexpectedEOF}), accept, backends.ErrInvalid},
		{"the caller gives up", ended, strings.NewReader("x"), accept, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openModules(t, dir, osDisk{})
			if _, err := s.put(tt.ctx, tt.r, tt.check); !errors.Is(err, tt.want) {
				t.Errorf("put: %v, want %v", err, tt.want)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestModuleOfTheLargestSizeIsStored(t *testing.T) {
	s := openModules(t, t.TempDir(), osDisk{})
	if _, err := s.put(t.Context(), bytes.NewReader(make([]byte, 1<<20)), accept); err != nil {
		t.Error(err)
	}
}

func TestDamagedModuleIsSetAsideAndCanBeStoredAgain(t *testing.T) {
	dir := t.TempDir()
	s := openModules(t, dir, osDisk{})
	m, err := s.put(t.Context(), strings.NewReader("good"), accept)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(m.Digest), []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.read(m.Digest); !errors.Is(err, backends.ErrUnavailable) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("read of damaged bytes: %v", err)
	}
	if kept, err := os.ReadFile(s.path(m.Digest) + ".damaged"); err != nil || string(kept) != "evil" {
		t.Errorf("set aside: %q, %v", kept, err)
	}
	if _, err := s.read(m.Digest); !errors.Is(err, backends.ErrNotFound) {
		t.Errorf("read after it was set aside: %v", err)
	}
	if err := s.keep(t.Context(), []byte("good"), accept); err != nil {
		t.Fatal(err)
	}
	if got, err := s.read(m.Digest); err != nil || string(got) != "good" {
		t.Errorf("read after storing again: %q, %v", got, err)
	}
}

// TestModuleStoreIsWholeAfterEveryDiskFault makes the first step of a put
// fail, then the second, and so on until a put succeeds, and looks at the
// directory as a process started afterwards would.
func TestModuleStoreIsWholeAfterEveryDiskFault(t *testing.T) {
	wasm := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, crash := range []bool{false, true} {
		for n := 1; ; n++ {
			dir := t.TempDir()
			d := &faultyDisk{fail: n, crash: crash}
			s := openModules(t, dir, d)
			_, err := s.put(t.Context(), bytes.NewReader(wasm), accept)
			if err != nil && !errors.Is(err, backends.ErrUnavailable) {
				t.Errorf("step %d: %v is not of kind unavailable", n, err)
			}
			again := openModules(t, dir, osDisk{})
			got, rerr := again.read(digestOf(wasm))
			switch {
			case err == nil && !bytes.Equal(got, wasm):
				t.Errorf("step %d: acknowledged, then %v", n, rerr)
			case rerr != nil && !errors.Is(rerr, backends.ErrNotFound):
				t.Errorf("step %d: torn: %v", n, rerr)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, partPrefix+"*")); len(left) != 0 {
				t.Errorf("step %d: left behind %v", n, left)
			}
			if d.done < n {
				if n < 6 {
					t.Fatalf("only %d steps were seen", n)
				}
				break
			}
		}
	}
}

// faultyDisk fails its fail-th step; with crash every later one too, as if
// the process had ended there.
type faultyDisk struct {
	osDisk
	fail, done int
	crash      bool
}

func (d *faultyDisk) step(op string) error {
	if d.done++; d.done == d.fail || d.crash && d.done > d.fail {
		return &os.PathError{Op: op, Path: "disk", Err: fmt.Errorf("injected fault %d", d.done)}
	}
	return nil
}

func (d *faultyDisk) create(dir, pattern string) (diskFile, error) {
	if err := d.step("create"); err != nil {
		return nil, err
	}
	f, err := d.osDisk.create(dir, pattern)
	return &faultyFile{f, d}, err
}

func (d *faultyDisk) rename(from, to string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	return d.osDisk.rename(from, to)
}

func (d *faultyDisk) remove(path string) error {
	if d.crash && d.done >= d.fail {
		return os.ErrPermission
	}
	return d.osDisk.remove(path)
}

func (d *faultyDisk) syncDir(dir string) error {
	if err := d.step("sync"); err != nil {
		return err
	}
	return d.osDisk.syncDir(dir)
}

type faultyFile struct {
	diskFile
	d *faultyDisk
}

// Write gives half of what it was asked for when it fails, as a full disk does.
func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.d.step("write"); err != nil {
		n, _ := f.diskFile.Write(p[:len(p)/2])
		return n, err
	}
	return f.diskFile.Write(p)
}

func (f *faultyFile) Sync() error {
	if err := f.d.step("sync"); err != nil {
		return err
	}
	return f.diskFile.Sync()
}

func (f *faultyFile) Close() error {
	return errors.Join(f.d.step("close"), f.diskFile.Close())
}

// failing is a reader of nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
