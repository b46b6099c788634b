package watchdog

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// logger writes lines, each whole, each with the date that Go's log package
// puts before it: tools cut it off.
type logger struct {
	mu    sync.Mutex
	to    io.Writer
	dated bool
}

const dateFormat = "2006/01/02 15:04:05 "

func (l *logger) printf(format string, args ...any) {
	l.line(l.dated, fmt.Sprintf(format, args...))
}

func (l *logger) line(dated bool, text string) {
	b := make([]byte, 0, len(dateFormat)+len(text)+1)
	if dated {
		b = time.Now().AppendFormat(b, dateFormat)
	}
	b = append(append(b, text...), '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to.Write(b) // nobody is left to be told
}

// lines passes what a process writes on to the log, line by line. A line above
// the bound comes in parts, so that memory is bounded whatever is written.
type lines struct {
	log    *logger
	prefix string
	dated  bool
	most   int
	part   []byte
}

// childLines makes the log of one output of the function's processes.
func (w *Watchdog) childLines(origin string) *lines {
	l := &lines{log: w.log, most: w.cfg.LogLine, dated: w.cfg.PrefixLogs}
	if w.cfg.PrefixLogs {
		l.prefix = origin + ": "
	}
	return l
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		if room := l.most - len(l.part); len(line) > room {
			line, rest, ended = p[:room], p[room:], true
		}
		l.part = append(l.part, line...)
		if p = rest; ended {
			l.flush()
		}
	}
	return n, nil
}

// flush ends a line that has begun.
func (l *lines) flush() {
	l.log.line(l.dated, l.prefix+string(bytes.TrimSuffix(l.part, []byte{'\r'})))
	l.part = l.part[:0]
}

// Close passes on a last line that has no end.
func (l *lines) Close() error {
	if len(l.part) > 0 {
		l.flush()
	}
	return nil
}
