package main

import (
	"fmt"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the command hearth of the scripts the real main function in
// a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hearth": main})
}

// scriptCondition: [race] is true under the race detector, in which the child
// that compiles modules runs too, ten times slower.
func scriptCondition(name string) (bool, error) {
	if name == "race" {
		return raceEnabled, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/scripts",
		Cmds:                scriptCommands(),
		Setup:               setupScript,
		Condition:           scriptCondition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
