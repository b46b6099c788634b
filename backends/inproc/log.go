package inproc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode/utf8"

	"hearth/backends"
)

const (
	maxLogLine = 16 << 10 // bytes; what is longer is cut
	logBurst   = 8 << 20  // bytes that a function may write at once
	logRate    = 1 << 20  // bytes per second in the long run
	logTime    = "2006-01-02T15:04:05.000000000Z"
)

// functionLog is one function's log. A line on the disk is
//
//	TIME INSTANCE TEXT\n
//
// with the time in UTC, of fixed width, and is written by one system call, so
// that a killed process leaves at most one torn line, which readers skip.
type functionLog struct {
	store *logStore
	key   backends.Key
	dir   string

	mu      sync.Mutex
	files   []logFile // oldest first; the last one is being written
	file    *os.File  // the last one, nil while nothing is written
	buf     []byte
	changed chan struct{} // closed by the next line; nil while nobody waits
	ended   bool
	budget  float64 // bytes that may be written now
	last    time.Time
	dropped int // lines since the last one that was written
}

type logFile struct {
	number int
	size   int64
	at     time.Time // of its last line
}

// write appends one line. It never fails towards the function: what cannot be
// kept is dropped and counted.
func (l *functionLog) write(instance string, line []byte) {
	if l.append(time.Now(), instance, line); l.store.size.Load() > l.store.total {
		l.store.makeRoom()
	}
}

func (l *functionLog) append(now time.Time, instance string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || !l.allow(now, len(line)) {
		return
	}
	l.buf = l.buf[:0]
	if l.dropped > 0 {
		note := fmt.Appendf(nil, "[%d lines dropped: the function writes more than %d bytes per second]", l.dropped, logRate)
		l.buf = appendLine(l.buf, now, instance, note)
		l.dropped = 0
	}
	l.buf = appendLine(l.buf, now, instance, line)
	if err := l.flush(now); err != nil {
		l.store.fault(l.key, err)
		l.closeFile()
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// allow spends n bytes of what the function may write, if it has them.
func (l *functionLog) allow(now time.Time, n int) bool {
	l.budget = min(logBurst, l.budget+max(0, now.Sub(l.last).Seconds())*logRate)
	l.last = now
	if n = min(n, maxLogLine) + len(logTime); l.budget < float64(n) {
		l.dropped++
		l.store.dropped.Add(1)
		return false
	}
	l.budget -= float64(n)
	return true
}

// appendLine appends a line as it stands on the disk, cut if it is too long.
func appendLine(buf []byte, now time.Time, instance string, line []byte) []byte {
	buf = now.UTC().AppendFormat(buf, logTime)
	buf = append(append(append(buf, ' '), instance...), ' ')
	text := len(buf)
	if cut := len(line) - maxLogLine; cut > 0 {
		end := maxLogLine
		for end > maxLogLine-utf8.UTFMax && !utf8.RuneStart(line[end]) {
			end--
		}
		buf = fmt.Appendf(append(buf, line[:end]...), " [%d bytes cut]", len(line)-end)
	} else {
		buf = append(buf, line...)
	}
	for i := text; i < len(buf); i++ { // one event is one line
		if buf[i] == '\n' {
			buf[i] = ' '
		}
	}
	return append(buf, '\n')
}

// flush writes buf to the last file, or to a new one when that is full.
func (l *functionLog) flush(now time.Time) error {
	if n := len(l.files); n > 0 && l.files[n-1].size+int64(len(l.buf)) > l.store.fileMax {
		l.closeFile()
		l.files = append(l.files, logFile{number: l.files[n-1].number + 1})
		for len(l.files) > logFiles {
			l.drop()
		}
	}
	if l.file == nil {
		if err := l.openFile(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(l.buf)
	f := &l.files[len(l.files)-1]
	f.size, f.at = f.size+int64(n), now
	l.store.size.Add(int64(n))
	return err
}

// openFile opens the last file for writing and ends a torn line in it.
func (l *functionLog) openFile() error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	if len(l.files) == 0 {
		l.files = append(l.files, logFile{number: 1})
	}
	f, err := os.OpenFile(l.path(l.files[len(l.files)-1].number), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if size := l.files[len(l.files)-1].size; size > 0 {
		end := []byte{'\n'}
		if _, err := f.ReadAt(end, size-1); err != nil || end[0] != '\n' {
			l.buf = append([]byte{'\n'}, l.buf...)
		}
	}
	l.file = f
	return nil
}

func (l *functionLog) path(number int) string {
	return filepath.Join(l.dir, fmt.Sprintf("%08d%s", number, logSuffix))
}

func (l *functionLog) closeFile() {
	if l.file != nil {
		l.file.Close() // nothing is buffered that could be lost
		l.file = nil
	}
}

func (l *functionLog) closeIfSilentSince(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.Before(t) {
		l.closeFile()
		l.buf = nil
	}
}

// oldest gives the age of the oldest file, false if there is nothing to remove.
func (l *functionLog) oldest() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) == 0 || len(l.files) == 1 && l.files[0].size == 0 {
		return time.Time{}, false
	}
	return l.files[0].at, true
}

// dropOldest removes the oldest file, be it the one that is written.
func (l *functionLog) dropOldest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch len(l.files) {
	case 0:
	case 1: // go on in a new one: a reader knows a file by its number
		l.closeFile()
		l.files = append(l.files, logFile{number: l.files[0].number + 1, at: l.files[0].at})
		l.drop()
	default:
		l.drop()
	}
}

// drop removes the first file.
func (l *functionLog) drop() {
	if err := os.Remove(l.path(l.files[0].number)); err != nil && !os.IsNotExist(err) {
		l.store.fault(l.key, err)
	}
	l.store.size.Add(-l.files[0].size)
	l.files = l.files[1:]
}

// remove ends the log and removes its files.
func (l *functionLog) remove() {
	l.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		l.store.size.Add(-f.size)
	}
	l.files = nil
	if err := os.RemoveAll(l.dir); err != nil {
		l.store.fault(l.key, err)
	}
}

// end refuses further lines and wakes everybody who waits for one.
func (l *functionLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.closeFile()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// parseLine reads a line as it stands on the disk, without its line end.
func parseLine(key backends.Key, raw []byte) (backends.LogLine, bool) {
	at, rest, ok := bytes.Cut(raw, []byte{' '})
	instance, text, ok2 := bytes.Cut(rest, []byte{' '})
	if !ok || !ok2 || len(at) != len(logTime) {
		return backends.LogLine{}, false
	}
	t, err := time.Parse(logTime, string(at))
	if err != nil {
		return backends.LogLine{}, false
	}
	return backends.LogLine{Key: key, Instance: string(instance), Time: t, Text: string(text)}, true
}
