package main

import (
	"context"
	"fmt"
)

// serveCommand is the server.
type serveCommand struct {
	Config `embed:""`
}

// Run serves until a signal or a fault.
func (s *serveCommand) Run(ctx context.Context, p *process) error {
	s.derive(&p.layers.origins)
	if err := s.validate(&p.layers.origins); err != nil {
		return &usageError{err}
	}
	for _, w := range p.layers.warnings {
		fmt.Fprintln(p.stderr, "hearth: "+w)
	}
	if s.PrintConfig {
		return s.print(p.stdout, &p.layers.origins)
	}
	return &usageError{context.Cause(ctx)}
}
