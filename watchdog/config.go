// Package watchdog serves one function over HTTP: in a container, an
// allocation, or a child process. It takes the place of both of OpenFaaS'
// watchdogs: environment, headers, status codes, log lines and probes are
// theirs.
//
// Where they are wrong it is not like them: a function that dies is started
// again and does not take the watchdog with it, it hears of a shutdown only
// after the last request, and bodies, output and log lines have bounds. No
// goroutine outlives its request.
package watchdog

import (
	"io"
	"net/url"
	"time"

	"hearth/backends"
)

// Mode is how requests reach the function.
type Mode string

// The modes of both watchdogs, and Wasm, which is ours.
const (
	Streaming   Mode = "streaming"   // a process per request, its output sent as it comes
	Serializing Mode = "serializing" // a process per request, its output sent when it has ended
	Classic     Mode = "classic"     // like Serializing, in the ways of the first watchdog
	HTTP        Mode = "http"        // one process that serves HTTP
	Static      Mode = "static"      // files
	Inproc      Mode = "inproc"      // a backends.Handler
	Wasm        Mode = "wasm"        // a module, loaded by main as the Handler
)

// Config is everything a Watchdog needs. FromEnviron makes one.
type Config struct {
	Mode     Mode
	Network  string // "tcp" or "unix"
	Address  string // of the function's listener
	Metrics  string // address of the listener of /metrics; empty = none
	LockFile string // exists while requests are taken; empty = none

	Process  []string // the function's command line
	Environ  []string // NAME=value, of the function's processes
	Upstream *url.URL // where a process of the mode http serves
	Files    string   // directory of the mode static
	Module   string   // path of the mode wasm's module

	ReadTimeout  time.Duration // of a request
	WriteTimeout time.Duration // of one write to a client, and of draining
	ExecTimeout  time.Duration // of the function; 0 = none
	Unready      time.Duration // from the end of health to the end of listening

	StopDelay time.Duration // between SIGTERM and SIGKILL of a process that serves; 0 = 10 s

	ContentType string // of answers of processes; empty = the mode's own
	ReadyPath   string // asked of the function by /_/ready
	MaxInflight int    // requests at once; 0 = no limit
	MaxBody     int64  // bytes of a request body that is buffered
	MaxAnswer   int64  // bytes of an answer that is buffered
	BufferBody  bool   // read a body before the function gets it

	Combine    bool // classic: standard error is part of the answer
	CGI        bool // classic: headers become environment
	Marshal    bool // classic: header and body go as one JSON object
	Debug      bool // classic: log what is answered
	PrefixLogs bool // date and origin before lines of the function's processes
	LogLine    int  // bytes of one of those lines
	LogCallID  bool // the call id in the access log

	// Reap makes the watchdog wait for processes that functions left behind, as
	// the first process of a container must. It belongs to a main.
	Reap bool
	// Abandoned tells, after Run's context has ended, that nobody waits for the
	// requests in flight: they are cut. nil = never.
	Abandoned func() bool
	Log       io.Writer // lines of the watchdog and the function, whole lines at a time
}

// defaults of both watchdogs; the bounds are ours.
const (
	defaultTimeout   = 30 * time.Second
	defaultUnready   = 5 * time.Second
	defaultLogLine   = 64 << 10
	defaultMaxBuffer = 64 << 20
	maxLogLine       = 1 << 20
)

// check finds what a mode needs and has not.
func (c *Config) check() error {
	var faults backends.Faults
	switch c.Mode {
	case Streaming, Serializing, Classic, HTTP:
		if len(c.Process) == 0 {
			faults.Add("fprocess", "", "the command line of the function; the mode "+string(c.Mode)+" needs one")
		}
	case Static, Inproc, Wasm:
	default:
		faults.Add("mode", string(c.Mode), "streaming, serializing, classic, http, static or wasm")
	}
	if c.Mode == HTTP && c.Upstream == nil {
		faults.Add("upstream_url", "", "where the function serves, such as http://127.0.0.1:3000; the mode http needs it")
	}
	if c.Mode == Wasm && c.Module == "" {
		faults.Add("wasm_module", "", "the path of a module; the mode wasm needs one")
	}
	return faults.Err()
}
