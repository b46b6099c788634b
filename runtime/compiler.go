package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/cpu"

	"hearth/backends"
)

// Budget of one compilation in a child. Large programs (30 MB of wasm) take some 8 s of CPU and 1 GiB.
const (
	compileCPU    = 10 * time.Second
	compileWall   = 2 * time.Minute // while the machine does other things, which come first
	compileMemory = 4 << 30         // address space, half of it resident at most
)

// staleAfter is the age at which what a killed process left in the cache is removed.
const staleAfter = time.Hour

// compiler fills the cache of compiled code from children, so that no module can hurt this process by being compiled. Each child writes to
// a directory of its own, and only what a child finished is moved into the cache. A note per module, named by the digest of what was
// compiled, says which file that is.
type compiler struct {
	dir    string
	start  func(ctx context.Context) *exec.Cmd
	turns  chan struct{} // one token per child that may run
	wall   time.Duration
	order  compileOrder
	engine string // what compiled code depends on besides the module
	// program is the build of this program, which rewritten modules depend on; empty = they are not kept.
	program string

	mu sync.Mutex // of what is noted
}

// note says where the compiled code of a module lies.
type note struct {
	Engine string
	Module string // sha256:HEX of the module as it was given, before it was rewritten
	File   string // relative to the cache's directory
}

func newCompiler(dir string, start func(ctx context.Context) *exec.Cmd) *compiler {
	features := sha256.Sum256(fmt.Appendf(nil, "%s %+v %+v", goruntime.GOARCH, cpu.X86, cpu.ARM64))
	c := &compiler{
		dir: dir, start: start, wall: compileWall, engine: hex.EncodeToString(features[:8]),
		turns:   make(chan struct{}, max(1, goruntime.GOMAXPROCS(0)/2)),
		program: programID(),
		order:   compileOrder{CPUSeconds: uint64(compileCPU / time.Second), Memory: compileMemory},
	}
	return c
}

// fill makes sure that the cache has the compiled code of p, what became of the module of that digest. ErrInvalid when it cannot be
// compiled within the budget.
func (c *compiler) fill(ctx context.Context, module digest, p *prepared) error {
	notePath := filepath.Join(c.dir, "notes", hex.EncodeToString(p.Sum[:]))
	if _, ok := c.noted(notePath); ok {
		return nil
	}
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return errEngineClosed
	}
	scratch, err := os.MkdirTemp(c.dir, "compile-")
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	defer os.RemoveAll(scratch)
	if err := c.run(ctx, scratch, p.wasm); err != nil {
		return err
	}
	file, err := c.adopt(scratch)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	return writeNote(notePath, note{Engine: c.engine, Module: moduleName(module), File: file})
}

// moduleName is how a module is named outside the engine.
func moduleName(module digest) string { return "sha256:" + hex.EncodeToString(module[:]) }

// noted gives what a note says, if the cache has what it speaks of.
func (c *compiler) noted(path string) (n note, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &n) != nil || n.Engine != c.engine || !filepath.IsLocal(n.File) {
		return note{}, false
	}
	_, err = os.Stat(filepath.Join(c.dir, n.File))
	return n, err == nil
}

func writeNote(path string, n any) error {
	text, err := json.Marshal(n)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	return nil
}

// run compiles a module in a child, which fills the directory scratch.
func (c *compiler) run(ctx context.Context, scratch string, wasm []byte) error {
	// A child dies with the thread that made it, if this process is killed: the thread must live as long as the child.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	limited, cancel := context.WithTimeout(ctx, c.wall)
	defer cancel()
	order := c.order
	order.Dir = scratch
	head, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	cmd := c.start(limited)
	var said bytes.Buffer
	cmd.Stdin = io.MultiReader(bytes.NewReader(append(head, '\n')), bytes.NewReader(wasm))
	cmd.Stdout, cmd.Stderr = &capped{&said, 4096}, nil
	cmd.WaitDelay = time.Second
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errEngineClosed
	case errors.As(err, &exit) && exit.ExitCode() == childRefuse:
		return backends.Errorf(backends.ErrInvalid, "the module cannot be compiled: %s", said.String())
	case errors.As(err, &exit) && exit.ExitCode() == childFailed:
		return fmt.Errorf("compile: %s", said.String())
	case limited.Err() != nil:
		return backends.Errorf(backends.ErrUnavailable, "the module was not compiled within %v: the machine is busy, try again", c.wall)
	case errors.As(err, &exit):
		return backends.Errorf(backends.ErrInvalid,
			"the module cannot be compiled within %v of CPU time and %d MiB of memory (%v): build it smaller, or with less inlining",
			time.Duration(c.order.CPUSeconds)*time.Second, c.order.Memory>>20, err)
	}
	return fmt.Errorf("start the compiler: %w", err)
}

// adopt moves what a child made into the cache and returns the file's name there.
func (c *compiler) adopt(scratch string) (file string, err error) {
	made, err := filepath.Glob(filepath.Join(scratch, "*", "*"))
	if err != nil || len(made) != 1 {
		return "", fmt.Errorf("the compiler made %d files, want 1 (%v)", len(made), err)
	}
	file, err = filepath.Rel(scratch, made[0])
	if err == nil {
		err = os.MkdirAll(filepath.Join(c.dir, filepath.Dir(file)), 0o700)
	}
	if err == nil {
		err = os.Rename(made[0], filepath.Join(c.dir, file))
	}
	return file, err
}

// sweepCache removes what killed processes left behind.
func sweepCache(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cache of compiled code: %w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && strings.HasPrefix(entry.Name(), "compile-") && time.Since(info.ModTime()) > staleAfter {
			err = os.RemoveAll(filepath.Join(dir, entry.Name()))
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cache of compiled code: %w", err)
		}
	}
	return nil
}

// capped keeps the first bytes of what is written to it.
type capped struct {
	to   *bytes.Buffer
	left int
}

func (w *capped) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.to.Write(p[:n])
	w.left -= n
	return len(p), nil
}
