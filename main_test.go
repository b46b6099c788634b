package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the command hearth of the scripts the real main function in
// a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hearth": main})
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/scripts",
		Cmds:                scriptCommands(),
		Setup:               setupScript,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
