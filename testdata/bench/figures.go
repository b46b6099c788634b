package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// bench collects the figures of one run.
type bench struct {
	options
	dir, binary string
	figures     []figure
}

// figure is one measured value, with what it must be at least (or at most)
// and what we want.
type figure struct {
	name, unit string
	value      float64
	bound      bound
	floor      float64
	goal       string
}

// bound says on which side of its floor a figure must be.
type bound int

const (
	free bound = iota
	atLeast
	atMost
)

func (f figure) missed() bool {
	return f.bound == atLeast && f.value < f.floor || f.bound == atMost && f.value > f.floor
}

func (b *bench) add(f figure) {
	b.figures = append(b.figures, f)
	fmt.Printf("# %s: %.4g %s\n", f.name, f.value, f.unit)
}

// report prints the table; with -check, a missed floor is an error.
func (b *bench) report(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FIGURE\tVALUE\tUNIT\tFLOOR\tGOAL")
	var missed []string
	for _, f := range b.figures {
		floor := map[bound]string{free: "", atLeast: fmt.Sprintf(">= %.4g", f.floor), atMost: fmt.Sprintf("<= %.4g", f.floor)}[f.bound]
		if f.missed() {
			floor += " MISSED"
			missed = append(missed, f.name)
		}
		fmt.Fprintf(table, "%s\t%.4g\t%s\t%s\t%s\n", f.name, f.value, f.unit, floor, f.goal)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if b.check && len(missed) > 0 {
		return fmt.Errorf("below the floor: %s", strings.Join(missed, ", "))
	}
	return nil
}

// median gives the middle value, which one disturbed round does not move.
func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
