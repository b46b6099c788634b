package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"

	"hearth/backends"
)

// storeCommands are about the functions that every server has.
type storeCommands struct {
	List     storeList     `cmd:"" aliases:"ls" help:"List functions that can be deployed by name."`
	Describe storeDescribe `cmd:"" help:"Say what one of them does."`
}

type storeList struct {
	connection
	output
}

// Run prints a table.
func (s *storeList) Run(ctx context.Context, p *process) error {
	c, err := s.connect(p, "")
	if err != nil {
		return err
	}
	list, err := c.Store(ctx)
	if err != nil {
		return explain(c, err)
	}
	if s.json() {
		return p.printJSON(list)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FUNCTION\tWHAT IT DOES")
	for _, f := range list {
		fmt.Fprintf(table, "%s\t%s\n", f.Name, f.Description)
	}
	return table.Flush()
}

type storeDescribe struct {
	Name string `arg:"" help:"Function of the store."`
	connection
	output
}

// Run prints what deploying it would use.
func (s *storeDescribe) Run(ctx context.Context, p *process) error {
	c, err := s.connect(p, "")
	if err != nil {
		return err
	}
	list, err := c.Store(ctx)
	if err != nil {
		return explain(c, err)
	}
	i := slices.IndexFunc(list, func(f backends.StoreFunction) bool { return f.Name == s.Name })
	if i < 0 {
		return &backends.FieldError{Field: "function", Value: s.Name, Allowed: "one of the store (hearth store list)"}
	}
	f := list[i]
	if s.json() {
		return p.printJSON(f)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %s\n\n%s\n\nprocess: %s\nimage:   %s\ndeploy:  hearth deploy %s\n", f.Name, f.Title, f.Description, f.Fprocess, f.Images["x86_64"], f.Name)
	return err
}
