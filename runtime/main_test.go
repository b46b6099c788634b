package runtime_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"hearth/runtime"
)

// compileChild is the argument with which this binary is the compile child.
const compileChild = "compile-child"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == compileChild {
		os.Exit(runtime.CompileMain(context.Background(), os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(sharedCache())
		os.Exit(code)
	}))
}

// sharedCache is where all engines of one run keep compiled code that do not say otherwise: Go programs take seconds to compile.
func sharedCache() string {
	return filepath.Join(os.TempDir(), "hearth-runtime-"+strconv.Itoa(os.Getpid()))
}

func startCompileChild(ctx context.Context) *exec.Cmd {
	return exec.CommandContext(ctx, os.Args[0], compileChild)
}
