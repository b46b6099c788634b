package gateway

import (
	"net/http"
	"strconv"
	"time"

	"hearth/backends"
)

// readLogs streams the lines of one function as NDJSON, each as soon as it is
// there. The stream ends with the lines, or when the client or the process
// goes; one that ends because of an error is cut, not closed cleanly.
func (s *system) readLogs(c *call) error {
	logs := s.cfg.Backend.Powers().Logs
	if logs == nil {
		return s.without("logs")
	}
	query, err := c.logQuery()
	if err != nil {
		return err
	}
	if _, err := s.cfg.Backend.Get(c.ctx, query.Key); err != nil {
		return err
	}
	c.SetContentType("application/x-ndjson")
	if c.IsHead() {
		return nil
	}
	stream := newLogStream(c.RequestCtx, logs, query, s.log)
	if !query.Follow { // then the first line needs nobody to write it
		if err := stream.prefetch(); err != nil {
			stream.Close()
			return err
		}
	}
	c.Response.ImmediateHeaderFlush = true
	c.SetBodyStream(stream, -1)
	return nil
}

// logQuery reads the query of a request for logs; of a repeated argument the
// last one counts. What is not allowed is answered with 422, as in OpenFaaS,
// unless it is a name.
func (c *call) logQuery() (backends.LogQuery, error) {
	args := map[string]string{}
	for name, value := range c.QueryArgs().All() {
		args[string(name)] = string(value)
	}
	var q backends.LogQuery
	var err error
	c.name = args["name"]
	if q.Key, err = c.key(""); err != nil {
		return q, err
	}
	var faults backends.Faults
	if v := args["tail"]; v != "" {
		if q.Tail, err = strconv.Atoi(v); err != nil {
			faults.Add("tail", v, "a whole number; 0 or less gives all lines")
		}
	}
	if v := args["since"]; v != "" {
		if q.Since, err = time.Parse(time.RFC3339, v); err != nil {
			faults.Add("since", v, "a time of RFC 3339, such as 2026-01-31T08:00:00Z")
		}
	}
	if len(args["instance"]) > maxInstance {
		faults.Add("instance", args["instance"], "at most "+strconv.Itoa(maxInstance)+" bytes")
	}
	q.Instance = args["instance"]
	q.Follow, _ = strconv.ParseBool(args["follow"])
	if err := faults.Err(); err != nil {
		return q, &statusError{http.StatusUnprocessableEntity, err}
	}
	return q, nil
}

// maxInstance bounds the name of a replica, in bytes.
const maxInstance = 253
