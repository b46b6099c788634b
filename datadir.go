package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"hearth/backends"
)

// layoutVersion is of the data directory. A newer one is refused; an older one
// would be converted here.
const layoutVersion = "1"

// dataDir is the directory that holds all state of one server, locked against
// a second one as long as it is open.
//
//	LOCK        held by the server
//	version     of this layout
//	credentials basic-auth-user and basic-auth-password
//	state       of the local backend: functions, secrets, namespaces
//	wasm        modules and logs of functions in this process
//	cache       compiled code; may be deleted at any time
//	spill       request bodies in flight, without names
type dataDir struct {
	path string
	lock *os.File
}

// defaultDataDir is where state is kept if nobody says otherwise.
func defaultDataDir(environ map[string]string) (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/hearth", nil
	}
	if dir := environ["XDG_STATE_HOME"]; filepath.IsAbs(dir) {
		return filepath.Join(dir, "hearth"), nil
	}
	if home := environ["HOME"]; filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "hearth"), nil
	}
	return "", errors.New("neither XDG_STATE_HOME nor HOME is set")
}

// openDataDir makes the directory if it is missing and locks it. The field
// names the directory in errors, which are of kind ErrInvalid.
func openDataDir(field, path string) (*dataDir, error) {
	bad := func(format string, args ...any) error {
		return &backends.FieldError{Field: field, Value: path, Allowed: fmt.Sprintf(format, args...)}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, bad("a directory that can be made: %s", reason(err))
	}
	lock, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, bad("a directory that can be written: %s", reason(err))
	}
	d := &dataDir{path: path, lock: lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		d.Close()
		return nil, bad("a directory that no other hearth is using")
	}
	if err := d.checkVersion(); err != nil {
		d.Close()
		return nil, bad("%s", err)
	}
	return d, nil
}

// checkVersion notes the version of the layout in a new directory.
func (d *dataDir) checkVersion() error {
	path := filepath.Join(d.path, "version")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return writeFileDurably(path, []byte(layoutVersion+"\n"))
	}
	if err != nil {
		return fmt.Errorf("a directory that can be read: %s", reason(err))
	}
	if v := strings.TrimSpace(string(text)); v != layoutVersion {
		return fmt.Errorf("a directory of layout version %s, not %.20q: another version of Hearth wrote it", layoutVersion, v)
	}
	return nil
}

// in names a directory below.
func (d *dataDir) in(name string) string { return filepath.Join(d.path, name) }

// Close lets another server have the directory.
func (d *dataDir) Close() error { return d.lock.Close() }

// writeFileDurably writes a file that only its owner can read: whole and on
// disk, or not at all.
func writeFileDurably(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it is gone after the rename
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
