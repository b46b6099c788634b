package simulation

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteTable writes the figures of a result, one a line.
func (r *Result) WriteTable(out io.Writer) error {
	_, err := fmt.Fprintf(out, `calls            %d
cold starts      %d
wait p50         %v
wait p99         %v
wait max         %v
replica-seconds  %.0f
most replicas    %d
changes          %d
`, r.Calls, r.ColdStarts, round(r.Wait(0.5)), round(r.Wait(0.99)), round(r.Wait(1)), r.ReplicaSeconds, r.MostReplicas, r.Changes)
	return err
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// columns shrinks the seconds to at most n columns, each the most of its part.
func (r *Result) columns(n int, of func(Second) int) []int {
	n = min(n, len(r.Seconds))
	out := make([]int, n)
	for i, s := range r.Seconds {
		c := i * n / len(r.Seconds)
		out[c] = max(out[c], of(s))
	}
	return out
}

// WritePlot draws ready replicas and calls under way over time with block
// characters, for a terminal of that many columns.
func (r *Result) WritePlot(out io.Writer, width int) error {
	for _, line := range []struct {
		name string
		of   func(Second) int
	}{
		{"replicas", func(s Second) int { return s.Ready }},
		{"in flight", func(s Second) int { return s.Running }},
		{"waiting", func(s Second) int { return s.Waiting }},
	} {
		values := r.columns(max(width-24, 10), line.of)
		most := 0
		for _, v := range values {
			most = max(most, v)
		}
		if _, err := fmt.Fprintf(out, "%-9s |%s| max %d\n", line.name, blocks(values, most), most); err != nil {
			return err
		}
	}
	return nil
}

// blocks draws each value as one character of eight heights.
func blocks(values []int, most int) string {
	const heights = " ▁▂▃▄▅▆▇█"
	levels := []rune(heights)
	var b strings.Builder
	for _, v := range values {
		level := 0
		if most > 0 && v > 0 {
			level = 1 + v*(len(levels)-2)/most
		}
		b.WriteRune(levels[min(level, len(levels)-1)])
	}
	return b.String()
}

// WriteSVG draws the same as a picture.
func (r *Result) WriteSVG(out io.Writer) error {
	const width, height, left = 960, 120, 90
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width+left+20, 3*height+60)
	for row, line := range []struct {
		name, colour string
		of           func(Second) int
	}{
		{"replicas", "#2f6f4f", func(s Second) int { return s.Ready }},
		{"in flight", "#30588c", func(s Second) int { return s.Running }},
		{"waiting", "#a8442a", func(s Second) int { return s.Waiting }},
	} {
		values := r.columns(width, line.of)
		most := 1
		for _, v := range values {
			most = max(most, v)
		}
		base := (row+1)*height + row*10
		fmt.Fprintf(&b, `<text x="4" y="%d">%s</text><text x="4" y="%d">max %d</text>`+"\n", base-height/2, line.name, base-height/2+16, most)
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" points="`, line.colour)
		for i, v := range values {
			fmt.Fprintf(&b, "%d,%.1f ", left+i*width/max(len(values), 1), float64(base)-float64(v)/float64(most)*(height-10))
		}
		b.WriteString(`"/>` + "\n")
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d">%d s</text>`+"\n</svg>\n", left+width-40, 3*height+50, len(r.Seconds))
	_, err := io.WriteString(out, b.String())
	return err
}
