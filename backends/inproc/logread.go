package inproc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"

	"hearth/backends"
)

// logPlace is where a line begins.
type logPlace struct {
	number int // of the file
	offset int64
}

func (p logPlace) before(o logPlace) bool {
	return p.number < o.number || p.number == o.number && p.offset < o.offset
}

// lines gives the lines that q asks for, oldest first. It reads what is there
// when it begins; with Follow it goes on, woken by each new line, until ctx
// ends or the function is removed.
func (l *functionLog) lines(ctx context.Context, q backends.LogQuery) iter.Seq2[backends.LogLine, error] {
	return func(yield func(backends.LogLine, error) bool) {
		from, to := l.extent()
		var err error
		if q.Tail > 0 {
			if from, err = l.tail(ctx, q, from, to); err != nil {
				yield(backends.LogLine{}, err)
				return
			}
		}
		c := logCursor{log: l, place: from}
		defer c.close()
		for ctx.Err() == nil {
			raw, at, err := c.next()
			switch {
			case err != nil:
				yield(backends.LogLine{}, err)
				return
			case raw == nil && !q.Follow, !q.Follow && !at.before(to):
				return
			case raw == nil:
				if !l.wait(ctx, c.seen()) {
					return
				}
				continue
			}
			if line, ok := l.selects(q, raw); ok && !yield(line, nil) {
				return
			}
		}
	}
}

// selects parses a line if q asks for it.
func (l *functionLog) selects(q backends.LogQuery, raw []byte) (backends.LogLine, bool) {
	line, ok := parseLine(l.key, raw)
	return line, ok && (q.Instance == "" || q.Instance == line.Instance) && !line.Time.Before(q.Since)
}

// extent gives the places of the first line and after the last.
func (l *functionLog) extent() (from, to logPlace) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.present()
}

func (l *functionLog) present() (from, to logPlace) {
	for _, f := range l.files {
		if f.size == 0 { // perhaps not there yet
			continue
		}
		if from.number == 0 {
			from.number = f.number
		}
		to = logPlace{f.number, f.size}
	}
	return from, to
}

// tail gives the place of the last q.Tail lines that q selects before to.
func (l *functionLog) tail(ctx context.Context, q backends.LogQuery, from, to logPlace) (logPlace, error) {
	c := logCursor{log: l, place: from}
	defer c.close()
	var ring []logPlace
	for n := 0; ctx.Err() == nil; {
		raw, at, err := c.next()
		if err != nil {
			return to, err
		}
		if raw == nil || !at.before(to) {
			break
		}
		if _, ok := l.selects(q, raw); !ok {
			continue
		}
		if len(ring) < q.Tail {
			ring = append(ring, at)
		} else {
			ring[n%q.Tail] = at
		}
		n++
	}
	first := to
	for _, at := range ring {
		if at.before(first) {
			first = at
		}
	}
	return first, nil
}

// wait returns when there may be more after place: true after a line, false
// when ctx or the log has ended.
func (l *functionLog) wait(ctx context.Context, place logPlace) bool {
	l.mu.Lock()
	if _, to := l.present(); place.before(to) {
		l.mu.Unlock()
		return true
	}
	if l.ended {
		l.mu.Unlock()
		return false
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	changed := l.changed
	l.mu.Unlock()
	select {
	case <-changed:
		return true
	case <-ctx.Done():
		return false
	}
}

// nextFile gives the number of the first file after number that has lines,
// false if there is none yet.
func (l *functionLog) nextFile(number int) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if f.number > number && f.size > 0 {
			return f.number, true
		}
	}
	return 0, false
}

// logCursor reads lines from file to file. A file that is removed while it is
// read is read to its end; one that went before is passed over.
type logCursor struct {
	log   *functionLog
	place logPlace // of the next line
	file  *os.File
	buf   []byte // what was read after place
	fill  []byte // the memory of buf
}

// next gives a line without its line end and where it began; nil at the
// present end. The line is valid until the next call.
func (c *logCursor) next() (raw []byte, at logPlace, err error) {
	for {
		if i := bytes.IndexByte(c.buf, '\n'); i >= 0 {
			raw, at = c.buf[:i], c.place
			c.buf = c.buf[i+1:]
			c.place.offset += int64(i + 1)
			return raw, at, nil
		}
		more, err := c.read()
		if err != nil {
			return nil, c.place, err
		}
		if more {
			continue
		}
		number, ok := c.log.nextFile(c.place.number)
		if !ok {
			return nil, c.place, nil
		}
		// The next file exists, so this one is complete: look once more.
		if more, err = c.read(); err != nil {
			return nil, c.place, err
		} else if more {
			continue
		}
		c.close()
		c.place = logPlace{number: number}
	}
}

// seen is the place after all that was read.
func (c *logCursor) seen() logPlace {
	return logPlace{c.place.number, c.place.offset + int64(len(c.buf))}
}

// read reads more of the present file, false at its end.
func (c *logCursor) read() (bool, error) {
	if c.place.offset == math.MaxInt64 {
		return false, nil
	}
	if c.file == nil {
		f, err := os.Open(c.log.path(c.place.number))
		if errors.Is(err, fs.ErrNotExist) {
			c.place.offset = math.MaxInt64
			return false, nil
		}
		if err != nil {
			return false, backends.Errorf(backends.ErrUnavailable, "the log of %s cannot be read: %w", c.log.key, err)
		}
		c.file = f
	}
	if c.fill == nil {
		c.fill = make([]byte, 4*maxLogLine)
	}
	n := copy(c.fill, c.buf)
	if n == len(c.fill) { // no line of ours is so long: foreign bytes
		c.place.offset += int64(n)
		n = 0
	}
	got, err := c.file.ReadAt(c.fill[n:], c.place.offset+int64(n))
	c.buf = c.fill[:n+got]
	if err != nil && err != io.EOF {
		return false, backends.Errorf(backends.ErrUnavailable, "the log of %s cannot be read: %w", c.log.key, err)
	}
	return got > 0, nil
}

func (c *logCursor) close() {
	if c.file != nil {
		c.file.Close()
	}
	c.file, c.buf = nil, nil
}
