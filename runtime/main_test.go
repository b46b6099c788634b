package runtime_test

import (
	"context"
	"os"
	"os/exec"
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
	goleak.VerifyTestMain(m)
}

func startCompileChild(ctx context.Context) *exec.Cmd {
	return exec.CommandContext(ctx, os.Args[0], compileChild)
}
