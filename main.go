// Hearth runs functions and keeps them warm: an OpenFaaS-compatible gateway
// and a WebAssembly runtime in one process, with nothing else installed.
//
// This package only constructs and prints: it reads the configuration, builds
// the parts, hands them to each other, and is the command line over the API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"hearth/backends"
	"hearth/runtime"
)

// Exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1 // it was tried and did not work
	exitUsage  = 2 // the command line, the configuration or its surroundings are wrong; nothing was done
)

// release and commit are set by the linker (see Makefile).
var (
	release = "dev"
	commit  = "unknown"
)

func main() {
	p := process{args: os.Args[1:], environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.run(context.Background()))
}

// process is what a command gets from the operating system.
type process struct {
	args, environ  []string
	stdin          io.Reader
	stdout, stderr io.Writer
	layers         *layers // of the server's configuration
	code           int     // exit code of a command that did not fail
}

// commands is the command line.
type commands struct {
	Serve     serveCommand      `cmd:"" default:"withargs" help:"Serve the API and the functions; the default."`
	Dev       devCommand        `cmd:"" help:"Serve, deploy what is here, and deploy again whatever changes."`
	Deploy    deployCommand     `cmd:"" help:"Deploy functions: an image, a .wasm or .js file, a function of the store, or a stack file."`
	List      listCommand       `cmd:"" aliases:"ls" help:"List functions."`
	Describe  describeCommand   `cmd:"" help:"Say everything about a function."`
	Invoke    invokeCommand     `cmd:"" help:"Call a function."`
	Logs      logsCommand       `cmd:"" help:"Print what a function wrote."`
	Remove    removeCommand     `cmd:"" aliases:"rm" help:"Remove functions."`
	Scale     scaleCommand      `cmd:"" help:"Set how many replicas a function has."`
	Secret    secretCommands    `cmd:"" help:"List, create, update and remove secrets."`
	Namespace namespaceCommands `cmd:"" aliases:"ns" help:"List, create and remove namespaces."`
	Store     storeCommands     `cmd:"" help:"Look at the functions that every server has."`
	Login     loginCommand      `cmd:"" help:"Keep credentials for a gateway."`
	Simulate  simulateCommand   `cmd:"" help:"Show what scale labels do to a load, without a server."`
	Version   versionCommand    `cmd:"" help:"Say which Hearth this is."`
	Watchdog  watchdogCommand   `cmd:"" passthrough:"" help:"Serve one function in a container, in place of OpenFaaS' watchdogs."`
	Compile   compileCommand    `cmd:"" hidden:"" help:"Compile one module for a server."`
	Replica   replicaCommand    `cmd:"" hidden:"" passthrough:"" help:"Run a program of this machine for a server."`
}

// run parses and runs one command and gives the exit code.
func (p *process) run(ctx context.Context) int {
	p.layers = newLayers(p.environ)
	exited := -1
	parser, err := kong.New(&commands{}, kong.Name("hearth"),
		kong.Description("Functions over HTTP: deployed by name, kept warm, compatible with OpenFaaS."),
		kong.Writers(p.stdout, p.stderr), kong.Exit(func(code int) { exited = code }), kong.Resolvers(p.layers),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Bind(p), kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		return p.fail(err)
	}
	command, err := parser.Parse(p.args)
	if exited >= 0 { // --help was printed
		return exited
	}
	if err != nil {
		return p.fail(&usageError{cleanUsage(err)})
	}
	for _, at := range command.Path {
		if at.Flag != nil && !at.Resolved {
			p.layers.origins.note(at.Flag.Name, "--"+at.Flag.Name)
		}
	}
	return p.fail(command.Run())
}

// usageError is an error that shows before anything was done.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// cleanUsage takes the parser's words from around an error of ours, which
// names the field already.
func cleanUsage(err error) error {
	for {
		inner := errors.Unwrap(err)
		if !errors.Is(inner, backends.ErrInvalid) {
			return err
		}
		err = inner
	}
}

// compileCommand is the child in which a server compiles modules, so that a
// compilation can be stopped.
type compileCommand struct{}

// Run speaks with the server over standard input and output.
func (compileCommand) Run(ctx context.Context, p *process) error {
	p.code = runtime.CompileMain(ctx, p.stdin, p.stdout)
	return nil
}

// fail prints an error on one line and gives the exit code it means.
func (p *process) fail(err error) int {
	if err == nil {
		return p.code
	}
	fmt.Fprintf(p.stderr, "hearth: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}
