package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"hearth/backends"
)

// listCommand lists functions.
type listCommand struct {
	Quiet bool   `short:"q" help:"Names only."`
	Sort  string `enum:"name,calls,created" default:"name" help:"name, calls or created."`
	inNamespace
	connection
	output
}

// Run prints a table.
func (l *listCommand) Run(ctx context.Context, p *process) error {
	c, err := l.connect(p, "")
	if err != nil {
		return err
	}
	list, err := c.List(ctx, l.Namespace)
	if err != nil {
		return explain(c, err)
	}
	slices.SortStableFunc(list, func(a, b backends.FunctionStatus) int {
		switch l.Sort {
		case "calls":
			return cmp.Compare(b.InvocationCount, a.InvocationCount)
		case "created":
			return a.CreatedAt.Compare(b.CreatedAt)
		}
		return cmp.Compare(a.Name, b.Name)
	})
	if l.json() {
		return p.printJSON(list)
	}
	if l.Quiet {
		for _, f := range list {
			fmt.Fprintln(p.stdout, f.Name)
		}
		return nil
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FUNCTION\tREPLICAS\tCALLS\tIMAGE\tPROBLEM")
	for _, f := range list {
		fmt.Fprintf(table, "%s\t%d/%d\t%.0f\t%s\t%s\n", f.Name, f.AvailableReplicas, f.Replicas, f.InvocationCount, f.Image, f.Problem)
	}
	return table.Flush()
}

// describeCommand says everything about one function.
type describeCommand struct {
	Name string `arg:"" help:"Function."`
	inNamespace
	connection
	output
}

// Run prints one line per thing that is set.
func (d *describeCommand) Run(ctx context.Context, p *process) error {
	key, err := d.key(d.Name)
	if err != nil {
		return err
	}
	c, err := d.connect(p, "")
	if err != nil {
		return err
	}
	f, err := c.Get(ctx, key)
	if err != nil {
		return explain(c, err)
	}
	if d.json() {
		return p.printJSON(f)
	}
	state := "ready"
	if f.AvailableReplicas == 0 {
		state = "not ready"
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	line("name", f.Name)
	line("namespace", f.Namespace)
	line("state", state)
	line("problem", f.Problem)
	line("replicas", fmt.Sprintf("%d of %d", f.AvailableReplicas, f.Replicas))
	if scaling, err := c.Scaling(ctx, key); err == nil {
		line("scaling", scaling.Reason)
		for _, e := range scaling.Events {
			line("scaled", fmt.Sprintf("%s %d to %d (%s) %s", e.Time.Format(time.RFC3339), e.From, e.To, e.Reason, e.Error))
		}
	}
	line("calls", fmt.Sprintf("%.0f", f.InvocationCount))
	line("image", f.Image)
	line("process", f.EnvProcess)
	line("url", callURL(c, key))
	line("created", f.CreatedAt.Format(time.RFC3339))
	line("secrets", strings.Join(f.Secrets, ", "))
	line("constraints", strings.Join(f.Constraints, ", "))
	line("limits", resources(f.Limits))
	line("requests", resources(f.Requests))
	if f.Usage != nil {
		line("usage", fmt.Sprintf("%.0f millicores, %.0f bytes", f.Usage.CPU, f.Usage.TotalMemoryBytes))
	}
	for name, pairs := range map[string]map[string]string{"environment": f.EnvVars, "label": f.Labels, "annotation": f.Annotations} {
		for _, k := range slices.Sorted(maps.Keys(pairs)) {
			line(name, k+"="+pairs[k])
		}
	}
	return table.Flush()
}

// resources writes limits on one line.
func resources(r *backends.Resources) string {
	if r == nil {
		return ""
	}
	var parts []string
	for _, part := range [...]struct{ name, value string }{{"memory", r.Memory}, {"cpu", r.CPU}} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	return strings.Join(parts, ", ")
}

// removeCommand removes functions.
type removeCommand struct {
	Names []string `arg:"" optional:"" help:"Functions."`
	File  string   `short:"f" placeholder:"FILE" help:"Remove the functions of this stack file."`
	inNamespace
	connection
}

// Run removes one after the other.
func (r *removeCommand) Run(ctx context.Context, p *process) error {
	var keys []backends.Key
	gateway := ""
	for _, name := range r.Names {
		key, err := r.key(name)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	if r.File != "" {
		s, err := readStack(r.File, p.layers.environ)
		if err != nil {
			return &usageError{err}
		}
		gateway = s.Provider.Gateway
		for _, name := range slices.Sorted(maps.Keys(s.Functions)) {
			key, err := backends.NewKey(cmp.Or(r.Namespace, s.Functions[name].Namespace), name)
			if err != nil {
				return &usageError{err}
			}
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return &usageError{fmt.Errorf("nothing to remove: name functions or a stack file")}
	}
	c, err := r.connect(p, gateway)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := c.Delete(ctx, key); err != nil {
			return fmt.Errorf("remove %s: %w", key.Name, explain(c, err))
		}
		fmt.Fprintf(p.stdout, "%s removed\n", key.Name)
	}
	return nil
}

// scaleCommand sets how many replicas a function has.
type scaleCommand struct {
	Name     string `arg:"" help:"Function."`
	Replicas int    `arg:"" help:"Replicas; 0 lets it rest until it is called."`
	inNamespace
	connection
}

// Run asks for that many.
func (s *scaleCommand) Run(ctx context.Context, p *process) error {
	key, err := s.key(s.Name)
	if err != nil {
		return err
	}
	c, err := s.connect(p, "")
	if err != nil {
		return err
	}
	if err := c.Scale(ctx, key, s.Replicas); err != nil {
		return explain(c, err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s scaled to %d\n", key.Name, s.Replicas)
	return err
}
