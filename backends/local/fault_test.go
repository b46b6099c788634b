package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"hearth/backends"
	"hearth/backends/backendtest"
)

// faultyFiles is the real file system until its n-th operation, which fails,
// and with it, if the fault stays, every later one.
type faultyFiles struct {
	real  osFiles
	n     int // operations until the fault; negative: it has been
	fault error
	stays bool
	half  bool // a write that fails has written a half
}

// next is the outcome of the next operation.
func (f *faultyFiles) next() error {
	f.n--
	if f.n == 0 || f.n < 0 && f.stays {
		return f.fault
	}
	return nil
}

func (f *faultyFiles) struck() bool { return f.n <= 0 }

func (f *faultyFiles) create(path string) (file, error) {
	if err := f.next(); err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	real, err := f.real.create(path)
	return &faultyFile{real, f}, err
}

func (f *faultyFiles) rename(from, to string) error {
	if err := f.next(); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return f.real.rename(from, to)
}

func (f *faultyFiles) remove(path string) error {
	if err := f.next(); err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return f.real.remove(path)
}

func (f *faultyFiles) mkdir(path string) error {
	if err := f.next(); err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return f.real.mkdir(path)
}

func (f *faultyFiles) syncDir(path string) error {
	if err := f.next(); err != nil {
		return &os.PathError{Op: "sync", Path: path, Err: err}
	}
	return f.real.syncDir(path)
}

type faultyFile struct {
	file
	of *faultyFiles
}

func (f *faultyFile) Write(p []byte) (int, error) {
	err := f.of.next()
	if err == nil {
		return f.file.Write(p)
	}
	if !f.of.half {
		return 0, err
	}
	n, e := f.file.Write(p[:len(p)/2])
	return n, errors.Join(err, e)
}

func (f *faultyFile) Sync() error {
	if err := f.of.next(); err != nil {
		return err
	}
	return f.file.Sync()
}

// Close closes the real file in any case.
func (f *faultyFile) Close() error {
	return errors.Join(f.of.next(), f.file.Close())
}

// faults are the ways of a disk to fail.
var faults = map[string]faultyFiles{
	"a full disk":                     {fault: syscall.ENOSPC},
	"a disk that is gone":             {fault: syscall.EIO, stays: true},
	"a short write":                   {fault: io.ErrShortWrite, half: true},
	"a short write, and nothing more": {fault: syscall.ENOSPC, stays: true, half: true},
}

func helloFunction(mode string) backends.Function {
	return backends.Function{Key: backends.Key{Namespace: "blue", Name: "hello"}, Image: "hello", Env: map[string]string{"mode": mode}, Secrets: []string{"token"}}
}

