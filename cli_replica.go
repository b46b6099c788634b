package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hearth/watchdog"
)

// replicaCommand is the child in which a server runs a program of this machine
// as a function: our watchdog around the program. Its environment is the
// function's.
type replicaCommand struct {
	Args []string `arg:"" optional:"" help:"Socket, bytes of memory and seconds of CPU of one process; 0 = any."`
}

// stopProgram is how long a program that serves may take to end.
const stopProgram = 5 * time.Second

// Run serves until SIGTERM, or until the server is gone.
func (r *replicaCommand) Run(ctx context.Context, p *process) error {
	parent := os.Getppid()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGINT, syscall.SIGPIPE) // of a terminal that is the server's; of its log
	if len(r.Args) != 3 {
		return &usageError{fmt.Errorf("the server starts this itself: socket, memory, CPU")}
	}
	memory, err := strconv.ParseInt(r.Args[1], 10, 64)
	if err != nil {
		return &usageError{err}
	}
	seconds, err := strconv.ParseInt(r.Args[2], 10, 64)
	if err != nil {
		return &usageError{err}
	}
	cfg, warnings, err := watchdog.FromEnviron(p.environ)
	if err != nil {
		return &usageError{err}
	}
	for _, text := range warnings {
		fmt.Fprintln(p.stderr, text)
	}
	cfg.Network, cfg.Address, cfg.Metrics, cfg.LockFile = "unix", r.Args[0], "", ""
	cfg.Process = limited(cfg.Process, memory, seconds)
	cfg.Unready, cfg.StopDelay = unreadyProgram, stopProgram
	cfg.Log, cfg.Reap = p.stderr, true
	cfg.Abandoned = func() bool { return os.Getppid() != parent }
	w, err := watchdog.New(cfg, nil)
	if err != nil {
		return &usageError{err}
	}
	err = w.Run(ctx)
	killDescendants()
	return err
}

// unreadyProgram is how long requests are still taken after SIGTERM: by then
// the gateway has known for long that it should send none.
const unreadyProgram = 200 * time.Millisecond

// limited is a command line under limits of memory and CPU: the shell sets
// them and becomes the program.
func limited(argv []string, memory, seconds int64) []string {
	var set strings.Builder
	if memory > 0 {
		fmt.Fprintf(&set, "ulimit -d %d && ", max(1, memory>>10))
	}
	if seconds > 0 {
		fmt.Fprintf(&set, "ulimit -t %d && ", seconds)
	}
	if set.Len() == 0 {
		return argv
	}
	return append([]string{"/bin/sh", "-c", set.String() + `exec "$0" "$@"`}, argv...)
}

// killDescendants ends what the program left behind: as the subreaper of all
// of them, they are our children.
func killDescendants() {
	for {
		lists, err := filepath.Glob("/proc/self/task/*/children")
		if err != nil {
			return
		}
		var pids []string
		for _, file := range lists {
			text, _ := os.ReadFile(file) // the thread may have ended
			pids = append(pids, strings.Fields(string(text))...)
		}
		if len(pids) == 0 {
			return
		}
		for _, text := range pids {
			if pid, err := strconv.Atoi(text); err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
				_, _ = syscall.Wait4(pid, nil, 0, nil) // it is nobody else's
			}
		}
	}
}
