package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/unix"
)

// Exit statuses of CompileMain.
const (
	childDone   = 0
	childFailed = 1 // something on our side; stdout says what
	childRefuse = 3 // the module cannot be compiled; stdout says why
)

// compileOrder is the first line of what the child reads; the module follows it.
type compileOrder struct {
	Dir        string // where to put the compiled code
	CPUSeconds uint64
	Memory     uint64 // bytes of address space
}

// CompileMain is the body of the hidden subcommand that compiles one module and exits: a compiler that takes too much time or memory is
// killed without harm to the process that serves. It reads an order and the module from stdin, bounds itself, fills the directory it was
// told, and says on stdout what went wrong. The result is the exit status. It must be the only thing its process does.
func CompileMain(ctx context.Context, stdin io.Reader, stdout io.Writer) int {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	var order compileOrder
	if err == nil {
		err = json.Unmarshal(line, &order)
	}
	if err == nil {
		err = order.bound()
	}
	var wasm []byte
	if err == nil {
		wasm, err = io.ReadAll(in)
	}
	var cache wazero.CompilationCache
	if err == nil {
		cache, err = wazero.NewCompilationCacheWithDir(order.Dir)
	}
	if err != nil {
		fmt.Fprint(stdout, err)
		return childFailed
	}
	r := wazero.NewRuntimeWithConfig(ctx, engineConfig(cache))
	if _, err := r.CompileModule(ctx, wasm); err != nil {
		fmt.Fprint(stdout, err)
		return childRefuse
	}
	return childDone
}

// bound sets the limits that the kernel keeps.
func (o *compileOrder) bound() error {
	for resource, limit := range map[int]uint64{unix.RLIMIT_CPU: o.CPUSeconds, unix.RLIMIT_AS: o.Memory, unix.RLIMIT_CORE: 0} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("set limit %d to %d: %w", resource, limit, err)
		}
	}
	debug.SetMemoryLimit(int64(o.Memory / 2))
	// Both only make the machine prefer others: a failure changes nothing that was promised.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 5)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	return nil
}