// somethingStored makes a directory with one thing of each kind.
func somethingStored(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	l := openWith(t, dir, osFiles{})
	fill(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fill makes one thing of each kind.
func fill(t *testing.T, l *Local) {
	t.Helper()
	ctx, p := t.Context(), l.Powers()
	for _, err := range []error{
		p.Namespaces.Create(ctx, backends.Namespace{Name: "blue", Labels: map[string]string{"openfaas": "1"}}),
		p.Namespaces.Create(ctx, backends.Namespace{Name: "empty"}),
		p.Secrets.Create(ctx, backends.Secret{Namespace: "blue", Name: "token", Value: []byte("s3cret-0ld")}),
		l.Deploy(ctx, helloFunction("old")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func openWith(t *testing.T, dir string, f files) *Local {
	t.Helper()
	l, err := open(Config{Dir: dir}, f)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// state is all that a backend holds, as text.
func state(t *testing.T, l *Local) string {
	t.Helper()
	ctx := context.Background()
	list, err := l.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]any{"functions": list}
	names, err := l.Powers().Namespaces.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		n, err := l.Powers().Namespaces.Get(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		held["namespace "+name] = n
		secrets, err := l.Powers().Secrets.List(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if held["secret "+name+"/"+s], err = l.Powers().Secrets.Read(ctx, name, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := json.MarshalIndent(held, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// changes are one of each kind; all work on what somethingStored makes.
var changes = map[string]func(context.Context, *Local) error{
	"deploy": func(ctx context.Context, l *Local) error {
		f := helloFunction("new")
		f.Name = "second"
		return l.Deploy(ctx, f)
	},
	"update": func(ctx context.Context, l *Local) error { return l.Update(ctx, helloFunction("new")) },
	"scale":  func(ctx context.Context, l *Local) error { return l.Scale(ctx, helloFunction("").Key, 5) },
	"delete": func(ctx context.Context, l *Local) error { return l.Delete(ctx, helloFunction("").Key) },
	"create secret": func(ctx context.Context, l *Local) error {
		return l.Powers().Secrets.Create(ctx, backends.Secret{Namespace: "blue", Name: "other", Value: []byte("new")})
	},
	"update secret": func(ctx context.Context, l *Local) error {
		return l.Powers().Secrets.Update(ctx, backends.Secret{Namespace: "blue", Name: "token", Value: []byte("new")})
	},
	"delete secret": func(ctx context.Context, l *Local) error { return l.Powers().Secrets.Delete(ctx, "blue", "token") },
	"create namespace": func(ctx context.Context, l *Local) error {
		return l.Powers().Namespaces.Create(ctx, backends.Namespace{Name: "red"})
	},
	"update namespace": func(ctx context.Context, l *Local) error {
		return l.Powers().Namespaces.Update(ctx, backends.Namespace{Name: "blue", Labels: map[string]string{"openfaas": "1", "a": "b"}})
	},
	"delete namespace": func(ctx context.Context, l *Local) error { return l.Powers().Namespaces.Delete(ctx, "empty") },
}

// TestAFaultOfTheDiskLeavesTheOldOrTheNew makes every operation of every change
// fail, one after the other until the change meets no fault any more.
func TestAFaultOfTheDiskLeavesTheOldOrTheNew(t *testing.T) {
	template := somethingStored(t)
	for changeName, change := range changes {
		for faultName, fault := range faults {
			t.Run(changeName+" meets "+faultName, func(t *testing.T) {
				for n := 1; ; n++ {
					fault.n = n
					dir := filepath.Join(t.TempDir(), "state")
					if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
						t.Fatal(err)
					}
					if !oldOrNew(t, dir, change, fault) {
						break
					}
					if n > 20 {
						t.Fatal("a change takes more than 20 operations")
					}
				}
			})
		}
	}
}

// oldOrNew makes one change under a fault and tells whether the fault struck.
func oldOrNew(t *testing.T, dir string, change func(context.Context, *Local) error, fault faultyFiles) bool {
	t.Helper()
	l := openWith(t, dir, osFiles{})
	table := backendtest.NewRecorder()
	w := &watcher{table}
	table.Replace(l.entries())
	l.watchers[w] = struct{}{}

	before, n := state(t, l), fault.n
	l.store.files = &fault
	err := change(t.Context(), l)
	after := state(t, l)
	switch {
	case err == nil && fault.struck():
		t.Errorf("operation %d: the fault struck and the change gave no error", n)
	case err != nil && !fault.struck():
		t.Fatalf("without a fault: %v", err)
	case err != nil && (!errors.Is(err, backends.ErrUnavailable) || !errors.Is(err, fault.fault)):
		t.Errorf("the error %v is not of kind unavailable, or has not its cause", err)
	case err == nil && after == before:
		t.Error("without a fault: nothing changed")
	}
	again := openWith(t, dir, osFiles{})
	if found := state(t, again); found != after {
		t.Errorf("operation %d: with error %v the state is\n%s\nbut opening the directory gives\n%s", n, err, after, found)
	}
	if kept, e := os.ReadDir(filepath.Join(dir, quarantineDir)); e != nil || len(kept) > 0 {
		t.Errorf("a fault tore %v, %v", kept, e)
	}
	if got, want := fmt.Sprint(len(table.Entries())), fmt.Sprint(len(l.functions)); got != want || len(table.Faults()) > 0 {
		t.Errorf("the table has %s entries, the backend %s functions; %v", got, want, table.Faults())
	}
	if after == before { // then it can be done once the disk is well again
		l.store.files = osFiles{}
		if err := change(t.Context(), l); err != nil {
			t.Errorf("after the fault: %v", err)
		}
	}
	return fault.struck()
}

func TestAFaultWhileOpeningLosesNothing(t *testing.T) {
	template := somethingStored(t)
	want := state(t, openWith(t, template, osFiles{}))
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				fault.n = n
				dir := filepath.Join(t.TempDir(), "state")
				if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
					t.Fatal(err)
				}
				for file, text := range map[string]string{layoutFile: "torn", kindFunction + "/" + tempFile: "{", kindSecret + "/note": "not ours"} {
					if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				injected := fault
				if l, err := open(Config{Dir: dir}, &injected); err == nil {
					if got := state(t, l); got != want {
						t.Errorf("fault at operation %d: the state is\n%s\nwant\n%s", n, got, want)
					}
				} else if !errors.Is(err, fault.fault) {
					t.Errorf("fault at operation %d: %v is not the fault", n, err)
				}
				if got := state(t, openWith(t, dir, osFiles{})); got != want {
					t.Errorf("opened after a fault at operation %d: the state is\n%s\nwant\n%s", n, got, want)
				}
				if !injected.struck() {
					break
				}
			}
		})
	}
}
