package process

import (
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/backends"
)

// searchPath is where programs are looked for, unless a function says else.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Names in a function's environment.
const (
	envMode     = "mode"         // of the watchdog
	envUpstream = "upstream_url" // of a program that serves HTTP
	envSecrets  = "HEARTH_SECRETS"
)

// modes are those of the watchdog that are for programs.
var modes = []string{"classic", "streaming", "serializing", "http"}

// spec is how a child is started.
type spec struct {
	environ []string
	memory  int64         // bytes that a process of the function may take; 0 = any
	seconds int64         // of CPU likewise
	longest time.Duration // that a call may take
	probe   string        // path of the readiness probe
}

// refusal is why programs may not run here; empty if they may.
func (h *Host) refusal() string {
	if h.cfg.Allow {
		return ""
	}
	return "programs of this machine run only on a server that is started with --allow-exec"
}

// accepts says whether a function, if it is a program, can run.
func (h *Host) accepts(f backends.Function) error {
	if !f.IsProgram() {
		return nil
	}
	if !h.cfg.Allow {
		return &backends.FieldError{Field: "image", Value: f.Image, Allowed: h.refusal()}
	}
	var faults backends.Faults
	if f.Image != backends.ImageProgram {
		faults.Add("image", f.Image, backends.ImageProgram+" alone, with the command line in envProcess")
	}
	if argv := strings.Fields(f.Process); len(argv) == 0 {
		faults.Add("envProcess", f.Process, "the command line of a program of this machine")
	} else if !isProgram(argv[0], search(f)) {
		faults.Add("envProcess", argv[0], "an executable file, by its absolute path or by its name in "+search(f))
	}
	mode := modeOf(f)
	if !slices.Contains(modes, mode) {
		faults.Add("envVars["+envMode+"]", mode, strings.Join(modes, ", "))
	}
	for _, name := range [...]string{envUpstream, "http_" + envUpstream} {
		if v := f.Env[name]; v != "" {
			faults.Add("envVars["+name+"]", v, "none, because each replica has an address of its own: with mode=http listen on 127.0.0.1 at the port in the environment variable PORT")
		}
	}
	return faults.Err()
}

func modeOf(f backends.Function) string {
	if m := f.Env[envMode]; m != "" {
		return m
	}
	return modes[0]
}

func search(f backends.Function) string {
	if p := f.Env["PATH"]; p != "" {
		return p
	}
	return searchPath
}

// isProgram tells whether a name is that of an executable file.
func isProgram(name, path string) bool {
	if strings.Contains(name, "/") {
		return filepath.IsAbs(name) && isExecutable(name)
	}
	return slices.ContainsFunc(filepath.SplitList(path), func(dir string) bool {
		return filepath.IsAbs(dir) && isExecutable(filepath.Join(dir, name))
	})
}

func isExecutable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// spec works out how a function's child is started. The environment is the
// function's, with what it needs from us, and nothing of the server's.
func (h *Host) spec(f backends.Function, secrets string) (spec, error) {
	policy, err := backends.CallPolicyOf(f, h.cfg.Call)
	if err != nil {
		return spec{}, err
	}
	mode, timeout := modeOf(f), policy.Timeout
	s := spec{longest: timeout, probe: "/_/ready"}
	if mode == modes[0] {
		s.probe = "/_/health" // in that mode the other is the function's
	}
	environ := map[string]string{
		"PATH": searchPath, "read_timeout": timeout.String(), "write_timeout": timeout.String(), "exec_timeout": timeout.String(), "prefix_logs": "false",
	}
	maps.Copy(environ, f.Env)
	environ[envMode], environ["fprocess"] = mode, strings.Join(strings.Fields(f.Process), " ")
	if secrets != "" {
		environ[envSecrets] = secrets
	}
	if mode == "http" {
		port, err := freePort()
		if err != nil {
			return spec{}, err
		}
		environ["PORT"], environ[envUpstream] = strconv.Itoa(port), "http://127.0.0.1:"+strconv.Itoa(port)
	}
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		s.environ = append(s.environ, name+"="+environ[name])
	}
	if f.Limits == nil {
		return s, nil
	}
	if f.Limits.Memory != "" {
		if s.memory, err = backends.ParseMemory("limits.memory", f.Limits.Memory); err != nil {
			return spec{}, err
		}
	}
	if f.Limits.CPU != "" && mode != "http" { // a server may run for ever
		milli, err := backends.ParseCPU("limits.cpu", f.Limits.CPU)
		if err != nil {
			return spec{}, err
		}
		s.seconds = max(1, int64(math.Ceil(float64(milli)/1000*timeout.Seconds())))
	}
	return s, nil
}

// freePort finds a port that nobody has now.
func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, backends.Errorf(backends.ErrUnavailable, "no port is free: %w", err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	return port, ln.Close()
}
