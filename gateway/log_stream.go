package gateway

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
	"hearth/gateway/http1"
)

// Times of a stream of logs. An empty line, which readers of NDJSON skip,
// keeps a silent stream open through proxies.
const (
	logKeepAlive = 15 * time.Second
	logLookOut   = time.Second // for a client that has gone
)

// logStream is the body of an answer with logs. One goroutine reads the
// backend's sequence; Close ends it and waits for it.
type logStream struct {
	query   backends.LogQuery
	log     *slog.Logger
	lines   chan logItem
	cancel  context.CancelFunc
	ended   chan struct{}   // the goroutine has returned
	down    <-chan struct{} // the server stops
	conn    net.Conn
	lookOut *time.Ticker
	silent  int    // looks since something was sent
	pending []byte // to be read
	err     error  // what comes after pending
}

type logItem struct {
	line backends.LogLine
	err  error
}

func newLogStream(ctx *fasthttp.RequestCtx, logs backends.Logs, q backends.LogQuery, log *slog.Logger) *logStream {
	reading, cancel := context.WithCancel(context.Background())
	s := &logStream{
		query: q, log: log, lines: make(chan logItem, 64), cancel: cancel, ended: make(chan struct{}),
		down: ctx.Done(), conn: ctx.Conn(), lookOut: time.NewTicker(logLookOut),
	}
	go func() {
		defer close(s.ended)
		defer close(s.lines)
		for line, err := range logs.Logs(reading, q) {
			select {
			case s.lines <- logItem{line, err}:
			case <-reading.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return s
}

// prefetch waits for the first line, so that an error instead of it can still
// be the answer.
func (s *logStream) prefetch() error {
	item, ok := <-s.lines
	if item.err != nil {
		return item.err
	}
	s.take(item, ok)
	return nil
}

// Read gives what there is to send, waiting for some of it. Each answer of
// Read is sent at once; lines that are there already go together.
func (s *logStream) Read(p []byte) (int, error) {
	for len(s.pending) == 0 && s.err == nil {
		select {
		case item, ok := <-s.lines:
			s.take(item, ok)
		case <-s.down:
			s.err = io.EOF
		case <-s.lookOut.C:
			s.look()
		}
	}
	s.silent = 0
	n := 0
	for {
		part := copy(p[n:], s.pending)
		n, s.pending = n+part, s.pending[part:]
		if n == len(p) || s.err != nil {
			break
		}
		select {
		case item, ok := <-s.lines:
			s.take(item, ok)
			continue
		default:
		}
		break
	}
	if n > 0 {
		return n, nil
	}
	return 0, s.err
}

// take makes the next item what Read gives. All of pending has been read.
func (s *logStream) take(item logItem, ok bool) {
	if !ok {
		s.err = io.EOF
		return
	}
	if s.err = item.err; s.err == nil {
		var line []byte
		line, s.err = json.Marshal(backends.LogMessage{
			Name: item.line.Key.Name, Namespace: item.line.Key.Namespace, Instance: item.line.Instance,
			Timestamp: item.line.Time, Text: item.line.Text,
		})
		s.pending = append(line, '\n')
	}
	if s.err != nil {
		s.pending = nil
		s.log.Error("reading the log of a function failed", "function", s.query.Key, "error", s.err)
	}
}

// look ends the stream if the client has gone, and breaks a long silence.
func (s *logStream) look() {
	if http1.Gone(s.conn) {
		s.err = net.ErrClosed
		return
	}
	if s.silent++; s.silent*int(logLookOut) >= int(logKeepAlive) {
		s.pending = append(s.pending, '\n')
	}
}

// Close ends the stream. The server calls it when the answer is over.
func (s *logStream) Close() error {
	s.cancel()
	s.lookOut.Stop()
	<-s.ended
	return nil
}
