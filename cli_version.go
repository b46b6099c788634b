package main

import "fmt"

// versionCommand says which Hearth this is.
type versionCommand struct{}

// Run prints one line.
func (versionCommand) Run(p *process) error {
	_, err := fmt.Fprintf(p.stdout, "hearth %s (%s)\n", release, commit)
	return err
}
