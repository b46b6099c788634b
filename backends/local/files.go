package local

import (
	"io"
	"os"
)

// files is what the store asks of the file system when it writes, so that a
// test can make any step fail.
type files interface {
	// create opens a file of mode 0600 for writing, emptying one that is there.
	create(path string) (file, error)
	rename(from, to string) error
	remove(path string) error
	// mkdir makes a directory of mode 0700.
	mkdir(path string) error
	// syncDir makes the names in a directory durable.
	syncDir(path string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// osFiles is the real file system.
type osFiles struct{}

func (osFiles) create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}
func (osFiles) rename(from, to string) error { return os.Rename(from, to) }
func (osFiles) remove(path string) error     { return os.Remove(path) }
func (osFiles) mkdir(path string) error      { return os.Mkdir(path, 0o700) }

func (osFiles) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}
