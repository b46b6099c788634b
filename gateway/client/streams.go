package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hearth/backends"
)

// maxLogLine bounds one line of a log, in bytes of JSON.
const maxLogLine = 8 << 20

// Logs gives the lines of a function's log as they come. The sequence ends
// with the log, with ctx, or after an error: ErrNotFound for an unknown
// function, ErrUnavailable when the stream was cut.
func (c *Client) Logs(ctx context.Context, q backends.LogQuery) iter.Seq2[backends.LogLine, error] {
	return func(yield func(backends.LogLine, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		resp, err := c.send(ctx, http.MethodGet, logsPath(q), nil)
		if err != nil {
			yield(backends.LogLine{}, err)
			return
		}
		defer resp.Body.Close()
		if err := c.check(resp); err != nil {
			yield(backends.LogLine{}, err)
			return
		}
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, maxLogLine)
		for lines.Scan() {
			if len(strings.TrimSpace(lines.Text())) == 0 {
				continue // keeps a silent stream open
			}
			line, err := logLine(lines.Bytes())
			if !yield(line, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil && ctx.Err() == nil {
			yield(backends.LogLine{}, backends.Errorf(backends.ErrUnavailable, "the log was cut: %w", err))
		}
	}
}

func logsPath(q backends.LogQuery) string {
	since, tail := "", ""
	if !q.Since.IsZero() {
		since = q.Since.UTC().Format(time.RFC3339Nano)
	}
	if q.Tail > 0 {
		tail = strconv.Itoa(q.Tail)
	}
	return query("/system/logs", "name", q.Key.Name, "namespace", q.Key.Namespace, "instance", q.Instance,
		"since", since, "tail", tail, "follow", strconv.FormatBool(q.Follow))
}

func logLine(text []byte) (backends.LogLine, error) {
	var m backends.LogMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return backends.LogLine{}, backends.Errorf(backends.ErrUnsupported, "what came is no log of OpenFaaS' API: %w", err)
	}
	return backends.LogLine{
		Key:      backends.Key{Namespace: m.Namespace, Name: m.Name},
		Instance: m.Instance, Time: m.Timestamp, Text: strings.TrimRight(m.Text, "\r\n"),
	}, nil
}

// PutModule uploads a module, read to its end. ErrTooLarge above the gateway's
// limit, ErrInvalid if it cannot be a function, ErrUnsupported if the gateway
// runs none.
func (c *Client) PutModule(ctx context.Context, r io.Reader) (backends.Module, error) {
	var m backends.Module
	_, err := c.call(ctx, http.MethodPut, "/system/modules", r, &m)
	var answer *Error
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		err = backends.Errorf(backends.ErrUnsupported, "the gateway %s takes no modules", c.base)
	}
	return m, err
}

// Store gives the functions that the gateway can deploy by name.
func (c *Client) Store(ctx context.Context) ([]backends.StoreFunction, error) {
	var document struct {
		Functions []backends.StoreFunction `json:"functions"`
	}
	_, err := c.call(ctx, http.MethodGet, "/system/store", nil, &document)
	return document.Functions, err
}

// Call is one call of a function. The zero value of a field means none.
type Call struct {
	Key    backends.Key
	Method string      // empty = POST
	Path   string      // after the function's name, beginning with /, as it is sent
	Query  string      // without ?, as it is sent
	Header http.Header // Host is taken from it
	Body   io.Reader   // streamed; a *bytes.Reader and its like go with their length
	Async  bool        // through the queue: the answer is 202 or an error
}

// Invoke calls a function without credentials of the API, which are none of
// its business. Any answer of the function is given as it is, whatever its
// status, and its body is the caller's to close. The error is ErrUnavailable if
// the gateway cannot be reached.
func (c *Client) Invoke(ctx context.Context, call Call) (*http.Response, error) {
	route := "/function/"
	if call.Async {
		route = "/async-function/"
	}
	address := c.base.String() + route + call.Key.String() + call.Path
	if call.Query != "" {
		address += "?" + call.Query
	}
	if u, err := url.Parse(address); err != nil || u.Fragment != "" || call.Path != "" && call.Path[0] != '/' {
		return nil, &backends.FieldError{Field: "path", Value: call.Path, Allowed: "a path beginning with /, % codes for what cannot stand in one"}
	}
	method := call.Method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, address, call.Body)
	if err != nil {
		return nil, backends.Errorf(backends.ErrInvalid, "request: %v", err)
	}
	for name, values := range call.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	return c.do(req)
}
