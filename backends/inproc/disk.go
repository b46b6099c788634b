package inproc

import (
	"errors"
	"io"
	"os"
)

// disk is what the module store does to the file system on its way to a
// change that survives a crash. Tests make each step fail.
type disk interface {
	create(dir, pattern string) (diskFile, error)
	rename(from, to string) error
	remove(path string) error
	syncDir(dir string) error
}

// diskFile is a file being written.
type diskFile interface {
	io.Writer
	Name() string
	Sync() error
	Close() error
}

// osDisk is the real file system.
type osDisk struct{}

func (osDisk) create(dir, pattern string) (diskFile, error) { return os.CreateTemp(dir, pattern) }
func (osDisk) rename(from, to string) error                 { return os.Rename(from, to) }
func (osDisk) remove(path string) error                     { return os.Remove(path) }

func (osDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
