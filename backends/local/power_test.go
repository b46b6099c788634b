package local

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// powerFiles is the real file system with a record of what a power cut would
// leave: data that was synced, under names whose directory was synced.
type powerFiles struct {
	osFiles
	names   map[string]*inode // as the running system sees them
	durable map[string]*inode // as the disk has them
}

// inode is a file's content, or a directory if it has none.
type inode struct {
	dir           bool
	data, durable []byte
}

func (p *powerFiles) create(path string) (file, error) {
	f, err := p.osFiles.create(path)
	if err == nil {
		p.names[path] = &inode{}
	}
	return &powerFile{f, p.names[path]}, err
}

type powerFile struct {
	file
	inode *inode
}

func (f *powerFile) Write(b []byte) (int, error) {
	n, err := f.file.Write(b)
	f.inode.data = append(f.inode.data, b[:n]...)
	return n, err
}

func (f *powerFile) Sync() error {
	f.inode.durable = bytes.Clone(f.inode.data)
	return f.file.Sync()
}

func (p *powerFiles) rename(from, to string) error {
	err := p.osFiles.rename(from, to)
	if err == nil {
		p.names[to] = p.names[from]
		delete(p.names, from)
	}
	return err
}

func (p *powerFiles) remove(path string) error {
	err := p.osFiles.remove(path)
	if err == nil {
		delete(p.names, path)
	}
	return err
}

func (p *powerFiles) mkdir(path string) error {
	err := p.osFiles.mkdir(path)
	if err == nil {
		p.names[path] = &inode{dir: true}
	}
	return err
}

func (p *powerFiles) syncDir(dir string) error {
	in := func(path string, _ *inode) bool { return filepath.Dir(path) == dir }
	maps.DeleteFunc(p.durable, in)
	for path, i := range p.names {
		if in(path, i) {
			p.durable[path] = i
		}
	}
	return p.osFiles.syncDir(dir)
}

// cut makes a directory as it is found after a power cut, with the names that
// the disk was told to keep, or with all of them but still only synced data.
func (p *powerFiles) cut(t *testing.T, root string, names map[string]*inode) string {
	t.Helper()
	found := t.TempDir()
	for _, path := range slices.Sorted(maps.Keys(names)) { // a directory before what is in it
		below, ok := strings.CutPrefix(path, root)
		if !ok {
			t.Fatalf("%s was written, outside %s", path, root)
		}
		var err error
		if to := filepath.Join(found, below); names[path].dir {
			err = os.Mkdir(to, 0o700)
		} else {
			err = os.WriteFile(to, names[path].durable, 0o600)
		}
		if err != nil && !os.IsNotExist(err) { // what is in a lost directory is lost
			t.Fatal(err)
		}
	}
	return found
}

func TestAPowerCutLosesNothingAcknowledged(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "data", "state")
	p := &powerFiles{names: map[string]*inode{}, durable: map[string]*inode{}}
	l := openWith(t, dir, p)
	check := func(what string) {
		t.Helper()
		want := state(t, l)
		for how, names := range map[string]map[string]*inode{"the synced names": p.durable, "all names": p.names} {
			again := openWith(t, filepath.Join(p.cut(t, root, names), "data", "state"), osFiles{})
			if got := state(t, again); got != want {
				t.Errorf("after %s a power cut that keeps %s leaves\n%s\nwant\n%s", what, how, got, want)
			}
		}
	}
	if len(p.durable) == 0 {
		t.Error("nothing of a new directory outlasts a power cut")
	}
	fill(t, l)
	check("filling")
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		if strings.HasPrefix(name, "delete") {
			continue // the others need what it deletes
		}
		if err := changes[name](t.Context(), l); err != nil {
			t.Fatal(err)
		}
		check(name)
	}
	for _, name := range []string{"delete", "delete secret", "delete namespace"} {
		if err := changes[name](t.Context(), l); err != nil {
			t.Fatal(err)
		}
		check(name)
	}
}
