package main

import (
	"context"

	"hearth/backends"
)

// namespaceCommands are about namespaces.
type namespaceCommands struct {
	List   namespaceList   `cmd:"" aliases:"ls" help:"List namespaces."`
	Create namespaceCreate `cmd:"" help:"Make a namespace."`
	Remove namespaceRemove `cmd:"" aliases:"rm" help:"Remove an empty namespace."`
}

type namespaceList struct {
	connection
	output
}

// Run prints the names.
func (n *namespaceList) Run(ctx context.Context, p *process) error {
	c, err := n.connect(p, "")
	if err != nil {
		return err
	}
	names, err := c.Namespaces(ctx)
	if err != nil {
		return explain(c, err)
	}
	return p.printNames(names, n.json())
}

type namespaceCreate struct {
	Name       string            `arg:"" help:"Namespace."`
	Label      map[string]string `short:"l" mapsep:"none" placeholder:"KEY=VALUE" help:"Label; may be repeated."`
	Annotation map[string]string `short:"a" mapsep:"none" placeholder:"KEY=VALUE" help:"Annotation; may be repeated."`
	connection
}

// Run makes it.
func (n *namespaceCreate) Run(ctx context.Context, p *process) error {
	c, err := n.connect(p, "")
	if err != nil {
		return err
	}
	return explain(c, c.CreateNamespace(ctx, backends.NamespaceBody{Name: n.Name, Labels: n.Label, Annotations: n.Annotation}))
}

type namespaceRemove struct {
	Name string `arg:"" help:"Namespace."`
	connection
}

// Run removes it.
func (n *namespaceRemove) Run(ctx context.Context, p *process) error {
	c, err := n.connect(p, "")
	if err != nil {
		return err
	}
	return explain(c, c.DeleteNamespace(ctx, n.Name))
}
