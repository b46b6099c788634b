package local

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hearth/backends"
)

// Directories of the store, one per kind of thing; each thing is one file.
const (
	kindFunction   = "functions"
	kindSecret     = "secrets"
	kindNamespace  = "namespaces"
	quarantineDir  = "quarantine"
	layoutFile     = "layout"
	layoutVersion  = 1
	tempFile       = ".new"   // one suffices: changes happen one at a time
	maxFile        = 16 << 20 // bytes; nothing of ours comes near it
	maxQuarantined = 200      // bytes of the old name kept in quarantine
)

// store is a directory of small files, each replaced as a whole.
type store struct {
	dir   string
	files files
	log   *slog.Logger
}

// prepare makes what is missing and checks who wrote the rest.
func (s *store) prepare() error {
	if err := s.makeDir(s.dir); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.dir, layoutFile))
	version, malformed := strconv.Atoi(strings.TrimSpace(string(text)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case malformed == nil && version > layoutVersion:
		return fmt.Errorf("%s says version %d, this Hearth knows up to %d: run the newer Hearth that wrote it", layoutFile, version, layoutVersion)
	}
	for _, d := range [...]string{quarantineDir, kindFunction, kindSecret, kindNamespace} {
		if err := s.makeDir(filepath.Join(s.dir, d)); err != nil {
			return err
		}
	}
	if err == nil && version == layoutVersion {
		return s.files.syncDir(s.dir) // an earlier start may have been cut off before it did
	}
	if err == nil {
		s.quarantine("", layoutFile, "it is not a version number of Hearth's")
	}
	_, err = s.write("", layoutFile, fmt.Appendln(nil, layoutVersion))
	return err
}

// makeDir makes a directory that is missing, and those above it, for good.
func (s *store) makeDir(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := s.makeDir(parent); err != nil {
			return err
		}
	}
	if err := s.files.mkdir(path); err != nil {
		return err
	}
	return s.files.syncDir(parent)
}

// load hands every file of a kind to take. Those that take refuses go to
// quarantine, those that cannot be read stay where they are; both are reported.
func (s *store) load(kind string, take func(name string, text []byte) error) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, kind))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(s.dir, kind, e.Name())
		if e.Name() == tempFile && e.Type().IsRegular() {
			// A change that was cut off, never acknowledged.
			if err := s.files.remove(path); err != nil {
				s.log.Warn("cannot remove a left-over file", "file", path, "error", err)
			}
			continue
		}
		info, err := e.Info()
		if err != nil || !e.Type().IsRegular() || info.Size() > maxFile {
			s.quarantine(kind, e.Name(), "not a file of the store")
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			s.log.Error("cannot read a file of the store; what it holds is not served", "file", path, "error", err)
			continue
		}
		if err := take(e.Name(), text); err != nil {
			s.quarantine(kind, e.Name(), err.Error())
		}
	}
	return nil
}

// quarantine moves a file out of the way and says so.
func (s *store) quarantine(kind, name, why string) {
	from := filepath.Join(s.dir, kind, name)
	kept := strings.Trim(kind+"-"+name, "-")
	kept = kept[:min(len(kept), maxQuarantined)] + "-" + strconv.FormatInt(time.Now().UnixNano(), 10)
	to := filepath.Join(s.dir, quarantineDir, kept)
	err := s.files.rename(from, to)
	if err == nil {
		err = s.files.syncDir(filepath.Dir(to))
	}
	if err != nil {
		s.log.Error("cannot move a broken file to quarantine; it is ignored", "file", from, "why", why, "error", err)
		return
	}
	s.log.Error("moved a broken file to quarantine", "file", from, "to", to, "why", why)
}

// write replaces a file by text. done says which of the two is there now: with
// an error it is true when the new file is in place but the disk did not
// confirm that it would outlast a power cut.
func (s *store) write(kind, name string, text []byte) (done bool, err error) {
	dir := filepath.Join(s.dir, kind)
	temp := filepath.Join(dir, tempFile)
	if err := s.fill(temp, text); err != nil {
		_ = s.files.remove(temp) // gives the space back; the next write or load empties it anyway
		return false, failed(kind, name, err)
	}
	if err := s.files.rename(temp, filepath.Join(dir, name)); err != nil {
		_ = s.files.remove(temp)
		return false, failed(kind, name, err)
	}
	return true, s.confirm(kind, name)
}

// fill writes a file and waits until the disk has it.
func (s *store) fill(path string, text []byte) error {
	f, err := s.files.create(path)
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// remove takes a file away; done is as for write.
func (s *store) remove(kind, name string) (done bool, err error) {
	dir := filepath.Join(s.dir, kind)
	if err := s.files.remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, failed(kind, name, err)
	}
	return true, s.confirm(kind, name)
}

// confirm waits until the disk has the names of a directory.
func (s *store) confirm(kind, name string) error {
	if err := s.files.syncDir(filepath.Join(s.dir, kind)); err != nil {
		return failed(kind, name, fmt.Errorf("it is changed, but perhaps not for good: %w", err))
	}
	return nil
}

// failed gives an error of the disk its kind: space may be freed.
func failed(kind, name string, err error) error {
	return backends.Errorf(backends.ErrUnavailable, "change %s/%s: %w", kind, name, err)
}
