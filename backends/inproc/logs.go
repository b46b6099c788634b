package inproc

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearth/backends"
)

const (
	logFiles    = 3           // of one function, the one being written included
	logSuffix   = ".log"      // of files named by a number that grows
	logIdle     = time.Minute // without a line closes the file
	faultEvery  = time.Minute // between two reports of a disk that fails
	logKeepPart = 0.9         // of the total is left after making room
)

// logStore keeps what functions write, one directory of numbered files per
// function. It is bounded per function and in all: the oldest files go first.
// An idle function holds neither an open file nor a goroutine.
type logStore struct {
	dir     string
	fileMax int64 // bytes of one file
	total   int64 // bytes of all
	log     *slog.Logger
	size    atomic.Int64 // bytes of all now
	dropped atomic.Int64 // lines of functions that wrote too fast
	faulted atomic.Int64 // when a fault was reported last, Unix nanoseconds

	mu   sync.Mutex // before any functionLog's
	logs map[backends.Key]*functionLog
}

// openLogStore finds the logs that a process before this one has kept.
func openLogStore(dir string, fileMax, total int64, log *slog.Logger) (*logStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("function logs: %w", err)
	}
	s := &logStore{dir: dir, fileMax: fileMax, total: total, log: log, logs: map[backends.Key]*functionLog{}}
	dirs, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("function logs: %w", err)
	}
	for _, d := range dirs {
		key, err := backends.NewKey(filepath.Base(filepath.Dir(d)), filepath.Base(d))
		if err != nil {
			continue
		}
		l := s.newLog(key)
		if l.files, err = listLogFiles(d); err != nil {
			return nil, fmt.Errorf("function logs: %w", err)
		}
		for _, f := range l.files {
			s.size.Add(f.size)
		}
		s.logs[key] = l
	}
	return s, nil
}

// listLogFiles gives a directory's log files, oldest first.
func listLogFiles(dir string) ([]logFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []logFile
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), logSuffix)
		n, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue
		}
		files = append(files, logFile{number: int(n), size: info.Size(), at: info.ModTime()})
	}
	slices.SortFunc(files, func(a, b logFile) int { return a.number - b.number })
	return files, nil
}

func (s *logStore) newLog(key backends.Key) *functionLog {
	return &functionLog{store: s, key: key, dir: filepath.Join(s.dir, key.Namespace, key.Name), budget: logBurst}
}

// of gives a function's log, which exists from its first line on.
func (s *logStore) of(key backends.Key) *functionLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[key]
	if l == nil {
		l = s.newLog(key)
		s.logs[key] = l
	}
	return l
}

// remove removes a function's log and ends those who follow it. Lines that
// calls still under way write are dropped.
func (s *logStore) remove(key backends.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[key]; l != nil {
		l.remove()
		delete(s.logs, key)
	}
}

// retain removes the logs of all functions but those.
func (s *logStore) retain(keep func(backends.Key) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, l := range s.logs {
		if !keep(key) {
			l.remove()
			delete(s.logs, key)
		}
	}
}

// closeIdle closes the files of functions that have been silent.
func (s *logStore) closeIdle(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.logs {
		l.closeIfSilentSince(now.Add(-logIdle))
	}
}

// close closes every file and ends everybody who follows.
func (s *logStore) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.logs {
		l.end()
	}
}

// makeRoom removes the oldest files of all functions until the total is
// well below its bound. No functionLog may be locked.
func (s *logStore) makeRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for float64(s.size.Load()) > float64(s.total)*logKeepPart {
		var oldest *functionLog
		var at time.Time
		for _, l := range s.logs {
			if t, ok := l.oldest(); ok && (oldest == nil || t.Before(at)) {
				oldest, at = l, t
			}
		}
		if oldest == nil {
			return
		}
		oldest.dropOldest()
	}
}

// fault reports a disk that does not take log lines, now and then; calls go on.
func (s *logStore) fault(key backends.Key, err error) {
	now := time.Now().UnixNano()
	if last := s.faulted.Load(); now-last < int64(faultEvery) || !s.faulted.CompareAndSwap(last, now) {
		return
	}
	s.log.Warn("function logs lose lines", "function", key.String(), "error", err)
}
