package runtime

import "bytes"

// Bounds of what one call adds to the function's log.
const (
	maxLine    = 16 << 10 // a longer line is cut into several
	maxCallLog = 1 << 20
)

const logTruncated = "truncated: this call wrote more than 1 MiB to its log"

// callLog cuts a guest's standard error into lines.
type callLog struct {
	emit func(line []byte)
	part []byte // of a line whose end has not come
	left int
}

func (l *callLog) begin(emit func(line []byte)) {
	*l = callLog{emit: emit, part: l.part[:0], left: maxCallLog}
}

// write takes output; what is too much is dropped, with one line that says so.
func (l *callLog) write(p []byte) {
	if l.emit == nil || l.left < 0 {
		return
	}
	for len(p) > 0 && l.left >= 0 {
		i := bytes.IndexByte(p, '\n')
		whole := i >= 0
		if !whole {
			i = len(p)
		}
		take := min(i, maxLine-len(l.part))
		if whole && len(l.part) == 0 && take == i {
			l.line(p[:i])
			p = p[i+1:]
			continue
		}
		l.part = append(l.part, p[:take]...)
		p = p[take:]
		switch {
		case whole && take == i:
			p = p[1:]
			l.flush()
		case len(l.part) == maxLine:
			l.flush()
		}
	}
}

// finish ends the last line.
func (l *callLog) finish() {
	if len(l.part) > 0 {
		l.flush()
	}
}

func (l *callLog) flush() {
	l.line(l.part)
	l.part = l.part[:0]
}

func (l *callLog) line(p []byte) {
	if l.left < 0 {
		return
	}
	if l.left -= len(p) + 1; l.left < 0 {
		l.emit([]byte(logTruncated))
		return
	}
	l.emit(bytes.TrimSuffix(p, []byte("\r")))
}
