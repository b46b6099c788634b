package main

import (
	"fmt"

	"hearth/backends"
)

// versionCommand says which Hearth this is.
type versionCommand struct{ output }

// Run prints one line.
func (v *versionCommand) Run(p *process) error {
	if v.json() {
		return p.printJSON(backends.VersionInfo{Release: release, SHA: commit})
	}
	_, err := fmt.Fprintf(p.stdout, "hearth %s (%s)\n", release, commit)
	return err
}
