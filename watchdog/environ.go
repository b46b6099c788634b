package watchdog

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/backends"
)

// FromEnviron reads a Config from an environment, in the names and with the
// defaults of OpenFaaS' watchdogs. A value that they would pass over in
// silence is passed over with a warning; ErrInvalid for what cannot be served.
func FromEnviron(environ []string) (c Config, warnings []string, err error) {
	e := &environment{values: map[string]string{}}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			e.values[name] = value
		}
	}
	c = Config{
		Mode: Mode(e.text("streaming", "mode")), Network: "tcp", Environ: slices.Clone(environ), Log: os.Stderr,
		Process: commandLine(e.text("", "function_process", "fprocess")),
		Files:   e.text("/home/app/public", "static_path"), Module: e.text("", "wasm_module"), ReadyPath: e.text("", "ready_path"),
		ReadTimeout: e.duration(defaultTimeout, "read_timeout"), WriteTimeout: e.duration(defaultTimeout, "write_timeout"),
		ContentType: e.text("", "content_type"), MaxInflight: e.count(0, "max_inflight"),
		MaxBody: int64(e.count(defaultMaxBuffer, "max_body_bytes")), MaxAnswer: int64(e.count(defaultMaxBuffer, "max_answer_bytes")),
		BufferBody: e.flag(false, "http_buffer_req_body", "buffer_http"),
		Combine:    e.flag(true, "combine_output"), CGI: e.flag(true, "cgi_headers"), Marshal: e.flag(false, "marshal_request"), Debug: e.flag(false, "write_debug"),
		PrefixLogs: e.flag(true, "prefix_logs"), LogCallID: e.flag(false, "log_callid", "log_call_id"),
		LogLine: e.logLine(),
	}
	c.ExecTimeout = e.duration(defaultTimeout, "exec_timeout")
	if c.Mode == Classic {
		c.ExecTimeout = e.duration(0, "exec_timeout")
	}
	// Theirs is the write timeout, 30 s, after which most orchestrators have
	// killed the container.
	c.Unready = e.duration(min(defaultUnready, c.WriteTimeout), "healthcheck_interval")
	if !e.flag(false, "suppress_lock") {
		c.LockFile = LockFile(e.values)
	}
	c.Address, c.Metrics = e.port(8080, "port"), e.port(8081, "metrics_port")
	if socket := e.values["listen_socket"]; socket != "" { // ours
		c.Network, c.Address, c.Metrics = "unix", socket, ""
	}
	c.Upstream = e.upstream()
	if e.flag(false, "jwt_auth") {
		e.faults.Add("jwt_auth", e.values["jwt_auth"], "false: tokens of functions are checked by the gateway, and never by nobody")
	}
	e.faults.AddErr(c.check())
	return c, e.warnings, e.faults.Err()
}

// commandLine splits at each single space, as OpenFaaS' watchdogs do: nothing
// is quoted, and two spaces have an empty argument between them.
func commandLine(text string) []string {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	return strings.Split(text, " ")
}

// LockFile is the path of the lock file in an environment: below $TMPDIR, or
// /tmp.
func LockFile(environ map[string]string) string {
	dir := environ["TMPDIR"]
	if dir == "" {
		dir = "/tmp"
	}
	return filepath.Join(dir, ".lock")
}

// environment reads values, the first of several names that is there.
type environment struct {
	values   map[string]string
	warnings []string
	faults   backends.Faults
}

func (e *environment) text(otherwise string, names ...string) string {
	_, value := e.find(names)
	if value == "" {
		return otherwise
	}
	return value
}

func (e *environment) find(names []string) (name, value string) {
	for _, name := range names {
		if value := e.values[name]; value != "" {
			return name, value
		}
	}
	return names[0], ""
}

func (e *environment) duration(otherwise time.Duration, names ...string) time.Duration {
	name, value := e.find(names)
	if value == "" {
		return otherwise
	}
	d, ok := backends.ParseDuration(value)
	if !ok {
		e.warn(name, value, otherwise.String())
		return otherwise
	}
	return d
}

func (e *environment) count(otherwise int, names ...string) int {
	name, value := e.find(names)
	if value == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		e.warn(name, value, strconv.Itoa(otherwise))
		return otherwise
	}
	return int(n)
}

func (e *environment) flag(otherwise bool, names ...string) bool {
	_, value := e.find(names)
	if value == "" {
		return otherwise
	}
	return value == "true" || value == "1"
}

// logLine bounds lines even where the original has none.
func (e *environment) logLine() int {
	if e.values["log_buffer_size"] == "-1" {
		return maxLogLine
	}
	return min(max(e.count(defaultLogLine, "log_buffer_size"), 1<<10), maxLogLine)
}

func (e *environment) port(otherwise int, name string) string {
	n := e.count(otherwise, name)
	if n > 65535 {
		e.faults.Add(name, e.values[name], "a port from 0 to 65535")
	}
	return net.JoinHostPort("", strconv.Itoa(n))
}

func (e *environment) upstream() *url.URL {
	name, value := e.find([]string{"http_upstream_url", "upstream_url"})
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		e.faults.Add(name, value, "an address such as http://127.0.0.1:3000")
		return nil
	}
	return u
}

func (e *environment) warn(name, value, otherwise string) {
	e.warnings = append(e.warnings, fmt.Sprintf("%s: %.80q is not understood; it stays %s", name, value, otherwise))
}
